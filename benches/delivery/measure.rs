//! One server under load: what it uses for connections, for idling, for ticks and for signals.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::crowd::{Arrived, Crowd};
use crate::load::process::{Server, ServerKind};
use crate::load::{Promises, Spread};
use crate::{Cores, Plan, pin};

const SYMBOLS: [&str; 7] = ["EURUSD", "GBPUSD", "USDJPY", "XAUUSD", "US30", "NAS100", "SPX500"];
/// Time until a server is idle after a load.
const SETTLE: Duration = Duration::from_secs(1);
/// Time until it has given back what connecting took.
const GIVE_BACK: Duration = Duration::from_secs(5);
/// Nothing but what is published is to be delivered.
const SETTINGS: &str =
    "[socketio]\nping_interval = '10m'\n[heartbeat]\nprotocol_ping = '10m'\npeer_timeout = '20m'\napp_ping = '1h'\n";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The floor, with one write for all frames of a tick.
    Floor,
    /// The floor, with one write for each frame.
    FloorEach,
    /// This server over Socket.IO.
    SocketIo,
    /// This server over native WebSockets.
    Native,
    /// The bare server.
    Bare,
}

impl Subject {
    pub const ALL: [Self; 5] = [Self::Floor, Self::FloorEach, Self::SocketIo, Self::Native, Self::Bare];

    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor, one write for a tick",
            Self::FloorEach => "floor, one write for a frame",
            Self::SocketIo => "orion-server, Socket.IO",
            Self::Native => "orion-server, native",
            Self::Bare => "bare socketioxide",
        }
    }

    fn kind(self) -> ServerKind {
        match self {
            Self::Floor => ServerKind::Floor,
            Self::FloorEach => ServerKind::FloorEach,
            Self::SocketIo | Self::Native => ServerKind::Orion,
            Self::Bare => ServerKind::Bare,
        }
    }
}

/// The figures of a server.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    pub subject: Subject,
    /// Processor time for each connection, in µs.
    pub connect: f64,
    /// Resident memory for each idle connection, in KB.
    pub memory: f64,
    pub ticks: Delivered,
    pub signals: Delivered,
}

/// The figures of one kind of load.
#[derive(Debug, Clone, Copy)]
pub struct Delivered {
    /// Processor time for each message, in µs.
    pub cpu: f64,
    pub spread: Spread,
    /// TCP segments with data for each message; of the whole machine.
    pub writes: f64,
}

/// Measures a server.
pub async fn measure(subject: Subject, plan: Plan, cores: Cores, promises: &mut Promises) -> Measured {
    // The process inherits the core.
    pin(cores.server);
    let server = Server::start(subject.kind(), SETTINGS).await;
    pin(cores.load);
    // The first prices and signals cost more than those that follow.
    server.push(&tick(0), &[signal(0)]).await;
    sleep(SETTLE).await;
    let clients = plan.clients as f64;
    let (cpu, memory) = (cpu_time(&server), server.resident());
    let crowd = Crowd::connect(subject, server.addr, plan.clients).await;
    let connect = (cpu_time(&server) - cpu) / clients;
    sleep(GIVE_BACK).await;
    let memory = (server.resident() - memory) * 1024.0 / clients;
    let mut publish = async |size: usize, (count, interval): (u32, u64)| {
        crowd.begin(size as u32);
        let (cpu, segments) = (cpu_time(&server), segments_sent());
        let started = Instant::now();
        for number in 1..=count {
            sleep_until(started + Duration::from_millis(interval) * (number - 1)).await;
            match size {
                1 => server.push(&[], &[signal(number)]).await,
                _ => server.push(&tick(number), &[]).await,
            }
        }
        let Arrived { messages, wanted, spread } = crowd.finish(count).await;
        let all = u64::from(count) * (size * plan.clients) as u64;
        // The bare server drops what does not fit into a queue; a price may be replaced by a newer one.
        let must_arrive = subject.kind() == ServerKind::Orion && size == 1;
        let what = format!("{}: {wanted} signals of {all} arrived", subject.name());
        promises.check(!must_arrive || wanted == all, what);
        let per_message = |total: f64| total / (messages.max(1)) as f64;
        Delivered { cpu: per_message(cpu_time(&server) - cpu), spread, writes: per_message(segments_sent() - segments) }
    };
    let ticks = publish(SYMBOLS.len(), plan.ticks).await;
    let signals = publish(1, plan.signals).await;
    Measured { subject, connect, memory, ticks, signals }
}

/// Returns the processor time that all threads of a server have used, in µs.
fn cpu_time(server: &Server) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.id())).unwrap();
    let nanoseconds = |task: std::io::Result<std::fs::DirEntry>| {
        let stat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<f64>().ok()
    };
    tasks.filter_map(nanoseconds).sum::<f64>() / 1_000.0
}

/// Returns the number of TCP segments with data that this machine has sent, without repetitions.
fn segments_sent() -> f64 {
    let stats = std::fs::read_to_string("/proc/net/netstat").unwrap();
    let mut lines = stats.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        if let Some(at) = names.split(' ').position(|name| name == "TCPOrigDataSent") {
            return values.split(' ').nth(at).unwrap().parse().unwrap();
        }
    }
    f64::NAN
}

/// Returns prices that differ from those of the number before.
fn tick(number: u32) -> Vec<Value> {
    let bid = 1_000 + number % 50;
    SYMBOLS.iter().map(|symbol| json!({"symbol": symbol, "bid": bid, "ask": bid + 2})).collect()
}

fn signal(number: u32) -> Value {
    json!({
        "id": format!("b-{number}"), "status": "confirmed", "direction": "long", "symbol": "EURUSD",
        "entry_time": "2026-09-01T10:30:00.000Z", "entry_price": 1.085, "stop_loss": 1.082,
        "take_profits": [1.088, 1.092, 1.096], "reason": "MSS+FVG setup", "confidence": 0.85, "rr_target": 2.5,
        "killzone": "london",
    })
}
