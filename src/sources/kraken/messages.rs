//! The parts of Kraken's messages that are used.
//!
//! Source: <https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ticker>.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A message: of a channel, or the answer to a request (`method`).
#[derive(Debug, Deserialize)]
pub(super) struct KrakenMessage<'a> {
    /// `ticker`, `heartbeat`, `status`.
    #[serde(default, borrow)]
    pub(super) channel: Option<Cow<'a, str>>,
    /// The items of the channel.
    #[serde(default, borrow)]
    pub(super) data: Vec<&'a RawValue>,
    /// `subscribe`, `pong`.
    #[serde(default, borrow)]
    pub(super) method: Option<Cow<'a, str>>,
    /// Whether the request was accepted.
    #[serde(default)]
    pub(super) success: Option<bool>,
    /// Why it was not, such as `Currency pair not supported BTC/USDX`.
    #[serde(default, borrow)]
    pub(super) error: Option<Cow<'a, str>>,
}

/// An item of the channel `ticker`, of a snapshot or an update.
#[derive(Debug, Deserialize)]
pub(super) struct KrakenTicker<'a> {
    /// `BTC/USD`.
    #[serde(borrow)]
    pub(super) symbol: Cow<'a, str>,
    pub(super) bid: f64,
    pub(super) ask: f64,
    /// RFC 3339. Older messages have none.
    #[serde(default, borrow)]
    pub(super) timestamp: Option<Cow<'a, str>>,
}
