//! The bot platform's conversation, beside what its streams carry: pings, replays on request, errors, and what the server
//! adds of its own.

use orion_server::pipeline::clock::wall;
use serde_json::{Value, json};

use crate::support::users::{SECRET, Stream, Way, admin_token, get_as, post_as, token};
use crate::support::{Native, Server, TOKEN, signal, soon};

async fn server(settings: &[(&str, &str)]) -> Server {
    Server::start(&[&[("ORION_JWT_SECRET", SECRET)], settings].concat()).await
}

/// A page on its WebSocket, told that it is connected: what is published before that is none of its live stream.
async fn page(server: &Server, user: &str) -> Native {
    let mut page = Native::connect(server.addr, &format!("/api/ws?token={}", token(user))).await;
    page.frame("connection").await;
    page
}

async fn publish(server: &Server, kind: &str, user: Option<&str>, data: Value) {
    let mut event = json!({ "type": kind, "data": data });
    if let Some(user) = user {
        event["user"] = json!(user);
    }
    let (status, answer) = server.post("/api/events", &event).await;
    assert_eq!(status, 200, "{answer}");
}

fn alert(id: &str) -> Value {
    json!({ "id": id, "severity": "info", "message": "x" })
}

#[tokio::test]
async fn the_first_frames_fill_the_page() {
    let server = server(&[]).await;
    assert_eq!(server.post("/api/prices", &json!({ "symbol": "EURUSD", "bid": 1.085, "ask": 1.0852 })).await.0, 200);
    server.until("orion_events_published_total", "price", |count| count > 0.0).await;
    let (_, live) = get_as(server.addr, &token("ana"), "/api/prices/live").await;
    assert_eq!(live["EURUSD"]["price"], 1.0851, "{live}");
    for way in Way::PAGES {
        let mut stream = Stream::expect(server.addr, way, &token("ana"), None).await;
        let mut frames = Vec::new();
        for _ in 0..4 {
            frames.push(soon("the first frames", stream.next()).await.unwrap());
        }
        let kinds: Vec<_> = frames.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["connection", "live_prices", "prices_update", "system_health"], "{way:?}");
        let mode = if way == Way::Events { "sse" } else { "ws" };
        assert_eq!(frames[0]["status"], "Connected");
        assert_eq!(frames[0]["data"], json!({ "status": "connected", "mode": mode }));
        assert_eq!((&frames[0]["user_id"], &frames[0]["recovered"]), (&json!("ana"), &Value::Null));
        assert_eq!((&frames[1]["prices"], &frames[2]["data"]["prices"]), (&live, &live));
        assert_eq!(
            (&frames[3]["data"]["status"], &frames[3]["data"]["database"]),
            (&json!("healthy"), &json!("connected"))
        );
        for frame in &frames {
            let ts = frame["ts"].as_str().unwrap();
            assert!(ts.len() == 24 && ts.ends_with('Z') && frame["timestamp"] == ts, "{frame}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn prices_are_told_again_every_few_seconds() {
    let server = server(&[]).await;
    let mut streams = Vec::new();
    for way in [Way::Query, Way::Events] {
        let mut stream = Stream::expect(server.addr, way, &token("ana"), None).await;
        assert_eq!(stream.frame("live_prices").await["prices"], json!({}));
        streams.push(stream);
    }
    assert_eq!(server.post("/api/prices", &json!({ "symbol": "GBPUSD", "price": 1.27 })).await.0, 200);
    for stream in &mut streams {
        let frame = stream.frame("live_prices").await;
        assert_eq!(frame["prices"]["GBPUSD"]["price"], 1.27, "{frame}");
        assert_eq!(stream.frame("prices_update").await["data"]["prices"]["GBPUSD"]["price"], 1.27);
    }
    server.stop().await;
}

#[tokio::test]
async fn pings_are_answered_and_missing_pongs_counted() {
    let server = server(&[("ORION_HEARTBEAT__APP_PING", "1s")]).await;
    let mut page = page(&server, "ana").await;
    for number in [json!(1_705_251_000_000_u64), json!(0.5), json!("2026-01-14T16:30:00Z")] {
        page.send(&json!({ "type": "ping", "timestamp": number })).await;
        assert_eq!(page.frame("pong").await["timestamp"], number);
    }
    page.send(&json!({ "type": "ping" })).await;
    assert!(page.frame("pong").await["timestamp"].is_u64());

    // The dashboard never answers: that is counted, and nothing else.
    let began = wall().timestamp_millis();
    for _ in 0..3 {
        let ping = page.frame("ping").await;
        let number = ping["timestamp"].as_i64().unwrap();
        assert!((began - 1_000..=wall().timestamp_millis()).contains(&number), "{ping}");
    }
    server.until("orion_pongs_missing_total", "", |count| count >= 2.0).await;
    // The bus does.
    let ping = page.frame("ping").await;
    page.send(&json!({ "type": "pong", "timestamp": ping["timestamp"] })).await;
    page.send(&json!({ "type": "ping", "timestamp": 1 })).await;
    page.frame("pong").await;
    let missing = server.metric("orion_pongs_missing_total", "").await;
    page.frame("ping").await;
    assert!((server.metric("orion_pongs_missing_total", "").await - missing).abs() < 0.5, "this one was answered");
    server.stop().await;
}

#[tokio::test]
async fn invalid_frames_get_an_error_and_no_close() {
    let server = server(&[]).await;
    let mut page = page(&server, "ana").await;
    for (said, code, named) in [
        ("{not json", "INVALID_JSON", ""),
        ("", "INVALID_JSON", ""),
        ("[]", "INVALID_MESSAGE", ""),
        ("7", "INVALID_MESSAGE", ""),
        ("{\"type\":7}", "INVALID_MESSAGE", ""),
        ("{\"type\":\"dance\"}", "UNKNOWN_TYPE", "dance"),
        ("{\"type\":\"request_replay\"}", "INVALID_REQUEST", "last_sequence"),
        ("{\"type\":\"request_replay\",\"last_sequence\":-1}", "INVALID_REQUEST", "last_sequence"),
        ("{\"type\":\"request_replay\",\"last_sequence\":{}}", "INVALID_REQUEST", "last_sequence"),
    ] {
        page.say(said).await;
        let error = page.frame("error").await;
        assert_eq!(error["data"]["code"], code, "{said}: {error}");
        let message = error["data"]["message"].as_str().unwrap();
        assert!(message.contains(named) && error["message"] == message && error["ts"].is_string(), "{error}");
    }
    // Many levels deep, and of many bytes: still one answer.
    page.say("[".repeat(60_000)).await;
    assert_eq!(page.frame("error").await["data"]["code"], "INVALID_JSON");
    let name = "x".repeat(60_000);
    page.send(&json!({ "type": name })).await;
    assert!(page.frame("error").await.to_string().len() < 1_000);
    page.send(&json!({ "type": "ping", "timestamp": 1 })).await;
    assert_eq!(page.frame("pong").await["timestamp"], 1);
    server.stop().await;
}

#[tokio::test]
async fn missed_messages_come_for_every_cursor_spelling() {
    let server = server(&[]).await;
    let mut page = page(&server, "ana").await;
    let mut places = Vec::new();
    for number in 0..6 {
        // Another's, and a state, which has no place: between the numbers are holes.
        publish(&server, "alerts", Some("ben"), alert("ben")).await;
        publish(&server, "bots", Some("ana"), json!({ "id": "b", "status": "running" })).await;
        publish(&server, "alerts", [Some("ana"), None][number % 2], alert(&number.to_string())).await;
        let frame = page.frame("alerts").await;
        assert_eq!(frame["data"]["id"], number.to_string());
        places.push((frame["sequence"].as_u64().unwrap(), frame["cursor"].as_str().unwrap().to_owned()));
    }
    assert!(places.is_sorted_by(|one, other| one.0 < other.0), "{places:?}");
    let (number, cursor) = &places[2];
    for request in [
        json!({ "last_sequence": number }),
        json!({ "last_sequence": number.to_string() }),
        json!({ "last_event_id": cursor }),
        json!({ "since": cursor }),
    ] {
        let mut request = request;
        request["type"] = json!("request_replay");
        page.send(&request).await;
        let mut told = Vec::new();
        let end = loop {
            let frame = page.next().await.unwrap();
            match frame["type"].as_str().unwrap() {
                "alerts" => told.push(frame["data"]["id"].as_str().unwrap().to_owned()),
                "replay_complete" => break frame,
                _ => {}
            }
        };
        assert_eq!(told, ["3", "4", "5"], "{request}");
        assert_eq!((&end["data"]["count"], &end["recovered"]), (&json!(3), &json!(true)), "{end}");
        assert!(end["current_sequence"].as_u64().unwrap() >= places[5].0, "{end}");
    }
    page.send(&json!({ "type": "request_replay", "last_sequence": 1_000_000 })).await;
    let end = page.frame("replay_complete").await;
    assert_eq!((&end["data"]["count"], &end["recovered"]), (&json!(6), &json!(false)), "ahead of all: {end}");
    server.stop().await;
}

#[tokio::test]
async fn a_disconnected_page_gets_the_rest_once() {
    let server = server(&[]).await;
    for (user, path) in [("query", "/api/ws?"), ("path", "/api/ws&")] {
        let connect = async || {
            let mut page = Native::connect(server.addr, &format!("{path}token={}", token(user))).await;
            let hello = page.frame("connection").await;
            (page, hello["recovered"].clone())
        };
        let (mut page, recovered) = connect().await;
        assert_eq!(recovered, Value::Null, "the first connection of a user");
        for round in ["a", "b"] {
            publish(&server, "alerts", Some(user), alert(&format!("{round}1"))).await;
            assert_eq!(page.frame("alerts").await["data"]["id"], format!("{round}1"));
            // What a client says is read in order: the pong of the protocol stands in front of this one.
            page.send(&json!({ "type": "ping", "timestamp": 1 })).await;
            page.frame("pong").await;
            drop(page);
            server.until("orion_pages_away", "", |count| count > 0.0).await;
            publish(&server, "alerts", Some(user), alert(&format!("{round}2"))).await;
            let (back, recovered) = connect().await;
            page = back;
            assert_eq!(
                (recovered, &page.frame("alerts").await["data"]["id"]),
                (json!(true), &json!(format!("{round}2")))
            );
        }
        // Beside it, another one is new.
        let (mut beside, recovered) = connect().await;
        publish(&server, "alerts", Some(user), alert("last")).await;
        assert_eq!((recovered, &beside.frame("alerts").await["data"]["id"]), (Value::Null, &json!("last")));
        assert_eq!(page.frame("alerts").await["data"]["id"], "last");
        drop((page, beside));
        server.until("orion_pages_away", "", |count| count > 1.0).await;
        // Where it presents a cursor, the cursor decides.
        let path = format!("{path}token={}&last_event_id=0", token(user)).replace("/api/ws&", "/api/ws?");
        let mut page = Native::connect(server.addr, &path).await;
        assert_eq!(page.frame("alerts").await["data"]["id"], "a1");
        drop(page);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_pushed_signal_becomes_a_decision() {
    let server = server(&[]).await;
    let ana = token("ana");
    let mut streams = Vec::new();
    for way in Way::PAGES {
        streams.push(Stream::live(server.addr, way, &ana).await);
    }
    server.push(&signal("s-1")).await;
    server.push(&json!({ "id": "s-1", "status": "confirmed" })).await;
    publish(&server, "alerts", Some("ana"), alert("end")).await;
    for stream in &mut streams {
        let decision = stream.frame("decisions").await;
        let data = &decision["data"];
        assert_eq!(
            (&data["id"], &data["bot_id"], &data["platform"]),
            (&json!("s-1"), &json!("orion"), &json!("orion"))
        );
        assert_eq!(
            (&data["decision"], &data["symbol"], &data["confidence"]),
            (&json!("buy"), &json!("EURUSD"), &json!(0.85))
        );
        assert_eq!(data["reasoning"], json!(["MSS+FVG setup"]));
        assert_eq!((&data["stop_loss"], &data["stops"]["take_profit"]), (&json!(1.082), &json!(1.088)));
        for unknown in ["sizing", "regime_state", "component_scores", "market_data"] {
            assert_eq!(data[unknown], Value::Null, "{unknown} is not known");
        }
        assert!(decision["sequence"].is_u64() && decision["cursor"].is_string());
        // How the signal ended is none.
        loop {
            let frame = stream.next().await.unwrap();
            assert_ne!(frame["type"], "decisions", "{frame}");
            if frame["type"] == "alerts" {
                break;
            }
        }
    }
    let (_, recent) = get_as(server.addr, &ana, "/api/advanced/decisions/recent").await;
    assert_eq!((&recent["count"], &recent["decisions"][0]["id"]), (&json!(1), &json!("s-1")), "{recent}");
    server.stop().await;
}

#[tokio::test]
async fn health_merges_the_servers_and_the_platforms_state() {
    let server = server(&[]).await;
    let users = [("ana", token("ana")), ("ben", token("ben")), ("root", admin_token("root"))];
    let mut streams = Vec::new();
    for (name, token) in &users {
        for way in [Way::Query, Way::Events] {
            let mut stream = Stream::expect(server.addr, way, token, None).await;
            let own = stream.frame("system_health").await["data"].clone();
            assert_eq!(
                (&own["status"], &own["redis"], &own["exchange_connections"]),
                (&json!("healthy"), &Value::Null, &Value::Null)
            );
            assert!(own["uptime"].is_u64(), "{own}");
            streams.push((*name, stream));
        }
    }
    let said = json!({ "status": "on fire", "uptime": 1, "database": "gone", "redis": "connected",
        "exchange_connections": { "luno": "connected" }, "last_trade": "2026-01-14T16:25:00.000Z" });
    publish(&server, "system_health", None, said).await;
    publish(&server, "system_health", Some("ana"), json!({ "redis": "ana's" })).await;
    for (name, stream) in &mut streams {
        let expected = if *name == "ana" { "ana's" } else { "connected" };
        let health = loop {
            let health = stream.frame("system_health").await["data"].clone();
            assert!(*name == "ana" || health["redis"] != "ana's", "{health}");
            if health["redis"] == expected {
                break health;
            }
        };
        assert_eq!((&health["status"], &health["database"]), (&json!("healthy"), &json!("connected")), "{health}");
        assert_eq!(health["exchange_connections"], json!({ "luno": "connected" }));
        assert_eq!(health["last_trade"], "2026-01-14T16:25:00.000Z");
    }
    for (_, token) in &users {
        let (status, health) = get_as(server.addr, token, "/api/system/health").await;
        assert_eq!((status, &health["status"], &health["database"]), (200, &json!("healthy"), &json!("connected")));
    }
    server.stop().await;
}

#[tokio::test]
async fn only_peers_without_pongs_are_closed() {
    let server = server(&[("ORION_HEARTBEAT__PROTOCOL_PING", "1s"), ("ORION_HEARTBEAT__PEER_TIMEOUT", "2s")]).await;
    let mut listening = page(&server, "ana").await;
    let deaf = page(&server, "ben").await;
    // Reading is what lets a client's library answer.
    let end = async {
        loop {
            if let Err(end) = listening.next().await {
                return end;
            }
        }
    };
    tokio::select! {
        () = server.until("orion_disconnects_total", "silent", |count| count >= 1.0) => {}
        end = end => panic!("closed with {end} although it answers"),
    }
    drop(deaf);
    let (status, _) =
        post_as(server.addr, TOKEN, "/api/events", &json!({ "type": "alerts", "data": alert("x") })).await;
    assert_eq!(status, 200);
    listening.frame("alerts").await;
    server.stop().await;
}
