//! Number of clients in each namespace. Nothing is encoded for an empty namespace.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::NAMESPACES;

/// Clients of each namespace, from before they can join a room until they are gone.
#[derive(Debug, Default)]
pub(super) struct Headcount {
    all: [AtomicUsize; NAMESPACES.len()],
    /// Those without a lane, which get events through rooms.
    in_rooms: [AtomicUsize; NAMESPACES.len()],
}

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
            self.all[index].fetch_add(1, Ordering::SeqCst);
            self.in_rooms[index].fetch_add(1, Ordering::SeqCst);
        }
        Seat { headcount: self.clone(), namespace, in_rooms: AtomicBool::new(true) }
    }

    /// Whether no client of a namespace can be in a room.
    pub(super) fn is_empty(&self, namespace: &str) -> bool {
        let clients = NAMESPACES.iter().zip(&self.in_rooms).find(|(name, _)| **name == namespace);
        clients.is_none_or(|(_, clients)| clients.load(Ordering::SeqCst) == 0)
    }

    /// Returns the number of clients in all namespaces.
    pub(super) fn total(&self) -> usize {
        self.all.iter().map(|clients| clients.load(Ordering::SeqCst)).sum()
    }
}

impl Seat {
    /// Notes that the client has a lane, and joins no room any more.
    pub(super) fn leave_rooms(&self) {
        if self.in_rooms.swap(false, Ordering::SeqCst)
            && let Some(index) = self.namespace
        {
            self.headcount.in_rooms[index].fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave_rooms();
        if let Some(index) = self.namespace {
            self.headcount.all[index].fetch_sub(1, Ordering::SeqCst);
        }
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
        assert_eq!(headcount.total(), 3);
        seats[2].leave_rooms();
        seats[2].leave_rooms();
        assert!(headcount.is_empty("/ws/signals"));
        assert_eq!(headcount.total(), 3);
        drop(seats);
        assert!(NAMESPACES.iter().all(|namespace| headcount.is_empty(namespace)));
        assert_eq!(headcount.total(), 0);
    }
}
