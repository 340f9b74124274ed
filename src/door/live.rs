//! The connections that are open: how many, and the switch that ends each.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Peer;
use super::kill::{KillSwitch, Reason};

/// Why a connection was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// As many connections as allowed are open.
    Connections,
}

impl Refusal {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
        }
    }
}

/// All open connections; never more than the limit given to [`new`](Self::new).
#[derive(Debug)]
pub(super) struct Live {
    max: usize,
    places: Mutex<Places>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    switches: HashMap<u64, KillSwitch>,
}

impl Live {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, places: Mutex::default(), emptied: Notify::new() })
    }

    /// Lets a connection in, for as long as its [`Place`] is held. Limits that depend on the peer belong here too.
    pub(super) fn admit(self: &Arc<Self>, _peer: Peer, kill: KillSwitch) -> Result<Place, Refusal> {
        let mut places = self.places.lock();
        if places.switches.len() >= self.max {
            return Err(Refusal::Connections);
        }
        let id = places.next;
        places.next += 1;
        places.switches.insert(id, kill);
        Ok(Place { live: Arc::clone(self), id })
    }

    pub(super) fn count(&self) -> usize {
        self.places.lock().switches.len()
    }

    pub(super) fn kill_all(&self, reason: Reason) {
        // Outside the lock: a task that ends gives its place back.
        let switches: Vec<_> = self.places.lock().switches.values().cloned().collect();
        for switch in switches {
            switch.kill(reason);
        }
    }

    /// Waits until no connection is open.
    pub(super) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.count() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

/// A connection's place among the live ones; dropping it gives the place back.
#[derive(Debug)]
pub(super) struct Place {
    live: Arc<Live>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.live.places.lock();
        places.switches.remove(&self.id);
        if places.switches.is_empty() {
            self.live.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_limited_killed_together_and_given_back() {
        let live = Live::new(2);
        let peer = Peer { addr: ([127, 0, 0, 1], 1).into() };
        let switch = KillSwitch::new();
        let first = live.admit(peer, switch.clone()).unwrap();
        let second = live.admit(peer, KillSwitch::new()).unwrap();
        assert_eq!(live.admit(peer, KillSwitch::new()).unwrap_err(), Refusal::Connections);
        live.kill_all(Reason::Draining);
        assert_eq!(switch.killed(), Some(Reason::Draining));
        drop(first);
        let third = live.admit(peer, KillSwitch::new()).unwrap();
        assert_eq!(live.count(), 2);
        drop((second, third));
        live.emptied().await;
    }
}
