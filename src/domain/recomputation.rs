//! The comparison of a day's live signals with a backtest over the ticks that were kept of that day.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Bar, Direction, Signal, SignalId, SignalState, Symbol, UsedTick};

/// An entry of the kept ticks, in the order of arrival.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptEntry {
    /// A server began to keep ticks: after a start, or as the next node of a cluster.
    Began(DateTime<Utc>),
    /// A tick that made bars.
    Tick(UsedTick),
    /// Ticks that made bars and could not be kept: the time of the first one, and how many.
    Lost(DateTime<Utc>, u64),
}

impl KeptEntry {
    /// Returns when it arrived.
    pub fn at(&self) -> DateTime<Utc> {
        match self {
            Self::Began(at) | Self::Lost(at, _) => *at,
            Self::Tick(used) => used.received_at,
        }
    }
}

/// Why a live signal and its recomputation differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceReason {
    /// Ticks arrived in another minute than the one in which they were observed, or after the signal's deadline.
    LateTick,
    /// The prices of the instrument changed from one source to another.
    Failover,
    /// The server started anew, or another node took over.
    Restart,
    /// Ticks could not be kept.
    LostTicks,
    /// The instrument had no prices for a time.
    Gap,
    /// None of these.
    Unexplained,
}

impl DifferenceReason {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::LateTick, Self::Failover, Self::Restart, Self::LostTicks, Self::Gap, Self::Unexplained];

    /// Returns the name on the wire and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LateTick => "late_tick",
            Self::Failover => "failover",
            Self::Restart => "restart",
            Self::LostTicks => "lost_ticks",
            Self::Gap => "gap",
            Self::Unexplained => "unexplained",
        }
    }
}

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// Only the live server published the signal.
    OnlyLive,
    /// Only the recomputation has the signal.
    OnlyRecomputed,
    /// The direction, a level or the confidence.
    Content,
    /// How the signal ended.
    End,
}

impl DifferenceKind {
    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnlyLive => "only_live",
            Self::OnlyRecomputed => "only_recomputed",
            Self::Content => "content",
            Self::End => "end",
        }
    }
}

/// What the log has for the recomputation of a day.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoredDay {
    /// The one-minute bars before the first kept tick, oldest first for each instrument.
    pub minutes: Vec<Bar>,
    /// The latest state of the signals around the day, oldest first.
    pub signals: Vec<Signal>,
}

/// What is compared of a signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecomputedSignal {
    /// The direction.
    pub direction: Direction,
    /// When it was published.
    pub published_at: DateTime<Utc>,
    /// The entry.
    pub entry_price: Option<f64>,
    /// The stop.
    pub stop_loss: Option<f64>,
    /// The targets.
    pub take_profits: Vec<f64>,
    /// The confidence, 0 to 1.
    pub confidence: f64,
    /// The state: at the end of the comparison, if it has not ended.
    #[serde(flatten)]
    pub state: SignalState,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

/// A live signal that the recomputation does not have, or has otherwise; or the other way round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The signal. Both sides have the same id, because it comes from the instrument, the setup and the minute.
    pub signal: SignalId,
    /// The instrument.
    pub symbol: Symbol,
    /// What differs.
    pub kind: DifferenceKind,
    /// Why.
    pub reason: DifferenceReason,
    /// The reason as a sentence, with its times.
    pub detail: String,
    /// The signal as it was published live.
    pub live: Option<RecomputedSignal>,
    /// The signal as the backtest has it.
    pub recomputed: Option<RecomputedSignal>,
}

/// The result for one day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recomputation {
    /// The day, UTC.
    pub day: NaiveDate,
    /// When it was computed.
    pub computed_at: DateTime<Utc>,
    /// The number of kept ticks of the day.
    pub ticks: u64,
    /// The number of signals of setups that were published live.
    pub live: u64,
    /// The number of signals that the recomputation has.
    pub recomputed: u64,
    /// The number of differences by reason, also of those that are not listed.
    pub counts: BTreeMap<DifferenceReason, u64>,
    /// The differences in order of time; at most [`MAX_LISTED`](Self::MAX_LISTED).
    pub differences: Vec<Difference>,
    /// Why the day could not be recomputed, or only a part of it.
    pub problem: Option<String>,
}

impl Recomputation {
    /// Maximum number of differences that are listed of a day.
    pub const MAX_LISTED: usize = 500;
}

impl RecomputedSignal {
    /// Returns what is compared of `signal`.
    pub fn of(signal: &Signal) -> Self {
        let ended = !signal.state.is_pending();
        Self {
            direction: signal.direction,
            published_at: signal.accepted_at,
            entry_price: signal.entry_price,
            stop_loss: signal.stop_loss,
            take_profits: signal.take_profits.clone(),
            confidence: signal.confidence,
            state: signal.state.clone(),
            ended_at: ended.then_some(signal.updated_at),
        }
    }
}
