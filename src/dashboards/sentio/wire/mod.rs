//! Sentio 2.0: `{type, data, timestamp}` frames, the list of current signals, quotes, and the streams of
//! administrators.
//!
//! | ours | Sentio's |
//! |---|---|
//! | a signal's direction | `signal`: `buy` for long, `sell` for short; `hold` and `error` only if published |
//! | a signal's confidence | `confidence` and `consensus_strength`: one score, both 0–1 |
//! | a price without bid and ask | `bid` and `ask` equal to `price` |
//! | the change to the price published before | `change`, `change_pct` |
//! | the instrument's day | `high`, `low`, `volume` |
//!
//! The close of the previous day is not known here and left out. Numbers are present or absent, never null: the page
//! calls `toFixed` on everything that is not `undefined`.

mod personal;
#[cfg(test)]
mod tests;
mod watchlist;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::dashboards::sentio::types;
use crate::domain::number::{number, optional};
use crate::domain::{
    Audience, Bar, Direction, Event, Instruments, MessageType, PriceUpdate, Quality, Signal, SignalState, iso,
};
use crate::hub::{Encoding, Envelope, Snapshot};

pub(super) use personal::DashboardObject;
pub use personal::{
    DashboardSources, dashboard, dashboard_sources, earnings, is_personal, missed_notifications, personal_frames,
};
pub(in crate::dashboards::sentio) use watchlist::MAX_SYMBOL;
pub use watchlist::Watchlist;

/// The slot of the frames, and of the entries of lists.
pub const ENCODING: Encoding = Encoding::new(3);

/// An entry of the list of current signals.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::Signal)]
#[expect(dead_code, reason = "describes encoded text")]
pub struct SignalObject {
    symbol: String,
    #[schema(inline)]
    #[serde(flatten)]
    fields: SignalFields,
}

/// A quote.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::Quote)]
#[expect(dead_code, reason = "describes encoded text")]
pub struct QuoteObject {
    symbol: String,
    #[schema(inline)]
    #[serde(flatten)]
    fields: QuoteFields,
}

/// Fields of a signal behind its symbol.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = sentio::SignalFields)]
struct SignalFields {
    /// `buy`, `sell`, `hold` or `error`.
    signal: &'static str,
    #[serde(serialize_with = "number")]
    confidence: f64,
    #[serde(serialize_with = "number")]
    consensus_strength: f64,
    #[schema(format = DateTime)]
    timestamp: String,
}

impl From<&Signal> for SignalFields {
    fn from(signal: &Signal) -> Self {
        let side = match signal.direction {
            Direction::Long => "buy",
            Direction::Short => "sell",
        };
        Self {
            signal: side,
            confidence: signal.confidence,
            consensus_strength: signal.confidence,
            timestamp: iso(signal.entry_time),
        }
    }
}

/// Fields of a quote behind its symbol.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = sentio::QuoteFields)]
struct QuoteFields {
    #[serde(serialize_with = "number")]
    price: f64,
    #[serde(serialize_with = "number")]
    bid: f64,
    #[serde(serialize_with = "number")]
    ask: f64,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    high: Option<f64>,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    low: Option<f64>,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    volume: Option<f64>,
    #[serde(serialize_with = "number")]
    change: f64,
    #[serde(serialize_with = "number")]
    change_pct: f64,
    #[schema(format = DateTime)]
    timestamp: String,
    #[schema(value_type = Quality)]
    quality: &'static str,
    source: String,
}

impl From<&PriceUpdate> for QuoteFields {
    fn from(update: &PriceUpdate) -> Self {
        let (bid, ask) = update.bid_ask.unwrap_or((update.price, update.price));
        Self {
            price: update.price,
            bid,
            ask,
            high: update.day.map(|day| day.high),
            low: update.day.map(|day| day.low),
            volume: update.day.and_then(|day| day.volume).map(six_decimals).or(update.volume),
            change: update.change,
            change_pct: update.change_percent,
            timestamp: iso(update.timestamp),
            quality: update.quality.name(),
            source: update.source.to_string(),
        }
    }
}

/// Rounds a sum to remove binary noise.
fn six_decimals(volume: f64) -> f64 {
    (volume * 1e6).round() / 1e6
}

/// One bar of the history.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = sentio::Bar)]
pub struct BarObject {
    #[schema(format = DateTime)]
    timestamp: String,
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
        Self { timestamp: iso(opened_at), open, high, low, close, volume }
    }
}

/// The server's own state, for the raw stream of administrators.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = sentio::Status)]
pub struct StatusFrame {
    /// The state itself.
    pub status: ServerStatus,
    /// Lines of a log. The page crashes without the list.
    pub logs: Vec<String>,
}

/// The server's state. Measurements that the machine does not provide are left out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = sentio::ServerStatus)]
pub struct ServerStatus {
    /// `running` or `stopping`.
    pub status: &'static str,
    /// The process's share of the machine's processors, in percent.
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cpu: Option<f64>,
    /// The process's share of the machine's memory, in percent.
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub memory: Option<f64>,
    /// Number of connected clients of all dashboards.
    pub active_users: usize,
    /// Time of the measurement.
    pub timestamp: String,
}

