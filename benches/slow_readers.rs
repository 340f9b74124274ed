//! Load test of slow readers: 20 clients stop reading while 200 read, and about 100 KB/s are published to each. Prices and
//! signals arrive at the real ingest API and leave over real sockets; half of the clients are native, half use Socket.IO. The same
//! load runs without the 20 and with them, and both against a bare socketioxide server. Server and load share the machine, so
//! compare only within one run.
//!
//! The run fails when a promise is broken: a signal is lost, duplicated or out of order, an older price follows a newer one, the
//! last price is missing, a client that does not read is still connected after 20 s, or memory grows by more than 20 MB.
#![allow(missing_docs, missing_debug_implementations, unreachable_pub, reason = "a program, not a library")]
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints its findings")]
#![allow(clippy::disallowed_methods, reason = "measures time, and has tasks of its own")]

mod load;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use load::client::{Client, NATIVE};
use load::process::{Server, ServerKind};
use load::{Mode, Promises, Spread};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The number of own instruments, named by their number. The built-in ones alone would be a third of the load.
const SYMBOLS: usize = 47;
/// Time between two pushes of all prices and a signal.
const STEP: Duration = Duration::from_millis(100);
/// The price of the first push; each push adds 1.
const FIRST_PRICE: f64 = 1_001.0;
/// The time within which a client that stopped reading has to be disconnected.
const DISCONNECT_WITHIN: Duration = Duration::from_secs(20);
const MAX_GROWTH_MB: f64 = 20.0;

fn main() -> ExitCode {
    load::run("slow_readers", program)
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    readers: usize,
    /// The number of clients that stop reading.
    stuck: usize,
    steps: usize,
    /// Longest wait for messages in flight after the last push. Some clients of the bare server wait for a lost one.
    drain_timeout: Duration,
}

async fn program(mode: Mode) -> Promises {
    let plan = Plan {
        readers: mode.choose(200, 20),
        stuck: mode.choose(20, 2),
        steps: mode.choose(300, 20),
        drain_timeout: Duration::from_secs(mode.choose(20, 3)),
    };
    let mut promises = Promises::default();
    for kind in [ServerKind::Orion, ServerKind::Bare] {
        println!("\n{}", kind.name());
        let without = run_scene(kind, Plan { stuck: 0, ..plan }).await;
        println!("  {:>3} read, {:>2} do not: {without}", plan.readers, 0);
        let with = run_scene(kind, plan).await;
        println!("  {:>3} read, {:>2} do not: {with}", plan.readers, plan.stuck);
        let ratio = |of: fn(&Spread) -> Duration| of(&with.delay).as_secs_f64() / of(&without.delay).as_secs_f64();
        println!(
            "  delay of a signal with them to without them: p50 {:.2}, p99 {:.2}, max {:.2} times",
            ratio(|delay| delay.p50),
            ratio(|delay| delay.p99),
            ratio(|delay| delay.max),
        );
        if kind == ServerKind::Orion {
            for outcome in [&without, &with] {
                outcome.check(mode, &mut promises);
            }
        }
    }
    promises
}

/// The result of a run.
struct RunResult {
    delay: Spread,
    kilobytes_a_second: f64,
    signals: usize,
    lost: usize,
    /// Signals that arrived twice or out of order.
    disordered: usize,
    /// Prices that were older than the previous one.
    aged: usize,
    /// Readers that did not receive the last price of every symbol.
    behind: usize,
    /// Per client that did not read: when it was disconnected, if it was.
    cuts: Vec<Option<Duration>>,
    /// Signals that clients which stayed connected have lost when they read again.
    lost_by_stuck: usize,
    memory: [f64; 3],
}

impl RunResult {
    fn check(&self, mode: Mode, promises: &mut Promises) {
        promises.check(self.lost == 0, format!("{} signals lost by those who read", self.lost));
        promises.check(self.disordered == 0, format!("{} signals twice or out of order", self.disordered));
        promises.check(self.aged == 0, format!("{} prices older than the one before", self.aged));
        promises.check(self.behind == 0, format!("{} readers without the last prices", self.behind));
        let [before, peak, _] = self.memory;
        promises.check(peak - before <= MAX_GROWTH_MB, format!("memory grew from {before:.1} to {peak:.1} MB"));
        // A small run ends before a client can be disconnected.
        if mode == Mode::Full {
            let stayed = self.cuts.iter().filter(|cut| cut.is_none_or(|after| after > DISCONNECT_WITHIN)).count();
            promises.check(stayed == 0, format!("{stayed} that do not read were not cut within {DISCONNECT_WITHIN:?}"));
        }
    }
}

