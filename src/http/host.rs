//! Checks the `Host` of a request: exactly one, and allowed by the settings.
//!
//! Without a list of hosts, DNS rebinding works: a foreign domain that suddenly resolves to this server has the same
//! origin as the server to the browser, and no origin check notices.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::HOST;
use http::{Request, Version};
use tower::{Layer, Service};

use crate::config::{HostPattern, List};
use crate::domain::ErrorCode;
use crate::ingest::ErrorBody;
use crate::telemetry::Metrics;

/// Paths that answer to any host: platform health checks use an address.
const EXEMPT: [&str; 2] = ["/health", "/ready"];

/// A layer that puts the check around a service.
#[derive(Debug, Clone)]
pub struct HostLayer {
    allowed: Arc<List<HostPattern>>,
    metrics: Arc<Metrics>,
}

/// Returns the layer. An empty list allows any host.
pub fn layer(allowed: List<HostPattern>, metrics: Arc<Metrics>) -> HostLayer {
    HostLayer { allowed: Arc::new(allowed), metrics }
}

impl<S> Layer<S> for HostLayer {
    type Service = HostCheck<S>;

    fn layer(&self, inner: S) -> HostCheck<S> {
        HostCheck { layer: self.clone(), inner }
    }
}

/// A service with the check around it.
#[derive(Debug, Clone)]
pub struct HostCheck<S> {
    layer: HostLayer,
    inner: S,
}

/// Why a request is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HostError {
    /// There is no `Host` header, or more than one.
    MalformedBody,
    /// The host is not on the list.
    NotAllowed,
}

impl HostError {
    const fn code(self) -> ErrorCode {
        match self {
            Self::MalformedBody => ErrorCode::InvalidHost,
            Self::NotAllowed => ErrorCode::HostNotAllowed,
        }
    }

    fn into_response(self) -> Response {
        let error = match self {
            Self::MalformedBody => "The request must have exactly one Host header",
            Self::NotAllowed => {
                "This server does not answer to this host; its operator lists hosts in server.allowed_hosts"
            }
        };
        let body = ErrorBody { error: error.to_owned(), code: self.code(), details: None };
        (self.code().http_status(), Json(body)).into_response()
    }
}

fn check_host<B>(allowed: &[HostPattern], request: &Request<B>) -> Result<(), HostError> {
    let mut hosts = request.headers().get_all(HOST).into_iter();
    let (host, more) = (hosts.next(), hosts.next());
    // HTTP/1.0 does not require a Host header.
    if more.is_some() || (host.is_none() && request.version() == Version::HTTP_11) {
        return Err(HostError::MalformedBody);
    }
    if allowed.is_empty() || EXEMPT.contains(&request.uri().path()) {
        return Ok(());
    }
    let is_allowed = |authority: &str| allowed.iter().any(|pattern| pattern.allows(authority));
    let by_header = host.is_some_and(|host| host.to_str().is_ok_and(is_allowed));
    // A host in the request target overrides the header (RFC 9112 section 3.2.2), although no handler here reads it.
    let by_target = request.uri().authority().is_none_or(|authority| is_allowed(authority.as_str()));
    if by_header && by_target { Ok(()) } else { Err(HostError::NotAllowed) }
}

impl<S, B, R> Service<Request<B>> for HostCheck<S>
where
    S: Service<Request<B>, Response = Response<R>>,
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
        if let Err(fault) = check_host(&self.layer.allowed, &request) {
            self.layer.metrics.refuse(fault.code().name());
            return Box::pin(std::future::ready(Ok(fault.into_response())));
        }
        let answer = self.inner.call(request);
        Box::pin(async move { answer.await.map(|response| response.map(Body::new)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, target: &str, hosts: &[&str]) -> Request<()> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn a_request_names_one_host() {
        for (version, hosts, expected) in [
            (Version::HTTP_11, &["a"][..], Ok(())),
            (Version::HTTP_11, &[], Err(HostError::MalformedBody)),
            (Version::HTTP_11, &["a", "a"], Err(HostError::MalformedBody)),
            (Version::HTTP_10, &[], Ok(())),
            (Version::HTTP_10, &["a", "b"], Err(HostError::MalformedBody)),
        ] {
            assert_eq!(check_host(&[], &request(version, "/health", hosts)), expected, "{version:?} {hosts:?}");
        }
    }

    #[test]
    fn only_listed_hosts_are_answered_except_for_checks() {
        let allowed = ["example.com", "*.example.org"].map(|text| HostPattern::try_from(text.to_owned()).unwrap());
        for (target, host, expected) in [
            ("/", "example.com", Ok(())),
            ("/ws", "a.example.org:8080", Ok(())),
            ("/", "evil.example", Err(HostError::NotAllowed)),
            ("/metrics", "10.0.0.1", Err(HostError::NotAllowed)),
            ("/health", "10.0.0.1", Ok(())),
            ("/ready", "10.0.0.1:8080", Ok(())),
            ("http://evil.example/", "example.com", Err(HostError::NotAllowed)),
            ("http://example.com/", "evil.example", Err(HostError::NotAllowed)),
            ("http://example.com/", "example.com", Ok(())),
        ] {
            assert_eq!(check_host(&allowed, &request(Version::HTTP_11, target, &[host])), expected, "{target} {host}");
        }
        assert_eq!(check_host(&allowed, &request(Version::HTTP_10, "/", &[])), Err(HostError::NotAllowed));
    }
}
