//! Answers that a client may already have.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};

/// Returns the body, whose SHA-256 is `hash`, or 304 to a client that already has it. Clients ask again each time: most
/// answers are 304.
pub(super) fn unless_known(
    headers: &HeaderMap,
    hash: &[u8; 32],
    content_type: &str,
    body: impl Into<Body>,
) -> Response {
    let hash = u64::from_be_bytes(std::array::from_fn(|index| hash[index]));
    let tag = format!("\"{hash:016x}\"");
    // Weak, because the body may be compressed.
    let head = [(CACHE_CONTROL, "no-cache".to_owned()), (ETAG, format!("W/{tag}"))];
    if is_known(headers, &tag) {
        (StatusCode::NOT_MODIFIED, head).into_response()
    } else {
        ([(CONTENT_TYPE, content_type.to_owned())], head, body.into()).into_response()
    }
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get(IF_NONE_MATCH).and_then(|known| known.to_str().ok()).unwrap_or_default();
    known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag)
}
