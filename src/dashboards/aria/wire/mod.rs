//! ARIA PRO: `{type, timestamp, data}` for events, flat frames for messages about the connection.
//!
//! Every field that the page reads without a check is always present and of the right type.

mod analytics;
mod channels;
mod control;
mod system;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::dashboards::aria::types;
use crate::domain::number::{number, optional};
use crate::domain::{Direction, Event, PriceUpdate, Signal, iso};
use crate::hub::{Encoding, Envelope};
use crate::transport::messages::encode;

pub use analytics::{Analysis, EquityPoint, HeatmapCell, PerformanceStats, Risk, Trades};
pub use channels::ChannelSet;
pub(super) use control::ConnectionMessage;
pub use control::{echo, error, identity, ping, pong, subscription_confirmed, subscription_updated, welcome};
pub(super) use system::SystemMetricsFrame;
pub use system::{MetricsObject, PerformanceObject, UsageObject, system_metrics};

/// The slot of the frames.
pub const ENCODING: Encoding = Encoding::new(2);

/// `tick`.
#[derive(Debug, Serialize)]
struct TickObject<'a> {
    symbol: &'a str,
    #[serde(serialize_with = "number")]
    bid: f64,
    #[serde(serialize_with = "number")]
    ask: f64,
    #[serde(serialize_with = "number")]
    spread: f64,
    timestamp: String,
    quality: &'static str,
    source: &'a str,
}

impl<'a> From<&'a PriceUpdate> for TickObject<'a> {
    fn from(update: &'a PriceUpdate) -> Self {
        let (bid, ask) = update.sides();
        Self {
            symbol: update.symbol.as_str(),
            bid,
            ask,
            spread: update.spread(),
            timestamp: iso(update.timestamp),
            quality: update.quality.name(),
            source: update.source.as_str(),
        }
    }
}

/// A time, in one of the two formats that the page reads.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Time {
    Iso(String),
    Millis(i64),
}

/// `signal`, live and in the history.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::Signal)]
pub struct SignalObject<'a> {
    symbol: &'a str,
    /// `buy` or `sell`.
    side: &'static str,
    /// Confidence, 0–1.
    #[serde(serialize_with = "number")]
    strength: f64,
    /// Confidence, 0–100.
    #[serde(serialize_with = "number")]
    confidence: f64,
    model: &'a str,
    /// In milliseconds.
    #[schema(value_type = i64)]
    timestamp: Time,
    #[serde(flatten)]
    levels: LevelFields,
    id: &'a str,
    source: &'a str,
}

impl<'a> SignalObject<'a> {
    /// A signal of the history, with its time in milliseconds.
    pub fn historical(signal: &'a Signal) -> Self {
        Self { timestamp: Time::Millis(signal.entry_time.timestamp_millis()), ..Self::from(signal) }
    }
}

impl<'a> From<&'a Signal> for SignalObject<'a> {
    fn from(signal: &'a Signal) -> Self {
        Self {
            symbol: signal.symbol.as_str(),
            side: side(signal.direction),
            strength: signal.confidence,
            confidence: percent(signal.confidence),
            model: signal.model.as_deref().unwrap_or(signal.source.as_str()),
            timestamp: Time::Iso(iso(signal.entry_time)),
            levels: LevelFields::from(signal),
            id: signal.id.as_str(),
            source: signal.source.as_str(),
        }
    }
}

/// Time frame of the ideas that are made of signals: the bars on which the server's own setups are found.
const TIMEFRAME: &str = "M5";

/// `idea` and `smc_idea`.
#[derive(Debug, Serialize)]
struct IdeaObject<'a> {
    symbol: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    /// The page prints "… on M5".
    timeframe: &'static str,
    #[serde(serialize_with = "number")]
    confidence: f64,
    #[serde(flatten)]
    levels: LevelFields,
    reasoning: &'a str,
    timestamp: String,
    id: &'a str,
    source: &'a str,
}

impl<'a> From<&'a Signal> for IdeaObject<'a> {
    fn from(signal: &'a Signal) -> Self {
        Self {
            symbol: signal.symbol.as_str(),
            kind: side(signal.direction),
            timeframe: TIMEFRAME,
            confidence: percent(signal.confidence),
            levels: LevelFields::from(signal),
            reasoning: &signal.reason,
            timestamp: iso(signal.entry_time),
            id: signal.id.as_str(),
            source: signal.source.as_str(),
        }
    }
}

