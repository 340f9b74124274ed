//! What becomes of confirmed signals, whoever sent them.
//!
//! A record begins with the first price after the confirmation. The position is entered when the entry is traded, on the
//! ask for a long and on the bid for a short, at any time since the signal came; the server's own signals are entered when they are
//! confirmed. From then on each minute is looked at as a whole, on the side that leaves:
//!
//! - the stop counts before a target of the same minute, and such minutes are told apart (`ambiguous`);
//! - a minute that begins beyond the stop leaves at its first price, a target is never filled better than its level;
//! - what is open a day after the confirmation leaves at the last price.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::bars::Closed;
use crate::domain::{
    Candle, Change, Direction, Feed, Instrument, Outcome, OutcomeClass, Quote, SetupKind, Signal, SignalStatus,
    SourceName, Symbol, Tick, shares,
};

/// Longest record.
const HORIZON: TimeDelta = TimeDelta::hours(24);
/// Most signals of one instrument that are followed; further ones have no record.
const MAX_FOLLOWED: usize = 256;

/// A signal that may have or has a position.
#[derive(Debug)]
struct Followed {
    signal: Arc<Signal>,
    entry: f64,
    stop: f64,
    shares: Vec<f64>,
    confirmed_at: Option<DateTime<Utc>>,
    filled: bool,
    interrupted: bool,
    /// The present minute since the position stands, on the side that leaves.
    minute: Option<Candle>,
    feed: Feed,
    hit: usize,
    result: f64,
    best: f64,
    worst: f64,
}

/// The signals that are followed, and the records that have ended.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    followed: BTreeMap<Symbol, Vec<Followed>>,
    ended: Vec<Outcome>,
}

impl Outcomes {
    /// Takes in a change of a signal.
    pub(super) fn note(&mut self, change: &Change) {
        let signal = &change.signal;
        if signal.source.as_str() == SourceName::SIMULATOR {
            return;
        }
        let followed = self.followed.entry(signal.symbol.clone()).or_default();
        if signal.state.status() == SignalStatus::Invalidated {
            followed.retain(|other| other.signal.id != signal.id);
        } else if let Some(known) = followed.iter_mut().find(|followed| followed.signal.id == signal.id) {
            known.amend(signal);
        } else if followed.len() < MAX_FOLLOWED {
            followed.extend(Followed::new(signal, false));
        }
    }

    /// Takes a change back.
    pub(super) fn undo(&mut self, change: &Change) {
        match &change.previous {
            Some(previous) => self.note(&Change { signal: previous.clone(), previous: None }),
            None => {
                if let Some(followed) = self.followed.get_mut(&change.signal.symbol) {
                    followed.retain(|followed| followed.signal.id != change.signal.id);
                }
            }
        }
    }

    /// Follows a signal of the log whose prices have not been watched for a while.
    pub(super) fn recall(&mut self, signal: &Signal) {
        let followed = self.followed.entry(signal.symbol.clone()).or_default();
        if followed.len() < MAX_FOLLOWED && followed.iter().all(|followed| followed.signal.id != signal.id) {
            followed.extend(Followed::new(&Arc::new(signal.clone()), true));
        }
    }

    /// Lets go of an instrument's signals: what they were made of was invented.
    pub(super) fn forget(&mut self, symbol: &Symbol) {
        self.followed.remove(symbol);
    }

    /// Takes in a price.
    pub(super) fn price(&mut self, instrument: &Instrument, tick: &Tick) {
        let Some(followed) = self.followed.get_mut(&tick.symbol) else { return };
        let (bid, ask) = match tick.quote {
            Quote::BidAsk { bid, ask } => (instrument.round(bid), instrument.round(ask)),
            Quote::Last(price) => (instrument.round(price), instrument.round(price)),
        };
        for followed in followed {
            followed.price(bid, ask, tick.feed);
        }
    }

    /// Takes in the end of a minute.
    pub(super) fn minute(&mut self, closed: &Closed) {
        let Some(followed) = self.followed.get_mut(&closed.bar.mid.symbol) else { return };
        let (at, ended) = (closed.ends_at(), &mut self.ended);
        followed.retain_mut(|followed| match followed.close_minute(at) {
            Some(class) => {
                ended.push(followed.outcome(class, at));
                false
            }
            None => true,
        });
    }

    /// The records that have ended since they were last asked for.
    pub(super) fn take(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.ended)
    }

    /// Takes records back that could not be stored.
    pub(super) fn put_back(&mut self, outcomes: Vec<Outcome>) {
        self.ended.splice(0..0, outcomes);
    }
}

