//! The model score of a setup: a sum of named parts.
//!
//! It is not a probability. The recorded outcomes have to show whether a higher score means a better signal.

use chrono::{DateTime, Utc};

use super::find::SetupCandidate;
use crate::domain::{Direction, Killzone};

const BASE: f64 = 0.50;

/// The named parts of a score with their weights.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Score(Vec<(&'static str, f64)>);

/// Computes the score of a candidate.
pub(super) fn score(candidate: &SetupCandidate, higher: Option<Direction>, atr: f64, at: DateTime<Utc>) -> Score {
    let reward = (candidate.entry - candidate.wrong_at).abs() / atr;
    let parts = [
        ("sweep", 0.10, candidate.after_sweep || candidate.takes_level),
        ("displacement", 0.05, candidate.displacement >= 1.0),
        ("strong displacement", 0.05, candidate.displacement >= 2.0),
        ("wide gap", 0.05, candidate.gap >= 0.25),
        ("hourly trend", 0.10, higher == Some(candidate.direction)),
        ("against the hourly trend", -0.10, higher.is_some_and(|trend| trend != candidate.direction)),
        ("London or New York", 0.05, matches!(Killzone::active_at(at), Some(Killzone::London | Killzone::NyAm))),
        ("near stop", 0.05, reward <= 1.5),
    ];
    let applied = parts.into_iter().filter(|(_, _, applies)| *applies).map(|(name, weight, _)| (name, weight));
    Score(std::iter::once(("base", BASE)).chain(applied).collect())
}

impl Score {
    /// Returns the sum, which is always 0–1.
    pub(super) fn value(&self) -> f64 {
        self.0.iter().map(|(_, weight)| weight).sum()
    }

    /// Describes the sum and its parts in words.
    pub(super) fn describe(&self) -> String {
        let parts: Vec<_> = self.0.iter().map(|(name, weight)| format!("{weight:+.2} {name}")).collect();
        format!("score {:.2} = {}", self.value(), parts.join(" ").trim_start_matches('+'))
    }
}
