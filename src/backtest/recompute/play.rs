//! Plays kept ticks to engines, each in an order of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::RecomputeOptions;
use crate::domain::{Bar, Feed, Now, Signal, SignalId, SourceName, Symbol, Tick, UsedTick};
use crate::engine::Engine;

/// A tick counts at the time at which it was observed when that is at most this far from its arrival; otherwise the clock of
/// its source is wrong, and it counts at its arrival.
pub(super) const MAX_SHIFT: TimeDelta = TimeDelta::minutes(5);
/// Maximum number of ticks that wait for their turn. Beyond it the earliest is played before later arrivals can precede it.
const MAX_WAITING: usize = 250_000;
/// The memory of bars, notices and records is freed after this number of ticks.
const TICKS_PER_DRAIN: u32 = 1_024;
/// The monotonic clock of a play begins this long before the first tick, which may have been observed before it arrived.
const LEAD: TimeDelta = TimeDelta::hours(1);

/// Returns the time at which a backtest over a recording plays the tick.
pub(super) fn observed_at(used: &UsedTick) -> DateTime<Utc> {
    let UsedTick { tick, received_at } = used;
    let is_plausible = (*received_at - tick.observed_at).abs() <= MAX_SHIFT;
    if tick.feed == Feed::Delayed || !is_plausible { *received_at } else { tick.observed_at }
}

/// Returns the tick as all plays get it. It was accepted live, so that the rules for jumps and for the choice of the source
/// do not judge it again: recorded prices of one source may jump.
pub(super) fn as_recorded(tick: &Tick, source: &SourceName) -> Tick {
    Tick { feed: Feed::Replayed, source: source.clone(), ..tick.clone() }
}

/// An engine, and the signals of setups that it published.
pub(super) struct Play {
    engine: Engine,
    /// The zero of the monotonic clock.
    began: DateTime<Utc>,
    mono: Duration,
    undrained: u32,
    /// The latest state of each.
    signals: HashMap<SignalId, Arc<Signal>>,
}

impl Play {
    /// Returns an engine that knows the past minutes; its first tick arrived at `first`.
    pub(super) fn new(options: &RecomputeOptions, minutes: &[Bar], first: DateTime<Utc>) -> Self {
        let engine = Engine::new(options.instruments.clone(), options.ttl, 1).with_setups(options.rules.clone(), false);
        let began = first - LEAD;
        let mut play = Self { engine, began, mono: Duration::ZERO, undrained: 0, signals: HashMap::new() };
        play.engine.warm_up(minutes.iter().cloned());
        play
    }

    /// Plays a tick at a time. The wall clock may go back, as that of a server may; the monotonic one stops meanwhile.
    pub(super) fn push(&mut self, tick: &Tick, at: DateTime<Utc>) {
        let now = self.now(at);
        let changes = self.engine.replay(tick, now);
        self.signals.extend(changes.into_iter().map(|change| (change.signal.id.clone(), change.signal)));
        self.undrained += 1;
        if self.undrained >= TICKS_PER_DRAIN {
            self.undrained = 0;
            self.engine.changed_bars();
            self.engine.drain_notices();
            self.engine.ended_records();
        }
    }

    /// Ends what is due by `until`, and returns the last state of each signal.
    pub(super) fn finish(mut self, until: DateTime<Utc>) -> HashMap<SignalId, Arc<Signal>> {
        let now = self.now(until);
        let changes = self.engine.expire(now);
        self.signals.extend(changes.into_iter().map(|change| (change.signal.id.clone(), change.signal)));
        self.signals
    }

    fn now(&mut self, wall: DateTime<Utc>) -> Now {
        self.mono = self.mono.max((wall - self.began).to_std().unwrap_or_default());
        Now { wall, mono: self.mono }
    }
}

/// Puts ticks in the order of their times.
#[derive(Debug, Default)]
pub(super) struct Reorder {
    waiting: BTreeMap<(DateTime<Utc>, u64), Tick>,
    next: u64,
    /// The time of the last tick that had its turn; no later one is dated before it.
    last: DateTime<Utc>,
}

