use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::domain::{
    Audience, Direction, Instruments, MessageType, Now, Quality, RelayedMessage, Signal, SignalDraft, SignalFilter,
    SignalId, SignalState, SourceName, parse_time,
};

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new().unwrap())
}

fn hub() -> Hub {
    Hub::new(Position { epoch: "e".into(), seq: 0 }, Duration::from_secs(600), 50, metrics())
}

fn start() -> DateTime<Utc> {
    parse_time("2026-01-14T15:00:00Z").unwrap()
}

fn after(seconds: u64) -> Now {
    Now { wall: start(), mono: Duration::ZERO }.plus(Duration::from_secs(seconds))
}

fn price(symbol: &str, price: f64) -> Arc<Envelope> {
    Arc::new(Envelope::unplaced(Event::Price(Arc::new(PriceUpdate {
        symbol: Symbol::new(symbol),
        price,
        timestamp: start(),
        change: 0.0,
        change_percent: 0.0,
        volume: None,
        bid_ask: None,
        day: None,
        quality: Quality::Live,
        source: SourceName::new("push"),
    }))))
}

fn signal(id: &str, seq: u64, state: SignalState) -> Arc<Envelope> {
    let instrument = Instruments::documented().swap_remove(0);
    let draft = SignalDraft { direction: Some(Direction::Long), ..SignalDraft::default() };
    let now = Now { wall: start(), mono: Duration::ZERO };
    let source = SourceName::new("push");
    let signal =
        Signal::create(SignalId::new(id).unwrap(), &draft, &instrument, source, now, Duration::from_secs(300)).unwrap();
    let signal = Signal { state, ..signal };
    Arc::new(Envelope::placed(Event::Signal(Arc::new(signal)), Position { epoch: "e".into(), seq }))
}

fn offer(outbox: &Outbox, events: &[Arc<Envelope>]) {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let first = NUMBER.fetch_add(events.len() as u64, Ordering::Relaxed);
    outbox.offer(&(first..).zip(events.iter().cloned()).collect::<Vec<_>>());
}

fn seqs(publications: &[Arc<Envelope>]) -> Vec<u64> {
    publications.iter().filter_map(|publication| publication.seq()).collect()
}

#[test]
fn a_snapshot_has_each_signal_once() {
    let hub = hub();
    hub.publish(&[signal("a", 1, SignalState::Pending), signal("b", 2, SignalState::Pending)]);
    hub.publish(&[signal("a", 3, SignalState::Confirmed)]);
    assert_eq!(hub.with_snapshot(|present| seqs(&present.signals(|_| true))), [2, 3]);
    assert_eq!(hub.position().to_string(), "e:3");
}

#[test]
fn only_ended_signals_leave_the_snapshot() {
    let hub = hub();
    hub.publish(&[signal("a", 1, SignalState::Confirmed), signal("b", 2, SignalState::Pending)]);
    hub.evict_expired(after(0));
    hub.evict_expired(after(599));
    assert_eq!(hub.with_snapshot(|present| seqs(&present.signals(|_| true))), [1, 2]);
    hub.evict_expired(after(600));
    assert_eq!(hub.with_snapshot(|present| seqs(&present.signals(|_| true))), [2]);
}

#[test]
fn a_snapshot_knows_how_old_changes_are() {
    let hub = hub();
    let Ok(old) = Arc::try_unwrap(signal("old", 1, SignalState::Confirmed)) else { panic!() };
    hub.restore([old], &PrunedMessages::default());
    // The process started four minutes after the change in the log.
    let running = |seconds: u64| Now { mono: Duration::from_secs(seconds), ..after(240 + seconds) };
    hub.evict_expired(running(0));
    hub.publish(&[signal("new", 2, SignalState::Confirmed)]);
    let ages = || {
        let ages = std::cell::RefCell::new(Vec::new());
        let note = |_: &Signal, age: Duration| {
            ages.borrow_mut().push(age.as_secs());
            true
        };
        hub.with_snapshot(|present| present.signals_by_age(note));
        ages.into_inner()
    };
    assert_eq!(ages(), [240, 0]);
    hub.evict_expired(running(10));
    hub.evict_expired(running(70));
    assert_eq!(ages(), [310, 60]);
}

#[test]
fn clock_jumps_do_not_change_the_snapshot() {
    for jump in [3600, -7200] {
        let hub = hub();
        hub.publish(&[signal("a", 1, SignalState::Confirmed)]);
        let jumped = |seconds| Now { wall: after(seconds).wall + TimeDelta::seconds(jump), ..after(seconds) };
        hub.evict_expired(after(0));
        for (seconds, seqs_then) in [(599, vec![1]), (600, vec![])] {
            hub.evict_expired(jumped(seconds));
            assert_eq!(hub.with_snapshot(|present| seqs(&present.signals(|_| true))), seqs_then, "{jump} {seconds}");
        }
    }
}

