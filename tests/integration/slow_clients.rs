//! Clients that stop reading: they are cut, come back with their cursor, and nobody else notices.

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::support::{
    Ended, Native, Packet, Polling, Protocol, Server, Socket, flood, narrow, seq, signal, soon, upgrade,
};

/// Letters in the reason of each signal, so that buffers fill soon.
const LETTERS: usize = 1_800;
/// Signals pushed at a time, until all that do not read are cut.
const ROUND: usize = 512;
const MAX_ROUNDS: usize = 60;
/// What the process may grow by: seven full queues, the log's caches and generous slack.
const MAX_GROWTH_MB: f64 = 400.0;

/// A client of any kind.
enum Client {
    Native(Native),
    Socket(Socket),
    Polling(Polling),
}

/// A signal that a client was told of: its place in the log, the cursor itself, and its id.
type Told = (u64, String, String);

impl Client {
    async fn signal(&mut self) -> Result<Told, String> {
        loop {
            let (event, mut args) = match self {
                Self::Native(client) => match client.next().await {
                    Ok(frame) => {
                        let kind = frame["type"].as_str().unwrap().to_owned();
                        (kind, vec![frame["payload"].clone(), json!({ "cursor": frame["cursor"] })])
                    }
                    Err(code) => return Err(format!("closed with {code}")),
                },
                Self::Socket(client) => match client.next().await {
                    Ok(Packet::Event(event, args)) => (event, args),
                    Ok(Packet::Other(_)) => continue,
                    Ok(other) => panic!("{other:?}"),
                    Err(Ended(code)) => return Err(format!("transport closed with {code:?}")),
                },
                Self::Polling(client) => match client.next().await {
                    Ok(Packet::Event(event, args)) => (event, args),
                    Ok(Packet::Other(_)) => continue,
                    Ok(other) => panic!("{other:?}"),
                    Err(status) => return Err(format!("poll answered {status}")),
                },
            };
            if event == "signal" {
                let cursor = args.remove(1)["cursor"].clone();
                let id = args[0]["id"].as_str().unwrap().to_owned();
                return Ok((seq(&cursor), cursor.as_str().unwrap().to_owned(), id));
            }
        }
    }

    /// Everything up to the signal `last`.
    async fn signals_until(&mut self, last: &str, read: &watch::Sender<u64>) -> Vec<Told> {
        let mut told = Vec::new();
        loop {
            let signal = soon(last, self.signal()).await;
            let signal = signal.unwrap_or_else(|end| panic!("{end}, {} signals after {:?}", told.len(), told.first()));
            read.send_replace(signal.0);
            let done = signal.2 == last;
            told.push(signal);
            if done {
                return told;
            }
        }
    }
}

async fn native(server: &Server, slow: bool, since: Option<&str>) -> Client {
    let path = since.map_or("/ws/signals".to_owned(), |since| format!("/ws/signals?since={since}"));
    if !slow {
        return Client::Native(Native::connect(server.addr, &path).await);
    }
    let stream = narrow(server.addr).await;
    let mut client = Native(crate::support::open(stream, server.addr, &path, &[]).await.unwrap());
    client.frame("subscribed").await;
    Client::Native(client)
}

async fn socket(server: &Server, protocol: Protocol, slow: bool, since: Option<&str>) -> Client {
    let stream = if slow { narrow(server.addr).await } else { TcpStream::connect(server.addr).await.unwrap() };
    let mut client = Socket::over(stream, server.addr, protocol).await;
    client.subscribe(&json!({"channels": ["signals"], "since": since})).await;
    if since.is_none() {
        client.event("subscribed").await;
    }
    Client::Socket(client)
}

async fn polling(server: &Server, protocol: Protocol, since: Option<&str>) -> Polling {
    let mut client = Polling::open(server.addr, protocol).await;
    client.subscribe(&json!({"channels": ["signals"], "since": since})).await;
    if since.is_none() {
        client.event("subscribed").await;
    }
    client
}

async fn upgraded(server: &Server, protocol: Protocol) -> Client {
    let client = polling(server, protocol, None).await;
    Client::Socket(upgrade(client, narrow(server.addr).await, server.addr).await)
}

