//! Lanes: shared frames, written straight to the sockets of their clients.
//!
//! An *engine* (the Socket.IO library, or tungstenite alone for a native endpoint) owns a [`LaneStream`] and writes to it
//! as if it were alone on the socket. The [`Lane`] is a second way into the same socket: the fan-out writes whole frames,
//! which all clients share, between the engine's frames. It needs no queue, no copy and no task for a client whose socket
//! accepts what is written.
//!
//! ```text
//!  fan-out ──► Lane::deliver ──┐ between two frames: one try_write
//!                              ├──► socket
//!  engine ───► LaneStream ─────┘ follows where the engine's frames end
//! ```
//!
//! What the socket does not accept waits in the lane: ordered frames in order and bounded, states by key, so that a slow
//! client gets the newest of each. A flusher task exists only while the socket is full; it ends a connection whose peer
//! accepts nothing for the write time-out.
//!
//! **The gate.** The engine queues what a client has to get before it goes live: the answer to `subscribe`, the snapshot.
//! A closed gate holds the lane back until a marker, emitted through the engine behind them, comes out of the engine. The
//! stream swallows the marker and opens the gate.

mod batch;
mod fanout;
mod frame;
mod inbound;
mod marker;
mod stream;
#[cfg(test)]
mod tests;
mod throttle;
mod waiting;
mod write;

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use batch::{Batch, EncodedFrames, Slot};
pub use fanout::{Encode, Fanout, NativeEncoding};
pub use frame::{PING, ping, text};
pub use marker::MARKER;
pub use stream::{LaneStream, SessionStart};

use crate::hub::Topics;
use crate::listener::{KillSwitch, Reason, UpgradedSocket};
use crate::telemetry::{Behind, Metrics, Queue};
use crate::transport::resume::Gone;
use throttle::Throttle;
use waiting::Waiting;

/// A marker that has not come out of the engine by then never will.
const GATE_TIMEOUT: Duration = Duration::from_secs(30);

/// The lane of one connection. The stream owns it; others hold it weakly.
#[derive(Debug)]
pub struct Lane {
    socket: UpgradedSocket,
    /// The task of the fan-out that delivers to it.
    shard: usize,
    state: Mutex<LaneState>,
    on_overflow: OnOverflow,
    /// Notified when what waits becomes less, when the client fell too far behind, and at the end.
    changed: Notify,
}

/// What happens when more ordered frames wait than a client may have.
#[derive(Debug, Clone)]
pub enum OnOverflow {
    /// The connection is killed, and counted as that of a slow client.
    Kill(Arc<Metrics>),
    /// [`Lane::overflowed`] returns. Its caller closes the connection with a code.
    Notify,
}

#[derive(Debug, Default)]
struct LaneState {
    engine: EngineState,
    /// The number of markers that have not come out of the engine. Until then the lane waits.
    gates: u32,
    /// When the last gate was closed.
    gate_closed: Option<Instant>,
    /// Whether the last frame of the connection is out, or the socket is broken.
    is_closed: bool,
    /// Set when the client fell too far behind: how far. From then on nothing more is accepted.
    overflow: Option<Behind>,
    /// Whether a flusher waits until the socket accepts more.
    is_flushing: bool,
    subscriptions: Vec<Subscription>,
    throttle: Option<Box<Throttle>>,
    waiting: Option<Box<Waiting>>,
    /// Frames of states that a newer one has replaced, since the connection was opened.
    conflated: u64,
}

/// Where the engine is in what it writes.
#[derive(Debug, Default)]
struct EngineState {
    /// Bytes of the current frame that are still to be written; 0 between two frames.
    left: usize,
    /// Whether the current message continues in another frame.
    in_message: bool,
    /// Attachments of a Socket.IO packet that are still to come.
    attachments: u32,
    /// Whether the engine has bytes that the socket does not accept. Nothing is read meanwhile: a peer that asks without
    /// reading the answers is slowed down by TCP.
    waits: bool,
    /// The task that reads, while it must not.
    reader: Option<Waker>,
}

/// What a client gets in one encoding.
#[derive(Debug)]
struct Subscription {
    slot: Slot,
    topics: Topics,
    /// The number of the last event that was delivered, or that came before the subscription.
    delivered: u64,
}

