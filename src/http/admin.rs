//! What administrators do.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use chrono::{DateTime, Utc};
use http::request::Parts;
use serde_json::{Value, json};

use super::AppState;
use super::body::{JsonBody, SMALL};
use super::error::ApiError;
use crate::auth::{self, AuthError};
use crate::domain::{Audience, Fault, UserNote, iso, parse_time};
use crate::sources::push::PushFault;

/// Proof that the request may administer: the shared token, or the own one of an administrator; as bearer, or in the
/// header that Sentio's buttons use.
#[derive(Debug)]
pub(super) struct Admin;

impl FromRequestParts<AppState> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let own_header = || parts.headers.get("x-admin-token")?.to_str().ok();
        let token = auth::bearer(&parts.headers)?.or_else(own_header);
        match state.tokens.admin(token) {
            Ok(_) => Ok(Self),
            // Somebody who is known, and no administrator.
            Err(AuthError::Wrong) if state.tokens.user(token).is_ok() => {
                Err(ApiError::Forbidden("This is for administrators"))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// `POST /api/admin/revoke`: `{"user","not_before"?}`. The user's tokens that were made before are worth nothing any more,
/// now and after a restart, and the connections that rest on them end. Without a time it is now.
pub(super) async fn revoke(
    _: Admin,
    State(state): State<AppState>,
    JsonBody(body): JsonBody<SMALL>,
) -> Result<Json<Value>, ApiError> {
    let now = (state.clock)();
    let (user, not_before) = read(&body, now).map_err(PushFault::Invalid)?;
    let note = UserNote { user: user.as_str().into(), not_before: Some(not_before), seen: None };
    state.push.note(note.clone()).await?;
    state.tokens.revoke(&note.user, not_before);
    tracing::info!(not_before = %iso(not_before), "a user's tokens were revoked");
    Ok(Json(json!({
        "success": true, "message": "Tokens revoked", "user": user, "not_before": iso(not_before), "timestamp": iso(now)
    })))
}

fn read(body: &Value, now: DateTime<Utc>) -> Result<(String, DateTime<Utc>), Vec<Fault>> {
    let mut faults = Vec::new();
    let user = match body.get("user").or_else(|| body.get("user_id")) {
        None | Some(Value::Null) => Err("is required"),
        Some(Value::String(user)) if (1..=Audience::MAX_USER).contains(&user.chars().count()) => Ok(user.clone()),
        Some(_) => Err("must be a user's id, of at most 128 characters"),
    };
    let not_before = match body.get("not_before") {
        None | Some(Value::Null) => Ok(now),
        Some(Value::String(time)) => parse_time(time).filter(|time| *time <= now).ok_or(()),
        Some(Value::Number(time)) => parse_time(&time.to_string()).filter(|time| *time <= now).ok_or(()),
        Some(_) => Err(()),
    };
    let user = user.map_err(|reason| faults.push(Fault::new("user", reason)));
    let not_before =
        not_before.map_err(|()| faults.push(Fault::new("not_before", "must be an ISO 8601 time that has come")));
    match (user, not_before) {
        (Ok(user), Ok(not_before)) => Ok((user, not_before)),
        _ => Err(faults),
    }
}
