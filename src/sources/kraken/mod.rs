//! Kraken's public WebSocket (v2), without a key: the channel `ticker`, with a new message whenever the best bid or ask
//! changes.
//!
//! All pairs are subscribed to in one message; each is confirmed or rejected by itself. While anything is subscribed to, Kraken
//! sends a heartbeat about every second. It allows about 150 connections in 10 minutes from one address.

mod messages;
mod parse;
mod settings;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::listing::{Listing, ReadEvent};
use super::streaming::Dialect;

pub use settings::KrakenSettings;

/// Kraken's protocol.
#[derive(Debug)]
pub struct Kraken {
    /// The address of the WebSocket, such as `wss://ws.kraken.com/v2`.
    pub url: String,
}

impl Dialect for Kraken {
    const NAME: &'static str = "kraken";
    const ADVICE: &'static str = "check kraken.url, and whether Kraken serves the place where this server runs";

    fn address(&self, _: &[String]) -> String {
        self.url.clone()
    }

    fn subscribe(&self, names: &[String]) -> Vec<String> {
        let params = json!({"channel": "ticker", "symbol": names, "event_trigger": "bbo", "snapshot": true});
        vec![json!({"method": "subscribe", "params": params}).to_string()]
    }

    fn read(&self, message: &str, listing: &Listing, received_at: DateTime<Utc>) -> Vec<ReadEvent> {
        parse::message(message, listing, received_at)
    }
}
