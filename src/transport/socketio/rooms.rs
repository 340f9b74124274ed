//! Socket.IO rooms, and what is emitted to them. Clients over long polling are in rooms; the others have lanes.

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::FutureExt;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use socketioxide::extract::SocketRef;
use socketioxide::{SendError, SocketError, SocketIo};

use super::disconnector::Disconnector;
use super::personal;
use super::polling::PollingSession;
use super::session::ClientSession;
use super::{Headcount, NAMESPACES};
use crate::domain::{Audience, Class, Delay, Event, Position, RelayedMessage, Signal, Symbol};
use crate::hub::{Envelope, Selection, Sink, Topics};
use crate::telemetry::Metrics;
use crate::transport::cursor::MessageCursor;
use crate::transport::events::{PublishedTypes, UserData};
use crate::transport::messages::{self, SignalMeta, SignalObject};

/// The room of the clients that filter signals.
const FILTERED: &str = "filtered";
/// The room of the clients with the killzone clock.
const CLOCK: &str = "clock";
/// The room of the clients with the presence.
const PRESENCE: &str = "presence";

/// Delivers to the Socket.IO clients that poll.
#[derive(Clone)]
pub struct Rooms {
    io: SocketIo,
    headcount: Arc<Headcount>,
    disconnector: Disconnector,
    /// Types of messages, some of which users get.
    types: Arc<PublishedTypes>,
    /// Log that the sequence numbers of messages refer to.
    log: Position,
    metrics: Arc<Metrics>,
    /// How late what is emitted is: each delay has rooms of its own.
    delay: Delay,
}

impl std::fmt::Debug for Rooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rooms").finish_non_exhaustive()
    }
}

impl Rooms {
    pub(super) fn new(
        io: SocketIo,
        headcount: Arc<Headcount>,
        disconnector: Disconnector,
        types: Arc<PublishedTypes>,
        log: Position,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { io, headcount, disconnector, types, log, metrics, delay: Delay::NONE }
    }

    /// Returns the rooms of clients with a delay.
    #[must_use]
    pub fn later(&self, delay: Delay) -> Self {
        Self { delay, ..self.clone() }
    }

    /// Emits to each client in the rooms, one by one, because only then the client with a full queue is known. `missed`
    /// says in the log what that client misses.
    fn emit_to_each(
        &self,
        namespace: &str,
        (missed, event): (&str, &Event),
        rooms: Vec<Cow<'static, str>>,
        emit: impl Fn(&SocketRef) -> Result<(), SendError>,
    ) {
        let Some(namespace) = self.io.of(namespace) else { return };
        let mut sockets = namespace.to(rooms).sockets();
        if let Event::Signal(signal) = event {
            sockets.retain(|socket| ClientSession::of(socket).is_none_or(|session| session.wants_signal(signal)));
        }
        for socket in &sockets {
            if is_full(&emit(socket)) {
                self.disconnector.disconnect_slow(socket, missed);
            }
        }
        self.metrics
            .deliveries_total
            .with_label_values(&[class_label(event.class()), "socketio"])
            .inc_by(sockets.len() as u64);
    }

    /// Emits an event without a second argument to each client in a room.
    fn emit_object(&self, namespace: &str, publication: &Arc<Envelope>, room: &'static str) {
        let (event, room) = (publication.event(), of_delay(self.delay, Cow::Borrowed(room)));
        self.emit_to_each(namespace, (event.kind(), event), vec![room], |socket| emit_object(socket, publication));
    }

    /// Emits a message to its audience. This includes states: it is unknown when the next one follows, so a client that
    /// would lose one is disconnected and gets it when it reconnects.
    fn emit_published(&self, namespace: &str, event: &Event, published: &RelayedMessage, data: UserData) {
        let class = class_label(event.class());
        let cursor = MessageCursor::new(&self.log, published.seq);
        let data = data(published);
        let room = of_delay(self.delay, room_of(&published.audience));
        self.emit_to_each(namespace, (class, event), vec![room], |socket| {
            personal::emit(socket, published, &data, &cursor)
        });
    }

    /// Emits a price to its rooms as one broadcast. A full queue loses it: the queued prices are older, and the next
    /// signal or the stalled write disconnects the client.
    fn broadcast_price(&self, namespace: &str, object: &RawValue, rooms: Vec<Cow<'static, str>>) {
        let Some(namespace) = self.io.of(namespace) else { return };
        // With the local adapter the future completes at once.
        self.disconnector.sessions().count_broadcast();
        if let Some(Err(_)) = namespace.to(rooms).emit("price_update", object).now_or_never() {
            self.metrics.dropped_total.with_label_values(&["socketio"]).inc();
        }
    }
}

impl Sink for Rooms {
    fn deliver(&self, batch: &[Arc<Envelope>]) {
        for namespace in NAMESPACES.into_iter().filter(|namespace| !self.headcount.is_empty(namespace)) {
            for publication in batch {
                let event = publication.event();
                match event {
                    Event::Price(update) => {
                        if let Some(object) = raw(publication) {
                            self.broadcast_price(namespace, object, rooms_of("prices", &update.symbol, self.delay));
                        }
                    }
                    Event::Signal(signal) => {
                        let rooms = rooms_of("signals", &signal.symbol, self.delay);
                        self.emit_to_each(namespace, ("signal", event), rooms, |socket| {
                            emit_signal(socket, publication)
                        });
                    }
                    Event::Cursor(_) => self.emit_object(namespace, publication, FILTERED),
                    Event::Killzone(_) => self.emit_object(namespace, publication, CLOCK),
                    Event::Presence(..) => self.emit_object(namespace, publication, PRESENCE),
                    Event::RelayedMessage(published) => {
                        if let Some(data) = self.types.on_user_streams(published.kind) {
                            self.emit_published(namespace, event, published, data);
                        }
                    }
                }
            }
        }
    }
}

