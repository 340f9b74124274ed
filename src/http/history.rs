//! The history: signals with their states, and bars.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use http::HeaderMap;
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::AppState;
use super::body::{JSON, encoded};
use super::describe::Refuses;
use super::error::ApiError;
use super::etag::unless_known;
use super::params::{Params, RawQuery, ReadAccess};
use super::stats::{self, PositionObject};
use crate::config::parse_duration;
use crate::domain::{
    BarInterval, Cursor, Direction, Killzone, Position, SetupKind, SignalId, SignalStatus, TradeOutcome, iso,
    parse_time,
};
use crate::hub::{Selection, Topics};
use crate::store::{HistoryQuery, Since};
use crate::transport::messages::{BarObject, SignalObject};
use crate::transport::poll::{MissedSignals, PollRequest};
use crate::transport::resume;

const SIGNALS: &str = "/api/signals";
/// The longest time that a poll waits.
const MAX_WAIT: Duration = Duration::from_mins(1);

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Signals)]
struct SignalsObject<'a> {
    signals: Vec<SignalObject<'a>>,
    /// The log's position before the page was read: a client that resumes from it misses nothing.
    cursor: String,
    #[schema(required)]
    next: Option<String>,
    /// With `wait`: the position of each of the signals.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cursors: Option<Vec<String>>,
    /// With `wait` and `since`: whether they are all changes after the cursor; if not, they are the current signals.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    recovered: Option<bool>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignalLife)]
struct LifeObject<'a> {
    signal: SignalObject<'a>,
    history: Vec<StateObject<'a>>,
    /// The outcome of the trade, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    outcome: Option<TradeOutcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    position: Option<PositionObject>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignalStateChange)]
struct StateObject<'a> {
    #[schema(value_type = SignalStatus)]
    status: &'static str,
    #[schema(format = DateTime)]
    at: String,
    #[schema(required)]
    reason: Option<&'a str>,
    source: &'a str,
    cursor: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Bars)]
struct BarsObject<'a> {
    symbol: &'a str,
    #[schema(value_type = BarInterval)]
    interval: &'static str,
    bars: Vec<BarObject>,
}

/// Lists signals, newest first.
///
/// Resume with `cursor`: it is the position of the log before the page was read, so that nothing is missed. `next` is
/// for `before` and gets the next page.
///
/// With `wait` it is a long poll: every change after the cursor `since`, each once and oldest first, as soon as there is
/// one, else an empty list when the time is over. Go on with `cursor`. Without `since`, or with `recovered: false`, it is
/// the snapshot of the current signals.
#[utoipa::path(
    get,
    path = "/api/signals",
    operation_id = "list_signals",
    security(("reader" = [])),
    params(
        ("status" = Option<SignalStatus>, Query, description = "Only signals in this state"),
        ("symbol" = Option<String>, Query, description = "Instrument, in any spelling", example = "EURUSD"),
        ("killzone" = Option<Killzone>, Query, description = "Only signals of this window"),
        ("min_confidence" = Option<f64>, Query, description = "Only signals of at least this confidence", minimum = 0, maximum = 1),
        ("directions" = Option<Vec<Direction>>, Query, explode = false, description = "Only signals of these directions"),
        ("killzones" = Option<Vec<Killzone>>, Query, explode = false, description = "Only signals of these windows"),
        ("setups" = Option<Vec<SetupKind>>, Query, explode = false, description = "Only signals whose `reason` names one of these setups"),
        ("sources" = Option<Vec<String>>, Query, explode = false, description = "Only signals of these sources"),
        ("statuses" = Option<Vec<SignalStatus>>, Query, explode = false, description = "Only signals in these states"),
        ("since" = Option<String>, Query, description = "Only signals that changed after this cursor or time; with `wait` a cursor", example = "2026-01-15T07:00:00Z"),
        ("wait" = Option<String>, Query, description = "Returns every change after `since`, oldest first, and waits this long for one, at most 60 s"),
        ("before" = Option<String>, Query, description = "The `next` of the previous page"),
        ("limit" = Option<u32>, Query, description = "Largest number of entries, 50 by default", minimum = 1, maximum = 500, example = 10),
    ),
    responses((status = 200, body = SignalsObject, description = "A page of signals"), Refuses<422>),
)]
pub(super) async fn signals(
    _: ReadAccess,
    State(state): State<AppState>,
    query: RawQuery,
) -> Result<Response, ApiError> {
    let mut params = Params::new(query)?;
    if params.get("wait").is_some() {
        return long_poll(&state, params).await;
    }
    let mut head = state.hub.position();
    let query = HistoryQuery {
        status: params.read("status", "pending, confirmed or invalidated", status),
        symbol: params.symbol(&state.instruments),
        killzone: params.read("killzone", &Killzone::ALL.map(Killzone::name).join(", "), Killzone::parse),
        filter: params.filter(),
        since: params.read("since", "a cursor of this server or a time", |text| since(text, &head)),
        before: params.read("before", "the `next` of the page before", |text| text.parse().ok()),
        limit: params.limit(50, 500),
    };
    params.finish()?;
    // Another node of a cluster may have given this cursor a moment ago.
    if let Some(Since::Seq(seq)) = query.since
        && resume::reached(&state.hub, &state.history, seq).await
    {
        head = state.hub.position();
    }
    let permit = state.reads.acquire(SIGNALS).await?;
    let page = state.history.history(query).await?;
    drop(permit);
    let signals = page.signals.iter().map(SignalObject::from).collect();
    let next = page.next.map(|next| next.to_string());
    let cursor = head.to_string();
    Ok(Json(SignalsObject { signals, cursor, next, cursors: None, recovered: None }).into_response())
}

