//! `GET /openapi.json` and `GET /asyncapi.json`: the descriptions of the routes and of the streams, encoded once, and that of
//! the streams again when a reload has changed the limits that it names.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use utoipa::openapi::OpenApi;

use super::asyncapi::{self, StreamDescriptions};
use super::body::JSON;
use super::etag::unless_known;

/// Returns the routes of the descriptions of `api` and of the streams.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(api: &OpenApi, streams: Arc<StreamDescriptions>) -> Router<S> {
    // The document has string keys only, so encoding cannot fail.
    let (hash, api) = hashed(serde_json::to_vec(api).unwrap_or_default());
    let described = Arc::new(Mutex::new((streams.limits.get(), hashed(asyncapi::encoded(&streams)))));
    let streams = move |headers: HeaderMap| async move {
        let mut described = described.lock();
        let limits = streams.limits.get();
        if !Arc::ptr_eq(&described.0, &limits) {
            *described = (limits, hashed(asyncapi::encoded(&streams)));
        }
        let (hash, document) = &described.1;
        unless_known(&headers, hash, JSON, document.clone())
    };
    Router::new()
        .route("/openapi.json", get(move |headers: HeaderMap| async move { unless_known(&headers, &hash, JSON, api) }))
        .route("/asyncapi.json", get(streams))
}

fn hashed(document: Vec<u8>) -> ([u8; 32], Bytes) {
    (Sha256::digest(&document).into(), document.into())
}
