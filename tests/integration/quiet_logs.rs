//! No secret in any line of the log, whatever way it came in by, and however much is logged.

use std::fs::{self, File};
use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::support::users::{SECRET, Stream, Way, admin_token, get_as, post_as, signed, token};
use crate::support::{Native, Polling, Protocol, Socket, TOKEN, answer, binary, signal, soon};

const ADMIN: &str = "shared-admin-4d1f0c77";
const READ: &str = "shared-read-9b2e6a51";
const WEBHOOK: &str = "tradingview-webhook-5c80d3fa";
const OANDA: &str = "oanda-5f0d7e3b9a61";
const ALERT_SECRET: &str = "alert-secret-c41b8d22e7f09a53";
const HOOK: &str = "hook-70ad52c9e1";

/// What no library would send, with the token in every place of it. Each is answered, mostly with a refusal.
async fn send_broken(addr: SocketAddr, token: &str) {
    let targets = [
        "/api/ws&token=TOKEN",
        "/api/ws%26token=TOKEN",
        "/api/ws%26token%3DTOKEN",
        "/api/ws&token=TOKEN%zz",
        "/api/ws%zz&token=TOKEN",
        "/api/ws/&token=TOKEN",
        "//api/ws&token=TOKEN",
        "/API/WS&token=TOKEN",
        "/api/ws;token=TOKEN",
        "/api/ws?token=TOKEN%ff",
        "/ws/user/TOKEN%ff",
        "/api/webhooks/tradingview/TOKEN%ff",
        "/api/v1/market/quote/TOKEN",
        "/api/bars?symbol=TOKEN&timeframe=TOKEN",
        "/api/signals?status=TOKEN&limit=TOKEN&cursor=TOKEN",
        "/socket.io/?EIO=9&transport=TOKEN&token=TOKEN",
        "/socket.io/?EIO=4&transport=polling&sid=TOKEN",
        "/socket.io/TOKEN?EIO=4&transport=websocket&sid=TOKEN&token=TOKEN",
        "http://TOKEN@host/api/ws&token=TOKEN",
        "/ TOKEN",
        "*TOKEN",
        "TOKEN",
    ];
    let upgrade = |version: &str, key: &str| {
        format!(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: {key}\r\n"
        )
    };
    let good = upgrade("13", "AAAAAAAAAAAAAAAAAAAAAA==");
    let headers = [String::new(), good.clone(), upgrade("7", "TOKEN"), "Upgrade: TOKEN\r\n".to_owned()];
    let mut requests = Vec::new();
    for target in targets {
        requests.extend(headers.iter().map(|headers| format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")));
        requests.extend(["POST", "TOKEN"].map(|method| format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n")));
        requests.push(format!("GET {target} HTTP/9.9\r\nHost: x\r\n\r\n"));
    }
    for header in
        ["TOKEN", ": TOKEN", "Bad Name TOKEN: x", "Content-Length: TOKEN", "Transfer-Encoding: TOKEN", "Host: TOKEN"]
    {
        requests.push(format!("GET / HTTP/1.1\r\n{header}\r\n\r\n"));
    }
    for header in
        ["Origin: http://TOKEN", "Sec-WebSocket-Protocol: TOKEN", "X-Request-Id: TOKEN!", "X-Forwarded-For: TOKEN"]
    {
        requests.push(format!("GET /ws/signals HTTP/1.1\r\nHost: x\r\n{header}\r\n{good}\r\n"));
    }
    let long = "x".repeat(70_000);
    requests.push(format!("GET /api/ws&token=TOKEN{long} HTTP/1.1\r\nHost: x\r\n\r\n"));
    requests.push(format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: TOKEN{long}\r\n\r\n"));
    requests.push("\x16\x03\x01\x02 TOKEN\r\n\r\n".to_owned());
    for request in requests {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        // One that is too long is refused before all of it is said.
        stream.write_all(request.replace("TOKEN", token).as_bytes()).await.ok();
        soon("an answer", stream.read(&mut [0; 1024])).await.ok();
    }
}

/// Goes in by every way that there is with each token.
async fn try_everything(addr: SocketAddr, tokens: &[String]) {
    let http = reqwest::Client::new();
    let url = |path: &str| format!("http://{addr}{path}");
    for token in tokens {
        send_broken(addr, token).await;
        for way in Way::PAGES {
            if let Ok(mut stream) = Stream::open(addr, way, token, Some(token)).await {
                stream.frame("connection").await;
            }
        }
        for path in
            ["/ws/signals", "/ws", "/api/websocket", "/monitoring/ws/performance", "/ws/market-data", "/", "/nothing"]
                .into_iter()
                .chain(["/ws/earnings", "/ws/notifications", "/ws/user/u1"])
        {
            let uri = format!("ws://{addr}{path}?token={token}&since={token}&user_id={token}");
            if let Ok((socket, _)) = tokio_tungstenite::connect_async(uri).await {
                drop(socket);
            }
        }
        // In a frame, as a token and as nonsense.
        let mut pusher = Native::connect(addr, "/api/websocket").await;
        pusher.send(&json!({ "type": "auth", "token": token })).await;
        soon("an answer", pusher.next()).await.ok();
        for first in [json!({ "action": "subscribe", "admin_token": token }).to_string(), token.clone()] {
            let mut admin = Native::connect(addr, "/ws/admin").await;
            admin.say(first).await;
            // Whoever was let in is answered, and all others are closed.
            admin.try_say(json!({ "action": "ping" }).to_string()).await;
            soon("an answer", admin.next()).await.ok();
        }
        for path in ["/ws/earnings", "/ws/notifications", "/ws/user/u1"] {
            let mut panel = Native::connect(addr, path).await;
            panel.send(&json!({ "action": token, "user_id": token, "token": token })).await;
            soon("an answer", panel.next()).await.ok();
        }
        for path in ["/ws/signals", "/ws"] {
            let mut native = Native::connect(addr, path).await;
            for said in [token.clone(), json!({ "type": token, "since": token, "token": token }).to_string()] {
                native.say(said).await;
            }
            // With a token in the frame that is good for nothing Sentio's streams end.
            native.try_say(json!({ "type": "ping", "action": "ping" }).to_string()).await;
            soon("an answer", native.next()).await.ok();
        }
        // Socket.IO: in the query, in the header, in `auth`, and in events.
        for transport in ["polling", "websocket"] {
            let path = format!("/socket.io/?EIO=4&transport={transport}");
            answer(http.get(url(&format!("{path}&token={token}")))).await;
            answer(http.get(url(&path)).bearer_auth(token)).await;
        }
        let mut socket = Socket::open(addr).await;
        socket.say(format!("40{}", json!({ "token": token, "since": token }))).await;
        soon("an answer", socket.next()).await.ok();
        let mut polling = Polling::open(addr, Protocol::Eio4).await;
        polling.say(&format!("40{}", json!({ "token": token }))).await;
        soon("an answer", polling.next()).await.ok();
        let mut socket = Socket::open(addr).await;
        socket.say("40").await;
        socket.connected().await;
        socket.emit("subscribe", &json!({ "channels": [token], "token": token })).await;
        socket.event("error").await;
        socket.emit(token, &json!({ "token": token })).await;
        socket.emit("ping", &json!({})).await;
        socket.event("pong").await;
        // Over HTTP: in headers, in queries, in paths.
        let gets = [
            "/api/admin/overview",
            "/ready",
            "/api/auth/me",
            "/api/trades/recent",
            "/api/signals",
            "/api/prices/live",
            "/metrics",
            "/nothing",
        ];
        for path in gets {
            answer(http.get(url(path)).bearer_auth(token)).await;
            answer(http.get(url(&format!("{path}?token={token}&since={token}")))).await;
            answer(http.get(url(path)).header("authorization", format!("Token {token}"))).await;
        }
        for header in ["x-admin-token", "x-aria-token", "cookie", "origin"] {
            answer(http.post(url("/api/admin/revoke")).header(header, token).json(&json!({ "user": "x" }))).await;
            answer(http.get(url("/api/auth/me")).header(header, token)).await;
        }
        answer(http.get(url(&format!("/api/wsx&token={token}")))).await;
        for path in ["", "api/signals/", "ws/user/", "api/v1/admin/", "api/webhooks/tradingview/"] {
            answer(http.get(url(&format!("/{path}{token}")))).await;
            answer(http.post(url(&format!("/{path}{token}"))).json(&json!({ "token": token }))).await;
        }
        // `orion-server health` may be given an address with a token in it.
        let mut health = binary();
        let asked = health.args(["health", "--url", &url(&format!("/ready?token={token}"))]).output().await.unwrap();
        assert!(asked.status.success() && !String::from_utf8(asked.stdout).unwrap().contains(token.as_str()));
        for path in ["/api/signals", "/api/events", "/api/prices", "/api/mt/ticks", "/api/admin/revoke"] {
            post_as(addr, token, path, &json!({ "token": token })).await;
        }
    }
}

/// Where alerts are posted: it fails the first time.
async fn webhook() -> (String, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (called, calls) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut status = "500 Internal Server Error";
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut read = vec![0; 65_536];
            assert!(stream.read(&mut read).await.unwrap() > 0);
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            status = "204 No Content";
            called.send(()).await.ok();
        }
    });
    (format!("http://{address}/{HOOK}?token={HOOK}"), calls)
}

/// One server that logs everything, from its start to its end; what it wrote.
async fn log_of(format: &str, filter: &str, tokens: &[String]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let file = File::create(&log).unwrap();
    let (webhook, mut called) = webhook().await;
    let mut command = binary();
    command
        .current_dir(dir.path())
        .envs([("PORT", "0"), ("ORION_HOST", "127.0.0.1"), ("ORION_LOG", filter)])
        .envs([("ORION_LOG_FORMAT", format), ("ORION_INGEST_TOKEN", TOKEN), ("ORION_ADMIN_TOKEN", ADMIN)])
        .envs([("ORION_READ_TOKEN", READ), ("ORION_JWT_SECRET", SECRET), ("ORION_TRADINGVIEW_TOKEN", WEBHOOK)])
        .env("ORION_PUBLISH_INTERVAL", "100ms")
        // A source that nobody answers is an alert, and its webhook has a token in its path and one in its query.
        .envs([("ORION_SOURCES", "oanda"), ("ORION_OANDA_ACCOUNT", "001"), ("ORION_OANDA__URL", "http://127.0.0.1:1")])
        .envs([("ORION_OANDA_TOKEN", OANDA), ("ORION_ALERT_SECRET", ALERT_SECRET), ("ORION_ALERTS__PENDING_FOR", "0s")])
        .envs([("ORION_ALERT_WEBHOOK", webhook.as_str()), ("ORION_ALERTS__ALLOW_PLAIN_LOOPBACK", "true")])
        .stdout(file.try_clone().unwrap())
        .stderr(file);
    let mut child = command.spawn().unwrap();
    let addr: SocketAddr = soon("the server listens", async {
        loop {
            let text = fs::read_to_string(&log).unwrap();
            let line = text.lines().find(|line| line.contains("listening"));
            let address = line.and_then(|line| {
                let digits =
                    line[line.find("127.0.0.1:")?..].find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
                let start = line.find("127.0.0.1:")?;
                line[start..start + digits?].parse().ok()
            });
            match address {
                Some(address) => return address,
                None => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        }
    })
    .await;
    soon("the webhook is called, and called again", async {
        called.recv().await.unwrap();
        called.recv().await.unwrap();
    })
    .await;
    try_everything(addr, tokens).await;
    assert_eq!(post_as(addr, TOKEN, "/api/signals", &signal("last")).await.0, 200);
    assert_eq!(get_as(addr, &tokens[0], "/api/auth/me").await.0, 200);
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(soon("the server exits", child.wait()).await.unwrap().code(), Some(0));
    fs::read_to_string(&log).unwrap()
}

async fn nothing_shows(format: &str, filter: &str) -> String {
    let good = token("ana");
    let forged = signed("HS256", "another secret, of more than 32 bytes too", &json!({ "sub": "eve", "exp": 4e9 }));
    let unsigned = signed("none", SECRET, &json!({ "sub": "eve", "exp": 4e9 }));
    let expired = signed("HS256", SECRET, &json!({ "sub": "old", "exp": 1 }));
    let tokens =
        [good, admin_token("root"), forged, expired, unsigned, TOKEN.into(), ADMIN.into(), READ.into(), WEBHOOK.into()];
    let log = log_of(format, filter, &tokens).await;
    let level = if format == "json" { "\"TRACE\"" } else { "TRACE" };
    assert!(log.contains(level) && log.lines().count() > 100, "little was logged:\n{log}");
    // The signature alone is the secret part of a token, and its claims are nobody else's business.
    let parts = tokens.iter().flat_map(|token| token.split('.').skip(1)).filter(|part| part.len() > 8);
    for secret in parts.chain(tokens.iter().map(String::as_str)).chain([SECRET, OANDA, ALERT_SECRET, HOOK]) {
        let shown: Vec<_> = log.lines().filter(|line| line.contains(secret)).take(5).collect();
        assert!(shown.is_empty(), "{secret} in:\n{}", shown.join("\n"));
    }
    if format == "json" {
        for line in log.lines() {
            assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
        }
    }
    log
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_a_log_for_machines() {
    nothing_shows("json", "trace").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_a_log_for_people() {
    nothing_shows("pretty", "trace").await;
}

/// The libraries print packets and handshakes when an operator names them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_a_verbose_log() {
    let libraries = ["socketioxide", "engineioxide", "tungstenite", "tokio_tungstenite", "hyper"];
    let filter = libraries.map(|library| format!("{library}=trace")).join(",");
    let log = nothing_shows("json", &format!("trace,{filter}")).await;
    for said in ["received message", "sending packet", "auth", "eio socket connect"] {
        assert!(log.contains(&format!("\"message\":\"{said}\"")), "{said} is not told of");
    }
}
