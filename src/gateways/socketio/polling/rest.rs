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

use super::{Poll, PollingSession, State};
use crate::gateways::socketio::payload;

/// How long a client may take to poll what is held before an upgrade.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// What is on its way from the engine to the client.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    held: Option<Held>,
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
}

/// The rest of an answer.
#[derive(Debug)]
struct Held {
    body: Bytes,
    is_binary: bool,
    /// Bytes counted as waiting until the whole rest is delivered.
    counted: usize,
}

/// An answer to a poll, or a part of one.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::gateways::socketio) struct Answer {
    /// Packets in the encoding of the client's protocol.
    pub(in crate::gateways::socketio) body: Bytes,
    /// Whether the packets are in the binary form of Engine.IO 3.
    pub(in crate::gateways::socketio) is_binary: bool,
}

/// Where the answer to a poll comes from.
#[derive(Debug)]
pub(in crate::gateways::socketio) enum Turn {
    /// The rest of a previous answer.
    Held(Answer),
    /// The engine.
    Engine(Asking),
    /// Nowhere: an upgrade is in progress, and the answer is empty.
    Nothing,
}

/// A poll that the engine answers.
#[derive(Debug)]
pub(in crate::gateways::socketio) struct Asking {
    session: Arc<PollingSession>,
    is_parked: bool,
}

/// What the engine holds before an upgrade.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::gateways::socketio) enum Found {
    /// No packets.
    Nothing,
    /// An answer, which the client has to poll first.
    Answer(Answer),
}

/// An upgrade in progress. When it is dropped, polls reach the engine again, unless it is [done](Self::done).
#[derive(Debug)]
pub(in crate::gateways::socketio) struct Upgrade {
    session: Arc<PollingSession>,
    is_done: bool,
}

impl Poll {
    /// Decides where the answer to this poll comes from.
    pub(in crate::gateways::socketio) fn turn(&self) -> Turn {
        let session = &self.0;
        let mut state = session.state.lock();
        if let Some(answer) = session.next_held(&mut state) {
            return Turn::Held(answer);
        }
        if state.delivery.is_gated {
            return Turn::Nothing;
        }
        state.delivery.asking += 1;
        Turn::Engine(Asking { session: session.clone(), is_parked: false })
    }

    /// Returns an answer with one no-op packet.
    pub(in crate::gateways::socketio) fn nothing(&self) -> Answer {
        let body = if self.0.version == 3 { "1:6" } else { "6" };
        Answer { body: body.into(), is_binary: false }
    }

    /// Splits an answer of the engine, of at most `most` bytes, into the part that the client accepts at once and the
    /// rest, which is held.
    pub(in crate::gateways::socketio) fn cut(&self, asking: Asking, answer: Answer, most: usize) -> Answer {
        let (session, Answer { body, is_binary }) = (&self.0, answer);
        self.answered(body.len(), most);
        let (first, rest) = payload::split(&body, session.version, is_binary);
        let mut state = session.state.lock();
        session.hold(&mut state, Answer { body: rest, is_binary });
        drop(state);
        // Dropped after the rest is held, because this lets an upgrade look at it.
        drop(asking);
        Answer { body: first, is_binary }
    }
}

impl Asking {
    /// Notes that the engine has no packets for this poll yet.
    pub(in crate::gateways::socketio) fn park(&mut self) {
        self.is_parked = true;
        let delivery = &mut self.session.state.lock().delivery;
        delivery.asking -= 1;
        delivery.parked += 1;
        delivery.may_hold_back = false;
        self.session.delivery_changed.notify_waiters();
    }
}

impl Drop for Asking {
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
    pub(in crate::gateways::socketio) async fn prepare_upgrade<F: Future<Output = Found>>(
        self: &Arc<Self>,
        mut look: impl FnMut() -> F,
    ) -> Option<Upgrade> {
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
            let upgrade = Upgrade { session: self.clone(), is_done: false };
            if !may_hold_back {
                return Some(upgrade);
            }
            let found = look().await;
            let mut state = self.state.lock();
            state.delivery.may_hold_back = false;
            let Found::Answer(answer) = found else {
                drop(state);
                return Some(upgrade);
            };
            self.hold(&mut state, answer);
            state.delivery.may_hold_back = true;
        }
    }

    fn hold(&self, state: &mut State, Answer { body, is_binary }: Answer) {
        if body.is_empty() {
            return;
        }
        // Copied, so that exactly the counted bytes are kept in memory.
        let body = Bytes::copy_from_slice(&body);
        let counted = body.len();
        self.note_waiting(counted);
        state.delivery.held = Some(Held { body, is_binary, counted });
    }

    fn next_held(&self, state: &mut State) -> Option<Answer> {
        let Held { body, is_binary, counted } = state.delivery.held.take()?;
        let (first, rest) = payload::split(&body, self.version, is_binary);
        if rest.is_empty() {
            self.note_taken(counted);
        } else {
            state.delivery.held = Some(Held { body: rest, is_binary, counted });
        }
        self.delivery_changed.notify_waiters();
        Some(Answer { body: first, is_binary })
    }
}

impl Upgrade {
    /// Completes the upgrade: polls no longer reach the engine.
    pub(in crate::gateways::socketio) fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        if !self.is_done {
            self.session.state.lock().delivery.is_gated = false;
            self.session.delivery_changed.notify_waiters();
        }
    }
}
