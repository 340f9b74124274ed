//! The version of the interface around the whole stack, Socket.IO included: every answer names it, and a client that
//! asks for another one is told so.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Request, Uri};
use tower::{Layer, Service};

use super::error::ApiError;
use crate::domain::{ErrorCode, PROTOCOL};
use crate::telemetry::Metrics;

/// The header with the version. In a query the same is `protocol`.
pub(super) const HEADER: HeaderName = HeaderName::from_static("orion-protocol");
/// Longest quote of a version that the server does not speak, in characters.
const MAX_QUOTED: usize = 16;

/// A layer that puts the version around a service.
#[derive(Debug, Clone)]
pub struct ProtocolLayer {
    metrics: Arc<Metrics>,
}

/// Returns the layer.
pub fn layer(metrics: Arc<Metrics>) -> ProtocolLayer {
    ProtocolLayer { metrics }
}

impl<S> Layer<S> for ProtocolLayer {
    type Service = ProtocolCheck<S>;

    fn layer(&self, inner: S) -> ProtocolCheck<S> {
        ProtocolCheck { metrics: self.metrics.clone(), inner }
    }
}

/// A service with the version around it.
#[derive(Debug, Clone)]
pub struct ProtocolCheck<S> {
    metrics: Arc<Metrics>,
    inner: S,
}

/// Returns the version that a request asks for, if this server does not speak it. An empty value asks for none.
fn unsupported(uri: &Uri) -> Option<String> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    let mut asked = pairs.into_iter().filter(|(name, value)| name == "protocol" && !value.is_empty());
    asked.find(|(_, value)| *value != PROTOCOL.to_string()).map(|(_, value)| value)
}

impl<S, B, R> Service<Request<B>> for ProtocolCheck<S>
where
    S: Service<Request<B>, Response = http::Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    R::Error: Into<tower::BoxError>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Some(version) = unsupported(request.uri()) {
            self.metrics.refuse(ErrorCode::UnsupportedProtocol.name());
            let version = version.chars().take(MAX_QUOTED).collect();
            let refused = ApiError::UnsupportedProtocol(version).into_response();
            return Box::pin(std::future::ready(Ok(named(refused))));
        }
        let answer = self.inner.call(request);
        Box::pin(async move { answer.await.map(|response| named(response.map(Body::new))) })
    }
}

fn named(mut response: Response) -> Response {
    response.headers_mut().insert(HEADER, HeaderValue::from(PROTOCOL));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_version_is_unsupported() {
        for (uri, expected) in [
            ("/health", None),
            ("/health?protocol=1", None),
            ("/health?protocol=", None),
            ("/health?protocol=2", Some("2")),
            ("/ws?protocol=1&protocol=01", Some("01")),
            ("/socket.io/?EIO=4&protocol=%32", Some("2")),
        ] {
            assert_eq!(unsupported(&uri.parse().unwrap()).as_deref(), expected, "{uri}");
        }
    }
}
