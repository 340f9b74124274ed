//! A published event, encoded once for each wire format.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use tokio::time::Instant;

use crate::domain::{Event, Position, RelayedMessage};

/// The wire formats of an event. The dialects decide their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The plain object of ORION.
    OrionObject,
    /// The same object in a frame of ORION.
    OrionFrame,
    /// The messages of ARIA PRO.
    Aria,
    /// The messages of Sentio.
    Sentio,
    /// The messages of the bot platform.
    Bots,
}

impl Encoding {
    const COUNT: usize = 5;
}

/// An event with its position in the log, shared by all its receivers.
#[derive(Debug)]
pub struct Envelope {
    event: Event,
    position: Option<Position>,
    born: Instant,
    encoded: [OnceLock<Box<[Utf8Bytes]>>; Encoding::COUNT],
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

    /// Returns the relayed message, or `None` for a price or a signal.
    pub fn published(&self) -> Option<&RelayedMessage> {
        match &self.event {
            Event::RelayedMessage(published) => Some(published),
            Event::Signal(_) | Event::Price(_) => None,
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
        self.encoded[encoding as usize].get_or_init(|| encode(self).into_boxed_slice())
    }
}
