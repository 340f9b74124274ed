//! Calibration of model scores: what came of signals with a score, how good the scores are as probabilities, and a mapping that
//! makes them better.
//!
//! A signal came true when its first target was reached before the stop. The mapping is isotonic: of all mappings that rise with
//! the score, the one with the least squared error, by the pool-adjacent-violators algorithm (Ayer et al. 1955). The Brier score
//! is decomposed by Murphy (1973) in ten bins.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;

use super::overfitting::{BlockSamples, SAMPLES, interval_of};
use crate::domain::{CalibrationMap, CalibrationPoint, Feed, RateEstimate, TradeOutcome, iso};

/// The share of the outcomes, from the first, that a mapping is made from to be tried on the others.
const FIT_PERCENT: usize = 70;

/// Which outcomes are read, and how many are needed.
#[derive(Debug, Clone)]
pub struct CalibrationOptions {
    /// The sender of the signals.
    pub source: String,
    /// The feeds of their prices.
    pub feeds: Vec<Feed>,
    /// With fewer outcomes no mapping is suggested.
    pub minimum: usize,
}

/// The report on the scores of a sender.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CalibrationReport {
    /// The version of the program.
    version: &'static str,
    /// What the report shows, in sentences.
    pub sentences: Vec<String>,
    /// The sender.
    pub source: String,
    /// The outcomes with a position.
    pub outcomes: usize,
    /// Those that reached their first target before the stop.
    pub came_true: usize,
    /// When the first of them ended.
    pub from: Option<String>,
    /// When the last of them ended.
    pub to: Option<String>,
    /// With fewer outcomes no mapping is suggested.
    pub minimum: usize,
    /// The reliability curve: tenths of the score with outcomes.
    pub curve: Vec<CurveBin>,
    /// How good the scores are as probabilities.
    pub brier: Option<BrierDecomposition>,
    /// A mapping of the first outcomes, tried on the others.
    pub held_out: Option<HeldOutBrier>,
    /// The suggested mapping.
    pub mapping: Option<SuggestedMapping>,
}

/// The outcomes of a tenth of the score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurveBin {
    /// The least score of the bin.
    pub from: f64,
    /// The number of outcomes.
    pub outcomes: usize,
    /// The mean of their scores.
    pub mean_score: f64,
    /// The rate of those that came true, with the 95 % interval of Wilson.
    pub came_true: RateEstimate,
}

/// `brier = reliability − resolution + uncertainty + within_bins`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BrierDecomposition {
    /// The mean squared error of the score: 0 is perfect, a constant 0.5 has 0.25.
    pub brier: f64,
    /// How far the bins are from the diagonal: 0 is calibrated.
    pub reliability: f64,
    /// How far the bins are from the mean rate: more is better.
    pub resolution: f64,
    /// What the mean rate alone would have.
    pub uncertainty: f64,
    /// What the scores differ within their bins.
    pub within_bins: f64,
    /// `1 − brier / uncertainty`: above 0, the score is better than the mean rate. `None` where all or none came true.
    pub skill: Option<f64>,
    /// The mean distance of the bins from the diagonal (ECE).
    pub calibration_error: f64,
}

/// The Brier score of outcomes that the mapping has not seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeldOutBrier {
    /// The number of outcomes: the last 30 %.
    pub outcomes: usize,
    /// The Brier score of the model score.
    pub brier: f64,
    /// That of the score as a mapping of the first 70 % has it.
    pub mapped_brier: f64,
}

/// The suggested mapping.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuggestedMapping {
    /// The mapping itself.
    #[serde(skip)]
    pub map: CalibrationMap,
    /// Its version.
    pub version: String,
    /// Its points, by score.
    pub points: Vec<MappedScore>,
}

/// A point of the suggested mapping.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MappedScore {
    /// The score.
    pub score: f64,
    /// The number of outcomes with it.
    pub outcomes: usize,
    /// The number of those that came true.
    pub came_true: usize,
    /// What it is mapped to.
    pub confidence: f64,
    /// The lower bound of the 95 % interval, by the moving-block bootstrap.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

/// An outcome: its score in ten thousandths, and whether it came true.
type ScoredOutcome = (u32, bool);

/// The number of outcomes and of those that came true, by score.
type Groups = BTreeMap<u32, (usize, usize)>;

fn score(ten_thousandths: u32) -> f64 {
    f64::from(ten_thousandths) / 1e4
}

