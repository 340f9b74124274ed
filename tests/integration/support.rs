//! The real binary as a process, native clients, and what all tests need.

#![allow(dead_code, reason = "not every test module needs all of it")]

mod socketio;
pub(crate) mod users;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

pub(crate) use socketio::{Ended, Packet, Polling, Protocol, Socket, upgrade};

/// The ingest token of every server that is started here.
pub(crate) const TOKEN: &str = "integration-token";
/// Longest wait for something that has to come. Only a test that fails waits so long: generous, because several suites may share
/// a machine of few cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Waits for what has to come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = timeout(PATIENCE, future).await else { panic!("in vain: {what}") };
    value
}

/// The binary under test, with an environment of its own and nothing configured.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orion-server"));
    command.env_clear().env("ORION_LOG_FORMAT", "json").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A running server process. Killed when dropped.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) http: reqwest::Client,
    child: Child,
    log: Log,
    data: Option<tempfile::TempDir>,
}

/// What the process has logged so far.
#[derive(Clone)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Receiver<usize>,
}

impl Log {
    fn of(output: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (counted, count) = watch::channel(0);
        let log = Self { lines: lines.clone(), count };
        tokio::spawn(async move {
            let mut reader = BufReader::new(output).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                lines.lock().push(line);
                counted.send_modify(|count| *count += 1);
            }
        });
        log
    }

    /// The first line with this message, now or later.
    async fn line(&self, message: &str) -> Option<Value> {
        let mut count = self.count.clone();
        let mut seen = 0;
        loop {
            count.borrow_and_update();
            let found = {
                let lines = self.lines.lock();
                let mut new = lines[seen..].iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
                let found = new.find(|line| line["message"] == message);
                seen = lines.len();
                found
            };
            if found.is_some() {
                return found;
            }
            count.changed().await.ok()?;
        }
    }
}

impl Server {
    /// A server for pushes only, that publishes often.
    pub(crate) async fn push_only() -> Self {
        Self::start(&[]).await
    }

    /// A server with these settings on top: push only unless they say otherwise.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let mut env = BTreeMap::from([
            ("ORION_SOURCES", "none"),
            ("ORION_PUBLISH_INTERVAL", "100ms"),
            ("ORION_INGEST_TOKEN", TOKEN),
            // Tests push as fast as they can.
            ("ORION_LIMITS__PUSHES_PER_SECOND", "0"),
        ]);
        env.extend(settings.iter().copied());
        Self::start_with(env).await
    }

    /// A server with these settings and no others. An empty value leaves a setting out.
    pub(crate) async fn start_with(env: BTreeMap<&str, &str>) -> Self {
        Self::launch(binary(), env).await
    }

    /// The same by another command, which becomes the server.
    pub(crate) async fn launch(mut command: Command, env: BTreeMap<&str, &str>) -> Self {
        let data = tempfile::tempdir().unwrap();
        command.current_dir(data.path()).env("PORT", "0").env("ORION_HOST", "127.0.0.1").stdout(Stdio::piped());
        command.envs(env.into_iter().filter(|(_, value)| !value.is_empty()));
        let mut child = command.spawn().unwrap();
        let log = Log::of(child.stdout.take().unwrap());
        let listening = soon("the server listens", log.line("listening")).await.expect("the server starts");
        let addr = listening["address"].as_str().unwrap().parse().unwrap();
        let http = reqwest::Client::builder().build().unwrap();
        Self { addr, http, child, log, data: Some(data) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.http.get(self.url(path))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.http.post(self.url(path)).bearer_auth(TOKEN).json(body)).await
    }

    /// Pushes a signal that has to be taken.
    pub(crate) async fn push(&self, body: &Value) {
        let (status, answer) = self.post("/api/signals", body).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Sum of all series of a metric whose labels contain `labels`.
    pub(crate) async fn metric(&self, name: &str, labels: &str) -> f64 {
        metric(&self.http, self.addr, name, labels).await
    }

    /// Waits until a metric says so. There is no event across the border of a process: it is asked again and again.
    pub(crate) async fn until(&self, name: &str, labels: &str, holds: impl Fn(f64) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.metric(name, labels).await;
            if holds(value) {
                return;
            }
            assert!(Instant::now() < deadline, "in vain: {name} of '{labels}' is {value}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Resident memory, in MB.
    pub(crate) fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id().unwrap())).unwrap().count()
    }

    /// Processor time used so far, in the kernel and outside.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id().unwrap())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        // The kernel tells it in hundredths of a second, whatever its own clock is.
        Duration::from_millis(ticks * 10)
    }

    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    pub(crate) fn interrupt(&self) {
        self.signal("-INT");
    }

    pub(crate) fn kill(&self) {
        self.signal("-KILL");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub(crate) async fn exit(&mut self) -> ExitStatus {
        soon("the server exits", self.child.wait()).await.unwrap()
    }

    /// The first line with this message, now or later.
    pub(crate) async fn logged(&self, message: &str) -> Value {
        soon(message, self.log.line(message)).await.expect(message)
    }

    /// Every line with this message that was logged so far.
    pub(crate) fn lines(&self, message: &str) -> Vec<Value> {
        let lines = self.log.lines.lock();
        let parsed = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        parsed.filter(|line| line["message"] == message).collect()
    }

    /// Everything that was logged so far.
    pub(crate) fn log_text(&self) -> String {
        self.log.lines.lock().join("\n")
    }

    /// Every line above `info`.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let lines = self.log.lines.lock();
        let quiet = |line: &&String| {
            let level = serde_json::from_str::<Value>(line).map(|line| line["level"].clone()).unwrap_or_default();
            ["INFO", "DEBUG", "TRACE"].iter().any(|quiet| level == *quiet)
        };
        lines.iter().filter(|line| !quiet(line)).cloned().collect()
    }

    /// Stops cleanly; anything else fails the test.
    pub(crate) async fn stop(mut self) {
        self.terminate();
        assert_eq!(self.exit().await.code(), Some(0));
        drop(self.data.take());
    }
}

