//! An event on its way out, encoded once for each form it leaves in.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use tokio::time::Instant;

use crate::domain::{Event, Position, RelayedMessage};

/// The forms in which an event can leave. Which bytes they are is the business of the dialects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// ORION's bare object.
    OrionObject,
    /// ORION's frame around it.
    OrionFrame,
    /// ARIA PRO's messages.
    Aria,
    /// Sentio's messages.
    Sentio,
    /// The bot platform's messages.
    Bots,
}

impl Encoding {
    const COUNT: usize = 5;
}

/// An event with its place in the log, shared by all its receivers.
#[derive(Debug)]
pub struct Envelope {
    event: Event,
    position: Option<Position>,
    born: Instant,
    encoded: [OnceLock<Box<[Utf8Bytes]>>; Encoding::COUNT],
}

impl Envelope {
    /// An event without a place in the signal log.
    pub fn unplaced(event: Event) -> Self {
        Self::new(event, None)
    }

    /// A signal event at its place in the log.
    pub fn placed(event: Event, position: Position) -> Self {
        Self::new(event, Some(position))
    }

    fn new(event: Event, position: Option<Position>) -> Self {
        Self { event, position, born: Instant::now(), encoded: Default::default() }
    }

    /// What happened.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The message of somebody else's, if it is one.
    pub fn published(&self) -> Option<&RelayedMessage> {
        match &self.event {
            Event::RelayedMessage(published) => Some(published),
            Event::Signal(_) | Event::Price(_) => None,
        }
    }

    /// Its place in the signal log.
    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// The how-manieth event of the signal log it is.
    pub fn seq(&self) -> Option<u64> {
        self.position.as_ref().map(|position| position.seq)
    }

    /// The same, made so long ago: for what the log remembers.
    #[must_use]
    pub fn aged(self, age: Duration) -> Self {
        let born = self.born.checked_sub(age).unwrap_or(self.born);
        Self { born, ..self }
    }

    /// When it was made.
    pub fn born(&self) -> Instant {
        self.born
    }

    /// Time since it was made.
    pub fn age(&self) -> Duration {
        self.born.elapsed()
    }

    /// The messages that the event is in `encoding`: made by `encode` the first time, shared after that.
    pub fn encoded(
        self: &Arc<Self>,
        encoding: Encoding,
        encode: impl FnOnce(&Arc<Self>) -> Vec<Utf8Bytes>,
    ) -> &[Utf8Bytes] {
        self.encoded[encoding as usize].get_or_init(|| encode(self).into_boxed_slice())
    }
}
