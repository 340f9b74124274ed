//! Details of Socket.IO that clients of version 2 and pages with several parts rely on.

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Native, Packet, Polling, Protocol, Server, Socket, signal, soon, upgrade};

/// The next packet of a namespace, as it came.
async fn packet_of(client: &mut Socket, namespace: &str) -> String {
    soon(namespace, async {
        loop {
            match client.stream.next().await {
                Some(Ok(Message::Text(text))) if text.contains(namespace) => return text.to_string(),
                Some(Ok(_)) => {}
                other => panic!("{other:?} before a packet of {namespace}"),
            }
        }
    })
    .await
}

async fn version_2(server: &Server) -> Socket {
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let mut client = Socket::over(stream, server.addr, Protocol::Eio3).await;
    client.connected().await;
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_2_namespace_keeps_its_query() {
    let server = Server::push_only().await;
    server.push(&signal("known")).await;
    for asked in ["/ws/signals?token=abc,", "/ws/signals?sessionId=2053&revision=develop,", "/ws/signals/?a=b"] {
        let namespace = asked.split_once('?').unwrap().0;
        let mut client = version_2(&server).await;
        client.say(format!("40{asked}")).await;
        // Clients take no notice of answers that name the query as well.
        assert_eq!(packet_of(&mut client, namespace).await.trim_end_matches(','), format!("40{namespace}"));
        client.say(format!(r#"42{namespace},["subscribe","signals"]"#)).await;
        let known = packet_of(&mut client, namespace).await;
        assert!(known.starts_with(&format!(r#"42{namespace},["signal",{{"id":"known""#)), "{known}");
    }
    let mut client = version_2(&server).await;
    client.say("40/nowhere?token=abc,").await;
    assert!(packet_of(&mut client, "/nowhere").await.starts_with("44/nowhere,"));

    // Long polling, then the same session over WebSocket.
    let mut polling = Polling::open(server.addr, Protocol::Eio3).await;
    assert_eq!(soon("connected", polling.next()).await, Ok(Packet::Connected));
    polling.say("40/ws/signals?token=abc,").await;
    assert_eq!(soon("connected", polling.next()).await, Ok(Packet::Connected));
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let mut upgraded = upgrade(polling, stream, server.addr).await;
    upgraded.say(r#"42/ws/signals,["subscribe","signals"]"#).await;
    assert!(packet_of(&mut upgraded, "/ws/signals").await.starts_with(r#"42/ws/signals,["signal","#));
    upgraded.say("40/ws/signals/?token=abc,").await;
    assert_eq!(packet_of(&mut upgraded, "40/ws/signals/").await.trim_end_matches(','), "40/ws/signals/");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_2_namespace_token_is_checked() {
    let required = [("ORION_READ_AUTH", "required"), ("ORION_READ_TOKEN", "reader")];
    let server = Server::start(&required).await;
    for (token, answer) in [("reader", "40/ws/signals"), ("wrong", "44/ws/signals,")] {
        let stream = TcpStream::connect(server.addr).await.unwrap();
        let mut client = Socket::over(stream, server.addr, Protocol::Eio3).await;
        client.say(format!("40/ws/signals?token={token},")).await;
        let told = packet_of(&mut client, "/ws/signals").await;
        assert!(told.starts_with(answer), "{token}: {told}");

        let mut polling = Polling::open(server.addr, Protocol::Eio3).await;
        // The main namespace, which has no token, is refused either way.
        assert!(matches!(soon("refused", polling.next()).await, Ok(Packet::Refused(_))));
        polling.say(&format!("40/ws/signals?token={token},")).await;
        let told = soon("an answer", polling.next()).await;
        assert_eq!(matches!(told, Ok(Packet::Connected)), token == "reader", "{token}: {told:?}");
    }
    server.stop().await;
}

/// Two parts of a page share a connection, and so its one subscription.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_unsubscribe_ends_what_two_parts_asked_for() {
    let server = Server::push_only().await;
    let mut client = Socket::open(server.addr).await;
    client.subscribe(&json!({ "channels": ["prices"], "symbols": ["EURUSD"] })).await;
    client.event("subscribed").await;
    client.emit("subscribe", &json!({ "channels": ["prices"], "symbols": ["EURUSD", "XAUUSD"] })).await;
    client.event("subscribed").await;
    client.emit("unsubscribe", &json!({ "channels": ["prices"], "symbols": ["EURUSD"] })).await;
    client.event("unsubscribed").await;
    let prices =
        json!({ "prices": [{ "symbol": "EURUSD", "price": 1.0851 }, { "symbol": "XAUUSD", "price": 2400.5 }] });
    assert_eq!(server.post("/api/prices", &prices).await.0, 200);
    assert_eq!(client.event("price_update").await[0]["symbol"], "XAUUSD");
    client.emit("ping", &json!({ "timestamp": 1 })).await;
    assert_eq!(client.until("pong").await.len(), 1, "nothing of EURUSD comes");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_names_symbols_that_nothing_feeds() {
    let server = Server::push_only().await;
    server.post("/api/prices", &json!({ "symbol": "EURUSD", "price": 1.0851 })).await;
    server.until("orion_events_published_total", "price_update", |count| count > 0.0).await;
    let mut socket = Socket::open(server.addr).await;
    socket.say("40").await;
    socket.connected().await;
    let mut native = Native::connect(server.addr, "/ws/signals").await;
    let unfed = |answer: &Value| answer.get("unfed").cloned();
    for (symbols, expected) in [
        (json!(["US30"]), Some(json!(["US30"]))),
        (json!(["EURUSD", "gold", "US30"]), Some(json!(["US30", "XAUUSD"]))),
        (json!(["EURUSD"]), None),
        (Value::Null, None),
    ] {
        let mut request = json!({ "type": "subscribe", "channels": ["prices", "signals"], "symbols": symbols });
        native.send(&request).await;
        assert_eq!(unfed(&native.frame("subscribed").await), expected, "{request}");
        request.as_object_mut().unwrap().remove("type");
        socket.emit("subscribe", &request).await;
        assert_eq!(unfed(&socket.event("subscribed").await[0]), expected, "{request}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_without_a_host_are_admitted_by_name() {
    let server = Server::start(&[("ORION_ALLOWED_ORIGINS", "null,file://")]).await;
    let addr = server.addr;
    for (origin, status) in [("null", 101), ("file://", 101), ("https://dash.example", 403)] {
        let header = [("origin", origin)];
        let native = Native::try_connect(addr, "/ws/signals", &header).await;
        assert_eq!(native.map_or_else(|status| status, |_| 101), status, "native from {origin}");
        let stream = TcpStream::connect(addr).await.unwrap();
        let socket = Socket::try_asking(stream, addr, Protocol::Eio4, "", &header).await;
        assert_eq!(socket.map_or_else(|status| status, |_| 101), status, "Socket.IO from {origin}");
    }
    server.stop().await;
}
