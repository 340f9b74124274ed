//! A line of the stream as what it says; pure.

use std::collections::HashMap;
use std::sync::Arc;

use super::messages::{Bucket, Message, Price};
use crate::domain::{Feed, Instrument, Quote, SourceName, Tick, parse_time};

/// The instruments that are subscribed to, by OANDA's names.
pub(super) type Names = HashMap<String, Arc<Instrument>>;

/// What a line says.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    /// A price with both sides.
    Tick(Tick),
    /// That the stream lives, and nothing that is a price.
    Life,
}

/// A line that says nothing that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it is no message of the pricing stream")]
    Json,
    #[error("its time is none")]
    Time,
    #[error("a price is no positive number")]
    Number,
    #[error("the bid is above the ask")]
    Crossed,
    #[error("nobody asked for its instrument")]
    Unasked,
}

/// Reads one line.
///
/// What cannot be traded now, because it is halted or the market is closed, is marked as an indication: it decides nothing.
pub(super) fn line(line: &[u8], names: &Names, source: &SourceName) -> Result<Heard, Malformed> {
    let Message::Price(price) = serde_json::from_slice(line).map_err(|_| Malformed::Json)? else {
        return Ok(Heard::Life);
    };
    let feed = if price.is_tradeable() { Feed::Live } else { Feed::Indicative };
    let Price { time, instrument, bids, asks, .. } = price;
    let instrument = names.get(&*instrument).ok_or(Malformed::Unasked)?;
    let observed_at = parse_time(&time).ok_or(Malformed::Time)?;
    let (Some(bid), Some(ask)) = (best(&bids)?, best(&asks)?) else { return Ok(Heard::Life) };
    if bid > ask {
        return Err(Malformed::Crossed);
    }
    let quote = Quote::BidAsk { bid, ask };
    let symbol = instrument.symbol.clone();
    Ok(Heard::Tick(Tick { symbol, quote, volume: None, observed_at, feed, source: source.clone() }))
}

fn best(buckets: &[Bucket<'_>]) -> Result<Option<f64>, Malformed> {
    let Some(best) = buckets.first() else { return Ok(None) };
    match best.price.parse::<f64>() {
        Ok(price) if price.is_finite() && price > 0.0 => Ok(Some(price)),
        _ => Err(Malformed::Number),
    }
}
