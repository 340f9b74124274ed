//! The first layer of every request, before Socket.IO and the router: decides who may connect, and maps the engine's
//! second path.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Request, Uri, header};
use tower::{BoxError, Layer, Service};

use super::disconnector::Disconnector;
use super::namespace_query::ConnectFilter;
use super::session_layer::{SessionLayer, SessionService, is_for_engine, is_over_websocket, query_value, respond};
use super::websocket::WebSockets;
use crate::listener::{KillSwitch, OverLimit};
use crate::transport::Gateway;
use crate::transport::admission::AdmissionError;
use crate::transport::delayed::DelayedView;
use crate::transport::handshake::judge_handshake;

/// The native endpoint that also accepts Socket.IO, for clients that set `path`.
const SECOND_PATH: &str = "/ws/signals";

/// Label of the engine's connections, whichever path they used.
pub(super) const ENGINE: &str = "/socket.io";

/// Routes without admission checks.
const CHECKS: [&str; 3] = ["/health", "/ready", "/metrics"];

/// Returns the URI that a request means, where a page spells it differently.
pub type Rewrite = fn(&Uri, &HeaderMap) -> Option<Uri>;

/// Puts an [`AdmissionService`] around a service.
#[derive(Debug, Clone)]
pub struct AdmissionLayer {
    gateway: Arc<Gateway>,
    sessions: SessionLayer,
    rewrite: Rewrite,
}

impl AdmissionLayer {
    /// Creates the layer.
    pub fn new(gateway: Arc<Gateway>, disconnector: Disconnector, websockets: WebSockets, rewrite: Rewrite) -> Self {
        let sessions = SessionLayer::new(disconnector, websockets, gateway.limits.get().message_bytes);
        Self { sessions: sessions.with_admission(gateway.clone()), gateway, rewrite }
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = AdmissionService<S>;

    fn layer(&self, inner: S) -> AdmissionService<S> {
        AdmissionService { inner: self.sessions.layer(inner), gateway: self.gateway.clone(), rewrite: self.rewrite }
    }
}

/// The first service that handles a request.
#[derive(Debug, Clone)]
pub struct AdmissionService<S> {
    inner: SessionService<S>,
    gateway: Arc<Gateway>,
    rewrite: Rewrite,
}

impl<S, B, R> Service<Request<B>> for AdmissionService<S>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut request = request.map(Body::new);
        match self.admit(&request) {
            Ok(Some(engine)) => *request.uri_mut() = engine,
            Ok(None) => {
                if let Some(uri) = (self.rewrite)(request.uri(), request.headers()) {
                    *request.uri_mut() = uri;
                    request.extensions_mut().insert(Rewritten);
                }
            }
            Err(refusal) => return respond(*refusal),
        }
        self.inner.call(request)
    }
}

impl<S> AdmissionService<S> {
    /// Whether the request is admitted, and its URI for the engine if it belongs to the engine.
    fn admit(&self, request: &Request<Body>) -> Result<Option<Uri>, Box<Response>> {
        if request.extensions().get::<OverLimit>().is_some() && !CHECKS.contains(&request.uri().path()) {
            return Err(Box::new(self.gateway.refused(AdmissionError::Address).into_response()));
        }
        let engine = engine_uri(request.uri());
        let upgrade = request.headers().contains_key(header::UPGRADE);
        if engine.is_none() && !upgrade {
            return Ok(None);
        }
        let sid = engine.as_ref().and_then(|uri| query_value(uri, "sid"));
        let admitted = self.gateway.admit_connection(request.headers(), sid.is_none());
        // Native endpoints check tokens themselves, because they accept different ones.
        let admitted = admitted.and_then(|()| match &engine {
            Some(_) => gateway_of(request, &self.gateway).admit_token(request.headers(), request.uri()),
            None => Ok(()),
        });
        admitted.map_err(|refusal| Box::new(refusal.into_response()))?;
        let Some(uri) = &engine else { return Ok(None) };
        if is_over_websocket(uri) {
            // The engine itself would switch protocols for any request with a key.
            let judged = judge_handshake(request.method(), request.headers());
            judged.map_err(|fault| Box::new(fault.into_response()))?;
        }
        if let Some(connection) = request.extensions().get::<KillSwitch>() {
            if !is_over_websocket(uri) {
                connection.serves(ENGINE, None);
            }
            if upgrade && query_value(uri, "EIO") == Some("3") {
                connection.filter_inbound(ConnectFilter::default());
            }
        }
        Ok(engine)
    }
}

/// Returns what the reader of a request reads.
pub(super) fn gateway_of<'a>(request: &'a Request<Body>, live: &'a Arc<Gateway>) -> &'a Arc<Gateway> {
    request.extensions().get::<Arc<DelayedView>>().map_or(live, |view| &view.gateway)
}

/// Returns the URI under which the engine handles the request, if it belongs to the engine.
fn engine_uri(uri: &Uri) -> Option<Uri> {
    if is_for_engine(uri) {
        return Some(uri.clone());
    }
    let second = uri.path().strip_prefix(SECOND_PATH).is_some_and(|rest| rest.is_empty() || rest == "/");
    let query = uri.query().filter(|_| second && query_value(uri, "EIO").is_some())?;
    format!("/socket.io/?{query}").parse().ok()
}

/// Marks a request that was rewritten.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rewritten;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_answers_on_both_paths() {
        for (uri, expected) in [
            ("/socket.io/?EIO=4&transport=polling", Some("/socket.io/?EIO=4&transport=polling")),
            ("/ws/signals/?EIO=4&transport=websocket&sid=a", Some("/socket.io/?EIO=4&transport=websocket&sid=a")),
            ("/ws/signals?EIO=3&transport=polling", Some("/socket.io/?EIO=3&transport=polling")),
            ("/ws/signals", None),
            ("/ws/signals?since=e:1", None),
            ("/ws/signalsx?EIO=4", None),
            ("/api/signals?EIO=4", None),
        ] {
            let found = engine_uri(&uri.parse().unwrap()).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), expected, "{uri}");
        }
    }
}