impl Reorder {
    /// Adds a tick that counts at `at` and arrived at `received_at`, and plays those whose turn has come.
    pub(super) fn push(&mut self, tick: Tick, at: DateTime<Utc>, received_at: DateTime<Utc>, play: &mut Play) {
        self.waiting.insert((at, self.next), tick);
        self.next += 1;
        while let Some(first) = self.waiting.first_entry()
            && (first.key().0 < received_at - MAX_SHIFT || self.waiting.len() > MAX_WAITING)
        {
            self.play_first(play);
        }
    }

    /// Plays all that wait.
    pub(super) fn finish(mut self, play: &mut Play) {
        while !self.waiting.is_empty() {
            self.play_first(play);
        }
    }

    fn play_first(&mut self, play: &mut Play) {
        if let Some(((at, _), tick)) = self.waiting.pop_first() {
            self.last = self.last.max(at);
            play.push(&tick, self.last);
        }
    }
}

/// Dates ticks as [`observed_at`], except that no tick of a source is dated before the source took the place of another one.
#[derive(Debug, Default)]
pub(super) struct Unmixed {
    symbols: BTreeMap<Symbol, Segment>,
}

/// The ticks of one source until another one takes its place.
#[derive(Debug)]
struct Segment {
    source: SourceName,
    /// When the source took over.
    not_before: DateTime<Utc>,
    /// The latest time of a tick of the previous source.
    previous: DateTime<Utc>,
    /// The latest time of a tick of this source.
    last: DateTime<Utc>,
}

impl Unmixed {
    /// Returns the time of a tick, and how far it was observed before the last tick of the previous source.
    pub(super) fn date(&mut self, used: &UsedTick) -> (DateTime<Utc>, TimeDelta) {
        let (tick, at, never) = (&used.tick, observed_at(used), DateTime::<Utc>::MIN_UTC);
        let new = || Segment { source: tick.source.clone(), not_before: never, previous: never, last: never };
        if !self.symbols.contains_key(&tick.symbol) {
            self.symbols.insert(tick.symbol.clone(), new());
        }
        let Some(segment) = self.symbols.get_mut(&tick.symbol) else { return (at, TimeDelta::zero()) };
        if segment.source != tick.source {
            *segment = Segment { not_before: used.received_at, previous: segment.last, ..new() };
        }
        segment.last = segment.last.max(at);
        (at.max(segment.not_before), (segment.previous - at).max(TimeDelta::zero()))
    }
}

/// The three orders in which ticks are played.
pub(super) struct Plays {
    observed: Play,
    arrived: Play,
    unmixed: Play,
    by_time: Reorder,
    by_time_unmixed: Reorder,
    dates: Unmixed,
    source: SourceName,
}

/// The signals of the three orders.
pub(super) struct Played {
    /// By the times at which the ticks were observed: what a backtest over a recording of them has.
    pub(super) observed: HashMap<SignalId, Arc<Signal>>,
    /// By their arrival: what the server had to decide by.
    pub(super) arrived: HashMap<SignalId, Arc<Signal>>,
    /// By the times at which they were observed, but not before their source took over.
    pub(super) unmixed: HashMap<SignalId, Arc<Signal>>,
}

impl Plays {
    pub(super) fn new(options: &RecomputeOptions, minutes: &[Bar], first: DateTime<Utc>) -> Self {
        let play = || Play::new(options, minutes, first);
        Self {
            observed: play(),
            arrived: play(),
            unmixed: play(),
            by_time: Reorder::default(),
            by_time_unmixed: Reorder::default(),
            dates: Unmixed::default(),
            source: SourceName::new("kept"),
        }
    }

    /// Plays the next tick in the order of arrival. Returns how far it was observed before the last tick of the source whose place
    /// its source took.
    pub(super) fn push(&mut self, used: &UsedTick) -> TimeDelta {
        let (at, received_at) = (observed_at(used), used.received_at);
        let (dated, overlap) = self.dates.date(used);
        let tick = as_recorded(&used.tick, &self.source);
        self.arrived.push(&tick, received_at);
        self.by_time_unmixed.push(tick.clone(), dated, received_at, &mut self.unmixed);
        self.by_time.push(tick, at, received_at, &mut self.observed);
        overlap
    }

