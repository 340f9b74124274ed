//! A frame as what it says; pure.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::messages::{IndexValue, Message, PairQuote};
use crate::domain::{Feed, Instrument, Quote, SourceName, Symbol, Tick};

/// The instruments that are subscribed to, by the names in Massive's events: `EUR/USD`, `I:SPX`.
pub(super) type Names = HashMap<String, Arc<Instrument>>;

/// What an element says.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    /// A price.
    Tick(Tick),
    /// An answer, or a word about the connection; with its explanation.
    Status(String, String),
    /// Nothing that is used here.
    Other,
}

/// An element that says nothing that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
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

/// Reads one frame, each element for itself: one that is bad does not cost the others.
pub(super) fn frame(text: &str, names: &Names, feed: Feed, source: &SourceName) -> Vec<Result<Heard, Malformed>> {
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(text) else { return vec![Err(Malformed::Json)] };
    elements.into_iter().map(|element| read(element.get(), names, feed, source)).collect()
}

fn read(element: &str, names: &Names, feed: Feed, source: &SourceName) -> Result<Heard, Malformed> {
    let (symbol, quote, millis) = match serde_json::from_str(element).map_err(|_| Malformed::Event)? {
        Message::Status(status) => {
            return Ok(Heard::Status(status.status.into_owned(), status.message.into_owned()));
        }
        Message::Other => return Ok(Heard::Other),
        Message::Quote(PairQuote { p, a, b, t }) => {
            // `EUR-USD` may be asked for, but comes back as `EUR/USD`; both are understood.
            let symbol = find(names, &p.replace('-', "/"))?;
            let (bid, ask) = (positive(b)?, positive(a)?);
            if bid > ask {
                return Err(Malformed::Crossed);
            }
            (symbol, Quote::BidAsk { bid, ask }, t)
        }
        Message::Value(IndexValue { ticker, val, t }) => (find(names, &ticker)?, Quote::Last(positive(val)?), t),
    };
    let observed_at = time(millis).ok_or(Malformed::Time)?;
    Ok(Heard::Tick(Tick { symbol, quote, volume: None, observed_at, feed, source: source.clone() }))
}

fn find(names: &Names, name: &str) -> Result<Symbol, Malformed> {
    names.get(name).map(|instrument| instrument.symbol.clone()).ok_or(Malformed::Unasked)
}

fn positive(price: f64) -> Result<f64, Malformed> {
    if price.is_finite() && price > 0.0 { Ok(price) } else { Err(Malformed::Number) }
}

/// Milliseconds of the years 2000 to 2100: anything else is another unit or nonsense.
fn time(millis: i64) -> Option<DateTime<Utc>> {
    (946_684_800_000..4_102_444_800_000).contains(&millis).then(|| DateTime::from_timestamp_millis(millis))?
}
