//! The server's own signals: setups found in closed bars, with levels, a score and a life that prices decide.
//!
//! A setup that a bar completes is armed: it waits for price to come near its entry, for as long as its idea holds. It is
//! published at the end of the minute in which that happens, because from then on it has only minutes to live. What becomes
//! of it is decided by [`watch`]; see there for the rules.

mod find;
mod levels;
mod score;
#[cfg(test)]
mod tests;
pub(super) mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use uuid::Uuid;

use super::bars::Closed;
use super::detect::{Detectors, Ema, Finding};
use crate::domain::{
    BarInterval, Candle, Direction, Instrument, Killzone, Now, SetupRules, Signal, SignalDraft, SignalId, SourceName,
    Symbol,
};
use find::{Candidate, Reading};

/// Bars that have to be seen before anything is published.
const MIN_BARS: u64 = 50;
/// Minutes over which the spread is averaged.
const SPREAD_PERIOD: usize = 60;
/// Bars that an armed setup waits.
const PATIENCE: u64 = 12;
/// Most setups of an instrument that are armed at a time; beyond it the oldest is let go.
const MAX_ARMED: usize = 16;
/// A bar whose end is learned this much later is history: nothing is published of it.
const FRESH: TimeDelta = TimeDelta::seconds(60);
/// Names signals by what they are, so that a second run over the same prices gives them the same ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d0c_41c2_7d0e_4b7e_9a55_3c1f_0a91_6e2d);
/// The version of the rules, as the signals' model.
const MODEL: &str = "ict-1";

/// What is known of one instrument's market.
#[derive(Debug)]
struct Market {
    reading: Reading,
    higher: Detectors,
    spread: Ema,
    /// When its last signal was published, on the monotonic clock.
    last_signal: Option<Duration>,
    /// With the bar after which they are let go.
    armed: VecDeque<(Candidate, u64)>,
}

/// A new signal, and the far edge of the zone that it is entered at.
pub(super) struct Found {
    pub(super) signal: Signal,
    pub(super) zone_far: Option<f64>,
}

/// What a closed bar means for an instrument's signals.
#[derive(Default)]
pub(super) struct Verdict {
    pub(super) found: Option<Found>,
    /// The market shifted this way.
    pub(super) shift: Option<Direction>,
}

/// Looks for setups, in all instruments.
#[derive(Debug)]
pub(super) struct Setups {
    rules: SetupRules,
    ttl: Duration,
    markets: BTreeMap<Symbol, Market>,
}

impl Setups {
    pub(super) fn new(rules: SetupRules, ttl: Duration) -> Self {
        Self { rules, ttl, markets: BTreeMap::new() }
    }

    /// Whether such prices may decide anything about signals.
    pub(super) fn trusts(&self, simulated: bool) -> bool {
        self.rules.in_simulated_prices || !simulated
    }

    /// Forgets an instrument's past: its prices come from elsewhere from now on.
    pub(super) fn forget(&mut self, symbol: &Symbol) {
        self.markets.remove(symbol);
    }

    /// Takes a closed bar of the past; nothing is published of it.
    pub(super) fn restore(&mut self, closed: &Closed) {
        if !self.rules.enabled.is_empty() {
            self.read(closed);
        }
    }

    /// Takes a closed bar.
    pub(super) fn take(&mut self, closed: &Closed, instrument: &Arc<Instrument>, now: Now) -> Verdict {
        if self.rules.enabled.is_empty() {
            return Verdict::default();
        }
        let findings = self.read(closed);
        let Self { rules, ttl, markets } = self;
        let Some(market) = markets.get_mut(&instrument.symbol) else { return Verdict::default() };
        let candle = closed.bar.mid.candle();
        let mut verdict = Verdict::default();
        if closed.interval == rules.interval {
            verdict.shift = findings.iter().find_map(|finding| match finding {
                Finding::Shift(shift) => Some(shift.broken.direction),
                _ => None,
            });
            market.arm(rules, &candle, &findings);
        } else if closed.interval == BarInterval::OneMinute {
            market.disarm(&candle);
        } else {
            return verdict;
        }
        if may_publish(rules, *ttl, market, instrument, closed, now) {
            let found = market.armed.iter().enumerate().filter_map(|(place, (candidate, _))| {
                let rank = rules.enabled.iter().position(|kind| *kind == candidate.kind)?;
                Some((rank, place, signal(rules, *ttl, market, candidate, instrument, closed, now)?))
            });
            if let Some((_, place, found)) = found.min_by_key(|(rank, place, _)| (*rank, std::cmp::Reverse(*place))) {
                market.armed.remove(place);
                market.last_signal = Some(now.mono);
                verdict.found = Some(found);
            }
        }
        verdict
    }

