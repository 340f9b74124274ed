use std::time::Duration;

use super::*;
use crate::domain::{Direction, Feed, Quality, Quote, SignalState, SignalStatus, Symbol, parse_time};

const TTL: Duration = Duration::from_secs(300);

fn now() -> Now {
    Now { wall: parse_time("2026-01-14T15:00:00Z").unwrap(), mono: Duration::from_secs(100) }
}

fn at(seconds: u64) -> Now {
    now().plus(Duration::from_secs(seconds))
}

fn engine() -> Engine {
    let list = Instruments::documented().into_iter().chain(Instruments::futures());
    Engine::new(Arc::new(Instruments::new(list).unwrap()), TTL, 5)
}

fn tick(symbol: &str, quote: Quote, feed: Feed, now: Now) -> Tick {
    let source = SourceName::new(if feed == Feed::Simulated { SourceName::SIMULATOR } else { "push" });
    Tick { symbol: Symbol::new(symbol), quote, volume: None, observed_at: now.wall, feed, source }
}

fn last(symbol: &str, price: f64, feed: Feed, now: Now) -> Input {
    Input::Ticks(vec![tick(symbol, Quote::Last(price), feed, now)])
}

fn signal(id: &str, draft: SignalDraft, feed: Feed) -> Input {
    let source = SourceName::new(if feed == Feed::Simulated { SourceName::SIMULATOR } else { "push" });
    Input::Signal { id: SignalId::new(id).unwrap(), draft: Box::new(draft), source, feed }
}

fn draft() -> SignalDraft {
    SignalDraft {
        symbol: Some(Symbol::new("EURUSD")),
        direction: Some(Direction::Long),
        entry_price: Some(1.085),
        ..SignalDraft::default()
    }
}

fn states(changes: &[Change]) -> Vec<(&str, &SignalState)> {
    changes.iter().map(|change| (change.signal.id.as_str(), &change.signal.state)).collect()
}

#[test]
fn an_unchanged_price_is_repeated_after_a_while() {
    let mut engine = engine();
    engine.process(last("EURUSD", 1.0850, Feed::Live, now()), now());
    engine.process(last("EURUSD", 1.0852, Feed::Live, now()), now());
    let published: Vec<_> = (0..12).map(|beat| engine.publish(at(beat)).len()).collect();
    assert_eq!(published, [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]);
}

#[test]
fn change_is_against_the_price_published_before() {
    let mut engine = engine();
    for (price, expected) in
        [(1.0850, (0.0, 0.0)), (1.0852, (0.0002, 0.0184)), (1.0852, (0.0002, 0.0184)), (1.084, (-0.0012, -0.1106))]
    {
        engine.process(last("EURUSD", price, Feed::Live, now()), now());
        let update = engine.publish(now()).remove(0);
        assert_eq!((update.change, update.change_percent), expected);
    }
}

#[test]
fn a_repeated_price_keeps_its_change() {
    let mut engine = engine();
    for price in [1.0850, 1.0852] {
        engine.process(last("EURUSD", price, Feed::Live, now()), now());
        engine.publish(now());
    }
    // No price arrives for the next three repetitions; then the same price does.
    let mut repeated: Vec<_> = (1..=15).flat_map(|beat| engine.publish(at(beat))).collect();
    engine.process(last("EURUSD", 1.0852, Feed::Live, at(16)), at(16));
    repeated.extend(engine.publish(at(16)));
    let changes: Vec<_> = repeated.iter().map(|update| (update.change, update.change_percent)).collect();
    assert_eq!(changes, [(0.0002, 0.0184); 4]);
}

#[test]
fn mid_bid_and_ask_are_on_the_grid() {
    let mut engine = engine();
    let quote = Quote::BidAsk { bid: 5000.25, ask: 5_000.749_999 };
    engine.process(Input::Ticks(vec![tick("ES", quote, Feed::Live, now())]), now());
    let update = engine.publish(now()).remove(0);
    assert_eq!((update.price, update.bid_ask), (5000.5, Some((5000.25, 5000.75))));
}

