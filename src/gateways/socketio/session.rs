//! One client on one namespace: what it is subscribed to, and how it gets there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use socketioxide::extract::{AckSender, SocketRef};
use socketioxide::socket::DisconnectReason;
use socketioxide::{SendError, SocketError, TransportType};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::cut::Cuts;
use super::rooms::{self, emit_signal};
use crate::auth::Login;
use crate::domain::{Position, Signal, iso};
use crate::gateways::Gateway;
use crate::gateways::command::{Request, fault, short};
use crate::gateways::dialects::orion::{self, Pong, Subscribed, Typed};
use crate::gateways::resume::{self, Gone, NoRoom, Resumed, Returning};
use crate::hub::{Present, Publication, Selection, Topics};
use crate::pipeline::clock;

/// What a client says while it still joins or catches up waits its turn, up to this many.
const MAX_WAITING: usize = 32;
/// A client that catches up and does not read is cut after this long.
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(10);
/// How often a full queue is looked at again while catching up.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(20);

/// What a client may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Subscribe,
    Unsubscribe,
    Ping,
    /// Any of the above as `{"type":…}`; answers go out as `message` too.
    Message,
}

/// Whether a command is still at work after it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    Nothing,
    Replay,
}

/// Where an answer goes.
struct Caller {
    /// Answers are wrapped as `message` instead of being events of their own.
    as_message: bool,
    ack: Option<AckSender>,
}

struct Said {
    command: Command,
    data: Value,
    caller: Caller,
}

#[derive(Default)]
struct State {
    topics: Topics,
    /// From the handshake, for the first subscription that presents none of its own.
    since: Option<String>,
    /// What the client says waits: it has not joined its namespace yet, or it catches up.
    busy: bool,
    waiting: VecDeque<Said>,
    end: Option<&'static str>,
}

/// A client on a namespace. Counts as connected until it is dropped.
pub(super) struct Session {
    gateway: Arc<Gateway>,
    cuts: Cuts,
    id: String,
    namespace: String,
    transport: &'static str,
    since: Instant,
    login: Option<Login>,
    /// Cancelled when the client is gone.
    closed: CancellationToken,
    state: Mutex<State>,
}

impl Session {
    pub(super) fn open(
        gateway: Arc<Gateway>,
        cuts: Cuts,
        socket: &SocketRef,
        login: Option<Login>,
        since: Option<String>,
    ) -> Self {
        let transport = transport_name(socket.transport_type());
        let session = Self {
            id: socket.id.to_string(),
            namespace: socket.ns().to_owned(),
            transport,
            since: Instant::now(),
            login,
            closed: CancellationToken::new(),
            state: Mutex::new(State { since, busy: true, ..State::default() }),
            gateway,
            cuts,
        };
        let labels = [session.transport, session.namespace.as_str()];
        session.gateway.metrics.connections.with_label_values(&labels).inc();
        session.gateway.metrics.connections_total.with_label_values(&labels).inc();
        info!(sid = %session.id, namespace = %session.namespace, transport, protocol = ?socket.protocol(), "Socket.IO client connected");
        session
    }

    /// Cuts the client when the user token that it came with ends. It comes back by itself, is refused at the handshake,
    /// and so knows that it has to log in.
    pub(super) fn end_with_login(&self, socket: &SocketRef) {
        let Some(end) = self.login.as_ref().map(|login| login.end().clone()) else { return };
        let (closed, cuts, socket, sid) = (self.closed.clone(), self.cuts.clone(), socket.clone(), self.id.clone());
        self.gateway.tasks.spawn_connection(async move {
            if closed.run_until_cancelled(end.cancelled()).await.is_some() {
                info!(sid, "the user token has ended");
                cuts.cut(&socket);
            }
        });
    }

