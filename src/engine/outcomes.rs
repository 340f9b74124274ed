//! What becomes of confirmed signals, whoever sent them. Each has exactly one record, and those of the simulator none.
//!
//! The position is entered at the first price after the confirmation, on the ask for a long and on the bid for a short: what
//! anybody could have done who was told. The signal's own entry would flatter the record, because by the time of its confirmation
//! price has left it the good way: so measured, even a random walk makes a profit. From then on each minute is looked at as a
//! whole, on the side that leaves:
//!
//! - the stop counts before a target of the same minute, and such minutes are told apart (`ambiguous`);
//! - a minute that begins beyond the stop leaves at its first price, a target is never filled better than its level;
//! - what is open a day after the confirmation leaves at the last price; without a price by then there was no position.
//!
//! A restart goes on with what was open. Nobody knows what prices did meanwhile, so the first one after it decides, and never
//! in favour of the record, which says how long the gap was:
//!
//! - beyond the stop, the position leaves at that price;
//! - beyond the next target, the stop may have come before it: `ambiguous`, counted as the stop;
//! - between the two, the record goes on. That the stop was traded in the gap and price came back cannot be seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::bars::Closed;
use crate::domain::{
    Candle, Change, Direction, Feed, Instrument, OutcomeClass, Progress, Signal, SignalId, SignalState, SourceName,
    Symbol, Tick, TradeOutcome, shares,
};

/// Longest record.
const HORIZON: TimeDelta = TimeDelta::hours(24);
/// Most signals of one instrument that are followed; further ones are not measured.
const MAX_FOLLOWED: usize = 256;

/// A confirmed signal whose record is open.
#[derive(Debug)]
struct Followed {
    signal: Arc<Signal>,
    stop: f64,
    /// `|entry − stop|`: what an R is.
    unit: f64,
    shares: Vec<f64>,
    progress: Progress,
    /// It comes from a process before this one, and there has been no price yet.
    resumed: bool,
    /// The position was entered, or a minute has ended, since it was last kept.
    is_news: bool,
    /// What it had seen when it was last kept.
    kept_at: Option<DateTime<Utc>>,
}

/// Which open records are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersistScope {
    /// Those of `Minutes`, but only when a position was entered since they were last asked for: a crash must not undo that.
    Entries,
    /// Those in which a position was entered or a minute has ended since they were last asked for.
    Minutes,
    /// Those that have seen any price since then: nobody will ask again.
    All,
}

/// The signals that are followed, and the records that have ended.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    followed: BTreeMap<Symbol, Vec<Followed>>,
    ended: Vec<TradeOutcome>,
    /// A position was entered since the open records were last asked for.
    entered: bool,
}

impl Outcomes {
    /// Takes in a change of a signal.
    pub(super) fn note(&mut self, change: &Change) {
        let signal = &change.signal;
        if signal.state == SignalState::Confirmed && signal.source.as_str() != SourceName::SIMULATOR {
            self.follow(signal, None);
        }
    }

    /// Takes a change back.
    pub(super) fn undo(&mut self, change: &Change) {
        let id = &change.signal.id;
        self.ended.retain(|outcome| outcome.signal != *id);
        if let Some(followed) = self.followed.get_mut(&change.signal.symbol) {
            followed.retain(|followed| followed.signal.id != *id);
        }
    }

    /// Goes on with a record that was open when the process before ended. One of a recording stays as it is: these prices are
    /// of another time.
    pub(super) fn resume(&mut self, signal: &Arc<Signal>, progress: Option<Progress>) {
        let progress = progress.unwrap_or_else(|| Progress::from_confirmation(signal));
        if progress.feed != Some(Feed::Replayed) {
            self.follow(signal, Some(progress));
        }
    }

    fn follow(&mut self, signal: &Arc<Signal>, before: Option<Progress>) {
        let followed = self.followed.entry(signal.symbol.clone()).or_default();
        match Followed::new(signal, before) {
            Some(new) if followed.len() < MAX_FOLLOWED => followed.push(new),
            _ => self.ended.push(TradeOutcome::unwatched(signal, OutcomeClass::Unmeasured)),
        }
    }

    /// Takes in a price.
    pub(super) fn price(&mut self, instrument: &Instrument, tick: &Tick, at: DateTime<Utc>) {
        let (bid, ask) = instrument.sides(tick.quote);
        let mut entered = false;
        self.end(&tick.symbol, at, |followed| {
            let waited = followed.progress.fill.is_none();
            let class = followed.price(bid, ask, tick.feed, at);
            entered |= waited && followed.progress.fill.is_some();
            class
        });
        self.entered |= entered;
    }

    /// Takes in that a price was invented: nothing of that kind enters the record. A position has to wait for real ones, unless
    /// these were all that there was when it should have been entered.
    pub(super) fn invented(&mut self, symbol: &Symbol, at: DateTime<Utc>) {
        self.end(symbol, at, |followed| {
            let could_not_enter = followed.progress.fill.is_none() && !followed.resumed;
            could_not_enter.then(|| {
                followed.progress.feed = Some(Feed::Simulated);
                OutcomeClass::Unmeasured
            })
        });
    }

    /// Takes in the end of a minute.
    pub(super) fn minute(&mut self, closed: &Closed) {
        let at = closed.ends_at();
        self.end(&closed.bar.mid.symbol, at, |followed| {
            // What ends here is of the process before.
            if followed.resumed { None } else { followed.close_minute(at) }
        });
    }

