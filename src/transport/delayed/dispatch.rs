//! Sends each request to the routes of its reader.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Bytes;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use http::Request;
use tower::{BoxError, Service};

use super::DelayedView;

/// The routes of all readers.
#[derive(Debug, Clone)]
pub struct Dispatch(Router);

impl Dispatch {
    /// Returns the routes of readers without a delay; the others come with their requests.
    pub fn new(live: Router) -> Self {
        Self(live)
    }
}

impl<B> Service<Request<B>> for Dispatch
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match request.extensions_mut().remove::<Arc<DelayedView>>() {
            Some(view) => view.router.clone().call(request),
            None => self.0.call(request),
        }
    }
}
