//! Sentio's personal streams on real sockets: only to whom they belong, and to him all of it.

use std::time::Duration;

use chrono::TimeDelta;
use orion_server::auth::mint;
use orion_server::config::{Auth, Secret};
use orion_server::pipeline::clock::wall;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::support::users::{SECRET, admin_token, token, token_for};
use crate::support::{Native, PATIENCE, Server, answer, refusal, soon, until};

const JWT: (&str, &str) = ("ORION_JWT_SECRET", SECRET);
const TRUST: (&str, &str) = ("ORION_SENTIO_TRUST_USER_ID", "1");
/// Least time between two notifications on one connection.
const SPACING: Duration = Duration::from_millis(5);
const STREAMS: [&str; 3] = ["/ws/earnings", "/ws/notifications", "/ws/user/u1"];

impl Server {
    async fn publish(&self, event: Value) {
        let (status, answer) = self.post("/api/events", &event).await;
        assert_eq!(status, 200, "{answer}");
    }

    async fn notify(&self, user: &str, message: &str) {
        self.publish(notification(user, message)).await;
    }

    /// A connection whose first frame is this one.
    async fn join(&self, path: &str, first: &Value) -> Native {
        let mut client = Native::connect(self.addr, path).await;
        client.send(first).await;
        client
    }

    async fn ask(&self, path: &str, header: Option<(&str, &str)>) -> (u16, Value) {
        let request = self.http.get(self.url(path));
        let request = header.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        answer(request).await
    }
}

fn notification(user: &str, message: &str) -> Value {
    json!({ "type": "notification", "user": user, "data": { "type": "info", "message": message } })
}

fn earnings(user: &str, value: u32) -> Value {
    json!({ "type": "earnings", "user": user, "data": { "portfolio_value": value, "total_return": 5, "win_rate": 0.65 } })
}

fn subscribe(user: &str) -> Value {
    json!({ "action": "subscribe", "user_id": user })
}

fn subscribe_with(token: &str) -> Value {
    json!({ "action": "subscribe", "token": token })
}

/// The messages of so many notifications.
async fn notified(client: &mut Native, count: usize) -> Vec<String> {
    let mut messages = Vec::new();
    for _ in 0..count {
        messages.push(client.frame("notification").await["data"]["message"].as_str().unwrap().to_owned());
    }
    messages
}

/// What comes before the answer to a ping: everything that was due.
async fn due(client: &mut Native) -> Vec<Value> {
    client.send(&json!({ "action": "ping" })).await;
    let mut frames = Vec::new();
    loop {
        let frame = soon("the pong", client.next()).await.expect("it stays open");
        if frame["type"] == "pong" {
            return frames;
        }
        frames.push(frame);
    }
}

fn messages(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|frame| frame["data"]["message"].as_str().unwrap()).collect()
}

