//! The HTTP routes of ARIA PRO's page. Where the server has no data, the answer is empty but has the shape that the
//! page reads.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chrono::TimeDelta;
use serde::Serialize;
use serde_json::{Value, json};

use super::wire::{PerformanceObject, SignalObject, Trades, UsageObject};
use crate::domain::{Feed, Symbol};
use crate::http::{ApiError, AppState, Params, RawQuery, ReadAccess, ReadLimit};
use crate::store::HistoryQuery;

/// How many days the panels look back, by default and at most.
const DEFAULT_DAYS: u32 = 30;
const MAX_DAYS: u32 = 365;

/// Returns the routes.
pub(in crate::dashboards) fn routes(reads: &ReadLimit) -> Router<AppState> {
    let limited = |handler| reads.limit(handler);
    Router::new()
        .route("/signals/history", limited(get(history)))
        .route("/trading/positions", get(positions))
        .route("/trading/account-info", get(account))
        .route("/trading/risk-metrics", limited(get(risk)))
        .route("/api/analytics/trading-heatmap", limited(get(heatmap)))
        .route("/api/analytics/equity-curve", limited(get(equity_curve)))
        .route("/api/analytics/performance-metrics", limited(get(performance_metrics)))
        .route("/api/institutional-ai/market-regimes", get(regimes))
        .route("/api/institutional-ai/model-performance", get(models))
        .route("/api/institutional-ai/model-configs", get(models))
        .route("/monitoring/metrics", get(usage))
        .route("/monitoring/performance/metrics", get(performance))
}

#[derive(Debug, Serialize)]
struct HistoryObject<'a> {
    signals: Vec<SignalObject<'a>>,
}

/// `GET /signals/history`: newest first. The page offers symbols that are not in the catalogue; for these the list is
/// empty.
async fn history(_: ReadAccess, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    let mut params = Params::new(query)?;
    let limit = params.limit(50, 500);
    let spelling = params.get("symbol").map(str::to_owned);
    params.finish()?;
    let symbol = match spelling.map(|spelling| state.instruments.resolve(&spelling).map(|found| found.symbol.clone())) {
        None => None,
        Some(Ok(symbol)) => Some(symbol),
        Some(Err(_)) => return Ok(Json(HistoryObject { signals: Vec::new() }).into_response()),
    };
    let query = HistoryQuery { status: None, symbol, killzone: None, since: None, before: None, limit };
    let page = state.history.history(query).await?;
    let signals = page.signals.iter().map(SignalObject::historical).collect();
    Ok(Json(HistoryObject { signals }).into_response())
}

/// `GET /trading/positions`: always empty, because no broker is connected.
async fn positions(_: ReadAccess) -> Json<Value> {
    Json(json!({ "positions": [], "count": 0 }))
}

/// `GET /trading/account-info`: the page shows dashes for an unknown account.
async fn account(_: ReadAccess) -> Json<Value> {
    Json(json!({ "account": null, "risk_metrics": null }))
}

/// `GET /trading/risk-metrics`: computed from the trades of one year.
async fn risk(_: ReadAccess, State(state): State<AppState>) -> Result<Response, ApiError> {
    Ok(Json(trades(&state, MAX_DAYS, None).await?.risk()).into_response())
}

/// `GET /api/analytics/trading-heatmap`
async fn heatmap(_: ReadAccess, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    Ok(Json(asked(&state, query).await?.heatmap()).into_response())
}

/// `GET /api/analytics/equity-curve`
async fn equity_curve(_: ReadAccess, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    Ok(Json(asked(&state, query).await?.equity_curve()).into_response())
}

/// `GET /api/analytics/performance-metrics`
async fn performance_metrics(
    _: ReadAccess,
    State(state): State<AppState>,
    query: RawQuery,
) -> Result<Response, ApiError> {
    Ok(Json(asked(&state, query).await?.performance()).into_response())
}

/// Returns the trades that the query asks for: the last `days`, of one `symbol` or of all. The page sends a request for
/// each letter that the user types, so an unknown symbol gives an empty result.
async fn asked(state: &AppState, query: RawQuery) -> Result<Trades, ApiError> {
    let mut params = Params::new(query)?;
    let within = |text: &str| text.parse().ok().filter(|days| (1..=MAX_DAYS).contains(days));
    let days = params.read("days", &format!("a number from 1 to {MAX_DAYS}"), within).unwrap_or(DEFAULT_DAYS);
    let spelling = params.get("symbol").map(str::to_owned);
    params.finish()?;
    let symbol = match spelling.map(|spelling| state.instruments.resolve(&spelling).map(|found| found.symbol.clone())) {
        None => None,
        Some(Ok(symbol)) => Some(symbol),
        Some(Err(_)) => return Ok(Trades::default()),
    };
    trades(state, days, symbol).await
}

/// Returns the closed trades at real prices, as `GET /api/stats` counts them.
async fn trades(state: &AppState, days: u32, symbol: Option<Symbol>) -> Result<Trades, ApiError> {
    let since = (state.clock)() - TimeDelta::days(days.into());
    let folded = state.history.fold_outcomes(Trades::default(), move |trades, outcome| {
        let is_real = matches!(outcome.feed, Some(Feed::Live | Feed::Delayed));
        let is_asked = symbol.as_ref().is_none_or(|symbol| outcome.symbol == *symbol);
        if is_real && is_asked && outcome.closed_at >= since {
            trades.add(&outcome);
        }
    });
    Ok(folded.await?)
}

/// `GET /api/institutional-ai/market-regimes`: always empty, because the server has no regime model.
async fn regimes(_: ReadAccess) -> Json<Value> {
    Json(json!({ "regimes": [] }))
}

/// `GET /api/institutional-ai/model-performance` and `…/model-configs`: always empty, because the server has no models.
async fn models(_: ReadAccess) -> Json<Value> {
    Json(json!({ "models": [] }))
}

/// `GET /monitoring/metrics`
async fn usage(_: ReadAccess, State(state): State<AppState>) -> Json<UsageObject> {
    Json(state.metrics.process.usage().into())
}

/// `GET /monitoring/performance/metrics`
async fn performance(_: ReadAccess, State(state): State<AppState>) -> Json<PerformanceObject> {
    Json(state.metrics.process.usage().into())
}
