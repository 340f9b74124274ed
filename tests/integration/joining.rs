//! Joining what is live: at once after connecting, in a crowd, and while signals are published at full speed.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::support::{Ended, Native, PATIENCE, Packet, Polling, Protocol, Server, Socket, flood, seq, signal, soon};

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_simultaneous_clients_get_their_snapshot() {
    let server = Server::push_only().await;
    server.push(&signal("before")).await;
    server.post("/api/prices", &json!({"symbol": "EURUSD", "bid": 1.08510, "ask": 1.08516})).await;
    server.until("orion_events_published_total", "price_update", |count| count > 0.0).await;
    let addr = server.addr;
    let mut clients = JoinSet::new();
    for _ in 0..500 {
        clients.spawn(async move {
            let mut client = Socket::open(addr).await;
            client.say("40").await;
            client.connected().await;
            client.emit("subscribe", &json!(["prices", "signals"])).await;
            let mut told = Vec::new();
            loop {
                match soon("the snapshot", client.next()).await {
                    Ok(Packet::Event(event, _)) => told.push(event),
                    other => panic!("{other:?} after {told:?}"),
                }
                if told.last().is_some_and(|event| event == "subscribed") {
                    return told;
                }
            }
        });
    }
    for told in soon("everybody joins", clients.join_all()).await {
        assert_eq!(told, ["price_update", "signal", "subscribed"]);
    }
    server.stop().await;
}

/// No known client does this; the protocol wants it to wait for the answer, and the reference server closes it too.
#[tokio::test]
async fn events_before_the_connect_end_the_connection() {
    let server = Server::push_only().await;
    let mut client = Socket::open(server.addr).await;
    client.stream.feed(Message::text("40")).await.unwrap();
    client.stream.feed(Message::text(r#"42["subscribe"]"#)).await.unwrap();
    client.stream.flush().await.unwrap();
    // Connected and answered if its task ran in between, else cut: never left alone.
    let end = soon("an answer or an end", async {
        loop {
            match client.next().await {
                Ok(Packet::Event(event, _)) if event == "subscribed" => return None,
                Ok(Packet::Disconnected) => panic!("told to stay away"),
                Ok(_) => {}
                Err(Ended(code)) => return Some(code),
            }
        }
    });
    assert_ne!(end.await, Some(Some(1000)));
    server.stop().await;
}

/// What a client was told of signals: those of the snapshot, where live began, and those after.
#[derive(Debug, Default)]
struct Told {
    snapshot: Vec<u64>,
    cursor: Option<u64>,
    live: Vec<u64>,
}

impl Told {
    /// Takes what came; true once there is enough of it.
    fn take(&mut self, event: &str, cursor: &Value) -> bool {
        match (event, self.cursor) {
            ("subscribed", None) => self.cursor = Some(seq(cursor)),
            ("signal", None) => self.snapshot.push(seq(cursor)),
            ("signal", Some(_)) => self.live.push(seq(cursor)),
            _ => {}
        }
        self.live.len() >= 100
    }

    fn check(&self) {
        let cursor = self.cursor.unwrap();
        assert!(self.snapshot.is_sorted_by(|one, next| one < next), "the snapshot is not in order: {self:?}");
        assert!(self.snapshot.last().is_none_or(|last| *last <= cursor), "the snapshot reaches beyond live: {self:?}");
        let expected: Vec<u64> = (cursor + 1..).take(self.live.len()).collect();
        assert_eq!(self.live, expected, "a gap or a double after {cursor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_during_publishing_misses_and_doubles_nothing() {
    let server = Server::push_only().await;
    let addr = server.addr;
    let enough = CancellationToken::new();
    let pushing = tokio::spawn({
        let enough = enough.clone();
        async move {
            let mut round = 0;
            while !enough.is_cancelled() {
                round += 1;
                flood(addr, &format!("r{round}"), 400, 100).await;
            }
        }
    });
    let mut clients = JoinSet::new();
    // Whoever has seen enough of the flood makes room for the next, who so joins at a later place of it.
    let room = Arc::new(Semaphore::new(4));
    for number in 0u64..45 {
        let room = room.clone();
        clients.spawn(async move {
            let _seat = room.acquire_owned().await.unwrap();
            let mut told = Told::default();
            match number % 3 {
                0 => {
                    let mut client = Native::connect(addr, "/ws/signals").await;
                    loop {
                        let frame = client.next().await.unwrap();
                        if told.take(frame["type"].as_str().unwrap(), &frame["cursor"]) {
                            break;
                        }
                    }
                }
                1 => {
                    let mut client = Socket::over(TcpStream::connect(addr).await.unwrap(), addr, Protocol::Eio4).await;
                    client.subscribe(&json!("signals")).await;
                    loop {
                        let Packet::Event(event, args) = client.next().await.unwrap() else { panic!("cut") };
                        if told.take(&event, &args.last().unwrap()["cursor"]) {
                            break;
                        }
                    }
                }
                _ => {
                    let mut client = Polling::open(addr, Protocol::Eio3).await;
                    client.subscribe(&json!("signals")).await;
                    loop {
                        let Packet::Event(event, args) = client.next().await.unwrap() else { panic!("cut") };
                        if told.take(&event, &args.last().unwrap()["cursor"]) {
                            break;
                        }
                    }
                }
            }
            told
        });
    }
    // One after the other, more or less.
    let told = timeout(5 * PATIENCE, clients.join_all()).await.expect("everybody has seen enough");
    enough.cancel();
    pushing.await.unwrap();
    for told in &told {
        told.check();
    }
    let joined: BTreeSet<u64> = told.iter().filter_map(|told| told.cursor).collect();
    assert!(joined.len() > 10, "they joined at too few places to show anything: {joined:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_resubscribing_delays_no_other_client() {
    let server = Server::push_only().await;
    let addr = server.addr;
    flood(addr, "before", 400, 100).await;
    let (_, picture) = server.get("/api/signals?limit=1").await;
    let epoch = picture["cursor"].as_str().unwrap().split_once(':').unwrap().0.to_owned();
    // Replays end while further subscriptions with cursors arrive: two ways to lock the hub and a session cross here.
    let mut restless = JoinSet::new();
    for _ in 0..8 {
        let since = format!("{epoch}:0");
        restless.spawn(async move {
            let mut client = Socket::open(addr).await;
            client.subscribe(&json!({"channels": "signals", "since": since})).await;
            client.event("subscribed").await;
            let mut answers = 0;
            for _ in 0..40 {
                client.emit("unsubscribe", &Value::Null).await;
                client.emit("subscribe", &json!({"channels": "signals", "since": since})).await;
                client.emit("subscribe", &json!({"channels": "prices"})).await;
                // All of it is read before the next round: who falls behind by more than a queue is cut.
                for _ in 0..2 {
                    answers += usize::from(client.event("subscribed").await.len() == 1);
                }
            }
            answers
        });
    }
    flood(addr, "meanwhile", 800, 100).await;
    assert_eq!(soon("all are answered", restless.join_all()).await, [80; 8]);
    server.push(&signal("after")).await;
    server.stop().await;
}
