//! `GET /api/admin/recomputations`: what a backtest over the kept ticks of the last days has otherwise than the live server.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::admin::AdminAccess;
use crate::domain::number::{Numbers, number, optional};
use crate::domain::{
    Difference, DifferenceKind, DifferenceReason, Direction, Recomputation, RecomputedSignal, SignalState,
    SignalStatus, iso,
};

/// What is compared of a signal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecomputedSignal)]
struct RecomputedSignalObject<'a> {
    /// 0 to 1.
    #[serde(serialize_with = "number")]
    confidence: f64,
    direction: Direction,
    /// When it was confirmed or invalidated.
    #[schema(required, format = DateTime)]
    ended_at: Option<String>,
    #[serde(serialize_with = "optional")]
    #[schema(required)]
    entry_price: Option<f64>,
    /// Why it was invalidated: `timeout`, `stop_touched` and others.
    #[schema(required)]
    invalidation: Option<&'a str>,
    #[schema(format = DateTime)]
    published_at: String,
    /// `pending` if it had not ended when the comparison did.
    status: SignalStatus,
    #[serde(serialize_with = "optional")]
    #[schema(required)]
    stop_loss: Option<f64>,
    #[schema(value_type = Vec<f64>)]
    take_profits: Numbers<'a>,
}

impl<'a> From<&'a RecomputedSignal> for RecomputedSignalObject<'a> {
    fn from(signal: &'a RecomputedSignal) -> Self {
        let invalidation = match &signal.state {
            SignalState::Invalidated(reason) => Some(reason.as_str()),
            SignalState::Pending | SignalState::Confirmed => None,
        };
        Self {
            confidence: signal.confidence,
            direction: signal.direction,
            ended_at: signal.ended_at.map(iso),
            entry_price: signal.entry_price,
            invalidation,
            published_at: iso(signal.published_at),
            status: signal.state.status(),
            stop_loss: signal.stop_loss,
            take_profits: Numbers(&signal.take_profits),
        }
    }
}

/// A signal that only one side has, or that the two sides have differently.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignalDifference)]
struct DifferenceObject<'a> {
    /// The reason as a sentence, with its times.
    detail: &'a str,
    /// `only_live` and `only_recomputed`: the other side does not have the signal; `content`: the direction, a level or the
    /// confidence differs; `end`: how the signal ended.
    kind: DifferenceKind,
    /// The signal as it was published live.
    #[schema(required)]
    live: Option<RecomputedSignalObject<'a>>,
    /// `late_tick`: ticks arrived in another minute than the one in which they were observed, or after the deadline of the
    /// signal; `failover`: the prices changed to another source; `restart`: the server started anew, or another node took
    /// over; `lost_ticks`: ticks could not be kept; `gap`: there were no prices for a time; `unexplained`: none of these.
    reason: DifferenceReason,
    /// The signal as the backtest has it.
    #[schema(required)]
    recomputed: Option<RecomputedSignalObject<'a>>,
    /// The id of the signal.
    signal: &'a str,
    symbol: &'a str,
}

impl<'a> From<&'a Difference> for DifferenceObject<'a> {
    fn from(difference: &'a Difference) -> Self {
        Self {
            detail: &difference.detail,
            kind: difference.kind,
            live: difference.live.as_ref().map(Into::into),
            reason: difference.reason,
            recomputed: difference.recomputed.as_ref().map(Into::into),
            signal: difference.signal.as_str(),
            symbol: difference.symbol.as_str(),
        }
    }
}

/// The comparison of a day's live signals with a backtest over the ticks that were kept of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Recomputation)]
struct RecomputationObject<'a> {
    #[schema(format = DateTime)]
    computed_at: String,
    /// The number of differences by reason, every reason included; also of those that are not listed.
    #[schema(value_type = BTreeMap<String, u64>)]
    counts: BTreeMap<&'static str, u64>,
    /// The day, UTC.
    #[schema(format = Date)]
    day: String,
    /// In order of time.
    #[schema(max_items = 500)]
    differences: Vec<DifferenceObject<'a>>,
    /// The number of signals that were published live.
    live: u64,
    /// Why the day, or a part of it, could not be recomputed.
    #[schema(required)]
    problem: Option<&'a str>,
    /// The number of signals that the backtest has.
    recomputed: u64,
    /// The number of kept ticks of the day.
    ticks: u64,
}

impl<'a> From<&'a Recomputation> for RecomputationObject<'a> {
    fn from(day: &'a Recomputation) -> Self {
        let count = |reason: DifferenceReason| (reason.name(), day.counts.get(&reason).copied().unwrap_or_default());
        Self {
            computed_at: iso(day.computed_at),
            counts: DifferenceReason::ALL.map(count).into(),
            day: day.day.to_string(),
            differences: day.differences.iter().map(Into::into).collect(),
            live: day.live,
            problem: day.problem.as_deref(),
            recomputed: day.recomputed,
            ticks: day.ticks,
        }
    }
}

/// The comparisons of the last days.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Recomputations, example = json!({
    "days": [{
        "computed_at": "2026-11-29T00:10:04.125Z",
        "counts": {"failover": 0, "gap": 0, "late_tick": 1, "lost_ticks": 0, "restart": 0, "unexplained": 0},
        "day": "2026-11-28",
        "differences": [{
            "detail": "a tick observed at 08:00:59.950 arrived at 08:01:00.180",
            "kind": "end",
            "live": {
                "confidence": 0.72, "direction": "long", "ended_at": "2026-11-28T08:02:00.210Z", "entry_price": 1.085,
                "invalidation": null, "published_at": "2026-11-28T07:58:00.140Z", "status": "confirmed",
                "stop_loss": 1.082, "take_profits": [1.088, 1.091],
            },
            "reason": "late_tick",
            "recomputed": {
                "confidence": 0.72, "direction": "long", "ended_at": "2026-11-28T08:03:00.000Z", "entry_price": 1.085,
                "invalidation": "timeout", "published_at": "2026-11-28T07:58:00.000Z", "status": "invalidated",
                "stop_loss": 1.082, "take_profits": [1.088, 1.091],
            },
            "signal": "5f0c6a3e-9a51-5c0e-8d1c-0d3f6a1b2c3d",
            "symbol": "EURUSD",
        }],
        "live": 42, "problem": null, "recomputed": 42, "ticks": 812_345,
    }],
    "enabled": true,
    "retention_seconds": 691_200,
}))]
struct RecomputationsObject<'a> {
    /// The last day first; at most 31.
    #[schema(max_items = 31)]
    days: Vec<RecomputationObject<'a>>,
    /// Whether ticks are kept, so that days can be compared: `data.tick_retention` is not 0.
    enabled: bool,
    /// How long ticks are kept, in seconds: `data.tick_retention`.
    retention_seconds: u64,
}

/// Returns the comparisons of the last days' live signals with a backtest over the ticks that were kept of them.
///
/// A day is computed after its end, at 00:10 UTC. `enabled` is false while `data.tick_retention` is 0.
#[utoipa::path(
    get,
    path = "/api/admin/recomputations",
    operation_id = "get_recomputations",
    security(("admin" = [])),
    responses((status = 200, body = RecomputationsObject, description = "The comparisons of the last days")),
)]
pub(super) async fn recomputations(_: AdminAccess, State(state): State<AppState>) -> Response {
    let days = state.recomputations.days();
    let body = RecomputationsObject {
        days: days.iter().map(|day| (&**day).into()).collect(),
        enabled: !state.tick_retention.is_zero(),
        retention_seconds: state.tick_retention.as_secs(),
    };
    Json(body).into_response()
}
