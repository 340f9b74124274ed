//! How many clients of each transport are connected, by what they subscribed to.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Topics;

/// The transports whose clients are counted.
const TRANSPORTS: [&str; 2] = ["native", "socketio"];

/// How many clients of a transport are subscribed to what. A client may have several channels, or only some symbols of
/// one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// The transport.
    pub transport: &'static str,
    /// All clients of the transport.
    pub clients: usize,
    /// Clients that get prices.
    pub prices: usize,
    /// Clients that get signals.
    pub signals: usize,
    /// Clients that get relayed messages.
    pub messages: usize,
}

/// The connected clients.
#[derive(Debug, Clone)]
pub(super) struct Clients(Arc<Mutex<[Channels; TRANSPORTS.len()]>>);

/// Counts a client until it is dropped.
#[derive(Debug)]
pub struct Membership {
    clients: Clients,
    transport: usize,
    /// Whether it gets prices, signals and relayed messages.
    gets: Mutex<[bool; 3]>,
}

impl Default for Clients {
    fn default() -> Self {
        let none = |transport| Channels { transport, clients: 0, prices: 0, signals: 0, messages: 0 };
        Self(Arc::new(Mutex::new(TRANSPORTS.map(none))))
    }
}

impl Clients {
    /// Counts a client that is not subscribed to anything yet.
    pub(super) fn join(&self, transport: &str) -> Membership {
        let transport = TRANSPORTS.iter().position(|name| *name == transport).unwrap_or_default();
        self.0.lock()[transport].clients += 1;
        Membership { clients: self.clone(), transport, gets: Mutex::default() }
    }

    /// Returns the counts of each transport.
    pub(super) fn channels(&self) -> [Channels; TRANSPORTS.len()] {
        *self.0.lock()
    }
}

impl Membership {
    /// Notes what the client is subscribed to.
    pub fn set(&self, topics: &Topics) {
        let messages = topics.published.each().next().is_some();
        self.count([!topics.prices.is_none(), !topics.signals.is_none(), messages]);
    }

    fn count(&self, gets: [bool; 3]) {
        let before = std::mem::replace(&mut *self.gets.lock(), gets);
        let channels = &mut self.clients.0.lock()[self.transport];
        let counts = [&mut channels.prices, &mut channels.signals, &mut channels.messages];
        for (count, (before, now)) in counts.into_iter().zip(before.into_iter().zip(gets)) {
            *count = *count + usize::from(now) - usize::from(before);
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.count([false; 3]);
        self.clients.0.lock()[self.transport].clients -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Selection;

    #[test]
    fn clients_are_counted_by_what_they_get() {
        let clients = Clients::default();
        let [one, two] = ["native", "native"].map(|transport| clients.join(transport));
        let native = || {
            let Channels { clients, prices, signals, messages, .. } = clients.channels()[0];
            [clients, prices, signals, messages]
        };
        assert_eq!(native(), [2, 0, 0, 0]);
        one.set(&Topics::market());
        two.set(&Topics { prices: Selection::All, ..Topics::public() });
        assert_eq!(native(), [2, 2, 2, 1]);
        one.set(&Topics { signals: Selection::All, ..Topics::default() });
        assert_eq!(native(), [2, 1, 2, 1]);
        drop(two);
        assert_eq!(native(), [1, 0, 1, 0]);
        drop(one);
        assert_eq!(native(), [0; 4]);
        assert_eq!(clients.channels()[1].transport, "socketio");
    }
}
