//! A server on a random walk, and the recomputation of one of its days.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::*;
use crate::domain::{
    Bar, BarInterval, Change, DifferenceKind, DifferenceReason, Feed, Input, Killzone, Now, Quote, SignalState, Symbol,
    Tick, UsedTick, parse_time,
};
use crate::engine::{Engine, PriceRules};

const TTL: Duration = Duration::from_secs(300);
const SPREAD: f64 = 0.0001;
const DAY: &str = "2026-01-14";

fn at(text: &str) -> DateTime<Utc> {
    parse_time(text).unwrap()
}

/// Returns a time of the day that is recomputed.
fn clock(time: &str) -> DateTime<Utc> {
    at(&format!("{DAY}T{time}Z"))
}

fn options() -> RecomputeOptions {
    let rules = SetupRules {
        killzones: Killzone::ALL.to_vec(),
        cool_down: TTL,
        reach_atr: 3.0,
        max_atr: 20.0,
        min_spreads: 1.0,
        min_atr: 0.1,
        ..SetupRules::default()
    };
    RecomputeOptions {
        day: at(&format!("{DAY}T00:00:00Z")).date_naive(),
        instruments: Arc::new(Instruments::new(Instruments::documented()).unwrap()),
        ttl: TTL,
        rules,
        clustered: false,
        now: at("2026-01-15T00:30:00Z"),
    }
}

/// A fixed generator of numbers from 0 to 1.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / f64::from(1 << 24)
    }
}

fn tick(symbol: &str, mid: f64, observed_at: DateTime<Utc>, source: &str) -> Tick {
    Tick {
        symbol: Symbol::new(symbol),
        quote: Quote::BidAsk { bid: mid - SPREAD / 2.0, ask: mid + SPREAD / 2.0 },
        volume: None,
        observed_at,
        feed: Feed::Live,
        source: SourceName::new(source),
    }
}

/// Returns a tick every 15 s of two instruments from a time on until half an hour after the day, where its market is open. Each
/// arrives as it is observed, some a quarter of a second before the end of a minute.
fn walk(from: &str) -> Vec<UsedTick> {
    let mut numbers = Numbers(42);
    let mut prices = [("EURUSD", 1.1), ("GBPUSD", 1.3)];
    let instruments = options().instruments;
    let steps = (at("2026-01-15T00:30:00Z") - at(from)).num_seconds() / 15;
    let mut ticks = Vec::new();
    for step in 1..steps {
        let received_at = at(from) + TimeDelta::milliseconds(step * 15_000 - 250);
        for (symbol, price) in &mut prices {
            *price += (0..4).map(|_| numbers.next() - 0.5).sum::<f64>() * 0.000_12;
            if instruments.get(&Symbol::new(symbol)).unwrap().session.is_open(received_at) {
                ticks.push(UsedTick { tick: tick(symbol, *price, received_at, "oanda"), received_at });
            }
        }
    }
    ticks
}

/// A server: its engine with its timers, what it stored, and the ticks that it kept.
struct Server {
    options: RecomputeOptions,
    engine: Engine,
    began: DateTime<Utc>,
    /// How late its timers are.
    timers: Duration,
    signals: BTreeMap<SignalId, Signal>,
    bars: BTreeMap<(Symbol, DateTime<Utc>), Bar>,
    kept: Vec<KeptEntry>,
}

impl Server {
    fn new(options: &RecomputeOptions, began: DateTime<Utc>) -> Self {
        Self {
            options: options.clone(),
            engine: Self::engine(options),
            began,
            timers: Duration::ZERO,
            signals: BTreeMap::new(),
            bars: BTreeMap::new(),
            kept: vec![KeptEntry::Began(began)],
        }
    }

    fn engine(options: &RecomputeOptions) -> Engine {
        let rules = PriceRules { priority: vec![SourceName::new("oanda")], ..PriceRules::default() };
        let engine = Engine::new(options.instruments.clone(), options.ttl, 5).with_rules(rules);
        engine.with_setups(options.rules.clone(), false).keeping_ticks()
    }

    /// Returns a server over these ticks.
    fn run(options: &RecomputeOptions, ticks: &[UsedTick]) -> Self {
        let mut server = Self::new(options, ticks[0].received_at);
        for used in ticks {
            server.push(used);
        }
        server
    }