fn groups(samples: impl IntoIterator<Item = ScoredOutcome>) -> Groups {
    let mut groups = Groups::new();
    for (score, came_true) in samples {
        let (outcomes, true_ones) = groups.entry(score).or_default();
        *outcomes += 1;
        *true_ones += usize::from(came_true);
    }
    groups
}

/// Returns the isotonic mapping of groups: neighbours that fall are pooled until none does.
fn isotonic(groups: &Groups) -> Vec<CalibrationPoint> {
    let mut pools: Vec<(usize, usize, usize)> = Vec::new();
    for &(outcomes, came_true) in groups.values() {
        let mut pool = (outcomes, came_true, 1);
        while let Some(&(before, before_true, scores)) = pools.last()
            && before_true * pool.0 >= pool.1 * before
        {
            pools.pop();
            pool = (pool.0 + before, pool.1 + before_true, pool.2 + scores);
        }
        pools.push(pool);
    }
    let rates = pools
        .iter()
        .flat_map(|&(outcomes, came_true, scores)| std::iter::repeat_n(came_true as f64 / outcomes as f64, scores));
    groups.keys().zip(rates).map(|(key, confidence)| CalibrationPoint { score: score(*key), confidence }).collect()
}

fn brier(samples: &[ScoredOutcome], predict: impl Fn(f64) -> f64) -> f64 {
    let errors =
        samples.iter().map(|(key, came_true)| (predict(score(*key)) - f64::from(u8::from(*came_true))).powi(2));
    errors.sum::<f64>() / samples.len() as f64
}

/// Returns the samples of each tenth of the score that has any; the last one includes 1.
fn tenths(samples: &[ScoredOutcome]) -> BTreeMap<u32, Vec<ScoredOutcome>> {
    let mut tenths: BTreeMap<u32, Vec<ScoredOutcome>> = BTreeMap::new();
    for sample in samples {
        tenths.entry((sample.0 / 1_000).min(9)).or_default().push(*sample);
    }
    tenths
}

fn curve(samples: &[ScoredOutcome]) -> Vec<CurveBin> {
    let bin = |(tenth, samples): (u32, Vec<ScoredOutcome>)| {
        let came_true = samples.iter().filter(|(_, came_true)| *came_true).count();
        Some(CurveBin {
            from: f64::from(tenth) / 10.0,
            outcomes: samples.len(),
            mean_score: samples.iter().map(|(key, _)| score(*key)).sum::<f64>() / samples.len() as f64,
            came_true: RateEstimate::of(came_true, samples.len())?,
        })
    };
    tenths(samples).into_iter().filter_map(bin).collect()
}

impl BrierDecomposition {
    /// `None` without outcomes.
    fn of(samples: &[ScoredOutcome], curve: &[CurveBin]) -> Option<Self> {
        if samples.is_empty() {
            return None;
        }
        let n = samples.len() as f64;
        let rate = samples.iter().filter(|(_, came_true)| *came_true).count() as f64 / n;
        let over_bins =
            |of: &dyn Fn(&CurveBin) -> f64| curve.iter().map(|bin| bin.outcomes as f64 / n * of(bin)).sum::<f64>();
        let brier = brier(samples, |score| score);
        let reliability = over_bins(&|bin| (bin.mean_score - bin.came_true.rate).powi(2));
        let resolution = over_bins(&|bin| (bin.came_true.rate - rate).powi(2));
        let uncertainty = rate * (1.0 - rate);
        Some(Self {
            brier,
            reliability,
            resolution,
            uncertainty,
            within_bins: brier - (reliability - resolution + uncertainty),
            skill: (uncertainty > 0.0).then(|| 1.0 - brier / uncertainty),
            calibration_error: over_bins(&|bin| (bin.mean_score - bin.came_true.rate).abs()),
        })
    }
}

impl HeldOutBrier {
    fn of(samples: &[ScoredOutcome]) -> Option<Self> {
        let (first, last) = samples.split_at(samples.len() * FIT_PERCENT / 100);
        let map = CalibrationMap::new(isotonic(&groups(first.iter().copied()))).ok()?;
        let mapped_brier = brier(last, |score| map.confidence(score));
        Some(Self { outcomes: last.len(), brier: brier(last, |score| score), mapped_brier })
    }
}