/// Sum of all series of a metric whose labels contain `labels`.
pub(crate) async fn metric(http: &reqwest::Client, addr: SocketAddr, name: &str, labels: &str) -> f64 {
    let text = http.get(format!("http://{addr}/metrics")).send().await.unwrap().text().await.unwrap();
    let series = text.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels)
    });
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// How many descriptors this process may have.
pub(crate) fn descriptor_limit() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX)
}

/// A signal as the documents write it.
pub(crate) fn signal(id: &str) -> Value {
    json!({
        "id": id, "status": "pending", "direction": "long", "symbol": "EURUSD", "entry_time": "2026-09-01T10:30:00.000Z",
        "entry_price": 1.085, "stop_loss": 1.082, "take_profits": [1.088, 1.092, 1.096],
        "tp_modes": ["TP1 30%", "TP2 40%", "Runner 30%"], "reason": "MSS+FVG setup", "confidence": 0.85,
        "rr_target": 2.5, "killzone": "london",
    })
}

/// Connections that a flood comes over.
const PUSHERS: usize = 16;

/// Pushes signals that have ended already as fast as they are taken, each with so many letters in its reason. Returns
/// when all of them are acknowledged.
pub(crate) async fn flood(addr: SocketAddr, name: &str, count: usize, letters: usize) {
    let reason = "x".repeat(letters);
    let mut pushers = JoinSet::new();
    for pusher in 0..PUSHERS {
        let mut body = signal("");
        body["status"] = json!("confirmed");
        body["reason"] = json!(reason);
        let name = name.to_owned();
        pushers.spawn(async move {
            let mut client = Native::connect(addr, "/api/websocket").await;
            client.send(&json!({"type": "auth", "token": TOKEN})).await;
            let mine = (pusher..count).step_by(PUSHERS);
            for number in mine.clone() {
                body["id"] = json!(format!("{name}-{number}"));
                client.send(&json!({"type": "signal", "data": body})).await;
            }
            for answer in 0..=mine.count() {
                let told = soon("the answer to a push", client.next()).await.unwrap();
                assert_eq!(told["success"], true, "answer {answer}: {told}");
            }
        });
    }
    pushers.join_all().await;
}

/// How many decimals a number is written with.
pub(crate) fn decimals(number: &str) -> usize {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let written = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len()) as i64;
    (written - exponent.parse::<i64>().unwrap()).max(0) as usize
}

/// The place in the log that a cursor names.
pub(crate) fn seq(cursor: &Value) -> u64 {
    cursor.as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap()
}

/// A TCP connection whose receive buffer is so small that whoever stops reading is noticed.
pub(crate) async fn narrow(addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(addr).await.unwrap()
}

/// Opens a WebSocket with further headers.
pub(crate) async fn open(
    stream: TcpStream,
    addr: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<WebSocketStream<TcpStream>, Error> {
    let mut request = format!("ws://{addr}{path}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let opened = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
    opened.map(|(socket, _)| socket)
}

/// The status with which a handshake was refused.
pub(crate) async fn refusal(addr: SocketAddr, path: &str, headers: &[(&'static str, &str)]) -> (u16, Value) {
    let stream = TcpStream::connect(addr).await.unwrap();
    match open(stream, addr, path, headers).await {
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            (response.status().as_u16(), serde_json::from_slice(body).unwrap_or_default())
        }
        other => panic!("{path} was not refused: {other:?}"),
    }
}

/// A native client.
pub(crate) struct Native(pub(crate) WebSocketStream<TcpStream>);

impl Native {
    pub(crate) async fn connect(addr: SocketAddr, path: &str) -> Self {
        Self(open(TcpStream::connect(addr).await.unwrap(), addr, path, &[]).await.unwrap())
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.say(frame.to_string()).await;
    }

    pub(crate) async fn say(&mut self, text: impl Into<String>) {
        assert!(self.try_say(text).await, "the server is gone");
    }

    /// Whether the server was still there.
    pub(crate) async fn try_say(&mut self, text: impl Into<String>) -> bool {
        self.0.send(Message::text(text.into())).await.is_ok()
    }

    /// The next frame, or the close code with which the server ended it; 1006 where it just broke.
    pub(crate) async fn next(&mut self) -> Result<Value, u16> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    // The library answers with the next read.
                    self.0.next().await;
                    return Err(frame.map_or(1005, |frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// The next frame of a type.
    pub(crate) async fn frame(&mut self, kind: &str) -> Value {
        soon(kind, async {
            loop {
                let frame = self.next().await.unwrap_or_else(|code| panic!("closed with {code} before {kind}"));
                if frame["type"] == kind {
                    return frame;
                }
            }
        })
        .await
    }
}
