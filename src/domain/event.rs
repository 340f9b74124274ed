//! What happens: the events that leave the engine, their two classes, and their place in the log.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{Audience, MessageType, PriceUpdate, RelayedMessage, Signal, Symbol};

/// Something that dashboards are told.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A signal is new or has changed.
    Signal(Arc<Signal>),
    /// An instrument has a price.
    Price(Arc<PriceUpdate>),
    /// Somebody published something that this server does not make.
    RelayedMessage(Arc<RelayedMessage>),
}

/// What a state is the state of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateKey {
    /// The price of an instrument.
    Price(Symbol),
    /// Something published: whose, what, and which.
    RelayedMessage(Audience, MessageType, Arc<str>),
}

/// How an event is delivered. There is no third way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Committed before it is acknowledged, kept in order, replayable, never dropped.
    Ordered,
    /// Has a key; a newer one replaces an undelivered older one.
    State,
}

impl Event {
    /// Name of the kind, for metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Signal(_) => "signal",
            Self::Price(_) => "price_update",
            Self::RelayedMessage(published) => published.kind.name(),
        }
    }

    /// What a newer event replaces; `None` for ordered events, which nothing replaces.
    pub fn state_key(&self) -> Option<StateKey> {
        match self {
            Self::Price(update) => Some(StateKey::Price(update.symbol.clone())),
            Self::RelayedMessage(published) if published.kind.class() == Class::State => {
                Some(StateKey::RelayedMessage(published.audience.clone(), published.kind, published.key.clone()))
            }
            Self::Signal(_) | Self::RelayedMessage(_) => None,
        }
    }

    /// The class: a state has a key, everything else is ordered.
    pub fn class(&self) -> Class {
        if self.state_key().is_some() { Class::State } else { Class::Ordered }
    }
}

/// Place of an ordered event: which log, and the how-manieth event of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Name of the log; a new log has a new one.
    pub epoch: Arc<str>,
    /// Counts ordered events from 1; 0 is the place before the first.
    pub seq: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.seq)
    }
}

/// A position as a client presents it: well-formed, but from who knows which log.
pub type Cursor = Position;

/// A cursor that cannot be one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this server")]
pub struct CursorError;

impl FromStr for Position {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (epoch, seq) = text.split_once(':').ok_or(CursorError)?;
        let well_formed = (1..=32).contains(&epoch.len())
            && epoch.bytes().all(|b| b.is_ascii_alphanumeric())
            && (1..=20).contains(&seq.len())
            && seq.bytes().all(|b| b.is_ascii_digit());
        if !well_formed {
            return Err(CursorError);
        }
        Ok(Self { epoch: epoch.into(), seq: seq.parse().map_err(|_| CursorError)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let position = Position { epoch: "k3x9".into(), seq: 42 };
        assert_eq!(position.to_string(), "k3x9:42");
        assert_eq!("k3x9:42".parse(), Ok(position));
    }

    #[test]
    fn nonsense_is_no_cursor() {
        for text in ["", ":", "a", "a:", ":1", "a:-1", "a:+1", "a:1:2", "a b:1", "a:99999999999999999999999", "ä:1"] {
            assert_eq!(text.parse::<Position>(), Err(CursorError), "{text}");
        }
    }
}
