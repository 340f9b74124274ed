//! The routes for administrators.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use chrono::{DateTime, Utc};
use http::HeaderMap;
use http::request::Parts;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::AppState;
use super::body::{JsonBody, SMALL};
use super::error::ApiError;
use crate::auth::{self, TokenKind};
use crate::domain::{Audience, Fault, UserNote, iso, parse_time};
use crate::ingest::PushError;

/// The header in which some buttons of a page send an admin token. It takes precedence over the bearer token, which
/// the page sends with every request and which belongs to the user.
const OWN_HEADER: &str = "x-admin-token";

/// The body of a revocation.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"user": "user_002"}))]
#[expect(dead_code, reason = "describes what `read` accepts")]
struct Revocation {
    /// The user's id.
    #[schema(min_length = 1, max_length = 128)]
    user: String,
    /// Tokens issued before this time become invalid: ISO 8601 or a Unix epoch, not in the future.
    #[schema(format = DateTime)]
    not_before: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Revoked)]
pub(super) struct RevokedObject {
    message: &'static str,
    #[schema(format = DateTime)]
    not_before: String,
    success: bool,
    #[schema(format = DateTime)]
    timestamp: String,
    user: String,
}

/// Checks admin access: the shared admin token, or the token of a user who is an administrator.
///
/// # Errors
/// 403 for a valid user who is not an administrator, else 401.
pub(crate) fn admit(state: &AppState, headers: &HeaderMap) -> Result<(), ApiError> {
    let token = presented(headers)?;
    state.tokens.admin(token).map(drop).map_err(|refusal| {
        state.metrics.reject("administration", "unauthorized");
        match state.tokens.user(token) {
            Ok(_) => ApiError::Forbidden("This is for administrators"),
            Err(_) => ApiError::Token(TokenKind::Admin, refusal),
        }
    })
}

/// Returns the admin token of a request.
pub(super) fn presented(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    match headers.get(OWN_HEADER) {
        Some(token) => Ok(token.to_str().ok()),
        None => Ok(auth::bearer(headers)?),
    }
}

/// Proof that the request has admin access.
#[derive(Debug)]
pub(super) struct AdminAccess;

impl FromRequestParts<AppState> for AdminAccess {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        admit(state, &parts.headers).map(|()| Self)
    }
}

/// Revokes a user's tokens.
///
/// Invalidates those issued before `not_before` (by default all up to now), also after a restart, and ends the
/// connections that use them.
#[utoipa::path(
    post,
    path = "/api/admin/revoke",
    operation_id = "revoke_tokens",
    security(("admin" = [])),
    request_body(content = Revocation, description = "At most 64 KiB"),
    responses((status = 200, body = RevokedObject, description = "The tokens are revoked")),
)]
pub(super) async fn revoke(
    _: AdminAccess,
    State(state): State<AppState>,
    JsonBody(body): JsonBody<SMALL>,
) -> Result<Json<RevokedObject>, ApiError> {
    let now = (state.clock)();
    let (user, not_before) = read(&body, now).map_err(PushError::Invalid)?;
    let not_before = not_before.unwrap_or_else(|| state.tokens.revocation_time());
    let note = UserNote { user: user.as_str().into(), not_before: Some(not_before), seen: None };
    state.push.note(note.clone()).await?;
    state.tokens.revoke(&note.user, not_before);
    state.metrics.revocations_total.inc();
    tracing::info!(not_before = %iso(not_before), "a user's tokens were revoked");
    let (not_before, timestamp) = (iso(not_before), iso(now));
    Ok(Json(RevokedObject { message: "Tokens revoked", not_before, success: true, timestamp, user }))
}

/// Returns the user, and the time before which tokens are invalid; `None` means all tokens issued so far.
fn read(body: &Value, now: DateTime<Utc>) -> Result<(String, Option<DateTime<Utc>>), Vec<Fault>> {
    let mut faults = Vec::new();
    let wrong = |reason: &str| Err(Fault::new("user", reason));
    let user = match body.get("user").or_else(|| body.get("user_id")) {
        None | Some(Value::Null) => Err(Fault::required("user")),
        Some(Value::String(user)) if (1..=Audience::MAX_USER).contains(&user.chars().count()) => Ok(user.clone()),
        Some(Value::Number(_)) => wrong("must be a text: write the number in quotes, whatever it is in the token"),
        Some(_) => wrong("must be a user's id, of at most 128 characters"),
    };
    let not_before = match body.get("not_before") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(time)) => parse_time(time).filter(|time| *time <= now).map(Some).ok_or(()),
        Some(Value::Number(time)) => parse_time(&time.to_string()).filter(|time| *time <= now).map(Some).ok_or(()),
        Some(_) => Err(()),
    };
    let user = user.map_err(|fault| faults.push(fault));
    let not_before =
        not_before.map_err(|()| faults.push(Fault::new("not_before", "must be an ISO 8601 time that has come")));
    match (user, not_before) {
        (Ok(user), Ok(not_before)) => Ok((user, not_before)),
        _ => Err(faults),
    }
}
