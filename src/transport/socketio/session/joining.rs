//! Joining live events: with a snapshot, or with the missed events. The answer to the subscription comes last.

use std::sync::Arc;
use std::time::Duration;

use socketioxide::extract::SocketRef;
use tokio::time::{Instant, sleep};

use super::{Caller, ClientSession};
use crate::config::duration_text;
use crate::domain::{PROTOCOL, Position, Signal};
use crate::hub::{Envelope, Snapshot};
use crate::transport::command::SubscriptionRequest;
use crate::transport::completeness::Completeness;
use crate::transport::messages::{Subscribed, current_states};
use crate::transport::resume::{self, Gone, NoRoom, ResumeRequest, Resumed};
use crate::transport::socketio::personal::Backlog;
use crate::transport::socketio::rooms::{emit_object, emit_replayed, emit_signal, is_full};

/// A client that catches up and reads nothing for this long is disconnected.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(10);
/// Time between two attempts while a client's queue is full.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(20);

/// A subscription that has not been answered.
pub(super) struct PendingSubscription {
    pub(super) request: SubscriptionRequest,
    /// Taken when the answer is sent.
    pub(super) caller: Option<Caller>,
    /// Whether the gap in the signals can be filled, or was; `None` when there is no gap.
    pub(super) recovered: Option<bool>,
    /// What the user has missed, if the client newly joins the user's streams.
    pub(super) missed: Option<Backlog>,
}

impl PendingSubscription {
    /// Returns whether all gaps were filled; `None` when no cursor was presented.
    fn recovered(&self) -> Option<bool> {
        match (self.recovered, self.missed.as_ref().and_then(Backlog::recovered)) {
            (Some(signals), Some(messages)) => Some(signals && messages),
            (signals, messages) => signals.or(messages),
        }
    }
}

impl ClientSession {
    /// Emits the snapshot of what is newly joined and joins live events, while nothing is published. Returns the
    /// subscription if the user's messages did not fit into the client's queue: the client has then joined prices and
    /// signals, but not the user's streams.
    pub(super) fn join_with_snapshot(
        &self,
        socket: &SocketRef,
        mut pending: PendingSubscription,
    ) -> Option<PendingSubscription> {
        self.gateway.hub.with_snapshot(|snapshot| {
            self.hold_live(socket);
            let (wanted, before) = (&pending.request.topics, self.state.lock().topics.clone());
            let after = before.with(wanted);
            let prices = snapshot.prices(|symbol| wanted.prices.contains(symbol) && !before.prices.contains(symbol));
            // If the gap since the cursor was not filled, the snapshot is complete, whatever the client has had.
            let whole = pending.recovered == Some(false);
            let replay = pending.request.replay.filter(|_| !whole);
            let signals = snapshot.signals_by_age(|signal, age| {
                let is_new = if whole { wanted } else { &after }.contain_signal(signal)
                    && (whole || !before.contain_signal(signal));
                is_new && (signal.state.is_pending() || replay.is_none_or(|replay| age <= replay))
            });
            self.send_snapshot(socket, prices, signals);
            self.join_market(&pending.request, snapshot.position().seq);
            let is_finished = self.finish(socket, snapshot, &mut pending).is_ok();
            // With a full queue it joins when the rest of the snapshot is emitted.
            if self.join_live(socket).is_err() && is_finished {
                self.disconnector.disconnect_slow(socket, "answer");
            }
            (!is_finished).then_some(pending)
        })
    }

    /// Completes a subscription in the background. With `seq` it first replays the signals after it.
    pub(super) async fn catch_up(&self, socket: &SocketRef, pending: PendingSubscription, seq: Option<u64>) {
        let unfinished = match seq {
            Some(seq) => self.replay(socket, pending, seq).await,
            None => Some(pending),
        };
        let Some(mut pending) = unfinished else { return };
        let mut deadline = Instant::now() + CATCH_UP_TIMEOUT;
        let mut finish = || {
            self.gateway.hub.with_snapshot(|snapshot| {
                self.hold_live(socket);
                self.finish(socket, snapshot, &mut pending).and_then(|()| self.join_live(socket))
            })
        };
        while let Err(NoRoom { reached }) = finish() {
            if reached.is_some() {
                deadline = Instant::now() + CATCH_UP_TIMEOUT;
            } else if Instant::now() > deadline {
                return self.disconnector.disconnect_slow(socket, "backlog");
            }
            sleep(CATCH_UP_PAUSE).await;
        }
    }

