//! Messages to LINE on request.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::AppState;
use super::body::{JsonBody, SMALL};
use super::describe::Refuses;
use super::error::ApiError;
use super::ingest::WriteAccess;
use super::params::DryRun;
use super::requests::LineRequest;
use crate::domain::iso;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LineAnswer)]
pub(super) struct LineAnswer {
    /// Whether the signal was only validated.
    dry_run: bool,
    message: &'static str,
    success: bool,
    #[schema(format = DateTime)]
    timestamp: String,
}

/// Sends a test message to LINE.
///
/// With the signal of the body, or without one a message that says that it is a test. It goes out at once, whatever the
/// rules of `notify.line` say, and the answer comes when LINE has taken it. 500 `not_configured` when LINE is not set up,
/// and `not_delivered` with what LINE says.
#[utoipa::path(
    post,
    path = "/api/test-line",
    operation_id = "test_line",
    security(("ingest" = [])),
    params(("dry_run" = Option<bool>, Query, description = "Only validate: nothing is sent", example = true)),
    request_body(content = LineRequest, description = "At most 64 KiB"),
    responses((status = 200, body = LineAnswer, description = "LINE has taken the message"), Refuses<422>),
)]
pub(super) async fn test_line(
    _: WriteAccess,
    State(state): State<AppState>,
    dry_run: DryRun,
    JsonBody(body): JsonBody<SMALL>,
) -> Result<Json<LineAnswer>, ApiError> {
    send(&state, dry_run, body, "Test message sent to LINE").await
}

/// Sends a signal to LINE.
///
/// It is not stored or published: `POST /api/signals` does that, and tells LINE by the rules of `notify.line`. This message
/// goes out at once, and the answer comes when LINE has taken it. 500 `not_configured` when LINE is not set up, and
/// `not_delivered` with what LINE says.
#[utoipa::path(
    post,
    path = "/api/send-line-notification",
    operation_id = "send_line_notification",
    security(("ingest" = [])),
    params(("dry_run" = Option<bool>, Query, description = "Only validate: nothing is sent", example = true)),
    request_body(content = LineRequest, description = "At most 64 KiB"),
    responses((status = 200, body = LineAnswer, description = "LINE has taken the message"), Refuses<422>),
)]
pub(super) async fn send_line_notification(
    _: WriteAccess,
    State(state): State<AppState>,
    dry_run: DryRun,
    JsonBody(body): JsonBody<SMALL>,
) -> Result<Json<LineAnswer>, ApiError> {
    if body.get("signal").is_none_or(Value::is_null) {
        return Err(ApiError::BadRequest("Signal data required".to_owned()));
    }
    send(&state, dry_run, body, "LINE notification sent").await
}

async fn send(
    state: &AppState,
    dry_run: DryRun,
    mut body: Value,
    message: &'static str,
) -> Result<Json<LineAnswer>, ApiError> {
    dry_run.set_in(&mut body);
    let (signal, dry_run) = state.push.described_signal(&body)?;
    if !dry_run {
        state.notices.send_line(signal.as_ref()).await?;
    }
    let message = match (dry_run, &signal) {
        (true, Some(_)) => "The signal is valid; nothing was sent",
        (true, None) => "Nothing was sent",
        (false, _) => message,
    };
    Ok(Json(LineAnswer { dry_run, message, success: true, timestamp: iso((state.clock)()) }))
}
