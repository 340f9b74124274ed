//! Signals, and their places in the log.

use std::net::SocketAddr;

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
