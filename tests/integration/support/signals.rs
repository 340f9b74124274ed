//! Signals and the log that they are in.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use orion_server::pipeline::clock::wall;
use orion_server::store::{Options, Store};
use orion_server::telemetry::Metrics;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Native, TOKEN, soon};

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

/// How a log is opened by a test itself: all of it is kept.
pub(crate) fn store_options() -> Options {
    Options {
        messages_per_user: 50,
        message_retention: Duration::from_hours(24),
        max_messages: 1_000_000,
        upgrade_backup: true,
        message_type: orion_server::app::message_type,
        signal_retention: Duration::from_hours(24),
        bar_retention: Duration::from_hours(24),
        recent_since: wall(),
        clock: wall,
    }
}

/// One event of a log, as far as tests compare it: number, signal, status.
pub(crate) type Event = (u64, String, String);

/// Every event of the log in a data directory that no process has.
pub(crate) async fn read_log(data: impl AsRef<Path>) -> Vec<Event> {
    let (store, _) = Store::open(data.as_ref(), store_options(), Metrics::new().unwrap().into()).unwrap();
    let (reader, mut log) = (store.reader(), Vec::new());
    loop {
        let after = log.last().map_or(0, |(seq, ..): &Event| *seq);
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