impl SuggestedMapping {
    fn of(samples: &[ScoredOutcome]) -> Option<Self> {
        let all = groups(samples.iter().copied());
        let points = isotonic(&all);
        let map = CalibrationMap::new(points.clone()).ok()?;
        let mut blocks = BlockSamples::new(samples.len());
        let mut resampled: Vec<Vec<f64>> = all.keys().map(|_| Vec::with_capacity(SAMPLES)).collect();
        for _ in 0..SAMPLES {
            let taken: Vec<Range<usize>> = blocks.next_sample();
            let taken = taken.into_iter().flat_map(|range| samples[range].iter().copied());
            // A resampled mapping has at least one point, and rises.
            let map = CalibrationMap::new(isotonic(&groups(taken))).ok()?;
            for (values, key) in resampled.iter_mut().zip(all.keys()) {
                values.push(map.confidence(score(*key)));
            }
        }
        let with_interval =
            |((point, (outcomes, came_true)), values): ((CalibrationPoint, &(usize, usize)), Vec<f64>)| {
                let (low, high) = interval_of(values);
                let CalibrationPoint { score, confidence } = point;
                MappedScore { score, outcomes: *outcomes, came_true: *came_true, confidence, low, high }
            };
        let points = points.into_iter().zip(all.values()).zip(resampled).map(with_interval).collect();
        Some(Self { version: map.version().to_owned(), map, points })
    }
}

impl CalibrationReport {
    /// Makes the report of recorded outcomes, in any order.
    pub fn new(outcomes: &[TradeOutcome], options: &CalibrationOptions) -> Self {
        let CalibrationOptions { source, feeds, minimum } = options;
        let is_of = |outcome: &&TradeOutcome| {
            outcome.counts()
                && outcome.source.as_str() == source
                && outcome.feed.is_some_and(|feed| feeds.contains(&feed))
        };
        let mut counted: Vec<&TradeOutcome> = outcomes.iter().filter(is_of).collect();
        counted.sort_by(|a, b| (a.closed_at, &a.signal).cmp(&(b.closed_at, &b.signal)));
        let sample = |outcome: &&TradeOutcome| {
            let score = outcome.calibration.as_ref().map_or(outcome.confidence, |applied| applied.score);
            ((score.clamp(0.0, 1.0) * 1e4).round() as u32, outcome.targets_hit > 0)
        };
        let samples: Vec<ScoredOutcome> = counted.iter().map(sample).collect();
        let curve = curve(&samples);
        let enough = samples.len() >= (*minimum).max(2);
        let mut report = Self {
            version: env!("CARGO_PKG_VERSION"),
            sentences: Vec::new(),
            source: source.clone(),
            outcomes: samples.len(),
            came_true: samples.iter().filter(|(_, came_true)| *came_true).count(),
            from: counted.first().map(|outcome| iso(outcome.closed_at)),
            to: counted.last().map(|outcome| iso(outcome.closed_at)),
            minimum: *minimum,
            brier: BrierDecomposition::of(&samples, &curve),
            curve,
            held_out: enough.then(|| HeldOutBrier::of(&samples)).flatten(),
            mapping: enough.then(|| SuggestedMapping::of(&samples)).flatten(),
        };
        report.sentences = report.describe();
        report
    }

    fn describe(&self) -> Vec<String> {
        let Self { source, outcomes, came_true, minimum, .. } = self;
        let mut sentences = vec![format!(
            "{outcomes} outcomes of the source {source}; {came_true} reached their first target before the stop."
        )];
        if self.mapping.is_none() {
            sentences.push(format!("Not enough to suggest a mapping: at least {minimum} outcomes are needed."));
        }
        if let Some(skill) = self.brier.and_then(|brier| brier.skill) {
            let than = if skill > 0.0 { "better" } else { "no better" };
            sentences.push(format!("As a probability, the score is {than} than the mean rate (skill {skill:+.3})."));
        }
        if let Some(HeldOutBrier { outcomes, brier, mapped_brier }) = self.held_out {
            let helps = if mapped_brier < brier { "helps" } else { "does not help" };
            sentences.push(format!(
                "A mapping of the first {FIT_PERCENT} % {helps} in the last {outcomes} outcomes: Brier score {mapped_brier:.4} instead \
                 of {brier:.4}."
            ));
        }
        sentences
    }

