//! The door: how a connection comes in, what it may cost while it is there, and how it ends.
//!
//! ```text
//!  accept ─► admit (limits) ─► GuardedStream ─► hyper (head and body in time) ─► service
//!                 │                   ▲                                             │
//!                 └─ KillSwitch ──────┘◄──────────── request extensions ────────────┘
//! ```
//!
//! A connection counts as live until its stream is dropped, also after it became a WebSocket. HTTP/1 only: the proxy in
//! front speaks HTTP/2 for us.

mod accept;
mod body;
mod compact;
mod connection;
mod descriptors;
mod inbound;
mod kill;
mod linger;
mod memory;
mod newcomers;
mod proxies;
mod registry;
mod stream;
#[cfg(test)]
mod tests;
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
pub use stream::{GuardedStream, Socket};
pub use write_stats::SlowConnection;

use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connections that may wait to be accepted: a reconnect storm overflows the usual 128, and its clients wait a second.
const BACKLOG: u32 = 4096;

/// Bytes that the kernel keeps for a peer that does not take them; it doubles this for its own accounts. Left alone it
/// keeps up to 4 MB of each, outside of all our bounds, and at a dashboard's pace it takes a minute until a write blocks.
const SEND_BUFFER: u32 = 128 * 1024;

/// What the door allows a connection.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Most connections at a time. Default 20,000.
    pub max_connections: usize,
    /// Most connections of one address (of IPv6, one /64) at a time. Default 1,000.
    pub max_per_address: usize,
    /// Who speaks for others.
    pub proxies: Proxies,
    /// Time from accepting a connection to the end of its first request's head. Default 15 s.
    pub head_timeout: Duration,
    /// Time from one answer to the end of the next request's head; above the pool time-out of a proxy. Default 75 s.
    pub idle_timeout: Duration,
    /// Time for the whole of a request's body. Default 30 s.
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

/// Who is at the other end of the connection, proxy or client; in the extensions of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The address that the connection came from.
    pub addr: SocketAddr,
    /// The client's address: the same, or what a trusted proxy says.
    pub client: IpAddr,
}

impl Peer {
    /// Somebody who speaks for himself.
    pub fn of(addr: SocketAddr) -> Self {
        Self { addr, client: addr.ip().to_canonical() }
    }
}

/// The address (of IPv6, the /64) that what a request opens counts for; in the extensions of every request. `None` when it
/// counts for no address: the peer may be a proxy that speaks for many clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientAddress(pub Option<IpAddr>);

/// In the extensions of a request that came through a proxy: its client has more connections than one address may have.
/// The answer is the service's to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverLimit;

/// The two steps of a stop. Cancelling the second alone does both.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Closes the listener and idle connections; what is in flight is answered.
    pub stop_accepting: CancellationToken,
    /// Ends every connection that is still there.
    pub kill_all: CancellationToken,
}

/// Listens on `addr` with a backlog that a reconnect storm fits into, and a bound on what waits in the kernel for each peer.
///
/// # Errors
/// When the address cannot be had.
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // What is accepted inherits it.
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

/// The door of one listener. A clone is the same door.
#[derive(Debug, Clone)]
pub struct Listener {
    config: Arc<ListenerConfig>,
    live: Arc<ConnectionRegistry>,
    lingering: linger::Lingering,
    tasks: Tasks,
    metrics: Metrics,
}

impl Listener {
    /// A door that nobody has come through.
    pub fn new(config: ListenerConfig, tasks: Tasks, metrics: Metrics) -> Self {
        let live = ConnectionRegistry::new(config.max_connections, config.max_per_address);
        let lingering = linger::Lingering::new(tasks.clone(), metrics.clone());
        Self { config: Arc::new(config), live, lingering, tasks, metrics }
    }

    /// The connections that are open, for whoever watches them.
    pub fn live(&self) -> Arc<ConnectionRegistry> {
        self.live.clone()
    }

    /// How many connections may be open at a time.
    pub fn most_connections(&self) -> usize {
        self.config.max_connections
    }

    /// How many connections are open, upgraded ones included.
    pub fn connections(&self) -> usize {
        self.live.count()
    }

    /// Ends every connection that is open now.
    pub fn kill_all(&self, reason: Reason) {
        self.live.kill_all(reason);
    }

    /// Serves `service` on `listener` until `stop`, and returns when the last connection has ended.
    ///
    /// It waits without a deadline for streams that somebody holds on to; the caller has one.
    pub async fn serve<S, B>(&self, listener: TcpListener, service: S, stop: Stop)
    where
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        // Takes the listener, so that it is closed when this returns.
        accept::run(self, listener, service, &stop).await;
        tokio::select! {
            () = self.live.emptied() => return,
            () = stop.kill_all.cancelled() => {}
        }
        self.kill_all(Reason::Draining);
        self.live.emptied().await;
    }
}
