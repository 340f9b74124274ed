//! What an Expert Advisor is answered.

use serde::Serialize;

use crate::sources::push::{Answered, SignalAnswer};

/// The answer to whatever was posted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To a batch of ticks.
    Ticks(TicksAnswer),
    /// To a signal.
    Signal(Answered<SignalAnswer>),
}

/// The answer to a batch of ticks; it acknowledges the batch, also where ticks of it were not taken.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the documented answer, field by field")]
pub struct TicksAnswer {
    pub success: bool,
    pub message: &'static str,
    pub seq: u64,
    pub accepted: usize,
    /// Whether this batch was taken before: its acknowledgement got lost.
    pub duplicate: bool,
    pub rejected: Vec<Refused>,
    pub timestamp: String,
}

/// A tick that was not taken. Sending it again would not help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Its place in the batch.
    pub index: usize,
    /// The symbol as it was sent.
    pub symbol: String,
    /// `unknown_symbol`, `invalid`, `duplicate`, `out_of_order`, or what the engine does not believe, such as `jump`.
    pub code: &'static str,
    /// The same for a person.
    pub reason: String,
}
