//! Clients that flood, hoard and probe: bounded, answered with a fitting code, and unnoticed by the others.
//!
//! Which test stands for which weakness of the libraries below:
//!
//! | | what | where |
//! |---|---|---|
//! | W1, W2 | readers that stop, full queues | `slow_clients::who_does_not_read_…`, `listener::tests`, `hub::tests`; at a dashboard's pace `benches/slow_readers.rs` |
//! | W3, W4 | events right after connecting, leaving meanwhile | `joining::five_hundred_clients_…`, `leaks` |
//! | W5 | asking without reading | `slow_clients::whoever_asks_…`, `listener::stream`, here: floods of pings and pongs |
//! | W6, W7 | size of messages, attachments | `limits`, `frames::a_message_that_is_too_large_…`, `leaks` |
//! | W8 | handshakes, origins, tokens, namespaces, rooms | `limits`, `private`, here: ten thousand namespaces |
//! | W9 | slowloris, silence, slow bodies | `listener::tests`, here |
//! | W10 | SIGTERM | `draining` |
//! | W11 | aborted polls | bounded by the cap per address, here; they end with the ping: `leaks`; docs/limits.md |
//! | W12 | a bus between machines | there is none |
//! | W13 | unclean closes | `frames` |
//! | W14 | the backlog | `joining::five_hundred_clients_…`, `benches/storm.rs` |
//! | W15 | the first ping | docs/limits.md |
//!
//! That nothing of it stays behind, connections, descriptors or memory, is in `leaks`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::support::users::token;
use crate::support::{
    Ended, Native, Packet, Polling, Protocol, Server, Socket, TOKEN, answer, binary, descriptor_limit, open, refusal,
    signal, soon, times,
};

/// A slow pace for all, so that little is a flood.
const SLOW: [(&str, &str); 2] = [("ORION_LIMITS__EVENTS_PER_SECOND", "1"), ("ORION_LIMITS__EVENTS_BURST", "20")];
/// The secret of the user tokens made by the support.
const SECRET: &str = crate::support::users::SECRET;

/// Everybody else is served as if nothing were.
async fn others_are_served(server: &Server) {
    let mut native = Native::connect(server.addr, "/ws/signals").await;
    native.frame("subscribed").await;
    let mut socket = Socket::open(server.addr).await;
    socket.subscribe(&Value::Null).await;
    socket.event("subscribed").await;
}

