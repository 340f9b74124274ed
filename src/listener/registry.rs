//! The registry of open connections: their number, their addresses, and the kill switch of each.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::kill::{KillSwitch, Reason};
use super::proxies::network;
use super::write_stats::SlowConnection;
use crate::telemetry::Behind;

/// At the limit, a connection that has been silent for this long is evicted for a new one.
const MIN_SILENCE: Duration = Duration::from_secs(1);
/// Connections for which the registry has room in any case.
const KEPT_ROOM: usize = 256;

/// Why a connection was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotError {
    /// The limit of open connections is reached.
    Connections,
    /// The limit of open connections from this address is reached.
    Address,
}

impl SlotError {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Address => "connections_per_address",
        }
    }
}

/// All open connections, never more than the limits of the listener.
#[derive(Debug)]
pub struct ConnectionRegistry {
    max: AtomicUsize,
    max_per_address: AtomicUsize,
    slots: Mutex<Slots>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Slots {
    next: u64,
    open: HashMap<u64, OpenConnection>,
    /// The number of open connections of each address.
    per_address: HashMap<IpAddr, usize>,
    /// Connections that have not sent a request yet; the oldest has the lowest number.
    silent: BTreeSet<u64>,
}

#[derive(Debug)]
struct OpenConnection {
    switch: KillSwitch,
    /// The address that it counts for; `None` when it counts for none.
    address: Option<IpAddr>,
    since: Instant,
}

impl Slots {
    fn remove(&mut self, id: u64) -> Option<OpenConnection> {
        self.silent.remove(&id);
        let open = self.open.remove(&id)?;
        self.uncount(open.address);
        // After a storm the table would keep its room.
        if self.open.capacity() > 4 * self.open.len().max(KEPT_ROOM) {
            self.open.shrink_to(2 * self.open.len().max(KEPT_ROOM));
        }
        Some(open)
    }

    /// Removes the connection that has been silent longest, if that is at least `MIN_SILENCE`.
    fn evict_silent(&mut self) -> Option<KillSwitch> {
        let oldest = *self.silent.first()?;
        if self.open.get(&oldest)?.since.elapsed() < MIN_SILENCE {
            return None;
        }
        self.remove(oldest).map(|open| open.switch)
    }

    fn has_room(&self, address: Option<IpAddr>, max: usize) -> bool {
        address.is_none_or(|address| self.per_address.get(&address).copied().unwrap_or(0) < max)
    }

    fn count(&mut self, address: Option<IpAddr>) {
        if let Some(address) = address {
            *self.per_address.entry(address).or_default() += 1;
        }
    }

    fn uncount(&mut self, address: Option<IpAddr>) {
        let Some(address) = address else { return };
        if let Some(count) = self.per_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&address);
            }
        }
    }
}

impl ConnectionRegistry {
    /// Returns a registry for at most `max` connections, and `max_per_address` of each address.
    pub(super) fn new(max: usize, max_per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            max: max.into(),
            max_per_address: max_per_address.into(),
            slots: Mutex::default(),
            emptied: Notify::new(),
        })
    }

    /// Replaces the limits. Open connections stay, also above them.
    pub fn set_limits(&self, max: usize, max_per_address: usize) {
        self.max.store(max, Ordering::Relaxed);
        self.max_per_address.store(max_per_address, Ordering::Relaxed);
    }

    /// Admits a connection for as long as its [`ConnectionSlot`] is held. `address` is the address that it counts for. At the
    /// limit, the connection that has been silent longest is evicted.
    pub(super) fn admit(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        kill: KillSwitch,
    ) -> Result<ConnectionSlot, SlotError> {
        let mut slots = self.slots.lock();
        if !slots.has_room(address, self.max_per_address.load(Ordering::Relaxed)) {
            return Err(SlotError::Address);
        }
        let mut evicted = None;
        if slots.open.len() >= self.max.load(Ordering::Relaxed) {
            evicted = Some(slots.evict_silent().ok_or(SlotError::Connections)?);
        }
        let id = slots.next;
        slots.next += 1;
        slots.open.insert(id, OpenConnection { switch: kill, address, since: Instant::now() });
        slots.silent.insert(id);
        slots.count(address);
        drop(slots);
        if let Some(evicted) = evicted {
            evicted.kill(Reason::NoRequest);
        }
        Ok(ConnectionSlot { registry: Arc::clone(self), id })
    }

    /// Records that a connection has sent a request: it can no longer be evicted.
    pub(super) fn mark_active(&self, id: u64) {
        self.slots.lock().silent.remove(&id);
    }

    /// Counts a proxy's connection for `client` from now on, and returns whether the client is within its limit. Above the
    /// limit, the connection counts for no address, and its requests have to be refused.
    pub(super) fn assign_client(&self, id: u64, client: IpAddr) -> bool {
        let client = Some(network(client));
        let slots = &mut *self.slots.lock();
        let Some(open) = slots.open.get_mut(&id) else { return true };
        if open.address == client {
            return true;
        }
        let before = open.address.take();
        slots.uncount(before);
        let has_room = slots.has_room(client, self.max_per_address.load(Ordering::Relaxed));
        if has_room {
            slots.count(client);
            if let Some(open) = slots.open.get_mut(&id) {
                open.address = client;
            }
        }
        has_room
    }

    pub(super) fn count(&self) -> usize {
        self.slots.lock().open.len()
    }

    pub(super) fn kill_all(&self, reason: Reason) {
        for switch in self.switches() {
            switch.kill(reason);
        }
    }

    /// Returns copies, to be used outside the lock: a task that ends takes the lock to release its slot.
    fn switches(&self) -> Vec<KillSwitch> {
        self.slots.lock().open.values().map(|open| open.switch.clone()).collect()
    }

    /// Returns the `most` connections with the slowest peers: first by the current wait, then by the longest one.
    pub fn slowest(&self, most: usize) -> Vec<SlowConnection> {
        let mut slowest: Vec<_> = self.switches().iter().filter_map(|switch| switch.write_stats().slow()).collect();
        let now = |slow: &SlowConnection| slow.blocked.unwrap_or_default().max(slow.behind.unwrap_or_default().by);
        slowest.sort_by_key(|slow| Reverse((now(slow), slow.longest, slow.connected)));
        slowest.truncate(most);
        slowest
    }

    /// Returns what waits in the queues of all connections together, and the longest wait.
    pub fn waiting(&self) -> Behind {
        let behind = self.switches().into_iter().filter_map(|switch| switch.write_stats().behind());
        behind.fold(Behind::default(), |all, one| Behind {
            ordered: all.ordered + one.ordered,
            states: all.states + one.states,
            by: all.by.max(one.by),
            conflated: all.conflated + one.conflated,
        })
    }

    /// Returns how many connections have a waiting write, and the longest of these waits.
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

