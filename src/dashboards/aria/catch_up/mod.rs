//! Resume positions of clients that reconnect without a cursor, a user or an id: ARIA's panels.
//!
//! Such a client is recognized by what its handshake repeats: address, user agent, origin, token, path and query
//! ([`CatchUp::key`]). For every connection the tracker keeps how far its client has confirmed what was written, by the
//! answers to protocol pings. When a connection breaks, its position is kept for [`CatchUp::window`]; the next
//! connection with the same key takes it and gets what came after it.
//!
//! - A client that closes its connection with a code after which it does not reconnect leaves no position.
//! - A connection that broke without the server's noticing is found by a ping: before a new client is served, the other
//!   connections with its key have [`PROBE_TIMEOUT`] to answer.
//! - Several positions under one key cannot be told apart. Each new client takes one and is served from the lowest, so
//!   that nothing is lost; what lies between the lowest and its own arrives twice.
//! - Without a position (the first connection, a crash of the server, a new address) a client gets what is younger than
//!   the window.
//!
//! Nothing older than the window is sent: it is in the history.

mod saved;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::dashboards::watched::Watched;
use crate::hub::Outbox;
use crate::telemetry::Metrics;

/// How long the other connections of a key have to answer a ping. A client with a slower network counts as gone; it
/// keeps its stream.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// With more open connections than this, a key stands for many clients behind one address, and they are not probed.
const MAX_PROBED: usize = 32;
/// Largest number of positions of broken connections. Beyond it the oldest is dropped, and its client gets the window.
const MAX_WAITING: usize = 10_000;
/// Largest number of unanswered receipts per connection. Beyond it the oldest is dropped. Answers are cumulative.
const MAX_UNANSWERED: usize = 4_096;

/// The last signal event and the last message that have reached a client. Both logs count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Delivered {
    /// Sequence number in the signal log.
    pub(super) signals: u64,
    /// Number of the published message.
    pub(super) messages: u64,
}

impl Delivered {
    fn lowest(self, other: Self) -> Self {
        Self { signals: self.signals.min(other.signals), messages: self.messages.min(other.messages) }
    }
}

/// The content of a ping. Its answer shows what has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PingReceipt {
    /// This event of the signal log has arrived, and everything written before it.
    Signal(u64),
    /// This published message has arrived, and everything written before it.
    Message(u64),
    /// The client is connected.
    Probe(u64),
}

impl PingReceipt {
    /// Returns the number that the ping carries.
    pub(super) fn encode(self) -> u64 {
        let (number, tag) = match self {
            Self::Signal(seq) => (seq, 0),
            Self::Message(seq) => (seq, 1),
            Self::Probe(number) => (number, 2),
        };
        number << 2 | tag
    }

    fn decode(number: u64) -> Option<Self> {
        match number & 3 {
            0 => Some(Self::Signal(number >> 2)),
            1 => Some(Self::Message(number >> 2)),
            2 => Some(Self::Probe(number >> 2)),
            _ => None,
        }
    }
}

/// One connection, open or broken.
#[derive(Debug)]
struct ConnectionRecord {
    delivered: Delivered,
    /// Outbox through which an open connection is pinged.
    outbox: Weak<Outbox>,
    is_open: bool,
    /// Number of the last probe that was sent, and of the last that was answered.
    probe: (u64, u64),
    /// Whether another connection resumes from here, because this one seemed to be gone.
    is_taken: bool,
}

impl ConnectionRecord {
    fn open(delivered: Delivered, outbox: &Arc<Outbox>) -> Self {
        Self { delivered, outbox: Arc::downgrade(outbox), is_open: true, probe: (0, 0), is_taken: false }
    }

    fn broken(delivered: Delivered) -> Self {
        Self { delivered, outbox: Weak::new(), is_open: false, probe: (0, 0), is_taken: false }
    }

    fn is_silent(&self) -> bool {
        self.probe.1 < self.probe.0
    }
}

#[derive(Debug, Default)]
struct CatchUpState {
    /// By key, then by the number of the connection.
    connections: HashMap<u64, BTreeMap<u64, ConnectionRecord>>,
    last: u64,
    /// Broken connections, in the order in which they broke.
    broken: VecDeque<(Instant, u64, u64)>,
}