/// Says something until the server has had enough; whether it warned, and the code of the close.
async fn flood_native(addr: SocketAddr, path: &str, message: impl Fn() -> Message) -> (usize, u16) {
    let mut client = Native::connect(addr, path).await;
    for _ in 0..400 {
        if client.0.feed(message()).await.is_err() {
            break;
        }
    }
    client.0.flush().await.ok();
    let mut warnings = 0;
    soon("the flood is cut", async {
        loop {
            match client.next().await {
                Ok(frame) => {
                    let code = frame["code"].as_str().or(frame["data"]["code"].as_str()).unwrap_or_default();
                    warnings += usize::from(code.eq_ignore_ascii_case("rate_limited"));
                }
                Err(code) => return (warnings, code),
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_native_flood_is_warned_then_disconnected() {
    let server = Server::start(&SLOW).await;
    for path in ["/ws/signals", "/ws", "/ws/trade-signals"] {
        let told = flood_native(server.addr, path, || Message::text(r#"{"type":"ping"}"#)).await;
        assert_eq!(told, (1, 1008), "{path}");
    }
    for message in [Message::Ping(Bytes::new()), Message::Pong(Bytes::from_static(&[1; 125])), Message::binary(vec![])]
    {
        let told = flood_native(server.addr, "/ws/signals", || message.clone()).await;
        assert_eq!(told, (1, 1008), "{message:?}");
    }
    assert_eq!(server.metric("orion_disconnects_total", "reason=\"too_fast\"").await, 6.0);
    others_are_served(&server).await;
    assert_eq!(server.complaints(), Vec::<String>::new());
    server.stop().await;
}

#[tokio::test]
async fn a_socketio_flood_is_warned_then_disconnected() {
    let server = Server::start(&SLOW).await;
    for (protocol, event) in [(Protocol::Eio4, "ping"), (Protocol::Eio4, "whatever"), (Protocol::Eio3, "subscribe")] {
        let stream = TcpStream::connect(server.addr).await.unwrap();
        let mut client = Socket::over(stream, server.addr, protocol).await;
        if protocol == Protocol::Eio4 {
            client.say("40").await;
        }
        client.connected().await;
        for _ in 0..400 {
            if !client.try_say(format!(r#"42["{event}"]"#)).await {
                break;
            }
        }
        let mut warnings = 0;
        soon("the flood is cut", async {
            loop {
                match client.next().await {
                    Ok(Packet::Event(event, args)) if event == "error" => {
                        assert_eq!(args[0]["code"], "rate_limited");
                        warnings += 1;
                    }
                    Ok(Packet::Disconnected) => panic!("told to stay away"),
                    Ok(_) => {}
                    Err(Ended(code)) => return assert_ne!(code, Some(1000)),
                }
            }
        })
        .await;
        assert!(warnings <= 1, "{warnings} warnings");
    }
    let mut polling = Polling::open(server.addr, Protocol::Eio4).await;
    polling.subscribe(&Value::Null).await;
    polling.event("subscribed").await;
    let url = server.url(&format!("/socket.io/?EIO=4&transport=polling&sid={}", polling.sid));
    let flood = server.http.post(url).body(["42[\"ping\"]"; 400].join("\x1e")).send();
    flood.await.unwrap();
    soon("a polling session ends too", async { while polling.poll().await.is_ok() {} }).await;
    for what in ["warned", "cut"] {
        assert_eq!(server.metric("orion_rate_limited_total", what).await, 4.0, "{what}");
    }
    assert_eq!(server.metric("orion_refused_total", "rate_limited").await, 4.0);
    others_are_served(&server).await;
    server.stop().await;
}

/// What the dashboards really do is far from any limit: a page pings every 5 s, opens a socket per panel, and churns.
#[tokio::test]
async fn pages_that_behave_are_never_limited() {
    let server = Server::push_only().await;
    for _ in 0..10 {
        let mut page = Vec::new();
        for path in ["/ws", "/ws/signals", "/ws/trade-signals", "/ws/market-data"].into_iter().cycle().take(15) {
            let mut client = Native::connect(server.addr, path).await;
            client.say(r#"{"type":"subscribe","channels":["ticks","signals","orders"]}"#).await;
            for _ in 0..12 {
                client.say(r#"{"type":"ping"}"#).await;
            }
            if ["/ws", "/ws/signals"].contains(&path) {
                client.frame("pong").await;
            }
            page.push(client);
        }
    }
    assert_eq!(server.metric("orion_refused_total", "").await, 0.0);
    assert_eq!(server.metric("orion_disconnects_total", "too").await, 0.0);
    server.stop().await;
}

#[tokio::test]
async fn pushes_beyond_the_rate_get_429() {
    let limits = [("ORION_LIMITS__PUSHES_PER_SECOND", "1"), ("ORION_LIMITS__PUSHES_BURST", "5")];
    let server = Server::start(&limits).await;
    for number in 0..5 {
        server.push(&signal(&format!("s{number}"))).await;
    }
    let refused = loop {
        let push = server.http.post(server.url("/api/signals")).bearer_auth(TOKEN).json(&signal("more"));
        let response = push.send().await.unwrap();
        if response.status() != 200 {
            break response;
        }
    };
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "rate_limited");
    let mut pusher = Native::connect(server.addr, "/api/websocket").await;
    pusher.send(&json!({"type": "auth", "token": TOKEN})).await;
    let codes = soon("refused", async {
        loop {
            pusher.send(&json!({"type": "signal", "data": signal("more")})).await;
            let told = pusher.next().await.unwrap();
            if told["success"] != true {
                return told["code"].clone();
            }
        }
    });
    assert_eq!(codes.await, "rate_limited");
    // A stranger is no pusher, and takes nobody's place.
    let stranger = server.http.post(server.url("/api/signals")).bearer_auth("wrong").json(&signal("x"));
    assert_eq!(answer(stranger).await.0, 401);
    assert!(server.metric("orion_rate_limited_total", "push").await >= 2.0, "over HTTP and in a frame");
    assert_eq!(server.metric("orion_rejected_total", "unauthorized").await, 1.0);
    assert_eq!(server.get("/api/signals").await.0, 200);
    server.stop().await;
}

#[tokio::test]
async fn connections_are_limited_per_user() {
    let settings = [("ORION_JWT_SECRET", SECRET), ("ORION_SERVER__MAX_CONNECTIONS_PER_USER", "2")];
    let server = Server::start(&settings).await;
    let (mine, his) = (token("a"), token("b"));
    let path = format!("/ws/signals?token={mine}");
    let native = Native::connect(server.addr, &path).await;
    let mut socket = Socket::with_auth(server.addr, &json!({"token": mine})).await;
    socket.connected().await;
    let (status, body) = refusal(server.addr, &path, &[]).await;
    assert_eq!((status, &body["code"]), (429, &json!("too_many_connections")));
    let mut third = Socket::with_auth(server.addr, &json!({"token": mine})).await;
    assert!(matches!(soon("refused", third.next()).await, Ok(Packet::Refused(_))));
    let _his = Native::connect(server.addr, &format!("/ws/signals?token={his}")).await;
    others_are_served(&server).await;
    drop(native);
    soon("there is room again", async {
        let stream = || TcpStream::connect(server.addr);
        while open(stream().await.unwrap(), server.addr, &path, &[]).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn connections_are_limited_per_channel() {
    let settings = [("ORION_JWT_SECRET", SECRET), ("ORION_SERVER__MAX_CONNECTIONS_PER_CHANNEL", "2")];
    let server = Server::start(&settings).await;
    let ana = token("ana");
    let full = async |path: &str| {
        let asked = server.http.get(server.url(path)).bearer_auth(&ana);
        let upgrade = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")];
        let asked = upgrade.into_iter().fold(asked, |asked, (name, value)| asked.header(name, value));
        let refused = asked.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==").send().await.unwrap();
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["retry-after"]),
            (503, &"30".parse().unwrap()),
            "{path}"
        );
        assert_eq!(refused.json::<Value>().await.unwrap()["code"], "channel_full", "{path}");
    };
    // Two users with one each fill it as two of one user do; `/` is `/ws/market-data`.
    let tokens = [ana.clone(), token("ben")];
    for (first, second) in
        [("/ws/signals", "/ws/signals/"), ("/ws", "/ws/"), ("/", "/ws/market-data"), ("/api/ws", "/api/ws")]
    {
        let held = [(first, &tokens[0]), (second, &tokens[1])];
        let mut clients = Vec::new();
        for (path, token) in held {
            clients.push(Native::connect(server.addr, &format!("{path}?token={token}")).await);
        }
        full(first).await;
        full(second).await;
        drop(clients.pop());
        soon("there is room again", async {
            let path = format!("{second}?token={ana}");
            let stream = || TcpStream::connect(server.addr);
            while open(stream().await.unwrap(), server.addr, &path, &[]).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
    }
    let events = || server.http.get(server.url("/api/realtime/events")).bearer_auth(&ana).send();
    let _held = [events().await.unwrap(), events().await.unwrap()];
    full("/api/realtime/events").await;

    // Nor is a slash another channel over Socket.IO.
    let mut sockets = Vec::new();
    for connect in ["40/ws/signals,", "40/ws/signals/,", "40/ws/signals,", "40", "40", "40"] {
        let mut socket = Socket::open(server.addr).await;
        socket.say(connect).await;
        sockets.push((soon("an answer", socket.next()).await.unwrap(), socket));
    }
    let refused: Vec<_> = sockets.iter().map(|(told, _)| matches!(told, Packet::Refused(_))).collect();
    assert_eq!(refused, [false, false, true, false, false, true]);
    let counted = server.metric("orion_refused_total", "channel_full").await;
    assert!(counted >= 11.0, "{counted}");
    server.stop().await;
}

#[tokio::test]
async fn connections_are_limited_per_client_behind_a_proxy() {
    let settings = [("ORION_SERVER__TRUSTED_PROXIES", "127.0.0.1"), ("ORION_SERVER__MAX_CONNECTIONS_PER_ADDRESS", "2")];
    let server = Server::start(&settings).await;
    let connect = async |from: &str| {
        let stream = TcpStream::connect(server.addr).await.unwrap();
        open(stream, server.addr, "/ws/signals", &[("x-forwarded-for", from)]).await
    };
    let _mine = [connect("203.0.113.1").await.unwrap(), connect("9.9.9.9, 203.0.113.1").await.unwrap()];
    let forged = [("x-forwarded-for", "203.0.113.77, 203.0.113.1")];
    let (status, body) = refusal(server.addr, "/ws/signals", &forged).await;
    assert_eq!((status, &body["code"]), (429, &json!("too_many_connections")));
    for path in ["/socket.io/?EIO=4&transport=polling", "/api/signals"] {
        let asked = server.http.get(server.url(path)).header("x-forwarded-for", "203.0.113.1").send().await.unwrap();
        assert_eq!((asked.status().as_u16(), &asked.headers()["retry-after"]), (429, &"30".parse().unwrap()), "{path}");
    }
    let check = server.http.get(server.url("/health")).header("x-forwarded-for", "203.0.113.1");
    assert_eq!(answer(check).await.0, 200);
    let _his = connect("203.0.113.2").await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn checks_are_answered_when_few_descriptors_are_left() {
    let mut command = tokio::process::Command::new("sh");
    command.kill_on_drop(true).args(["-c", "ulimit -n 256 && exec \"$0\""]).arg(binary().as_std().get_program());
    command.env("ORION_LOG_FORMAT", "json").env("ORION_LOG", "info");
    let server = Server::launch(command, BTreeMap::from([("ORION_SOURCES", "none")])).await;
    let said = server.logged("connections that may be open at a time").await;
    assert_eq!((&said["descriptors"], &said["max_connections"]), (&json!(256), &json!(128)));
    let mut held = Vec::new();
    let refused = soon("the house is full", async {
        loop {
            let stream = TcpStream::connect(server.addr).await.unwrap();
            match open(stream, server.addr, "/ws/signals", &[]).await {
                Ok(socket) => held.push(socket),
                Err(error) => return error,
            }
        }
    });
    let refused = refused.await;
    assert!(refused.to_string().contains("503"), "{refused}");
    assert!((120..=128).contains(&held.len()), "{} were let in", held.len());
    // Hundreds more that only stand in the way.
    let mut crowd = Vec::new();
    for _ in 0..300 {
        crowd.push(TcpStream::connect(server.addr).await.unwrap());
    }
    for path in ["/health", "/ready", "/metrics"] {
        let asked = soon(path, async {
            loop {
                // While the crowd is being turned away a check may be too.
                if let Ok(response) = reqwest::get(server.url(path)).await
                    && response.status() == 200
                {
                    return;
                }
            }
        });
        asked.await;
    }
    drop((held, crowd));
    soon("there is room again", async {
        loop {
            let stream = TcpStream::connect(server.addr).await.unwrap();
            if open(stream, server.addr, "/ws/signals", &[]).await.is_ok() {
                return;
            }
        }
    })
    .await;
    server.stop().await;
}

/// Connections that begin a request each, or as many as `ORION_SLOWLORIS` says.
const SLOWLORIS: usize = 2_000;

#[tokio::test]
async fn requests_that_never_end_are_disconnected() {
    let wanted = times("ORION_SLOWLORIS", SLOWLORIS);
    // Other tests need descriptors at the same time.
    let count = wanted.min(descriptor_limit() / 4);
    if count < wanted {
        eprintln!("`ulimit -n` leaves room for {count} connections instead of {wanted}");
    }
    let server = Server::process(&[]).await;
    let before = server.resident();
    let mut loris = Vec::new();
    for number in 0..count {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        let begun = [
            "",
            "GET / HTTP/1.1\r\nHost: x\r\nX-a: ",
            "POST /api/signals HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
        ];
        stream.write_all(begun[number % 3].as_bytes()).await.unwrap();
        loris.push(stream);
    }
    others_are_served(&server).await;
    assert_eq!(server.get("/health").await.0, 200);
    for mut stream in loris {
        let mut answer = Vec::new();
        soon("it is cut", stream.read_to_end(&mut answer)).await.ok();
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 40"), "{}", String::from_utf8_lossy(&answer));
    }
    assert!(server.resident() - before < 30.0 + count as f64 / 20.0, "grew to {} MB", server.resident());
    // They were there for the 15 s of the head time-out, and cost a few milliseconds each at most.
    let used = server.processor_time();
    assert!(used.as_secs_f64() < 2.0 + count as f64 * 0.003, "{used:?} of processor time");
    assert_eq!(server.complaints(), Vec::<String>::new());
    server.stop().await;
}

#[tokio::test]
async fn ten_thousand_unknown_namespaces_fill_no_memory() {
    let server = Server::process(&[]).await;
    let mut client = Socket::open(server.addr).await;
    client.say("40").await;
    client.connected().await;
    let before = server.resident();
    let (mut refused, mut ended) = (0, false);
    'flood: for chunk in 0..100 {
        for number in 0..100 {
            if !client.try_say(format!("40/none{chunk}-{number},")).await {
                ended = true;
                break 'flood;
            }
        }
        for _ in 0..100 {
            match soon("each is refused", client.next()).await {
                Ok(Packet::Refused(_)) => refused += 1,
                Err(_) => {
                    ended = true;
                    break 'flood;
                }
                Ok(other) => panic!("{other:?}"),
            }
        }
    }
    assert!(ended || refused == 10_000, "{refused}");
    assert!(server.resident() - before < 30.0, "{before} → {}", server.resident());
    others_are_served(&server).await;
    server.stop().await;
}