    /// Renders the report for a terminal.
    pub fn table(&self) -> String {
        let mut lines = vec![format!("{:<10}{:>10}{:>12}   {}", "score", "outcomes", "mean score", "came true (95 %)")];
        for CurveBin { from, outcomes, mean_score, came_true: RateEstimate { rate, low, high } } in &self.curve {
            lines.push(format!(
                "{:<10}{outcomes:>10}{mean_score:>12.3}   {rate:.3} ({low:.3}–{high:.3})",
                format!("{from:.1}–{:.1}", from + 0.1)
            ));
        }
        if let Some(brier) = &self.brier {
            let BrierDecomposition {
                brier, reliability, resolution, uncertainty, within_bins, calibration_error, ..
            } = brier;
            lines.push(String::new());
            lines.push(format!(
                "Brier score {brier:.4} = reliability {reliability:.4} − resolution {resolution:.4} + uncertainty {uncertainty:.4} + \
                 within bins {within_bins:.4}; calibration error {calibration_error:.4}"
            ));
        }
        if let Some(SuggestedMapping { version, points, .. }) = &self.mapping {
            lines.push(String::new());
            lines.push(format!("mapping {version} (isotonic)"));
            lines.push(format!("{:<10}{:>10}   {}", "score", "outcomes", "confidence (95 %)"));
            for MappedScore { score, outcomes, confidence, low, high, .. } in points {
                lines.push(format!("{score:<10}{outcomes:>10}   {confidence:.3} ({low:.3}–{high:.3})"));
            }
        }
        lines.push(String::new());
        lines.extend(self.sentences.iter().cloned());
        lines.push(String::new());
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(groups: &[(u32, usize, usize)]) -> Vec<ScoredOutcome> {
        let of = |&(key, outcomes, came_true): &(u32, usize, usize)| (0..outcomes).map(move |n| (key, n < came_true));
        groups.iter().flat_map(of).collect()
    }

    fn fitted(list: &[(u32, usize, usize)]) -> Vec<f64> {
        isotonic(&groups(samples(list))).iter().map(|point| point.confidence).collect()
    }

    #[test]
    fn violators_are_pooled_with_their_neighbours() {
        assert_eq!(fitted(&[(4_000, 4, 1), (5_000, 4, 2), (6_000, 4, 3)]), [0.25, 0.5, 0.75]);
        // 3/4 and 1/4 make 4/8; the last one of 1/4 brings all of them down to 5/12.
        assert_eq!(fitted(&[(4_000, 4, 3), (5_000, 4, 1), (6_000, 4, 1)]), [5.0 / 12.0; 3]);
        assert_eq!(fitted(&[(4_000, 10, 1), (5_000, 2, 2), (6_000, 6, 4)]), [0.1, 0.75, 0.75]);
    }

    #[test]
    fn the_parts_of_the_brier_score_add_up() {
        // Two scores in one bin, and one in another, by hand.
        let samples = samples(&[(4_000, 4, 1), (4_500, 4, 3), (8_000, 2, 2)]);
        let curve = curve(&samples);
        assert_eq!(curve.iter().map(|bin| (bin.from, bin.outcomes)).collect::<Vec<_>>(), [(0.4, 8), (0.8, 2)]);
        let found = BrierDecomposition::of(&samples, &curve).unwrap();
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} is not {b}");
        close(found.brier, (3.0 * 0.16 + 0.36 + 0.2025 + 3.0 * 0.3025 + 2.0 * 0.04) / 10.0);
        close(found.reliability, 0.8 * (0.425f64 - 0.5).powi(2) + 0.2 * 0.04);
        close(found.resolution, 0.8 * 0.01 + 0.2 * 0.16);
        close(found.uncertainty, 0.24);
        close(found.brier, found.reliability - found.resolution + found.uncertainty + found.within_bins);
        close(found.calibration_error, 0.8 * 0.075 + 0.2 * 0.2);
        assert_eq!(BrierDecomposition::of(&[], &[]), None);
    }

    #[test]
    fn an_interval_holds_its_point() {
        let mixed: Vec<ScoredOutcome> = samples(&[(4_000, 100, 30), (6_000, 100, 60)]);
        // In turns, so that blocks have both.
        let turns = (0..100).flat_map(|n| [mixed[(n * 37) % 100], mixed[100 + (n * 37) % 100]]).collect::<Vec<_>>();
        let mapping = SuggestedMapping::of(&turns).unwrap();
        assert_eq!(mapping, SuggestedMapping::of(&turns).unwrap(), "the generator is seeded");
        for point in &mapping.points {
            assert!(point.low < point.confidence && point.confidence < point.high, "{point:?}");
            assert!(point.high - point.low < 0.3, "{point:?}");
        }
    }
}
