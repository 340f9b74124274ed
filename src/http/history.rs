//! The history: signals with their states, and bars.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::AppState;
use super::error::ApiError;
use super::params::{Params, RawQuery, ReadAccess};
use super::stats::{self, PositionObject};
use crate::domain::number::number;
use crate::domain::{
    Bar, BarInterval, Cursor, Killzone, Position, SignalId, SignalStatus, TradeOutcome, iso, parse_time,
};
use crate::store::{HistoryQuery, Since};
use crate::transport::messages::SignalObject;

#[derive(Debug, Serialize)]
struct SignalsObject<'a> {
    signals: Vec<SignalObject<'a>>,
    /// The log's position before the page was read: a client that resumes from it misses nothing.
    cursor: String,
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct LifeObject<'a> {
    signal: SignalObject<'a>,
    history: Vec<StateObject<'a>>,
    /// The outcome of the trade, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<TradeOutcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<PositionObject>,
}

#[derive(Debug, Serialize)]
struct StateObject<'a> {
    status: &'static str,
    at: String,
    reason: Option<&'a str>,
    source: &'a str,
    cursor: String,
}

#[derive(Debug, Serialize)]
struct BarsObject<'a> {
    symbol: &'a str,
    interval: &'static str,
    bars: Vec<BarObject>,
}

#[derive(Debug, Serialize)]
struct BarObject {
    time: String,
    #[serde(serialize_with = "number")]
    open: f64,
    #[serde(serialize_with = "number")]
    high: f64,
    #[serde(serialize_with = "number")]
    low: f64,
    #[serde(serialize_with = "number")]
    close: f64,
    #[serde(serialize_with = "number")]
    volume: f64,
}

impl From<&Bar> for BarObject {
    fn from(bar: &Bar) -> Self {
        let Bar { opened_at, open, high, low, close, volume, .. } = *bar;
        Self { time: iso(opened_at), open, high, low, close, volume }
    }
}

/// `GET /api/signals`
pub(super) async fn signals(
    _: ReadAccess,
    State(state): State<AppState>,
    query: RawQuery,
) -> Result<Response, ApiError> {
    let mut params = Params::new(query)?;
    let head = state.hub.position();
    let query = HistoryQuery {
        status: params.read("status", "pending, confirmed or invalidated", status),
        symbol: params.symbol(&state.instruments),
        killzone: params.read("killzone", &Killzone::ALL.map(Killzone::name).join(", "), Killzone::parse),
        since: params.read("since", "a cursor of this server or a time", |text| since(text, &head)),
        before: params.read("before", "the `next` of the page before", |text| text.parse().ok()),
        limit: params.limit(50, 500),
    };
    params.finish()?;
    let page = state.history.history(query).await?;
    let signals = page.signals.iter().map(SignalObject::from).collect();
    let next = page.next.map(|next| next.to_string());
    Ok(Json(SignalsObject { signals, cursor: head.to_string(), next }).into_response())
}

/// `GET /api/signals/{id}`
pub(super) async fn signal(
    _: ReadAccess,
    State(state): State<AppState>,
    id: Result<Path<String>, PathRejection>,
    query: RawQuery,
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
    let (signal, history) = (SignalObject::from(&signal), history.collect());
    Ok(Json(LifeObject { signal, history, outcome, position }).into_response())
}

/// `GET /api/bars`
pub(super) async fn bars(_: ReadAccess, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    let mut params = Params::new(query)?;
    params.require("symbol");
    let symbol = params.symbol(&state.instruments);
    let interval = params.read("interval", "1m, 5m, 15m or 1h", BarInterval::parse).unwrap_or(BarInterval::OneMinute);
    let limit = params.limit(200, 1_000);
    params.finish()?;
    let symbol = symbol.ok_or(ApiError::Internal)?;
    let bars = state.history.bars(&symbol, interval, limit).await?;
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
