//! The rooms, and what is emitted into them.

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::value::RawValue;
use socketioxide::extract::SocketRef;
use socketioxide::{SendError, SocketError, SocketIo};

use super::NAMESPACES;
use super::cut::Cuts;
use crate::domain::{Event, Position, Signal, Symbol};
use crate::gateways::dialects::orion::{self, Meta, SignalObject};
use crate::hub::{Publication, Selection, Sink, Topics};
use crate::telemetry::Metrics;

/// Rooms of all Socket.IO clients.
#[derive(Clone)]
pub struct Rooms {
    io: SocketIo,
    cuts: Cuts,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Rooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rooms").finish_non_exhaustive()
    }
}

impl Rooms {
    pub(super) fn new(io: SocketIo, cuts: Cuts, metrics: Arc<Metrics>) -> Self {
        Self { io, cuts, metrics }
    }

    /// Emits a signal to everybody in its rooms, one by one: only so a client whose queue is full is known by name, and
    /// signals are few.
    fn emit_to_room(&self, namespace: &str, publication: &Arc<Publication>, rooms: Vec<Cow<'static, str>>) -> usize {
        let Some(namespace) = self.io.of(namespace) else { return 0 };
        let sockets = namespace.to(rooms).sockets();
        for socket in &sockets {
            if let Err(SendError::Socket(SocketError::InternalChannelFull)) = emit_signal(socket, publication) {
                self.metrics.dropped_total.with_label_values(&["socketio"]).inc();
                self.cuts.cut(socket);
            }
        }
        sockets.len()
    }

    /// Emits a price to everybody in its rooms at once. A full queue loses it: what waits there is older, and the next
    /// signal or the stalled write cuts the client.
    fn broadcast_price(&self, namespace: &str, object: &RawValue, rooms: Vec<Cow<'static, str>>) {
        let Some(namespace) = self.io.of(namespace) else { return };
        // With the local adapter the future is ready when it is made.
        if let Some(Err(_)) = namespace.to(rooms).emit("price_update", object).now_or_never() {
            self.metrics.dropped_total.with_label_values(&["socketio"]).inc();
        }
    }
}

impl Sink for Rooms {
    fn clients(&self) -> usize {
        NAMESPACES.iter().filter_map(|name| self.io.of(*name)).map(|namespace| namespace.sockets().len()).sum()
    }

    fn deliver(&self, batch: &[Arc<Publication>]) {
        let busy = NAMESPACES.map(|name| self.io.of(name).is_some_and(|namespace| !namespace.sockets().is_empty()));
        for publication in batch {
            for (namespace, busy) in NAMESPACES.into_iter().zip(busy) {
                if !busy {
                    continue;
                }
                match publication.event() {
                    Event::Price(update) => {
                        if let Some(object) = raw(publication) {
                            self.broadcast_price(namespace, object, rooms_of("prices", &update.symbol));
                        }
                    }
                    Event::Signal(signal) => {
                        let receivers = self.emit_to_room(namespace, publication, rooms_of("signals", &signal.symbol));
                        let delivered = self.metrics.deliveries_total.with_label_values(&["signal", "socketio"]);
                        delivered.inc_by(receivers as u64);
                    }
                    Event::Published(_) => {}
                }
            }
        }
    }
}

fn rooms_of(channel: &'static str, symbol: &Symbol) -> Vec<Cow<'static, str>> {
    vec![Cow::Borrowed(channel), Cow::Owned(format!("{channel}:{symbol}"))]
}

fn names(topics: &Topics) -> Vec<Cow<'static, str>> {
    let channels = [("prices", &topics.prices), ("signals", &topics.signals)];
    let mut names = Vec::new();
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

/// Puts the client into the rooms of `topics`, and into no other. A client is in a channel's room or in rooms of its symbols.
pub(super) fn join(socket: &SocketRef, topics: &Topics) {
    let wanted = names(topics);
    let old: Vec<_> = socket.rooms().into_iter().filter(|room| !wanted.contains(room)).collect();
    socket.leave(old);
    socket.join(wanted);
}

/// Takes the client out of the rooms of `before` that are not in `rest`.
pub(super) fn leave(socket: &SocketRef, before: &Topics, rest: &Topics) {
    let keep = names(rest);
    let old: Vec<_> = names(before).into_iter().filter(|room| !keep.contains(room)).collect();
    socket.leave(old);
}

/// Emits a price to one client.
pub(super) fn emit_price(socket: &SocketRef, publication: &Arc<Publication>) -> Result<(), SendError> {
    raw(publication).map_or(Ok(()), |object| socket.emit("price_update", object))
}

/// Emits a signal with its cursor to one client.
pub(super) fn emit_signal(socket: &SocketRef, publication: &Arc<Publication>) -> Result<(), SendError> {
    let Some(object) = raw(publication) else { return Ok(()) };
    let cursor = publication.position().map(ToString::to_string).unwrap_or_default();
    socket.emit("signal", &(object, Meta { cursor }))
}

/// Emits a signal from the log to one client.
pub(super) fn emit_replayed(socket: &SocketRef, signal: &Signal, position: &Position) -> Result<(), SendError> {
    socket.emit("signal", &(SignalObject::from(signal), Meta { cursor: position.to_string() }))
}

/// What we encoded ourselves, to be embedded as it is.
fn raw(publication: &Arc<Publication>) -> Option<&RawValue> {
    serde_json::from_str(orion::object(publication)?).ok()
}
