//! Twelve Data's WebSocket, with a key: prices of currencies, metals, shares and coins, some with bid and ask.
//!
//! All symbols are subscribed to in one message, and the answer names those that failed. Times are whole seconds. Twelve Data
//! wants a heartbeat every 10 s, and allows three connections for each key: a further one closes the oldest. The key goes into
//! the header `X-TD-APIKEY`.

mod doctor;
mod messages;
mod parse;
mod settings;
#[cfg(test)]
mod tests;

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::listing::{Listing, ReadEvent};
use super::streaming::Dialect;
use crate::config::Secret;

pub use settings::TwelveDataSettings;

/// Twelve Data's protocol.
#[derive(Debug)]
pub struct TwelveData {
    /// The address of the WebSocket, such as `wss://ws.twelvedata.com/v1/quotes/price`.
    pub url: String,
    /// The API key.
    pub key: Secret,
}

impl Dialect for TwelveData {
    const NAME: &'static str = "twelve_data";
    const ADVICE: &'static str = "check ORION_TWELVE_DATA_KEY, and whether its plan has the WebSocket";

    fn address(&self, _: &[String]) -> String {
        self.url.clone()
    }

    fn headers(&self) -> HeaderMap {
        // The settings accept only keys that fit into a header.
        let Ok(mut key) = HeaderValue::from_str(self.key.reveal()) else { return HeaderMap::new() };
        key.set_sensitive(true);
        HeaderMap::from_iter([(HeaderName::from_static("x-td-apikey"), key)])
    }

    fn subscribe(&self, names: &[String]) -> Vec<String> {
        vec![json!({"action": "subscribe", "params": {"symbols": names.join(",")}}).to_string()]
    }

    fn keep_alive(&self) -> Option<(Duration, String)> {
        Some((Duration::from_secs(10), json!({"action": "heartbeat"}).to_string()))
    }

    fn read(&self, message: &str, listing: &Listing, _: DateTime<Utc>) -> Vec<ReadEvent> {
        parse::message(message, listing, self.key.reveal())
    }

    fn secret(&self) -> Option<&Secret> {
        Some(&self.key)
    }
}
