//! `GET /openapi.json`: the description of the HTTP interface, encoded once.

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::HeaderMap;
use sha2::{Digest, Sha256};
use utoipa::openapi::OpenApi;

use super::body::JSON;
use super::etag::unless_known;

/// Returns the route of the description of `api`.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(api: &OpenApi) -> Router<S> {
    // The document has string keys only, so encoding cannot fail.
    let document = Bytes::from(serde_json::to_vec(api).unwrap_or_default());
    let hash = Sha256::digest(&document).into();
    let answer = move |headers: HeaderMap| async move { unless_known(&headers, &hash, JSON, document) };
    Router::new().route("/openapi.json", get(answer))
}
