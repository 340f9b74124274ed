//! The answers to an Expert Advisor.

use serde::Serialize;

use crate::ingest::{Answered, SignalAnswer};

/// The answer to a post.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PostAnswer {
    /// The answer to a batch of ticks.
    Ticks(TicksAnswer),
    /// The answer to a signal.
    Signal(Answered<SignalAnswer>),
}

/// The answer to a batch of ticks. It acknowledges the whole batch, including rejected ticks.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the documented answer, field by field")]
pub struct TicksAnswer {
    pub success: bool,
    pub message: &'static str,
    pub seq: u64,
    pub accepted: usize,
    /// Whether the batch was received before, because its acknowledgement was lost.
    pub duplicate: bool,
    pub rejected: Vec<Refused>,
    pub timestamp: String,
}

/// A rejected tick. Sending it again would not help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Its index in the batch.
    pub index: usize,
    /// The symbol as it was sent.
    pub symbol: String,
    /// `unknown_symbol`, `invalid`, `duplicate`, `out_of_order`, or why the engine rejects it, such as `jump`.
    pub code: &'static str,
    /// The explanation for people.
    pub reason: String,
}
