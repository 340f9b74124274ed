//! The parts of VALR's messages that are used.
//!
//! Source: <https://docs.valr.com>, WebSocket API, Trade.

use std::borrow::Cow;

use serde::Deserialize;

/// A message.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub(super) enum ValrMessage<'a> {
    /// The best bid and ask of a pair.
    #[serde(rename = "MARKET_SUMMARY_UPDATE", borrow)]
    Summary(ValrUpdate<'a>),
    /// A confirmed subscription.
    #[serde(rename = "SUBSCRIBED")]
    Subscribed,
    /// A rejected message, or a rejected pair of a subscription.
    #[serde(rename = "ERROR", borrow)]
    Error(ValrError<'a>),
    /// Too many messages or connections.
    #[serde(rename = "RATE_LIMIT_EXCEEDED")]
    Limited,
    /// `PONG`, or a message that is not used.
    #[serde(other)]
    Other,
}

/// The body of an update.
#[derive(Debug, Deserialize)]
pub(super) struct ValrUpdate<'a> {
    /// The summary.
    #[serde(borrow)]
    pub(super) data: ValrSummary<'a>,
}

/// The best bid and ask of a pair. All prices are texts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ValrSummary<'a> {
    /// `BTCZAR`.
    #[serde(borrow)]
    pub(super) currency_pair_symbol: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) bid_price: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) ask_price: Cow<'a, str>,
    /// RFC 3339.
    #[serde(borrow)]
    pub(super) created: Cow<'a, str>,
}

/// A rejection.
#[derive(Debug, Deserialize)]
pub(super) struct ValrError<'a> {
    /// `Channel MARKET_SUMMARY_UPDATE, pair NOPEZAR combination invalid`.
    #[serde(default, borrow)]
    pub(super) message: Cow<'a, str>,
}
