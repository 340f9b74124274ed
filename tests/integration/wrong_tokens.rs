//! Wrong tokens: counted by what they were meant to be, and answered with 429 when there are too many of them from one address.
//! A right one is taken all the same.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::users::{SECRET, token};
use crate::support::{Native, Packet, Protocol, Server, Socket, TOKEN, binary, refusal, soon};

const ADMIN: &str = "the-shared-admin-token";
const WEBHOOK: &str = "the-token-of-tradingview";
const MOST: usize = 3;

/// The status and the code of an answer, and whether it says when to come again.
type Answer = (u16, String, bool);

async fn http(server: &Server, from: &str, method: &str, path: &str, header: (&str, &str)) -> Answer {
    let request = server.http.request(method.parse().unwrap(), server.url(path)).header("x-forwarded-for", from);
    let response = request.header(header.0, header.1).body("{}").send().await.unwrap();
    let retry = response.headers().get("retry-after").map(|after| after.to_str().unwrap().parse::<u64>().unwrap());
    assert!(retry.is_none_or(|seconds| (1..=60).contains(&seconds)), "{retry:?}");
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap_or_default();
    (status, body["code"].as_str().unwrap_or_default().to_owned(), retry.is_some())
}

async fn start(settings: &[(&str, &str)]) -> Server {
    let all = [
        ("ORION_JWT_SECRET", SECRET),
        ("ORION_ADMIN_TOKEN", ADMIN),
        ("ORION_TRADINGVIEW_TOKEN", WEBHOOK),
        ("ORION_SERVER__TRUSTED_PROXIES", "127.0.0.1"),
        ("ORION_LIMITS__WRONG_TOKENS_PER_MINUTE", "3"),
    ];
    Server::start(&[&all[..], settings].concat()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_wrong_tokens_get_429_everywhere() {
    let server = start(&[]).await;
    let user = format!("Bearer {}", token("ana"));
    let forged = format!("Bearer {}x", token("ana"));
    let hook = |token: &str| format!("/api/webhooks/tradingview/{token}");
    let (right_hook, wrong_hook) = (hook(WEBHOOK), hook("another-token-of-tradingview"));
    let (ingest, admin) = (format!("Bearer {TOKEN}"), format!("Bearer {ADMIN}"));
    let wrong = "Bearer wrong";
    for (number, (kind, method, path, header, bad, good, status)) in [
        ("ingest", "POST", "/api/signals", "authorization", wrong, ingest.as_str(), 401),
        ("admin", "GET", "/api/admin/overview", "authorization", wrong, &admin, 401),
        ("admin", "GET", "/api/admin/overview", "x-admin-token", "wrong", ADMIN, 401),
        ("user", "GET", "/api/auth/me", "authorization", &forged, &user, 401),
        ("user", "GET", "/api/signals", "authorization", &forged, &user, 401),
        ("user", "GET", "/api/v1/dashboard/earnings", "authorization", &forged, &user, 401),
        ("webhook", "POST", "", "x-none", "", "", 404),
    ]
    .into_iter()
    .enumerate()
    {
        let from = format!("203.0.113.{number}");
        let (right, wrong) = if kind == "webhook" { (&*right_hook, &*wrong_hook) } else { (path, path) };
        for _ in 0..MOST {
            let answer = http(&server, &from, method, wrong, (header, bad)).await;
            assert_eq!((answer.0, answer.2), (status, false), "{kind} {path}: {answer:?}");
        }
        let answer = http(&server, &from, method, wrong, (header, bad)).await;
        assert_eq!(answer, (429, "too_many_wrong_tokens".to_owned(), true), "{kind} {path}");
        let taken = http(&server, &from, method, right, (header, good)).await;
        assert!(![401, 403, 404, 429].contains(&taken.0), "{kind} {path}: a right token is taken: {taken:?}");
        let elsewhere = http(&server, &format!("198.51.100.{number}"), method, wrong, (header, bad)).await;
        assert_eq!(elsewhere.0, status, "{kind} {path}: other addresses have nothing to do with it");
    }
    for kind in ["ingest", "admin", "user", "webhook"] {
        let of = |outcome: &str| format!("kind=\"{kind}\",outcome=\"{outcome}\"");
        assert!(server.metric("orion_wrong_tokens_total", &of("throttled")).await >= 1.0, "{kind}");
        assert!(server.metric("orion_wrong_tokens_total", &of("refused")).await >= 3.0, "{kind}");
    }
    assert!(server.metric("orion_http_requests_total", "status=\"429\"").await >= 7.0, "as it was answered");
    server.stop().await;
}

fn from(address: &str) -> [(&'static str, &str); 1] {
    [("x-forwarded-for", address)]
}

async fn native(addr: SocketAddr, path: &str, address: &str) -> Native {
    Native::try_connect(addr, path, &from(address)).await.unwrap()
}

async fn socketio(addr: SocketAddr, address: &str, token: &str) -> Result<Packet, crate::support::Ended> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let mut socket = Socket::asking(stream, addr, Protocol::Eio4, "", &from(address)).await;
    socket.say(format!("40{}", json!({ "token": token }))).await;
    soon("an answer", socket.next()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_and_frames_count_wrong_tokens_too() {
    let server = start(&[("ORION_READ_AUTH", "required"), ("ORION_READ_TOKEN", "the-shared-read-token")]).await;
    let good = token("ana");
    let forged = format!("{good}x");

    let engine = "/socket.io/?EIO=4&transport=websocket";
    for (number, path) in
        ["/ws/signals", "/api/ws", "/ws", "/ws/earnings", "/api/websocket", engine].into_iter().enumerate()
    {
        let address = format!("203.0.113.{number}");
        let mark = if path.contains('?') { '&' } else { '?' };
        let presenting = |token: &str| format!("{path}{mark}token={token}");
        for turn in 0..=MOST {
            let (status, body) = refusal(server.addr, &presenting(&forged), &from(&address)).await;
            let expected = if turn < MOST { (401, "token_wrong_signature") } else { (429, "too_many_wrong_tokens") };
            assert_eq!((status, body["code"].as_str().unwrap()), expected, "{path}: {body}");
        }
        drop(native(server.addr, &presenting(&good), &address).await);
    }
    for turn in 0..=MOST {
        let (status, _) = refusal(server.addr, "/ws/signals?token=not-the-read-token", &from("203.0.113.20")).await;
        assert_eq!(status, if turn < MOST { 401 } else { 429 });
    }

    for turn in 0..=MOST {
        let answer = socketio(server.addr, "203.0.113.30", &forged).await;
        let Ok(Packet::Refused(reason)) = answer else { panic!("{answer:?}") };
        let text = if turn < MOST { "signature" } else { "Too many wrong tokens" };
        assert!(reason.to_string().contains(text), "{turn}: {reason}");
    }
    assert_eq!(socketio(server.addr, "203.0.113.30", &good).await, Ok(Packet::Connected));

    let cases = [
        ("/api/websocket", json!({ "type": "auth", "token": "wrong" }), json!({ "type": "auth", "token": TOKEN })),
        ("/ws/notifications", json!({ "action": "ping", "token": forged }), json!({ "action": "ping", "token": good })),
        (
            "/ws/admin",
            json!({ "action": "ping", "admin_token": "wrong" }),
            json!({ "action": "ping", "admin_token": ADMIN }),
        ),
    ];
    for (number, (path, wrong, right)) in cases.iter().enumerate() {
        let address = format!("203.0.113.{}", 40 + number);
        for turn in 0..=MOST {
            let mut client = native(server.addr, path, &address).await;
            client.send(wrong).await;
            let said = soon("an answer", client.next()).await.unwrap().to_string();
            assert_eq!(said.contains("Too many wrong tokens"), turn == MOST, "{path} {turn}: {said}");
            assert_eq!(soon("the end", client.next()).await, Err(1008));
        }
        let mut client = native(server.addr, path, &address).await;
        client.send(right).await;
        let said = soon("an answer", client.next()).await.unwrap().to_string();
        assert!(!said.contains("error"), "{path}: {said}");
    }
    for kind in ["ingest", "admin", "user", "read"] {
        let of = format!("kind=\"{kind}\",outcome=\"throttled\"");
        assert!(server.metric("orion_wrong_tokens_total", &of).await >= 1.0, "{kind}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_wrong_tokens_a_minute_are_let_pass() {
    let server = start(&[("ORION_LIMITS__WRONG_TOKENS_PER_MINUTE", "")]).await;
    let wrong =
        async || http(&server, "203.0.113.9", "POST", "/api/signals", ("authorization", "Bearer wrong")).await.0;
    for _ in 0..20 {
        assert_eq!(wrong().await, 401);
    }
    assert_eq!(wrong().await, 429);
    // One that was good once is no guess: its user has to hear that he has to log in again.
    let expired = crate::support::users::token_for("ana", false, chrono::TimeDelta::minutes(-5));
    let expired =
        http(&server, "203.0.113.9", "GET", "/api/auth/me", ("authorization", &format!("Bearer {expired}"))).await;
    assert_eq!(expired, (401, "token_expired".to_owned(), false));
    server.stop().await;
}

#[tokio::test]
async fn weak_and_mispasted_secrets_are_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let env = [
        ("ORION_SOURCES", "none"),
        ("ORION_INGEST_TOKEN", "\"b1946ac92492d2347c6235b4d2611184\""),
        ("ORION_ADMIN_TOKEN", "changeme"),
        ("ORION_READ_TOKEN", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("ORION_READ_AUTH", "required"),
        ("ORION_JWT_SECRET", " 9b5a1c7e03d84f62a1b2c3d4e5f60718 "),
        ("ORION_TRADINGVIEW_TOKEN", "your-secret-key-1"),
    ];
    let expected = [
        "ORION_INGEST_TOKEN (auth.ingest_token) is in quotes",
        "ORION_ADMIN_TOKEN (auth.admin_token) is a well-known example; make one with: openssl rand -base64 32",
        "ORION_READ_TOKEN (auth.read_token) is made of one or a few characters; make one with: openssl rand -base64 32",
        "ORION_JWT_SECRET (auth.jwt_secret) has white space",
        "ORION_TRADINGVIEW_TOKEN (tradingview.webhook_token) is a well-known example; make one with: openssl rand -hex 32",
    ];
    let told = |text: &str| {
        for line in expected {
            assert_eq!(text.matches(line).count(), 1, "{line}\n{text}");
        }
        for secret in ["b1946ac9", "changeme", "aaaaaaaa", "9b5a1c7e", "your-secret"] {
            assert!(!text.contains(secret), "{secret}\n{text}");
        }
    };
    for command in [&["check-config"][..], &["doctor", "--offline"]] {
        let mut process = binary();
        process.current_dir(folder.path()).args(command).env("PORT", "0").envs(env);
        let output = soon("the command", process.output()).await.unwrap();
        assert!(output.status.success());
        told(&String::from_utf8(output.stdout).unwrap());
    }
    let server = Server::start_with(env.into_iter().collect()).await;
    told(&server.log_text());
    server.stop().await;
}