/// What the page has on its screen: rows whose key is the time of their arrival, in milliseconds, the newest first.
#[tokio::test]
async fn notifications_of_one_page_never_arrive_together() {
    let server = Server::start(&[JWT, ("ORION_PUBLISH_INTERVAL", "100ms")]).await;
    for number in 0..50 {
        server.notify("u1", &format!("missed {number}")).await;
    }
    let began = Instant::now();
    let mut page = server.join("/ws/notifications", &subscribe_with(&token("u1"))).await;
    let mut beside = server.join("/ws/notifications", &subscribe_with(&token("u2"))).await;
    assert_eq!(notified(&mut page, 50).await, (0..50).map(|number| format!("missed {number}")).collect::<Vec<_>>());
    assert!(began.elapsed() >= 49 * SPACING, "{:?}", began.elapsed());
    // A burst in one request; no other user waits for it.
    let mut burst: Vec<_> = (0..100).map(|number| notification("u1", &format!("burst {number}"))).collect();
    burst.push(notification("u2", "alone"));
    let began = Instant::now();
    server.publish(json!({ "events": burst })).await;
    let (mine, theirs) = tokio::join!(async { (notified(&mut page, 100).await, began.elapsed()) }, async {
        (notified(&mut beside, 1).await, began.elapsed())
    });
    assert_eq!(mine.0, (0..100).map(|number| format!("burst {number}")).collect::<Vec<_>>());
    assert!(mine.1 >= 99 * SPACING && theirs.1 < mine.1, "{:?} {:?}", mine.1, theirs.1);
    drop(page);
    // A page that leaves in the middle gets the rest on its next socket, each once.
    let mut page = server.join("/ws/notifications", &subscribe_with(&token("u1"))).await;
    assert_eq!(due(&mut page).await, Vec::<Value>::new(), "all had reached it");
    let burst: Vec<_> = (0..40).map(|number| notification("u1", &format!("cut {number}"))).collect();
    server.publish(json!({ "events": burst })).await;
    let mut told = notified(&mut page, 15).await;
    drop(page);
    let mut page = server.join("/ws/notifications", &subscribe_with(&token("u1"))).await;
    told.extend(messages(&due(&mut page).await).into_iter().map(str::to_owned));
    assert_eq!(told, (0..40).map(|number| format!("cut {number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_returning_page_gets_missed_notifications_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_on(&dir, &[JWT]).await;
    server.notify("u1", "before he ever came").await;
    server.notify("u2", "another's").await;
    server.publish(json!({ "type": "notification", "data": { "type": "info", "message": "to all" } })).await;
    let subscribe = subscribe_with(&token("u1"));
    let mut page = server.join("/ws/notifications", &subscribe).await;
    assert_eq!(notified(&mut page, 2).await, ["before he ever came", "to all"]);
    server.notify("u1", "live").await;
    assert_eq!(notified(&mut page, 1).await, ["live"]);
    // It leaves without a goodbye, as soon as it has read that.
    drop(page);
    for number in 0..60 {
        server.notify("u1", &format!("away {number}")).await;
    }
    server.stop().await;

    let server = Server::start_on(&dir, &[JWT]).await;
    server.notify("u1", "after the restart").await;
    let mut page = server.join("/ws/notifications", &subscribe).await;
    let missed = notified(&mut page, 50).await;
    let expected: Vec<_> =
        (11..60).map(|number| format!("away {number}")).chain(["after the restart".to_owned()]).collect();
    assert_eq!(missed, expected, "the last 50");
    // A second connection of his beside the first, and one after both.
    let mut beside = server.join("/ws/notifications", &subscribe).await;
    assert_eq!(due(&mut beside).await, Vec::<Value>::new());
    server.notify("u1", "to both").await;
    assert_eq!(notified(&mut page, 1).await, ["to both"]);
    assert_eq!(notified(&mut beside, 1).await, ["to both"]);
    drop((page, beside));
    let mut page = server.join("/ws/notifications", &subscribe).await;
    assert_eq!(due(&mut page).await, Vec::<Value>::new(), "nothing was missed");
    drop(page);
    server.stop().await;
}

#[tokio::test]
async fn a_kill_loses_nothing_and_repeats_little() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_on(&dir, &[JWT, TRUST]).await;
    let mut page = server.join("/ws/notifications", &subscribe("u1")).await;
    server.notify("u1", "long ago").await;
    assert_eq!(notified(&mut page, 1).await, ["long ago"]);
    // The message is in the log, and then the note that it has reached him.
    until("it is noted", async || server.metric("orion_store_commit_seconds_count", "").await >= 2.0).await;
    for message in ["a", "b", "c"] {
        server.notify("u1", message).await;
    }
    assert_eq!(notified(&mut page, 3).await, ["a", "b", "c"]);
    server.kill().await;

    let server = Server::start_on(&dir, &[JWT, TRUST]).await;
    server.notify("u1", "d").await;
    let mut page = server.join("/ws/notifications", &subscribe("u1")).await;
    let frames = due(&mut page).await;
    let came = messages(&frames);
    let all = ["a", "b", "c", "d"];
    assert!(!came.is_empty() && all.ends_with(&came), "{came:?}");
    drop(page);
    server.stop().await;
}

/// Sentio's page opens a new socket every few seconds and closes the one before, whatever is on its way to it.
#[tokio::test]
async fn constant_reconnects_deliver_everything_once() {
    const COUNT: usize = 400;
    let server = Server::start(&[JWT, TRUST]).await;
    // However slow the page is, it is never behind by more than is kept for it.
    let behind = Semaphore::new(40);
    let publish = async {
        for number in 0..COUNT {
            behind.acquire().await.unwrap().forget();
            server.notify("u1", &number.to_string()).await;
        }
    };
    let read = async {
        let (mut read, mut round, mut closing) = (Vec::new(), 0, JoinSet::new());
        while read.len() < COUNT {
            let mut page = server.join("/ws/notifications", &subscribe("u1")).await;
            // It goes at any moment, but on a machine so slow that nothing would come in time it stays for one now and then.
            let enough = read.len() + usize::from(round % 4 == 0);
            let reading = async {
                while read.len() < COUNT {
                    read.extend(notified(&mut page, 1).await);
                    behind.add_permits(1);
                    if read.len() == enough {
                        return;
                    }
                }
            };
            let patience = if round % 4 == 0 { 2 * PATIENCE } else { Duration::from_millis(round % 20) };
            timeout(patience, reading).await.ok();
            round += 1;
            // Whatever comes from here on it does not look at any more, and it does not wait for the end.
            page.0.close(None).await.unwrap();
            closing.spawn(async move { while page.next().await.is_ok() {} });
        }
        (read, round)
    };
    let ((read, rounds), ()) = tokio::join!(read, publish);
    let read: Vec<usize> = read.iter().map(|number| number.parse().unwrap()).collect();
    let wrong: Vec<_> = read.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    assert!(wrong.is_empty() && read.len() == COUNT && read[0] == 0, "in {rounds} rounds: {} {wrong:?}", read.len());
    assert!(rounds > 5, "only {rounds} sockets");
    server.stop().await;
}

#[tokio::test]
async fn unconfirmed_notifications_come_on_the_next_connection() {
    let server = Server::start(&[JWT, TRUST]).await;
    let mut asleep = server.join("/ws/notifications", &subscribe("u1")).await;
    assert_eq!(due(&mut asleep).await, Vec::<Value>::new());
    // It reads nothing from now on, but its connection stays: a machine that went to sleep.
    server.notify("u1", "into the void").await;
    until("it is written", async || {
        server.metric("orion_deliveries_total", r#"kind="ordered",transport="native""#).await == 1.0
    })
    .await;
    let mut awake = server.join("/ws/notifications", &subscribe("u1")).await;
    assert_eq!(notified(&mut awake, 1).await, ["into the void"]);
    drop((asleep, awake));
    server.stop().await;
}

#[tokio::test]
async fn users_get_only_their_own_messages() {
    // Nobody reads, nor answers a ping, while it is published. All of it fits into a socket: one that stays full is cut.
    let server = Server::start(&[JWT, ("ORION_HEARTBEAT__PEER_TIMEOUT", "10m")]).await;
    let mut pages = Vec::new();
    for user in ["u1", "u2"] {
        let token = token(user);
        for path in ["/ws/earnings", "/ws/notifications"] {
            pages.push((user, server.join(path, &subscribe_with(&token)).await));
            pages.push((user, server.join(&format!("{path}?token={token}"), &subscribe(user)).await));
        }
        let path = format!("/ws/user/{user}?token={token}");
        pages.push((user, Native::connect(server.addr, &path).await));
    }
    for (_, page) in &mut pages {
        due(page).await;
    }
    for number in 0..25 {
        for user in ["u1", "u2"] {
            server.notify(user, &format!("for {user}: {number}")).await;
            server
                .publish(json!({ "type": "trades", "user": user, "data": {
                    "id": format!("for {user}: {number}"), "platform": "luno", "symbol": "BTC-ZAR", "side": "buy",
                    "quantity": 1, "price": 2, "status": "filled",
                }}))
                .await;
            let value = if user == "u1" { 1_000 } else { 2_000 };
            server.publish(earnings(user, value + number)).await;
        }
    }
    for (user, page) in &mut pages {
        let frames = due(page).await;
        let (other, others_money) = if *user == "u1" { ("u2", "20") } else { ("u1", "10") };
        assert!(!frames.is_empty());
        for frame in frames {
            let text = frame.to_string();
            assert!(!text.contains(&format!("for {other}")), "{user} got {text}");
            assert!(!text.contains(&format!("\"portfolio_value\":{others_money}")), "{user} got {text}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn unidentified_pages_get_only_an_answer() {
    let demo = [("ORION_DEMO_USERS", "demo"), ("ORION_DEMO_DESK", "0")];
    let server = Server::start(&[&[JWT][..], &demo].concat()).await;
    server.publish(earnings("u1", 7)).await;
    server.notify("u1", "hello").await;
    let (mine, others) = (token("u1"), token("u2"));
    let said_user = json!({ "action": "subscribe", "user_id": "u1", "token": others });
    for (path, first, answer) in [
        ("/ws/earnings", subscribe("u1"), "token required"),
        ("/ws/notifications", subscribe("u1"), "token required"),
        ("/ws/notifications", subscribe("demo"), "token required"),
        ("/ws/notifications", json!({ "action": "subscribe" }), "user_id required"),
        ("/ws/earnings", json!({ "action": "dance" }), "user_id required"),
        ("/ws/earnings", json!({ "user_id": ["u1"] }), "user_id must be text of 1 to 128 characters"),
        ("/ws/earnings", said_user.clone(), "user_id is not the user of the token"),
        ("/ws/notifications", said_user, "user_id is not the user of the token"),
    ] {
        let mut page = server.join(path, &first).await;
        let error = soon(path, page.next()).await.unwrap();
        assert_eq!((&error["type"], &error["message"]), (&json!("error"), &json!(answer)), "{path} {first}");
        assert!(error["timestamp"].as_str().unwrap().ends_with('Z'));
        server.notify("u1", "more").await;
        assert_eq!(due(&mut page).await, Vec::<Value>::new(), "{path} {first}");
        // It may still say who it is.
        page.send(&json!({ "action": "subscribe", "user_id": "u1", "token": mine })).await;
        let frames = due(&mut page).await;
        assert!(frames.iter().all(|frame| frame["type"] != "error") && !frames.is_empty(), "{path}: {frames:?}");
        page.send(&subscribe("u1")).await;
        assert_eq!(page.frame("error").await["message"], "Unknown action: subscribe");
    }
    for path in ["/ws/user/u1".to_owned(), format!("/ws/user/u1?token={others}")] {
        let mut page = Native::connect(server.addr, &path).await;
        let answer = if path.contains('?') { "user_id is not the user of the token" } else { "token required" };
        assert_eq!(page.frame("error").await["message"], answer);
        assert_eq!(due(&mut page).await, Vec::<Value>::new());
        page.send(&subscribe_with(&mine)).await;
        assert_eq!(due(&mut page).await[0]["portfolio"]["portfolio_value"], 7);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_bad_token_is_refused_and_never_shown() {
    let server = Server::start(&[JWT, TRUST]).await;
    let auth = Auth { jwt_secret: Some(Secret::new("another secret, also of thirty-two bytes")), ..Auth::default() };
    let forged = mint(&auth, "u1", true, wall(), TimeDelta::hours(1)).unwrap();
    let expired = token_for("u1", false, TimeDelta::hours(-1));
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", token("u1").split('.').nth(1).unwrap());
    for (bad, code) in [
        (forged, "token_wrong_signature"),
        (expired, "token_expired"),
        (unsigned, "token_wrong_algorithm"),
        ("nonsense".to_owned(), "token_malformed"),
    ] {
        for path in STREAMS {
            for (path, headers) in [
                (format!("{path}?token={bad}"), vec![]),
                (path.to_owned(), vec![("authorization", format!("Bearer {bad}"))]),
            ] {
                let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let (status, body) = refusal(server.addr, &path, &headers).await;
                assert_eq!((status, &body["code"]), (401, &json!(code)), "{path}");
                assert!(!body.to_string().contains(&bad));
            }
        }
        for path in ["/ws/earnings", "/ws/notifications"] {
            let mut page = server.join(path, &json!({ "action": "subscribe", "user_id": "u1", "token": bad })).await;
            let error = page.frame("error").await;
            assert!(!error.to_string().contains(&bad), "{error}");
            assert_eq!(soon("the close", page.next()).await, Err(1008));
        }
        let path = "/api/v1/dashboard/earnings?user_id=u1";
        assert_eq!(server.ask(path, Some(("authorization", &format!("Bearer {bad}")))).await.0, 401);
    }
    server.stop().await;
}

#[tokio::test]
async fn bare_ids_work_where_allowed_or_simulated() {
    let server = Server::start(&[TRUST]).await;
    server.publish(earnings("u1", 7)).await;
    server.notify("u1", "hello").await;
    let mut page = server.join("/ws/earnings", &subscribe("u1")).await;
    let frame = page.frame("earnings").await;
    assert_eq!(frame["data"]["portfolio_value"], 7);
    server.publish(earnings("u1", 8)).await;
    assert_eq!(page.frame("earnings").await["data"]["portfolio_value"], 8);
    let mut page = server.join("/ws/notifications", &json!({ "action": "ping", "user_id": "u1" })).await;
    assert_eq!(notified(&mut page, 1).await, ["hello"], "the first frame registers whatever it is");
    page.frame("pong").await;
    server.stop().await;

    let server = Server::start(&[("ORION_DEMO_DESK", "1"), ("ORION_DEMO_USERS", "demo")]).await;
    let mut page = server.join("/ws/earnings", &subscribe("demo")).await;
    assert_eq!(page.frame("earnings").await["data"]["simulated"], true);
    let mut page = server.join("/ws/notifications", &subscribe("demo")).await;
    assert_eq!(page.frame("notification").await["data"]["simulated"], true);
    let mut page = Native::connect(server.addr, "/ws/user/demo").await;
    assert_eq!(soon("the object", page.next()).await.unwrap()["portfolio"]["simulated"], true);
    assert_eq!(server.ask("/api/v1/dashboard/earnings?user_id=demo", None).await.1["simulated"], true);
    let mut page = server.join("/ws/earnings", &subscribe("u1")).await;
    assert_eq!(page.frame("error").await["message"], "token required");
    assert_eq!(server.ask("/api/v1/dashboard/earnings?user_id=u1", None).await.0, 401);
    server.stop().await;
}

#[tokio::test]
async fn the_raw_stream_sends_whole_objects() {
    let server = Server::start(&[TRUST]).await;
    let mut page = Native::connect(server.addr, "/ws/user/u%201").await;
    let nothing =
        json!({ "portfolio": {}, "performance": {}, "notifications": [], "trades": [], "portfolioStocks": [] });
    assert_eq!(soon("the object", page.next()).await.unwrap(), nothing);
    server.publish(earnings("u 1", 7)).await;
    let object = soon("the object", page.next()).await.unwrap();
    assert_eq!(object["portfolio"]["portfolio_value"], 7);
    assert_eq!((&object["performance"]["total_return"], &object["performance"]["win_rate"]), (&json!(5), &json!(0.65)));
    for message in ["first", "second"] {
        server.notify("u 1", message).await;
    }
    let seen = async {
        loop {
            let object = page.next().await.unwrap();
            assert_eq!(object.as_object().unwrap().len(), 5, "always whole");
            if object["notifications"].as_array().unwrap().len() == 2 {
                return object;
            }
        }
    };
    let object = soon("both notifications", seen).await;
    assert_eq!(object["notifications"][0]["message"], "second", "the latest first");
    assert_eq!(object["portfolio"]["portfolio_value"], 7);
    server.notify("u2", "another's").await;
    assert_eq!(due(&mut page).await, Vec::<Value>::new());
    server.stop().await;
}

#[tokio::test]
async fn a_connection_ends_with_its_token() {
    let server = Server::start(&[JWT]).await;
    // There is a leeway of a few seconds, for clocks of issuers.
    let brief = token_for("u1", false, TimeDelta::seconds(1));
    let mut by_frame = server.join("/ws/notifications", &subscribe_with(&brief)).await;
    let mut by_query = server.join(&format!("/ws/earnings?token={brief}"), &subscribe("u1")).await;
    let mut raw = Native::connect(server.addr, &format!("/ws/user/u1?token={brief}")).await;
    raw.next().await.unwrap();
    for page in [&mut by_frame, &mut by_query, &mut raw] {
        assert_eq!(soon("its end", page.next()).await, Err(1008));
    }
    server.stop().await;
}

#[tokio::test]
async fn rest_requests_are_answered_in_documented_shapes() {
    let server = Server::start(&[JWT, ("ORION_ADMIN_TOKEN", "the-admin-token")]).await;
    let bearer = |token: &str| format!("Bearer {token}");
    let (user, admin) = (bearer(&token("u1")), bearer(&admin_token("boss")));
    let path = "/api/v1/dashboard/earnings";
    assert_eq!(server.ask(path, Some(("authorization", &user))).await, (200, Value::Null), "nothing is known yet");
    server.publish(earnings("u1", 7)).await;
    for query in ["", "?user_id=u1", "?user_id="] {
        let (status, body) = server.ask(&format!("{path}{query}"), Some(("authorization", &user))).await;
        assert_eq!((status, &body["portfolio_value"]), (200, &json!(7)), "{query}");
    }
    for (query, header, status, code) in [
        ("?user_id=u2", Some(("authorization", user.as_str())), 403, "forbidden"),
        ("?user_id=u1", Some(("authorization", admin.as_str())), 403, "forbidden"),
        ("?user_id=u1", None, 401, "unauthorized"),
        ("", None, 401, "unauthorized"),
        ("?user_id=u1", Some(("authorization", "Basic x")), 401, "unauthorized"),
    ] {
        let (answered, body) = server.ask(&format!("{path}{query}"), header).await;
        assert_eq!((answered, &body["code"]), (status, &json!(code)), "{query} {header:?}");
        assert_eq!(body["detail"], body["error"], "{body}");
    }

    let empty = [
        ("users", json!({ "users": [] })),
        ("subscribers", json!({ "subscribers": [] })),
        ("analytics/revenue", json!({ "revenue_by_tier": {}, "subscribers_by_tier": {} })),
        ("analytics/users", json!({ "by_status": {}, "by_tier": {} })),
    ];
    let shared = bearer("the-admin-token");
    for (name, nothing) in empty {
        let path = format!("/api/v1/admin/{name}");
        for header in
            [("authorization", admin.as_str()), ("authorization", &shared), ("X-Admin-Token", "the-admin-token")]
        {
            assert_eq!(server.ask(&path, Some(header)).await, (200, nothing.clone()), "{path}");
        }
        for (header, status) in
            [(None, 401), (Some(("authorization", "Bearer x")), 401), (Some(("authorization", user.as_str())), 403)]
        {
            let (answered, body) = server.ask(&path, header).await;
            assert_eq!((answered, &body["detail"]), (status, &body["error"]), "{path} {header:?}");
            assert!(body["detail"].is_string());
        }
    }
    let revenue = json!({ "monthly_recurring_revenue": 99.5, "revenue_by_tier": { "pro": 99.5 } });
    server.publish(json!({ "type": "admin_revenue", "data": revenue })).await;
    assert_eq!(server.ask("/api/v1/admin/analytics/revenue", Some(("authorization", &shared))).await, (200, revenue));
    server.stop().await;
}
