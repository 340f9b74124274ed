//! Parses Binance's messages. Pure.

use chrono::{DateTime, Utc};

use super::messages::{BinanceData, CombinedMessage};
use crate::sources::SourceError;
use crate::sources::listing::{Listing, MalformedPrice, ReadEvent, WireEvent, number, sides};

/// Parses a message.
pub(super) fn message(text: &str, listing: &Listing, received_at: DateTime<Utc>) -> ReadEvent {
    match serde_json::from_str::<CombinedMessage<'_>>(text).map_err(|_| MalformedPrice::Form)?.data {
        BinanceData::Book(book) => listing.tick(&book.s, sides(number(&book.b)?, number(&book.a)?)?, received_at),
        BinanceData::Event(event) if event.e == "serverShutdown" => {
            Ok(WireEvent::End(SourceError::transient("the provider restarts the server of this connection")))
        }
        BinanceData::Event(_) => Ok(WireEvent::Other),
    }
}
