//! The routes over a real engine, log and hub, with a minimal pipeline between them.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use chrono::{DateTime, Utc};
use futures_util::{FutureExt, future};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::{Layer, ServiceExt};
use utoipa_axum::router::OpenApiRouter;

use super::*;
use crate::config::{AllowedOrigins, Auth, ReadAuth, Secret};
use crate::dashboards::aria::Aria;
use crate::dashboards::{self, Dashboard};
use crate::domain::{Bar, Event, Now, Position, Symbol, WallClock, parse_time};
use crate::engine::Engine;
use crate::hub::Envelope;
use crate::ingest::metatrader::MetaTrader;
use crate::ingest::tradingview::TradingView;
use crate::listener::{Listener, ListenerConfig};
use crate::pipeline::{self, Feeds, Handle};
use crate::store::{self, Store};
use crate::tasks::Tasks;
use crate::telemetry::SourceStates;
use crate::transport::ChannelCap;
use crate::transport::delayed::Delays;
use crate::transport::lane::Fanout;

mod detections;
mod dry_run;
mod events;
mod recomputations;
mod stats;

const TTL: Duration = Duration::from_mins(5);

fn now() -> DateTime<Utc> {
    parse_time("2026-01-15T10:30:00.000Z").unwrap()
}

pub(crate) struct Server {
    app: Router,
    state: AppState,
    store: Arc<Store>,
    _dir: TempDir,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with(ReadAuth::Open)
    }

    pub(crate) fn with(read_auth: ReadAuth) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let options = store::Options {
            signal_retention: Duration::from_hours(24 * 365 * 100),
            bar_retention: Duration::from_hours(24 * 365 * 100),
            recent_since: now(),
            messages_per_user: 50,
            message_retention: Duration::from_hours(24 * 365 * 100),
            max_messages: 1_000_000,
            upgrade_backup: true,
            message_type: crate::app::message_type,
            clock: now,
        };
        let (store, recovered) = Store::open(dir.path(), options, metrics.clone()).unwrap();
        let store = Arc::new(store);
        let instruments = Arc::new(Instruments::new(Instruments::documented()).unwrap());
        let hub = Arc::new(Hub::new(recovered.position, Duration::from_mins(10), 50, metrics.clone()));
        let handle = pipeline(instruments.clone(), store.clone(), hub.clone());
        let secret = |token| Some(Secret::new(token));
        let auth = Auth {
            admin_token: secret("admin"),
            ingest_token: secret("in"),
            read_token: secret("out"),
            read_auth,
            ..Auth::default()
        };
        let push = Push::new(handle.clone(), instruments.clone(), Arc::new(now), metrics.clone());
        let states = SourceStates::new(&metrics);
        let (clock, settings): (WallClock, _) = (Arc::new(now), crate::config::TradingviewSettings::default());
        let alerts =
            TradingView::new(push.clone(), instruments.clone(), clock.clone(), metrics.clone(), states.clone());
        let tokens = Arc::new(Tokens::new(&auth, now));
        let gateway = Arc::new(Gateway {
            hub: hub.clone(),
            fanout: Fanout::new(1, Vec::new(), metrics.clone()),
            log: store.reader(),
            push: push.clone(),
            published: Arc::new(crate::app::published_types()),
            handle,
            readiness: Arc::default(),
            instruments: instruments.clone(),
            tokens: tokens.clone(),
            open_users: OpenUsers::Only(std::collections::BTreeSet::default()),
            origins: serde_json::from_value(json!("*")).unwrap(),
            heartbeat: crate::config::HeartbeatSettings::default(),
            channels: Arc::new(ChannelCap::new(0)),
            limits: crate::config::Live::default(),
            metrics: metrics.clone(),
            tasks: Tasks::new(),
            draining: tokio_util::sync::CancellationToken::default(),
            delay: crate::domain::Delay::NONE,
            delays: Arc::new(Delays::new(now, crate::app::message_type, false)),
        });
        let state = AppState {
            metatrader: MetaTrader::new(push.clone(), instruments.clone(), clock, metrics.clone(), states.clone()),
            states,
            feeds: Feeds::default(),
            connections: Listener::new(ListenerConfig::default(), Tasks::new(), metrics.as_ref().clone()).registry(),
            tradingview: Webhook::new(&settings, alerts),
            push,
            tokens,
            gateway,
            admin_code: Arc::default(),
            start: Arc::default(),
            open_users: OpenUsers::Only(["demo".into()].into()),
            reads: ReadLimit::new(16, metrics.clone()),
            reload: Arc::new(|_| future::ready(Err("log.filter: must not be empty".to_owned())).boxed()),
            swing_length: 2,
            recomputations: Recomputations::new(&metrics),
            tick_retention: Duration::from_hours(7 * 24),
            stats: Arc::new(StatsCache::new(metrics.clone())),
            published: Arc::new(crate::app::published_types()),
            streams: Arc::default(),
            metrics,
            notices: crate::notify::Notices::off(instruments.clone(), Arc::new(now)),
            instruments,
            hub,
            history: store.reader(),
            readiness: Arc::default(),
            agents: None,
            cluster: None,
            log_key: Arc::new(crate::record::LogKey::of_file(&dir.path().join("log.key")).unwrap()),
            clock: Arc::new(now),
            started: Instant::now(),
        };
        let streams = Router::new().route("/panic", get(async || -> &'static str { panic!("for the test") }));
        let routes = dashboards::test_routes(&state.reads);
        Self { app: router(state.clone(), routes, streams), state, store, _dir: dir }
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.app.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.send(request(Method::GET, path).body(Body::empty()).unwrap()).await).await
    }

    async fn write(&self, method: Method, path: &str, body: impl ToString) -> (StatusCode, Value) {
        let request = request(method, path).header("authorization", "Bearer in");
        answer(self.send(request.body(Body::from(body.to_string())).unwrap()).await).await
    }

    pub(crate) async fn push(&self, body: Value) -> (StatusCode, Value) {
        self.write(Method::POST, "/api/signals", body).await
    }
}

