//! What became of confirmed signals, in units of their risk (R).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Candle, Direction, Feed, Killzone, SetupKind, Signal, SignalId, SourceName, Symbol};

/// How a signal's record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeClass {
    /// Every target was reached.
    Targets,
    /// The stop was traded, perhaps after some targets.
    Stop,
    /// Stop and next target lie in one minute, or the next target in a time when the server was down: counted as the stop,
    /// whichever came first.
    Ambiguous,
    /// Its time ran out; closed at the last price.
    Expired,
    /// The first price after the confirmation was beyond the stop or the first target, or came a day late: there was no
    /// position.
    NotFilled,
    /// A server of before could not go on with it after a restart, so that nobody knows. Counted nowhere.
    Interrupted,
    /// There was nothing to measure: no entry, stop or target, no price that was not simulated, or too many of the
    /// instrument were open. Counted nowhere.
    Unmeasured,
}

/// The record of one confirmed signal.
///
/// `r` is `Σ share·dir·(exit − fill)/|entry − stop|`, where the fill is the first price after the confirmation and the levels are
/// those that the signal was confirmed with; a gap through the stop exits at the first price beyond. `mfe` and `mae` are the best and
/// the worst price of the position in the same unit (`mae` ≤ 0). A long is filled on the ask and leaves on the bid, a short the other
/// way round; costs beyond the spread are not in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TradeOutcome {
    /// The signal.
    pub signal: SignalId,
    /// What it traded.
    pub symbol: Symbol,
    /// Which way.
    pub direction: Direction,
    /// The setup that its reason names.
    pub setup: Option<SetupKind>,
    /// Window of the trading day.
    pub killzone: Killzone,
    /// Who sent it.
    pub source: SourceName,
    /// Its model score, 0–1.
    pub confidence: f64,
    /// Where the prices came from; `None` when none was seen.
    pub feed: Option<Feed>,
    /// Its entry.
    pub entry: Option<f64>,
    /// Its stop.
    pub stop: Option<f64>,
    /// Price at which the position was entered: the first one after the confirmation.
    pub fill: Option<f64>,
    /// When the record begins.
    pub confirmed_at: DateTime<Utc>,
    /// When it ended.
    pub closed_at: DateTime<Utc>,
    /// How it ended.
    pub class: OutcomeClass,
    /// Targets that were reached.
    pub targets_hit: usize,
    /// Targets that it had.
    pub targets: usize,
    /// Result in R; 0 without a position.
    pub r: f64,
    /// Best price in R.
    pub mfe: f64,
    /// Worst price in R.
    pub mae: f64,
    /// Seconds, rounded up, in which the server was down and the record went on afterwards; 0 when it was watched throughout.
    #[serde(default)]
    pub gap_seconds: u64,
}

impl TradeOutcome {
    /// The record of a confirmed signal as it is when it ends at `closed_at`.
    pub fn new(signal: &Signal, progress: &Progress, class: OutcomeClass, closed_at: DateTime<Utc>) -> Self {
        Self {
            signal: signal.id.clone(),
            symbol: signal.symbol.clone(),
            direction: signal.direction,
            setup: SetupKind::named_in(&signal.reason),
            killzone: signal.killzone,
            source: signal.source.clone(),
            confidence: signal.confidence,
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
        }
    }

    /// The record of a confirmed signal that was never watched.
    pub fn unwatched(signal: &Signal, class: OutcomeClass) -> Self {
        Self::new(signal, &Progress::from_confirmation(signal), class, signal.updated_at)
    }

    /// Whether there was a position that was watched to its end.
    pub fn counts(&self) -> bool {
        !matches!(self.class, OutcomeClass::NotFilled | OutcomeClass::Interrupted | OutcomeClass::Unmeasured)
    }
}

/// An open record: all that another process needs to go on with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Time of the last price in it; of the confirmation before the first one.
    pub seen_at: DateTime<Utc>,
    /// Where the last price came from.
    pub feed: Option<Feed>,
    /// Price at which the position was entered.
    pub fill: Option<f64>,
    /// The minute it is in, on the side that leaves.
    pub minute: Option<Candle>,
    /// Targets that were reached.
    pub targets_hit: usize,
    /// What the part that is closed has made, in R.
    pub r: f64,
    /// Best price in R, up to the end of the last minute.
    pub mfe: f64,
    /// Worst price in R, up to the end of the last minute.
    pub mae: f64,
    /// As in the [`TradeOutcome`].
    pub gap_seconds: u64,
}

impl Progress {
    /// The beginning.
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
        }
    }
}

/// What part of the position each target closes, from the labels (`TP1 30%`); equal parts unless all say it and make 100 %.
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
