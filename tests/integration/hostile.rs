//! Whatever clients say, natively and over Socket.IO: it is answered or it is not, nothing breaks without a close code, nothing
//! panics, and the next ping is answered.
//!
//! The messages are made by a fixed seed, so that a failure is found again; `fuzz/` looks for others.

use std::collections::BTreeSet;

use futures_util::{SinkExt, StreamExt};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::users::{SECRET, admin_token, token};
use crate::support::{Native, Packet, Server, Socket, TOKEN, signal, soon};

/// Messages for each stream.
const MESSAGES: usize = 1_200;
/// Messages that are said before the server has to answer a ping.
const AT_ONCE: usize = 10;
const ADMIN: &str = "the-token-of-the-administrators";
const USER: &str = "ann";

/// Fields that somebody reads.
const NAMES: &[&str] = &[
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
    "user",
    "audience",
    "max",
    "sequence",
];

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

/// These with values that nobody expects.
fn fields(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    proptest::collection::vec((proptest::sample::select(NAMES), value), 0..7)
        .prop_map(|pairs| pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// What clients do say, on one stream or another.
fn spoken() -> Vec<Value> {
    let price = json!({"symbol": "EURUSD", "bid": 1.085, "ask": 1.0851, "timestamp": "2026-09-01T10:30:00.000Z"});
    let notification = json!({"type": "info", "message": "hello", "id": "n-1"});
    vec![
        json!({"type": "subscribe", "channels": ["signals", "prices"], "symbols": ["EURUSD"], "max_hz": 1}),
        json!({"type": "subscribe", "channels": ["prices", "user"], "since": "e:1", "last_event_id": 1}),
        json!({"type": "unsubscribe", "channels": ["prices"], "symbols": ["EURUSD"]}),
        json!({"type": "ping", "timestamp": 1}),
        json!({"type": "pong", "timestamp": 1}),
        json!({"type": "auth", "token": TOKEN}),
        json!({"type": "signal", "data": signal("hostile")}),
        signal("hostile"),
        json!({"type": "price_update", "data": {"prices": [price]}}),
        json!({"type": "price_update", "payload": price}),
        json!({"type": "event", "data": {"type": "notification", "user": USER, "data": notification}}),
        json!({"type": "event", "data": {"events": [{"type": "notification", "data": notification}]}}),
        json!({"type": "whoami"}),
        json!({"type": "echo", "payload": {"a": 1}}),
        json!({"type": "set_subscriptions", "channels": ["prices", "signals"]}),
        json!({"type": "request_replay", "last_sequence": 1}),
        json!({"action": "subscribe", "symbols": ["EURUSD"], "user_id": USER, "admin_token": ADMIN}),
        json!({"action": "subscribe", "symbols": "EURUSD,XAUUSD", "token": token(USER)}),
        json!({"action": "unsubscribe", "symbols": ["EURUSD"]}),
        json!({"action": "ping"}),
        json!({"action": "register", "watchlist": ["EURUSD"], "user_id": 7}),
    ]
}

/// What a client does say with some fields lost and others replaced, any fields, anything else, or no JSON at all.
fn message() -> impl Strategy<Value = String> {
    // Every second change is of a field that the message has.
    let place = (any::<prop::sample::Index>(), proptest::option::of(proptest::sample::select(NAMES)));
    let value = prop_oneof![2 => leaf(), 1 => any_json()];
    let changes = proptest::collection::vec((place, proptest::option::of(value)), 0..3);
    let bent = (proptest::sample::select(spoken()), changes).prop_map(|(mut said, changes)| {
        for ((index, name), value) in changes {
            let Some(fields) = said.as_object_mut() else { break };
            let within = fields.contains_key("data") && index.index(3) > 0;
            let fields = if within { fields["data"].as_object_mut() } else { Some(fields) };
            let Some(fields) = fields else { break };
            let own = fields.keys().nth(index.index(fields.len().max(1))).cloned();
            let name = name.map(ToOwned::to_owned).or(own).unwrap_or_default();
            match value {
                Some(value) => drop(fields.insert(name, value)),
                None => drop(fields.remove(&name)),
            }
        }
        said.to_string()
    });
    let broken = (any_json(), 0..40_usize).prop_map(|(value, at)| value.to_string().chars().take(at).collect());
    prop_oneof![
        8 => bent,
        1 => fields(any_json()).prop_map(|fields| Value::Object(fields).to_string()),
        1 => any_json().prop_map(|value| value.to_string()),
        1 => broken,
        1 => "\\PC{0,40}",
    ]
}

fn messages() -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    (0..MESSAGES).map(|_| message().new_tree(&mut runner).unwrap().current()).collect()
}

/// A server that knows a signal, a price and a user, and lets everybody say as much as he likes.
async fn server() -> Server {
    let settings =
        [("ORION_LIMITS__EVENTS_PER_SECOND", "0"), ("ORION_ADMIN_TOKEN", ADMIN), ("ORION_JWT_SECRET", SECRET)];
    let server = Server::start(&settings).await;
    server.push(&signal("known")).await;
    let price = json!({"symbol": "EURUSD", "bid": 1.085, "ask": 1.0851});
    assert_eq!(server.post("/api/prices", &price).await.0, 200);
    server
}

/// One kind of stream.
struct Stream {
    path: String,
    /// What a client says first.
    hello: Vec<String>,
    /// Types of frame that a client is told only by commands that it gave.
    reached: &'static [&'static str],
}

