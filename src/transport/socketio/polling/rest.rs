//! Delivery of the engine's answers to a client that polls: holds the rest of an answer with too many packets.
//!
//! Clients reject an answer of more than 16 packets (python-engineio ends the session and reconnects without end), and
//! the engine puts everything that waits into one answer. So an answer is split, and its rest is held for the next
//! polls; the engine is asked again when the rest has been delivered.
//!
//! After an upgrade to a WebSocket the client gets what waits in the engine. It would lose what is held here, and the
//! one packet that the engine holds back when an answer is full. So the upgrade waits until the client has polled all
//! of it. From then until the upgrade is complete no poll reaches the engine: polls get an empty answer, as the engine
//! would give them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::{Poll, PollingSession, PollingState};
use crate::transport::socketio::payload;

/// How long a client may take to poll what is held before an upgrade.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// What is on its way from the engine to the client.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    held: Option<HeldAnswer>,
    /// Number of polls that the engine is answering.
    asking: usize,
    /// Number of polls for which the engine has no packets yet.
    parked: usize,
    /// Whether the engine may hold back a packet that did not fit into its last answer. A poll that finds no packets
    /// shows that it does not.
    may_hold_back: bool,
    /// Whether an upgrade is in progress: no poll reaches the engine.
    is_gated: bool,
}

impl Delivery {
    /// Whether a poll waits for packets to be sent.
    pub(super) fn has_parked_poll(&self) -> bool {
        self.parked > 0
    }

    /// Lets polls reach the engine again.
    pub(super) fn open_gate(&mut self) {
        self.is_gated = false;
    }
}

/// The rest of an answer.
#[derive(Debug)]
struct HeldAnswer {
    body: Bytes,
    is_binary: bool,
    /// Bytes counted as waiting until the whole rest is delivered.
    counted: usize,
}

/// An answer to a poll, or a part of one.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::transport::socketio) struct PollAnswer {
    /// Packets in the encoding of the client's protocol.
    pub(in crate::transport::socketio) body: Bytes,
    /// Whether the packets are in the binary form of Engine.IO 3.
    pub(in crate::transport::socketio) is_binary: bool,
}

/// Where the answer to a poll comes from.
#[derive(Debug)]
pub(in crate::transport::socketio) enum AnswerSource {
    /// The rest of a previous answer.
    Held(PollAnswer),
    /// The engine.
    Engine(EnginePoll),
    /// Nowhere: an upgrade is in progress, and the answer is empty.
    Nothing,
}

/// A poll that the engine answers.
#[derive(Debug)]
pub(in crate::transport::socketio) struct EnginePoll {
    session: Arc<PollingSession>,
    is_parked: bool,
}

/// What the engine holds before an upgrade.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::transport::socketio) enum Leftover {
    /// No packets.
    Nothing,
    /// An answer, which the client has to poll first.
    Answer(PollAnswer),
}

/// An upgrade in progress. When it is dropped, polls reach the engine again, unless it is [done](Self::done).
#[derive(Debug)]
pub(in crate::transport::socketio) struct UpgradeGate {
    session: Arc<PollingSession>,
    is_done: bool,
}

impl Poll {
    /// Returns the session.
    pub(in crate::transport::socketio) fn session(&self) -> &Arc<PollingSession> {
        &self.0
    }

    /// Decides where the answer to this poll comes from.
    pub(in crate::transport::socketio) fn answer_source(&self) -> AnswerSource {
        let session = &self.0;
        let mut state = session.state.lock();
        if let Some(answer) = session.next_part(&mut state) {
            return AnswerSource::Held(answer);
        }
        if state.delivery.is_gated {
            return AnswerSource::Nothing;
        }
        state.delivery.asking += 1;
        AnswerSource::Engine(EnginePoll { session: session.clone(), is_parked: false })
    }

    /// Returns an answer with one no-op packet.
    pub(in crate::transport::socketio) fn empty_answer(&self) -> PollAnswer {
        let body = if self.0.version == 3 { "1:6" } else { "6" };
        PollAnswer { body: body.into(), is_binary: false }
    }

