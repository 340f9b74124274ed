//! What ARIA PRO's page asks beside its socket: answered from what is known, empty in the page's shape otherwise.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::AppState;
use super::error::ApiError;
use super::params::{Params, RawQuery, Reader};
use crate::gateways::dialects::aria::{PerformanceObject, SignalObject, UsageObject};
use crate::store::HistoryQuery;

#[derive(Debug, Serialize)]
struct HistoryObject<'a> {
    signals: Vec<SignalObject<'a>>,
}

/// `GET /signals/history`: newest first. The page offers symbols that are not in our catalogue: of those there are none.
pub(super) async fn history(_: Reader, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
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
    let signals = page.signals.iter().map(SignalObject::past).collect();
    Ok(Json(HistoryObject { signals }).into_response())
}

/// `GET /trading/positions`: no broker is connected.
pub(super) async fn positions(_: Reader) -> Json<Value> {
    Json(json!({ "positions": [], "count": 0 }))
}

/// `GET /trading/account-info`: the page shows dashes for an account that is not known.
pub(super) async fn account(_: Reader) -> Json<Value> {
    Json(json!({ "account": null, "risk_metrics": null }))
}

/// `GET /trading/risk-metrics`: null. The page crashes on an object without its numbers, and on null it waits.
pub(super) async fn risk(_: Reader) -> Json<Value> {
    Json(Value::Null)
}

/// `GET /monitoring/metrics`
pub(super) async fn usage(_: Reader, State(state): State<AppState>) -> Json<UsageObject> {
    Json(state.metrics.process.usage().into())
}

/// `GET /monitoring/performance/metrics`
pub(super) async fn performance(_: Reader, State(state): State<AppState>) -> Json<PerformanceObject> {
    Json(state.metrics.process.usage().into())
}
