//! The guarantees for the server's own signals, on a random walk in trading hours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;
use crate::domain::{
    BlackoutWindow, CalibrationMap, CalibrationPoint, Change, Feed, Input, Instruments, Invalidation, Quote, SetupKind,
    SignalState, SignalStatus, Tick, parse_time,
};
use crate::engine::Engine;

const TTL: Duration = Duration::from_secs(300);
const SPREAD: f64 = 0.0001;

fn instruments() -> Arc<Instruments> {
    Arc::new(Instruments::new(Instruments::documented()).unwrap())
}

fn engine(rules: SetupRules) -> Engine {
    Engine::new(instruments(), TTL, 5).with_setups(rules, false)
}

fn tick(at: &str, seconds: i64, mid: f64, feed: Feed) -> (Tick, Now) {
    let began = parse_time(at).unwrap();
    let observed_at = began + TimeDelta::seconds(seconds);
    let quote = Quote::BidAsk { bid: mid - SPREAD / 2.0, ask: mid + SPREAD / 2.0 };
    let (symbol, source) = (Symbol::new("EURUSD"), SourceName::new("push"));
    let mono = (observed_at - began).to_std().unwrap();
    (Tick { symbol, quote, volume: None, observed_at, feed, source }, Now { wall: observed_at, mono })
}

/// Returns a tick every 15 s for `days` from Sunday's opening on, with steps of a fixed generator.
fn walk(days: i64, feed: Feed) -> impl Iterator<Item = (Tick, Now)> {
    let mut state = 42u64;
    let mut price = 1.1;
    (0..days * 24 * 60 * 4).map(move |n| {
        let mut sum = 0.0;
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum += (state >> 40) as f64 / f64::from(1 << 24) - 0.5;
        }
        price += sum * 0.000_12;
        tick("2026-01-11T22:00:00Z", n * 15, price, feed)
    })
}

fn run(engine: &mut Engine, ticks: impl Iterator<Item = (Tick, Now)>) -> Vec<Change> {
    ticks.flat_map(|(tick, now)| engine.replay(&tick, now)).collect()
}

fn found(changes: &[Change]) -> Vec<&Arc<Signal>> {
    changes.iter().filter(|change| change.previous.is_none()).map(|change| &change.signal).collect()
}

#[test]
fn a_mapping_changes_nothing_but_the_confidence() {
    let run = |calibration| run(&mut engine(SetupRules { calibration, ..SetupRules::default() }), walk(4, Feed::Live));
    let points = [(0.3, 0.1), (0.9, 0.7)].map(|(score, confidence)| CalibrationPoint { score, confidence });
    let map = Arc::new(CalibrationMap::new(points.to_vec()).unwrap());
    let (plain, mapped) = (run(None), run(Some(map.clone())));
    assert!(!plain.is_empty() && plain.len() == mapped.len());
    for (plain, mapped) in plain.iter().zip(&mapped) {
        let (confidence, applied) = map.apply(plain.signal.confidence);
        assert_eq!((applied.score, applied.version.as_str()), (plain.signal.confidence, map.version()));
        let confidence = (confidence * 1e4).round() / 1e4;
        let expected = Signal { confidence, calibration: Some(applied), ..plain.signal.as_ref().clone() };
        assert_eq!(*mapped.signal, expected);
    }
}

