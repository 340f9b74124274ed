//! Statistics of outcomes, with the formulas of freqtrade, Lean and Murphy (1973). All results are in R.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::{OutcomeClass, TradeOutcome};

/// Below this number of outcomes a rate is not meaningful.
pub const FEW: usize = 30;
/// The normal quantile of the 95 % interval.
const Z: f64 = 1.96;

/// A rate with its confidence interval (Wilson, 95 %).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct RateEstimate {
    /// The observed rate.
    pub rate: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

impl RateEstimate {
    /// Returns the rate of `part` in `whole`; `None` when `whole` is 0.
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
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Stats {
    /// Confirmed signals whose record has ended.
    pub signals: usize,
    /// Those with a position that was measured to its end. All further statistics are of these.
    pub trades: usize,
    /// Whether there are fewer than 30 trades.
    pub few: bool,
    /// Trades whose record has a gap in which the server was down.
    pub with_gap: usize,
    /// The number of records by how they ended.
    #[schema(value_type = BTreeMap<String, usize>)]
    pub classes: BTreeMap<OutcomeClass, usize>,
    /// The rate of trades with `r` above 0.
    #[schema(required)]
    pub win_rate: Option<RateEstimate>,
    /// The rate of trades that reached their first target before the stop.
    #[schema(required)]
    pub first_target_rate: Option<RateEstimate>,
    /// The mean result.
    #[schema(required)]
    pub expectancy_r: Option<f64>,
    /// The sum of all results.
    pub total_r: f64,
    /// The sum of the wins divided by the sum of the losses; `None` without losses.
    #[schema(required)]
    pub profit_factor: Option<f64>,
    /// The maximum fall of the running sum below its previous maximum, in the order in which the records ended; at
    /// least 0.
    pub max_drawdown_r: f64,
    /// The mean of the best prices.
    #[schema(required)]
    pub mean_mfe: Option<f64>,
    /// The mean of the worst prices.
    #[schema(required)]
    pub mean_mae: Option<f64>,
    /// The mean squared error of the model score against "first target before the stop". A constant score of 0.5 has
    /// 0.25.
    #[schema(required)]
    pub brier: Option<f64>,
    /// The results after slippage and commission, of the trades that have them; absent when none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub net: Option<NetStats>,
}

/// Statistics of results after slippage and commission.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct NetStats {
    /// The trades with such a result.
    pub trades: usize,
    /// The rate of results above 0.
    #[schema(required)]
    pub win_rate: Option<RateEstimate>,
    /// The mean result.
    pub expectancy_r: f64,
    /// The sum of all results.
    pub total_r: f64,
    /// The sum of the wins divided by the sum of the losses; `None` without losses.
    #[schema(required)]
    pub profit_factor: Option<f64>,
    /// The maximum fall of the running sum below its previous maximum; at least 0.
    pub max_drawdown_r: f64,
}

impl Stats {
    /// Computes the statistics of `outcomes`, in any order.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a TradeOutcome>) -> Self {
        let mut all: Vec<&TradeOutcome> = outcomes.into_iter().collect();
        all.sort_by(|a, b| (a.closed_at, &a.signal).cmp(&(b.closed_at, &b.signal)));
        let mut builder = StatsBuilder::default();
        for outcome in all {
            builder.add(outcome);
        }
        builder.stats()
    }
}

/// Builds [`Stats`] from one outcome after the other, without keeping them.
#[derive(Debug, Clone, Default)]
struct StatsBuilder {
    signals: usize,
    trades: usize,
    with_gap: usize,
    classes: BTreeMap<OutcomeClass, usize>,
    first_targets: usize,
    results: ResultSums,
    net: ResultSums,
    mfe: f64,
    mae: f64,
    squared_error: f64,
}

/// The sums of results in the order in which they were added.
#[derive(Debug, Clone, Copy, Default)]
struct ResultSums {
    count: usize,
    winners: usize,
    wins: f64,
    losses: f64,
    total: f64,
    top: f64,
    max_drawdown: f64,
}

impl ResultSums {
    fn add(&mut self, r: f64) {
        self.count += 1;
        self.winners += usize::from(r > 0.0);
        self.wins += r.max(0.0);
        self.losses += (-r).max(0.0);
        self.total += r;
        self.top = self.top.max(self.total);
        self.max_drawdown = self.max_drawdown.max(self.top - self.total);
    }

    fn profit_factor(&self) -> Option<f64> {
        (self.losses > 0.0).then(|| self.wins / self.losses)
    }

    fn net(&self) -> Option<NetStats> {
        (self.count > 0).then(|| NetStats {
            trades: self.count,
            win_rate: RateEstimate::of(self.winners, self.count),
            expectancy_r: self.total / self.count as f64,
            total_r: self.total,
            profit_factor: self.profit_factor(),
            max_drawdown_r: self.max_drawdown,
        })
    }
}

impl StatsBuilder {
    /// Adds an outcome that ended after all that were added before.
    fn add(&mut self, outcome: &TradeOutcome) {
        self.signals += 1;
        *self.classes.entry(outcome.class).or_default() += 1;
        if !outcome.counts() {
            return;
        }
        let reached = outcome.targets_hit > 0;
        self.trades += 1;
        self.with_gap += usize::from(outcome.gap_seconds > 0);
        self.first_targets += usize::from(reached);
        self.results.add(outcome.r);
        if let Some(net) = &outcome.net {
            self.net.add(net.r);
        }
        self.mfe += outcome.mfe;
        self.mae += outcome.mae;
        self.squared_error += (outcome.confidence - f64::from(u8::from(reached))).powi(2);
    }

