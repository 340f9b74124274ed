//! Long-polling sessions: how many there may be, and what may wait for each.
//!
//! A session over long polling holds no connection between two requests, so the limits of connections do not see it. It is
//! counted here instead, from its handshake until the engine has dropped the last of it: the guard travels in the
//! extensions of the request that the engine keeps with the session. Once it is a WebSocket, its connection counts for it.
//!
//! A WebSocket that does not read is cut when a write has waited for too long; here nothing waits in a write. So a client
//! that does not poll is cut after the time in which it would have to answer a ping, and when too much waits for all
//! sessions together, those that have not polled for a moment go first, the most expensive one first.

mod rest;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use socketioxide::extract::SocketRef;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::auth::UserSession;
use crate::listener::KillSwitch;
use rest::Delivery;
pub(super) use rest::{Answer, Asking, Found, Turn};

/// What may wait for one session before it is cut, in bytes: far more than a snapshot of the largest signals that people send.
const MAX_WAITING_BYTES: usize = 4 << 20;
/// What a queued packet costs beside its content, in bytes.
const PACKET_BYTES: usize = 192;
/// Namespaces that a client may ask for between two polls. Each is answered, whether there is such a namespace or not, and
/// the engine answers by itself; there are three.
const MAX_CONNECTS: usize = 16;
/// A session that has polled within this time is a client that works.
const GRACE: Duration = Duration::from_secs(1);
/// A session that waits for less than this gives no memory back worth mentioning.
const LEAST_EVICTED_BYTES: usize = 4 * 1024;

/// Bounds on the sessions of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollingLimits {
    /// Most sessions at a time.
    pub sessions: usize,
    /// Most sessions of one address (of IPv6, one /64) at a time.
    pub per_address: usize,
    /// What may wait for all sessions together, in bytes.
    pub waiting_bytes: usize,
    /// How long a client may leave its session alone.
    pub poll_timeout: Duration,
}

/// Which limit a session would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OverLimit {
    /// [`PollingLimits::sessions`].
    Sessions,
    /// [`PollingLimits::per_address`].
    Address,
}

/// All long-polling sessions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PollingSessions(Arc<Registry>);

#[derive(Debug)]
struct Registry {
    limits: PollingLimits,
    counts: Mutex<Counts>,
    open: Mutex<HashMap<String, Weak<PollingSession>>>,
    /// Bytes that wait for all sessions together, apart from broadcasts.
    waiting: AtomicUsize,
    /// Packets of broadcasts so far: each may wait for every session.
    broadcasts: AtomicU64,
}

