//! Encoding of the frames.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::spelling::{Bot, executed, spelled};
use super::{ServerState, system_health, whale};
use crate::dashboards::bots::publish::is_read;
use crate::dashboards::bots::types;
use crate::domain::{Class, Event, InstrumentClass, Instruments, Position, PriceUpdate, RelayedMessage, Symbol, iso};
use crate::hub::{Encoding, Envelope};
use crate::transport::cursor::MessageCursor;
use crate::transport::messages::{PriceObject, encode};

/// The slot of the frames.
pub(crate) const ENCODING: Encoding = Encoding::new(4);

/// Behind the data: the time, and for ordered messages the position in their order.
#[derive(Debug, Serialize)]
struct MessagePosition {
    ts: String,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// The transport, as the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// WebSocket.
    WebSocket,
    /// Server-sent events.
    ServerSentEvents,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "ws",
            Self::ServerSentEvents => "sse",
        }
    }
}

/// Why a connection is closed, for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closing {
    /// Code in upper case.
    pub code: &'static str,
    /// Text for a person.
    pub message: &'static str,
}

/// Returns the frames of a published message, encoded once; empty for types that are not read here. The first frame is
/// for both clients. A second frame is for the dashboard alone, which reads trades and bots in its own form. Sequence
/// numbers refer to `log`. `history` returns the previous messages of the same audience, for the sums of `whale`; `bot`
/// returns the bot of a trade.
pub(crate) fn frames<'a>(
    publication: &'a Arc<Envelope>,
    log: &Position,
    history: impl FnOnce() -> Vec<Arc<Envelope>>,
    bot: impl FnOnce() -> Option<Bot>,
) -> &'a [Utf8Bytes] {
    let Event::RelayedMessage(published) = publication.event() else { return &[] };
    if !is_read(published.kind) {
        return &[];
    }
    publication.encoded(ENCODING, |_| encode_published(published, log, history, bot))
}

fn encode_published(
    published: &RelayedMessage,
    log: &Position,
    history: impl FnOnce() -> Vec<Arc<Envelope>>,
    bot: impl FnOnce() -> Option<Bot>,
) -> Vec<Utf8Bytes> {
    let at = iso(published.at);
    let ordered = published.kind.class() == Class::Ordered;
    let place = MessagePosition {
        ts: at.clone(),
        timestamp: at,
        sequence: ordered.then_some(published.seq),
        cursor: ordered.then(|| MessageCursor::new(log, published.seq).to_string()),
    };
    let place = serde_json::to_string(&place).unwrap_or_default();
    let place = place.trim_start_matches('{');
    let name = published.kind.name();
    let frame = |data: &str| format!(r#"{{"type":"{name}","data":{data},{place}"#).into();
    match published.kind {
        types::TRADES => {
            let bot = bot().unwrap_or_default();
            let trade = spelled(published, Some(&bot));
            let executed = executed(&trade, Some(&bot));
            let fields = executed.strip_prefix('{').and_then(|fields| fields.strip_suffix('}')).unwrap_or_default();
            // It has no `data`, because one release of the event bus would show that as a second trade.
            let executed = format!(r#"{{"type":"trade_executed",{fields},{place}"#);
            vec![frame(&trade), executed.into()]
        }
        types::BOTS => {
            let (bot, id) = (spelled(published, None), Value::from(&*published.key));
            let updated = format!(r#"{{"type":"bot_updated","bot_id":{id},"changes":{bot},{place}"#);
            vec![frame(&bot), updated.into()]
        }
        types::METRICS => {
            let (data, tiles) = (&published.data, tiles(&published.data));
            vec![format!(r#"{{"type":"{name}","data":{data},"payload":{tiles},{place}"#).into()]
        }
        types::WHALE => vec![frame(&whale::with_sums(published, &history()))],
        _ => vec![frame(&published.data)],
    }
}

/// Returns the texts that the dashboard's tiles print unchanged.
fn tiles(data: &str) -> Value {
    let metrics: Map<String, Value> = serde_json::from_str(data).unwrap_or_default();
    let number = |name: &str| metrics.get(name).and_then(Value::as_f64);
    let mut tiles = Map::new();
    if let Some(profit) = number("total_pnl") {
        tiles.insert("totalProfit".into(), format!("R{profit:.2}").into());
    }
    if let Some(active) = number("active_bots") {
        tiles.insert("activeBots".into(), active.to_string().into());
    }
    if let Some(exposure) = number("exposure") {
        tiles.insert("exposure".into(), format!("{:.2}%", exposure * 100.0).into());
    }
    if let Some(level) = metrics.get("risk_level").and_then(Value::as_str) {
        tiles.insert("riskLevel".into(), level.into());
    }
    tiles.into()
}

/// A frame of the server's own, in the documented order.
#[derive(Debug, Serialize)]
struct OwnFrame<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    data: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(flatten)]
    head: Option<StreamHead<'a>>,
    ts: &'a str,
    timestamp: &'a str,
}

/// The current position of the stream.
#[derive(Debug, Serialize)]
struct StreamHead<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    current_sequence: u64,
    cursor: String,
    recovered: Option<bool>,
}

impl OwnFrame<'_> {
    fn of(kind: &'static str, data: Value) -> Self {
        Self { kind, status: None, data, message: None, head: None, ts: "", timestamp: "" }
    }

    fn at(self, now: DateTime<Utc>) -> Utf8Bytes {
        let now = iso(now);
        encode(&OwnFrame { ts: &now, timestamp: &now, ..self })
    }
}

/// Encodes the first frame. The dashboard's indicators turn green on `Connected` at the top level; the documents have
/// `connected` in `data`.
///
/// `current_sequence` is the position after which messages follow; `recovered` says whether everything since the cursor
/// follows.
pub(crate) fn connected(
    user: &str,
    mode: Mode,
    cursor: &MessageCursor,
    recovered: Option<bool>,
    now: DateTime<Utc>,
) -> Utf8Bytes {
    let data = json!({ "status": "connected", "mode": mode.name() });
    let head = StreamHead { user_id: Some(user), current_sequence: cursor.seq, cursor: cursor.to_string(), recovered };
    OwnFrame { status: Some("Connected"), head: Some(head), ..OwnFrame::of("connection", data) }.at(now)
}

/// Encodes the last frame before the server closes the connection.
pub(crate) fn disconnected(mode: Mode, closing: Closing, now: DateTime<Utc>) -> Utf8Bytes {
    let Closing { code, message } = closing;
    let data = json!({ "status": "disconnected", "mode": mode.name(), "code": code, "reason": message });
    OwnFrame { status: Some("Disconnected"), ..OwnFrame::of("connection", data) }.at(now)
}

/// Encodes an error; `code` is in upper case.
pub(crate) fn error(code: &str, message: &str, now: DateTime<Utc>) -> Utf8Bytes {
    OwnFrame { message: Some(message), ..OwnFrame::of("error", json!({ "code": code, "message": message })) }.at(now)
}

/// Encodes a ping; the number is in milliseconds since 1970.
pub(crate) fn ping(now: DateTime<Utc>) -> Utf8Bytes {
    encode(&json!({ "type": "ping", "timestamp": now.timestamp_millis() }))
}

/// Encodes the answer to a client's ping, with the client's own number, from which it computes the round trip.
pub(crate) fn pong(timestamp: Option<&Value>, now: DateTime<Utc>) -> Utf8Bytes {
    let timestamp = timestamp.cloned().unwrap_or_else(|| now.timestamp_millis().into());
    encode(&json!({ "type": "pong", "timestamp": timestamp, "server_time": iso(now) }))
}

/// Encodes the server's state, see [`system_health`].
pub(crate) fn health_frame<'a>(
    state: &ServerState,
    published: impl Iterator<Item = &'a RelayedMessage>,
    now: DateTime<Utc>,
) -> Utf8Bytes {
    OwnFrame::of("system_health", system_health(state, published, now).into()).at(now)
}

