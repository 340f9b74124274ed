//! Parses Coinbase's messages. Pure.

use chrono::{DateTime, Utc};

use super::messages::{CoinbaseError, CoinbaseMessage};
use crate::domain::parse_time;
use crate::sources::listing::{Listing, MalformedPrice, ReadEvent, WireEvent, number, sides};

/// Parses a message.
pub(super) fn message(text: &str, listing: &Listing, received_at: DateTime<Utc>) -> ReadEvent {
    match serde_json::from_str(text).map_err(|_| MalformedPrice::Form)? {
        CoinbaseMessage::Ticker(ticker) => {
            let observed_at = match &ticker.time {
                Some(time) => parse_time(time).ok_or(MalformedPrice::Time)?,
                None => received_at,
            };
            let quote = sides(number(&ticker.best_bid)?, number(&ticker.best_ask)?)?;
            listing.tick(&ticker.product_id, quote, observed_at)
        }
        CoinbaseMessage::Subscriptions => Ok(WireEvent::Subscribed),
        CoinbaseMessage::Error(CoinbaseError { message, reason }) => {
            let words = format!("{message}: {reason}");
            let is_limit = ["rate limit", "too many"].iter().any(|limit| words.to_ascii_lowercase().contains(limit));
            Ok(if is_limit { WireEvent::limited(&words) } else { WireEvent::Rejected(words) })
        }
        CoinbaseMessage::Other => Ok(WireEvent::Other),
    }
}
