use std::time::Duration;

use super::*;
use crate::domain::{BarInterval, Instruments, Now, Quote, SetupKind, SignalDraft, SignalId, parse_time};
use crate::engine::bars::BarBuilder;

const START: &str = "2026-01-14T15:00:00Z";
const SPREAD: f64 = 0.0002;

fn at(seconds: i64) -> DateTime<Utc> {
    parse_time(START).unwrap() + TimeDelta::seconds(seconds)
}

/// Returns the record of a long with entry 1.1000 and stop 1.0990 that is confirmed at the start, on these bids at
/// half-minute steps. It is filled at the first ask.
fn record(source: &str, bids: &[f64]) -> Option<TradeOutcome> {
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
    outcomes.on_change(&Change { signal: pending.clone(), previous: None });
    let confirmed = Arc::new(pending.as_ref().clone().ended(SignalState::Confirmed, at(0)));
    outcomes.on_change(&Change { signal: confirmed, previous: Some(pending) });
    for (n, bid) in bids.iter().enumerate() {
        let observed_at = at(n as i64 * 30);
        let quote = Quote::BidAsk { bid: *bid, ask: bid + SPREAD };
        let source = SourceName::new("push");
        let symbol = instrument.symbol.clone();
        let tick = Tick { symbol, quote, volume: None, observed_at, feed: Feed::Live, source };
        for closed in bars.push_tick(&instrument, &tick, observed_at) {
            if closed.interval == BarInterval::OneMinute {
                outcomes.on_minute_close(&closed);
            }
        }
        outcomes.on_price(&instrument, &tick, tick.observed_at);
    }
    outcomes.drain_ended().pop()
}

fn summary(outcome: Option<TradeOutcome>) -> Option<(OutcomeClass, usize, f64)> {
    outcome.map(|outcome| (outcome.class, outcome.targets_hit, (outcome.r * 1e9).round() / 1e9))
}

#[test]
fn a_record_ends_at_stop_or_last_target() {
    use OutcomeClass::{Ambiguous, Stop, Targets};
    // Filled at 1.1. The last price opens the next minute, which ends the deciding one.
    let summary = |bids: &[f64]| summary(record("ict", bids));
    assert_eq!(summary(&[1.0998, 1.1, 1.1]), None, "open");
    assert_eq!(summary(&[1.0998, 1.101, 1.1, 1.102, 1.1]), Some((Targets, 2, 1.25)));
    assert_eq!(summary(&[1.0998, 1.101, 1.1, 1.099, 1.1]), Some((Stop, 1, 0.5)));
    assert_eq!(summary(&[1.0998, 1.099, 1.1]), Some((Stop, 0, -1.0)));
    assert_eq!(summary(&[1.0998, 1.1, 1.101, 1.099, 1.1]), Some((Ambiguous, 0, -1.0)), "the stop first, whichever was");
    assert_eq!(summary(&[1.0998, 1.1, 1.098, 1.1, 1.1]), Some((Stop, 0, -2.0)), "a gap leaves at the first price");
    let outcome = record("ict", &[1.0998, 1.1005, 1.1, 1.0995, 1.1, 1.098, 1.1]).unwrap();
    assert!((outcome.mfe - 0.5).abs() < 1e-9 && (outcome.mae + 1.0).abs() < 1e-9, "{outcome:?}");
    assert_eq!((outcome.setup, outcome.feed, outcome.fill), (Some(SetupKind::MssFvg), Some(Feed::Live), Some(1.1)));
    assert_eq!((outcome.confirmed_at, outcome.closed_at), (at(0), at(180)));
}

#[test]
fn the_position_enters_at_the_first_tradable_price() {
    for source in ["ict", "push"] {
        // The ask is half an R above the entry: the first target gives half an R, the stop costs one and a half.
        let targets = Some((OutcomeClass::Targets, 2, 0.75));
        assert_eq!(summary(record(source, &[1.1003, 1.102, 1.1])), targets, "{source}");
        assert_eq!(summary(record(source, &[1.1003, 1.099, 1.1])), Some((OutcomeClass::Stop, 0, -1.5)), "{source}");
    }
    let not_filled = Some((OutcomeClass::NotFilled, 0, 0.0));
    assert_eq!(summary(record("push", &[1.1008, 1.105, 1.105])), not_filled, "the first target was gone");
    assert_eq!(summary(record("push", &[1.098, 1.105, 1.105])), not_filled, "so was the stop");
}

