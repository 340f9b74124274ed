//! The report of backtests: as a table, as JSON, and with the limits of the sample in words.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::BacktestRun;
use super::price_line::PriceLine;
use super::results::{CurvePoint, MonthReport, SpreadResult, curve, months, trades};
use crate::domain::{
    Breakdown, FEW, OutcomeClass, RateEstimate, Signal, SignalState, Stats, TradeOutcome, TradingCosts, iso,
};
use crate::recordings::ReadSummary;

/// The report of all runs.
#[derive(Debug, Serialize)]
pub struct BacktestReport {
    /// The version of the program.
    version: &'static str,
    /// What the sample can and cannot show.
    pub sample: Vec<String>,
    /// What is assumed of fills and costs, in sentences.
    pub assumptions: Vec<String>,
    /// The report of each recording.
    pub files: Vec<FileReport>,
    /// The statistics of all outcomes.
    pub statistics: Breakdown,
    /// The running sum of the results, trade by trade, with its falls.
    pub curve: Vec<CurvePoint>,
    /// The trades of each month.
    pub months: Vec<MonthReport>,
    /// All trades with the spread multiplied by 1, 1.5 and 2; empty where it was not run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spreads: Vec<SpreadResult>,
    /// The records of confirmed signals, by recording, in the order in which they ended.
    pub outcomes: Vec<TradeOutcome>,
    /// Every change of every signal, by recording, as in the log of a server.
    pub changes: Vec<Arc<Signal>>,
}

/// The report of one recording.
#[derive(Debug, Serialize)]
pub struct FileReport {
    /// The name of the file.
    pub file: String,
    /// The instrument.
    pub symbol: String,
    /// The time of its first price.
    pub from: Option<String>,
    /// The time of its last price.
    pub to: Option<String>,
    /// The number of minutes with a price.
    pub minutes: u64,
    /// The number of prices.
    pub ticks: u64,
    /// The number of rejected rows, for all reasons.
    pub rows_left_out: u64,
    /// How the file was read: `read_as`, `timezone`, `price`, `spread`, `bar_label`, `bar_seconds`, `notes`, `warnings`, and
    /// `left_out` by reason.
    #[serde(flatten)]
    pub read: ReadSummary,
    /// The number of trading days with prices.
    pub trading_days: usize,
    /// The average number of signals per trading day.
    pub signals_per_day: f64,
    /// The number of signals of each trading day.
    pub days: BTreeMap<String, u64>,
    /// The number of signals by their end: `confirmed`, the reason of an invalidation, or `pending` at the end of the
    /// recording.
    pub ends: BTreeMap<String, u64>,
    /// The statistics of its outcomes.
    pub statistics: Stats,
    /// Its prices for the chart.
    #[serde(skip)]
    pub prices: PriceLine,
}

impl BacktestReport {
    /// Makes the report of runs with these costs.
    pub fn new(runs: Vec<BacktestRun>, costs: &TradingCosts) -> Self {
        let files: Vec<_> = runs.iter().map(FileReport::new).collect();
        let (mut outcomes, mut changes) = (Vec::new(), Vec::new());
        for run in runs {
            outcomes.extend(run.outcomes);
            changes.extend(run.changes);
        }
        let statistics = Breakdown::of(&outcomes);
        let sample = sample(&files, &statistics.all, &outcomes);
        let trades = trades(&outcomes);
        let (curve, months) = (curve(&trades), months(&trades));
        Self {
            version: env!("CARGO_PKG_VERSION"),
            sample,
            assumptions: costs.assumptions(),
            files,
            statistics,
            curve,
            months,
            spreads: Vec::new(),
            outcomes,
            changes,
        }
    }

    /// Adds what came of the same recordings with other spreads, each with its factor.
    #[must_use]
    pub fn with_spreads(mut self, others: &[(f64, Vec<TradeOutcome>)]) -> Self {
        self.spreads = vec![SpreadResult::new(1.0, &self.outcomes)];
        self.spreads.extend(others.iter().map(|(factor, outcomes)| SpreadResult::new(*factor, outcomes)));
        self
    }

    /// Renders the report for a terminal.
    pub fn table(&self) -> String {
        let mean = if self.statistics.all.net.is_some() { "mean R (net)" } else { "mean R" };
        let heads = ["", "days", "signals", "per day", "confirmed", "trades", "win rate", mean, "drawdown R"];
        let mut lines = vec![line(heads)];
        for file in &self.files {
            let confirmed = file.ends.get("confirmed").copied().unwrap_or_default();
            let counts = (file.trading_days, file.signals(), confirmed);
            lines.push(line(cells(&file.symbol, Some(counts), &file.statistics).each_ref().map(String::as_str)));
        }
        let all = ("all".to_owned(), &self.statistics.all);
        for (name, stats) in self.statistics.setup.iter().map(|(name, stats)| (name.clone(), stats)).chain([all]) {
            lines.push(line(cells(&name, None, stats).each_ref().map(String::as_str)));
        }
        lines.push(String::new());
        for file in &self.files {
            let mut days: BTreeMap<u64, usize> = BTreeMap::new();
            for signals in file.days.values() {
                *days.entry(*signals).or_default() += 1;
            }
            let days: Vec<_> = days.iter().map(|(signals, days)| format!("{signals} on {days}")).collect();
            let ends: Vec<_> = file.ends.iter().map(|(end, count)| format!("{end} {count}")).collect();
            lines.push(format!("{}: signals a day: {} days; {}", file.symbol, days.join(", "), ends.join(", ")));
        }
        lines.push(String::new());
        for file in &self.files {
            lines.push(file.file.clone());
            lines.extend(file.read.lines().into_iter().map(|line| format!("  {line}")));
        }
        lines.push(String::new());
        lines.extend(self.sample.iter().chain(&self.assumptions).cloned());
        lines.push(String::new());
        lines.join("\n")
    }
}

