//! The parts of Twelve Data's messages that are used.
//!
//! Source: <https://twelvedata.com/docs/websocket/ws-real-time-price>.

use std::borrow::Cow;

use serde::Deserialize;

/// A message. An error of the whole connection has no `event`.
#[derive(Debug, Deserialize)]
pub(super) struct TwelveDataMessage<'a> {
    /// `price`, `subscribe-status`, `heartbeat`.
    #[serde(default, borrow)]
    pub(super) event: Option<Cow<'a, str>>,
    /// `ok`, `error`, and others.
    #[serde(default, borrow)]
    pub(super) status: Option<Cow<'a, str>>,
    /// The code of an error, as HTTP has them.
    #[serde(default)]
    pub(super) code: Option<u16>,
    /// The text of an error.
    #[serde(default, borrow)]
    pub(super) message: Option<Cow<'a, str>>,
    /// Subscribed symbols.
    #[serde(default)]
    pub(super) success: Option<Vec<TwelveDataSymbol>>,
    /// Symbols that do not exist, or are not in the plan.
    #[serde(default)]
    pub(super) fails: Option<Vec<TwelveDataSymbol>>,
}

/// A symbol of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct TwelveDataSymbol {
    /// `EUR/USD`.
    pub(super) symbol: String,
}

/// A price.
#[derive(Debug, Deserialize)]
pub(super) struct TwelveDataPrice<'a> {
    /// `EUR/USD`.
    #[serde(borrow)]
    pub(super) symbol: Cow<'a, str>,
    /// Unix seconds.
    pub(super) timestamp: i64,
    pub(super) price: f64,
    /// Where there is one.
    #[serde(default)]
    pub(super) bid: Option<f64>,
    /// Where there is one.
    #[serde(default)]
    pub(super) ask: Option<f64>,
}
