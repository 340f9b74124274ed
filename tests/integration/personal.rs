//! Users' own streams over Socket.IO: nobody gets another's, whoever was away gets what he missed, and nothing comes without
//! a token that is good.

use std::net::SocketAddr;

use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::users::{SECRET, admin_token, token, token_for};
use crate::support::{Ended, Packet, Polling, Protocol, Server, Socket, narrow, signal, soon};

const ADMIN: &str = "admin-token-of-the-tests";

async fn server(more: &[(&str, &str)]) -> Server {
    let mut settings = vec![("ORION_JWT_SECRET", SECRET), ("ORION_ADMIN_TOKEN", ADMIN)];
    settings.extend(more);
    Server::start(&settings).await
}

async fn publish(server: &Server, events: &[Value]) {
    for batch in events.chunks(100) {
        let (status, answer) = server.post("/api/events", &json!({ "events": batch })).await;
        assert_eq!(status, 200, "{answer}");
    }
}

fn trade(user: &str, id: &str) -> Value {
    let data = json!({
        "id": id, "platform": "luno", "symbol": "BTC-ZAR", "side": "buy", "quantity": 1, "price": 2, "status": "filled",
    });
    json!({ "type": "trades", "user": user, "data": data })
}

fn bot(user: &str, id: &str) -> Value {
    json!({ "type": "bots", "user": user, "data": { "id": id, "status": "running" } })
}

/// Event, `id` of the object, and number of every message.
fn told(heard: &[(String, Vec<Value>)]) -> Vec<(String, String, u64)> {
    let messages = heard.iter().filter(|(_, args)| args.len() == 2);
    let message = |(event, args): &(String, Vec<Value>)| {
        let id = args[0]["id"].as_str().unwrap_or_default().to_owned();
        (event.clone(), id, args[1]["sequence"].as_u64().unwrap())
    };
    messages.map(message).collect()
}

fn ids(heard: &[(String, Vec<Value>)]) -> Vec<String> {
    told(heard).into_iter().map(|(_, id, _)| id).collect()
}

/// Logs in, subscribes with `request`, and returns what came up to the answer.
async fn joined(addr: SocketAddr, auth: &Value, request: &Value) -> (Socket, Vec<(String, Vec<Value>)>, Value) {
    let mut client = Socket::with_auth(addr, auth).await;
    client.connected().await;
    client.emit("subscribe", request).await;
    let mut heard = client.until("subscribed").await;
    let answer = heard.pop().unwrap().1.remove(0);
    (client, heard, answer)
}