impl std::fmt::Display for RunResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [before, peak, after] = self.memory;
        write!(
            f,
            "{} signals to each, {} lost, {:.0} KB/s, delay {}; memory {before:.1} MB, peak {:+.1}, after {:+.1}",
            self.signals,
            self.lost,
            self.kilobytes_a_second,
            self.delay,
            peak - before,
            after - before
        )?;
        if !self.cuts.is_empty() {
            let mut seconds: Vec<_> = self.cuts.iter().flatten().map(Duration::as_secs_f64).collect();
            seconds.sort_by(f64::total_cmp);
            let when = seconds.first().zip(seconds.last());
            let when = when.map(|(first, last)| format!(" after {first:.1} to {last:.1} s")).unwrap_or_default();
            write!(f, "; {} of {} were cut{when}", seconds.len(), self.cuts.len())?;
            write!(f, ", the rest lost {} signals without being told", self.lost_by_stuck)?;
        }
        Ok(())
    }
}

async fn run_scene(kind: ServerKind, plan: Plan) -> RunResult {
    let server = Server::start(kind, &instruments()).await;
    let mut clients = Vec::new();
    for number in 0..plan.readers + plan.stuck {
        let native = kind == ServerKind::Orion && number % 2 == 0;
        clients.push(subscribe(number, native, &server).await);
    }
    let signals = plan.steps;
    let clock = Instant::now();
    let before = server.resident();
    let mut readers = JoinSet::new();
    for client in clients.drain(..plan.readers) {
        readers.spawn(listen(client, clock, plan));
    }
    let (over, end) = watch::channel(false);
    let mut stuck = JoinSet::new();
    for client in clients {
        stuck.spawn(stop_reading(client, clock, end.clone()));
    }

    let mut peak = before;
    let mut steps = tokio::time::interval(STEP);
    for step in 0..plan.steps {
        steps.tick().await;
        publish(&server, step, clock).await;
        peak = peak.max(server.resident());
    }
    let heard = readers.join_all().await;
    let after = server.resident();
    over.send_replace(true);
    let stuck = stuck.join_all().await;
    let sum = |of: fn(&Received) -> usize| heard.iter().map(of).sum();
    RunResult {
        kilobytes_a_second: heard.iter().map(|heard| heard.bytes).sum::<u64>() as f64
            / 1_000.0
            / plan.readers as f64
            / (STEP * plan.steps as u32).as_secs_f64(),
        signals,
        lost: heard.iter().map(|heard| signals - heard.signals).sum(),
        disordered: sum(|heard| heard.disordered),
        aged: sum(|heard| heard.aged),
        behind: heard.iter().filter(|heard| !heard.has_last_prices(plan.steps)).count(),
        cuts: stuck.iter().map(|stuck| stuck.cut).collect(),
        lost_by_stuck: stuck.iter().filter(|stuck| stuck.cut.is_none()).map(|stuck| signals - stuck.signals).sum(),
        memory: [before, peak, after],
        delay: Spread::of(heard.into_iter().flat_map(|heard| heard.delays).collect()),
    }
}