    fn push(&mut self, used: &UsedTick) {
        let mono = (used.received_at - self.began).to_std().unwrap();
        let now = Now { wall: used.received_at, mono };
        while let Some(due) = self.engine.next_deadline().filter(|due| *due + self.timers <= mono) {
            let late = due + self.timers;
            let changes = self.engine.expire(Now { wall: self.began + late, mono: late });
            self.store(changes);
        }
        let changes = self.engine.process(Input::Ticks(vec![used.tick.clone()]), now).changes;
        self.store(changes);
        self.kept.extend(self.engine.drain_used_ticks().into_iter().map(KeptEntry::Tick));
        for bar in self.engine.changed_bars() {
            self.bars.insert((bar.symbol.clone(), bar.opened_at), bar);
        }
    }

    fn store(&mut self, changes: Vec<Change>) {
        self.signals
            .extend(changes.into_iter().map(|change| (change.signal.id.clone(), change.signal.as_ref().clone())));
    }

    fn restart(&mut self, began: DateTime<Utc>) {
        self.engine = Self::engine(&self.options);
        self.engine.warm_up(self.bars.values().cloned());
        self.began = began;
        let pending: Vec<_> = self.signals.values().filter(|signal| signal.state.is_pending()).cloned().collect();
        self.engine.restore(pending, Now { wall: began, mono: Duration::ZERO });
        self.kept.push(KeptEntry::Began(began));
    }

    fn recomputed(&self) -> Recomputation {
        let span = self.options.span();
        let kept = self.kept.iter().filter(|entry| span.contains(&entry.at())).cloned();
        self.recomputed_from(kept)
    }

    fn recomputed_from(&self, entries: impl Iterator<Item = KeptEntry>) -> Recomputation {
        self.recomputed_of(entries.map(Ok))
    }

    fn recomputed_of(&self, entries: impl Iterator<Item = io::Result<KeptEntry>>) -> Recomputation {
        let stored = |first| {
            let minutes = self.bars.values().filter(|bar| bar.opened_at < BarInterval::OneMinute.floor(first)).cloned();
            Ok::<_, Infallible>(StoredDay {
                minutes: minutes.collect(),
                signals: self.signals.values().cloned().collect(),
            })
        };
        recompute(&self.options, entries, stored, || true).unwrap().unwrap()
    }
}

/// Asserts that there are differences, all for this reason, and that the first detail has this text.
#[track_caller]
fn assert_reason(result: &Recomputation, reason: DifferenceReason, detail: &str) {
    let others: Vec<_> = result.differences.iter().filter(|it| it.reason != reason).collect();
    assert!(others.is_empty(), "{others:#?}");
    let total = result.differences.len() as u64;
    assert_eq!(result.counts, BTreeMap::from([(reason, total)]));
    assert!(total > 0, "no difference");
    assert!(result.differences[0].detail.contains(detail), "{}", result.differences[0].detail);
}

#[test]
fn a_steady_server_equals_its_backtest() {
    let ticks = walk("2026-01-12T22:00:00Z");
    for timers in [0, 5] {
        let mut server = Server::new(&options(), ticks[0].received_at);
        server.timers = Duration::from_millis(timers);
        for used in &ticks {
            server.push(used);
        }
        let result = server.recomputed();
        assert!(result.live >= 12 && result.recomputed == result.live, "{result:?}");
        assert_eq!((result.differences, result.problem), (Vec::new(), None));
        let confirmed = server.signals.values().filter(|signal| signal.state == SignalState::Confirmed).count();
        assert!(confirmed > 0 && confirmed < server.signals.len(), "{confirmed}");
    }
}

#[test]
fn one_day_before_replaces_a_long_run() {
    let server = Server::run(&options(), &walk("2026-01-05T00:00:00Z"));
    let result = server.recomputed();
    assert!(result.live >= 12, "{result:?}");
    assert_eq!((result.differences, result.problem), (Vec::new(), None));
}

/// Returns the ticks of [`walk`], each 20 to 400 ms late.
fn late() -> Vec<UsedTick> {
    let mut numbers = Numbers(7);
    let mut ticks = walk("2026-01-13T16:00:00Z");
    for used in &mut ticks {
        used.received_at += TimeDelta::milliseconds(20 + (numbers.next() * 380.0) as i64);
    }
    ticks.sort_by_key(|used| used.received_at);
    ticks
}

