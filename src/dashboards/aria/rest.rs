//! The HTTP routes of ARIA PRO's page. Where the server has no data, the answer is empty but has the shape that the
//! page reads.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::wire::{
    Analysis, EquityPoint, HeatmapCell, PerformanceObject, PerformanceStats, Risk, SignalObject, Trades, UsageObject,
};
use crate::domain::{Feed, Symbol};
use crate::http::{ApiError, AppState, Group, Params, RawQuery, ReadAccess, ReadLimit, grouped};
use crate::store::HistoryQuery;

/// How the description of the HTTP interface names the routes.
const GROUP: Group = ("ARIA PRO", "What the panels of ARIA PRO read, in the shapes that they read.");
/// How many days the panels look back, by default and at most.
const DEFAULT_DAYS: u32 = 30;
const MAX_DAYS: u32 = 365;

/// Returns the routes.
pub(in crate::dashboards) fn routes(reads: &ReadLimit) -> OpenApiRouter<AppState> {
    let limited = |route| reads.limit(route);
    let routes = OpenApiRouter::new()
        .routes(limited(routes!(history)))
        .routes(routes!(positions))
        .routes(routes!(account))
        .routes(limited(routes!(risk)))
        .routes(limited(routes!(heatmap)))
        .routes(limited(routes!(equity_curve)))
        .routes(limited(routes!(performance_metrics)))
        .routes(routes!(regimes))
        .routes(routes!(models))
        .routes(routes!(model_configs))
        .routes(routes!(usage))
        .routes(routes!(performance));
    grouped(GROUP, routes)
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::Signals)]
struct HistoryObject<'a> {
    signals: Vec<SignalObject<'a>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::Positions)]
struct PositionsObject {
    count: usize,
    #[schema(value_type = Vec<Object>)]
    positions: [(); 0],
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::Account)]
struct AccountObject {
    #[schema(required, value_type = Option<Object>)]
    account: (),
    #[schema(required, value_type = Option<Object>)]
    risk_metrics: (),
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::Regimes)]
struct RegimesObject {
    #[schema(value_type = Vec<Object>)]
    regimes: [(); 0],
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::Models)]
struct ModelsObject {
    #[schema(value_type = Vec<Object>)]
    models: [(); 0],
}

/// Lists signals, newest first, in the page's shape.
///
/// The page offers symbols that are not in the catalogue; for these the list is empty.
#[utoipa::path(
    get,
    path = "/signals/history",
    operation_id = "aria_signals",
    security(("reader" = [])),
    params(
        ("symbol" = Option<String>, Query, description = "Instrument; an unknown one gives an empty answer", example = "EURUSD"),
        ("limit" = Option<u32>, Query, description = "Largest number of entries, 50 by default", minimum = 1, maximum = 500, example = 10),
    ),
    responses((status = 200, body = HistoryObject, description = "The signals")),
)]
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
    let query = HistoryQuery { status: None, symbol, killzone: None, filter: None, since: None, before: None, limit };
    let page = state.history.history(query).await?;
    let signals = page.signals.iter().map(SignalObject::historical).collect();
    Ok(Json(HistoryObject { signals }).into_response())
}

/// Returns no positions, because no broker is connected.
#[utoipa::path(
    get,
    path = "/trading/positions",
    operation_id = "aria_positions",
    security(("reader" = [])),
    responses((status = 200, body = PositionsObject, description = "Empty")),
)]
async fn positions(_: ReadAccess) -> Json<PositionsObject> {
    Json(PositionsObject { count: 0, positions: [] })
}

/// Returns no account, because no broker is connected; the page shows dashes.
#[utoipa::path(
    get,
    path = "/trading/account-info",
    operation_id = "aria_account",
    security(("reader" = [])),
    responses((status = 200, body = AccountObject, description = "Empty")),
)]
async fn account(_: ReadAccess) -> Json<AccountObject> {
    Json(AccountObject { account: (), risk_metrics: () })
}

/// Returns the risk of a model account in the last 365 days, in percent per trade; zeros without trades.
#[utoipa::path(
    get,
    path = "/trading/risk-metrics",
    operation_id = "aria_risk",
    security(("reader" = [])),
    responses((status = 200, body = Risk, description = "The risk")),
)]
async fn risk(_: ReadAccess, State(state): State<AppState>) -> Result<Response, ApiError> {
    Ok(Json(trades(&state, MAX_DAYS, None).await?.risk()).into_response())
}