/// The known prices of a signal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::Levels)]
struct LevelFields {
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    entry_price: Option<f64>,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    stop_loss: Option<f64>,
    /// The first target.
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    take_profit: Option<f64>,
}

impl From<&Signal> for LevelFields {
    fn from(signal: &Signal) -> Self {
        Self {
            entry_price: signal.entry_price,
            stop_loss: signal.stop_loss,
            take_profit: signal.take_profits.first().copied(),
        }
    }
}

const fn side(direction: Direction) -> &'static str {
    match direction {
        Direction::Long => "buy",
        Direction::Short => "sell",
    }
}

/// Converts 0–1 with four decimals to 0–100 with two.
fn percent(confidence: f64) -> f64 {
    (confidence * 1e4).round() / 1e2
}

/// Returns the frames of an event, encoded once; empty for events that ARIA does not read.
pub fn frames(publication: &Arc<Envelope>) -> &[Utf8Bytes] {
    publication.encoded(ENCODING, |publication| {
        let event = publication.event();
        kinds(event).iter().map(|kind| frame(kind, event)).collect()
    })
}

/// Returns the frames of an event with the type of each.
pub fn messages(publication: &Arc<Envelope>) -> impl Iterator<Item = (&'static str, &Utf8Bytes)> {
    kinds(publication.event()).iter().copied().zip(frames(publication))
}

/// Whether ARIA gets any message for an event.
pub fn is_sent(event: &Event) -> bool {
    !kinds(event).is_empty()
}

/// Returns the types of the messages for an event.
fn kinds(event: &Event) -> &'static [&'static str] {
    match event {
        Event::Price(_) => &["tick"],
        Event::Signal(signal) if signal.is_news() => &["signal", "idea", "smc_idea"],
        // ARIA has no message for the end of a signal.
        Event::Signal(_) | Event::Cursor(_) | Event::Killzone(_) | Event::Presence(..) => &[],
        Event::RelayedMessage(published) => match published.kind {
            types::ORDER_UPDATE => &["order_update"],
            // One page listens to one name, one to the other.
            types::IDEA => &["idea", "smc_idea"],
            types::PREPARED_PAYLOAD => &["prepared_payload"],
            types::BAR => &["bar"],
            types::TICK => &["tick"],
            types::SIGNAL => &["signal"],
            _ => &[],
        },
    }
}

fn frame(kind: &str, event: &Event) -> Utf8Bytes {
    match event {
        Event::Price(update) => envelope(kind, &iso(update.timestamp), &encode(&TickObject::from(update.as_ref()))),
        Event::Signal(signal) => {
            let signal = signal.as_ref();
            let data = match kind {
                "signal" => encode(&SignalObject::from(signal)),
                _ => encode(&IdeaObject::from(signal)),
            };
            envelope(kind, &iso(signal.updated_at), &data)
        }
        Event::RelayedMessage(published) => envelope(kind, &iso(published.at), &published.data),
        // It has no message of any type.
        Event::Cursor(_) | Event::Killzone(_) | Event::Presence(..) => Utf8Bytes::default(),
    }
}

/// Embeds an encoded object in its envelope.
fn envelope(kind: &str, timestamp: &str, data: &str) -> Utf8Bytes {
    format!(r#"{{"type":"{kind}","timestamp":"{timestamp}","data":{data}}}"#).into()
}

/// Returns the symbol of an event, for clients that are subscribed to single symbols.
pub fn symbol(event: &Event) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct SymbolField<'a> {
        #[serde(borrow)]
        symbol: Cow<'a, str>,
    }
    match event {
        Event::Price(update) => Some(update.symbol.as_str().into()),
        Event::Signal(signal) => Some(signal.symbol.as_str().into()),
        Event::RelayedMessage(published) => {
            serde_json::from_str::<SymbolField<'_>>(&published.data).ok().map(|about| about.symbol)
        }
        Event::Cursor(_) | Event::Killzone(_) | Event::Presence(..) => None,
    }
}
