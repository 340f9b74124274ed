//! What clients cannot do to the server, on every endpoint.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use futures_util::SinkExt;

use crate::support::{Native, Packet, Polling, Protocol, Server, Socket, TOKEN, answer, open, refusal, soon};

const KIB: usize = 1024;

/// A ping padded to so many bytes.
fn padded(bytes: usize) -> String {
    let frame = r#"{"type":"ping","pad":""}"#;
    frame.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - frame.len())))
}

async fn healthy(server: &Server) {
    assert_eq!(server.get("/ready").await.0, 200);
    let mut native = Native::connect(server.addr, "/ws/signals").await;
    native.frame("subscribed").await;
    let mut socket = Socket::open(server.addr).await;
    socket.subscribe(&Value::Null).await;
    socket.event("subscribed").await;
}

#[tokio::test]
async fn messages_are_limited_to_64_kib() {
    let server = Server::push_only().await;
    let mut native = Native::connect(server.addr, "/ws/signals").await;
    native.say(padded(64 * KIB)).await;
    native.frame("pong").await;
    native.try_say(padded(64 * KIB + 1)).await;
    let code = soon("the native client is cut", async {
        loop {
            if let Err(code) = native.next().await {
                return code;
            }
        }
    });
    assert_eq!(code.await, 1009);

    let mut socket = Socket::open(server.addr).await;
    socket.subscribe(&Value::Null).await;
    let event = |bytes: usize| format!(r#"42["ping","{}"]"#, "x".repeat(bytes - r#"42["ping",""]"#.len()));
    socket.say(event(64 * KIB)).await;
    socket.event("pong").await;
    socket.try_say(event(64 * KIB + 1)).await;
    soon("the Socket.IO client is cut", async {
        while let Ok(packet) = socket.next().await {
            assert_ne!(packet, Packet::Disconnected);
        }
    })
    .await;

    let polling = Polling::open(server.addr, Protocol::Eio4).await;
    let url = server.url(&format!("/socket.io/?EIO=4&transport=polling&sid={}", polling.sid));
    let posted = server.http.post(url).body(event(64 * KIB + 1)).send().await.unwrap();
    assert_eq!(posted.status(), 413);
    healthy(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn endless_nesting_is_refused() {
    let server = Server::push_only().await;
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    for path in ["/api/signals", "/api/prices"] {
        // Deeper than any stack, and small enough for a batch.
        let request = server.http.post(server.url(path)).bearer_auth(TOKEN).body("[".repeat(200_000));
        let (status, body) = answer(request.header("content-type", "application/json")).await;
        let expected = if path == "/api/prices" { (400, "invalid_json") } else { (413, "payload_too_large") };
        assert_eq!((status, body["code"].as_str()), (expected.0, Some(expected.1)), "{path}");
    }
    let mut native = Native::connect(server.addr, "/ws/signals").await;
    for frame in [deep(30_000), "[".repeat(60_000), format!(r#"{{"type":"subscribe","channels":{}}}"#, deep(20_000))] {
        native.say(frame).await;
        assert_eq!(native.frame("error").await["code"], "invalid_json");
    }
    // What cannot be read is taken for nothing, or ends this one session.
    for packet in [
        format!(r#"42["subscribe",{}]"#, deep(30_000)),
        format!(r#"42["message",{}]"#, deep(30_000)),
        format!("42{}", "[".repeat(60_000)),
        format!("40{}", "[".repeat(60_000)),
    ] {
        let mut socket = Socket::open(server.addr).await;
        socket.say("40").await;
        socket.connected().await;
        socket.say(packet).await;
        socket.try_say(r#"42["ping"]"#).await;
        soon("an answer or an end", async {
            while let Ok(packet) = socket.next().await {
                assert_ne!(packet, Packet::Disconnected);
                if matches!(packet, Packet::Event(event, _) if event == "pong") {
                    break;
                }
            }
        })
        .await;
    }
    healthy(&server).await;
    assert_eq!(server.complaints(), Vec::<String>::new());
    server.stop().await;
}

#[tokio::test]
async fn binary_frames_and_unknown_events_are_survived() {
    // Nor is it the limit that saves it.
    let server = Server::start(&[("ORION_LIMITS__EVENTS_PER_SECOND", "0")]).await;
    let mut native = Native::connect(server.addr, "/ws/signals").await;
    native.0.send(Message::binary(Bytes::from_static(&[0xff, 0xfe, 0]))).await.unwrap();
    assert_eq!(native.frame("error").await["code"], "invalid_json");
    for number in 0..2_000 {
        native.say(format!(r#"{{"type":"whatever{number}"}}"#)).await;
        if number % 100 == 99 {
            assert_eq!(native.frame("error").await["code"], "unknown_type");
        }
    }
    native.say(r#"{"type":"ping","timestamp":1}"#).await;
    assert_eq!(native.frame("pong").await["timestamp"], 1);

    let mut socket = Socket::open(server.addr).await;
    socket.subscribe(&Value::Null).await;
    for number in 0..5_000 {
        socket.emit(&format!("whatever{number}"), &json!({"a": [1, 2, 3]})).await;
    }
    socket.emit("ping", &json!({"timestamp": "t"})).await;
    assert_eq!(socket.event("pong").await[0]["timestamp"], "t");
    // A binary message that nothing announced; and one that announces more attachments than are taken.
    for announce in [None, Some(r#"459-["subscribe",{"_placeholder":true,"num":0}]"#)] {
        let mut socket = Socket::open(server.addr).await;
        socket.subscribe(&Value::Null).await;
        if let Some(announce) = announce {
            socket.say(announce).await;
        }
        soon("the session is cut", async {
            let binary = || Message::binary(Bytes::from_static(&[4, 1, 2]));
            while socket.stream.send(binary()).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    healthy(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn a_thousand_symbols_are_cut_to_the_limit() {
    let server = Server::push_only().await;
    let symbols: Vec<_> = std::iter::once("EURUSD".to_owned()).chain((1..1_000).map(|n| format!("NONE{n}"))).collect();
    let mut native = Native::connect(server.addr, "/ws/signals").await;
    native.frame("subscribed").await;
    native.send(&json!({"type": "subscribe", "channels": ["prices"], "symbols": symbols})).await;
    assert_eq!(native.frame("error").await["code"], "too_many");
    let subscribed = native.frame("subscribed").await;
    assert_eq!(subscribed["symbols"], json!(["EURUSD"]));

    let mut socket = Socket::open(server.addr).await;
    socket.subscribe(&json!({"channels": vec!["prices"; 1_000], "symbols": symbols})).await;
    assert_eq!(socket.event("error").await[0]["code"], "too_many");
    let subscribed = socket.event("subscribed").await;
    assert_eq!((&subscribed[0]["symbols"], &subscribed[0]["channels"]), (&json!(["EURUSD"]), &json!(["prices"])));
    server.stop().await;
}

const SIO_WS: &str = "/socket.io/?EIO=4&transport=websocket";
const SIO_POLL: &str = "/socket.io/?EIO=4&transport=polling";

#[tokio::test]
async fn what_is_no_websocket_handshake_opens_no_websocket() {
    let server = Server::push_only().await;
    let whole = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let ask = async |path: &str, headers: &[(&str, &str)]| {
        let request = server.http.get(server.url(path));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send().await.unwrap().status().as_u16()
    };
    for path in [SIO_WS, "/ws/signals/?EIO=4&transport=websocket", "/socket.io/?EIO=3&transport=websocket", "/ws"] {
        assert_eq!(ask(path, &whole).await, 101, "{path}");
        for without in 0..whole.len() {
            let mut headers = whole.to_vec();
            headers.remove(without);
            let status = ask(path, &headers).await;
            assert!(status == 426 || (status == 400 && path == "/ws"), "{path} without {:?}: {status}", whole[without]);
        }
        for wrong in [("connection", "keep-alive"), ("upgrade", "h2c"), ("sec-websocket-version", "12")] {
            let headers = whole.map(|(name, value)| if name == wrong.0 { wrong } else { (name, value) });
            assert_eq!(ask(path, &headers).await, 426, "{path} with {wrong:?}");
        }
    }
    healthy(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn unlisted_origins_cannot_connect_over_any_transport() {
    let listed = "https://app.example";
    let server = Server::start(&[("ORION_ALLOWED_ORIGINS", listed)]).await;
    let own = format!("http://{}", server.addr);
    for path in ["/ws/signals", "/ws/signals/", "/api/websocket", SIO_WS, "/ws/signals/?EIO=4&transport=websocket"] {
        for origin in ["https://evil.example", "null", "https://app.example.evil"] {
            let (status, body) = refusal(server.addr, path, &[("origin", origin)]).await;
            assert_eq!((status, &body["code"]), (403, &"origin_not_allowed".into()), "{path} from {origin}");
        }
        for origin in [listed, own.as_str()] {
            let stream = tokio::net::TcpStream::connect(server.addr).await.unwrap();
            open(stream, server.addr, path, &[("origin", origin)]).await.unwrap();
        }
    }
    for path in [SIO_POLL, "/ws/signals/?EIO=4&transport=polling", "/socket.io/?EIO=3&transport=polling"] {
        for (origin, status) in [("https://evil.example", 403), ("null", 403), (listed, 200), (own.as_str(), 200)] {
            let response = server.http.get(server.url(path)).header("origin", origin).send().await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{path} from {origin}");
        }
    }
    // Nor can it go on with a session that it knows the id of.
    let polling = Polling::open(server.addr, Protocol::Eio4).await;
    let url = server.url(&format!("{SIO_POLL}&sid={}", polling.sid));
    let posted = server.http.post(url).header("origin", "https://evil.example").body("40").send().await.unwrap();
    assert_eq!(posted.status(), 403);
    server.stop().await;
}

#[tokio::test]
async fn required_read_tokens_hold_on_every_transport() {
    let server = Server::start(&[("ORION_READ_AUTH", "required"), ("ORION_READ_TOKEN", "read-me")]).await;
    let addr = server.addr;
    for (path, headers) in [
        ("/ws/signals", &[][..]),
        ("/ws/signals?token=wrong", &[]),
        ("/ws/signals", &[("authorization", "Bearer wrong")]),
        ("/ws/signals", &[("authorization", "Basic read-me")]),
        ("/api/websocket?token=wrong", &[]),
        ("/socket.io/?EIO=4&transport=websocket&token=wrong", &[]),
        ("/ws/signals/?EIO=4&transport=websocket&token=wrong", &[]),
        ("/socket.io/?EIO=3&transport=websocket&token=wrong", &[]),
        (SIO_WS, &[("authorization", "Bearer wrong")]),
    ] {
        let (status, body) = refusal(addr, path, headers).await;
        assert_eq!((status, &body["code"]), (401, &"unauthorized".into()), "{path} {headers:?}");
    }
    let wrong = server.http.get(server.url(&format!("{SIO_POLL}&token=wrong"))).send().await.unwrap();
    assert_eq!(wrong.status(), 401);

    // `auth` comes after the handshake: it is the namespace that is refused.
    for connect in ["40", r#"40{"token":"wrong"}"#, r#"40/ws/signals,{"token":"wrong"}"#] {
        let mut socket = Socket::open(addr).await;
        socket.say(connect).await;
        assert!(matches!(soon("refused", socket.next()).await, Ok(Packet::Refused(_))), "{connect}");
        let mut polling = Polling::open(addr, Protocol::Eio4).await;
        polling.say(connect).await;
        assert!(matches!(soon("refused", polling.next()).await, Ok(Packet::Refused(_))), "{connect}");
    }
    let mut socket = Socket::open(addr).await;
    socket.say(r#"40{"token":"read-me"}"#).await;
    socket.connected().await;
    let mut polling = Polling::open(addr, Protocol::Eio4).await;
    polling.say(r#"40{"token":"read-me"}"#).await;
    assert_eq!(soon("connected", polling.next()).await, Ok(Packet::Connected));
    let mut native = Native::connect(addr, "/ws/signals?token=read-me").await;
    native.frame("subscribed").await;

    for path in ["/api/signals", "/api/prices", "/api/instruments", "/api/bars?symbol=EURUSD&interval=1m"] {
        assert_eq!(server.get(path).await.0, 401, "{path}");
        assert_eq!(server.http.get(server.url(path)).bearer_auth("read-me").send().await.unwrap().status(), 200);
    }
    for path in ["/health", "/ready"] {
        assert_eq!(server.get(path).await.0, 200, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn bodies_are_json_and_have_a_limit() {
    let server = Server::push_only().await;
    let send = |path: &str, kind: &str, body: String| {
        let request = server.http.post(server.url(path)).bearer_auth(TOKEN).header("content-type", kind.to_owned());
        answer(request.body(body))
    };
    for (path, limit) in [("/api/signals", 64), ("/api/prices", 256)] {
        let (status, body) = send(path, "application/json", " ".repeat(limit * KIB + 1)).await;
        assert_eq!((status, &body["code"]), (413, &"payload_too_large".into()), "{path}: {body}");
        let (status, body) = send(path, "application/json", " ".repeat(limit * KIB)).await;
        assert_eq!((status, &body["code"]), (400, &"invalid_json".into()), "{path}: {body}");
        let (status, body) = send(path, "application/xml", "<a/>".into()).await;
        assert_eq!((status, &body["code"]), (415, &"unsupported_media_type".into()), "{path}: {body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn only_listed_origins_may_write() {
    let server = Server::push_only().await;
    let page = "https://page.example";
    let response = server.http.get(server.url(SIO_POLL)).header("origin", page).send().await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], page);
    assert_eq!(response.headers()["access-control-allow-credentials"], "true");
    let preflight = |path: &str, method: &'static str| {
        let request = server.http.request(reqwest::Method::OPTIONS, server.url(path)).header("origin", page);
        request.header("access-control-request-method", method).send()
    };
    let polling = preflight(SIO_POLL, "POST").await.unwrap();
    assert!(polling.status().is_success());
    assert_eq!(polling.headers()["access-control-allow-origin"], page);
    assert_eq!(polling.headers()["access-control-allow-credentials"], "true");
    let refused = server.http.get(server.url("/socket.io/?EIO=4&transport=polling&sid=unknown")).header("origin", page);
    let refused = refused.send().await.unwrap();
    assert!(refused.status().is_client_error(), "{refused:?}");
    assert_eq!(refused.headers()["access-control-allow-origin"], page);
    assert_eq!(refused.headers()["access-control-allow-credentials"], "true");
    let plain = server.http.get(server.url("/api/prices")).header("origin", page).send().await.unwrap();
    assert_eq!(plain.headers()["access-control-allow-origin"], "*");
    assert!(!plain.headers().contains_key("access-control-allow-credentials"), "{plain:?}");
    let methods = polling.headers()["access-control-allow-methods"].to_str().unwrap();
    assert!(methods.contains("POST"), "{methods}");
    let writing = preflight("/api/signals", "POST").await.unwrap();
    assert!(!writing.headers().contains_key("access-control-allow-origin"), "{writing:?}");
    server.stop().await;
}
