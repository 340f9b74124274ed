//! The frames of Massive's (formerly Polygon's) WebSocket, as far as they are used.
//!
//! Source: massive-com/client-python, `.massive/websocket.json` and `massive/websocket/models`, and massive.com/docs/websocket.
//! A frame is an array of events of any kind; what we send is one object.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One element of a frame.
#[derive(Debug, Deserialize)]
#[serde(tag = "ev")]
pub(super) enum Message<'a> {
    /// An answer, or a word about the connection.
    #[serde(rename = "status", borrow)]
    Status(Status<'a>),
    /// A quote of a currency pair.
    #[serde(rename = "C", borrow)]
    Quote(PairQuote<'a>),
    /// The value of an index.
    #[serde(rename = "V", borrow)]
    Value(IndexValue<'a>),
    /// Nothing that is used here.
    #[serde(other)]
    Other,
}

/// An answer, or a word about the connection.
#[derive(Debug, Deserialize)]
pub(super) struct Status<'a> {
    /// `connected`, `auth_success`, `auth_failed`, `success`, `error`, `max_connections`, …
    #[serde(borrow)]
    pub(super) status: Cow<'a, str>,
    /// For people; the confirmation of a subscription names it here.
    #[serde(default, borrow)]
    pub(super) message: Cow<'a, str>,
}

/// A quote. `x`, the exchange, is a number by the schema and a text in the examples: it is not read.
#[derive(Debug, Deserialize)]
pub(super) struct PairQuote<'a> {
    /// `EUR/USD`.
    #[serde(borrow)]
    pub(super) p: Cow<'a, str>,
    /// Ask.
    pub(super) a: f64,
    /// Bid.
    pub(super) b: f64,
    /// Unix milliseconds.
    pub(super) t: i64,
}

/// The value of an index.
#[derive(Debug, Deserialize)]
pub(super) struct IndexValue<'a> {
    /// `I:SPX`.
    #[serde(rename = "T", borrow)]
    pub(super) ticker: Cow<'a, str>,
    /// The value.
    pub(super) val: f64,
    /// Unix milliseconds.
    pub(super) t: i64,
}

/// What we send.
#[derive(Debug, Serialize)]
pub(super) struct Action<'a> {
    /// `auth` or `subscribe`.
    pub(super) action: &'static str,
    /// The key, or a channel.
    pub(super) params: &'a str,
}
