//! Where reading needs a token: every way in, by every token, and nothing that leaks on the way out.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::LazyLock;

use chrono::TimeDelta;
use futures_util::StreamExt;
use orion_server::domain::iso;
use orion_server::pipeline::clock::wall;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::users::{SECRET, signed, token_of_audience};
use crate::support::{Native, Packet, Polling, Protocol, Server, Socket, TOKEN, answer, open, signal, soon};

pub(crate) const AUDIENCE: &str = "orion";
pub(crate) const ADMIN: &str = "the-shared-admin-token";
pub(crate) const READ: &str = "the-shared-read-token";
const WEBHOOK: &str = "the-webhooks-token-of-32-letters";
/// What stands in everything that was published, but for the price.
pub(crate) const MARK: &str = "mark-77";
/// The price, in whatever spelling.
pub(crate) const PRICE: &str = "1.23457";

/// Whom a token makes of its bearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    /// By a user token that is good for nothing.
    Impostor,
    User,
    Administrator,
    /// By the shared tokens.
    Reader,
    Writer,
    Operator,
}

use Who::{Administrator, Impostor, Nobody, Operator, Reader, User, Writer};

/// Every token, and none.
fn tokens() -> Vec<(&'static str, Who, Option<String>)> {
    let now = wall().timestamp();
    let claims = |exp: i64| json!({ "sub": "ana", "role": "admin", "aud": AUDIENCE, "exp": exp });
    let mut admin = claims(now + 600);
    admin["sub"] = json!("root");
    let token = |name, who, token: String| (name, who, Some(token));
    vec![
        ("no token", Nobody, None),
        token(
            "wrong secret",
            Impostor,
            signed("HS256", "another secret, of more than 32 bytes too", &claims(now + 600)),
        ),
        token("expired", Impostor, signed("HS256", SECRET, &claims(now - 60))),
        token("wrong audience", Impostor, token_of_audience("ana", Some("others"))),
        token("alg none", Impostor, signed("none", SECRET, &claims(now + 600))),
        token("nonsense", Impostor, "nonsense".to_owned()),
        token("a user's", User, token_of_audience("ana", Some(AUDIENCE))),
        token("an administrator's", Administrator, signed("HS256", SECRET, &admin)),
        token("the read token", Reader, READ.to_owned()),
        token("the ingest token", Writer, TOKEN.to_owned()),
        token("the admin token", Operator, ADMIN.to_owned()),
    ]
}

/// Routes that serve pages and descriptions rather than data.
const PAGES: [&str; 5] = ["/", "/docs", "/docs/streams", "/openapi.json", "/asyncapi.json"];

/// A request of it names nothing, and who may ask is told so.
const REVOKE: &str = "/api/admin/tokens/revoke";

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    Everybody,
    Readers,
    Users,
    /// Readers who are not known to be somebody else than `ana`: her id is enough here.
    Ana,
    Administrators,
    Writers,
    /// Readers and writers: what they find there differs.
    Agents,
    /// Whoever knows its path.
    Insiders,
    /// WebSocket: readers by the handshake.
    Stream,
    /// WebSocket: users by the handshake.
    UsersStream,
    /// WebSocket: a wrong token is refused at the handshake, and whoever comes without one may show it in a frame.
    Introduced,
    /// WebSocket: the first frame is an administrator's token, whatever the handshake says.
    AdminFrame,
}

use For::{
    AdminFrame, Administrators, Agents, Ana, Everybody, Insiders, Introduced, Readers, Stream, Users, UsersStream,
    Writers,
};

impl For {
    pub(crate) fn is_websocket(self) -> bool {
        matches!(self, Stream | UsersStream | Introduced | AdminFrame)
    }

    /// The status that is documented.
    fn status(self, who: Who) -> u16 {
        let may: &[Who] = match self {
            Everybody | AdminFrame => return if self.is_websocket() { 101 } else { 200 },
            Insiders => return 404,
            Readers | Stream => &[User, Administrator, Reader],
            Ana => &[User, Reader],
            Users | UsersStream => &[User, Administrator],
            Administrators => &[Administrator, Operator],
            Writers => &[Writer],
            Agents => &[User, Administrator, Reader, Writer],
            Introduced => &[Nobody, User, Administrator, Reader],
        };
        match (self, who) {
            _ if may.contains(&who) => {
                if self.is_websocket() {
                    101
                } else {
                    200
                }
            }
            // It is known who he is, and that it is not for him.
            (Ana, Administrator) | (Administrators, User) => 403,
            _ => 401,
        }
    }
}