#[test]
fn the_wall_clock_ages_signals_from_the_log() {
    let hub = hub();
    let Ok(old) = Arc::try_unwrap(signal("old", 5, SignalState::Confirmed)) else { panic!() };
    hub.restore([old], &PrunedMessages::default());
    // The process started four minutes after it.
    let running = |seconds: u64| Now { mono: Duration::from_secs(seconds), ..after(240 + seconds) };
    for (seconds, expected) in [(0, vec![5]), (359, vec![5]), (360, vec![])] {
        hub.evict_expired(running(seconds));
        assert_eq!(hub.with_snapshot(|present| seqs(&present.signals(|_| true))), expected, "{seconds}");
    }
}

#[test]
fn a_snapshot_is_bounded_to_the_latest() {
    let hub = hub();
    let many: Vec<_> = (1..=500).map(|seq| signal(&seq.to_string(), seq, SignalState::Pending)).collect();
    hub.publish(&many);
    let snapshot = hub.with_snapshot(|present| seqs(&present.signals(|_| true)));
    assert_eq!(snapshot, (301..=500).collect::<Vec<_>>());
}

#[test]
fn the_tail_answers_only_when_complete() {
    let hub = Hub::new(Position { epoch: "e".into(), seq: 7 }, Duration::from_secs(600), 50, metrics());
    let Ok(old) = Arc::try_unwrap(signal("old", 5, SignalState::Pending)) else { panic!() };
    hub.restore([old], &PrunedMessages::default());
    assert_eq!(hub.with_snapshot(|present| present.after(6).map(|events| seqs(&events))), None, "nobody saw 7");
    assert_eq!(hub.with_snapshot(|present| present.after(7).map(|events| seqs(&events))), Some(vec![]));
    hub.publish(&[signal("a", 8, SignalState::Pending), signal("b", 9, SignalState::Pending)]);
    assert_eq!(hub.with_snapshot(|present| present.after(7).map(|events| seqs(&events))), Some(vec![8, 9]));
    assert_eq!(hub.with_snapshot(|present| present.after(8).map(|events| seqs(&events))), Some(vec![9]));
    assert_eq!(hub.with_snapshot(|present| present.after(6).map(|events| seqs(&events))), None);
}

#[test]
fn a_slow_client_loses_only_outdated_prices() {
    let outbox = Outbox::new(metrics());
    outbox.set_topics(Topics::market());
    for value in [1.0, 2.0, 3.0] {
        offer(&outbox, &[price("EURUSD", value), price("GBPUSD", value)]);
    }
    offer(&outbox, &[signal("a", 1, SignalState::Pending), signal("a", 2, SignalState::Confirmed)]);
    let batch = outbox.drain().unwrap();
    let prices: Vec<_> = batch
        .states
        .iter()
        .map(|publication| match publication.event() {
            Event::Price(update) => (update.symbol.as_str().to_owned(), update.price),
            _ => panic!(),
        })
        .collect();
    assert_eq!(prices, [("EURUSD".to_owned(), 3.0), ("GBPUSD".to_owned(), 3.0)]);
    assert_eq!(batch.ordered.len(), 2);
}

#[test]
fn a_client_too_slow_for_signals_is_closed() {
    let outbox = Outbox::new(metrics());
    outbox.set_topics(Topics::market());
    for seq in 1..5000 {
        offer(&outbox, &[signal("a", seq, SignalState::Pending)]);
    }
    assert_eq!(outbox.drain().unwrap_err().waiting, 2048);
}

#[test]
fn a_client_gets_only_what_it_subscribed_to() {
    let outbox = Outbox::new(metrics());
    let only = Selection::Only([Symbol::new("GBPUSD")].into());
    outbox.set_topics(Topics { prices: only, signals: Selection::None, ..Topics::default() });
    offer(&outbox, &[price("EURUSD", 1.0), signal("a", 1, SignalState::Pending)]);
    assert!(outbox.drain().unwrap().is_empty());
    offer(&outbox, &[price("GBPUSD", 1.0)]);
    assert_eq!(outbox.drain().unwrap().states.len(), 1);
}