/// Returns a confirmed long of `source` with entry 1.1 and stop 1.099.
fn confirmed(targets: &[f64]) -> Change {
    let instrument = Instruments::documented().swap_remove(0);
    let draft = SignalDraft {
        direction: Some(Direction::Long),
        status: Some(crate::domain::SignalStatus::Confirmed),
        entry_price: Some(1.1),
        stop_loss: Some(1.099),
        take_profits: Some(targets.to_vec()),
        ..SignalDraft::default()
    };
    let now = Now { wall: at(0), mono: Duration::ZERO };
    let (id, ttl) = (SignalId::new("a").unwrap(), Duration::from_secs(300));
    let signal = Signal::create(id, &draft, &instrument, SourceName::new("push"), now, ttl).unwrap();
    Change { signal: Arc::new(signal), previous: None }
}

/// Feeds prices, and the minutes that end with them.
#[derive(Default)]
struct Feeding {
    outcomes: Outcomes,
    bars: BarBuilder,
}

impl Feeding {
    fn bid(&mut self, seconds: i64, bid: f64) {
        let instrument = Instruments::documented().swap_remove(0);
        let (symbol, source) = (instrument.symbol.clone(), SourceName::new("push"));
        let quote = Quote::BidAsk { bid, ask: bid + SPREAD };
        let tick = Tick { symbol, quote, volume: None, observed_at: at(seconds), feed: Feed::Live, source };
        let closed = self.bars.push_tick(&instrument, &tick, at(seconds));
        closed
            .iter()
            .filter(|closed| closed.interval == BarInterval::OneMinute)
            .for_each(|c| self.outcomes.on_minute_close(c));
        self.outcomes.on_price(&instrument, &tick, at(seconds));
    }

    /// Simulates a restart: a new instance resumes the stored form of the open records.
    fn restart(mut self, signal: &Arc<Signal>) -> Self {
        let kept = self.outcomes.drain_open(PersistScope::All);
        let progress = kept
            .into_iter()
            .next()
            .map(|(_, progress)| serde_json::from_str(&serde_json::to_string(&progress).unwrap()).unwrap());
        let mut next = Self::default();
        next.outcomes.resume(signal, progress);
        next
    }
}

/// Returns the record of a long from 1.1 with targets at 1.101 and 1.102 when the first bid after a gap of 15 minutes
/// is `first`, and prices stay there.
fn over_a_gap(first: f64) -> TradeOutcome {
    let change = confirmed(&[1.101, 1.102]);
    let mut feeding = Feeding::default();
    feeding.outcomes.on_change(&change);
    feeding.bid(0, 1.0998);
    feeding.bid(30, 1.1005);
    let mut feeding = feeding.restart(&change.signal);
    assert_eq!(feeding.outcomes.drain_open(PersistScope::All), [], "there is no news yet");
    for seconds in [930, 960, 1_020, 24 * 3_600, 24 * 3_600 + 60] {
        feeding.bid(seconds, first);
    }
    feeding.outcomes.drain_ended().pop().unwrap()
}

#[test]
fn the_first_price_after_a_restart_decides() {
    use OutcomeClass::{Ambiguous, Expired, Stop};
    for (first, class, r) in [
        (1.0985, Stop, -1.5),
        (1.099, Stop, -1.0),
        (1.1012, Ambiguous, -1.0),
        (1.11, Ambiguous, -1.0),
        (1.0995, Expired, -0.5),
        (1.1007, Expired, 0.7),
    ] {
        let outcome = over_a_gap(first);
        assert_eq!((outcome.class, (outcome.r * 1e9).round() / 1e9), (class, r), "{first}");
        assert_eq!((outcome.gap_seconds, outcome.fill, outcome.feed), (900, Some(1.1), Some(Feed::Live)), "{first}");
        assert!(outcome.counts() && outcome.mfe >= 0.5 - 1e-9, "what was seen before the gap stays: {outcome:?}");
    }
}

#[test]
fn prices_before_a_restart_count_first() {
    let change = confirmed(&[1.101, 1.102]);
    let mut feeding = Feeding::default();
    feeding.outcomes.on_change(&change);
    feeding.bid(0, 1.0998);
    feeding.bid(70, 1.1);
    feeding.bid(80, 1.1011);
    let mut feeding = feeding.restart(&change.signal);
    // The first target was reached in the interrupted minute: half is closed there, the rest at the stop.
    feeding.bid(600, 1.099);
    let outcome = feeding.outcomes.drain_ended().pop().unwrap();
    assert_eq!((outcome.class, outcome.targets_hit, outcome.gap_seconds), (OutcomeClass::Stop, 1, 520));
    assert!(outcome.r.abs() < 1e-9, "{outcome:?}");

    let mut feeding = Feeding::default();
    feeding.outcomes.on_change(&change);
    feeding.bid(0, 1.0998);
    feeding.bid(10, 1.0985);
    let mut feeding = feeding.restart(&change.signal);
    feeding.bid(600, 1.105);
    let outcome = feeding.outcomes.drain_ended().pop().unwrap();
    assert_eq!((outcome.class, outcome.gap_seconds), (OutcomeClass::Stop, 0), "a restart takes no loss back");
}

