//! The console page, embedded in the binary as `npm run build` in `client-test` produced it.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::etag::unless_known;

#[derive(RustEmbed)]
#[folder = "client-test/dist"]
#[allow_missing = true]
struct Page;

const INDEX: &str = "index.html";
/// The pages that show the descriptions of the HTTP interface and of the streams.
const DOCS: &str = "docs/index.html";
const STREAMS: &str = "docs/streams.html";

/// The page loads no external resources, runs no inline scripts, and cannot be framed.
const POLICY: (HeaderName, &str) = (
    CONTENT_SECURITY_POLICY,
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'",
);

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>orion-server</title>\
    <p>orion-server is running, but this binary was built without its console page.\
    <p>To build it: <code>cd client-test &amp;&amp; npm ci &amp;&amp; npm run build</code>, then build the server again. \
    <code>make run</code> does both.\n";

/// Returns the routes: `/`, the pages of the descriptions, and one for each file.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let page = |name: &'static str| get(move |headers: HeaderMap| async move { file(name, &headers) });
    let pages = Router::new().route("/", page(INDEX)).route("/docs", page(DOCS)).route("/docs/streams", page(STREAMS));
    Page::iter().fold(pages, |routes, name| {
        let path = format!("/{name}");
        routes.route(&path, get(move |headers: HeaderMap| async move { file(&name, &headers) }))
    })
}

fn file(name: &str, headers: &HeaderMap) -> Response {
    let Some(EmbeddedFile { data, metadata, .. }) = Page::get(name) else {
        let head = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CACHE_CONTROL, "no-cache"), POLICY];
        return (head, NOT_BUILT).into_response();
    };
    let charset = if metadata.mimetype().starts_with("text/") { "; charset=utf-8" } else { "" };
    let content_type = format!("{}{charset}", metadata.mimetype());
    // Browsers ask on every load, because a new binary serves a new page under the same names.
    ([POLICY], unless_known(headers, &metadata.sha256_hash(), &content_type, data)).into_response()
}