#[test]
fn every_signal_is_valid_and_ends_once() {
    let rules = SetupRules::default();
    let changes = run(&mut engine(rules.clone()), walk(5, Feed::Replayed));
    let signals = found(&changes);
    assert!((5..=20).contains(&signals.len()), "{} in five days", signals.len());
    let instruments = instruments();
    let mut last: Option<DateTime<Utc>> = None;
    for signal in &signals {
        let (entry, stop) = (signal.entry_price.unwrap(), signal.stop_loss.unwrap());
        let instrument = instruments.get(&signal.symbol).unwrap();
        let sign = signal.direction.sign();
        for price in [entry, stop].iter().chain(&signal.take_profits) {
            assert_eq!(instrument.round(*price), *price);
        }
        let risk = sign * (entry - stop);
        assert!(risk >= rules.min_spreads * SPREAD - 1e-9, "{risk}");
        for (target, ratio) in signal.take_profits.iter().zip([1.0, 2.0, 3.0]) {
            assert!((sign * (target - entry) - ratio * risk).abs() < instrument.tick_size / 2.0);
        }
        assert_eq!(signal.tp_modes, ["TP1 30%", "TP2 40%", "TP3 30%"]);
        assert_eq!((signal.rr_target, signal.source.as_str()), (3.0, "ict"));
        assert!((0.0..=1.0).contains(&signal.confidence));
        assert!(SetupKind::named_in(&signal.reason).is_some_and(|kind| signal.reason.starts_with(kind.name())));
        let zone = Killzone::active_at(signal.accepted_at);
        assert!(zone == Some(signal.killzone) && rules.killzones.contains(&signal.killzone));
        assert!(last.is_none_or(|last| signal.accepted_at - last >= TimeDelta::hours(3)));
        last = Some(signal.accepted_at);
    }
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for Change { signal, previous } in changes.iter().filter(|change| change.previous.is_some()) {
        assert!(previous.as_ref().is_some_and(|previous| previous.state.is_pending()));
        assert!(signal.updated_at <= signal.expires_at);
        let end = match &signal.state {
            SignalState::Invalidated(reason) => reason.as_str(),
            other => other.status().name(),
        };
        *ends.entry(end).or_default() += 1;
    }
    assert_eq!(ends.values().sum::<usize>(), signals.len(), "each ended once");
    assert!(ends.contains_key("confirmed") && ends.contains_key("timeout"), "{ends:?}");
}

#[test]
fn the_same_prices_give_the_same_signals() {
    let all = || run(&mut engine(SetupRules::default()), walk(3, Feed::Replayed));
    let (one, other) = (all(), all());
    assert!(!one.is_empty());
    assert_eq!(one, other);
}

#[test]
fn simulated_prices_make_no_signals_by_default() {
    assert_eq!(run(&mut engine(SetupRules::default()), walk(3, Feed::Simulated)), []);
    let asked = SetupRules { in_simulated_prices: true, ..SetupRules::default() };
    assert!(!run(&mut engine(asked), walk(3, Feed::Simulated)).is_empty());
}

#[test]
fn only_enabled_setups_are_found() {
    for kind in [SetupKind::MssFvg, SetupKind::OrderBlock, SetupKind::Bos] {
        let rules = SetupRules { enabled: vec![kind], ..SetupRules::default() };
        let changes = run(&mut engine(rules), walk(5, Feed::Replayed));
        let reasons: Vec<_> = found(&changes).iter().map(|signal| SetupKind::named_in(&signal.reason)).collect();
        assert!(!reasons.is_empty() && reasons.iter().all(|named| *named == Some(kind)), "{kind:?} {reasons:?}");
    }
    let none = SetupRules { enabled: vec![], ..SetupRules::default() };
    assert_eq!(run(&mut engine(none), walk(2, Feed::Replayed)), []);
}

#[test]
fn no_setup_is_published_in_a_blackout_window() {
    let all_day = BlackoutWindow::parse("00:00-24:00").unwrap();
    let rules = SetupRules { blackout_windows: vec![all_day], ..SetupRules::default() };
    assert_eq!(run(&mut engine(rules), walk(2, Feed::Replayed)), []);
}

#[test]
fn past_bars_replace_the_warm_up() {
    let first = |engine: &mut Engine, skip: usize| {
        run(engine, walk(4, Feed::Replayed).skip(skip)).first().map(|change| change.signal.accepted_at)
    };
    let day = 24 * 60 * 4;
    let mut whole = engine(SetupRules::default());
    run(&mut whole, walk(2, Feed::Replayed));
    let minutes = whole.changed_bars();
    let mut warm = engine(SetupRules::default());
    warm.warm_up(minutes);
    let (cold, warm) = (first(&mut engine(SetupRules::default()), 2 * day), first(&mut warm, 2 * day));
    assert!(warm.unwrap() <= cold.unwrap());
}

/// Returns a long from 1.1 that is published now.
fn long(stop: f64, now: Now) -> Signal {
    let draft = SignalDraft {
        direction: Some(Direction::Long),
        entry_price: Some(1.1),
        stop_loss: Some(stop),
        ..SignalDraft::default()
    };
    let (id, instruments) = (SignalId::new("a").unwrap(), instruments());
    let instrument = instruments.get(&Symbol::new("EURUSD")).unwrap();
    Signal::create(id, &draft, instrument, SourceName::new("ict"), now, TTL).unwrap()
}

