//! Readers with a delay: nothing younger leaves on any route or stream, and everything comes when it is old enough.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use orion_server::pipeline::clock::wall;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::required::{
    ADMIN, AUDIENCE, For, MARK, PRICE, READ, Route, ask, beside_the_router, publish, routes, shake, told, with_query,
};
use crate::support::users::{SECRET, Stream, Way, get_as, signed, token_of_audience};
use crate::support::{Native, Packet, Polling, Protocol, Server, Socket, answer, signal, soon, until};

/// A delay that no test outlives, in seconds.
const LONG: u32 = 3_600;

/// A token of `ana`, who reads this many seconds late.
fn late(seconds: u32) -> String {
    let exp = wall().timestamp() + 7_200;
    signed("HS256", SECRET, &json!({ "sub": "ana", "aud": AUDIENCE, "exp": exp, "delay": seconds }))
}

/// A token of `ana`, who reads at once.
fn prompt() -> String {
    token_of_audience("ana", Some(AUDIENCE))
}

const SETTINGS: [(&str, &str); 6] = [
    ("ORION_READ_AUTH", "required"),
    ("ORION_READ_TOKEN", READ),
    ("ORION_JWT_SECRET", SECRET),
    ("ORION_AUTH__JWT_AUDIENCE", AUDIENCE),
    ("ORION_ADMIN_TOKEN", ADMIN),
    ("ORION_SENTIO__UPDATE_INTERVAL", "1s"),
];

async fn server() -> Server {
    Server::start(&SETTINGS).await
}

/// Whether something of what was published is told, in whatever spelling.
fn is_marked(said: &str) -> bool {
    said.to_lowercase().contains(MARK) || said.contains(PRICE)
}

fn tells_nothing(said: &str, context: &str) {
    assert!(!is_marked(said), "{context}: {said}");
}

