//! Compression of answers, as the client accepts it: gzip, br or zstd. Never of an event stream, nor of what is small.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_ENCODING;
use http_body_util::BodyExt;
use tokio::task::yield_now;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate, SizeAbove};

use super::error::ApiError;

/// Smaller answers fit into a packet anyway.
const MIN_BYTES: u64 = 1024;
/// After how many frames of compressed data, some KB each, other tasks get their turn: about 10 ms. Usual answers are
/// compressed without a pause, so that few encoders exist at a time.
const FRAMES_PER_TURN: usize = 64;

/// Compresses the answers of the routes.
pub(super) fn compressed<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    // The fastest levels: what is compressed is new each time, and the prices wait meanwhile.
    let layer = CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(DefaultPredicate::new().and(SizeAbove::new(MIN_BYTES)));
    routes.layer(layer).layer(middleware::from_fn(at_once))
}

/// Compresses an answer before it is sent: an encoder has up to some MB, which would otherwise be kept for as long as a
/// slow client reads.
async fn at_once(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if !response.headers().contains_key(CONTENT_ENCODING) {
        return response;
    }
    let (head, body) = response.into_parts();
    match collected(body).await {
        Ok(bytes) => Response::from_parts(head, Body::from(bytes)),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be compressed");
            ApiError::Internal.into_response()
        }
    }
}

async fn collected(mut body: Body) -> Result<Bytes, axum::Error> {
    let (mut bytes, mut frames) = (BytesMut::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
        frames += 1;
        if frames.is_multiple_of(FRAMES_PER_TURN) {
            yield_now().await;
        }
    }
    Ok(bytes.freeze())
}