/// Runs the engine, then the log, then the hub, as the real pipeline does, but without its timers.
fn pipeline(instruments: Arc<Instruments>, store: Arc<Store>, hub: Arc<Hub>) -> Handle {
    let (handle, mut requests) = Handle::channel();
    Tasks::new().spawn_connection(async move {
        let mut engine = Engine::new(instruments, TTL, 5);
        while let Some(pipeline::Request { input, answer, .. }) = requests.recv().await {
            let outcome = engine.process(input, Now { wall: now(), mono: Duration::ZERO });
            let signals: Vec<_> = outcome.changes.iter().map(|change| change.signal.clone()).collect();
            if !signals.is_empty() {
                let first = store.append(signals.clone(), Vec::new(), Vec::new()).await.unwrap().first_signal;
                let epoch = hub.position().epoch;
                let at = |seq| Position { epoch: epoch.clone(), seq };
                let batch: Vec<_> = (first..).zip(signals).collect();
                let ordered = |(seq, signal)| Arc::new(Envelope::placed(Event::Signal(signal), at(seq)));
                hub.publish(&batch.into_iter().map(ordered).collect::<Vec<_>>());
            }
            let prices = engine.publish(Now { wall: now(), mono: Duration::ZERO });
            let state = |price| Arc::new(Envelope::unplaced(Event::Price(price)));
            hub.publish(&prices.into_iter().map(state).collect::<Vec<_>>());
            if let Some(to) = answer {
                to.send(outcome.answer.map_err(Into::into)).ok();
            }
        }
    });
    handle
}

fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path)
}

async fn answer(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body))))
}