/// Returns the state of a long from 1.1000 with its stop at 1.0990 after a series of mids at half-minute steps.
fn fate(zone_far: Option<f64>, mids: &[f64]) -> Option<(usize, SignalState)> {
    let (_, now) = tick("2026-01-14T15:00:00Z", 0, 1.1, Feed::Live);
    let (signal, instruments) = (long(1.099, now), instruments());
    let instrument = instruments.get(&signal.symbol).unwrap();
    let (mut watch, mut bars) = (watch::Watch::default(), crate::engine::bars::BarBuilder::default());
    watch.add(&signal, zone_far, now.mono + TTL, now);
    for (n, mid) in mids.iter().enumerate() {
        let (tick, now) = tick("2026-01-14T15:00:00Z", n as i64 * 30, *mid, Feed::Live);
        let closed = bars.push_tick(instrument, &tick, now.wall);
        let mut ended: Vec<_> = closed.iter().flat_map(|closed| watch.on_minute_close(closed, now)).collect();
        ended.extend(watch.on_price(instrument, tick.quote, now));
        if let Some((_, state)) = ended.pop() {
            return Some((n, state));
        }
    }
    None
}

#[test]
fn prices_decide_by_the_side_that_trades() {
    let confirmed = Some((2, SignalState::Confirmed));
    assert_eq!(fate(None, &[1.0999, 1.1001, 1.1001]), confirmed, "entered, and the minute closed above");
    assert_eq!(fate(None, &[1.1, 1.1003, 1.1003]), None, "the ask never came down to the entry");
    assert_eq!(fate(None, &[1.0999, 1.0999, 1.1001]), None, "the minute closed below");
    let stopped = |n| Some((n, Invalidation::STOP_TOUCHED.into()));
    assert_eq!(fate(None, &[1.0999, 1.09905]), stopped(1), "the bid is at the stop");
    assert_eq!(fate(None, &[1.0999, 1.09906]), None, "it is not yet");
    assert_eq!(fate(None, &[1.0980, 1.1005, 1.1005]), stopped(0), "the stop comes before all else in a minute");
    let through = Some((2, Invalidation::CLOSED_THROUGH_FVG.into()));
    assert_eq!(fate(Some(1.0995), &[1.0999, 1.0994, 1.0994]), through);
    assert_eq!(fate(Some(1.0995), &[1.0994, 1.0996, 1.0996]), None, "a wick through it is no close");
}

#[test]
fn silence_and_closed_markets_end_signals() {
    let (signal, instrument) = {
        let instruments = instruments();
        let instrument = instruments.get(&Symbol::new("EURUSD")).unwrap().clone();
        let (_, now) = tick("2026-01-16T21:58:00Z", 0, 1.1, Feed::Live);
        let draft = SignalDraft {
            direction: Some(Direction::Short),
            entry_price: Some(1.1),
            stop_loss: Some(1.101),
            ..SignalDraft::default()
        };
        let id = SignalId::new("a").unwrap();
        (Signal::create(id, &draft, &instrument, SourceName::new("ict"), now, TTL).unwrap(), instrument)
    };
    let after = |seconds: i64| {
        let mut watch = watch::Watch::default();
        let (_, start) = tick("2026-01-16T21:58:00Z", 0, 1.1, Feed::Live);
        watch.add(&signal, None, TTL, start);
        let (tick, now) = tick("2026-01-16T21:58:00Z", seconds, 1.1, Feed::Live);
        watch.on_price(&instrument, tick.quote, now).pop().map(|(_, state)| state)
    };
    assert_eq!(after(60), None);
    assert_eq!(after(120), Some(Invalidation::MARKET_CLOSED.into()), "Friday, 17:00 in New York");
    let mut watch = watch::Watch::default();
    let earlier = Signal { updated_at: signal.updated_at - TimeDelta::minutes(3), ..signal.clone() };
    let (tick, now) = tick("2026-01-16T21:58:00Z", 0, 1.1, Feed::Live);
    watch.add(&earlier, None, TTL, now);
    let ended = watch.on_price(&instrument, tick.quote, now).pop().map(|(_, state)| state);
    assert_eq!(ended, Some(Invalidation::STALE_DATA.into()));
}

