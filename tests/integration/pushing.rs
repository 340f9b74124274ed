//! Signals, prices and alerts as the world writes them, over every way in: read right, or refused with place, reason and remedy.

use serde_json::{Value, json};

use crate::support::{Native, Server, TOKEN, answer};

const WEBHOOK: &str = "a-very-secret-part-of-a-path-4711";
const ADMIN: &str = "the-admin-token-of-the-pushes";

async fn server(settings: &[(&str, &str)]) -> Server {
    let mut all = vec![("ORION_TRADINGVIEW_TOKEN", WEBHOOK), ("ORION_SOURCES", "none"), ("ORION_ADMIN_TOKEN", ADMIN)];
    all.extend_from_slice(settings);
    Server::start(&all).await
}

async fn send(server: &Server, path: &str, mime: &str, body: impl Into<String>) -> (u16, Value) {
    let post = server.http.post(server.url(path)).bearer_auth(TOKEN).header("content-type", mime);
    answer(post.body(body.into())).await
}

async fn alert(server: &Server, body: &str) -> (u16, Value) {
    send(server, &format!("/api/webhooks/tradingview/{WEBHOOK}"), "text/plain; charset=utf-8", body).await
}

async fn pusher(server: &Server) -> Native {
    let mut pusher = Native::connect(server.addr, "/api/websocket").await;
    pusher.send(&json!({"type": "auth", "token": TOKEN})).await;
    assert_eq!(pusher.next().await.unwrap()["success"], true);
    pusher
}

/// Case 39.
#[tokio::test]
async fn zero_bytes_at_the_end_are_cut_everywhere() {
    let server = server(&[]).await;
    for zeros in ["\0", "\0\0\0", " \r\n\0\0"] {
        let id = zeros.len();
        let signal = format!("{{\"id\":\"s{id}\",\"symbol\":\"EURUSD\",\"direction\":\"long\"}}{zeros}");
        assert_eq!(send(&server, "/api/signals", "application/json", &signal).await.0, 200, "{zeros:?}");
        let end = server.http.patch(server.url(&format!("/api/signals/s{id}"))).bearer_auth(TOKEN);
        assert_eq!(answer(end.body(format!("{{\"status\":\"confirmed\"}}{zeros}"))).await.0, 200, "{zeros:?}");
        let ticks = format!("{{\"v\":1,\"type\":\"ticks\",\"src\":\"mt5\",\"seq\":{id},\"ticks\":[]}}{zeros}");
        assert_eq!(send(&server, "/api/mt/ticks", "application/json", &ticks).await.0, 200, "{zeros:?}");
        let price = format!("{{\"symbol\":\"EURUSD\",\"price\":1.16}}{zeros}");
        assert_eq!(send(&server, "/api/prices", "application/json", &price).await.0, 200, "{zeros:?}");
        let told = alert(&server, &format!("{{\"ticker\":\"EURUSD\",\"price\":\"1.16{id}\"}}{zeros}")).await;
        assert_eq!((told.0, &told.1["kind"]), (200, &json!("price")), "{zeros:?}");
    }
    let mut pusher = pusher(&server).await;
    pusher.say("{\"type\":\"price_update\",\"data\":{\"symbol\":\"EURUSD\",\"price\":1.16}}\0").await;
    assert_eq!(pusher.next().await.unwrap()["success"], true);
    server.stop().await;
}