fn signal(id: &str) -> Value {
    json!({
        "id": id, "side": "LONG", "symbol": "EUR/USD", "time": "2026-01-15T10:30:00Z", "price": "1.0850", "sl": 1.082,
        "tp": [1.088, 1.092], "confidence": 85, "killzone": "London Open", "reason": "MSS+FVG setup"
    })
}

fn error(error: &str, code: &str) -> Value {
    json!({ "error": error, "code": code })
}

#[tokio::test]
async fn a_pushed_signal_can_be_read() {
    let server = Server::new();
    let (status, pushed) = server.push(signal("a b/ü")).await;
    assert_eq!(status, StatusCode::OK, "{pushed}");
    let (status, page) = server.get("/api/signals").await;
    let object = json!({
        "id": "a b/ü", "status": "pending", "direction": "long", "symbol": "EURUSD",
        "entry_time": "2026-01-15T10:30:00.000Z", "entry_price": 1.085, "stop_loss": 1.082,
        "take_profits": [1.088, 1.092], "tp_modes": [], "reason": "MSS+FVG setup", "confidence": 0.85,
        "rr_target": 2.33, "killzone": "london", "killzone_active": false, "price": 1.085,
        "updated_at": "2026-01-15T10:30:00.000Z", "expires_at": "2026-01-15T10:35:00.000Z", "invalidation": null,
        "source": "push"
    });
    let epoch = server.state.hub.position().epoch;
    let cursor = |seq: u64| format!("{epoch}:{seq}");
    assert_eq!((status, page), (StatusCode::OK, json!({"signals": [object], "cursor": cursor(1), "next": null})));

    let path = "/api/signals/a%20b%2F%C3%BC";
    let end = json!({"status": "invalidated", "reason": "news"});
    let (status, ended) = server.write(Method::PATCH, path, &end).await;
    assert_eq!(
        (status, &ended["status"], &ended["signal_id"]),
        (StatusCode::OK, &json!("invalidated"), &json!("a b/ü"))
    );
    let (status, life) = server.get(path).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(life["signal"]["invalidation"], "news");
    assert_eq!(
        life["history"],
        json!([
            {"status": "pending", "at": "2026-01-15T10:30:00.000Z", "reason": null, "source": "push", "cursor": cursor(1)},
            {"status": "invalidated", "at": "2026-01-15T10:30:00.000Z", "reason": "news", "source": "push",
             "cursor": cursor(2)}
        ])
    );
    let terminal = json!({
        "error": "The signal is invalidated already and cannot change any more", "code": "signal_terminal",
        "details": {"status": "invalidated"}
    });
    let (status, conflict) = server.write(Method::PATCH, path, json!({"status": "confirmed"})).await;
    assert_eq!((status, conflict), (StatusCode::CONFLICT, terminal));
}

#[tokio::test]
async fn history_is_filtered_and_paged() {
    let server = Server::new();
    for id in ["a", "b", "c"] {
        server.push(signal(id)).await;
    }
    let gold = json!({"id": "d", "side": "sell", "symbol": "GOLD", "killzone": "pm", "status": "confirmed"});
    server.push(gold).await;
    let ids = async |query: &str| {
        let (status, page) = server.get(&format!("/api/signals?{query}")).await;
        assert_eq!(status, StatusCode::OK, "{query}: {page}");
        let ids: Vec<&str> = page["signals"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap()).collect();
        (ids.join(""), page["next"].as_str().map(ToOwned::to_owned))
    };
    assert_eq!(ids("").await.0, "dcba");
    assert_eq!(ids("status=CONFIRMED").await.0, "d");
    assert_eq!(ids("symbol=eurusd&status=").await.0, "cba");
    assert_eq!(ids("killzone=NY%20PM&unknown=1").await.0, "d");
    let (first, next) = ids("limit=3").await;
    assert_eq!(first, "dcb");
    assert_eq!(ids(&format!("limit=3&before={}", next.unwrap())).await, ("a".into(), None));
    let epoch = server.state.hub.position().epoch;
    assert_eq!(ids(&format!("since={epoch}:2")).await.0, "dc");
    assert_eq!(ids("since=2026-01-15T10:29:59Z").await.0, "dcba");
    assert_eq!(ids("since=2026-01-15T10:30:00Z").await.0, "");
}

