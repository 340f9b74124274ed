//! The records of confirmed signals: how each ended, in units of its risk (R).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    AppliedCalibration, Candle, Direction, EntryOrder, Feed, Killzone, SetupKind, Signal, SignalId, SourceName, Symbol,
    TradingCosts,
};

/// How a signal's record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeClass {
    /// Every target was reached.
    Targets,
    /// The stop was traded, perhaps after some targets.
    Stop,
    /// Stop and next target were touched in the same minute, or the next target while the server was down. Counted as
    /// the stop.
    Ambiguous,
    /// The maximum duration ended; closed at the last price.
    Expired,
    /// There was no position: the first price after the confirmation was beyond the stop or the first target, or came a
    /// day late; or a limit order was not filled before the first target or within the day.
    NotFilled,
    /// An earlier version could not resume it after a restart. Not counted.
    Interrupted,
    /// It could not be measured: no entry, stop or target, no real price, or too many open records of the instrument.
    /// Not counted.
    Unmeasured,
}

/// The record of one confirmed signal.
///
/// `r` is `Σ share·dir·(exit − fill)/|entry − stop|`, where the fill is the first price after the confirmation and the levels are
/// those that the signal was confirmed with; a gap through the stop exits at the first price beyond. `mfe` and `mae` are the best and
/// the worst price of the position in the same unit (`mae` ≤ 0). A long is filled on the ask and leaves on the bid, a short the other
/// way round; costs beyond the spread are only in `net`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TradeOutcome {
    /// The signal.
    pub signal: SignalId,
    /// What it traded.
    pub symbol: Symbol,
    /// The direction.
    pub direction: Direction,
    /// The setup that its reason names.
    #[schema(required)]
    pub setup: Option<SetupKind>,
    /// The window of the trading day.
    pub killzone: Killzone,
    /// The source of the signal.
    pub source: SourceName,
    /// Its model score, 0–1; with `calibration`, what a mapping made of it.
    pub confidence: f64,
    /// The mapping that was applied to the model score; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub calibration: Option<AppliedCalibration>,
    /// The feed of the last price; `None` without a price.
    #[schema(required)]
    pub feed: Option<Feed>,
    /// Its entry.
    #[schema(required)]
    pub entry: Option<f64>,
    /// Its stop.
    #[schema(required)]
    pub stop: Option<f64>,
    /// The price at which the position was entered: the first one after the confirmation.
    #[schema(required)]
    pub fill: Option<f64>,
    /// When the signal was confirmed, which is when the record begins.
    pub confirmed_at: DateTime<Utc>,
    /// When the record ended.
    pub closed_at: DateTime<Utc>,
    /// How the record ended.
    pub class: OutcomeClass,
    /// The number of reached targets.
    pub targets_hit: usize,
    /// The number of targets.
    pub targets: usize,
    /// The result in R; 0 without a position.
    pub r: f64,
    /// The best price in R.
    pub mfe: f64,
    /// The worst price in R.
    pub mae: f64,
    /// The seconds, rounded up, for which the server was down during the record; 0 when there was no gap.
    #[serde(default)]
    pub gap_seconds: u64,
    /// How the position was entered; absent for `market`.
    #[serde(default, skip_serializing_if = "EntryOrder::is_market")]
    pub order: EntryOrder,
    /// The result after slippage and commission; absent without a position, and where the settings have neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub net: Option<NetResult>,
}

/// The result of a position after its costs, in R.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NetResult {
    /// `r` less slippage and commission.
    pub r: f64,
    /// The slippage of all fills at the market.
    pub slippage_r: f64,
    /// The commission of the whole position.
    pub commission_r: f64,
}

impl TradeOutcome {
    /// Makes the final record of a confirmed signal.
    pub fn new(signal: &Signal, progress: &Progress, class: OutcomeClass, closed_at: DateTime<Utc>) -> Self {
        Self {
            signal: signal.id.clone(),
            symbol: signal.symbol.clone(),
            direction: signal.direction,
            setup: SetupKind::named_in(&signal.reason),
            killzone: signal.killzone,
            source: signal.source.clone(),
            confidence: signal.confidence,
            calibration: signal.calibration.clone(),
            feed: progress.feed,
            entry: signal.entry_price,
            stop: signal.stop_loss,
            fill: progress.fill,
            confirmed_at: signal.updated_at,
            closed_at,
            class,
            targets_hit: progress.targets_hit,
            targets: signal.take_profits.len(),
            r: progress.r,
            mfe: progress.mfe,
            mae: progress.mae,
            gap_seconds: progress.gap_seconds,
            order: progress.order,
            net: None,
        }
    }

