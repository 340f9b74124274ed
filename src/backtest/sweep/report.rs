//! The report of a sweep. Every figure can be computed again from `days`, `daily_r` and `results`.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;

use super::{GridError, SweepRun, SweptSetting, grid};
use crate::backtest::overfitting::{Moments, Overfitting, bootstrap_interval, expected_maximum_sharpe};
use crate::backtest::results::sums;
use crate::domain::{TradeOutcome, trading_day};
use crate::recordings::ReadSummary;

/// The number of steps of the walk forward.
const FOLDS: usize = 5;
/// What the spread is multiplied by for the chosen try.
pub(super) const SPREADS: [f64; 3] = [1.0, 1.5, 2.0];

/// The report of a sweep. Ratios are per trading day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepReport {
    /// The version of the program.
    version: &'static str,
    /// What the report shows, in sentences.
    pub sentences: Vec<String>,
    /// What is assumed of fills and costs, in sentences.
    pub assumptions: Vec<String>,
    /// The settings that were varied.
    pub swept: Vec<SweptSetting>,
    /// The trading days, `YYYY-MM-DD`, from the first to the last.
    pub days: Vec<String>,
    /// The number of the first of `days` that are the sample in which a try is chosen; the others are held out.
    pub sample_days: usize,
    /// How each file was read.
    pub read: Vec<ReadSummary>,
    /// What came of each try, in the order of the grid.
    pub tries: Vec<TryReport>,
    /// The variance of the tries' Sharpe ratios in the sample.
    pub sharpe_variance: f64,
    /// The try that was best in the sample, if there is one.
    pub chosen: Option<ChosenReport>,
    /// Choosing again and again by what was known until then.
    pub walk_forward: WalkForward,
    /// How often the best of one half is no better than the median of the other.
    pub overfitting: Option<Overfitting>,
    /// The mean over all tries with a value, by setting and value.
    pub sensitivity: BTreeMap<String, Vec<ValueReport>>,
}

/// What came of one try.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TryReport {
    /// Its settings.
    pub settings: BTreeMap<String, String>,
    /// In the sample.
    pub sample: SweepSample,
    /// In the days that are held out.
    pub held_out: SweepSample,
    /// The sum of the results of each day, in R.
    pub daily_r: Vec<f64>,
    /// The result of each trade, in R, in the order in which they ended.
    pub results: Vec<f64>,
}

/// What came of some days.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SweepSample {
    /// The number of trades.
    pub trades: usize,
    /// The sum of their results, in R.
    pub total_r: f64,
    /// Their mean, in R.
    pub mean_r: Option<f64>,
    /// The mean of the days divided by their standard deviation; `None` where no day differs from another.
    pub sharpe: Option<f64>,
    /// The probability that the true Sharpe ratio is above 0 (PSR).
    pub probabilistic_sharpe: Option<f64>,
}

/// The best try of the sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChosenReport {
    /// Its place in `tries`, from 0.
    pub place: usize,
    /// The Sharpe ratio that the best of as many tries is expected to reach by chance (SR₀).
    pub expected_maximum_sharpe: f64,
    /// The probability that its true Sharpe ratio is above that (DSR).
    pub deflated_sharpe: f64,
    /// The 95 % interval of its mean day in the sample, in R, by the moving-block bootstrap.
    pub sample_interval: Option<(f64, f64)>,
    /// The same of the days that are held out.
    pub held_out_interval: Option<(f64, f64)>,
    /// The deepest fall of the running sum of its days below its highest value, in R.
    pub max_drawdown_r: f64,
    /// Its days by month.
    pub months: Vec<MonthDays>,
    /// All days with the spread multiplied.
    pub spreads: Vec<SpreadReport>,
}

/// The trading days of one month.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MonthDays {
    /// The month, `YYYY-MM`.
    pub month: String,
    /// The number of its trading days.
    pub days: usize,
    /// The sum of their results, in R.
    pub total_r: f64,
}

/// What came of the chosen try with another spread.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpreadReport {
    /// What the spread was multiplied by.
    pub factor: f64,
    /// What came of it on all days.
    #[serde(flatten)]
    pub all: SweepSample,
    /// The sum of the results of each day, in R.
    pub daily_r: Vec<f64>,
    /// The result of each trade, in R, in the order in which they ended.
    pub results: Vec<f64>,
}

