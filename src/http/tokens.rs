//! The routes of stored tokens, and of the link that the first start prints.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::AppState;
use super::admin::{AdminAccess, admit, presented};
use super::body::{JsonBody, SMALL};
use super::describe::Refuses;
use super::error::ApiError;
use crate::auth::{StoredKind, StoredToken, StoredTokenError, StoredTokens, TokenRequest};
use crate::config::parse_duration;
use crate::domain::{Delay, Fault, iso, parse_time};
use crate::ingest::PushError;

/// The body of a request for a token.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"kind": "ingest", "name": "tradingview-relay"}))]
#[expect(dead_code, reason = "describes what `read` accepts")]
struct NewToken {
    /// How late its holder gets prices and signals, in whole seconds up to a day: a number, or a duration such as `15m`.
    #[schema(minimum = 0, maximum = 86400)]
    delay: Option<u32>,
    /// When it expires: ISO 8601 or a Unix epoch. Without it the token does not expire.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    kind: StoredKind,
    /// Different from the names of all other stored tokens. Without it the server chooses one.
    #[schema(min_length = 1, max_length = 64)]
    name: Option<String>,
    /// The user's id, for tokens of the kind `user`.
    #[schema(min_length = 1, max_length = 128)]
    user: Option<String>,
}

/// The body of a revocation.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"name": "tradingview-relay"}))]
#[expect(dead_code, reason = "describes what `name_of` accepts")]
struct TokenName {
    /// The name of the token.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
}

/// A stored token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StoredToken)]
pub(super) struct StoredTokenObject {
    #[schema(format = DateTime)]
    created_at: String,
    /// How late its holder gets prices and signals, in seconds.
    delay: u32,
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
    kind: StoredKind,
    /// Written at most once a minute; after a crash it may be older.
    #[schema(required, format = DateTime)]
    last_used_at: Option<String>,
    name: String,
    #[schema(required)]
    user: Option<String>,
}

impl From<&Arc<StoredToken>> for StoredTokenObject {
    fn from(token: &Arc<StoredToken>) -> Self {
        Self {
            created_at: iso(token.created_at),
            delay: token.delay.seconds(),
            expires_at: token.expires_at.map(iso),
            kind: token.kind,
            last_used_at: token.last_used_at().map(iso),
            name: token.name.to_string(),
            user: token.user.as_deref().map(str::to_owned),
        }
    }
}

/// All tokens.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StoredTokens)]
pub(super) struct StoredTokensObject {
    /// The environment variables of the shared tokens that the settings have; they are changed there.
    settings: Vec<&'static str>,
    /// The stored tokens, by name.
    tokens: Vec<StoredTokenObject>,
}

/// A new token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreatedToken)]
pub(super) struct CreatedTokenObject {
    /// The secret. It is not stored, and cannot be shown again.
    secret: String,
    token: StoredTokenObject,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RevokedToken)]
pub(super) struct RevokedTokenObject {
    name: String,
    success: bool,
}

/// The token with which the admin page goes on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdminLogin)]
pub(super) struct AdminLoginObject {
    token: String,
}

/// Exchanges the code of the link that the first start prints for the admin token.
///
/// The code is sent as the bearer token, and is good for one exchange within half an hour. A valid admin token is returned as it
/// is.
#[utoipa::path(
    post,
    path = "/api/admin/login",
    operation_id = "log_in_admin",
    security(("admin" = [])),
    responses((status = 200, body = AdminLoginObject, description = "The token to go on with")),
)]
pub(super) async fn log_in(
    State(state): State<AppState>,
    headers: HeaderMap,
) -> Result<Json<AdminLoginObject>, ApiError> {
    let token = presented(&headers)?;
    if let Some(secret) = token.and_then(|code| state.admin_code.exchange(code)) {
        tracing::info!("the link of the first start was used");
        return Ok(Json(AdminLoginObject { token: secret.reveal().to_owned() }));
    }
    admit(&state, &headers)?;
    Ok(Json(AdminLoginObject { token: token.unwrap_or_default().to_owned() }))
}

/// Lists the stored tokens, and which tokens the settings have.
#[utoipa::path(
    get,
    path = "/api/admin/tokens",
    operation_id = "get_tokens",
    security(("admin" = [])),
    responses((status = 200, body = StoredTokensObject, description = "The tokens, without their secrets")),
)]
pub(super) async fn list(_: AdminAccess, State(state): State<AppState>) -> Json<StoredTokensObject> {
    let tokens = state.tokens.stored().list().iter().map(StoredTokenObject::from).collect();
    Json(StoredTokensObject { settings: state.tokens.settings(), tokens })
}

