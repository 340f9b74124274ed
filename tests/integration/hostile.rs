//! Whatever clients say, natively and over Socket.IO: it is answered or it is not, and the next ping still is.
//!
//! The messages are made by a fixed seed, so that a failure is found again; `fuzz/` looks for others.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::support::{Native, Server, Socket, TOKEN};

/// Messages for each stream.
const MESSAGES: usize = 400;

fn leaf() -> impl Strategy<Value = Value> {
    let known = [
        "EURUSD",
        "prices",
        "signals",
        "user",
        "ticks",
        "orders",
        "e:1",
        "long",
        "pending",
        "confirmed",
        "AAPL",
        "subscribe",
        "ping",
        "",
        "\u{0}",
        "NaN",
        "-1",
        "9223372036854775808",
        "1e999",
        "\u{1d11e}",
        "2026-09-01T10:30:00.000Z",
    ];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        proptest::sample::select(known.to_vec()).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            fields(inner).prop_map(Value::Object),
        ]
    })
}

/// Fields that somebody reads, with values that nobody expects.
fn fields(value: impl Strategy<Value = Value>) -> impl Strategy<Value = serde_json::Map<String, Value>> {
    let names = [
        "type",
        "action",
        "channels",
        "symbols",
        "since",
        "max_hz",
        "last_event_id",
        "last_sequence",
        "timestamp",
        "token",
        "user_id",
        "admin_token",
        "data",
        "payload",
        "id",
        "status",
        "symbol",
        "price",
        "bid",
        "ask",
        "entry_price",
        "take_profits",
        "events",
        "prices",
        "channel",
        "watchlist",
        "x",
    ];
    proptest::collection::vec((proptest::sample::select(names.to_vec()), value), 0..7)
        .prop_map(|pairs| pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A message of a known type with any fields, anything else, or no JSON at all.
fn message() -> impl Strategy<Value = String> {
    let kinds = [
        "subscribe",
        "unsubscribe",
        "ping",
        "pong",
        "signal",
        "price_update",
        "event",
        "whoami",
        "echo",
        "set_subscriptions",
        "request_replay",
        "register",
        "message",
        "update_watchlist",
        "get_metrics",
    ];
    let typed = (proptest::sample::select(kinds.to_vec()), fields(any_json())).prop_map(|(kind, mut fields)| {
        fields.insert("type".into(), kind.into());
        fields.entry("action").or_insert(kind.into());
        Value::Object(fields).to_string()
    });
    let broken = (any_json(), 0..40_usize).prop_map(|(value, at)| value.to_string().chars().take(at).collect());
    prop_oneof![4 => typed, 2 => any_json().prop_map(|value| value.to_string()), 1 => broken, 1 => "\\PC{0,40}"]
}

fn messages() -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    (0..MESSAGES).map(|_| message().new_tree(&mut runner).unwrap().current()).collect()
}

async fn server() -> Server {
    let settings = [("ORION_LIMITS__EVENTS_PER_SECOND", "0"), ("ORION_ADMIN_TOKEN", "root")];
    Server::start(&settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn native_streams_survive_whatever_is_said() {
    let server = server().await;
    let messages = messages();
    for path in
        ["/ws/signals", "/api/websocket", "/ws", "/ws/trade-signals", "/ws/market-data", "/ws/admin", "/ws/earnings"]
    {
        let connect = async || {
            let mut client = Native::connect(server.addr, path).await;
            if path == "/api/websocket" {
                client.send(&json!({"type": "auth", "token": TOKEN})).await;
            }
            client
        };
        let mut client = connect().await;
        for chunk in messages.chunks(40) {
            for message in chunk {
                // Some things end a stream, a wrong token for one; the next client goes on.
                if !client.try_say(message).await {
                    client = connect().await;
                }
            }
            client = connect().await;
        }
    }
    let mut client = Native::connect(server.addr, "/ws/signals").await;
    client.say(r#"{"type":"ping","timestamp":1}"#).await;
    assert_eq!(client.frame("pong").await["timestamp"], 1);
    assert_eq!(server.get("/ready").await.1["status"], "ok");
    let text = server.log_text();
    assert!(!text.contains("panicked"), "{}", text.lines().find(|line| line.contains("panicked")).unwrap());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn socketio_survives_whatever_is_said() {
    let server = server().await;
    let connect = async || {
        let mut client = Socket::open(server.addr).await;
        client.say("40").await;
        client.connected().await;
        client
    };
    let mut client = connect().await;
    for (number, message) in messages().into_iter().enumerate() {
        let event = ["subscribe", "unsubscribe", "ping", "message"][number % 4];
        let packet = match number % 7 {
            // What is no packet ends the session; the next client goes on.
            0 => message,
            1 => format!("42{message}"),
            2 => format!("42{number}[\"{event}\",{message}]"),
            3 => format!("42[\"{event}\",{},{message}]", json!(message)),
            4 => format!("451-[\"{event}\",{message}]"),
            5 => format!("40/ws/signals,{message}"),
            _ => format!("42[\"{event}\",{message}]"),
        };
        if !client.try_say(packet).await || number % 20 == 19 {
            client = connect().await;
        }
    }
    let mut client = connect().await;
    client.emit("ping", &json!({"timestamp": 1})).await;
    assert_eq!(client.event("pong").await[0]["timestamp"], 1);
    assert_eq!(server.get("/ready").await.1["status"], "ok");
    assert!(!server.log_text().contains("panicked"));
    server.stop().await;
}