#[test]
fn a_resumed_record_without_price_enters_later() {
    let change = confirmed(&[1.101]);
    let mut feeding = Feeding::default();
    feeding.outcomes.on_change(&change);
    let mut feeding = feeding.restart(&change.signal);
    for (seconds, bid) in [(100, 1.0998), (160, 1.1012), (220, 1.1)] {
        feeding.bid(seconds, bid);
    }
    let outcome = feeding.outcomes.drain_ended().pop().unwrap();
    assert_eq!((outcome.class, outcome.fill, outcome.gap_seconds), (OutcomeClass::Targets, Some(1.1), 100));

    let mut feeding = Feeding::default();
    feeding.outcomes.on_change(&change);
    feeding.bid(24 * 3_600, 1.0998);
    let outcome = feeding.outcomes.drain_ended().pop().unwrap();
    assert_eq!((outcome.class, outcome.fill), (OutcomeClass::NotFilled, None), "a day late");
}

#[test]
fn records_of_a_replay_are_not_resumed() {
    let change = confirmed(&[1.101]);
    let progress = Progress { feed: Some(Feed::Replayed), ..Progress::from_confirmation(&change.signal) };
    let mut feeding = Feeding::default();
    feeding.outcomes.resume(&change.signal, Some(progress));
    feeding.bid(100, 1.2);
    feeding.bid(200, 1.2);
    assert_eq!(feeding.outcomes.drain_ended(), []);
}

#[test]
fn unmeasurable_signals_have_a_record() {
    let summary = |outcomes: &mut Outcomes| {
        let ended = outcomes.drain_ended();
        assert!(ended.iter().all(|outcome| !outcome.counts()));
        ended.into_iter().map(|outcome| (outcome.class, outcome.feed)).collect::<Vec<_>>()
    };
    let mut outcomes = Outcomes::default();
    outcomes.on_change(&confirmed(&[]));
    assert_eq!(summary(&mut outcomes), [(OutcomeClass::Unmeasured, None)], "no target");
    for _ in 0..=MAX_OPEN_RECORDS {
        outcomes.on_change(&confirmed(&[1.101]));
    }
    assert_eq!(summary(&mut outcomes), [(OutcomeClass::Unmeasured, None)], "one too many");

    let mut feeding = Feeding::default();
    feeding.outcomes.on_change(&confirmed(&[1.101]));
    feeding.outcomes.on_simulated_price(&Symbol::new("EURUSD"), at(1));
    assert_eq!(summary(&mut feeding.outcomes), [(OutcomeClass::Unmeasured, Some(Feed::Simulated))]);
    feeding.outcomes.on_change(&confirmed(&[1.101]));
    feeding.bid(1, 1.0998);
    feeding.outcomes.on_simulated_price(&Symbol::new("EURUSD"), at(2));
    assert_eq!(summary(&mut feeding.outcomes), [], "a position that was entered waits for real prices");
}

#[test]
fn open_records_drain_on_changes_and_after_failures() {
    let mut feeding = Feeding::default();
    feeding.outcomes.on_change(&confirmed(&[1.2]));
    let kept = |feeding: &mut Feeding, which| feeding.outcomes.drain_open(which).len();
    assert_eq!(kept(&mut feeding, PersistScope::Entries), 0);
    feeding.bid(0, 1.0998);
    assert_eq!(kept(&mut feeding, PersistScope::Entries), 1, "at once");
    feeding.bid(60, 1.0998);
    assert_eq!(kept(&mut feeding, PersistScope::Entries), 0);
    assert_eq!((kept(&mut feeding, PersistScope::Minutes), kept(&mut feeding, PersistScope::Minutes)), (1, 0));
    assert_eq!(kept(&mut feeding, PersistScope::All), 0);
    feeding.outcomes.requeue(Vec::new());
    assert_eq!(kept(&mut feeding, PersistScope::Minutes), 1);
    feeding.bid(61, 1.0999);
    assert_eq!((kept(&mut feeding, PersistScope::All), kept(&mut feeding, PersistScope::All)), (1, 0));
}

#[test]
fn an_open_position_exits_after_a_day() {
    let day = [vec![1.0998; 24 * 120 - 2], vec![1.1005; 6]].concat();
    assert_eq!(summary(record("ict", &day)), Some((OutcomeClass::Expired, 0, 0.5)));
}