/// The walk forward over the sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WalkForward {
    /// Each step: the best try of all days before, in the days after.
    pub folds: Vec<Fold>,
    /// The sum of the results of all steps, in R.
    pub total_r: f64,
    /// The Sharpe ratio over the days of all steps.
    pub sharpe: Option<f64>,
}

/// One step of a walk forward.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fold {
    /// Its first day.
    pub from: String,
    /// Its last day.
    pub to: String,
    /// The place of the chosen try; `None` where no try had results before.
    pub chosen: Option<usize>,
    /// What came of it, in R.
    pub total_r: f64,
}

/// The mean over all tries with one value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValueReport {
    /// The value.
    pub value: String,
    /// The mean number of trades on all days.
    pub mean_trades: f64,
    /// The mean sum of the results on all days, in R.
    pub mean_total_r: f64,
}

/// One try's results by day, and the results of its trades with the place of their day.
struct Series {
    daily: Vec<f64>,
    trades: Vec<(usize, f64)>,
}

impl Series {
    fn of(outcomes: &[TradeOutcome], days: &[NaiveDate]) -> Self {
        let mut counted: Vec<_> = outcomes.iter().filter(|outcome| outcome.counts()).collect();
        counted.sort_by(|a, b| (a.closed_at, &a.signal).cmp(&(b.closed_at, &b.signal)));
        let mut daily = vec![0.0; days.len()];
        let mut trades = Vec::with_capacity(counted.len());
        for outcome in counted {
            let day = days.partition_point(|day| *day < trading_day(outcome.closed_at));
            daily[day] += outcome.net_r();
            trades.push((day, outcome.net_r()));
        }
        Self { daily, trades }
    }

    fn sample(&self, days: std::ops::Range<usize>) -> SweepSample {
        let moments = Moments::of(&self.daily[days.clone()]);
        let results = self.trades.iter().filter(|(day, _)| days.contains(day)).map(|(_, r)| *r);
        let (trades, total_r) = results.fold((0, 0.0), |(count, sum), r| (count + 1, sum + r));
        SweepSample {
            trades,
            total_r,
            mean_r: (trades > 0).then(|| total_r / trades as f64),
            sharpe: moments.map(|moments| moments.sharpe()),
            probabilistic_sharpe: moments.map(|moments| moments.probabilistic_sharpe(0.0)),
        }
    }
}

/// Returns the place of the best Sharpe ratio over these days, the first of equal ones; `None` where no try has one.
fn best(series: &[Series], days: std::ops::Range<usize>) -> Option<usize> {
    let ratios = series.iter().map(|series| Moments::of(&series.daily[days.clone()]).map(|moments| moments.sharpe()));
    let with_ratio = ratios.enumerate().filter_map(|(place, ratio)| Some((place, ratio?)));
    with_ratio.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(place, _)| place)
}

/// Returns the place of the try that is best in the sample, the first `1 − held_out` of the days.
pub(super) fn choose(run: &SweepRun, held_out: f64) -> Option<usize> {
    let days: Vec<_> = run.days.iter().copied().collect();
    let series: Vec<_> = run.outcomes.iter().map(|outcomes| Series::of(outcomes, &days)).collect();
    best(&series, 0..sample_days(days.len(), held_out))
}

fn sample_days(days: usize, held_out: f64) -> usize {
    (days as f64 * (1.0 - held_out)).round() as usize
}

