//! Routes that read much: a crowd that asks costs little memory, and every request gets an answer.

use std::sync::Arc;
use std::time::Duration;

use orion_server::domain::{
    Direction, EntryOrder, Feed, Killzone, OutcomeClass, SetupKind, SignalId, SourceName, Symbol, TradeOutcome,
    parse_time,
};
use orion_server::store::Store;
use orion_server::telemetry::Metrics;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Server, signal, soon, store_options};

const RECORDS: usize = 10_000;
/// Requests at the same time.
const CROWD: usize = 100;
/// What the process may grow by while it answers them, in MB. A copy of the records for each would be 300.
const GROWTH: f64 = 80.0;

fn record(number: usize) -> TradeOutcome {
    let at = parse_time("2026-01-15T10:30:00Z").unwrap() + Duration::from_secs(number as u64);
    let r = if number.is_multiple_of(3) { 2.0 } else { -1.0 };
    TradeOutcome {
        signal: SignalId::new(&format!("a-signal-with-a-name-of-some-length-{number}")).unwrap(),
        symbol: Symbol::new(if number.is_multiple_of(2) { "EURUSD" } else { "XAUUSD" }),
        direction: Direction::Long,
        setup: Some(SetupKind::MssFvg),
        killzone: Killzone::London,
        source: SourceName::new("push"),
        confidence: 0.8,
        calibration: None,
        feed: Some(Feed::Live),
        entry: Some(1.085),
        stop: Some(1.082),
        fill: Some(1.085),
        confirmed_at: at,
        closed_at: at,
        class: if r > 0.0 { OutcomeClass::Targets } else { OutcomeClass::Stop },
        targets_hit: usize::from(r > 0.0),
        targets: 1,
        r,
        mfe: 2.0,
        mae: -1.0,
        gap_seconds: 0,
        order: EntryOrder::Market,
        net: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_asks_for_statistics_costs_little() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), store_options(), Metrics::new().unwrap().into()).unwrap();
    for first in (0..RECORDS).step_by(1_000) {
        store.append_outcomes((first..first + 1_000).map(record).collect(), Vec::new()).await.unwrap();
    }
    store.close().await.unwrap();
    drop(store);

    let server = Arc::new(Server::start_on(&dir, &[]).await);
    server.get("/api/signals").await;
    let before = server.resident();
    let mut crowd = JoinSet::new();
    for number in 0..CROWD {
        let server = server.clone();
        crowd.spawn(async move {
            // The same question of most, and many different ones.
            let since = parse_time("2026-01-15T10:30:00Z").unwrap() + Duration::from_secs((number / 4) as u64);
            let path = if number % 4 == 0 {
                format!("/api/stats?since={}", since.timestamp_millis())
            } else {
                "/api/stats".into()
            };
            let response = server.http.get(server.url(&path)).send().await.unwrap();
            let (status, retry) = (response.status().as_u16(), response.headers().contains_key("retry-after"));
            let body: serde_json::Value = response.json().await.unwrap();
            match status {
                200 if path == "/api/stats" => assert_eq!(body["all"]["trades"], RECORDS, "{body}"),
                200 => assert!(body["all"]["trades"].as_u64() > Some(RECORDS as u64 - 100), "{path}: {body}"),
                503 => assert!(retry && body["code"] == "overloaded", "{body}"),
                other => panic!("{other} for {path}: {body}"),
            }
            status
        });
    }
    let mut answered = 0;
    let watch = async {
        let mut most = before;
        loop {
            most = server.resident().max(most);
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
                joined = crowd.join_next() => match joined {
                    Some(status) => answered += usize::from(status.unwrap() == 200),
                    None => return most,
                },
            }
        }
    };
    let most = soon("everybody is answered", watch).await;
    assert!(answered > 0, "all were refused");
    eprintln!("{CROWD} requests for statistics of {RECORDS} records: {:.0} MB more", most - before);
    assert!(most - before < GROWTH, "{before:.0} MB before, {most:.0} MB meanwhile");

    // The kept answer is current.
    let (status, stats) = server.get("/api/stats").await;
    assert_eq!((status, &stats["all"]["trades"], &stats["open"]), (200, &json!(RECORDS), &json!(0)));
    server.push(&signal("new")).await;
    server.push(&json!({ "id": "new", "status": "confirmed" })).await;
    assert_eq!(server.get("/api/stats").await.1["open"], 1);
}