impl Followed {
    /// `None` for a signal that has no position to measure.
    fn new(signal: &Arc<Signal>, interrupted: bool) -> Option<Self> {
        let (entry, stop) = (signal.entry_price?, signal.stop_loss?);
        if signal.take_profits.is_empty() || entry == stop {
            return None;
        }
        let mut followed = Self {
            signal: signal.clone(),
            entry,
            stop,
            shares: shares(signal),
            confirmed_at: None,
            filled: false,
            interrupted,
            minute: None,
            feed: Feed::Live,
            hit: 0,
            result: 0.0,
            best: 0.0,
            worst: 0.0,
        };
        followed.amend(signal);
        Some(followed)
    }

    fn amend(&mut self, signal: &Arc<Signal>) {
        let changed = (self.entry, self.stop)
            != (signal.entry_price.unwrap_or(self.entry), signal.stop_loss.unwrap_or(self.stop));
        if changed && self.confirmed_at.is_none() {
            self.entry = signal.entry_price.unwrap_or(self.entry);
            self.stop = signal.stop_loss.unwrap_or(self.stop);
            self.filled = false;
        }
        self.signal = signal.clone();
        self.shares = shares(signal);
        self.confirmed_at = (!signal.state.is_pending()).then_some(signal.updated_at);
        let ours = signal.source.as_str() == SourceName::SETUPS;
        self.filled |= ours && self.confirmed_at.is_some();
    }

    fn in_r(&self, price: f64) -> f64 {
        self.signal.direction.sign() * (price - self.entry) / (self.entry - self.stop).abs()
    }

    fn price(&mut self, bid: f64, ask: f64, feed: Feed) {
        let (enters, leaves) = match self.signal.direction {
            Direction::Long => (ask, bid),
            Direction::Short => (bid, ask),
        };
        self.feed = feed;
        self.filled |= self.signal.direction.sign() * (enters - self.entry) <= 0.0;
        if self.filled && self.confirmed_at.is_some() {
            self.minute.get_or_insert(Candle::opening(leaves)).update(leaves);
        }
    }

    /// How the record ends with the minute that has just ended, if it does.
    fn close_minute(&mut self, at: DateTime<Utc>) -> Option<OutcomeClass> {
        let late = self.confirmed_at.is_some_and(|confirmed| at >= confirmed + HORIZON);
        let Some(minute) = self.minute.take() else { return late.then_some(OutcomeClass::NotFilled) };
        let (adverse, favourable) = match self.signal.direction {
            Direction::Long => (minute.low, minute.high),
            Direction::Short => (minute.high, minute.low),
        };
        let open: f64 = self.shares[self.hit..].iter().sum();
        let (open_r, stop_r) = (self.in_r(minute.open), self.in_r(self.stop));
        if self.in_r(adverse) <= stop_r {
            let left_at = open_r.min(stop_r);
            self.result += open * left_at;
            self.worst = self.worst.min(left_at);
            let both = open_r > stop_r && self.in_r(favourable) >= self.in_r(self.signal.take_profits[self.hit]);
            return Some(if both { OutcomeClass::Ambiguous } else { OutcomeClass::Stop });
        }
        self.worst = self.worst.min(self.in_r(adverse));
        self.best = self.best.max(self.in_r(favourable));
        while let Some(target) = self.signal.take_profits.get(self.hit) {
            let target = self.in_r(*target);
            if self.in_r(favourable) < target {
                break;
            }
            self.result += self.shares[self.hit] * target;
            self.hit += 1;
        }
        if self.hit == self.shares.len() {
            return Some(OutcomeClass::Targets);
        }
        if late {
            self.result += self.shares[self.hit..].iter().sum::<f64>() * self.in_r(minute.close);
        }
        late.then_some(OutcomeClass::Expired)
    }

