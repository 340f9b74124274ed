//! The accept loop: lets connections in while there is room, and survives when there is none.

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
use super::newcomers::Newcomers;
use super::registry::Refusal;
use super::{BoxError, KillSwitch, Listener, Peer, Reason, RequestBody, Stop};

/// The answer to a connection that there is no room for.
pub(super) const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 63\r\n\
    Retry-After: 5\r\n\
    Connection: close\r\n\r\n\
    {\"error\":\"too many connections, try later\",\"code\":\"overloaded\"}";

/// The answer to a connection whose address has as many as one may have.
pub(super) const CROWDED: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 80\r\n\
    Retry-After: 30\r\n\
    Connection: close\r\n\r\n\
    {\"error\":\"too many connections from this address\",\"code\":\"too_many_connections\"}";

/// Accepts until `stop`; then the listener is closed.
pub(super) async fn run<S, B>(door: &Listener, listener: TcpListener, service: S, stop: &Stop)
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let protocol = connection::protocol(&door.config);
    let newcomers = Newcomers::new();
    let mut trouble = Trouble::new();
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
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, addr)) => {
                trouble.over();
                let kill = KillSwitch::new();
                let peer = Peer::of(addr);
                let refusal = match door.live.admit(door.config.proxies.counted(peer.client), kill.clone()) {
                    Ok(place) => {
                        let connection = Connection::new(door, stream, kill, peer, Some(place), stop);
                        spawn(door, connection.run(protocol.clone(), service.clone()));
                        continue;
                    }
                    Err(refusal) => refusal,
                };
                let turn = newcomers.enter();
                let (door, stop) = (door.clone(), stop.clone());
                let (mut protocol, service) = (protocol.clone(), service.clone());
                door.tasks.clone().spawn_connection(async move {
                    let Some(_permit) = turn.check(&stream).await else {
                        return refuse(&door, stream, refusal);
                    };
                    // One answer and no more: a check that kept its connection would keep others from theirs.
                    protocol.keep_alive(false);
                    Connection::new(&door, stream, kill, peer, None, &stop).run(protocol, service).await;
                });
            }
            Err(error) => {
                tokio::select! {
                    () = stopped.as_mut() => return,
                    () = trouble.meet(door, &listener, &error) => {}
                }
            }
        }
    }
}

fn spawn(door: &Listener, running: impl Future<Output = Option<Reason>> + Send + 'static) {
    let metrics = door.metrics.clone();
    door.tasks.spawn_connection(async move {
        if let Some(reason @ Reason::NoRequest) = running.await {
            metrics.refused_total.with_label_values(&[reason.label()]).inc();
        }
    });
}

/// Answers a connection that is not let in, and closes it once the peer has seen the answer.
fn refuse(door: &Listener, stream: TcpStream, refusal: Refusal) {
    door.metrics.refuse(refusal.label());
    let answer = match refusal {
        Refusal::Connections => BUSY,
        Refusal::Address => CROWDED,
    };
    if let Err(stream) = door.lingering.close(stream, answer) {
        answer_at_once(stream, answer);
    }
}

/// Answers without waiting for anything: the send buffer of a new connection has room.
fn answer_at_once(stream: TcpStream, answer: &[u8]) {
    let written = stream.into_std().and_then(|mut stream| stream.write_all(answer));
    if let Err(error) = written {
        tracing::trace!(%error, "a refused connection got no answer");
    }
}

/// Copes with errors of `accept`, file descriptors running out above all.
#[derive(Debug)]
struct Trouble {
    /// Given up to answer those who wait when there is no other descriptor.
    spare: Option<File>,
    pause: Duration,
    last: Option<Instant>,
}

impl Trouble {
    const FIRST_PAUSE: Duration = Duration::from_millis(100);
    const LONGEST_PAUSE: Duration = Duration::from_secs(1);
    /// Errors closer together than this are one burst, which is logged once.
    const QUIET: Duration = Duration::from_secs(10);
    /// Connections answered per pause while there is no descriptor.
    const SHED: usize = 32;

    fn new() -> Self {
        Self { spare: spare(), pause: Self::FIRST_PAUSE, last: None }
    }

    fn over(&mut self) {
        self.pause = Self::FIRST_PAUSE;
    }

    /// Reports an error, sheds who waits when descriptors have run out, and pauses so that the loop does not spin.
    async fn meet(&mut self, door: &Listener, listener: &TcpListener, error: &io::Error) {
        if concerns_one_connection(error) {
            return;
        }
        if self.starts_burst(Instant::now()) {
            tracing::warn!(%error, "connections cannot be accepted");
        }
        if out_of_descriptors(error) {
            let shed = self.shed(listener);
            door.metrics.refused_total.with_label_values(&["descriptors"]).inc_by(shed);
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(Self::LONGEST_PAUSE);
    }

    fn starts_burst(&mut self, now: Instant) -> bool {
        let last = self.last.replace(now);
        last.is_none_or(|last| now.duration_since(last) > Self::QUIET)
    }

    fn shed(&mut self, listener: &TcpListener) -> u64 {
        drop(self.spare.take());
        let mut shed = 0;
        for _ in 0..Self::SHED {
            let Some(Ok((stream, _))) = listener.accept().now_or_never() else { break };
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

/// The peer was gone before we came; the next one is not affected.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// `ENFILE` and `EMFILE`, which have the same numbers on every Unix and no stable `ErrorKind`.
fn out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[test]
    fn the_answers_have_the_length_they_say() {
        for answer in [BUSY, CROWDED] {
            let text = std::str::from_utf8(answer).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
            serde_json::from_str::<serde_json::Value>(body).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_errors_is_logged_once() {
        let mut trouble = Trouble::new();
        assert!(trouble.starts_burst(Instant::now()));
        for _ in 0..5 {
            tokio::time::advance(Trouble::QUIET / 2).await;
            assert!(!trouble.starts_burst(Instant::now()));
        }
        tokio::time::advance(Trouble::QUIET * 2).await;
        assert!(trouble.starts_burst(Instant::now()));
    }

    #[tokio::test]
    async fn without_descriptors_those_who_wait_are_answered_and_the_spare_comes_back() {
        let listener = super::super::listen(([127, 0, 0, 1], 0).into()).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut trouble = Trouble::new();
        // The listener becomes ready at the runtime's next turn.
        while trouble.shed(&listener) == 0 {
            tokio::task::yield_now().await;
        }
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, BUSY);
        assert!(trouble.spare.is_some());
    }

    #[test]
    fn errors_are_told_apart() {
        assert!(out_of_descriptors(&io::Error::from_raw_os_error(24)));
        assert!(concerns_one_connection(&io::ErrorKind::ConnectionAborted.into()));
        assert!(!concerns_one_connection(&io::Error::from_raw_os_error(24)));
    }
}
