//! Number of clients in the rooms of each namespace. Nothing is emitted into an empty one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::NAMESPACES;

/// Clients of each namespace that get events through rooms, because they have no lane: from before they can join a room
/// until they have a lane or are gone.
#[derive(Debug, Default)]
pub(super) struct Headcount([AtomicUsize; NAMESPACES.len()]);

/// A counted client. It leaves the count when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    headcount: Arc<Headcount>,
    namespace: Option<usize>,
    in_rooms: AtomicBool,
}

impl Headcount {
    /// Counts a client.
    pub(super) fn enter(self: &Arc<Self>, namespace: &str) -> Seat {
        let namespace = NAMESPACES.iter().position(|name| *name == namespace);
        if let Some(index) = namespace {
            self.0[index].fetch_add(1, Ordering::SeqCst);
        }
        Seat { headcount: self.clone(), namespace, in_rooms: AtomicBool::new(true) }
    }

    /// Whether no client of a namespace can be in a room.
    pub(super) fn is_empty(&self, namespace: &str) -> bool {
        let clients = NAMESPACES.iter().zip(&self.0).find(|(name, _)| **name == namespace);
        clients.is_none_or(|(_, clients)| clients.load(Ordering::SeqCst) == 0)
    }
}

impl Seat {
    /// Notes that the client has a lane, and joins no room any more.
    pub(super) fn leave_rooms(&self) {
        if self.in_rooms.swap(false, Ordering::SeqCst)
            && let Some(index) = self.namespace
        {
            self.headcount.0[index].fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave_rooms();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_without_clients_is_empty() {
        let headcount = Arc::new(Headcount::default());
        assert!(NAMESPACES.iter().all(|namespace| headcount.is_empty(namespace)));
        let seats = [headcount.enter("/"), headcount.enter("/"), headcount.enter("/ws/signals")];
        assert_eq!(NAMESPACES.map(|namespace| headcount.is_empty(namespace)), [false, false, true]);
        seats[2].leave_rooms();
        seats[2].leave_rooms();
        assert!(headcount.is_empty("/ws/signals"));
        drop(seats);
        assert!(NAMESPACES.iter().all(|namespace| headcount.is_empty(namespace)));
    }
}