#[test]
fn a_shift_the_other_way_ends_it() {
    let (_, now) = tick("2026-01-14T15:00:00Z", 0, 1.1, Feed::Live);
    let signal = long(1.09, now);
    let symbol = signal.symbol.clone();
    let mut watch = watch::Watch::default();
    watch.add(&signal, None, now.mono + TTL, now);
    let late = now.plus(TTL);
    assert_eq!(watch.on_shift(&symbol, Direction::Long, now), []);
    assert_eq!(watch.on_shift(&symbol, Direction::Short, late), [], "the deadline ends it");
    let ended = watch.on_shift(&symbol, Direction::Short, now);
    assert_eq!(ended, [(signal.id.clone(), Invalidation::OPPOSITE_MSS.into())]);
}

/// Returns the changes of a signal that is watched until 15:05:00.400 when the price of 15:04:30 would confirm it, and the next
/// price comes at 15:05:00.900; live, where the timer ends it first, and in a replay.
fn at_the_deadline(mid: f64) -> [Vec<Arc<Signal>>; 2] {
    let ended = |replays: bool| {
        let mut engine = Engine::new(instruments(), TTL, 5).with_setups(SetupRules::default(), true);
        let draft = SignalDraft {
            symbol: Some(Symbol::new("EURUSD")),
            direction: Some(Direction::Long),
            entry_price: Some(1.1),
            stop_loss: Some(1.09),
            ..SignalDraft::default()
        };
        let (id, source) = (SignalId::new("a").unwrap(), SourceName::new("push"));
        let (_, begin) = tick("2026-01-14T15:00:00Z", 0, 1.1, Feed::Live);
        let begin = begin.plus(Duration::from_millis(400));
        let mut changes = Vec::new();
        let prices = [(60, 1.0999), (150, 1.0999), (240, 1.0999), (270, mid)];
        engine.process(Input::Signal { id, draft: Box::new(draft), source, feed: Feed::Live }, begin);
        let feed = if replays { Feed::Replayed } else { Feed::Live };
        for (at, mid) in prices.into_iter().chain([(300, 1.0899)]) {
            let (tick, mut now) = tick("2026-01-14T15:00:00Z", at, mid, feed);
            if at == 300 {
                now = now.plus(Duration::from_millis(900));
            }
            if replays {
                changes.extend(engine.replay(&tick, now));
                continue;
            }
            if at == 300 {
                // The timer is 5 ms late.
                changes.extend(engine.expire(begin.plus(TTL + Duration::from_millis(5))));
            }
            changes.extend(engine.process(Input::Ticks(vec![tick]), now).changes);
        }
        changes.into_iter().map(|change| change.signal).collect()
    };
    [ended(false), ended(true)]
}

#[test]
fn the_last_whole_minute_decides_at_the_deadline() {
    for (mid, state) in [(1.1002, SignalState::Confirmed), (1.0999, Invalidation::TIMEOUT.into())] {
        let [live, replayed] = at_the_deadline(mid);
        let [ended] = &live[..] else { panic!("{live:?}") };
        assert_eq!((&ended.state, ended.updated_at), (&state, ended.expires_at));
        assert_eq!(live, replayed, "a replay ends it in the same way");
    }
}

#[test]
fn a_price_after_the_deadline_is_too_late() {
    let (crash, now) = tick("2026-01-14T15:00:00Z", 0, 1.0, Feed::Live);
    let (signal, instruments) = (long(1.099, now), instruments());
    let instrument = instruments.get(&signal.symbol).unwrap();
    let mut watch = watch::Watch::default();
    watch.add(&signal, None, now.mono + TTL, now);
    assert_eq!(watch.on_price(instrument, crash.quote, now.plus(TTL)), []);
    assert_eq!(watch.on_price(instrument, crash.quote, now).len(), 1);
}

