//! The course of the results: the R curve with its falls, by month, and with wider spreads. Results are net of costs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::TradeOutcome;

/// The running sum after a trade.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CurvePoint {
    /// When the trade ended.
    pub closed_at: DateTime<Utc>,
    /// The sum of all results so far, in R.
    pub total_r: f64,
    /// How far the sum is below its highest value so far, which is at least 0; in R.
    pub drawdown_r: f64,
}

/// The trades that ended in one month.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MonthReport {
    /// The month of UTC, `YYYY-MM`.
    pub month: String,
    /// The number of trades.
    pub trades: usize,
    /// Those with a result above 0.
    pub winners: usize,
    /// The sum of their results, in R.
    pub total_r: f64,
    /// Their mean, in R.
    pub mean_r: f64,
    /// The deepest fall of the curve in this month below its highest value until then, in R.
    pub max_drawdown_r: f64,
}

/// All trades with the spread multiplied.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpreadResult {
    /// What the spread was multiplied by.
    pub factor: f64,
    /// The number of trades.
    pub trades: usize,
    /// The sum of their results, in R.
    pub total_r: f64,
    /// Their mean, in R.
    pub mean_r: Option<f64>,
    /// The deepest fall of the curve, in R.
    pub max_drawdown_r: f64,
    /// The result of each trade, in the order in which they ended.
    pub results: Vec<f64>,
}

/// Returns the trades in the order in which they ended.
pub(super) fn trades(outcomes: &[TradeOutcome]) -> Vec<&TradeOutcome> {
    let mut trades: Vec<_> = outcomes.iter().filter(|outcome| outcome.counts()).collect();
    trades.sort_by(|a, b| (a.closed_at, &a.signal).cmp(&(b.closed_at, &b.signal)));
    trades
}

/// Returns the running sum of results and its falls below its highest value.
pub(super) fn sums(results: impl IntoIterator<Item = f64>) -> impl Iterator<Item = (f64, f64)> {
    results.into_iter().scan((0.0, 0.0f64), |(sum, top), r| {
        *sum += r;
        *top = top.max(*sum);
        Some((*sum, *top - *sum))
    })
}

/// Returns the curve of `trades`, which are in order.
pub(super) fn curve(trades: &[&TradeOutcome]) -> Vec<CurvePoint> {
    let sums = sums(trades.iter().map(|trade| trade.net_r()));
    let point = |(trade, (total_r, drawdown_r)): (&&TradeOutcome, _)| CurvePoint {
        closed_at: trade.closed_at,
        total_r,
        drawdown_r,
    };
    trades.iter().zip(sums).map(point).collect()
}

/// Returns the months of `trades`, which are in order.
pub(super) fn months(trades: &[&TradeOutcome]) -> Vec<MonthReport> {
    let mut months: BTreeMap<String, MonthReport> = BTreeMap::new();
    for (trade, (_, drawdown)) in trades.iter().zip(sums(trades.iter().map(|trade| trade.net_r()))) {
        let month = trade.closed_at.format("%Y-%m").to_string();
        let it = months.entry(month.clone()).or_insert(MonthReport {
            month,
            trades: 0,
            winners: 0,
            total_r: 0.0,
            mean_r: 0.0,
            max_drawdown_r: 0.0,
        });
        it.trades += 1;
        it.winners += usize::from(trade.net_r() > 0.0);
        it.total_r += trade.net_r();
        it.mean_r = it.total_r / it.trades as f64;
        it.max_drawdown_r = it.max_drawdown_r.max(drawdown);
    }
    months.into_values().collect()
}

impl SpreadResult {
    /// Makes the report of the outcomes with one spread.
    pub(super) fn new(factor: f64, outcomes: &[TradeOutcome]) -> Self {
        let results: Vec<f64> = trades(outcomes).into_iter().map(TradeOutcome::net_r).collect();
        let total_r: f64 = results.iter().sum();
        Self {
            factor,
            trades: results.len(),
            total_r,
            mean_r: (!results.is_empty()).then(|| total_r / results.len() as f64),
            max_drawdown_r: sums(results.iter().copied()).map(|(_, drawdown)| drawdown).fold(0.0, f64::max),
            results,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_falls_by_hand() {
        let found: Vec<_> = sums([1.0, -2.0, 0.5, 3.0, -1.0]).collect();
        assert_eq!(found, [(1.0, 0.0), (-1.0, 2.0), (-0.5, 1.5), (2.5, 0.0), (1.5, 1.0)]);
        let falls: Vec<_> = sums([-1.0, -1.0]).collect();
        assert_eq!(falls, [(-1.0, 1.0), (-2.0, 2.0)], "the top is at least 0");
    }
}
