//! The accept loop: admits connections within the limits, refuses the others, and survives a lack of descriptors.

use std::fs::File;
use std::future::Future;
use std::io::{self, Write as _};
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tower::Service;

use super::connection::{self, Connection};
use super::overflow::OverflowQueue;
use super::registry::SlotError;
use super::{BoxError, KillSwitch, Listener, Peer, Reason, RequestBody, Stop};

/// The response to a connection above the limit of the server.
pub(super) const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 63\r\n\
    Retry-After: 5\r\n\
    Connection: close\r\n\r\n\
    {\"error\":\"too many connections, try later\",\"code\":\"overloaded\"}";

/// The response to a connection above the limit of its address.
pub(super) const CROWDED: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 80\r\n\
    Retry-After: 30\r\n\
    Connection: close\r\n\r\n\
    {\"error\":\"too many connections from this address\",\"code\":\"too_many_connections\"}";

/// Accepts until `stop`; then the listener is closed.
pub(super) async fn run<S, B>(listener: &Listener, tcp: TcpListener, service: S, stop: &Stop)
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let protocol = connection::protocol(&listener.config);
    let overflow = OverflowQueue::new();
    let mut errors = AcceptErrors::new();
    let stopped = async {
        tokio::select! {
            () = stop.stop_accepting.cancelled() => {}
            () = stop.kill_all.cancelled() => {}
        }
    };
    tokio::pin!(stopped);
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped.as_mut() => return,
            accepted = tcp.accept() => accepted,
        };
        match accepted {
            Ok((stream, addr)) => {
                errors.reset();
                let kill = KillSwitch::new();
                let peer = Peer::of(addr);
                let refusal =
                    match listener.registry.admit(listener.config.proxies.limited_address(peer.client), kill.clone()) {
                        Ok(slot) => {
                            let connection = Connection::new(listener, stream, kill, peer, Some(slot), stop);
                            spawn(listener, connection.run(protocol.clone(), service.clone()));
                            continue;
                        }
                        Err(refusal) => refusal,
                    };
                let queued = overflow.push();
                let (listener, stop) = (listener.clone(), stop.clone());
                let (mut protocol, service) = (protocol.clone(), service.clone());
                listener.tasks.clone().spawn_connection(async move {
                    let Some(_permit) = queued.check(&stream).await else {
                        return refuse(&listener, stream, refusal);
                    };
                    // Only one request: a check that kept its connection open would block other checks.
                    protocol.keep_alive(false);
                    Connection::new(&listener, stream, kill, peer, None, &stop).run(protocol, service).await;
                });
            }
            Err(error) => {
                tokio::select! {
                    () = stopped.as_mut() => return,
                    () = errors.handle(listener, &tcp, &error) => {}
                }
            }
        }
    }
}

fn spawn(listener: &Listener, running: impl Future<Output = Option<Reason>> + Send + 'static) {
    let refused = listener.metrics.refused_total.clone();
    listener.tasks.spawn_connection(async move {
        if let Some(reason @ Reason::NoRequest) = running.await {
            refused.with_label_values(&[reason.label()]).inc();
        }
    });
}

/// Answers a refused connection, and closes it once the peer has read the answer.
fn refuse(listener: &Listener, stream: TcpStream, refusal: SlotError) {
    listener.metrics.refuse(refusal.label());
    let answer = match refusal {
        SlotError::Connections => BUSY,
        SlotError::Address => CROWDED,
    };
    if let Err(stream) = listener.lingering.close(stream, answer) {
        answer_at_once(stream, answer);
    }
}

/// Writes the answer without waiting: the send buffer of a new connection is empty.
fn answer_at_once(stream: TcpStream, answer: &[u8]) {
    let written = stream.into_std().and_then(|mut stream| stream.write_all(answer));
    if let Err(error) = written {
        tracing::trace!(%error, "cannot answer a refused connection");
    }
}

/// Handles errors of `accept`, above all running out of file descriptors.
#[derive(Debug)]
struct AcceptErrors {
    /// A descriptor that is closed to answer waiting connections when no other is left.
    spare: Option<File>,
    pause: Duration,
    last: Option<Instant>,
}

impl AcceptErrors {
    const FIRST_PAUSE: Duration = Duration::from_millis(100);
    const MAX_PAUSE: Duration = Duration::from_secs(1);
    /// Errors closer together than this are one burst, which is logged once.
    const BURST_GAP: Duration = Duration::from_secs(10);
    /// Most connections that are answered per pause while descriptors have run out.
    const MAX_SHED: usize = 32;

    fn new() -> Self {
        Self { spare: spare(), pause: Self::FIRST_PAUSE, last: None }
    }

    fn reset(&mut self) {
        self.pause = Self::FIRST_PAUSE;
    }

    /// Logs an error, sheds the waiting connections when descriptors have run out, and pauses so that the loop does not spin.
    async fn handle(&mut self, listener: &Listener, tcp: &TcpListener, error: &io::Error) {
        if concerns_one_connection(error) {
            return;
        }
        if self.starts_burst(Instant::now()) {
            tracing::warn!(%error, "cannot accept connections");
        }
        if out_of_descriptors(error) {
            let shed = self.shed(tcp);
            listener.metrics.refused_total.with_label_values(&["descriptors"]).inc_by(shed);
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(Self::MAX_PAUSE);
    }

    fn starts_burst(&mut self, now: Instant) -> bool {
        let last = self.last.replace(now);
        last.is_none_or(|last| now.duration_since(last) > Self::BURST_GAP)
    }

    fn shed(&mut self, tcp: &TcpListener) -> u64 {
        drop(self.spare.take());
        let mut shed = 0;
        for _ in 0..Self::MAX_SHED {
            let Some(Ok((stream, _))) = tcp.accept().now_or_never() else { break };
            answer_at_once(stream, BUSY);
            shed += 1;
        }
        self.spare = spare();
        shed
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Whether only this connection failed, because its peer has gone; the next `accept` is not affected.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Whether the error is `ENFILE` or `EMFILE`, which have the same numbers on every Unix and no stable `ErrorKind`.
fn out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[test]
    fn the_answers_state_their_length() {
        for answer in [BUSY, CROWDED] {
            let text = std::str::from_utf8(answer).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
            serde_json::from_str::<serde_json::Value>(body).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_errors_is_logged_once() {
        let mut errors = AcceptErrors::new();
        assert!(errors.starts_burst(Instant::now()));
        for _ in 0..5 {
            tokio::time::advance(AcceptErrors::BURST_GAP / 2).await;
            assert!(!errors.starts_burst(Instant::now()));
        }
        tokio::time::advance(AcceptErrors::BURST_GAP * 2).await;
        assert!(errors.starts_burst(Instant::now()));
    }

    #[tokio::test]
    async fn without_descriptors_waiting_connections_are_answered() {
        let tcp = super::super::listen(([127, 0, 0, 1], 0).into()).unwrap();
        let mut client = TcpStream::connect(tcp.local_addr().unwrap()).await.unwrap();
        let mut errors = AcceptErrors::new();
        // The listener becomes ready when the runtime polls again.
        while errors.shed(&tcp) == 0 {
            tokio::task::yield_now().await;
        }
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, BUSY);
        assert!(errors.spare.is_some());
    }

    #[test]
    fn errors_of_one_connection_are_recognised() {
        assert!(out_of_descriptors(&io::Error::from_raw_os_error(24)));
        assert!(concerns_one_connection(&io::ErrorKind::ConnectionAborted.into()));
        assert!(!concerns_one_connection(&io::Error::from_raw_os_error(24)));
    }
}
