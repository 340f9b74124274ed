//! `GET /api/admin/overview`: who may see it, and what is in it.

use serde_json::{Value, json};

use crate::support::users::{SECRET, admin_token, get_as, token};
use crate::support::{Native, Protocol, Server, Socket, flood, narrow, open, signal, soon};

const ADMIN: &str = "the-admin-token-of-the-overview";
const PATH: &str = "/api/admin/overview";

async fn server() -> Server {
    Server::start(&[("ORION_ADMIN_TOKEN", ADMIN), ("ORION_JWT_SECRET", SECRET)]).await
}

/// The object of a list that has this value under this key.
fn of<'a>(list: &'a Value, key: &str, value: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|object| object[key] == value);
    found.unwrap_or_else(|| panic!("no {key} {value} in {list}"))
}

#[tokio::test]
async fn only_administrators_see_it() {
    let server = server().await;
    assert_eq!(server.get(PATH).await.0, 401);
    for (token, status) in [("wrong", 401), (&token("ana"), 403), (&admin_token("root"), 200), (ADMIN, 200)] {
        let (answered, body) = get_as(server.addr, token, PATH).await;
        assert_eq!(answered, status, "{body}");
        assert_eq!(body.get("connections").is_some(), status == 200, "{body}");
    }
    // In an address a token is no admission: addresses are written down everywhere.
    assert_eq!(server.get(&format!("{PATH}?token={ADMIN}")).await.0, 401);
    let without = Server::push_only().await;
    let (status, body) = get_as(without.addr, ADMIN, PATH).await;
    assert!(status == 401 && body.to_string().contains("ORION_ADMIN_TOKEN"), "{status} {body}");
    server.stop().await;
    without.stop().await;
}

#[tokio::test]
async fn the_overview_lists_clients_queues_and_refusals() {
    let server = server().await;
    let mut native = Native::connect(server.addr, "/ws/signals").await;
    native.frame("subscribed").await;
    let mut socket = Socket::open(server.addr).await;
    socket.say("40").await;
    socket.connected().await;
    socket.emit("subscribe", &json!({ "channels": ["prices"], "symbols": ["EURUSD"] })).await;
    socket.event("subscribed").await;
    let mut sparing = Socket::open(server.addr).await;
    sparing.subscribe(&json!({ "channels": ["prices"], "max_hz": 1 })).await;
    sparing.event("subscribed").await;
    let mut user = Native::connect(server.addr, &format!("/ws/signals?token={}", token("ana-of-the-overview"))).await;
    user.frame("subscribed").await;
    server.push(&signal("one")).await;
    assert_eq!(server.post("/api/signals", &json!({ "id": "bad" })).await.0, 400);
    assert!(tokio_tungstenite::connect_async(format!("ws://{}/ws/signals?token=wrong", server.addr)).await.is_err());

    let (status, body) = get_as(server.addr, ADMIN, PATH).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(of(&body["connections"], "transport", "native")["open"], 2);
    assert_eq!(
        of(&body["connections"], "transport", "websocket"),
        &json!({"endpoint": "/", "namespace": "/", "transport": "websocket", "open": 2})
    );
    let native = of(&body["presence"], "transport", "native");
    assert_eq!((&native["clients"], &native["prices"], &native["signals"]), (&2.into(), &2.into(), &2.into()));
    let socketio = json!({"transport": "socketio", "clients": 2, "prices": 2, "signals": 0, "messages": 0, "clock": 0,
        "presence": 0});
    assert_eq!(of(&body["presence"], "transport", "socketio"), &socketio);
    assert_eq!((&body["logins"], &body["log"]["events"], &body["log"]["pending"]), (&1.into(), &1.into(), &1.into()));
    assert!(body["log"]["position"].as_str().unwrap().ends_with(":1"), "{body}");
    assert_eq!(of(&body["rejects"], "kind", "signal")["reason"], "validation_failed");
    assert_eq!(of(&body["rejects"], "kind", "connection")["reason"], "unauthorized");
    assert_eq!(of(&body["refused"], "reason", "unauthorized")["count"], 1);
    assert_eq!(of(&body["queues"], "queue", "pipeline")["depth"], 0);
    assert_eq!(body["parts"]["disk"], json!({"status": "ok"}));
    assert!(of(&body["sources"], "name", "mt5")["state"] == "off", "{body}");
    let metrics = server.http.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("\norion_logins 1\n") && metrics.contains("\norion_log_position 1\n"), "{metrics}");
    let text = body.to_string() + &metrics;
    for hidden in ["ana-of-the-overview", "127.0.0.1", ADMIN] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    server.stop().await;
}

