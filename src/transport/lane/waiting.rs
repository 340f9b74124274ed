//! What waits for one slow peer: the rest of a frame that is half written, every ordered frame, and the newest of each
//! state.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf as _, Bytes};
use tokio::time::Instant;

use super::batch::Slot;
use crate::domain::StateKey;
use crate::telemetry::Behind;

/// Maximum number of ordered frames that wait for one peer: a snapshot, the end of a replay, and room for live events.
pub(super) const MAX_ORDERED: usize = 2048;
/// Maximum size of the ordered frames that wait for one peer, in bytes.
pub(super) const MAX_ORDERED_BYTES: usize = 16 << 20;
/// While a gate is closed, this many frames wait in order before states are replaced by newer ones: the client has not
/// shown that it is slow.
const MAX_PATIENT: usize = 256;
/// Maximum number of slices in one write.
pub(super) const MAX_SLICES: usize = 32;

/// Identifies a state of one peer. The same state in another encoding is another one, because it goes to another
/// namespace.
pub(super) type LaneKey = (Slot, StateKey);

/// Frames that the socket has not accepted yet.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// The rest of a frame that is half written. It goes before everything else.
    rest: Bytes,
    /// What goes next, even before the engine's frames.
    sealed: VecDeque<(Instant, Bytes)>,
    /// What goes out behind the next markers but before the last one: the part for each of them.
    behind_markers: VecDeque<VecDeque<(Instant, Bytes)>>,
    ordered: VecDeque<(Instant, Bytes)>,
    /// The size of all frames that wait in order.
    in_order_bytes: usize,
    states: VecDeque<(LaneKey, Instant, Bytes)>,
}

/// More ordered frames wait than a peer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overflow;

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        !self.has_sealed() && self.behind_markers.is_empty() && self.ordered.is_empty() && self.states.is_empty()
    }

    /// Whether there is something that goes before the engine's frames.
    pub(super) fn has_sealed(&self) -> bool {
        !self.rest.is_empty() || !self.sealed.is_empty()
    }

    /// Whether a state may wait in order: few frames wait, and no older state is behind them.
    pub(super) fn is_patient(&self) -> bool {
        self.in_order() < MAX_PATIENT && self.states.is_empty()
    }

    /// Returns how many frames wait in order.
    pub(super) fn in_order(&self) -> usize {
        self.ordered.len() + self.sealed.len() + self.behind_markers.iter().map(VecDeque::len).sum::<usize>()
    }

    /// Appends an ordered frame.
    pub(super) fn push_ordered(&mut self, frame: Bytes, now: Instant) -> Result<(), Overflow> {
        self.in_order_bytes += frame.len();
        self.ordered.push_back((now, frame));
        if self.in_order() > MAX_ORDERED || self.in_order_bytes > MAX_ORDERED_BYTES { Err(Overflow) } else { Ok(()) }
    }

    /// Puts in the newest frame of a state. Returns whether it has replaced an older one.
    pub(super) fn put_state(&mut self, key: LaneKey, frame: Bytes, now: Instant) -> bool {
        match self.states.iter_mut().find(|(other, ..)| *other == key) {
            // The older one has waited since then.
            Some((_, _, old)) => {
                *old = frame;
                true
            }
            None => {
                self.states.push_back((key, now, frame));
                false
            }
        }
    }

    /// Makes everything that waits go out before anything that follows, the engine's frames included.
    pub(super) fn seal(&mut self) {
        let waiting = self.take_open();
        self.sealed.extend(waiting);
    }

    /// Makes everything that waits go out behind the last marker that is under way, and before the next one.
    pub(super) fn seal_behind_marker(&mut self) {
        let waiting = self.take_open();
        self.behind_markers.push_back(waiting);
    }

    /// A marker has come out of the engine, and another one is under way.
    pub(super) fn pass_marker(&mut self) {
        self.sealed.extend(self.behind_markers.pop_front().unwrap_or_default());
    }

    fn take_open(&mut self) -> VecDeque<(Instant, Bytes)> {
        self.in_order_bytes += self.states.iter().map(|(_, _, frame)| frame.len()).sum::<usize>();
        self.ordered.drain(..).chain(self.states.drain(..).map(|(_, since, frame)| (since, frame))).collect()
    }

    /// Puts in the rest of the only frame that is half written.
    pub(super) fn set_rest(&mut self, rest: Bytes) {
        debug_assert!(self.is_empty(), "a frame is half written although others wait");
        self.rest = rest;
    }

    /// Drops everything but the rest of a half-written frame.
    pub(super) fn drop_whole(&mut self) {
        *self = Self { rest: std::mem::take(&mut self.rest), ..Self::default() };
    }

    /// Removes the states of an encoding, and those of them that `keep` rejects.
    pub(super) fn retain_states(&mut self, slot: Slot, keep: impl Fn(&StateKey) -> bool) {
        self.states.retain(|((of, key), ..)| *of != slot || keep(key));
    }

    /// Fills `slices` with what is to be written next, and returns how many there are; with `only_sealed`, only what goes
    /// before the engine's frames.
    pub(super) fn slices<'a>(&'a self, only_sealed: bool, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let rest = (!self.rest.is_empty()).then_some(&self.rest);
        let sealed = self.sealed.iter().map(|(_, frame)| frame);
        let ordered = self.ordered.iter().map(|(_, frame)| frame);
        let states = self.states.iter().map(|(_, _, frame)| frame);
        let open = ordered.chain(states).take(if only_sealed { 0 } else { MAX_SLICES });
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(rest.into_iter().chain(sealed).chain(open)) {
            *slice = IoSlice::new(frame);
            count += 1;
        }
        count
    }

    /// Removes the first `written` bytes of what [`slices`](Self::slices) returned.
    pub(super) fn advance(&mut self, mut written: usize) {
        let of_rest = written.min(self.rest.len());
        self.rest.advance(of_rest);
        written -= of_rest;
        while written > 0 {
            let Some(mut frame) = self.pop() else { return };
            let taken = written.min(frame.len());
            frame.advance(taken);
            written -= taken;
            // A state that is half written is no longer a state: the rest has to follow.
            self.rest = frame;
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        if let Some((_, frame)) = self.sealed.pop_front().or_else(|| self.ordered.pop_front()) {
            self.in_order_bytes -= frame.len();
            return Some(frame);
        }
        self.states.pop_front().map(|(_, _, frame)| frame)
    }

    /// Returns the backlog.
    pub(super) fn behind(&self, now: Instant) -> Behind {
        let marked = self.behind_markers.front().and_then(VecDeque::front);
        let in_order =
            [self.sealed.front(), marked, self.ordered.front()].into_iter().flatten().map(|(since, _)| *since);
        let oldest = in_order.chain(self.states.front().map(|(_, since, _)| *since)).min();
        let by = oldest.map(|since| now.saturating_duration_since(since)).unwrap_or_default();
        Behind { ordered: self.in_order(), states: self.states.len(), by, conflated: 0 }
    }
}
