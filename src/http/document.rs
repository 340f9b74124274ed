//! `GET /openapi.json` and `GET /asyncapi.json`: the descriptions of the routes and of the streams, encoded once.

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::HeaderMap;
use sha2::{Digest, Sha256};
use utoipa::openapi::OpenApi;

use super::asyncapi::{self, StreamDescriptions};
use super::body::JSON;
use super::etag::unless_known;

/// Returns the routes of the descriptions of `api` and of the streams.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(api: &OpenApi, streams: &StreamDescriptions) -> Router<S> {
    // The document has string keys only, so encoding cannot fail.
    let document = |document: Vec<u8>| {
        let (hash, document) = (Sha256::digest(&document).into(), Bytes::from(document));
        get(move |headers: HeaderMap| async move { unless_known(&headers, &hash, JSON, document) })
    };
    Router::new()
        .route("/openapi.json", document(serde_json::to_vec(api).unwrap_or_default()))
        .route("/asyncapi.json", document(asyncapi::encoded(streams)))
}