fn class_label(class: Class) -> &'static str {
    match class {
        Class::Ordered => "ordered",
        Class::State => "state",
    }
}

/// Returns the room of the users who may read messages for `audience`. Every user id has its own room.
fn room_of(audience: &Audience) -> Cow<'static, str> {
    match audience {
        Audience::All => Cow::Borrowed("users"),
        Audience::Admin => Cow::Borrowed("admin"),
        Audience::User(user) => Cow::Owned(format!("user:{user}")),
    }
}

/// Returns the room of the clients with a delay. No other room begins with a number.
fn of_delay(delay: Delay, room: Cow<'static, str>) -> Cow<'static, str> {
    if delay.is_none() { room } else { Cow::Owned(format!("{}:{room}", delay.seconds())) }
}

fn rooms_of(channel: &'static str, symbol: &Symbol, delay: Delay) -> Vec<Cow<'static, str>> {
    let rooms = [Cow::Borrowed(channel), Cow::Owned(format!("{channel}:{symbol}"))];
    rooms.map(|room| of_delay(delay, room)).into()
}

fn names(topics: &Topics) -> Vec<Cow<'static, str>> {
    let channels = [("prices", &topics.prices), ("signals", &topics.signals)];
    let mut names: Vec<_> = topics.published.each().map(|audience| room_of(&audience)).collect();
    let filters = topics.filter.is_some() && !topics.signals.is_none();
    names.extend(filters.then_some(Cow::Borrowed(FILTERED)));
    names.extend(topics.clock.then_some(Cow::Borrowed(CLOCK)));
    names.extend(topics.presence.then_some(Cow::Borrowed(PRESENCE)));
    for (channel, selection) in channels {
        match selection {
            Selection::None => {}
            Selection::All => names.push(Cow::Borrowed(channel)),
            Selection::Only(symbols) => {
                names.extend(symbols.iter().map(|symbol| Cow::Owned(format!("{channel}:{symbol}"))));
            }
        }
    }
    names
}

/// Puts the client into the rooms of `topics`, and only these. A client is in a channel's room or in rooms of its
/// symbols.
pub(super) fn join(socket: &SocketRef, topics: &Topics, delay: Delay) {
    let wanted: Vec<_> = names(topics).into_iter().map(|room| of_delay(delay, room)).collect();
    let old: Vec<_> = socket.rooms().into_iter().filter(|room| !wanted.contains(room)).collect();
    socket.leave(old);
    socket.join(wanted);
    // A client that has disconnected meanwhile would stay in them for good.
    if !socket.connected() {
        socket.leave_all();
    }
}

/// Whether an event was lost because the client's queue was full.
pub(super) fn is_full(sent: &Result<(), SendError>) -> bool {
    matches!(sent, Err(SendError::Socket(SocketError::InternalChannelFull)))
}

/// Usual upper bound on the size of an answer or a price, in bytes.
const SMALL_BYTES: usize = 512;

/// Emits to one client. For a client that polls, the waiting bytes are limited too.
pub(super) fn emit<T: Serialize + ?Sized>(
    socket: &SocketRef,
    event: &str,
    data: &T,
    bytes: usize,
) -> Result<(), SendError> {
    if let Some(session) = PollingSession::of(socket) {
        if !session.has_room() {
            return Err(SendError::Socket(SocketError::InternalChannelFull));
        }
        session.count_sent(bytes);
    }
    socket.emit(event, data)
}

/// Emits an answer to one client.
pub(super) fn emit_answer<T: Serialize>(socket: &SocketRef, event: &'static str, answer: &T) -> Result<(), SendError> {
    emit(socket, event, answer, SMALL_BYTES)
}

/// Counts an acknowledgement to a client that may poll.
pub(super) fn count_acknowledged(socket: &SocketRef) {
    if let Some(session) = PollingSession::of(socket) {
        session.count_sent(SMALL_BYTES);
    }
}

/// Emits an event without a second argument to one client.
pub(super) fn emit_object(socket: &SocketRef, publication: &Arc<Envelope>) -> Result<(), SendError> {
    raw(publication).map_or(Ok(()), |object| emit(socket, publication.event().kind(), object, SMALL_BYTES))
}

/// Emits a signal with its cursor to one client.
pub(super) fn emit_signal(socket: &SocketRef, publication: &Arc<Envelope>) -> Result<(), SendError> {
    let Some(object) = raw(publication) else { return Ok(()) };
    let cursor = publication.position().map(ToString::to_string).unwrap_or_default();
    emit(socket, "signal", &(object, SignalMeta { cursor }), object.get().len())
}

/// Emits a signal from the log to one client.
pub(super) fn emit_replayed(socket: &SocketRef, signal: &Signal, position: &Position) -> Result<(), SendError> {
    let Ok(object) = to_raw_value(&SignalObject::from(signal)) else { return Ok(()) };
    emit(socket, "signal", &(&object, SignalMeta { cursor: position.to_string() }), object.get().len())
}

/// Returns the event's own encoding, to be embedded as it is.
fn raw(publication: &Arc<Envelope>) -> Option<&RawValue> {
    serde_json::from_str(messages::object(publication)?).ok()
}
