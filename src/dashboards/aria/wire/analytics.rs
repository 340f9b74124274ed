//! ARIA's panels on closed trades: the heat map, the equity curve, the performance, the risk.
//!
//! A trade is the record of a confirmed signal. Its result is known in R, but the panels print money. So they show a
//! model account that begins with [`START`] and risks [`RISK`] on each signal; the answers say so in `note`.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Timelike, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::number::number;
use crate::domain::{Symbol, TradeOutcome, iso};

/// Initial balance of the model account, the same as in the page's own back end.
const START: f64 = 10_000.0;
/// Loss of the account on a signal whose stop is hit: 1 R.
const RISK: f64 = 100.0;
/// Largest number of points of a curve. Of more trades some are left out, evenly.
const MAX_POINTS: usize = 1_000;
/// The profit factor that the page prints if there was no loss.
const NO_LOSS: f64 = 999.0;
/// Trading days of a year, for the Sharpe ratio.
const TRADING_DAYS: f64 = 252.0;
const NOTE: &str = "a model account of 10000 that risks 100 on each confirmed signal";
const NO_TRADES: &str = "No closed trades found";

/// A closed trade of the model account.
#[derive(Debug, Clone, PartialEq)]
struct Trade {
    symbol: Symbol,
    /// When the trade was entered.
    entered_at: DateTime<Utc>,
    closed_at: DateTime<Utc>,
    profit: f64,
}

/// The trades of a panel, in the order in which they closed.
#[derive(Debug, Default)]
pub struct Trades(Vec<Trade>);

/// The envelope of `/api/analytics`. The panels show `message` as an error unless it is `ok`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::Analysis)]
pub struct Analysis<T> {
    ok: bool,
    data: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<&'static str>,
    note: &'static str,
}

/// The trades of an instrument that were entered in one hour of one weekday, UTC.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::HeatmapCell)]
pub struct HeatmapCell {
    symbol: String,
    hour: u32,
    /// Monday is 0.
    day_of_week: u32,
    #[serde(serialize_with = "number")]
    avg_pnl: f64,
    trade_count: usize,
    /// 0–100.
    #[serde(serialize_with = "number")]
    win_rate: f64,
}

/// The account after a trade.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::EquityPoint)]
pub struct EquityPoint {
    #[schema(format = DateTime)]
    timestamp: String,
    #[serde(serialize_with = "number")]
    equity: f64,
    /// Distance to the highest equity so far, in percent.
    #[serde(serialize_with = "number")]
    drawdown: f64,
    trades: usize,
}

/// The account over the whole time. The page crashes if a number is missing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::PerformanceStats)]
pub struct PerformanceStats {
    #[serde(serialize_with = "number")]
    total_return: f64,
    #[serde(serialize_with = "number")]
    sharpe_ratio: f64,
    #[serde(serialize_with = "number")]
    max_drawdown: f64,
    #[serde(serialize_with = "number")]
    win_rate: f64,
    #[serde(serialize_with = "number")]
    profit_factor: f64,
    total_trades: usize,
    #[serde(serialize_with = "number")]
    avg_trade: f64,
    #[serde(serialize_with = "number")]
    best_trade: f64,
    #[serde(serialize_with = "number")]
    worst_trade: f64,
}

/// `GET /trading/risk-metrics`. The page shows "Loading" forever for null, so without trades the numbers are zero and
/// `trades` says why.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::Risk)]
pub struct Risk {
    /// Loss that one trade in twenty reaches or exceeds, in percent of the account.
    #[serde(serialize_with = "number")]
    var_95: f64,
    /// Mean loss of those trades.
    #[serde(serialize_with = "number")]
    expected_shortfall: f64,
    #[serde(serialize_with = "number")]
    sharpe_ratio: f64,
    #[serde(serialize_with = "number")]
    max_drawdown: f64,
    #[serde(serialize_with = "number")]
    win_rate: f64,
    #[serde(serialize_with = "number")]
    profit_factor: f64,
    trades: usize,
    note: &'static str,
}

impl Trades {
    /// Adds the trade of a record, if there was one. Records are added in the order in which they closed.
    pub fn add(&mut self, outcome: &TradeOutcome) {
        if outcome.counts() {
            self.0.push(Trade {
                symbol: outcome.symbol.clone(),
                entered_at: outcome.confirmed_at,
                closed_at: outcome.closed_at,
                profit: hundredths(outcome.r * RISK),
            });
        }
    }

    /// `GET /api/analytics/trading-heatmap`
    pub fn heatmap(&self) -> Analysis<Vec<HeatmapCell>> {
        let mut cells: BTreeMap<(&Symbol, u32, u32), (f64, usize, usize)> = BTreeMap::new();
        for trade in &self.0 {
            let day = trade.entered_at.weekday().num_days_from_monday();
            let (profit, count, wins) = cells.entry((&trade.symbol, day, trade.entered_at.hour())).or_default();
            *profit += trade.profit;
            *count += 1;
            *wins += usize::from(trade.profit > 0.0);
        }
        let cells = cells.into_iter().map(|((symbol, day_of_week, hour), (profit, count, wins))| HeatmapCell {
            symbol: symbol.as_str().to_owned(),
            hour,
            day_of_week,
            avg_pnl: hundredths(profit / count as f64),
            trade_count: count,
            win_rate: percent(wins, count),
        });
        analysis(cells.collect(), None)
    }

