//! Shared frames between what is written for one client alone: clients that stall, ask and upgrade meanwhile get every
//! signal once and in order, the answer to all they asked, and the last price of every symbol.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::support::{
    Native, PATIENCE, Packet, Polling, Protocol, Server, Socket, narrow, open, seq, signal, times,
    upgrade_while_polling,
};

const SYMBOLS: [&str; 3] = ["EURUSD", "GBPUSD", "USDJPY"];
/// The price that comes last.
const LAST: f64 = 1.5;

/// What a client has been told.
#[derive(Debug, Default)]
struct Told {
    signals: Vec<u64>,
    prices: BTreeMap<String, f64>,
    acknowledged: BTreeSet<u64>,
    pongs: usize,
}

impl Told {
    fn note(&mut self, packet: Packet) {
        match packet {
            Packet::Event(event, args) => match event.as_str() {
                "signal" => self.signals.push(seq(&args[1]["cursor"])),
                "price_update" => {
                    let symbol = args[0]["symbol"].as_str().unwrap().to_owned();
                    self.prices.insert(symbol, args[0]["price"].as_f64().unwrap());
                }
                "pong" => self.pongs += 1,
                "subscribed" | "connection" => {}
                other => panic!("{other}: {args:?}"),
            },
            Packet::Other(text) => {
                if let Some(rest) = text.strip_prefix("43") {
                    let id = rest.split('[').next().unwrap().parse().unwrap();
                    assert!(self.acknowledged.insert(id), "{id} was acknowledged twice");
                }
            }
            Packet::Connected => {}
            other => panic!("{other:?}"),
        }
    }

    fn is_complete(&self, signals: u64, asked: u64) -> bool {
        self.signals.last() == Some(&signals)
            && self.acknowledged.len() as u64 == asked
            && SYMBOLS.iter().all(|symbol| self.prices.get(*symbol) == Some(&LAST))
    }
}

async fn over_websocket(addr: SocketAddr, protocol: Protocol) -> (Socket, Told) {
    let mut socket = Socket::over(narrow(addr).await, addr, protocol).await;
    socket.subscribe(&Value::Null).await;
    let mut told = Told::default();
    for (event, args) in socket.until("subscribed").await {
        told.note(Packet::Event(event, args));
    }
    (socket, told)
}

/// A client that goes over to a WebSocket while events come.
async fn upgraded(addr: SocketAddr, protocol: Protocol) -> (Socket, Told) {
    let mut polling = Polling::open(addr, protocol).await;
    polling.subscribe(&Value::Null).await;
    sleep(Duration::from_millis(rand::random_range(0..300))).await;
    let (polled, socket) = upgrade_while_polling(polling, addr).await;
    let mut told = Told::default();
    for packet in polled {
        told.note(packet);
    }
    (socket, told)
}

/// Publishes prices and signals for `duration`, and the last prices. Returns the number of signals.
async fn publish(server: &Server, duration: Duration) -> u64 {
    let until = Instant::now() + duration;
    let mut signals = 0;
    while Instant::now() < until {
        let price = 1.0 + f64::from(rand::random_range(0..4_000)) / 10_000.0;
        push_prices(server, price).await;
        if rand::random_bool(0.5) {
            signals += 1;
            let mut body = signal(&format!("s{signals}"));
            body["reason"] = "r".repeat(rand::random_range(1..1_500)).into();
            assert_eq!(server.post("/api/signals", &body).await.0, 200);
        }
    }
    push_prices(server, LAST).await;
    signals
}

async fn push_prices(server: &Server, price: f64) {
    for symbol in SYMBOLS {
        let (status, answer) = server.post("/api/prices", &json!({"symbol": symbol, "price": price})).await;
        assert_eq!(status, 200, "{answer}");
    }
}

/// Waits for everything that is published within this many seconds.
async fn within<T>(seconds: u64, everything: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds) + PATIENCE, everything).await.expect("everything arrives")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_signal_is_lost_or_doubled_between_engine_and_lane() {
    let seconds = times("ORION_LANE_SECONDS", 10) as u64;
    let server = Server::push_only().await;
    let (addr, published) = (server.addr, CancellationToken::new());
    let (sender, _) = tokio::sync::watch::channel(Value::Null);
    let publishing = async {
        let signals = publish(&server, Duration::from_secs(seconds)).await;
        sender.send_replace(json!(signals));
        published.cancel();
        signals
    };
    let client = async |protocol, upgrades| {
        let (socket, told) =
            if upgrades { upgraded(addr, protocol).await } else { over_websocket(addr, protocol).await };
        let (mut socket, mut told, mut asked, mut pinged) = (socket, told, 0, Instant::now());
        loop {
            if !published.is_cancelled() && rand::random_bool(0.1) {
                asked += 1;
                socket.say(format!("42{asked}[\"ping\",{{\"timestamp\":{asked}}}]")).await;
            }
            if protocol == Protocol::Eio3 && pinged.elapsed() > Duration::from_secs(10) {
                // In Engine.IO 3 the client sends the pings.
                pinged = Instant::now();
                socket.say("2").await;
            }
            if rand::random_bool(0.02) {
                sleep(Duration::from_millis(rand::random_range(0..60))).await;
            }
            let Ok(packet) = tokio::time::timeout(Duration::from_secs(15), socket.next()).await else {
                panic!("{protocol:?} {upgrades} {asked} {told:?} {:?}", sender.borrow())
            };
            told.note(packet.unwrap());
            if published.is_cancelled() && told.is_complete(sender.borrow().as_u64().unwrap(), asked) {
                return (told, asked);
            }
        }
    };
    let clients = async {
        tokio::join!(
            Box::pin(client(Protocol::Eio4, false)),
            Box::pin(client(Protocol::Eio3, false)),
            Box::pin(client(Protocol::Eio4, true)),
            Box::pin(client(Protocol::Eio3, true)),
            Box::pin(client(Protocol::Eio4, true)),
        )
    };
    let (signals, clients) = within(seconds, async { tokio::join!(Box::pin(publishing), Box::pin(clients)) }).await;
    let (one, two, three, four, five) = clients;
    for (told, asked) in [one, two, three, four, five] {
        assert_eq!(told.signals, (1..=signals).collect::<Vec<_>>());
        assert_eq!(told.pongs as u64, asked);
    }
    assert!(signals > 10, "{signals}");
    server.stop().await;
}

