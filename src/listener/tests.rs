//! Tests of the listener on real sockets.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt as _, service_fn};

use super::*;

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(20);

type Answer = Response<Full<Bytes>>;

fn quick() -> ListenerConfig {
    ListenerConfig { head_timeout: SHORT, body_timeout: SHORT, write_timeout: SHORT, ..ListenerConfig::default() }
}

/// The service behind the listener, observed and controlled by the test.
#[derive(Clone)]
struct TestService {
    /// The connection of each request that arrived.
    arrived: mpsc::Sender<(KillSwitch, Peer)>,
    /// `/wait` is answered when there is a permit.
    answer: Arc<Semaphore>,
    /// How an upgraded connection ended.
    ended: mpsc::Sender<io::Error>,
}

impl TestService {
    async fn answer(self, mut request: Request<RequestBody>) -> Result<Answer, Infallible> {
        let extensions = request.extensions();
        let connection = (extensions.get().cloned().unwrap(), *extensions.get().unwrap());
        self.arrived.send(connection.clone()).await.unwrap();
        let mut answer = Answer::default();
        match request.uri().path() {
            "/wait" => self.answer.acquire().await.unwrap().forget(),
            "/client" => {
                let crowded = request.extensions().get::<OverLimit>().is_some();
                *answer.body_mut() = Full::from(format!("{} {crowded};", connection.1.client));
            }
            "/panic" => panic!("for the test"),
            "/body" => {
                if let Err(error) = request.body_mut().collect().await {
                    *answer.status_mut() = http::StatusCode::REQUEST_TIMEOUT;
                    *answer.body_mut() = Full::from(error.to_string());
                }
            }
            "/large" => *answer.body_mut() = Full::from(vec![b'x'; 64 << 20]),
            "/upgrade" => {
                *answer.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
                answer.headers_mut().insert(http::header::CONNECTION, "upgrade".parse().unwrap());
                answer.headers_mut().insert(http::header::UPGRADE, "echo".parse().unwrap());
                self.echo(request);
            }
            _ => *answer.body_mut() = Full::from("hello"),
        }
        Ok(answer)
    }

    #[allow(clippy::disallowed_methods, reason = "as a WebSocket library does it")]
    fn echo(self, request: Request<RequestBody>) {
        tokio::spawn(async move {
            let upgraded = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
            let (mut reader, mut writer) = tokio::io::split(upgraded);
            if let Err(error) = tokio::io::copy(&mut reader, &mut writer).await {
                self.ended.send(error).await.ok();
            }
        });
    }
}

struct Fixture {
    addr: SocketAddr,
    listener: Listener,
    stop: Stop,
    served: JoinHandle<()>,
    arrived: mpsc::Receiver<(KillSwitch, Peer)>,
    answer: Arc<Semaphore>,
    ended: mpsc::Receiver<io::Error>,
}

#[allow(clippy::disallowed_methods, reason = "the test is the owner")]
fn start(config: ListenerConfig) -> Fixture {
    let tcp = listen(([127, 0, 0, 1], 0).into()).unwrap();
    let addr = tcp.local_addr().unwrap();
    let listener = Listener::new(config, Tasks::new(), Metrics::new().unwrap());
    let stop = Stop::default();
    let (arrived_tx, arrived) = mpsc::channel(16);
    let (ended_tx, ended) = mpsc::channel(16);
    let answer = Arc::new(Semaphore::new(0));
    let service = TestService { arrived: arrived_tx, answer: Arc::clone(&answer), ended: ended_tx };
    let service = BoxCloneSyncService::new(
        service_fn(move |request| service.clone().answer(request)).map_err(|never: Infallible| match never {}),
    );
    let served = tokio::spawn({
        let (listener, stop) = (listener.clone(), stop.clone());
        async move { listener.serve::<BoxCloneSyncService<_, Answer, BoxError>, _>(tcp, service, stop).await }
    });
    Fixture { addr, listener, stop, served, arrived, answer, ended }
}

impl Fixture {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    async fn send(&self, request: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    fn refused(&self, reason: &str) -> u64 {
        self.listener.metrics.refused_total.with_label_values(&[reason]).get()
    }

    async fn finished(self) {
        timeout(LONG, self.served).await.expect("serve returns").unwrap();
    }
}

/// Reads until the connection ends.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset ends it as well.
    timeout(LONG, stream.read_to_end(&mut bytes)).await.expect("the server closes").ok();
    String::from_utf8(bytes).unwrap()
}

/// Reads one response with the body `hello`.
async fn hello(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("hello") {
        let byte = timeout(LONG, stream.read_u8()).await.expect("an answer").unwrap();
        text.push(byte.into());
    }
    text
}

const UPGRADE: &str = "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";

async fn upgraded(fixture: &Fixture) -> TcpStream {
    let mut stream = fixture.send(UPGRADE).await;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(timeout(LONG, stream.read_u8()).await.expect("an answer").unwrap().into());
    }
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    stream
}

