//! Tokens: what is wrong gets nothing anywhere, and what ends takes its connections along.

use std::net::SocketAddr;

use chrono::TimeDelta;
use orion_server::pipeline::clock::wall;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, timeout};

use crate::support::users::{
    SECRET, Stream, Way, admin_token, get_as, post_as, signed, token, token_for, token_of_audience,
};
use crate::support::{Native, Packet, Server, Socket, TOKEN, answer, soon};

const AUDIENCE: &str = "orion";
const ADMIN: &str = "the-shared-admin-token";

/// How a token is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Query,
    /// In the path, behind an ampersand.
    Path,
    Bearer,
}

/// Something that opens by a token, or at least looks at one that is presented.
#[derive(Debug, Clone, Copy)]
struct Listener {
    path: &'static str,
    carriers: &'static [Carrier],
    websocket: bool,
    /// Whether it is closed without a token.
    private: bool,
}

/// Every way in.
fn doors() -> Vec<Listener> {
    use Carrier::{Bearer, Path, Query};
    let stream = |path| Listener { path, carriers: &[Query, Bearer], websocket: true, private: false };
    let rest = |path| Listener { path, carriers: &[Bearer], websocket: false, private: true };
    let mut doors = vec![
        Listener { carriers: &[Query, Path, Bearer], private: true, ..stream("/api/ws") },
        Listener { private: true, websocket: false, ..stream("/api/realtime/events") },
        stream("/ws/signals"),
        stream("/ws/signals/"),
        stream("/api/websocket"),
        stream("/ws"),
        stream("/monitoring/ws/performance"),
        stream("/ws/trade-signals"),
        stream("/ws/market-data"),
        stream("/"),
        stream("/ws/earnings"),
        stream("/ws/notifications"),
        stream("/ws/user/ana"),
        stream("/socket.io/?EIO=4&transport=websocket"),
        stream("/socket.io/?EIO=3&transport=websocket"),
        stream("/ws/signals/?EIO=4&transport=websocket"),
        Listener { websocket: false, ..stream("/socket.io/?EIO=4&transport=polling") },
        Listener { websocket: false, ..stream("/ws/signals/?EIO=3&transport=polling") },
    ];
    doors.extend(
        [
            "/api/auth/me",
            "/api/trades/recent",
            "/api/bots",
            "/api/wallet/balances",
            "/api/portfolio/summary",
            "/api/advanced/decisions/recent",
            "/api/advanced/whale/summary",
            "/api/v1/dashboard/earnings",
        ]
        .map(rest),
    );
    // Public ones, which still refuse who presents something wrong.
    doors.extend(
        ["/api/prices/live", "/api/signals", "/api/v1/dashboard/trade-signals", "/api/v1/market/quotes?symbols=EURUSD"]
            .map(|path| Listener { private: false, ..rest(path) }),
    );
    doors
}

