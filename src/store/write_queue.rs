//! The queue to the writer: appends, and bars, which are written when no append waits. Both are bounded.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::error::StoreError;
use super::event_log::LogEntries;
use super::replica::Replicated;
use crate::domain::{Bar, Symbol};

/// Maximum number of queued appends; further ones are rejected. The pipeline has one in flight.
const MAX_APPENDS: usize = 1_024;
/// Maximum number of events that share a transaction.
const MAX_EVENTS_AT_ONCE: usize = 4_096;
/// Maximum number of queued bars; further ones are dropped and counted. Enough for an hour of all instruments while the
/// disk fails.
const MAX_BARS: usize = 4_096;
/// Maximum number of bars that share a transaction. It limits how long an append has to wait.
const MAX_BARS_AT_ONCE: usize = 256;

/// The numbers that an append got. Its events and its messages are numbered consecutively from these on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendReceipt {
    /// The number of its first signal event.
    pub first_signal: u64,
    /// The number of its first relayed message.
    pub first_published: u64,
}

/// Changes that are committed together or not at all.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) entries: LogEntries,
    /// How a replicated log has placed the entries; `None` for those of this process alone.
    pub(super) replicated: Option<Replicated>,
    pub(super) answer: oneshot::Sender<Result<AppendReceipt, StoreError>>,
}

/// What the writer does next.
#[derive(Debug)]
pub(super) enum Work {
    /// Write these appends in one transaction.
    Appends(Vec<Append>),
    /// Write these bars in one transaction.
    Bars(Vec<Bar>),
    /// Nothing was queued before the timeout.
    Nothing,
    /// End: everything is written, and the queue is closed.
    WriterEnd,
}

/// The work that the writer accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AcceptedWork {
    Everything,
    /// Only appends. While the disk fails, bars stay in the queue, where newer ones update them.
    Appends,
}

#[derive(Debug, Default)]
pub(super) struct WriteQueue {
    state: Mutex<QueueState>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    appends: VecDeque<Append>,
    bars: BTreeMap<(Symbol, i64), Bar>,
    phase: QueuePhase,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum QueuePhase {
    #[default]
    Open,
    /// Closed for new work; queued work is still written.
    Closing,
    /// The writer has ended.
    Dead(WriterEnd),
}

/// How the writer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriterEnd {
    Closed,
    Panicked,
}

impl From<WriterEnd> for StoreError {
    fn from(end: WriterEnd) -> Self {
        match end {
            WriterEnd::Closed => Self::Closed,
            WriterEnd::Panicked => Self::Panicked,
        }
    }
}

impl WriteQueue {
    /// Queues an append.
    pub(super) fn append(&self, append: Append) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        match state.phase {
            QueuePhase::Open if state.appends.len() < MAX_APPENDS => state.appends.push_back(append),
            QueuePhase::Open => return Err(StoreError::Busy(format!("{MAX_APPENDS} batches wait to be written"))),
            QueuePhase::Closing => return Err(StoreError::Closed),
            QueuePhase::Dead(end) => return Err(end.into()),
        }
        self.wake.notify_one();
        Ok(())
    }

    /// Queues bars. Returns how many were dropped.
    pub(super) fn save(&self, bars: impl IntoIterator<Item = Bar>) -> u64 {
        let mut state = self.state.lock();
        let open = state.phase == QueuePhase::Open;
        let dropped = bars.into_iter().filter(|bar| !(open && state.insert_bar(bar, BarOrder::Newer))).count();
        self.wake.notify_one();
        dropped as u64
    }

    /// Puts back bars that could not be written. Returns how many were dropped.
    pub(super) fn requeue(&self, bars: &[Bar]) -> u64 {
        let mut state = self.state.lock();
        bars.iter().filter(|bar| !state.insert_bar(bar, BarOrder::Older)).count() as u64
    }

    /// Waits for work, at most for `timeout`.
    pub(super) fn next(&self, timeout: Duration, wanted: AcceptedWork) -> Work {
        let mut state = self.state.lock();
        self.wake.wait_while_for(&mut state, |state| state.is_idle(wanted), timeout);
        if !state.appends.is_empty() {
            Work::Appends(state.drain_appends())
        } else if wanted == AcceptedWork::Everything && !state.bars.is_empty() {
            Work::Bars(state.drain_bars())
        } else if state.phase == QueuePhase::Open {
            Work::Nothing
        } else {
            Work::WriterEnd
        }
    }

    /// Closes the queue for new work. The writer ends after the queued work.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        if state.phase == QueuePhase::Open {
            state.phase = QueuePhase::Closing;
        }
        self.wake.notify_one();
    }

    /// Marks the writer as ended, and fails all queued appends.
    pub(super) fn abandon(&self, end: WriterEnd) {
        let mut state = self.state.lock();
        state.phase = QueuePhase::Dead(end);
        for append in state.appends.drain(..) {
            append.answer.send(Err(end.into())).ok();
        }
    }

    /// Returns how the writer ended, once it has.
    pub(super) fn end(&self) -> Option<WriterEnd> {
        match self.state.lock().phase {
            QueuePhase::Dead(end) => Some(end),
            QueuePhase::Open | QueuePhase::Closing => None,
        }
    }
}

/// Whether a bar is newer than a queued one of the same minute, or older because it was put back.
#[derive(Debug, Clone, Copy)]
enum BarOrder {
    Newer,
    Older,
}

impl QueueState {
    fn is_idle(&self, wanted: AcceptedWork) -> bool {
        let bars = wanted == AcceptedWork::Everything && !self.bars.is_empty();
        self.appends.is_empty() && !bars && self.phase == QueuePhase::Open
    }

    fn insert_bar(&mut self, bar: &Bar, order: BarOrder) -> bool {
        let key = (bar.symbol.clone(), bar.opened_at.timestamp_millis());
        let full = self.bars.len() >= MAX_BARS;
        match self.bars.get_mut(&key) {
            Some(waiting) => {
                waiting.high = waiting.high.max(bar.high);
                waiting.low = waiting.low.min(bar.low);
                waiting.volume = waiting.volume.max(bar.volume);
                match order {
                    BarOrder::Newer => waiting.close = bar.close,
                    BarOrder::Older => waiting.open = bar.open,
                }
                true
            }
            None if full => false,
            None => {
                self.bars.insert(key, bar.clone());
                true
            }
        }
    }

    fn drain_appends(&mut self) -> Vec<Append> {
        let mut events = 0;
        let together = self.appends.iter().take_while(|append| {
            let first = events == 0;
            events += append.entries.len();
            first || events <= MAX_EVENTS_AT_ONCE
        });
        let count = together.count();
        self.appends.drain(..count).collect()
    }

    fn drain_bars(&mut self) -> Vec<Bar> {
        std::iter::from_fn(|| self.bars.pop_first()).take(MAX_BARS_AT_ONCE).map(|(_, bar)| bar).collect()
    }
}
