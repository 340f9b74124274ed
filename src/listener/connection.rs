//! One connection while it speaks HTTP.

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
use super::proxies::site;
use super::registry::{ConnectionRegistry, ConnectionSlot};
use super::stream::GuardedStream;
use super::{
    BoxError, ClientAddress, KillSwitch, Listener, ListenerConfig, OverLimit, Peer, Proxies, Reason, RequestBody, Stop,
};

/// hyper takes no smaller limit for its buffers.
const SMALLEST_BUFFER: usize = 8192;

/// hyper as the door wants it.
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

/// What one connection is given.
#[derive(Debug)]
pub(super) struct Connection {
    stream: GuardedStream<LingeringStream>,
    kill: KillSwitch,
    peer: Peer,
    /// Where it counts, and for whom if a proxy speaks for others.
    live: Arc<ConnectionRegistry>,
    place: Option<u64>,
    config: Arc<ListenerConfig>,
    stop_accepting: CancellationToken,
}

impl Connection {
    /// A connection that was let in. Without a place it counts nowhere.
    pub(super) fn new(
        door: &Listener,
        stream: TcpStream,
        kill: KillSwitch,
        peer: Peer,
        place: Option<ConnectionSlot>,
        stop: &Stop,
    ) -> Self {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(peer = %peer.addr, %error, "TCP_NODELAY is not set");
        }
        let id = place.as_ref().map(ConnectionSlot::id);
        let stream = LingeringStream::new(stream, door.lingering.clone(), kill.clone());
        let stream = GuardedStream::new(stream, kill.clone(), door.config.write_timeout);
        Self {
            stream: match place {
                Some(place) => stream.in_place(place),
                None => stream,
            },
            kill,
            peer,
            live: door.live.clone(),
            place: id,
            config: door.config.clone(),
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
        let Self { stream, kill, peer, live, place, config, stop_accepting } = self;
        let asked = Arc::new(AtomicBool::new(false));
        // hyper's header time-out has to be as long as an idle connection may be kept, too long for the first head.
        let head_timeout = config.head_timeout;
        let service =
            Requests { inner: service, kill: kill.clone(), peer, live, place, config, asked: Arc::clone(&asked) };
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
                    tracing::debug!(peer = %peer.addr, reason = reason.label(), "connection killed");
                    break;
                }
                () = stop_accepting.cancelled(), if !draining => {
                    draining = true;
                    http.as_mut().graceful_shutdown();
                }
                () = first_head.as_mut(), if waiting => {
                    waiting = false;
                    if !asked.load(Ordering::Relaxed) {
                        kill.kill(Reason::NoRequest);
                    }
                }
            }
        }
        kill.killed()
    }
}

/// Hands each request on with what the rooms behind need to know of its connection.
#[derive(Debug)]
struct Requests<S> {
    inner: S,
    kill: KillSwitch,
    peer: Peer,
    live: Arc<ConnectionRegistry>,
    place: Option<u64>,
    config: Arc<ListenerConfig>,
    /// Whether there has been a request.
    asked: Arc<AtomicBool>,
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
        if !self.asked.swap(true, Ordering::Relaxed)
            && let Some(place) = self.place
        {
            self.live.has_asked(place);
        }
        let mut request = request.map(|body| RequestBody::new(body, self.config.body_timeout));
        let proxies: &Proxies = &self.config.proxies;
        let mut peer = self.peer;
        let mut address = proxies.counted(peer.client);
        if proxies.trust(peer.addr.ip())
            && let Some(client) = proxies.client(peer.addr.ip(), request.headers())
        {
            peer.client = client;
            address = Some(site(client));
            if self.place.is_some_and(|place| !self.live.belongs_to(place, client)) {
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
