//! What becomes of confirmed signals, whoever sent them.
//!
//! The position is entered at the first price after the confirmation, on the ask for a long and on the bid for a short: what
//! anybody could have done who was told. The signal's own entry would flatter the record, because by the time of its confirmation
//! price has left it the good way: so measured, even a random walk makes a profit. From then on each minute is looked at as a
//! whole, on the side that leaves:
//!
//! - the stop counts before a target of the same minute, and such minutes are told apart (`ambiguous`);
//! - a minute that begins beyond the stop leaves at its first price, a target is never filled better than its level;
//! - what is open a day after the confirmation leaves at the last price.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::bars::Closed;
use crate::domain::{
    Candle, Change, Direction, Feed, Instrument, Outcome, OutcomeClass, Quote, SetupKind, Signal, SignalState,
    SourceName, Symbol, Tick, shares,
};

/// Longest record.
const HORIZON: TimeDelta = TimeDelta::hours(24);
/// Most signals of one instrument that are followed; further ones have no record.
const MAX_FOLLOWED: usize = 256;

/// A confirmed signal whose record is open.
#[derive(Debug)]
struct Followed {
    signal: Arc<Signal>,
    stop: f64,
    /// `|entry − stop|`: what an R is.
    unit: f64,
    shares: Vec<f64>,
    /// The process before ended while it was open.
    interrupted: bool,
    /// The price at which the position was entered.
    fill: Option<f64>,
    /// The present minute, on the side that leaves.
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
        if signal.state == SignalState::Confirmed && signal.source.as_str() != SourceName::SIMULATOR {
            let followed = self.followed.entry(signal.symbol.clone()).or_default();
            if followed.len() < MAX_FOLLOWED {
                followed.extend(Followed::new(signal));
            }
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

    /// Ends the record of a confirmed signal from the log once there are prices again: what they did meanwhile nobody
    /// knows.
    pub(super) fn interrupt(&mut self, signal: &Signal) {
        if signal.source.as_str() != SourceName::SIMULATOR
            && let Some(followed) = Followed::new(&Arc::new(signal.clone()))
        {
            let interrupted = Followed { interrupted: true, ..followed };
            self.followed.entry(signal.symbol.clone()).or_default().push(interrupted);
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
    /// `None` for a signal without entry, stop and target, whose result could not be measured.
    fn new(signal: &Arc<Signal>) -> Option<Self> {
        let (entry, stop) = (signal.entry_price?, signal.stop_loss?);
        let unit = (entry - stop).abs();
        (unit > 0.0 && !signal.take_profits.is_empty()).then(|| Self {
            signal: signal.clone(),
            stop,
            unit,
            shares: shares(signal),
            interrupted: false,
            fill: None,
            minute: None,
            feed: Feed::Live,
            hit: 0,
            result: 0.0,
            best: 0.0,
            worst: 0.0,
        })
    }

    /// What leaving at `price` gives.
    fn in_r(&self, price: f64) -> f64 {
        self.signal.direction.sign() * (price - self.fill.unwrap_or(price)) / self.unit
    }

    fn price(&mut self, bid: f64, ask: f64, feed: Feed) {
        let (enters, leaves) = match self.signal.direction {
            Direction::Long => (ask, bid),
            Direction::Short => (bid, ask),
        };
        self.feed = feed;
        if self.interrupted {
            return;
        }
        self.fill.get_or_insert(enters);
        self.minute.get_or_insert(Candle::opening(leaves)).update(leaves);
    }

    /// Whether price had gone beyond the stop or the first target before anybody could enter.
    fn came_too_late(&self, fill: f64) -> bool {
        let ahead = |level: f64| self.signal.direction.sign() * (level - fill);
        ahead(self.stop) >= 0.0 || ahead(self.signal.take_profits[0]) <= 0.0
    }

    /// How the record ends with the minute that has just ended, if it does.
    fn close_minute(&mut self, at: DateTime<Utc>) -> Option<OutcomeClass> {
        if self.interrupted {
            return Some(OutcomeClass::Interrupted);
        }
        let (minute, fill) = (self.minute.take()?, self.fill?);
        if self.came_too_late(fill) {
            return Some(OutcomeClass::NotFilled);
        }
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
        if at < self.signal.updated_at + HORIZON {
            return None;
        }
        self.result += self.shares[self.hit..].iter().sum::<f64>() * self.in_r(minute.close);
        Some(OutcomeClass::Expired)
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
            entry: signal.entry_price.unwrap_or(self.stop),
            stop: self.stop,
            fill: self.fill,
            confirmed_at: signal.updated_at,
            closed_at,
            class,
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
    use crate::domain::{BarInterval, Instruments, Now, SignalDraft, SignalId, parse_time};
    use crate::engine::bars::BarBuilder;

    const START: &str = "2026-01-14T15:00:00Z";
    const SPREAD: f64 = 0.0002;

    fn at(seconds: i64) -> DateTime<Utc> {
        parse_time(START).unwrap() + TimeDelta::seconds(seconds)
    }

    /// What becomes of a long with entry 1.1000 and stop 1.0990, confirmed at once, on these bids at half-minute steps; the
    /// first ask is its fill.
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
        // Filled at 1.1; the last price opens the minute after, which ends the one that decides.
        let told = |bids: &[f64]| told(record("ict", bids));
        assert_eq!(told(&[1.0998, 1.1, 1.1]), None, "open");
        assert_eq!(told(&[1.0998, 1.101, 1.1, 1.102, 1.1]), Some((Targets, 2, 1.25)));
        assert_eq!(told(&[1.0998, 1.101, 1.1, 1.099, 1.1]), Some((Stop, 1, 0.5)));
        assert_eq!(told(&[1.0998, 1.099, 1.1]), Some((Stop, 0, -1.0)));
        assert_eq!(
            told(&[1.0998, 1.1, 1.101, 1.099, 1.1]),
            Some((Ambiguous, 0, -1.0)),
            "the stop first, whichever was"
        );
        assert_eq!(told(&[1.0998, 1.1, 1.098, 1.1, 1.1]), Some((Stop, 0, -2.0)), "a gap leaves at the first price");
        let outcome = record("ict", &[1.0998, 1.1005, 1.1, 1.0995, 1.1, 1.098, 1.1]).unwrap();
        assert!((outcome.mfe - 0.5).abs() < 1e-9 && (outcome.mae + 1.0).abs() < 1e-9, "{outcome:?}");
        assert_eq!((outcome.setup, outcome.feed, outcome.fill), (Some(SetupKind::MssFvg), Feed::Live, Some(1.1)));
        assert_eq!((outcome.confirmed_at, outcome.closed_at), (at(0), at(180)));
    }

    #[test]
    fn the_position_is_entered_where_it_could_be_and_not_where_the_signal_says() {
        for source in ["ict", "push"] {
            // The ask stands half an R above the entry: the first target gives half an R, the stop costs one and a half.
            let targets = Some((OutcomeClass::Targets, 2, 0.75));
            assert_eq!(told(record(source, &[1.1003, 1.102, 1.1])), targets, "{source}");
            assert_eq!(told(record(source, &[1.1003, 1.099, 1.1])), Some((OutcomeClass::Stop, 0, -1.5)), "{source}");
        }
        let not_filled = Some((OutcomeClass::NotFilled, 0, 0.0));
        assert_eq!(told(record("push", &[1.1008, 1.105, 1.105])), not_filled, "the first target was gone");
        assert_eq!(told(record("push", &[1.098, 1.105, 1.105])), not_filled, "so was the stop");
    }

    #[test]
    fn what_was_open_when_the_process_ended_counts_nowhere() {
        let open = record("ict", &[1.0998, 1.1, 1.1]);
        assert_eq!(open, None);
        let instrument = Instruments::documented().swap_remove(0);
        let draft = SignalDraft {
            direction: Some(Direction::Long),
            status: Some(crate::domain::SignalStatus::Confirmed),
            entry_price: Some(1.1),
            stop_loss: Some(1.099),
            take_profits: Some(vec![1.101]),
            ..SignalDraft::default()
        };
        let now = Now { wall: at(0), mono: Duration::ZERO };
        let (id, ttl) = (SignalId::new("a").unwrap(), Duration::from_secs(300));
        let signal = Signal::create(id, &draft, &instrument, SourceName::new("push"), now, ttl).unwrap();
        let (mut outcomes, mut bars) = (Outcomes::default(), BarBuilder::default());
        outcomes.interrupt(&signal);
        assert_eq!(outcomes.take(), [], "as long as there are no prices nothing is missed");
        for seconds in [600, 660] {
            let (symbol, source) = (instrument.symbol.clone(), SourceName::new("push"));
            let quote = Quote::Last(1.102);
            let tick = Tick { symbol, quote, volume: None, observed_at: at(seconds), feed: Feed::Live, source };
            bars.take(&instrument, &tick, at(seconds)).iter().for_each(|closed| outcomes.minute(closed));
            outcomes.price(&instrument, &tick);
        }
        let outcome = outcomes.take().pop().unwrap();
        assert_eq!((outcome.class, outcome.fill, outcome.r), (OutcomeClass::Interrupted, None, 0.0));
        assert!(!outcome.counts());
    }

    #[test]
    fn what_is_open_after_a_day_leaves_at_the_last_price() {
        let day = [vec![1.0998; 24 * 120 - 2], vec![1.1005; 6]].concat();
        assert_eq!(told(record("ict", &day)), Some((OutcomeClass::Expired, 0, 0.5)));
    }
}