#[test]
fn a_position_follows_what_filters_leave_out() {
    let mut filter = SignalFilter::default();
    filter.set("statuses", &"confirmed".into()).unwrap();
    let filtered = Topics { filter: Some(Arc::new(filter)), ..Topics::market() };
    let position = Arc::new(Envelope::unplaced(Event::Cursor(Position { epoch: "e".into(), seq: 3 })));
    let events = [
        signal("a", 1, SignalState::Pending),
        signal("b", 2, SignalState::Confirmed),
        signal("c", 3, SignalState::Pending),
        position,
    ];
    for (topics, expected) in [
        (filtered.clone(), vec!["signal", "cursor"]),
        (Topics { signals: Selection::None, ..filtered }, vec![]),
        (Topics::market(), vec!["signal"; 3]),
    ] {
        let outbox = Outbox::new(metrics());
        outbox.set_topics(topics);
        offer(&outbox, &events);
        let kinds = outbox.drain().unwrap().ordered.into_iter().map(|ordered| match ordered {
            Ordered::Event(envelope) => envelope.event().kind(),
            other => panic!("{other:?}"),
        });
        assert_eq!(kinds.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn the_last_filters_hold_for_all_signals() {
    let filter = |value: &str| {
        let mut filter = SignalFilter::default();
        filter.set("sources", &value.into()).unwrap();
        Some(Arc::new(filter))
    };
    let only = |filter| Topics { signals: Selection::All, filter, ..Topics::default() };
    let (a, b, none) = (only(filter("a")), only(filter("b")), only(None));
    assert_eq!((a.with(&b).filter, a.with(&none).filter), (filter("b"), None));
    let clock = Topics { clock: true, ..Topics::default() };
    let both = a.with(&clock);
    assert_eq!((&both.filter, both.clock), (&filter("a"), true));
    assert_eq!(both.without(&none), clock);
    assert!(a.refilters(&b) && a.refilters(&none) && !a.refilters(&a) && !a.refilters(&clock));
}

#[test]
fn selections_add_and_subtract() {
    let only = |symbols: &[&str]| Selection::Only(symbols.iter().map(|symbol| Symbol::new(symbol)).collect());
    assert_eq!(only(&["A"]).with(&only(&["B"])), only(&["A", "B"]));
    assert_eq!(only(&["A"]).with(&Selection::All), Selection::All);
    assert_eq!(only(&["A", "B"]).without(&only(&["A"])), only(&["B"]));
    assert_eq!(only(&["A"]).without(&only(&["A"])), Selection::None);
    assert_eq!(Selection::All.without(&only(&["A"])), Selection::All);
    assert_eq!(only(&["A"]).without(&Selection::All), Selection::None);
}

fn message(seq: u64, audience: Audience) -> Arc<Envelope> {
    let (kind, data) = (MessageType::ordered("wallet"), "{}".into());
    let published = RelayedMessage { seq, kind, audience, key: "".into(), data, at: start() };
    Arc::new(Envelope::unplaced(Event::RelayedMessage(Arc::new(published))))
}

#[test]
fn the_longest_silent_user_is_dropped_first() {
    let hub = hub();
    let user = |number: u64| Audience::User(number.to_string().into());
    hub.publish(&[message(1, Audience::Admin), message(2, Audience::All)]);
    let many: Vec<_> = (3..=20_004).map(|seq| message(seq, user(seq))).collect();
    hub.publish(&many);
    let of = |audience: &Audience, seq| {
        let (messages, whole) = hub.with_snapshot(|present| present.messages_after(&Audiences::only(audience), seq));
        (messages.len(), whole)
    };
    assert_eq!((of(&user(3), 0), of(&user(4), 0), of(&user(5), 0)), ((0, false), (0, false), (1, true)));
    assert_eq!(of(&user(99_999), 0), (0, false), "somebody who is not known may have been forgotten");
    assert_eq!(of(&user(99_999), 4), (0, true));
    assert_eq!((of(&Audience::Admin, 0), of(&Audience::All, 0)), ((1, true), (1, true)));
}

#[test]
fn lost_messages_of_a_user_are_reported() {
    let hub = hub();
    let user = |name: &str| Audience::User(name.into());
    let forgotten = PrunedMessages { of: vec![(user("b"), 30)], users: 20 };
    hub.restore([Envelope::unplaced(message(25, user("a")).event().clone())], &forgotten);
    hub.publish(&[message(40, user("b")), message(41, user("new"))]);
    let of = |name: &str, seq| {
        let (messages, whole) = hub.with_snapshot(|present| present.messages_after(&Audiences::only(&user(name)), seq));
        (messages.len(), whole)
    };
    assert_eq!((of("a", 19), of("a", 20), of("a", 25)), ((1, false), (1, true), (0, true)));
    assert_eq!((of("b", 29), of("b", 30)), ((1, false), (1, true)));
    assert_eq!((of("new", 19), of("new", 20)), ((1, false), (1, true)));
    assert_eq!((of("nobody", 19), of("nobody", 20)), ((0, false), (0, true)));
    assert_eq!(hub.with_snapshot(Snapshot::last_message), 41);
}

#[test]
fn a_returning_dropped_user_is_incomplete() {
    let hub = hub();
    let user = |number: u64| Audience::User(number.to_string().into());
    let many: Vec<_> = (1..=20_001).map(|seq| message(seq, user(seq))).collect();
    hub.publish(&many);
    hub.publish(&[message(30_000, user(1))]);
    let of = |seq| hub.with_snapshot(|present| present.messages_after(&Audiences::only(&user(1)), seq)).1;
    assert_eq!((of(0), of(1)), (false, true));
}

#[tokio::test(start_paused = true)]
async fn a_price_interval_delivers_the_newest_price() {
    let outbox = Outbox::new(metrics());
    outbox.set_topics(Topics::market());
    outbox.set_price_interval(Some(Duration::from_secs(1)));
    let begin = tokio::time::Instant::now();
    let publish = async {
        for number in 1..=25_u32 {
            offer(&outbox, &[price("EURUSD", number.into())]);
            if number == 3 {
                offer(&outbox, &[price("US30", 7.0), signal("s", 1, SignalState::Pending)]);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    };
    let mut told = Vec::new();
    let read = async {
        loop {
            let batch = outbox.due().await.unwrap();
            let at = begin.elapsed().as_millis();
            assert!(batch.ordered.is_empty() || at == 200, "signals never wait");
            for publication in batch.states {
                let Event::Price(update) = publication.event() else { panic!() };
                told.push((update.symbol.to_string(), update.price, at));
            }
        }
    };
    tokio::select! {
        () = publish => {}
        () = read => {}
    }
    let of =
        |symbol: &str| told.iter().filter(|told| told.0 == symbol).map(|told| (told.1, told.2)).collect::<Vec<_>>();
    let euro = of("EURUSD");
    assert!(euro.windows(2).all(|two| two[1].1 - two[0].1 >= 1_000), "{euro:?}");
    assert_eq!((euro.len(), euro[0], euro[3].0), (4, (1.0, 0), 25.0), "{euro:?}");
    assert_eq!(of("US30"), [(7.0, 200)]);
}

const SPACING: Spacing = Spacing { confirmed: Duration::from_millis(5), unconfirmed: Duration::from_millis(25) };

#[tokio::test(start_paused = true)]
async fn spaced_events_leave_one_by_one() {
    let outbox = Outbox::new(metrics());
    outbox.set_topics(Topics::market());
    outbox.set_spacing(SPACING);
    outbox.put((1..=50).map(|seq| signal("s", seq, SignalState::Pending)));
    outbox.answer("pong".into());
    let begin = tokio::time::Instant::now();
    let (mut told, mut answered) = (Vec::new(), None);
    while told.len() < 100 {
        let batch = outbox.due().await.unwrap();
        let at = begin.elapsed();
        if told.len() == 20 {
            // Live events arrive meanwhile, and other items do not wait for them.
            offer(&outbox, &(51..=100).map(|seq| signal("s", seq, SignalState::Pending)).collect::<Vec<_>>());
            offer(&outbox, &[price("EURUSD", 1.0)]);
            let prices = outbox.due().await.unwrap();
            assert_eq!((prices.states.len(), prices.ordered.len(), begin.elapsed()), (1, 0, at));
        }
        for ordered in batch.ordered {
            match ordered {
                Ordered::Event(publication) => told.push((publication.seq().unwrap(), at)),
                Ordered::Frame(_) => answered = Some(told.len()),
                Ordered::Ping(_) => panic!("no ping was put"),
            }
        }
        // After a slow write the time counts from its end.
        let write = if told.len() == 7 { 2 * SPACING.unconfirmed } else { Duration::ZERO };
        tokio::time::sleep(write).await;
        outbox.wrote();
        // Until now the client answered immediately.
        if told.len() < 90 {
            outbox.confirmed();
        }
    }
    assert_eq!(told.iter().map(|told| told.0).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
    let gaps: Vec<_> = told.windows(2).map(|two| two[1].1.checked_sub(two[0].1).unwrap()).collect();
    assert_eq!(
        (gaps[5], gaps[6], gaps[98]),
        (SPACING.confirmed, 2 * SPACING.unconfirmed + SPACING.confirmed, SPACING.unconfirmed)
    );
    assert!(gaps.iter().all(|gap| *gap >= SPACING.confirmed), "{told:?}");
    assert_eq!(answered, Some(50));
}

#[tokio::test(start_paused = true)]
async fn spaced_events_have_a_bound_too() {
    let outbox = Outbox::new(metrics());
    outbox.set_spacing(SPACING);
    outbox.put((1..=3000).map(|seq| signal("s", seq, SignalState::Pending)));
    assert!(outbox.drain().is_err());
}