/// Answers a long poll.
async fn long_poll(state: &AppState, mut params: Params) -> Result<Response, ApiError> {
    let wait = params.read("wait", "a duration up to 60s, such as 30s", |text| {
        parse_duration(text).filter(|wait| *wait <= MAX_WAIT)
    });
    let signals = params.symbol(&state.instruments).map_or(Selection::All, |symbol| Selection::Only([symbol].into()));
    for (single, filter) in [("status", "statuses"), ("killzone", "killzones")] {
        params.also(single, filter);
    }
    let (filter, limit) = (params.filter().map(Arc::new), params.limit(50, 500));
    params.allow_only(&["wait", "since", "symbol", "limit", "protocol"]);
    let request = PollRequest {
        topics: Topics { signals, filter, ..Topics::default() },
        since: params.sent("since").map(str::to_owned),
        wait: wait.unwrap_or_default(),
        limit,
    };
    params.finish()?;
    let waiting = match state.gateway.enter("poll", SIGNALS) {
        Ok(slot) => {
            let membership = state.hub.join("native", None);
            membership.set(&request.topics);
            (slot, membership)
        }
        Err(refusal) => return Ok(refusal.into_response()),
    };
    let MissedSignals { events, cursor, recovered } = state.gateway.poll(&request).await?;
    let signals = events.iter().map(|(_, signal)| SignalObject::from(signal.as_ref())).collect();
    let cursors = Some(events.iter().map(|(position, _)| position.to_string()).collect());
    let answer = SignalsObject { signals, cursor: cursor.to_string(), next: None, cursors, recovered };
    let mut response = Json(answer).into_response();
    // It counts as a client until the answer is written: a server that stops waits for it.
    response.extensions_mut().insert(Arc::new(waiting));
    Ok(response)
}