/// Returns the closed trades of confirmed signals by instrument, hour and weekday, on a model account of 10000 that
/// risks 100 on each.
#[utoipa::path(
    get,
    path = "/api/analytics/trading-heatmap",
    operation_id = "aria_heatmap",
    security(("reader" = [])),
    params(
        ("days" = Option<u32>, Query, description = "How far to look back, 30 by default", minimum = 1, maximum = 365, example = 30),
        ("symbol" = Option<String>, Query, description = "Instrument; an unknown one gives an empty answer", example = "EURUSD"),
    ),
    responses((status = 200, body = Analysis<Vec<HeatmapCell>>, description = "The cells")),
)]
async fn heatmap(_: ReadAccess, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    Ok(Json(asked(&state, query).await?.heatmap()).into_response())
}

/// Returns the equity of the model account after each trade.
#[utoipa::path(
    get,
    path = "/api/analytics/equity-curve",
    operation_id = "aria_equity_curve",
    security(("reader" = [])),
    params(
        ("days" = Option<u32>, Query, description = "How far to look back, 30 by default", minimum = 1, maximum = 365, example = 30),
        ("symbol" = Option<String>, Query, description = "Instrument; an unknown one gives an empty answer", example = "EURUSD"),
    ),
    responses((status = 200, body = Analysis<Vec<EquityPoint>>, description = "The points")),
)]
async fn equity_curve(_: ReadAccess, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    Ok(Json(asked(&state, query).await?.equity_curve()).into_response())
}

/// Returns the performance of the model account; `data` is null without trades.
#[utoipa::path(
    get,
    path = "/api/analytics/performance-metrics",
    operation_id = "aria_performance",
    security(("reader" = [])),
    params(
        ("days" = Option<u32>, Query, description = "How far to look back, 30 by default", minimum = 1, maximum = 365, example = 30),
        ("symbol" = Option<String>, Query, description = "Instrument; an unknown one gives an empty answer", example = "EURUSD"),
    ),
    responses((status = 200, body = Analysis<Option<PerformanceStats>>, description = "The performance")),
)]
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

/// Returns no regimes, because the server has no regime model.
#[utoipa::path(
    get,
    path = "/api/institutional-ai/market-regimes",
    operation_id = "aria_regimes",
    security(("reader" = [])),
    responses((status = 200, body = RegimesObject, description = "Empty")),
)]
async fn regimes(_: ReadAccess) -> Json<RegimesObject> {
    Json(RegimesObject { regimes: [] })
}

/// Returns no models, because the server has none.
#[utoipa::path(
    get,
    path = "/api/institutional-ai/model-performance",
    operation_id = "aria_model_performance",
    security(("reader" = [])),
    responses((status = 200, body = ModelsObject, description = "Empty")),
)]
async fn models(_: ReadAccess) -> Json<ModelsObject> {
    Json(ModelsObject { models: [] })
}

/// Returns no settings of models, because the server has no models.
#[utoipa::path(
    get,
    path = "/api/institutional-ai/model-configs",
    operation_id = "aria_model_configs",
    security(("reader" = [])),
    responses((status = 200, body = ModelsObject, description = "Empty")),
)]
async fn model_configs(access: ReadAccess) -> Json<ModelsObject> {
    models(access).await
}

/// Returns the load of the machine.
#[utoipa::path(
    get,
    path = "/monitoring/metrics",
    operation_id = "aria_load",
    security(("reader" = [])),
    responses((status = 200, body = UsageObject, description = "The load")),
)]
async fn usage(_: ReadAccess, State(state): State<AppState>) -> Json<UsageObject> {
    Json(state.metrics.process.usage().into())
}

/// Returns the load of this process; there are no models.
#[utoipa::path(
    get,
    path = "/monitoring/performance/metrics",
    operation_id = "aria_process",
    security(("reader" = [])),
    responses((status = 200, body = PerformanceObject, description = "The load")),
)]
async fn performance(_: ReadAccess, State(state): State<AppState>) -> Json<PerformanceObject> {
    Json(state.metrics.process.usage().into())
}