    fn stats(self) -> Stats {
        let n = self.trades;
        let mean = |sum: f64| (n > 0).then(|| sum / n as f64);
        Stats {
            signals: self.signals,
            trades: n,
            few: n < FEW,
            with_gap: self.with_gap,
            classes: self.classes,
            win_rate: RateEstimate::of(self.results.winners, n),
            first_target_rate: RateEstimate::of(self.first_targets, n),
            expectancy_r: mean(self.results.total),
            total_r: self.results.total,
            profit_factor: self.results.profit_factor(),
            max_drawdown_r: self.results.max_drawdown,
            mean_mfe: mean(self.mfe),
            mean_mae: mean(self.mae),
            brier: mean(self.squared_error),
            net: self.net.net(),
        }
    }
}

/// Statistics of all outcomes, and by group.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Breakdown {
    /// All outcomes.
    pub all: Stats,
    /// By instrument.
    pub symbol: BTreeMap<String, Stats>,
    /// By setup; `other` when the reason names none.
    pub setup: BTreeMap<String, Stats>,
    /// By window of the trading day.
    pub killzone: BTreeMap<String, Stats>,
    /// By sender.
    pub source: BTreeMap<String, Stats>,
    /// By model score in tenths: `0.7` is 0.7 up to 0.8; `0.9` includes 1.
    pub confidence: BTreeMap<String, Stats>,
}

impl Breakdown {
    /// Computes the breakdown of `outcomes`.
    pub fn of(outcomes: &[TradeOutcome]) -> Self {
        let mut all: Vec<&TradeOutcome> = outcomes.iter().collect();
        all.sort_by(|a, b| (a.closed_at, &a.signal).cmp(&(b.closed_at, &b.signal)));
        let mut builder = BreakdownBuilder::default();
        for outcome in all {
            builder.add(outcome);
        }
        builder.finish()
    }
}

/// Builds a [`Breakdown`] from one outcome after the other, without keeping them.
#[derive(Debug, Default)]
pub struct BreakdownBuilder {
    all: StatsBuilder,
    symbol: BTreeMap<String, StatsBuilder>,
    setup: BTreeMap<String, StatsBuilder>,
    killzone: BTreeMap<String, StatsBuilder>,
    source: BTreeMap<String, StatsBuilder>,
    confidence: BTreeMap<String, StatsBuilder>,
}

impl BreakdownBuilder {
    /// Adds an outcome that ended after all that were added before.
    pub fn add(&mut self, outcome: &TradeOutcome) {
        // A score has four decimals at most; the small addition keeps 0.7 out of the tenth below.
        let tenth = ((outcome.confidence * 10.0 + 1e-6) as u8).min(9);
        self.all.add(outcome);
        add_to(&mut self.symbol, outcome.symbol.as_str(), outcome);
        add_to(&mut self.setup, outcome.setup.map_or("other", |setup| setup.name()), outcome);
        add_to(&mut self.killzone, outcome.killzone.name(), outcome);
        add_to(&mut self.source, outcome.source.as_str(), outcome);
        add_to(&mut self.confidence, &format!("0.{tenth}"), outcome);
    }

    /// Returns the statistics of everything that was added.
    pub fn finish(self) -> Breakdown {
        let finished = |groups: BTreeMap<String, StatsBuilder>| {
            groups.into_iter().map(|(key, builder)| (key, builder.stats())).collect()
        };
        Breakdown {
            all: self.all.stats(),
            symbol: finished(self.symbol),
            setup: finished(self.setup),
            killzone: finished(self.killzone),
            source: finished(self.source),
            confidence: finished(self.confidence),
        }
    }
}

fn add_to(groups: &mut BTreeMap<String, StatsBuilder>, key: &str, outcome: &TradeOutcome) {
    match groups.get_mut(key) {
        Some(builder) => builder.add(outcome),
        None => groups.entry(key.to_owned()).or_default().add(outcome),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Direction, EntryOrder, Feed, Killzone, SetupKind, SignalId, SourceName, Symbol, parse_time};

    fn outcome(minute: u32, r: f64, targets_hit: usize, class: OutcomeClass, confidence: f64) -> TradeOutcome {
        let at = parse_time(&format!("2026-01-15T15:{minute:02}:00Z")).unwrap();
        TradeOutcome {
            signal: SignalId::new(&format!("s{minute}")).unwrap(),
            symbol: Symbol::new("EURUSD"),
            direction: Direction::Long,
            setup: Some(SetupKind::MssFvg),
            killzone: Killzone::NyAm,
            source: SourceName::new("ict"),
            confidence,
            calibration: None,
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
            order: EntryOrder::Market,
            net: None,
        }
    }

    #[test]
    fn statistics_match_the_textbook() {
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
    fn no_outcomes_have_no_rates() {
        let stats = Stats::of([]);
        assert_eq!((stats.win_rate, stats.expectancy_r, stats.profit_factor, stats.brier), (None, None, None, None));
    }
}
