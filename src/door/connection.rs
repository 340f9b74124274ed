//! One connection while it speaks HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::util::{Oneshot, ServiceExt as _};

use super::stream::GuardedStream;
use super::{BoxError, DoorConfig, KillSwitch, Peer, Reason, RequestBody};

/// hyper takes no smaller limit for its buffers.
const SMALLEST_BUFFER: usize = 8192;

/// hyper as the door wants it.
pub(super) fn protocol(config: &DoorConfig) -> http1::Builder {
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
    pub(super) stream: GuardedStream<TcpStream>,
    pub(super) kill: KillSwitch,
    pub(super) peer: Peer,
    /// hyper's header time-out has to be as long as an idle connection may be kept, too long for the first head.
    pub(super) head_timeout: Duration,
    pub(super) body_timeout: Duration,
    pub(super) stop_accepting: CancellationToken,
}

impl Connection {
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
        let Self { stream, kill, peer, head_timeout, body_timeout, stop_accepting } = self;
        let asked = Arc::new(AtomicBool::new(false));
        let service = Requests { inner: service, kill: kill.clone(), peer, body_timeout, asked: Arc::clone(&asked) };
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
    body_timeout: Duration,
    /// Whether there has been a request.
    asked: Arc<AtomicBool>,
}

impl<S> hyper::service::Service<Request<Incoming>> for Requests<S>
where
    S: tower::Service<Request<RequestBody>> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Oneshot<S, Request<RequestBody>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.asked.store(true, Ordering::Relaxed);
        let mut request = request.map(|body| RequestBody::new(body, self.body_timeout));
        request.extensions_mut().insert(self.kill.clone());
        request.extensions_mut().insert(self.peer);
        self.inner.clone().oneshot(request)
    }
}