#[test]
fn a_live_price_ages_by_arrival() {
    let mut engine = engine();
    engine.process(last("EURUSD", 1.085, Feed::Live, now()), now());
    let mut quality = |seconds| (0..5).flat_map(|_| engine.publish(at(seconds))).last().map(|update| update.quality);
    assert_eq!(quality(0), Some(Quality::Live));
    assert_eq!(quality(16), Some(Quality::Delayed));
    assert_eq!(quality(61), Some(Quality::Stale));
    let weekend = 3 * 24 * 3600;
    assert_eq!(quality(weekend), Some(Quality::Closed));
}

#[test]
fn a_real_price_replaces_the_simulator() {
    let mut engine = engine();
    engine.process(last("EURUSD", 1.08, Feed::Simulated, now()), now());
    engine.process(last("GBPUSD", 1.27, Feed::Simulated, now()), now());
    engine.process(signal("demo", draft(), Feed::Simulated), now());
    engine.process(signal("real", draft(), Feed::Live), now());
    let gbp = SignalDraft { symbol: Some(Symbol::new("GBPUSD")), entry_price: None, ..draft() };
    engine.process(signal("other", gbp, Feed::Simulated), now());

    let outcome = engine.process(last("EURUSD", 1.09, Feed::Live, now()), now());
    assert_eq!(states(&outcome.changes), [("demo", &SignalState::Invalidated(Invalidation::SOURCE_REPLACED))]);
    let later = engine.process(last("EURUSD", 1.07, Feed::Simulated, now()), now());
    assert_eq!(later.changes, []);
    let eurusd = engine.publish(now()).into_iter().find(|update| update.symbol.as_str() == "EURUSD").unwrap();
    assert_eq!((eurusd.price, eurusd.quality), (1.09, Quality::Live));
    let refused = engine.process(signal("demo2", draft(), Feed::Simulated), now()).answer;
    assert_eq!(refused, Err(Rejection::SourceReplaced(Symbol::new("EURUSD"))));
}

#[test]
fn a_pending_signal_ends_once_at_its_deadline() {
    let mut engine = engine();
    engine.process(signal("a", draft(), Feed::Live), now());
    assert_eq!(engine.next_deadline(), Some(now().mono + TTL));
    assert_eq!(engine.expire(at(299)), []);
    let changes = engine.expire(at(301));
    assert_eq!(states(&changes), [("a", &SignalState::Invalidated(Invalidation::TIMEOUT))]);
    assert_eq!(changes[0].signal.updated_at, now().wall + TTL);
    assert_eq!(engine.expire(at(302)), []);
    assert_eq!(engine.next_deadline(), None);
}

#[test]
fn clock_jumps_do_not_move_deadlines() {
    for jump in [3600, -7200] {
        let mut engine = engine();
        engine.process(signal("a", draft(), Feed::Live), now());
        let jumped = |seconds: u64| Now { wall: now().wall + chrono::TimeDelta::seconds(jump), ..at(seconds) };
        assert_eq!(engine.expire(jumped(299)), []);
        assert_eq!(engine.expire(jumped(300)).len(), 1);
    }
}

#[test]
fn clock_jumps_do_not_age_prices() {
    for jump in [3600, -7200] {
        let mut engine = engine();
        let jumped = |seconds: u64| Now { wall: at(seconds).wall + chrono::TimeDelta::seconds(jump), ..at(seconds) };
        provided("oanda", 1.1, at(0), at(0), &mut engine);
        assert_eq!(shown(&mut engine, jumped(10)).1, Quality::Live, "{jump}");
        // Too long after the previous tick to belong to a stream, and dated by a correct clock.
        provided("oanda", 1.1, at(90), jumped(90), &mut engine);
        assert_eq!(shown(&mut engine, jumped(90)).1, Quality::Live, "{jump}");
        assert_eq!(shown(&mut engine, jumped(90 + 61)).1, Quality::Stale, "{jump}");
    }
}

