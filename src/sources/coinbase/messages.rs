//! The parts of Coinbase's messages that are used.
//!
//! Source: <https://docs.cdp.coinbase.com/exchange/websocket-feed/channels>.

use std::borrow::Cow;

use serde::Deserialize;

/// A message.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub(super) enum CoinbaseMessage<'a> {
    /// A match, with the best bid and ask after it.
    #[serde(rename = "ticker", borrow)]
    Ticker(CoinbaseTicker<'a>),
    /// The list of all subscriptions, after each change.
    #[serde(rename = "subscriptions")]
    Subscriptions,
    /// A rejected message.
    #[serde(rename = "error", borrow)]
    Error(CoinbaseError<'a>),
    /// A heartbeat, or a message that is not used.
    #[serde(other)]
    Other,
}

/// A match. All numbers are texts.
#[derive(Debug, Deserialize)]
pub(super) struct CoinbaseTicker<'a> {
    /// `BTC-USD`.
    #[serde(borrow)]
    pub(super) product_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) best_bid: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) best_ask: Cow<'a, str>,
    /// RFC 3339. The first message of a product may have none.
    #[serde(default, borrow)]
    pub(super) time: Option<Cow<'a, str>>,
}

/// A rejected message.
#[derive(Debug, Deserialize)]
pub(super) struct CoinbaseError<'a> {
    /// `Failed to subscribe`.
    #[serde(default, borrow)]
    pub(super) message: Cow<'a, str>,
    /// `XYZ-USD is not a valid product`.
    #[serde(default, borrow)]
    pub(super) reason: Cow<'a, str>,
}
