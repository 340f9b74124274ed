//! The listener for operators: checks and metrics, apart from the clients and their limits.

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

/// Most connections at a time: a platform's checks and a few scrapers.
const MAX_CONNECTIONS: usize = 64;

/// Listens on the address that the settings name, if they name one.
pub(super) fn listen(address: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    let listen = |address| {
        listener::listen(address).with_context(|| format!("server.metrics_address: cannot listen on {address}"))
    };
    address.map(listen).transpose()
}

/// Serves it until the last client has been told to leave: a check sees the whole drain.
pub(super) fn serve(
    listener: TcpListener,
    state: AppState,
    tasks: &Tasks,
    metrics: &Metrics,
    clients: &Stop,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    let config =
        ListenerConfig { max_connections: MAX_CONNECTIONS, max_per_address: usize::MAX, ..ListenerConfig::default() };
    let door = Listener::new(config, tasks.clone(), metrics.clone());
    let stop = Stop { stop_accepting: clients.kill_all.clone(), kill_all: clients.kill_all.clone() };
    let service = http::checks(state)
        .map_request(|request: axum::http::Request<listener::RequestBody>| request.map(axum::body::Body::new));
    let stopping = tasks.stopping();
    tasks.spawn("metrics listener", async move {
        door.serve(listener, service, stop).await;
        stopping.cancelled().await;
        Ok::<_, Infallible>(())
    });
    info!(%address, "checks and metrics are served on an address of their own");
    Ok(())
}
