//! Stored tokens: made and revoked while the server runs, and the admin token of a first start.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use tokio::time::{Duration, timeout};

use crate::support::users::{Stream, Way, get_as, post_as};
use crate::support::{Native, Packet, Polling, Protocol, Server, Socket, TOKEN, binary, signal, soon, until};

const ADMIN: &str = "the-shared-admin-token";
/// How soon a revocation has to end connections: at once, on a machine with other work.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Makes a token and returns its secret.
async fn create(addr: SocketAddr, request: Value) -> String {
    let (status, answer) = post_as(addr, ADMIN, "/api/admin/tokens", &request).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["token"]["name"], &answer["token"]["last_used_at"]), (&request["name"], &Value::Null));
    answer["secret"].as_str().unwrap().to_owned()
}

async fn revoke(addr: SocketAddr, name: &str) -> u16 {
    post_as(addr, ADMIN, "/api/admin/tokens/revoke", &json!({ "name": name })).await.0
}

/// Every text in the files of a directory.
fn contents(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        all.extend(if path.is_dir() { contents(&path) } else { fs::read(&path).unwrap() });
    }
    all
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

async fn ended(native: &mut Native) -> u16 {
    timeout(AT_ONCE, async {
        loop {
            if let Err(code) = native.next().await {
                return code;
            }
        }
    })
    .await
    .expect("the native client is closed at once")
}

