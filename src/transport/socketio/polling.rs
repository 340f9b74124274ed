//! Long-polling sessions: limits on their number, and on the data that waits for each.
//!
//! A session over long polling holds no connection between two requests, so the limits on connections do not cover it.
//! It is counted here instead, from its handshake until the engine has dropped it: the request's extensions, which the
//! engine keeps with the session, hold the guard. After an upgrade to a WebSocket, its connection is counted instead.
//!
//! A WebSocket that does not read is closed when a write has waited too long; with long polling no write waits. So a
//! client that does not poll is disconnected after the time in which it would have to answer a ping. When too much
//! waits for all sessions together, those that have not polled for a moment are ended, the most expensive first.

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
use tracing::Span;

use crate::auth::UserSession;
use crate::listener::KillSwitch;
use crate::telemetry::ConnectionSpan;
use crate::transport::lane::Lane;
use rest::Delivery;
pub(super) use rest::{AnswerSource, EnginePoll, Leftover, PollAnswer};

/// Data that may wait for one session before its client is disconnected, in bytes: far more than a snapshot of the
/// largest signals in use.
const MAX_WAITING_BYTES: usize = 4 << 20;
/// Memory that a queued packet takes beside its content, in bytes.
const PACKET_BYTES: usize = 192;
/// Namespaces that a client may ask for between two polls. The engine answers each of these requests by itself, whether
/// the namespace exists or not. There are three namespaces.
const MAX_CONNECTS: usize = 16;
/// A session that has polled within this time is not ended for its memory.
const RECENT_POLL: Duration = Duration::from_secs(1);
/// Ending a session with less waiting data than this would free no memory worth mentioning.
const MIN_EVICTED_BYTES: usize = 4 * 1024;

/// Limits on the sessions of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollingLimits {
    /// Largest number of sessions.
    pub sessions: usize,
    /// Largest number of sessions per address (for IPv6, per /64).
    pub per_address: usize,
    /// Data that may wait for all sessions together, in bytes.
    pub waiting_bytes: usize,
    /// How long a client may go without polling.
    pub poll_timeout: Duration,
}

/// The limit that a new session would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionLimit {
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
    counts: Mutex<PollingCounts>,
    open: Mutex<HashMap<String, Weak<PollingSession>>>,
    /// Data that waits for all sessions together, in bytes, without broadcasts.
    waiting: AtomicUsize,
    /// Number of broadcast packets so far. Each may wait for every session.
    broadcasts: AtomicU64,
}

