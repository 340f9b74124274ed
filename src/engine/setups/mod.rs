//! The server's own signals: setups that are found in closed bars, with levels and a score.
//!
//! A completed setup is armed: it waits until price comes near its entry, as long as it stays valid. It is published at
//! the end of the minute in which that happens, because a published signal has only minutes to live. [`watch`] then
//! decides how it ends.

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
use find::{SetupCandidate, SetupScanner};

/// Minimum number of bars before anything is published.
const MIN_BARS: u64 = 50;
/// Minutes over which the spread is averaged.
const SPREAD_PERIOD: usize = 60;
/// Maximum number of bars that an armed setup waits.
const MAX_ARMED_BARS: u64 = 12;
/// Maximum number of armed setups of an instrument; beyond it the oldest is dropped.
const MAX_ARMED: usize = 16;
/// When a bar's end is longer ago than this, nothing is published from it.
const MAX_BAR_AGE: TimeDelta = TimeDelta::seconds(60);
/// The namespace of signal ids. They derive from the content, so that a second run over the same prices gives the same
/// ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d0c_41c2_7d0e_4b7e_9a55_3c1f_0a91_6e2d);
/// The version of the rules; the `model` of the signals.
const MODEL: &str = "ict-1";

/// Returns how long prices that were missed can show in the signals of their instrument, apart from the market's structure: the
/// cool-down after a signal, the wait of an armed setup, and five periods of the average spread, after which less than 1 % of it
/// is left.
pub fn memory(rules: &SetupRules, ttl: Duration) -> Duration {
    let wait = rules.interval.length() * MAX_ARMED_BARS as u32;
    let spread = Duration::from_mins(5 * SPREAD_PERIOD as u64);
    rules.cool_down.max(ttl) + wait + spread
}

/// The state of one instrument.
#[derive(Debug)]
struct SetupMarket {
    scanner: SetupScanner,
    higher: Detectors,
    spread: Ema,
    /// When its last signal was published, on the monotonic clock.
    last_signal: Option<Duration>,
    /// The armed setups, each with the bar after which it is dropped.
    armed: VecDeque<(SetupCandidate, u64)>,
}

/// A new signal, and the far edge of the gap at its entry.
pub(super) struct NewSetup {
    pub(super) signal: Signal,
    pub(super) zone_far: Option<f64>,
}

/// The result of a closed bar for an instrument's signals.
#[derive(Default)]
pub(super) struct SetupUpdate {
    pub(super) found: Option<NewSetup>,
    /// The direction of a market structure shift.
    pub(super) shift: Option<Direction>,
}

/// Looks for setups in all instruments.
#[derive(Debug)]
pub(super) struct Setups {
    rules: SetupRules,
    ttl: Duration,
    markets: BTreeMap<Symbol, SetupMarket>,
}

impl Setups {
    pub(super) fn new(rules: SetupRules, ttl: Duration) -> Self {
        Self { rules, ttl, markets: BTreeMap::new() }
    }

    /// Whether prices of this kind may decide about signals.
    pub(super) fn trusts(&self, simulated: bool) -> bool {
        self.rules.in_simulated_prices || !simulated
    }

    /// Drops the state of an instrument, because another source replaces its prices.
    pub(super) fn forget(&mut self, symbol: &Symbol) {
        self.markets.remove(symbol);
    }

    /// Adds a past bar. Nothing is published from it.
    pub(super) fn restore(&mut self, closed: &Closed) {
        if !self.rules.enabled.is_empty() {
            self.read(closed);
        }
    }

    /// Adds a closed bar. Returns a shift, and a new signal when one is due.
    pub(super) fn on_bar_close(&mut self, closed: &Closed, instrument: &Arc<Instrument>, now: Now) -> SetupUpdate {
        if self.rules.enabled.is_empty() {
            return SetupUpdate::default();
        }
        let findings = self.read(closed);
        let Self { rules, ttl, markets } = self;
        let Some(market) = markets.get_mut(&instrument.symbol) else { return SetupUpdate::default() };
        let candle = closed.bar.mid.candle();
        let mut update = SetupUpdate::default();
        if closed.interval == rules.interval {
            update.shift = findings.iter().find_map(|finding| match finding {
                Finding::Shift(shift) => Some(shift.broken.direction),
                _ => None,
            });
            market.arm(rules, &candle, &findings);
        } else if closed.interval == BarInterval::OneMinute {
            market.disarm(&candle);
        } else {
            return update;
        }
        if may_publish(rules, *ttl, market, instrument, closed, now) {
            let found = market.armed.iter().enumerate().filter_map(|(place, (candidate, _))| {
                let rank = rules.enabled.iter().position(|kind| *kind == candidate.kind)?;
                Some((rank, place, signal(rules, *ttl, market, candidate, instrument, closed, now)?))
            });
            if let Some((_, place, found)) = found.min_by_key(|(rank, place, _)| (*rank, std::cmp::Reverse(*place))) {
                market.armed.remove(place);
                market.last_signal = Some(now.mono);
                update.found = Some(found);
            }
        }
        update
    }

