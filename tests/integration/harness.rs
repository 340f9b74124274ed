//! A real process on a data directory of its own, and clients that speak to it over real sockets.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub(crate) const TOKEN: &str = "a-token-for-tests";

/// How long anything may take that is expected to happen.
pub(crate) const PATIENCE: Duration = crate::support::PATIENCE;

/// How often something in the long form of a test: the environment variable `name`, or the short form's number.
pub(crate) fn times(name: &str, short: usize) -> usize {
    std::env::var(name).map_or(short, |number| number.parse().unwrap())
}

/// Prints a line of a long test's report.
pub(crate) fn report(line: &str) {
    eprintln!("{line}");
}

/// A new data directory; the second value removes it.
pub(crate) fn data_dir() -> (PathBuf, tempfile::TempDir) {
    let parent = tempfile::tempdir().unwrap();
    (parent.path().join("data"), parent)
}

fn command(dir: &Path, env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orion-server"));
    command
        .env_clear()
        .current_dir(std::env::temp_dir())
        .env("ORION_HOST", "127.0.0.1")
        .env("PORT", "0")
        .env("ORION_DATA_DIR", dir)
        .env("ORION_SOURCES", "none")
        .env("ORION_INGEST_TOKEN", TOKEN)
        .env("ORION_PUBLISH_INTERVAL", "100ms")
        .env("ORION_LOG", "warn,orion_server::app=info")
        .env("ORION_LOG_FORMAT", "json")
        .envs(env.iter().copied())
        .kill_on_drop(true);
    command
}

/// A running process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// From the start of the process to the first 200 of `/ready`.
    pub(crate) ready_after: Duration,
    child: Child,
    /// Empties the pipe of its log.
    _log: JoinSet<()>,
}

