//! The layer around the engine: counts long-polling sessions, and opens WebSockets as lanes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{Request, Uri};
use tower::{BoxError, Layer, Service};

use super::admission_layer::gateway_of;
use super::disconnector::Disconnector;
use super::polling_requests::PollingRequest;
use super::upgrade::UpgradeHandshake;
use super::websocket::{self, WebSockets};
use crate::transport::Gateway;

/// Puts a [`SessionService`] around the engine.
#[derive(Debug, Clone)]
pub struct SessionLayer {
    gateway: Option<Arc<Gateway>>,
    disconnector: Disconnector,
    websockets: WebSockets,
    max_bytes: usize,
}

impl SessionLayer {
    /// Creates the layer. `max_bytes` is the largest body of a request, in bytes. Every client may open a session.
    pub fn new(disconnector: Disconnector, websockets: WebSockets, max_bytes: usize) -> Self {
        Self { gateway: None, disconnector, websockets, max_bytes }
    }

    /// Lets `gateway` decide who may open a session over long polling.
    pub(super) fn with_admission(self, gateway: Arc<Gateway>) -> Self {
        Self { gateway: Some(gateway), ..self }
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> SessionService<S> {
        SessionService { inner, layer: self.clone() }
    }
}

/// Handles the requests that the engine would handle, and passes on the others.
#[derive(Debug, Clone)]
pub struct SessionService<S> {
    inner: S,
    layer: SessionLayer,
}

impl<S, R> Service<Request<Body>> for SessionService<S>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let SessionLayer { gateway, disconnector, websockets, max_bytes } = &self.layer;
        let (is_engine, is_websocket) = (is_for_engine(request.uri()), is_over_websocket(request.uri()));
        let polling = if is_engine && !is_websocket {
            let gateway = gateway.as_ref().map(|live| gateway_of(&request, live).clone());
            match PollingRequest::of(gateway.as_deref(), disconnector.sessions(), &mut request) {
                Ok(polling) => polling,
                Err(refusal) => return respond(*refusal),
            }
        } else {
            None
        };
        if let Some(polling) = polling {
            let (disconnector, max_bytes) = (disconnector.clone(), *max_bytes);
            let inner = self.take_inner();
            return Box::pin(async move { Ok(polling.serve(inner, request, &disconnector, max_bytes).await) });
        }
        if is_engine && is_websocket {
            // What is wrong with any other request over WebSocket, the engine says.
            let opens = websocket::version(request.uri()).filter(|_| query_value(request.uri(), "sid").is_none());
            if let Some(version) = opens {
                return respond(websockets.open_session(request, version));
            }
            if let Some(upgrade) = UpgradeHandshake::of(disconnector.sessions(), &request) {
                let websockets = websockets.clone();
                let inner = self.take_inner();
                return Box::pin(async move { Ok(upgrade.serve(inner, request, &websockets).await) });
            }
        }
        let answer = self.inner.call(request);
        Box::pin(async move { answer.await.map(|response| response.map(Body::new)) })
    }
}

impl<S: Clone> SessionService<S> {
    /// Takes the inner service that reported readiness, for a request that is passed on later.
    fn take_inner(&mut self) -> S {
        let fresh = self.inner.clone();
        std::mem::replace(&mut self.inner, fresh)
    }
}

pub(super) fn respond(response: Response) -> Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>> {
    Box::pin(std::future::ready(Ok(response)))
}

/// Whether the engine answers a request.
pub(super) fn is_for_engine(uri: &Uri) -> bool {
    uri.path().starts_with("/socket.io")
}

/// Whether the engine treats a request as one of a WebSocket.
pub(super) fn is_over_websocket(uri: &Uri) -> bool {
    query_value(uri, "transport") == Some("websocket")
}

/// Returns the first value of a query parameter, parsed like the engine does: up to a second `=`.
pub(super) fn query_value<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let mut pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    value.split('=').next()
}
