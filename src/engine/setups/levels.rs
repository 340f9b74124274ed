//! Computes entry, stop and targets of a setup on the instrument's grid.

use super::find::SetupCandidate;
use crate::domain::{Instrument, SetupRules};

/// The stop lies beyond the extreme by this share of the average true range, plus a spread.
const STOP_MARGIN: f64 = 0.1;

/// The units of distances.
pub(super) struct Yardstick {
    /// Average true range.
    pub(super) atr: f64,
    /// The usual spread.
    pub(super) spread: f64,
    /// Last price.
    pub(super) close: f64,
}

/// The levels, checked and on the grid.
#[derive(Debug, PartialEq)]
pub(super) struct SetupLevels {
    pub(super) entry: f64,
    pub(super) stop: f64,
    pub(super) targets: Vec<f64>,
    /// `TP1 30%` and so on.
    pub(super) modes: Vec<String>,
}

/// Computes the levels. Returns `None` when the entry is out of reach or the risk too large. A stop that is nearer than
/// the minimum risk is moved to it, because the spread alone could touch it.
pub(super) fn place(
    rules: &SetupRules,
    candidate: &SetupCandidate,
    instrument: &Instrument,
    Yardstick { atr, spread, close }: &Yardstick,
) -> Option<SetupLevels> {
    let sign = candidate.direction.sign();
    let away = sign * (close - candidate.entry);
    // Bars are made of mids, and a long is filled at the ask, half a spread above.
    let entry = instrument.round(candidate.entry + sign * spread / 2.0);
    if !(0.0..=rules.reach_atr * atr).contains(&away) {
        return None;
    }
    let beyond = sign * (entry - candidate.wrong_at) + STOP_MARGIN * atr + spread;
    let least = (rules.min_spreads * spread).max(rules.min_atr * atr).max(instrument.tick_size);
    let risk = beyond.max(least);
    if risk > rules.max_atr * atr {
        return None;
    }
    // Rounded up, so that the risk does not fall below the minimum.
    let ticks = (risk / instrument.tick_size - 1e-6).ceil();
    let at = |ratio: f64| instrument.round(entry + sign * ratio * ticks * instrument.tick_size);
    let modes = rules.targets.iter().zip(1..).map(|(target, n)| format!("TP{n} {}%", target.share));
    Some(SetupLevels {
        entry,
        stop: at(-1.0),
        targets: rules.targets.iter().map(|target| at(target.ratio)).collect(),
        modes: modes.collect(),
    })
}
