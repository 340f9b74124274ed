//! Request bodies: accepted content types, size limits and the time limit. Also the response for JSON that is already
//! encoded.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use serde_json::Value;

use super::error::ApiError;
use crate::ingest::{MalformedBody, parse_json, trimmed};

/// The content type of all answers that are not text.
pub(super) const JSON: &str = "application/json";
/// Size limit of an ordinary body, in bytes.
pub(super) const SMALL: usize = 64 * 1024;
/// Size limit of a batch, in bytes.
pub(super) const BATCH: usize = 256 * 1024;
/// How many bytes of a rejected body are still read and discarded. Closing the connection while the client writes would
/// show the client a broken connection instead of the response.
const MAX_DISCARDED: usize = 1024 * 1024;
/// Time limit for the whole body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A body of at most `LIMIT` bytes, of any content type.
#[derive(Debug)]
pub(super) struct RawBody<const LIMIT: usize>(pub Bytes);

impl<S: Sync, const LIMIT: usize> FromRequest<S> for RawBody<LIMIT> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let read = tokio::time::timeout(BODY_TIMEOUT, read(request.into_body(), LIMIT));
        Ok(Self(read.await.map_err(|_| ApiError::RequestTimeout)??))
    }
}

/// Returns a response from JSON that is already encoded.
pub(crate) fn encoded(json: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, JSON)], json.into()).into_response()
}

/// A JSON body of at most `LIMIT` bytes.
#[derive(Debug)]
pub(super) struct JsonBody<const LIMIT: usize>(pub Value);

impl<S: Sync, const LIMIT: usize> FromRequest<S> for JsonBody<LIMIT> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !may_be_json(request.headers()) {
            return Err(ApiError::UnsupportedMediaType);
        }
        let RawBody::<LIMIT>(bytes) = RawBody::from_request(request, state).await?;
        json(&bytes).map(Self)
    }
}

/// A body of at most `LIMIT` bytes: JSON, or text sent as `text/plain`.
#[derive(Debug)]
pub(super) enum JsonOrText<const LIMIT: usize> {
    /// JSON, whatever the content type says.
    Json(Value),
    /// Text written by a person.
    Text(String),
}

impl<S: Sync, const LIMIT: usize> FromRequest<S> for JsonOrText<LIMIT> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let mime = mime(request.headers());
        if !may_be_json(request.headers()) {
            return Err(ApiError::UnsupportedMediaType);
        }
        let RawBody::<LIMIT>(bytes) = RawBody::from_request(request, state).await?;
        let body = trimmed(&bytes);
        let is_json = body.first().is_none_or(|first| matches!(first, b'{' | b'[' | b'"' | b'`'));
        match std::str::from_utf8(body) {
            Ok(text) if mime.as_deref() == Some("text/plain") && !is_json => Ok(Self::Text(text.to_owned())),
            _ => json(body).map(Self::Json),
        }
    }
}

/// Parses JSON. The error explains the mistake where it is a known one.
pub(super) fn json(body: &[u8]) -> Result<Value, ApiError> {
    parse_json(body).map_err(|error| match MalformedBody::of(body) {
        Some(malformed) => ApiError::MalformedJson(malformed),
        None => error.into(),
    })
}

/// Returns whether the content type allows JSON: a JSON type, plain text (some webhooks send JSON as text), or none.
fn may_be_json(headers: &HeaderMap) -> bool {
    let Some(mime) = mime(headers) else { return true };
    matches!(mime.as_str(), "application/json" | "text/json" | "text/plain") || mime.ends_with("+json")
}

/// Returns the content type without its parameters, in lower case.
pub(super) fn mime(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

async fn read(mut body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let (mut read, mut seen) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::RequestTimeout)?;
        let Some(data) = frame.data_ref() else { continue };
        seen += data.len();
        if seen <= limit {
            read.extend_from_slice(data);
        } else if seen > MAX_DISCARDED {
            break;
        }
    }
    if seen > limit { Err(ApiError::PayloadTooLarge(limit)) } else { Ok(read.into()) }
}