    /// Splits an answer of the engine, of at most `max_bytes` bytes, into the part that the client accepts at once and
    /// the rest, which is held.
    pub(in crate::transport::socketio) fn split_answer(
        &self,
        asking: EnginePoll,
        answer: PollAnswer,
        max_bytes: usize,
    ) -> PollAnswer {
        let (session, PollAnswer { body, is_binary }) = (&self.0, answer);
        self.answered(body.len(), max_bytes);
        let (first, rest) = payload::split(&body, session.version, is_binary);
        let mut state = session.state.lock();
        session.store_rest(&mut state, PollAnswer { body: rest, is_binary });
        drop(state);
        // Dropped after the rest is held, because this lets an upgrade look at it.
        drop(asking);
        PollAnswer { body: first, is_binary }
    }
}

impl EnginePoll {
    /// Notes that the engine has no packets for this poll yet.
    pub(in crate::transport::socketio) fn park(&mut self) {
        self.is_parked = true;
        let delivery = &mut self.session.state.lock().delivery;
        delivery.asking -= 1;
        delivery.parked += 1;
        delivery.may_hold_back = false;
        self.session.delivery_changed.notify_waiters();
    }
}

impl Drop for EnginePoll {
    fn drop(&mut self) {
        let delivery = &mut self.session.state.lock().delivery;
        if self.is_parked {
            delivery.parked -= 1;
        } else {
            delivery.asking -= 1;
            delivery.may_hold_back = true;
        }
        self.session.delivery_changed.notify_waiters();
    }
}

impl PollingSession {
    /// Waits until the client has polled everything that is held, and keeps further polls from the engine. `look` asks
    /// the engine for its packets, as a poll would. Returns `None` when the client has not polled in time.
    pub(in crate::transport::socketio) async fn prepare_upgrade<F: Future<Output = Leftover>>(
        self: &Arc<Self>,
        mut look: impl FnMut() -> F,
    ) -> Option<UpgradeGate> {
        let deadline = Instant::now() + UPGRADE_TIMEOUT;
        loop {
            let changed = self.delivery_changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            let gated = {
                let mut state = self.state.lock();
                let delivery = &mut state.delivery;
                let is_free = delivery.held.is_none() && delivery.asking == 0 && !delivery.is_gated;
                delivery.is_gated |= is_free;
                is_free.then_some(delivery.may_hold_back)
            };
            let Some(may_hold_back) = gated else {
                timeout_at(deadline, changed).await.ok()?;
                continue;
            };
            // When this future is cancelled, the drop lets polls through again.
            let upgrade = UpgradeGate { session: self.clone(), is_done: false };
            if !may_hold_back {
                return Some(upgrade);
            }
            let found = look().await;
            let mut state = self.state.lock();
            state.delivery.may_hold_back = false;
            let Leftover::Answer(answer) = found else {
                drop(state);
                return Some(upgrade);
            };
            self.store_rest(&mut state, answer);
            state.delivery.may_hold_back = true;
        }
    }

    /// Holds packets that were taken from the engine for the next poll.
    pub(in crate::transport::socketio) fn hold(&self, answer: PollAnswer) {
        self.store_rest(&mut self.state.lock(), answer);
    }

    fn store_rest(&self, state: &mut PollingState, PollAnswer { body, is_binary }: PollAnswer) {
        if body.is_empty() {
            return;
        }
        // Copied, so that exactly the counted bytes are kept in memory.
        let body = Bytes::copy_from_slice(&body);
        let counted = body.len();
        self.count_waiting(counted);
        state.delivery.held = Some(HeldAnswer { body, is_binary, counted });
    }

    fn next_part(&self, state: &mut PollingState) -> Option<PollAnswer> {
        let HeldAnswer { body, is_binary, counted } = state.delivery.held.take()?;
        let (first, rest) = payload::split(&body, self.version, is_binary);
        if rest.is_empty() {
            self.count_received(counted);
        } else {
            state.delivery.held = Some(HeldAnswer { body: rest, is_binary, counted });
        }
        self.delivery_changed.notify_waiters();
        Some(PollAnswer { body: first, is_binary })
    }
}

impl UpgradeGate {
    /// Completes the upgrade: polls no longer reach the engine.
    pub(in crate::transport::socketio) fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for UpgradeGate {
    fn drop(&mut self) {
        if !self.is_done {
            self.session.state.lock().delivery.open_gate();
            self.session.delivery_changed.notify_waiters();
        }
    }
}
