//! The native clients that are connected: one outbox each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::{Behind, Outbox, Publication, Sink};

/// All outboxes; delivers to each what it asked for.
#[derive(Debug, Default)]
pub struct Clients {
    outboxes: RwLock<HashMap<u64, Arc<Outbox>>>,
    next: AtomicU64,
}

/// A client's place among the others; it leaves when this is dropped.
#[derive(Debug)]
pub struct Membership {
    clients: Arc<Clients>,
    id: u64,
}

impl Clients {
    /// Adds a client. What it gets is decided by its topics.
    pub fn join(self: &Arc<Self>, outbox: Arc<Outbox>) -> Membership {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.outboxes.write().insert(id, outbox);
        Membership { clients: self.clone(), id }
    }

    /// What waits for all of them together.
    pub fn waiting(&self) -> Behind {
        self.outboxes.read().values().map(|outbox| outbox.behind()).fold(Behind::default(), |all, one| Behind {
            ordered: all.ordered + one.ordered,
            states: all.states + one.states,
            by: all.by.max(one.by),
        })
    }
}

impl Sink for Clients {
    fn clients(&self) -> usize {
        self.outboxes.read().len()
    }

    fn deliver(&self, batch: &[Arc<Publication>]) {
        for outbox in self.outboxes.read().values() {
            outbox.offer(batch);
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.clients.outboxes.write().remove(&self.id);
    }
}
