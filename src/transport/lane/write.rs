//! Writing from the fan-out, and what happens when the socket accepts no more.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::batch::{Batch, EncodedFrames, Part, Slot};
use super::waiting::{LaneKey, MAX_SLICES, Overflow};
use super::{DeliveryOutcome, GATE_TIMEOUT, Lane, LaneState, OnOverflow, Tally};
use crate::listener::Reason;

/// Whether everything that may be written now is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Nothing is left that may be written now.
    Idle,
    /// The socket accepts no more.
    Full,
}

impl Lane {
    /// Writes the frames that the client subscribed to, and keeps those that the socket does not accept.
    pub fn deliver(
        self: &Arc<Self>,
        slot: Slot,
        batch: &Batch,
        frames: &EncodedFrames,
        now: Instant,
        tally: &mut Tally,
    ) -> DeliveryOutcome {
        let state = &mut *self.state.lock();
        if state.is_closed || self.socket.kill().killed().is_some() {
            return DeliveryOutcome::Gone;
        }
        let Some(index) = state.subscriptions.iter().position(|subscription| subscription.slot == slot) else {
            return DeliveryOutcome::Done;
        };
        let subscription = &mut state.subscriptions[index];
        let delivered = subscription.delivered;
        subscription.delivered = delivered.max(batch.last());
        let topics = &state.subscriptions[index].topics;
        if state.overflow.is_some() {
            return DeliveryOutcome::Done;
        }
        if state.gates > 0 && state.gate_closed.is_some_and(|closed| now > closed + GATE_TIMEOUT) {
            tracing::error!("a marker did not come out of the Socket.IO engine: the client has to resume");
            self.kill(Reason::Overloaded);
            return DeliveryOutcome::Gone;
        }
        let is_wanted = |part: &Part| {
            let (number, envelope) = &batch.0[part.event];
            *number > delivered && topics.contain(envelope.event())
        };
        let mut written = 0;
        if state.is_free() && state.throttle.is_none() {
            match self.write_at_once(frames, is_wanted, tally) {
                AtOnce::All => return DeliveryOutcome::Done,
                AtOnce::Part(bytes) => written = bytes,
                AtOnce::Broken => {
                    self.end(state);
                    return DeliveryOutcome::Gone;
                }
            }
        }
        // The rest of the state is borrowed below.
        let wanted: Vec<_> = frames.parts().filter(|(_, part)| is_wanted(part)).collect();
        for (range, part) in wanted {
            let length = range.len();
            tally.count(part);
            if written >= length {
                written -= length;
                continue;
            }
            let key = batch.0[part.event].1.event().state_key().map(|key| (slot, key));
            if written > 0 {
                // Only the first frame that is kept can be half written, and nothing waited before it.
                let rest = frames.all.slice(range.start + written..range.end);
                state.waiting.get_or_insert_default().set_rest(rest);
                written = 0;
            } else if state.put(key, frames.all.slice(range), now, tally).is_err() {
                self.overflow(state);
                return DeliveryOutcome::Done;
            }
        }
        self.flush_or_wait(state);
        if state.is_closed {
            return DeliveryOutcome::Gone;
        }
        match state.throttle.as_mut().filter(|throttle| !throttle.is_scheduled) {
            Some(throttle) => match throttle.next() {
                Some(next) => {
                    throttle.is_scheduled = true;
                    DeliveryOutcome::Later(next)
                }
                None => DeliveryOutcome::Done,
            },
            None => DeliveryOutcome::Done,
        }
    }

    /// Writes the wanted frames: all of a batch with one system call, a selection with one for every few frames.
    fn write_at_once(&self, frames: &EncodedFrames, is_wanted: impl Fn(&Part) -> bool, tally: &mut Tally) -> AtOnce {
        let wanted = || frames.parts().filter(|(_, part)| is_wanted(part));
        let wants_all = frames.parts().all(|(_, part)| is_wanted(&part));
        let outcome = if wants_all {
            let of = frames.all.len();
            AtOnce::of(self.socket.try_write(&frames.all), of, 0)
        } else {
            self.write_slices(wanted().map(|(range, _)| &frames.all[range]))
        };
        if outcome == AtOnce::All && wants_all {
            tally.states += frames.states;
            tally.ordered += frames.len() as u64 - frames.states;
        } else if outcome == AtOnce::All {
            wanted().for_each(|(_, part)| tally.count(part));
        }
        outcome
    }

