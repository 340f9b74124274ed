//! Notices to people, by the whole server: what the log promises holds for the messages, and signals never wait for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::{Native, Server, answer, binary, signal, soon, until};

pub(crate) const BOT: &str = "77:the-token-of-the-bot";
const ADMIN: &str = "the-shared-admin-token";

/// What a service was asked: path, headers, body.
pub(crate) type Call = (String, HeaderMap, Value);

#[derive(Clone)]
struct Shared {
    calls: mpsc::UnboundedSender<Call>,
    number: Arc<AtomicU64>,
    refuses: Arc<AtomicBool>,
    is_mute: bool,
}

/// Telegram and LINE on loopback.
pub(crate) struct StandIn {
    pub(crate) url: String,
    pub(crate) calls: mpsc::UnboundedReceiver<Call>,
    pub(crate) refuses: Arc<AtomicBool>,
}

async fn take(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let body = serde_json::from_slice(&body).unwrap();
    shared.calls.send((uri.path().to_owned(), headers, body)).ok();
    if shared.is_mute {
        std::future::pending::<()>().await;
    }
    if shared.refuses.load(Ordering::SeqCst) {
        let body = json!({ "ok": false, "description": "Unauthorized", "message": "Authentication failed" });
        return (StatusCode::UNAUTHORIZED, body.to_string());
    }
    let id = shared.number.fetch_add(1, Ordering::SeqCst);
    (StatusCode::OK, json!({ "ok": true, "result": { "message_id": id } }).to_string())
}

impl StandIn {
    pub(crate) async fn start(is_mute: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ((told, calls), refuses) = (mpsc::unbounded_channel(), Arc::new(AtomicBool::new(false)));
        let number = Arc::new(AtomicU64::new(501));
        let shared = Shared { calls: told, number, refuses: refuses.clone(), is_mute };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(take).with_state(shared)).await });
        Self { url, calls, refuses }
    }

    pub(crate) async fn next(&mut self) -> Call {
        soon("the service is called", self.calls.recv()).await.unwrap()
    }
}

