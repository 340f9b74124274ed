//! The signal desk: creates trading signals on simulated prices, and ends them according to these prices.
//!
//! Pure, like the market. A long is filled at the ask and ends at the bid, a short the other way round. All distances
//! scale with the current volatility, so a signal lives about as long at noon as at the weekend.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp1};
use serde::{Deserialize, Serialize};

use super::market::{Market, SimulatedMarket};
use crate::domain::{Direction, Invalidation, SignalDraft, SignalId, SignalStatus, Symbol};

/// Largest number of open signals.
const MAX_OPEN: usize = 12;
/// How many signals are created and decided quickly at the start, so that a new dashboard soon shows every state.
const OPENING: u32 = 8;
/// Mean time in seconds until a path leaves the band between stop and confirmation.
const MEAN_LIFE: f64 = 30.0;
/// The same for the first signals.
const OPENING_LIFE: f64 = 14.0;
/// Ratio of the far distance of the band to the near one.
const SKEW: f64 = 3.0;
/// Target share of confirmed signals.
const CONFIRMED: f64 = 0.6;
/// Weight of earlier outcomes when a new one is added.
const MEMORY: f64 = 0.9;
/// Distance of the entry from the price, in standard deviations of one second.
const PULLBACK: f64 = 0.4;

const SETUPS: [&str; 5] = [
    "Simulated: MSS+FVG setup",
    "Simulated: liquidity sweep and FVG",
    "Simulated: BOS with FVG retest",
    "Simulated: CHoCH and order block",
    "Simulated: session high/low sweep, MSS",
];

/// The signal desk and its open signals.
#[derive(Debug)]
pub struct SignalDesk {
    rng: StdRng,
    interval: Duration,
    ttl: Duration,
    /// Seconds until the next signal.
    next_in: f64,
    made: u32,
    /// Weighted count of ended signals, and of the confirmed ones among them.
    ended: (f64, f64),
    open: Vec<Open>,
}

/// A signal that is not decided yet.
#[derive(Debug)]
struct Open {
    id: SignalId,
    /// Index of its instrument in the market.
    instrument: usize,
    levels: SignalLevels,
    filled: bool,
    age: Duration,
}

/// An open signal as it is saved, with its symbol instead of the index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct OpenSignal {
    id: SignalId,
    symbol: Symbol,
    levels: SignalLevels,
    filled: bool,
    age: Duration,
}

/// The deciding prices, all on the instrument's grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SignalLevels {
    direction: Direction,
    entry: f64,
    /// The confirmation price, on the profitable side of the entry.
    confirmed: f64,
    stop: f64,
    /// Approximate probability of confirmation.
    chance: f64,
}

impl SignalDesk {
    /// Creates a desk that makes a signal every `interval` on average (never when it is zero). It drops a signal at the
    /// age `ttl`, because the server has ended it by then.
    ///
    /// The start time is part of the seed: after a restart the desk must not repeat ids that are already in the log.
    pub fn new(seed: u64, started_at: DateTime<Utc>, interval: Duration, ttl: Duration) -> Self {
        let started = started_at.timestamp_millis() as u64;
        let rng = StdRng::seed_from_u64(seed ^ started.rotate_left(20));
        Self { rng, interval, ttl, next_in: 0.0, made: 0, ended: (0.0, 0.0), open: Vec::new() }
    }

    /// Returns the open signals.
    pub(super) fn open_signals(&self, market: &Market) -> Vec<OpenSignal> {
        let open = self.open.iter().map(|open| OpenSignal {
            id: open.id.clone(),
            symbol: market.books()[open.instrument].instrument.symbol.clone(),
            levels: open.levels.clone(),
            filled: open.filled,
            age: open.age,
        });
        open.collect()
    }