    pub(super) fn finish(mut self, until: DateTime<Utc>) -> Played {
        self.by_time.finish(&mut self.observed);
        self.by_time_unmixed.finish(&mut self.unmixed);
        Played {
            observed: self.observed.finish(until),
            arrived: self.arrived.finish(until),
            unmixed: self.unmixed.finish(until),
        }
    }
}

impl Played {
    /// Returns the ids of all signals.
    pub(super) fn ids(&self) -> BTreeSet<SignalId> {
        [&self.observed, &self.arrived, &self.unmixed].into_iter().flat_map(|signals| signals.keys()).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Instruments, Quote, SetupRules, parse_time};

    fn at(seconds: i64) -> DateTime<Utc> {
        parse_time("2026-01-14T10:00:00Z").unwrap() + TimeDelta::seconds(seconds)
    }

    fn play() -> Play {
        let options = RecomputeOptions {
            day: at(0).date_naive(),
            instruments: Arc::new(Instruments::new(Instruments::documented()).unwrap()),
            ttl: Duration::from_mins(5),
            rules: SetupRules::default(),
            clustered: false,
            now: at(0),
        };
        let mut play = Play::new(&options, &[], at(0));
        play.engine = play.engine.keeping_ticks();
        play
    }

    fn used(price: f64, observed: i64, received: i64, feed: Feed, source: &str) -> UsedTick {
        let (symbol, source, quote) = (Symbol::new("EURUSD"), SourceName::new(source), Quote::Last(price));
        let tick = Tick { symbol, quote, volume: None, observed_at: at(observed), feed, source };
        UsedTick { tick, received_at: at(received) }
    }

    #[test]
    fn no_kept_tick_is_judged_again() {
        let (mut play, source) = (play(), SourceName::new("kept"));
        let ticks = [
            used(1.1, 0, 0, Feed::Live, "oanda"),
            used(11.0, 1, 1, Feed::Live, "oanda"),
            used(1.2, 1, 1, Feed::Live, "binance"),
            used(1.1, -7_200, 2, Feed::Delayed, "push"),
            used(1.3, 3, 3, Feed::Replayed, "replay"),
            used(1.3, 3, 3, Feed::Live, "replay"),
            used(1.1, 900_000, 900_000, Feed::Live, "oanda"),
        ];
        for used in &ticks {
            play.push(&as_recorded(&used.tick, &source), used.received_at);
        }
        assert_eq!(play.engine.drain_used_ticks().len(), ticks.len());
    }

    #[test]
    fn ticks_are_played_by_their_times() {
        let (mut play, mut reorder) = (play(), Reorder::default());
        let ticks = [(60, 60), (50, 61), (70, 75), (70, 76), (-500, 80), (65, 364)];
        for (observed, received) in ticks {
            let used = used(1.1, observed, received, Feed::Live, "oanda");
            reorder.push(used.tick.clone(), observed_at(&used), used.received_at, &mut play);
        }
        assert_eq!(play.engine.drain_used_ticks().len(), 2, "those that nothing can precede any more");
        reorder.finish(&mut play);
        let played: Vec<_> = play.engine.drain_used_ticks().iter().map(|it| it.received_at).collect();
        assert_eq!(played, [65, 70, 70, 80].map(at));
    }

    #[test]
    fn a_source_counts_from_its_takeover_on() {
        let mut dates = Unmixed::default();
        let ticks = [
            (("a", 10, 10), (10, 0)),
            (("a", 8, 11), (8, 0)),
            (("b", 5, 12), (12, 5)),
            (("b", 11, 13), (12, 0)),
            (("b", 14, 15), (14, 0)),
            (("a", 9, 16), (16, 5)),
            (("a", 17, 18), (17, 0)),
        ];
        for ((source, observed, received), (dated, overlap)) in ticks {
            let used = used(1.1, observed, received, Feed::Live, source);
            assert_eq!(dates.date(&used), (at(dated), TimeDelta::seconds(overlap)), "{observed}");
        }
    }
}
