//! What long polls are answered with: never more packets than clients take, and all of them in order, whatever becomes of the
//! session.

use serde_json::{Value, json};

use crate::support::{Packet, Polling, Protocol, Server, seq, signal, upgrade_while_polling};

/// The most that a snapshot holds.
const SIGNALS: usize = 200;

async fn server_with_signals(letters: usize) -> Server {
    let server = Server::push_only().await;
    for number in 0..SIGNALS {
        let mut body = signal(&format!("s{number}"));
        body["reason"] = json!("x".repeat(letters));
        server.push(&body).await;
    }
    server
}

/// The numbers of the signals among packets, and whether the answer to the subscription comes after all of them.
fn told(packets: &[Packet]) -> (Vec<u64>, bool) {
    let mut numbers = Vec::new();
    let mut is_answered = false;
    for packet in packets {
        match packet {
            Packet::Event(event, args) if event == "signal" => numbers.push(seq(&args[1]["cursor"])),
            Packet::Event(event, _) => is_answered |= event == "subscribed",
            _ => {}
        }
    }
    (numbers, is_answered)
}

/// python-engineio says "Too many packets in payload", ends its session and comes back, for ever.
#[tokio::test]
async fn no_answer_has_more_than_sixteen_packets() {
    let server = server_with_signals(100).await;
    for protocol in [Protocol::Eio4, Protocol::Eio3] {
        let mut client = Polling::open(server.addr, protocol).await;
        client.subscribe(&Value::Null).await;
        let mut packets = Vec::new();
        while !told(&packets).1 {
            packets.push(client.next().await.unwrap());
        }
        assert_eq!(told(&packets).0, (1..=SIGNALS as u64).collect::<Vec<_>>(), "{protocol:?}");
        assert_eq!(client.most, 16, "{protocol:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_rest_that_is_not_polled_is_freed() {
    let server = server_with_signals(1_000).await;
    let mut client = Polling::open(server.addr, Protocol::Eio4).await;
    client.subscribe(&Value::Null).await;
    client.poll().await.unwrap();
    server.until("orion_polling_waiting_bytes", "", |bytes| bytes > 10_000.0).await;
    client.say("1").await;
    server.until("orion_polling_sessions", "", |sessions| sessions == 0.0).await;
    server.until("orion_polling_waiting_bytes", "", |bytes| bytes == 0.0).await;
    server.stop().await;
}

/// The largest answers are full in bytes, too: the engine then holds a packet back, which it would not give to the WebSocket.
#[tokio::test]
async fn an_upgrade_in_the_middle_loses_nothing() {
    for letters in [100, 1_500] {
        let server = server_with_signals(letters).await;
        for protocol in [Protocol::Eio4, Protocol::Eio3] {
            let mut client = Polling::open(server.addr, protocol).await;
            client.subscribe(&Value::Null).await;
            client.poll().await.unwrap();
            client.poll().await.unwrap();
            let before = client.arrived();
            let (polled, mut socket) = upgrade_while_polling(client, server.addr).await;
            let mut packets = [before, polled].concat();
            assert!(told(&packets).0.len() > 16, "it goes on polling");
            // What comes over the WebSocket comes after it.
            socket.emit("ping", &json!({"timestamp": 1})).await;
            loop {
                let packet = socket.next().await.unwrap();
                let is_pong = matches!(&packet, Packet::Event(event, _) if event == "pong");
                packets.push(packet);
                if is_pong {
                    break;
                }
            }
            let (numbers, is_answered) = told(&packets);
            assert_eq!(numbers, (1..=SIGNALS as u64).collect::<Vec<_>>(), "{protocol:?} {letters}");
            assert!(is_answered);
            server.until("orion_polling_waiting_bytes", "", |bytes| bytes == 0.0).await;
        }
        server.stop().await;
    }
}

/// python-engineio and others go over to a WebSocket before they poll at all, or without polling meanwhile.
#[tokio::test]
async fn an_upgrade_without_polls_gets_what_waits() {
    let server = server_with_signals(100).await;
    let mut client = Polling::open(server.addr, Protocol::Eio4).await;
    client.say("40").await;
    // The engine ends a session that sends an event before its namespace is connected.
    server.until("orion_connections", "", |connections| connections == 1.0).await;
    client.emit("subscribe", &Value::Null).await;
    let stream = tokio::net::TcpStream::connect(server.addr).await.unwrap();
    let mut socket = crate::support::upgrade(client, stream, server.addr).await;
    let heard = socket.until("subscribed").await;
    let numbers: Vec<_> =
        heard.iter().filter(|(event, _)| event == "signal").map(|(_, args)| seq(&args[1]["cursor"])).collect();
    assert_eq!(numbers, (1..=SIGNALS as u64).collect::<Vec<_>>());
    server.stop().await;
}
