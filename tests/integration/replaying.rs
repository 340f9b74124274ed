//! Recordings, replayed through the whole way.

use std::path::Path;

use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};

use crate::support::{Native, Server, decimals, signal, soon};

/// Ticks that were recorded at a real broker; not everybody has them.
const RECORDED: &str = "/work/shared/domain/data/eurusd_ticks_oanda_20140508_1100_1500.csv";

/// A row of the file, as its numbers and its time are told by the server.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    at: i64,
    bid: f64,
    ask: f64,
}

fn rows(csv: &str) -> Vec<Row> {
    let row = |line: &str| {
        let fields: Vec<_> = line.split(',').collect();
        let at = DateTime::parse_from_rfc3339(fields[0]).unwrap().timestamp_millis();
        Row { at, bid: fields[1].parse().unwrap(), ask: fields[2].parse().unwrap() }
    };
    csv.lines().skip(1).map(row).collect()
}

/// A tick a second for ten minutes, each with a price of its own.
fn written() -> String {
    let begin = DateTime::parse_from_rfc3339("2014-05-08T11:00:00.250Z").unwrap();
    let row = |second: i64| {
        let at = (begin + TimeDelta::seconds(second)).format("%Y-%m-%dT%H:%M:%S%.3fZ");
        format!("{at},1.39{second:03},1.39{:03}\n", second + 7)
    };
    format!("time,bid,ask\n{}", (100..700).map(row).collect::<String>())
}

/// Replays `csv` and checks every price that is published until the last one. Returns how many different ones there were.
async fn replay(csv: &str, speed: &str, interval: &str) -> usize {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), csv).unwrap();
    let rows = rows(csv);
    let last = rows.last().unwrap();
    let server = Server::start(&[
        ("ORION_SOURCES", "replay"),
        ("ORION_REPLAY_FILE", file.path().to_str().unwrap()),
        ("ORION_REPLAY_SYMBOL", "EUR/USD"),
        ("ORION_REPLAY_SPEED", speed),
        ("ORION_PUBLISH_INTERVAL", interval),
    ])
    .await;
    let mut client = Native::connect(server.addr, "/ws/signals").await;
    for (path, body) in
        [("/api/signals", signal("meanwhile")), ("/api/prices", json!({"symbol": "EURUSD", "price": 1.1}))]
    {
        let (status, answer) = server.post(path, &body).await;
        assert_eq!((status, &answer["code"]), (503, &"replaying".into()), "{answer}");
    }
    let (mut at, mut different) = (0, 0);
    loop {
        let frame = client.frame("price_update").await;
        let price = &frame["payload"];
        let told = Row { at: told_at(price), bid: price["bid"].as_f64().unwrap(), ask: price["ask"].as_f64().unwrap() };
        let Some(found) = rows[at..].iter().position(|row| *row == told) else {
            panic!("not in the file, or before row {at}: {frame}");
        };
        different += usize::from(found > 0 || different == 0);
        at += found;
        assert_eq!((&price["symbol"], &price["quality"]), (&"EURUSD".into(), &"replayed".into()), "{frame}");
        assert_eq!(price["source"], "replay", "{frame}");
        for field in ["price", "bid", "ask", "change"] {
            assert!(decimals(&price[field].to_string()) <= 5, "{frame}");
        }
        if told == *last {
            break;
        }
    }
    server.stop().await;
    different
}

fn told_at(price: &Value) -> i64 {
    DateTime::parse_from_rfc3339(price["timestamp"].as_str().unwrap()).unwrap().timestamp_millis()
}

#[tokio::test]
async fn fast_replay_keeps_the_order_of_the_file() {
    // Ten minutes in ten seconds, published every tenth of one; the first of them pass before anybody listens.
    let different = replay(&written(), "60", "100ms").await;
    assert!((10..=120).contains(&different), "{different} different prices");
}

#[tokio::test]
async fn full_speed_replay_ends_at_once() {
    soon("the end", replay(&written(), "max", "100ms")).await;
}

#[tokio::test]
async fn recorded_ticks_are_replayed_as_they_were() {
    if !Path::new(RECORDED).exists() {
        eprintln!("skipped: {RECORDED} is not there");
        return;
    }
    let recorded = std::fs::read_to_string(RECORDED).unwrap();
    let end = rows(&recorded)[0].at + 600_000;
    let slice: String = recorded
        .lines()
        .take_while(|line| line.starts_with("time") || rows(&format!("\n{line}"))[0].at < end)
        .flat_map(|line| [line, "\n"])
        .collect();
    // Ten minutes in ten seconds, published every second: about one price a second.
    let different = replay(&slice, "60", "1s").await;
    assert!((3..=12).contains(&different), "{different} different prices");
    replay(&recorded, "max", "100ms").await;
}