    fn outcome(&self, class: OutcomeClass, closed_at: DateTime<Utc>) -> Outcome {
        let signal = &self.signal;
        Outcome {
            signal: signal.id.clone(),
            symbol: signal.symbol.clone(),
            direction: signal.direction,
            setup: SetupKind::named_in(&signal.reason),
            killzone: signal.killzone,
            source: signal.source.clone(),
            confidence: signal.confidence,
            feed: self.feed,
            entry: self.entry,
            stop: self.stop,
            confirmed_at: self.confirmed_at.unwrap_or(closed_at),
            closed_at,
            class: if self.interrupted { OutcomeClass::Interrupted } else { class },
            targets_hit: self.hit,
            targets: signal.take_profits.len(),
            r: self.result,
            mfe: self.best,
            mae: self.worst,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{BarInterval, Instruments, Now, SignalDraft, SignalId, SignalState, parse_time};
    use crate::engine::bars::BarBuilder;

    const START: &str = "2026-01-14T15:00:00Z";
    const SPREAD: f64 = 0.0002;

    fn at(seconds: i64) -> DateTime<Utc> {
        parse_time(START).unwrap() + TimeDelta::seconds(seconds)
    }

    /// What becomes of a long from 1.1000 (ask) with its stop at 1.0990, confirmed at once, on these bids at half-minute steps.
    fn record(source: &str, bids: &[f64]) -> Option<Outcome> {
        let instrument = Instruments::documented().swap_remove(0);
        let draft = SignalDraft {
            direction: Some(Direction::Long),
            entry_price: Some(1.1),
            stop_loss: Some(1.099),
            take_profits: Some(vec![1.101, 1.102]),
            tp_modes: Some(vec!["TP1 75%".into(), "TP2 25%".into()]),
            reason: Some("MSS+FVG".into()),
            confidence: Some(0.6),
            ..SignalDraft::default()
        };
        let now = Now { wall: at(0), mono: Duration::ZERO };
        let id = SignalId::new("a").unwrap();
        let ttl = Duration::from_secs(300);
        let pending = Signal::create(id, &draft, &instrument, SourceName::new(source), now, ttl).unwrap();
        let mut outcomes = Outcomes::default();
        let mut bars = BarBuilder::default();
        let pending = Arc::new(pending);
        outcomes.note(&Change { signal: pending.clone(), previous: None });
        let confirmed = Arc::new(pending.as_ref().clone().ended(SignalState::Confirmed, at(0)));
        outcomes.note(&Change { signal: confirmed, previous: Some(pending) });
        for (n, bid) in bids.iter().enumerate() {
            let observed_at = at(n as i64 * 30);
            let quote = Quote::BidAsk { bid: *bid, ask: bid + SPREAD };
            let source = SourceName::new("push");
            let symbol = instrument.symbol.clone();
            let tick = Tick { symbol, quote, volume: None, observed_at, feed: Feed::Live, source };
            for closed in bars.take(&instrument, &tick, observed_at) {
                if closed.interval == BarInterval::OneMinute {
                    outcomes.minute(&closed);
                }
            }
            outcomes.price(&instrument, &tick);
        }
        outcomes.take().pop()
    }

    fn told(outcome: Option<Outcome>) -> Option<(OutcomeClass, usize, f64)> {
        outcome.map(|outcome| (outcome.class, outcome.targets_hit, (outcome.r * 1e9).round() / 1e9))
    }

    #[test]
    fn a_record_ends_at_the_stop_or_at_the_last_target() {
        use OutcomeClass::{Ambiguous, Stop, Targets};
        // The last price opens the minute after, which ends the one that decides.
        let own = |bids: &[f64]| told(record("ict", bids));
        assert_eq!(own(&[1.1, 1.1, 1.1]), None, "open");
        assert_eq!(own(&[1.1, 1.101, 1.1, 1.102, 1.1]), Some((Targets, 2, 1.25)));
        assert_eq!(own(&[1.1, 1.101, 1.1, 1.099, 1.1]), Some((Stop, 1, 0.5)));
        assert_eq!(own(&[1.1, 1.099, 1.1]), Some((Stop, 0, -1.0)));
        assert_eq!(own(&[1.101, 1.099, 1.1]), Some((Ambiguous, 0, -1.0)), "the stop comes first whichever did");
        assert_eq!(own(&[1.1, 1.1, 1.098, 1.1, 1.1]), Some((Stop, 0, -2.0)), "a gap leaves at the first price");
        let outcome = record("ict", &[1.1, 1.1005, 1.1, 1.0995, 1.1, 1.098, 1.1]).unwrap();
        assert!((outcome.mfe - 0.5).abs() < 1e-9 && (outcome.mae + 1.0).abs() < 1e-9, "{outcome:?}");
        assert_eq!((outcome.setup, outcome.feed), (Some(SetupKind::MssFvg), Feed::Live));
        assert_eq!((outcome.confirmed_at, outcome.closed_at), (at(0), at(180)));
    }

    #[test]
    fn a_pushed_signal_has_a_position_only_when_its_entry_was_traded() {
        // The ask stands two points above the entry all the time, and the target is reached.
        assert_eq!(record("push", &[1.1001, 1.102, 1.103]), None, "nothing was bought at 1.1");
        let targets = Some((OutcomeClass::Targets, 2, 1.25));
        assert_eq!(told(record("push", &[1.0998, 1.102, 1.103])), targets);
        let day = [vec![1.105; 24 * 120], vec![1.105; 4]].concat();
        assert_eq!(told(record("push", &day)), Some((OutcomeClass::NotFilled, 0, 0.0)));
    }

    #[test]
    fn what_is_open_after_a_day_leaves_at_the_last_price() {
        let day = [vec![1.1; 24 * 120 - 2], vec![1.1005; 6]].concat();
        assert_eq!(told(record("ict", &day)), Some((OutcomeClass::Expired, 0, 0.5)));
    }
}