    /// Replays signals from `seq`. Returns the subscription if it is still unfinished; `None` if the client has joined
    /// everything or is gone.
    async fn replay(&self, socket: &SocketRef, pending: PendingSubscription, seq: u64) -> Option<PendingSubscription> {
        let mut resumer = Resumer { session: self, socket, pending, from: seq };
        let resumed = resume::resume(&self.gateway.hub, &self.gateway.log, seq, &mut resumer).await;
        let mut pending = resumer.pending;
        match resumed {
            Ok(Resumed::Joined) => pending.caller.is_some().then_some(pending),
            Ok(Resumed::Gone) => {
                if socket.connected() {
                    self.disconnector.disconnect_slow(socket, "replay");
                }
                None
            }
            impossible => {
                if let Err(error) = impossible {
                    // The client still gets its answer and its prices, which do not depend on the disk.
                    resume::log_unreadable(&error);
                }
                pending.recovered = Some(false);
                self.join_with_snapshot(socket, pending)
            }
        }
    }

    /// Joins prices and signals. The newly joined signals have been emitted from `seq` on.
    fn join_market(&self, request: &SubscriptionRequest, seq: u64) {
        let mut state = self.state.lock();
        if state.topics.refilters(&request.topics) {
            // What the previous filters have left out was never emitted.
            state.completeness = Completeness::default();
        }
        state.topics = state.topics.with(&request.topics);
        let signals = state.topics.signals.clone();
        state.completeness.set(&signals, seq);
        if !request.topics.prices.is_none() {
            state.max_hz = request.max_hz;
        }
    }

    /// Joins the user's streams, if they are new to the client, and answers the subscription.
    ///
    /// # Errors
    /// Fails when the client's queue has no room for what the user has missed. The client has then not joined the
    /// streams; the caller retries.
    fn finish(&self, socket: &SocketRef, snapshot: &Snapshot, pending: &mut PendingSubscription) -> Result<(), NoRoom> {
        if let Some(missed) = &mut pending.missed {
            if self.login.as_ref().is_none_or(|login| login.end().is_cancelled()) {
                // The client is being disconnected.
                return Ok(());
            }
            missed.emit_to(socket, snapshot)?;
            self.state.lock().topics.published = missed.audiences().clone();
        }
        let Some(mut caller) = pending.caller.take() else { return Ok(()) };
        let request = &pending.request;
        let answer = Subscribed {
            channels: request.channels(),
            symbols: request.symbol_list(),
            unfed: request.unfed(snapshot),
            cursor: snapshot.position().to_string(),
            recovered: pending.recovered(),
            protocol: PROTOCOL,
            replay: request.granted_replay(snapshot).map(duration_text),
            max_hz: request.max_hz,
            filters: request.filters(),
            last_event_id: request.user.then(|| snapshot.last_message()),
        };
        caller.acknowledge_with(socket, &answer, request);
        self.send_answer(socket, &caller, "subscribed", &answer);
        // Counted before it is told the counts.
        self.membership.set(&self.state.lock().topics);
        for state in current_states(&request.topics, &self.gateway.hub) {
            self.disconnect_if_full(socket, emit_object(socket, &state));
        }
        Ok(())
    }
}

/// A client that resumes. It joins no live room until its gap is filled.
struct Resumer<'a> {
    session: &'a ClientSession,
    socket: &'a SocketRef,
    pending: PendingSubscription,
    /// The sequence number after which its gap begins.
    from: u64,
}

impl ResumeRequest for Resumer<'_> {
    async fn send(&mut self, page: Vec<(Position, Signal)>) -> Result<(), Gone> {
        let wanted = &self.pending.request.topics;
        for (position, signal) in page.iter().filter(|(_, signal)| wanted.contain_signal(signal)) {
            let until = Instant::now() + CATCH_UP_TIMEOUT;
            loop {
                match emit_replayed(self.socket, signal, position) {
                    full if is_full(&full) && Instant::now() < until => sleep(CATCH_UP_PAUSE).await,
                    Ok(()) => break,
                    Err(_) => return Err(Gone),
                }
            }
        }
        Ok(())
    }

    fn join(&mut self, snapshot: &Snapshot, rest: Vec<Arc<Envelope>>) -> Result<(), NoRoom> {
        let (session, socket, wanted) = (self.session, self.socket, &self.pending.request.topics);
        session.hold_live(socket);
        let mut reached = None;
        for publication in &rest {
            if wanted.contain(publication.event()) && is_full(&emit_signal(socket, publication)) {
                return Err(NoRoom { reached });
            }
            reached = publication.seq();
        }
        let before = session.state.lock().topics.prices.clone();
        for price in snapshot.prices(|symbol| wanted.prices.contains(symbol) && !before.contains(symbol)) {
            if is_full(&emit_object(socket, &price)) {
                return Err(NoRoom { reached });
            }
        }
        session.join_market(&self.pending.request, self.from);
        // If the user's messages do not fit, the caller continues with them afterwards.
        session.finish(socket, snapshot, &mut self.pending).ok();
        session.join_live(socket).map_err(|_| NoRoom { reached })
    }
}