/// What a delivery did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The connection has ended.
    Gone,
    /// The frames are written, or they wait in the lane.
    Done,
    /// States are held back by the client's rate until this time. The caller has to call [`Lane::deliver_due`] then.
    Later(Instant),
}

/// How many frames were delivered.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Ordered frames, written or waiting.
    pub ordered: u64,
    /// Frames of states, written or waiting.
    pub states: u64,
    /// Frames of states that a newer one has replaced.
    pub conflated: u64,
}

impl Lane {
    fn new(socket: UpgradedSocket, shard: usize, on_overflow: OnOverflow) -> Self {
        Self { socket, shard, state: Mutex::default(), on_overflow, changed: Notify::new() }
    }

    /// Sets what the client gets in an encoding. Returns whether the encoding is new to the lane; the client then gets only
    /// events with a number above `published`.
    fn subscribe(&self, slot: Slot, topics: Topics, published: u64) -> bool {
        let state = &mut *self.state.lock();
        state.drop_states(slot, &topics);
        match state.subscriptions.iter_mut().find(|other| other.slot == slot) {
            Some(subscription) => {
                subscription.topics = topics;
                false
            }
            None => {
                // Nearly every client has one; a plain push would make room for four.
                state.subscriptions.reserve_exact(1);
                state.subscriptions.push(Subscription { slot, topics, delivered: published });
                true
            }
        }
    }

    /// Returns the encodings that the client has subscribed to.
    fn slots(&self) -> Vec<Slot> {
        self.state.lock().subscriptions.iter().map(|subscription| subscription.slot).collect()
    }

    /// Limits how often the client gets the price of each symbol in an encoding; in between, only the newest is kept. `None`
    /// removes the limit.
    pub fn set_price_interval(self: &Arc<Self>, slot: Slot, interval: Option<Duration>) {
        let state = &mut *self.state.lock();
        if interval.is_none() && state.throttle.is_none() {
            return;
        }
        let throttle = state.throttle.get_or_insert_default();
        let held = throttle.set_interval(slot, interval);
        if throttle.is_empty() {
            state.throttle = None;
        }
        self.put_states(state, held, Instant::now());
    }

    /// Makes everything that waits for the client go out before anything that follows. Call it before a snapshot, so that
    /// no older state follows it.
    pub fn seal(self: &Arc<Self>) {
        let state = &mut *self.state.lock();
        state.seal(Instant::now());
        self.flush_or_wait(state);
    }

    /// Holds the lane back until the engine has written a marker. The caller has to emit the answers that come before it,
    /// and then the marker.
    pub fn close_gate(&self) {
        let state = &mut *self.state.lock();
        state.seal(Instant::now());
        state.gates += 1;
        state.gate_closed = Some(Instant::now());
    }

    /// Writes the states whose time has come.
    pub fn deliver_due(self: &Arc<Self>, now: Instant) -> DeliveryOutcome {
        let state = &mut *self.state.lock();
        if state.is_closed {
            return DeliveryOutcome::Gone;
        }
        let Some(throttle) = &mut state.throttle else { return DeliveryOutcome::Done };
        let due = throttle.take_due(now);
        let next = throttle.next();
        throttle.is_scheduled = next.is_some();
        self.put_states(state, due, now);
        next.map_or(DeliveryOutcome::Done, DeliveryOutcome::Later)
    }

    /// Writes frames for this client only, in their place among the ordered ones.
    pub fn send(self: &Arc<Self>, frames: impl IntoIterator<Item = Bytes>) {
        let (state, now) = (&mut *self.state.lock(), Instant::now());
        if state.is_closed || state.overflow.is_some() {
            return;
        }
        for frame in frames {
            if state.waiting.get_or_insert_default().push_ordered(frame, now).is_err() {
                return self.overflow(state);
            }
        }
        self.flush_or_wait(state);
    }

    /// Ends all subscriptions. With `keeps` false, what waits is dropped too, but for the rest of a half-written frame.
    pub fn leave(self: &Arc<Self>, keeps: bool) {
        let state = &mut *self.state.lock();
        state.subscriptions = Vec::new();
        state.throttle = None;
        if let Some(waiting) = state.waiting.as_mut().filter(|_| !keeps) {
            waiting.drop_whole();
        }
        self.flush_or_wait(state);
    }

