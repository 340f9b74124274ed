//! A batch of published events, and its frames in one encoding.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::fanout::Encode;
use super::frame;
use crate::domain::Class;
use crate::hub::Envelope;

/// An encoding of the events, by its place in the list of encodings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u8);

impl Slot {
    /// Number of slots in front of those of native endpoints: one for each namespace of Socket.IO.
    pub const SOCKETIO: u8 = 3;

    /// Returns a slot of a native endpoint.
    pub const fn native(index: u8) -> Self {
        Self(Self::SOCKETIO + index)
    }
}

/// Events that were published together, each with its number in the order of publishing.
#[derive(Debug, Default)]
pub struct Batch(pub(super) Vec<(u64, Arc<Envelope>)>);

impl Batch {
    /// Returns a batch of these events, the first of which has the number `first`.
    pub fn new(first: u64, events: &[Arc<Envelope>]) -> Self {
        Self((first..).zip(events.iter().cloned()).collect())
    }

    /// Returns the number of the last event; 0 for no events.
    pub(super) fn last(&self) -> u64 {
        self.0.last().map_or(0, |(number, _)| *number)
    }
}

/// The frames of a batch in one encoding, one behind the other. Every client of the encoding shares them.
#[derive(Debug, Default)]
pub struct EncodedFrames {
    pub(super) all: Bytes,
    parts: Vec<Part>,
    /// How many of the frames are states.
    pub(super) states: u64,
}

/// One frame of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// Where its bytes end.
    end: usize,
    /// The index of its event in the batch.
    pub(super) event: usize,
    pub(super) is_state: bool,
}

impl EncodedFrames {
    /// Encodes a batch.
    pub fn of(batch: &Batch, encoder: &dyn Encode) -> Self {
        let (mut all, mut parts, mut states) = (Vec::new(), Vec::new(), 0);
        for (event, (_, envelope)) in batch.0.iter().enumerate() {
            let is_state = envelope.event().class() == Class::State;
            encoder.encode(envelope, &mut |message| {
                frame::append_text(message.as_bytes(), &mut all);
                states += u64::from(is_state);
                parts.push(Part { end: all.len(), event, is_state });
            });
        }
        Self { all: all.into(), parts, states }
    }

    /// Returns how many frames there are.
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether no event of the batch has a message in this encoding.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Returns where the bytes of each frame are.
    pub(super) fn parts(&self) -> impl Iterator<Item = (Range<usize>, Part)> + '_ {
        let mut start = 0;
        self.parts.iter().map(move |part| (std::mem::replace(&mut start, part.end)..part.end, *part))
    }
}
