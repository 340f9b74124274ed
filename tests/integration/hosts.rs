//! Which host a request asks for, and what a handshake of a WebSocket has to hold.

use serde_json::json;

use crate::support::{Server, Wire, open};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn handshake(key: &str) -> String {
    format!("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n")
}

#[tokio::test]
async fn a_request_names_exactly_one_host() {
    let server = Server::push_only().await;
    for path in ["/health", "/api/prices", "/socket.io/?EIO=4&transport=polling"] {
        for headers in ["", "Host: a\r\nHost: a\r\n", "Host: a\r\nHost: b\r\n"] {
            let mut wire = Wire::connect(server.addr).await;
            let reply = wire.send(&format!("GET {path} HTTP/1.1\r\n{headers}\r\n")).await.unwrap();
            assert_eq!((reply.status, reply.code()), (400, json!("invalid_host")), "{path} {headers:?}");
        }
        let mut wire = Wire::connect(server.addr).await;
        let reply = wire.send(&format!("GET {path} HTTP/1.0\r\n\r\n")).await.unwrap();
        assert_eq!(reply.status, 200, "{path}");
    }
    assert_eq!(server.metric("orion_refused_total", "invalid_host").await, 9.0);
    server.stop().await;
}

#[tokio::test]
async fn only_listed_hosts_are_answered() {
    let settings = [
        ("ORION_SERVER__ALLOWED_HOSTS", "app.example.com,*.example.org,127.0.0.1"),
        ("ORION_ALLOWED_ORIGINS", "https://page.example"),
    ];
    let server = Server::start(&settings).await;
    let upgrade = handshake(KEY);
    for (path, headers, served) in [
        ("/api/prices", "", 200),
        ("/socket.io/?EIO=4&transport=polling", "", 200),
        ("/socket.io/?EIO=4&transport=websocket", upgrade.as_str(), 101),
        ("/ws/signals", upgrade.as_str(), 101),
    ] {
        for (host, status) in [
            ("app.example.com", served),
            ("APP.example.com:8080", served),
            ("a.example.org", served),
            ("evil.example", 421),
            ("app.example.com.evil.example", 421),
        ] {
            let mut wire = Wire::connect(server.addr).await;
            // What rebinding looks like: to the browser the page is the server's own.
            let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n{headers}\r\n");
            let reply = wire.send(&request).await.unwrap();
            assert_eq!(reply.status, status, "{path} {host}");
            if status == 421 {
                assert_eq!(reply.code(), json!("host_not_allowed"));
            }
        }
    }
    for path in ["/health", "/ready"] {
        let mut wire = Wire::connect(server.addr).await;
        assert_eq!(wire.get(path, "").await.unwrap().status, 200, "{path}");
    }
    open(tokio::net::TcpStream::connect(server.addr).await.unwrap(), server.addr, "/ws/signals", &[]).await.unwrap();
    assert_eq!(server.metric("orion_refused_total", "host_not_allowed").await, 8.0);
    server.stop().await;
}

#[tokio::test]
async fn an_origin_list_without_hosts_is_warned_of() {
    for (setting, value) in [("ORION_ALLOWED_ORIGINS", "https://page.example"), ("ORION_SENTIO_TRUST_USER_ID", "true")]
    {
        let server = Server::start(&[(setting, value)]).await;
        let warned = server.complaints().iter().any(|line| line.contains("ORION_SERVER__ALLOWED_HOSTS"));
        assert!(warned, "{setting}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_handshake_has_a_key_of_sixteen_bytes() {
    let server = Server::push_only().await;
    for path in
        ["/ws/signals", "/ws", "/socket.io/?EIO=4&transport=websocket", "/ws/signals/?EIO=3&transport=websocket"]
    {
        for (key, status) in [(KEY, 101), ("x", 400), ("dGhlIHNhbXBsZSBub25j", 400), ("dGhlIHNhbXBsZSBub25jZWE=", 400)]
        {
            let mut wire = Wire::connect(server.addr).await;
            let reply = wire.get(path, &handshake(key)).await.unwrap();
            assert_eq!(reply.status, status, "{path} {key}");
        }
        let mut wire = Wire::connect(server.addr).await;
        let reply = wire.get(path, &handshake(KEY).replace(": 13", ": 12")).await.unwrap();
        let told = (reply.status, reply.header("sec-websocket-version"), reply.header("upgrade"));
        assert_eq!(told, (426, Some("13"), Some("websocket")), "{path}");
    }
    server.stop().await;
}
