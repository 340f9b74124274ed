//! Load test of a reconnect storm: thousands of Socket.IO clients connect, subscribe and receive their snapshot. The server is
//! killed as by `kill -9` and started again on the same port, and all clients reconnect at once, while another client keeps
//! requesting `/health`. After three such rounds, three more follow in which all clients leave and reconnect to the same process,
//! which has to release their resources. The same load runs against a bare socketioxide server. Server and load share the
//! machine, so compare only within one run.
//!
//! The run fails when a promise is broken: a client has no complete snapshot, a request to `/health` is not answered, or
//! descriptors, connections or memory are not released.
#![allow(missing_docs, missing_debug_implementations, unreachable_pub, reason = "a program, not a library")]
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints its findings")]
#![allow(clippy::disallowed_methods, reason = "measures time, and has tasks of its own")]

mod load;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use load::client::Client;
use load::process::{Server, ServerKind};
use load::{Mode, Promises, Spread};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

const CLIENTS: usize = 8_000;
const ROUNDS: usize = 3;
/// Descriptors of a process that are not used by clients.
const RESERVE: u64 = 250;
/// Clients reconnect within this time after the server listens.
const JITTER: Duration = Duration::from_millis(100);
/// Pause before a failed connection is tried again.
const PAUSE: Duration = Duration::from_millis(100);
/// After this time without an arrival, no further client is expected; the bare server always leaves some unanswered.
const SILENCE: Duration = Duration::from_secs(10);
const SILENCE_OF_BARE: Duration = Duration::from_secs(3);
const SYMBOLS: [&str; 11] =
    ["EURUSD", "GBPUSD", "USDJPY", "XAUUSD", "US30", "NAS100", "SPX500", "MNQ", "NQ", "MES", "ES"];
/// The number of signals in a snapshot.
const SIGNALS: usize = 10;
/// From this number of clients on, it is judged what memory is given back: for fewer, the code that is loaded weighs more.
const MANY: usize = 1_000;
/// The largest ratio of memory a minute after all clients have left, against the start.
const MAX_KEPT: f64 = 1.2;
/// The largest ratio of memory with all clients connected, at the end against the first time. The allocator keeps some freed
/// memory; leaked clients would double it.
const MAX_DRIFT: f64 = 1.5;

fn main() -> ExitCode {
    load::run("storm", program)
}

async fn program(mode: Mode) -> Promises {
    let room = orion_server::listener::raise_limit().saturating_sub(RESERVE) as usize;
    let wanted = mode.choose(CLIENTS, 200);
    let clients = wanted.min(room);
    if clients < wanted {
        println!("the limit of file descriptors leaves room for {clients} clients instead of {wanted}");
    }
    let mut promises = Promises::default();
    let ours = rounds(ServerKind::Orion, clients, &mut promises).await;
    let bare = rounds(ServerKind::Bare, clients, &mut promises).await;
    println!();
    for (what, of) in [("back after the restart", 0), ("with the start itself", 1), ("back to the same process", 2)] {
        let median = |times: &[[Duration; 3]]| {
            let mut times: Vec<_> = times.iter().map(|round| round[of].as_secs_f64()).collect();
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        };
        let (ours, bare) = (median(&ours), median(&bare));
        println!("{what}, medians: {ours:.2} s beside {bare:.2} s of the bare server, {:.2} times", ours / bare);
    }
    promises
}

/// Returns the times of each round: until all clients are back after a restart, the same including the start, and until all are
/// back after they have left by themselves.
async fn rounds(kind: ServerKind, count: usize, promises: &mut Promises) -> Vec<[Duration; 3]> {
    println!("\n{}, {count} clients", kind.name());
    let mut server = Server::start(kind, "").await;
    for number in 0..SIGNALS {
        server.push(&[], &[signal(number)]).await;
    }
    let mut crowd = Crowd::new(server.addr, count);
    let mut prepared = prepare(&server).await;
    let first = crowd.storm(&server).await;
    println!("  first: {first}");
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        let killed = Instant::now();
        crowd.expect_present(kind, promises);
        server.kill();
        crowd.leave().await;
        let started = Instant::now();
        server.restart().await;
        let start = started.elapsed();
        if kind == ServerKind::Bare {
            // The bare server has no log.
            for number in 0..SIGNALS {
                server.push(&[], &[signal(number)]).await;
            }
        }
        prepared = prepare(&server).await;
        let ready = killed.elapsed();
        let storm = crowd.storm(&server).await;
        println!("  round {round}: killed and ready after {:.2} s; {storm}", ready.as_secs_f64());
        crowd.check(kind, &storm, promises);
        times.push([storm.all, start + storm.all, Duration::ZERO]);
    }
    let mut full = Vec::new();
    for (round, times) in times.iter_mut().enumerate() {
        full.push(server.resident());
        crowd.expect_present(kind, promises);
        crowd.leave().await;
        let left = prepared.returned(&server, kind).await;
        if kind == ServerKind::Orion && round == 0 && count >= MANY {
            let kept = prepared.memory_kept(&server).await;
            promises.check(kept <= MAX_KEPT, format!("a minute later memory is {kept:.2} times that of the start"));
        }
        let (full, empty) = (full[round], server.resident());
        println!("  all have left: {left}; memory {full:.1} → {empty:.1} MB (at the start {:.1})", prepared.memory);
        if kind == ServerKind::Orion {
            promises.check(left.is_back, format!("not everything is given back: {left}"));
        }
        let storm = crowd.storm(&server).await;
        println!("  back: {storm}");
        crowd.check(kind, &storm, promises);
        times[2] = storm.all;
    }
    full.push(server.resident());
    if kind == ServerKind::Orion {
        let drift = full[ROUNDS] / full[0];
        promises.check(drift <= MAX_DRIFT, format!("memory drifts over the rounds: {full:.0?} MB"));
    }
    println!("  memory with all of them, round after round: {full:.0?} MB");
    times
}

