//! The rate limit of one peer: a state is sent at most once in an interval, and in between only its newest frame is kept.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::batch::Slot;
use super::waiting::LaneKey;
use crate::domain::StateKey;

/// Maximum number of states whose last time is remembered: all symbols, and more relayed states than a page shows.
const MAX_STATES: usize = 1024;

/// The rate limits of one peer.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// The minimum time between two prices of a symbol, in each encoding that has a limit.
    intervals: Vec<(Slot, Duration)>,
    states: HashMap<LaneKey, Pace>,
    /// Whether a timer will call [`take_due`](Self::take_due).
    pub(super) is_scheduled: bool,
}

#[derive(Debug)]
struct Pace {
    /// When the last frame was sent.
    sent: Instant,
    /// The newest frame since then.
    held: Option<Bytes>,
}

impl Throttle {
    /// Sets the limit of an encoding; `None` removes it. Returns what is no longer held back.
    pub(super) fn set_interval(&mut self, slot: Slot, interval: Option<Duration>) -> Vec<(LaneKey, Bytes)> {
        self.intervals.retain(|(of, _)| *of != slot);
        if let Some(interval) = interval {
            self.intervals.push((slot, interval));
            return Vec::new();
        }
        let free: Vec<LaneKey> = self.states.keys().filter(|(of, _)| *of == slot).cloned().collect();
        let held = |key: LaneKey| self.states.remove(&key).and_then(|pace| pace.held).map(|frame| (key, frame));
        free.into_iter().filter_map(held).collect()
    }

    /// Whether no encoding has a limit.
    pub(super) fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// Returns the limit for a state; `None` when it has none.
    fn interval(&self, (slot, key): &LaneKey) -> Option<Duration> {
        let limit = self.intervals.iter().find(|(of, _)| of == slot).map(|(_, interval)| *interval);
        limit.filter(|_| matches!(key, StateKey::Price(_)))
    }

    /// Returns the frame if it may be sent now; keeps it otherwise. `replaced` is set when it replaces an older one.
    pub(super) fn admit(&mut self, key: &LaneKey, frame: Bytes, now: Instant, replaced: &mut bool) -> Option<Bytes> {
        let Some(interval) = self.interval(key) else { return Some(frame) };
        match self.states.get_mut(key) {
            Some(pace) if now < pace.sent + interval => {
                *replaced = pace.held.replace(frame).is_some();
                None
            }
            Some(pace) => {
                // Whatever was held is older.
                *replaced = pace.held.take().is_some();
                pace.sent = now;
                Some(frame)
            }
            None => {
                if self.states.len() >= MAX_STATES {
                    self.forget(now);
                }
                // Beyond the bound a state is not limited.
                if self.states.len() < MAX_STATES {
                    self.states.insert(key.clone(), Pace { sent: now, held: None });
                }
                Some(frame)
            }
        }
    }

    /// Forgets the states whose interval has passed, which changes nothing.
    fn forget(&mut self, now: Instant) {
        let longest = self.intervals.iter().map(|(_, interval)| *interval).max().unwrap_or_default();
        self.states.retain(|_, pace| pace.held.is_some() || now < pace.sent + longest);
    }

    /// Returns when the held frame of a state is due, if it holds one.
    fn due(&self, key: &LaneKey, pace: &Pace) -> Option<Instant> {
        pace.held.as_ref().map(|_| pace.sent + self.interval(key).unwrap_or_default())
    }

    /// Returns the frames that are due, and notes that they are sent now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(LaneKey, Bytes)> {
        let is_due = |(key, pace): &(&LaneKey, &Pace)| self.due(key, pace).is_some_and(|due| due <= now);
        let due: Vec<LaneKey> = self.states.iter().filter(is_due).map(|(key, _)| key.clone()).collect();
        let mut taken = Vec::new();
        for key in due {
            let Some(pace) = self.states.get_mut(&key) else { continue };
            pace.sent = now;
            taken.extend(pace.held.take().map(|frame| (key, frame)));
        }
        taken
    }

    /// Returns all held frames, whether due or not.
    pub(super) fn take_all(&mut self) -> Vec<(LaneKey, Bytes)> {
        self.states.iter_mut().filter_map(|(key, pace)| Some((key.clone(), pace.held.take()?))).collect()
    }

    /// Removes the held states for which `keep` returns `false`.
    pub(super) fn retain(&mut self, keep: impl Fn(&LaneKey) -> bool) {
        self.states.retain(|key, _| keep(key));
    }

    /// Returns when the next held frame is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.states.iter().filter_map(|(key, pace)| self.due(key, pace)).min()
    }
}