    /// Adds the result after `costs`, if there are any and there was a position.
    #[must_use]
    pub fn with_costs(self, signal: &Signal, costs: &TradingCosts) -> Self {
        let (Some(fill), Some(entry), Some(stop)) = (self.fill, self.entry, self.stop) else { return self };
        if costs.is_free() || !self.counts() {
            return self;
        }
        let at_target: f64 = shares(signal).iter().take(self.targets_hit).sum();
        let fills_at_market = f64::from(u8::from(self.order.is_market())) + (1.0 - at_target).max(0.0);
        let unit = (entry - stop).abs();
        let slippage_r = costs.slippage.at(&self.symbol, fill) * fills_at_market / unit;
        let commission_r = costs.commission.at(&self.symbol, fill) / unit;
        let net = NetResult { r: self.r - slippage_r - commission_r, slippage_r, commission_r };
        Self { net: Some(net), ..self }
    }

    /// Returns the result in R after all known costs.
    pub fn net_r(&self) -> f64 {
        self.net.map_or(self.r, |net| net.r)
    }

    /// Makes the record of a confirmed signal that was never measured.
    pub fn unwatched(signal: &Signal, class: OutcomeClass) -> Self {
        Self::new(signal, &Progress::from_confirmation(signal), class, signal.updated_at)
    }

    /// Whether there was a position that was measured to its end.
    pub fn counts(&self) -> bool {
        !matches!(self.class, OutcomeClass::NotFilled | OutcomeClass::Interrupted | OutcomeClass::Unmeasured)
    }
}

/// The progress of an open record: everything that another process needs to resume it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The time of the last price; before the first one, of the confirmation.
    pub seen_at: DateTime<Utc>,
    /// The feed of the last price.
    pub feed: Option<Feed>,
    /// The price at which the position was entered.
    pub fill: Option<f64>,
    /// The current minute, on the side of the exit.
    pub minute: Option<Candle>,
    /// The number of reached targets.
    pub targets_hit: usize,
    /// The result of the closed part in R.
    pub r: f64,
    /// The best price in R, up to the end of the last minute.
    pub mfe: f64,
    /// The worst price in R, up to the end of the last minute.
    pub mae: f64,
    /// See [`TradeOutcome::gap_seconds`].
    pub gap_seconds: u64,
    /// How the position is entered.
    #[serde(default, skip_serializing_if = "EntryOrder::is_market")]
    pub order: EntryOrder,
}

impl Progress {
    /// Returns the progress at the confirmation.
    pub fn from_confirmation(signal: &Signal) -> Self {
        Self {
            seen_at: signal.updated_at,
            feed: None,
            fill: None,
            minute: None,
            targets_hit: 0,
            r: 0.0,
            mfe: 0.0,
            mae: 0.0,
            gap_seconds: 0,
            order: EntryOrder::Market,
        }
    }
}

/// Returns the share of the position that each target closes, from the labels (`TP1 30%`). The shares are equal unless
/// all labels have one and their sum is 100 %.
pub fn shares(signal: &Signal) -> Vec<f64> {
    let count = signal.take_profits.len();
    let share = |mode: &String| -> Option<f64> {
        let number = mode.trim().strip_suffix('%')?.rsplit(' ').next()?;
        number.parse().ok().filter(|share: &f64| *share > 0.0)
    };
    let labelled: Option<Vec<f64>> = signal.tp_modes.iter().map(share).collect();
    match labelled {
        Some(labelled) if labelled.len() == count && (labelled.iter().sum::<f64>() - 100.0).abs() < 0.01 => {
            labelled.iter().map(|share| share / 100.0).collect()
        }
        _ => vec![1.0 / count as f64; count],
    }
}
