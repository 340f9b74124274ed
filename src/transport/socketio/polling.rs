//! Long-polling sessions: limits on their number, and on the data that waits for each.
//!
//! A session over long polling holds no connection between two requests, so the limits on connections do not cover it.
//! It is counted here instead, from its handshake until the engine has dropped it: the request's extensions, which the
//! engine keeps with the session, hold the guard. After an upgrade to a WebSocket, its connection is counted instead.
//!
//! A WebSocket that does not read is closed when a write has waited too long; with long polling no write waits. So a
//! client that does not poll is disconnected after the time in which it would have to answer a ping. When too much
//! waits for all sessions together, those that have not polled for a moment are ended, the most expensive first.

mod registry;
mod rest;

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use socketioxide::extract::SocketRef;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::Span;

use crate::auth::UserSession;
use crate::domain::Delay;
use crate::listener::KillSwitch;
use crate::telemetry::ConnectionSpan;
use crate::transport::lane::Lane;
use registry::Registry;
pub(super) use registry::{Overdue, SessionLimit};
pub use registry::{PollingLimits, PollingSessions};
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
    /// How late its clients are, once there is one.
    delay: OnceLock<Delay>,
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

/// A poll that waits for its answer.
#[derive(Debug)]
pub(super) struct Poll(Arc<PollingSession>);

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

    /// Returns how late its clients are.
    pub(super) fn delay(&self) -> &OnceLock<Delay> {
        &self.delay
    }

    /// Takes the user of the handshake's token, for the first namespace that asks.
    pub(super) fn take_login(&self) -> Option<UserSession> {
        self.state.lock().login.take()
    }

    /// Records the client, for the log lines about its session and its connection. The first namespace names it.
    pub(super) fn identify(&self, client: ConnectionSpan) {
        let mut state = self.state.lock();
        let client = *state.client.get_or_insert(client);
        if let Some(connection) = &state.connection {
            connection.identify(client);
        }
    }

    /// Returns the span of the client; a disabled one until it has joined a namespace.
    pub(super) fn span(&self) -> Span {
        self.state.lock().client.as_ref().map_or_else(Span::none, ConnectionSpan::span)
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
            && self.registry.waiting.load(Ordering::Relaxed) < 2 * self.registry.limits.get().waiting_bytes;
        fits || self.is_upgraded()
    }

    /// Whether the client may ask for more. When too much waits for all clients together, only a client that polls may.
    pub(super) fn may_ask(&self) -> bool {
        let is_tight = self.registry.waiting.load(Ordering::Relaxed) >= self.registry.limits.get().waiting_bytes;
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
        if let Some(client) = state.client {
            connection.identify(client);
        }
        state.connection = Some(connection);
        self.count_received(usize::MAX);
        self.uncount(&mut state);
    }

    /// Returns the connection that the session was upgraded to.
    pub(super) fn connection(&self) -> Option<KillSwitch> {
        self.state.lock().connection.clone()
    }

    /// Sets the lane of the connection that the session was upgraded to. From now on the engine rejects polls.
    pub(super) fn set_lane(&self, lane: Weak<Lane>) {
        let mut state = self.state.lock();
        state.lane = lane;
        state.delivery.open_gate();
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
