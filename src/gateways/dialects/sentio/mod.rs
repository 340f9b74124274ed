//! Sentio 2.0: `{type, data, timestamp}` frames, the list of current signals, quotes, and what administrators see.
//!
//! | ours | Sentio's |
//! |---|---|
//! | a signal's direction | `signal`: `buy` for long, `sell` for short; `hold` and `error` only where somebody published them |
//! | a signal's confidence | `confidence` and `consensus_strength`: one score, both 0–1 |
//! | a price without bid and ask | `bid` and `ask` equal to `price` |
//! | the change to the price published before | `change`, `change_pct` |
//! | the instrument's day | `high`, `low`, `volume` |
//!
//! The close of the day before is not known here and left out. Numbers are there or absent, never
//! null: the page calls `toFixed` on what is not `undefined`.

mod personal;
pub mod publish;
#[cfg(test)]
mod tests;
mod watchlist;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::domain::number::{number, optional};
use crate::domain::{Audience, Bar, Direction, Event, Instruments, MessageType, PriceUpdate, Signal, SignalState, iso};
use crate::hub::{Encoding, Envelope, Snapshot};

pub use personal::{
    DashboardSources, dashboard, dashboard_sources, earnings, is_personal, missed_notifications, personal_frames,
};
pub use watchlist::Watchlist;

