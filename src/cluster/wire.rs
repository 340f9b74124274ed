//! What nodes send to each other beside the stream, as JSON: pushes and their answers, beats, prices and states.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::{
    Accepted, Audience, Feed, Input, MessageType, PriceUpdate, Rejection, RelayedMessage, Signal, SignalDraft,
    SignalId, SourceName, Tick, TickFault, UserNote,
};
use crate::pipeline::SubmitError;
use crate::store::RequestId;

/// Finds the type of relayed messages with a name.
pub type FindType = fn(&str) -> Option<MessageType>;

/// A relayed message, with the name of its type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct WireMessage {
    pub(super) kind: String,
    audience: Audience,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    key: Arc<str>,
    data: Arc<str>,
    at: DateTime<Utc>,
}

impl From<&RelayedMessage> for WireMessage {
    fn from(message: &RelayedMessage) -> Self {
        let RelayedMessage { kind, audience, key, data, at, .. } = message.clone();
        Self { kind: kind.name().to_owned(), audience, key, data, at }
    }
}

impl WireMessage {
    /// Returns the message without its number; `None` for an unknown type.
    pub(super) fn read(&self, find: FindType) -> Option<RelayedMessage> {
        let kind = find(&self.kind)?;
        let Self { audience, key, data, at, .. } = self.clone();
        Some(RelayedMessage { seq: 0, kind, audience, key, data, at })
    }
}

/// An input of the pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireInput {
    Ticks(Vec<Tick>),
    Signal { id: SignalId, draft: Box<SignalDraft>, source: SourceName, feed: Feed },
    Publish(Vec<WireMessage>),
    Note(Vec<UserNote>),
}

impl From<&Input> for WireInput {
    fn from(input: &Input) -> Self {
        match input.clone() {
            Input::Ticks(ticks) => Self::Ticks(ticks),
            Input::Signal { id, draft, source, feed } => Self::Signal { id, draft, source, feed },
            Input::Publish(messages) => Self::Publish(messages.iter().map(WireMessage::from).collect()),
            Input::Note(notes) => Self::Note(notes),
        }
    }
}

impl WireInput {
    /// Returns the input; `None` when a message has an unknown type.
    pub(super) fn read(self, find: FindType) -> Option<Input> {
        Some(match self {
            Self::Ticks(ticks) => Input::Ticks(ticks),
            Self::Signal { id, draft, source, feed } => Input::Signal { id, draft, source, feed },
            Self::Publish(messages) => {
                Input::Publish(messages.iter().map(|message| message.read(find)).collect::<Option<_>>()?)
            }
            Self::Note(notes) => Input::Note(notes),
        })
    }
}

/// A push on its way to the writer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Forwarded {
    /// The same for every attempt.
    pub(super) id: RequestId,
    /// The term whose writer is meant. A writer of another one does not take it.
    pub(super) term: u64,
    /// Whether it may have been sent before.
    pub(super) again: bool,
    pub(super) input: WireInput,
}

/// The writer's answer to a push.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireAnswer {
    Ticks(Vec<(usize, TickFault)>),
    Signal(Arc<Signal>),
    RelayedMessage,
    Noted,
    Rejected(Rejection),
    /// It could not be stored by this writer at this time.
    NotStored(String),
    /// It cannot be stored at any time.
    Failed(String),
    Overloaded,
    /// The node does not write, or the push is still being processed: it has to be sent again.
    Again(String),
}

/// An answer, and the last message of the stream that it depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) answer: WireAnswer,
    pub(super) stream_seq: u64,
}

impl From<Result<Accepted, SubmitError>> for WireAnswer {
    fn from(answer: Result<Accepted, SubmitError>) -> Self {
        match answer {
            Ok(Accepted::Ticks(refused)) => Self::Ticks(refused),
            Ok(Accepted::Signal(signal)) => Self::Signal(signal),
            Ok(Accepted::RelayedMessage) => Self::RelayedMessage,
            Ok(Accepted::Noted) => Self::Noted,
            Err(SubmitError::Rejected(rejection)) => Self::Rejected(rejection),
            Err(SubmitError::NotStored(why)) => Self::NotStored(why),
            Err(SubmitError::Overloaded) => Self::Overloaded,
            Err(SubmitError::Stopped) => Self::Again("the writer stops".to_owned()),
        }
    }
}

impl WireAnswer {
    /// Returns the answer for the pusher.
    ///
    /// # Errors
    /// Why the push has to be sent again.
    pub(super) fn read(self) -> Result<Result<Accepted, SubmitError>, String> {
        Ok(match self {
            Self::Ticks(refused) => Ok(Accepted::Ticks(refused)),
            Self::Signal(signal) => Ok(Accepted::Signal(signal)),
            Self::RelayedMessage => Ok(Accepted::RelayedMessage),
            Self::Noted => Ok(Accepted::Noted),
            Self::Rejected(rejection) => Err(SubmitError::Rejected(rejection)),
            Self::Failed(why) => Err(SubmitError::NotStored(why)),
            Self::Overloaded => Err(SubmitError::Overloaded),
            Self::NotStored(why) | Self::Again(why) => return Err(why),
        })
    }
}

/// A sign of life of the writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beat {
    pub(super) epoch: String,
    pub(super) term: u64,
    pub(super) node: String,
    /// The last message of the stream that the writer knows of.
    pub(super) stream_seq: u64,
    /// Whether it hands over now.
    #[serde(default)]
    pub(super) leaving: bool,
    /// The node that it hands over to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) successor: Option<String>,
}

/// Published prices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Prices {
    pub(super) term: u64,
    /// Counts the messages of a writer, so that an older one is not taken for a newer one.
    pub(super) number: u64,
    pub(super) updates: Vec<Arc<PriceUpdate>>,
}
