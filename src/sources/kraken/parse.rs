//! Parses Kraken's messages. Pure.

use chrono::{DateTime, Utc};

use super::messages::{KrakenMessage, KrakenTicker};
use crate::domain::parse_time;
use crate::sources::SourceError;
use crate::sources::listing::{Listing, MalformedPrice, ReadEvent, WireEvent, sides};
use crate::sources::net::{self, LIMIT_PAUSE};

/// Parses a message. One invalid item does not affect the others.
pub(super) fn message(text: &str, listing: &Listing, received_at: DateTime<Utc>) -> Vec<ReadEvent> {
    let Ok(message) = serde_json::from_str::<KrakenMessage<'_>>(text) else { return vec![Err(MalformedPrice::Form)] };
    match (message.channel.as_deref(), message.method.as_deref()) {
        (Some("ticker"), _) => message.data.iter().map(|item| ticker(item.get(), listing, received_at)).collect(),
        (Some(_), _) => vec![Ok(WireEvent::Other)],
        (None, Some("subscribe")) if message.success == Some(true) => vec![Ok(WireEvent::Subscribed)],
        (None, Some("subscribe")) => vec![Ok(rejection(message.error.as_deref().unwrap_or("without a reason")))],
        (None, Some(_)) => vec![Ok(WireEvent::Other)],
        (None, None) => vec![Err(MalformedPrice::Form)],
    }
}

fn rejection(error: &str) -> WireEvent {
    if error.to_ascii_lowercase().contains("rate") {
        return WireEvent::End(SourceError::limited(
            format!("the provider says: {}", net::words(error, "")),
            LIMIT_PAUSE,
        ));
    }
    WireEvent::Rejected(error.to_owned())
}

fn ticker(item: &str, listing: &Listing, received_at: DateTime<Utc>) -> ReadEvent {
    let ticker: KrakenTicker<'_> = serde_json::from_str(item).map_err(|_| MalformedPrice::Form)?;
    let observed_at = match &ticker.timestamp {
        Some(time) => parse_time(time).ok_or(MalformedPrice::Time)?,
        None => received_at,
    };
    listing.tick(&ticker.symbol, sides(ticker.bid, ticker.ask)?, observed_at)
}
