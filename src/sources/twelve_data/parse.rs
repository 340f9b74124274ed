//! Parses Twelve Data's messages. Pure.

use super::messages::{TwelveDataMessage, TwelveDataPrice};
use crate::domain::Quote;
use crate::sources::SourceError;
use crate::sources::listing::{Listing, MalformedPrice, ReadEvent, WireEvent, millis, positive, sides};
use crate::sources::net;

/// Parses a message.
pub(super) fn message(text: &str, listing: &Listing, key: &str) -> Vec<ReadEvent> {
    let Ok(message) = serde_json::from_str::<TwelveDataMessage<'_>>(text) else {
        return vec![Err(MalformedPrice::Form)];
    };
    match message.event.as_deref() {
        Some("price") => vec![price(text, listing)],
        Some("subscribe-status") => {
            let subscribed = message.success.unwrap_or_default().into_iter().map(|_| Ok(WireEvent::Subscribed));
            let failed = message.fails.unwrap_or_default().into_iter();
            let failed = failed.map(|symbol| Ok(WireEvent::Rejected(format!("{} is not available", symbol.symbol))));
            subscribed.chain(failed).collect()
        }
        Some(_) => vec![Ok(WireEvent::Other)],
        None if message.status.as_deref() == Some("error") => {
            vec![Ok(error(message.code, message.message.as_deref().unwrap_or_default(), key))]
        }
        None => vec![Err(MalformedPrice::Form)],
    }
}

fn error(code: Option<u16>, text: &str, key: &str) -> WireEvent {
    let words = net::words(text, key);
    match code {
        Some(401 | 403) => WireEvent::End(SourceError::refused(format!(
            "the key is not accepted ({words}): check ORION_TWELVE_DATA_KEY, and whether its plan has the WebSocket"
        ))),
        Some(429) => WireEvent::limited(&words),
        _ => WireEvent::End(SourceError::transient(format!("the provider says: {words}"))),
    }
}

fn price(text: &str, listing: &Listing) -> ReadEvent {
    let price: TwelveDataPrice<'_> = serde_json::from_str(text).map_err(|_| MalformedPrice::Form)?;
    let quote = match (price.bid, price.ask) {
        (Some(bid), Some(ask)) => sides(bid, ask)?,
        _ => Quote::Last(positive(price.price)?),
    };
    listing.tick(&price.symbol, quote, millis(price.timestamp.saturating_mul(1000))?)
}
