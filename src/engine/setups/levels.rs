//! Entry, stop and targets of a setup, on the instrument's grid.

use super::find::Candidate;
use crate::domain::{Instrument, SetupRules};

/// The stop stands beyond the extreme by this part of the average true range, and a spread.
const BEYOND: f64 = 0.1;

/// What distances are measured in.
pub(super) struct Yardstick {
    /// Average true range.
    pub(super) atr: f64,
    /// What bid and ask are usually apart.
    pub(super) spread: f64,
    /// Last price.
    pub(super) close: f64,
}

/// Levels, sound and on the grid.
#[derive(Debug, PartialEq)]
pub(super) struct Levels {
    pub(super) entry: f64,
    pub(super) stop: f64,
    pub(super) targets: Vec<f64>,
    /// `TP1 30%` and so on.
    pub(super) modes: Vec<String>,
}

/// Lays the levels; `None` when the entry is out of reach or the risk too large. A stop nearer than the least risk
/// is moved out to it: nearer ones are hit by the spread.
pub(super) fn lay(
    rules: &SetupRules,
    candidate: &Candidate,
    instrument: &Instrument,
    Yardstick { atr, spread, close }: &Yardstick,
) -> Option<Levels> {
    let sign = candidate.direction.sign();
    let away = sign * (close - candidate.entry);
    // A long is filled when the ask is there: half a spread above the mid that the bars are made of.
    let entry = instrument.round(candidate.entry + sign * spread / 2.0);
    if !(0.0..=rules.reach_atr * atr).contains(&away) {
        return None;
    }
    let beyond = sign * (entry - candidate.wrong_at) + BEYOND * atr + spread;
    let least = (rules.min_spreads * spread).max(rules.min_atr * atr).max(instrument.tick_size);
    let risk = beyond.max(least);
    if risk > rules.max_atr * atr {
        return None;
    }
    // Rounded outwards, so that the risk does not fall below the least.
    let ticks = (risk / instrument.tick_size - 1e-6).ceil();
    let at = |ratio: f64| instrument.round(entry + sign * ratio * ticks * instrument.tick_size);
    let modes = rules.targets.iter().zip(1..).map(|(target, n)| format!("TP{n} {}%", target.share));
    Some(Levels {
        entry,
        stop: at(-1.0),
        targets: rules.targets.iter().map(|target| at(target.ratio)).collect(),
        modes: modes.collect(),
    })
}