/// What an entry says of a signal, behind its symbol.
#[derive(Debug, Serialize)]
struct SignalFields {
    signal: &'static str,
    #[serde(serialize_with = "number")]
    confidence: f64,
    #[serde(serialize_with = "number")]
    consensus_strength: f64,
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

/// What a quote says, behind its symbol.
#[derive(Debug, Serialize)]
struct QuoteFields {
    #[serde(serialize_with = "number")]
    price: f64,
    #[serde(serialize_with = "number")]
    bid: f64,
    #[serde(serialize_with = "number")]
    ask: f64,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    high: Option<f64>,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    low: Option<f64>,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    volume: Option<f64>,
    #[serde(serialize_with = "number")]
    change: f64,
    #[serde(serialize_with = "number")]
    change_pct: f64,
    timestamp: String,
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

/// A sum without the noise of its addition.
fn six_decimals(volume: f64) -> f64 {
    (volume * 1e6).round() / 1e6
}

/// One bar of the history.
#[derive(Debug, Serialize)]
pub struct BarObject {
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
#[derive(Debug, Serialize)]
pub struct StatusFrame {
    /// How it is.
    pub status: Status,
    /// Lines of a log. The page cannot do without the list.
    pub logs: Vec<String>,
}

/// How the server is; what the machine does not tell is left out.
#[derive(Debug, Serialize)]
pub struct Status {
    /// `running` or `stopping`.
    pub status: &'static str,
    /// Share of the machine's processors that the server takes, in percent.
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Share of the machine's memory that it holds, in percent.
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub memory: Option<f64>,
    /// Clients that are connected, of all dashboards.
    pub active_users: usize,
    /// When this was so.
    pub timestamp: String,
}

/// A frame around `data`, which is JSON already.
pub fn frame(kind: &str, data: &str, now: DateTime<Utc>) -> Utf8Bytes {
    format!(r#"{{"type":"{kind}","data":{data},"timestamp":"{}"}}"#, iso(now)).into()
}

/// The answer to a ping.
pub fn pong(now: DateTime<Utc>) -> Utf8Bytes {
    format!(r#"{{"type":"pong","timestamp":"{}"}}"#, iso(now)).into()
}

/// Something a client said could not be understood.
pub fn error(message: &str, now: DateTime<Utc>) -> Utf8Bytes {
    format!(r#"{{"type":"error","message":{},"timestamp":"{}"}}"#, json(message), iso(now)).into()
}

/// The frame of what somebody published for administrators, encoded once; none for what they do not read here.
pub fn admin_frames(publication: &Arc<Envelope>) -> &[Utf8Bytes] {
    let Event::RelayedMessage(published) = publication.event() else { return &[] };
    if published.audience != Audience::Admin || !is_administrative(published.kind) {
        return &[];
    }
    publication.encoded(Encoding::Sentio, |_| vec![frame(published.kind.name(), &published.data, published.at)])
}

/// Whether the kind is read on the admin channel.
pub fn is_administrative(kind: MessageType) -> bool {
    matches!(
        kind,
        MessageType::AdminUsers
            | MessageType::AdminSubscribers
            | MessageType::AdminRevenue
            | MessageType::AdminUserAnalytics
    )
}

/// Whether an event may change the list of current signals.
pub fn concerns_signals(event: &Event) -> bool {
    match event {
        Event::Signal(_) => true,
        Event::RelayedMessage(published) => {
            published.kind == MessageType::TradeSignals && published.audience == Audience::All
        }
        Event::Price(_) => false,
    }
}

/// What the list of current signals is made of: the signals, and what was published for this dialect alone. A `watchlist`
/// narrows it; `None` is everything.
pub fn signal_sources(present: &Snapshot, watchlist: Option<&Watchlist>) -> Vec<Arc<Envelope>> {
    let mut sources = present.signals(|symbol| watchlist.is_none_or(|watched| watched.holds(symbol.as_str())));
    sources.extend(present.states_of(&Audience::All, MessageType::TradeSignals).cloned());
    sources
}

/// The list of current signals, an array: for each symbol the latest that is pending or confirmed or was published for
/// this dialect, whichever the server took last. Under a `watchlist` the symbols are written as they were asked for.
pub fn signal_list(sources: &[Arc<Envelope>], watchlist: Option<&Watchlist>, instruments: &Instruments) -> Vec<String> {
    let mut latest: BTreeMap<String, (DateTime<Utc>, &Arc<Envelope>)> = BTreeMap::new();
    for publication in sources {
        let (name, at) = match publication.event() {
            Event::Signal(signal) if !matches!(signal.state, SignalState::Invalidated(_)) => {
                (signal.symbol.to_string(), signal.accepted_at)
            }
            Event::RelayedMessage(published) => (watchlist::canonical(&published.key, instruments), published.at),
            Event::Signal(_) | Event::Price(_) => continue,
        };
        if latest.get(&name).is_none_or(|(before, _)| *before <= at) {
            latest.insert(name, (at, publication));
        }
    }
    let latest = latest.iter().map(|(name, (_, publication))| (name.as_str(), *publication));
    entries(latest, watchlist)
}

/// The quotes of the prices, each under the names by which the `watchlist` has its symbol.
pub fn quote_list(prices: &[Arc<Envelope>], watchlist: &Watchlist) -> Vec<String> {
    let by_name = prices.iter().filter_map(|publication| match publication.event() {
        Event::Price(update) => Some((update.symbol.as_str(), publication)),
        Event::Signal(_) | Event::RelayedMessage(_) => None,
    });
    entries(by_name, Some(watchlist))
}

/// The quote of one price under a name.
pub fn quote(price: &Arc<Envelope>, name: &str) -> Option<String> {
    entry(name, price)
}

/// A list as it goes out.
pub fn array(entries: &[String]) -> String {
    format!("[{}]", entries.join(","))
}

/// Text as JSON.
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
    let fields = publication.encoded(Encoding::Sentio, encode).first()?;
    Some(format!("{{\"symbol\":{},{}", json(name), fields.as_str()))
}

/// An entry behind its symbol: what all clients share, whatever they call it.
fn fields(event: &Event) -> Option<String> {
    let object = match event {
        Event::Signal(signal) => serde_json::to_string(&SignalFields::from(signal.as_ref())),
        Event::Price(update) => serde_json::to_string(&QuoteFields::from(update.as_ref())),
        Event::RelayedMessage(published) => {
            let symbol = format!("{{\"symbol\":{},", json(&published.key));
            if let Some(fields) = published.data.strip_prefix(&symbol) {
                return Some(fields.to_owned());
            }
            // The symbol need not come first.
            let mut entry = serde_json::from_str::<Map<String, Value>>(&published.data).ok()?;
            entry.remove("symbol");
            serde_json::to_string(&entry)
        }
    };
    object.ok()?.strip_prefix('{').map(ToOwned::to_owned)
}