/// What a native client has been told.
#[derive(Debug, Default)]
struct ToldNatively {
    signals: Vec<u64>,
    prices: BTreeMap<String, f64>,
    pongs: u64,
}

impl ToldNatively {
    /// Notes a frame of ORION. Every answer comes where it belongs between the signals.
    fn note(&mut self, frame: &Value) {
        match frame["type"].as_str().unwrap() {
            "signal" => self.signals.push(seq(&frame["cursor"])),
            "price_update" => self.price(&frame["payload"]["symbol"], &frame["payload"]["price"]),
            "subscribed" => assert_eq!(self.signals.last().copied().unwrap_or(0), seq(&frame["cursor"]), "{self:?}"),
            "pong" => {
                self.pongs += 1;
                assert_eq!(frame["timestamp"], self.pongs);
            }
            other => panic!("{other}: {frame}"),
        }
    }

    /// Notes a frame of ARIA.
    fn note_aria(&mut self, frame: &Value) {
        match frame["type"].as_str().unwrap() {
            "signal" => self.signals.push(frame["data"]["id"].as_str().unwrap()[1..].parse().unwrap()),
            "tick" => self.price(&frame["data"]["symbol"], &frame["data"]["bid"]),
            "echo" => {
                self.pongs += 1;
                assert_eq!(frame["payload"], self.pongs, "{frame}");
            }
            _ => {}
        }
    }

    fn price(&mut self, symbol: &Value, price: &Value) {
        self.prices.insert(symbol.as_str().unwrap().to_owned(), price.as_f64().unwrap());
    }

    fn is_complete(&self, signals: u64, asked: u64) -> bool {
        self.signals.last() == Some(&signals)
            && self.pongs == asked
            && SYMBOLS.iter().all(|symbol| self.prices.get(*symbol) == Some(&LAST))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn native_clients_get_every_signal_once_in_order() {
    let seconds = times("ORION_LANE_SECONDS", 10) as u64;
    let server = Server::push_only().await;
    let (addr, published) = (server.addr, CancellationToken::new());
    let (sender, _) = tokio::sync::watch::channel(0);
    let publishing = async {
        let signals = publish(&server, Duration::from_secs(seconds)).await;
        sender.send_replace(signals);
        published.cancel();
        signals
    };
    let client = async |path: &'static str, ask: fn(u64) -> Value, note: fn(&mut ToldNatively, &Value)| {
        let mut client = Native(open(narrow(addr).await, addr, path, &[]).await.unwrap());
        let (mut told, mut asked) = (ToldNatively::default(), 0);
        loop {
            if !published.is_cancelled() && rand::random_bool(0.1) {
                asked += 1;
                client.send(&ask(asked)).await;
            }
            if path == "/ws/signals" && !published.is_cancelled() && rand::random_bool(0.02) {
                client.send(&json!({"type": "subscribe"})).await;
            }
            if rand::random_bool(0.02) {
                sleep(Duration::from_millis(rand::random_range(0..60))).await;
            }
            let Ok(frame) = tokio::time::timeout(Duration::from_secs(15), client.next()).await else {
                panic!("{path} {asked} {told:?} {:?}", sender.borrow())
            };
            note(&mut told, &frame.unwrap());
            if published.is_cancelled() && told.is_complete(*sender.borrow(), asked) {
                return (told, asked);
            }
        }
    };
    let orion = || client("/ws/signals", |asked| json!({"type": "ping", "timestamp": asked}), ToldNatively::note);
    let aria = || client("/ws", |asked| json!({"type": "echo", "payload": asked}), ToldNatively::note_aria);
    let clients = async { tokio::join!(Box::pin(orion()), Box::pin(orion()), Box::pin(aria()), Box::pin(aria())) };
    let (signals, clients) = within(seconds, async { tokio::join!(Box::pin(publishing), Box::pin(clients)) }).await;
    let (one, two, three, four) = clients;
    for (told, asked) in [one, two, three, four] {
        assert_eq!(told.signals, (1..=signals).collect::<Vec<_>>());
        assert_eq!(told.pongs, asked);
    }
    assert!(signals > 10, "{signals}");
    server.stop().await;
}
