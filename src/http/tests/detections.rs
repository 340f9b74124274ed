//! Detections over stored bars, and bars before a time.

use chrono::TimeDelta;

use super::*;

/// Five-minute bars from 08:00 whose middle ones leave a gap that the last one fills; each of one minute.
const PRICES: [[f64; 4]; 5] = [
    [1.0800, 1.0810, 1.0795, 1.0805],
    [1.0805, 1.0840, 1.0805, 1.0835],
    [1.0835, 1.0850, 1.0830, 1.0845],
    [1.0845, 1.0850, 1.0825, 1.0840],
    [1.0840, 1.0845, 1.0790, 1.0800],
];

fn minute(index: i32, [open, high, low, close]: [f64; 4]) -> Bar {
    let opened_at = parse_time("2026-01-15T08:00:00Z").unwrap() + TimeDelta::minutes(5) * index;
    Bar { high, low, close, ..Bar::opening(Symbol::new("EURUSD"), opened_at, open, 1.0) }
}

async fn with_bars(bars: Vec<Bar>) -> Server {
    let server = Server::new();
    let count = bars.len();
    server.store.save_bars(bars);
    let symbol = Symbol::new("EURUSD");
    while server.state.history.bars(&symbol, crate::domain::BarInterval::OneMinute, 1_000).await.unwrap().len()
        < count.min(1_000)
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server
}

#[tokio::test]
async fn a_detection_is_known_when_its_bar_closes() {
    let yesterday = Bar { simulated: true, ..minute(-288, [1.07, 1.0807, 1.06, 1.07]) };
    let bars = [vec![yesterday], PRICES.iter().zip(0..).map(|(bar, index)| minute(index, *bar)).collect()].concat();
    let server = with_bars(bars).await;
    let at = |clock: &str| format!("2026-01-15T08:{clock}:00.000Z");
    let ask = async |to: &str| {
        let path = format!("/api/detections?symbol=eur/usd&interval=5m&from=2026-01-15T08:00:00Z&to={}", at(to));
        let (status, answer) = server.get(&path).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    };
    assert_eq!(ask("14").await["detections"], json!([]), "the third bar has not closed");
    let known = ask("15").await;
    let mut gap = json!({
        "kind": "fair_value_gap", "direction": "long", "top": 1.083, "bottom": 1.081, "begins_at": at("05"),
        "known_at": at("15"), "touched_at": null, "ended_at": null
    });
    assert_eq!(known["detections"], json!([gap]));
    assert_eq!((&known["bars"], &known["simulated"], &known["swing"]), (&json!(3), &json!(true), &json!(2)));
    let day = json!({"name": "previous_day", "high": 1.0807, "low": 1.06});
    assert_eq!(known["levels"], json!([day, {"name": "london", "high": 1.0807, "low": 1.06}]), "London is open");
    gap["touched_at"] = json!(at("20"));
    assert_eq!(ask("24").await["detections"], json!([gap]));
    gap["ended_at"] = json!(at("25"));
    assert_eq!(ask("25").await["detections"], json!([gap]));
    let (_, later) =
        server.get(&format!("/api/detections?symbol=EURUSD&interval=5m&from={}&to={}", at("26"), at("59"))).await;
    assert_eq!((&later["detections"], &later["bars"]), (&json!([]), &json!(0)), "it had ended before");
}

#[tokio::test]
async fn a_span_of_too_many_bars_is_refused() {
    let server = with_bars((0..1_100).map(|index| minute(index, PRICES[0])).collect()).await;
    let ask = async |query: &str| server.get(&format!("/api/detections?symbol=EURUSD&interval=5m&{query}")).await;
    let (status, refused) = ask("from=2026-01-15T08:00:00Z&to=2026-02-15T08:00:00Z").await;
    let reason = json!({"from": "must be at most 800 bars before `to`"});
    assert_eq!((status, &refused["details"]["fields"]), (StatusCode::BAD_REQUEST, &reason));
    let (status, answer) = ask("from=2026-01-16T18:00:00Z&to=2026-02-15T08:00:00Z").await;
    assert_eq!((status, &answer["bars"]), (StatusCode::OK, &json!(692)));
    let (status, refused) = ask("from=2026-01-16T18:00:00Z&to=2026-01-16T18:00:00Z").await;
    assert_eq!(
        (status, &refused["error"]),
        (StatusCode::BAD_REQUEST, &json!("Invalid field: from must be before `to`"))
    );
    let (status, refused) = server.get("/api/detections?from=x&to=y").await;
    assert_eq!((status, &refused["error"]), (StatusCode::BAD_REQUEST, &json!("Invalid fields: symbol, from, to")));
}

#[tokio::test]
async fn bars_before_a_time_are_whole() {
    let bars = (0..12).map(|index| Bar {
        opened_at: minute(0, PRICES[0]).opened_at + TimeDelta::minutes(index),
        ..minute(0, PRICES[0])
    });
    let server = with_bars(bars.collect()).await;
    for (before, opened_at, volume) in
        [("08:00:00", None, 0), ("08:03:00", Some("00"), 5), ("08:05:00", Some("00"), 5), ("08:05:01", Some("05"), 5)]
    {
        let path = format!("/api/bars?symbol=EURUSD&interval=5m&limit=1&before=2026-01-15T{before}Z");
        let bar = &server.get(&path).await.1["bars"][0];
        let opened_at = opened_at.map_or(Value::Null, |minute| json!(format!("2026-01-15T08:{minute}:00.000Z")));
        assert_eq!(bar["time"], opened_at, "{before}");
        assert_eq!(bar["volume"].as_i64().unwrap_or_default(), volume, "{before}");
    }
}