impl Stream {
    fn new(path: impl Into<String>, hello: &[Value], reached: &'static [&'static str]) -> Self {
        Self { path: path.into(), hello: hello.iter().map(Value::to_string).collect(), reached }
    }

    fn all() -> Vec<Self> {
        const ORION: &[&str] = &["subscribed", "unsubscribed", "pong", "error", "accepted", "refused"];
        let (user, admin) = (token(USER), admin_token("root"));
        let administrator = json!({"action": "subscribe", "admin_token": admin});
        let raw = Self { hello: vec![ADMIN.to_owned()], ..Self::new("/ws/admin", &[], &["status"]) };
        vec![
            Self::new(format!("/ws/signals?token={TOKEN}"), &[], ORION),
            Self::new("/ws/signals", &[], &["subscribed", "unsubscribed", "pong", "error", "refused"]),
            Self::new("/api/websocket", &[json!({"type": "auth", "token": TOKEN})], ORION),
            Self::new(
                "/ws",
                &[],
                &["subscription_confirmed", "subscription_updated", "pong", "identity", "echo", "error"],
            ),
            Self::new("/monitoring/ws/performance", &[], &["pong"]),
            Self::new(format!("/api/ws?token={user}"), &[], &["pong", "connection", "error"]),
            Self::new("/ws/trade-signals", &[], &["trade_signals", "pong", "error"]),
            Self::new("/ws/market-data", &[], &["quotes", "pong", "error"]),
            Self::new("/ws/admin", &[administrator], &["pong", "error"]),
            raw,
            Self::new(format!("/ws/earnings?token={user}"), &[], &["pong", "error"]),
            Self::new(format!("/ws/notifications?token={user}"), &[], &["pong", "error"]),
            Self::new(format!("/ws/user/{USER}?token={user}"), &[], &["dashboard", "pong", "error"]),
            // Here a frame has to say who it is.
            Self::new("/ws/notifications", &[], &["pong", "error"]),
        ]
    }

    async fn open(&self, server: &Server) -> Native {
        let mut client = Native::connect(server.addr, &self.path).await;
        for hello in &self.hello {
            client.say(hello.as_str()).await;
        }
        client
    }
}

/// What a frame is called, whichever dialect it is of.
fn name(frame: &Value) -> &str {
    match frame["type"].as_str() {
        Some(name) => name,
        None if frame["success"] == true => "accepted",
        None if frame.get("error").is_some() => "refused",
        None if frame.get("status").is_some() => "status",
        None if frame.get("portfolio").is_some() => "dashboard",
        None => panic!("a frame of no kind: {frame}"),
    }
}

