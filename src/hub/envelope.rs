//! A published event, encoded once for each wire format.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use tokio::time::Instant;

use crate::domain::{Event, Position, RelayedMessage};

/// One of the wire formats of an event: its slot in every envelope. Each format has a slot of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding(usize);

impl Encoding {
    /// Number of slots of an envelope.
    const SLOTS: usize = 8;

    /// Returns the format with this slot. In a constant, a slot that does not exist fails the build.
    pub const fn new(slot: usize) -> Self {
        assert!(slot < Self::SLOTS, "an envelope has no such slot");
        Self(slot)
    }
}

/// An event with its position in the log, shared by all its receivers.
#[derive(Debug)]
pub struct Envelope {
    event: Event,
    position: Option<Position>,
    born: Instant,
    encoded: [OnceLock<Box<[Utf8Bytes]>>; Encoding::SLOTS],
}

impl Envelope {
    /// Wraps an event that has no position in the signal log.
    pub fn unplaced(event: Event) -> Self {
        Self::new(event, None)
    }

    /// Wraps a signal event with its position in the log.
    pub fn placed(event: Event, position: Position) -> Self {
        Self::new(event, Some(position))
    }

    fn new(event: Event, position: Option<Position>) -> Self {
        Self { event, position, born: Instant::now(), encoded: Default::default() }
    }

    /// Returns the event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Returns the relayed message, or `None` for any other event.
    pub fn published(&self) -> Option<&RelayedMessage> {
        match &self.event {
            Event::RelayedMessage(published) => Some(published),
            _ => None,
        }
    }

    /// Returns the position in the signal log.
    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// Returns the sequence number in the signal log.
    pub fn seq(&self) -> Option<u64> {
        self.position.as_ref().map(|position| position.seq)
    }

    /// Returns the envelope as if it had been created `age` ago. For events that come from the log.
    #[must_use]
    pub fn aged(self, age: Duration) -> Self {
        let born = self.born.checked_sub(age).unwrap_or(self.born);
        Self { born, ..self }
    }

    /// Returns when the envelope was created.
    pub fn born(&self) -> Instant {
        self.born
    }

    /// Returns the time since the envelope was created.
    pub fn age(&self) -> Duration {
        self.born.elapsed()
    }

    /// Returns the messages of the event in `encoding`. The first call encodes them; later calls share the result.
    pub fn encoded(
        self: &Arc<Self>,
        encoding: Encoding,
        encode: impl FnOnce(&Arc<Self>) -> Vec<Utf8Bytes>,
    ) -> &[Utf8Bytes] {
        self.encoded[encoding.0].get_or_init(|| encode(self).into_boxed_slice())
    }
}