#[test]
fn an_end_disarms_the_deadline() {
    let mut engine = engine();
    engine.process(signal("a", draft(), Feed::Live), now());
    engine.process(signal("a", SignalDraft::ending(SignalStatus::Confirmed, None), Feed::Live), at(10));
    assert_eq!(engine.pending(), 0);
    assert_eq!(engine.expire(at(400)), []);
}

#[test]
fn an_uncommitted_change_is_undone() {
    let mut engine = engine();
    engine.process(signal("kept", draft(), Feed::Live), now());
    let mut changes = engine.process(signal("new", draft(), Feed::Live), now()).changes;
    changes.extend(
        engine.process(signal("kept", SignalDraft::ending(SignalStatus::Confirmed, None), Feed::Live), now()).changes,
    );
    changes.extend(
        engine.process(signal("new", SignalDraft::ending(SignalStatus::Confirmed, None), Feed::Live), now()).changes,
    );
    engine.undo(changes.into_iter(), now());
    assert!(!engine.knows(&SignalId::new("new").unwrap()));
    assert_eq!(engine.pending(), 1);
    assert_eq!(states(&engine.expire(at(300))), [("kept", &SignalState::Invalidated(Invalidation::TIMEOUT))]);
}

#[test]
fn a_recalled_signal_keeps_its_deadline() {
    let mut first = engine();
    let made = first.process(signal("a", draft(), Feed::Live), now()).changes.remove(0).signal;
    for (down, due_after) in [(100, 200), (300, 0), (900, 0)] {
        let mut engine = engine();
        let restarted = Now { wall: at(down).wall, mono: Duration::ZERO };
        engine.restore([made.as_ref().clone()], restarted);
        assert_eq!(engine.next_deadline(), Some(Duration::from_secs(due_after)), "{down}");
    }
}

#[test]
fn an_unknown_id_needs_a_whole_signal() {
    let mut engine = engine();
    let end = SignalDraft::ending(SignalStatus::Confirmed, None);
    let unknown = Rejection::UnknownSignal(SignalId::new("a").unwrap());
    assert_eq!(engine.process(signal("a", end, Feed::Live), now()).answer, Err(unknown));
    let partial = SignalDraft { entry_price: Some(1.0), ..SignalDraft::default() };
    let Err(Rejection::Faults(faults)) = engine.process(signal("a", partial, Feed::Live), now()).answer else {
        panic!()
    };
    assert_eq!(faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), ["symbol", "direction"]);
}

#[test]
fn bars_follow_the_arrival() {
    let mut engine = engine();
    for (seconds, price) in [(0, 1.08), (20, 1.09), (59, 1.07), (60, 1.06)] {
        engine.process(last("EURUSD", price, Feed::Live, now()), at(seconds));
    }
    let bars: Vec<_> = engine.changed_bars().iter().map(|bar| (bar.open, bar.high, bar.low, bar.close)).collect();
    assert_eq!(bars, [(1.08, 1.09, 1.07, 1.07), (1.06, 1.06, 1.06, 1.06)]);
    assert_eq!(engine.changed_bars(), []);
}

/// Processes a tick of a provider, observed at `made` and received at `taken`.
fn provided(source: &str, price: f64, made: Now, taken: Now, engine: &mut Engine) -> Processed {
    let tick = Tick { source: SourceName::new(source), ..tick("EURUSD", Quote::Last(price), Feed::Live, made) };
    engine.process(Input::Ticks(vec![tick]), taken)
}

fn shown(engine: &mut Engine, now: Now) -> (f64, Quality, String) {
    // Long enough after the previous publish tick to be published again.
    let updates: Vec<_> = (0..6).flat_map(|_| engine.publish(now)).collect();
    let update = updates.last().unwrap();
    (update.price, update.quality, update.source.to_string())
}

