//! What the number of tries does to a result: the probabilistic and the deflated Sharpe ratio, the probability of backtest
//! overfitting, and intervals by the block bootstrap. All ratios are per period (here: per trading day), not per year.
//!
//! Sources: D. H. Bailey, M. López de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15 (2012), and "The
//! Deflated Sharpe Ratio", Journal of Portfolio Management 40 (2014); D. H. Bailey, J. M. Borwein, M. López de Prado,
//! Q. J. Zhu, "The Probability of Backtest Overfitting", Journal of Computational Finance 20 (2016); H. R. Künsch, "The
//! Jackknife and the Bootstrap for General Stationary Observations", Annals of Statistics 17 (1989).

#[cfg(test)]
mod published;

use std::ops::Range;

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal};

/// Euler's constant, of the expected maximum of normal variables.
const EULER_MASCHERONI: f64 = 0.577_215_664_901_532_9;

/// The parts that a probability of overfitting divides the days into: 12,870 ways to choose half of them.
const PARTS: usize = 16;
/// The number of samples of a bootstrap.
pub(super) const SAMPLES: usize = 2_000;

/// The moments of a series of results.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moments {
    /// The number of results.
    pub count: usize,
    /// The mean.
    pub mean: f64,
    /// The standard deviation, of a sample (divided by `count − 1`).
    pub deviation: f64,
    /// The skewness of the population; 0 for a normal series.
    pub skewness: f64,
    /// The kurtosis of the population, not the excess; 3 for a normal series.
    pub kurtosis: f64,
}

impl Moments {
    /// Returns the moments of `results`; `None` with fewer than two, or when all are equal.
    pub(super) fn of(results: &[f64]) -> Option<Self> {
        let count = results.len();
        let n = count as f64;
        let mean = results.iter().sum::<f64>() / n;
        let central = |power: i32| results.iter().map(|result| (result - mean).powi(power)).sum::<f64>() / n;
        let variance = central(2);
        if count < 2 || results.iter().all(|result| *result == results[0]) {
            return None;
        }
        Some(Self {
            count,
            mean,
            deviation: (variance * n / (n - 1.0)).sqrt(),
            skewness: central(3) / variance.powf(1.5),
            kurtosis: central(4) / (variance * variance),
        })
    }

    /// Returns the Sharpe ratio per period, without a risk-free rate.
    pub(super) fn sharpe(&self) -> f64 {
        self.mean / self.deviation
    }

    /// Returns the probability that the true Sharpe ratio is above `benchmark`, given the length of the series, its skewness
    /// and its kurtosis (PSR).
    pub(super) fn probabilistic_sharpe(&self, benchmark: f64) -> f64 {
        probabilistic_sharpe(self.sharpe(), benchmark, self.count, self.skewness, self.kurtosis)
    }
}

/// Returns the probability that the true Sharpe ratio is above `benchmark`, when `sharpe` was measured over `count` periods
/// whose results have this skewness and kurtosis (3 for normal ones). The variance of the estimate is at least that of no
/// variance: a rounding below 0 counts as 0.
fn probabilistic_sharpe(sharpe: f64, benchmark: f64, count: usize, skewness: f64, kurtosis: f64) -> f64 {
    let variance = 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe;
    normal().cdf((sharpe - benchmark) * (count as f64 - 1.0).sqrt() / variance.max(0.0).sqrt())
}

/// Returns the Sharpe ratio that the best of `tries` has to be expected to reach by chance, when the ratios of the tries
/// have this variance and a true mean of 0; 0 for one try.
pub(super) fn expected_maximum_sharpe(variance: f64, tries: usize) -> f64 {
    if tries < 2 {
        return 0.0;
    }
    let n = tries as f64;
    let quantile = |probability: f64| normal().inverse_cdf(probability);
    variance.sqrt()
        * ((1.0 - EULER_MASCHERONI) * quantile(1.0 - 1.0 / n)
            + EULER_MASCHERONI * quantile(1.0 - 1.0 / (n * std::f64::consts::E)))
}

fn normal() -> Normal {
    Normal::standard()
}

/// The outcome of combinatorially symmetric cross-validation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Overfitting {
    /// The number of ways in which the days were divided in two halves.
    pub splits: usize,
    /// How often the setting that was best in one half was no better than the median in the other, 0–1 (PBO).
    pub probability: f64,
    /// How often it lost in the other half, 0–1.
    pub loss_probability: f64,
    /// The median logit of its rank in the other half; below 0 means worse than the median.
    pub median_logit: f64,
}

impl Overfitting {
    /// Divides the periods into [`PARTS`] parts of equal length, takes every half of them as the sample in which the best of
    /// the settings is chosen by its Sharpe ratio, and ranks the chosen one in the other half. `results` has a row for each
    /// setting, of one result per period. `None` with fewer than two settings or too few periods. The last periods that
    /// fill no part are left out.
    pub(super) fn of(results: &[Vec<f64>]) -> Option<Self> {
        Self::with_parts(results, PARTS)
    }

