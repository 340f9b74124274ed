//! The writing routes: pushed signals, prices and events, and the posts of Expert Advisors.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query, State};
use http::request::Parts;
use serde::Deserialize;

use super::AppState;
use super::body::{BATCH, JsonBody, JsonOrText, SMALL};
use super::describe::Refuses;
use super::error::ApiError;
use super::params::DryRun;
use super::requests::{EndRequest, EventsRequest, PricesRequest, SignalRequest, TicksRequest};
use crate::auth::{self, TokenKind};
use crate::ingest::{Answered, EventsAnswer, PricesAnswer, SignalAnswer, metatrader};

/// Proof that the request has write access. As a handler argument it comes before the body, so that the body of an
/// unauthorized request is not read.
#[derive(Debug)]
pub(super) struct WriteAccess;

impl FromRequestParts<AppState> for WriteAccess {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let metrics = &state.metrics;
        let admitted = auth::bearer(&parts.headers).and_then(|token| state.tokens.ingest(token));
        admitted.map_err(|error| {
            metrics.reject("push", "unauthorized");
            ApiError::Token(TokenKind::Ingest, error)
        })?;
        state.tokens.count_push().inspect_err(|_| metrics.reject_too_fast())?;
        Ok(Self)
    }
}

/// The query of a pushed signal.
#[derive(Debug, Default, Deserialize)]
pub(super) struct SignalQuery {
    /// The id of a signal that is sent as text.
    id: Option<String>,
}

/// Pushes a signal, or ends one; known by its `id`, so that sending it again is safe.
///
/// A new id creates the signal. The same id with a new status ends it; with the same content nothing happens; with
/// other content, while it is pending, the signal is replaced. A known id needs only `id` and `status`. Field names and
/// values are read in many spellings (docs/pushing.md); fields without effect are named in `ignored`. As `text/plain`,
/// a signal as people write it in a chat. `dry_run` only validates. 200 means that the signal survives `kill -9`.
#[utoipa::path(
    post,
    path = "/api/signals",
    operation_id = "push_signal",
    security(("ingest" = [])),
    params(
        ("dry_run" = Option<bool>, Query, description = "Only validate: nothing is published", example = true),
        ("id" = Option<String>, Query, description = "Id of a signal that is sent as text", example = "chat_001"),
    ),
    request_body(content((SignalRequest = "application/json"), (String = "text/plain", example = "BUY EURUSD @ 1.16 SL 1.157 TP 1.163")), description = "At most 64 KiB"),
    responses((status = 200, body = Answered<SignalAnswer>, description = "The signal was accepted"), Refuses<404>, Refuses<409>, Refuses<422>),
)]
pub(super) async fn signal(
    _: WriteAccess,
    State(state): State<AppState>,
    dry_run: DryRun,
    query: Result<Query<SignalQuery>, QueryRejection>,
    body: JsonOrText<SMALL>,
) -> Result<Json<Answered<SignalAnswer>>, ApiError> {
    let Query(query) = query?;
    Ok(Json(match body {
        JsonOrText::Text(text) => state.push.pasted(&text, query.id.as_deref(), dry_run.0).await?,
        JsonOrText::Json(mut body) => {
            dry_run.set_in(&mut body);
            state.push.signal(&body).await?
        }
    }))
}

/// Ends a signal.
///
/// The two final states never change: another end than the one that is there is a conflict.
#[utoipa::path(
    patch,
    path = "/api/signals/{id}",
    operation_id = "end_signal",
    security(("ingest" = [])),
    params(
        ("id" = String, Path, description = "Id of the signal", example = "model_001"),
        ("dry_run" = Option<bool>, Query, description = "Only validate: nothing is published", example = true),
    ),
    request_body(content = EndRequest, description = "At most 64 KiB"),
    responses((status = 200, body = Answered<SignalAnswer>, description = "The signal has this state"), Refuses<404>, Refuses<409>, Refuses<422>),
)]
pub(super) async fn update(
    _: WriteAccess,
    State(state): State<AppState>,
    id: Result<Path<String>, PathRejection>,
    dry_run: DryRun,
    JsonBody(mut body): JsonBody<SMALL>,
) -> Result<Json<Answered<SignalAnswer>>, ApiError> {
    let Path(id) = id?;
    dry_run.set_in(&mut body);
    Ok(Json(state.push.update(&id, &body).await?))
}

/// Pushes a price, or up to 1,000.
///
/// A batch is accepted or rejected as a whole. A pushed price replaces the simulator for its symbol.
#[utoipa::path(
    post,
    path = "/api/prices",
    operation_id = "push_prices",
    security(("ingest" = [])),
    request_body(content = PricesRequest, description = "At most 256 KiB"),
    responses((status = 200, body = Answered<PricesAnswer>, description = "The prices were accepted"), Refuses<409>, Refuses<422>),
)]
pub(super) async fn prices(
    _: WriteAccess,
    State(state): State<AppState>,
    JsonBody(body): JsonBody<BATCH>,
) -> Result<Json<Answered<PricesAnswer>>, ApiError> {
    Ok(Json(state.push.prices(&body).await?))
}

/// Publishes a message for the dashboards, or up to 1,000.
///
/// The types and their fields are in docs/messages.md. A batch is accepted or rejected as a whole.
#[utoipa::path(
    post,
    path = "/api/events",
    operation_id = "publish_events",
    security(("ingest" = [])),
    request_body(content = EventsRequest, description = "At most 256 KiB"),
    responses((status = 200, body = EventsAnswer, description = "The messages are on the disk")),
)]
pub(super) async fn events(
    _: WriteAccess,
    State(state): State<AppState>,
    JsonBody(body): JsonBody<BATCH>,
) -> Result<Json<EventsAnswer>, ApiError> {
    Ok(Json(state.push.events(|now| state.published.read(&body, now)).await?))
}

/// Receives the prices or a signal of an Expert Advisor.
///
/// The format is that of `ea/`. Sending a batch again is safe: the answer acknowledges it as a duplicate.
#[utoipa::path(
    post,
    path = "/api/mt/ticks",
    operation_id = "push_metatrader",
    security(("ingest" = [])),
    request_body(content = TicksRequest, description = "At most 256 KiB"),
    responses((status = 200, body = metatrader::PostAnswer, description = "The batch is acknowledged, including rejected ticks"), Refuses<404>, Refuses<409>, Refuses<422>),
)]
pub(super) async fn metatrader(
    _: WriteAccess,
    State(state): State<AppState>,
    JsonBody(body): JsonBody<BATCH>,
) -> Result<Json<metatrader::PostAnswer>, ApiError> {
    Ok(Json(state.metatrader.receive(&body).await?))
}
