//! The lines of OANDA's pricing stream, as far as they are used.
//!
//! Source: the v20 documentation of `GET /v3/accounts/{accountID}/pricing/stream` (`ClientPrice`, `PricingHeartbeat`).

use std::borrow::Cow;

use serde::Deserialize;

/// One line.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub(super) enum Message<'a> {
    /// A price.
    #[serde(rename = "PRICE", borrow)]
    Price(Price<'a>),
    /// Says every 5 s that the stream lives.
    #[serde(rename = "HEARTBEAT")]
    Heartbeat,
    /// Nothing that is used here.
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
    /// `false` while the instrument is halted or its market closed.
    #[serde(default)]
    pub(super) tradeable: Option<bool>,
    /// The older form of the same: `tradeable`, `non-tradeable` or `invalid`.
    #[serde(default, borrow)]
    pub(super) status: Option<Cow<'a, str>>,
    /// What can be sold at, best first; may be empty.
    #[serde(default, borrow)]
    pub(super) bids: Vec<Bucket<'a>>,
    /// What can be bought at, best first; may be empty.
    #[serde(default, borrow)]
    pub(super) asks: Vec<Bucket<'a>>,
}

impl Price<'_> {
    /// Whether an order would be filled now.
    pub(super) fn is_tradeable(&self) -> bool {
        self.tradeable != Some(false) && self.status.as_deref().is_none_or(|status| status == "tradeable")
    }
}

/// One step of the book.
#[derive(Debug, Deserialize)]
pub(super) struct Bucket<'a> {
    /// A decimal number in quotes.
    #[serde(borrow)]
    pub(super) price: Cow<'a, str>,
}

/// The body of an answer that is no stream.
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    /// What is wrong, for people.
    #[serde(rename = "errorMessage")]
    pub(super) error_message: String,
}
