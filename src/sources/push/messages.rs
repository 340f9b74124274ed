//! What a pusher is answered, over HTTP and over WebSocket alike.

use serde::Serialize;
use serde_json::Value;

use crate::domain::number::number;

/// The answer to a pushed signal or to its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the documented answer, field by field")]
pub struct SignalAnswer {
    pub success: bool,
    pub message: &'static str,
    pub signal_id: String,
    pub status: &'static str,
    pub dry_run: bool,
    /// Always false: notifications are sent elsewhere.
    pub line_sent: bool,
    pub timestamp: String,
}

/// An answer, and what else its reader has to know of the push.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answered<T> {
    /// The documented answer.
    #[serde(flatten)]
    pub answer: T,
    /// How a text was read; absent for JSON, which says it itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_as: Option<Value>,
    /// Names of the fields, or the lines of a text, that had no effect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
}

impl<T> Answered<T> {
    /// The answer to a push of which `ignored` had no effect.
    pub(in crate::sources) fn new(answer: T, ignored: Vec<String>) -> Self {
        Self { answer, read_as: None, ignored }
    }
}

/// The answer to pushed prices.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the documented answers, field by field")]
pub enum PricesAnswer {
    /// To a single price.
    One {
        success: bool,
        message: &'static str,
        symbol: String,
        #[serde(serialize_with = "number")]
        price: f64,
        timestamp: String,
    },
    /// To a batch.
    Batch { success: bool, message: &'static str, accepted: usize },
}

/// The answer to published events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the documented answers, field by field")]
pub enum EventsAnswer {
    /// To a single event.
    One {
        success: bool,
        message: &'static str,
        #[serde(rename = "type")]
        kind: &'static str,
        timestamp: String,
    },
    /// To a batch.
    Batch { success: bool, message: &'static str, accepted: usize },
}

/// Every error that leaves the server as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ErrorBody {
    /// A sentence for a person.
    pub error: String,
    /// The same for a program.
    pub code: &'static str,
    /// What is known beyond that, such as `fields`: each bad field and what is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}