/// Makes a token for writing, for reading, or of a user. Its secret is in this answer only.
///
/// It is valid at once. In a cluster it is valid on the node that made it.
#[utoipa::path(
    post,
    path = "/api/admin/tokens",
    operation_id = "create_token",
    security(("admin" = [])),
    request_body(content = NewToken, description = "At most 64 KiB"),
    responses((status = 200, body = CreatedTokenObject, description = "The token and its secret")),
)]
pub(super) async fn create(
    _: AdminAccess,
    State(state): State<AppState>,
    JsonBody(body): JsonBody<SMALL>,
) -> Result<Json<CreatedTokenObject>, ApiError> {
    let now = (state.clock)();
    let request = read(&body).map_err(PushError::Invalid)?;
    let (name, kind) = (request.name.clone(), request.kind);
    let secret = stored(&state, move |tokens| tokens.create(&request, now)).await?;
    tracing::info!(name, kind = kind.name(), "a token was made");
    let tokens = state.tokens.stored().list();
    let token = tokens.iter().find(|token| *token.name == *name).ok_or(ApiError::Internal)?;
    Ok(Json(CreatedTokenObject { secret, token: token.into() }))
}

/// Revokes a stored token, and ends the connections that use it.
#[utoipa::path(
    post,
    path = "/api/admin/tokens/revoke",
    operation_id = "revoke_token",
    security(("admin" = [])),
    request_body(content = TokenName, description = "At most 64 KiB"),
    responses((status = 200, body = RevokedTokenObject, description = "The token is revoked"), Refuses<404>),
)]
pub(super) async fn revoke(
    _: AdminAccess,
    State(state): State<AppState>,
    JsonBody(body): JsonBody<SMALL>,
) -> Result<Json<RevokedTokenObject>, ApiError> {
    let name = body.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| PushError::Invalid(vec![Fault::required("name")]))?.to_owned();
    let named = name.clone();
    let revoked = stored(&state, move |tokens| tokens.revoke(&named)).await;
    // Also when the file could not be written: this process knows of it.
    state.tokens.end_invalid();
    if !revoked? {
        return Err(ApiError::TokenNotFound);
    }
    state.metrics.revocations_total.inc();
    tracing::info!(name, "a token was revoked");
    Ok(Json(RevokedTokenObject { name, success: true }))
}

/// Works on the stored tokens, whose file is read and written.
async fn stored<T: Send + 'static>(
    state: &AppState,
    work: impl FnOnce(&StoredTokens) -> Result<T, StoredTokenError> + Send + 'static,
) -> Result<T, ApiError> {
    let tokens = state.tokens.stored().clone();
    let done = tokio::task::spawn_blocking(move || work(&tokens)).await;
    done.map_err(|_| ApiError::Internal)?.map_err(|error| match error {
        StoredTokenError::Invalid(faults) => PushError::Invalid(faults).into(),
        StoredTokenError::File { file, what } => {
            tracing::error!(file, error = what, "the stored tokens cannot be changed");
            PushError::NotStored(what).into()
        }
    })
}

/// Reads a request for a token; what is wrong with its values by themselves.
fn read(body: &Value) -> Result<TokenRequest, Vec<Fault>> {
    let mut faults = Vec::new();
    let field = |name: &str| body.get(name).filter(|value| !value.is_null() && value.as_str() != Some(""));
    let mut text = |name: &str| match field(name) {
        None => None,
        Some(Value::String(text)) => Some(text.trim().to_owned()),
        Some(_) => {
            faults.push(Fault::new(name, "must be a text"));
            None
        }
    };
    let (name, user, kind) = (text("name"), text("user"), text("kind"));
    let known = kind.as_deref().and_then(|kind| StoredKind::ALL.into_iter().find(|known| known.name() == kind));
    if known.is_none() {
        faults.push(Fault::new("kind", "must be ingest, read or user"));
    }
    let delay = field("delay").map_or(Some(Delay::NONE), delay);
    if delay.is_none() {
        faults.push(Fault::new("delay", "must be whole seconds, at most a day, such as 900 or \"15m\""));
    }
    let expires_at = field("expires_at").map(time);
    if expires_at == Some(None) {
        faults.push(Fault::new("expires_at", "must be an ISO 8601 time"));
    }
    match (known, delay) {
        (Some(kind), Some(delay)) if faults.is_empty() => {
            let name = name.unwrap_or_else(|| format!("{}-{:08x}", kind.name(), rand::random::<u32>()));
            Ok(TokenRequest { kind, name, user, delay, expires_at: expires_at.flatten() })
        }
        _ => Err(faults),
    }
}

fn delay(value: &Value) -> Option<Delay> {
    match value {
        Value::Number(seconds) => Delay::from_seconds(seconds.as_u64()?),
        Value::String(text) => {
            let delay = parse_duration(text).filter(|delay| delay.subsec_nanos() == 0)?;
            Delay::from_seconds(delay.as_secs())
        }
        _ => None,
    }
}

fn time(value: &Value) -> Option<DateTime<Utc>> {
    match value {
        Value::String(text) => parse_time(text),
        Value::Number(number) => parse_time(&number.to_string()),
        _ => None,
    }
}