#[tokio::test]
async fn bad_parameters_are_all_named() {
    let server = Server::new();
    let query = "status=open&symbol=US300&killzone=sydney&since=other:1&before=x&limit=501";
    let (status, body) = server.get(&format!("/api/signals?{query}")).await;
    assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!("validation_failed")));
    assert_eq!(
        body["details"]["fields"],
        json!({
            "status": "must be pending, confirmed or invalidated", "symbol": "unknown symbol 'US300'",
            "killzone": "must be asia, london, ny_am, lunch, pm", "since": "must be a cursor of this server or a time",
            "before": "must be the `next` of the page before", "limit": "must be a number from 1 to 500"
        })
    );
    let (status, body) = server.get("/api/signals?symbol=US300").await;
    assert_eq!((status, &body["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("unknown_symbol")));
    let (status, body) = server.get("/api/bars?interval=2m&limit=0").await;
    assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &json!("Invalid fields: symbol, interval, limit")));
    assert_eq!(
        server.get("/api/signals/none").await,
        (StatusCode::NOT_FOUND, error("No signal has this id", "signal_not_found"))
    );
}

#[tokio::test]
async fn prices_bars_and_instruments() {
    let server = Server::new();
    let body = json!({"prices": [
        {"symbol": "GOLD", "bid": 2500.1, "ask": 2500.3, "volume": 3}, {"symbol": "EURUSD", "price": 1.0852}
    ]});
    let accepted = json!({"success": true, "message": "Price updates received", "accepted": 2});
    assert_eq!(server.write(Method::POST, "/api/prices", body).await, (StatusCode::OK, accepted));
    let (_, body) = server.get("/api/prices").await;
    let prices: Vec<_> = body["prices"].as_array().unwrap().iter().map(|p| (&p["symbol"], &p["price"])).collect();
    assert_eq!(prices, [(&json!("EURUSD"), &json!(1.0852)), (&json!("XAUUSD"), &json!(2500.2))]);

    let opened_at = parse_time("2026-01-15T10:29:00Z").unwrap();
    server.store.save_bars(vec![Bar::opening(Symbol::new("EURUSD"), opened_at, 1.085, 2.0)]);
    let (mut status, mut body) = server.get("/api/bars?symbol=EUR_USD&interval=5m").await;
    for _ in 0..200 {
        if body["bars"] != json!([]) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        (status, body) = server.get("/api/bars?symbol=EUR_USD&interval=5m").await;
    }
    let bar = json!({
        "time": "2026-01-15T10:25:00.000Z", "open": 1.085, "high": 1.085, "low": 1.085, "close": 1.085, "volume": 2
    });
    assert_eq!((status, body), (StatusCode::OK, json!({"symbol": "EURUSD", "interval": "5m", "bars": [bar]})));

    let (_, body) = server.get("/api/instruments").await;
    assert_eq!(body["instruments"].as_array().unwrap().len(), 7);
    assert_eq!(
        body["instruments"][0],
        json!({
            "symbol": "EURUSD", "name": "Euro / US Dollar", "class": "forex", "digits": 5, "tick_size": 0.00001,
            "aliases": ["FXIDC:EURUSD", "EURUSD=X"]
        })
    );
}