    fn end(&mut self, symbol: &Symbol, at: DateTime<Utc>, mut how: impl FnMut(&mut Followed) -> Option<OutcomeClass>) {
        let Some(followed) = self.followed.get_mut(symbol) else { return };
        let ended = &mut self.ended;
        followed.retain_mut(|followed| match how(followed) {
            Some(class) => {
                ended.push(TradeOutcome::new(&followed.signal, &followed.progress, class, at));
                false
            }
            None => true,
        });
    }

    /// The records that have ended since they were last asked for.
    pub(super) fn take(&mut self) -> Vec<TradeOutcome> {
        std::mem::take(&mut self.ended)
    }

    /// The open records as they are now, as far as that is news.
    pub(super) fn take_open(&mut self, which: PersistScope) -> Vec<(SignalId, Progress)> {
        if which == PersistScope::Entries && !self.entered {
            return Vec::new();
        }
        self.entered = false;
        let all = self.followed.values_mut().flatten();
        let news = all.filter(|followed| match which {
            PersistScope::Entries | PersistScope::Minutes => followed.is_news,
            PersistScope::All => !followed.resumed && followed.kept_at != Some(followed.progress.seen_at),
        });
        news.map(|followed| {
            (followed.is_news, followed.kept_at) = (false, Some(followed.progress.seen_at));
            (followed.signal.id.clone(), followed.progress.clone())
        })
        .collect()
    }

    /// Takes back what could not be stored.
    pub(super) fn put_back(&mut self, outcomes: Vec<TradeOutcome>) {
        self.ended.splice(0..0, outcomes);
        for followed in self.followed.values_mut().flatten().filter(|followed| !followed.resumed) {
            (followed.is_news, followed.kept_at) = (true, None);
        }
    }
}

impl Followed {
    /// `None` for a signal without entry, stop and target, whose result could not be measured. `before` is how far another
    /// process came with it.
    fn new(signal: &Arc<Signal>, before: Option<Progress>) -> Option<Self> {
        let (entry, stop) = (signal.entry_price?, signal.stop_loss?);
        let unit = (entry - stop).abs();
        let resumed = before.is_some();
        let progress = before.unwrap_or_else(|| Progress::from_confirmation(signal));
        (unit > 0.0 && progress.targets_hit < signal.take_profits.len()).then(|| Self {
            signal: signal.clone(),
            stop,
            unit,
            shares: shares(signal),
            progress,
            resumed,
            is_news: false,
            kept_at: None,
        })
    }

    /// What leaving at `price` gives.
    fn in_r(&self, price: f64) -> f64 {
        self.signal.direction.sign() * (price - self.progress.fill.unwrap_or(price)) / self.unit
    }

    fn price(&mut self, bid: f64, ask: f64, feed: Feed, at: DateTime<Utc>) -> Option<OutcomeClass> {
        let (enters, leaves) = match self.signal.direction {
            Direction::Long => (ask, bid),
            Direction::Short => (bid, ask),
        };
        if std::mem::take(&mut self.resumed)
            && let Some(class) = self.go_on(leaves, at)
        {
            return Some(class);
        }
        (self.progress.feed, self.progress.seen_at) = (Some(feed), at);
        if self.progress.fill.is_none() && at >= self.signal.updated_at + HORIZON {
            return Some(OutcomeClass::NotFilled);
        }
        if self.progress.fill.is_none() {
            (self.progress.fill, self.is_news) = (Some(enters), true);
        }
        self.progress.minute.get_or_insert(Candle::opening(leaves)).update(leaves);
        None
    }

    /// Bridges the time since the process before with the first price after it; how that ends the record, if it does.
    fn go_on(&mut self, leaves: f64, at: DateTime<Utc>) -> Option<OutcomeClass> {
        let seen_at = self.progress.seen_at;
        if let Some(class) = self.close_minute(seen_at) {
            return Some(class);
        }
        let gap = (at - seen_at).num_milliseconds().max(1) as u64;
        self.progress.gap_seconds += gap.div_ceil(1_000);
        self.progress.fill?;
        let (left_at, stop_r) = (self.in_r(leaves), self.in_r(self.stop));
        if left_at <= stop_r {
            self.leave(left_at);
            return Some(OutcomeClass::Stop);
        }
        if left_at >= self.in_r(self.signal.take_profits[self.progress.targets_hit]) {
            self.leave(stop_r);
            return Some(OutcomeClass::Ambiguous);
        }
        None
    }

    /// Closes what is open at a result that is the worst so far.
    fn leave(&mut self, at_r: f64) {
        let open: f64 = self.shares[self.progress.targets_hit..].iter().sum();
        self.progress.r += open * at_r;
        self.progress.mae = self.progress.mae.min(at_r);
    }

    /// Whether price had gone beyond the stop or the first target before anybody could enter.
    fn came_too_late(&self, fill: f64) -> bool {
        let ahead = |level: f64| self.signal.direction.sign() * (level - fill);
        ahead(self.stop) >= 0.0 || ahead(self.signal.take_profits[0]) <= 0.0
    }

    /// How the record ends with the minute that has just ended, if it does.
    fn close_minute(&mut self, at: DateTime<Utc>) -> Option<OutcomeClass> {
        let (minute, fill) = (self.progress.minute.take()?, self.progress.fill?);
        self.is_news = true;
        if self.came_too_late(fill) {
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
            self.leave(open_r.min(stop_r));
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
