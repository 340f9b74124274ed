//! The cache of signal events: the current state of each signal for snapshots, and the end of the log for clients that
//! resume.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::Envelope;
use crate::domain::{Event, Now, SignalId};

/// Maximum number of events in the tail. A client that catches up can subscribe without a query to the log under the
/// lock.
const MAX_TAIL: usize = 1024;
/// Maximum number of signals for snapshots. Beyond it the one that is unchanged for the longest time is dropped,
/// pending or not.
const MAX_SIGNALS: usize = 2048;

#[derive(Debug)]
pub(super) struct SignalCache {
    window: Duration,
    /// The monotonic time of the last [`evict_expired`](Self::evict_expired).
    now: Duration,
    /// The latest state of each signal, by the sequence number of its last change.
    by_seq: BTreeMap<u64, CachedSignal>,
    seq_of: HashMap<SignalId, u64>,
    tail: VecDeque<Arc<Envelope>>,
    /// The latest event of each signal that was read from the log at the start.
    recovered: Vec<Arc<Envelope>>,
}

#[derive(Debug)]
struct CachedSignal {
    publication: Arc<Envelope>,
    /// Whether it was read from the log. Its age is then known by the wall clock only.
    from_log: bool,
    /// The monotonic time at which it leaves the window; set by the next `evict_expired`.
    until: Option<Duration>,
}

impl SignalCache {
    pub(super) fn new(window: Duration) -> Self {
        Self {
            window,
            now: Duration::ZERO,
            by_seq: BTreeMap::new(),
            seq_of: HashMap::new(),
            tail: VecDeque::new(),
            recovered: Vec::new(),
        }
    }

    /// Adds an event that has just been published.
    pub(super) fn append(&mut self, publication: Arc<Envelope>) {
        self.insert(publication.clone(), false);
        self.tail.push_back(publication);
        if self.tail.len() > MAX_TAIL {
            self.tail.pop_front();
        }
    }

    /// Adds the latest state of a signal from the log. Its events need not be consecutive.
    pub(super) fn restore(&mut self, publication: Arc<Envelope>) {
        self.insert(publication.clone(), true);
        if self.recovered.len() < MAX_SIGNALS {
            self.recovered.push(publication);
        }
    }

    fn insert(&mut self, publication: Arc<Envelope>, from_log: bool) {
        let (Event::Signal(signal), Some(seq)) = (publication.event(), publication.seq()) else { return };
        if let Some(before) = self.seq_of.insert(signal.id.clone(), seq) {
            self.by_seq.remove(&before);
        }
        self.by_seq.insert(seq, CachedSignal { publication, from_log, until: None });
        while self.by_seq.len() > MAX_SIGNALS {
            self.evict_oldest();
        }
    }

    fn evict_oldest(&mut self) {
        if let Some((_, entry)) = self.by_seq.pop_first()
            && let Event::Signal(signal) = entry.publication.event()
        {
            self.seq_of.remove(&signal.id);
        }
    }

    /// Removes ended signals that have left the window.
    pub(super) fn evict_expired(&mut self, now: Now) {
        self.now = now.mono;
        self.recovered.retain(|publication| publication.age() < self.window);
        let end = now.mono + self.window;
        self.by_seq.retain(|_, entry| {
            let Event::Signal(signal) = entry.publication.event() else { return false };
            let until = entry.until.get_or_insert_with(|| {
                let age = (now.wall - signal.updated_at).to_std().unwrap_or_default();
                if entry.from_log { end.saturating_sub(age) } else { end }
            });
            let insert = signal.state.is_pending() || now.mono < *until;
            if !insert {
                self.seq_of.remove(&signal.id);
            }
            insert
        });
    }

    /// Returns how long a signal is kept after its last change when it has ended.
    pub(super) fn window(&self) -> Duration {
        self.window
    }

    /// Returns the latest state of each signal, oldest change first, and the time since that change. For a signal that
    /// has left the window the time is at least the window.
    pub(super) fn signals(&self) -> impl Iterator<Item = (&Arc<Envelope>, Duration)> {
        self.by_seq.values().map(|entry| {
            let age = match entry.until {
                Some(until) => (self.now + self.window).saturating_sub(until),
                None if entry.from_log => self.window,
                None => Duration::ZERO,
            };
            (&entry.publication, age)
        })
    }

    /// Returns the events after `seq` that are younger than `window`, oldest first. From before the start, it has only
    /// the latest event of each signal; of a burst, only the tail.
    pub(super) fn younger(&self, seq: u64, window: Duration) -> impl Iterator<Item = &Arc<Envelope>> {
        let is_wanted = move |publication: &&Arc<Envelope>| {
            publication.seq().is_some_and(|at| at > seq) && publication.age() < window
        };
        self.recovered.iter().chain(&self.tail).filter(is_wanted)
    }

    /// Returns the events after `seq` up to `head`; `None` when the tail does not have all of them.
    pub(super) fn after(&self, seq: u64, head: u64) -> Option<Vec<Arc<Envelope>>> {
        if seq >= head {
            return Some(Vec::new());
        }
        let first = self.tail.front()?.seq()?;
        (first <= seq + 1)
            .then(|| self.tail.iter().filter(|publication| publication.seq() > Some(seq)).cloned().collect())
    }
}