/// Cases 30, 35 and 37.
#[tokio::test]
async fn a_malformed_body_gets_its_remedy() {
    let server = server(&[]).await;
    let body = r#"{"id": "b1", "symbol": "EURUSD", "direction": "long", "entry_price": 1.16, "stop_loss": NaN, "take_profits": [1.165, Infinity], "confidence": -Infinity}"#;
    let (status, told) = send(&server, "/api/signals", "application/json", body).await;
    assert_eq!((status, &told["code"]), (400, &json!("invalid_json")));
    let error = told["error"].as_str().unwrap();
    assert!(error.contains("send null for stop_loss, take_profits[1], confidence"), "{error}");
    assert_eq!(told["details"]["fields"]["take_profits[1]"], "is NaN or Infinity: send null");
    let mut pusher = pusher(&server).await;
    pusher.say(format!("{{\"type\":\"signal\",\"data\":{body}}}")).await;
    let told = pusher.frame("error").await;
    assert_eq!(told["code"], "invalid_json");
    assert!(told["error"].as_str().unwrap().contains("send null for data.stop_loss, data.take_profits[1]"), "{told}");
    for (body, remedy) in [
        ("```json\n{\"symbol\": \"EURUSD\"}\n```", "code fence"),
        ("{'symbol': 'EURUSD'}", "single quotes"),
        ("{“symbol”: “EURUSD”}", "typographic quotes"),
        (r#"{"id": "x", "symbol": "EURUSD", "direction": "long", "sl": 1.1, "sl": 1.2}"#, "sl stands there twice"),
    ] {
        let (status, told) = send(&server, "/api/signals", "application/json", body).await;
        assert!(status == 400 && told["error"].as_str().unwrap().contains(remedy), "{told}");
    }
    for path in ["/api/prices", "/api/events", "/api/mt/ticks"] {
        let body = r#"{"symbol": "EURUSD", "bid": 1.1, "ask": 1.2, "bid": 1.0}"#;
        let (status, told) = send(&server, path, "application/json", body).await;
        assert!(status == 400 && told["error"].as_str().unwrap().contains("bid stands there twice"), "{path} {told}");
    }
    let (status, told) = send(&server, "/api/signals", "application/x-www-form-urlencoded", "{}").await;
    assert!(status == 415 && told["error"].as_str().unwrap().contains("Content-Type: application/json"), "{told}");
    // The webhook mends what TradingView prints.
    let (status, told) = alert(&server, r#"{"ticker": "EURUSD", "action": "buy", "price": 1.16, "sl": NaN}"#).await;
    assert_eq!((status, &told["kind"]), (200, &json!("signal")));
    server.stop().await;
}

/// Case 31.
#[tokio::test]
async fn ignored_fields_are_named_in_the_answer() {
    let server = server(&[]).await;
    let signal = json!({"id": "b2", "ticker": "EURUSD", "side": "BUY", "entry": 1.16, "stopLoss": 1.157, "tp1": 1.163, "tp2": 1.166,
        "riskReward": 2, "leverage": 10});
    let (status, told) = server.post("/api/signals", &signal).await;
    assert_eq!((status, &told["ignored"]), (200, &json!(["leverage"])), "{told}");
    let (_, stored) = server.get("/api/signals/b2").await;
    assert_eq!(stored["signal"]["take_profits"], json!([1.163, 1.166]));
    assert_eq!((&stored["signal"]["stop_loss"], &stored["signal"]["rr_target"]), (&json!(1.157), &json!(2)));
    let (_, told) = server.post("/api/prices", &json!({"ticker": "EURUSD", "last": 1.16, "spread": 1})).await;
    assert_eq!(told["ignored"], json!(["spread"]));
    let mut pusher = pusher(&server).await;
    pusher.send(&json!({"type": "signal", "data": {"id": "b3", "pair": "EURUSD", "action": "sell", "lots": 1}})).await;
    assert_eq!(pusher.next().await.unwrap()["ignored"], json!(["lots"]));
    let (_, told) = alert(&server, r#"{"ticker": "EURUSD", "action": "buy", "contracts": 1}"#).await;
    assert_eq!((&told["kind"], &told["ignored"]), (&json!("signal"), &json!(["contracts"])));
    let (_, told) = server.post("/api/signals", &json!({"id": "b4", "symbol": "EURUSD", "direction": "long"})).await;
    assert_eq!(told.get("ignored"), None, "only when there is something");
    server.stop().await;
}

/// Case 26.
#[tokio::test]
async fn a_distance_is_refused_on_every_way_in() {
    let server = server(&[]).await;
    let gold = json!({"id": "d", "action": "BUY", "symbol": "XAUUSD", "price": 4050.1, "sl": 30});
    let says_so = |told: &Value| {
        told["error"].as_str().is_some_and(|error| error.contains("sl is a price; this looks like a distance"))
    };
    let (status, told) = server.post("/api/signals", &gold).await;
    assert!(status == 400 && says_so(&told), "{told}");
    let (status, told) = server.post("/api/signals?dry_run=true", &gold).await;
    assert!(status == 400 && says_so(&told), "{told}");
    let (status, told) = alert(&server, &gold.to_string()).await;
    assert!(status == 400 && says_so(&told), "{told}");
    let mut pusher = pusher(&server).await;
    pusher.send(&json!({"type": "signal", "data": gold})).await;
    assert!(says_so(&pusher.next().await.unwrap()));
    let mut terminal = gold.clone();
    terminal
        .as_object_mut()
        .unwrap()
        .extend(json!({"v": 1, "type": "signal", "src": "mt5"}).as_object().unwrap().clone());
    let (status, told) = server.post("/api/mt/ticks", &terminal).await;
    assert!(status == 400 && says_so(&told), "{told}");
    let euro = json!({"id": "e", "action": "BUY", "symbol": "EURUSD", "price": 1.1601, "sl": 300, "tp": 600});
    let (status, told) = server.post("/api/signals", &euro).await;
    assert!(status == 400 && told["details"]["fields"]["tp"].as_str().unwrap().contains("distance"), "{told}");
    // Without an entry the last real price counts.
    server.post("/api/prices", &json!({"symbol": "XAUUSD", "price": 4050.1})).await;
    let (status, told) =
        server.post("/api/signals", &json!({"id": "f", "side": "buy", "symbol": "XAUUSD", "sl": 30})).await;
    assert!(status == 400 && says_so(&told), "{told}");
    let (status, _) =
        server.post("/api/signals", &json!({"id": "g", "side": "buy", "symbol": "XAUUSD", "sl": 4038})).await;
    assert_eq!(status, 200);
    server.stop().await;
}

#[tokio::test]
async fn dry_run_in_the_query_ends_nothing() {
    let server = server(&[]).await;
    server.post("/api/signals", &json!({"id": "open", "symbol": "EURUSD", "direction": "long"})).await;
    let end = json!({"status": "confirmed"});
    let (status, told) = server.patch("open?dry_run=true", &end).await;
    assert_eq!((status, &told["dry_run"], &told["status"]), (200, &json!(true), &json!("confirmed")), "{told}");
    let (status, told) = server.patch("open?dry_rum=true", &end).await;
    assert!(status == 400 && told["details"]["fields"]["dry_rum"].is_string(), "{told}");
    assert_eq!(server.history("open").await.len(), 1);
    assert_eq!(server.patch("open", &end).await.0, 200);
    assert_eq!(server.history("open").await.len(), 2);
    server.stop().await;
}

/// Case 34.
#[tokio::test]
async fn a_pasted_text_is_read_and_shown() {
    let server = server(&[]).await;
    let text = "XAUUSD BUY 4045-4048\nTP 4055\nTP 4065\nSL 4038\nGood luck";
    let (status, told) = send(&server, "/api/signals?dry_run=1", "text/plain", text).await;
    assert_eq!((status, &told["dry_run"]), (200, &json!(true)), "{told}");
    let read = json!({"symbol": "XAUUSD", "direction": "long", "entry_price": 4048.0, "entry_range": [4045.0, 4048.0], "stop_loss": 4038.0,
        "take_profits": [4055.0, 4065.0]});
    assert_eq!((&told["read_as"], &told["ignored"]), (&read, &json!(["Good luck"])));
    let id = told["signal_id"].as_str().unwrap().to_owned();
    assert_eq!(server.get(&format!("/api/signals/{id}")).await.0, 404, "a dry run publishes nothing");
    for _ in 0..2 {
        let (status, told) = send(&server, "/api/signals", "text/plain; charset=utf-8", text).await;
        assert_eq!((status, &told["signal_id"]), (200, &json!(id)), "the same text is the same signal");
    }
    assert_eq!(server.history(&id).await.len(), 1);
    let (status, told) = send(&server, "/api/signals?id=mine", "text/plain", "SELL EURUSD @ 1.16").await;
    assert_eq!((status, &told["signal_id"]), (200, &json!("mine")));
    let (status, told) = send(&server, "/api/signals", "text/plain", text.replace("BUY", "BUY LIMIT")).await;
    assert!(status == 400 && told["error"].as_str().unwrap().contains("pending order"), "{told}");
    let (status, told) = send(&server, "/api/signals", "text/plain", "GBPJPY buy 201.5").await;
    assert_eq!((status, &told["code"]), (422, &json!("unknown_symbol")));
    // JSON that calls itself text is JSON.
    let json = r#"{"id": "t", "symbol": "EURUSD", "direction": "long"}"#;
    assert_eq!(send(&server, "/api/signals", "text/plain", json).await.1["signal_id"], "t");
    assert_eq!(server.post("/api/signals?dry_run=maybe", &json!({})).await.0, 400);
    server.stop().await;
}

/// Cases 25 and 27.
#[tokio::test]
async fn a_repeated_alert_names_what_it_repeats() {
    let server = server(&[("ORION_TRADINGVIEW__REPEAT_WINDOW", "1s")]).await;
    let text = r#"{"ticker": "EURUSD", "action": "buy", "reason": "MA cross"}"#;
    let (_, first) = alert(&server, text).await;
    let (_, again) = alert(&server, text).await;
    assert_eq!((&again["kind"], &again["duplicate"]), (&json!("duplicate"), &json!(true)), "{again}");
    assert_eq!((&again["of"], &again["received_at"]), (&first["signal_id"], &first["timestamp"]));
    assert!((server.metric("orion_duplicates_total", "tradingview").await - 1.0).abs() < 0.1);
    let overview = server.http.get(server.url("/api/admin/overview")).bearer_auth(ADMIN);
    let (_, overview) = answer(overview).await;
    assert_eq!(overview["duplicates"], json!([{"kind": "signal", "source": "tradingview", "count": 1}]));
    // The window is over as soon as the same text is a signal again.
    let later = loop {
        let (_, told) = alert(&server, text).await;
        if told["kind"] != "duplicate" {
            break told;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert_eq!(later["kind"], "signal");
    assert_ne!(later["signal_id"], first["signal_id"], "another event is another signal");
    let (status, told) = alert(&server, r#"{"event": "SWEEP_LOW", "symbol": "EURUSD", "price": 1.16}"#).await;
    assert_eq!((status, &told["kind"]), (200, &json!("price")));
    assert!(told["message"].as_str().unwrap().contains("no action, direction or side: taken as a price"), "{told}");
    server.stop().await;
}
