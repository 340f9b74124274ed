//! The ordered events of the last while: each signal as it is now for snapshots, and the tail of the log for joining.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::Envelope;
use crate::domain::{Event, Now, SignalId};

/// Events of the log's tail that are kept, so that a client that catches up can join without asking the log under the lock.
const TAIL: usize = 1024;
/// Signals that are kept for snapshots; beyond that the longest unchanged leaves, pending or not.
const MAX_SIGNALS: usize = 2048;

#[derive(Debug)]
pub(super) struct SignalCache {
    window: Duration,
    /// The monotonic clock at the last look at it.
    now: Duration,
    /// Latest state of each signal, by the place of its last change.
    by_seq: BTreeMap<u64, Kept>,
    seq_of: HashMap<SignalId, u64>,
    tail: VecDeque<Arc<Envelope>>,
    /// What was read from the log at the start: the latest event of each signal.
    recalled: Vec<Arc<Envelope>>,
}

#[derive(Debug)]
struct Kept {
    publication: Arc<Envelope>,
    /// It was read from the log: how old it is only the wall clock knows.
    from_log: bool,
    /// When it has left the window, on the monotonic clock; not known before the next look at it.
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
            recalled: Vec::new(),
        }
    }

    /// Takes in an event that has just been published.
    pub(super) fn remember(&mut self, publication: Arc<Envelope>) {
        self.keep(publication.clone(), false);
        self.tail.push_back(publication);
        if self.tail.len() > TAIL {
            self.tail.pop_front();
        }
    }

    /// Takes in the latest state of a signal from the log, which may have gone on with others in between.
    pub(super) fn restore(&mut self, publication: Arc<Envelope>) {
        self.keep(publication.clone(), true);
        if self.recalled.len() < MAX_SIGNALS {
            self.recalled.push(publication);
        }
    }

    fn keep(&mut self, publication: Arc<Envelope>, from_log: bool) {
        let (Event::Signal(signal), Some(seq)) = (publication.event(), publication.seq()) else { return };
        if let Some(before) = self.seq_of.insert(signal.id.clone(), seq) {
            self.by_seq.remove(&before);
        }
        self.by_seq.insert(seq, Kept { publication, from_log, until: None });
        while self.by_seq.len() > MAX_SIGNALS {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, kept)) = self.by_seq.pop_first()
            && let Event::Signal(signal) = kept.publication.event()
        {
            self.seq_of.remove(&signal.id);
        }
    }

    /// Drops ended signals that have left the window.
    pub(super) fn tidy(&mut self, now: Now) {
        self.now = now.mono;
        self.recalled.retain(|publication| publication.age() < self.window);
        let end = now.mono + self.window;
        self.by_seq.retain(|_, kept| {
            let Event::Signal(signal) = kept.publication.event() else { return false };
            let until = kept.until.get_or_insert_with(|| {
                let age = (now.wall - signal.updated_at).to_std().unwrap_or_default();
                if kept.from_log { end.saturating_sub(age) } else { end }
            });
            let keep = signal.state.is_pending() || now.mono < *until;
            if !keep {
                self.seq_of.remove(&signal.id);
            }
            keep
        });
    }

    /// The time within which a signal has changed that is kept although it has ended.
    pub(super) fn window(&self) -> Duration {
        self.window
    }

    /// Latest state of each signal, oldest change first, and how long ago it changed: at least the window for one that has
    /// left it.
    pub(super) fn signals(&self) -> impl Iterator<Item = (&Arc<Envelope>, Duration)> {
        self.by_seq.values().map(|kept| {
            let age = match kept.until {
                Some(until) => (self.now + self.window).saturating_sub(until),
                None if kept.from_log => self.window,
                None => Duration::ZERO,
            };
            (&kept.publication, age)
        })
    }

    /// The events after `seq` that are younger than `window`, oldest first. Of the time before the start only the latest event
    /// of each signal is known, and of a burst its tail.
    pub(super) fn younger(&self, seq: u64, window: Duration) -> impl Iterator<Item = &Arc<Envelope>> {
        let is_wanted = move |publication: &&Arc<Envelope>| {
            publication.seq().is_some_and(|at| at > seq) && publication.age() < window
        };
        self.recalled.iter().chain(&self.tail).filter(is_wanted)
    }

    /// The events after `seq` up to `head`; `None` when the tail does not reach back so far.
    pub(super) fn after(&self, seq: u64, head: u64) -> Option<Vec<Arc<Envelope>>> {
        if seq >= head {
            return Some(Vec::new());
        }
        let first = self.tail.front()?.seq()?;
        (first <= seq + 1)
            .then(|| self.tail.iter().filter(|publication| publication.seq() > Some(seq)).cloned().collect())
    }
}
