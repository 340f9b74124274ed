//! Every abuse at once in one GiB of memory, while two healthy clients get everything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::polling_sessions::flood;
use crate::support::{Native, Packet, Polling, Protocol, Server, Socket, Wire, narrow, open, signal, soon};

const MEBIBYTES: usize = 1024;
const ABUSE: Duration = Duration::from_secs(8);
/// Most that may be resident, in MB: with room for what else is on a machine of one GiB.
const MOST_RESIDENT: f64 = 800.0;

/// Does something again and again until then, whatever becomes of it.
async fn again<F: Future<Output = ()>>(until: Instant, mut what: impl FnMut() -> F) {
    while Instant::now() < until {
        timeout(Duration::from_secs(20), what()).await.ok();
    }
}

/// Asks for answers that it does not read.
async fn ask_without_reading(addr: SocketAddr) {
    let Ok(mut socket) = open(narrow(addr).await, addr, "/ws/signals", &[]).await else { return };
    for _ in 0..3_000 {
        if socket.feed(Message::text(r#"{"type":"ping"}"#)).await.is_err() {
            return;
        }
    }
    socket.flush().await.ok();
}

/// Begins a body and trickles it.
async fn post_slowly(addr: SocketAddr, until: Instant) {
    let Ok(mut stream) = TcpStream::connect(addr).await else { return };
    let head =
        "POST /api/signals HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok();
    while Instant::now() < until && stream.write_all(b" ").await.is_ok() {
        sleep(Duration::from_millis(100)).await;
    }
}

/// Comes and goes without a goodbye.
async fn reconnect(addr: SocketAddr) {
    let Ok(stream) = TcpStream::connect(addr).await else { return };
    let path = "/socket.io/?EIO=4&transport=websocket";
    if let Ok(mut socket) = open(stream, addr, path, &[]).await {
        socket.send(Message::text("40")).await.ok();
        socket.send(Message::text(r#"42["subscribe"]"#)).await.ok();
    }
}

/// Frames far beyond the limit, of which the server must not keep anything.
async fn send_big_frames(addr: SocketAddr, path: &str) {
    let Ok(stream) = TcpStream::connect(addr).await else { return };
    let Ok(mut socket) = open(stream, addr, path, &[]).await else { return };
    socket.send(Message::text("x".repeat(4 << 20))).await.ok();
}

/// Binary events with attachments that are announced and do not end.
async fn send_attachments(addr: SocketAddr) {
    let Ok(stream) = TcpStream::connect(addr).await else { return };
    let Ok(mut socket) = open(stream, addr, "/socket.io/?EIO=4&transport=websocket", &[]).await else { return };
    socket.send(Message::text("40")).await.ok();
    socket.send(Message::text(r#"4510000-["subscribe",{"_placeholder":true,"num":0}]"#)).await.ok();
    for _ in 0..100 {
        if socket.send(Message::binary(Bytes::from(vec![0; 60_000]))).await.is_err() {
            return;
        }
    }
}

/// Posts as many namespaces as fit into a body.
async fn ask_for_namespaces(addr: SocketAddr) {
    let Some(mut wire) = Wire::try_connect(addr).await else { return };
    let path = "/socket.io/?EIO=4&transport=polling";
    let Some(sid) = wire.get(path, "").await.and_then(|reply| reply.sid()) else { return };
    let many = vec!["40/x,"; 10_000].join("\u{1e}");
    wire.post(&format!("{path}&sid={sid}"), &many).await;
}

/// Asks for every record of every signal, on as many connections at once as in the issue when all of these do it.
async fn ask_for_statistics(addr: SocketAddr) {
    let mut asked = JoinSet::new();
    for _ in 0..160 {
        asked.spawn(async move { Wire::try_connect(addr).await?.get("/api/stats", "").await });
    }
    asked.join_all().await;
}

async fn abuse(addr: SocketAddr) {
    let until = Instant::now() + ABUSE;
    let mut crowd = JoinSet::new();
    for number in 0..20 {
        crowd.spawn(async move {
            flood(addr, usize::MAX, until).await;
        });
        crowd.spawn(post_slowly(addr, until));
        crowd.spawn(async move {
            match number % 6 {
                0 => again(until, || ask_without_reading(addr)).await,
                1 => again(until, || reconnect(addr)).await,
                2 => {
                    let path = ["/ws/signals", "/socket.io/?EIO=4&transport=websocket"][number % 2];
                    again(until, || send_big_frames(addr, path)).await;
                }
                3 => again(until, || send_attachments(addr)).await,
                4 => again(until, || ask_for_statistics(addr)).await,
                _ => again(until, || ask_for_namespaces(addr)).await,
            }
        });
    }
    soon("the crowd has had enough", crowd.join_all()).await;
}

/// Pushes signals and prices, one after the other, until it is told to stop; how many signals.
async fn produce(server: &Server, stop: &AtomicUsize) -> usize {
    let mut count = 0;
    while stop.load(Ordering::SeqCst) == 0 {
        server.push(&signal(&format!("live{count}"))).await;
        let price = json!({"symbol": "EURUSD", "price": 1.1 + count as f64 / 1e5});
        assert_eq!(server.post("/api/prices", &price).await.0, 200);
        count += 1;
        sleep(Duration::from_millis(50)).await;
    }
    server.push(&signal("end")).await;
    count
}

fn expected(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("live{number}")).chain(["end".to_owned()]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_abuse_at_once_fits_into_one_gibibyte() {
    // A busy machine is no reason to be held for a client that does not answer.
    let settings = [("ORION_SOCKETIO__PING_TIMEOUT", "60s"), ("ORION_HEARTBEAT__PEER_TIMEOUT", "10m")];
    let mut server = Server::start_within(MEBIBYTES, &settings).await;
    let addr = server.addr;
    for number in 0..200 {
        let mut old = signal(&format!("old{number}"));
        old["status"] = json!("confirmed");
        server.push(&old).await;
    }
    let mut native = Native::connect(addr, "/ws/signals").await;
    native.frame("subscribed").await;
    let native = tokio::spawn(async move {
        let (mut signals, mut prices) = (Vec::new(), 0);
        while signals.last().is_none_or(|id| id != "end") {
            let frame = native.next().await.expect("the native client stays connected");
            match frame["type"].as_str() {
                Some("signal") => signals.push(frame["payload"]["id"].as_str().unwrap().to_owned()),
                Some("price_update") => prices += 1,
                _ => {}
            }
        }
        (signals, prices)
    });
    let mut socket = Socket::open(addr).await;
    socket.subscribe(&Value::Null).await;
    socket.event("subscribed").await;
    let socket = tokio::spawn(async move {
        let (mut signals, mut prices) = (Vec::new(), 0);
        while signals.last().is_none_or(|id| id != "end") {
            match socket.next().await.expect("the Socket.IO client stays connected") {
                Packet::Event(event, args) if event == "signal" => {
                    signals.push(args[0]["id"].as_str().unwrap().to_owned());
                }
                Packet::Event(event, _) if event == "price_update" => prices += 1,
                _ => {}
            }
        }
        (signals, prices)
    });
    let stop = Arc::new(AtomicUsize::new(0));
    let (count, ()) = tokio::join!(produce(&server, &stop), async {
        abuse(addr).await;
        stop.store(1, Ordering::SeqCst);
    });
    assert!(server.is_alive(), "one GiB did not suffice");
    for (name, client) in [("native", native), ("Socket.IO", socket)] {
        let (signals, prices) = soon("all signals arrive", client).await.unwrap();
        assert_eq!(signals, expected(count), "{name}");
        assert!(prices > 0, "{name} got no price");
    }
    eprintln!("{count} signals; peak {:.0} MB, now {:.0} MB", server.peak(), server.resident());
    assert!(server.peak() < MOST_RESIDENT, "{:.0} MB", server.peak());
    // Newcomers of every kind are welcome again.
    let mut polling = Polling::open(addr, Protocol::Eio4).await;
    polling.subscribe(&json!({"channels": "prices"})).await;
    polling.event("subscribed").await;
    assert_eq!(server.get("/ready").await.1["status"], "ok");
    server.stop().await;
}