/// What is seen of a native and a Socket.IO client of a new server that both read nothing, while both of them wait: their objects
/// in `slowest`. `None` where one was cut before the other was seen, as on a machine that is slow.
async fn two_that_do_not_read() -> Option<(Server, [Box<dyn std::any::Any>; 2], Value)> {
    let server = server().await;
    let native = open(narrow(server.addr).await, server.addr, "/ws/signals", &[]).await.unwrap();
    let mut socket = Socket::over(narrow(server.addr).await, server.addr, Protocol::Eio4).await;
    socket.subscribe(&json!({ "channels": ["signals"] })).await;
    socket.event("subscribed").await;
    assert_eq!(server.metric("orion_blocked_connections", "").await, 0.0);
    let is_cut = async || server.metric("orion_slow_clients_total", "write").await > 0.0;
    let seen = async || {
        let (_, body) = get_as(server.addr, ADMIN, PATH).await;
        let mut slowest = body["slowest"].as_array().unwrap().clone();
        slowest.retain(|client| client["blocked_ms"].is_u64() && client["ordered"] != 0);
        (slowest.len() == 2).then_some(Value::from(slowest))
    };
    // They are told more than the system's buffers hold, in parts: more than is needed is only time.
    let mut slowest = None;
    for round in 0.. {
        flood(server.addr, &format!("round-{round}"), 64, 1_900).await;
        slowest = seen().await;
        if slowest.is_some() || is_cut().await {
            break;
        }
    }
    flood(server.addr, "behind-the-blocked", 64, 1_900).await;
    let waiting = server.metric("orion_queue_depth", "outbox_ordered").await;
    for price in [1.1, 1.2, 1.3] {
        server.post("/api/prices", &json!({"symbol": "EURUSD", "price": price})).await;
    }
    let mut is_replaced = false;
    while !is_replaced && !is_cut().await {
        let both = seen().await;
        is_replaced = both.is_some_and(|both| of(&both, "endpoint", "/ws/signals")["conflated"].as_u64() >= Some(1));
    }
    let blocked = server.metric("orion_blocked_connections", "").await;
    let blocked_seconds = server.metric("orion_blocked_seconds", "").await;
    if is_cut().await {
        return None;
    }
    assert!(waiting > 0.0 && is_replaced && blocked == 2.0 && blocked_seconds > 0.0, "{waiting} {blocked}");
    Some((server, [Box::new(native), Box::new(socket)], slowest?))
}

/// Whatever it speaks: the door sees that its writes wait, and the outbox of a native client what waits behind them.
#[tokio::test]
async fn clients_that_do_not_read_are_listed_slowest() {
    let (server, clients, slowest) = soon("both are behind", async {
        loop {
            if let Some(seen) = Box::pin(two_that_do_not_read()).await {
                return seen;
            }
        }
    })
    .await;
    for endpoint in ["/ws/signals", "/socket.io"] {
        let client = of(&slowest, "endpoint", endpoint);
        let ms = |name: &str| client[name].as_u64().unwrap_or_else(|| panic!("{name} in {client}"));
        assert!(ms("blocked_ms") <= ms("longest_ms") && ms("longest_ms") <= ms("connected_ms"), "{client}");
        assert!(client["behind_ms"].is_u64(), "{slowest}");
    }
    // Both are cut in the end, and told of with how far behind they were.
    server.until("orion_slow_clients_total", "write", |cut| cut == 2.0).await;
    let lines = Value::from(server.lines("a client took nothing of what was written to it: cut"));
    for endpoint in ["/ws/signals", "/socket.io"] {
        let line = of(&lines, "endpoint", endpoint);
        assert!(line["seconds_blocked"].as_f64().unwrap() >= 9.9, "{line}");
        assert!(line["span"]["connection"].is_string(), "{line}");
        assert_eq!(line["span"]["connection"], of(&slowest, "endpoint", endpoint)["connection"], "{line}");
        assert!(line["waiting"].as_u64().unwrap() > 0, "{line}");
    }
    assert!(server.metric("orion_slow_client_behind_seconds_sum", "").await >= 19.8);
    server.until("orion_disconnects_total", "slow_reader", |cut| cut == 1.0).await;
    assert_eq!(server.metric("orion_blocked_connections", "").await, 0.0);
    drop(clients);
}