/// Runs a pushed long from 1.1 with its stop at 1.099 through the prices that would confirm it. The wall clock jumps by
/// this number of seconds after the second price.
fn pushed(confirm_pushed_by_price: bool, jump: i64) -> Vec<SignalStatus> {
    let mut engine = Engine::new(instruments(), TTL, 5).with_setups(SetupRules::default(), confirm_pushed_by_price);
    let draft = SignalDraft {
        symbol: Some(Symbol::new("EURUSD")),
        direction: Some(Direction::Long),
        entry_price: Some(1.1),
        stop_loss: Some(1.099),
        ..SignalDraft::default()
    };
    let id = SignalId::new("a").unwrap();
    let (_, now) = tick("2026-01-14T15:00:00Z", 0, 1.1, Feed::Live);
    let input = Input::Signal { id, draft: Box::new(draft), source: SourceName::new("push"), feed: Feed::Live };
    engine.process(input, now);
    let ticks =
        [(1, 1.0999), (50, 1.1002), (61, 1.1002)].map(|(at, mid)| tick("2026-01-14T15:00:00Z", at, mid, Feed::Live));
    let ticks = ticks.map(|(tick, now)| match now.mono.as_secs() {
        61 => (tick, Now { wall: now.wall + TimeDelta::seconds(jump), ..now }),
        _ => (tick, now),
    });
    let changes = ticks.into_iter().flat_map(|(tick, now)| engine.process(Input::Ticks(vec![tick]), now).changes);
    changes.map(|change| change.signal.state.status()).collect()
}

#[test]
fn prices_ignore_pushed_signals_by_default() {
    assert_eq!(pushed(false, 0), []);
    assert_eq!(pushed(true, 0), [SignalStatus::Confirmed]);
}

#[test]
fn a_wall_clock_that_jumps_decides_nothing() {
    for jump in [3600, -7200] {
        assert_eq!(pushed(true, jump), [SignalStatus::Confirmed], "{jump}");
    }
}

#[test]
fn clock_jumps_do_not_shorten_the_cool_down() {
    let rules = SetupRules { killzones: Killzone::ALL.to_vec(), ..SetupRules::default() };
    let cool_down = rules.cool_down;
    let (mut engine, mut ahead, mut found_at) = (engine(rules), TimeDelta::zero(), Vec::new());
    for (tick, now) in walk(5, Feed::Replayed) {
        let now = Now { wall: now.wall + ahead, ..now };
        for _ in found(&engine.replay(&tick, now)) {
            found_at.push(now.mono);
            ahead += TimeDelta::hours(3);
        }
    }
    assert!(found_at.len() >= 5, "{found_at:?}");
    assert!(found_at.is_sorted_by(|one, next| *next >= *one + cool_down), "{found_at:?}");
}

#[test]
fn an_undone_change_restores_the_watch() {
    let ticks: Vec<_> = walk(2, Feed::Replayed).collect();
    let mut engine = engine(SetupRules::default());
    for (tick, now) in &ticks {
        let changes = engine.replay(tick, *now);
        if changes.iter().any(|change| change.previous.is_some()) {
            engine.undo(changes.into_iter(), *now);
            assert_eq!(engine.pending(), 1);
            return;
        }
    }
    panic!("no signal ended");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every setup has valid levels, or none at all.
    #[test]
    fn levels_are_sound(
        entry in 1.0f64..1.2,
        distance in 0.0f64..0.01,
        atr in 0.00001f64..0.01,
        spread in 0.0f64..0.001,
        away in -0.001f64..0.001,
        long in any::<bool>(),
    ) {
        let instruments = instruments();
        let instrument = instruments.get(&Symbol::new("EURUSD")).unwrap();
        let direction = if long { Direction::Long } else { Direction::Short };
        let candidate = SetupCandidate {
            kind: SetupKind::Bos,
            direction,
            entry,
            wrong_at: entry - direction.sign() * distance,
            level: entry,
            zone_far: None,
            after_sweep: false,
            takes_level: false,
            displacement: 0.0,
            gap: 0.0,
        };
        let rules = SetupRules::default();
        let yardstick = levels::Yardstick { atr, spread, close: entry + away };
        if let Some(levels) = levels::place(&rules, &candidate, instrument, &yardstick) {
            let risk = direction.sign() * (levels.entry - levels.stop);
            prop_assert!(risk >= rules.min_spreads * spread - 1e-9 && risk >= rules.min_atr * atr - 1e-9);
            prop_assert!(risk <= rules.max_atr * atr + instrument.tick_size * 1.5);
            prop_assert!(levels.targets.iter().all(|target| instrument.round(*target) == *target));
            prop_assert!(levels.targets.is_sorted_by(|a, b| direction.sign() * (b - a) > 0.0));
        }
    }
}
