//! The simulated market: pure arithmetic on a seeded random generator and a given time.
//!
//! Every path is the logarithm of a price that returns to zero (an Ornstein–Uhlenbeck process, advanced exactly, so
//! that every step width has the same distribution). Paths share factors: the dollar moves all its pairs, and stock
//! indices move together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::profile::{Factor, Hour, Profile};
use crate::domain::{Feed, Instrument, Instruments, Quote, Session, SourceName, Tick};

const DAY: f64 = 86_400.0;
/// Rate of return to the anchor, per second: half of a deviation is gone after five days, so prices stay plausible for
/// months.
const REVERSION: f64 = std::f64::consts::LN_2 / (5.0 * DAY);
/// The same for the deviation of a future from its index: gone within a minute.
const BASIS_REVERSION: f64 = std::f64::consts::LN_2 / 20.0;
/// Standard deviation of a future from its index, as a share of the price.
const BASIS_NOISE: f64 = 0.000_01;
/// Share of instruments that tick on a beat.
const TICKING: f64 = 0.85;

/// All instruments with their current prices.
#[derive(Debug)]
pub struct Market {
    rng: StdRng,
    source: SourceName,
    paths: Vec<Path>,
    books: Vec<SimulatedMarket>,
    /// Whether every instrument has had its first tick.
    opened: bool,
    /// Whether the next step repeats the prices from before the restart.
    resumed: bool,
}

/// Largest deviation that is accepted from a file: seven times the anchor, or a seventh of it.
const MAX_DEVIATION: f64 = 2.0;

/// The state from which a market continues after a restart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct MarketState {
    /// Deviation of each path, by its name.
    pub(super) paths: BTreeMap<String, f64>,
    /// Deviation of each instrument from its path, by symbol.
    pub(super) own: BTreeMap<String, f64>,
}

impl MarketState {
    /// Returns whether a market can have this state.
    pub(super) fn is_plausible(&self) -> bool {
        self.paths.values().chain(self.own.values()).all(|deviation| deviation.abs() <= MAX_DEVIATION)
    }
}

/// A path that one or more instruments follow.
#[derive(Debug)]
struct Path {
    name: String,
    /// Logarithm of the price divided by the anchor.
    deviation: f64,
    /// Standard deviation per square root of a second, without the effect of the hour.
    volatility: f64,
    factor: (Factor, f64),
    /// The trading hours of the path.
    session: Session,
}

/// One instrument and its prices.
#[derive(Debug)]
pub(super) struct SimulatedMarket {
    pub(super) instrument: Arc<Instrument>,
    /// Best price to sell at, on the grid.
    pub(super) bid: f64,
    /// Best price to buy at, on the grid, above `bid`.
    pub(super) ask: f64,
    profile: Profile,
    path: usize,
    /// Logarithm of the deviation from the path.
    own: f64,
}

