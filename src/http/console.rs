//! The console page, embedded in the binary as `npm run build` in `client-test` produced it.

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, StatusCode};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "client-test/dist"]
#[allow_missing = true]
struct Page;

const INDEX: &str = "index.html";
/// The page that shows the description of the HTTP interface.
const DOCS: &str = "docs/index.html";

/// The content type of a description.
pub(super) const JSON: &str = "application/json";

/// The page loads no external resources, runs no inline scripts, and cannot be framed.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>orion-server</title>\
    <p>orion-server is running, but this binary was built without its console page.\
    <p>To build it: <code>cd client-test &amp;&amp; npm ci &amp;&amp; npm run build</code>, then build the server again. \
    <code>make run</code> does both.\n";

/// Returns the routes: `/` and one for each file of the page.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let page = |name: &'static str| get(move |headers: HeaderMap| async move { file(name, &headers) });
    let pages = Router::new().route("/", page(INDEX)).route("/docs", page(DOCS));
    Page::iter().fold(pages, |routes, name| {
        let path = format!("/{name}");
        routes.route(&path, get(move |headers: HeaderMap| async move { file(&name, &headers) }))
    })
}

fn file(name: &str, headers: &HeaderMap) -> Response {
    let Some(EmbeddedFile { data, metadata, .. }) = Page::get(name) else {
        return (page_headers("text/html; charset=utf-8"), NOT_BUILT).into_response();
    };
    let charset = if metadata.mimetype().starts_with("text/") { "; charset=utf-8" } else { "" };
    let content_type = format!("{}{charset}", metadata.mimetype());
    unless_known(headers, &metadata.sha256_hash(), &content_type, data)
}

/// Returns the body, whose SHA-256 is `hash`, or 304 to a client that already has it.
pub(super) fn unless_known(
    headers: &HeaderMap,
    hash: &[u8; 32],
    content_type: &str,
    body: impl Into<Body>,
) -> Response {
    let hash = u64::from_be_bytes(std::array::from_fn(|index| hash[index]));
    let etag = format!("\"{hash:016x}\"");
    let page = page_headers(content_type);
    if is_known(headers, &etag) {
        (StatusCode::NOT_MODIFIED, page, [(ETAG, etag)]).into_response()
    } else {
        (page, [(ETAG, etag)], body.into()).into_response()
    }
}

/// Returns whether the browser already has this version. A proxy that compresses marks the tag as weak.
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get(IF_NONE_MATCH).and_then(|known| known.to_str().ok()).unwrap_or_default();
    known.split(',').any(|known| known.trim().trim_start_matches("W/") == etag)
}

/// Browsers revalidate on every load, because a new binary serves a new page under the same names. Most answers are
/// 304.
fn page_headers(content_type: &str) -> [(HeaderName, String); 3] {
    [
        (CONTENT_TYPE, content_type.to_owned()),
        (CACHE_CONTROL, "no-cache".to_owned()),
        (CONTENT_SECURITY_POLICY, POLICY.to_owned()),
    ]
}
