//! The servers under test, each in its own process, so that descriptors and memory are only those of the server.

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::BARE;

/// The token for pushing.
const TOKEN: &str = "bench";
/// Time-out of requests and of the start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The kind of a server under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// This server.
    Orion,
    /// socketioxide on `axum::serve`.
    Bare,
    /// A program that only writes finished frames, with one write for all that is published together.
    Floor,
    /// The same with one write for each frame.
    FloorEach,
}

impl ServerKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Orion => "orion-server",
            Self::Bare => "bare socketioxide",
            Self::Floor => "floor",
            Self::FloorEach => "floor, one write for each frame",
        }
    }
}

/// A running server, which is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    pub kind: ServerKind,
    pub addr: SocketAddr,
    child: Child,
    http: reqwest::Client,
    /// The folder of data and log, which is kept over restarts.
    dir: TempDir,
}

impl Server {
    /// Starts a server with additional settings.
    pub async fn start(kind: ServerKind, settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("orion.toml"), settings).unwrap();
        let child = spawn(kind, 0, &dir);
        let http = reqwest::Client::builder().timeout(START_TIMEOUT).build().unwrap();
        let addr = listening(&dir).await;
        Self { kind, addr, child, http, dir }
    }

    /// Kills the process like `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts the server again with the same port and data. Returns when it listens.
    pub async fn restart(&mut self) {
        self.child = spawn(self.kind, self.addr.port(), &self.dir);
        assert_eq!(listening(&self.dir).await, self.addr);
    }

    /// Pushes a list of prices, then the signals one by one, as a source does. Other servers receive the events to emit.
    pub async fn push(&self, prices: &[Value], signals: &[Value]) {
        if self.kind != ServerKind::Orion {
            let as_emitted = |event: &'static str| move |body: &Value| json!([event, emitted(event, body)]);
            let events: Vec<_> =
                prices.iter().map(as_emitted("price_update")).chain(signals.iter().map(as_emitted("signal"))).collect();
            return self.post("/publish", &json!(events)).await;
        }
        if !prices.is_empty() {
            self.post("/api/prices", &json!({ "prices": prices })).await;
        }
        for signal in signals {
            self.post("/api/signals", signal).await;
        }
    }

    async fn post(&self, path: &str, body: &Value) {
        let url = format!("http://{}{path}", self.addr);
        let response = self.http.post(url).bearer_auth(TOKEN).json(body).send().await.unwrap();
        let status = response.status();
        assert!(status.is_success(), "{path}: {status} {}", response.text().await.unwrap());
    }

    pub async fn get(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.addr);
        self.http.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Returns the sum of all series of a metric.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await;
        let series =
            text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Returns the id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the resident memory, in MB.
    pub fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// Returns the number of open file descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns the object that the server emits for a push, with the same fields and so the same size.
fn emitted(event: &str, pushed: &Value) -> Value {
    let mut object = pushed.clone();
    let more = match event {
        "price_update" => json!({
            "price": pushed["bid"], "timestamp": "2026-09-01T10:30:00.000Z", "change": 0.25, "change_percent": 0.0203,
            "quality": "live", "source": "push",
        }),
        _ => json!({
            "killzone_active": true, "expires_at": "2026-09-01T10:35:00.000Z", "invalidation": null, "source": "push",
            "updated_at": "2026-09-01T10:30:00.000Z", "price": pushed["entry_price"],
        }),
    };
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object
}

fn log_path(dir: &TempDir) -> std::path::PathBuf {
    dir.path().join("log")
}

/// Returns the command that starts this program as another server.
fn itself(argument: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(argument);
    command
}

fn spawn(kind: ServerKind, port: u16, dir: &TempDir) -> Child {
    let mut command = match kind {
        ServerKind::Orion => Command::new(env!("CARGO_BIN_EXE_orion-server")),
        ServerKind::Bare => itself(BARE),
        ServerKind::Floor | ServerKind::FloorEach => itself("--floor"),
    };
    command.env_clear();
    if kind == ServerKind::FloorEach {
        command.env("FLOOR_WRITES_EACH", "1");
    }
    command
        .env("PORT", port.to_string())
        .env("ORION_HOST", "127.0.0.1")
        .env("ORION_LOG_FORMAT", "json")
        .env("ORION_SOURCES", "none")
        .env("ORION_PUBLISH_INTERVAL", "100ms")
        .env("ORION_INGEST_TOKEN", TOKEN)
        .current_dir(dir.path())
        .stdin(Stdio::null())
        // The log goes to a file, as in production.
        .stdout(File::create(log_path(dir)).unwrap());
    command.spawn().unwrap()
}

/// Waits until the started server listens, and returns its address.
async fn listening(dir: &TempDir) -> SocketAddr {
    let listens = async {
        loop {
            let log = std::fs::read_to_string(log_path(dir)).unwrap();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let found = lines
                .filter(|line| line["message"] == "listening")
                .find_map(|line| line["address"].as_str().and_then(|address| address.parse().ok()));
            if let Some(addr) = found {
                return addr;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(START_TIMEOUT, listens).await.expect("the server starts")
}
