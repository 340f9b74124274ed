//! Reading of a JSON body: what it may call itself, how large it may be, and how long it may take; and writing of one that is
//! encoded already.

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
use crate::sources::push::{Malformed, trimmed};

/// Most bytes of an ordinary body.
pub(super) const SMALL: usize = 64 * 1024;
/// Most bytes of a batch.
pub(super) const BATCH: usize = 256 * 1024;
/// Bytes of a refused body that are still read and thrown away. A sender that is cut off while it writes sees a broken
/// connection instead of the answer.
const DISCARDED: usize = 1024 * 1024;
/// Time in which the whole body has to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// A body of at most `LIMIT` bytes, whatever it calls itself.
#[derive(Debug)]
pub(super) struct RawBody<const LIMIT: usize>(pub Bytes);

impl<S: Sync, const LIMIT: usize> FromRequest<S> for RawBody<LIMIT> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let read = tokio::time::timeout(PATIENCE, read(request.into_body(), LIMIT));
        Ok(Self(read.await.map_err(|_| ApiError::RequestTimeout)??))
    }
}

/// An answer that is JSON already.
pub(super) fn encoded(json: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, "application/json")], json.into()).into_response()
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

/// A body of at most `LIMIT` bytes that is JSON, or a text that calls itself one.
#[derive(Debug)]
pub(super) enum JsonOrText<const LIMIT: usize> {
    /// JSON, whatever it calls itself.
    Json(Value),
    /// A text for people.
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
            _ => {
                let value = json(body)?;
                Malformed::repeated(body)
                    .map_or(Ok(Self::Json(value)), |repeated| Err(ApiError::MalformedJson(repeated)))
            }
        }
    }
}

/// Reads JSON; what is wrong with it is explained where that helps.
fn json(body: &[u8]) -> Result<Value, ApiError> {
    let body = trimmed(body);
    serde_json::from_slice(body).map_err(|error| match Malformed::of(body) {
        Some(malformed) => ApiError::MalformedJson(malformed),
        None => error.into(),
    })
}

/// Anything that calls itself JSON, plain text (webhooks send JSON so), or nothing at all.
fn may_be_json(headers: &HeaderMap) -> bool {
    let Some(mime) = mime(headers) else { return true };
    matches!(mime.as_str(), "application/json" | "text/json" | "text/plain") || mime.ends_with("+json")
}

/// The content type without its parameters, in lower case.
fn mime(headers: &HeaderMap) -> Option<String> {
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
        } else if seen > DISCARDED {
            break;
        }
    }
    if seen > limit { Err(ApiError::PayloadTooLarge(limit)) } else { Ok(read.into()) }
}
