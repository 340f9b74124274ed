//! ORION's page on the native stream, as its own code reads it: what it shows, and what it sounds an alarm for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Native, Server, Socket, signal, soon, until};

/// `useSignalWebSocket` of the page: signals by id, and an alarm for each that it first sees as confirmed.
struct Page {
    socket: Native,
    shown: BTreeMap<String, Value>,
    alarms: Vec<String>,
}

impl Page {
    async fn open(server: &Server, path: &str) -> Self {
        let socket = Native::connect(server.addr, path).await;
        Self { socket, shown: BTreeMap::new(), alarms: Vec::new() }
    }

    /// Opens the page, which subscribes as soon as it is open, and takes what comes up to the answer.
    async fn load(server: &Server, path: &str) -> Self {
        let mut page = Self::open(server, path).await;
        page.subscribe(&json!({})).await;
        page
    }

    /// Subscribes to everything with more fields. Returns the answer.
    async fn subscribe(&mut self, fields: &Value) -> Value {
        let mut frame =
            json!({"type": "subscribe", "channels": ["signals", "prices"], "timestamp": "2026-11-20T09:33:59.987Z"});
        for (name, value) in fields.as_object().unwrap() {
            frame[name] = value.clone();
        }
        self.socket.send(&frame).await;
        self.take_until("subscribed").await
    }

