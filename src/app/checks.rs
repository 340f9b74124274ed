//! The listener for operators: health checks and metrics on their own address, outside the limits of clients.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::TcpListener;
use tower::ServiceExt;
use tracing::info;

use crate::http::{self, AppState};
use crate::listener::{self, Listener, ListenerConfig, Stop};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// Most connections at a time: enough for a platform's checks and a few scrapers.
const MAX_CONNECTIONS: usize = 64;

/// Listens on `server.metrics_address`, if it is set.
pub(super) fn listen(address: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    let listen = |address| {
        listener::listen(address).with_context(|| format!("server.metrics_address: cannot listen on {address}"))
    };
    address.map(listen).transpose()
}

/// Serves checks and metrics until all clients are disconnected, so that a check sees the whole drain.
pub(super) fn serve(
    tcp: TcpListener,
    state: AppState,
    tasks: &Tasks,
    metrics: &Metrics,
    clients: &Stop,
) -> anyhow::Result<()> {
    let address = tcp.local_addr()?;
    let config =
        ListenerConfig { max_connections: MAX_CONNECTIONS, max_per_address: usize::MAX, ..ListenerConfig::default() };
    let listener = Listener::new(config, tasks.clone(), metrics.clone());
    let stop = Stop { stop_accepting: clients.kill_all.clone(), kill_all: clients.kill_all.clone() };
    let service = http::checks(state)
        .map_request(|request: axum::http::Request<listener::RequestBody>| request.map(axum::body::Body::new));
    let stopping = tasks.stopping();
    tasks.spawn("metrics listener", async move {
        listener.serve(tcp, service, stop).await;
        stopping.cancelled().await;
        Ok::<_, Infallible>(())
    });
    info!(%address, "checks and metrics have their own listener");
    Ok(())
}
