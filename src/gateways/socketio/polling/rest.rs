//! What is between the engine and a client that polls: the rest of an answer that had too many packets.
//!
//! Clients refuse an answer of more than 16 packets (python-engineio ends the session and comes back for ever), and the engine
//! puts all that waits into one. So an answer is cut, and its rest is held for the next polls; the engine is asked again when
//! nothing of it is left.
//!
//! A session that goes over to a WebSocket gets from then on what waits in the engine. What is held here would be left
//! behind, and so would the one packet that the engine holds back when an answer is full. So the WebSocket has to wait until the
//! client has polled all of it. From that moment to the end of the upgrade no poll reaches the engine: they are answered
//! with nothing, as the engine would.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::{Poll, PollingSession, State};
use crate::gateways::socketio::payload;

/// How long a client may take to poll what is held before it goes over to a WebSocket.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// What is on its way from the engine to the client.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    held: Option<Held>,
    /// Polls that the engine is answering with what waits.
    asking: usize,
    /// Polls that the engine has nothing for yet.
    parked: usize,
    /// The engine may hold a packet back that did not fit into its last answer: a poll that it had nothing for shows that
    /// it does not.
    may_hold_back: bool,
    /// The session goes over to a WebSocket: no poll reaches the engine any more.
    is_gated: bool,
}

impl Delivery {
    /// Whether a poll waits for anything to be sent.
    pub(super) fn has_parked_poll(&self) -> bool {
        self.parked > 0
    }
}

/// The rest of an answer.
#[derive(Debug)]
struct Held {
    body: Bytes,
    is_binary: bool,
    /// Bytes that it is accounted for, until all of it is gone.
    counted: usize,
}

/// An answer to a poll, or a part of one.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::gateways::socketio) struct Answer {
    /// Packets as the client's protocol writes them.
    pub(in crate::gateways::socketio) body: Bytes,
    /// Whether they are in the binary form of Engine.IO 3.
    pub(in crate::gateways::socketio) is_binary: bool,
}

/// Who answers a poll.
#[derive(Debug)]
pub(in crate::gateways::socketio) enum Turn {
    /// What is held.
    Held(Answer),
    /// The engine.
    Engine(Asking),
    /// The session goes over to a WebSocket: there is nothing any more.
    Nothing,
}

/// A poll that the engine answers.
#[derive(Debug)]
pub(in crate::gateways::socketio) struct Asking {
    session: Arc<PollingSession>,
    is_parked: bool,
}

/// What the server has found in the engine before an upgrade.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::gateways::socketio) enum Found {
    /// Nothing that could be left behind.
    Nothing,
    /// An answer, which the client has to poll first.
    Answer(Answer),
}

/// A session that goes over to a WebSocket. Polls reach the engine again when it is dropped, unless it is [done](Self::done).
#[derive(Debug)]
pub(in crate::gateways::socketio) struct Upgrade {
    session: Arc<PollingSession>,
    is_done: bool,
}

impl Poll {
    /// Who answers this poll.
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

    /// A packet that says nothing.
    pub(in crate::gateways::socketio) fn nothing(&self) -> Answer {
        let body = if self.0.version == 3 { "1:6" } else { "6" };
        Answer { body: body.into(), is_binary: false }
    }

    /// Cuts an answer of the engine, of at most `most` bytes, to what the client takes at once. The rest is held.
    pub(in crate::gateways::socketio) fn cut(&self, asking: Asking, answer: Answer, most: usize) -> Answer {
        let (session, Answer { body, is_binary }) = (&self.0, answer);
        self.answered(body.len(), most);
        let (first, rest) = payload::split(&body, session.version, is_binary);
        let mut state = session.state.lock();
        session.hold(&mut state, Answer { body: rest, is_binary });
        drop(state);
        // Not before: an upgrade waits for what is held.
        drop(asking);
        Answer { body: first, is_binary }
    }
}

impl Asking {
    /// The engine has nothing for this poll yet: all that it had is gone.
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
    /// Waits until the client has polled all that is held, and keeps further polls from the engine. `look` asks the engine
    /// what it has, as a poll would. `None` when the client has not polled for too long.
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
            // Dropped with this future, it lets polls through again.
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
        // A copy, so that no more is kept than is accounted for.
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
    /// The WebSocket is open: polls do not reach the engine any more.
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