pub(crate) fn telegram(url: &str) -> [(&'static str, &str); 4] {
    [
        ("ORION_NOTIFY__ALLOW_PLAIN_LOOPBACK", "1"),
        ("ORION_NOTIFY__TELEGRAM__TOKEN", BOT),
        ("ORION_NOTIFY__TELEGRAM__CHATS", "7"),
        ("ORION_NOTIFY__TELEGRAM__API_URL", url),
    ]
}

#[tokio::test]
async fn a_kill_loses_and_doubles_no_notice() {
    let (mut bot, dir) = (StandIn::start(false).await, tempfile::tempdir().unwrap());
    let url = bot.url.clone();
    let settings = telegram(&url);
    let server = Server::start_on(dir.path().join("data"), &settings).await;
    server.push(&signal("one")).await;
    let (path, _, body) = bot.next().await;
    assert_eq!((path, &body["chat_id"]), (format!("/bot{BOT}/sendMessage"), &json!(7)));
    server.until("orion_notify_sent_total", "telegram", |count| count == 1.0).await;
    server.kill().await;

    let server = Server::start_on(dir.path().join("data"), &settings).await;
    server.push(&json!({ "id": "one", "status": "confirmed" })).await;
    let (path, _, body) = bot.next().await;
    assert_eq!((path, &body["message_id"]), (format!("/bot{BOT}/editMessageText"), &json!(501)));
    server.until("orion_notify_edited_total", "telegram", |count| count == 1.0).await;
    server.kill().await;

    // Refused: what is pending survives the kill, too.
    bot.refuses.store(true, Ordering::SeqCst);
    let server = Server::start_on(dir.path().join("data"), &settings).await;
    server.push(&signal("two")).await;
    bot.next().await;
    until("it is degraded", async || server.get("/ready").await.1["status"] == "degraded").await;
    let (status, ready) = server.get("/ready").await;
    let reason = ready["parts"]["notices"]["reason"].as_str().unwrap();
    assert!(status == 200 && reason.contains("check notify.telegram.token") && !reason.contains(BOT), "{ready}");
    server.kill().await;
    bot.refuses.store(false, Ordering::SeqCst);
    while bot.calls.try_recv().is_ok() {}
    let server = Server::start_on(dir.path().join("data"), &settings).await;
    let (path, _, body) = bot.next().await;
    assert_eq!(path, format!("/bot{BOT}/sendMessage"));
    assert!(body["text"].as_str().unwrap().contains("EURUSD"), "{body}");
    server.until("orion_notify_sent_total", "telegram", |count| count == 1.0).await;
    assert!(bot.calls.try_recv().is_err());
    server.stop().await;
}

/// Pushes signals and returns how long each took from the push to a client, sorted.
async fn delivered(server: &Server, name: &str, count: usize) -> Vec<Duration> {
    let mut client = Native::connect(server.addr, "/ws/signals").await;
    client.frame("subscribed").await;
    let mut times = Vec::new();
    for number in 0..count {
        let began = Instant::now();
        let id = format!("{name}{number}");
        server.push(&signal(&id)).await;
        while client.frame("signal").await["payload"]["id"] != id.as_str() {}
        times.push(began.elapsed());
    }
    times.sort();
    times
}

/// The pushes of an hour with a signal every 36 s, without the pauses between them.
const HOUR: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_do_not_wait_for_a_channel_that_is_down() {
    let mut mute = StandIn::start(true).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (hanging, refusing) = (mute.url.clone(), format!("http://{}", closed.local_addr().unwrap()));
    drop(closed);
    let alone = Server::push_only().await;
    let down = [
        ("hangs", Server::start(&telegram(&hanging)).await),
        ("refuses connections", Server::start(&telegram(&refusing)).await),
    ];
    for (_, server) in &down {
        delivered(server, "first", 1).await;
    }
    mute.next().await;
    down[1].1.until("orion_notify_retried_total", "telegram", |count| count > 0.0).await;

    let without = delivered(&alone, "s", HOUR).await;
    let [median, p99] = [HOUR / 2, HOUR * 99 / 100];
    for (how, server) in &down {
        // Each one is delivered before the next one is pushed,
        let with = delivered(server, "s", HOUR).await;
        // while the channel has not taken the very first one.
        assert_eq!(server.metric("orion_notify_sent_total", "telegram").await, 0.0, "{how}");
        assert!(server.metric("orion_notify_lag_seconds", "telegram").await > 0.0, "{how}");
        eprintln!(
            "with a channel that {how}: median {:?} (without {:?}, ratio {:.2}), p99 {:?} (without {:?})",
            with[median],
            without[median],
            with[median].as_secs_f64() / without[median].as_secs_f64(),
            with[p99],
            without[p99]
        );
    }
}

#[tokio::test]
async fn line_is_told_as_orions_back_end_does() {
    let mut api = StandIn::start(false).await;
    let url = api.url.clone();
    let server = Server::start(&[
        ("ORION_NOTIFY__ALLOW_PLAIN_LOOPBACK", "1"),
        ("ORION_NOTIFY__LINE__TOKEN", "line-token"),
        ("ORION_NOTIFY__LINE__BROADCAST", "1"),
        ("ORION_NOTIFY__LINE__API_URL", &url),
        ("ORION_NOTIFY__LINE__MIN_SCORE", "0.5"),
        ("ORION_ADMIN_TOKEN", ADMIN),
    ])
    .await;
    let sent = async |body: Value| server.post("/api/signals", &body).await.1["line_sent"].clone();
    let with = |id: &str, key: &str, value: Value| {
        let mut pushed = signal(id);
        pushed[key] = value;
        pushed
    };
    assert_eq!(sent(with("dry", "dry_run", json!(true))).await, false);
    assert_eq!(sent(with("low", "confidence", json!(0.2))).await, false);
    assert_eq!(sent(with("good", "confidence", json!(0.8))).await, true);
    let (path, headers, body) = api.next().await;
    assert_eq!(
        (path.as_str(), headers["authorization"].to_str().unwrap()),
        ("/v2/bot/message/broadcast", "Bearer line-token")
    );
    assert!(body["messages"][0]["text"].as_str().unwrap().contains("80 %"), "{body}");

    let (status, body) = server.post("/api/test-line", &json!({})).await;
    assert_eq!((status, &body["success"]), (200, &json!(true)), "{body}");
    assert!(api.next().await.2["messages"][0]["text"].as_str().unwrap().contains("Test message"));
    let asked = json!({ "signal": { "symbol": "EURUSD", "direction": "long", "signal_type": "entry" } });
    assert_eq!(server.post("/api/send-line-notification", &asked).await.0, 200);
    assert!(api.next().await.2["messages"][0]["text"].as_str().unwrap().contains("EURUSD LONG"));
    let (status, body) = server.post("/api/send-line-notification", &json!({})).await;
    assert_eq!((status, &body["error"]), (400, &json!("Signal data required")));
    let (status, body) = server.post("/api/send-line-notification", &json!({ "signal": { "symbol": "EURUSD" } })).await;
    assert_eq!((status, &body["code"]), (400, &json!("validation_failed")), "{body}");
    api.refuses.store(true, Ordering::SeqCst);
    let (status, body) = server.post("/api/send-line-notification", &asked).await;
    assert_eq!((status, &body["code"]), (500, &json!("not_delivered")));
    assert!(body["error"].as_str().unwrap().contains("check notify.line.token"), "{body}");
    let overview = server.http.get(server.url("/api/admin/overview")).bearer_auth(ADMIN);
    let (_, overview) = answer(overview).await;
    assert_eq!(overview["notices"][0]["channel"], "line", "{overview}");
    assert!(overview["notices"][0]["sent_at"].is_string(), "{overview}");
    server.stop().await;

    let server = Server::push_only().await;
    let (status, body) = server.post("/api/test-line", &json!({})).await;
    assert_eq!((status, &body["error"]), (500, &json!("LINE token not configured")));
    let unauthorized = server.http.post(server.url("/api/test-line")).json(&json!({}));
    assert_eq!(answer(unauthorized).await.0, 401);
    server.stop().await;
}

/// Runs the binary, and returns its exit code and all that it has printed.
async fn run(arguments: &[&str], settings: &[(&str, &str)]) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = binary();
    command.args(arguments).current_dir(dir.path()).envs(settings.iter().copied());
    let output = soon("it ends", command.output()).await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn a_channel_is_tried_out_from_the_command_line() {
    let mut bot = StandIn::start(false).await;
    let url = bot.url.clone();
    let test = ["notify", "test", "telegram"];
    assert_eq!(run(&test, &telegram(&url)).await, (0, "telegram: sent\n".to_owned()));
    assert!(bot.next().await.2["text"].as_str().unwrap().contains("Test message of orion-server"));
    bot.refuses.store(true, Ordering::SeqCst);
    let (code, says) = run(&test, &telegram(&url)).await;
    assert!(code == 1 && says.contains("check notify.telegram.token") && !says.contains(BOT), "{says}");
    let (code, says) = run(&test, &[]).await;
    assert!(code == 1 && says.contains("telegram is not set up"), "{says}");
    let wrong = [&telegram(&url)[..], &[("ORION_NOTIFY__TELEGRAM__TEMPLATE", "{symbl}")]].concat();
    let (code, says) = run(&["check-config"], &wrong).await;
    assert!(code == 64 && says.contains("(notify.telegram.template)") && says.contains("{symbl}"), "{says}");
    let (code, says) = run(&["check-config"], &telegram(&url)).await;
    assert!(code == 0 && !says.contains(BOT), "{says}");
}