/// The state of a server before clients connect.
struct Prepared {
    descriptors: usize,
    memory: f64,
}

/// Pushes the prices, waits until a snapshot contains all of them, and measures the resources of the server.
async fn prepare(server: &Server) -> Prepared {
    let prices = SYMBOLS.map(|symbol| json!({"symbol": symbol, "bid": 1_000, "ask": 1_002}));
    server.push(&prices, &[]).await;
    // The bare server knows its prices at once.
    if server.kind == ServerKind::Orion {
        while known_prices(server).await < SYMBOLS.len() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Prepared { descriptors: server.descriptors(), memory: server.resident() }
}

async fn known_prices(server: &Server) -> usize {
    let known: Value = serde_json::from_str(&server.get("/api/prices").await).unwrap();
    known["prices"].as_array().unwrap().len()
}

/// The resources that are still used when all clients have left.
struct Left {
    is_back: bool,
    descriptors: (usize, usize),
    connections: f64,
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (before, now) = self.descriptors;
        write!(f, "{before} → {now} descriptors, {} connections", self.connections)
    }
}

impl Prepared {
    /// Waits a minute at most until memory is given back. Returns the ratio of memory against the start.
    async fn memory_kept(&self, server: &Server) -> f64 {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let kept = server.resident() / self.memory;
            if kept <= MAX_KEPT || Instant::now() > deadline {
                return kept;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits, with a limit, until the resources are released.
    async fn returned(&self, server: &Server, kind: ServerKind) -> Left {
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let now = server.descriptors();
            let connections = if kind == ServerKind::Orion { server.metric("orion_connections").await } else { 0.0 };
            // Our own requests use one or two connections.
            let is_back = now <= self.descriptors + 2 && connections == 0.0;
            if is_back || Instant::now() > patience {
                return Left { is_back, descriptors: (self.descriptors, now), connections };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn signal(number: usize) -> Value {
    json!({
        "id": format!("s-{number}"), "status": "confirmed", "direction": "long", "symbol": "EURUSD",
        "entry_time": "2026-09-01T10:30:00.000Z", "entry_price": 1.085, "stop_loss": 1.082,
        "take_profits": [1.088, 1.092, 1.096], "tp_modes": ["TP1 30%", "TP2 40%", "Runner 30%"],
        "reason": "MSS+FVG setup", "confidence": 0.85, "rr_target": 2.5, "killzone": "london",
    })
}

/// What the clients have to do.
#[derive(Debug, Clone, Copy)]
enum Scene {
    /// Be connected; each storm has a number.
    Connect(usize),
    /// Be disconnected.
    Leave,
}

/// All clients.
struct Crowd {
    count: usize,
    addr: SocketAddr,
    scene: watch::Sender<Scene>,
    storms: usize,
    arrivals: mpsc::Receiver<Arrival>,
    present: Arc<AtomicUsize>,
    _clients: JoinSet<()>,
}

/// A client that has received its snapshot.
struct Arrival {
    at: Instant,
    tries: usize,
    is_whole: bool,
}

/// The result of a storm.
struct Storm {
    all: Duration,
    arrived: usize,
    whole: usize,
    tries: usize,
    /// How long requests to `/health` took, and how many were not answered.
    health: Spread,
    refused: usize,
    memory: f64,
}

impl std::fmt::Display for Storm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} have their snapshot after {:.2} s, {} tries; an outsider's /health: {} answers, {}, {} without; {:.0} MB",
            self.whole,
            self.all.as_secs_f64(),
            self.tries,
            self.health.count,
            self.health,
            self.refused,
            self.memory
        )
    }
}

impl Crowd {
    fn new(addr: SocketAddr, count: usize) -> Self {
        let (scene, watching) = watch::channel(Scene::Leave);
        let (arrived, arrivals) = mpsc::channel(count);
        let present = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for number in 0..count {
            clients.spawn(live(number, addr, watching.clone(), arrived.clone(), present.clone()));
        }
        Self { count, addr, scene, storms: 0, arrivals, present, _clients: clients }
    }