impl SweepReport {
    /// Makes the report of `run`, whose tries are the grid of `swept`. `spreads` are the outcomes of the chosen try with each of
    /// the spreads; empty where there is none. `held_out` is the share of the days, from the last, in which nothing is chosen.
    ///
    /// # Errors
    /// When `swept` is no grid.
    pub(super) fn new(
        swept: Vec<SweptSetting>,
        run: SweepRun,
        spreads: &[Vec<TradeOutcome>],
        held_out: f64,
    ) -> Result<Self, GridError> {
        let days: Vec<_> = run.days.iter().copied().collect();
        let series: Vec<_> = run.outcomes.iter().map(|outcomes| Series::of(outcomes, &days)).collect();
        let sample_days = sample_days(days.len(), held_out);
        let (sample, after) = (0..sample_days, sample_days..days.len());
        let tries: Vec<_> = grid(&swept)?
            .into_iter()
            .zip(&series)
            .map(|(pairs, series)| TryReport {
                settings: pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
                sample: series.sample(sample.clone()),
                held_out: series.sample(after.clone()),
                daily_r: series.daily.clone(),
                results: series.trades.iter().map(|(_, r)| *r).collect(),
            })
            .collect();
        let ratios: Vec<f64> = tries.iter().map(|it| it.sample.sharpe.unwrap_or_default()).collect();
        let sharpe_variance = Moments::of(&ratios).map_or(0.0, |moments| moments.deviation.powi(2));
        let chosen = best(&series, sample.clone()).and_then(|place| {
            let days_of_it = &series[place].daily;
            let (in_sample, held_out) = (&days_of_it[sample.clone()], &days_of_it[after]);
            let expected = expected_maximum_sharpe(sharpe_variance, tries.len());
            let of = |outcomes: &Vec<TradeOutcome>| Series::of(outcomes, &days);
            let spreads = SPREADS.into_iter().zip(spreads.iter().map(of)).map(|(factor, series)| SpreadReport {
                factor,
                all: series.sample(0..days.len()),
                results: series.trades.iter().map(|(_, r)| *r).collect(),
                daily_r: series.daily,
            });
            Some(ChosenReport {
                place,
                expected_maximum_sharpe: expected,
                deflated_sharpe: Moments::of(in_sample)?.probabilistic_sharpe(expected),
                sample_interval: bootstrap_interval(in_sample),
                held_out_interval: bootstrap_interval(held_out),
                max_drawdown_r: sums(days_of_it.iter().copied()).map(|(_, fall)| fall).fold(0.0, f64::max),
                months: months(&days, days_of_it),
                spreads: spreads.collect(),
            })
        });
        let in_sample: Vec<Vec<f64>> = series.iter().map(|series| series.daily[sample.clone()].to_vec()).collect();
        let sensitivity = swept.iter().map(|setting| (setting.key.clone(), sensitivity(setting, &tries))).collect();
        let mut report = Self {
            version: env!("CARGO_PKG_VERSION"),
            sentences: Vec::new(),
            assumptions: Vec::new(),
            swept,
            days: days.iter().map(ToString::to_string).collect(),
            sample_days,
            read: run.read,
            tries,
            sharpe_variance,
            chosen,
            walk_forward: walk_forward(&series, &days[sample]),
            overfitting: Overfitting::of(&in_sample),
            sensitivity,
        };
        report.sentences = report.describe();
        Ok(report)
    }
}

fn months(days: &[NaiveDate], daily: &[f64]) -> Vec<MonthDays> {
    let mut months: BTreeMap<String, MonthDays> = BTreeMap::new();
    for (day, r) in days.iter().zip(daily) {
        let month = day.format("%Y-%m").to_string();
        let it = months.entry(month.clone()).or_insert(MonthDays { month, days: 0, total_r: 0.0 });
        it.days += 1;
        it.total_r += r;
    }
    months.into_values().collect()
}

fn sensitivity(setting: &SweptSetting, tries: &[TryReport]) -> Vec<ValueReport> {
    let value = |value: &String| {
        let with: Vec<_> = tries.iter().filter(|it| it.settings.get(&setting.key) == Some(value)).collect();
        let mean =
            |of: &dyn Fn(&TryReport) -> f64| with.iter().map(|it| of(it)).sum::<f64>() / with.len().max(1) as f64;
        ValueReport {
            value: value.clone(),
            mean_trades: mean(&|it| it.results.len() as f64),
            mean_total_r: mean(&|it| it.daily_r.iter().sum()),
        }
    };
    setting.values.iter().map(value).collect()
}

/// Divides the days into parts, and runs each but the first with the best try of all days before it.
fn walk_forward(series: &[Series], days: &[NaiveDate]) -> WalkForward {
    let edge = |part: usize| days.len() * part / (FOLDS + 1);
    let mut walked = Vec::new();
    let mut folds = Vec::new();
    for part in 1..=FOLDS {
        let (from, to) = (edge(part), edge(part + 1));
        if from == to {
            continue;
        }
        let chosen = best(series, 0..from);
        let daily = chosen.map_or_else(|| vec![0.0; to - from], |place| series[place].daily[from..to].to_vec());
        folds.push(Fold {
            from: days[from].to_string(),
            to: days[to - 1].to_string(),
            chosen,
            total_r: daily.iter().sum(),
        });
        walked.extend(daily);
    }
    WalkForward { folds, total_r: walked.iter().sum(), sharpe: Moments::of(&walked).map(|moments| moments.sharpe()) }
}
