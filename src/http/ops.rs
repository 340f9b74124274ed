//! The routes for operators: health, readiness and metrics.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::error::ApiError;
use super::params::ReadAccess;
use crate::domain::{PROTOCOL, iso};
use crate::telemetry::{Condition, Phase};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Health)]
struct HealthObject {
    /// Version of the interface.
    protocol: u32,
    status: &'static str,
    #[schema(format = DateTime)]
    timestamp: String,
    uptime_seconds: u64,
    /// Version of the server.
    version: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Readiness)]
struct ReadyObject<'a> {
    #[schema(value_type = BTreeMap<String, PartObject>)]
    parts: BTreeMap<&'static str, PartObject>,
    /// Why the server is degraded.
    reasons: Vec<&'a str>,
    /// `ok` or `degraded`.
    status: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Unready)]
struct UnreadyObject {
    /// The part that is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    part: Option<&'static str>,
    /// Why it is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    /// `starting`, `draining`, or `unavailable` when a part is missing.
    status: &'static str,
}

/// The condition of a part of the server.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Part)]
pub(super) struct PartObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// `ok` or `degraded`.
    status: &'static str,
}

/// Says that the process is alive, independent of every other part.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "get_health",
    responses((status = 200, body = HealthObject, description = "The process is alive")),
)]
pub(super) async fn health(State(state): State<AppState>) -> Response {
    let body = HealthObject {
        protocol: PROTOCOL,
        status: "OK",
        timestamp: iso((state.clock)()),
        uptime_seconds: state.started.elapsed().as_secs(),
        version: env!("CARGO_PKG_VERSION"),
    };
    Json(body).into_response()
}

/// Says whether a load balancer should send clients here.
///
/// 503 while starting or draining; else `ok`, or `degraded` with `reasons`: a degraded server still serves. `parts` has
/// each part separately.
#[utoipa::path(
    get,
    path = "/ready",
    operation_id = "get_readiness",
    responses((status = 200, body = ReadyObject, description = "The server serves"), (status = 503, body = UnreadyObject, description = "The server starts or stops, or this node of a cluster cannot serve")),
)]
pub(super) async fn ready(State(state): State<AppState>) -> Response {
    let unavailable = |status, missing: Option<(&'static str, String)>| {
        let (part, reasons) = missing.map_or((None, Vec::new()), |(part, reason)| (Some(part), vec![reason]));
        (StatusCode::SERVICE_UNAVAILABLE, Json(UnreadyObject { part, reasons, status })).into_response()
    };
    match state.readiness.phase() {
        Phase::Starting => unavailable("starting", None),
        Phase::Draining => unavailable("draining", None),
        Phase::Serving => {
            if let Some(missing) = state.readiness.missing() {
                return unavailable("unavailable", Some(missing));
            }
            let conditions = state.readiness.parts();
            let reasons: Vec<_> = conditions.iter().filter_map(|(_, reason)| reason.as_deref()).collect();
            let status = if reasons.is_empty() { "ok" } else { "degraded" };
            Json(ReadyObject { parts: parts(&conditions), reasons, status }).into_response()
        }
    }
}

/// Returns every part by its name, with the reason if it is degraded.
pub(super) fn parts(conditions: &[Condition]) -> BTreeMap<&'static str, PartObject> {
    let object = |(part, reason): &Condition| {
        let status = if reason.is_none() { "ok" } else { "degraded" };
        (*part, PartObject { reason: reason.as_deref().map(str::to_owned), status })
    };
    conditions.iter().map(object).collect()
}

/// Returns the metrics as Prometheus text.
///
/// A Grafana dashboard and alert rules are in `deploy/`.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "get_metrics",
    security(("reader" = [])),
    responses((status = 200, body = String, content_type = "text/plain", description = "The metrics")),
)]
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