/// Encodes the end of a requested replay.
pub(crate) fn replayed(count: usize, cursor: &MessageCursor, recovered: bool, now: DateTime<Utc>) -> Utf8Bytes {
    let head = StreamHead {
        user_id: None,
        current_sequence: cursor.seq,
        cursor: cursor.to_string(),
        recovered: Some(recovered),
    };
    OwnFrame { head: Some(head), ..OwnFrame::of("replay_complete", json!({ "count": count })) }.at(now)
}

/// Encodes all prices, in the two forms that the pages read.
pub(crate) fn prices<'a>(
    updates: impl Iterator<Item = &'a PriceUpdate>,
    instruments: &Instruments,
    now: DateTime<Utc>,
) -> [Utf8Bytes; 2] {
    let (prices, now) = (price_map(updates, instruments), iso(now));
    [
        format!(r#"{{"type":"live_prices","prices":{prices},"ts":"{now}","timestamp":"{now}"}}"#).into(),
        format!(r#"{{"type":"prices_update","data":{{"prices":{prices}}},"ts":"{now}","timestamp":"{now}"}}"#).into(),
    ]
}

/// Encodes prices by symbol as JSON. Coins also appear under the name that the page looks for (`BTC/ZAR`), with the
/// change in percent, which it prints with a percent sign.
pub(crate) fn price_map<'a>(updates: impl Iterator<Item = &'a PriceUpdate>, instruments: &Instruments) -> String {
    let entries = updates.flat_map(|update| {
        let object = encode(&PriceObject::from(update));
        let pair = pair(&update.symbol, instruments);
        let pair = pair.map(|pair| format!("{}:{}", json!(pair), in_percent(&object)));
        [Some(format!("{}:{object}", json!(update.symbol.as_str()))), pair]
    });
    format!("{{{}}}", entries.flatten().collect::<Vec<_>>().join(","))
}

/// Returns the page's name of an instrument: the pair of a coin, and of everything that is priced in the platform's
/// currency.
fn pair(symbol: &Symbol, instruments: &Instruments) -> Option<String> {
    let coin = instruments.get(symbol).filter(|instrument| instrument.class == InstrumentClass::Crypto);
    coin.and_then(|coin| coin.pair()).map(str::to_owned).or_else(|| pair_in_zar(symbol.as_str()))
}

/// Converts `BTCZAR` or `BTC-ZAR` to `BTC/ZAR`.
pub(super) fn pair_in_zar(symbol: &str) -> Option<String> {
    let coin = symbol.strip_suffix("ZAR")?.trim_end_matches(['-', '/', '_']);
    (!coin.is_empty() && !symbol.contains('/')).then(|| format!("{coin}/ZAR"))
}

pub(super) fn in_percent(price: &str) -> Value {
    let mut price: Map<String, Value> = serde_json::from_str(price).unwrap_or_default();
    if let Some(percent) = price.get("change_percent").cloned() {
        price.insert("change".to_owned(), percent);
    }
    price.into()
}