    /// `GET /api/analytics/equity-curve`
    pub fn equity_curve(&self) -> Analysis<Vec<EquityPoint>> {
        let step = self.0.len().div_ceil(MAX_POINTS).max(1);
        let last = self.0.len().saturating_sub(1);
        let mut account = ModelAccount::default();
        let mut points = Vec::with_capacity(self.0.len().min(MAX_POINTS + 1));
        for (index, trade) in self.0.iter().enumerate() {
            account.add(trade);
            if index % step == 0 || index == last {
                points.push(EquityPoint {
                    timestamp: iso(trade.closed_at),
                    equity: hundredths(account.equity),
                    drawdown: hundredths(account.drawdown()),
                    trades: index + 1,
                });
            }
        }
        analysis(points, None)
    }

    /// `GET /api/analytics/performance-metrics`. Without trades `data` is null, and the panel says that there is no
    /// data.
    pub fn performance(&self) -> Analysis<Option<PerformanceStats>> {
        if self.0.is_empty() {
            return analysis(None, Some(NO_TRADES));
        }
        let count = self.0.len();
        let total: f64 = self.profits().sum();
        let performance = PerformanceStats {
            total_return: hundredths(total),
            sharpe_ratio: self.sharpe_ratio(),
            max_drawdown: self.max_drawdown(),
            win_rate: self.win_rate(),
            profit_factor: self.profit_factor(),
            total_trades: count,
            avg_trade: hundredths(total / count as f64),
            best_trade: self.profits().fold(f64::NEG_INFINITY, f64::max),
            worst_trade: self.profits().fold(f64::INFINITY, f64::min),
        };
        analysis(Some(performance), None)
    }

    /// `GET /trading/risk-metrics`
    pub fn risk(&self) -> Risk {
        let mut results: Vec<f64> = self.profits().map(|profit| profit / START * 100.0).collect();
        results.sort_by(f64::total_cmp);
        let worst = &results[..results.len().div_ceil(20)];
        let loss = |result: f64| hundredths((-result).max(0.0));
        Risk {
            var_95: worst.last().copied().map_or(0.0, loss),
            expected_shortfall: loss(worst.iter().sum::<f64>() / worst.len().max(1) as f64),
            sharpe_ratio: self.sharpe_ratio(),
            max_drawdown: self.max_drawdown(),
            win_rate: self.win_rate(),
            profit_factor: if self.0.is_empty() { 0.0 } else { self.profit_factor() },
            trades: self.0.len(),
            note: NOTE,
        }
    }

    fn profits(&self) -> impl Iterator<Item = f64> {
        self.0.iter().map(|trade| trade.profit)
    }

    fn win_rate(&self) -> f64 {
        percent(self.profits().filter(|profit| *profit > 0.0).count(), self.0.len())
    }

    fn profit_factor(&self) -> f64 {
        let (wins, losses) = self
            .profits()
            .fold((0.0, 0.0), |(wins, losses), profit| (wins + f64::max(profit, 0.0), losses + f64::max(-profit, 0.0)));
        if losses > 0.0 { hundredths(wins / losses) } else { NO_LOSS }
    }

