//! The rate limit of one peer: a state is sent at most once in an interval, and in between only its newest frame is kept.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::waiting::Key;

/// Maximum number of states whose last time is remembered: all symbols, and more bots and balances than a page shows.
const MAX_STATES: usize = 1024;

/// The rate limit of one peer.
#[derive(Debug)]
pub(super) struct Throttle {
    interval: Duration,
    states: HashMap<Key, Pace>,
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
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, states: HashMap::new(), is_scheduled: false }
    }

    pub(super) fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// Returns the frame if it may be sent now; keeps it otherwise. `replaced` is set when it replaces an older one.
    pub(super) fn admit(&mut self, key: &Key, frame: Bytes, now: Instant, replaced: &mut bool) -> Option<Bytes> {
        match self.states.get_mut(key) {
            Some(pace) if now < pace.sent + self.interval => {
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
        let interval = self.interval;
        self.states.retain(|_, pace| pace.held.is_some() || now < pace.sent + interval);
    }

    /// Returns the frames that are due, and notes that they are sent now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(Key, Bytes)> {
        let interval = self.interval;
        let due = self.states.iter_mut().filter(|(_, pace)| pace.sent + interval <= now);
        due.filter_map(|(key, pace)| {
            let frame = pace.held.take()?;
            pace.sent = now;
            Some((key.clone(), frame))
        })
        .collect()
    }

    /// Returns all held frames, whether due or not.
    pub(super) fn take_all(&mut self) -> Vec<(Key, Bytes)> {
        self.states.iter_mut().filter_map(|(key, pace)| Some((key.clone(), pace.held.take()?))).collect()
    }

    /// Removes the held states for which `keep` returns `false`.
    pub(super) fn retain(&mut self, keep: impl Fn(&Key) -> bool) {
        self.states.retain(|key, _| keep(key));
    }

    /// Returns when the next held frame is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let held = self.states.values().filter(|pace| pace.held.is_some());
        held.map(|pace| pace.sent + self.interval).min()
    }
}
