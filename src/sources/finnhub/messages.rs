//! The parts of Finnhub's messages that are used.
//!
//! Source: <https://finnhub.io/docs/api/websocket-trades>.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A message.
#[derive(Debug, Deserialize)]
pub(super) struct FinnhubMessage<'a> {
    /// `trade`, `ping`, `error`.
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    /// Trades, oldest first.
    #[serde(default, borrow)]
    pub(super) data: Vec<&'a RawValue>,
    /// The text of an error, such as `Invalid API key`.
    #[serde(default, borrow)]
    pub(super) msg: Cow<'a, str>,
}

/// A trade, or a new price of a currency pair.
#[derive(Debug, Deserialize)]
pub(super) struct FinnhubTrade<'a> {
    /// `BINANCE:BTCUSDT`, `OANDA:EUR_USD`.
    #[serde(borrow)]
    pub(super) s: Cow<'a, str>,
    /// Last price.
    pub(super) p: f64,
    /// Unix milliseconds.
    pub(super) t: i64,
}