    /// Lets all clients connect, and waits until they have their snapshots.
    async fn storm(&mut self, server: &Server) -> Storm {
        self.storms += 1;
        let began = Instant::now();
        self.scene.send_replace(Scene::Connect(self.storms));
        let (over, end) = watch::channel(false);
        let outsider = tokio::spawn(ask_for_health(self.addr, end));
        let (mut all, mut arrived, mut whole, mut tries) = (Duration::ZERO, 0, 0, 0);
        let silence = if server.kind == ServerKind::Bare { SILENCE_OF_BARE } else { SILENCE };
        while arrived < self.count {
            let Ok(Some(arrival)) = tokio::time::timeout(silence, self.arrivals.recv()).await else { break };
            arrived += 1;
            tries += arrival.tries;
            whole += usize::from(arrival.is_whole);
            all = all.max(arrival.at - began);
        }
        over.send_replace(true);
        let (answers, refused) = outsider.await.unwrap();
        // The bare server loses some clients; requests while waiting for those do not belong to the storm.
        let answers = answers.into_iter().filter(|(asked, _)| *asked < began + all).map(|(_, took)| took).collect();
        Storm { all, arrived, whole, tries, health: Spread::of(answers), refused, memory: server.resident() }
    }

    fn check(&self, kind: ServerKind, storm: &Storm, promises: &mut Promises) {
        if kind == ServerKind::Orion {
            let count = self.count;
            promises.check(storm.arrived == count, format!("{} of {count} never came back", count - storm.arrived));
            promises
                .check(storm.whole == storm.arrived, format!("{} snapshots have holes", storm.arrived - storm.whole));
            promises.check(storm.refused == 0, format!("/health was not answered {} times", storm.refused));
            promises.check(storm.health.count > 0, "/health was never answered");
        }
    }

    /// Checks that no client was disconnected.
    fn expect_present(&self, kind: ServerKind, promises: &mut Promises) {
        let present = self.present.load(Ordering::SeqCst);
        promises.check(kind == ServerKind::Bare || present == self.count, format!("{} were cut", self.count - present));
    }

    /// Lets all clients disconnect, and waits until they have.
    async fn leave(&mut self) {
        self.scene.send_replace(Scene::Leave);
        while self.present.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Clients that were missing when a storm ended may have arrived meanwhile.
        while self.arrivals.try_recv().is_ok() {}
    }
}

/// Runs a client, which connects and disconnects as the phase demands.
async fn live(
    number: usize,
    addr: SocketAddr,
    mut scene: watch::Receiver<Scene>,
    arrived: mpsc::Sender<Arrival>,
    present: Arc<AtomicUsize>,
) {
    let mut joined = 0;
    loop {
        let now =
            scene.wait_for(|scene| matches!(scene, Scene::Connect(storm) if *storm > joined)).await.map(|scene| *scene);
        let Ok(Scene::Connect(storm)) = now else { return };
        joined = storm;
        present.fetch_add(1, Ordering::SeqCst);
        tokio::select! {
            () = visit(number, addr, &arrived) => {}
            _ = scene.changed() => {}
        }
        present.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Connects, receives a snapshot, and stays until the connection ends.
async fn visit(number: usize, addr: SocketAddr, arrived: &mpsc::Sender<Arrival>) {
    tokio::time::sleep(JITTER.mul_f64(rand::random())).await;
    let mut tries = 1;
    let (mut client, is_whole) = loop {
        match subscribe(number, addr).await {
            Ok(entered) => break entered,
            Err(_) => tokio::time::sleep(PAUSE.mul_f64(0.5 + rand::random::<f64>())).await,
        }
        tries += 1;
    };
    arrived.send(Arrival { at: Instant::now(), tries, is_whole }).await.ok();
    while client.next().await.is_ok() {}
}

/// Connects and subscribes. Returns whether the snapshot was complete.
async fn subscribe(number: usize, addr: SocketAddr) -> io::Result<(Client, bool)> {
    let mut client = Client::join(number, addr).await?;
    client.send(r#"42["subscribe"]"#).await?;
    let (mut prices, mut signals) = (0, 0);
    loop {
        let text = client.next().await?;
        if text.starts_with(b"42[\"price_update\"") {
            prices += 1;
        } else if text.starts_with(b"42[\"signal\"") {
            signals += 1;
        } else if text.starts_with(b"42[\"subscribed\"") {
            return Ok((client, prices == SYMBOLS.len() && signals == SIGNALS));
        }
    }
}

/// Requests `/health` repeatedly, each time on a new connection. Returns the time and duration of each answer, and the number of
/// failures.
async fn ask_for_health(addr: SocketAddr, mut end: watch::Receiver<bool>) -> (Vec<(Instant, Duration)>, usize) {
    let (mut answers, mut refused) = (Vec::new(), 0);
    loop {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        let asked = Instant::now();
        match http.get(format!("http://{addr}/health")).send().await {
            Ok(response) if response.status() == 200 => answers.push((asked, asked.elapsed())),
            _ => refused += 1,
        }
        let pause = tokio::time::timeout(Duration::from_millis(20), end.wait_for(|over| *over));
        if pause.await.is_ok() {
            return (answers, refused);
        }
    }
}
