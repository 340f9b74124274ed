//! The parts of Luno's answers that are used.
//!
//! Source: <https://www.luno.com/en/developers/api>, `ListTickers`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The answer.
#[derive(Debug, Deserialize)]
pub(super) struct LunoAnswer<'a> {
    /// A ticker for each pair.
    #[serde(borrow)]
    pub(super) tickers: Vec<&'a RawValue>,
}

/// The best bid and ask of a pair. All prices are texts.
#[derive(Debug, Deserialize)]
pub(super) struct LunoTicker<'a> {
    /// `XBTZAR`.
    #[serde(borrow)]
    pub(super) pair: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) bid: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) ask: Cow<'a, str>,
    /// Unix milliseconds.
    pub(super) timestamp: i64,
    /// `ACTIVE`, `POSTONLY`, `DISABLED`; absent in older answers.
    #[serde(default, borrow)]
    pub(super) status: Option<Cow<'a, str>>,
}
