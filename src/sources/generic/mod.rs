//! Any provider, by configuration: a WebSocket or an address that is asked at an interval, whose JSON has prices at places that JSON
//! pointers (RFC 6901) name.
//!
//! The settings say what is sent, with the placeholders `{key}`, `{symbol}`, `{symbols}` and `{symbols_json}`, and where the symbol,
//! the bid, the ask, the last price and the time are. A message without them is skipped, because it may be a greeting or a heartbeat.

mod parse;
mod settings;
#[cfg(test)]
mod tests;

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::listing::{Listing, ReadEvent};
use super::streaming::Dialect;
use crate::config::Secret;
use crate::domain::Feed;

pub use settings::{GenericSettings, GenericTable};

/// The protocol that the settings of the Nth such provider describe.
#[derive(Debug)]
pub struct Generic<const N: usize>(pub GenericSettings);

impl<const N: usize> Generic<N> {
    fn key(&self) -> &str {
        self.0.key.as_ref().map_or("", Secret::reveal)
    }

    fn with_key(&self, text: &str) -> String {
        text.replace("{key}", self.key())
    }
}

impl<const N: usize> Dialect for Generic<N> {
    const NAME: &'static str = ["generic", "generic_2"][N];
    const ADVICE: &'static str = "check url, key and headers in the settings of this source";
    const CONFIRMS: bool = false;

    fn feed(&self) -> Feed {
        if self.0.delayed { Feed::Delayed } else { Feed::Live }
    }

    fn address(&self, names: &[String]) -> String {
        let url = self.0.url.as_ref().map_or("", Secret::reveal).trim();
        self.with_key(&url.replace("{symbols}", &names.join(",")))
    }

    fn headers(&self) -> HeaderMap {
        self.0.header_lines().filter_map(|line| header(&self.with_key(line))).collect()
    }

    fn subscribe(&self, names: &[String]) -> Vec<String> {
        let (symbols, json) = (names.join(","), serde_json::json!(names).to_string());
        let mut messages = Vec::new();
        for line in self.0.subscribe_lines() {
            let line = line.replace("{symbols}", &symbols).replace("{symbols_json}", &json);
            if line.contains("{symbol}") {
                messages.extend(names.iter().map(|name| self.with_key(&line.replace("{symbol}", name))));
            } else {
                messages.push(self.with_key(&line));
            }
        }
        messages
    }

    fn keep_alive(&self) -> Option<(Duration, String)> {
        Some((self.0.keep_alive_interval, self.with_key(self.0.keep_alive.as_deref()?)))
    }

    fn read(&self, message: &str, listing: &Listing, received_at: DateTime<Utc>) -> Vec<ReadEvent> {
        parse::message(&self.0, message, listing, received_at)
    }

    fn secret(&self) -> Option<&Secret> {
        self.0.key.as_ref()
    }
}

/// Parses a line such as `Authorization: Bearer 123`.
fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    let mut value = HeaderValue::from_str(value.trim()).ok()?;
    value.set_sensitive(true);
    Some((name.trim().parse().ok()?, value))
}