async fn caught_up(client: &mut Socket) -> Vec<(String, Vec<Value>)> {
    client.emit("ping", &json!({})).await;
    client.until("pong").await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_what_is_for_somebody_else() {
    let server = server(&[]).await;
    let addr = server.addr;
    let (ann, mut heard, answer) = joined(addr, &json!({ "token": token("ann") }), &json!("user")).await;
    assert_eq!((heard.len(), &answer["channels"]), (0, &json!(["user"])), "{answer}");
    // An id that looks like the name of another's room.
    let (mimic, ..) = joined(addr, &json!({ "token": token("user:ann") }), &json!(["user", "prices", "signals"])).await;
    let headers = [("authorization", format!("Bearer {}", admin_token("root")))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let stream = TcpStream::connect(addr).await.unwrap();
    let mut root = Socket::asking(stream, addr, Protocol::Eio4, "", &headers).await;
    root.subscribe(&json!({ "channels": ["user"] })).await;
    root.event("subscribed").await;
    let stream = TcpStream::connect(addr).await.unwrap();
    let query = format!("&token={}", token("bob"));
    let mut bob = Socket::asking(stream, addr, Protocol::Eio3, &query, &[]).await;
    bob.connected().await;
    bob.emit("message", &json!({ "type": "subscribe", "channels": "user" })).await;
    let answer = bob.event("message").await.remove(0);
    assert_eq!((&answer["type"], &answer["channels"]), (&json!("subscribed"), &json!(["user"])));
    let mut polling = Polling::asking(addr, Protocol::Eio4, &format!("&token={}", token("bob"))).await;
    polling.subscribe(&json!("user")).await;
    polling.event("subscribed").await;
    let (guest, ..) = joined(addr, &json!({}), &json!(null)).await;

    let mut events = Vec::new();
    for number in 0..1_000 {
        let id = number.to_string();
        events.push(match number % 8 {
            0 | 1 => trade("ann", &id),
            2 => trade("bob", &id),
            3 => bot("bob", &id),
            4 => json!({ "type": "alerts", "data": { "id": id, "severity": "info", "message": "all" } }),
            5 => json!({ "type": "alerts", "audience": "admin", "data": { "id": id, "severity": "info", "message": "a" } }),
            6 => json!({ "type": "signal", "user": "ann", "data": { "id": id, "symbol": "EURUSD", "side": "buy", "strength": 1, "confidence": 1 } }),
            _ => json!({ "type": "tick", "data": { "id": id, "symbol": "AAPL", "bid": 1, "ask": 2 } }),
        });
    }
    publish(&server, &events).await;

    let of = |rests: &[usize]| -> Vec<String> {
        (0..1_000usize).filter(|number| rests.contains(&(number % 8))).map(|number| number.to_string()).collect()
    };
    for (name, client, rests) in
        [("ann", ann, &[0, 1, 4][..]), ("user:ann", mimic, &[4]), ("root", root, &[4, 5]), ("guest", guest, &[])]
    {
        let mut client = client;
        heard = caught_up(&mut client).await;
        assert_eq!(ids(&heard), of(rests), "{name}");
        let numbers: Vec<u64> = told(&heard).into_iter().map(|(.., number)| number).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{name}: {numbers:?}");
    }
    bob.emit("message", &json!({ "type": "ping" })).await;
    assert_eq!(ids(&bob.until("message").await), of(&[2, 3, 4]));
    let mut polled = Vec::new();
    polling.emit("ping", &json!({})).await;
    loop {
        let Ok(Packet::Event(event, args)) = soon("pong", polling.next()).await else { panic!("ended") };
        if event == "pong" {
            break;
        }
        polled.push((event, args));
    }
    assert_eq!(ids(&polled), of(&[2, 3, 4]));
    let (event, args) = polled.remove(0);
    assert_eq!((event.as_str(), &args[0]["id"], &args[0]["total"]), ("trades", &json!("2"), &json!(2)));
    let epoch = answer["cursor"].as_str().unwrap().split_once(':').unwrap().0;
    assert_eq!(args[1], json!({ "sequence": 3, "cursor": format!("{epoch}:m3") }));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn newcomers_get_states_and_cursors_get_the_rest() {
    let server = server(&[("ORION_DATA__MESSAGES_PER_USER", "4")]).await;
    let addr = server.addr;
    let auth = json!({ "token": token("ann") });
    let events: Vec<_> = ["t1", "t2", "t3"].map(|id| trade("ann", id)).into();
    publish(&server, &events).await;
    publish(&server, &[bot("ann", "b1"), bot("bob", "b2"), bot("ann", "b1"), trade("bob", "t7")]).await;

    let (mut ann, heard, answer) = joined(addr, &auth, &json!({ "channels": ["user", "signals"] })).await;
    assert_eq!(told(&heard), [("bots".into(), "b1".into(), 6)]);
    assert_eq!((&answer["recovered"], &answer["last_event_id"]), (&Value::Null, &json!(7)));
    assert_eq!(answer["channels"], json!(["signals", "user"]));
    publish(&server, &[trade("ann", "t8")]).await;
    let live = caught_up(&mut ann).await;
    assert_eq!(told(&live), [("trades".into(), "t8".into(), 8)]);
    let cursor = live[0].1[1]["cursor"].clone();
    let epoch = cursor.as_str().unwrap().split_once(':').unwrap().0.to_owned();

    // Who is in already gets nothing twice.
    ann.emit("subscribe", &json!({ "channels": "user", "last_event_id": 0 })).await;
    let mut again = ann.until("subscribed").await;
    let answer = again.pop().unwrap().1.remove(0);
    assert_eq!((again.len(), &answer["recovered"], &answer["last_event_id"]), (0, &Value::Null, &json!(8)));

    for id in [json!(2), json!("2"), json!(format!("{epoch}:m2"))] {
        let (_, heard, answer) = joined(addr, &auth, &json!({ "channels": "user", "last_event_id": id })).await;
        assert_eq!(ids(&heard), ["t3", "b1", "t8"], "{id}");
        assert_eq!((&answer["recovered"], &answer["last_event_id"]), (&json!(true), &json!(8)), "{id}");
        let with_id = json!({ "token": token("ann"), "last_event_id": id });
        let (_, heard, answer) = joined(addr, &with_id, &json!("user")).await;
        assert_eq!((ids(&heard), &answer["recovered"]), (vec!["t3".into(), "b1".into(), "t8".into()], &json!(true)));
    }
    for id in [json!(9), json!("another:m2"), json!(format!("{epoch}:2")), json!({ "no": "cursor" })] {
        let (_, heard, answer) = joined(addr, &auth, &json!({ "channels": "user", "last_event_id": id })).await;
        assert_eq!(
            (ids(&heard), &answer["recovered"]),
            (["t1", "t2", "t3", "b1", "t8"].map(Into::into).into(), &json!(false)),
            "{id}"
        );
    }
    publish(&server, &[trade("ann", "t9")]).await;
    let (_, heard, answer) = joined(addr, &auth, &json!({ "channels": "user", "last_event_id": 0 })).await;
    assert_eq!(
        (ids(&heard), &answer["recovered"]),
        (["t2", "t3", "b1", "t8", "t9"].map(Into::into).into(), &json!(false))
    );

    // A new signal is a decision, too. Together with signals, each goes on from its own cursor; one gap that stays is enough to say so.
    server.push(&signal("s1")).await;
    let since =
        |seq: u64| json!({ "channels": ["user", "signals"], "since": format!("{epoch}:{seq}"), "last_event_id": 8 });
    let (_, heard, answer) = joined(addr, &auth, &since(0)).await;
    let names: Vec<_> = heard.iter().map(|(event, _)| event.as_str()).collect();
    assert_eq!((names, &answer["recovered"]), (vec!["signal", "bots", "trades", "decisions"], &json!(true)));
    let (_, heard, answer) = joined(addr, &auth, &since(9)).await;
    assert_eq!((heard.len(), &answer["recovered"]), (4, &json!(false)));

    ann.emit("unsubscribe", &json!("user")).await;
    let left = ann.until("unsubscribed").await;
    assert_eq!(left.last().unwrap().1[0]["channels"], json!(["user"]));
    publish(&server, &[trade("ann", "t10"), bot("ann", "b1")]).await;
    assert_eq!(told(&caught_up(&mut ann).await), []);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_away_during_restarts_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let env = [("ORION_JWT_SECRET", SECRET)];
    let auth = json!({ "token": token("ann") });
    let first = Server::start_on(&dir, &env).await;
    let (mut ann, ..) = joined(first.addr, &auth, &json!("user")).await;
    publish(&first, &[trade("ann", "t1")]).await;
    let cursor = ann.event("trades").await[1]["cursor"].clone();
    drop(ann);
    publish(&first, &[trade("ann", "t2")]).await;
    publish(&first, &[bot("ann", "b3")]).await;
    first.kill().await;
    let second = Server::start_on(&dir, &env).await;
    publish(&second, &[trade("ann", "t4")]).await;
    let request = json!({ "channels": "user", "last_event_id": cursor });
    let (mut ann, heard, answer) = joined(second.addr, &auth, &request).await;
    assert_eq!((ids(&heard), &answer["recovered"]), (["t2", "b3", "t4"].map(Into::into).into(), &json!(true)));
    publish(&second, &[trade("ann", "t5")]).await;
    assert_eq!(ids(&caught_up(&mut ann).await), ["t5"]);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_larger_than_the_queue_comes_whole() {
    let server = server(&[]).await;
    let addr = server.addr;
    let bots: Vec<_> = (0..6_000).map(|id| bot("ann", &id.to_string())).collect();
    publish(&server, &bots).await;
    let auth = json!({ "token": token("ann") });
    let expected: Vec<_> = (0..6_000).map(|id| id.to_string()).collect();
    let (_, heard, answer) = joined(addr, &auth, &json!("user")).await;
    assert_eq!(ids(&heard), expected);
    assert_eq!(answer["last_event_id"], 6_000);

    publish(&server, &[trade("ann", "t1"), bot("ann", "0"), trade("ann", "t2")]).await;
    let mut cut = Socket::with_auth(addr, &auth).await;
    cut.connected().await;
    cut.emit("subscribe", &json!({ "channels": "user", "last_event_id": 6_000 })).await;
    let cursor = cut.event("trades").await[1]["cursor"].clone();
    drop(cut);
    let (_, heard, answer) = joined(addr, &auth, &json!({ "channels": "user", "last_event_id": cursor })).await;
    assert_eq!((heard.len(), &answer["recovered"]), (6_001, &json!(true)));
    assert_eq!(ids(&heard[5_998..]), ["5999", "0", "t2"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disconnected_slow_reader_has_no_gap() {
    let server = server(&[]).await;
    let auth = json!({ "token": token("ann") });
    let mut lazy = Socket::asking(narrow(server.addr).await, server.addr, Protocol::Eio4, "", &[]).await;
    lazy.say(format!("40{auth}")).await;
    lazy.connected().await;
    lazy.emit("subscribe", &json!("user")).await;
    lazy.event("subscribed").await;
    let text = "x".repeat(2_000);
    let mut published = 0;
    while server.metric("orion_disconnects_total", "").await == 0.0 {
        let note = |id: usize| {
            let data = json!({ "id": id.to_string(), "type": "info", "message": text });
            json!({ "type": "notification", "user": "ann", "data": data })
        };
        publish(&server, &(published..published + 100).map(note).collect::<Vec<_>>()).await;
        published += 100;
        assert!(published < 100_000, "it is never cut");
    }
    let mut heard = Vec::new();
    while let Ok(packet) = soon("what is still on the way", lazy.next()).await {
        if let Packet::Event(event, args) = packet {
            heard.push((event, args));
        }
    }
    let contiguous: Vec<_> = (0..heard.len()).map(|id| id.to_string()).collect();
    assert!(heard.len() < published, "it was cut after all of it");
    assert_eq!(ids(&heard), contiguous);
    let request = json!({ "channels": "user", "last_event_id": heard.len() });
    let (_, heard, answer) = joined(server.addr, &auth, &request).await;
    let kept: Vec<_> = (published - 50..published).map(|id| id.to_string()).collect();
    assert_eq!((ids(&heard), &answer["recovered"]), (kept, &json!(false)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_personal_channel_needs_a_user_token() {
    let server = server(&[("ORION_READ_TOKEN", "reader")]).await;
    publish(&server, &[bot("ann", "b"), json!({ "type": "metrics", "data": { "total_pnl": 1 } })]).await;
    for auth in [json!({}), json!({ "token": "" }), json!({ "token": null }), json!({ "token": "reader" })] {
        let mut client = Socket::with_auth(server.addr, &auth).await;
        client.connected().await;
        client.say(r#"421["subscribe",{"channels":["user","prices"]}]"#).await;
        let mut heard = Vec::new();
        while heard.len() < 3 {
            heard.push(soon("an answer", client.next()).await.unwrap());
        }
        let Packet::Event(event, args) = &heard[0] else { panic!("{heard:?}") };
        assert_eq!((event.as_str(), &args[0]["code"]), ("error", &json!("token_required")));
        let Packet::Other(acknowledged) = &heard[1] else { panic!("{heard:?}") };
        let acknowledged: Value = serde_json::from_str(acknowledged.strip_prefix("431").unwrap()).unwrap();
        assert_eq!(acknowledged[0]["code"], "token_required");
        assert_eq!(acknowledged[0]["channels"], json!(["prices"]));
        let Packet::Event(event, args) = &heard[2] else { panic!("{heard:?}") };
        assert_eq!((event.as_str(), &args[0]["channels"]), ("subscribed", &json!(["prices"])));
        assert_eq!(args[0].get("last_event_id"), None);
        publish(&server, &[bot("ann", "b")]).await;
        assert_eq!(told(&caught_up(&mut client).await), []);
    }
    server.stop().await;
}

/// The end of a connection, which never is the end of the namespace alone: a client would stay away after that.
async fn end(client: &mut Socket) -> Ended {
    soon("the end", async {
        loop {
            match client.next().await {
                Ok(Packet::Disconnected) => panic!("told to stay away"),
                Ok(_) => {}
                Err(ended) => return ended,
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_ends_and_opens_no_connection() {
    let server = server(&[]).await;
    let addr = server.addr;
    let refused = async |token: &str| {
        let mut client = Socket::with_auth(addr, &json!({ "token": token })).await;
        let packet = soon("refused", client.next()).await;
        let Ok(Packet::Refused(reason)) = packet else { panic!("{packet:?}") };
        reason["message"].as_str().unwrap().to_owned()
    };
    // It ends with the few seconds that clocks may differ by.
    let ending = token_for("bob", false, TimeDelta::zero());
    let (mut bob, ..) = joined(addr, &json!({ "token": ending }), &json!("user")).await;

    let (token, other) = (token("ann"), token("carol"));
    let (mut ann, ..) = joined(addr, &json!({ "token": token }), &json!("user")).await;
    let mut polling = Polling::asking(addr, Protocol::Eio4, &format!("&token={token}")).await;
    polling.subscribe(&json!("user")).await;
    polling.event("subscribed").await;
    let (mut carol, ..) = joined(addr, &json!({ "token": other }), &json!("user")).await;
    let revoke = server.http.post(server.url("/api/admin/revoke")).bearer_auth(ADMIN).json(&json!({ "user": "ann" }));
    assert_eq!(revoke.send().await.unwrap().status(), 200);
    end(&mut ann).await;
    let polled = soon("the end", async {
        loop {
            match polling.next().await {
                Ok(Packet::Disconnected) => panic!("told to stay away"),
                Ok(_) => {}
                Err(status) => return status,
            }
        }
    });
    assert_ne!(polled.await, 200);
    assert_eq!(refused(&token).await, "The token was revoked: log in again");

    end(&mut bob).await;
    assert_eq!(refused(&ending).await, "The token has expired: log in again");
    publish(&server, &[trade("ann", "t1"), trade("bob", "t2"), trade("carol", "t3")]).await;
    assert_eq!(ids(&caught_up(&mut carol).await), ["t3"]);
    // Nothing is left of those who have gone, though the token of one of them is still good.
    drop(carol);
    server.until("orion_connections", "", |count| count == 0.0).await;
    server.stop().await;
}