/// A route as the router has it, who may use it, and a request of it that is answered 200 or 101 to whoever may.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) open_for: For,
    pub(crate) asked: &'static str,
    pub(crate) body: Value,
}

/// The routes that have a body.
fn routes_with_a_body() -> Vec<Route> {
    let write = |method, path, asked, body| Route { method, path, open_for: Writers, asked, body };
    let mut dry = signal("dry");
    dry["dry_run"] = json!(true);
    let notice = json!({ "type": "notification", "data": { "type": "info", "message": MARK } });
    let price = json!({ "symbol": "EURUSD", "price": 1.23457 });
    let for_line = json!({ "signal": signal("dry"), "dry_run": true });
    let ticks = json!({ "v": 1, "type": "ticks", "src": "mt5", "seq": 1, "ticks": [] });
    vec![
        write("POST", "/api/signals", "/api/signals", dry),
        write("PATCH", "/api/signals/{id}", "/api/signals/mark-77", json!({ "status": "confirmed" })),
        write("POST", "/api/prices", "/api/prices", price),
        write("POST", "/api/events", "/api/events", notice),
        write("POST", "/api/mt/ticks", "/api/mt/ticks", ticks),
        write("POST", "/api/test-line", "/api/test-line", for_line.clone()),
        write("POST", "/api/send-line-notification", "/api/send-line-notification", for_line),
        Route {
            open_for: Administrators,
            ..write("POST", "/api/admin/revoke", "/api/admin/revoke", json!({ "user": "nobody" }))
        },
        Route { open_for: Administrators, ..write("POST", "/api/admin/reload", "/api/admin/reload", json!({})) },
        Route { open_for: Administrators, ..write("POST", "/api/admin/login", "/api/admin/login", json!({})) },
        Route {
            open_for: Administrators,
            ..write("POST", "/api/admin/tokens", "/api/admin/tokens", json!({ "kind": "ingest" }))
        },
        Route { open_for: Administrators, ..write("POST", REVOKE, REVOKE, json!({ "name": "nothing" })) },
        Route {
            open_for: Agents,
            ..write("POST", "/mcp", "/mcp", json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }))
        },
        Route {
            open_for: Insiders,
            ..write("POST", "/api/webhooks/tradingview/{token}", "/api/webhooks/tradingview/x", json!("x"))
        },
    ]
}

/// A replay of what happens here, in an instant. To a reader with a long delay its beginning has not come yet.
fn last_minute() -> &'static str {
    static ASKED: LazyLock<String> =
        LazyLock::new(|| format!("/api/replay?from={}&speed=3600", iso(wall() - TimeDelta::minutes(1))));
    &ASKED
}