fn line([first, rest @ ..]: [&str; 9]) -> String {
    let rest: Vec<_> = rest.iter().map(|cell| format!(" {cell:>13}")).collect();
    format!("{first:<24}{}", rest.concat())
}

impl FileReport {
    fn new(run: &BacktestRun) -> Self {
        let mut ends: BTreeMap<String, u64> = BTreeMap::new();
        let mut last: BTreeMap<&str, &Signal> = BTreeMap::new();
        for signal in &run.changes {
            last.insert(signal.id.as_str(), signal);
        }
        for signal in last.values() {
            let end = match &signal.state {
                SignalState::Invalidated(reason) => reason.as_str(),
                other => other.status().name(),
            };
            *ends.entry(end.to_owned()).or_default() += 1;
        }
        let signals: u64 = run.days.values().sum();
        Self {
            file: run.file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            symbol: run.symbol.to_string(),
            from: run.span.map(|(first, _)| iso(first)),
            to: run.span.map(|(_, last)| iso(last)),
            minutes: run.minutes,
            ticks: run.ticks,
            rows_left_out: run.read.left_out.total(),
            read: run.read.clone(),
            trading_days: run.days.len(),
            signals_per_day: signals as f64 / run.days.len().max(1) as f64,
            days: run.days.iter().map(|(day, count)| (day.to_string(), *count)).collect(),
            ends,
            statistics: Stats::of(&run.outcomes),
            prices: run.prices.clone(),
        }
    }

    fn signals(&self) -> u64 {
        self.days.values().sum()
    }
}

/// Returns the cells of a row. `counts` are the days, the signals and the confirmed signals, where they are known.
pub(super) fn cells(name: &str, counts: Option<(usize, u64, u64)>, stats: &Stats) -> [String; 9] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let rate = |RateEstimate { rate, low, high }: RateEstimate| {
        format!("{:.0} ({:.0}–{:.0}) %", rate * 100.0, low * 100.0, high * 100.0)
    };
    [
        name.to_owned(),
        or_none(counts.map(|(days, ..)| days.to_string())),
        or_none(counts.map(|(_, signals, _)| signals.to_string())),
        or_none(counts.map(|(days, signals, _)| format!("{:.2}", signals as f64 / days.max(1) as f64))),
        counts.map_or_else(|| stats.signals.to_string(), |(.., confirmed)| confirmed.to_string()),
        stats.trades.to_string(),
        or_none(stats.win_rate.map(rate)),
        or_none(stats.expectancy_r.map(|mean| match stats.net {
            Some(net) => format!("{mean:+.2} ({:+.2})", net.expectancy_r),
            None => format!("{mean:+.2}"),
        })),
        format!("{:.2}", stats.max_drawdown_r),
    ]
}

/// Describes the sample and its limits in sentences.
fn sample(files: &[FileReport], all: &Stats, outcomes: &[TradeOutcome]) -> Vec<String> {
    let days: usize = files.iter().map(|file| file.trading_days).sum();
    let symbols: Vec<_> = files.iter().map(|file| file.symbol.as_str()).collect();
    let mut sentences = vec![format!(
        "The sample: {} trades of {} confirmed signals on {days} trading days of {}.",
        all.trades,
        all.signals,
        symbols.join(", ")
    )];
    if all.few {
        sentences.push(format!("With fewer than {FEW} trades no rate in here says anything about another sample."));
    }
    if let Some((low, high)) = interval(outcomes) {
        let shows = if low > 0.0 {
            "lies above 0 in this sample, which is no promise for another"
        } else if high < 0.0 {
            "lies below 0: these rules lost in this sample"
        } else {
            "includes 0: the sample shows no edge"
        };
        let net = if all.net.is_some() { "net " } else { "" };
        sentences.push(format!("The 95 % interval of the mean {net}result, {low:+.2} to {high:+.2} R, {shows}."));
    }
    let ambiguous = all.classes.get(&OutcomeClass::Ambiguous).copied().unwrap_or_default();
    sentences.push(format!(
        "Minutes that hold the stop and a target count as the stop: {ambiguous} of these trades. Where the recording has bars, \
         the order of prices inside them is assumed; with ticks it is known."
    ));
    sentences.push(match &all.net {
        None => {
            "The spread is in the results where the recording has bid and ask; commission, slippage and swaps are not."
                .into()
        }
        Some(net) => format!(
            "After slippage and commission the {} trades make {:+.2} R instead of {:+.2} R; the worst fall is {:.2} R.",
            net.trades, net.total_r, all.total_r, net.max_drawdown_r
        ),
    });
    sentences.push("Settings that were chosen by looking at these recordings look better here than elsewhere.".into());
    sentences
}

/// Returns the 95 % interval: the mean result ± 1.96 standard errors.
fn interval(outcomes: &[TradeOutcome]) -> Option<(f64, f64)> {
    let results: Vec<f64> = outcomes.iter().filter(|outcome| outcome.counts()).map(TradeOutcome::net_r).collect();
    if results.len() < 2 {
        return None;
    }
    let n = results.len() as f64;
    let mean = results.iter().sum::<f64>() / n;
    let variance = results.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = 1.96 * (variance / n).sqrt();
    Some((mean - half, mean + half))
}
