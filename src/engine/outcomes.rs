//! The records of confirmed signals: how each of them ended. Every confirmed signal has exactly one record, except
//! those of the simulator.
//!
//! The position is entered at the first price after the confirmation, on the ask for a long and on the bid for a short,
//! which is what a user could have traded. The signal's own entry would flatter the record, because at the confirmation
//! the price has already moved in the signal's direction: measured from it, even a random walk makes a profit. With
//! `costs.entry = "limit"` an order waits at the signal's entry instead ([`EntryOrder::Limit`]). From then on each minute is judged as a whole, on the side of the exit (bid for a long, ask for a short):
//!
//! - the stop counts before a target of the same minute, and such minutes are marked (`ambiguous`);
//! - a minute that opens beyond the stop exits at its first price; a target is never filled better than its level;
//! - a position that is open a day after the confirmation exits at the last price; without a price by then there was no
//!   position.
//!
//! Slippage and commission change neither fills nor exits: they are subtracted at the end ([`TradeOutcome::with_costs`]).
//!
//! After a restart open records continue. The prices of the meantime are unknown. The first price after the restart
//! therefore decides, never in favour of the record, and the record contains the length of the gap:
//!
//! - beyond the stop, the position exits at that price;
//! - beyond the next target, the stop may have come first: `ambiguous`, counted as the stop;
//! - between the two, the record continues. A stop that was touched within the gap cannot be seen;
//! - a limit order that it is beyond was filled at its price within the gap.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::bars::Closed;
use crate::domain::{
    BarInterval, Candle, Change, Direction, EntryOrder, Feed, Instrument, OutcomeClass, Progress, Signal, SignalId,
    SignalState, SourceName, Symbol, Tick, TradeOutcome, TradingCosts, shares,
};

/// The maximum duration of a record.
const HORIZON: TimeDelta = TimeDelta::hours(24);
/// Maximum number of open records of one instrument; further signals are not measured.
const MAX_OPEN_RECORDS: usize = 256;

/// A confirmed signal whose record is open.
#[derive(Debug)]
struct OpenRecord {
    signal: Arc<Signal>,
    entry: f64,
    stop: f64,
    /// The value of 1 R: `|entry − stop|`.
    unit: f64,
    shares: Vec<f64>,
    progress: Progress,
    /// Whether it comes from a previous process and has had no price since.
    resumed: bool,
    /// Whether the position was entered, or a minute has ended, since it was last drained.
    is_dirty: bool,
    /// Its `seen_at` when it was last drained.
    persisted_at: Option<DateTime<Utc>>,
}

/// Which open records to store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersistScope {
    /// Those of `Minutes`, but only when a position was entered since the last drain, so that a crash does not lose the
    /// entry.
    Entries,
    /// Those in which a position was entered or a minute has ended since the last drain.
    Minutes,
    /// Those that have had any price since the last drain. For the last drain before the process ends.
    All,
}

/// The open records, and those that have ended since the last drain.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    followed: BTreeMap<Symbol, Vec<OpenRecord>>,
    ended: Vec<TradeOutcome>,
    /// Whether a position was entered since the last drain of open records.
    entered: bool,
    costs: TradingCosts,
}

impl Outcomes {
    /// Sets how positions are entered and what they cost.
    pub(super) fn set_costs(&mut self, costs: TradingCosts) {
        self.costs = costs;
    }

    /// Opens a record when the change confirms a signal.
    pub(super) fn on_change(&mut self, change: &Change) {
        let signal = &change.signal;
        if signal.state == SignalState::Confirmed && signal.source.as_str() != SourceName::SIMULATOR {
            self.follow(signal, None);
        }
    }

    /// Removes the record that a change opened.
    pub(super) fn undo(&mut self, change: &Change) {
        let id = &change.signal.id;
        self.ended.retain(|outcome| outcome.signal != *id);
        if let Some(followed) = self.followed.get_mut(&change.signal.symbol) {
            followed.retain(|followed| followed.signal.id != *id);
        }
    }

    /// Resumes a record of the previous process. A record of a replay is not resumed, because the current prices are
    /// from another time.
    pub(super) fn resume(&mut self, signal: &Arc<Signal>, progress: Option<Progress>) {
        let progress = progress.unwrap_or_else(|| self.before_entry(signal));
        if progress.feed != Some(Feed::Replayed) {
            self.follow(signal, Some(progress));
        }
    }

    fn before_entry(&self, signal: &Signal) -> Progress {
        Progress { order: self.costs.entry, ..Progress::from_confirmation(signal) }
    }

    fn follow(&mut self, signal: &Arc<Signal>, before: Option<Progress>) {
        let resumed = before.is_some();
        let progress = before.unwrap_or_else(|| self.before_entry(signal));
        let followed = self.followed.entry(signal.symbol.clone()).or_default();
        match OpenRecord::new(signal, progress, resumed) {
            Some(new) if followed.len() < MAX_OPEN_RECORDS => followed.push(new),
            _ => self.ended.push(TradeOutcome::unwatched(signal, OutcomeClass::Unmeasured)),
        }
    }