/// A connection's slot in the registry; dropping it releases the slot.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    registry: Arc<ConnectionRegistry>,
    id: u64,
}

impl ConnectionSlot {
    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let slots = &mut *self.registry.slots.lock();
        slots.remove(self.id);
        if slots.open.is_empty() {
            self.registry.emptied.notify_waiters();
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
    async fn slots_are_limited_and_released() {
        let registry = ConnectionRegistry::new(2, 2);
        let switch = KillSwitch::new();
        let first = registry.admit(None, switch.clone()).unwrap();
        let second = registry.admit(None, KillSwitch::new()).unwrap();
        assert_eq!(registry.admit(None, KillSwitch::new()).unwrap_err(), SlotError::Connections);
        registry.kill_all(Reason::Draining);
        assert_eq!(switch.killed(), Some(Reason::Draining));
        drop(first);
        let third = registry.admit(None, KillSwitch::new()).unwrap();
        assert_eq!(registry.count(), 2);
        drop((second, third));
        registry.emptied().await;
    }

    #[tokio::test]
    async fn lower_limits_end_no_connection() {
        let registry = ConnectionRegistry::new(3, 3);
        let enter = || registry.admit(Some(addr("1.1.1.1")), KillSwitch::new());
        let slots = [enter().unwrap(), enter().unwrap()];
        registry.set_limits(2, 9);
        assert_eq!((enter().unwrap_err(), registry.count()), (SlotError::Connections, 2));
        registry.set_limits(9, 1);
        assert_eq!((enter().unwrap_err(), registry.count()), (SlotError::Address, 2));
        registry.set_limits(3, 3);
        assert!(enter().is_ok());
        drop(slots);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_silent_connection_is_evicted_at_the_limit() {
        let registry = ConnectionRegistry::new(2, 10);
        let switches = [KillSwitch::new(), KillSwitch::new()];
        let [asks, silent] = switches.clone().map(|switch| registry.admit(Some(addr("1.1.1.1")), switch).unwrap());
        registry.mark_active(asks.id());
        assert_eq!(
            registry.admit(None, KillSwitch::new()).unwrap_err(),
            SlotError::Connections,
            "it may ask any moment"
        );
        tokio::time::advance(MIN_SILENCE).await;
        let newcomer = registry.admit(None, KillSwitch::new()).unwrap();
        assert_eq!(switches.map(|switch| switch.killed()), [None, Some(Reason::NoRequest)]);
        assert_eq!(registry.count(), 2);
        drop(silent);
        assert_eq!(registry.count(), 2, "it had no place any more");
        drop((asks, newcomer));
        let slots = registry.slots.lock();
        assert!(slots.per_address.is_empty() && slots.silent.is_empty());
    }

    #[tokio::test]
    async fn each_address_has_its_own_limit() {
        let registry = ConnectionRegistry::new(10, 2);
        let enter = |address| registry.admit(address, KillSwitch::new());
        let mut slots = vec![enter(Some(addr("1.1.1.1"))).unwrap(), enter(Some(addr("1.1.1.1"))).unwrap()];
        assert_eq!(enter(Some(addr("1.1.1.1"))).unwrap_err(), SlotError::Address);
        slots.extend([
            enter(Some(addr("2.2.2.2"))).unwrap(),
            enter(None).unwrap(),
            enter(None).unwrap(),
            enter(None).unwrap(),
        ]);
        slots.remove(0);
        slots.push(enter(Some(addr("1.1.1.1"))).unwrap());
        drop(slots);
        assert!(registry.slots.lock().per_address.is_empty(), "no address is remembered");
    }

    #[tokio::test]
    async fn a_proxied_connection_counts_for_its_current_client() {
        let registry = ConnectionRegistry::new(10, 1);
        let [one, other] = [(); 2].map(|()| registry.admit(None, KillSwitch::new()).unwrap());
        let assign = |slot: &ConnectionSlot, client: &str| registry.assign_client(slot.id(), addr(client));
        assert!(assign(&one, "2001:db8::1") && assign(&one, "2001:db8::2"), "the same customer");
        assert!(!assign(&other, "2001:db8::3") && !assign(&other, "2001:db8::3"), "however often it asks");
        assert!(assign(&other, "1.1.1.1") && !assign(&one, "1.1.1.1") && assign(&one, "2001:db8::3"));
        drop((one, other));
        assert!(registry.slots.lock().per_address.is_empty());
    }
}
