//! Filters of signals: by the same names on every way in, on the snapshot, on what was missed, and live.

use serde_json::{Value, json};

use crate::support::{Native, Packet, Polling, Protocol, Server, Socket, seq, signal, soon};

/// A signal with these fields in place of the usual ones.
fn like(id: &str, mut fields: Value) -> Value {
    let mut body = signal(id);
    body.as_object_mut().unwrap().extend(std::mem::take(fields.as_object_mut().unwrap()));
    body
}

/// A client over any transport.
pub(crate) enum Client {
    Native(Native),
    WebSocket(Socket),
    Polling(Box<Polling>),
}

impl Client {
    /// One client of each kind; the first of them filters in its address.
    pub(crate) async fn each(server: &Server, query: &str) -> Vec<(&'static str, Self)> {
        let in_address = Native::connect(server.addr, &format!("/ws/signals?{query}")).await;
        let websocket = Socket::open(server.addr).await;
        let mut clients = vec![
            ("address", Self::Native(in_address)),
            ("frame", Self::Native(Native::connect(server.addr, "/api/websocket").await)),
            ("WebSocket", Self::WebSocket(websocket)),
            ("polling", Self::Polling(Box::new(Polling::open(server.addr, Protocol::Eio4).await))),
        ];
        if let Self::WebSocket(socket) = &mut clients[2].1 {
            socket.say("40").await;
            socket.connected().await;
        }
        if let Self::Polling(polling) = &mut clients[3].1 {
            polling.say("40").await;
            assert_eq!(polling.next().await, Ok(Packet::Connected));
        }
        clients
    }

    pub(crate) async fn subscribe(&mut self, request: &Value) {
        match self {
            Self::Native(native) => {
                let mut frame = request.clone();
                frame["type"] = json!("subscribe");
                native.send(&frame).await;
            }
            Self::WebSocket(socket) => socket.emit("subscribe", request).await,
            Self::Polling(polling) => polling.emit("subscribe", request).await,
        }
    }

    /// The next event, its payload, and the cursor beside it.
    pub(crate) async fn next(&mut self) -> (String, Value, Value) {
        soon("an event", async {
            loop {
                let packet = match self {
                    Self::Native(native) => {
                        let mut frame = native.next().await.unwrap();
                        let kind = frame["type"].as_str().unwrap().to_owned();
                        let payload = if frame["payload"].is_null() { frame.clone() } else { frame["payload"].take() };
                        return (kind, payload, frame["cursor"].take());
                    }
                    Self::WebSocket(socket) => socket.next().await.unwrap(),
                    Self::Polling(polling) => polling.next().await.unwrap(),
                };
                if let Packet::Event(kind, mut args) = packet {
                    args.resize(2, Value::Null);
                    let mut meta = args.pop().unwrap();
                    return (kind, args.pop().unwrap(), meta["cursor"].take());
                }
            }
        })
        .await
    }

    /// The ids of the signals up to `subscribed`, and that answer.
    pub(crate) async fn until_subscribed(&mut self) -> (Vec<String>, Value) {
        let mut ids = Vec::new();
        loop {
            let (kind, payload, _) = self.next().await;
            match kind.as_str() {
                "signal" => ids.push(payload["id"].as_str().unwrap().to_owned()),
                "subscribed" => return (ids, payload),
                "price_update" => {}
                _ => panic!("{kind} {payload}"),
            }
        }
    }

