//! The track record, and the position size for a given risk.

use chrono::TimeDelta;

use super::*;
use crate::domain::{
    Direction, EntryOrder, Feed, Killzone, OutcomeClass, SetupKind, SignalId, SourceName, TradeOutcome,
};

fn outcome(id: &str, symbol: &str, feed: Feed, r: f64) -> TradeOutcome {
    TradeOutcome {
        signal: SignalId::new(id).unwrap(),
        symbol: Symbol::new(symbol),
        direction: Direction::Long,
        setup: Some(SetupKind::MssFvg),
        killzone: Killzone::London,
        source: SourceName::new("push"),
        confidence: 0.8,
        calibration: None,
        feed: Some(feed),
        entry: Some(1.085),
        stop: Some(1.082),
        fill: Some(1.1),
        confirmed_at: now(),
        closed_at: now(),
        class: if r > 0.0 { OutcomeClass::Targets } else { OutcomeClass::Stop },
        targets_hit: usize::from(r > 0.0),
        targets: 1,
        r,
        mfe: r.max(0.0),
        mae: r.min(0.0),
        gap_seconds: 0,
        order: EntryOrder::Market,
        net: None,
    }
}

#[tokio::test]
async fn the_record_is_grouped_and_excludes_replays() {
    let server = Server::new();
    let records = vec![
        outcome("a", "EURUSD", Feed::Live, 2.0),
        outcome("b", "XAUUSD", Feed::Delayed, -1.0),
        outcome("c", "EURUSD", Feed::Replayed, 5.0),
    ];
    server.store.append_outcomes(records, Vec::new()).await.unwrap();
    let (status, stats) = server.get("/api/stats").await;
    assert_eq!((status, &stats["feeds"]), (StatusCode::OK, &json!(["live", "delayed"])));
    let all = &stats["all"];
    assert_eq!((&all["trades"], &all["few"], &all["expectancy_r"]), (&json!(2), &json!(true), &json!(0.5)));
    assert_eq!((&all["profit_factor"], &all["max_drawdown_r"]), (&json!(2.0), &json!(1.0)));
    assert_eq!(all["classes"], json!({"targets": 1, "stop": 1}));
    assert_eq!(stats["symbol"]["XAUUSD"]["total_r"], -1.0);
    assert_eq!(stats["setup"]["MSS+FVG"], *all);
    assert_eq!(stats["confidence"]["0.8"]["signals"], 2);
    for (query, trades) in [
        ("feed=replayed", 1),
        ("symbol=eur/usd", 1),
        ("source=push", 2),
        ("source=nobody", 0),
        ("since=2026-01-15T10:30:00Z", 2),
        ("since=2026-01-15T10:30:01Z", 0),
    ] {
        assert_eq!(server.get(&format!("/api/stats?{query}")).await.1["all"]["trades"], trades, "{query}");
    }
    let (status, refused) = server.get("/api/stats?feed=simulated&since=x").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let fields: Vec<_> = refused["details"]["fields"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["feed", "since"]);
}

#[tokio::test]
async fn outcomes_are_listed_as_they_ended() {
    let server = Server::new();
    let later = TradeOutcome { confirmed_at: now() + TimeDelta::hours(1), ..outcome("b", "XAUUSD", Feed::Live, -1.0) };
    let records = vec![
        TradeOutcome { closed_at: now() + TimeDelta::hours(2), ..later },
        outcome("a", "EURUSD", Feed::Live, 2.0),
        outcome("c", "EURUSD", Feed::Replayed, 5.0),
    ];
    server.store.append_outcomes(records, Vec::new()).await.unwrap();
    let ids = |answer: &Value| -> Vec<String> {
        let outcomes = answer["outcomes"].as_array().unwrap();
        outcomes.iter().map(|outcome| outcome["signal"].as_str().unwrap().to_owned()).collect()
    };
    let (status, all) = server.get("/api/outcomes").await;
    assert_eq!((status, ids(&all), &all["total"]), (StatusCode::OK, vec!["a".into(), "b".into()], &json!(2)));
    assert_eq!(all["observed_since"], "2026-01-15T10:30:00.000Z");
    assert_eq!((&all["outcomes"][1]["r"], &all["outcomes"][1]["class"]), (&json!(-1.0), &json!("stop")));
    let (_, last) = server.get("/api/outcomes?limit=1").await;
    assert_eq!((ids(&last), &last["total"]), (vec!["b".into()], &json!(2)));
    assert_eq!(last["observed_since"], all["observed_since"], "of those left out, too");
    assert_eq!(ids(&server.get("/api/outcomes?symbol=EURUSD&feed=replayed").await.1), ["c"]);
    assert_eq!(server.get("/api/outcomes?source=nobody").await.1["observed_since"], Value::Null);
    let (status, refused) = server.get("/api/outcomes?limit=5001&feed=x").await;
    assert_eq!((status, &refused["error"]), (StatusCode::BAD_REQUEST, &json!("Invalid fields: feed, limit")));
}