#[tokio::test]
async fn the_windows_of_a_span_are_listed() {
    let server = Server::new();
    let (status, clock) = server.get("/api/killzones?from=2026-01-15T08:00:00Z&to=2026-01-15T14:30:00Z").await;
    let window = json!({"killzone": "london", "from": "2026-01-15T07:00:00.000Z", "to": "2026-01-15T10:00:00.000Z"});
    assert_eq!((status, &clock["windows"]), (StatusCode::OK, &json!([window])));
    assert!(server.get("/api/killzones").await.1.get("windows").is_none());
    for query in ["from=x", "from=2026-01-15T08:00:00Z", "to=2026-01-15T08:00:00Z", "from=2026-01-01&to=2026-05-01"] {
        let (status, refused) = server.get(&format!("/api/killzones?{query}")).await;
        assert_eq!((status, &refused["code"]), (StatusCode::BAD_REQUEST, &json!("validation_failed")), "{query}");
    }
}

#[tokio::test]
async fn the_killzone_clock_says_what_comes_next() {
    let (status, clock) = Server::new().get("/api/killzones").await;
    assert_eq!(status, StatusCode::OK);
    let at = "2026-01-15T14:30:00.000Z";
    assert_eq!(clock["new_york"], "2026-01-15T05:30:00.000-05:00");
    assert_eq!(
        (&clock["killzone"], &clock["changes_at"], &clock["seconds_to_change"]),
        (&Value::Null, &json!(at), &json!(14_400))
    );
    assert_eq!(clock["next"], json!({"killzone": "ny_am", "begins_at": at, "seconds": 14_400}));
    assert_eq!(clock["killzones"][0], json!({"killzone": "asia", "begins": "20:00", "ends": "24:00"}));
    assert_eq!(clock["clocks_differ"], false);
    assert_eq!(clock["weeks_apart"][0], json!({"from": "2026-03-08T07:00:00.000Z", "to": "2026-03-29T01:00:00.000Z"}));
    let forex = json!({
        "symbol": "EURUSD", "session": "forex", "hours": "Sunday 17:00 to Friday 17:00", "is_open": true,
        "changes_at": "2026-01-16T22:00:00.000Z"
    });
    assert_eq!((clock["markets"].as_array().unwrap().len(), &clock["markets"][0]), (7, &forex));
}

#[tokio::test]
async fn writing_needs_its_token() {
    let server = Server::new();
    let post = async |authorization: Option<&str>| {
        let mut request = request(Method::POST, "/api/signals?token=in");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let response = server.send(request.body(Body::from("not read")).unwrap()).await;
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        answer(response).await
    };
    let unauthorized = |text| (StatusCode::UNAUTHORIZED, error(text, "unauthorized"));
    assert_eq!(post(None).await, unauthorized("A token is needed: Authorization: Bearer <token>"));
    assert_eq!(post(Some("Basic aW4=")).await, unauthorized("Invalid authorization format"));
    assert_eq!(post(Some("Bearer wrong")).await, unauthorized("Invalid token"));

    let mut state = server.state.clone();
    state.tokens = Arc::new(Tokens::new(&Auth::default(), now));
    let app = router(state, OpenApiRouter::new(), Router::new());
    let request =
        request(Method::POST, "/api/prices").header("authorization", "Bearer in").body(Body::empty()).unwrap();
    let text = "Refused: the server has no token for this; its operator sets ORION_INGEST_TOKEN";
    assert_eq!(answer(app.oneshot(request).await.unwrap()).await, unauthorized(text));
}

