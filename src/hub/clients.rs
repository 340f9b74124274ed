//! The connected native WebSocket clients, with one outbox each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::{Channels, Envelope, Outbox, Sink};
use crate::telemetry::{Behind, Queue as _};

/// All outboxes. As a sink it delivers to each client what the client subscribed to.
#[derive(Debug, Default)]
pub struct Clients {
    members: RwLock<HashMap<u64, Arc<Outbox>>>,
    next: AtomicU64,
}

/// Keeps a client registered; dropping it removes the client.
#[derive(Debug)]
pub struct Membership {
    clients: Arc<Clients>,
    id: u64,
}

impl Clients {
    /// Registers a client. Its topics decide which events it gets.
    pub fn join(self: &Arc<Self>, outbox: Arc<Outbox>) -> Membership {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.members.write().insert(id, outbox);
        Membership { clients: self.clone(), id }
    }

    /// Returns the backlog of all clients together.
    pub fn waiting(&self) -> Behind {
        self.members.read().values().map(|outbox| outbox.behind()).fold(Behind::default(), |all, one| Behind {
            ordered: all.ordered + one.ordered,
            states: all.states + one.states,
            by: all.by.max(one.by),
        })
    }
}

impl Sink for Clients {
    fn clients(&self) -> usize {
        self.members.read().len()
    }

    fn channels(&self) -> Channels {
        let mut channels = Channels::of("native");
        for outbox in self.members.read().values() {
            channels.count(&outbox.topics());
        }
        channels
    }

    fn deliver(&self, batch: &[Arc<Envelope>]) {
        for outbox in self.members.read().values() {
            outbox.offer(batch);
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.clients.members.write().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::hub::{Selection, Topics};
    use crate::telemetry::Metrics;

    #[tokio::test(start_paused = true)]
    async fn the_backlog_counts_until_clients_read_it() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let clients = Arc::new(Clients::default());
        let outboxes: Vec<_> = (0..3).map(|_| Arc::new(Outbox::new(metrics.clone()))).collect();
        let _members: Vec<_> = outboxes.iter().map(|outbox| clients.join(outbox.clone())).collect();
        assert_eq!(clients.waiting(), Behind::default());
        outboxes[1].answer("a".into());
        tokio::time::advance(Duration::from_secs(3)).await;
        outboxes[0].answer("a".into());
        outboxes[0].answer("b".into());
        assert_eq!(clients.waiting(), Behind { ordered: 3, states: 0, by: Duration::from_secs(3) });
        outboxes[1].drain().unwrap();
        assert_eq!(clients.waiting(), Behind { ordered: 2, states: 0, by: Duration::ZERO });

        outboxes[2].set_topics(Topics { prices: Selection::All, ..Topics::default() });
        let Channels { clients, prices, signals, messages, .. } = clients.channels();
        assert_eq!((clients, prices, signals, messages), (3, 1, 0, 0));
    }
}