    /// As [`of`](Self::of), with another even number of parts.
    fn with_parts(results: &[Vec<f64>], parts: usize) -> Option<Self> {
        let length = results.iter().map(Vec::len).min()? / parts;
        if results.len() < 2 || length == 0 {
            return None;
        }
        // The sums of each part are enough for the ratio of any set of parts.
        let sums: Vec<Vec<Sums>> =
            results.iter().map(|row| row.chunks_exact(length).take(parts).map(Sums::of).collect()).collect();
        let (mut logits, mut losses) = (Vec::new(), 0);
        for chosen in halves(parts) {
            let ratios = |inside: bool| -> Vec<f64> {
                let is_in = |part: usize| (chosen >> part & 1 == 1) == inside;
                let of = |row: &Vec<Sums>| (0..parts).filter(|part| is_in(*part)).map(|part| row[part]).sum::<Sums>();
                sums.iter().map(|row| of(row).sharpe()).collect()
            };
            let (inside, outside) = (ratios(true), ratios(false));
            let best = position_of_maximum(&inside);
            // Settings that are equal share the middle of their ranks: what no setting changes is no evidence for any.
            let below = outside.iter().filter(|ratio| **ratio < outside[best]).count() as f64;
            let equal = outside.iter().filter(|ratio| **ratio == outside[best]).count() as f64;
            let rank = (below + f64::midpoint(equal, 1.0)) / (results.len() as f64 + 1.0);
            logits.push((rank / (1.0 - rank)).ln());
            losses += usize::from(outside[best] < 0.0);
        }
        let splits = logits.len();
        logits.sort_by(f64::total_cmp);
        let share = |count: usize| count as f64 / splits as f64;
        Some(Self {
            splits,
            probability: share(logits.iter().filter(|logit| **logit <= 0.0).count()),
            loss_probability: share(losses),
            median_logit: f64::midpoint(logits[(splits - 1) / 2], logits[splits / 2]),
        })
    }
}

/// The sums of some results.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Sums {
    fn of(results: &[f64]) -> Self {
        Self {
            count: results.len() as f64,
            sum: results.iter().sum(),
            squares: results.iter().map(|result| result * result).sum(),
        }
    }

    /// Returns the Sharpe ratio; 0 where nothing varies, as for a setting without trades.
    fn sharpe(self) -> f64 {
        let mean = self.sum / self.count;
        let variance = (self.squares - self.sum * mean) / (self.count - 1.0);
        if variance > 1e-18 { mean / variance.sqrt() } else { 0.0 }
    }
}

impl std::iter::Sum for Sums {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |a, b| Self {
            count: a.count + b.count,
            sum: a.sum + b.sum,
            squares: a.squares + b.squares,
        })
    }
}

/// Returns every choice of half of `parts`, as sets of bits, in ascending order.
fn halves(parts: usize) -> impl Iterator<Item = u32> {
    (0..1_u32 << parts).filter(move |set| set.count_ones() as usize * 2 == parts)
}

/// Returns the place of the largest value, the first of equal ones.
fn position_of_maximum(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, place| if values[place] > values[best] { place } else { best })
}

/// Returns the 95 % interval of the mean of `results` by the moving-block bootstrap: blocks of `⌈n^(1/3)⌉` results in a row
/// keep what neighbouring days have in common. `None` with fewer than two results. The same results always give the same
/// interval: the generator is `SplitMix64` with seed 0.
pub(super) fn bootstrap_interval(results: &[f64]) -> Option<(f64, f64)> {
    let n = results.len();
    if n < 2 {
        return None;
    }
    let mut blocks = BlockSamples::new(n);
    let mean = |_| blocks.next_sample().into_iter().map(|it| results[it].iter().sum::<f64>()).sum::<f64>() / n as f64;
    Some(interval_of((0..SAMPLES).map(mean).collect()))
}

/// Returns the bounds of the middle 95 % of values, of which there is at least one.
pub(super) fn interval_of(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    (at(0.025), at(0.975))
}

/// The samples of a moving-block bootstrap, always the same for the same number of results.
pub(super) struct BlockSamples {
    generator: SplitMix64,
    results: usize,
    block: usize,
}

impl BlockSamples {
    /// Returns the samples of `results` results, at least one.
    pub(super) fn new(results: usize) -> Self {
        Self { generator: SplitMix64(0), results, block: (results as f64).cbrt().ceil() as usize }
    }