/// Knocks, and returns the status and what was said with it.
async fn knock(addr: SocketAddr, door: &Listener, token: Option<(Carrier, &str)>) -> (u16, String) {
    let mut url = format!("http://{addr}{}", door.path);
    let mut request = reqwest::Client::new().get(&url);
    match token {
        Some((Carrier::Bearer, token)) => request = request.bearer_auth(token),
        Some((carrier, token)) => {
            let mark = if carrier == Carrier::Path || url.contains('?') { '&' } else { '?' };
            url = format!("{url}{mark}token={token}");
            request = reqwest::Client::new().get(&url);
        }
        None => {}
    }
    if door.websocket {
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        for (name, value) in [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"), key]
        {
            request = request.header(name, value);
        }
    }
    let response = soon("an answer", request.send()).await.unwrap();
    let status = response.status().as_u16();
    // What opens does not end.
    let refused = status >= 400;
    (status, if refused { response.text().await.unwrap() } else { String::new() })
}

/// Tokens that are wrong, each by its fault and the code that tells it.
fn wrong_tokens() -> Vec<(&'static str, &'static str, String)> {
    let now = wall().timestamp();
    let claims = |exp: i64| json!({ "sub": "ana", "user_id": "ana", "role": "admin", "aud": AUDIENCE, "exp": exp });
    let good = token_of_audience("ana", Some(AUDIENCE));
    let flipped = |part: usize| {
        let mut parts: Vec<_> = good.split('.').map(ToOwned::to_owned).collect();
        let middle = parts[part].len() / 2;
        let other = if &parts[part][middle..=middle] == "A" { "B" } else { "A" };
        parts[part].replace_range(middle..=middle, other);
        parts.join(".")
    };
    let mut without_exp = claims(0);
    without_exp.as_object_mut().unwrap().remove("exp");
    let mut not_yet = claims(now + 600);
    not_yet["nbf"] = json!(now + 60);
    let with = |claim: &str, value: Value| {
        let mut claims = claims(now + 600);
        claims[claim] = value;
        claims
    };
    let mut nobody = claims(now + 600);
    nobody.as_object_mut().unwrap().retain(|name, _| name != "sub" && name != "user_id");
    vec![
        ("forged claims", "token_wrong_signature", flipped(1)),
        ("forged signature", "token_wrong_signature", flipped(2)),
        ("no signature", "token_wrong_signature", format!("{}.", good.rsplit_once('.').unwrap().0)),
        ("expired", "token_expired", signed("HS256", SECRET, &claims(now - 60))),
        ("alg:none", "token_wrong_algorithm", signed("none", SECRET, &claims(now + 600))),
        ("another algorithm", "token_wrong_algorithm", signed("HS512", SECRET, &claims(now + 600))),
        (
            "wrong secret",
            "token_wrong_signature",
            signed("HS256", "another secret, of more than 32 bytes too", &claims(now + 600)),
        ),
        ("wrong audience", "token_wrong_audience", token_of_audience("ana", Some("others"))),
        ("no audience", "token_wrong_audience", token_of_audience("ana", None)),
        ("no exp", "token_invalid_claim", signed("HS256", SECRET, &without_exp)),
        ("not yet", "token_not_yet_valid", signed("HS256", SECRET, &not_yet)),
        ("exp in milliseconds", "token_invalid_claim", signed("HS256", SECRET, &claims((now + 600) * 1_000))),
        ("exp as text", "token_invalid_claim", signed("HS256", SECRET, &with("exp", json!("2030-01-01T00:00:00Z")))),
        ("iat in milliseconds", "token_invalid_claim", signed("HS256", SECRET, &with("iat", json!(now * 1_000)))),
        ("made in the future", "token_not_yet_valid", signed("HS256", SECRET, &with("iat", json!(now + 60)))),
        ("nobody", "token_invalid_claim", signed("HS256", SECRET, &nobody)),
        ("too long", "token_too_long", format!("{good}{}", "A".repeat(5_000))),
        ("nonsense", "token_malformed", "nonsense".into()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_gets_nothing_anywhere() {
    let settings = [("ORION_JWT_SECRET", SECRET), ("ORION_AUTH__JWT_AUDIENCE", AUDIENCE), ("ORION_ADMIN_TOKEN", ADMIN)];
    let server = Server::start(&settings).await;
    let good = token_of_audience("ana", Some(AUDIENCE));
    let control =
        signed("HS256", SECRET, &json!({ "user_id": "ana", "aud": AUDIENCE, "exp": wall().timestamp() + 60 }));
    for door in doors() {
        let open = if door.websocket { 101 } else { 200 };
        for carrier in door.carriers {
            for good in [&good, &control] {
                let (status, said) = knock(server.addr, &door, Some((*carrier, good))).await;
                assert_eq!(status, open, "{door:?}, {carrier:?}: {said}");
            }
            for (fault, expected, token) in wrong_tokens() {
                let (status, said) = knock(server.addr, &door, Some((*carrier, &token))).await;
                assert_eq!(status, 401, "{fault}: {door:?}, {carrier:?}");
                assert!(!said.contains(&token) && !said.contains(SECRET), "{said}");
                let code = serde_json::from_str::<Value>(&said).unwrap()["code"].clone();
                assert_eq!(code, expected, "{fault}: {door:?}, {carrier:?}");
            }
        }
        let (status, said) = knock(server.addr, &door, None).await;
        assert_eq!(status, if door.private { 401 } else { open }, "without a token: {door:?}: {said}");
    }
    // Nor do the shared tokens open what is a user's.
    for door in doors().iter().filter(|door| door.private) {
        for shared in [TOKEN, ADMIN] {
            assert_eq!(knock(server.addr, door, Some((Carrier::Bearer, shared))).await.0, 401, "{door:?}");
        }
    }
    // A token in the query of a plain request is none: URLs end up in logs.
    for door in doors().iter().filter(|door| door.private && door.carriers == [Carrier::Bearer]) {
        assert_eq!(knock(server.addr, door, Some((Carrier::Query, &good))).await.0, 401, "{door:?}");
    }
    for path in ["users", "subscribers", "analytics/revenue", "analytics/users"] {
        let path = format!("/api/v1/admin/{path}");
        for (fault, _, token) in wrong_tokens() {
            assert_eq!(get_as(server.addr, &token, &path).await.0, 401, "{fault}: {path}");
        }
        assert_eq!(get_as(server.addr, &good, &path).await.0, 403, "{path}");
        assert_eq!(get_as(server.addr, ADMIN, &path).await.0, 200, "{path}");
    }
    for (fault, _, token) in wrong_tokens() {
        let mut socket = Socket::open(server.addr).await;
        socket.say(format!("40{}", json!({ "token": token }))).await;
        let refused = soon(fault, socket.next()).await;
        let Ok(Packet::Refused(reason)) = refused else { panic!("{fault}: {refused:?}") };
        assert!(!reason.to_string().contains(&token), "{reason}");
    }
    assert_eq!(server.complaints(), Vec::<String>::new());
    server.stop().await;
}

/// One of each kind of connection that rests on a token, each with the code that it ends with.
struct Connections {
    streams: Vec<(Way, Stream)>,
    native: Native,
    socketio: Socket,
}

impl Connections {
    async fn open(addr: SocketAddr, token: &str) -> Self {
        let mut streams = Vec::new();
        for way in Way::PAGES {
            let mut stream = Stream::expect(addr, way, token, None).await;
            assert_eq!(stream.frame("connection").await["status"], "Connected");
            streams.push((way, stream));
        }
        let native = Native::connect(addr, &format!("/ws/signals?token={token}")).await;
        let mut socketio = Socket::open(addr).await;
        socketio.say(format!("40{}", json!({ "token": token }))).await;
        socketio.connected().await;
        Self { streams, native, socketio }
    }

    /// Waits until all have ended, and checks how.
    async fn ended(mut self, code: &str) {
        for (way, stream) in &mut self.streams {
            let (last, end) = stream.end().await;
            assert_eq!(end, way.policy_end(), "{way:?}");
            assert_eq!((&last["type"], &last["status"]), (&json!("connection"), &json!("Disconnected")), "{last}");
            assert_eq!((&last["data"]["status"], &last["data"]["code"]), (&json!("disconnected"), &json!(code)));
        }
        let native = async { while self.native.next().await.is_ok() {} };
        soon("the native client is closed", native).await;
        let socketio = async { while self.socketio.next().await.is_ok() {} };
        soon("the Socket.IO client is closed", socketio).await;
    }

    /// Waits for an answer on each that can be asked, and for a published message on all.
    async fn live(&mut self, addr: SocketAddr, ingest: &str, user: &str) {
        let alert =
            json!({ "type": "alerts", "user": user, "data": { "id": "x", "severity": "info", "message": "x" } });
        assert_eq!(post_as(addr, ingest, "/api/events", &alert).await.0, 200);
        for (_, stream) in &mut self.streams {
            stream.frame("alerts").await;
        }
        self.native.send(&json!({ "type": "ping" })).await;
        self.native.frame("pong").await;
        self.socketio.emit("ping", &json!({})).await;
        self.socketio.event("pong").await;
    }
}

/// Until a token that is made from now on is younger than one made before: they count in seconds.
async fn next_second() {
    let second = wall().timestamp();
    while wall().timestamp() == second {
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_tokens_end_connections_within_ten_seconds() {
    let server = Server::start(&[("ORION_JWT_SECRET", SECRET)]).await;
    let short = token_for("ana", false, TimeDelta::seconds(2));
    let ends = Instant::now() + Duration::from_secs(2);
    let connections = Connections::open(server.addr, &short).await;
    let mut lasting = Connections::open(server.addr, &token("ana")).await;
    connections.ended("TOKEN_EXPIRED").await;
    let late = Instant::now().checked_duration_since(ends).expect("not before it has expired");
    assert!(late < Duration::from_secs(10), "{late:?} after the token had expired");
    for way in Way::PAGES {
        assert_eq!(Stream::open(server.addr, way, &short, None).await.err(), Some(401), "{way:?}");
    }
    let (status, refused) = get_as(server.addr, &short, "/api/auth/me").await;
    assert_eq!((status, &refused["code"]), (401, &json!("token_expired")), "{refused}");
    lasting.live(server.addr, TOKEN, "ana").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_tokens_stay_revoked_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let env = [("ORION_JWT_SECRET", SECRET), ("ORION_ADMIN_TOKEN", ADMIN), ("ORION_DRAIN_TIMEOUT", "2s")];
    let server = Server::start_on(&dir, &env).await;
    let (old, other) = (token("ana"), token("ben"));
    let anas = Connections::open(server.addr, &old).await;
    let mut bens = Connections::open(server.addr, &other).await;
    next_second().await;
    let (status, answer) = post_as(server.addr, ADMIN, "/api/admin/revoke", &json!({ "user": "ana" })).await;
    assert_eq!((status, &answer["success"], &answer["user"]), (200, &json!(true), &json!("ana")), "{answer}");
    timeout(Duration::from_secs(5), anas.ended("TOKEN_REVOKED")).await.expect("at once");
    bens.live(server.addr, TOKEN, "ben").await;

    let is_refused = async |addr| {
        for way in Way::PAGES {
            assert_eq!(Stream::open(addr, way, &old, None).await.err(), Some(401), "{way:?}");
        }
        assert_eq!(get_as(addr, &old, "/api/auth/me").await.0, 401);
    };
    is_refused(server.addr).await;
    server.kill().await;
    let server = Server::start_on(&dir, &env).await;
    is_refused(server.addr).await;
    server.stop().await;
    let server = Server::start_on(&dir, &env).await;
    is_refused(server.addr).await;
    next_second().await;
    let mut again = Connections::open(server.addr, &token("ana")).await;
    again.live(server.addr, TOKEN, "ana").await;
    let mut bens = Connections::open(server.addr, &other).await;
    bens.live(server.addr, TOKEN, "ben").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_revoke_and_what_may_be_said() {
    let server = Server::start(&[("ORION_JWT_SECRET", SECRET), ("ORION_ADMIN_TOKEN", ADMIN)]).await;
    let (bystander, root) = (token("ana"), admin_token("root"));
    let expired = token_for("root", true, TimeDelta::minutes(-1));
    let body = json!({ "user": "nobody" });
    let revoke = async |token: &str, body: &Value| post_as(server.addr, token, "/api/admin/revoke", body).await;
    for (token, status) in
        [(bystander.as_str(), 403), (TOKEN, 401), ("nonsense", 401), (&expired, 401), (ADMIN, 200), (&root, 200)]
    {
        let (answered, said) = revoke(token, &body).await;
        assert_eq!(answered, status, "{said}");
        let code = match status {
            401 if token == expired => json!("token_expired"),
            401 => json!("unauthorized"),
            403 => json!("forbidden"),
            _ => Value::Null,
        };
        assert_eq!(said["code"], code, "{said}");
    }
    let http = reqwest::Client::new();
    let url = server.url("/api/admin/revoke");
    assert_eq!(answer(http.post(&url).json(&body)).await.0, 401);
    assert_eq!(answer(http.post(&url).json(&body).header("x-admin-token", ADMIN)).await.0, 200);
    assert_eq!(answer(http.post(&url).json(&body).header("x-admin-token", TOKEN)).await.0, 401);
    assert_eq!(server.metric("orion_revocations_total", "").await, 3.0);
    // A stranger's body is not even read.
    assert_eq!(answer(http.post(&url).body("{")).await.0, 401);

    let later = (wall() + TimeDelta::hours(1)).to_rfc3339();
    for (body, fields) in [
        (json!({}), &["user"][..]),
        (json!([]), &["user"]),
        (json!({ "user": "" }), &["user"]),
        (json!({ "user": 7 }), &["user"]),
        (json!({ "user": "x".repeat(129) }), &["user"]),
        (json!({ "user": "ana", "not_before": "soon" }), &["not_before"]),
        (json!({ "user": "ana", "not_before": later }), &["not_before"]),
        (json!({ "user": "ana", "not_before": true }), &["not_before"]),
        (json!({ "user": null, "not_before": {} }), &["user", "not_before"]),
    ] {
        let (status, said) = revoke(&root, &body).await;
        assert_eq!((status, &said["code"]), (400, &json!("validation_failed")), "{body}: {said}");
        for field in fields {
            assert!(said["details"]["fields"].to_string().contains(field), "{body}: {said}");
        }
    }
    assert_eq!(get_as(server.addr, &bystander, "/api/auth/me").await.0, 200, "nothing of that revoked anything");

    // What was made after the time that is named stays.
    let before = (wall() - TimeDelta::hours(1)).to_rfc3339();
    let (status, said) = revoke(&root, &json!({ "user_id": "ana", "not_before": before })).await;
    assert_eq!((status, &said["user"]), (200, &json!("ana")), "{said}");
    assert_eq!(get_as(server.addr, &bystander, "/api/auth/me").await.0, 200);
    // Without a time of its making a token is older than any.
    let timeless = signed("HS256", SECRET, &json!({ "sub": "ana", "exp": wall().timestamp() + 600 }));
    assert_eq!(get_as(server.addr, &timeless, "/api/auth/me").await.0, 401);
    server.stop().await;
}

/// A claim whose shape nobody asked for must not lock its user out, and makes no administrator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_odd_roles_stays_a_user() {
    let settings = [("ORION_JWT_SECRET", SECRET), ("ORION_AUTH__ADMIN_CLAIM", "app_metadata.role")];
    let server = Server::start(&settings).await;
    let exp = wall().timestamp() + 600;
    let microsoft = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role";
    for (claims, admin) in [
        (json!({ "role": ["admin", "user"] }), false),
        (json!({ "role": "admin" }), false),
        (json!({ "role": { "admin": true } }), false),
        (json!({ "role": 7 }), false),
        (json!({ "role": "authenticated", "app_metadata": { "role": "admin" } }), true),
        (json!({ "app_metadata": { "role": ["user", "admin"] } }), true),
        (json!({ "app_metadata": ["role", "admin"] }), false),
        (json!({ "realm_access": { "roles": ["admin"] } }), false),
        (json!({ microsoft: "admin" }), false),
    ] {
        let mut claims = claims;
        (claims["sub"], claims["exp"]) = (json!("5"), json!(exp));
        let (status, me) = get_as(server.addr, &signed("HS256", SECRET, &claims), "/api/auth/me").await;
        assert_eq!((status, &me["user_id"], &me["is_admin"]), (200, &json!("5"), &json!(admin)), "{claims}: {me}");
    }
    server.stop().await;
}

/// Tokens that say nothing of when they were made, or what cannot be, or name their user otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_ends_every_token_of_the_user() {
    let server = Server::start(&[("ORION_JWT_SECRET", SECRET), ("ORION_ADMIN_TOKEN", ADMIN)]).await;
    let now = wall().timestamp();
    let tokens = [
        json!({ "sub": "42", "exp": now + 600, "iat": now - 60 }),
        json!({ "sub": "42", "exp": now + 600 }),
        json!({ "sub": 42, "exp": now + 600, "iat": now - 60 }),
        json!({ "user_id": 42.0, "exp": now + 600, "iat": null }),
        json!({ "sub": "42", "exp": now + 600, "iat": now + 3 }),
        json!({ "sub": "42", "exp": now + 600, "iat": now + 3600 }),
        json!({ "sub": "42", "exp": now + 600, "iat": now * 1_000 }),
        json!({ "sub": "42", "exp": (now + 600) * 1_000 }),
    ]
    .map(|claims| signed("HS256", SECRET, &claims));
    let mut before = Vec::new();
    for token in &tokens {
        before.push(get_as(server.addr, token, "/api/auth/me").await.0);
    }
    assert_eq!(before, [200, 200, 200, 200, 200, 401, 401, 401]);
    assert_eq!(post_as(server.addr, ADMIN, "/api/admin/revoke", &json!({ "user": "42" })).await.0, 200);
    for (index, token) in tokens.iter().enumerate() {
        assert_eq!(get_as(server.addr, token, "/api/auth/me").await.0, 401, "{index}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_streams_need_a_configured_secret() {
    let server = Server::push_only().await;
    let token = token("ana");
    let mut tries = JoinSet::new();
    for way in Way::PAGES {
        let (addr, token) = (server.addr, token.clone());
        tries.spawn(async move { Stream::open(addr, way, &token, None).await.err() });
    }
    assert_eq!(tries.join_all().await, [Some(401); 4]);
    let (status, said) = get_as(server.addr, &token, "/api/auth/me").await;
    assert_eq!(status, 401);
    assert!(said["error"].as_str().unwrap().contains("ORION_JWT_SECRET"), "{said}");
    server.stop().await;
}