impl Market {
    /// Creates a market with every instrument at its starting price.
    pub fn new(instruments: &Instruments, seed: u64, source: SourceName) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let mut market = Self { rng, source, paths: Vec::new(), books: Vec::new(), opened: false, resumed: false };
        for instrument in instruments.iter() {
            market.list(instrument.clone());
        }
        market
    }

    /// Returns the state to save.
    pub(super) fn state(&self) -> MarketState {
        let own = self.books.iter().filter(|book| book.own != 0.0);
        MarketState {
            paths: self.paths.iter().map(|path| (path.name.clone(), path.deviation)).collect(),
            own: own.map(|book| (book.instrument.symbol.as_str().to_owned(), book.own)).collect(),
        }
    }

    /// Continues from `state` as of `at`: the next step repeats those prices, and later steps move them. Instruments
    /// without a saved price begin at their starting price.
    pub(super) fn resume(&mut self, state: &MarketState, at: DateTime<Utc>) {
        for path in &mut self.paths {
            path.deviation = state.paths.get(&path.name).copied().unwrap_or_default();
        }
        for book in &mut self.books {
            book.own = state.own.get(book.instrument.symbol.as_str()).copied().unwrap_or_default();
            book.quote(self.paths[book.path].deviation, 1.0);
        }
        // A restart must not repeat the moves of the previous start.
        self.rng = StdRng::seed_from_u64(self.rng.random::<u64>() ^ at.timestamp_millis() as u64);
        self.resumed = true;
    }

    fn list(&mut self, instrument: Arc<Instrument>) {
        let profile = Profile::of(&instrument);
        let path = self.paths.iter().position(|path| path.name == profile.path).unwrap_or_else(|| {
            self.paths.push(Path {
                name: profile.path.clone(),
                deviation: 0.0,
                volatility: profile.daily_volatility / DAY.sqrt(),
                factor: profile.factor,
                session: instrument.session,
            });
            self.paths.len() - 1
        });
        let mut book = SimulatedMarket { instrument, bid: 0.0, ask: 0.0, profile, path, own: 0.0 };
        book.quote(0.0, 1.0);
        self.books.push(book);
    }

    /// Advances by `dt` to `now`, and returns the ticks.
    pub fn step(&mut self, now: DateTime<Utc>, dt: Duration) -> Vec<Tick> {
        let dt = if std::mem::take(&mut self.resumed) { 0.0 } else { dt.as_secs_f64() };
        let hour = Hour::at(now);
        let moods: [f64; Factor::COUNT] = std::array::from_fn(|_| StandardNormal.sample(&mut self.rng));
        for path in &mut self.paths {
            let (factor, correlation) = path.factor;
            let alone: f64 = StandardNormal.sample(&mut self.rng);
            let draw = correlation * moods[factor as usize] + (1.0 - correlation * correlation).sqrt() * alone;
            let volatility = path.volatility * hour.of(path.session).activity;
            path.deviation = reverting(path.deviation, REVERSION, volatility, dt, draw);
        }
        let mut ticks = Vec::with_capacity(self.books.len());
        for book in &mut self.books {
            let (draw, width) = (StandardNormal.sample(&mut self.rng), self.rng.random_range(0.8..1.3));
            if book.profile.basis != 1.0 {
                let volatility = BASIS_NOISE * (2.0 * BASIS_REVERSION).sqrt();
                book.own = reverting(book.own, BASIS_REVERSION, volatility, dt, draw);
            }
            let (ticking, volume) = (self.rng.random_bool(TICKING), self.rng.random_range(1..=9));
            if self.opened && !ticking {
                continue;
            }
            let closed = if hour.of(book.instrument.session).open { 1.0 } else { 1.5 };
            book.quote(self.paths[book.path].deviation, width * closed);
            ticks.push(Tick {
                symbol: book.instrument.symbol.clone(),
                quote: Quote::BidAsk { bid: book.bid, ask: book.ask },
                volume: Some(f64::from(volume)),
                observed_at: now,
                feed: Feed::Simulated,
                source: self.source.clone(),
            });
        }
        self.opened = true;
        ticks
    }

    /// Returns all instruments with their last prices, in the order of the catalogue.
    pub(super) fn books(&self) -> &[SimulatedMarket] {
        &self.books
    }

    #[cfg(test)]
    pub(super) fn books_mut(&mut self) -> &mut [SimulatedMarket] {
        &mut self.books
    }

    /// Returns the standard deviation of the instrument's price over one second.
    pub(super) fn volatility(&self, index: usize, now: DateTime<Utc>) -> f64 {
        let book = &self.books[index];
        let path = &self.paths[book.path];
        path.volatility * Hour::at(now).of(path.session).activity * book.bid
    }
}

impl SimulatedMarket {
    /// Sets bid and ask around the price at `deviation`, with `width` times the typical spread.
    fn quote(&mut self, deviation: f64, width: f64) {
        let Profile { anchor, basis, spread, .. } = self.profile;
        let tick = self.instrument.tick_size;
        let price = anchor * basis * (deviation + self.own).exp();
        let ticks_apart = (spread * width / tick).round().max(1.0);
        self.bid = self.instrument.round(price - ticks_apart * tick / 2.0).max(tick);
        self.ask = self.instrument.round(self.bid + ticks_apart * tick);
    }
}