    /// Returns the next sample: as many results as there are, in blocks.
    pub(super) fn next_sample(&mut self) -> Vec<Range<usize>> {
        let (mut blocks, mut taken) = (Vec::with_capacity(self.results / self.block + 1), 0);
        while taken < self.results {
            let start = self.generator.below(self.results - self.block + 1);
            let length = self.block.min(self.results - taken);
            blocks.push(start..start + length);
            taken += length;
        }
        blocks
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014): a generator of a few lines, so that others can compute the same samples.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound`: the high half of the product (Lemire 2019, without the rejection: the bias is below
    /// 2⁻⁴⁰ for a bound below 2²⁴).
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(a: f64, b: f64, within: f64) {
        assert!((a - b).abs() <= within, "{a} is not {b}");
    }

    /// The example of "The Deflated Sharpe Ratio": 100 tries with a variance of 1/2 a year, five years of daily results, and a
    /// best ratio of 2.5 a year.
    #[test]
    fn the_published_deflated_ratio_is_reproduced() {
        let days = 250.0_f64;
        let expected = expected_maximum_sharpe(0.5 / days, 100);
        assert_close(expected, 0.1132, 5e-5);
        let sharpe = 2.5 / days.sqrt();
        assert_close(probabilistic_sharpe(sharpe, expected, 1250, -3.0, 10.0), 0.9004, 5e-5);
        // With 46 tries it is just significant.
        let expected = expected_maximum_sharpe(0.5 / days, 46);
        assert_close(probabilistic_sharpe(sharpe, expected, 1250, -3.0, 10.0), 0.9505, 5e-5);
    }

    /// The example of "The Sharpe Ratio Efficient Frontier": two years of monthly results of a hedge fund.
    #[test]
    fn the_published_probabilistic_ratio_is_reproduced() {
        assert_close(probabilistic_sharpe(0.458, 0.0, 24, 0.0, 3.0), 0.982, 5e-4);
        assert_close(probabilistic_sharpe(0.458, 0.0, 24, -2.448, 10.164), 0.913, 5e-4);
    }

    #[test]
    fn moments_by_hand() {
        let moments = Moments::of(&[1.0, 2.0, 3.0, 4.0, 10.0]).unwrap();
        assert_close(moments.mean, 4.0, 1e-12);
        assert_close(moments.deviation, 12.5_f64.sqrt(), 1e-12);
        assert_close(moments.skewness, 36.0 / 10.0_f64.powf(1.5), 1e-12);
        assert_close(moments.kurtosis, 278.8 / 100.0, 1e-12);
        assert_eq!(Moments::of(&[1.0; 9]), None);
        assert_eq!(Moments::of(&[1.0]), None);
        assert_eq!(Moments::of(&[]), None);
        assert_eq!(expected_maximum_sharpe(0.5, 1), 0.0);
    }

    #[test]
    fn a_setting_that_is_always_best_is_not_overfitted() {
        let noise = |seed: u64, mean: f64| {
            let mut generator = SplitMix64(seed);
            (0..160).map(|_| mean + generator.below(1 << 20) as f64 / f64::from(1 << 20) - 0.5).collect::<Vec<_>>()
        };
        let mut results: Vec<_> = (0..20).map(|seed| noise(seed, 0.0)).collect();
        let chance = Overfitting::of(&results).unwrap();
        results.push(noise(99, 0.4));
        let better = Overfitting::of(&results).unwrap();
        assert_eq!((chance.splits, better.splits), (12_870, 12_870));
        assert_eq!((better.probability, better.loss_probability), (0.0, 0.0));
        assert!(chance.probability > 0.3, "{chance:?}");
        assert_eq!(Overfitting::of(&results[..1]), None);
        assert_eq!(Overfitting::of(&[vec![0.0; 15], vec![1.0; 15]]), None);
    }

    /// Best in one half is worst in the other, or both are equal: always overfitted.
    #[test]
    fn four_parts_by_hand() {
        let results = [vec![9.0, 8.0, 9.0, 8.0, 1.0, 2.0, 1.0, 2.0], vec![1.0, 2.0, 1.0, 2.0, 9.0, 8.0, 9.0, 8.0]];
        let found = Overfitting::with_parts(&results, 4).unwrap();
        let expected = Overfitting { splits: 6, probability: 1.0, loss_probability: 0.0, median_logit: 0.0 };
        assert_eq!(found, expected);
    }

    /// The first numbers of the seed 1234567, as other implementations print them.
    #[test]
    fn the_generator_is_the_published_one() {
        let mut generator = SplitMix64(1_234_567);
        let first = [generator.next(), generator.next()];
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn the_interval_holds_the_mean() {
        let days: Vec<f64> = (0..60).map(|day| f64::from(day % 7) - 3.0).collect();
        let (low, high) = bootstrap_interval(&days).unwrap();
        let mean = days.iter().sum::<f64>() / 60.0;
        assert!(low < mean && mean < high && high - low < 2.0, "{low} {mean} {high}");
        assert_eq!(bootstrap_interval(&[1.0]), None);
        assert_eq!(bootstrap_interval(&[1.0; 5]), Some((1.0, 1.0)));
    }
}
