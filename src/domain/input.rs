//! The inputs of the pipeline, and its answers.

use serde::{Deserialize, Serialize};

use std::sync::Arc;

use super::{
    Contradiction, Fault, Feed, RelayedMessage, Signal, SignalDraft, SignalId, SourceName, Symbol, Tick, TickFault,
    UserNote,
};

/// An input of the pipeline.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Prices that were observed together; processed as a whole.
    Ticks(Vec<Tick>),
    /// A new signal, new content of a pending one, or its end.
    Signal {
        /// The id of the signal.
        id: SignalId,
        /// The content.
        draft: Box<SignalDraft>,
        /// The sender.
        source: SourceName,
        /// The kind of feed of the sender. A simulated signal is rejected for a symbol with real prices.
        feed: Feed,
    },
    /// Messages to relay; accepted as a whole.
    Publish(Vec<RelayedMessage>),
    /// Notes about users; stored together, not published.
    Note(Vec<UserNote>),
}

/// The answer to an accepted input, sent when the input and all earlier ones are durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Accepted {
    /// The ticks were accepted, except these: the index in the input, and the reason.
    Ticks(Vec<(usize, TickFault)>),
    /// The current state of the signal.
    Signal(Arc<Signal>),
    /// The messages were published.
    RelayedMessage,
    /// The notes were stored.
    Noted,
}

/// Why an input was rejected. It changed nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    /// The new signal is incomplete, or its levels contradict each other.
    #[error("{} invalid field(s)", .0.len())]
    Faults(Vec<Fault>),
    /// The signal has ended, or the change contradicts it.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// No signal has this id, and the draft does not make a new one.
    #[error("no signal has the id '{0}'")]
    UnknownSignal(SignalId),
    /// A simulated input for a symbol that has real prices.
    #[error("{0} has prices from a real source")]
    SourceReplaced(Symbol),
    /// The limit of pending signals is reached.
    #[error("too many signals are pending")]
    TooManyPending,
    /// A recording is being replayed, so the clock is that of the recording.
    #[error("a recording is being replayed; pushes are off meanwhile")]
    Replaying,
}
