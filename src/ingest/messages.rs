//! The answers to a push, the same over HTTP and WebSocket.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::number::number;
use crate::domain::{ErrorCode, SignalStatus};

/// The answer to a pushed signal or its end.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the documented answer, field by field")]
pub struct SignalAnswer {
    pub success: bool,
    pub message: &'static str,
    pub signal_id: String,
    #[schema(value_type = SignalStatus)]
    pub status: &'static str,
    pub dry_run: bool,
    /// Whether a message about the signal goes to LINE: LINE is set up and takes messages, and the rules of `notify.line`
    /// take this signal in this state. It is sent from the log after this answer, at least once.
    pub line_sent: bool,
    #[schema(format = DateTime)]
    pub timestamp: String,
}

/// An answer, with further information for the sender.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Answered<T> {
    /// The documented answer.
    #[serde(flatten)]
    pub answer: T,
    /// How a text was interpreted; absent for JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub read_as: Option<Value>,
    /// Names of the fields, or the lines of a text, that had no effect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
}

impl<T> Answered<T> {
    /// Creates the answer to a push in which `ignored` had no effect.
    pub(super) fn new(answer: T, ignored: Vec<String>) -> Self {
        Self { answer, read_as: None, ignored }
    }
}

/// The answer to pushed prices.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the documented answers, field by field")]
pub enum PricesAnswer {
    /// The answer to a single price.
    One {
        success: bool,
        message: &'static str,
        symbol: String,
        #[serde(serialize_with = "number")]
        price: f64,
        #[schema(format = DateTime)]
        timestamp: String,
    },
    /// The answer to a batch.
    Batch { success: bool, message: &'static str, accepted: usize },
}

/// The answer to published events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the documented answers, field by field")]
pub enum EventsAnswer {
    /// The answer to a single event.
    One {
        success: bool,
        message: &'static str,
        #[serde(rename = "type")]
        kind: &'static str,
        #[schema(format = DateTime)]
        timestamp: String,
    },
    /// The answer to a batch.
    Batch { success: bool, message: &'static str, accepted: usize },
}

/// The body of every JSON error.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ErrorBody {
    /// A sentence for people.
    pub error: String,
    /// The error code for programs.
    pub code: ErrorCode,
    /// Further details, such as `fields`: each invalid field with its fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub details: Option<Value>,
}
