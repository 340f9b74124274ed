//! Nothing stays behind: after any abuse, connections, descriptors and memory are what they were.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::frames::frame;
use crate::support::{Native, Packet, Polling, Protocol, Server, Socket, narrow, open, signal, soon, until};

/// Clients of each kind in a round.
const CROWD: usize = 30;
/// Rounds over which the memory is judged. From one round to another the same use of memory is up to 8 MB apart, as it is in
/// pieces; a leak of 20 KB for each client is 16 MB over three rounds.
const SPAN: usize = 3;
/// Rounds until a growth is no chance.
const MAX_ROUNDS: usize = 7;
/// Text, final.
const TEXT: u8 = 0x81;
/// What a client may leave behind, in KB.
const MAX_GROWTH_PER_CLIENT: f64 = 6.0;
/// Our own requests keep a connection or two, and the log a file.
const OWN_DESCRIPTORS: usize = 4;

const SETTINGS: [(&str, &str); 4] = [
    // Silence is noticed soon, but not on a busy machine where there is none.
    ("ORION_SOCKETIO__PING_INTERVAL", "1s"),
    ("ORION_SOCKETIO__PING_TIMEOUT", "8s"),
    // The allocator keeps no freed memory, neither in arenas of threads nor for later: what is resident is in use.
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_TRIM_THRESHOLD_", "65536"),
];

#[tokio::test(flavor = "multi_thread")]
async fn after_any_abuse_nothing_is_left_behind() {
    let server = Server::process(&SETTINGS).await;
    for number in 0..100 {
        server.push(&signal(&format!("s{number}"))).await;
    }
    let descriptors = server.descriptors();
    let (mut memory, mut clients) = (Vec::new(), Vec::new());
    let growth = loop {
        abuse(&server).await;
        server.until("orion_connections", "", |connections| connections == 0.0).await;
        server.until("orion_polling_sessions", "", |sessions| sessions == 0.0).await;
        until("descriptors are given back", async || server.descriptors() <= descriptors + OWN_DESCRIPTORS).await;
        memory.push(server.allocated());
        clients.push(server.metric("orion_connections_total", "").await);
        let (last, round) = (memory.len() - 1, memory.len());
        let Some(first) = last.checked_sub(SPAN) else { continue };
        let growth = 1024.0 * (memory[last] - memory[first]) / (clients[last] - clients[first]);
        if growth < MAX_GROWTH_PER_CLIENT || round == MAX_ROUNDS {
            break growth;
        }
    };
    eprintln!("{descriptors} → {} descriptors, memory after each round {memory:.2?} MB", server.descriptors());
    assert!(growth < MAX_GROWTH_PER_CLIENT, "{growth:.1} KB per client: {memory:.2?} MB after {clients:?} clients");
    assert_eq!(server.get("/ready").await.1["status"], "ok");
    assert_eq!(server.complaints(), Vec::<String>::new());
    server.stop().await;
}

/// Everybody at once. Whoever is not cut leaves without a goodbye.
async fn abuse(server: &Server) {
    let addr = server.addr;
    let mut crowd = JoinSet::new();
    for number in 0..CROWD {
        crowd.spawn(async move { leave_in_the_middle_of_a_request(addr, number).await });
        crowd.spawn(async move { break_the_protocol_natively(addr, number).await });
        crowd.spawn(async move { break_the_protocol_over_socketio(addr, number).await });
        crowd.spawn(async move { leave_while_connecting(addr, number).await });
        crowd.spawn(async move { abort_polls(addr, number).await });
        crowd.spawn(async move { stop_reading(addr, number).await });
    }
    soon("the crowd has had enough", crowd.join_all()).await;
}

async fn leave_in_the_middle_of_a_request(addr: SocketAddr, number: usize) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let begun = [
        "\u{0}\u{1}\u{2}nonsense\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: x\r\nX-a: ".to_owned(),
        format!("GET / HTTP/1.1\r\nHost: x\r\nX-a: {}", "a".repeat(70_000)),
        "POST /api/signals HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{".to_owned(),
        "GET /ws/signals HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".to_owned(),
    ];
    stream.write_all(begun[number % begun.len()].as_bytes()).await.ok();
}