/// The positions of all clients that are recognized by their handshake.
#[derive(Debug)]
pub(super) struct CatchUp {
    window: Duration,
    /// File that keeps the positions over a clean restart.
    file: Option<PathBuf>,
    /// Changes when a probe was answered, or a connection has ended.
    state: Watched<CatchUpState>,
    metrics: Arc<Metrics>,
}

impl CatchUp {
    /// Creates a tracker whose new clients get what is younger than `window`.
    pub(super) fn new(window: Duration, metrics: Arc<Metrics>) -> Self {
        Self { window, file: None, state: Watched::default(), metrics }
    }

    /// Returns the maximum age of events that a new client gets.
    pub(super) fn window(&self) -> Duration {
        self.window
    }

    /// Returns the key of the clients whose handshakes have these traits. It is the same in every process.
    pub(super) fn key<'a>(traits: impl IntoIterator<Item = Option<&'a str>>) -> u64 {
        let mut digest = Sha256::new();
        for each in traits {
            digest.update([u8::from(each.is_some())]);
            digest.update(each.map_or(0, str::len).to_be_bytes());
            digest.update(each.unwrap_or_default());
        }
        digest.finalize().iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte))
    }

    /// Registers a connection. Returns the position from which its client resumes, if one with this key has just
    /// broken.
    pub(super) async fn join(
        self: &Arc<Self>,
        key: u64,
        outbox: &Arc<Outbox>,
    ) -> (TrackedConnection, Option<Delivered>) {
        let probed = self.state.lock().probe(key);
        self.state.until(PROBE_TIMEOUT, |state| !state.awaits(key, &probed)).await;
        let mut state = self.state.lock();
        state.forget_before(Instant::now().checked_sub(self.window));
        let from = state.take_position(key, &probed);
        state.last += 1;
        let id = state.last;
        let known = ConnectionRecord::open(from.unwrap_or_default(), outbox);
        state.connections.entry(key).or_default().insert(id, known);
        let tracked =
            TrackedConnection { tracker: self.clone(), key, id, unanswered: VecDeque::new(), has_left: false };
        (tracked, from)
    }
}

impl CatchUpState {
    /// Pings the open connections of a key. Returns their ids and the numbers of the pings.
    fn probe(&mut self, key: u64) -> Vec<(u64, u64)> {
        let Some(connections) = self.connections.get_mut(&key) else { return Vec::new() };
        let open = connections.values().filter(|known| known.is_open && !known.is_taken).count();
        if open > MAX_PROBED {
            return Vec::new();
        }
        let mut probed = Vec::with_capacity(open);
        for (id, known) in connections.iter_mut().filter(|(_, known)| known.is_open && !known.is_taken) {
            if let Some(outbox) = known.outbox.upgrade() {
                known.probe.0 += 1;
                outbox.ping(PingReceipt::Probe(known.probe.0).encode());
                probed.push((*id, known.probe.0));
            }
        }
        probed
    }

    /// Whether one of the probed connections has neither answered nor ended.
    fn awaits(&self, key: u64, probed: &[(u64, u64)]) -> bool {
        let Some(connections) = self.connections.get(&key) else { return false };
        let known = |id: &u64| connections.get(id).filter(|known| known.is_open);
        probed.iter().any(|(id, number)| known(id).is_some_and(|known| known.probe.1 < *number))
    }

    /// Returns the lowest position of the connections that are gone, and uses one of them up.
    fn take_position(&mut self, key: u64, probed: &[(u64, u64)]) -> Option<Delivered> {
        let connections = self.connections.get_mut(&key)?;
        let is_gone = |id: u64, known: &ConnectionRecord| {
            let was_probed = probed.binary_search_by_key(&id, |(id, _)| *id).is_ok();
            !known.is_taken && (!known.is_open || was_probed && known.is_silent())
        };
        let gone: Vec<u64> = connections.iter().filter(|(id, known)| is_gone(**id, known)).map(|(id, _)| *id).collect();
        let positions = gone.iter().filter_map(|id| connections.get(id)).map(|known| known.delivered);
        let lowest = positions.reduce(Delivered::lowest)?;
        for id in &gone {
            if let Some(known) = connections.get_mut(id) {
                known.delivered = lowest;
            }
        }
        let used = gone.iter().find(|id| connections.get(id).is_some_and(|known| !known.is_open)).or(gone.first())?;
        match connections.get_mut(used) {
            Some(known) if known.is_open => known.is_taken = true,
            _ => {
                connections.remove(used);
            }
        }
        Some(lowest)
    }

