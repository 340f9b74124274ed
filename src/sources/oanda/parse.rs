//! Parses the lines of the stream. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use super::messages::{Bucket, Price, StreamLine};
use crate::domain::{Feed, Instrument, Quote, SourceName, Tick, parse_time};

/// The instruments that are subscribed to, by OANDA's names.
pub(super) type Subscriptions = HashMap<String, Arc<Instrument>>;

/// The content of a line.
#[derive(Debug, PartialEq)]
pub(super) enum LineContent {
    /// A price with both sides.
    Tick(Tick),
    /// A heartbeat, or another line without a price.
    Life,
}

/// Why a line is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum MalformedLine {
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

/// Parses one line.
///
/// A price that cannot be traded now, because the instrument is halted or the market is closed, is marked as
/// indicative: it decides no signal.
pub(super) fn line(line: &[u8], names: &Subscriptions, source: &SourceName) -> Result<LineContent, MalformedLine> {
    let StreamLine::Price(price) = serde_json::from_slice(line).map_err(|_| MalformedLine::Json)? else {
        return Ok(LineContent::Life);
    };
    let feed = if price.is_tradeable() { Feed::Live } else { Feed::Indicative };
    let Price { time, instrument, bids, asks, .. } = price;
    let instrument = names.get(&*instrument).ok_or(MalformedLine::Unasked)?;
    let observed_at = parse_time(&time).ok_or(MalformedLine::Time)?;
    let (Some(bid), Some(ask)) = (best(&bids)?, best(&asks)?) else { return Ok(LineContent::Life) };
    if bid > ask {
        return Err(MalformedLine::Crossed);
    }
    let quote = Quote::BidAsk { bid, ask };
    let symbol = instrument.symbol.clone();
    Ok(LineContent::Tick(Tick { symbol, quote, volume: None, observed_at, feed, source: source.clone() }))
}

fn best(buckets: &[Bucket<'_>]) -> Result<Option<f64>, MalformedLine> {
    let Some(best) = buckets.first() else { return Ok(None) };
    match best.price.parse::<f64>() {
        Ok(price) if price.is_finite() && price > 0.0 => Ok(Some(price)),
        _ => Err(MalformedLine::Number),
    }
}