    pub(super) fn ended(&self, reason: DisconnectReason) {
        self.state.lock().end = Some(match reason {
            DisconnectReason::TransportClose => "transport close",
            DisconnectReason::MultipleHttpPollingError => "multiple polls",
            DisconnectReason::PacketParsingError => "parse error",
            DisconnectReason::TransportError => "transport error",
            DisconnectReason::HeartbeatTimeout => "ping timeout",
            DisconnectReason::ClientNSDisconnect => "client disconnect",
            DisconnectReason::ServerNSDisconnect => "server disconnect",
            DisconnectReason::ClosingServer => "server closing",
        });
    }

    /// Takes one thing that the client says, in the order in which it says them.
    pub(super) fn take(self: &Arc<Self>, socket: &SocketRef, command: Command, data: Value, ack: AckSender) {
        let caller = Caller { as_message: command == Command::Message, ack: Some(ack) };
        // What stays a message could not be understood.
        let (command, data) = unwrap_message(command, data).unwrap_or((Command::Message, Value::Null));
        let said = Said { command, data, caller };
        let mut state = self.state.lock();
        // A ping can be answered meanwhile, but nothing at all before the namespace is joined: it would be lost.
        if state.busy && (command != Command::Ping || !socket.connected()) {
            if state.waiting.len() < MAX_WAITING {
                state.waiting.push_back(said);
            } else {
                drop(state);
                self.tell(
                    socket,
                    &said.caller,
                    "error",
                    &fault("busy", "the replay is still running; try again after it"),
                );
            }
            return;
        }
        drop(state);
        self.act(socket, said);
    }

    /// Does what was said. Says whether a replay has begun, which goes on by itself.
    fn act(self: &Arc<Self>, socket: &SocketRef, Said { command, data, mut caller }: Said) -> Begun {
        match command {
            Command::Ping => {
                let timestamp = data.get("timestamp").cloned();
                let pong = Pong { timestamp, server_time: iso(clock::wall()) };
                self.acknowledge(&mut caller, &pong);
                self.tell(socket, &caller, "pong", &pong);
            }
            Command::Unsubscribe => {
                let request = Request::parse(&data, &self.gateway.instruments);
                let mut state = self.state.lock();
                let rest = state.topics.without(&request.topics);
                let before = std::mem::replace(&mut state.topics, rest.clone());
                drop(state);
                self.gateway.hub.hold(|_| rooms::leave(socket, &before, &rest));
                self.report(socket, &caller, &request);
                let answer = request.unsubscribed();
                self.acknowledge_with(&mut caller, &answer, &request);
                self.tell(socket, &caller, "unsubscribed", &answer);
            }
            Command::Subscribe => return self.subscribe(socket, &data, caller),
            Command::Message => {
                self.tell(
                    socket,
                    &caller,
                    "error",
                    &fault("invalid_message", "a message is an object with a known type"),
                );
            }
        }
        Begun::Nothing
    }

    fn subscribe(self: &Arc<Self>, socket: &SocketRef, data: &Value, caller: Caller) -> Begun {
        let request = Request::parse(data, &self.gateway.instruments);
        self.report(socket, &caller, &request);
        // Read before our own lock is taken: joining takes the two the other way round.
        let head = self.gateway.hub.position();
        let mut state = self.state.lock();
        // Who already gets signals has missed none of them.
        let joins_signals = state.topics.signals.is_none() && !request.topics.signals.is_none();
        let since = if joins_signals { request.since.clone().or(state.since.take()) } else { None };
        let from = since.as_deref().map(|since| resume::place(since, &head));
        match from {
            Some(Some(seq)) => {
                state.busy = true;
                drop(state);
                let (session, socket) = (self.clone(), socket.clone());
                self.gateway.tasks.clone().spawn_connection(async move {
                    session.catch_up(socket, seq, request, caller).await;
                });
                return Begun::Replay;
            }
            Some(None) => {
                drop(state);
                self.join_with_snapshot(socket, &request, caller, Some(false));
            }
            None => {
                drop(state);
                self.join_with_snapshot(socket, &request, caller, None);
            }
        }
        Begun::Nothing
    }

