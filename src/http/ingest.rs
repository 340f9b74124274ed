//! The writing routes: pushed signals, prices and events, and the posts of Expert Advisors.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query, State};
use http::request::Parts;
use serde::Deserialize;

use super::AppState;
use super::body::{BATCH, JsonBody, JsonOrText, SMALL};
use super::error::ApiError;
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
    /// Only validate the signal: `true`, `1`, or an empty value.
    dry_run: Option<String>,
    /// The id of a signal that is sent as text.
    id: Option<String>,
}

impl SignalQuery {
    fn dry_run(&self) -> Result<bool, ApiError> {
        match self.dry_run.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(_) => Err(ApiError::BadRequest("dry_run must be true or false".to_owned())),
        }
    }
}

/// `POST /api/signals`
pub(super) async fn signal(
    _: WriteAccess,
    State(state): State<AppState>,
    query: Result<Query<SignalQuery>, QueryRejection>,
    body: JsonOrText<SMALL>,
) -> Result<Json<Answered<SignalAnswer>>, ApiError> {
    let Query(query) = query?;
    let dry_run = query.dry_run()?;
    Ok(Json(match body {
        JsonOrText::Text(text) => state.push.pasted(&text, query.id.as_deref(), dry_run).await?,
        JsonOrText::Json(mut body) => {
            if let Some(object) = body.as_object_mut().filter(|_| dry_run) {
                object.insert("dry_run".to_owned(), true.into());
            }
            state.push.signal(&body).await?
        }
    }))
}

/// `PATCH /api/signals/{id}`
pub(super) async fn update(
    _: WriteAccess,
    State(state): State<AppState>,
    id: Result<Path<String>, PathRejection>,
    JsonBody(body): JsonBody<SMALL>,
) -> Result<Json<Answered<SignalAnswer>>, ApiError> {
    let Path(id) = id?;
    Ok(Json(state.push.update(&id, &body).await?))
}

/// `POST /api/prices`
pub(super) async fn prices(
    _: WriteAccess,
    State(state): State<AppState>,
    JsonBody(body): JsonBody<BATCH>,
) -> Result<Json<Answered<PricesAnswer>>, ApiError> {
    Ok(Json(state.push.prices(&body).await?))
}

/// `POST /api/events`
pub(super) async fn events(
    _: WriteAccess,
    State(state): State<AppState>,
    JsonBody(body): JsonBody<BATCH>,
) -> Result<Json<EventsAnswer>, ApiError> {
    Ok(Json(state.push.events(|now| state.published.read(&body, now)).await?))
}

/// `POST /api/mt/ticks`: tick batches and signals of an Expert Advisor.
pub(super) async fn metatrader(
    _: WriteAccess,
    State(state): State<AppState>,
    JsonBody(body): JsonBody<BATCH>,
) -> Result<Json<metatrader::PostAnswer>, ApiError> {
    Ok(Json(state.metatrader.receive(&body).await?))
}