    fn read(&mut self, closed: &Closed) -> Vec<Finding> {
        let swing = self.rules.swing;
        let Closed { interval, bar } = closed;
        let market = self.markets.entry(bar.mid.symbol.clone()).or_insert_with(|| SetupMarket {
            scanner: SetupScanner::new(swing),
            higher: Detectors::new(swing),
            spread: Ema::new(SPREAD_PERIOD),
            last_signal: None,
            armed: VecDeque::new(),
        });
        let candle = bar.mid.candle();
        match interval {
            BarInterval::OneMinute => {
                market.spread.push(bar.spread());
                market.scanner.levels.push(bar.mid.opened_at, &candle);
            }
            BarInterval::OneHour => drop(market.higher.push(&candle)),
            BarInterval::FiveMinutes | BarInterval::FifteenMinutes => {}
        }
        if *interval == self.rules.interval { market.scanner.push(&candle) } else { Vec::new() }
    }
}

impl SetupMarket {
    /// Arms the setups that a bar completes, and drops those that waited too long.
    fn arm(&mut self, rules: &SetupRules, candle: &Candle, findings: &[Finding]) {
        let candidates = self.scanner.candidates(candle, findings);
        let n = self.scanner.bars();
        self.armed.retain(|(_, until)| n <= *until);
        let wanted = candidates.into_iter().filter(|candidate| rules.enabled.contains(&candidate.kind));
        self.armed.extend(wanted.map(|candidate| (candidate, n + MAX_ARMED_BARS)));
        while self.armed.len() > MAX_ARMED {
            self.armed.pop_front();
        }
    }

    /// Drops the armed setups that a minute has invalidated.
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
    market: &SetupMarket,
    instrument: &Instrument,
    closed: &Closed,
    now: Now,
) -> bool {
    // An instrument has at most one pending signal.
    let cooled = market.last_signal.is_none_or(|last| now.mono >= last + rules.cool_down.max(ttl));
    let fresh = now.wall - closed.ends_at() <= MAX_BAR_AGE;
    let in_killzone = Killzone::active_at(now.wall).is_some_and(|zone| rules.killzones.contains(&zone));
    let blackout = rules.blackout_windows.iter().any(|window| window.contains(now.wall));
    // The signal has to end before the market closes.
    let open = instrument.session.is_open(now.wall) && instrument.session.is_open(now.wall + ttl);
    !market.armed.is_empty() && market.scanner.bars() >= MIN_BARS && cooled && fresh && in_killzone && !blackout && open
}

/// Makes the signal of a candidate, if price is near its entry and its levels are valid.
fn signal(
    rules: &SetupRules,
    ttl: Duration,
    market: &SetupMarket,
    candidate: &SetupCandidate,
    instrument: &Instrument,
    closed: &Closed,
    now: Now,
) -> Option<NewSetup> {
    let atr = market.scanner.atr()?;
    let bar = &closed.bar;
    let spread = market.spread.value().unwrap_or_default().max(bar.spread());
    let yardstick = levels::Yardstick { atr, spread, close: bar.mid.close };
    let levels = levels::place(rules, candidate, instrument, &yardstick)?;
    let score = score::score(candidate, market.higher.structure().trend(), atr, now.wall);
    if score.value() < rules.min_score {
        return None;
    }
    let mapped = rules.calibration.as_ref().map(|map| map.apply(score.value()));
    let (confidence, calibration) = mapped.map_or((score.value(), None), |(mapped, applied)| (mapped, Some(applied)));
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
        confidence: Some(confidence),
        killzone: Killzone::active_at(now.wall),
        model: Some(MODEL.to_owned()),
        ..SignalDraft::default()
    };
    let name = format!("{}|{}|{}", instrument.symbol, candidate.kind.name(), closed_at.timestamp_millis());
    let id = SignalId::from(Uuid::new_v5(&NAMESPACE, name.as_bytes()));
    let signal = Signal::create(id, &draft, instrument, SourceName::new(SourceName::SETUPS), now, ttl).ok()?;
    let signal = Signal { calibration, ..signal };
    Some(NewSetup { signal, zone_far: candidate.zone_far })
}