    /// Snapshot of what is newly joined, then live: one step against publishing.
    fn join_with_snapshot(&self, socket: &SocketRef, request: &Request, caller: Caller, recovered: Option<bool>) {
        self.gateway.hub.hold(|present| {
            let before = self.state.lock().topics.clone();
            self.emit_prices(socket, present, &request.topics.prices, &before.prices);
            let signals =
                present.signals(|symbol| request.topics.signals.contains(symbol) && !before.signals.contains(symbol));
            for publication in &signals {
                self.delivered(socket, emit_signal(socket, publication));
            }
            self.join(socket, present, request, caller, recovered);
        });
    }

    /// Brings the client from `seq` to the present, then joins it.
    async fn catch_up(self: Arc<Self>, socket: SocketRef, seq: u64, request: Request, caller: Caller) {
        let mut returning = Comeback { session: &self, socket: &socket, request: &request, caller: Some(caller) };
        match resume::resume(&self.gateway.hub, &self.gateway.log, seq, &mut returning).await {
            Ok(Resumed::Joined) => {}
            Ok(Resumed::Gone) => self.cuts.cut(&socket),
            impossible => {
                if let Err(error) = impossible {
                    // It is told, and gets its prices: those must not wait for a disk.
                    warn!(sid = %self.id, %error, "a replay could not be read");
                }
                if let Some(caller) = returning.caller {
                    self.join_with_snapshot(&socket, &request, caller, Some(false));
                }
            }
        }
        self.listen(&socket);
    }

    /// Does what the client said meanwhile; a further replay puts the rest off again. What it says now goes to the end of
    /// the line until the line is empty, so that nothing overtakes and no two things are done at a time.
    pub(super) fn listen(self: &Arc<Self>, socket: &SocketRef) {
        loop {
            let mut state = self.state.lock();
            let Some(said) = state.waiting.pop_front() else {
                state.busy = false;
                return;
            };
            drop(state);
            if self.act(socket, said) == Begun::Replay {
                return;
            }
        }
    }

    fn emit_prices(&self, socket: &SocketRef, present: &Present, wanted: &Selection, before: &Selection) {
        for publication in present.prices(|symbol| wanted.contains(symbol) && !before.contains(symbol)) {
            self.delivered(socket, rooms::emit_price(socket, &publication));
        }
    }

    fn join(
        &self,
        socket: &SocketRef,
        present: &Present,
        request: &Request,
        mut caller: Caller,
        recovered: Option<bool>,
    ) {
        let mut state = self.state.lock();
        state.topics = state.topics.with(&request.topics);
        rooms::join(socket, &state.topics);
        drop(state);
        let answer = Subscribed {
            channels: request.channels(),
            symbols: request.symbol_list(),
            cursor: present.position().to_string(),
            recovered,
        };
        self.acknowledge_with(&mut caller, &answer, request);
        self.tell(socket, &caller, "subscribed", &answer);
    }

    fn report(&self, socket: &SocketRef, caller: &Caller, request: &Request) {
        for fault in &request.faults {
            self.tell(socket, caller, "error", fault);
        }
    }

    /// The acknowledgement carries the first fault beside the answer: what was valid still holds.
    fn acknowledge_with<T: Serialize>(&self, caller: &mut Caller, answer: &T, request: &Request) {
        #[derive(Serialize)]
        struct Both<'a, T> {
            #[serde(flatten)]
            answer: &'a T,
            #[serde(flatten)]
            fault: Option<&'a orion::ErrorObject>,
        }
        self.acknowledge(caller, &Both { answer, fault: request.faults.first() });
    }

    fn acknowledge<T: Serialize>(&self, caller: &mut Caller, answer: &T) {
        if let Some(ack) = caller.ack.take()
            && let Err(error) = ack.send(answer)
        {
            debug!(sid = %self.id, %error, "an acknowledgement was not sent");
        }
    }

    fn tell<T: Serialize>(&self, socket: &SocketRef, caller: &Caller, event: &'static str, answer: &T) {
        let sent = if caller.as_message {
            socket.emit("message", &Typed { kind: event, fields: answer })
        } else {
            socket.emit(event, answer)
        };
        self.delivered(socket, sent);
    }

    /// A client whose queue is full would miss something without knowing: it is cut, comes back, and catches up.
    #[expect(clippy::needless_pass_by_value, reason = "it is the result of an emit, judged on the spot")]
    fn delivered(&self, socket: &SocketRef, sent: Result<(), SendError>) {
        if let Err(SendError::Socket(SocketError::InternalChannelFull)) = sent {
            self.cuts.cut(socket);
        }
    }
}