    /// Applies a price to all records of its symbol.
    pub(super) fn on_price(&mut self, instrument: &Instrument, tick: &Tick, at: DateTime<Utc>) {
        let (bid, ask) = instrument.sides(tick.quote);
        let mut entered = false;
        self.close_where(&tick.symbol, at, |followed| {
            let waited = followed.progress.fill.is_none();
            let class = followed.on_price(bid, ask, tick.feed, at);
            entered |= waited && followed.progress.fill.is_some();
            class
        });
        self.entered |= entered;
    }

    /// Notes that a price was simulated; such prices never count in a record. A record that has no position yet ends as
    /// unmeasured, unless it was resumed: that one waits for real prices.
    pub(super) fn on_simulated_price(&mut self, symbol: &Symbol, at: DateTime<Utc>) {
        self.close_where(symbol, at, |followed| {
            let could_not_enter = followed.progress.fill.is_none() && !followed.resumed;
            could_not_enter.then(|| {
                followed.progress.feed = Some(Feed::Simulated);
                OutcomeClass::Unmeasured
            })
        });
    }

    /// Applies the end of a minute.
    pub(super) fn on_minute_close(&mut self, closed: &Closed) {
        let at = closed.ends_at();
        self.close_where(&closed.bar.mid.symbol, at, |followed| {
            // This minute began in the previous process.
            if followed.resumed { None } else { followed.close_minute(at) }
        });
    }

    fn close_where(
        &mut self,
        symbol: &Symbol,
        at: DateTime<Utc>,
        mut how: impl FnMut(&mut OpenRecord) -> Option<OutcomeClass>,
    ) {
        let Some(followed) = self.followed.get_mut(symbol) else { return };
        let (ended, costs) = (&mut self.ended, &self.costs);
        followed.retain_mut(|followed| match how(followed) {
            Some(class) => {
                let outcome = TradeOutcome::new(&followed.signal, &followed.progress, class, at);
                ended.push(outcome.with_costs(&followed.signal, costs));
                false
            }
            None => true,
        });
    }

    /// Drains the records that have ended.
    pub(super) fn drain_ended(&mut self) -> Vec<TradeOutcome> {
        std::mem::take(&mut self.ended)
    }

    /// Returns the open records that changed since the last drain, as selected by `which`.
    pub(super) fn drain_open(&mut self, which: PersistScope) -> Vec<(SignalId, Progress)> {
        if which == PersistScope::Entries && !self.entered {
            return Vec::new();
        }
        self.entered = false;
        let all = self.followed.values_mut().flatten();
        let news = all.filter(|followed| match which {
            PersistScope::Entries | PersistScope::Minutes => followed.is_dirty,
            PersistScope::All => !followed.resumed && followed.persisted_at != Some(followed.progress.seen_at),
        });
        news.map(|followed| {
            (followed.is_dirty, followed.persisted_at) = (false, Some(followed.progress.seen_at));
            (followed.signal.id.clone(), followed.progress.clone())
        })
        .collect()
    }

    /// Takes back ended records that could not be stored, and marks all open ones as changed.
    pub(super) fn requeue(&mut self, outcomes: Vec<TradeOutcome>) {
        self.ended.splice(0..0, outcomes);
        for followed in self.followed.values_mut().flatten().filter(|followed| !followed.resumed) {
            (followed.is_dirty, followed.persisted_at) = (true, None);
        }
    }
}

impl OpenRecord {
    /// Returns `None` for a signal without entry, stop or target, because it cannot be measured. `resumed` is whether a
    /// previous process stored the progress.
    fn new(signal: &Arc<Signal>, progress: Progress, resumed: bool) -> Option<Self> {
        let (entry, stop) = (signal.entry_price?, signal.stop_loss?);
        let unit = (entry - stop).abs();
        (unit > 0.0 && progress.targets_hit < signal.take_profits.len()).then(|| Self {
            signal: signal.clone(),
            entry,
            stop,
            unit,
            shares: shares(signal),
            progress,
            resumed,
            is_dirty: false,
            persisted_at: None,
        })
    }

    /// Returns the result in R of an exit at `price`.
    fn in_r(&self, price: f64) -> f64 {
        self.signal.direction.sign() * (price - self.progress.fill.unwrap_or(price)) / self.unit
    }