/// Routes that are read: every GET, whoever it is for.
fn read_routes() -> Vec<Route> {
    let is_read = |route: &Route| route.method == "GET" && !route.open_for.is_websocket();
    routes().into_iter().filter(is_read).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_younger_leaves_on_any_route() {
    let server = server().await;
    // One delay is in use before anything is published, the other one begins afterwards.
    assert_eq!(get_as(server.addr, &late(LONG), "/api/prices").await.0, 200);
    let events = Stream::live(server.addr, Way::Events, &late(LONG)).await;
    let mut events_soon = Stream::live(server.addr, Way::Events, &late(1)).await;
    publish(&server).await;
    let mut marked = 0;
    for route in &read_routes() {
        for token in [late(LONG), late(LONG - 60)] {
            let (status, said) = ask(server.addr, route, Some(&token)).await;
            assert!(status < 500, "{}: {status} {said}", route.asked);
            tells_nothing(&said, route.asked);
        }
        if route.asked == "/api/realtime/events" {
            continue;
        }
        // What others get at once is there when it is old enough.
        let (status, said) = ask(server.addr, route, Some(&prompt())).await;
        if !is_marked(&said) {
            continue;
        }
        marked += 1;
        until(route.asked, async || {
            let (late_status, late) = ask(server.addr, route, Some(&late(1))).await;
            late_status == status && is_marked(&late)
        })
        .await;
    }
    assert!(marked >= 10, "{marked}");
    soon("the events", async { while !is_marked(&events_soon.next().await.unwrap().to_string()) {} }).await;
    let mut events = events;
    while let Some(event) = events.next().now_or_never() {
        tells_nothing(&event.unwrap().to_string(), "/api/realtime/events");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_younger_leaves_to_an_agent() {
    let server = Server::start(&[&SETTINGS[..], &[("ORION_MCP", "1")]].concat()).await;
    publish(&server).await;
    let mut route = routes().into_iter().find(|route| route.asked == "/mcp").unwrap();
    for (tool, arguments) in
        [("list_signals", json!({})), ("get_signal", json!({ "id": "mark-77" })), ("get_prices", json!({}))]
    {
        let params = json!({ "name": tool, "arguments": arguments });
        route.body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let (status, said) = ask(server.addr, &route, Some(&late(LONG))).await;
        assert_eq!(status, 200, "{tool}: {said}");
        tells_nothing(&said, tool);
        assert!(is_marked(&ask(server.addr, &route, Some(&prompt())).await.1), "{tool}");
        until(tool, async || is_marked(&ask(server.addr, &route, Some(&late(1))).await.1)).await;
    }
    server.stop().await;
}

/// Streams that tell nothing of what is published here.
const SILENT: [&str; 1] = ["/monitoring/ws/performance"];

/// Reads until something that was published is told, as far as something is.
async fn hears(client: &mut Native, path: &str) {
    soon(path, async {
        loop {
            match client.0.next().await {
                Some(Ok(Message::Text(text))) if is_marked(&text) => return,
                Some(Ok(Message::Close(_)) | Err(_)) | None => panic!("{path} has ended"),
                Some(Ok(_)) => {}
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_younger_leaves_on_any_stream() {
    let server = server().await;
    let streams = routes().into_iter().filter(|route| route.open_for.is_websocket()).chain(beside_the_router());
    let streams: Vec<_> = streams
        .filter(|route| route.open_for != For::AdminFrame && !route.asked.contains("EIO"))
        .map(|route| route.asked)
        .collect();
    let open = async |path: &str, token: &str| {
        let mut client = shake(server.addr, &with_query(path, token), &[]).await.unwrap();
        let frames: &[&str] = match path {
            // A WebSocket on the console's address is the same stream.
            "/" | "/ws/market-data" => &[r#"{"action":"subscribe","symbols":["EURUSD"]}"#],
            _ => &[
                r#"{"action":"subscribe","user_id":"ana"}"#,
                r#"{"type":"subscribe","channels":["signals","prices"]}"#,
            ],
        };
        for frame in frames {
            client.say(*frame).await;
        }
        client
    };
    let mut clients = Vec::new();
    for path in &streams {
        clients.push((*path, open(path, &prompt()).await, open(path, &late(1)).await, open(path, &late(LONG)).await));
    }
    publish(&server).await;
    for (path, prompt, soon, late) in &mut clients {
        if !SILENT.contains(path) {
            hears(prompt, &format!("{path}, at once")).await;
            hears(soon, &format!("{path}, late")).await;
        }
        let (said, end) = told(late).await;
        assert_eq!(end, None, "{path}: {said}");
        tells_nothing(&said, path);
        // A newcomer's snapshot is as old.
        let (said, _) = told(&mut open(path, &self::late(LONG)).await).await;
        tells_nothing(&said, path);
    }
    // Where a frame may name the user, a token that reads later is refused.
    for path in ["/ws/earnings", "/ws/notifications", "/ws/user/ana"] {
        let mut client = shake(server.addr, path, &[]).await.unwrap();
        client.send(&json!({ "action": "subscribe", "token": late(LONG) })).await;
        let (said, end) = told(&mut client).await;
        assert!(end == Some(1008) && said.contains("late"), "{path}: {end:?} {said}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_younger_leaves_over_socketio() {
    let server = server().await;
    let all = json!({ "channels": ["signals", "prices", "user"] });
    let auth = |token: &str| json!({ "token": token });
    for namespace in ["", "/ws/signals,"] {
        let join = async |token: &str| {
            let mut socket = Socket::open(server.addr).await;
            socket.say(format!("40{namespace}{}", auth(token))).await;
            socket.connected().await;
            socket.say(format!("42{namespace}{}", json!(["subscribe", all]))).await;
            socket.until("subscribed").await;
            let mut polling = Polling::open(server.addr, Protocol::Eio4).await;
            polling.say(&format!("40{namespace}{}", auth(token))).await;
            assert_eq!(soon("connected", polling.next()).await, Ok(Packet::Connected));
            polling.say(&format!("42{namespace}{}", json!(["subscribe", all]))).await;
            polling.event("subscribed").await;
            (socket, polling)
        };
        let (mut prompt, mut soon, mut late) = (join(&prompt()).await, join(&late(1)).await, join(&late(LONG)).await);
        publish(&server).await;
        for (socket, polling) in [&mut prompt, &mut soon] {
            assert!(is_marked(&format!("{:?}", socket.until("notification").await)));
            assert!(is_marked(&format!("{:?}", polling.event("notification").await)));
        }
        late.0.say(format!("42{namespace}{}", json!(["ping", {}]))).await;
        tells_nothing(&format!("{:?}", late.0.until("pong").await), "Socket.IO");
        late.1.say(&format!("42{namespace}{}", json!(["ping", {}]))).await;
        let heard = crate::support::soon("a pong", async {
            let mut heard = String::new();
            while !heard.contains("pong") {
                heard.extend(late.1.next().await.map(|packet| format!("{packet:?}")));
            }
            heard
        });
        tells_nothing(&heard.await, "Socket.IO over long polling");
        // A client that upgrades stays as late as it was.
        let stream = tokio::net::TcpStream::connect(server.addr).await.unwrap();
        let mut upgraded = crate::support::upgrade(late.1, stream, server.addr).await;
        publish(&server).await;
        prompt.0.until("notification").await;
        upgraded.say(format!("42{namespace}{}", json!(["ping", {}]))).await;
        tells_nothing(&format!("{:?}", upgraded.until("pong").await), "Socket.IO after the upgrade");
    }
    // The clients of one connection share its lane.
    let mut socket = Socket::with_auth(server.addr, &auth(&late(LONG))).await;
    socket.connected().await;
    socket.say(format!("40/ws/signals,{}", auth(&prompt()))).await;
    let answer = soon("an answer", socket.next()).await;
    assert!(
        matches!(&answer, Ok(Packet::Refused(reason)) if reason.to_string().contains("another delay")),
        "{answer:?}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delayed_reader_gets_everything_in_order() {
    const COUNT: usize = 30;
    let delay = Duration::from_secs(2);
    let server = server().await;
    let token = late(2);
    let open = async |query: &str| {
        let mut client = Native::connect(server.addr, &format!("/ws/signals?token={token}{query}")).await;
        client.send(&json!({ "type": "subscribe", "channels": ["signals", "prices"] })).await;
        client
    };
    let mut client = open("").await;
    client.frame("subscribed").await;
    let mut pushed = Vec::new();
    assert_eq!(server.post("/api/prices", &json!({ "symbol": "US30", "price": 44_000.5 })).await.0, 200);
    for number in 0..COUNT {
        server.push(&signal(&format!("s{number}"))).await;
        pushed.push(Instant::now());
    }
    let observed = async || {
        let (_, prices) = get_as(server.addr, &prompt(), "/api/prices").await;
        prices["prices"].as_array().unwrap().iter().find(|price| price["symbol"] == "US30").cloned()
    };
    until("the price", async || observed().await.is_some()).await;
    let observed = observed().await.unwrap();
    let head = get_as(server.addr, &prompt(), "/api/signals").await.1["cursor"].as_str().unwrap().to_owned();
    // The price may come between the signals.
    let (mut price, mut frames) = (None, Vec::new());
    soon("the price and all signals", async {
        while price.is_none() || frames.len() < COUNT {
            let frame = client.next().await.unwrap();
            match frame["type"].as_str() {
                Some("price_update") => price = Some(frame),
                Some("signal") => frames.push((frame, Instant::now())),
                _ => {}
            }
        }
    })
    .await;
    let price = price.unwrap();
    assert_eq!(price["payload"]["quality"], "delayed", "{price}");
    assert_eq!(observed["quality"], "live");
    assert_eq!(price["payload"]["timestamp"], observed["timestamp"], "the original time");
    let mut cursors = Vec::new();
    for (number, (pushed, (frame, came))) in pushed.iter().zip(&frames).enumerate() {
        assert_eq!(frame["payload"]["id"], format!("s{number}"));
        let elapsed = *came - *pushed;
        // The answer to the push came after the publishing, so that a little may be missing.
        assert!(elapsed + Duration::from_millis(300) > delay, "s{number} after {elapsed:?}");
        cursors.push(frame["cursor"].as_str().unwrap().to_owned());
    }
    assert_eq!(cursors.last(), Some(&head));
    // Resuming fills the gap up to what is old enough.
    let mut again = open(&format!("&since={}", cursors[9])).await;
    for number in 10..COUNT {
        assert_eq!(again.frame("signal").await["payload"]["id"], format!("s{number}"));
    }
    // A cursor that others got ahead of them gives nothing of what is too young.
    server.push(&signal("young")).await;
    let ahead = get_as(server.addr, &prompt(), "/api/signals").await.1["cursor"].as_str().unwrap().to_owned();
    let (_, page) = get_as(server.addr, &late(LONG), &format!("/api/signals?since={ahead}")).await;
    assert_eq!(page["signals"], json!([]), "{page}");
    let mut early = Native::connect(server.addr, &format!("/ws/signals?token={}&since={ahead}", late(LONG))).await;
    let (said, _) = told(&mut early).await;
    assert!(!said.contains("young"), "{said}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_is_as_it_was_then() {
    let delay = Duration::from_secs(3);
    let server = server().await;
    let token = late(3);
    let life = async |token: &str| get_as(server.addr, token, "/api/signals/a").await;
    server.push(&signal("a")).await;
    assert_eq!(life(&token).await.0, 404);
    until("the signal", async || life(&token).await.0 == 200).await;
    let changed = Instant::now();
    assert_eq!(server.patch("a", &json!({ "status": "confirmed", "killzone": "pm" })).await.0, 200);
    assert_eq!(life(&prompt()).await.1["signal"]["status"], "confirmed");
    let (_, then) = life(&token).await;
    let (_, pending) = get_as(server.addr, &token, "/api/signals?status=pending&killzone=london").await;
    let (_, trades) = get_as(server.addr, &token, "/signals/history").await;
    let (_, stats) = get_as(server.addr, &token, "/api/stats").await;
    if changed.elapsed() < delay {
        assert_eq!(then["signal"]["status"], "pending", "{then}");
        assert_eq!(then["history"].as_array().unwrap().len(), 1, "{then}");
        assert_eq!(pending["signals"][0]["id"], "a", "{pending}");
        assert!(!trades.to_string().contains("confirmed"), "{trades}");
        assert_eq!(stats["open"], 0, "{stats}");
    }
    until("the confirmation", async || life(&token).await.1["history"].as_array().unwrap().len() == 2).await;
    assert!(changed.elapsed() + Duration::from_millis(300) > delay, "{:?}", changed.elapsed());
    let (_, pending) = get_as(server.addr, &token, "/api/signals?status=pending").await;
    assert_eq!(pending["signals"], json!([]));
    until("the open record", async || get_as(server.addr, &token, "/api/stats").await.1["open"] == 1).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_shortens_no_delay() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_on(&dir, &SETTINGS).await;
    server.push(&signal("before")).await;
    server.stop().await;
    let server = Server::start_on(&dir, &SETTINGS).await;
    for path in ["/api/signals", "/api/signals/before"] {
        let (_, said) = get_as(server.addr, &late(LONG), path).await;
        assert!(!said.to_string().contains("EURUSD"), "{path}: {said}");
    }
    let mut newcomer = Native::connect(server.addr, &format!("/ws/signals?token={}", late(LONG))).await;
    newcomer.send(&json!({ "type": "subscribe", "channels": ["signals"] })).await;
    assert!(!told(&mut newcomer).await.0.contains("before"));
    let mut soon = Native::connect(server.addr, &format!("/ws/signals?token={}", late(1))).await;
    soon.send(&json!({ "type": "subscribe", "channels": ["signals"] })).await;
    assert_eq!(soon.frame("signal").await["payload"]["id"], "before");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_without_a_token_may_be_late() {
    let server = Server::start(&[
        ("ORION_OPEN_DELAY", "1h"),
        ("ORION_READ_TOKEN", READ),
        ("ORION_DELAYED_READ_TOKEN", "the-shared-token-of-late-readers"),
        ("ORION_DELAY", "1s"),
    ])
    .await;
    publish(&server).await;
    let life = "/api/signals/mark-77";
    assert_eq!(server.get(life).await.0, 404);
    assert_eq!(get_as(server.addr, READ, life).await.0, 200);
    until("the delayed token", async || get_as(server.addr, "the-shared-token-of-late-readers", life).await.0 == 200)
        .await;
    for route in read_routes() {
        for token in [None, Some("nonsense")] {
            let (status, said) = ask(server.addr, &route, token).await;
            assert!(status < 500, "{}: {status} {said}", route.asked);
            tells_nothing(&said, route.asked);
        }
    }
    let join = async |auth: Value| {
        let mut socket = Socket::with_auth(server.addr, &auth).await;
        socket.connected().await;
        socket.emit("subscribe", &json!({ "channels": ["signals", "prices"] })).await;
        format!("{:?}", socket.until("subscribed").await)
    };
    tells_nothing(&join(json!({})).await, "Socket.IO without a token");
    assert!(is_marked(&join(json!({ "token": READ })).await));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_different_delays_are_refused() {
    let server = server().await;
    for delay in 1..=8 {
        assert_eq!(get_as(server.addr, &late(delay), "/api/prices").await.0, 200, "{delay}");
    }
    let (status, said) = get_as(server.addr, &late(9), "/api/prices").await;
    assert_eq!((status, &said["code"]), (503, &json!("too_many_delays")), "{said}");
    assert_eq!(get_as(server.addr, &late(8), "/api/prices").await.0, 200);
    // Not whole seconds, or more than a day.
    for delay in [json!(-1), json!("300"), json!(0.5), json!(86_401)] {
        let exp = wall().timestamp() + 600;
        let claims = json!({ "sub": "ana", "aud": AUDIENCE, "exp": exp, "delay": delay });
        let asked = server.http.get(server.url("/api/prices")).bearer_auth(signed("HS256", SECRET, &claims));
        let (status, said) = answer(asked).await;
        assert_eq!((status, &said["code"]), (401, &json!("token_invalid_claim")), "{delay}: {said}");
    }
    // An administrator is never late.
    let claims =
        json!({ "sub": "root", "aud": AUDIENCE, "exp": wall().timestamp() + 600, "role": "admin", "delay": LONG });
    server.push(&signal("a")).await;
    assert_eq!(get_as(server.addr, &signed("HS256", SECRET, &claims), "/api/signals/a").await.0, 200);
    server.stop().await;
}