    /// Drops the positions of connections that broke before `since`.
    fn forget_before(&mut self, since: Option<Instant>) {
        while let Some((at, key, id)) = self.broken.front().copied()
            && since.is_some_and(|since| at < since)
        {
            self.broken.pop_front();
            self.remove(key, id);
        }
    }

    fn remove(&mut self, key: u64, id: u64) -> bool {
        let Some(connections) = self.connections.get_mut(&key) else { return false };
        let was_there = connections.remove(&id).is_some();
        if connections.is_empty() {
            self.connections.remove(&key);
        }
        was_there
    }
}

/// The record of one connection. When it is dropped, its position waits for the client to reconnect.
#[derive(Debug)]
pub(super) struct TrackedConnection {
    tracker: Arc<CatchUp>,
    key: u64,
    id: u64,
    /// Receipts that were written and are not confirmed, oldest first.
    unanswered: VecDeque<u64>,
    has_left: bool,
}

impl TrackedConnection {
    /// Sets the position up to which the client has been served, confirmed or not.
    pub(super) fn start_at(&self, delivered: Delivered) {
        self.update(|known| known.delivered = delivered);
    }

    /// Notes that an event is being written, with a ping that carries this number.
    pub(super) fn write(&mut self, receipt: u64) {
        if self.unanswered.len() >= MAX_UNANSWERED {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back(receipt);
    }

    /// Whether an answer with this number belongs to a ping of the server.
    fn expects(&self, number: u64) -> bool {
        match PingReceipt::decode(number) {
            Some(PingReceipt::Probe(number)) => {
                let mut is_expected = false;
                self.update(|known| is_expected = known.probe.1 < number && number <= known.probe.0);
                is_expected
            }
            Some(_) => self.unanswered.contains(&number),
            None => false,
        }
    }

    /// Notes that the client has answered the ping with this number: everything up to it has arrived.
    pub(super) fn confirm(&mut self, number: u64) {
        if !self.expects(number) {
            return;
        }
        if let Some(PingReceipt::Probe(answered)) = PingReceipt::decode(number) {
            self.update(|known| (known.probe.1, known.is_taken) = (answered, false));
            self.tracker.state.changed();
            return;
        }
        let arrived = self.unanswered.iter().position(|written| *written == number).map_or(0, |at| at + 1);
        let arrived: Vec<_> = self.unanswered.drain(..arrived).collect();
        self.update(|known| {
            known.is_taken = false;
            for receipt in arrived {
                match PingReceipt::decode(receipt) {
                    Some(PingReceipt::Signal(seq)) => known.delivered.signals = known.delivered.signals.max(seq),
                    Some(PingReceipt::Message(seq)) => known.delivered.messages = known.delivered.messages.max(seq),
                    Some(PingReceipt::Probe(_)) | None => {}
                }
            }
        });
    }

    /// Notes that the client has closed the connection and does not reconnect.
    pub(super) fn leave(&mut self) {
        self.has_left = true;
    }

    fn update(&self, change: impl FnOnce(&mut ConnectionRecord)) {
        let mut state = self.tracker.state.lock();
        let connections = state.connections.get_mut(&self.key);
        if let Some(known) = connections.and_then(|connections| connections.get_mut(&self.id)) {
            change(known);
        }
    }
}

impl Drop for TrackedConnection {
    fn drop(&mut self) {
        let mut goes_on = !self.has_left;
        self.update(|known| {
            known.is_open = false;
            goes_on &= !known.is_taken;
        });
        let mut state = self.tracker.state.lock();
        if goes_on {
            state.broken.push_back((Instant::now(), self.key, self.id));
            if state.broken.len() > MAX_WAITING
                && let Some((_, key, id)) = state.broken.pop_front()
                && state.remove(key, id)
            {
                self.tracker.metrics.dropped_total.with_label_values(&["catch_up_positions"]).inc();
            }
        } else {
            state.remove(self.key, self.id);
        }
        drop(state);
        self.tracker.state.changed();
    }
}

#[cfg(test)]
mod tests;
