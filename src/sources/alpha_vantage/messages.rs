//! Alpha Vantage's answers, as far as they are used. The status is 200 whatever they say.
//!
//! Source: the documentation of `CURRENCY_EXCHANGE_RATE`, and what well-used clients expect.

use std::borrow::Cow;

use serde::Deserialize;

/// An answer: one of these.
#[derive(Debug, Deserialize)]
pub(super) struct Answer<'a> {
    /// The price.
    #[serde(rename = "Realtime Currency Exchange Rate", borrow)]
    pub(super) rate: Option<Rate<'a>>,
    /// A call that makes no sense: an unknown currency, a wrong key.
    #[serde(rename = "Error Message", borrow)]
    pub(super) error: Option<Cow<'a, str>>,
    /// Too many calls.
    #[serde(rename = "Note", borrow)]
    pub(super) note: Option<Cow<'a, str>>,
    /// Too many calls, the day's are spent, or not in the plan.
    #[serde(rename = "Information", borrow)]
    pub(super) information: Option<Cow<'a, str>>,
}

/// A price; everything is a text.
#[derive(Debug, Deserialize)]
pub(super) struct Rate<'a> {
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
