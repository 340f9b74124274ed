//! The parts of OANDA's pricing stream that are used.
//!
//! Source: the v20 documentation of `GET /v3/accounts/{accountID}/pricing/stream` (`ClientPrice`, `PricingHeartbeat`).

use std::borrow::Cow;

use serde::Deserialize;

/// One line of the stream.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub(super) enum StreamLine<'a> {
    /// A price.
    #[serde(rename = "PRICE", borrow)]
    Price(Price<'a>),
    /// Keeps the stream alive, every 5 s.
    #[serde(rename = "HEARTBEAT")]
    Heartbeat,
    /// A line that is not used.
    #[serde(other)]
    Other,
}

/// The prices of an instrument, at most four a second.
#[derive(Debug, Deserialize)]
pub(super) struct Price<'a> {
    /// RFC 3339 with nanoseconds.
    #[serde(borrow)]
    pub(super) time: Cow<'a, str>,
    /// Such as `EUR_USD`.
    #[serde(borrow)]
    pub(super) instrument: Cow<'a, str>,
    /// `false` while the instrument is halted or its market is closed.
    #[serde(default)]
    pub(super) tradeable: Option<bool>,
    /// An older form of the same information: `tradeable`, `non-tradeable` or `invalid`.
    #[serde(default, borrow)]
    pub(super) status: Option<Cow<'a, str>>,
    /// Prices for a sale, best first; may be empty.
    #[serde(default, borrow)]
    pub(super) bids: Vec<Bucket<'a>>,
    /// Prices for a purchase, best first; may be empty.
    #[serde(default, borrow)]
    pub(super) asks: Vec<Bucket<'a>>,
}

impl Price<'_> {
    /// Returns whether an order would be filled now.
    pub(super) fn is_tradeable(&self) -> bool {
        self.tradeable != Some(false) && self.status.as_deref().is_none_or(|status| status == "tradeable")
    }
}

/// One level of the book.
#[derive(Debug, Deserialize)]
pub(super) struct Bucket<'a> {
    /// A decimal number in quotes.
    #[serde(borrow)]
    pub(super) price: Cow<'a, str>,
}

/// The body of an error response.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorResponse {
    /// The error text for people.
    #[serde(rename = "errorMessage")]
    pub(super) error_message: String,
}