    /// Continues with signals that were open `ago`, before a restart, and ends them by price. The log already knows
    /// which of them have ended meanwhile.
    pub(super) fn resume(&mut self, signals: Vec<OpenSignal>, ago: Duration, market: &Market) {
        let place = |symbol: &Symbol| market.books().iter().position(|book| book.instrument.symbol == *symbol);
        let open = signals.into_iter().filter_map(|signal| {
            let OpenSignal { id, symbol, levels, filled, age } = signal;
            let age = age.saturating_add(ago);
            (age < self.ttl).then_some(Open { id, instrument: place(&symbol)?, levels, filled, age })
        });
        self.open = open.take(MAX_OPEN).collect();
    }

    /// Advances by `dt` to `now`, after the market has moved. Returns the changed signals.
    pub fn step(&mut self, market: &Market, now: DateTime<Utc>, dt: Duration) -> Vec<(SignalId, SignalDraft)> {
        let mut changes = self.decide(market, dt);
        if self.interval.is_zero() {
            return changes;
        }
        self.next_in -= dt.as_secs_f64();
        if self.next_in <= 0.0 && self.open.len() < MAX_OPEN && !market.books().is_empty() {
            changes.push(self.make(market, now));
            self.next_in = self.next_interval();
        }
        changes
    }

    fn next_interval(&mut self) -> f64 {
        let mean = self.interval.as_secs_f64();
        if self.made < OPENING {
            return mean / 6.0;
        }
        let draw: f64 = Exp1.sample(&mut self.rng);
        mean * draw.min(3.0)
    }

    /// Ends the open signals that the prices decide.
    fn decide(&mut self, market: &Market, dt: Duration) -> Vec<(SignalId, SignalDraft)> {
        let (ended, ttl) = (&mut self.ended, self.ttl);
        let mut changes = Vec::new();
        self.open.retain_mut(|open| {
            open.age += dt;
            let book = &market.books()[open.instrument];
            open.filled |= open.levels.filled_by(book);
            let end = open.levels.end(book, open.filled);
            if end.is_none() && open.age < ttl {
                return true;
            }
            let good = matches!(end, Some(SignalStatus::Confirmed));
            *ended = (ended.0 * MEMORY + 1.0, ended.1 * MEMORY + f64::from(u8::from(good)));
            if let Some(status) = end {
                let reason = (!good).then_some(Invalidation::STOP_TOUCHED);
                changes.push((open.id.clone(), SignalDraft::ending(status, reason)));
            }
            false
        });
        changes
    }

    fn make(&mut self, market: &Market, now: DateTime<Utc>) -> (SignalId, SignalDraft) {
        let instrument = self.choose(market);
        let book = &market.books()[instrument];
        let direction = if self.rng.random_bool(0.5) { Direction::Long } else { Direction::Short };
        let life = if self.made < OPENING { OPENING_LIFE } else { MEAN_LIFE };
        let levels =
            SignalLevels::around(book, direction, market.volatility(instrument, now), life, self.wants_confirmation());
        let id = SignalId::from(uuid::Builder::from_random_bytes(self.rng.random()).into_uuid());
        let risk = levels.entry - levels.stop;
        let targets = [1.0, 2.0, 3.0].map(|ratio| book.instrument.round(levels.entry + ratio * risk));
        let draft = SignalDraft {
            direction: Some(direction),
            symbol: Some(book.instrument.symbol.clone()),
            entry_time: Some(now),
            entry_price: Some(levels.entry),
            stop_loss: Some(levels.stop),
            take_profits: Some(targets.to_vec()),
            tp_modes: Some(["TP1 30%", "TP2 40%", "Runner 30%"].map(String::from).to_vec()),
            reason: SETUPS.choose(&mut self.rng).map(ToString::to_string),
            confidence: Some(f64::from(self.rng.random_range(55u8..=95)) / 100.0),
            ..SignalDraft::default()
        };
        self.open.push(Open { id: id.clone(), instrument, levels, filled: false, age: Duration::ZERO });
        self.made = self.made.saturating_add(1);
        (id, draft)
    }

    /// Returns one of the instruments with the fewest open signals.
    fn choose(&mut self, market: &Market) -> usize {
        let open = |index: usize| self.open.iter().filter(|open| open.instrument == index).count();
        let counts: Vec<usize> = (0..market.books().len()).map(open).collect();
        let fewest = counts.iter().min().copied().unwrap_or(0);
        let free: Vec<usize> = (0..counts.len()).filter(|index| counts[*index] == fewest).collect();
        free.choose(&mut self.rng).copied().unwrap_or(0)
    }

