//! The comparisons of live signals with a backtest over the kept ticks.

use std::collections::BTreeMap;

use super::*;
use crate::domain::{
    Difference, DifferenceKind, DifferenceReason, Direction, Invalidation, Recomputation, RecomputedSignal, SignalId,
    SignalState,
};

const PATH: &str = "/api/admin/recomputations";
/// What the route answers; the suite of the admin page is given the same bytes.
const GOLDEN: &str = include_str!("recomputations.json");

fn at(text: &str) -> DateTime<Utc> {
    parse_time(text).unwrap()
}

fn confirmed() -> RecomputedSignal {
    RecomputedSignal {
        direction: Direction::Long,
        published_at: at("2026-01-14T07:58:00.140Z"),
        entry_price: Some(1.085),
        stop_loss: Some(1.082),
        take_profits: vec![1.088, 1.0915],
        confidence: 0.72,
        state: SignalState::Confirmed,
        ended_at: Some(at("2026-01-14T08:02:00.210Z")),
    }
}

fn difference(
    (id, symbol, kind, reason): (&str, &str, DifferenceKind, DifferenceReason),
    detail: &str,
    live: Option<RecomputedSignal>,
    recomputed: Option<RecomputedSignal>,
) -> Difference {
    let signal = SignalId::new(id).unwrap();
    Difference { signal, symbol: Symbol::new(symbol), kind, reason, detail: detail.to_owned(), live, recomputed }
}

/// A day on which every kind of difference is found.
fn eventful() -> Recomputation {
    use DifferenceKind::{Content, End, OnlyLive, OnlyRecomputed};
    use DifferenceReason::{Failover, Gap, LateTick, Unexplained};
    let live = confirmed();
    let timed_out = RecomputedSignal {
        state: SignalState::Invalidated(Invalidation::TIMEOUT),
        ended_at: Some(at("2026-01-14T08:03:00Z")),
        ..live.clone()
    };
    let gold = RecomputedSignal {
        direction: Direction::Short,
        entry_price: Some(4045.0),
        stop_loss: None,
        take_profits: Vec::new(),
        ..live.clone()
    };
    let moved = RecomputedSignal { entry_price: Some(4045.5), confidence: 0.7, ..gold.clone() };
    let pending = RecomputedSignal { state: SignalState::Pending, ended_at: None, ..live.clone() };
    let differences = vec![
        difference(
            ("a", "EURUSD", End, LateTick),
            "a tick observed at 08:01:59.950 arrived at 08:02:00.180",
            Some(live),
            Some(timed_out),
        ),
        difference(
            ("b", "XAUUSD", Content, Failover),
            "the prices changed from oanda to finnhub at 07:56:10",
            Some(gold),
            Some(moved),
        ),
        difference(
            ("c", "GBPUSD", OnlyLive, Gap),
            "there were no prices from 07:40:00 to 07:55:00",
            Some(pending.clone()),
            None,
        ),
        difference(("d", "GBPUSD", OnlyRecomputed, Unexplained), "no cause was found", None, Some(pending)),
    ];
    Recomputation {
        day: "2026-01-14".parse().unwrap(),
        computed_at: at("2026-01-15T00:10:04.125Z"),
        ticks: 812_345,
        live: 42,
        recomputed: 42,
        counts: [LateTick, Failover, Gap, Unexplained].map(|reason| (reason, 1)).into(),
        differences,
        problem: None,
    }
}

/// A day of which nothing was kept.
fn lost() -> Recomputation {
    Recomputation {
        day: "2026-01-13".parse().unwrap(),
        computed_at: at("2026-01-14T00:10:00.040Z"),
        ticks: 0,
        live: 7,
        recomputed: 0,
        counts: BTreeMap::new(),
        differences: Vec::new(),
        problem: Some("no tick of the day was kept".to_owned()),
    }
}

/// A day without a difference.
fn quiet() -> Recomputation {
    Recomputation {
        day: "2026-01-12".parse().unwrap(),
        computed_at: at("2026-01-13T00:10:03Z"),
        ticks: 790_001,
        live: 38,
        recomputed: 38,
        problem: None,
        ..lost()
    }
}

/// Returns the status and the bytes of the answer.
async fn ask(server: &Server, token: Option<&str>) -> (StatusCode, String) {
    let request = request(Method::GET, PATH);
    let request = match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    let response = server.send(request.body(Body::empty()).unwrap()).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn the_last_day_comes_first_with_every_reason() {
    let server = Server::new();
    for day in [lost(), eventful(), quiet()] {
        server.state.recomputations.add(day);
    }
    assert_eq!(ask(&server, Some("admin")).await, (StatusCode::OK, GOLDEN.trim_end().to_owned()));
}

#[tokio::test]
async fn it_says_whether_days_are_compared() {
    let mut server = Server::new();
    let on = json!({ "days": [], "enabled": true, "retention_seconds": 604_800 });
    assert_eq!(ask(&server, Some("admin")).await, (StatusCode::OK, on.to_string()));
    let state = AppState { tick_retention: Duration::ZERO, ..server.state.clone() };
    server.app = router(state, dashboards::test_routes(&server.state.reads), Router::new());
    let off = json!({ "days": [], "enabled": false, "retention_seconds": 0 });
    assert_eq!(ask(&server, Some("admin")).await, (StatusCode::OK, off.to_string()));
}

#[tokio::test]
async fn only_administrators_see_the_comparisons() {
    let server = Server::new();
    server.state.recomputations.add(eventful());
    for token in [None, Some("in"), Some("out"), Some("")] {
        let (status, body) = ask(&server, token).await;
        assert!(status == StatusCode::UNAUTHORIZED && !body.contains("EURUSD"), "{token:?}: {body}");
    }
}
