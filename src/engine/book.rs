//! The signal book: every pending signal with its deadline, and the latest ended ones.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Change, Invalidation, Now, Signal, SignalId, SignalState, SourceName, Symbol};

/// Maximum number of ended signals in memory; older ones are read from the log on demand. It exceeds the number of
/// changes that can wait for a commit, because those are not in the log yet and may be undone.
const MAX_ENDED: usize = 16_384;
/// Maximum number of pending signals; further ones are rejected.
const MAX_PENDING: usize = 100_000;
/// Maximum number of deadlines that are processed at a time, so that a mass expiry is committed in chunks.
const MAX_EXPIRED_AT_ONCE: usize = 1_000;

#[derive(Debug)]
struct BookEntry {
    signal: Arc<Signal>,
    /// Its deadline on the monotonic clock.
    due: Duration,
}

fn made_here(source: &SourceName) -> bool {
    [SourceName::SIMULATOR, SourceName::SETUPS].contains(&source.as_str())
}

/// The signals by id.
#[derive(Debug)]
pub(super) struct SignalBook {
    ttl: Duration,
    entries: HashMap<SignalId, BookEntry>,
    deadlines: BTreeSet<(Duration, SignalId)>,
    ended: VecDeque<SignalId>,
}

impl SignalBook {
    pub(super) fn new(ttl: Duration) -> Self {
        Self { ttl, entries: HashMap::new(), deadlines: BTreeSet::new(), ended: VecDeque::new() }
    }

    pub(super) fn ttl(&self) -> Duration {
        self.ttl
    }

    pub(super) fn get(&self, id: &SignalId) -> Option<&Arc<Signal>> {
        self.entries.get(id).map(|entry| &entry.signal)
    }

    /// Returns the deadline of a signal on the monotonic clock; for a new one, `ttl` from now.
    pub(super) fn due(&self, id: &SignalId, now: Now) -> Duration {
        self.entries.get(id).map_or(now.mono + self.ttl, |entry| entry.due)
    }

    pub(super) fn is_full(&self) -> bool {
        self.deadlines.len() >= MAX_PENDING
    }

    pub(super) fn pending(&self) -> usize {
        self.deadlines.len()
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(due, _)| *due)
    }

    /// Inserts a new signal, or the next state of a known one.
    pub(super) fn insert(&mut self, signal: Signal, now: Now) -> Change {
        let due = self.due(&signal.id, now);
        let signal = Arc::new(signal);
        let previous = self.set(signal.clone(), due);
        Change { signal, previous }
    }

    /// Inserts a signal from the log. The time to its deadline comes from the wall clock, limited to the time to live
    /// in case that clock was wrong.
    pub(super) fn restore(&mut self, signal: Signal, now: Now) {
        let left = (signal.expires_at - now.wall).to_std().unwrap_or(Duration::ZERO).min(self.ttl);
        self.set(Arc::new(signal), now.mono + left);
    }

    fn set(&mut self, signal: Arc<Signal>, due: Duration) -> Option<Arc<Signal>> {
        let id = signal.id.clone();
        if signal.state.is_pending() {
            self.deadlines.insert((due, id.clone()));
        } else {
            self.deadlines.remove(&(due, id.clone()));
            self.ended.push_back(id.clone());
        }
        let previous = self.entries.insert(id, BookEntry { signal, due });
        self.evict_ended();
        previous.map(|entry| entry.signal)
    }

    fn evict_ended(&mut self) {
        while self.ended.len() > MAX_ENDED {
            let Some(id) = self.ended.pop_front() else { return };
            // An end that was undone leaves its id here while the signal is pending again.
            if self.get(&id).is_some_and(|signal| !signal.state.is_pending()) {
                self.entries.remove(&id);
            }
        }
    }

    /// Undoes a change.
    pub(super) fn undo(&mut self, change: Change) {
        let id = &change.signal.id;
        let Some(entry) = self.entries.get_mut(id) else { return };
        let key = (entry.due, id.clone());
        match change.previous {
            Some(previous) => {
                if previous.state.is_pending() {
                    self.deadlines.insert(key);
                }
                entry.signal = previous;
            }
            None => {
                self.deadlines.remove(&key);
                self.entries.remove(id);
            }
        }
    }

    /// Returns the pending signals whose deadline has passed, and their deadlines on the monotonic clock.
    pub(super) fn overdue(&self, now: Now) -> Vec<(Duration, SignalId)> {
        self.deadlines.iter().take_while(|(due, _)| *due <= now.mono).take(MAX_EXPIRED_AT_ONCE).cloned().collect()
    }

    /// Ends a signal, if it is pending, at its deadline.
    pub(super) fn expire(&mut self, id: &SignalId, now: Now) -> Option<Change> {
        let signal = self.get(id).filter(|signal| signal.state.is_pending())?;
        let ended = signal.as_ref().clone().ended(SignalState::Invalidated(Invalidation::TIMEOUT), signal.expires_at);
        Some(self.insert(ended, now))
    }

    /// Ends the pending signals that the simulator or the setups made from simulated prices of `symbol`.
    pub(super) fn end_simulated(&mut self, symbol: &Symbol, reason: &Invalidation, now: Now) -> Vec<Change> {
        let demo: Vec<Signal> = self
            .deadlines
            .iter()
            .filter_map(|(_, id)| self.get(id))
            .filter(|signal| signal.symbol == *symbol && made_here(&signal.source))
            .map(|signal| signal.as_ref().clone())
            .collect();
        demo.into_iter()
            .map(|signal| self.insert(signal.ended(SignalState::Invalidated(reason.clone()), now.wall), now))
            .collect()
    }
}