pub(crate) fn routes() -> Vec<Route> {
    let get = |open_for, path, asked| Route { method: "GET", path, open_for, asked, body: Value::Null };
    let same = |open_for| move |path| Route { method: "GET", path, open_for, asked: path, body: Value::Null };
    let mut routes = routes_with_a_body();
    routes.extend([
        get(Readers, "/api/signals/{id}", "/api/signals/mark-77"),
        get(Readers, "/api/signals/{id}/proof", "/api/signals/mark-77/proof"),
        get(Readers, "/api/log/consistency", "/api/log/consistency?from=1"),
        get(Readers, "/log/checkpoint", "/log/checkpoint"),
        get(Readers, "/log/tile/{*tile}", "/log/tile/entries/000.p/1"),
        get(Everybody, "/log/key", "/log/key"),
        get(Readers, "/api/bars", "/api/bars?symbol=EURUSD&interval=1m"),
        get(Readers, "/api/detections", "/api/detections?symbol=EURUSD"),
        get(Readers, "/api/replay", last_minute()),
        get(Readers, "/api/v1/market/quote/{symbol}", "/api/v1/market/quote/EURUSD"),
        get(Readers, "/api/v1/market/quotes", "/api/v1/market/quotes?symbols=EURUSD"),
        get(Readers, "/api/v1/market/history/{symbol}", "/api/v1/market/history/EURUSD"),
        get(Ana, "/api/v1/dashboard/earnings", "/api/v1/dashboard/earnings?user_id=ana"),
        get(Introduced, "/ws/user/{id}", "/ws/user/ana"),
    ]);
    routes.extend(["/health", "/ready", "/api/system/health"].map(same(Everybody)));
    routes.extend(PAGES.map(same(Everybody)));
    routes.extend(
        [
            "/api/signals",
            "/api/prices",
            "/api/sources",
            "/api/stats",
            "/api/outcomes",
            "/api/instruments",
            "/api/killzones",
            "/api/presence",
            "/api/start",
            "/api/stream",
            "/metrics",
            "/api/prices/live",
            "/signals/history",
            "/trading/positions",
            "/trading/account-info",
            "/trading/risk-metrics",
            "/api/analytics/trading-heatmap",
            "/api/analytics/equity-curve",
            "/api/analytics/performance-metrics",
            "/api/institutional-ai/market-regimes",
            "/api/institutional-ai/model-performance",
            "/api/institutional-ai/model-configs",
            "/monitoring/metrics",
            "/monitoring/performance/metrics",
            "/api/v1/dashboard/trade-signals",
        ]
        .map(same(Readers)),
    );
    routes.extend(
        [
            "/api/auth/me",
            "/api/trades/recent",
            "/api/bots",
            "/api/wallet/balances",
            "/api/portfolio/summary",
            "/api/advanced/decisions/recent",
            "/api/advanced/whale/summary",
            "/api/realtime/events",
        ]
        .map(same(Users)),
    );
    routes.extend(
        [
            "/api/admin/overview",
            "/api/admin/cluster",
            "/api/admin/presence",
            "/api/admin/recomputations",
            "/api/admin/tokens",
            "/api/v1/admin/users",
            "/api/v1/admin/subscribers",
            "/api/v1/admin/analytics/revenue",
            "/api/v1/admin/analytics/users",
        ]
        .map(same(Administrators)),
    );
    routes.extend(
        [
            "/ws/signals",
            "/ws/signals/",
            "/ws",
            "/ws/",
            "/monitoring/ws/performance",
            "/ws/trade-signals",
            "/ws/market-data",
        ]
        .map(same(Stream)),
    );
    routes.extend(["/api/ws", "/api/ws/"].map(same(UsersStream)));
    routes.extend(["/ws/earnings", "/ws/notifications"].map(same(Introduced)));
    routes.push(get(Introduced, "/api/websocket", "/api/websocket"));
    routes.push(get(AdminFrame, "/ws/admin", "/ws/admin"));
    routes
}

/// What the router does not know of, because it is turned into something else before, or is Socket.IO's.
pub(crate) fn beside_the_router() -> Vec<Route> {
    let get = |open_for, asked| Route { method: "GET", path: "", open_for, asked, body: Value::Null };
    vec![
        // A WebSocket on the console's address.
        get(Stream, "/"),
        get(Introduced, "/socket.io/?EIO=4&transport=websocket"),
        get(Introduced, "/socket.io/?EIO=3&transport=websocket"),
        get(Introduced, "/ws/signals/?EIO=4&transport=websocket"),
        get(Introduced, "/ws/signals?EIO=3&transport=websocket"),
    ]
}

/// Long polling: the handshake is a plain request.
const POLLING: [&str; 3] = [
    "/socket.io/?EIO=4&transport=polling",
    "/socket.io/?EIO=3&transport=polling",
    "/ws/signals/?EIO=4&transport=polling",
];

