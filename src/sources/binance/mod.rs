//! Binance's public WebSocket, without a key: the streams `bookTicker`, with a message whenever the best bid or ask changes.
//!
//! The streams are named in the address; an unknown one is silent. The messages have no time: the time of a price is that of its
//! arrival. Binance pings every 20 s, ends each connection after 24 hours, and allows 300 connections in 5 minutes from one
//! address. binance.com refuses some countries (status 451), the United States among them: there binance.us is used.

mod messages;
mod parse;
mod settings;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};

use super::listing::{Listing, ReadEvent};
use super::streaming::Dialect;

pub use settings::{BinanceSettings, BinanceVenue};

/// Binance's protocol.
#[derive(Debug)]
pub struct Binance {
    /// The base address of the WebSocket, such as `wss://stream.binance.com:9443`.
    pub url: String,
}

impl Dialect for Binance {
    const NAME: &'static str = "binance";
    const ADVICE: &'static str =
        "binance.com does not serve every country; ORION_BINANCE_VENUE=us uses binance.us. Else check binance.url";
    const CONFIRMS: bool = false;

    fn address(&self, names: &[String]) -> String {
        let streams: Vec<String> =
            names.iter().map(|name| format!("{}@bookTicker", name.to_ascii_lowercase())).collect();
        format!("{}/stream?streams={}", self.url, streams.join("/"))
    }

    fn read(&self, message: &str, listing: &Listing, received_at: DateTime<Utc>) -> Vec<ReadEvent> {
        vec![parse::message(message, listing, received_at)]
    }
}