#[tokio::test]
async fn an_incomplete_head_ends_at_the_head_timeout() {
    let fixture = start(quick());
    for said in ["", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        let mut stream = fixture.send(said).await;
        assert_eq!(rest(&mut stream).await, "");
    }
    fixture.stop.stop_accepting.cancel();
    let (metrics, tasks) = (fixture.listener.metrics.clone(), fixture.listener.tasks.clone());
    fixture.finished().await;
    assert_eq!(tasks.drain(LONG).await, 0);
    assert_eq!(metrics.refused_total.with_label_values(&["no_request"]).get(), 2);
}

#[tokio::test]
async fn an_idle_connection_ends_at_the_idle_timeout() {
    let fixture = start(ListenerConfig { idle_timeout: SHORT * 4, ..quick() });
    let started = tokio::time::Instant::now();
    let mut stream = fixture.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    hello(&mut stream).await;
    assert_eq!(rest(&mut stream).await, "");
    assert!(started.elapsed() >= SHORT * 4, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_body_that_stalls_fails_in_time() {
    let mut fixture = start(quick());
    let mut stream = fixture.send("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf").await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("did not arrive in time"), "{answer}");
    assert_eq!(fixture.arrived.recv().await.unwrap().1.addr, stream.local_addr().unwrap());
}

#[tokio::test]
async fn an_answer_before_the_body_says_close() {
    let fixture = start(quick());
    let post = |path: &str, bytes: usize| format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {bytes}\r\n\r\n");
    let mut stream = fixture.send(&post("/", 100_000)).await;
    let head = rest(&mut stream).await;
    assert!(head.contains("connection: close") && head.ends_with("hello"), "{head}");
    for (path, bytes) in [("/body", 100_000), ("/", 10)] {
        let mut stream = fixture.send(&(post(path, bytes) + &"x".repeat(bytes))).await;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(timeout(LONG, stream.read_u8()).await.expect("an answer").unwrap().into());
        }
        assert!(head.starts_with("HTTP/1.1 200") && !head.contains("close"), "{path}: {head}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let fixture = start(ListenerConfig { max_head: 8 * 1024, ..quick() });
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n", "a".repeat(9 * 1024));
    let mut stream = fixture.send(&head).await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let mut fixture = start(quick());
    let stream = fixture.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let (kill, _) = fixture.arrived.recv().await.unwrap();
    assert_eq!(timeout(LONG, kill.wait()).await.expect("cut"), Reason::SlowReader);
    fixture.stop.stop_accepting.cancel();
    fixture.finished().await;
    drop(stream);
}

#[tokio::test]
async fn a_flood_on_an_upgraded_connection_is_ended() {
    let mut fixture = start(quick());
    let mut stream = upgraded(&fixture).await;
    let (kill, _) = fixture.arrived.recv().await.unwrap();
    let chunk = vec![b'p'; 64 * 1024];
    let flood = async { while stream.write_all(&chunk).await.is_ok() {} };
    timeout(LONG, flood).await.expect("the flood ends");
    assert_eq!(kill.killed(), Some(Reason::SlowReader));
    let error = fixture.ended.recv().await.unwrap();
    assert_eq!(error.get_ref().unwrap().downcast_ref(), Some(&Reason::SlowReader));
}

#[tokio::test]
async fn the_switch_from_the_extensions_ends_an_upgraded_connection() {
    let mut fixture = start(quick());
    let mut stream = upgraded(&fixture).await;
    let (kill, _) = fixture.arrived.recv().await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    hello(&mut stream).await;
    kill.kill(Reason::Overloaded);
    assert_eq!(rest(&mut stream).await, "");
    let error = fixture.ended.recv().await.unwrap();
    assert_eq!(error.get_ref().unwrap().downcast_ref(), Some(&Reason::Overloaded));
    fixture.stop.stop_accepting.cancel();
    fixture.finished().await;
}

#[tokio::test]
async fn a_panic_ends_only_its_connection() {
    let fixture = start(quick());
    let mut other = fixture.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    hello(&mut other).await;
    let mut unlucky = fixture.send("GET /panic HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(rest(&mut unlucky).await, "");
    other.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    hello(&mut other).await;
    hello(&mut fixture.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await).await;
}

#[tokio::test]
async fn above_the_limit_a_connection_gets_503() {
    let fixture = start(ListenerConfig { max_connections: 1, ..quick() });
    let mut first = fixture.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    hello(&mut first).await;
    let mut second = fixture.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(rest(&mut second).await.as_bytes(), accept::BUSY);
    assert_eq!(fixture.refused("connections"), 1);
    assert_eq!(fixture.listener.connections(), 1);
    fixture.listener.kill_all(Reason::Draining);
    rest(&mut first).await;
    fixture.listener.registry.emptied().await;
    hello(&mut fixture.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await).await;
}

#[tokio::test]
async fn above_the_limit_only_checks_are_answered() {
    let fixture = start(ListenerConfig { max_connections: 1, ..quick() });
    let mut first = fixture.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    hello(&mut first).await;
    for check in ["GET /health", "GET /ready", "GET /metrics", "GET /ready?verbose"] {
        let mut stream = fixture.send(&format!("{check} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{check}: {answer}");
    }
    // The head may arrive in pieces.
    let mut slow = fixture.send("GET /hea").await;
    tokio::time::sleep(SHORT / 4).await;
    slow.write_all(b"lth HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(rest(&mut slow).await.starts_with("HTTP/1.1 200"));
    for other in ["GET /healthy", "POST /health", "GET /", "", "GET /he"] {
        let mut stream = fixture
            .send(&if other.contains(' ') && other != "GET /he" {
                format!("{other} HTTP/1.1\r\nHost: x\r\n\r\n")
            } else {
                other.to_owned()
            })
            .await;
        assert_eq!(rest(&mut stream).await.as_bytes(), accept::BUSY, "{other:?}");
    }
    assert_eq!(fixture.listener.connections(), 1);
}

/// A configuration that limits loopback as a client.
fn counting(max_per_address: usize, proxy: &str) -> ListenerConfig {
    let proxies = Proxies { trusted: vec![proxy.parse().unwrap()], ..Proxies::default() };
    ListenerConfig { max_per_address, proxies, ..quick() }
}

#[tokio::test]
async fn an_address_above_its_limit_gets_429() {
    let fixture = start(counting(2, "192.0.2.1/32"));
    let mut mine = [fixture.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await, upgraded(&fixture).await];
    hello(&mut mine[0]).await;
    let mut third = fixture.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(rest(&mut third).await.as_bytes(), accept::CROWDED);
    assert_eq!(fixture.refused("connections_per_address"), 1);
    drop(mine);
    fixture.listener.registry.emptied().await;
    hello(&mut fixture.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await).await;
}

#[tokio::test]
async fn clients_of_a_trusted_proxy_are_limited_separately() {
    let fixture = start(counting(1, "127.0.0.0/8"));
    let ask = |client: &str| format!("GET /client HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 9.9.9.9, {client}\r\n\r\n");
    let mut one = fixture.send(&ask("203.0.113.1")).await;
    assert!(line(&mut one).await.ends_with("203.0.113.1 false;"));
    let mut other = fixture.send(&ask("203.0.113.2")).await;
    assert!(line(&mut other).await.ends_with("203.0.113.2 false;"));
    let mut again = fixture.send(&ask("203.0.113.1")).await;
    assert!(line(&mut again).await.ends_with("203.0.113.1 true;"), "one too many");
    // The same connection can carry a request of another client.
    again.write_all(ask("203.0.113.3").as_bytes()).await.unwrap();
    assert!(line(&mut again).await.ends_with("203.0.113.3 false;"));
    drop((one, other, again));
    fixture.listener.registry.emptied().await;
}

/// Reads a response up to the semicolon that ends its body.
async fn line(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with(';') {
        text.push(timeout(LONG, stream.read_u8()).await.expect("an answer").unwrap().into());
    }
    text
}

/// Without lingering, a connection closed while its peer still writes would be reset, and the answer lost.
#[tokio::test]
async fn a_peer_that_still_writes_receives_the_answer() {
    let fixture = start(quick());
    let mut stream = fixture.connect().await;
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Large: {}", "a".repeat(256 * 1024));
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..10 {
        if stream.write_all(&[b'a'; 1024]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer:?}");
}

#[tokio::test]
async fn a_stop_answers_requests_in_flight() {
    let mut fixture = start(quick());
    let mut idle = fixture.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    hello(&mut idle).await;
    fixture.arrived.recv().await.unwrap();
    let mut busy = fixture.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    fixture.arrived.recv().await.unwrap();
    fixture.stop.stop_accepting.cancel();
    assert_eq!(rest(&mut idle).await, "");
    assert!(TcpStream::connect(fixture.addr).await.is_err(), "the listener is closed");
    assert!(!fixture.served.is_finished());
    fixture.answer.add_permits(1);
    let answer = rest(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    fixture.finished().await;
}

#[tokio::test]
async fn the_second_step_of_a_stop_ends_connections() {
    let mut fixture = start(quick());
    let mut websocket = upgraded(&fixture).await;
    let mut waiting = fixture.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    fixture.arrived.recv().await.unwrap();
    fixture.arrived.recv().await.unwrap();
    fixture.stop.kill_all.cancel();
    assert_eq!(rest(&mut websocket).await, "");
    assert_eq!(rest(&mut waiting).await, "");
    let error = fixture.ended.recv().await.unwrap();
    assert_eq!(error.get_ref().unwrap().downcast_ref(), Some(&Reason::Draining));
    fixture.finished().await;
}
