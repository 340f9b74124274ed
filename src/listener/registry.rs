//! The connections that are open: how many, whose they are, and the switch that ends each.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::kill::{KillSwitch, Reason};
use super::proxies::site;
use super::write_stats::SlowConnection;

/// A connection that has said nothing for so long gives way to another one when there is no more room.
const MIN_SILENCE: Duration = Duration::from_secs(1);

/// Why a connection was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// As many connections as allowed are open.
    Connections,
    /// As many connections as one address may have are open from this one.
    Address,
}

impl Refusal {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Address => "connections_per_address",
        }
    }
}

/// All open connections; never more than the limits they were made with.
#[derive(Debug)]
pub struct ConnectionRegistry {
    max: usize,
    max_per_address: usize,
    places: Mutex<Places>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    taken: HashMap<u64, Taken>,
    /// Connections of each address that has any.
    of: HashMap<IpAddr, usize>,
    /// Connections that have not sent a request yet; the oldest has the lowest number.
    silent: BTreeSet<u64>,
}

#[derive(Debug)]
struct Taken {
    switch: KillSwitch,
    /// Whom it counts for.
    by: Option<IpAddr>,
    since: Instant,
}

impl Places {
    fn remove(&mut self, id: u64) -> Option<Taken> {
        self.silent.remove(&id);
        let taken = self.taken.remove(&id)?;
        self.uncount(taken.by);
        Some(taken)
    }

    /// Takes the place of the connection that has been silent for longest, if that is long enough.
    fn evict_silent(&mut self) -> Option<KillSwitch> {
        let oldest = *self.silent.first()?;
        if self.taken.get(&oldest)?.since.elapsed() < MIN_SILENCE {
            return None;
        }
        self.remove(oldest).map(|taken| taken.switch)
    }

    fn has_room(&self, by: Option<IpAddr>, max: usize) -> bool {
        by.is_none_or(|by| self.of.get(&by).copied().unwrap_or(0) < max)
    }

    fn count(&mut self, by: Option<IpAddr>) {
        if let Some(by) = by {
            *self.of.entry(by).or_default() += 1;
        }
    }

    fn uncount(&mut self, by: Option<IpAddr>) {
        let Some(by) = by else { return };
        if let Some(count) = self.of.get_mut(&by) {
            *count -= 1;
            if *count == 0 {
                self.of.remove(&by);
            }
        }
    }
}

impl ConnectionRegistry {
    /// At most `max` connections, and `max_per_address` of each address.
    pub(super) fn new(max: usize, max_per_address: usize) -> Arc<Self> {
        Arc::new(Self { max, max_per_address, places: Mutex::default(), emptied: Notify::new() })
    }

    /// Lets a connection in, for as long as its [`ConnectionSlot`] is held. `by` is the address that it counts for. When there is no
    /// room, the connection that has been silent for longest makes some.
    pub(super) fn admit(self: &Arc<Self>, by: Option<IpAddr>, kill: KillSwitch) -> Result<ConnectionSlot, Refusal> {
        let mut places = self.places.lock();
        if !places.has_room(by, self.max_per_address) {
            return Err(Refusal::Address);
        }
        let mut evicted = None;
        if places.taken.len() >= self.max {
            evicted = Some(places.evict_silent().ok_or(Refusal::Connections)?);
        }
        let id = places.next;
        places.next += 1;
        places.taken.insert(id, Taken { switch: kill, by, since: Instant::now() });
        places.silent.insert(id);
        places.count(by);
        drop(places);
        if let Some(evicted) = evicted {
            evicted.kill(Reason::NoRequest);
        }
        Ok(ConnectionSlot { live: Arc::clone(self), id })
    }

    /// A request has come in on a connection: it gives way to no other any more.
    pub(super) fn has_asked(&self, id: u64) {
        self.places.lock().silent.remove(&id);
    }

    /// From now on the connection counts for this client of a proxy, unless he has as many as he may have: it counts for
    /// nobody then, and what is asked on it has to be refused.
    pub(super) fn belongs_to(&self, id: u64, client: IpAddr) -> bool {
        let client = Some(site(client));
        let places = &mut *self.places.lock();
        let Some(taken) = places.taken.get_mut(&id) else { return true };
        if taken.by == client {
            return true;
        }
        let before = taken.by.take();
        places.uncount(before);
        let has_room = places.has_room(client, self.max_per_address);
        if has_room {
            places.count(client);
            if let Some(taken) = places.taken.get_mut(&id) {
                taken.by = client;
            }
        }
        has_room
    }

    pub(super) fn count(&self) -> usize {
        self.places.lock().taken.len()
    }

    pub(super) fn kill_all(&self, reason: Reason) {
        for switch in self.switches() {
            switch.kill(reason);
        }
    }

