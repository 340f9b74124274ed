//! Parses Finnhub's messages. Pure.

use super::messages::{FinnhubMessage, FinnhubTrade};
use crate::domain::Quote;
use crate::sources::SourceError;
use crate::sources::listing::{Listing, MalformedPrice, ReadEvent, WireEvent, millis, positive};
use crate::sources::net;

/// Parses a message. One invalid trade does not affect the others.
pub(super) fn message(text: &str, listing: &Listing, key: &str) -> Vec<ReadEvent> {
    let Ok(message) = serde_json::from_str::<FinnhubMessage<'_>>(text) else { return vec![Err(MalformedPrice::Form)] };
    match &*message.kind {
        "trade" => message.data.iter().map(|item| trade(item.get(), listing)).collect(),
        "error" => vec![Ok(error(&message.msg, key))],
        _ => vec![Ok(WireEvent::Other)],
    }
}

fn error(text: &str, key: &str) -> WireEvent {
    let (words, lower) = (net::words(text, key), text.to_ascii_lowercase());
    if lower.contains("api key") || lower.contains("token") {
        return WireEvent::End(SourceError::refused(format!(
            "the key is not accepted ({words}): check ORION_FINNHUB_KEY"
        )));
    }
    if lower.contains("limit") { WireEvent::limited(&words) } else { WireEvent::Rejected(words) }
}

fn trade(item: &str, listing: &Listing) -> ReadEvent {
    let trade: FinnhubTrade<'_> = serde_json::from_str(item).map_err(|_| MalformedPrice::Form)?;
    listing.tick(&trade.s, Quote::Last(positive(trade.p)?), millis(trade.t)?)
}
