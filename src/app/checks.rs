//! The listener for operators: health checks and metrics on their own address, outside the limits of clients.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::Context;
use tower::ServiceExt;
use tracing::info;

use super::App;
use crate::http::{self, AppState};
use crate::listener::{self, Listener, ListenerConfig, Stop};

/// Most connections at a time: enough for a platform's checks and a few scrapers.
const MAX_CONNECTIONS: usize = 64;

/// Listens on `server.metrics_address`, if it is set, and serves checks and metrics until all clients are disconnected, so that a
/// check sees the whole drain.
pub(super) fn start(address: Option<SocketAddr>, state: &AppState, app: &App) -> anyhow::Result<()> {
    let Some(address) = address else { return Ok(()) };
    let tcp =
        listener::listen(address).with_context(|| format!("server.metrics_address: cannot listen on {address}"))?;
    let (tasks, clients) = (&app.tasks, &app.listener_stop);
    let address = tcp.local_addr()?;
    let config =
        ListenerConfig { max_connections: MAX_CONNECTIONS, max_per_address: usize::MAX, ..ListenerConfig::default() };
    let listener = Listener::new(config, tasks.clone(), app.gateway.metrics.as_ref().clone());
    let stop = Stop { stop_accepting: clients.kill_all.clone(), kill_all: clients.kill_all.clone() };
    let service = http::checks(state.clone())
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