    /// What is done with them is done outside the lock: a task that ends gives its place back.
    fn switches(&self) -> Vec<KillSwitch> {
        self.places.lock().taken.values().map(|taken| taken.switch.clone()).collect()
    }

    /// The connections whose peers are slowest, at most `most`: those that keep us waiting now first, the longest wait first.
    pub fn slowest(&self, most: usize) -> Vec<SlowConnection> {
        let mut slowest: Vec<_> = self.switches().iter().filter_map(|switch| switch.flow().slow()).collect();
        let now = |slow: &SlowConnection| slow.blocked.unwrap_or_default().max(slow.behind.unwrap_or_default().by);
        slowest.sort_by_key(|slow| Reverse((now(slow), slow.longest, slow.connected)));
        slowest.truncate(most);
        slowest
    }

    /// How many connections have a write that waits now, and how long the longest of these has waited.
    pub fn blocked(&self) -> (usize, Duration) {
        let waits = self.switches().into_iter().filter_map(|switch| switch.blocked());
        waits.fold((0, Duration::ZERO), |(count, longest), wait| (count + 1, longest.max(wait)))
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
pub(super) struct ConnectionSlot {
    live: Arc<ConnectionRegistry>,
    id: u64,
}

impl ConnectionSlot {
    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let places = &mut *self.live.places.lock();
        places.remove(self.id);
        if places.taken.is_empty() {
            self.live.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn places_are_limited_killed_together_and_given_back() {
        let live = ConnectionRegistry::new(2, 2);
        let switch = KillSwitch::new();
        let first = live.admit(None, switch.clone()).unwrap();
        let second = live.admit(None, KillSwitch::new()).unwrap();
        assert_eq!(live.admit(None, KillSwitch::new()).unwrap_err(), Refusal::Connections);
        live.kill_all(Reason::Draining);
        assert_eq!(switch.killed(), Some(Reason::Draining));
        drop(first);
        let third = live.admit(None, KillSwitch::new()).unwrap();
        assert_eq!(live.count(), 2);
        drop((second, third));
        live.emptied().await;
    }

    #[tokio::test(start_paused = true)]
    async fn when_it_is_full_the_oldest_silent_connection_gives_way() {
        let live = ConnectionRegistry::new(2, 10);
        let switches = [KillSwitch::new(), KillSwitch::new()];
        let [asks, silent] = switches.clone().map(|switch| live.admit(Some(addr("1.1.1.1")), switch).unwrap());
        live.has_asked(asks.id());
        assert_eq!(live.admit(None, KillSwitch::new()).unwrap_err(), Refusal::Connections, "it may ask any moment");
        tokio::time::advance(MIN_SILENCE).await;
        let newcomer = live.admit(None, KillSwitch::new()).unwrap();
        assert_eq!(switches.map(|switch| switch.killed()), [None, Some(Reason::NoRequest)]);
        assert_eq!(live.count(), 2);
        drop(silent);
        assert_eq!(live.count(), 2, "it had no place any more");
        drop((asks, newcomer));
        let places = live.places.lock();
        assert!(places.of.is_empty() && places.silent.is_empty());
    }

    #[tokio::test]
    async fn an_address_has_its_own_limit_and_nobody_elses() {
        let live = ConnectionRegistry::new(10, 2);
        let enter = |by| live.admit(by, KillSwitch::new());
        let mut places = vec![enter(Some(addr("1.1.1.1"))).unwrap(), enter(Some(addr("1.1.1.1"))).unwrap()];
        assert_eq!(enter(Some(addr("1.1.1.1"))).unwrap_err(), Refusal::Address);
        places.extend([
            enter(Some(addr("2.2.2.2"))).unwrap(),
            enter(None).unwrap(),
            enter(None).unwrap(),
            enter(None).unwrap(),
        ]);
        places.remove(0);
        places.push(enter(Some(addr("1.1.1.1"))).unwrap());
        drop(places);
        assert!(live.places.lock().of.is_empty(), "nobody is remembered");
    }

    #[tokio::test]
    async fn a_proxys_connection_counts_for_the_client_that_speaks_over_it() {
        let live = ConnectionRegistry::new(10, 1);
        let [one, other] = [(); 2].map(|()| live.admit(None, KillSwitch::new()).unwrap());
        let belongs = |place: &ConnectionSlot, client: &str| live.belongs_to(place.id(), addr(client));
        assert!(belongs(&one, "2001:db8::1") && belongs(&one, "2001:db8::2"), "the same customer");
        assert!(!belongs(&other, "2001:db8::3") && !belongs(&other, "2001:db8::3"), "however often it asks");
        assert!(belongs(&other, "1.1.1.1") && !belongs(&one, "1.1.1.1") && belongs(&one, "2001:db8::3"));
        drop((one, other));
        assert!(live.places.lock().of.is_empty());
    }
}
