//! The lifetime of a native connection: its metrics and log lines.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::info;

use crate::gateways::Gateway;
use crate::gateways::close::Close;
use crate::listener::{KillSwitch, Reason};

/// How a connection ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum ConnectionEnd {
    /// The peer closed it, or the connection broke.
    Peer,
    /// The server closes it.
    Ours(Close),
}

/// Counts a connection for as long as it is open, and logs its start and its end.
#[derive(Debug)]
pub(super) struct ConnectionGuard {
    gateway: Arc<Gateway>,
    endpoint: &'static str,
    pub(super) connection: KillSwitch,
    since: Instant,
    end: Option<ConnectionEnd>,
}

impl ConnectionGuard {
    pub(super) fn new(gateway: &Arc<Gateway>, endpoint: &'static str, connection: KillSwitch) -> Self {
        gateway.metrics.connections.with_label_values(&["native", endpoint]).inc();
        gateway.metrics.connections_total.with_label_values(&["native", endpoint]).inc();
        info!(endpoint, "WebSocket client connected");
        Self { gateway: gateway.clone(), endpoint, connection, since: Instant::now(), end: None }
    }

    pub(super) fn ended(mut self, end: ConnectionEnd) {
        self.end = Some(end);
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let reason = match self.end {
            // A write may have failed because the listener has closed the connection.
            Some(ConnectionEnd::Peer) => self.connection.killed().map_or("peer", Reason::label),
            Some(ConnectionEnd::Ours(close)) => close.reason(),
            None => "aborted",
        };
        self.gateway.metrics.connections.with_label_values(&["native", self.endpoint]).dec();
        self.gateway.metrics.disconnects_total.with_label_values(&[self.endpoint, reason]).inc();
        info!(
            endpoint = self.endpoint,
            reason,
            seconds = self.since.elapsed().as_secs_f64(),
            "WebSocket client disconnected"
        );
    }
}