    async fn signal(&mut self) -> (String, Value) {
        let (kind, payload, cursor) = self.next().await;
        assert_eq!(kind, "signal", "{payload}");
        (payload["id"].as_str().unwrap().to_owned(), cursor)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_apply_to_all_that_a_client_gets() {
    let server = Server::push_only().await;
    let start = server.cursor().await;
    server.push(&like("a", json!({"confidence": 0.9}))).await;
    server.push(&like("b", json!({"confidence": 0.5}))).await;
    let filters =
        json!({"min_confidence": 0.8, "directions": ["long"], "setups": ["mss_fvg"], "statuses": ["pending"]});
    let query = "min_confidence=0.8&directions=long&setups=MSS%2BFVG&statuses=pending";
    let mut clients = Client::each(&server, query).await;
    for (name, client) in &mut clients {
        let request = if *name == "address" { json!({}) } else { filters.clone() };
        let mut request = request;
        request["channels"] = json!(["signals"]);
        client.subscribe(&request).await;
        let (ids, subscribed) = client.until_subscribed().await;
        assert_eq!((ids, &subscribed["filters"]), (vec!["a".to_owned()], &filters), "{name}");
    }
    server.push(&like("c", json!({"confidence": 0.1}))).await;
    server.push(&json!({"id": "a", "status": "confirmed"})).await;
    server.push(&like("d", json!({"reason": "BOS confirmation"}))).await;
    server.push(&like("e", json!({}))).await;
    for (name, client) in &mut clients {
        assert_eq!(client.signal().await.0, "e", "{name}");
    }
    // What the filters leave out does not stand in the way of resuming.
    let mut again = Client::each(&server, &format!("{query}&since={}", start.as_str().unwrap())).await;
    for (name, client) in &mut again {
        if *name != "address" {
            let mut request = filters.clone();
            request["channels"] = json!(["signals"]);
            request["since"] = start.clone();
            client.subscribe(&request).await;
        }
        let (ids, subscribed) = client.until_subscribed().await;
        assert_eq!((ids, &subscribed["recovered"]), (vec!["a".to_owned(), "e".to_owned()], &json!(true)), "{name}");
        assert_eq!(seq(&subscribed["cursor"]), 6, "{name}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_filters_bring_what_was_left_out() {
    let server = Server::push_only().await;
    server.push(&like("a", json!({"confidence": 0.9}))).await;
    server.push(&like("b", json!({"confidence": 0.5}))).await;
    for (name, client) in &mut Client::each(&server, "").await {
        client.subscribe(&json!({"channels": ["signals"], "min_confidence": 0.8})).await;
        assert_eq!(client.until_subscribed().await.0, ["a"], "{name}");
        client.subscribe(&json!({"channels": ["signals"]})).await;
        let (ids, subscribed) = client.until_subscribed().await;
        assert_eq!((ids, subscribed.get("filters")), (vec!["b".to_owned()], None), "{name}");
        client.subscribe(&json!({"channels": ["signals"], "sources": "elsewhere"})).await;
        assert_eq!(client.until_subscribed().await.0.len(), 0, "{name}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_filters_are_errors_on_every_way() {
    let server = Server::push_only().await;
    server.push(&signal("a")).await;
    let unknown =
        "confidence is no filter; the filters are min_confidence, directions, killzones, setups, sources, statuses";
    for (name, client) in &mut Client::each(&server, "").await {
        client.subscribe(&json!({"channels": ["signals", "prices"], "statuses": "open"})).await;
        let (kind, error, _) = client.next().await;
        assert_eq!((kind.as_str(), &error["code"]), ("error", &json!("invalid_filter")), "{name}");
        assert_eq!(error["error"], "statuses must be of pending, confirmed, invalidated, not 'open'", "{name}");
        let (ids, subscribed) = client.until_subscribed().await;
        assert_eq!((ids.len(), &subscribed["channels"]), (0, &json!(["prices"])), "{name}");
        client.subscribe(&json!({"confidence": 0.8})).await;
        let (_, error, _) = client.next().await;
        assert_eq!((&error["code"], &error["error"]), (&json!("unknown_filter"), &json!(unknown)), "{name}");
    }
    let wrong = "directions must be of long, short, not 'up'";
    let (status, refusal) = crate::support::refusal(server.addr, "/ws/signals?directions=up", &[]).await;
    assert_eq!((status, &refusal["code"]), (400, &json!("validation_failed")), "{refusal}");
    assert!(refusal.to_string().contains(wrong) || refusal.to_string().contains("long, short"), "{refusal}");
    let mut native = Native::connect(server.addr, "/ws/signals?confidence=1").await;
    assert_eq!(native.frame("error").await["error"], unknown);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_comes_to_who_asks_for_it() {
    let server = Server::push_only().await;
    let clock = server.get("/api/killzones").await.1;
    for (name, client) in &mut Client::each(&server, "").await {
        client.subscribe(&json!({"channels": ["clock"]})).await;
        let (_, subscribed) = client.until_subscribed().await;
        assert_eq!(subscribed["channels"], json!(["clock"]), "{name}");
        let (kind, now, _) = client.next().await;
        assert_eq!(kind, "killzone", "{name}");
        for field in ["killzone", "changes_at"] {
            assert_eq!(now[field], clock[field], "{name}");
        }
        assert_eq!(now["next"]["begins_at"], clock["next"]["begins_at"], "{name}");
        assert!(now["seconds_to_change"].as_i64().unwrap() <= clock["seconds_to_change"].as_i64().unwrap(), "{name}");
    }
    server.stop().await;
}
