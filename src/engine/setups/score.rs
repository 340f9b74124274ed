//! The model score of a setup: a sum of stated parts.
//!
//! It is no probability. Whether a higher score means a better signal is what the recorded outcomes have to show.

use chrono::{DateTime, Utc};

use super::find::Candidate;
use crate::domain::{Direction, Killzone};

const BASE: f64 = 0.50;

/// What spoke for a setup and against it, and how much.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Score(Vec<(&'static str, f64)>);

/// Adds up what is known.
pub(super) fn score(candidate: &Candidate, higher: Option<Direction>, atr: f64, at: DateTime<Utc>) -> Score {
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
    let said = parts.into_iter().filter(|(_, _, applies)| *applies).map(|(name, weight, _)| (name, weight));
    Score(std::iter::once(("base", BASE)).chain(said).collect())
}

impl Score {
    /// The sum, 0–1 by construction.
    pub(super) fn value(&self) -> f64 {
        self.0.iter().map(|(_, weight)| weight).sum()
    }

    /// The sum and its parts, in words.
    pub(super) fn describe(&self) -> String {
        let parts: Vec<_> = self.0.iter().map(|(name, weight)| format!("{weight:+.2} {name}")).collect();
        format!("score {:.2} = {}", self.value(), parts.join(" ").trim_start_matches('+'))
    }
}
