//! The server below a path of its proxy: takes the path off, if the proxy has not.
//!
//! The pages use relative addresses, so they work below any path; what is left is to answer below it. Requests outside of the
//! path are answered as they are: from proxies that remove it, and from checks that reach the server directly.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use axum::response::{IntoResponse, Redirect, Response};
use futures_util::future::Either;
use http::header::UPGRADE;
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use tower::{Layer, Service};

use crate::config::BasePath;

/// A layer that removes the base path.
#[derive(Debug, Clone)]
pub struct BasePathLayer(BasePath);

/// Returns the layer. An empty path changes nothing.
pub fn layer(base: BasePath) -> BasePathLayer {
    BasePathLayer(base)
}

impl<S> Layer<S> for BasePathLayer {
    type Service = Unprefixed<S>;

    fn layer(&self, inner: S) -> Unprefixed<S> {
        Unprefixed { base: self.0.clone(), inner }
    }
}

/// A service that is asked without the base path.
#[derive(Debug, Clone)]
pub struct Unprefixed<S> {
    base: BasePath,
    inner: S,
}

impl<S, B> Service<Request<B>> for Unprefixed<S>
where
    S: Service<Request<B>, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response, S::Error>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(rest) = self.base.strip(request.uri().path()) {
            if rest.is_empty() && is_page(&request) {
                let page = with_path(request.uri(), &format!("{}/", self.base.as_str()));
                let target = page.as_ref().and_then(Uri::path_and_query).map_or("/", PathAndQuery::as_str);
                return Either::Left(ready(Ok(Redirect::temporary(target).into_response())));
            }
            let rest = if rest.is_empty() { "/" } else { rest };
            if let Some(uri) = with_path(request.uri(), rest) {
                *request.uri_mut() = uri;
            }
        }
        Either::Right(self.inner.call(request))
    }
}

/// Whether a browser may be asking for the console: its relative addresses need the slash at the end.
fn is_page<B>(request: &Request<B>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD) && !request.headers().contains_key(UPGRADE)
}

/// Returns `uri` with another path.
fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let target = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::StatusCode;
    use http::header::LOCATION;
    use tower::ServiceExt as _;

    use super::*;

    async fn asked(method: Method, target: &str, upgrade: bool) -> (StatusCode, String) {
        let echo = tower::service_fn(async |request: Request<()>| {
            Ok::<_, Infallible>((StatusCode::OK, [(LOCATION, request.uri().to_string())]).into_response())
        });
        let base = BasePath::try_from("/orion".to_owned()).unwrap();
        let mut request = Request::builder().method(method).uri(target);
        if upgrade {
            request = request.header(UPGRADE, "websocket");
        }
        let answer = layer(base).layer(echo).oneshot(request.body(()).unwrap()).await.unwrap();
        (answer.status(), answer.headers()[LOCATION].to_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn the_base_path_is_taken_off() {
        for (target, expected) in [
            ("/orion/ws/signals?token=a%20b", "/ws/signals?token=a%20b"),
            ("/orion/", "/"),
            ("http://a.example/orion/api/prices", "http://a.example/api/prices"),
            ("/ws/signals?since=x", "/ws/signals?since=x"),
            ("/health", "/health"),
            ("/orion//", "//"),
        ] {
            assert_eq!(asked(Method::GET, target, false).await, (StatusCode::OK, expected.to_owned()), "{target}");
        }
    }

    #[tokio::test]
    async fn the_console_gets_its_slash() {
        let (status, location) = asked(Method::GET, "/orion?symbol=EURUSD", false).await;
        assert_eq!((status, location.as_str()), (StatusCode::TEMPORARY_REDIRECT, "/orion/?symbol=EURUSD"));
        // A WebSocket is not redirected, nor is a post.
        assert_eq!(asked(Method::GET, "/orion", true).await, (StatusCode::OK, "/".to_owned()));
        assert_eq!(asked(Method::POST, "/orion?a", false).await, (StatusCode::OK, "/?a".to_owned()));
    }
}
