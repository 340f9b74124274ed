//! The writing routes: pushed signals, prices and events, and what Expert Advisors post.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, State};
use http::request::Parts;

use super::AppState;
use super::body::{BATCH, JsonBody, SMALL};
use super::error::ApiError;
use crate::auth::{self, TokenKind};
use crate::gateways::events;
use crate::sources::metatrader;
use crate::sources::push::{EventsAnswer, PricesAnswer, SignalAnswer};

/// Proof that the request may write. Comes before the body among a handler's arguments, so that a stranger's body is not
/// even read.
#[derive(Debug)]
pub(super) struct Writer;

impl FromRequestParts<AppState> for Writer {
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

/// `POST /api/signals`
pub(super) async fn signal(
    _: Writer,
    State(state): State<AppState>,
    JsonBody(body): JsonBody<SMALL>,
) -> Result<Json<SignalAnswer>, ApiError> {
    Ok(Json(state.push.signal(&body).await?))
}

/// `PATCH /api/signals/{id}`
pub(super) async fn update(
    _: Writer,
    State(state): State<AppState>,
    id: Result<Path<String>, PathRejection>,
    JsonBody(body): JsonBody<SMALL>,
) -> Result<Json<SignalAnswer>, ApiError> {
    let Path(id) = id?;
    Ok(Json(state.push.update(&id, &body).await?))
}

/// `POST /api/prices`
pub(super) async fn prices(
    _: Writer,
    State(state): State<AppState>,
    JsonBody(body): JsonBody<BATCH>,
) -> Result<Json<PricesAnswer>, ApiError> {
    Ok(Json(state.push.prices(&body).await?))
}

/// `POST /api/events`
pub(super) async fn events(
    _: Writer,
    State(state): State<AppState>,
    JsonBody(body): JsonBody<BATCH>,
) -> Result<Json<EventsAnswer>, ApiError> {
    Ok(Json(state.push.events(|now| events::read(&body, now)).await?))
}

/// `POST /api/mt/ticks`: batches and signals of an Expert Advisor.
pub(super) async fn metatrader(
    _: Writer,
    State(state): State<AppState>,
    JsonBody(body): JsonBody<BATCH>,
) -> Result<Json<metatrader::Answer>, ApiError> {
    Ok(Json(state.metatrader.take(&body).await?))
}
