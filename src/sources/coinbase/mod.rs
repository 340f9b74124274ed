//! Coinbase Exchange's public WebSocket, without a key: the channel `ticker`, with a message at every match.
//!
//! Each product is subscribed to by a message of its own, because one unknown product makes Coinbase reject the whole message.
//! The channel `heartbeat`, one message a second and product, keeps the connection alive while nothing is traded.

mod messages;
mod parse;
mod settings;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::listing::{Listing, ReadEvent};
use super::streaming::Dialect;

pub use settings::CoinbaseSettings;

/// Coinbase's protocol.
#[derive(Debug)]
pub struct Coinbase {
    /// The address of the WebSocket, such as `wss://ws-feed.exchange.coinbase.com`.
    pub url: String,
}

impl Dialect for Coinbase {
    const NAME: &'static str = "coinbase";
    const ADVICE: &'static str = "check coinbase.url, and whether Coinbase serves the place where this server runs";

    fn address(&self, _: &[String]) -> String {
        self.url.clone()
    }

    fn subscribe(&self, names: &[String]) -> Vec<String> {
        let message = |name| json!({"type": "subscribe", "product_ids": [name], "channels": ["ticker", "heartbeat"]});
        names.iter().map(|name| message(name).to_string()).collect()
    }

    fn read(&self, message: &str, listing: &Listing, received_at: DateTime<Utc>) -> Vec<ReadEvent> {
        vec![parse::message(message, listing, received_at)]
    }
}
