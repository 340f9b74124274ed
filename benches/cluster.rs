//! Benchmark of a cluster's log on loopback: appends to a stream with one copy and with three, beside the log of one
//! machine and the disk itself, and the cost of prices for one, two and three nodes. `TMPDIR` chooses the disk of all of
//! them. It needs a NATS server (`make nats`, or `NATS_SERVER`), and says so where there is none.
#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, reason = "prints its findings")]
#![allow(clippy::disallowed_methods, reason = "measures time")]

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, stream};
use async_nats::{Client, ConnectOptions};
use chrono::Utc;
use futures_util::StreamExt;
use orion_server::store::{Options, Store};
use orion_server::telemetry::Metrics;

#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../tests/integration/cluster/nats.rs"]
mod nats;

use nats::Nats;

/// About the bytes of one event in a message.
const EVENT: usize = 700;
/// Symbols of the price stream, and its updates a second of each.
const SYMBOLS: usize = 7;
const HERTZ: u32 = 10;

async fn connect(urls: &str) -> Client {
    let (user, password) = nats::CREDENTIALS.split_once(':').unwrap();
    let options = ConnectOptions::with_user_and_password(user.into(), password.into())
        .custom_inbox_prefix("_INBOX.orion-node")
        .retry_on_initial_connect();
    let servers: Vec<async_nats::ServerAddr> = urls.split(',').map(|url| url.parse().unwrap()).collect();
    options.connect(servers).await.unwrap()
}

fn show(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let at = |share: f64| took[((took.len() as f64 * share) as usize).min(took.len() - 1)].as_secs_f64() * 1e3;
    let rate = took.len() as f64 / took.iter().sum::<Duration>().as_secs_f64();
    println!("{what:<44} {rate:>8.0}/s   p50 {:>7.2} ms   p99 {:>7.2} ms", at(0.5), at(0.99));
}

/// The disk itself.
fn raw(rounds: usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut file = File::create(dir.path().join("raw")).unwrap();
    let event = vec![b'x'; EVENT];
    let took = (0..rounds).map(|_| {
        let began = Instant::now();
        file.write_all(&event).unwrap();
        file.sync_data().unwrap();
        began.elapsed()
    });
    show("raw write and fdatasync", took.collect());
}

/// The log of one machine.
async fn sqlite(rounds: usize) {
    let dir = tempfile::tempdir().unwrap();
    let day = Duration::from_hours(24);
    let options = Options {
        messages_per_user: 50,
        message_retention: day,
        max_messages: 1_000_000,
        upgrade_backup: true,
        message_type: orion_server::app::message_type,
        signal_retention: day,
        bar_retention: day,
        recent_since: Utc::now(),
        clock: Utc::now,
    };
    let (store, _) = Store::open(dir.path(), options, Metrics::new().unwrap().into()).unwrap();
    let kind = orion_server::app::published_types();
    let kind = kind.iter().next().unwrap().kind;
    let mut took = Vec::new();
    for number in 0..rounds {
        let message = orion_server::domain::RelayedMessage {
            seq: 0,
            kind,
            audience: orion_server::domain::Audience::All,
            key: number.to_string().into(),
            data: "x".repeat(EVENT).into(),
            at: Utc::now(),
        };
        let began = Instant::now();
        store.append(Vec::new(), vec![message], Vec::new()).await.unwrap();
        took.push(began.elapsed());
    }
    show("log of one machine, 1 event", took);
}

/// Appends to a stream, one after the other as the writer does.
async fn appends(servers: usize, rounds: usize) -> Option<Nats> {
    let running = Nats::start(servers)?;
    let client = connect(&running.urls()).await;
    let context = jetstream::new(client);
    let config = stream::Config {
        name: "ORION".into(),
        subjects: vec!["orion.log".into()],
        num_replicas: servers,
        ..stream::Config::default()
    };
    while context.create_stream(config.clone()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for events in [1, 64] {
        let payload = bytes::Bytes::from(vec![b'x'; events * EVENT]);
        let mut took = Vec::new();
        for _ in 0..rounds {
            let began = Instant::now();
            context.publish("orion.log", payload.clone()).await.unwrap().await.unwrap();
            took.push(began.elapsed());
        }
        show(&format!("stream with {servers} copies, {events} events a message"), took);
    }
    Some(running)
}

/// Prices to so many nodes: how long they take, and what they cost the servers.
async fn prices(running: &Nats, nodes: usize, spell: Duration) {
    let publisher = connect(&running.urls()).await;
    let (arrived, mut delays) = tokio::sync::mpsc::channel(100_000);
    for _ in 0..nodes {
        let node = connect(&running.urls()).await;
        let mut prices = node.subscribe("orion.price.>").await.unwrap();
        node.flush().await.unwrap();
        let arrived = arrived.clone();
        tokio::spawn(async move {
            let _connection = node;
            while let Some(message) = prices.next().await {
                let sent: i64 = std::str::from_utf8(&message.payload[..20]).unwrap().trim().parse().unwrap();
                let now = Utc::now().timestamp_micros();
                arrived.send(Duration::from_micros((now - sent).max(0) as u64)).await.ok();
            }
        });
    }
    let busy = running.processor_time();
    let began = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / HERTZ);
    while began.elapsed() < spell {
        tick.tick().await;
        for symbol in 0..SYMBOLS {
            let payload = format!("{:<20}{}", Utc::now().timestamp_micros(), "x".repeat(280));
            publisher.publish(format!("orion.price.S{symbol}"), payload.into()).await.unwrap();
        }
    }
    publisher.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let busy = running.processor_time().saturating_sub(busy);
    let mut took = Vec::new();
    while let Ok(delay) = delays.try_recv() {
        took.push(delay);
    }
    took.sort();
    println!(
        "prices, {SYMBOLS} symbols at {HERTZ} Hz to {nodes} nodes: {} arrived, p50 {:.2} ms, {:.1} % of a core for the servers",
        took.len(),
        took[took.len() / 2].as_secs_f64() * 1e3,
        busy.as_secs_f64() / began.elapsed().as_secs_f64() * 100.0
    );
}

#[tokio::main]
async fn main() {
    // `cargo test` runs every benchmark once; `cargo bench` says that it measures.
    let once = !std::env::args().any(|argument| argument == "--bench");
    let (rounds, spell) = if once { (3, Duration::from_millis(300)) } else { (1_000, Duration::from_secs(5)) };
    raw(rounds);
    sqlite(rounds).await;
    if appends(1, rounds).await.is_none() {
        return;
    }
    let Some(running) = appends(3, rounds).await else { return };
    for nodes in 1..=3 {
        prices(&running, nodes, spell).await;
    }
}