/// A client that fills its gap: it is in no live room until it has.
struct Comeback<'a> {
    session: &'a Session,
    socket: &'a SocketRef,
    request: &'a Request,
    caller: Option<Caller>,
}

impl Returning for Comeback<'_> {
    async fn send(&mut self, page: Vec<(Position, Signal)>) -> Result<(), Gone> {
        let wanted = &self.request.topics.signals;
        for (position, signal) in page.iter().filter(|(_, signal)| wanted.contains(&signal.symbol)) {
            let until = Instant::now() + CATCH_UP_PATIENCE;
            loop {
                match rooms::emit_replayed(self.socket, signal, position) {
                    Ok(()) => break,
                    Err(SendError::Socket(SocketError::InternalChannelFull)) if Instant::now() < until => {
                        tokio::time::sleep(CATCH_UP_PAUSE).await;
                    }
                    Err(_) => return Err(Gone),
                }
            }
        }
        Ok(())
    }

    fn join(&mut self, present: &Present, rest: Vec<Arc<Publication>>) -> Result<(), NoRoom> {
        let (session, socket, wanted) = (self.session, self.socket, &self.request.topics);
        let mut reached = None;
        let full =
            |sent: &Result<(), SendError>| matches!(sent, Err(SendError::Socket(SocketError::InternalChannelFull)));
        for publication in &rest {
            if wanted.contain(publication.event()) && full(&emit_signal(socket, publication)) {
                return Err(NoRoom { reached });
            }
            reached = publication.seq();
        }
        let before = session.state.lock().topics.prices.clone();
        for price in present.prices(|symbol| wanted.prices.contains(symbol) && !before.contains(symbol)) {
            if full(&rooms::emit_price(socket, &price)) {
                return Err(NoRoom { reached });
            }
        }
        if let Some(caller) = self.caller.take() {
            session.join(socket, present, self.request, caller, Some(true));
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.closed.cancel();
        let metrics = &self.gateway.metrics;
        metrics.connections.with_label_values(&[self.transport, self.namespace.as_str()]).dec();
        let reason = self.state.lock().end.unwrap_or("left while connecting");
        metrics.disconnects_total.with_label_values(&[self.namespace.as_str(), reason]).inc();
        let seconds = self.since.elapsed().as_secs_f64();
        info!(sid = %self.id, namespace = %self.namespace, reason, seconds, "Socket.IO client disconnected");
    }
}

fn transport_name(transport: TransportType) -> &'static str {
    match transport {
        TransportType::Polling => "polling",
        TransportType::Websocket => "websocket",
    }
}

/// `message` carries any of the others as `{"type":…}`, as an object or as its text.
fn unwrap_message(command: Command, data: Value) -> Option<(Command, Value)> {
    if command != Command::Message {
        return Some((command, data));
    }
    let data = match data {
        Value::String(text) => serde_json::from_str(&text).ok()?,
        other => other,
    };
    let command = match data.get("type").and_then(Value::as_str)? {
        "subscribe" => Command::Subscribe,
        "unsubscribe" => Command::Unsubscribe,
        "ping" => Command::Ping,
        other => {
            debug!(kind = short(other), "a message of an unknown type");
            return None;
        }
    };
    Some((command, data))
}