#[tokio::test]
async fn reading_needs_a_token_only_where_required() {
    let server = Server::with(ReadAuth::Required);
    let get = async |path: &str, token: &str| {
        let request = request(Method::GET, path).header("authorization", format!("Bearer {token}"));
        server.send(request.body(Body::empty()).unwrap()).await.status()
    };
    for path in ["/api/signals", "/api/signals/a", "/api/prices", "/api/bars", "/api/instruments", "/metrics"] {
        assert_eq!(server.get(path).await.0, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(get(path, "in").await, StatusCode::UNAUTHORIZED, "{path}");
        assert_ne!(get(path, "out").await, StatusCode::UNAUTHORIZED, "{path}");
    }
    for path in ["/health", "/"] {
        assert_eq!(server.get(path).await.0, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn every_error_is_json() {
    let server = Server::new();
    let post = async |content_type: &str, body: Vec<u8>| {
        let request = request(Method::POST, "/api/signals").header("authorization", "Bearer in");
        answer(server.send(request.header("content-type", content_type).body(Body::from(body)).unwrap()).await).await
    };
    let large = vec![b' '; 64 * 1024 + 1];
    let text = "The body must be JSON: Content-Type: application/json";
    assert_eq!(
        post("application/x-www-form-urlencoded", b"a=b".to_vec()).await,
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, error(text, "unsupported_media_type"))
    );
    assert_eq!(
        post("application/json", large.clone()).await,
        (StatusCode::PAYLOAD_TOO_LARGE, error("The body must not be larger than 65536 bytes", "payload_too_large"))
    );
    let text = "The body is not valid JSON: key must be a string at line 1 column 2";
    let invalid = (StatusCode::BAD_REQUEST, error(text, "invalid_json"));
    assert_eq!(post("application/vnd.orion+json; charset=utf-8", b"{1}".to_vec()).await, invalid);
    assert_eq!(post("text/plain", b"{}".to_vec()).await.1["code"], "validation_failed");
    for bad in [b"".to_vec(), b"\xff\"".to_vec(), b"[".repeat(60_000), b"{\"id\":NaN}".to_vec()] {
        assert_eq!(post("application/json", bad).await.1["code"], "invalid_json");
    }
    let (status, _) = server.write(Method::POST, "/api/prices", String::from_utf8(large).unwrap()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "a batch may be larger");

    assert_eq!(server.get("/nothing").await, (StatusCode::NOT_FOUND, error("There is nothing here", "not_found")));
    let response = server.send(request(Method::DELETE, "/api/signals").body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()["allow"], "GET,HEAD,POST");
    let not_allowed = (StatusCode::METHOD_NOT_ALLOWED, error("Method not allowed", "method_not_allowed"));
    assert_eq!(answer(response).await, not_allowed);
    let (status, body) = server.get("/api/signals/%FF").await;
    assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")));
    let panicked = (StatusCode::INTERNAL_SERVER_ERROR, error("Something went wrong here", "internal"));
    assert_eq!(server.get("/panic").await, panicked);
}

#[tokio::test]
async fn a_large_body_still_gets_its_answer() {
    let server = Server::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/prices", listener.local_addr().unwrap());
    let app = server.app.clone();
    Tasks::new().spawn_connection(async move { axum::serve(listener, app).await.unwrap() });
    for _ in 0..10 {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let post = client.post(&url).bearer_auth("in").body(vec![b' '; 900 * 1024]);
        let answer = post.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 413);
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], "payload_too_large");
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_body_times_out() {
    let server = Server::new();
    let never = Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let request = request(Method::POST, "/api/signals").header("authorization", "Bearer in").body(never).unwrap();
    let answer = answer(server.send(request).await).await;
    assert_eq!(answer, (StatusCode::REQUEST_TIMEOUT, error("The body did not arrive", "request_timeout")));
}

#[tokio::test]
async fn a_push_error_names_its_faults() {
    let server = Server::new();
    let (status, body) = server.push(json!({"id": "a", "status": "confirmed"})).await;
    assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &json!("signal_not_found")));
    let (status, body) = server.push(json!({"id": "a", "symbol": "ABC", "side": "buy"})).await;
    assert_eq!((status, &body["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("unknown_symbol")));
    let wrong = json!({"id": "a", "symbol": "ABC", "side": "up", "price": 1, "sl": 2});
    let (status, body) = server.push(wrong).await;
    assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &json!("Invalid fields: side, symbol")));
    let levels = json!({"id": "a", "symbol": "EURUSD", "side": "buy", "price": 1, "sl": 2});
    let (status, body) = server.push(levels).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(body["details"]["fields"], json!({"sl": "must be below the entry price of a long signal"}));
    let (_, page) = server.get("/api/signals").await;
    assert_eq!(page["signals"], json!([]));
}

#[tokio::test]
async fn readiness_follows_the_phase_and_degraded_parts() {
    let server = Server::new();
    let unavailable = |status| (StatusCode::SERVICE_UNAVAILABLE, json!({"status": status}));
    assert_eq!(server.get("/ready").await, unavailable("starting"));
    server.state.readiness.set(crate::telemetry::Phase::Serving);
    assert_eq!(server.get("/ready").await, (StatusCode::OK, json!({"status": "ok", "reasons": [], "parts": {}})));
    server.state.readiness.add_check("sources", || None);
    server.state.readiness.add_check("disk", || Some("disk full".into()));
    let parts = json!({"sources": {"status": "ok"}, "disk": {"status": "degraded", "reason": "disk full"}});
    let degraded = json!({"status": "degraded", "reasons": ["disk full"], "parts": parts});
    assert_eq!(server.get("/ready").await, (StatusCode::OK, degraded));
    server.state.readiness.set(crate::telemetry::Phase::Draining);
    assert_eq!(server.get("/ready").await, unavailable("draining"));
    let (status, health) = server.get("/health").await;
    let version = env!("CARGO_PKG_VERSION");
    let alive = json!({"protocol": 1, "status": "OK", "timestamp": "2026-01-15T10:30:00.000Z", "version": version, "uptime_seconds": 0});
    assert_eq!((status, health), (StatusCode::OK, alive));
}

#[tokio::test]
async fn requests_are_counted_and_named() {
    let server = Server::new();
    let with_id = async |id: &str| {
        let request = request(Method::GET, "/health").header("x-request-id", id).body(Body::empty()).unwrap();
        let response = server.send(request).await;
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(response.headers()["cache-control"], "no-store");
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(with_id("fly-01.a_B").await, "fly-01.a_B");
    for strange in ["", "a b", &"x".repeat(65)] {
        assert_eq!(with_id(strange).await.len(), 36, "{strange}");
    }
    server.get("/api/signals/secret-id?token=secret").await;
    server.get("/secret").await;
    let text = server.get("/metrics").await.1;
    let text = text.as_str().unwrap();
    for line in [
        "orion_http_requests_total{method=\"GET\",route=\"/health\",status=\"200\"} 4",
        "orion_http_requests_total{method=\"GET\",route=\"/api/signals/{id}\",status=\"404\"} 1",
        "orion_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn the_console_is_served_or_explains_its_build() {
    let server = Server::new();
    let response = server.send(request(Method::GET, "/").body(Body::empty()).unwrap()).await;
    let headers = response.headers().clone();
    let page = answer(response).await.1;
    let page = page.as_str().unwrap();
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(headers["cache-control"], "no-cache");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert!(headers["content-security-policy"].to_str().unwrap().contains("default-src 'self'"));
    let Some(etag) = headers.get("etag") else {
        assert!(page.contains("npm ci"), "{page}");
        return;
    };
    assert!(page.contains("console.js"), "{page}");
    let known = format!("\"other\", {}", etag.to_str().unwrap());
    let again = request(Method::GET, "/").header("if-none-match", known).body(Body::empty()).unwrap();
    let again = server.send(again).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(again.headers()["cache-control"], "no-cache");
    let script = server.send(request(Method::GET, "/console.js").body(Body::empty()).unwrap()).await;
    assert!(script.headers()["content-type"].to_str().unwrap().contains("javascript"));
}

/// Sends a request through the CORS layer.
pub(crate) async fn through_cors(allowed: &str, request: Request<Body>) -> Response<Body> {
    let origins: AllowedOrigins = serde_json::from_value(json!(allowed)).unwrap();
    let inner =
        tower::service_fn(async |_: Request<Body>| Ok::<_, std::convert::Infallible>(Response::new(Body::empty())));
    let response = super::cors::layer(origins, Aria.token_headers(), Aria.credentialed_paths().to_vec())
        .layer(inner)
        .oneshot(request)
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response
}

/// Returns the CORS headers of a request from a page of `origin`.
async fn cors(allowed: &str, origin: &str, method: &str, path: &str, asks: Option<&str>) -> [Option<String>; 3] {
    let mut request = Request::builder().method(method).uri(path).header("origin", origin);
    if let Some(asks) = asks {
        request = request.header("access-control-request-method", asks);
    }
    let response = through_cors(allowed, request.body(Body::empty()).unwrap()).await;
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    ["access-control-allow-origin", "access-control-allow-methods", "vary"].map(header)
}

#[tokio::test]
async fn reading_is_open_and_writing_needs_listed_origins() {
    let (any, listed) = ("*", "*,https://a.example");
    let text = |value: &str| Some(value.to_owned());
    let (a, b) = ("https://a.example", "https://b.example");
    let denied = [None, None, text("Origin")];
    let everyone = [text("*"), None, None];

    for (allowed, origin) in [(any, a), (any, "null"), (listed, b)] {
        assert_eq!(cors(allowed, origin, "GET", "/api/signals", None).await, everyone);
        assert_eq!(cors(allowed, origin, "POST", "/api/signals", None).await, denied);
        for asks in ["POST", "PATCH", "DELETE"] {
            assert_eq!(cors(allowed, origin, "OPTIONS", "/api/signals", Some(asks)).await, denied, "{asks}");
        }
        let read = [text("*"), text("GET, HEAD"), None];
        assert_eq!(cors(allowed, origin, "OPTIONS", "/api/signals", Some("GET")).await, read);
    }
    let write = [text(a), text("GET, HEAD, POST, PATCH, PUT, DELETE"), text("Origin")];
    assert_eq!(cors(listed, a, "OPTIONS", "/api/signals", Some("POST")).await, write);
    assert_eq!(cors(listed, a, "POST", "/api/signals", None).await, [text(a), None, text("Origin")]);
    assert_eq!(cors(a, a, "GET", "/api/signals", None).await, [text(a), None, text("Origin")]);
    assert_eq!(cors(a, b, "GET", "/api/signals", None).await, denied);
    assert_eq!(cors(any, a, "POST", "/socket.iox", None).await, denied);
}

#[tokio::test]
async fn socketio_accepts_credentials_from_every_allowed_page() {
    let asked = async |allowed: &str, origin: Option<&str>, method: &str, path: &str| {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let request = request.header("access-control-request-method", "POST").body(Body::empty()).unwrap();
        let response = through_cors(allowed, request).await;
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        ["access-control-allow-origin", "access-control-allow-credentials", "vary"].map(header)
    };
    let page = "https://dash.example";
    for (allowed, origin) in
        [("*", page), (page, page), ("*", "null"), ("null", "null"), ("file://", "file://"), ("*,file://", "file://")]
    {
        for (method, path) in [
            ("GET", "/socket.io/?EIO=4&transport=polling"),
            ("POST", "/socket.io/?EIO=4&transport=polling&sid=x"),
            ("OPTIONS", "/socket.io/?EIO=4&transport=polling"),
            ("POST", "/ws/signals/?EIO=3"),
            ("GET", "/ws/signals?EIO=4"),
        ] {
            let echoed = [Some(origin.to_owned()), Some("true".to_owned()), Some("Origin".to_owned())];
            assert_eq!(asked(allowed, Some(origin), method, path).await, echoed, "{allowed}: {method} {path}");
        }
    }
    let nothing = [None, None, Some("Origin".to_owned())];
    for (allowed, origin) in [(page, Some("https://other.example")), (page, Some("null")), ("null", Some(page))] {
        assert_eq!(asked(allowed, origin, "GET", "/socket.io/?EIO=4").await, nothing, "{allowed}");
    }
    assert_eq!(asked("*", None, "GET", "/socket.io/?EIO=4").await, nothing, "no page asks");
}
