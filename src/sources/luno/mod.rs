//! Luno's public tickers by HTTP, without a key: all pairs in one answer, asked for at an interval. Its streams need a key.
//!
//! Luno allows one request a second from one address, and may keep an answer for a second. A market that is suspended
//! (`POSTONLY`) or closed (`DISABLED`) gives an indicative price, which decides nothing.

mod messages;
mod parse;
mod settings;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};

use super::listing::{Listing, ReadEvent};
use super::streaming::Dialect;

pub use settings::LunoSettings;

/// Luno's interface.
#[derive(Debug)]
pub struct Luno {
    /// The base address, such as `https://api.luno.com`.
    pub url: String,
}

impl Dialect for Luno {
    const NAME: &'static str = "luno";
    const ADVICE: &'static str = "check luno.url and luno.instruments";

    fn address(&self, names: &[String]) -> String {
        let pairs: Vec<String> = names.iter().map(|name| format!("pair={name}")).collect();
        format!("{}/api/1/tickers?{}", self.url, pairs.join("&"))
    }

    fn read(&self, message: &str, listing: &Listing, _: DateTime<Utc>) -> Vec<ReadEvent> {
        parse::answer(message, listing)
    }
}
