//! The listener: accepts connections, limits what each may use, and ends them.
//!
//! ```text
//!  accept ─► admit (limits) ─► GuardedStream ─► hyper (head and body in time) ─► service
//!                 │                   ▲                                             │
//!                 └─ KillSwitch ──────┘◄──────────── request extensions ────────────┘
//! ```
//!
//! A connection counts as open until its stream is dropped, also after it became a WebSocket. The listener speaks HTTP/1
//! only; the proxy in front of the server can speak HTTP/2.

mod accept;
mod body;
mod compact;
mod connection;
mod descriptors;
mod inbound;
mod kill;
mod linger;
mod memory;
mod overflow;
mod proxies;
mod registry;
mod stream;
#[cfg(test)]
mod tests;
mod upgraded;
mod write_stats;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tower::Service;

pub use body::{BodyTimeout, RequestBody};
pub use compact::{CompactHead, CompactHeadService};
pub use descriptors::{connections_within, raise_limit};
pub use inbound::InboundFilter;
pub use kill::{KillSwitch, Reason};
pub use memory::memory_limit;
pub use proxies::Proxies;
pub use registry::ConnectionRegistry;
pub use stream::GuardedStream;
pub use upgraded::UpgradedSocket;
pub use write_stats::SlowConnection;

use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connections that may wait to be accepted. A reconnect storm overflows the usual 128, and each client then waits a second.
const BACKLOG: u32 = 4096;

/// Bytes that the kernel buffers for a peer that does not read; the kernel doubles the value for its bookkeeping. Without
/// this limit it buffers up to 4 MB per connection, and at the rate of a dashboard a write blocks only after a minute.
const SEND_BUFFER: u32 = 128 * 1024;

/// The limits and time-outs of a listener.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Maximum of open connections. Default 20,000.
    pub max_connections: usize,
    /// Maximum of open connections of one address (IPv6: of one /64). Default 1,000.
    pub max_per_address: usize,
    /// The proxies that are trusted to name their clients.
    pub proxies: Proxies,
    /// Time from accepting a connection to the end of its first request's head. Default 15 s.
    pub head_timeout: Duration,
    /// Time from one response to the end of the next request's head; above the pool time-out of a proxy. Default 75 s.
    pub idle_timeout: Duration,
    /// Time for the whole body of a request. Default 30 s.
    pub body_timeout: Duration,
    /// Time that a write may wait for a peer that does not read. Default 10 s.
    pub write_timeout: Duration,
    /// Largest request head, in bytes. Default 64 KiB.
    pub max_head: usize,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            max_per_address: 1_000,
            proxies: Proxies::default(),
            head_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(10),
            max_head: 64 * 1024,
        }
    }
}

/// The peer of the connection, a proxy or a client; in the extensions of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The address that the connection came from.
    pub addr: SocketAddr,
    /// The client's address: the same, or the one that a trusted proxy names.
    pub client: IpAddr,
}

impl Peer {
    /// Returns a peer that is its own client.
    pub fn of(addr: SocketAddr) -> Self {
        Self { addr, client: addr.ip().to_canonical() }
    }
}

/// The address (IPv6: the /64) whose limits apply to what a request opens; in the extensions of every request. `None` when no
/// limit of an address applies: the peer may be a proxy with many clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientAddress(pub Option<IpAddr>);

/// Marks a request through a proxy whose client has more connections than one address may have; in its extensions. The
/// service has to refuse the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverLimit;

/// The two steps of a stop. Cancelling the second alone does both.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Closes the listener and idle connections; requests in flight are answered.
    pub stop_accepting: CancellationToken,
    /// Ends every connection that is still open.
    pub kill_all: CancellationToken,
}

/// Listens on `addr`, with a backlog for a reconnect storm and a bounded send buffer for each peer.
///
/// # Errors
/// When the address cannot be bound.
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Serves `service` on `listener` until `stop`, and returns when the last connection has ended.
pub async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    config: ListenerConfig,
    tasks: Tasks,
    metrics: Metrics,
    stop: Stop,
) where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    Listener::new(config, tasks, metrics).serve(listener, service, stop).await;
}

/// Accepts and serves connections. All clones share one registry of connections.
#[derive(Debug, Clone)]
pub struct Listener {
    config: Arc<ListenerConfig>,
    registry: Arc<ConnectionRegistry>,
    lingering: linger::Lingering,
    tasks: Tasks,
    metrics: Metrics,
}

impl Listener {
    /// Returns a listener without connections.
    pub fn new(config: ListenerConfig, tasks: Tasks, metrics: Metrics) -> Self {
        let registry = ConnectionRegistry::new(config.max_connections, config.max_per_address);
        let lingering = linger::Lingering::new(tasks.clone(), metrics.clone());
        Self { config: Arc::new(config), registry, lingering, tasks, metrics }
    }

    /// Returns the registry of open connections.
    pub fn registry(&self) -> Arc<ConnectionRegistry> {
        self.registry.clone()
    }

    /// Returns how many connections may be open at a time.
    pub fn max_connections(&self) -> usize {
        self.config.max_connections
    }

    /// Returns how many connections are open, upgraded ones included.
    pub fn connections(&self) -> usize {
        self.registry.count()
    }

    /// Ends every connection that is open now.
    pub fn kill_all(&self, reason: Reason) {
        self.registry.kill_all(reason);
    }

    /// Serves `service` on `listener` until `stop`, and returns when the last connection has ended.
    ///
    /// Waits for open streams without a deadline; the caller has to set one.
    pub async fn serve<S, B>(&self, listener: TcpListener, service: S, stop: Stop)
    where
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        // Takes ownership of `listener`, so that it is closed when this returns.
        accept::run(self, listener, service, &stop).await;
        tokio::select! {
            () = self.registry.emptied() => return,
            () = stop.kill_all.cancelled() => {}
        }
        self.kill_all(Reason::Draining);
        self.registry.emptied().await;
    }
}
