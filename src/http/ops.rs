//! The routes for operators: health, readiness and metrics.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::AppState;
use super::error::ApiError;
use super::params::ReadAccess;
use crate::domain::iso;
use crate::telemetry::{Condition, Phase};

/// `GET /health`: answers while the process runs, independent of every other part.
pub(super) async fn health(State(state): State<AppState>) -> Response {
    let body = json!({
        "status": "OK",
        "timestamp": iso((state.clock)()),
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": state.started.elapsed().as_secs(),
    });
    Json(body).into_response()
}

/// `GET /ready`: whether a load balancer should send clients here. A degraded server still serves.
pub(super) async fn ready(State(state): State<AppState>) -> Response {
    let unavailable = |status| (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": status }))).into_response();
    match state.readiness.phase() {
        Phase::Starting => unavailable("starting"),
        Phase::Draining => unavailable("draining"),
        Phase::Serving => {
            if let Some((part, reason)) = state.readiness.missing() {
                let body = json!({ "status": "unavailable", "part": part, "reasons": [reason] });
                return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
            }
            let conditions = state.readiness.parts();
            let reasons: Vec<_> = conditions.iter().filter_map(|(_, reason)| reason.as_deref()).collect();
            let status = if reasons.is_empty() { "ok" } else { "degraded" };
            Json(json!({ "status": status, "reasons": reasons, "parts": parts(&conditions) })).into_response()
        }
    }
}

/// Returns every part by its name, with the reason if it is degraded.
pub(super) fn parts(conditions: &[Condition]) -> Map<String, Value> {
    let object = |(part, reason): &Condition| {
        let condition = match reason {
            None => json!({ "status": "ok" }),
            Some(reason) => json!({ "status": "degraded", "reason": reason }),
        };
        ((*part).to_owned(), condition)
    };
    conditions.iter().map(object).collect()
}

/// `GET /metrics` on the listener for clients: where reading needs a token, this does too.
pub(super) async fn public_metrics(_: ReadAccess, state: State<AppState>) -> Result<Response, ApiError> {
    metrics(state).await
}

/// `GET /metrics`: Prometheus text.
pub(super) async fn metrics(State(state): State<AppState>) -> Result<Response, ApiError> {
    let text = state.metrics.render().map_err(|error| {
        tracing::error!(%error, "the metrics cannot be encoded");
        ApiError::Internal
    })?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
