//! The server's own messages: the objects of signals and prices over Socket.IO and HTTP, and the answers to commands.
//!
//! Field names and their order follow the documents; the server's own fields come after them. Dashboards embed
//! these objects where they read the same.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::requests::ChannelName;
use crate::domain::number::{Numbers, number, optional};
use crate::domain::{
    AppliedCalibration, Bar, Direction, Event, Killzone, Presence, PriceUpdate, Quality, Signal, SignalFilter,
    SignalState, SignalStatus, Symbol, iso, new_york,
};
use crate::hub::{Encoding, Envelope, Hub, Topics};
use crate::pipeline::clock;

/// The slot of the bare objects.
pub const OBJECT: Encoding = Encoding::new(0);

/// A complete signal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Signal)]
pub struct SignalObject<'a> {
    id: &'a str,
    #[schema(value_type = SignalStatus)]
    status: &'static str,
    #[schema(value_type = Direction)]
    direction: &'static str,
    symbol: &'a str,
    #[schema(format = DateTime)]
    entry_time: String,
    #[serde(serialize_with = "optional")]
    #[schema(required)]
    entry_price: Option<f64>,
    #[serde(serialize_with = "optional")]
    #[schema(required)]
    stop_loss: Option<f64>,
    #[schema(value_type = Vec<f64>)]
    take_profits: Option<Numbers<'a>>,
    /// One label for each target, such as `TP1 30%`; may be empty.
    tp_modes: &'a [String],
    reason: &'a str,
    /// 0 to 1.
    #[serde(serialize_with = "number")]
    confidence: f64,
    #[serde(serialize_with = "number")]
    rr_target: f64,
    #[schema(value_type = Killzone)]
    killzone: &'static str,
    /// False if `killzone` is the previous window, because none is active.
    killzone_active: bool,
    /// The same as `entry_price`, for older clients.
    #[serde(serialize_with = "optional")]
    #[schema(required)]
    price: Option<f64>,
    /// Time of the last change.
    #[schema(format = DateTime)]
    updated_at: String,
    /// When the server ends the signal if it is still pending.
    #[schema(format = DateTime)]
    expires_at: String,
    /// Why it was invalidated: `timeout`, `stop_touched`, `manual` and others.
    #[schema(required)]
    invalidation: Option<&'a str>,
    source: &'a str,
    /// The mapping that made `confidence` of the model score, if the operator applies one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    calibration: Option<&'a AppliedCalibration>,
}

impl<'a> From<&'a Signal> for SignalObject<'a> {
    fn from(signal: &'a Signal) -> Self {
        Self {
            id: signal.id.as_str(),
            status: signal.state.status().name(),
            direction: signal.direction.name(),
            symbol: signal.symbol.as_str(),
            entry_time: iso(signal.entry_time),
            entry_price: signal.entry_price,
            stop_loss: signal.stop_loss,
            take_profits: Some(Numbers(&signal.take_profits)),
            tp_modes: &signal.tp_modes,
            reason: &signal.reason,
            confidence: signal.confidence,
            rr_target: signal.rr_target,
            killzone: signal.killzone.name(),
            killzone_active: signal.killzone.is_active(signal.entry_time),
            price: signal.entry_price,
            updated_at: iso(signal.updated_at),
            expires_at: iso(signal.expires_at),
            invalidation: match &signal.state {
                SignalState::Invalidated(reason) => Some(reason.as_str()),
                _ => None,
            },
            source: signal.source.as_str(),
            calibration: signal.calibration.as_ref(),
        }
    }
}

impl SignalObject<'_> {
    /// Writes null in place of an empty list of targets.
    #[must_use]
    pub(crate) fn without_empty_targets(self) -> Self {
        Self { take_profits: self.take_profits.filter(|targets| !targets.0.is_empty()), ..self }
    }
}

/// A price.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Price)]
pub struct PriceObject<'a> {
    symbol: &'a str,
    /// The middle of bid and ask, or the last price where they are missing.
    #[serde(serialize_with = "number")]
    price: f64,
    /// When the price was observed.
    #[schema(format = DateTime)]
    timestamp: String,
    /// Relative to the previously published price.
    #[serde(serialize_with = "number")]
    change: f64,
    /// In percent: 0.02 is 0.02 %.
    #[serde(serialize_with = "number")]
    change_percent: f64,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    volume: Option<f64>,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    bid: Option<f64>,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ask: Option<f64>,
    #[schema(value_type = Quality)]
    quality: &'static str,
    source: &'a str,
}

impl<'a> From<&'a PriceUpdate> for PriceObject<'a> {
    fn from(update: &'a PriceUpdate) -> Self {
        Self {
            symbol: update.symbol.as_str(),
            price: update.price,
            timestamp: iso(update.timestamp),
            change: update.change,
            change_percent: update.change_percent,
            volume: update.volume,
            bid: update.bid_ask.map(|(bid, _)| bid),
            ask: update.bid_ask.map(|(_, ask)| ask),
            quality: update.quality.name(),
            source: update.source.as_str(),
        }
    }
}

/// A bar.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Bar)]
pub struct BarObject {
    #[schema(format = DateTime)]
    time: String,
    #[serde(serialize_with = "number")]
    open: f64,
    #[serde(serialize_with = "number")]
    high: f64,
    #[serde(serialize_with = "number")]
    low: f64,
    #[serde(serialize_with = "number")]
    close: f64,
    #[serde(serialize_with = "number")]
    volume: f64,
}

impl From<&Bar> for BarObject {
    fn from(bar: &Bar) -> Self {
        let Bar { opened_at, open, high, low, close, volume, .. } = *bar;
        Self { time: iso(opened_at), open, high, low, close, volume }
    }
}