async fn cut(socket: &mut Socket) {
    timeout(AT_ONCE, async { while socket.next().await.is_ok() {} })
        .await
        .expect("the Socket.IO client is cut at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoking_a_token_ends_what_it_opened() {
    let env = [("ORION_ADMIN_TOKEN", ADMIN), ("ORION_READ_AUTH", "required"), ("ORION_READ_TOKEN", "the-read-token")];
    let server = Server::start(&env).await;
    let addr = server.addr;
    let read = create(addr, json!({ "kind": "read", "name": "reader" })).await;
    let user = create(addr, json!({ "kind": "user", "name": "ana's", "user": "ana" })).await;
    let ingest = create(addr, json!({ "kind": "ingest", "name": "desk" })).await;
    let other = create(addr, json!({ "kind": "read", "name": "another" })).await;

    let open = async |token: &str| {
        let native = Native::connect(addr, &format!("/ws/signals?token={token}")).await;
        let mut socket = Socket::open(addr).await;
        socket.say(format!("40{}", json!({ "token": token }))).await;
        socket.connected().await;
        let events = server.http.get(server.url("/api/stream")).bearer_auth(token).send().await.unwrap();
        assert_eq!(events.status(), 200);
        let mut polling = Polling::asking(addr, Protocol::Eio4, &format!("&token={token}")).await;
        polling.say("40").await;
        assert_eq!(soon("connected", polling.next()).await, Ok(Packet::Connected));
        (native, socket, events, polling)
    };
    let is_refused = async |token: &str| {
        let (status, said) = get_as(addr, token, "/api/signals").await;
        assert_eq!((status, &said["code"]), (401, &json!("unauthorized")), "{said}");
        assert!(!said.to_string().contains(token), "{said}");
        let path = format!("/ws/signals?token={token}");
        assert_eq!(Native::try_connect(addr, &path, &[]).await.err(), Some(401));
        let mut socket = Socket::open(addr).await;
        socket.say(format!("40{}", json!({ "token": token }))).await;
        assert!(matches!(soon("refused", socket.next()).await, Ok(Packet::Refused(_))));
    };
    let mut kept = open(&other).await;
    for (name, token) in [("reader", &read), ("ana's", &user)] {
        let mut own = Vec::new();
        if name == "ana's" {
            for way in Way::ALL {
                own.push((way, Stream::expect(addr, way, token, None).await));
            }
        }
        let (mut native, mut socket, mut events, mut polling) = open(token).await;
        assert_eq!(revoke(addr, name).await, 200);
        assert_eq!(ended(&mut native).await, 1008, "{name}");
        cut(&mut socket).await;
        let stream = async { while let Ok(Some(_)) = events.chunk().await {} };
        timeout(AT_ONCE, stream).await.expect("the event stream ends");
        timeout(AT_ONCE, async { while polling.next().await.is_ok() {} }).await.expect("the session ends");
        for (way, stream) in &mut own {
            let (_, code) = timeout(AT_ONCE, stream.end()).await.expect("a user's stream ends");
            assert!(*way == Way::SocketIo || code == way.policy_end(), "{way:?}: {code}");
        }
        is_refused(token).await;
        assert_eq!(revoke(addr, name).await, 404);
    }

    // One that writes: by the handshake, by a frame, and over HTTP.
    let mut by_handshake = Native::connect(addr, &format!("/api/websocket?token={ingest}")).await;
    let mut by_frame = Native::connect(addr, "/api/websocket").await;
    by_frame.send(&json!({ "type": "auth", "token": ingest })).await;
    assert_eq!(soon("an answer", by_frame.next()).await.unwrap()["success"], true);
    assert_eq!(post_as(addr, &ingest, "/api/signals", &signal("by-a-stored-token")).await.0, 200);
    assert_eq!(revoke(addr, "desk").await, 200);
    assert_eq!([ended(&mut by_handshake).await, ended(&mut by_frame).await], [1008; 2]);
    assert_eq!(post_as(addr, &ingest, "/api/signals", &signal("too-late")).await.0, 401);
    let mut late = Native::connect(addr, "/api/websocket").await;
    late.send(&json!({ "type": "auth", "token": ingest })).await;
    assert_eq!(ended(&mut late).await, 1008);

    // Nothing of it touched the others.
    assert_eq!(post_as(addr, TOKEN, "/api/signals", &signal("by-the-shared-token")).await.0, 200);
    kept.0.send(&json!({ "type": "ping" })).await;
    kept.0.frame("pong").await;
    kept.1.emit("ping", &json!({})).await;
    kept.1.event("pong").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_in_no_file_and_no_log() {
    let dir = tempfile::tempdir().unwrap();
    let env = [("ORION_ADMIN_TOKEN", ADMIN), ("ORION_LOG", "trace")];
    let server = Server::start_on(&dir, &env).await;
    let request =
        json!({ "kind": "user", "name": "ana's", "user": "ana", "delay": "15m", "expires_at": "2099-01-01T00:00:00Z" });
    let mut secrets = vec![create(server.addr, request.clone()).await];
    for kind in ["ingest", "read"] {
        secrets.push(create(server.addr, json!({ "kind": kind, "name": kind })).await);
    }
    assert_eq!(post_as(server.addr, &secrets[1], "/api/signals", &signal("used")).await.0, 200);
    Native::connect(server.addr, &format!("/ws/signals?token={}", secrets[2])).await.frame("subscribed").await;
    let (status, refused) = post_as(server.addr, ADMIN, "/api/admin/tokens", &request).await;
    assert!(status == 400 && refused["details"]["fields"]["name"].is_string(), "{refused}");
    let (_, listed) = get_as(server.addr, ADMIN, "/api/admin/tokens").await;
    let names: Vec<_> = listed["tokens"].as_array().unwrap().iter().map(|token| token["name"].clone()).collect();
    assert_eq!(json!(names), json!(["ana's", "ingest", "read"]));
    assert_eq!(listed["settings"], json!(["ORION_INGEST_TOKEN", "ORION_ADMIN_TOKEN"]));
    assert_eq!((&listed["tokens"][0]["delay"], &listed["tokens"][0]["user"]), (&json!(900), &json!("ana")));
    assert!(listed["tokens"][1]["last_used_at"].is_string(), "{listed}");
    for token in [TOKEN, &secrets[0], &secrets[1], &secrets[2]] {
        assert_eq!(get_as(server.addr, token, "/api/admin/tokens").await.0 / 100, 4);
    }
    let log = server.log_text();
    let files = contents(dir.path());
    for secret in &secrets {
        let random = secret.rsplit_once("orion_").unwrap().1.split_once('_').unwrap().1;
        assert!(!log.contains(random) && !listed.to_string().contains(random));
        assert!(!holds(&files, random));
    }
    assert!(holds(&files, "ana's"), "the files were read");
    let mode = fs::metadata(dir.path().join("tokens.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // They survive the end of the process.
    server.kill().await;
    let server = Server::start_on(&dir, &env).await;
    assert_eq!(post_as(server.addr, &secrets[1], "/api/signals", &signal("again")).await.0, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_changes_a_running_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_on(&dir, &[]).await;
    let run = async |line: &str| {
        let mut command = binary();
        command.current_dir(dir.path()).env("ORION_DATA_DIR", dir.path()).arg("token").args(line.split(' '));
        let output = command.output().await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let secret = run("create ingest --name desk").await;
    let secret = secret.trim();
    let push = async |status: u16| post_as(server.addr, secret, "/api/signals", &signal("x")).await.0 == status;
    until("the token is accepted", async || push(200).await).await;
    let mut pusher = Native::connect(server.addr, &format!("/api/websocket?token={secret}")).await;
    assert!(run("list").await.starts_with("desk: ingest, made "));
    run("revoke desk").await;
    assert_eq!(ended(&mut pusher).await, 1008);
    assert!(push(401).await);
    server.stop().await;
}

/// A server on a directory, with these settings and no token.
async fn without_tokens(dir: &Path, settings: &[(&'static str, &'static str)]) -> Server {
    let dir = dir.to_str().unwrap();
    let env: BTreeMap<_, _> =
        [("ORION_DATA_DIR", dir), ("ORION_SOURCES", "none")].into_iter().chain(settings.iter().copied()).collect();
    Server::start_with(env).await
}

const LINK: &str = "first start: this link opens the admin page once, within 30 min; the admin token is in the file";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_prints_a_link_that_works_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = without_tokens(&data, &[]).await;
    let line = server.logged(LINK).await;
    let (page, code) = line["link"].as_str().unwrap().split_once("#code=").unwrap();
    assert_eq!(page, format!("http://{}/admin.html", server.addr));
    let file = data.join("admin-token");
    let token = fs::read_to_string(&file).unwrap().trim().to_owned();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!server.log_text().contains(&token));
    let log_in = async |with: &str| post_as(server.addr, with, "/api/admin/login", &json!({})).await;
    assert_eq!(log_in("a wrong code").await.0, 401);
    assert_eq!(get_as(server.addr, code, "/api/admin/overview").await.0, 401, "a code is not a token");
    assert_eq!(log_in(code).await, (200, json!({ "token": token })));
    assert_eq!(log_in(code).await.0, 401, "once");
    assert_eq!(get_as(server.addr, &token, "/api/admin/overview").await.0, 200);
    // Writing stays closed until a token for it is made.
    assert_eq!(server.post("/api/signals", &signal("x")).await.0, 401);
    server.stop().await;

    let server = without_tokens(&data, &[]).await;
    assert_eq!(server.logged("the admin token is in the file").await["file"], json!(file.to_str().unwrap()));
    assert_eq!(get_as(server.addr, &token, "/api/admin/overview").await.0, 200);
    assert!(server.lines(LINK).is_empty());
    server.stop().await;
    let server = without_tokens(&data, &[("ORION_ADMIN_TOKEN", ADMIN)]).await;
    assert_eq!(get_as(server.addr, &token, "/api/admin/overview").await.0, 401, "the settings have one");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_made_where_one_is_set() {
    for settings in [&[("ORION_FIRST_RUN", "0")][..], &[("ORION_INGEST_TOKEN", TOKEN)]] {
        let dir = tempfile::tempdir().unwrap();
        let server = without_tokens(dir.path(), settings).await;
        let (status, refused) = get_as(server.addr, "any", "/api/admin/overview").await;
        assert_eq!(status, 401);
        assert!(refused["error"].as_str().unwrap().contains("ORION_ADMIN_TOKEN"), "{refused}");
        assert!(!dir.path().join("admin-token").exists());
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_steps_are_told_as_they_happen() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let settings = [("ORION_INGEST_TOKEN", TOKEN), ("ORION_PUBLISH_INTERVAL", "100ms")];
    let server = without_tokens(&data, &settings).await;
    let steps = async |server: &Server| server.get("/api/start").await.1;
    let begin = steps(&server).await;
    let nothing = json!({ "dashboard_at": null, "is_new": true, "price_at": null, "push_at": null });
    assert_eq!(begin, nothing);
    let mut console = Socket::asking(
        tokio::net::TcpStream::connect(server.addr).await.unwrap(),
        server.addr,
        Protocol::Eio4,
        "&page=console",
        &[],
    )
    .await;
    console.say("40").await;
    console.connected().await;
    server.push(&signal("first")).await;
    until("the push is told", async || steps(&server).await["push_at"].is_string()).await;
    assert_eq!(steps(&server).await["dashboard_at"], Value::Null, "the console is not a dashboard");
    let _dashboard = Native::connect(server.addr, "/ws/signals").await;
    until("the dashboard is told", async || steps(&server).await["dashboard_at"].is_string()).await;
    let told = steps(&server).await;
    server.stop().await;

    let server = without_tokens(&data, &settings).await;
    assert_eq!(steps(&server).await, told, "kept over a restart");
    let price = json!({ "symbol": "EURUSD", "bid": 1.1, "ask": 1.1002 });
    assert_eq!(post_as(server.addr, TOKEN, "/api/prices", &price).await.0, 200);
    until("the price is told", async || steps(&server).await["price_at"].is_string()).await;
    assert_eq!(steps(&server).await["is_new"], false, "all is done");
    server.stop().await;
}
