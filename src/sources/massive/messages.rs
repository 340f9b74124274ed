//! The parts of Massive's (formerly Polygon's) WebSocket messages that are used.
//!
//! Source: massive-com/client-python, `.massive/websocket.json` and `massive/websocket/models`, and
//! massive.com/docs/websocket. A received frame is an array of events of any type; a sent frame is one object.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One element of a frame.
#[derive(Debug, Deserialize)]
#[serde(tag = "ev")]
pub(super) enum FrameElement<'a> {
    /// An answer to an action, or the state of the connection.
    #[serde(rename = "status", borrow)]
    Status(StatusEvent<'a>),
    /// A quote of a currency pair.
    #[serde(rename = "C", borrow)]
    Quote(PairQuote<'a>),
    /// The value of an index.
    #[serde(rename = "V", borrow)]
    Value(IndexValue<'a>),
    /// An event that is not used.
    #[serde(other)]
    Other,
}

/// An answer to an action, or the state of the connection.
#[derive(Debug, Deserialize)]
pub(super) struct StatusEvent<'a> {
    /// `connected`, `auth_success`, `auth_failed`, `success`, `error`, `max_connections`, …
    #[serde(borrow)]
    pub(super) status: Cow<'a, str>,
    /// A text for people. The confirmation of a subscription names the channel here.
    #[serde(default, borrow)]
    pub(super) message: Cow<'a, str>,
}

/// A quote. `x`, the exchange, is not read: it is a number in the schema but a text in the examples.
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

/// An action that the client sends.
#[derive(Debug, Serialize)]
pub(super) struct Action<'a> {
    /// `auth` or `subscribe`.
    pub(super) action: &'static str,
    /// The key, or a channel.
    pub(super) params: &'a str,
}
