//! The published events, their two delivery classes, and their position in the log.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Audience, MessageType, Presence, PriceUpdate, RelayedMessage, Signal, Symbol};

/// An event that is published to dashboards.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A signal is new or has changed.
    Signal(Arc<Signal>),
    /// An instrument has a new price.
    Price(Arc<PriceUpdate>),
    /// A message from outside that the server relays.
    RelayedMessage(Arc<RelayedMessage>),
    /// The position of the log, for clients whose filters have left out the events before it.
    Cursor(Position),
    /// The killzone clock at this time.
    Killzone(DateTime<Utc>),
    /// How many clients were connected to this node at this time.
    Presence(DateTime<Utc>, Presence),
}

/// Identifies a state: a newer event with the same key replaces an older one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateKey {
    /// The price of an instrument.
    Price(Symbol),
    /// A relayed state: its audience, its type, and its key within the type.
    RelayedMessage(Audience, MessageType, Arc<str>),
    /// The killzone clock.
    Killzone,
    /// The counts of clients.
    Presence,
}

/// How an event is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Committed before it is acknowledged, delivered in order, replayable, never dropped.
    Ordered,
    /// Has a key; a newer event replaces an undelivered older one.
    State,
}

impl Event {
    /// Returns the name of the event type, for metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Signal(_) => "signal",
            Self::Price(_) => "price_update",
            Self::RelayedMessage(published) => published.kind.name(),
            Self::Cursor(_) => "cursor",
            Self::Killzone(_) => "killzone",
            Self::Presence(..) => "presence",
        }
    }

    /// Returns the key by which a newer event replaces this one; `None` for ordered events.
    pub fn state_key(&self) -> Option<StateKey> {
        match self {
            Self::Price(update) => Some(StateKey::Price(update.symbol.clone())),
            Self::RelayedMessage(published) if published.kind.class() == Class::State => {
                Some(StateKey::RelayedMessage(published.audience.clone(), published.kind, published.key.clone()))
            }
            Self::Killzone(_) => Some(StateKey::Killzone),
            Self::Presence(..) => Some(StateKey::Presence),
            // A position must not overtake the events before it.
            Self::Signal(_) | Self::RelayedMessage(_) | Self::Cursor(_) => None,
        }
    }

    /// Returns the delivery class: an event with a key is a state, every other one is ordered.
    pub fn class(&self) -> Class {
        if self.state_key().is_some() { Class::State } else { Class::Ordered }
    }
}

/// The position of an ordered event: the epoch of its log, and its sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The name of the log; a new log gets a new one.
    pub epoch: Arc<str>,
    /// The sequence number, counted from 1; 0 is the position before the first event.
    pub seq: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.seq)
    }
}

/// A position from a client: well-formed, but possibly from another log.
pub type Cursor = Position;

/// A text that is not a cursor.
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
    fn a_cursor_survives_a_round_trip() {
        let position = Position { epoch: "k3x9".into(), seq: 42 };
        assert_eq!(position.to_string(), "k3x9:42");
        assert_eq!("k3x9:42".parse(), Ok(position));
    }

    #[test]
    fn malformed_cursors_are_rejected() {
        for text in ["", ":", "a", "a:", ":1", "a:-1", "a:+1", "a:1:2", "a b:1", "a:99999999999999999999999", "ä:1"] {
            assert_eq!(text.parse::<Position>(), Err(CursorError), "{text}");
        }
    }
}
