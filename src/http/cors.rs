//! CORS around the whole stack, Socket.IO included: which web pages may read the answers.
//!
//! Reading is open to every page where the settings say `*`; writing is open only to pages listed by name. The CORS
//! layer of tower-http sends part of its headers for any origin, so this layer decides before it sends any.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use tower::{Layer, Service};

use super::mcp;
use crate::config::AllowedOrigins;

const EXPOSED: HeaderValue = HeaderValue::from_static("X-Request-Id, Retry-After, Orion-Protocol");
const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// A layer that puts CORS around a service.
#[derive(Debug, Clone)]
pub struct CorsLayer {
    rules: Arc<Rules>,
}

#[derive(Debug)]
struct Rules {
    origins: AllowedOrigins,
    /// The headers that a page may send.
    headers: HeaderValue,
    /// The beginnings of the paths that pages read with credentials.
    credentialed: Vec<&'static str>,
}

/// Returns the CORS layer for these origins. Pages may also send a token in `token_headers`, and read the paths that
/// begin with one of `credentialed` with credentials.
pub fn layer(origins: AllowedOrigins, token_headers: &[&str], credentialed: Vec<&'static str>) -> CorsLayer {
    let own = ["Authorization", "Content-Type", "X-Admin-Token"];
    let headers = [&own, token_headers, &["X-Request-Id"], &mcp::PAGE_HEADERS].concat();
    // Names of headers are ASCII.
    let headers = HeaderValue::from_str(&headers.join(", ")).unwrap_or(ANY);
    CorsLayer { rules: Arc::new(Rules { origins, headers, credentialed }) }
}

impl<S> Layer<S> for CorsLayer {
    type Service = Cors<S>;

    fn layer(&self, inner: S) -> Cors<S> {
        Cors { rules: self.rules.clone(), inner }
    }
}

/// A service with CORS around it.
#[derive(Debug, Clone)]
pub struct Cors<S> {
    rules: Arc<Rules>,
    inner: S,
}

/// The kind of access that a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    /// Reading by a page that sends credentials. Browsers reject `*` for such requests.
    ReadWithCredentials,
    /// Socket.IO, whose long polling uses POST. Clients may send credentials (`withCredentials`).
    Stream,
    Write,
}

impl Access {
    fn of<B>(request: &Request<B>, credentialed: &[&str]) -> Self {
        let path = request.uri().path();
        if path == "/socket.io"
            || path.starts_with("/socket.io/")
            || path == "/ws/signals"
            || path.starts_with("/ws/signals/")
        {
            return Self::Stream;
        }
        let method = match *request.method() {
            Method::OPTIONS => request
                .headers()
                .get(ACCESS_CONTROL_REQUEST_METHOD)
                .map_or(Method::GET.as_str().as_bytes(), HeaderValue::as_bytes),
            ref method => method.as_str().as_bytes(),
        };
        match method {
            b"GET" | b"HEAD" if credentialed.iter().any(|prefix| path.starts_with(prefix)) => Self::ReadWithCredentials,
            b"GET" | b"HEAD" => Self::Read,
            _ => Self::Write,
        }
    }

    /// Returns the methods that a preflight answer allows. Browsers cache them by address, so a preflight for reading
    /// must not allow writing.
    const fn methods(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Read | Self::ReadWithCredentials => "GET, HEAD",
            Self::Stream => "GET, POST",
            Self::Write => "GET, HEAD, POST, PATCH, PUT, DELETE",
        })
    }
}

/// Returns the origin that may read the answer: any, the requesting one, or none.
fn allowed(origins: &AllowedOrigins, access: Access, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
    if origins.any() {
        match access {
            Access::Read => return Some(ANY),
            // The server sets no cookies, so the answer is the same for every origin.
            Access::ReadWithCredentials | Access::Stream => return origin.cloned(),
            Access::Write => {}
        }
    }
    origin.filter(|origin| origin.to_str().is_ok_and(|origin| origins.names(origin))).cloned()
}

impl<S, Req, Res> Service<Request<Req>> for Cors<S>
where
    S: Service<Request<Req>, Response = Response<Res>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    Res: Default + Send + 'static,
{
    type Response = Response<Res>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Res>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        let access = Access::of(&request, &self.rules.credentialed);
        let allowed = allowed(&self.rules.origins, access, request.headers().get(ORIGIN));
        // A cache must not give an answer that depends on the origin to another origin.
        let varies = allowed.as_ref().is_none_or(|origin| *origin != ANY);
        if request.method() == Method::OPTIONS {
            let mut response = Response::new(Res::default());
            if allowed.is_some() {
                let headers = response.headers_mut();
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, access.methods());
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.rules.headers.clone());
                headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
            }
            stamp(response.headers_mut(), access, allowed, varies);
            return Box::pin(std::future::ready(Ok(response)));
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            if allowed.is_some() {
                response.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            }
            stamp(response.headers_mut(), access, allowed, varies);
            Ok(response)
        })
    }
}

fn stamp(headers: &mut HeaderMap, access: Access, allowed: Option<HeaderValue>, varies: bool) {
    if let Some(origin) = allowed {
        if matches!(access, Access::ReadWithCredentials | Access::Stream) {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    if varies {
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
}