/// Encodes a frame around `data`, which is JSON already.
pub fn frame(kind: &str, data: &str, now: DateTime<Utc>) -> Utf8Bytes {
    format!(r#"{{"type":"{kind}","data":{data},"timestamp":"{}"}}"#, iso(now)).into()
}

/// Encodes the answer to a ping.
pub fn pong(now: DateTime<Utc>) -> Utf8Bytes {
    format!(r#"{{"type":"pong","timestamp":"{}"}}"#, iso(now)).into()
}

/// Encodes an error: a client's message could not be handled.
pub fn error(message: &str, now: DateTime<Utc>) -> Utf8Bytes {
    format!(r#"{{"type":"error","message":{},"timestamp":"{}"}}"#, json(message), iso(now)).into()
}

/// Returns the frame of a message for administrators, encoded once; empty for types that they do not read here.
pub fn admin_frames(publication: &Arc<Envelope>) -> &[Utf8Bytes] {
    let Event::RelayedMessage(published) = publication.event() else { return &[] };
    if published.audience != Audience::Admin || !is_administrative(published.kind) {
        return &[];
    }
    publication.encoded(ENCODING, |_| vec![frame(published.kind.name(), &published.data, published.at)])
}

/// Whether the type is read on the admin channel.
pub fn is_administrative(kind: MessageType) -> bool {
    matches!(kind, types::ADMIN_USERS | types::ADMIN_SUBSCRIBERS | types::ADMIN_REVENUE | types::ADMIN_USER_ANALYTICS)
}

/// Whether an event may change the list of current signals.
pub fn concerns_signals(event: &Event) -> bool {
    match event {
        Event::Signal(_) => true,
        Event::RelayedMessage(published) => {
            published.kind == types::TRADE_SIGNALS && published.audience == Audience::All
        }
        Event::Price(_) | Event::Cursor(_) | Event::Killzone(_) | Event::Presence(..) => false,
    }
}

/// Returns what the list of current signals consists of: the signals, and the messages published for this dialect
/// alone. A `watchlist` narrows it; `None` is everything.
pub fn signal_sources(snapshot: &Snapshot, watchlist: Option<&Watchlist>) -> Vec<Arc<Envelope>> {
    let mut sources = snapshot.signals(|symbol| watchlist.is_none_or(|watched| watched.contains(symbol.as_str())));
    sources.extend(snapshot.states_of(&Audience::All, types::TRADE_SIGNALS).cloned());
    sources
}

/// Encodes the entries of the list of current signals: for each symbol the latest that is pending, confirmed, or
/// published for this dialect, by the time of arrival. With a `watchlist` the symbols are written as the client named
/// them.
pub fn signal_list(sources: &[Arc<Envelope>], watchlist: Option<&Watchlist>, instruments: &Instruments) -> Vec<String> {
    let mut latest: BTreeMap<String, (DateTime<Utc>, &Arc<Envelope>)> = BTreeMap::new();
    for publication in sources {
        let (name, at) = match publication.event() {
            Event::Signal(signal) if !matches!(signal.state, SignalState::Invalidated(_)) => {
                (signal.symbol.to_string(), signal.accepted_at)
            }
            Event::RelayedMessage(published) => (watchlist::canonical(&published.key, instruments), published.at),
            _ => continue,
        };
        if latest.get(&name).is_none_or(|(before, _)| *before <= at) {
            latest.insert(name, (at, publication));
        }
    }
    let latest = latest.iter().map(|(name, (_, publication))| (name.as_str(), *publication));
    entries(latest, watchlist)
}

/// Encodes the quotes of the prices, each under the names that the `watchlist` has for its symbol.
pub fn quote_list(prices: &[Arc<Envelope>], watchlist: &Watchlist) -> Vec<String> {
    let by_name = prices.iter().filter_map(|publication| match publication.event() {
        Event::Price(update) => Some((update.symbol.as_str(), publication)),
        _ => None,
    });
    entries(by_name, Some(watchlist))
}

/// Encodes the quote of one price under a name.
pub fn quote(price: &Arc<Envelope>, name: &str) -> Option<String> {
    entry(name, price)
}

/// Joins encoded entries to a list.
pub fn array(entries: &[String]) -> String {
    format!("[{}]", entries.join(","))
}

/// Encodes text as JSON.
pub fn json(text: &str) -> String {
    Value::from(text).to_string()
}

fn entries<'a>(
    by_name: impl Iterator<Item = (&'a str, &'a Arc<Envelope>)>,
    watchlist: Option<&Watchlist>,
) -> Vec<String> {
    let mut entries = Vec::new();
    for (name, publication) in by_name {
        match watchlist {
            None => entries.extend(entry(name, publication)),
            Some(watched) => entries.extend(watched.names(name).filter_map(|name| entry(name, publication))),
        }
    }
    entries
}

fn entry(name: &str, publication: &Arc<Envelope>) -> Option<String> {
    let encode = |publication: &Arc<Envelope>| fields(publication.event()).map(Utf8Bytes::from).into_iter().collect();
    let fields = publication.encoded(ENCODING, encode).first()?;
    Some(format!("{{\"symbol\":{},{}", json(name), fields.as_str()))
}

/// Returns the part of an entry behind its symbol, which all clients share, whatever they call the symbol.
fn fields(event: &Event) -> Option<String> {
    let object = match event {
        Event::Signal(signal) => serde_json::to_string(&SignalFields::from(signal.as_ref())),
        Event::Price(update) => serde_json::to_string(&QuoteFields::from(update.as_ref())),
        Event::RelayedMessage(published) => {
            let symbol = format!("{{\"symbol\":{},", json(&published.key));
            if let Some(fields) = published.data.strip_prefix(&symbol) {
                return Some(fields.to_owned());
            }
            // The symbol need not be the first field.
            let mut entry = serde_json::from_str::<Map<String, Value>>(&published.data).ok()?;
            entry.remove("symbol");
            serde_json::to_string(&entry)
        }
        Event::Cursor(_) | Event::Killzone(_) | Event::Presence(..) => return None,
    };
    object.ok()?.strip_prefix('{').map(ToOwned::to_owned)
}