#[derive(Debug, Default)]
struct PollingCounts {
    sessions: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl PollingCounts {
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

/// A session that began with long polling. It is counted until it is dropped, or becomes a WebSocket.
#[derive(Debug)]
pub(super) struct PollingSession {
    registry: Arc<Registry>,
    address: Option<IpAddr>,
    /// Version of Engine.IO, by the query.
    version: u8,
    id: OnceLock<String>,
    /// Data that waits for the next poll, in bytes.
    waiting: AtomicUsize,
    state: Mutex<PollingState>,
    /// Notified whenever [`PollingState::delivery`] changes.
    delivery_changed: Notify,
}

#[derive(Debug)]
struct PollingState {
    is_counted: bool,
    /// User of the handshake's token, until a namespace takes it over.
    login: Option<UserSession>,
    /// The client, once it has joined a namespace.
    client: Option<ConnectionSpan>,
    /// The connection that the session was upgraded to.
    connection: Option<KillSwitch>,
    /// The lane of that connection, once the client has completed the upgrade.
    lane: Weak<Lane>,
    /// Number of polls that wait for an answer.
    polls: usize,
    /// When the last poll ended, or the session began.
    last_poll: Instant,
    /// Number of broadcasts at the last poll.
    broadcasts: u64,
    /// Number of namespaces asked for since the last poll.
    connects: usize,
    /// Whether the session has already been told to end.
    is_ending: bool,
    /// What is on its way from the engine to the client.
    delivery: Delivery,
}

/// A session that has to end.
#[derive(Debug)]
pub(super) struct Overdue {
    pub(super) session: Arc<PollingSession>,
    /// Reason as a metric label: `idle`, `memory` or `upgrade`.
    pub(super) reason: &'static str,
}

/// A poll that waits for its answer.
#[derive(Debug)]
pub(super) struct Poll(Arc<PollingSession>);

impl PollingSessions {
    /// Creates an empty registry.
    pub fn new(limits: PollingLimits) -> Self {
        Self(Arc::new(Registry {
            limits,
            counts: Mutex::default(),
            open: Mutex::default(),
            waiting: AtomicUsize::new(0),
            broadcasts: AtomicU64::new(0),
        }))
    }

    /// Counts a session that is about to be opened, for `address` if it is known.
    ///
    /// # Errors
    /// Fails when a limit is reached.
    pub(super) fn open(
        &self,
        address: Option<IpAddr>,
        version: u8,
        login: Option<UserSession>,
    ) -> Result<Arc<PollingSession>, SessionLimit> {
        let limits = self.0.limits;
        let mut counts = self.0.counts.lock();
        if counts.sessions >= limits.sessions {
            return Err(SessionLimit::Sessions);
        }
        if let Some(address) = address {
            let count = counts.by_address.entry(address).or_default();
            if *count >= limits.per_address {
                return Err(SessionLimit::Address);
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
            state: Mutex::new(PollingState {
                is_counted: true,
                login,
                client: None,
                connection: None,
                lane: Weak::new(),
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

    /// Returns the open session with this id, unless it began as a WebSocket.
    pub(super) fn find(&self, id: &str) -> Option<Arc<PollingSession>> {
        self.0.open.lock().get(id)?.upgrade()
    }

    /// Returns the number of counted sessions.
    pub(super) fn count(&self) -> usize {
        self.0.counts.lock().sessions
    }

    /// Counts a packet that was sent to whole rooms.
    pub(super) fn count_broadcast(&self) {
        self.0.broadcasts.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the bytes that wait for all sessions together, and the sessions that have to end now.
    pub(super) fn overdue(&self) -> (usize, Vec<Overdue>) {
        let sessions: Vec<_> = self.0.open.lock().values().filter_map(Weak::upgrade).collect();
        let (mut overdue, mut costs, mut total) = (Vec::new(), Vec::new(), 0);
        for session in &sessions {
            let ends = |reason| Overdue { session: session.clone(), reason };
            let mut state = session.state.lock();
            if state.is_ending {
                continue;
            }
            if let Some(connection) = &state.connection {
                if connection.is_orphaned() {
                    // The connection of its upgrade was never used.
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
            } else if idle >= RECENT_POLL && cost >= MIN_EVICTED_BYTES {
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
    /// Returns the session of a client that began with long polling.
    pub(super) fn of(socket: &SocketRef) -> Option<&Arc<Self>> {
        socket.req_parts().extensions.get()
    }

    /// Returns the version of Engine.IO, by the query.
    pub(super) fn version(&self) -> u8 {
        self.version
    }

    /// Returns the session's id; empty until it is open.
    pub(super) fn id(&self) -> &str {
        self.id.get().map_or("", String::as_str)
    }

    /// Registers the session under its id, once the engine has opened it.
    pub(super) fn register(self: &Arc<Self>, id: &str) {
        if self.id.set(id.to_owned()).is_ok() {
            self.registry.open.lock().insert(id.to_owned(), Arc::downgrade(self));
        }
    }

    /// Takes the user of the handshake's token, for the first namespace that asks.
    pub(super) fn take_login(&self) -> Option<UserSession> {
        self.state.lock().login.take()
    }

    /// Records the client, for the log lines about its session and its connection. The first namespace names it.
    pub(super) fn identify(&self, client: &ConnectionSpan) {
        let mut state = self.state.lock();
        let client = state.client.get_or_insert_with(|| client.clone()).clone();
        if let Some(connection) = &state.connection {
            connection.identify(client);
        }
    }

    /// Returns the span of the client; a disabled one until it has joined a namespace.
    pub(super) fn span(&self) -> Span {
        self.state.lock().client.as_ref().map_or_else(Span::none, |client| client.span().clone())
    }

    /// Registers a poll that waits for its answer.
    pub(super) fn poll(self: Arc<Self>) -> Poll {
        self.state.lock().polls += 1;
        Poll(self)
    }

    /// Counts namespaces that the client asks for. Returns false when they are too many without a poll.
    pub(super) fn may_connect(&self, namespaces: usize) -> bool {
        let mut state = self.state.lock();
        if state.delivery.has_parked_poll() {
            // Nothing waits for the client, or this poll would have been answered.
            state.connects = 0;
        }
        state.connects = state.connects.saturating_add(namespaces);
        state.connects <= MAX_CONNECTS
    }

    /// Whether more data may wait for this client: its own limit and twice the common limit are not reached.
    pub(super) fn has_room(&self) -> bool {
        let fits = self.waiting.load(Ordering::Relaxed) < MAX_WAITING_BYTES
            && self.registry.waiting.load(Ordering::Relaxed) < 2 * self.registry.limits.waiting_bytes;
        fits || self.is_upgraded()
    }

    /// Whether the client may ask for more. When too much waits for all clients together, only a client that polls may.
    pub(super) fn may_ask(&self) -> bool {
        let is_tight = self.registry.waiting.load(Ordering::Relaxed) >= self.registry.limits.waiting_bytes;
        let polls = || {
            let state = self.state.lock();
            state.polls > 0 || state.connection.is_some()
        };
        self.has_room() && (!is_tight || polls())
    }

    /// Counts a packet of this size that waits for the client.
    pub(super) fn count_sent(&self, bytes: usize) {
        if !self.is_upgraded() {
            self.count_waiting(bytes + PACKET_BYTES);
        }
    }

    fn count_waiting(&self, bytes: usize) {
        // The sum is increased first, so that it never falls below what is taken off it.
        self.registry.waiting.fetch_add(bytes, Ordering::SeqCst);
        self.waiting.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Counts down what the client has received; `usize::MAX` is everything that waits.
    fn count_received(&self, bytes: usize) {
        let take = |waiting: usize| Some(waiting.saturating_sub(bytes));
        let before = self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).unwrap_or_default();
        self.registry.waiting.fetch_sub(before.min(bytes), Ordering::SeqCst);
    }

    /// Marks the session as upgraded to a WebSocket on this connection, which is counted from now on instead. The
    /// engine ends a session whose upgrade fails.
    pub(super) fn upgrade(&self, connection: KillSwitch) {
        let mut state = self.state.lock();
        if state.connection.as_ref().is_some_and(|connection| !connection.is_orphaned()) {
            return;
        }
        if let Some(client) = &state.client {
            connection.identify(client.clone());
        }
        state.connection = Some(connection);
        self.count_received(usize::MAX);
        self.uncount(&mut state);
    }

    /// Returns the connection that the session was upgraded to.
    pub(super) fn connection(&self) -> Option<KillSwitch> {
        self.state.lock().connection.clone()
    }

    /// Sets the lane of the connection that the session was upgraded to.
    pub(super) fn set_lane(&self, lane: Weak<Lane>) {
        self.state.lock().lane = lane;
    }

    /// Returns the lane, if the client has completed the upgrade and is connected.
    pub(super) fn lane(&self) -> Option<Arc<Lane>> {
        self.state.lock().lane.upgrade()
    }

    /// Whether the session is a WebSocket, or about to become one.
    pub(super) fn is_upgraded(&self) -> bool {
        self.state.lock().connection.is_some()
    }

    fn cost(&self, state: &PollingState) -> usize {
        let broadcasts = self.registry.broadcasts.load(Ordering::Relaxed).saturating_sub(state.broadcasts) as usize;
        self.waiting.load(Ordering::Relaxed) + broadcasts.min(super::MAX_QUEUED_PACKETS) * PACKET_BYTES
    }

    fn uncount(&self, state: &mut PollingState) {
        if std::mem::take(&mut state.is_counted) {
            self.registry.counts.lock().remove(self.address);
        }
    }
}

impl Drop for PollingSession {
    fn drop(&mut self) {
        self.count_received(usize::MAX);
        if let Some(id) = self.id.get() {
            self.registry.open.lock().remove(id);
        }
        if self.state.get_mut().is_counted {
            self.registry.counts.lock().remove(self.address);
        }
    }
}

impl Poll {
    /// Notes that the engine has answered the poll with this many bytes, of at most `max_bytes`. An answer far below
    /// the limit has emptied the queue.
    fn answered(&self, bytes: usize, max_bytes: usize) {
        let session = &self.0;
        session.count_received(if bytes < max_bytes / 2 { usize::MAX } else { bytes });
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