    /// Returns what the client gets in an encoding.
    pub fn topics(&self, slot: Slot) -> Topics {
        let state = self.state.lock();
        let subscription = state.subscriptions.iter().find(|subscription| subscription.slot == slot);
        subscription.map(|subscription| subscription.topics.clone()).unwrap_or_default()
    }

    /// Waits until the client fell too far behind, and returns how far.
    pub async fn overflowed(&self) -> Behind {
        self.until(|state| state.overflow).await
    }

    /// Waits until at most `most` ordered frames wait.
    ///
    /// # Errors
    /// Returns [`Gone`] when the lane has ended, or the client fell too far behind.
    pub(crate) async fn written(&self, most: usize) -> Result<(), Gone> {
        self.until(|state| {
            let waits = || state.waiting.as_ref().is_some_and(|waiting| waiting.in_order() > most);
            state.outcome(|| !waits())
        })
        .await
    }

    /// Waits until nothing waits.
    ///
    /// # Errors
    /// The same as [`written`](Self::written).
    pub(crate) async fn emptied(&self) -> Result<(), Gone> {
        self.until(|state| state.outcome(|| state.waiting.is_none())).await
    }

    /// Whether more than `most` ordered frames wait.
    pub fn waits(&self, most: usize) -> bool {
        self.state.lock().waiting.as_ref().is_some_and(|waiting| waiting.in_order() > most)
    }

    async fn until<R>(&self, holds: impl Fn(&LaneState) -> Option<R>) -> R {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(result) = holds(&self.state.lock()) {
                return result;
            }
            changed.await;
        }
    }

    /// Returns the switch that ends the connection.
    pub fn kill_switch(&self) -> &KillSwitch {
        self.socket.kill()
    }

    /// Ends the connection.
    pub fn kill(&self, reason: Reason) {
        self.socket.kill().kill(reason);
    }
}

impl Queue for Lane {
    fn behind(&self) -> Behind {
        let state = self.state.lock();
        state.behind(Instant::now())
    }
}

impl LaneState {
    /// Ends the lane: nothing more is written, and the engine is told by its next read or write.
    fn close(&mut self) {
        self.is_closed = true;
        self.waiting = None;
        self.throttle = None;
        self.subscriptions = Vec::new();
        self.engine.resume_reading();
    }

    fn behind(&self, now: Instant) -> Behind {
        let waiting = self.waiting.as_ref().map(|waiting| waiting.behind(now)).unwrap_or_default();
        Behind { conflated: self.conflated, ..waiting }
    }

    /// Returns that the lane has ended, or that `is_done`, if one is the case.
    fn outcome(&self, is_done: impl FnOnce() -> bool) -> Option<Result<(), Gone>> {
        if self.is_closed || self.overflow.is_some() { Some(Err(Gone)) } else { is_done().then_some(Ok(())) }
    }

    /// Whether a frame may be written now, before anything that waits.
    fn is_free(&self) -> bool {
        self.gates == 0 && self.engine.is_between() && !self.engine.waits && self.waiting.is_none()
    }

    fn seal(&mut self, now: Instant) {
        let held = self.throttle.as_mut().map(|throttle| throttle.take_all()).unwrap_or_default();
        if held.is_empty() && self.waiting.is_none() && self.gates == 0 {
            return;
        }
        let waiting = self.waiting.get_or_insert_default();
        for (key, frame) in held {
            waiting.put_state(key, frame, now);
        }
        if self.gates == 0 { waiting.seal() } else { waiting.seal_behind_marker() }
    }

    /// Drops the waiting states of an encoding that are not in `topics`.
    fn drop_states(&mut self, slot: Slot, topics: &Topics) {
        if let Some(throttle) = &mut self.throttle {
            throttle.retain(|(of, key)| *of != slot || topics.contain_key(key));
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.retain_states(slot, |key| topics.contain_key(key));
            if waiting.is_empty() {
                self.waiting = None;
            }
        }
    }
}

impl EngineState {
    /// Whether another frame may be written here.
    fn is_between(&self) -> bool {
        self.left == 0 && !self.in_message && self.attachments == 0
    }

    fn resume_reading(&mut self) {
        self.waits = false;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
