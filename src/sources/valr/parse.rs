//! Parses VALR's messages. Pure.

use super::messages::{ValrMessage, ValrUpdate};
use crate::domain::parse_time;
use crate::sources::listing::{Listing, MalformedPrice, ReadEvent, WireEvent, number, sides};

/// Parses a message.
pub(super) fn message(text: &str, listing: &Listing) -> ReadEvent {
    match serde_json::from_str(text).map_err(|_| MalformedPrice::Form)? {
        ValrMessage::Summary(ValrUpdate { data }) => {
            let observed_at = parse_time(&data.created).ok_or(MalformedPrice::Time)?;
            let quote = sides(number(&data.bid_price)?, number(&data.ask_price)?)?;
            listing.tick(&data.currency_pair_symbol, quote, observed_at)
        }
        ValrMessage::Subscribed => Ok(WireEvent::Subscribed),
        ValrMessage::Error(error) => Ok(WireEvent::Rejected(error.message.into_owned())),
        ValrMessage::Limited => Ok(WireEvent::limited("RATE_LIMIT_EXCEEDED")),
        ValrMessage::Other => Ok(WireEvent::Other),
    }
}