#[test]
fn market_hours_decide_how_silence_counts() {
    let rules = PriceRules { stale_after: Duration::from_secs(30), ..PriceRules::default() };
    let mut busy = engine().with_rules(rules.clone());
    provided("mt5", 1.1, now(), now(), &mut busy);
    assert_eq!(shown(&mut busy, at(30)).1, Quality::Delayed);
    assert_eq!(shown(&mut busy, at(31)), (1.1, Quality::Stale, "mt5".into()));
    provided("oanda", 1.1001, at(32), at(32), &mut busy);
    provided("oanda", 1.1002, at(33), at(33), &mut busy);
    assert_eq!(shown(&mut busy, at(33)), (1.1002, Quality::Live, "oanda".into()));
    assert!(matches!(&busy.drain_notices()[..], [EngineEvent::Switched { stalled: true, .. }]));
    assert!(busy.drain_notices().is_empty(), "said once");

    let friday = Now { wall: parse_time("2026-01-16T21:59:50Z").unwrap(), mono: Duration::ZERO };
    let mut weekend = engine().with_rules(rules);
    provided("mt5", 1.1, friday, friday, &mut weekend);
    let saturday = friday.plus(Duration::from_hours(14));
    assert_eq!(shown(&mut weekend, saturday), (1.1, Quality::Closed, "mt5".into()));
    assert!(weekend.drain_notices().is_empty());
}

#[test]
fn an_old_price_keeps_its_own_age() {
    let saturday = Now { wall: parse_time("2026-01-17T12:00:00Z").unwrap(), mono: Duration::from_secs(5) };
    let friday = Now { wall: parse_time("2026-01-16T21:59:59Z").unwrap(), mono: Duration::ZERO };
    let mut engine = engine();
    provided("oanda", 1.1, friday, saturday, &mut engine);
    assert_eq!(shown(&mut engine, saturday).1, Quality::Closed, "a snapshot of Friday's price");
    let wednesday = at(0);
    let mut late = self::engine();
    provided("oanda", 1.1, at(0), wednesday.plus(Duration::from_hours(2)), &mut late);
    assert_eq!(shown(&mut late, wednesday.plus(Duration::from_hours(2))).1, Quality::Stale);
    // Prices in a steady stream are current, whatever their clock says.
    for second in 1..3 {
        provided("oanda", 1.1, at(second), at(7200 + second), &mut late);
    }
    assert_eq!(shown(&mut late, at(7202)).1, Quality::Live);
    let mut pushed = self::engine();
    provided("push", 1.1, friday, saturday, &mut pushed);
    assert_eq!(shown(&mut pushed, saturday).1, Quality::Live, "its sender's clock is anybody's");
}

#[test]
fn an_implausible_tick_changes_nothing() {
    let mut engine = engine();
    provided("mt5", 1.1, now(), now(), &mut engine);
    let tick = |price| Tick { source: SourceName::new("mt5"), ..tick("EURUSD", Quote::Last(price), Feed::Live, at(1)) };
    let outcome = engine.process(Input::Ticks(vec![tick(1.1001), tick(11.0), tick(1.1002)]), at(1));
    assert_eq!(outcome.answer, Ok(Accepted::Ticks(vec![(1, TickFault::Jump)])));
    assert_eq!(shown(&mut engine, at(1)).0, 1.1002);
    assert_eq!(engine.changed_bars()[0].high, 1.1002);
    let lanes = engine.lanes(at(3));
    assert_eq!(
        (lanes[0].ticks, lanes[0].refused, lanes[0].in_force, lanes[0].age),
        (3, 1, true, Duration::from_secs(2))
    );
}

/// A quote of EURUSD as OANDA sends it.
fn quoted(bid: f64, ask: f64, feed: Feed, now: Now) -> Input {
    let mut tick = tick("EURUSD", Quote::BidAsk { bid, ask }, feed, now);
    tick.source = SourceName::new("oanda");
    Input::Ticks(vec![tick])
}

