//! One client on one namespace: its commands, its subscription, and its answers.

mod answering;
mod joining;
mod live;
mod queue;

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use socketioxide::extract::{AckSender, SocketRef};
use socketioxide::socket::DisconnectReason;
use tokio_util::sync::CancellationToken;
use tracing::{Span, debug, info};

use super::disconnector::Disconnector;
use super::headcount::Seat;
use super::personal::Backlog;
use super::polling::PollingSession;
use super::rooms;
use crate::auth::{AuthError, UserSession};
use crate::domain::{CursorError, Signal, iso};
use crate::hub::{Audiences, Membership, Outbox, Topics};
use crate::pipeline::clock;
use crate::transport::Gateway;
use crate::transport::command::{SubscriptionRequest, fault, short};
use crate::transport::completeness::Completeness;
use crate::transport::connection_guard::{ConnectionEnd, ConnectionGuard};
use crate::transport::cursor::MessageCursor;
use crate::transport::messages::{ErrorObject, Pong};
use crate::transport::pace::{MessageRate, RateVerdict, TOO_FAST};
use crate::transport::resume;
use joining::PendingSubscription;
use queue::CommandQueue;

/// A command that a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientCommand {
    Subscribe,
    Unsubscribe,
    Ping,
    /// Any of the above as `{"type":…}`; the answers are emitted as `message` too.
    Message,
}

impl ClientCommand {
    /// Returns the command of an event.
    pub(super) fn named(event: &str) -> Option<Self> {
        match event {
            "subscribe" => Some(Self::Subscribe),
            "unsubscribe" => Some(Self::Unsubscribe),
            "ping" => Some(Self::Ping),
            "message" => Some(Self::Message),
            _ => None,
        }
    }
}

/// What a command has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Started {
    Nothing,
    Replay,
}

/// Where the answer to a command goes.
struct Caller {
    /// Answers are wrapped as `message` instead of being events of their own.
    as_message: bool,
    ack: Option<AckSender>,
}

struct ReceivedCommand {
    command: ClientCommand,
    data: Value,
    caller: Caller,
}

/// The cursors of a handshake's `auth`. The first subscription that needs a cursor and presents none uses them.
#[derive(Default)]
pub(super) struct ResumeCursors {
    /// Cursor of the signal log.
    pub(super) since: Option<String>,
    /// Cursor of the published messages.
    pub(super) last_event_id: Option<Result<MessageCursor, CursorError>>,
}

#[derive(Default)]
struct SessionState {
    topics: Topics,
    /// Which signal events have been emitted, or will be.
    completeness: Completeness,
    /// Maximum number of prices per second and symbol; `None` for all prices.
    max_hz: Option<f64>,
    /// The prices of a client that polls and has set `max_hz`; the others get them through rooms.
    limited: Option<Arc<Outbox>>,
    /// Whether the gate of the client's lane is closed, and its marker is not emitted yet.
    owes_marker: bool,
    presented: ResumeCursors,
    /// New commands are queued: the client has not joined its namespace yet, or it is catching up.
    busy: bool,
    waiting: CommandQueue,
}

/// A client on a namespace. It counts as connected until this is dropped.
pub(super) struct ClientSession {
    gateway: Arc<Gateway>,
    disconnector: Disconnector,
    login: Option<UserSession>,
    /// Cancelled when the client has disconnected.
    closed: CancellationToken,
    state: Mutex<SessionState>,
    pace: Mutex<MessageRate>,
    guard: ConnectionGuard,
    /// Its place among the clients that are in rooms.
    seat: Seat,
    membership: Membership,
}

impl ClientSession {
    pub(super) fn open(
        gateway: Arc<Gateway>,
        disconnector: Disconnector,
        (seat, guard): (Seat, ConnectionGuard),
        login: Option<UserSession>,
        presented: ResumeCursors,
    ) -> Self {
        let user = login.as_ref().and_then(UserSession::user).map(|principal| principal.user.clone());
        Self {
            login,
            closed: CancellationToken::new(),
            pace: Mutex::new(MessageRate::new(&gateway.limits.get())),
            state: Mutex::new(SessionState { presented, busy: true, ..SessionState::default() }),
            membership: gateway.hub.join("socketio", user),
            gateway,
            disconnector,
            guard,
            seat,
        }
    }

    /// Returns the session of a client that has been admitted.
    pub(super) fn of(socket: &SocketRef) -> Option<Arc<Self>> {
        socket.extensions.get()
    }

    /// Whether the client's filters admit a signal. A client that is about to join has none.
    pub(super) fn wants_signal(&self, signal: &Signal) -> bool {
        self.state.lock().topics.filter.as_ref().is_none_or(|filter| filter.admits(signal))
    }