/// Returns a signal, the history of its states, and its outcome once it is known.
///
/// With `risk`, also the position size that loses this amount at its stop.
#[utoipa::path(
    get,
    path = "/api/signals/{id}",
    operation_id = "get_signal",
    security(("reader" = [])),
    params(
        ("id" = String, Path, description = "Id of the signal", example = "model_001"),
        ("risk" = Option<f64>, Query, description = "Amount to lose at the stop", example = 100),
        ("currency" = Option<String>, Query, description = "Currency of `risk`, USD by default", min_length = 3, max_length = 3, example = "USD"),
    ),
    responses((status = 200, body = LifeObject, description = "The signal; with an `ETag` once it cannot change any more"),
        (status = 304, description = "The signal is the one of `If-None-Match`"),
        Refuses<404>),
)]
pub(super) async fn signal(
    _: ReadAccess,
    State(state): State<AppState>,
    id: Result<Path<String>, PathRejection>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let risk = stats::risk_query(query)?;
    let id = SignalId::new(&id?).ok_or(ApiError::SignalNotFound)?;
    let (signal, states) = state.history.signal(&id).await?.ok_or(ApiError::SignalNotFound)?;
    let outcome = state.history.outcome(&id).await?;
    let position = risk.map(|risk| stats::position(&state, &signal, risk)).transpose()?;
    let epoch = state.hub.position().epoch;
    let history = states.iter().map(|state| StateObject {
        status: state.status.name(),
        at: iso(state.at),
        reason: state.reason.as_deref(),
        source: state.source.as_str(),
        cursor: Position { epoch: epoch.clone(), seq: state.seq }.to_string(),
    });
    let is_over = signal.state.status() == SignalStatus::Invalidated || outcome.is_some();
    let is_final = is_over && position.is_none();
    let (signal, history) = (SignalObject::from(&signal), history.collect());
    let life = serde_json::to_vec(&LifeObject { signal, history, outcome, position });
    let life = life.map_err(|_| ApiError::Internal)?;
    Ok(if is_final { unless_known(&headers, &Sha256::digest(&life).into(), JSON, life) } else { encoded(life) })
}

/// Returns the bars of an instrument, made of this server's prices.
#[utoipa::path(
    get,
    path = "/api/bars",
    operation_id = "get_bars",
    security(("reader" = [])),
    params(
        ("symbol" = String, Query, description = "Instrument, in any spelling", example = "EURUSD"),
        ("interval" = Option<BarInterval>, Query, description = "Length of a bar, 1m by default"),
        ("before" = Option<String>, Query, description = "Only bars that opened before this time", example = "2026-01-15T07:00:00Z"),
        ("limit" = Option<u32>, Query, description = "Largest number of entries, 200 by default", minimum = 1, maximum = 1000, example = 10),
    ),
    responses((status = 200, body = BarsObject, description = "The bars, oldest first"), Refuses<422>),
)]
pub(super) async fn bars(_: ReadAccess, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    let mut params = Params::new(query)?;
    params.require("symbol");
    let symbol = params.symbol(&state.instruments);
    let interval = params.read("interval", "1m, 5m, 15m or 1h", BarInterval::parse).unwrap_or(BarInterval::OneMinute);
    let before = params.read("before", "a time", parse_time);
    let limit = params.limit(200, 1_000);
    params.finish()?;
    let symbol = symbol.ok_or(ApiError::Internal)?;
    let bars = match before {
        // All minutes of the bars that opened before it.
        Some(before) => {
            let last = interval.floor(before - TimeDelta::milliseconds(1));
            state.history.bars_before(&symbol, interval, last + interval.length(), limit).await?
        }
        None => state.history.bars(&symbol, interval, limit).await?,
    };
    let bars = bars.iter().map(BarObject::from).collect();
    Ok(Json(BarsObject { symbol: symbol.as_str(), interval: interval.name(), bars }).into_response())
}

fn status(text: &str) -> Option<SignalStatus> {
    let all = [SignalStatus::Pending, SignalStatus::Confirmed, SignalStatus::Invalidated];
    all.into_iter().find(|status| status.name().eq_ignore_ascii_case(text))
}

/// Parses a cursor of this log, or a time.
fn since(text: &str, head: &Position) -> Option<Since> {
    match text.parse::<Cursor>() {
        Ok(cursor) => (cursor.epoch == head.epoch).then_some(Since::Seq(cursor.seq)),
        Err(_) => parse_time(text).map(Since::Time),
    }
}
