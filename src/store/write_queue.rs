//! The two lanes to the writer: appends, which wait for nothing, and bars, which wait for appends. Both are bounded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::error::StoreError;
use crate::domain::{Bar, Progress, RelayedMessage, Signal, SignalId, Symbol, TradeOutcome, UserNote};

/// Appends that may wait; another one is refused. The pipeline has one in flight.
const APPENDS: usize = 1_024;
/// Most events that share a transaction.
const EVENTS_AT_ONCE: usize = 4_096;
/// Bars that may wait; another one is dropped and counted. An hour of all instruments with a disk that refuses.
const BARS: usize = 4_096;
/// Bars that share a transaction: an append that arrives meanwhile waits for no more than these.
const BARS_AT_ONCE: usize = 256;

/// Where an append stands: its events have consecutive numbers from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Number of its first signal event.
    pub first_signal: u64,
    /// Number of its first published message.
    pub first_published: u64,
}

/// Changes that go into the log together, or not at all.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) signals: Vec<Arc<Signal>>,
    pub(super) published: Vec<RelayedMessage>,
    pub(super) notes: Vec<UserNote>,
    pub(super) outcomes: Vec<TradeOutcome>,
    pub(super) open: Vec<(SignalId, Progress)>,
    pub(super) answer: oneshot::Sender<Result<Receipt, StoreError>>,
}

/// What the writer does next.
#[derive(Debug)]
pub(super) enum Work {
    /// One transaction of everything that waits.
    Appends(Vec<Append>),
    /// One transaction of bars.
    Bars(Vec<Bar>),
    /// Nobody wanted anything for as long as the writer was willing to wait.
    Nothing,
    /// Everything is written and nothing will follow.
    End,
}

/// What the writer is ready to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Everything,
    /// While the disk refuses, bars wait where newer ones can replace them.
    Appends,
}

#[derive(Debug, Default)]
pub(super) struct WriteQueue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    appends: VecDeque<Append>,
    bars: BTreeMap<(Symbol, i64), Bar>,
    phase: Phase,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// What waits is still written.
    Closing,
    /// Nobody writes any more.
    Dead(End),
}

/// How the writer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Panicked,
}

impl From<End> for StoreError {
    fn from(end: End) -> Self {
        match end {
            End::Closed => Self::Closed,
            End::Panicked => Self::Panicked,
        }
    }
}

impl WriteQueue {
    /// Queues an append.
    pub(super) fn append(&self, append: Append) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Open if state.appends.len() < APPENDS => state.appends.push_back(append),
            Phase::Open => return Err(StoreError::Busy(format!("{APPENDS} batches wait to be written"))),
            Phase::Closing => return Err(StoreError::Closed),
            Phase::Dead(end) => return Err(end.into()),
        }
        self.wake.notify_one();
        Ok(())
    }

    /// Queues bars; returns how many had no place.
    pub(super) fn save(&self, bars: impl IntoIterator<Item = Bar>) -> u64 {
        let mut state = self.state.lock();
        let open = state.phase == Phase::Open;
        let dropped = bars.into_iter().filter(|bar| !(open && state.take_in(bar, Order::Newer))).count();
        self.wake.notify_one();
        dropped as u64
    }

    /// Puts back bars that could not be written; returns how many had no place.
    pub(super) fn put_back(&self, bars: &[Bar]) -> u64 {
        let mut state = self.state.lock();
        bars.iter().filter(|bar| !state.take_in(bar, Order::Older)).count() as u64
    }

    /// Waits for something to do.
    pub(super) fn next(&self, patience: Duration, wanted: Wanted) -> Work {
        let mut state = self.state.lock();
        self.wake.wait_while_for(&mut state, |state| state.is_idle(wanted), patience);
        if !state.appends.is_empty() {
            Work::Appends(state.take_appends())
        } else if wanted == Wanted::Everything && !state.bars.is_empty() {
            Work::Bars(state.take_bars())
        } else if state.phase == Phase::Open {
            Work::Nothing
        } else {
            Work::End
        }
    }

    /// Takes nothing more; the writer ends after what waits.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Closing;
        }
        self.wake.notify_one();
    }

    /// Answers everybody who still waits: the writer is gone.
    pub(super) fn abandon(&self, end: End) {
        let mut state = self.state.lock();
        state.phase = Phase::Dead(end);
        for append in state.appends.drain(..) {
            append.answer.send(Err(end.into())).ok();
        }
    }

    /// How the writer ended, once it has.
    pub(super) fn end(&self) -> Option<End> {
        match self.state.lock().phase {
            Phase::Dead(end) => Some(end),
            Phase::Open | Phase::Closing => None,
        }
    }
}

/// Whether a bar is news or comes back after newer ones may have arrived.
#[derive(Debug, Clone, Copy)]
enum Order {
    Newer,
    Older,
}

impl State {
    fn is_idle(&self, wanted: Wanted) -> bool {
        let bars = wanted == Wanted::Everything && !self.bars.is_empty();
        self.appends.is_empty() && !bars && self.phase == Phase::Open
    }

    fn take_in(&mut self, bar: &Bar, order: Order) -> bool {
        let key = (bar.symbol.clone(), bar.opened_at.timestamp_millis());
        let full = self.bars.len() >= BARS;
        match self.bars.get_mut(&key) {
            Some(waiting) => {
                waiting.high = waiting.high.max(bar.high);
                waiting.low = waiting.low.min(bar.low);
                waiting.volume = waiting.volume.max(bar.volume);
                match order {
                    Order::Newer => waiting.close = bar.close,
                    Order::Older => waiting.open = bar.open,
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

    fn take_appends(&mut self) -> Vec<Append> {
        let mut events = 0;
        let together = self.appends.iter().take_while(|append| {
            let first = events == 0;
            let Append { signals, published, notes, outcomes, open, .. } = append;
            events += signals.len() + published.len() + notes.len() + outcomes.len() + open.len();
            first || events <= EVENTS_AT_ONCE
        });
        let count = together.count();
        self.appends.drain(..count).collect()
    }

    fn take_bars(&mut self) -> Vec<Bar> {
        std::iter::from_fn(|| self.bars.pop_first()).take(BARS_AT_ONCE).map(|(_, bar)| bar).collect()
    }
}
