//! How many clients of each transport and of each user are connected, by what they subscribed to.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Topics;
use crate::domain::Presence;

/// The transports whose clients are counted.
const TRANSPORTS: [&str; 2] = ["native", "socketio"];

/// How many clients of a transport are subscribed to what. A client may have several channels, or only some symbols of
/// one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// The transport.
    pub transport: &'static str,
    /// Its clients.
    pub counts: Presence,
}

/// The connected clients.
#[derive(Debug, Clone)]
pub(super) struct Clients(Arc<Mutex<Connected>>);

#[derive(Debug)]
struct Connected {
    transports: [Channels; TRANSPORTS.len()],
    /// Users with at least one client.
    users: BTreeMap<Arc<str>, Presence>,
}

/// Whether a client gets prices, signals, messages, the clock, and the presence.
type Gets = [bool; 5];

/// Counts a client until it is dropped.
#[derive(Debug)]
pub struct Membership {
    clients: Clients,
    transport: usize,
    member: Mutex<Member>,
}

#[derive(Debug, Default)]
struct Member {
    gets: Gets,
    user: Option<Arc<str>>,
}

impl Default for Clients {
    fn default() -> Self {
        let none = |transport| Channels { transport, counts: Presence::default() };
        Self(Arc::new(Mutex::new(Connected { transports: TRANSPORTS.map(none), users: BTreeMap::new() })))
    }
}

impl Clients {
    /// Counts a client that is not subscribed to anything yet. `user` is whom its token names.
    pub(super) fn join(&self, transport: &str, user: Option<Arc<str>>) -> Membership {
        let transport = TRANSPORTS.iter().position(|name| *name == transport).unwrap_or_default();
        self.0.lock().transports[transport].counts.clients += 1;
        let membership = Membership { clients: self.clone(), transport, member: Mutex::default() };
        if let Some(user) = user {
            membership.log_in(user);
        }
        membership
    }

    /// Returns the counts of each transport.
    pub(super) fn channels(&self) -> [Channels; TRANSPORTS.len()] {
        self.0.lock().transports
    }

    /// Returns the first `most` users by name with their counts, and how many there are.
    pub(super) fn users(&self, most: usize) -> (Vec<(Arc<str>, Presence)>, usize) {
        let users = &self.0.lock().users;
        (users.iter().take(most).map(|(user, counts)| (user.clone(), *counts)).collect(), users.len())
    }
}

impl Connected {
    /// Counts a client of a user as `to` that was counted as `from`.
    fn recount_user(&mut self, user: &Arc<str>, from: Option<Gets>, to: Option<Gets>) {
        let counts = self.users.entry(user.clone()).or_default();
        recount(counts, from, to);
        if counts.clients == 0 {
            self.users.remove(user);
        }
    }
}

/// Counts a client as `to` that was counted as `from`; `None` is a client that is not connected.
fn recount(counts: &mut Presence, from: Option<Gets>, to: Option<Gets>) {
    let Presence { clients, prices, signals, messages, clock, presence } = counts;
    *clients = *clients + usize::from(to.is_some()) - usize::from(from.is_some());
    let channels = [prices, signals, messages, clock, presence].into_iter();
    for (count, (from, to)) in channels.zip(from.unwrap_or_default().into_iter().zip(to.unwrap_or_default())) {
        *count = *count + usize::from(to) - usize::from(from);
    }
}

impl Membership {
    /// Notes what the client is subscribed to.
    pub fn set(&self, topics: &Topics) {
        let messages = topics.published.each().next().is_some();
        self.count([!topics.prices.is_none(), !topics.signals.is_none(), messages, topics.clock, topics.presence]);
    }

    /// Notes whom the client's token names.
    pub fn log_in(&self, user: Arc<str>) {
        let mut member = self.member.lock();
        let (gets, mut connected) = (Some(member.gets), self.clients.0.lock());
        connected.recount_user(&user, None, gets);
        if let Some(before) = member.user.replace(user) {
            connected.recount_user(&before, gets, None);
        }
    }

    fn count(&self, gets: Gets) {
        let mut member = self.member.lock();
        let before = std::mem::replace(&mut member.gets, gets);
        if before == gets {
            return;
        }
        let mut connected = self.clients.0.lock();
        recount(&mut connected.transports[self.transport].counts, Some(before), Some(gets));
        if let Some(user) = &member.user {
            connected.recount_user(user, Some(before), Some(gets));
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let Member { gets, user } = self.member.get_mut();
        let mut connected = self.clients.0.lock();
        recount(&mut connected.transports[self.transport].counts, Some(*gets), None);
        if let Some(user) = user {
            connected.recount_user(user, Some(*gets), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Selection;

    fn counts(Presence { clients, prices, signals, messages, clock, presence }: Presence) -> [usize; 6] {
        [clients, prices, signals, messages, clock, presence]
    }

    #[test]
    fn clients_are_counted_by_what_they_get() {
        let clients = Clients::default();
        let [one, two] = ["native", "native"].map(|transport| clients.join(transport, None));
        let native = || counts(clients.channels()[0].counts);
        assert_eq!(native(), [2, 0, 0, 0, 0, 0]);
        one.set(&Topics::market());
        two.set(&Topics { prices: Selection::All, ..Topics::public() });
        assert_eq!(native(), [2, 2, 2, 1, 0, 0]);
        one.set(&Topics { signals: Selection::All, clock: true, presence: true, ..Topics::default() });
        assert_eq!(native(), [2, 1, 2, 1, 1, 1]);
        drop(two);
        assert_eq!(native(), [1, 0, 1, 0, 1, 1]);
        drop(one);
        assert_eq!(native(), [0; 6]);
        assert_eq!(clients.channels()[1].transport, "socketio");
    }

    #[test]
    fn a_user_is_listed_while_a_client_is_there() {
        let clients = Clients::default();
        let users = || {
            let (users, total) = clients.users(1);
            (users.into_iter().map(|(user, presence)| (user.to_string(), counts(presence))).next(), total)
        };
        let one = clients.join("native", Some("ana".into()));
        let two = clients.join("socketio", None);
        one.set(&Topics::market());
        assert_eq!(users(), (Some(("ana".to_owned(), [1, 1, 1, 0, 0, 0])), 1));
        two.set(&Topics { clock: true, ..Topics::default() });
        two.log_in("ana".into());
        assert_eq!(users(), (Some(("ana".to_owned(), [2, 1, 1, 0, 1, 0])), 1));
        two.log_in("ben".into());
        assert_eq!(users(), (Some(("ana".to_owned(), [1, 1, 1, 0, 0, 0])), 2));
        drop(one);
        assert_eq!(users(), (Some(("ben".to_owned(), [1, 0, 0, 0, 1, 0])), 1));
        drop(two);
        assert_eq!(users(), (None, 0));
    }
}