impl Server {
    /// Starts a process and waits until it is ready.
    pub(crate) async fn start(dir: &Path, env: &[(&str, &str)]) -> Self {
        let began = Instant::now();
        let mut child = command(dir, env).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                let entry: Value = serde_json::from_str(&line).unwrap();
                if entry["message"] == "listening" {
                    return entry["address"].as_str().unwrap().parse().unwrap();
                }
            }
            panic!("the process ended before it listened");
        };
        let address: SocketAddr = timeout(PATIENCE, listening).await.unwrap();
        let mut log = JoinSet::new();
        log.spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("\"ERROR\"") || line.contains("panicked") {
                    report(&line);
                }
            }
        });
        let mut server = Self { address, ready_after: Duration::ZERO, child, _log: log };
        let api = server.api();
        until("it is ready", async || api.get("/ready").await.0 == StatusCode::OK).await;
        server.ready_after = began.elapsed();
        server
    }

    /// Runs a process that is expected to end by itself at once.
    pub(crate) async fn refused(dir: &Path, env: &[(&str, &str)]) -> Output {
        timeout(PATIENCE, command(dir, env).output()).await.expect("it ends by itself").unwrap()
    }

    pub(crate) fn api(&self) -> Api {
        Api { http: reqwest::Client::builder().timeout(PATIENCE).build().unwrap(), address: self.address }
    }

    /// Sum of all series of a metric whose labels contain `labels`.
    pub(crate) async fn metric(&self, name: &str, labels: &str) -> f64 {
        crate::support::metric(&reqwest::Client::new(), self.address, name, labels).await
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM; the process has to end cleanly.
    pub(crate) async fn stop(mut self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it drains in time").unwrap();
        assert_eq!(status.code(), Some(0));
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The HTTP side of one process.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    address: SocketAddr,
}

impl Api {
    /// Sends a request and reads its answer; an error when the process went away.
    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> reqwest::Result<(StatusCode, Value)> {
        let request = self.http.request(method, format!("http://{}{path}", self.address)).bearer_auth(TOKEN);
        let request = if body.is_null() { request } else { request.json(body) };
        let answer = request.send().await?;
        let status = answer.status();
        Ok((status, answer.json().await?))
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(Method::GET, path, &Value::Null).await.unwrap()
    }

    pub(crate) async fn push(&self, body: &Value) -> (StatusCode, Value) {
        self.send(Method::POST, "/api/signals", body).await.unwrap()
    }

    pub(crate) async fn patch(&self, id: &str, body: &Value) -> (StatusCode, Value) {
        self.send(Method::PATCH, &format!("/api/signals/{id}"), body).await.unwrap()
    }

    /// Where the log stands.
    pub(crate) async fn cursor(&self) -> String {
        self.get("/api/signals?limit=1").await.1["cursor"].as_str().unwrap().to_owned()
    }

    /// The changes of a signal as `(status, reason)`.
    pub(crate) async fn history(&self, id: &str) -> Vec<(String, Option<String>)> {
        let (_, life) = self.get(&format!("/api/signals/{id}")).await;
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let states = life["history"].as_array().map(Vec::as_slice).unwrap_or_default();
        states.iter().map(|state| (text(&state["status"]).unwrap(), text(&state["reason"]))).collect()
    }
}

/// A whole signal to push.
pub(crate) fn signal(id: &str) -> Value {
    json!({
        "id": id, "direction": "long", "symbol": "EURUSD", "entry_price": 1.085, "stop_loss": 1.082,
        "take_profits": [1.088, 1.092, 1.096], "reason": "MSS+FVG setup", "confidence": 0.85, "killzone": "london",
    })
}

/// One event of a log, as far as these tests compare it: number, signal, status.
pub(crate) type LogEntry = (u64, String, String);

/// Every event of the log in a data directory that no process has.
pub(crate) async fn read_log(dir: &Path) -> Vec<LogEntry> {
    use orion_server::{pipeline::clock, store, telemetry::Metrics};
    let options = store::Options {
        messages_per_user: 50,
        message_retention: Duration::from_hours(24),
        max_messages: 1_000_000,
        signal_retention: Duration::from_hours(24),
        bar_retention: Duration::from_hours(24),
        recent_since: clock::wall(),
        clock: clock::wall,
    };
    let (store, _) = store::Store::open(dir, options, Metrics::new().unwrap().into()).unwrap();
    let (reader, mut log) = (store.reader(), Vec::new());
    loop {
        let after = log.last().map_or(0, |(seq, ..): &LogEntry| *seq);
        let page = reader.events_after(after, 1_000).await.unwrap();
        if page.is_empty() {
            store.close().await.unwrap();
            return log;
        }
        log.extend(
            page.into_iter()
                .map(|(seq, signal)| (seq, signal.id.as_str().to_owned(), signal.state.status().name().to_owned())),
        );
    }
}

/// Number of the event that a cursor points behind.
pub(crate) fn seq(cursor: &str) -> u64 {
    cursor.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// How a client asks for what it missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Native, `?since=`.
    Query,
    /// Native, `since` in a `subscribe` frame.
    Frame,
    /// Socket.IO, `since` in the handshake's `auth`.
    Auth,
    /// Socket.IO, `since` in `subscribe`.
    Subscribe,
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [Self::Query, Self::Frame, Self::Auth, Self::Subscribe];

    fn is_native(self) -> bool {
        matches!(self, Self::Query | Self::Frame)
    }
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Signal { signal: Value, cursor: String },
    Subscribed { cursor: String, recovered: Option<bool> },
    Price(Value),
    Other(Value),
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A dashboard that subscribes to everything. Dropping it cuts the connection without a goodbye.
#[derive(Debug)]
pub(crate) struct Client {
    socket: Socket,
    way: Way,
}

impl Client {
    /// Connects and asks for what was missed since `since`; an error when the process is away.
    pub(crate) async fn connect(address: SocketAddr, way: Way, since: Option<&str>) -> Result<Self, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let path = match way {
            Way::Query => since.map_or("/ws/signals".into(), |since| format!("/ws/signals?since={since}")),
            Way::Frame => "/ws/signals".into(),
            Way::Auth | Way::Subscribe => "/socket.io/?EIO=4&transport=websocket".into(),
        };
        let connecting = tokio_tungstenite::connect_async(format!("ws://{address}{path}"));
        let (socket, _) = timeout(PATIENCE, connecting).await.map_err(|e| text(&e))?.map_err(|e| text(&e))?;
        let mut client = Self { socket, way };
        let asked = since.map_or(json!({}), |since| json!({ "since": since }));
        match way {
            Way::Query => {}
            Way::Frame if since.is_none() => {}
            Way::Frame => client.say(json!({ "type": "subscribe", "since": since }).to_string()).await?,
            Way::Auth => {
                client.connect_namespace(&asked).await?;
                client.say("42[\"subscribe\"]".into()).await?;
            }
            Way::Subscribe => {
                client.connect_namespace(&json!({})).await?;
                client.say(format!("42{}", json!(["subscribe", asked]))).await?;
            }
        }
        Ok(client)
    }

    /// Connects to `/` and waits for the answer, as every Socket.IO client does before it says anything else.
    async fn connect_namespace(&mut self, auth: &Value) -> Result<(), String> {
        self.say(format!("40{auth}")).await?;
        while let Some(Ok(message)) = self.socket.next().await {
            if message.to_text().is_ok_and(|text| text.starts_with("40")) {
                return Ok(());
            }
        }
        Err("it ended before it was connected".into())
    }

    pub(crate) async fn say(&mut self, text: String) -> Result<(), String> {
        self.socket.send(Message::text(text)).await.map_err(|error| error.to_string())
    }

    /// The next thing that it is told; `None` when the connection has ended.
    pub(crate) async fn told(&mut self) -> Option<Told> {
        loop {
            let Message::Text(text) = self.socket.next().await?.ok()? else { continue };
            if self.way.is_native() {
                let frame: Value = serde_json::from_str(&text).unwrap();
                let kind = frame["type"].as_str().unwrap_or_default().to_owned();
                let payload = if kind == "subscribed" { frame.clone() } else { frame["payload"].clone() };
                return Some(read(&kind, payload, &frame).unwrap_or(Told::Other(frame)));
            }
            match text.as_bytes() {
                [b'2', ..] => self.say("3".into()).await.ok()?,
                [b'4', b'2', ..] => {
                    let event: Value = serde_json::from_str(&text[2..]).unwrap();
                    let kind = event[0].as_str().unwrap().to_owned();
                    return Some(read(&kind, event[1].clone(), &event[2]).unwrap_or(Told::Other(event)));
                }
                // Opening and connecting.
                _ => {}
            }
        }
    }

    /// Everything up to and with `subscribed`: the signals with their cursors, and the answer.
    pub(crate) async fn until_subscribed(&mut self) -> (Vec<(Value, String)>, String, Option<bool>) {
        let all = async {
            let mut signals = Vec::new();
            loop {
                match self.told().await.expect("the connection stays") {
                    Told::Signal { signal, cursor } => signals.push((signal, cursor)),
                    Told::Subscribed { cursor, recovered } => return (signals, cursor, recovered),
                    Told::Price(_) | Told::Other(_) => {}
                }
            }
        };
        timeout(PATIENCE, all).await.expect("subscribed in time")
    }
}

fn read(kind: &str, payload: Value, meta: &Value) -> Option<Told> {
    let cursor = |value: &Value| value["cursor"].as_str().map(ToOwned::to_owned);
    match kind {
        "signal" => Some(Told::Signal { signal: payload, cursor: cursor(meta)? }),
        "price_update" => Some(Told::Price(payload)),
        "subscribed" => Some(Told::Subscribed { cursor: cursor(&payload)?, recovered: payload["recovered"].as_bool() }),
        _ => None,
    }
}
