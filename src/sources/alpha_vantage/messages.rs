//! The parts of Alpha Vantage's responses that are used. The status is 200 even for errors.
//!
//! Source: the documentation of `CURRENCY_EXCHANGE_RATE`, and the behaviour of popular clients.

use std::borrow::Cow;

use serde::Deserialize;

/// A response: exactly one of these.
#[derive(Debug, Deserialize)]
pub(super) struct ResponseBody<'a> {
    /// The price.
    #[serde(rename = "Realtime Currency Exchange Rate", borrow)]
    pub(super) rate: Option<ExchangeRate<'a>>,
    /// An invalid call: an unknown currency or a wrong key.
    #[serde(rename = "Error Message", borrow)]
    pub(super) error: Option<Cow<'a, str>>,
    /// Too many calls.
    #[serde(rename = "Note", borrow)]
    pub(super) note: Option<Cow<'a, str>>,
    /// Too many calls, the daily budget is used up, or the pair is not in the plan.
    #[serde(rename = "Information", borrow)]
    pub(super) information: Option<Cow<'a, str>>,
}

/// A price. All fields are texts.
#[derive(Debug, Deserialize)]
pub(super) struct ExchangeRate<'a> {
    #[serde(rename = "1. From_Currency Code", borrow)]
    pub(super) from: Cow<'a, str>,
    #[serde(rename = "3. To_Currency Code", borrow)]
    pub(super) to: Cow<'a, str>,
    #[serde(rename = "5. Exchange Rate", borrow)]
    pub(super) price: Cow<'a, str>,
    /// `2026-01-26 12:34:56`.
    #[serde(rename = "6. Last Refreshed", borrow)]
    pub(super) refreshed: Cow<'a, str>,
    #[serde(rename = "7. Time Zone", borrow)]
    pub(super) zone: Cow<'a, str>,
    /// May be `-`.
    #[serde(rename = "8. Bid Price", default, borrow)]
    pub(super) bid: Cow<'a, str>,
    /// May be `-`.
    #[serde(rename = "9. Ask Price", default, borrow)]
    pub(super) ask: Cow<'a, str>,
}
