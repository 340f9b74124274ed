//! Long-polling sessions: counted like connections although they hold none, and bounded in what each may cost.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};

use crate::support::users::{SECRET, token};
use crate::support::{Polling, Protocol, Reply, Server, Socket, Wire, signal, soon, upgrade};

const OPEN: &str = "/socket.io/?EIO=4&transport=polling";

fn session(sid: &str) -> String {
    format!("{OPEN}&sid={sid}")
}

/// Opens a session that has to be opened.
async fn opened(wire: &mut Wire, path: &str, headers: &str) -> String {
    let reply = wire.get(path, headers).await.unwrap();
    reply.sid().unwrap_or_else(|| panic!("not opened: {reply:?}"))
}

/// Polls until the session has joined its namespace; a ping may come before.
async fn joined(wire: &mut Wire, sid: &str) {
    soon("it joins", async {
        loop {
            let reply = wire.get(&session(sid), "").await.unwrap();
            assert!(reply.status == 200 && !reply.body.contains("44{"), "{reply:?}");
            if reply.body.contains("40{") {
                return;
            }
        }
    })
    .await;
}

fn refused(reply: &Reply) -> (u16, Value, Option<&str>) {
    (reply.status, reply.code(), reply.header("retry-after"))
}

#[tokio::test]
async fn sessions_are_counted_although_they_hold_no_connection() {
    let server = Server::start(&[("ORION_SERVER__MAX_POLLING_SESSIONS", "20")]).await;
    let mut wire = Wire::connect(server.addr).await;
    let mut sids = Vec::new();
    for number in 0..20 {
        let protocol = if number % 2 == 0 { OPEN } else { "/ws/signals/?EIO=3&transport=polling" };
        sids.push(opened(&mut wire, protocol, "").await);
    }
    for path in [OPEN, "/ws/signals/?EIO=4&transport=polling", "/socket.io/?EIO=4&transport=polling=x"] {
        let reply = wire.get(path, "").await.unwrap();
        assert_eq!(refused(&reply), (503, json!("overloaded"), Some("5")), "{path}");
    }
    // Those that are there go on, and others come in by other ways.
    assert_eq!(wire.post(&session(&sids[0]), "40").await.unwrap().status, 200);
    Socket::open(server.addr).await;
    server.until("orion_polling_sessions", "", |sessions| sessions == 20.0).await;
    assert_eq!(server.metric("orion_refused_total", "overloaded").await, 3.0);
    joined(&mut wire, &sids[0]).await;
    wire.post(&session(&sids[0]), "1").await;
    soon("there is room again", async {
        while wire.get(OPEN, "").await.unwrap().status != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn an_address_has_so_many_sessions() {
    let settings = [("ORION_SERVER__TRUSTED_PROXIES", "127.0.0.1"), ("ORION_SERVER__MAX_CONNECTIONS_PER_ADDRESS", "2")];
    let server = Server::start(&settings).await;
    let mut wire = Wire::connect(server.addr).await;
    let from = |client: &str| format!("X-Forwarded-For: {client}\r\n");
    for _ in 0..2 {
        opened(&mut wire, OPEN, &from("203.0.113.1")).await;
    }
    let reply = wire.get(OPEN, &from("9.9.9.9, 203.0.113.1")).await.unwrap();
    assert_eq!(refused(&reply), (429, json!("too_many_connections"), Some("30")));
    opened(&mut wire, OPEN, &from("203.0.113.2")).await;
    server.stop().await;
}

#[tokio::test]
async fn a_user_has_so_many_sessions() {
    let settings = [("ORION_JWT_SECRET", SECRET), ("ORION_SERVER__MAX_CONNECTIONS_PER_USER", "2")];
    let server = Server::start(&settings).await;
    let (mine, other) = (token("a"), token("b"));
    let mut wire = Wire::connect(server.addr).await;
    let path = format!("{OPEN}&token={mine}");
    let sids = [opened(&mut wire, &path, "").await, opened(&mut wire, &path, "").await];
    for (path, headers) in [(path.as_str(), ""), (OPEN, &format!("Authorization: Bearer {mine}\r\n"))] {
        let reply = wire.get(path, headers).await.unwrap();
        assert_eq!(refused(&reply), (429, json!("too_many_connections"), Some("30")));
    }
    opened(&mut wire, &format!("{OPEN}&token={other}"), "").await;
    // The session is the user's one connection, not the session and its namespace.
    for sid in &sids {
        wire.post(&session(sid), "40").await.unwrap();
        joined(&mut wire, sid).await;
    }
    assert_eq!(server.metric("orion_logins", "").await, 3.0);
    server.stop().await;
}

#[tokio::test]
async fn an_upgraded_session_is_counted_once() {
    let server = Server::start(&[("ORION_SERVER__MAX_POLLING_SESSIONS", "1")]).await;
    for _ in 0..3 {
        let mut polling = Polling::open(server.addr, Protocol::Eio4).await;
        let mut wire = Wire::connect(server.addr).await;
        assert_eq!(wire.get(OPEN, "").await.unwrap().status, 503);
        polling.subscribe(&Value::Null).await;
        polling.event("subscribed").await;
        let stream = TcpStream::connect(server.addr).await.unwrap();
        let mut socket = upgrade(polling, stream, server.addr).await;
        socket.emit("ping", &json!({"timestamp": 1})).await;
        socket.event("pong").await;
        // Its place is free while it lives on: the connection counts for it now.
        server.until("orion_polling_sessions", "", |sessions| sessions == 0.0).await;
        std::mem::forget(socket);
    }
    assert_eq!(server.metric("orion_connections", "polling").await, 3.0);
    server.stop().await;
}

#[tokio::test]
async fn a_session_without_a_namespace_is_dropped() {
    let server = Server::push_only().await;
    let mut wires = Vec::new();
    let started = Instant::now();
    for path in [OPEN, OPEN] {
        let mut wire = Wire::connect(server.addr).await;
        let sid = opened(&mut wire, path, "").await;
        wires.push((wire, sid));
    }
    // The one polls and answers pings, the other one asks for a namespace that there is not.
    let (mut wire, sid) = wires.pop().unwrap();
    wire.post(&session(&sid), "40/none,").await.unwrap();
    for (mut wire, sid) in [(wire, sid), wires.pop().unwrap()] {
        soon("it is dropped", async {
            while wire.get(&session(&sid), "").await.is_some_and(|reply| reply.status == 200) {
                wire.post(&session(&sid), "3").await.unwrap();
            }
        })
        .await;
    }
    assert!(started.elapsed() >= Duration::from_secs(9), "{:?}", started.elapsed());
    server.until("orion_polling_sessions", "", |sessions| sessions == 0.0).await;
    server.stop().await;
}

#[tokio::test]
async fn a_session_that_is_not_polled_is_ended() {
    let server = Server::start(&[("ORION_SOCKETIO__PING_TIMEOUT", "1s")]).await;
    let mut wire = Wire::connect(server.addr).await;
    // A client of version 3 sends the pings itself, and so seems to live.
    let path = "/socket.io/?EIO=3&transport=polling";
    let sid = opened(&mut wire, path, "").await;
    soon("it is ended", async {
        while wire.post(&format!("{path}&sid={sid}"), "1:2").await.unwrap().status == 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(server.metric("orion_polling_evicted_total", "idle").await, 1.0);
    server.until("orion_polling_sessions", "", |sessions| sessions == 0.0).await;
    server.stop().await;
}

#[tokio::test]
async fn the_first_ping_comes_after_the_interval() {
    let server = Server::start(&[("ORION_SOCKETIO__PING_INTERVAL", "1s")]).await;
    let mut wire = Wire::connect(server.addr).await;
    let sid = opened(&mut wire, OPEN, "").await;
    let opened = Instant::now();
    assert_eq!(wire.get(&session(&sid), "").await.unwrap().body, "2");
    assert!(opened.elapsed() > Duration::from_millis(900), "{:?}", opened.elapsed());
    server.stop().await;
}

#[tokio::test]
async fn a_poll_given_up_ends_its_session() {
    let server = Server::push_only().await;
    for path in [OPEN, "/socket.io/?EIO=3&transport=polling"] {
        let mut wire = Wire::connect(server.addr).await;
        let sid = opened(&mut wire, path, "").await;
        let path = format!("{path}&sid={sid}");
        // Clients of version 3 have joined already.
        if path.contains("EIO=3") {
            assert!(wire.get(&path, "").await.unwrap().body.contains("40"));
        }
        server.until("orion_polling_sessions", "", |sessions| sessions == 1.0).await;
        let poll = wire.get(&path, "");
        assert!(tokio::time::timeout(Duration::from_millis(100), poll).await.is_err(), "nothing waits");
        drop(wire);
        server.until("orion_polling_sessions", "", |sessions| sessions == 0.0).await;
        let mut wire = Wire::connect(server.addr).await;
        assert_eq!(wire.get(&path, "").await.unwrap().status, 400);
    }
    server.stop().await;
}

#[tokio::test]
async fn namespaces_are_asked_for_sparingly() {
    let server = Server::push_only().await;
    let mut wire = Wire::connect(server.addr).await;
    let sid = opened(&mut wire, OPEN, "").await;
    let many = (0..5_000).map(|number| format!("40/{number},")).collect::<Vec<_>>().join("\u{1e}");
    let reply = wire.post(&session(&sid), &many).await.unwrap();
    assert_eq!((reply.status, reply.code()), (429, json!("rate_limited")));
    let large = "4".repeat(64 * 1024 + 1);
    assert_eq!(wire.post(&session(&sid), &large).await.unwrap().status, 413);
    assert_eq!(server.get("/health").await.0, 200);
    server.stop().await;
}

/// Opens sessions over one connection as fast as they are opened, so many at most, subscribes every second one, and never
/// polls. Returns how many were opened.
pub(crate) async fn flood(addr: SocketAddr, most: usize, until: Instant) -> usize {
    let mut opened = 0;
    while opened < most && Instant::now() < until {
        let Some(mut wire) = Wire::try_connect(addr).await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        while opened < most && Instant::now() < until {
            let Some(reply) = wire.get(OPEN, "").await else { break };
            let Some(sid) = reply.sid() else {
                assert!(matches!(reply.status, 429 | 503), "{reply:?}");
                continue;
            };
            opened += 1;
            if opened % 2 == 0 {
                wire.post(&session(&sid), "40").await;
                wire.post(&session(&sid), "42[\"subscribe\"]").await;
            }
        }
    }
    opened
}

/// The abuse with larger snapshots and less memory, so that it takes seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_sessions_is_bounded_in_memory() {
    let mut server = Server::start_within(128, &[]).await;
    for number in 0..200 {
        let mut signal = signal(&format!("s{number}"));
        // The largest that there is.
        signal["reason"] = json!("\u{1d54f}".repeat(2_000));
        server.push(&signal).await;
    }
    let mut socket = Socket::open(server.addr).await;
    socket.subscribe(&Value::Null).await;
    socket.event("subscribed").await;
    // It answers pings all the time.
    let healthy = tokio::spawn(async move { while socket.event("signal").await[0]["id"] != "last" {} });
    let until = Instant::now() + Duration::from_secs(60);
    let mut crowd = JoinSet::new();
    for _ in 0..20 {
        crowd.spawn(flood(server.addr, 14, until));
    }
    let opened: usize = soon("the flood ends", crowd.join_all()).await.into_iter().sum();
    assert!(server.is_alive(), "the memory did not suffice");
    eprintln!("{opened} sessions opened, peak {:.0} MB", server.peak());
    crate::support::until("more would have waited than may", async || {
        let ended = server.metric("orion_polling_evicted_total", "memory").await;
        ended + server.metric("orion_slow_clients_total", "socketio").await > 0.0
    })
    .await;
    // Others are served as if nothing were.
    server.push(&signal("last")).await;
    soon("the last signal", healthy).await.unwrap();
    let mut polling = Polling::open(server.addr, Protocol::Eio4).await;
    polling.subscribe(&json!({"channels": "prices"})).await;
    polling.event("subscribed").await;
    server.stop().await;
}