    /// Returns whether the next signal should favour confirmation, to reach the share [`CONFIRMED`]. The prices still
    /// decide; the desk only chooses which end of the band is nearer.
    fn wants_confirmation(&self) -> bool {
        let expected: f64 = self.open.iter().map(|open| open.levels.chance).sum();
        self.ended.1 + expected <= CONFIRMED * (self.ended.0 + self.open.len() as f64)
    }
}

impl SignalLevels {
    /// Chooses levels around the current price. A path of this volatility leaves the band between stop and confirmation
    /// after `life` seconds on average (σ²·life = good·bad), with a probability of three quarters through the nearer
    /// end.
    fn around(
        book: &SimulatedMarket,
        direction: Direction,
        volatility: f64,
        life: f64,
        wants_confirmation: bool,
    ) -> Self {
        let (sign, instrument) = (direction.sign(), &book.instrument);
        let tick = instrument.tick_size;
        let near = volatility * (life / SKEW).sqrt();
        let (good, bad) = if wants_confirmation { (near, near * SKEW) } else { (near * SKEW, near) };
        let (buy, sell) = Self::sides(book, direction);
        let entry = instrument.round(buy - sign * PULLBACK * volatility);
        // At least one tick beyond the entry, so that rounding cannot make two levels equal.
        let good = good.max(sign * (entry - sell) + tick);
        let bad = bad.max(2.0 * tick + (sign * (sell - entry)).max(0.0));
        Self {
            direction,
            entry,
            confirmed: instrument.round(sell + sign * good),
            stop: instrument.round(sell - sign * bad),
            chance: bad / (good + bad),
        }
    }

    /// Returns the prices at which the position opens and closes.
    fn sides(book: &SimulatedMarket, direction: Direction) -> (f64, f64) {
        match direction {
            Direction::Long => (book.ask, book.bid),
            Direction::Short => (book.bid, book.ask),
        }
    }

    fn filled_by(&self, book: &SimulatedMarket) -> bool {
        let (buy, _) = Self::sides(book, self.direction);
        self.direction.sign() * (buy - self.entry) <= 0.0
    }

