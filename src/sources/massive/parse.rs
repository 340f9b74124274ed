//! Parses frames. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::messages::{FrameElement, IndexValue, PairQuote, StatusEvent};
use crate::domain::{Feed, Instrument, Quote, SourceName, Symbol, Tick};

/// The instruments that are subscribed to, by the names in Massive's events: `EUR/USD`, `I:SPX`.
pub(super) type Subscriptions = HashMap<String, Arc<Instrument>>;

/// The content of an element.
#[derive(Debug, PartialEq)]
pub(super) enum Element {
    /// A price.
    Tick(Tick),
    /// An answer or the state of the connection, with its explanation.
    Status(Status, String),
    /// An event that is not used.
    Other,
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// The connection is open.
    Connected,
    /// The key is accepted.
    Authenticated,
    /// The key is rejected, or is for another plan.
    WrongKey,
    /// The provider waited in vain for the key.
    NoKey,
    /// The key is in use elsewhere.
    InUse,
    /// An action is done.
    Success,
    /// An action is rejected.
    Error {
        /// Whether the explanation is about the key. There is no other sign of it.
        about_key: bool,
    },
    /// Something else.
    Other,
}

impl Status {
    /// Parses a status. Some say only in their explanation what they are about.
    fn parse(status: &str, message: &str) -> Self {
        match status {
            "connected" => Self::Connected,
            "auth_success" => Self::Authenticated,
            "auth_failed" => Self::WrongKey,
            "auth_timeout" => Self::NoKey,
            "max_connections" => Self::InUse,
            "success" if message.trim().eq_ignore_ascii_case("authenticated") => Self::Authenticated,
            "success" => Self::Success,
            "error" => Self::Error { about_key: message.to_ascii_lowercase().contains("authenticat") },
            _ => Self::Other,
        }
    }
}

/// Why an element is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum MalformedElement {
    #[error("it is no array of events")]
    Json,
    #[error("it is no event of the documented form")]
    Event,
    #[error("its time is none")]
    Time,
    #[error("a price is no positive number")]
    Number,
    #[error("the bid is above the ask")]
    Crossed,
    #[error("nobody asked for its instrument")]
    Unasked,
}

/// Parses a frame. An invalid element does not affect the others.
pub(super) fn frame(
    text: &str,
    names: &Subscriptions,
    feed: Feed,
    source: &SourceName,
) -> Vec<Result<Element, MalformedElement>> {
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(text) else { return vec![Err(MalformedElement::Json)] };
    elements.into_iter().map(|element| read(element.get(), names, feed, source)).collect()
}

fn read(element: &str, names: &Subscriptions, feed: Feed, source: &SourceName) -> Result<Element, MalformedElement> {
    let (symbol, quote, millis) = match serde_json::from_str(element).map_err(|_| MalformedElement::Event)? {
        FrameElement::Status(status) => {
            let StatusEvent { status, message } = status;
            return Ok(Element::Status(Status::parse(&status, &message), message.into_owned()));
        }
        FrameElement::Other => return Ok(Element::Other),
        FrameElement::Quote(PairQuote { p, a, b, t }) => {
            // `EUR-USD` and `EUR/USD` name the same pair.
            let symbol = find(names, &p.replace('-', "/"))?;
            let (bid, ask) = (positive(b)?, positive(a)?);
            if bid > ask {
                return Err(MalformedElement::Crossed);
            }
            (symbol, Quote::BidAsk { bid, ask }, t)
        }
        FrameElement::Value(IndexValue { ticker, val, t }) => (find(names, &ticker)?, Quote::Last(positive(val)?), t),
    };
    let observed_at = time(millis).ok_or(MalformedElement::Time)?;
    Ok(Element::Tick(Tick { symbol, quote, volume: None, observed_at, feed, source: source.clone() }))
}

fn find(names: &Subscriptions, name: &str) -> Result<Symbol, MalformedElement> {
    names.get(name).map(|instrument| instrument.symbol.clone()).ok_or(MalformedElement::Unasked)
}

fn positive(price: f64) -> Result<f64, MalformedElement> {
    if price.is_finite() && price > 0.0 { Ok(price) } else { Err(MalformedElement::Number) }
}

/// Parses milliseconds between the years 2000 and 2100; other values are in another unit or invalid.
fn time(millis: i64) -> Option<DateTime<Utc>> {
    (946_684_800_000..4_102_444_800_000).contains(&millis).then(|| DateTime::from_timestamp_millis(millis))?
}
