//! Statistics of outcomes. Formulas as freqtrade, Lean and Murphy (1973) have them; all results in R.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Outcome, OutcomeClass};

/// Below so many outcomes a rate says next to nothing.
pub const FEW: usize = 30;
/// Quantile of the 95 % interval.
const Z: f64 = 1.96;

/// A rate with the interval that it may as well have (Wilson, 95 %).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// The rate that was seen.
    pub rate: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

impl Rate {
    /// `part` of `whole`; `None` of nothing.
    pub fn of(part: usize, whole: usize) -> Option<Self> {
        if whole == 0 {
            return None;
        }
        let n = whole as f64;
        let p = part as f64 / n;
        let middle = p + Z * Z / (2.0 * n);
        let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        Some(Self { rate: p, low: ((middle - half) / scale).max(0.0), high: ((middle + half) / scale).min(1.0) })
    }
}

/// Statistics of some outcomes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// Confirmed signals whose record has ended.
    pub signals: usize,
    /// Those with a position that was watched to its end: what all below is made of.
    pub trades: usize,
    /// Whether that is fewer than 30.
    pub few: bool,
    /// Trades whose record went on over a time when the server was down.
    pub with_gap: usize,
    /// How the records ended.
    pub classes: BTreeMap<OutcomeClass, usize>,
    /// Trades with `r` above 0.
    pub win_rate: Option<Rate>,
    /// Trades that reached their first target before the stop.
    pub first_target_rate: Option<Rate>,
    /// Mean result.
    pub expectancy_r: Option<f64>,
    /// Sum of all results.
    pub total_r: f64,
    /// Sum of the wins through the sum of the losses; `None` without losses.
    pub profit_factor: Option<f64>,
    /// Deepest fall of the running sum below its highest point so far, in the order in which the records ended; at least 0.
    pub max_drawdown_r: f64,
    /// Mean of the best prices.
    pub mean_mfe: Option<f64>,
    /// Mean of the worst prices.
    pub mean_mae: Option<f64>,
    /// Mean squared error of the model score against "first target before the stop"; always saying 0.5 has 0.25.
    pub brier: Option<f64>,
}

impl Stats {
    /// Statistics of `outcomes`, in any order.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let mut all: Vec<&Outcome> = outcomes.into_iter().collect();
        all.sort_by(|a, b| (a.closed_at, &a.signal).cmp(&(b.closed_at, &b.signal)));
        let mut classes = BTreeMap::new();
        for outcome in &all {
            *classes.entry(outcome.class).or_default() += 1;
        }
        let trades: Vec<&Outcome> = all.iter().copied().filter(|outcome| outcome.counts()).collect();
        let n = trades.len();
        let mean = |sum: f64| (n > 0).then(|| sum / n as f64);
        let sum = |of: fn(&Outcome) -> f64| trades.iter().map(|outcome| of(outcome)).sum::<f64>();
        let wins: f64 = trades.iter().map(|outcome| outcome.r.max(0.0)).sum();
        let losses: f64 = trades.iter().map(|outcome| (-outcome.r).max(0.0)).sum();
        let squared = |outcome: &Outcome| {
            let reached = f64::from(u8::from(outcome.targets_hit > 0));
            (outcome.confidence - reached).powi(2)
        };
        Self {
            signals: all.len(),
            trades: n,
            few: n < FEW,
            with_gap: trades.iter().filter(|outcome| outcome.gap_seconds > 0).count(),
            classes,
            win_rate: Rate::of(trades.iter().filter(|outcome| outcome.r > 0.0).count(), n),
            first_target_rate: Rate::of(trades.iter().filter(|outcome| outcome.targets_hit > 0).count(), n),
            expectancy_r: mean(sum(|outcome| outcome.r)),
            // `+ 0.0` turns the −0.0 of no trades into 0.0.
            total_r: sum(|outcome| outcome.r) + 0.0,
            profit_factor: (losses > 0.0).then(|| wins / losses),
            max_drawdown_r: drawdown(trades.iter().map(|outcome| outcome.r)),
            mean_mfe: mean(sum(|outcome| outcome.mfe)),
            mean_mae: mean(sum(|outcome| outcome.mae)),
            brier: mean(trades.iter().map(|outcome| squared(outcome)).sum()),
        }
    }
}

fn drawdown(results: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut top, mut deepest) = (0.0f64, 0.0f64, 0.0f64);
    for r in results {
        sum += r;
        top = top.max(sum);
        deepest = deepest.max(top - sum);
    }
    deepest
}

