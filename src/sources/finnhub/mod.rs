//! Finnhub's WebSocket, with a key: the last price of every trade, and of every quote of currencies; no bid and ask.
//!
//! Each symbol is subscribed to by a message of its own, without an answer. Finnhub allows one connection for each key, and 50
//! symbols in the free plan. The key is part of the address.

mod doctor;
mod messages;
mod parse;
mod settings;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::listing::{Listing, ReadEvent};
use super::streaming::Dialect;
use crate::config::Secret;

pub use settings::FinnhubSettings;

/// Finnhub's protocol.
#[derive(Debug)]
pub struct Finnhub {
    /// The base address of the WebSocket, such as `wss://ws.finnhub.io`.
    pub url: String,
    /// The API key: letters and digits.
    pub key: Secret,
}

impl Dialect for Finnhub {
    const NAME: &'static str = "finnhub";
    const ADVICE: &'static str = "check ORION_FINNHUB_KEY";
    const CONFIRMS: bool = false;

    fn address(&self, _: &[String]) -> String {
        format!("{}/?token={}", self.url, self.key.reveal())
    }

    fn subscribe(&self, names: &[String]) -> Vec<String> {
        names.iter().map(|name| json!({"type": "subscribe", "symbol": name}).to_string()).collect()
    }

    fn read(&self, message: &str, listing: &Listing, _: DateTime<Utc>) -> Vec<ReadEvent> {
        parse::message(message, listing, self.key.reveal())
    }

    fn secret(&self) -> Option<&Secret> {
        Some(&self.key)
    }
}
