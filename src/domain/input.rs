//! What can be told to the server, and what it says to that.

use std::sync::Arc;

use super::{
    Contradiction, Fault, Feed, RelayedMessage, Signal, SignalDraft, SignalId, SourceName, Symbol, Tick, TickFault,
    UserNote,
};

/// What can be told to the pipeline.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Prices seen together; taken whole.
    Ticks(Vec<Tick>),
    /// Something about a signal: a new one, other content, or its end.
    Signal {
        /// Which signal.
        id: SignalId,
        /// What is said of it.
        draft: Box<SignalDraft>,
        /// Who says it.
        source: SourceName,
        /// What kind of feed the sayer is: a simulator cannot speak of a symbol that has real prices.
        feed: Feed,
    },
    /// Messages to pass on; taken whole.
    Publish(Vec<RelayedMessage>),
    /// Things to remember of users; kept together, told to nobody.
    Note(Vec<UserNote>),
}

/// What is answered once everything before it and the input itself are durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Accepted {
    /// The ticks were taken, but for those that were not believed: place among them and reason.
    Ticks(Vec<(usize, TickFault)>),
    /// The signal as it is now.
    Signal(Arc<Signal>),
    /// The messages were published.
    RelayedMessage,
    /// The notes are kept.
    Noted,
}

/// Why an input was not taken. It changed nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// The new signal is not whole or its levels contradict each other.
    #[error("{} invalid field(s)", .0.len())]
    Faults(Vec<Fault>),
    /// The signal has ended otherwise, or cannot be changed so.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// No signal has this id, and the draft does not make a new one.
    #[error("no signal has the id '{0}'")]
    UnknownSignal(SignalId),
    /// A simulated input for a symbol that has real prices.
    #[error("{0} has prices from a real source")]
    SourceReplaced(Symbol),
    /// More signals are pending than are kept.
    #[error("too many signals are pending")]
    TooManyPending,
    /// Another clock runs the process: a recording is being replayed.
    #[error("a recording is being replayed; pushes are off meanwhile")]
    Replaying,
}