/// Advances a process that returns to zero by one exact step.
fn reverting(value: f64, reversion: f64, volatility: f64, dt: f64, draw: f64) -> f64 {
    let spread = ((1.0 - (-2.0 * reversion * dt).exp()) / (2.0 * reversion)).sqrt();
    value * (-reversion * dt).exp() + volatility * spread * draw
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{InstrumentClass, Symbol, parse_time};

    const BEAT: Duration = Duration::from_millis(250);

    fn own(symbol: &str, class: InstrumentClass, digits: u8, tick_size: f64) -> Instrument {
        let name = symbol.to_owned();
        Instrument {
            symbol: Symbol::new(symbol),
            name,
            class,
            digits,
            tick_size,
            aliases: vec![],
            session: Session::Always,
        }
    }

    fn catalogue() -> Instruments {
        let owns = [
            own("BTCUSD", InstrumentClass::Crypto, 2, 0.01),
            own("COARSE", InstrumentClass::Stock, 0, 5.0),
            own("FINE", InstrumentClass::Crypto, 8, 1e-8),
            own("GER40", InstrumentClass::Index, 1, 0.5),
        ];
        Instruments::new(Instruments::documented().into_iter().chain(Instruments::futures()).chain(owns)).unwrap()
    }

    fn market(seed: u64) -> Market {
        Market::new(&catalogue(), seed, SourceName::new("simulator"))
    }

    fn at(text: &str) -> DateTime<Utc> {
        parse_time(text).unwrap()
    }

    /// Returns the mid prices of all instruments, every second for `seconds`.
    fn mids(seed: u64, start: &str, seconds: u32) -> HashMap<String, Vec<f64>> {
        let (mut market, mut now) = (market(seed), at(start));
        let mut mids: HashMap<String, Vec<f64>> = HashMap::new();
        for _ in 0..seconds {
            for _ in 0..4 {
                now += BEAT;
                market.step(now, BEAT);
            }
            for book in market.books() {
                let mid = book.instrument.round(f64::midpoint(book.bid, book.ask));
                mids.entry(book.instrument.symbol.to_string()).or_default().push(mid);
            }
        }
        mids
    }

    fn changes(prices: &[f64]) -> Vec<f64> {
        prices.windows(2).map(|pair| (pair[1] / pair[0]).ln()).collect()
    }

    fn deviation(values: &[f64]) -> f64 {
        (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt()
    }

    fn correlation(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / (deviation(a) * deviation(b) * a.len() as f64)
    }

    #[test]
    fn same_seed_and_times_give_the_same_prices() {
        let run = |seed| {
            let (mut market, mut now) = (market(seed), at("2026-01-14T14:00:00Z"));
            (1..500u32)
                .flat_map(|_| {
                    now += BEAT;
                    market.step(now, BEAT)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn a_restart_continues_from_the_last_prices() {
        let (mut before, mut now) = (market(7), at("2026-01-14T14:00:00Z"));
        for _ in 0..40_000 {
            now += BEAT;
            before.step(now, BEAT);
        }
        let mut after = market(7);
        after.resume(&before.state(), now);
        let (last, first) = (before.state(), after.step(now + BEAT, BEAT));
        assert_eq!((after.state(), first.len()), (last, after.books().len()), "the first step moves nothing");
        for (old, new) in before.books().iter().zip(after.books()) {
            let middle = |book: &SimulatedMarket| f64::midpoint(book.bid, book.ask);
            let moved = (middle(old) - middle(new)).abs() / old.instrument.tick_size;
            // A book that skipped its last beats is this old.
            assert!(moved < 60.0, "{} moved by {moved} ticks", old.instrument.symbol);
        }
        assert_ne!(market(7).books()[0].bid, after.books()[0].bid, "not where it started");
        let mut again = market(7);
        again.resume(&before.state(), now + BEAT);
        again.step(now, BEAT);
        assert_ne!(again.step(now, BEAT), after.step(now, BEAT), "every restart goes another way");
    }

    #[test]
    fn prices_start_where_people_expect_them() {
        let market = market(1);
        let bids: Vec<(&str, f64)> =
            market.books().iter().map(|book| (book.instrument.symbol.as_str(), book.bid.round())).take(11).collect();
        assert_eq!(
            bids,
            [
                ("EURUSD", 1.0),
                ("GBPUSD", 1.0),
                ("USDJPY", 150.0),
                ("XAUUSD", 2400.0),
                ("US30", 38999.0),
                ("NAS100", 18000.0),
                ("SPX500", 5200.0),
                ("MNQ", 18045.0),
                ("NQ", 18045.0),
                ("MES", 5213.0),
                ("ES", 5213.0)
            ]
        );
    }

    #[test]
    fn prices_move_every_few_seconds_even_on_weekends() {
        for (symbol, mids) in mids(3, "2026-01-17T12:00:00Z", 600) {
            let moved = mids.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert!(moved > 150, "{symbol} moved in {moved} of 600 seconds");
        }
    }

    #[test]
    fn killzones_are_livelier_than_the_night() {
        let size = |start| deviation(&changes(&mids(5, start, 2000)["EURUSD"]));
        let (london, evening, weekend) =
            (size("2026-01-14T08:00:00Z"), size("2026-01-14T23:00:00Z"), size("2026-01-17T12:00:00Z"));
        assert!(london > 1.3 * evening && evening > 1.1 * weekend, "{london} {evening} {weekend}");
    }

    #[test]
    fn related_markets_move_together() {
        let mids = mids(11, "2026-01-14T14:30:00Z", 4000);
        let minute = |symbol: &str| changes(&mids[symbol].iter().copied().step_by(20).collect::<Vec<_>>());
        let with = |a: &str, b: &str| correlation(&minute(a), &minute(b));
        assert!(with("NAS100", "MNQ") > 0.97, "{}", with("NAS100", "MNQ"));
        assert!(with("NQ", "MNQ") > 0.97, "{}", with("NQ", "MNQ"));
        assert!(with("SPX500", "ES") > 0.95, "{}", with("SPX500", "ES"));
        assert!(with("SPX500", "NAS100") > 0.6, "{}", with("SPX500", "NAS100"));
        assert!(with("EURUSD", "GBPUSD") > 0.4, "{}", with("EURUSD", "GBPUSD"));
        assert!(with("EURUSD", "USDJPY") < -0.3, "{}", with("EURUSD", "USDJPY"));
        assert!(with("EURUSD", "US30").abs() < 0.25, "{}", with("EURUSD", "US30"));
        for pair in mids["NAS100"].iter().zip(&mids["MNQ"]) {
            assert!((1.0015..1.0035).contains(&(pair.1 / pair.0)), "{pair:?}");
        }
    }

    #[test]
    fn prices_stay_plausible_for_months() {
        for seed in 0..4 {
            let (mut market, mut now, beat) = (market(seed), at("2026-01-01T00:00:00Z"), Duration::from_mins(30));
            for _ in 0..180 * 48 {
                now += beat;
                market.step(now, beat);
            }
            let euro = market.books()[0].bid;
            assert!((0.97..1.20).contains(&euro), "{euro}");
            let nasdaq = market.books()[5].bid;
            assert!((14_500.0..22_000.0).contains(&nasdaq), "{nasdaq}");
        }
    }

    #[test]
    fn a_spread_is_small() {
        let (mut market, mut now) = (market(1), at("2026-01-14T14:30:00Z"));
        for _ in 0..200 {
            now += BEAT;
            market.step(now, BEAT);
            let spread = |index: usize| market.books()[index].ask - market.books()[index].bid;
            assert!(spread(0) < 0.000_045, "EURUSD");
            assert!((spread(10) - 0.25).abs() < 1e-9 || (spread(10) - 0.5).abs() < 1e-9, "ES");
            assert!(spread(4) < 2.3, "US30");
        }
    }

    proptest! {
        /// For any seed, beat and hour: a price is positive and on its grid, and the bid is below the ask.
        #[test]
        fn quotes_are_sound(seed: u64, start in 0i64..4_000_000_000, beats in prop::collection::vec(0u64..100_000_000, 1..40)) {
            let (mut market, mut now) = (market(seed), DateTime::from_timestamp(start, 0).unwrap());
            for beat in beats {
                let beat = Duration::from_millis(beat);
                now += beat;
                for tick in market.step(now, beat) {
                    let Quote::BidAsk { bid, ask } = tick.quote else { panic!("{tick:?}") };
                    let instrument = market.books().iter().map(|book| &book.instrument).find(|i| i.symbol == tick.symbol).unwrap();
                    prop_assert!(bid > 0.0 && bid < ask && ask.is_finite(), "{tick:?}");
                    prop_assert_eq!((instrument.round(bid), instrument.round(ask)), (bid, ask));
                    prop_assert!(tick.volume.is_some_and(|volume| volume > 0.0));
                    prop_assert_eq!((tick.observed_at, tick.feed), (now, Feed::Simulated));
                }
            }
        }
    }
}