    fn on_price(&mut self, bid: f64, ask: f64, feed: Feed, at: DateTime<Utc>) -> Option<OutcomeClass> {
        let (enters, leaves) = match self.signal.direction {
            Direction::Long => (ask, bid),
            Direction::Short => (bid, ask),
        };
        let after_restart = std::mem::take(&mut self.resumed);
        if after_restart && let Some(class) = self.bridge_gap(leaves, at) {
            return Some(class);
        }
        let minute = |at| BarInterval::OneMinute.floor(at);
        let opens_minute = self.progress.feed.is_none() || minute(at) != minute(self.progress.seen_at);
        (self.progress.feed, self.progress.seen_at) = (Some(feed), at);
        if self.progress.fill.is_none() {
            if at >= self.signal.updated_at + HORIZON || self.is_withdrawn(leaves) {
                return Some(OutcomeClass::NotFilled);
            }
            self.progress.fill = self.fill(enters, opens_minute && !after_restart);
            self.progress.fill?;
            self.is_dirty = true;
        }
        self.progress.minute.get_or_insert(Candle::opening(leaves)).update(leaves);
        None
    }

    /// Returns the price at which the position is entered, if it is. `may_be_better` is whether a limit order may be filled
    /// at a price beyond its own.
    fn fill(&self, enters: f64, may_be_better: bool) -> Option<f64> {
        if self.progress.order.is_market() {
            return Some(enters);
        }
        let beyond = self.signal.direction.sign() * (self.entry - enters) >= 0.0;
        beyond.then_some(if may_be_better { enters } else { self.entry })
    }

    /// Whether the first target was reached before a limit order was filled.
    fn is_withdrawn(&self, leaves: f64) -> bool {
        let ahead = self.signal.direction.sign() * (self.signal.take_profits[0] - leaves);
        self.progress.order == EntryOrder::Limit && ahead <= 0.0
    }

    /// Bridges the gap since the previous process with the first price after it. Returns how that ends the record, if
    /// it does.
    fn bridge_gap(&mut self, leaves: f64, at: DateTime<Utc>) -> Option<OutcomeClass> {
        let seen_at = self.progress.seen_at;
        if let Some(class) = self.close_minute(seen_at) {
            return Some(class);
        }
        let gap = (at - seen_at).num_milliseconds().max(1) as u64;
        self.progress.gap_seconds += gap.div_ceil(1_000);
        self.progress.fill?;
        let (left_at, stop_r) = (self.in_r(leaves), self.in_r(self.stop));
        if left_at <= stop_r {
            self.close_rest_at(left_at);
            return Some(OutcomeClass::Stop);
        }
        if left_at >= self.in_r(self.signal.take_profits[self.progress.targets_hit]) {
            self.close_rest_at(stop_r);
            return Some(OutcomeClass::Ambiguous);
        }
        None
    }

    /// Closes the rest of the position at a result that is the worst so far.
    fn close_rest_at(&mut self, at_r: f64) {
        let open: f64 = self.shares[self.progress.targets_hit..].iter().sum();
        self.progress.r += open * at_r;
        self.progress.mae = self.progress.mae.min(at_r);
    }

    /// Whether the first price was already beyond the stop or the first target, where an order at the market is not sent.
    fn could_not_enter(&self, fill: f64) -> bool {
        let ahead = |level: f64| self.signal.direction.sign() * (level - fill);
        self.progress.order.is_market() && (ahead(self.stop) >= 0.0 || ahead(self.signal.take_profits[0]) <= 0.0)
    }

    /// Judges the minute that has just ended. Returns how that ends the record, if it does.
    fn close_minute(&mut self, at: DateTime<Utc>) -> Option<OutcomeClass> {
        let (minute, fill) = (self.progress.minute.take()?, self.progress.fill?);
        self.is_dirty = true;
        if self.could_not_enter(fill) {
            return Some(OutcomeClass::NotFilled);
        }
        let (adverse, favourable) = match self.signal.direction {
            Direction::Long => (minute.low, minute.high),
            Direction::Short => (minute.high, minute.low),
        };
        let (adverse, favourable) = (self.in_r(adverse), self.in_r(favourable));
        let (open_r, stop_r) = (self.in_r(minute.open), self.in_r(self.stop));
        if adverse <= stop_r {
            let next = self.in_r(self.signal.take_profits[self.progress.targets_hit]);
            self.close_rest_at(open_r.min(stop_r));
            let both = open_r > stop_r && favourable >= next;
            return Some(if both { OutcomeClass::Ambiguous } else { OutcomeClass::Stop });
        }
        self.progress.mae = self.progress.mae.min(adverse);
        self.progress.mfe = self.progress.mfe.max(favourable);
        while let Some(target) = self.signal.take_profits.get(self.progress.targets_hit) {
            let target = self.in_r(*target);
            if favourable < target {
                break;
            }
            self.progress.r += self.shares[self.progress.targets_hit] * target;
            self.progress.targets_hit += 1;
        }
        if self.progress.targets_hit == self.shares.len() {
            return Some(OutcomeClass::Targets);
        }
        if at < self.signal.updated_at + HORIZON {
            return None;
        }
        self.progress.r += self.shares[self.progress.targets_hit..].iter().sum::<f64>() * self.in_r(minute.close);
        Some(OutcomeClass::Expired)
    }
}

#[cfg(test)]
#[path = "outcomes_tests.rs"]
mod tests;