#[derive(Debug, Default)]
struct Counts {
    sessions: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Counts {
    fn remove(&mut self, address: Option<IpAddr>) {
        self.sessions -= 1;
        let Some(address) = address else { return };
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

/// A session that began with long polling. Counts until it is dropped, or is a WebSocket.
#[derive(Debug)]
pub(super) struct PollingSession {
    registry: Arc<Registry>,
    address: Option<IpAddr>,
    /// Engine.IO's version, as the query has it.
    version: u8,
    id: OnceLock<String>,
    /// Bytes that wait for the next poll.
    waiting: AtomicUsize,
    state: Mutex<State>,
    /// Told whenever something of [`State::delivery`] has changed.
    delivery_changed: Notify,
}

#[derive(Debug)]
struct State {
    is_counted: bool,
    /// The user of the handshake's token, until a namespace takes it over.
    login: Option<UserSession>,
    /// The connection that the session was upgraded to.
    connection: Option<KillSwitch>,
    /// Polls that wait for an answer.
    polls: usize,
    /// When the last poll ended, or the session began.
    last_poll: Instant,
    /// Broadcasts up to the last poll.
    broadcasts: u64,
    /// Namespaces asked for since the last poll.
    connects: usize,
    /// It has been told to end.
    is_ending: bool,
    /// What is between the engine and the client.
    delivery: Delivery,
}

/// A session that has to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overdue {
    /// The session.
    pub(super) id: String,
    /// Engine.IO's version.
    pub(super) version: u8,
    /// Why, as a metric label: `idle`, `memory` or `upgrade`.
    pub(super) reason: &'static str,
}

/// A poll that waits for its answer.
#[derive(Debug)]
pub(super) struct Poll(Arc<PollingSession>);

impl PollingSessions {
    /// No session yet.
    pub fn new(limits: PollingLimits) -> Self {
        Self(Arc::new(Registry {
            limits,
            counts: Mutex::default(),
            open: Mutex::default(),
            waiting: AtomicUsize::new(0),
            broadcasts: AtomicU64::new(0),
        }))
    }

    /// Counts a session that is about to be opened for `address`, or for no address.
    ///
    /// # Errors
    /// When a limit is reached.
    pub(super) fn open(
        &self,
        address: Option<IpAddr>,
        version: u8,
        login: Option<UserSession>,
    ) -> Result<Arc<PollingSession>, OverLimit> {
        let limits = self.0.limits;
        let mut counts = self.0.counts.lock();
        if counts.sessions >= limits.sessions {
            return Err(OverLimit::Sessions);
        }
        if let Some(address) = address {
            let count = counts.by_address.entry(address).or_default();
            if *count >= limits.per_address {
                return Err(OverLimit::Address);
            }
            *count += 1;
        }
        counts.sessions += 1;
        drop(counts);
        Ok(Arc::new(PollingSession {
            registry: self.0.clone(),
            address,
            version,
            id: OnceLock::new(),
            waiting: AtomicUsize::new(0),
            state: Mutex::new(State {
                is_counted: true,
                login,
                connection: None,
                polls: 0,
                last_poll: Instant::now(),
                broadcasts: self.0.broadcasts.load(Ordering::Relaxed),
                connects: 0,
                is_ending: false,
                delivery: Delivery::default(),
            }),
            delivery_changed: Notify::new(),
        }))
    }

    /// The open session with this id, unless it began as a WebSocket.
    pub(super) fn find(&self, id: &str) -> Option<Arc<PollingSession>> {
        self.0.open.lock().get(id)?.upgrade()
    }

    /// How many sessions are counted.
    pub(super) fn count(&self) -> usize {
        self.0.counts.lock().sessions
    }

    /// Notes a packet that was sent to whole rooms.
    pub(super) fn note_broadcast(&self) {
        self.0.broadcasts.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes that wait for all sessions together, and the sessions that have to end now.
    pub(super) fn overdue(&self) -> (usize, Vec<Overdue>) {
        let sessions: Vec<_> = self.0.open.lock().values().filter_map(Weak::upgrade).collect();
        let (mut overdue, mut costs, mut total) = (Vec::new(), Vec::new(), 0);
        for session in &sessions {
            let Some(id) = session.id.get() else { continue };
            let ends = |reason| Overdue { id: id.clone(), version: session.version, reason };
            let mut state = session.state.lock();
            if state.is_ending {
                continue;
            }
            if let Some(connection) = &state.connection {
                if connection.is_orphaned() {
                    // Its WebSocket never came to be.
                    state.is_ending = true;
                    overdue.push(ends("upgrade"));
                }
                continue;
            }
            let idle = if state.polls > 0 { Duration::ZERO } else { state.last_poll.elapsed() };
            let cost = session.cost(&state);
            total += cost;
            if idle >= self.0.limits.poll_timeout {
                state.is_ending = true;
                overdue.push(ends("idle"));
            } else if idle >= GRACE && cost >= LEAST_EVICTED_BYTES {
                costs.push((cost, session, ends("memory")));
            }
        }
        if total > self.0.limits.waiting_bytes {
            let mut excess = total - self.0.limits.waiting_bytes / 2;
            costs.sort_unstable_by_key(|(cost, ..)| std::cmp::Reverse(*cost));
            for (cost, session, evicted) in costs {
                session.state.lock().is_ending = true;
                overdue.push(evicted);
                excess = excess.saturating_sub(cost);
                if excess == 0 {
                    break;
                }
            }
        }
        (total, overdue)
    }
}

impl PollingSession {
    /// The session of a client, if it began with long polling.
    pub(super) fn of(socket: &SocketRef) -> Option<&Arc<Self>> {
        socket.req_parts().extensions.get()
    }

    /// Engine.IO's version, as the query has it.
    pub(super) fn version(&self) -> u8 {
        self.version
    }

    /// The session's id, once it is open.
    pub(super) fn id(&self) -> &str {
        self.id.get().map_or("", String::as_str)
    }

    /// The session has been opened, and this is its id.
    pub(super) fn opened(self: &Arc<Self>, id: &str) {
        if self.id.set(id.to_owned()).is_ok() {
            self.registry.open.lock().insert(id.to_owned(), Arc::downgrade(self));
        }
    }

    /// The user of the handshake's token, for the first namespace that asks.
    pub(super) fn take_login(&self) -> Option<UserSession> {
        self.state.lock().login.take()
    }

    /// A poll has come in, and waits for its answer.
    pub(super) fn poll(self: Arc<Self>) -> Poll {
        self.state.lock().polls += 1;
        Poll(self)
    }

    /// Counts namespaces that the client asks for; false when it asks for too many without polling.
    pub(super) fn may_connect(&self, namespaces: usize) -> bool {
        let mut state = self.state.lock();
        if state.delivery.has_parked_poll() {
            // Nothing waits: the poll would have been answered with it.
            state.connects = 0;
        }
        state.connects = state.connects.saturating_add(namespaces);
        state.connects <= MAX_CONNECTS
    }

    /// Whether there is room for more to wait for this client: never more than its share, nor, for all together, than twice
    /// what makes idle sessions go.
    pub(super) fn has_room(&self) -> bool {
        let fits = self.waiting.load(Ordering::Relaxed) < MAX_WAITING_BYTES
            && self.registry.waiting.load(Ordering::Relaxed) < 2 * self.registry.limits.waiting_bytes;
        fits || self.is_upgraded()
    }

    /// Whether the client may ask for more: when too much waits for all together, only one that polls may.
    pub(super) fn may_ask(&self) -> bool {
        let is_tight = self.registry.waiting.load(Ordering::Relaxed) >= self.registry.limits.waiting_bytes;
        let polls = || {
            let state = self.state.lock();
            state.polls > 0 || state.connection.is_some()
        };
        self.has_room() && (!is_tight || polls())
    }

    /// Notes a packet of so many bytes that waits for the client.
    pub(super) fn note_sent(&self, bytes: usize) {
        if !self.is_upgraded() {
            self.note_waiting(bytes + PACKET_BYTES);
        }
    }

    fn note_waiting(&self, bytes: usize) {
        // In this order, so that no more is ever taken off the sum than is in it.
        self.registry.waiting.fetch_add(bytes, Ordering::SeqCst);
        self.waiting.fetch_add(bytes, Ordering::SeqCst);
    }

    /// The client has taken so many bytes, or all that waits.
    fn note_taken(&self, bytes: usize) {
        let take = |waiting: usize| Some(waiting.saturating_sub(bytes));
        let before = self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).unwrap_or_default();
        self.registry.waiting.fetch_sub(before.min(bytes), Ordering::SeqCst);
    }

    /// The session goes over to a WebSocket on this connection, which counts for it from now on. The engine ends a session
    /// whose upgrade fails.
    pub(super) fn upgrade(&self, connection: KillSwitch) {
        let mut state = self.state.lock();
        if state.connection.as_ref().is_some_and(|connection| !connection.is_orphaned()) {
            return;
        }
        state.connection = Some(connection);
        self.note_taken(usize::MAX);
        self.uncount(&mut state);
    }

    /// The connection that the session was upgraded to.
    pub(super) fn connection(&self) -> Option<KillSwitch> {
        self.state.lock().connection.clone()
    }

    /// Whether it is a WebSocket, or about to be one.
    pub(super) fn is_upgraded(&self) -> bool {
        self.state.lock().connection.is_some()
    }

    fn cost(&self, state: &State) -> usize {
        let broadcasts = self.registry.broadcasts.load(Ordering::Relaxed).saturating_sub(state.broadcasts) as usize;
        self.waiting.load(Ordering::Relaxed) + broadcasts.min(super::MAX_QUEUED_PACKETS) * PACKET_BYTES
    }

    fn uncount(&self, state: &mut State) {
        if std::mem::take(&mut state.is_counted) {
            self.registry.counts.lock().remove(self.address);
        }
    }
}

impl Drop for PollingSession {
    fn drop(&mut self) {
        self.note_taken(usize::MAX);
        if let Some(id) = self.id.get() {
            self.registry.open.lock().remove(id);
        }
        if self.state.get_mut().is_counted {
            self.registry.counts.lock().remove(self.address);
        }
    }
}

impl Poll {
    /// The engine answered the poll with so many bytes, of at most `most`. What is far below that was all there was.
    fn answered(&self, bytes: usize, most: usize) {
        let session = &self.0;
        session.note_taken(if bytes < most / 2 { usize::MAX } else { bytes });
        let mut state = session.state.lock();
        state.connects = 0;
        state.broadcasts = session.registry.broadcasts.load(Ordering::Relaxed);
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.polls -= 1;
        state.last_poll = Instant::now();
    }
}

#[cfg(test)]
mod tests;
