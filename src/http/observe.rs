//! Middleware around every request: a request id, a span, the counters, and the common response headers.

use std::any::Any;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use super::error::ApiError;
use crate::auth::Tokens;
use crate::listener::Peer;
use crate::telemetry::Metrics;
use crate::transport;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id that is accepted from a client.
const MAX_ID: usize = 64;

/// Assigns an id to a request, counts it and measures its time. The query and the headers are not logged, because they
/// can hold tokens.
pub(super) async fn observe(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let method = method(request.method());
    let id = request_id(request.headers());
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default(), method, route);

    let mut response = next.run(request).instrument(span.clone()).await;

    let (status, took) = (response.status(), began.elapsed());
    metrics.http_requests_total.with_label_values(&[route, method, status.as_str()]).inc();
    metrics.http_request_seconds.observe(took.as_secs_f64());
    span.in_scope(|| {
        let (status, seconds) = (status.as_u16(), took.as_secs_f64());
        match route {
            "/health" | "/ready" | "/metrics" => tracing::trace!(status, seconds, "answered"),
            _ => tracing::debug!(status, seconds, "answered"),
        }
    });
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if status != StatusCode::SWITCHING_PROTOCOLS {
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    response
}

/// Counts a wrong token, and answers 429 where the address has presented too many.
pub(super) async fn throttle(
    State((tokens, metrics)): State<(Arc<Tokens>, Arc<Metrics>)>,
    request: Request,
    next: Next,
) -> Response {
    let address = request.extensions().get::<Peer>().map(|peer| peer.client);
    let response = next.run(request).await;
    transport::throttle(&tokens, &metrics, address, response)
}

/// Returns the client's request id if it is safe in a log line, else a new id.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let sane = |id: &&HeaderValue| {
        (1..=MAX_ID).contains(&id.len())
            && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
    };
    headers.get(REQUEST_ID).filter(sane).cloned().unwrap_or_else(|| {
        let id = Uuid::new_v4().to_string();
        HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("none"))
    })
}

/// Returns the HTTP method, or `other`: a metric label must not grow with what clients send.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Returns the answer to a request whose handler panicked. The log already has the panic, and the process continues.
#[allow(clippy::needless_pass_by_value, reason = "what the layer hands over")]
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    ApiError::Internal.into_response()
}
