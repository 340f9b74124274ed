//! `GET /api/replay`: a day of the log as a stream, in its order and at a speed, with bounds.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use orion_server::domain::{Bar, OutcomeClass, Signal, Symbol, TradeOutcome, iso, parse_time};
use orion_server::pipeline::clock::wall;
use orion_server::store::{Options, Store};
use orion_server::telemetry::Metrics;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::required::{AUDIENCE, READ};
use crate::support::dashboard::{EventStream, SentEvent};
use crate::support::users::{SECRET, get_as, signed};
use crate::support::{Server, signal, soon, store_options};

/// The day of the log, a Wednesday.
const DAY: &str = "2026-01-14";

/// A time of the day.
fn at(clock: &str) -> DateTime<Utc> {
    parse_time(&format!("{DAY}T{clock}Z")).unwrap()
}

/// A signal of the log after a change at a time.
fn changed(id: &str, status: &str, at: DateTime<Utc>) -> Arc<Signal> {
    let mut body = signal(id);
    body["status"] = json!(status);
    body["source"] = json!("push");
    for time in ["entry_time", "accepted_at", "updated_at"] {
        body[time] = json!(at);
    }
    body["expires_at"] = json!(at + TimeDelta::minutes(5));
    if status == "invalidated" {
        body["invalidation"] = json!("manual");
    }
    serde_json::from_value(body).unwrap()
}

fn bar(symbol: &str, opened_at: DateTime<Utc>, close: f64) -> Bar {
    let mut bar = Bar::opening(Symbol::new(symbol), opened_at, (close * 1e4 - 1.0).round() / 1e4, 3.0);
    bar.update(close, 0.0);
    bar
}

fn closed(signal: &Signal, at: DateTime<Utc>) -> TradeOutcome {
    TradeOutcome { closed_at: at, r: 1.4, ..TradeOutcome::unwatched(signal, OutcomeClass::Targets) }
}

async fn write(data: &Path, options: Options, bars: Vec<Bar>, events: Vec<Arc<Signal>>, records: Vec<TradeOutcome>) {
    let (store, _) = Store::open(data, options, Metrics::new().unwrap().into()).unwrap();
    store.save_bars(bars);
    store.append(events, Vec::new(), Vec::new()).await.unwrap();
    store.append_outcomes(records, Vec::new()).await.unwrap();
    store.close().await.unwrap();
}

/// A server with a day in its log: bars of three minutes, a signal that wins, one that is withdrawn, and one of the evening before
/// whose record is still open.
async fn server(dir: &Path, settings: &[(&str, &str)]) -> Server {
    let (a, evening) = (changed("a", "confirmed", at("07:02:00")), at("00:00:00") - TimeDelta::hours(4));
    let earlier = changed("earlier", "confirmed", evening);
    let bars = vec![
        bar("EURUSD", evening, 1.08),
        bar("EURUSD", at("07:00:00"), 1.0850),
        bar("XAUUSD", at("07:00:00"), 2350.5),
        bar("EURUSD", at("07:01:00"), 1.0853),
    ];
    let records = vec![closed(&a, at("07:03:30")), closed(&earlier, at("07:04:00"))];
    let events = vec![
        changed("earlier", "pending", evening - TimeDelta::minutes(1)),
        earlier,
        changed("a", "pending", at("07:01:10")),
        changed("b", "pending", at("07:01:20")),
        changed("b", "invalidated", at("07:01:50")),
        a,
    ];
    write(dir, store_options(), bars, events, records).await;
    let data = ("ORION_DATA_DIR", dir.to_str().unwrap());
    Server::start(&[&[data, ("ORION_SETUPS", "none")], settings].concat()).await
}

async fn open(server: &Server, query: &str) -> EventStream {
    EventStream::open(server.addr, &format!("/api/replay?{query}"), "").await.unwrap()
}

/// Everything until the stream ends.
async fn played(mut stream: EventStream) -> Vec<SentEvent> {
    let mut events = Vec::new();
    while let Some(event) = soon("the replay goes on", stream.next()).await {
        events.push(event);
    }
    events
}

/// An event in short: its id without the day, its name, and what it is about.
fn short(SentEvent { name, id, data }: &SentEvent) -> String {
    let about = match name.as_str() {
        "price_update" => format!("{} {}", data["symbol"], data["price"]),
        "signal" => format!("{} {}", data["id"], data["status"]),
        "outcome" => format!("{} {}", data["signal"], data["r"]),
        "killzone" => data["killzone"].to_string(),
        _ => String::new(),
    };
    format!("{} {name} {about}", id.get(11..).unwrap_or_default()).replace('"', "").trim().to_owned()
}