    fn read(&mut self, closed: &Closed) -> Vec<Finding> {
        let swing = self.rules.swing;
        let Closed { interval, bar } = closed;
        let market = self.markets.entry(bar.mid.symbol.clone()).or_insert_with(|| Market {
            reading: Reading::new(swing),
            higher: Detectors::new(swing),
            spread: Ema::new(SPREAD_PERIOD),
            last_signal: None,
            armed: VecDeque::new(),
        });
        let candle = bar.mid.candle();
        match interval {
            BarInterval::OneMinute => {
                market.spread.push(bar.spread());
                market.reading.levels.push(bar.mid.opened_at, &candle);
            }
            BarInterval::OneHour => drop(market.higher.push(&candle)),
            BarInterval::FiveMinutes | BarInterval::FifteenMinutes => {}
        }
        if *interval == self.rules.interval { market.reading.take(&candle) } else { Vec::new() }
    }
}

impl Market {
    /// Takes in the setups that a bar completes, and lets go of those that waited in vain.
    fn arm(&mut self, rules: &SetupRules, candle: &Candle, findings: &[Finding]) {
        let candidates = self.reading.candidates(candle, findings);
        let n = self.reading.bars();
        self.armed.retain(|(_, until)| n <= *until);
        let wanted = candidates.into_iter().filter(|candidate| rules.enabled.contains(&candidate.kind));
        self.armed.extend(wanted.map(|candidate| (candidate, n + PATIENCE)));
        while self.armed.len() > MAX_ARMED {
            self.armed.pop_front();
        }
    }

    /// Lets go of the setups that a minute has proved wrong.
    fn disarm(&mut self, candle: &Candle) {
        self.armed.retain(|(candidate, _)| {
            let sign = candidate.direction.sign();
            let adverse = if candidate.direction == Direction::Long { candle.low } else { candle.high };
            let closed_through = candidate.zone_far.is_some_and(|far| sign * (candle.close - far) < 0.0);
            sign * (adverse - candidate.wrong_at) > 0.0 && !closed_through
        });
    }
}

fn may_publish(
    rules: &SetupRules,
    ttl: Duration,
    market: &Market,
    instrument: &Instrument,
    closed: &Closed,
    now: Now,
) -> bool {
    // One thought at a time: while a signal is pending there is no other.
    let cooled = market.last_signal.is_none_or(|last| now.mono >= last + rules.cool_down.max(ttl));
    let fresh = now.wall - closed.ends_at() <= FRESH;
    let in_killzone = Killzone::active_at(now.wall).is_some_and(|zone| rules.killzones.contains(&zone));
    let quiet = rules.quiet.iter().any(|window| window.contains(now.wall));
    // It has to be decided before the market closes.
    let open = instrument.session.is_open(now.wall) && instrument.session.is_open(now.wall + ttl);
    !market.armed.is_empty() && market.reading.bars() >= MIN_BARS && cooled && fresh && in_killzone && !quiet && open
}

/// The candidate as a signal, if price is near its entry and its levels are sound.
fn signal(
    rules: &SetupRules,
    ttl: Duration,
    market: &Market,
    candidate: &Candidate,
    instrument: &Instrument,
    closed: &Closed,
    now: Now,
) -> Option<Found> {
    let atr = market.reading.atr()?;
    let bar = &closed.bar;
    let spread = market.spread.value().unwrap_or_default().max(bar.spread());
    let yardstick = levels::Yardstick { atr, spread, close: bar.mid.close };
    let levels = levels::lay(rules, candidate, instrument, &yardstick)?;
    let score = score::score(candidate, market.higher.structure().trend(), atr, now.wall);
    let closed_at = closed.ends_at();
    let draft = SignalDraft {
        direction: Some(candidate.direction),
        symbol: Some(instrument.symbol.clone()),
        entry_time: Some(closed_at),
        entry_price: Some(levels.entry),
        stop_loss: Some(levels.stop),
        take_profits: Some(levels.targets),
        tp_modes: Some(levels.modes),
        reason: Some(format!("{}: {}; {}", candidate.kind.name(), candidate.describe(instrument), score.describe())),
        confidence: Some(score.value()),
        killzone: Killzone::active_at(now.wall),
        model: Some(MODEL.to_owned()),
        ..SignalDraft::default()
    };
    let name = format!("{}|{}|{}", instrument.symbol, candidate.kind.name(), closed_at.timestamp_millis());
    let id = SignalId::from(Uuid::new_v5(&NAMESPACE, name.as_bytes()));
    let signal = Signal::create(id, &draft, instrument, SourceName::new(SourceName::SETUPS), now, ttl).ok()?;
    Some(Found { signal, zone_far: candidate.zone_far })
}