    /// Takes frames up to the next of a type, which is returned.
    async fn take_until(&mut self, kind: &str) -> Value {
        loop {
            let frame = soon(kind, self.socket.next()).await.unwrap();
            if frame["type"] == "signal" {
                self.take(&frame["payload"]);
            }
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    fn take(&mut self, signal: &Value) {
        let id = signal["id"].as_str().unwrap().to_owned();
        let known = self.shown.get(&id).is_some_and(|shown| shown["status"] == "confirmed");
        if signal["status"] == "confirmed" && !known {
            self.alarms.push(id.clone());
        }
        self.shown.insert(id, signal.clone());
    }

    fn ids(&self) -> Vec<&str> {
        self.shown.keys().map(String::as_str).collect()
    }
}

/// A server that has an old confirmed signal, an old invalidated one, and one that is pending.
async fn server_with_old_signals() -> (Server, Value) {
    let server = Server::start(&[("ORION_ALARM_WINDOW", "300ms")]).await;
    let start = server.cursor().await;
    for id in ["ended", "old", "waits"] {
        server.push(&signal(id)).await;
    }
    server.push(&json!({"id": "ended", "status": "invalidated"})).await;
    server.push(&json!({"id": "old", "status": "confirmed"})).await;
    until("a page that is loaded is quiet", async || Page::load(&server, "/ws/signals").await.alarms.is_empty()).await;
    (server, start)
}

#[tokio::test]
async fn a_page_load_sounds_no_old_alarm() {
    let (server, _) = server_with_old_signals().await;
    let mut page = Page::load(&server, "/ws/signals").await;
    assert_eq!((page.ids(), page.alarms.len()), (vec!["ended", "waits"], 0));
    // One that never says anything is no other.
    let mut silent = Page::open(&server, "/ws/signals").await;
    silent.take_until("subscribed").await;
    assert_eq!(silent.ids(), ["ended", "waits"]);
    // What happens from now on sounds.
    server.push(&json!({"id": "waits", "status": "confirmed"})).await;
    page.take_until("signal").await;
    assert_eq!(page.alarms, ["waits"]);
    // And news for the next page that is loaded.
    assert_eq!(Page::load(&server, "/ws/signals").await.alarms, ["waits"]);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_asks_gets_the_window() {
    let (server, _) = server_with_old_signals().await;
    let everything = ["ended", "old", "waits"];
    let mut page = Page::open(&server, "/ws/signals").await;
    assert_eq!(page.subscribe(&json!({"replay": "10m"})).await["replay"], "10m");
    assert_eq!(page.ids(), everything);
    // Never more than the server's window, and the answer says how much.
    let mut page = Page::open(&server, "/ws/signals").await;
    assert_eq!(page.subscribe(&json!({"replay": "3h"})).await["replay"], "10m");
    assert_eq!(page.ids(), everything);
    for path in ["/ws/signals?replay=10m", "/ws/signals/?replay=600s"] {
        assert_eq!(Page::load(&server, path).await.ids(), everything, "{path}");
    }
    let mut silent = Page::open(&server, "/ws/signals?replay=10m").await;
    silent.take_until("subscribed").await;
    assert_eq!(silent.ids(), everything);
    // Asked late, what was left out comes, and nothing twice.
    let mut late = Page::load(&server, "/ws/signals").await;
    late.shown.clear();
    for expected in [vec!["old"], vec![]] {
        assert_eq!(late.subscribe(&json!({"replay": "10m"})).await["recovered"], Value::Null);
        assert_eq!(late.ids(), expected);
        late.shown.clear();
    }
    // Less than the window is possible, too.
    let mut short = Page::open(&server, "/ws/signals").await;
    short.subscribe(&json!({"replay": "0s"})).await;
    assert_eq!(short.ids(), ["waits"]);
    server.stop().await;
}

#[tokio::test]
async fn a_cursor_brings_old_alarms_as_well() {
    let (server, start) = server_with_old_signals().await;
    let path = format!("/ws/signals?since={}", start.as_str().unwrap());
    let mut page = Page::open(&server, &path).await;
    assert_eq!(page.take_until("subscribed").await["recovered"], true);
    assert_eq!((page.ids(), &page.alarms), (vec!["ended", "old", "waits"], &vec!["old".to_owned()]));
    // In place of a gap that cannot be filled comes the whole window.
    let mut page = Page::open(&server, "/ws/signals").await;
    assert_eq!(page.subscribe(&json!({"since": "another:3"})).await["recovered"], false);
    assert_eq!(page.ids(), ["ended", "old", "waits"]);
    server.stop().await;
}

#[tokio::test]
async fn the_console_goes_on_showing_the_window() {
    let (server, _) = server_with_old_signals().await;
    for (fields, expected) in [
        (json!({}), vec!["ended", "old", "waits"]),
        (json!({"replay": "10m"}), vec!["ended", "old", "waits"]),
        (json!({"replay": "0s"}), vec!["waits"]),
    ] {
        let mut client = Socket::open(server.addr).await;
        client.subscribe(&fields).await;
        let told = client.until("subscribed").await;
        let mut ids: Vec<_> = told.iter().filter_map(|(_, args)| args[0]["id"].as_str()).collect();
        ids.sort_unstable();
        assert_eq!(ids, expected, "{fields}");
        let granted = fields.get("replay").cloned().unwrap_or_default();
        assert_eq!(told.last().unwrap().1[0]["replay"], granted);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_bad_replay_is_named() {
    let server = Server::push_only().await;
    let told = |asked: &str| format!("replay must be a duration such as \"10m\" or \"90s\", not '{asked}'");
    let mut page = Page::open(&server, "/ws/signals?replay=soon").await;
    let error = page.take_until("error").await;
    assert_eq!((&error["code"], &error["error"]), (&json!("invalid_request"), &json!(told("soon"))));
    page.socket.send(&json!({"type": "subscribe", "replay": 600})).await;
    let error = page.take_until("error").await;
    assert_eq!((&error["code"], &error["error"]), (&json!("invalid_request"), &json!(told("600"))));
    page.take_until("subscribed").await;
    let mut client = Socket::open(server.addr).await;
    client.subscribe(&json!({"replay": "-5m"})).await;
    assert_eq!(client.event("error").await[0]["error"], told("-5m"));
    client.event("subscribed").await;
    server.stop().await;
}

/// The page prints `signal.take_profits && signal.take_profits.length && …`: an empty list prints "0".
#[tokio::test]
async fn a_signal_without_targets_prints_nothing() {
    let server = Server::push_only().await;
    let start = server.cursor().await;
    let mut live = Page::load(&server, "/ws/signals").await;
    let mut client = Socket::open(server.addr).await;
    client.subscribe(&Value::Null).await;
    client.event("subscribed").await;
    for (id, targets) in [("none", json!([])), ("null", Value::Null)] {
        let mut body = signal(id);
        body["take_profits"] = targets;
        body["tp_modes"] = json!([]);
        server.push(&body).await;
        live.take_until("signal").await;
        // Elsewhere a list stays a list.
        assert_eq!(client.event("signal").await[0]["take_profits"], json!([]));
    }
    let snapshot = Page::load(&server, "/ws/signals").await;
    let mut back = Page::open(&server, &format!("/ws/signals?since={}", start.as_str().unwrap())).await;
    back.take_until("subscribed").await;
    for page in [live, snapshot, back] {
        for id in ["none", "null"] {
            assert_eq!(page.shown[id]["take_profits"], Value::Null, "{id}");
            assert_eq!(page.shown[id]["tp_modes"], json!([]), "{id}");
        }
    }
    let (_, read) = server.get("/api/signals/none").await;
    assert_eq!(read["signal"]["take_profits"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn a_repeated_price_does_not_blink() {
    let server = Server::push_only().await;
    for price in [1.0850, 1.0852] {
        server.post("/api/prices", &json!({"symbol": "EURUSD", "price": price})).await;
        until("it is published", async || {
            let (_, prices) = server.get("/api/prices").await;
            prices["prices"].as_array().is_some_and(|prices| prices.iter().any(|row| row["price"] == price))
        })
        .await;
    }
    // The snapshot, and then what is repeated every five seconds although nothing has changed.
    let mut page = Page::open(&server, "/ws/signals").await;
    for _ in 0..2 {
        let price = page.take_until("price_update").await["payload"].take();
        assert_eq!((&price["change"], &price["change_percent"]), (&json!(0.0002), &json!(0.0184)));
    }
    server.stop().await;
}
