//! The parts of Binance's messages that are used.
//!
//! Source: <https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams>.

use std::borrow::Cow;

use serde::Deserialize;

/// A message of a combined stream.
#[derive(Debug, Deserialize)]
pub(super) struct CombinedMessage<'a> {
    /// What the stream says.
    #[serde(borrow)]
    pub(super) data: BinanceData<'a>,
}

/// What a stream says.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum BinanceData<'a> {
    /// The best bid and ask.
    #[serde(borrow)]
    Book(BookTicker<'a>),
    /// Another event.
    #[serde(borrow)]
    Event(BinanceEvent<'a>),
}

/// The best bid and ask. All prices are texts.
#[derive(Debug, Deserialize)]
pub(super) struct BookTicker<'a> {
    /// `BTCUSDT`.
    #[serde(borrow)]
    pub(super) s: Cow<'a, str>,
    /// Best bid.
    #[serde(borrow)]
    pub(super) b: Cow<'a, str>,
    /// Best ask.
    #[serde(borrow)]
    pub(super) a: Cow<'a, str>,
}

/// An event that is not a price.
#[derive(Debug, Deserialize)]
pub(super) struct BinanceEvent<'a> {
    /// `serverShutdown`: the connection will be ended.
    #[serde(borrow)]
    pub(super) e: Cow<'a, str>,
}