/// Connects and subscribes to prices and signals.
async fn subscribe(number: usize, native: bool, server: &Server) -> Client {
    let mut client = if native {
        Client::open(number, server.addr, NATIVE).await.unwrap()
    } else {
        let mut client = Client::join(number, server.addr).await.unwrap();
        // The bare server would lose an immediate message.
        tokio::time::sleep(Duration::from_millis(5)).await;
        client.send(r#"42["subscribe"]"#).await.unwrap();
        client
    };
    while !Message::parse(&client.next().await.unwrap()).is_some_and(|message| matches!(message, Message::Subscribed)) {
    }
    client
}

async fn publish(server: &Server, step: usize, clock: Instant) {
    let bid = FIRST_PRICE - 1.0 + step as f64;
    let price = |number| json!({"symbol": symbol(number), "bid": bid, "ask": bid + 2.0});
    let prices: Vec<_> = (0..SYMBOLS).map(price).collect();
    server.push(&prices, &[]).await;
    server.push(&[], &[signal(step, clock)]).await;
}

fn symbol(number: usize) -> String {
    format!("BENCH{number:02}")
}

/// Returns the settings that define the symbols.
fn instruments() -> String {
    let block = |number| format!("[[instruments]]\nsymbol = \"{}\"\nclass = \"crypto\"\ndigits = 5\n", symbol(number));
    (0..SYMBOLS).map(block).collect()
}

/// Returns a signal that contains the time of its push.
fn signal(number: usize, clock: Instant) -> Value {
    json!({
        "id": format!("s-{number}"), "status": "confirmed", "direction": "long", "symbol": symbol(0),
        "entry_time": "2026-09-01T10:30:00.000Z", "entry_price": 1.085, "stop_loss": 1.082,
        "take_profits": [1.088, 1.092, 1.096], "tp_modes": ["TP1 30%", "TP2 40%", "Runner 30%"],
        "reason": format!("t={};MSS+FVG setup", clock.elapsed().as_nanos()),
        "confidence": 0.85, "rr_target": 2.5, "killzone": "london",
    })
}

/// A message to a client, of either dialect.
enum Message {
    Price { symbol: usize, price: f64 },
    Signal { number: usize, pushed: Duration },
    Subscribed,
}

impl Message {
    /// Parses only the needed fields, because 220 clients share the machine with the server.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).unwrap();
        let head = text.get(..30).unwrap_or(text);
        let value = |name: &str, end: &[char]| text.split_once(name).and_then(|(_, rest)| rest.split(end).next());
        if head.contains("\"price_update\"") {
            let symbol = value("\"symbol\":\"BENCH", &['"'])?.parse().unwrap();
            let price = value("\"price\":", &[',', '}'])?.parse().unwrap();
            return Some(Self::Price { symbol, price });
        }
        if head.contains("\"signal\"") {
            let number = value("\"id\":\"s-", &['"'])?.parse().unwrap();
            let pushed = Duration::from_nanos(value("t=", &[';'])?.parse().unwrap());
            return Some(Self::Signal { number, pushed });
        }
        head.contains("\"subscribed\"").then_some(Self::Subscribed)
    }
}

/// What a reading client has received.
struct Received {
    signals: usize,
    next: usize,
    disordered: usize,
    prices: [f64; SYMBOLS],
    aged: usize,
    delays: Vec<Duration>,
    bytes: u64,
}

impl Received {
    fn nothing() -> Self {
        Self { signals: 0, next: 0, disordered: 0, prices: [0.0; SYMBOLS], aged: 0, delays: Vec::new(), bytes: 0 }
    }

    fn record(&mut self, message: &Message, clock: Instant) {
        match *message {
            Message::Price { symbol, price } => {
                self.aged += usize::from(price < self.prices[symbol]);
                self.prices[symbol] = price;
            }
            Message::Signal { number, pushed } => {
                self.delays.push(clock.elapsed().saturating_sub(pushed));
                if number < self.next {
                    self.disordered += 1;
                } else {
                    self.signals += 1;
                    self.next = number + 1;
                }
            }
            Message::Subscribed => {}
        }
    }

    fn has_last_prices(&self, steps: usize) -> bool {
        let last = FIRST_PRICE + (steps - 1) as f64;
        self.prices.iter().all(|price| (price - last).abs() < 0.01)
    }
}

/// Reads until everything has arrived, or nothing has for the plan's time-out.
async fn listen(mut client: Client, clock: Instant, plan: Plan) -> Received {
    let mut heard = Received::nothing();
    let before = client.received;
    while heard.next < plan.steps || !heard.has_last_prices(plan.steps) {
        let Ok(Ok(text)) = tokio::time::timeout(plan.drain_timeout, client.next()).await else { break };
        if let Some(message) = Message::parse(&text) {
            heard.record(&message, clock);
        }
    }
    heard.bytes = client.received - before;
    heard
}

/// A client that stopped reading.
struct Stuck {
    cut: Option<Duration>,
    /// Signals that it received when it read again.
    signals: usize,
}

/// Reads nothing until the server disconnects it or the run ends; if still connected, it then reads what is buffered.
async fn stop_reading(mut client: Client, clock: Instant, mut end: watch::Receiver<bool>) -> Stuck {
    tokio::select! {
        () = client.closed() => return Stuck { cut: Some(clock.elapsed()), signals: 0 },
        _ = end.wait_for(|over| *over) => {}
    }
    let mut signals = 0;
    while let Ok(Ok(text)) = tokio::time::timeout(Duration::from_secs(1), client.next()).await {
        signals += usize::from(matches!(Message::parse(&text), Some(Message::Signal { .. })));
    }
    Stuck { cut: None, signals }
}