#[test]
fn latency_alone_is_late_ticks() {
    let result = Server::run(&options(), &late()).recomputed();
    assert_reason(&result, DifferenceReason::LateTick, " later, at 2026-01-14T");
    assert!(
        result.differences.iter().all(|it| it.detail.contains(" ms later") && it.detail.contains("in another minute"))
    );
    assert!(result.live > result.differences.len() as u64, "most are the same");
}

#[test]
fn times_of_wrong_clocks_do_not_count() {
    let ticks = walk("2026-01-13T16:00:00Z").into_iter().enumerate().map(|(n, mut used)| {
        // One source has its clock in another time zone, one is delayed by its provider.
        match n % 4 {
            0 => used.tick.observed_at += TimeDelta::hours(2),
            1 => (used.tick.observed_at, used.tick.feed) = (used.received_at - TimeDelta::minutes(3), Feed::Delayed),
            _ => {}
        }
        used
    });
    let result = Server::run(&options(), &ticks.collect::<Vec<_>>()).recomputed();
    assert!(result.live >= 12, "{result:?}");
    assert_eq!(result.differences, []);
}

#[test]
fn a_new_engine_is_a_restart() {
    let ticks = walk("2026-01-13T16:00:00Z");
    let mut server = Server::new(&options(), ticks[0].received_at);
    // In the life of every signal: that its entry was traded is forgotten.
    let mut begins = BTreeSet::new();
    for used in &ticks {
        let pending = server.signals.values().filter(|signal| signal.state.is_pending());
        let began = pending.map(|signal| signal.accepted_at + TimeDelta::seconds(130)).min();
        if let Some(began) = began.filter(|began| used.received_at > *began && begins.insert(*began)) {
            server.restart(began);
        }
        server.push(used);
    }
    assert_reason(&server.recomputed(), DifferenceReason::Restart, "a server began at 2026-01-14T");
}

/// Returns the entries of a server without the ticks of twenty minutes.
fn without_some(server: &Server) -> impl Iterator<Item = KeptEntry> {
    let hole = clock("09:00:00")..clock("09:20:00");
    server.kept.iter().filter(move |entry| !hole.contains(&entry.at())).cloned()
}

#[test]
fn missing_ticks_are_lost_or_a_gap() {
    let server = Server::run(&options(), &walk("2026-01-13T16:00:00Z"));
    let lost = KeptEntry::Lost(clock("09:00:00"), 160);
    let (before, after): (Vec<_>, Vec<_>) = without_some(&server).partition(|entry| entry.at() < lost.at());
    let result = server.recomputed_from(before.into_iter().chain([lost]).chain(after));
    assert_reason(
        &result,
        DifferenceReason::LostTicks,
        "160 ticks could not be kept, the first at 2026-01-14T09:00:00.000Z",
    );
    let result = server.recomputed_from(without_some(&server));
    assert_reason(&result, DifferenceReason::Gap, "had no prices for 20 min, from 2026-01-14T08:59:59.750Z");
}

#[test]
fn old_times_of_another_source_are_a_failover() {
    let mut ticks = Vec::new();
    for used in walk("2026-01-13T16:00:00Z") {
        let other = UsedTick { received_at: used.received_at + TimeDelta::seconds(4), ..used.clone() };
        let minute = used.received_at.timestamp() / 60 % 60;
        let price = used.tick.quote.mid() + 0.0006;
        let mut tick = tick(used.tick.symbol.as_str(), price, other.received_at, "binance");
        // The first source is silent for ten minutes of each hour. The other one then takes over with an older price.
        if minute == 20 && used.received_at.timestamp() % 60 < 45 {
            tick.observed_at -= TimeDelta::seconds(100);
        }
        if !(20..30).contains(&minute) {
            ticks.push(used);
        }
        ticks.push(UsedTick { tick, ..other });
    }
    ticks.sort_by_key(|used| used.received_at);
    let server = Server::run(&options(), &ticks);
    let result = server.recomputed();
    assert_reason(&result, DifferenceReason::Failover, "changed from oanda to binance at 2026-01-14T");
    assert!(
        result.differences[0].detail.ends_with("those of binance were up to 81.0 s older than the last one of oanda"),
        "{}",
        result.differences[0].detail
    );
}

