//! Serves HTTP on one connection.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::util::ServiceExt as _;

use super::linger::LingeringStream;
use super::proxies::network;
use super::registry::{ConnectionRegistry, ConnectionSlot};
use super::stream::GuardedStream;
use super::{
    BoxError, ClientAddress, KillSwitch, Listener, ListenerConfig, OverLimit, Peer, Proxies, Reason, RequestBody, Stop,
};

/// The smallest limit that hyper accepts for its buffers.
const SMALLEST_BUFFER: usize = 8192;

/// Configures hyper for the listener.
pub(super) fn protocol(config: &ListenerConfig) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(config.idle_timeout)
        .half_close(false)
        .max_header_size(config.max_head)
        .max_buf_size(config.max_head.max(SMALLEST_BUFFER));
    builder
}

/// One admitted connection, before it is served.
#[derive(Debug)]
pub(super) struct Connection {
    stream: GuardedStream<LingeringStream>,
    kill: KillSwitch,
    peer: Peer,
    /// Counts the connection, for a proxy's connection under the address of the current client.
    registry: Arc<ConnectionRegistry>,
    slot: Option<u64>,
    config: Arc<ListenerConfig>,
    stop_accepting: CancellationToken,
}

impl Connection {
    /// Returns an admitted connection. Without a slot it is not counted.
    pub(super) fn new(
        listener: &Listener,
        stream: TcpStream,
        kill: KillSwitch,
        peer: Peer,
        slot: Option<ConnectionSlot>,
        stop: &Stop,
    ) -> Self {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(peer = %peer.addr, %error, "cannot set TCP_NODELAY");
        }
        let id = slot.as_ref().map(ConnectionSlot::id);
        let stream = LingeringStream::new(stream, listener.lingering.clone(), kill.clone());
        let stream = GuardedStream::new(stream, kill.clone(), listener.config.write_timeout);
        Self {
            stream: match slot {
                Some(slot) => stream.with_slot(slot),
                None => stream,
            },
            kill,
            peer,
            registry: listener.registry.clone(),
            slot: id,
            config: listener.config.clone(),
            stop_accepting: stop.stop_accepting.clone(),
        }
    }

    /// Serves the connection until it ends or becomes a WebSocket. Returns why it was killed, if it was.
    pub(super) async fn run<S, B>(self, protocol: http1::Builder, service: S) -> Option<Reason>
    where
        S: tower::Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let Self { stream, kill, peer, registry, slot, config, stop_accepting } = self;
        let has_request = Arc::new(AtomicBool::new(false));
        // hyper's header time-out also limits idle connections; that is too long for the first head.
        let head_timeout = config.head_timeout;
        let service = Requests {
            inner: service,
            kill: kill.clone(),
            peer,
            registry,
            slot,
            config,
            has_request: Arc::clone(&has_request),
        };
        let http = protocol.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let first_head = tokio::time::sleep(head_timeout);
        tokio::pin!(http, first_head);
        let (mut draining, mut waiting) = (false, true);
        loop {
            tokio::select! {
                biased;
                ended = http.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(peer = %peer.addr, %error, "connection failed");
                    }
                    break;
                }
                reason = kill.wait() => {
                    tracing::debug!(peer = %peer.addr, %reason, "connection killed");
                    break;
                }
                () = stop_accepting.cancelled(), if !draining => {
                    draining = true;
                    http.as_mut().graceful_shutdown();
                }
                () = first_head.as_mut(), if waiting => {
                    waiting = false;
                    if !has_request.load(Ordering::Relaxed) {
                        kill.kill(Reason::NoRequest);
                    }
                }
            }
        }
        kill.killed()
    }
}

/// Passes each request on, with the data of its connection in its extensions.
#[derive(Debug)]
struct Requests<S> {
    inner: S,
    kill: KillSwitch,
    peer: Peer,
    registry: Arc<ConnectionRegistry>,
    slot: Option<u64>,
    config: Arc<ListenerConfig>,
    /// Whether a request has arrived.
    has_request: Arc<AtomicBool>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Requests<S>
where
    S: tower::Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if !self.has_request.swap(true, Ordering::Relaxed)
            && let Some(slot) = self.slot
        {
            self.registry.mark_active(slot);
        }
        let mut request = request.map(|body| RequestBody::new(body, self.config.body_timeout));
        let proxies: &Proxies = &self.config.proxies;
        let mut peer = self.peer;
        let mut address = proxies.limited_address(peer.client);
        if proxies.trust(peer.addr.ip())
            && let Some(client) = proxies.client(peer.addr.ip(), request.headers())
        {
            peer.client = client;
            address = Some(network(client));
            if self.slot.is_some_and(|slot| !self.registry.assign_client(slot, client)) {
                request.extensions_mut().insert(OverLimit);
            }
        }
        request.extensions_mut().insert(self.kill.clone());
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(ClientAddress(address));
        let body = request.body().read();
        let answer = self.inner.clone().oneshot(request);
        Box::pin(async move {
            let mut answer = answer.await?;
            if !body.is_complete() && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer)
        })
    }
}