/// Everything that the server has to say before it answers a ping that comes after all that was said; or its close code.
async fn hear(client: &mut Native, number: usize, heard: &mut BTreeSet<String>) -> Result<(), u16> {
    let mark = number.to_be_bytes().to_vec();
    // Whether it is gone shows with the next read.
    client.0.send(Message::Ping(mark.clone().into())).await.ok();
    loop {
        match soon("a pong", client.0.next()).await {
            Some(Ok(Message::Text(text))) => drop(heard.insert(name(&serde_json::from_str(&text).unwrap()).to_owned())),
            Some(Ok(Message::Pong(payload))) if payload == mark => return Ok(()),
            Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(1006),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn native_streams_survive_whatever_is_said() {
    let server = server().await;
    let messages = messages();
    for stream in Stream::all() {
        let (mut client, mut heard) = (stream.open(&server).await, BTreeSet::new());
        for (number, chunk) in messages.chunks(AT_ONCE).enumerate() {
            for (place, message) in chunk.iter().enumerate() {
                let said = match place {
                    0 => Message::binary(message.as_bytes()[..message.len() / (1 + number % 3)].to_vec()),
                    _ => Message::text(message.as_str()),
                };
                client.0.send(said).await.ok();
            }
            match hear(&mut client, number, &mut heard).await {
                // Streams that know a client by its first frame only are begun anew now and then.
                Ok(()) if number % 2 == 0 => {}
                // Some things end a stream, a wrong token for one: the policy says so.
                Ok(()) | Err(1008 | 4001 | 4003) => client = stream.open(&server).await,
                Err(code) => panic!("{} ended with {code} after one of {chunk:#?}", stream.path),
            }
        }
        let missed: Vec<_> = stream.reached.iter().filter(|name| !heard.contains(**name)).collect();
        assert!(missed.is_empty(), "{}: {missed:?} were never said, only {heard:?}", stream.path);
    }
    assert_eq!(server.get("/ready").await.1["status"], "ok");
    assert_eq!(server.complaints(), Vec::<String>::new());
    server.stop().await;
}

/// Everything that the server has to say before it answers a ping that comes after all that was said; `false` if it ended.
async fn hear_events(client: &mut Socket, number: usize, heard: &mut BTreeSet<String>) -> bool {
    let mark = json!(format!("mark {number}"));
    client.try_say(format!("42{}", json!(["ping", { "timestamp": mark }]))).await;
    loop {
        match soon("a pong", client.next()).await {
            Ok(Packet::Event(name, args)) if name == "pong" && args[0]["timestamp"] == mark => return true,
            Ok(Packet::Event(name, _)) => drop(heard.insert(name)),
            Ok(Packet::Other(packet)) if packet.starts_with("43") => drop(heard.insert("acknowledgement".to_owned())),
            Ok(Packet::Disconnected) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn socketio_survives_whatever_is_said() {
    let server = server().await;
    let connect = async || {
        let auth = json!({"token": token(USER), "since": "e:1", "last_event_id": 1});
        let mut client = Socket::with_auth(server.addr, &auth).await;
        client.connected().await;
        client
    };
    let (mut client, mut heard, mut ended) = (connect().await, BTreeSet::new(), 0);
    for (number, message) in messages().into_iter().enumerate() {
        let event = ["subscribe", "unsubscribe", "ping", "message", "message", "other"][number % 6];
        let packet = match number % 29 {
            0 => message,
            1 => format!("42{message}"),
            2 => format!("40/ws/signals,{message}"),
            3 => format!("42/ws/signals,[\"{event}\",{message}]"),
            4 | 5 => format!("451-[\"{event}\",{message},{{\"_placeholder\":true,\"num\":0}}]"),
            6..=9 => format!("42{number}[\"{event}\",{message}]"),
            10..=13 => format!("42[\"{event}\",{},{message}]", json!(message)),
            _ => format!("42[\"{event}\",{message}]"),
        };
        let attachment = packet.starts_with("451-");
        let mut gone = !client.try_say(packet).await;
        if attachment {
            gone |= client.stream.send(Message::binary(vec![4, 0, 255])).await.is_err();
        }
        // What is no packet ends the session; the next client goes on.
        if gone || (number % AT_ONCE == 0 && !hear_events(&mut client, number, &mut heard).await) {
            client = connect().await;
            ended += 1;
        }
    }
    for name in ["subscribed", "unsubscribed", "pong", "error", "message", "acknowledgement"] {
        assert!(heard.contains(name), "{name} was never said, only {heard:?}");
    }
    assert!(ended < MESSAGES / AT_ONCE, "most of it has to reach the handlers: {ended}");
    assert_eq!(server.get("/ready").await.1["status"], "ok");
    assert_eq!(server.complaints(), Vec::<String>::new());
    server.stop().await;
}