/// Case 50: the spread widens tenfold when the market closes, and such a price cannot be traded.
#[test]
fn an_untradeable_price_ends_no_record() {
    for (feed, ended) in [(Feed::Indicative, 0), (Feed::Live, 1)] {
        let mut engine = engine();
        let long = SignalDraft {
            entry_price: Some(1.1865),
            stop_loss: Some(1.1860),
            take_profits: Some(vec![1.1960]),
            status: Some(SignalStatus::Confirmed),
            ..draft()
        };
        engine.process(quoted(1.1864, 1.1865, Feed::Live, at(0)), at(0));
        engine.process(signal("a", long, Feed::Live), at(1));
        engine.process(quoted(1.1864, 1.1865, Feed::Live, at(2)), at(2));
        engine.process(quoted(1.18571, 1.18671, feed, at(3)), at(3));
        let shown = engine.publish(at(4)).pop().unwrap();
        let quality = if feed == Feed::Live { Quality::Live } else { Quality::Closed };
        assert_eq!((shown.bid_ask, shown.quality), (Some((1.18571, 1.18671)), quality));
        engine.process(quoted(1.1864, 1.1865, Feed::Live, at(200)), at(200));
        assert_eq!(engine.ended_records().len(), ended, "{feed:?}");
    }
}

#[test]
fn an_untradeable_price_decides_no_pending_signal() {
    let rules = SetupRules { enabled: Vec::new(), ..SetupRules::default() };
    for feed in [Feed::Indicative, Feed::Live] {
        let list = Instruments::documented();
        let mut engine =
            Engine::new(Arc::new(Instruments::new(list).unwrap()), TTL, 5).with_setups(rules.clone(), true);
        let long = SignalDraft { entry_price: Some(1.1865), stop_loss: Some(1.1860), ..draft() };
        engine.process(quoted(1.1870, 1.1871, Feed::Live, at(0)), at(0));
        engine.process(signal("a", long, Feed::Live), at(1));
        let stopped = engine.process(quoted(1.18571, 1.18671, feed, at(3)), at(3));
        // It reaches the entry and closes beyond it within a minute: a tradable price would confirm.
        let mut entered = engine.process(quoted(1.1864, 1.1865, feed, at(4)), at(4)).changes;
        entered.extend(engine.process(quoted(1.1870, 1.1871, feed, at(50)), at(50)).changes);
        entered.extend(engine.process(quoted(1.1870, 1.1871, feed, at(70)), at(70)).changes);
        let ended = stopped.changes.len() + entered.len();
        assert_eq!(ended, usize::from(feed == Feed::Live), "{feed:?}");
        assert_eq!(engine.pending(), usize::from(feed == Feed::Indicative));
    }
}

#[test]
fn an_untradeable_price_makes_no_bar() {
    let mut engine = engine();
    engine.process(quoted(1.1870, 1.1871, Feed::Live, at(0)), at(0));
    engine.changed_bars();
    engine.process(quoted(1.1, 1.3, Feed::Indicative, at(90)), at(90));
    assert_eq!(engine.changed_bars(), []);
}

#[test]
fn an_untradeable_price_turns_stale_in_market_hours() {
    let mut engine = engine();
    engine.process(quoted(1.1870, 1.1871, Feed::Indicative, at(0)), at(0));
    let quality = |engine: &mut Engine, seconds: u64| {
        (0..5u64).find_map(|beat| engine.publish(at(seconds + beat)).pop()).unwrap().quality
    };
    assert_eq!(quality(&mut engine, 1), Quality::Closed);
    assert_eq!(quality(&mut engine, 120), Quality::Stale);
}

#[test]
fn a_price_finer_than_the_grid_is_reported() {
    let mut engine = engine();
    for (symbol, price, published, rounded) in [
        ("SPX500", 6901.25, 6901.25, false),
        ("SPX500", 6901.3, 6901.3, false),
        ("ES", 6901.3, 6901.25, true),
        ("EURUSD", 1.085_123_4, 1.085_12, true),
        ("EURUSD", 1.08 + 0.0012, 1.0812, false),
    ] {
        engine.process(last(symbol, price, Feed::Live, now()), now());
        let update = engine.publish(now()).pop().unwrap();
        assert_eq!(update.price, published, "{symbol} {price}");
        let told = engine.drain_notices().iter().any(|notice| matches!(notice, EngineEvent::Rounded { .. }));
        assert_eq!(told, rounded, "{symbol} {price}");
    }
}
