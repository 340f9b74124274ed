//! The version of the interface: every answer names it, and another one is refused on every way in.

use serde_json::json;

use crate::support::users::{SECRET, token};
use crate::support::{Native, Server, Socket, TOKEN, Wire};

/// Ways in: routes, pages, native streams, the event stream, Socket.IO.
const WAYS: [&str; 9] = [
    "/health",
    "/api/prices",
    "/signals/history",
    "/",
    "/ws/signals",
    "/ws/trade-signals",
    "/api/ws",
    "/api/realtime/events",
    "/socket.io/?EIO=4&transport=polling",
];
const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn another_version_is_refused_on_every_way_in() {
    let server = Server::push_only().await;
    for way in WAYS {
        let path = format!("{way}{}protocol=2", if way.contains('?') { '&' } else { '?' });
        for headers in ["", HANDSHAKE] {
            let mut wire = Wire::connect(server.addr).await;
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nOrigin: https://dash.example\r\n{headers}\r\n");
            let reply = wire.send(&request).await.unwrap();
            assert_eq!((reply.status, reply.code()), (400, json!("unsupported_protocol")), "{path}");
            assert!(reply.head.contains("access-control-allow-origin: "), "{path}: {}", reply.head);
        }
    }
    let (status, body) = server.post("/api/signals?protocol=2", &json!({})).await;
    let error =
        "This server speaks version 1 of its interface, not '2': leave protocol out, or use a server that has it";
    assert_eq!((status, body), (400, json!({ "error": error, "code": "unsupported_protocol" })));
    assert_eq!(server.metric("orion_refused_total", "reason=\"unsupported_protocol\"").await, 19.0);
}

#[tokio::test]
async fn every_answer_names_the_version() {
    let server = Server::start(&[("ORION_INGEST_TOKEN", TOKEN), ("ORION_JWT_SECRET", SECRET)]).await;
    let token = token("ana");
    for path in WAYS.into_iter().chain(["/nothing-here"]) {
        let request = server.http.get(server.url(path)).bearer_auth(&token).query(&[("protocol", "1")]);
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["orion-protocol"], "1", "{path}");
    }
    let mut wire = Wire::connect(server.addr).await;
    let reply = wire.send(&format!("GET /ws/signals?protocol=1 HTTP/1.1\r\nHost: a\r\n{HANDSHAKE}\r\n")).await.unwrap();
    assert!(reply.status == 101 && reply.header("orion-protocol") == Some("1"), "{}", reply.head);
    assert_eq!(server.get("/health").await.1["protocol"], 1);

    let mut native = Native::connect(server.addr, "/ws/signals").await;
    native.send(&json!({"type": "subscribe", "channels": ["signals"]})).await;
    assert_eq!(native.frame("subscribed").await["protocol"], 1);
    let mut socket = Socket::open(server.addr).await;
    socket.subscribe(&json!(["signals"])).await;
    assert_eq!(socket.event("subscribed").await[0]["protocol"], 1);
}