    /// Returns how the signal ends at these prices. The stop takes precedence.
    fn end(&self, book: &SimulatedMarket, filled: bool) -> Option<SignalStatus> {
        let (_, sell) = Self::sides(book, self.direction);
        let beyond = |level: f64| self.direction.sign() * (sell - level);
        if beyond(self.stop) <= 0.0 {
            return Some(SignalStatus::Invalidated);
        }
        (filled && beyond(self.confirmed) >= 0.0).then_some(SignalStatus::Confirmed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};

    use super::*;
    use crate::domain::{Instruments, Now, Signal, SignalState, SourceName, parse_time};

    const BEAT: Duration = Duration::from_millis(250);
    const TTL: Duration = Duration::from_mins(5);
    const MEAN: Duration = Duration::from_secs(12);

    fn catalogue() -> Instruments {
        Instruments::new(Instruments::documented().into_iter().chain(Instruments::futures())).unwrap()
    }

    /// A simulated run: every signal, its state, and its start and end.
    struct DeskRun {
        signals: BTreeMap<SignalId, (Signal, f64, Option<f64>)>,
        most_open: usize,
        /// The first time at which signals of every state existed.
        complete_at: Option<f64>,
    }

    fn run(seed: u64, start: DateTime<Utc>, lasting: Duration) -> DeskRun {
        let instruments = catalogue();
        let mut market = Market::new(&instruments, seed, SourceName::new("simulator"));
        let mut desk = SignalDesk::new(seed, start, MEAN, TTL);
        let mut now = Now { wall: start, mono: Duration::ZERO };
        let mut run = DeskRun { signals: BTreeMap::new(), most_open: 0, complete_at: None };
        while now.mono < lasting {
            now = now.plus(BEAT);
            market.step(now.wall, BEAT);
            for (id, draft) in desk.step(&market, now.wall, BEAT) {
                run.apply(&instruments, id, &draft, now);
            }
            run.most_open = run.most_open.max(desk.open.len());
            let states = [SignalStatus::Pending, SignalStatus::Confirmed, SignalStatus::Invalidated];
            if run.complete_at.is_none() && states.into_iter().all(|status| run.count(status) > 0) {
                run.complete_at = Some(now.mono.as_secs_f64());
            }
        }
        run
    }

    impl DeskRun {
        fn apply(&mut self, instruments: &Instruments, id: SignalId, draft: &SignalDraft, now: Now) {
            let at = now.mono.as_secs_f64();
            if let Some((signal, _, ended)) = self.signals.get_mut(&id) {
                let instrument = instruments.get(&signal.symbol).unwrap();
                *signal = signal.amend(draft, instrument, now).unwrap().expect("an end changes the signal");
                *ended = Some(at);
            } else {
                let instrument = instruments.get(draft.symbol.as_ref().unwrap()).unwrap();
                let signal =
                    Signal::create(id.clone(), draft, instrument, SourceName::new("simulator"), now, TTL).unwrap();
                self.signals.insert(id, (signal, at, None));
            }
        }

        fn count(&self, status: SignalStatus) -> usize {
            self.signals.values().filter(|(signal, ..)| signal.state.status() == status).count()
        }
    }

    fn starts() -> Vec<DateTime<Utc>> {
        [
            "2026-01-14T14:30:00Z",
            "2026-01-14T23:00:00Z",
            "2026-01-17T12:00:00Z",
            "2026-07-15T07:00:00Z",
            "2026-03-08T06:59:00Z",
        ]
        .map(|text| parse_time(text).unwrap())
        .to_vec()
    }

    #[test]
    fn all_three_states_appear_within_two_minutes() {
        // Each seed uses another start. All 1000 pairs also pass, in 17 s.
        let times: Vec<Option<f64>> = (0..200)
            .map(|seed| run(seed, starts()[seed as usize % starts().len()], Duration::from_mins(2)).complete_at)
            .collect();
        let in_time = times.iter().flatten().count();
        assert!(in_time >= 199, "{in_time} of 200");
        let mean = times.iter().flatten().sum::<f64>() / in_time as f64;
        assert!(mean < 30.0, "{mean}");
    }

    #[test]
    fn signals_live_some_seconds_and_most_end_well() {
        for start in starts() {
            let (mut lives, mut confirmed, mut stopped, mut open) = (Vec::new(), 0, 0, 0);
            for seed in 0..4 {
                let run = run(seed, start, Duration::from_mins(20));
                confirmed += run.count(SignalStatus::Confirmed);
                stopped += run.count(SignalStatus::Invalidated);
                open += run.count(SignalStatus::Pending);
                assert!(run.most_open <= MAX_OPEN);
                assert!((60..160).contains(&run.signals.len()), "{} signals in 20 minutes", run.signals.len());
                lives.extend(run.signals.values().filter_map(|(_, from, to)| Some((*to)? - from)));
            }
            let mean = lives.iter().sum::<f64>() / lives.len() as f64;
            let share = confirmed as f64 / (confirmed + stopped + open) as f64;
            assert!((15.0..60.0).contains(&mean), "{mean}");
            assert!((0.5..0.65).contains(&share), "{share}");
        }
    }

    #[test]
    fn a_signal_is_complete_and_marked_simulated() {
        let run = run(5, starts()[0], Duration::from_mins(30));
        for (id, (signal, ..)) in &run.signals {
            assert_eq!(uuid::Uuid::parse_str(id.as_str()).unwrap().get_version_num(), 4);
            assert!(signal.reason.starts_with("Simulated:"), "{}", signal.reason);
            assert!((0.55..=0.95).contains(&signal.confidence));
            assert_eq!((signal.rr_target, signal.take_profits.len(), signal.tp_modes.len()), (3.0, 3, 3), "{signal:?}");
            if let SignalState::Invalidated(reason) = &signal.state {
                assert_eq!(*reason, Invalidation::STOP_TOUCHED);
            }
        }
        let directions: HashSet<Direction> = run.signals.values().map(|(signal, ..)| signal.direction).collect();
        let symbols: HashSet<String> = run.signals.values().map(|(signal, ..)| signal.symbol.to_string()).collect();
        assert_eq!((directions.len(), symbols.len()), (2, 11));
    }

    #[test]
    fn ids_depend_on_seed_and_start_time() {
        let ids = |start| run(1, start, Duration::from_mins(2)).signals.into_keys().collect::<HashSet<_>>();
        let start = starts()[0];
        assert_eq!(ids(start), ids(start));
        assert!(ids(start).is_disjoint(&ids(start + Duration::from_millis(1))));
    }

    #[test]
    fn after_a_restart_pending_signals_end_by_price() {
        let instruments = catalogue();
        let (mut market, start) = (Market::new(&instruments, 3, SourceName::new("simulator")), starts()[0]);
        let (mut desk, mut now) = (SignalDesk::new(3, start, MEAN, TTL), start);
        let mut pending = HashSet::new();
        while pending.len() < 3 {
            now += BEAT;
            market.step(now, BEAT);
            for (id, draft) in desk.step(&market, now, BEAT) {
                if draft.status.is_some() {
                    pending.remove(&id)
                } else {
                    pending.insert(id)
                };
            }
        }
        let kept = desk.open_signals(&market);
        let kept: Vec<OpenSignal> = serde_json::from_slice(&serde_json::to_vec(&kept).unwrap()).unwrap();
        let mut desk = SignalDesk::new(3, now, Duration::ZERO, TTL);
        desk.resume(kept.clone(), Duration::from_secs(2), &market);
        assert_eq!(desk.open.len(), kept.len());
        let mut ended = HashMap::new();
        for _ in 0..TTL.as_secs() * 4 {
            now += BEAT;
            market.step(now, BEAT);
            ended.extend(desk.step(&market, now, BEAT).into_iter().map(|(id, draft)| (id, draft.status)));
        }
        assert!(desk.open.is_empty());
        assert!(ended.keys().all(|id| pending.contains(id)), "only those that were pending: {ended:?}");
        assert!(ended.len() + 1 >= pending.len(), "{ended:?} of {pending:?}");
        let mut late = SignalDesk::new(3, now, Duration::ZERO, TTL);
        late.resume(kept, TTL, &market);
        assert!(late.open.is_empty(), "their time is up");
    }

    #[test]
    fn without_an_interval_there_are_no_signals() {
        let (market, start) = (Market::new(&catalogue(), 1, SourceName::new("simulator")), starts()[0]);
        let mut desk = SignalDesk::new(1, start, Duration::ZERO, TTL);
        assert!((0..1000).all(|_| desk.step(&market, start, BEAT).is_empty()));
    }

    #[test]
    fn a_long_opens_at_ask_and_ends_at_bid() {
        let levels =
            SignalLevels { direction: Direction::Long, entry: 1.08, confirmed: 1.081, stop: 1.079, chance: 0.5 };
        let mut market = Market::new(&catalogue(), 1, SourceName::new("simulator"));
        let book = &mut market.books_mut()[0];
        let mut end = |bid: f64, ask: f64, filled| {
            (book.bid, book.ask) = (bid, ask);
            (levels.filled_by(book), levels.end(book, filled))
        };
        assert_eq!(end(1.0799, 1.0801, false), (false, None), "only the bid is at the entry");
        assert_eq!(end(1.0798, 1.08, false), (true, None));
        assert_eq!(end(1.0809, 1.0811, true), (false, None), "only the ask is beyond");
        assert_eq!(end(1.081, 1.0812, true), (false, Some(SignalStatus::Confirmed)));
        assert_eq!(end(1.081, 1.0812, false), (false, None), "it ran away without a fill");
        assert_eq!(end(1.079, 1.0792, true), (true, Some(SignalStatus::Invalidated)));
    }
}