    fn write_slices<'a>(&self, mut frames: impl Iterator<Item = &'a [u8]>) -> AtOnce {
        let mut before = 0;
        loop {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let (mut count, mut bytes) = (0, 0);
            for (slice, frame) in slices.iter_mut().zip(&mut frames) {
                *slice = IoSlice::new(frame);
                (count, bytes) = (count + 1, bytes + frame.len());
            }
            if count == 0 {
                return AtOnce::All;
            }
            match AtOnce::of(self.socket.try_write_vectored(&slices[..count]), bytes, before) {
                AtOnce::All => before += bytes,
                other => return other,
            }
        }
    }

    /// Puts states in line, and writes what may be written.
    pub(super) fn put_states(self: &Arc<Self>, state: &mut LaneState, states: Vec<(LaneKey, Bytes)>, now: Instant) {
        if states.is_empty() || state.overflow.is_some() {
            return;
        }
        let waiting = state.waiting.get_or_insert_default();
        for (key, frame) in states {
            state.conflated += u64::from(waiting.put_state(key, frame, now));
        }
        self.flush_or_wait(state);
    }

    /// Drops what waits, because the client fell too far behind: it has to reconnect and resume. The rest of a half-written
    /// frame still goes out, so that the engine can close the connection.
    pub(super) fn overflow(&self, state: &mut LaneState) {
        let behind = state.behind(Instant::now());
        state.overflow = Some(behind);
        state.throttle = None;
        if let Some(waiting) = &mut state.waiting {
            waiting.drop_whole();
        }
        match &self.on_overflow {
            OnOverflow::Kill(metrics) => {
                metrics.cut_slow("socketio", behind.by);
                tracing::info!(
                    waiting = behind.ordered,
                    seconds_behind = behind.by.as_secs_f64(),
                    "a Socket.IO client is too slow: cut, to come back and catch up"
                );
                self.kill(Reason::Overloaded);
            }
            OnOverflow::Notify => self.changed.notify_waiters(),
        }
    }

    pub(super) fn flush_or_wait(self: &Arc<Self>, state: &mut LaneState) {
        if self.flush(state) == Flushed::Full {
            self.start_flusher(state);
        }
    }

    /// Writes what waits, as far as it may go out now and the socket accepts it.
    pub(super) fn flush(&self, state: &mut LaneState) -> Flushed {
        while let Some(waiting) = &mut state.waiting {
            if waiting.is_empty() {
                state.waiting = None;
                self.changed.notify_waiters();
                break;
            }
            if !state.engine.is_between() {
                break;
            }
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            // An engine that waits to write comes first, or the lane could starve it.
            let count = waiting.slices(state.gates > 0 || state.engine.waits, &mut slices);
            if count == 0 {
                break;
            }
            match self.socket.try_write_vectored(&slices[..count]) {
                Ok(written) => {
                    waiting.advance(written);
                    self.changed.notify_waiters();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Flushed::Full,
                Err(_) => self.end(state),
            }
        }
        Flushed::Idle
    }

    fn end(&self, state: &mut LaneState) {
        state.close();
        self.changed.notify_waiters();
    }

    /// Starts the task that goes on when the socket accepts more, and ends the connection when it does not.
    pub(super) fn start_flusher(self: &Arc<Self>, state: &mut LaneState) {
        if !state.is_flushing && !state.is_closed {
            state.is_flushing = true;
            let lane = self.clone();
            self.socket.tasks().spawn_connection(async move { lane.flush_when_writable().await });
        }
    }

    async fn flush_when_writable(self: Arc<Self>) {
        loop {
            self.socket.block();
            let writable = timeout(self.socket.write_timeout(), self.socket.writable()).await;
            if writable.is_err() && !self.state.lock().is_closed {
                self.socket.kill_slow_reader();
                self.end(&mut self.state.lock());
            }
            self.socket.unblock();
            let state = &mut *self.state.lock();
            if state.is_closed || self.flush(state) == Flushed::Idle {
                state.is_flushing = false;
                return;
            }
        }
    }
}

/// What became of a write that was tried at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtOnce {
    /// Everything wanted is written.
    All,
    /// The socket accepted this many bytes.
    Part(usize),
    /// The socket is broken.
    Broken,
}

impl AtOnce {
    /// Returns what a write of `bytes` means, after `before` bytes that were accepted.
    fn of(written: io::Result<usize>, bytes: usize, before: usize) -> Self {
        match written {
            Ok(written) if written == bytes => Self::All,
            Ok(written) => Self::Part(before + written),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Self::Part(before),
            Err(_) => Self::Broken,
        }
    }
}

impl Tally {
    fn count(&mut self, part: Part) {
        if part.is_state {
            self.states += 1;
        } else {
            self.ordered += 1;
        }
    }
}

impl LaneState {
    /// Puts a frame in line: at its place among the ordered ones, or in place of an older one of its state.
    fn put(&mut self, key: Option<LaneKey>, frame: Bytes, now: Instant, tally: &mut Tally) -> Result<(), Overflow> {
        let is_gated = self.gates > 0;
        let (mut key, mut frame) = (key, frame);
        if let (Some(of), Some(throttle)) = (&key, &mut self.throttle) {
            let mut replaced = false;
            let admitted = throttle.admit(of, frame, now, &mut replaced);
            tally.conflated += u64::from(replaced);
            self.conflated += u64::from(replaced);
            match admitted {
                Some(admitted) => frame = admitted,
                None => return Ok(()),
            }
        } else if is_gated && self.waiting.as_ref().is_none_or(|waiting| waiting.is_patient()) {
            key = None;
        }
        let waiting = self.waiting.get_or_insert_default();
        match key {
            None => waiting.push_ordered(frame, now),
            Some(key) => {
                let replaced = u64::from(waiting.put_state(key, frame, now));
                tally.conflated += replaced;
                self.conflated += replaced;
                Ok(())
            }
        }
    }
}