async fn again(server: &Server, name: &str, since: &str) -> Client {
    match name {
        "native" => native(server, false, Some(since)).await,
        "socket v3" | "upgraded v3" => socket(server, Protocol::Eio3, false, Some(since)).await,
        "polling v3" => Client::Polling(polling(server, Protocol::Eio3, Some(since)).await),
        "polling v4" => Client::Polling(polling(server, Protocol::Eio4, Some(since)).await),
        _ => socket(server, Protocol::Eio4, false, Some(since)).await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_disconnected_without_hurting_others() {
    // Whoever does not read answers no pings either, and has no room for them: on a slow machine that would end it first.
    let pings = [("ORION_SOCKETIO__PING_INTERVAL", "10m"), ("ORION_SOCKETIO__PING_TIMEOUT", "10m")];
    let server = Server::process(&pings).await;
    server.push(&signal("first")).await;
    let (_, page) = server.get("/api/signals?limit=1").await;
    let start = page["cursor"].as_str().unwrap().to_owned();

    let healthy = [
        ("native", native(&server, false, Some(&start)).await),
        ("socket v4", socket(&server, Protocol::Eio4, false, Some(&start)).await),
        ("polling v4", Client::Polling(polling(&server, Protocol::Eio4, Some(&start)).await)),
        ("polling v3", Client::Polling(polling(&server, Protocol::Eio3, Some(&start)).await)),
    ];
    let mut readers = JoinSet::new();
    let mut progress = Vec::new();
    for (name, mut client) in healthy {
        let (read, reading) = watch::channel(0);
        progress.push(reading);
        readers.spawn(async move { (name, client.signals_until("last", &read).await) });
    }
    let slow = [
        ("native", native(&server, true, None).await),
        ("socket v4", socket(&server, Protocol::Eio4, true, None).await),
        ("socket v3", socket(&server, Protocol::Eio3, true, None).await),
        ("upgraded v4", upgraded(&server, Protocol::Eio4).await),
        ("upgraded v3", upgraded(&server, Protocol::Eio3).await),
        ("polling v4", Client::Polling(polling(&server, Protocol::Eio4, None).await)),
        ("polling v3", Client::Polling(polling(&server, Protocol::Eio3, None).await)),
    ];
    soon("all are connected", async { while connected(&server).await != 11.0 {} }).await;
    let before = server.resident();

    let (mut pushed, mut peak) = (0, before);
    while connected(&server).await > 4.0 {
        assert!(pushed < ROUND * MAX_ROUNDS, "still {} connected after {pushed} signals", connected(&server).await);
        flood(server.addr, &format!("flood{pushed}"), ROUND, LETTERS).await;
        pushed += ROUND;
        peak = peak.max(server.resident());
        // Whoever reads keeps up, however slow the machine is: a poll carries some twenty of these signals.
        for reading in &mut progress {
            soon("the healthy have read", reading.wait_for(|read| *read > pushed as u64)).await.unwrap();
        }
    }
    server.push(&signal("last")).await;
    let head = pushed as u64 + 2;
    let overflows = server.metric("orion_dropped_total", "queue=\"socketio\"").await;
    eprintln!("{pushed} signals until all were cut, {overflows} dropped with them, {before:.0} MB → {peak:.0} MB");
    assert!(overflows >= 2.0, "at least the polling clients overflow");
    let counted = server.metric("orion_slow_clients_total", "").await;
    assert!(counted >= 7.0, "{counted} of the seven that do not read are counted");
    let line = server.logged("a Socket.IO client is too slow: cut, to come back and catch up").await;
    assert!(line["waiting"] == 4096 && line["seconds_blocked"].is_f64() && line["missed"] == "signal", "{line}");
    assert_eq!(server.metric("orion_slow_client_behind_seconds_count", "").await, counted, "how far each was behind");
    assert!(peak - before < MAX_GROWTH_MB, "grew from {before} to {peak} MB");

    for (name, told) in soon("healthy clients have everything", readers.join_all()).await {
        assert!(told.iter().map(|told| told.0).eq(2..=head), "healthy {name} lost or doubled something");
    }
    for (name, mut client) in slow {
        let (mut told, mut cursor) = (vec![1], start.clone());
        let end = loop {
            match soon(name, client.signal()).await {
                Ok((seq, at, _)) => {
                    told.push(seq);
                    cursor = at;
                }
                Err(end) => break end,
            }
        };
        // After the snapshot, which is the first signal once more, nothing is missing up to the cut.
        assert!(told.iter().copied().eq(1..=told.len() as u64), "{name} has a hole before it was cut");
        assert!(!end.contains("1000"), "{name}: {end}");
        let rest = again(&server, name, &cursor).await.signals_until("last", &watch::Sender::default()).await;
        let expected = told.len() as u64 + 1..=head;
        eprintln!("{name}: {} before the cut ({end}), {} after", told.len(), rest.len());
        assert!(rest.iter().map(|told| told.0).eq(expected), "{name} does not have everything exactly once");
    }
    assert_eq!(server.complaints(), Vec::<String>::new(), "a slow client is nothing to complain of");
    server.stop().await;
}

async fn connected(server: &Server) -> f64 {
    server.metric("orion_connections", "endpoint=\"/\"").await
        + server.metric("orion_connections", "endpoint=\"/ws/signals\"").await
}

/// A client that asks and does not read the answers is held back instead of filling memory.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_without_reading_fills_no_memory() {
    // Nor is it the limit of what may be said that holds them back.
    let server = Server::process(&[("ORION_LIMITS__EVENTS_PER_SECOND", "0")]).await;
    let before = server.resident();
    let mut flooders = JoinSet::new();
    for number in 0..8 {
        let addr = server.addr;
        flooders.spawn(async move {
            let text = "x".repeat(2_000);
            let mut client = match number % 2 {
                0 => Client::Native(Native::connect(addr, "/ws/signals").await),
                _ => {
                    let mut client = Socket::open(addr).await;
                    client.say("40").await;
                    client.connected().await;
                    Client::Socket(client)
                }
            };
            let ping: Value = json!({"type": "ping", "timestamp": text});
            // Half of them by the ping of the WebSocket itself, which has no more than 125 bytes.
            let protocol_ping = || Message::Ping(Bytes::from_static(&[0; 125]));
            loop {
                // Ends when the server holds the writer back, or cuts it.
                let said = async {
                    match &mut client {
                        Client::Native(client) if number >= 4 => client.0.send(protocol_ping()).await.is_ok(),
                        Client::Socket(client) if number >= 4 => client.stream.send(protocol_ping()).await.is_ok(),
                        Client::Native(client) => client.try_say(ping.to_string()).await,
                        Client::Socket(client) => client.try_say(format!("42{}", json!(["ping", ping]))).await,
                        Client::Polling(_) => unreachable!(),
                    }
                };
                match tokio::time::timeout(std::time::Duration::from_secs(1), said).await {
                    Ok(true) => {}
                    Ok(false) | Err(_) => return client,
                }
            }
        });
    }
    let held = soon("the flooders are held back", flooders.join_all()).await;
    let after = server.resident();
    eprintln!("{} flooders: {before:.0} MB → {after:.0} MB", held.len());
    assert!(after - before < 150.0, "grew from {before} to {after} MB");
    assert_eq!(server.get("/ready").await.0, 200);
    drop(held);
    server.stop().await;
}