    /// Returns the span of the client's connection.
    pub(super) fn span(&self) -> Span {
        self.guard.span()
    }

    /// Spawns work for the client.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.gateway.tasks.spawn_connection(self.guard.identity().run(work));
    }

    /// Disconnects the client when its token ends. The client reconnects by itself, is rejected at the handshake,
    /// and so learns that its user has to log in.
    pub(super) fn end_with_login(&self, socket: &SocketRef) {
        let Some(end) = self.login.as_ref().map(|login| login.end().clone()) else { return };
        let (closed, draining) = (self.closed.clone(), self.gateway.draining.clone());
        let (disconnector, socket) = (self.disconnector.clone(), socket.clone());
        self.spawn(async move {
            tokio::select! {
                () = end.cancelled() => {
                    info!("the client's token has ended");
                    disconnector.disconnect(&socket);
                }
                // A shutdown does not wait for tokens to end.
                () = closed.cancelled() => {}
                () = draining.cancelled() => {}
            }
        });
    }

    pub(super) fn ended(&self, reason: DisconnectReason) {
        // The task that waits for the token's end holds the socket, which holds this session.
        self.closed.cancel();
        self.guard.ended(ConnectionEnd::Socketio(reason));
    }

    /// Whether the client keeps within its rate limit. A client that does not is warned once, and disconnected if it
    /// continues.
    pub(super) fn is_within_rate(&self, socket: &SocketRef) -> bool {
        match self.pace.lock().check(&self.gateway.metrics) {
            RateVerdict::Accept => return true,
            RateVerdict::Warn => {
                self.disconnect_if_full(socket, rooms::emit_answer(socket, "error", &fault(TOO_FAST.0, TOO_FAST.1)));
            }
            RateVerdict::Ignore => {}
            RateVerdict::Disconnect => {
                info!("disconnecting a Socket.IO client that keeps sending too fast");
                self.disconnector.disconnect(socket);
            }
        }
        false
    }

    /// Handles one command. Commands are handled in the order in which the client sends them.
    pub(super) fn on_command(
        self: &Arc<Self>,
        socket: &SocketRef,
        command: ClientCommand,
        data: Value,
        ack: AckSender,
    ) {
        if !self.is_within_rate(socket) {
            return;
        }
        let polling = PollingSession::of(socket);
        if polling.is_some_and(|session| !session.has_room()) {
            // The client sends commands and does not poll for the answers.
            return self.disconnector.disconnect_slow(socket, "answer");
        }
        let caller = Caller { as_message: command == ClientCommand::Message, ack: Some(ack) };
        // A `message` that stays one could not be understood.
        let (command, data) = unwrap_message(command, data).unwrap_or((ClientCommand::Message, Value::Null));
        let received = ReceivedCommand { command, data, caller };
        let mut state = self.state.lock();
        let is_deferred = command == ClientCommand::Subscribe && polling.is_some_and(|session| !session.may_ask());
        // A ping can be answered while the session is busy. Before the namespace is joined an answer would be lost.
        if is_deferred || (state.busy && (command != ClientCommand::Ping || !socket.connected())) {
            let was_busy = std::mem::replace(&mut state.busy, true);
            let refused = state.waiting.push(received);
            drop(state);
            if let Err(received) = refused {
                self.send_answer(
                    socket,
                    &received.caller,
                    "error",
                    &fault("busy", "the replay is still running; try again after it"),
                );
            }
            if !was_busy {
                self.wait_for_poll(socket);
            }
            return;
        }
        drop(state);
        self.execute(socket, received);
    }

    /// Executes a command. Returns whether it has started a replay, which continues in the background.
    fn execute(
        self: &Arc<Self>,
        socket: &SocketRef,
        ReceivedCommand { command, data, mut caller }: ReceivedCommand,
    ) -> Started {
        match command {
            ClientCommand::Ping => {
                let timestamp = data.get("timestamp").cloned();
                let pong = Pong { timestamp, server_time: iso(clock::wall()) };
                caller.acknowledge(socket, &pong);
                self.send_answer(socket, &caller, "pong", &pong);
            }
            ClientCommand::Unsubscribe => {
                let request = SubscriptionRequest::parse(&data, &self.gateway.instruments);
                let mut state = self.state.lock();
                let mut rest = state.topics.without(&request.topics);
                if request.user {
                    rest.published = Audiences::default();
                }
                // No symbols are added, so the sequence number is not used.
                state.completeness.set(&rest.signals, 0);
                state.topics = rest;
                drop(state);
                self.gateway.hub.with_snapshot(|_| self.leave_live(socket));
                self.send_faults(socket, &caller, &request);
                let answer = request.unsubscribed();
                caller.acknowledge_with(socket, &answer, &request);
                self.send_answer(socket, &caller, "unsubscribed", &answer);
            }
            ClientCommand::Subscribe => return self.subscribe(socket, &data, caller),
            ClientCommand::Message => {
                self.send_answer(
                    socket,
                    &caller,
                    "error",
                    &fault("invalid_message", "a message is an object with a known type"),
                );
            }
        }
        Started::Nothing
    }

    fn subscribe(self: &Arc<Self>, socket: &SocketRef, data: &Value, caller: Caller) -> Started {
        let mut request = SubscriptionRequest::parse(data, &self.gateway.instruments);
        let principal = self.login.as_ref().and_then(UserSession::user);
        if request.user && principal.is_none() {
            request.user = false;
            request.faults.push(self.token_required());
        }
        self.send_faults(socket, &caller, &request);
        // Read before the session's own lock is taken, because joining takes the two locks in the opposite order.
        let head = self.gateway.hub.position();
        let mut state = self.state.lock();
        // A client that already gets signals has not missed any; the same applies to messages.
        let joins_signals = state.topics.signals.is_none() && !request.topics.signals.is_none();
        let since = if joins_signals { request.since.clone().or(state.presented.since.take()) } else { None };
        // A cursor that is presented while signals are live cannot be resumed from in order.
        let late = request.since.as_deref().filter(|_| !joins_signals && !request.topics.signals.is_none());
        let late = late.map(|since| match resume::place(since, &head) {
            Some(seq) => {
                !state.topics.refilters(&request.topics) && state.completeness.covers(&request.topics.signals, seq)
            }
            None => false,
        });
        let joins_user = request.user && state.topics.published == Audiences::default();
        let missed = principal.filter(|_| joins_user).map(|who| {
            let last_event_id = request.last_event_id.take().or(state.presented.last_event_id.take());
            Backlog::new(self.gateway.published.clone(), Audiences::of_user(who.user.clone(), who.admin), last_event_id)
        });
        drop(state);
        let from = since.as_deref().map(|since| resume::reachable(since, &head));
        let recovered = from.map(|place| place.is_some()).or(late);
        let pending = PendingSubscription { request, caller: Some(caller), recovered, missed };
        match from.flatten() {
            Some(seq) => self.continue_in_background(socket, pending, Some(seq)),
            None => match self.join_with_snapshot(socket, pending) {
                None => Started::Nothing,
                Some(unfinished) => self.continue_in_background(socket, unfinished, None),
            },
        }
    }

    /// Continues in the background: with a replay from signal `seq`, or with the rest of a snapshot that did not fit
    /// into the client's queue.
    fn continue_in_background(
        self: &Arc<Self>,
        socket: &SocketRef,
        pending: PendingSubscription,
        seq: Option<u64>,
    ) -> Started {
        self.state.lock().busy = true;
        let (session, socket) = (self.clone(), socket.clone());
        self.spawn(async move {
            session.catch_up(&socket, pending, seq).await;
            session.execute_queued(&socket);
        });
        Started::Replay
    }

    fn token_required(&self) -> ErrorObject {
        let reason = match self.gateway.tokens.user(None) {
            Err(refusal @ AuthError::NotSet(_)) => refusal.to_string(),
            _ => "the channel 'user' needs a user token: auth {token}, Authorization: Bearer, or ?token=".to_owned(),
        };
        fault("token_required", reason)
    }

    /// Executes the queued commands, until one starts another replay. New commands are appended until the queue is
    /// empty, so they stay in order and run one at a time.
    pub(super) fn execute_queued(self: &Arc<Self>, socket: &SocketRef) {
        loop {
            let mut state = self.state.lock();
            let Some(received) = state.waiting.pop() else {
                state.busy = false;
                return;
            };
            drop(state);
            if self.execute(socket, received) == Started::Replay {
                return;
            }
        }
    }
}

impl Drop for ClientSession {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

/// Unwraps a `message`, which carries any of the other commands as `{"type":…}`, as an object or as text.
fn unwrap_message(command: ClientCommand, data: Value) -> Option<(ClientCommand, Value)> {
    if command != ClientCommand::Message {
        return Some((command, data));
    }
    let data = match data {
        Value::String(text) => serde_json::from_str(&text).ok()?,
        other => other,
    };
    let kind = data.get("type").and_then(Value::as_str)?;
    let command = ClientCommand::named(kind).filter(|command| *command != ClientCommand::Message);
    if command.is_none() {
        debug!(kind = short(kind), "a message of an unknown type");
    }
    Some((command?, data))
}