#[test]
fn changed_signals_are_unexplained() {
    let mut server = Server::run(&options(), &walk("2026-01-13T16:00:00Z"));
    let day = options().of_day();
    let ids: Vec<_> =
        server.signals.values().filter(|it| day.contains(&it.entry_time)).map(|it| it.id.clone()).collect();
    server.signals.remove(&ids[0]);
    server.signals.get_mut(&ids[1]).unwrap().entry_price = Some(1.0);
    server.signals.get_mut(&ids[2]).unwrap().state = SignalState::Invalidated(crate::domain::Invalidation::MANUAL);
    let invented = Signal { id: SignalId::new("invented").unwrap(), ..server.signals[&ids[3]].clone() };
    server.signals.insert(invented.id.clone(), invented);
    let result = server.recomputed();
    assert_reason(&result, DifferenceReason::Unexplained, "were the settings of the setups changed?");
    let kind = |id: &SignalId| result.differences.iter().find(|it| it.signal == *id).map(|it| it.kind);
    let kinds = [&ids[0], &ids[1], &ids[2], &SignalId::new("invented").unwrap(), &ids[3]].map(kind);
    assert_eq!(
        kinds,
        [
            Some(DifferenceKind::OnlyRecomputed),
            Some(DifferenceKind::Content),
            Some(DifferenceKind::End),
            Some(DifferenceKind::OnlyLive),
            None
        ]
    );
    assert!(
        result.differences.is_sorted_by_key(|it| it.live.as_ref().or(it.recomputed.as_ref()).unwrap().published_at)
    );
}

#[test]
fn signals_before_the_first_tick_are_left_out() {
    let server = Server::run(&options(), &walk("2026-01-13T16:00:00Z"));
    let noon = clock("12:00:00");
    let began = KeptEntry::Began(noon);
    let entries = std::iter::once(began).chain(server.kept.iter().filter(|entry| entry.at() >= noon).cloned());
    let result = server.recomputed_from(entries);
    let whole = server.recomputed().live;
    assert!(result.live > 0 && result.live < whole);
    let problem = format!("ticks are kept since 2026-01-14T12:00:00.000Z; {} earlier signals", whole - result.live);
    assert!(result.problem.unwrap().starts_with(&problem));
    let nothing = server.recomputed_from(std::iter::empty());
    assert_eq!((nothing.live, nothing.ticks, nothing.differences.len()), (whole, 0, 0));
    assert_eq!(nothing.problem.as_deref(), Some("no ticks of this day are kept here"));
}

#[test]
fn signals_of_other_prices_are_left_out() {
    let mut server = Server::run(&options(), &walk("2026-01-13T16:00:00Z"));
    let gold = server.signals.values().find(|it| it.entry_time > clock("03:00:00")).unwrap().clone();
    let gold = Signal { id: SignalId::new("gold").unwrap(), symbol: Symbol::new("XAUUSD"), ..gold };
    server.signals.insert(gold.id.clone(), gold);
    assert_reason(&server.recomputed(), DifferenceReason::Gap, "no price of XAUUSD is kept after");
    server.options.clustered = true;
    let result = server.recomputed();
    assert_eq!(result.differences, []);
    let problem = "1 signals were published while another node wrote, and are not compared";
    assert_eq!(result.problem.as_deref(), Some(problem));
    (server.options.clustered, server.options.rules.in_simulated_prices) = (false, true);
    let problem = server.recomputed().problem.unwrap();
    assert_eq!(problem, "1 signals were made of simulated prices, and are not compared");
}

#[test]
fn an_unreadable_file_is_a_problem() {
    let server = Server::run(&options(), &walk("2026-01-13T16:00:00Z"));
    let (before, after): (Vec<_>, Vec<_>) = without_some(&server).partition(|entry| entry.at() < clock("09:00:00"));
    let broken = std::iter::once_with(|| Err(io::Error::other("a.gz: corrupt")));
    let entries = before.into_iter().map(Ok).chain(broken).chain(after.into_iter().map(Ok));
    let result = server.recomputed_of(entries);
    assert_reason(&result, DifferenceReason::LostTicks, "kept ticks after 2026-01-14T08:59:59.750Z cannot be read");
    assert_eq!(result.problem.as_deref(), Some("some kept ticks cannot be read: a.gz: corrupt"));
}

#[test]
fn a_recomputation_can_be_stopped() {
    let server = Server::run(&options(), &walk("2026-01-14T00:00:00Z"));
    let stored = |_| Ok::<_, Infallible>(StoredDay::default());
    let entries = server.kept.iter().cloned().map(Ok);
    assert_eq!(recompute(&options(), entries, stored, || false).unwrap(), None);
}