fn source_files(dir: &Path, text: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            source_files(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// Routes of the source: those with a description, and those that `.route(path, …)` adds without one. Those of the page's
/// own files have no name there.
fn routes_of_the_source() -> (BTreeSet<(String, String)>, BTreeSet<String>) {
    let mut files = Vec::new();
    source_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let (mut described, mut plain, mut of_files) = (BTreeSet::new(), BTreeSet::new(), 0);
    for text in &files {
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for other in [".nest(", ".route_service(", ".nest_service(", ".fallback_service("] {
            assert!(!text.contains(other), "a way to add routes that this test does not read: {other}");
        }
        for description in text.split("#[utoipa::path(").skip(1) {
            let (method, rest) = description.split_once(',').unwrap();
            let path = rest.split('"').nth(1).unwrap();
            described.insert((method.trim().to_uppercase(), path.to_owned()));
        }
        for route in text.split(".route(").skip(1) {
            let (path, _) = route.split_once(',').unwrap();
            let path = match path.trim().strip_prefix('"') {
                Some(literal) => literal.trim_end_matches('"').to_owned(),
                None if path.trim() == "&path" => {
                    of_files += 1;
                    continue;
                }
                None => {
                    // In this file, or in the one that it is imported from.
                    let declared = format!("const {}: &str = \"", path.trim());
                    let of_file = |text: &str| Some(text.split_once(&declared)?.1.split_once('"')?.0.to_owned());
                    of_file(text).or_else(|| files.iter().find_map(|text| of_file(text))).unwrap()
                }
            };
            plain.insert(path);
        }
    }
    assert_eq!(of_files, 1);
    (described, plain)
}

#[test]
fn no_route_is_forgotten_here() {
    let listed: BTreeSet<_> = routes().iter().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
    let (mut routed, plain) = routes_of_the_source();
    routed.extend(plain.into_iter().map(|path| ("GET".to_owned(), path)));
    assert!(routed.len() > 50, "{routed:?}");
    let missing: Vec<_> = routed.symmetric_difference(&listed).collect();
    assert!(missing.is_empty(), "routes that are only in the router, or only here: {missing:?}");
}

#[test]
fn every_route_has_a_description() {
    let (described, plain) = routes_of_the_source();
    let routes = routes();
    let is_stream = |path: &str| routes.iter().any(|route| route.path == path && route.open_for.is_websocket());
    let is_described = |path: &str| described.contains(&("GET".to_owned(), path.to_owned()));
    let missing: Vec<_> = plain
        .iter()
        .filter(|path| !(PAGES.contains(&path.as_str()) || is_stream(path) || is_described(path)))
        .collect();
    assert!(missing.is_empty(), "add them by `routes!`, with a description: {missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stream_has_a_description() {
    let server = Server::start(&[]).await;
    let document = server.get("/asyncapi.json").await.1;
    let channels = document["channels"].as_object().unwrap().values();
    let native = channels.filter(|channel| channel["servers"][0]["$ref"] == "#/servers/native");
    let described: BTreeSet<_> = native
        .flat_map(|channel| channel["x-aliases"].as_array().into_iter().flatten().chain([&channel["address"]]))
        .map(|path| path.as_str().unwrap())
        .collect();
    let routes = routes();
    let streams = routes.iter().filter(|route| route.open_for.is_websocket()).map(|route| route.path);
    // A WebSocket on the console's address reaches one of them.
    assert_eq!(described, streams.chain(["/"]).collect(), "describe it in `Dashboard::streams`");
}

/// A server on which somebody has published, so that there is something to leak. An id would be enough for a user's streams,
/// were it not for the token that reading needs.
async fn server() -> Server {
    let server = Server::start(&[
        ("ORION_READ_AUTH", "required"),
        ("ORION_READ_TOKEN", READ),
        ("ORION_JWT_SECRET", SECRET),
        ("ORION_AUTH__JWT_AUDIENCE", AUDIENCE),
        ("ORION_ADMIN_TOKEN", ADMIN),
        ("ORION_TRADINGVIEW_TOKEN", WEBHOOK),
        ("ORION_MCP", "1"),
        ("ORION_SENTIO_TRUST_USER_ID", "1"),
        ("ORION_SENTIO__UPDATE_INTERVAL", "1s"),
    ])
    .await;
    publish(&server).await;
    server
}

/// Publishes something of every kind that has a reader.
pub(crate) async fn publish(server: &Server) {
    let mut marked = signal("mark-77");
    (marked["reason"], marked["entry_price"]) = (json!(MARK), json!(1.23457));
    (marked["stop_loss"], marked["take_profits"]) = (json!(1.23), json!([1.24]));
    server.push(&marked).await;
    assert_eq!(server.post("/api/prices", &json!({ "symbol": "EURUSD", "price": 1.23457 })).await.0, 200);
    let user = json!({ "user_id": MARK, "tier": MARK });
    let events = json!([
        { "type": "tick", "data": { "symbol": MARK, "bid": 1.23457, "ask": 1.23457 } },
        { "type": "signal", "data": { "symbol": MARK, "side": "buy", "strength": 1, "confidence": 1, "model": MARK } },
        { "type": "trade_signals", "data": [{ "symbol": MARK, "signal": "buy", "confidence": 1 }] },
        { "type": "notification", "user": "ana", "data": { "type": "info", "message": MARK } },
        { "type": "earnings", "user": "ana", "data": { "portfolio_value": 1.23457, "profit_sharing": { "note": MARK } } },
        { "type": "alerts", "user": "ana", "data": { "id": MARK, "severity": "info", "message": MARK } },
        { "type": "bots", "user": "ana", "data": { "id": MARK, "status": "running" } },
        { "type": "admin_users", "data": { "users": [user] } },
        { "type": "admin_subscribers", "data": { "subscribers": [user] } },
    ]);
    let (status, answer) = server.post("/api/events", &json!({ "events": events })).await;
    assert_eq!(status, 200, "{answer}");
}

/// Fails on any warning but the two about trusted user ids.
fn no_complaints(server: &Server) {
    let complaints = server.complaints();
    let expected = ["server.allowed_hosts is empty", "sentio.trust_user_id is on"];
    let are_expected = complaints.iter().zip(expected).all(|(complaint, part)| complaint.contains(part));
    assert!(complaints.len() == expected.len() && are_expected, "{complaints:?}");
}

fn leaks_nothing(said: &str, token: Option<&str>, context: &str) {
    for mark in [MARK, PRICE, SECRET, READ, TOKEN, ADMIN, WEBHOOK].into_iter().chain(token) {
        assert!(!said.contains(mark), "{context} tells {mark}: {said}");
    }
}

/// Sends a request with a token; the status, and the body of what does not go on.
pub(crate) async fn ask(addr: SocketAddr, route: &Route, token: Option<&str>) -> (u16, String) {
    let method = route.method.parse().unwrap();
    let mut request = reqwest::Client::new().request(method, format!("http://{addr}{}", route.asked));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if !route.body.is_null() {
        request = request.json(&route.body);
    }
    let mut response = soon(route.asked, request.send()).await.unwrap();
    let status = response.status().as_u16();
    if status == 200 && route.asked == "/api/stream" {
        // What comes before it is the snapshot.
        let (mut said, end) = (String::new(), "event: subscribed");
        while !said.contains(end) {
            said += &String::from_utf8_lossy(&soon(end, response.chunk()).await.unwrap().unwrap());
        }
        return (status, said);
    }
    let goes_on = status == 200 && route.asked == "/api/realtime/events";
    (status, if goes_on { String::new() } else { response.text().await.unwrap() })
}

/// The status of a handshake, with what was said where it was refused.
pub(crate) async fn shake(
    addr: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<Native, (u16, String)> {
    let stream = TcpStream::connect(addr).await.unwrap();
    match soon(path, open(stream, addr, path, headers)).await {
        Ok(socket) => Ok(Native(socket)),
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            Err((response.status().as_u16(), String::from_utf8_lossy(body).into_owned()))
        }
        Err(error) => panic!("{path}: {error}"),
    }
}

pub(crate) fn with_query(path: &str, token: &str) -> String {
    format!("{path}{}token={token}", if path.contains('?') { '&' } else { '?' })
}

fn is_unauthorized(said: &str, context: &str) {
    let said: Value = serde_json::from_str(said).unwrap_or_else(|_| panic!("{context}: {said}"));
    // Of a user token it says more.
    let code = said["code"].as_str().unwrap_or_default();
    assert!(code == "unauthorized" || code.starts_with("token_"), "{context}: {code}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_opens_only_to_its_audience() {
    let server = server().await;
    let mut told_to_those_who_may = String::new();
    for route in routes().iter().filter(|route| !route.open_for.is_websocket()) {
        for (name, who, token) in tokens() {
            let context = format!("{} {} with {name}", route.method, route.asked);
            let (status, said) = ask(server.addr, route, token.as_deref()).await;
            let expected = match route.open_for.status(who) {
                200 if route.path == REVOKE => 404,
                expected => expected,
            };
            assert_eq!(status, expected, "{context}: {said}");
            match status {
                200 if route.open_for != Everybody => told_to_those_who_may += &said,
                _ => leaks_nothing(&said, token.as_deref(), &context),
            }
            if status == 401 {
                is_unauthorized(&said, &context);
            }
        }
    }
    // There was something to tell.
    assert!(told_to_those_who_may.matches(MARK).count() > 10 && told_to_those_who_may.contains(PRICE));
    // The webhook's token is in its path.
    for (name, _, token) in tokens() {
        let path = format!("/api/webhooks/tradingview/{}", token.as_deref().unwrap_or("x"));
        let (status, said) = answer(server.http.post(server.url(&path)).body("x")).await;
        assert_eq!((status, &said["code"]), (404, &json!("not_found")), "{name}");
    }
    let alert = json!({ "symbol": "EURUSD", "price": 1.23457 });
    let known = server.http.post(server.url(&format!("/api/webhooks/tradingview/{WEBHOOK}"))).json(&alert);
    assert_eq!(answer(known).await.0, 200);
    // Long polling asks before there is a session.
    for path in POLLING {
        for (name, who, token) in tokens() {
            let asked = token.as_ref().map_or_else(|| path.to_owned(), |token| with_query(path, token));
            let response = server.http.get(server.url(&asked)).send().await.unwrap();
            let (status, said) = (response.status().as_u16(), response.text().await.unwrap());
            let expected = if Introduced.status(who) == 101 { 200 } else { 401 };
            assert_eq!(status, expected, "{path} with {name}: {said}");
            leaks_nothing(&said, token.as_deref(), path);
        }
    }
    no_complaints(&server);
    server.stop().await;
}

/// All that a client is told up to the answer to a ping, or to the end: with its code.
pub(crate) async fn told(client: &mut Native) -> (String, Option<u16>) {
    let mut told = String::new();
    // Every dialect answers one of them.
    if !client.try_say(r#"{"type":"ping","action":"ping"}"#).await {
        return (told, Some(1006));
    }
    soon("a pong", async {
        loop {
            match client.0.next().await {
                Some(Ok(Message::Text(text))) => {
                    told += &text;
                    if text.contains("pong") {
                        return (told, None);
                    }
                }
                Some(Ok(Message::Close(frame))) => return (told, Some(frame.map_or(1005, |frame| frame.code.into()))),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return (told, Some(1006)),
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stream_opens_only_to_its_audience() {
    let server = server().await;
    let mut strangers = Vec::new();
    let streams: Vec<_> =
        routes().into_iter().filter(|route| route.open_for.is_websocket()).chain(beside_the_router()).collect();
    for route in &streams {
        for (name, who, token) in tokens() {
            let bearer = token.as_ref().map(|token| format!("Bearer {token}")).unwrap_or_default();
            let mut ways = vec![(route.asked.to_owned(), vec![])];
            if let Some(token) = &token {
                ways = vec![
                    (with_query(route.asked, token), vec![]),
                    (route.asked.to_owned(), vec![("authorization", bearer.as_str())]),
                ];
                if route.path == "/api/ws" {
                    ways.push((format!("/api/ws&token={token}"), vec![]));
                }
            }
            for (path, headers) in ways {
                let context = format!("{path} with {name}");
                let opened = shake(server.addr, &path, &headers).await;
                // A pusher may come in with the token that he pushes with.
                let expected = match (route.path, who) {
                    ("/api/websocket", Writer) => 101,
                    _ => route.open_for.status(who),
                };
                match opened {
                    Ok(client) => {
                        assert_eq!(101, expected, "{context}");
                        let is_stranger = match route.open_for {
                            AdminFrame => true,
                            _ => who == Nobody,
                        };
                        if is_stranger && !path.contains("EIO") {
                            strangers.push((context, client));
                        }
                    }
                    Err((status, said)) => {
                        assert_eq!(status, expected, "{context}: {said}");
                        is_unauthorized(&said, &context);
                        leaks_nothing(&said, token.as_deref(), &context);
                    }
                }
            }
        }
    }
    // Those who may still show a token: nothing comes before it, whatever is published, and whoever they say that they are.
    publish(&server).await;
    assert!(strangers.len() > 10, "{}", strangers.len());
    for (context, client) in &mut strangers {
        if !context.starts_with("/ws/admin") {
            for frame in
                [r#"{"action":"subscribe","user_id":"ana"}"#, r#"{"type":"subscribe","channels":["signals","prices"]}"#]
            {
                client.say(frame).await;
            }
            publish(&server).await;
        }
        let (said, end) = told(client).await;
        leaks_nothing(&said, None, context);
        // The first frame of an administrator's stream has to be his token.
        assert_eq!(end, context.starts_with("/ws/admin").then_some(1008), "{context}: {said}");
    }
    // A wrong token in a frame ends it.
    for (name, who, token) in
        tokens().into_iter().filter(|(_, who, _)| matches!(who, Impostor | Reader | Operator | Writer))
    {
        let token = token.unwrap();
        for (path, frame) in [
            ("/ws/earnings", json!({ "action": "subscribe", "token": token })),
            ("/ws/notifications", json!({ "action": "subscribe", "user_id": "ana", "token": token })),
            ("/ws/user/ana", json!({ "action": "subscribe", "token": token })),
            ("/api/websocket", json!({ "type": "auth", "token": token })),
            ("/ws/admin", json!({ "action": "subscribe", "admin_token": token })),
        ] {
            if matches!((path, who), ("/api/websocket", Writer) | ("/ws/admin", Operator)) {
                continue;
            }
            let mut client = shake(server.addr, path, &[]).await.unwrap();
            client.send(&frame).await;
            let (said, end) = told(&mut client).await;
            assert_eq!(end, Some(1008), "{path} with {name}: {said}");
            leaks_nothing(&said, Some(&token), path);
        }
        if who != Operator {
            let mut client = shake(server.addr, "/ws/admin", &[]).await.unwrap();
            client.say(token.as_str()).await;
            let (said, end) = told(&mut client).await;
            assert_eq!(end, Some(4003), "the bare token: {name}: {said}");
            leaks_nothing(&said, Some(&token), "/ws/admin");
        }
    }
    // An administrator's stream is no user's.
    let mut client = shake(server.addr, "/ws/admin", &[]).await.unwrap();
    client.send(&json!({ "action": "subscribe", "admin_token": token_of_audience("ana", Some(AUDIENCE)) })).await;
    assert_eq!(told(&mut client).await.1, Some(1008));
    no_complaints(&server);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_token_joins_a_namespace() {
    let server = server().await;
    for (name, who, token) in tokens() {
        let expected = matches!(who, User | Administrator | Reader);
        for namespace in ["", "/ws/signals,", "/ws/signals/,"] {
            let auth = token.as_ref().map_or(String::new(), |token| json!({ "token": token }).to_string());
            let connect = format!("40{namespace}{auth}");
            let mut socket = Socket::open(server.addr).await;
            socket.say(connect.as_str()).await;
            let mut polling = Polling::open(server.addr, Protocol::Eio4).await;
            polling.say(&connect).await;
            let answers = [soon("an answer", socket.next()).await.ok(), soon("an answer", polling.next()).await.ok()];
            for answer in answers {
                match answer {
                    Some(Packet::Connected) => assert!(expected, "{connect} with {name}"),
                    Some(Packet::Refused(reason)) => {
                        assert!(!expected, "{connect} with {name}: {reason}");
                        leaks_nothing(&reason.to_string(), token.as_deref(), name);
                    }
                    other => panic!("{connect} with {name}: {other:?}"),
                }
            }
            if expected || !namespace.is_empty() {
                continue;
            }
            // It stays out: an event that it sends is answered by nothing, and nothing that is published comes.
            for packet in [r#"42["subscribe"]"#, r#"42["subscribe",["user"]]"#] {
                socket.try_say(packet).await;
            }
            publish(&server).await;
            // Refused a second time, behind whatever would have come.
            if socket.try_say("40").await {
                match soon("an answer or the end", socket.next()).await {
                    Ok(Packet::Refused(_)) | Err(_) => {}
                    // Or the session has ended for what it said.
                    Ok(Packet::Other(close)) if close == "1" => {}
                    other => panic!("{name}: {other:?}"),
                }
            }
        }
    }
    // Clients of Socket.IO 2 are on the main namespace at once: with a token, in the query.
    let stream = async || TcpStream::connect(server.addr).await.unwrap();
    let mut old = Socket::asking(stream().await, server.addr, Protocol::Eio3, "", &[]).await;
    let answer = soon("an answer", old.next()).await;
    assert!(!matches!(answer, Ok(Packet::Connected)), "{answer:?}");
    leaks_nothing(&format!("{answer:?}"), None, "Socket.IO 2");
    let query = format!("&token={READ}");
    let mut old = Socket::asking(stream().await, server.addr, Protocol::Eio3, &query, &[]).await;
    old.connected().await;
    // A token of a user opens his own over it, and no other's.
    let ben = signed(
        "HS256",
        SECRET,
        &json!({ "sub": "ben", "aud": AUDIENCE, "exp": (wall() + TimeDelta::hours(1)).timestamp() }),
    );
    let mut socket = Socket::with_auth(server.addr, &json!({ "token": ben })).await;
    socket.connected().await;
    socket.emit("subscribe", &json!({ "channels": ["user"] })).await;
    let told = format!("{:?}", socket.until("subscribed").await);
    leaks_nothing(&told.replace("admin", ""), None, "another user");
    server.stop().await;
}