    /// Mean divided by standard deviation of the trades, per year: like the page's own back end it assumes one trade a
    /// day. Zero without a deviation.
    fn sharpe_ratio(&self) -> f64 {
        let count = self.0.len() as f64;
        let mean = self.profits().sum::<f64>() / count;
        let variance = self.profits().map(|profit| (profit - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let ratio = mean / variance.sqrt() * TRADING_DAYS.sqrt();
        if ratio.is_finite() { hundredths(ratio) } else { 0.0 }
    }

    fn max_drawdown(&self) -> f64 {
        let mut account = ModelAccount::default();
        let drawdowns = self.0.iter().map(|trade| {
            account.add(trade);
            account.drawdown()
        });
        hundredths(drawdowns.fold(0.0, f64::max))
    }
}

#[derive(Debug)]
struct ModelAccount {
    equity: f64,
    top: f64,
}

impl Default for ModelAccount {
    fn default() -> Self {
        Self { equity: START, top: START }
    }
}

impl ModelAccount {
    fn add(&mut self, trade: &Trade) {
        self.equity += trade.profit;
        self.top = self.top.max(self.equity);
    }

    fn drawdown(&self) -> f64 {
        (self.top - self.equity) / self.top * 100.0
    }
}

fn analysis<T>(data: T, message: Option<&'static str>) -> Analysis<T> {
    Analysis { ok: true, data, message, note: NOTE }
}

fn hundredths(value: f64) -> f64 {
    // `+ 0.0` turns −0.0 into 0.0.
    (value * 100.0).round() / 100.0 + 0.0
}

fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { hundredths(part as f64 / whole as f64 * 100.0) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::{Direction, EntryOrder, Feed, Killzone, OutcomeClass, SignalId, SourceName, parse_time};

    fn outcome(symbol: &str, confirmed_at: &str, r: f64) -> TradeOutcome {
        let confirmed_at = parse_time(confirmed_at).unwrap();
        TradeOutcome {
            signal: SignalId::new("a").unwrap(),
            symbol: Symbol::new(symbol),
            direction: Direction::Long,
            setup: None,
            killzone: Killzone::London,
            source: SourceName::new("push"),
            confidence: 0.8,
            calibration: None,
            feed: Some(Feed::Live),
            entry: Some(1.0),
            stop: Some(0.9),
            fill: Some(1.0),
            confirmed_at,
            closed_at: confirmed_at + chrono::TimeDelta::hours(1),
            class: OutcomeClass::Targets,
            targets_hit: 1,
            targets: 1,
            r,
            mfe: 0.0,
            mae: 0.0,
            gap_seconds: 0,
            order: EntryOrder::Market,
            net: None,
        }
    }

    fn trades() -> Trades {
        let mut trades = Trades::default();
        for (symbol, at, r) in [
            ("EURUSD", "2026-01-12T08:10:00Z", 1.5),
            ("EURUSD", "2026-01-12T08:50:00Z", -1.0),
            ("US30", "2026-01-18T23:00:00Z", -0.333),
        ] {
            trades.add(&outcome(symbol, at, r));
        }
        trades.add(&TradeOutcome { class: OutcomeClass::NotFilled, ..outcome("US30", "2026-01-18T23:00:00Z", 0.0) });
        trades
    }

    fn json_of(value: &impl Serialize) -> Value {
        serde_json::to_value(value).unwrap()
    }

    #[test]
    fn a_cell_sums_one_hour_of_a_weekday() {
        let cell = |symbol, hour, day, profit, count, rate| json!({ "symbol": symbol, "hour": hour, "day_of_week": day, "avg_pnl": profit, "trade_count": count, "win_rate": rate });
        let data = [cell("EURUSD", 8, 0, json!(25), 2, 50), cell("US30", 23, 6, json!(-33.3), 1, 0)];
        assert_eq!(json_of(&trades().heatmap()), json!({ "ok": true, "data": data, "note": NOTE }));
    }

    #[test]
    fn the_curve_begins_after_the_first_trade() {
        let data = [
            json!({ "timestamp": "2026-01-12T09:10:00.000Z", "equity": 10150, "drawdown": 0, "trades": 1 }),
            json!({ "timestamp": "2026-01-12T09:50:00.000Z", "equity": 10050, "drawdown": 0.99, "trades": 2 }),
            json!({ "timestamp": "2026-01-19T00:00:00.000Z", "equity": 10016.7, "drawdown": 1.31, "trades": 3 }),
        ];
        assert_eq!(json_of(&trades().equity_curve())["data"], json!(data));
    }

    #[test]
    fn a_thinned_curve_keeps_its_end() {
        let mut trades = Trades::default();
        for _ in 0..5_500 {
            trades.add(&outcome("EURUSD", "2026-01-12T08:10:00Z", 0.01));
        }
        let points = trades.equity_curve().data;
        assert!(points.len() <= MAX_POINTS + 1, "{}", points.len());
        let last = points.last().unwrap();
        assert_eq!((last.trades, last.equity), (5_500, 15_500.0));
    }

    #[test]
    fn performance_and_risk_are_complete() {
        assert_eq!(
            json_of(&trades().performance())["data"],
            json!({
                "total_return": 16.7, "sharpe_ratio": 0.68, "max_drawdown": 1.31, "win_rate": 33.33, "profit_factor": 1.13,
                "total_trades": 3, "avg_trade": 5.57, "best_trade": 150, "worst_trade": -100,
            })
        );
        let risk = json_of(&trades().risk());
        assert_eq!((&risk["var_95"], &risk["expected_shortfall"], &risk["trades"]), (&json!(1), &json!(1), &json!(3)));
    }

    #[test]
    fn no_trades_are_not_an_error() {
        let none = Trades::default();
        let empty = json!({ "ok": true, "data": [], "note": NOTE });
        assert_eq!((json_of(&none.heatmap()), json_of(&none.equity_curve())), (empty.clone(), empty));
        let expected = json!({ "ok": true, "data": null, "message": NO_TRADES, "note": NOTE });
        assert_eq!(json_of(&none.performance()), expected);
        let zeros = json!({
            "var_95": 0, "expected_shortfall": 0, "sharpe_ratio": 0, "max_drawdown": 0, "win_rate": 0, "profit_factor": 0,
            "trades": 0, "note": NOTE,
        });
        assert_eq!(json_of(&none.risk()), zeros);
    }

    #[test]
    fn one_trade_without_a_loss_has_finite_numbers() {
        let mut trades = Trades::default();
        trades.add(&outcome("EURUSD", "2026-01-12T08:10:00Z", 2.0));
        let data = json_of(&trades.performance())["data"].take();
        assert_eq!((&data["profit_factor"], &data["sharpe_ratio"]), (&json!(999), &json!(0)));
        assert_eq!(json_of(&trades.risk())["var_95"], 0);
    }
}
