//! VALR's trade WebSocket, without a key: `MARKET_SUMMARY_UPDATE`, with the best bid and ask of a pair whenever they change.
//!
//! All pairs are subscribed to in one message, because a second one would replace the first. VALR wants a `PING` every 30 s, and
//! ends connections without a key after 15 minutes: the source connects again at once. It allows 60 connections a minute from one
//! address.

mod messages;
mod parse;
mod settings;
#[cfg(test)]
mod tests;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::listing::{Listing, ReadEvent};
use super::streaming::Dialect;

pub use settings::ValrSettings;

/// VALR's protocol.
#[derive(Debug)]
pub struct Valr {
    /// The address of the WebSocket, such as `wss://api.valr.com/ws/trade`.
    pub url: String,
}

impl Dialect for Valr {
    const NAME: &'static str = "valr";
    const ADVICE: &'static str = "check valr.url";

    fn address(&self, _: &[String]) -> String {
        self.url.clone()
    }

    fn subscribe(&self, names: &[String]) -> Vec<String> {
        let subscriptions = [json!({"event": "MARKET_SUMMARY_UPDATE", "pairs": names})];
        vec![json!({"type": "SUBSCRIBE", "subscriptions": subscriptions}).to_string()]
    }

    /// Twice as often as VALR wants it: its answer also shows that the connection is alive.
    fn keep_alive(&self) -> Option<(Duration, String)> {
        Some((Duration::from_secs(15), json!({"type": "PING"}).to_string()))
    }

    fn read(&self, message: &str, listing: &Listing, _: DateTime<Utc>) -> Vec<ReadEvent> {
        vec![parse::message(message, listing)]
    }
}
