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

/// Returns costs of half a pip of slippage and a pip of commission, with this entry.
fn costs(entry: EntryOrder) -> TradingCosts {
    let instruments = Instruments::new(Instruments::documented()).unwrap();
    let table = |cost: &str| crate::domain::CostTable::new(&[cost.parse().unwrap()], &instruments).unwrap();
    TradingCosts { entry, slippage: table("5"), commission: table("EUR/USD=0.0001") }
}

/// Returns how a long with entry 1.1, stop 1.099 and targets of half the position each ends on bids at these seconds.
fn entered(entry: EntryOrder, bids: &[(i64, f64)]) -> Option<TradeOutcome> {
    let mut feeding = Feeding::default();
    feeding.outcomes.set_costs(costs(entry));
    feeding.outcomes.on_change(&confirmed(&[1.101, 1.102]));
    for (seconds, bid) in bids {
        feeding.bid(*seconds, *bid);
    }
    feeding.outcomes.drain_ended().pop()
}

/// Returns the fill, and the result in R: gross, of slippage, of commission, and net.
fn results(outcome: &TradeOutcome) -> [f64; 5] {
    let net = outcome.net.unwrap();
    [outcome.fill.unwrap(), outcome.r, net.slippage_r, net.commission_r, net.r].map(|x| (x * 1e9).round() / 1e9)
}

#[test]
fn fills_at_the_market_pay_slippage() {
    use OutcomeClass::{Expired, Stop, Targets};
    let market = |bids: &[(i64, f64)]| {
        let outcome = entered(EntryOrder::Market, bids).unwrap();
        (outcome.class, results(&outcome))
    };
    // The entry at the ask of 1.1 pays slippage, and whatever leaves otherwise than at a target.
    assert_eq!(market(&[(0, 1.0998), (30, 1.102), (60, 1.1)]), (Targets, [1.1, 1.5, 0.05, 0.1, 1.35]));
    assert_eq!(market(&[(0, 1.0998), (30, 1.099), (60, 1.1)]), (Stop, [1.1, -1.0, 0.1, 0.1, -1.2]));
    let half = [(0, 1.0998), (30, 1.101), (60, 1.099), (120, 1.1)];
    assert_eq!(market(&half), (Stop, [1.1, 0.0, 0.075, 0.1, -0.175]));
    let day = 24 * 3_600;
    assert_eq!(market(&[(0, 1.0998), (day, 1.1003), (day + 60, 1.1)]), (Expired, [1.1, 0.3, 0.1, 0.1, 0.1]));
}

#[test]
fn limit_orders_fill_at_their_price_or_better() {
    use OutcomeClass::{NotFilled, Stop, Targets};
    let limit = |bids: &[(i64, f64)]| {
        let outcome = entered(EntryOrder::Limit, bids).unwrap();
        (outcome.class, outcome.net.map(|_| results(&outcome)))
    };
    // The market comes down to the order within a minute: its own price, without slippage.
    let back = [(0, 1.1005), (30, 1.0996), (60, 1.102), (120, 1.1)];
    assert_eq!(limit(&back), (Targets, Some([1.1, 1.5, 0.0, 0.1, 1.4])));
    // A minute opens below it: the first ask.
    let gap = [(0, 1.1005), (60, 1.0994), (120, 1.102), (180, 1.1)];
    assert_eq!(limit(&gap), (Targets, Some([1.0996, 1.9, 0.0, 0.1, 1.8])));
    // Only the exit at the stop is at the market. What came before the fill does not count.
    let stopped = [(0, 1.1009), (30, 1.0998), (60, 1.099), (120, 1.1)];
    let outcome = entered(EntryOrder::Limit, &stopped).unwrap();
    assert_eq!((outcome.class, results(&outcome)), (Stop, [1.1, -1.0, 0.05, 0.1, -1.15]));
    assert!((outcome.mfe, outcome.order) == (0.0, EntryOrder::Limit), "{outcome:?}");
    // The first target comes first, or a day passes.
    assert_eq!(limit(&[(0, 1.1005), (60, 1.101)]), (NotFilled, None));
    assert_eq!(limit(&[(0, 1.1005), (24 * 3_600, 1.0998)]), (NotFilled, None));
}

#[test]
fn gaps_fill_at_the_first_price() {
    use OutcomeClass::{Stop, Targets};
    // Two days without prices, such as a weekend, and then a minute that moves on.
    let over = |entry, before: f64, first: f64, then: f64| {
        let monday = 2 * 24 * 3_600;
        // A limit order is a day old at most, so it has been filled before.
        let outcome =
            entered(entry, &[(0, 1.1001), (30, before), (monday, first), (monday + 30, then), (monday + 60, then)]);
        let outcome = outcome.unwrap();
        (outcome.class, outcome.targets_hit, (outcome.r * 1e9).round() / 1e9)
    };
    for entry in [EntryOrder::Market, EntryOrder::Limit] {
        let paid = if entry.is_market() { 0.3 } else { 0.0 };
        assert_eq!(over(entry, 1.0998, 1.0975, 1.1), (Stop, 0, -2.5 - paid), "beyond the stop: {entry:?}");
        assert_eq!(over(entry, 1.0998, 1.1, 1.098), (Stop, 0, -1.0 - paid), "at the stop itself: {entry:?}");
        assert_eq!(over(entry, 1.0998, 1.105, 1.105), (Targets, 2, 1.5 - paid), "no better than a target: {entry:?}");
    }
}

#[test]
fn orders_outlive_a_restart() {
    use OutcomeClass::{NotFilled, Stop, Targets};
    let after = |first: f64| {
        let change = confirmed(&[1.101]);
        let mut feeding = Feeding::default();
        feeding.outcomes.set_costs(costs(EntryOrder::Limit));
        feeding.outcomes.on_change(&change);
        feeding.bid(0, 1.1005);
        let mut feeding = feeding.restart(&change.signal);
        feeding.bid(600, first);
        feeding.bid(660, 1.1012);
        feeding.bid(720, 1.1);
        feeding.outcomes.drain_ended().pop().map(|it| (it.class, it.order, it.fill, (it.r * 1e9).round() / 1e9))
    };
    // Filled at its price while the server was down, not at the better first price after it.
    assert_eq!(after(1.0995), Some((Targets, EntryOrder::Limit, Some(1.1), 1.0)));
    assert_eq!(after(1.0985), Some((Stop, EntryOrder::Limit, Some(1.1), -1.5)));
    assert_eq!(after(1.1005), Some((NotFilled, EntryOrder::Limit, None, 0.0)));
}

#[test]
fn records_without_costs_are_as_before() {
    let outcome = record("ict", &[1.0998, 1.099, 1.1]).unwrap();
    let json = serde_json::to_string(&outcome).unwrap();
    assert!(!json.contains("net") && !json.contains("order"), "{json}");
    let progress = serde_json::to_string(&Progress::from_confirmation(&confirmed(&[1.101]).signal)).unwrap();
    assert!(!progress.contains("order"), "{progress}");
}

#[test]
fn an_open_position_exits_after_a_day() {
    let day = [vec![1.0998; 24 * 120 - 2], vec![1.1005; 6]].concat();
    assert_eq!(summary(record("ict", &day)), Some((OutcomeClass::Expired, 0, 0.5)));
}
