//! The signal book: every pending signal with its deadline, and the ended ones that may still be spoken of.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Change, Invalidation, Now, Signal, SignalId, SignalState, SourceName, Symbol};

/// Ended signals that stay in memory; older ones are read from the log again when somebody speaks of them. More
/// than can wait to be stored at a time: those are not in the log yet, and may have to be taken back.
const MAX_ENDED: usize = 16_384;
/// Pending signals that are kept; more are refused.
const MAX_PENDING: usize = 100_000;
/// Deadlines handled at a time, so that a mass expiry is committed in pieces.
const MAX_EXPIRED_AT_ONCE: usize = 1_000;

#[derive(Debug)]
struct Entry {
    signal: Arc<Signal>,
    /// When its time is up, on the monotonic clock.
    due: Duration,
}

fn made_here(source: &SourceName) -> bool {
    [SourceName::SIMULATOR, SourceName::SETUPS].contains(&source.as_str())
}

/// Signals by id.
#[derive(Debug)]
pub(super) struct SignalBook {
    ttl: Duration,
    entries: HashMap<SignalId, Entry>,
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

    /// When a signal's time is up, or was, on the monotonic clock; a new one would have its whole life.
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

    /// Puts a new signal in, or the next state of a known one.
    pub(super) fn put(&mut self, signal: Signal, now: Now) -> Change {
        let due = self.due(&signal.id, now);
        let signal = Arc::new(signal);
        let previous = self.set(signal.clone(), due);
        Change { signal, previous }
    }

    /// Takes a signal in from the log. Its deadline is absolute; a clock that was wrong meanwhile can neither prolong nor
    /// outdate it by more than its life.
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
        let previous = self.entries.insert(id, Entry { signal, due });
        self.forget_old();
        previous.map(|entry| entry.signal)
    }

    fn forget_old(&mut self) {
        while self.ended.len() > MAX_ENDED {
            let Some(id) = self.ended.pop_front() else { return };
            // An end that was taken back leaves its id here while the signal is pending again.
            if self.get(&id).is_some_and(|signal| !signal.state.is_pending()) {
                self.entries.remove(&id);
            }
        }
    }

    /// Takes a change back.
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

    /// Ends pending signals whose time is up, dated at their deadline.
    pub(super) fn expire(&mut self, now: Now) -> Vec<Change> {
        let due: Vec<SignalId> = self
            .deadlines
            .iter()
            .take_while(|(due, _)| *due <= now.mono)
            .take(MAX_EXPIRED_AT_ONCE)
            .map(|(_, id)| id.clone())
            .collect();
        due.into_iter()
            .filter_map(|id| {
                let signal = self.get(&id)?;
                let ended =
                    signal.as_ref().clone().ended(SignalState::Invalidated(Invalidation::TIMEOUT), signal.expires_at);
                Some(self.put(ended, now))
            })
            .collect()
    }

    /// Ends the pending signals that the simulator, or a setup, made of `symbol`'s simulated prices.
    pub(super) fn end_simulated(&mut self, symbol: &Symbol, reason: &Invalidation, now: Now) -> Vec<Change> {
        let demo: Vec<Signal> = self
            .deadlines
            .iter()
            .filter_map(|(_, id)| self.get(id))
            .filter(|signal| signal.symbol == *symbol && made_here(&signal.source))
            .map(|signal| signal.as_ref().clone())
            .collect();
        demo.into_iter()
            .map(|signal| self.put(signal.ended(SignalState::Invalidated(reason.clone()), now.wall), now))
            .collect()
    }
}