const MORNING: &str = "from=2026-01-14T07:00:00Z&to=2026-01-14T07:05:00Z&speed=3600";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_is_replayed_in_its_order() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]).await;
    let events = played(open(&server, &format!("{MORNING}&channels=prices,signals,clock")).await).await;
    let told: Vec<_> = events.iter().map(short).collect();
    let expected = [
        "signal earlier confirmed",
        "price_update EURUSD 1.08",
        "07:00:00.000Z replay_start",
        "07:00:00.000Z killzone london",
        "07:01:00.000Z price_update EURUSD 1.085",
        "07:01:00.000Z price_update XAUUSD 2350.5",
        "07:01:10.000Z signal a pending",
        "07:01:20.000Z signal b pending",
        "07:01:50.000Z signal b invalidated",
        "07:02:00.000Z price_update EURUSD 1.0853",
        "07:02:00.000Z signal a confirmed",
        "07:03:30.000Z outcome a 1.4",
        "07:04:00.000Z outcome earlier 1.4",
        "07:05:00.000Z replay_end",
    ];
    assert_eq!(told, expected);
    for SentEvent { name, data, .. } in &events {
        assert_eq!(data["replayed"], true, "{name}: {data}");
    }
    // The live stream's objects, with their own times.
    let price = &events[9].data;
    let minute = json!({"time": "2026-01-14T07:01:00.000Z", "open": 1.0852, "high": 1.0853, "low": 1.0852, "close": 1.0853, "volume": 3});
    assert_eq!((&price["bar"], &price["quality"]), (&minute, &json!("replayed")), "{price}");
    assert_eq!(
        (&price["timestamp"], &price["change"]),
        (&json!("2026-01-14T07:01:59.999Z"), &json!(0.0003)),
        "{price}"
    );
    let (_, life) = server.get("/api/signals/a").await;
    let mut now = life["signal"].clone();
    now["replayed"] = json!(true);
    assert_eq!(events[10].data, now, "its last state");
    assert_eq!(
        (&events[6].data["updated_at"], &events[6].data["invalidation"]),
        (&json!(iso(at("07:01:10"))), &Value::Null)
    );
    assert_eq!((&events[2].data["to"], &events[2].data["speed"]), (&json!(iso(at("07:05:00"))), &json!(3600)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_begins_with_the_state_of_its_moment() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]).await;
    let told = async |query: &str, last_event_id: &str| -> Vec<String> {
        let path = format!("/api/replay?{MORNING}&{query}");
        let events = played(EventStream::open(server.addr, &path, last_event_id).await.unwrap()).await;
        events.iter().map(short).collect()
    };
    // The slider, and a browser that connects again, begin in the middle.
    let middle = [
        "signal earlier confirmed",
        "price_update EURUSD 1.085",
        "price_update XAUUSD 2350.5",
        "signal a pending",
        "signal b invalidated",
        "07:01:50.000Z replay_start",
        "07:02:00.000Z price_update EURUSD 1.0853",
        "07:02:00.000Z signal a confirmed",
        "07:03:30.000Z outcome a 1.4",
        "07:04:00.000Z outcome earlier 1.4",
        "07:05:00.000Z replay_end",
    ];
    assert_eq!(told("", "2026-01-14T07:01:50.000Z").await, middle);
    // Symbols and filters are those of the live stream.
    let gold = ["price_update XAUUSD 2350.5", "07:04:30.000Z replay_start", "07:05:00.000Z replay_end"];
    assert_eq!(told("symbols=gold", "2026-01-14T07:04:30.000Z").await, gold);
    let confirmed = ["signal earlier confirmed", "07:01:50.000Z replay_start", "07:02:00.000Z signal a confirmed"];
    let found = told("channels=signals&statuses=confirmed", "2026-01-14T07:01:50.000Z").await;
    assert_eq!(found[..3], confirmed);
    let found = told("channels=signals&sources=ict", "").await;
    assert_eq!(found, ["07:00:00.000Z replay_start", "07:05:00.000Z replay_end"]);
    // After the end an `EventSource` is told not to come back.
    let again = server.http.get(server.url(&format!("/api/replay?{MORNING}")));
    let again = again.header("last-event-id", "2026-01-14T07:05:00.000Z").send().await.unwrap();
    assert_eq!((again.status().as_u16(), again.text().await.unwrap()), (204, String::new()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_day_takes_its_time_and_ends() {
    let server = Server::push_only().await;
    let began = Instant::now();
    let query = "from=2026-01-14T00:00:00Z&to=2026-01-14T01:00:00Z&speed=3600";
    let events = played(open(&server, query).await).await;
    assert_eq!(
        events.iter().map(short).collect::<Vec<_>>(),
        ["00:00:00.000Z replay_start", "01:00:00.000Z replay_end"]
    );
    let took = began.elapsed().as_secs_f64();
    assert!((1.0..5.0).contains(&took), "an hour at 3600 times took {took} s");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replays_are_limited_together() {
    let server = Server::start(&[("ORION_LIMITS__REPLAYS", "2")]).await;
    let slow = "from=2026-01-14T00:00:00Z&speed=1";
    let mut running = vec![open(&server, slow).await, open(&server, slow).await];
    for replay in &mut running {
        assert_eq!(soon("it begins", replay.next()).await.unwrap().name, "replay_start");
    }
    let labels = r#"endpoint="/api/replay",transport="sse""#;
    assert_eq!(server.metric("orion_connections", labels).await, 2.0);
    let refused = server.http.get(server.url(&format!("/api/replay?{slow}"))).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (503, "30"));
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["code"], "channel_full");
    assert!(
        refused["error"].as_str().unwrap().contains("no more than 2 replays run at a time (limits.replays)"),
        "{refused}"
    );
    drop(running.pop());
    server.until("orion_connections", labels, |running| running == 1.0).await;
    let again = open(&server, slow).await;
    // A server that stops says so, and keeps nobody waiting.
    server.stop().await;
    for mut replay in running.into_iter().chain([again]) {
        let last = soon("the end", async {
            let mut last = None;
            while let Some(event) = replay.next().await {
                last = Some(event);
            }
            last.unwrap()
        });
        let last = last.await;
        assert_eq!((last.name.as_str(), &last.data["code"]), ("close", &json!(1012)));
    }
    let off = Server::start(&[("ORION_LIMITS__REPLAYS", "0")]).await;
    assert_eq!(off.get(&format!("/api/replay?{slow}")).await.0, 503);
    off.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replay_cannot_give_is_refused() {
    let server = Server::start(&[("ORION_READ_TOKEN", READ), ("ORION_READ_AUTH", "required")]).await;
    let get = async |query: &str| server.get(&format!("/api/replay?{query}")).await;
    assert_eq!(get(MORNING).await.0, 401);
    assert_eq!(get(&format!("{MORNING}&token=wrong")).await.0, 401);
    let day = "from=2026-01-14T00:00:00Z";
    for (query, status, field) in [
        ("speed=60".to_owned(), 400, "from"),
        (format!("from={}", iso(wall() + TimeDelta::minutes(1))), 400, "from"),
        (format!("{day}&to=2026-01-22T00:00:00Z"), 400, "to"),
        (format!("{day}&speed=4000"), 400, "speed"),
        (format!("{day}&symbols=AAPL"), 422, "symbols"),
        (format!("{day}&min_confidence=2"), 400, "min_confidence"),
    ] {
        let (found, body) = get(&format!("token={READ}&{query}")).await;
        assert_eq!(found, status, "{query}: {body}");
        assert!(body["details"]["fields"].get(field).is_some(), "{query}: {body}");
    }
    let events = played(open(&server, &format!("{MORNING}&token={READ}")).await).await;
    assert_eq!(events.last().unwrap().name, "replay_end");
    server.stop().await;
}

/// Seconds before now that the clock of a log shows which is written for the past.
static BEFORE: AtomicI64 = AtomicI64::new(0);

fn earlier() -> DateTime<Utc> {
    wall() - TimeDelta::seconds(BEFORE.load(Ordering::SeqCst))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delayed_reader_replays_nothing_younger() {
    let dir = tempfile::tempdir().unwrap();
    // An event of two hours ago, and one of half an hour ago, each stored then.
    for (id, seconds) in [("old", 7_200), ("young", 1_800)] {
        BEFORE.store(seconds, Ordering::SeqCst);
        let then = earlier();
        let minute = DateTime::from_timestamp(then.timestamp() / 60 * 60 - 60, 0).unwrap();
        let (bars, signal) = (vec![bar("EURUSD", minute, 1.085)], changed(id, "confirmed", then));
        let record = closed(&signal, then);
        write(dir.path(), Options { clock: earlier, ..store_options() }, bars, vec![signal], vec![record]).await;
    }
    let server = Server::start(&[
        ("ORION_DATA_DIR", dir.path().to_str().unwrap()),
        ("ORION_READ_AUTH", "required"),
        ("ORION_JWT_SECRET", SECRET),
        ("ORION_AUTH__JWT_AUDIENCE", AUDIENCE),
    ])
    .await;
    let token = |delay: u32| {
        let exp = wall().timestamp() + 600;
        signed("HS256", SECRET, &json!({ "sub": "ana", "aud": AUDIENCE, "exp": exp, "delay": delay }))
    };
    let replay = async |token: &str, ago: i64| {
        let from = iso(wall() - TimeDelta::seconds(ago));
        played(open(&server, &format!("token={token}&from={from}&speed=3600")).await).await
    };
    let (late, prompt) = (token(3_600), token(0));
    let names = |events: &[SentEvent]| events.iter().map(|event| event.name.clone()).collect::<Vec<_>>();
    let events = replay(&late, 8_000).await;
    assert_eq!(names(&events), ["replay_start", "price_update", "signal", "outcome", "replay_end"]);
    assert_eq!(events[2].data["id"], "old");
    let end = parse_time(events[4].data["to"].as_str().unwrap()).unwrap();
    let age = (wall() - end).num_seconds();
    assert!((3_600..3_660).contains(&age), "it ends {age} s ago");
    // Others get all of it; and half an hour ago is not there for a late reader yet.
    let events = replay(&prompt, 8_000).await;
    assert_eq!(events.iter().filter(|event| event.name == "signal").count(), 2, "{:?}", names(&events));
    let (status, refused) =
        get_as(server.addr, &late, &format!("/api/replay?from={}", iso(wall() - TimeDelta::seconds(1_900)))).await;
    assert_eq!((status, &refused["details"]["fields"]["from"].is_string()), (400, &true), "{refused}");
    server.stop().await;
}