/// Statistics of everything, and broken down.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Breakdown {
    /// Everything.
    pub all: Stats,
    /// By instrument.
    pub symbol: BTreeMap<String, Stats>,
    /// By setup; `other` where the reason names none.
    pub setup: BTreeMap<String, Stats>,
    /// By window of the trading day.
    pub killzone: BTreeMap<String, Stats>,
    /// By sender.
    pub source: BTreeMap<String, Stats>,
    /// By model score in tenths: `0.7` is 0.7 up to 0.8, `0.9` includes 1.
    pub confidence: BTreeMap<String, Stats>,
}

impl Breakdown {
    /// Breaks `outcomes` down.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let by = |key: &dyn Fn(&Outcome) -> String| {
            let mut groups: BTreeMap<String, Vec<&Outcome>> = BTreeMap::new();
            for outcome in outcomes {
                groups.entry(key(outcome)).or_default().push(outcome);
            }
            groups.into_iter().map(|(key, group)| (key, Stats::of(group))).collect()
        };
        Self {
            all: Stats::of(outcomes),
            symbol: by(&|outcome| outcome.symbol.to_string()),
            setup: by(&|outcome| outcome.setup.map_or("other", |setup| setup.name()).to_owned()),
            killzone: by(&|outcome| outcome.killzone.name().to_owned()),
            source: by(&|outcome| outcome.source.to_string()),
            // A score has four decimals at most; the small addition keeps 0.7 out of the tenth below.
            confidence: by(&|outcome| format!("0.{}", ((outcome.confidence * 10.0 + 1e-6) as u8).min(9))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Direction, Feed, Killzone, SetupKind, SignalId, SourceName, Symbol, parse_time};

    fn outcome(minute: u32, r: f64, targets_hit: usize, class: OutcomeClass, confidence: f64) -> Outcome {
        let at = parse_time(&format!("2026-01-15T15:{minute:02}:00Z")).unwrap();
        Outcome {
            signal: SignalId::new(&format!("s{minute}")).unwrap(),
            symbol: Symbol::new("EURUSD"),
            direction: Direction::Long,
            setup: Some(SetupKind::MssFvg),
            killzone: Killzone::NyAm,
            source: SourceName::new("ict"),
            confidence,
            feed: Some(Feed::Live),
            entry: Some(1.1),
            stop: Some(1.099),
            fill: Some(1.1),
            confirmed_at: at,
            closed_at: at,
            class,
            targets_hit,
            targets: 3,
            r,
            mfe: r.max(0.0),
            mae: r.min(0.0),
            gap_seconds: u64::from(minute == 3),
        }
    }

    #[test]
    fn a_hand_made_record_has_the_statistics_of_the_textbook() {
        use OutcomeClass::{Ambiguous, NotFilled, Stop, Targets};
        let outcomes = [
            outcome(5, -1.0, 0, Ambiguous, 0.7),
            outcome(1, 2.0, 3, Targets, 0.7),
            outcome(3, -1.0, 0, Stop, 0.5),
            outcome(4, 0.0, 0, NotFilled, 0.9),
            outcome(6, 0.5, 1, Stop, 0.65),
        ];
        let stats = Stats::of(&outcomes);
        assert_eq!((stats.signals, stats.trades, stats.few, stats.with_gap), (5, 4, true, 1));
        assert_eq!((stats.expectancy_r, stats.total_r, stats.profit_factor), (Some(0.125), 0.5, Some(1.25)));
        assert_eq!(stats.max_drawdown_r, 2.0, "from +2 to 0");
        let brier = (0.3f64.powi(2) + 0.5f64.powi(2) + 0.7f64.powi(2) + 0.35f64.powi(2)) / 4.0;
        assert!((stats.brier.unwrap() - brier).abs() < 1e-12);
        // Wilson's interval of 2 out of 4.
        let rate = stats.win_rate.unwrap();
        assert!((rate.rate - 0.5).abs() < 1e-12 && (rate.low - 0.150_036).abs() < 1e-5, "{rate:?}");
        assert!((rate.high - 0.849_964).abs() < 1e-5, "{rate:?}");
        let breakdown = Breakdown::of(&outcomes);
        assert_eq!(breakdown.confidence.keys().collect::<Vec<_>>(), ["0.5", "0.6", "0.7", "0.9"]);
        assert_eq!(breakdown.setup["MSS+FVG"], breakdown.all);
    }

    #[test]
    fn of_nothing_nothing_is_known() {
        let stats = Stats::of([]);
        assert_eq!((stats.win_rate, stats.expectancy_r, stats.profit_factor, stats.brier), (None, None, None, None));
    }
}