async fn break_the_protocol_natively(addr: SocketAddr, number: usize) {
    let mut client = Native::connect(addr, "/ws/signals").await;
    client.frame("subscribed").await;
    let (broken, code) = match number % 4 {
        0 => (frame(TEXT, &[0xff, 0xfe]), 1007),
        1 => (frame(TEXT, "x".repeat(200_000).as_bytes()), 1009),
        2 => (frame(0xf1, b"{}"), 1002),
        // Is answered, and so is not closed.
        _ => (frame(TEXT, "[".repeat(60_000).as_bytes()), 0),
    };
    // It may be closed before all of it was said.
    client.0.get_mut().write_all(&broken).await.ok();
    if code == 0 {
        assert_eq!(client.frame("error").await["code"], "invalid_json");
        return;
    }
    let told = soon("it is closed", async {
        loop {
            if let Err(code) = client.next().await {
                return code;
            }
        }
    });
    assert_eq!(told.await, code);
}

async fn break_the_protocol_over_socketio(addr: SocketAddr, number: usize) {
    let mut client = Socket::open(addr).await;
    client.say("40").await;
    client.connected().await;
    let deep = format!("42[\"subscribe\",{}", "[".repeat(60_000));
    let broken = match number % 6 {
        0 => frame(TEXT, &[0xff, 0xfe]),
        1 => frame(TEXT, "4".repeat(200_000).as_bytes()),
        2 => frame(TEXT, deep.as_bytes()),
        3 => frame(TEXT, b"459-[\"subscribe\",{\"_placeholder\":true,\"num\":0}]"),
        // The attachment never comes.
        4 => frame(TEXT, b"451-[\"subscribe\",{\"_placeholder\":true,\"num\":0}]"),
        _ => (0..200).flat_map(|name| frame(TEXT, format!("40/none{name},").as_bytes())).collect(),
    };
    client.stream.get_mut().write_all(&broken).await.ok();
    client.try_say(r#"42["ping"]"#).await;
    soon("an answer or an end", async {
        while let Ok(packet) = client.next().await {
            assert_ne!(packet, Packet::Disconnected);
            // The one with the attachment is none until that has come.
            if number % 6 == 4 || matches!(packet, Packet::Event(event, _) if event == "pong") {
                break;
            }
        }
    })
    .await;
}

async fn leave_while_connecting(addr: SocketAddr, number: usize) {
    for _ in 0..5 {
        let mut client = Socket::open(addr).await;
        client.try_say("40").await;
        if number.is_multiple_of(2) {
            client.try_say(r#"42["subscribe"]"#).await;
        }
    }
}

async fn abort_polls(addr: SocketAddr, number: usize) {
    let protocol = if number.is_multiple_of(2) { Protocol::Eio4 } else { Protocol::Eio3 };
    let mut client = Polling::open(addr, protocol).await;
    if number.is_multiple_of(3) {
        // A session that never asks for a namespace.
        return;
    }
    client.subscribe(&json!({"channels": "signals"})).await;
    client.event("subscribed").await;
    // Cut off while it waits for an answer.
    tokio::time::timeout(Duration::from_millis(50), client.poll()).await.ok();
    if number % 3 == 1 {
        // An upgrade that is begun and not ended.
        let path = format!("/socket.io/?EIO=4&transport=websocket&sid={}", client.sid);
        if let Ok(mut socket) = open(TcpStream::connect(addr).await.unwrap(), addr, &path, &[]).await {
            socket.get_mut().write_all(&frame(TEXT, b"2probe")).await.ok();
        }
    }
}

async fn stop_reading(addr: SocketAddr, number: usize) {
    let stream = narrow(addr).await;
    if number.is_multiple_of(2) {
        let mut client = Native(open(stream, addr, "/ws/signals", &[]).await.unwrap());
        for _ in 0..50 {
            client.try_say(r#"{"type":"subscribe","channels":["signals"]}"#).await;
        }
    } else {
        let mut client = Socket::over(stream, addr, Protocol::Eio4).await;
        client.subscribe(&Value::Null).await;
        for _ in 0..50 {
            client.emit("subscribe", &Value::Null).await;
            client.emit("unsubscribe", &Value::Null).await;
        }
    }
}
