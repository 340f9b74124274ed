//! The stack of services that answers clients.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use tokio::net::TcpListener;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tracing::info;

use super::App;
use super::dashboards::{self, Routes};
use super::delayed::{self, ViewBuilder};
use crate::config::Settings;
use crate::domain::UserNote;
use crate::http::{self, AppState};
use crate::listener::{BoxError, CompactHead};
use crate::telemetry::Phase;
use crate::transport::TokenLayer;
use crate::transport::delayed::Dispatch;
use crate::transport::socketio::{self, AdmissionLayer, Disconnector};

impl App {
    /// Builds the stack of services and begins to accept clients.
    pub(super) fn open(
        &self,
        tcp: TcpListener,
        (state, (routes, streams)): (AppState, Routes),
        users: Vec<UserNote>,
        settings: &Settings,
    ) -> anyhow::Result<()> {
        let address = tcp.local_addr()?;
        let (metrics, polling) = (self.gateway.metrics.clone(), self.reloader.polling.clone());
        let disconnector = Disconnector::new(self.tasks.clone(), metrics, polling);
        let (engine, rooms, websockets) = socketio::build(&settings.socketio, &self.gateway, &disconnector);
        self.gateway.hub.add_sink(Arc::new(rooms.clone()));
        self.gateway.delays.set_builder(ViewBuilder { settings: settings.clone(), state: state.clone(), users, rooms });
        delayed::begin(settings, &self.gateway);
        let sessions = disconnector.clone().watch_sessions(self.tasks.stopping());
        self.tasks.spawn("polling sessions", async move {
            sessions.await;
            Ok::<_, Infallible>(())
        });
        let router = Dispatch::new(http::router(state, routes, streams));
        let engine = engine.layer(router);
        let polls = ServiceExt::<Request<Body>>::map_response(engine.clone(), into_response);
        disconnector.set_engine(BoxCloneSyncService::new(polls));
        let streams = engine.clone();
        // The engine has spawned its task when the call returns.
        websockets.set_engine(move |stream, head| drop(hyper::service::Service::call(&streams, (stream, head))));
        let service = ServiceBuilder::new()
            .layer(http::base_path::layer(settings.server.base_path.clone()))
            .layer(http::host::layer(settings.server.allowed_hosts.clone(), self.gateway.metrics.clone()))
            .layer(http::cors::layer(
                settings.server.allowed_origins.clone(),
                &dashboards::token_headers(),
                dashboards::credentialed_paths(),
            ))
            .layer(http::protocol::layer(self.gateway.metrics.clone()))
            .layer(TokenLayer::new(self.gateway.clone(), &dashboards::token_headers()))
            .layer(AdmissionLayer::new(self.gateway.clone(), disconnector, websockets, dashboards::rewrite))
            .layer(CompactHead)
            .service(engine);
        let (listener, listener_stop, stopping) =
            (self.listener.clone(), self.listener_stop.clone(), self.tasks.stopping());
        self.tasks.spawn("listener", async move {
            listener.serve(tcp, service, listener_stop).await;
            // The listener ends before the other tasks; a task must not end earlier than `stopping`.
            stopping.cancelled().await;
            Ok::<_, Infallible>(())
        });
        self.readiness.set(Phase::Serving);
        let base_path = settings.server.base_path.as_str();
        if !base_path.is_empty() {
            info!(base_path, "answering below this path, and without it behind a proxy that removes it");
        }
        info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
        Ok(())
    }
}

fn into_response<B>(response: Response<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    response.map(Body::new)
}