/// The killzone clock, in the wall-clock time of New York.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = KillzoneChange)]
pub struct KillzoneObject {
    #[schema(format = DateTime)]
    pub(crate) timestamp: String,
    /// The same in New York, with its offset from UTC.
    #[schema(format = DateTime)]
    pub(crate) new_york: String,
    /// The window that is open; null between two windows.
    #[schema(required)]
    pub(crate) killzone: Option<Killzone>,
    /// When that changes: the open window ends, or the next one begins.
    #[schema(format = DateTime)]
    pub(crate) changes_at: String,
    pub(crate) seconds_to_change: i64,
    /// The window that begins next.
    pub(crate) next: NextKillzoneObject,
}

/// The window that begins next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = NextKillzone)]
pub struct NextKillzoneObject {
    killzone: Killzone,
    #[schema(format = DateTime)]
    begins_at: String,
    seconds: i64,
}

impl KillzoneObject {
    /// Returns the clock at `now`.
    pub fn at(now: DateTime<Utc>) -> Self {
        let seconds = |at: DateTime<Utc>| (at - now).num_seconds();
        let changes_at = Killzone::next_change(now);
        let (next, begins_at) = Killzone::next_begin(now);
        Self {
            timestamp: iso(now),
            new_york: new_york(now),
            killzone: Killzone::active_at(now),
            changes_at: iso(changes_at),
            seconds_to_change: seconds(changes_at),
            next: NextKillzoneObject { killzone: next, begins_at: iso(begins_at), seconds: seconds(begins_at) },
        }
    }
}

/// How many clients are watching. In a cluster each node counts its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Presence)]
pub struct PresenceObject {
    #[schema(format = DateTime)]
    pub(crate) timestamp: String,
    /// The clients of the node that sends this.
    pub(crate) this_node: Presence,
}

impl PresenceObject {
    /// Returns the counts at `now`.
    pub fn at(now: DateTime<Utc>, this_node: Presence) -> Self {
        Self { timestamp: iso(now), this_node }
    }
}

/// Returns the current killzone clock and the presence as events, as far as a client has just subscribed to them. The client
/// is counted already.
pub fn current_states(topics: &Topics, hub: &Hub) -> impl Iterator<Item = Arc<Envelope>> {
    let now = clock::wall();
    let events =
        [topics.clock.then_some(Event::Killzone(now)), topics.presence.then(|| Event::Presence(now, hub.presence()))];
    events.into_iter().flatten().map(|event| Arc::new(Envelope::unplaced(event)))
}

/// Returns the bare object of an event, encoded once; `None` for relayed messages.
pub fn object(publication: &Arc<Envelope>) -> Option<&Utf8Bytes> {
    let objects = publication.encoded(OBJECT, |publication| match publication.event() {
        Event::Signal(signal) => vec![encode(&SignalObject::from(signal.as_ref()))],
        Event::Price(update) => vec![encode(&PriceObject::from(update.as_ref()))],
        Event::Killzone(at) => vec![encode(&KillzoneObject::at(*at))],
        Event::Presence(at, presence) => vec![encode(&PresenceObject::at(*at, *presence))],
        Event::Cursor(position) => vec![encode(&SignalMeta { cursor: position.to_string() })],
        Event::RelayedMessage(_) => Vec::new(),
    });
    objects.first()
}

/// Encodes one of the server's wire structs.
pub fn encode<T: Serialize>(value: &T) -> Utf8Bytes {
    // The wire structs have string keys and finite numbers only, so encoding cannot fail.
    serde_json::to_string(value).unwrap_or_default().into()
}

/// A position in the log: emitted to Socket.IO clients beside a signal, and as a message of its own to clients whose
/// filters have left out the signals before it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SignalMeta {
    /// Cursor of the position.
    pub cursor: String,
}

/// The answer to `subscribe`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Subscribed {
    /// Requested channels that exist.
    #[schema(value_type = Vec<ChannelName>)]
    pub channels: Vec<&'static str>,
    /// Symbols to which they are narrowed; null for all.
    #[schema(required)]
    pub symbols: Option<Vec<Symbol>>,
    /// Those of the symbols that no source feeds now; absent when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unfed: Vec<Symbol>,
    /// Cursor after which live events begin.
    pub cursor: String,
    /// Whether the gap since the presented cursors was filled; null when none was presented.
    #[schema(required)]
    pub recovered: Option<bool>,
    /// Version of the interface.
    pub protocol: u32,
    /// How far back the snapshot of ended signals reaches, if the client asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub replay: Option<String>,
    /// Limit on the prices per second of each symbol, if the client asked for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub max_hz: Option<f64>,
    /// The filters of the signals; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<SignalFilter>)]
    pub filters: Option<Arc<SignalFilter>>,
    /// With the channel `user`: number of the last published message, after which live messages begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last_event_id: Option<u64>,
}

/// The answer to `unsubscribe`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Unsubscribed {
    /// Named channels that exist.
    #[schema(value_type = Vec<ChannelName>)]
    pub channels: Vec<&'static str>,
    /// Named symbols; null for all.
    #[schema(required)]
    pub symbols: Option<Vec<Symbol>>,
}

/// The answer to `ping`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Pong {
    /// The client's own time, unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Value>,
    /// The server's time.
    #[schema(format = DateTime)]
    pub server_time: String,
}

/// An error: a client's message could not be handled.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ServerError)]
pub struct ErrorObject {
    /// A sentence for a person.
    pub error: String,
    /// A code for a program.
    pub code: &'static str,
}

/// A native frame whose fields stand beside its type.
#[derive(Debug, Serialize)]
pub struct Typed<'a, T> {
    /// Type of the frame.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its fields.
    #[serde(flatten)]
    pub fields: &'a T,
}