#[tokio::test]
async fn statistics_are_fresh_after_every_change() {
    let server = Server::new();
    let trades = async |query: &str| server.get(&format!("/api/stats{query}")).await.1["all"]["trades"].clone();
    for number in 0..3 {
        // Twice, so that the second answer comes from the cache.
        for query in ["", "", "?symbol=EURUSD", "?symbol=XAUUSD"] {
            let expected = if query == "?symbol=XAUUSD" { 0 } else { number };
            assert_eq!(trades(query).await, expected, "{query} after {number}");
        }
        let record = outcome(&number.to_string(), "EURUSD", Feed::Live, 1.0);
        server.store.append_outcomes(vec![record], Vec::new()).await.unwrap();
    }
    for source in 0..200 {
        assert_eq!(trades(&format!("?source={source}")).await, 0, "more questions than answers are kept");
    }
    assert_eq!(trades("").await, 3);
    let (status, refused) = server.get(&format!("/api/stats?source={}", "x".repeat(129))).await;
    assert_eq!((status, refused["details"]["fields"]["source"].is_string()), (StatusCode::BAD_REQUEST, true));
}

#[tokio::test]
async fn expensive_reads_wait_for_a_permit() {
    let mut server = Server::new();
    let reads = ReadLimit::new(1, server.state.metrics.clone());
    let routes = dashboards::test_routes(&reads);
    server.app = router(AppState { reads: reads.clone(), ..server.state.clone() }, routes, Router::new());
    let permit = reads.acquire("test").await.unwrap();
    let routes = [
        "/api/signals",
        "/api/signals/a",
        "/api/bars?symbol=EURUSD",
        "/api/sources",
        "/api/admin/overview",
        "/api/admin/recomputations",
        "/signals/history",
        "/api/v1/dashboard/trade-signals",
        "/api/v1/market/quotes?symbols=EURUSD",
        "/api/v1/market/history/EURUSD",
        "/api/v1/admin/users",
        "/api/trades/recent",
        "/api/advanced/decisions/recent",
        "/api/advanced/whale/summary",
        "/api/bots",
        "/api/wallet/balances",
        "/api/portfolio/summary",
    ];
    let asked = routes.map(|route| server.send(request(Method::GET, route).body(Body::empty()).unwrap()));
    for (route, response) in routes.iter().zip(futures_util::future::join_all(asked).await) {
        assert_eq!(
            response.headers().get("retry-after").map(|seconds| seconds.to_str().unwrap()),
            Some("1"),
            "{route}"
        );
        let (status, body) = answer(response).await;
        assert_eq!((status, &body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("overloaded")), "{route}");
    }
    let refused = &server.state.metrics.reads_refused_total;
    assert_eq!(refused.with_label_values(&["/api/signals/{id}"]).get(), 1);
    // Pushes and cheap reads are not limited.
    let body = json!({"id": "a", "symbol": "EURUSD", "direction": "long"});
    assert_eq!(server.push(body).await.0, StatusCode::OK);
    assert_eq!(server.get("/api/prices").await.0, StatusCode::OK);
    drop(permit);
    assert_eq!(server.get("/api/signals/a").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_signal_has_outcome_and_position_size() {
    let server = Server::new();
    let body = json!({"id": "a", "symbol": "EURUSD", "direction": "long", "entry_price": 1.085, "stop_loss": 1.082});
    server.push(body).await;
    let open = json!({"id": "open", "symbol": "EURUSD", "direction": "long", "status": "confirmed", "entry_price": 1.085,
        "stop_loss": 1.082, "take_profits": [1.09]});
    server.push(open).await;
    for (query, open) in [("", 1), ("?source=push", 1), ("?symbol=XAUUSD", 0), ("?source=nobody", 0)] {
        assert_eq!(server.get(&format!("/api/stats{query}")).await.1["open"], open, "{query}");
    }
    server.push(json!({"id": "bare", "symbol": "EURUSD", "direction": "long"})).await;
    let (_, life) = server.get("/api/signals/a").await;
    assert!(life.get("outcome").is_none() && life.get("position").is_none(), "{life}");
    server.store.append_outcomes(vec![outcome("a", "EURUSD", Feed::Live, 2.0)], Vec::new()).await.unwrap();
    let (_, life) = server.get("/api/signals/a?risk=100").await;
    assert_eq!((&life["outcome"]["class"], &life["outcome"]["r"]), (&json!("targets"), &json!(2.0)));
    let position = &life["position"];
    assert_eq!((&position["currency"], &position["lots"]), (&json!("USD"), &json!(0.33)));
    assert!((position["stop_pips"].as_f64().unwrap() - 30.0).abs() < 1e-6, "{position}");
    let (_, in_euros) = server.get("/api/signals/a?risk=100&currency=eur").await;
    assert_eq!(in_euros["position"]["lots"], 0.36);
    for (path, field) in [
        ("/api/signals/a?risk=-5", "risk"),
        ("/api/signals/a?risk=much", "risk"),
        ("/api/signals/a?risk=100&currency=dollars", "currency"),
        ("/api/signals/a?risk=100&currency=CHF", "currency"),
        ("/api/signals/bare?risk=100", "risk"),
    ] {
        let (status, refused) = server.get(path).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        assert!(refused["details"]["fields"][field].is_string(), "{path} {refused}");
    }
}
