//! The routes of ARIA's page.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::config::ReadAuth;
use crate::http::tests::{Server, through_cors};

#[tokio::test]
async fn the_history_has_the_shape_of_the_page() {
    let server = Server::new();
    for (id, symbol) in [("a", "EURUSD"), ("b", "GBPUSD")] {
        let body = json!({
            "id": id, "symbol": symbol, "direction": "short", "entry_price": 1.2, "confidence": 0.87, "model": "LSTM",
            "entry_time": "2026-01-15T10:29:00Z",
        });
        assert_eq!(server.push(body).await.0, StatusCode::OK);
    }
    let (status, body) = server.get("/signals/history?symbol=EURUSD&limit=50").await;
    let signal = json!({
        "symbol": "EURUSD", "side": "sell", "strength": 0.87, "confidence": 87, "model": "LSTM",
        "timestamp": 1_768_472_940_000_i64, "entry_price": 1.2, "id": "a", "source": "push",
    });
    assert_eq!((status, body), (StatusCode::OK, json!({ "signals": [signal] })));
    let ids = |body: &Value| body["signals"].as_array().unwrap().iter().map(|s| s["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&server.get("/signals/history").await.1), ["b", "a"]);
    assert_eq!(ids(&server.get("/signals/history?limit=1").await.1), ["b"]);
    let unknown = server.get("/signals/history?symbol=BTCUSD&limit=50").await;
    assert_eq!(unknown, (StatusCode::OK, json!({ "signals": [] })), "the page offers it");
    assert_eq!(server.get("/signals/history?limit=x").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn unknown_data_is_empty_and_crashes_no_page() {
    let server = Server::new();
    for (path, expected) in [
        ("/trading/positions", json!({ "positions": [], "count": 0 })),
        ("/trading/account-info", json!({ "account": null, "risk_metrics": null })),
        ("/api/institutional-ai/market-regimes", json!({ "regimes": [] })),
        ("/api/institutional-ai/model-performance", json!({ "models": [] })),
        ("/api/institutional-ai/model-configs", json!({ "models": [] })),
    ] {
        assert_eq!(server.get(path).await, (StatusCode::OK, expected), "{path}");
    }
    let usage = server.get("/monitoring/metrics").await.1;
    assert_eq!(usage.as_object().unwrap().keys().collect::<Vec<_>>(), ["cpu_usage", "memory_usage"]);
    let performance = server.get("/monitoring/performance/metrics").await.1;
    assert!(performance["system"]["system"]["memory"].is_object(), "{performance}");
    for name in ["models", "symbols", "thresholds"] {
        assert_eq!(performance[name], json!({}), "{name}");
    }
}

/// Returns what a panel shows after its request: it reads `response.json()`, then `result.ok` and `result.data`;
/// anything else is an error.
fn shown(path: &str, result: &Value) -> &'static str {
    match (result["ok"].as_bool(), &result["data"]) {
        (Some(true), Value::Array(rows)) if rows.is_empty() => "no data",
        (Some(true), Value::Array(rows)) => {
            for row in rows {
                let numbers: &[&str] = match path {
                    "equity-curve" => &["equity", "drawdown", "trades"],
                    _ => &["hour", "day_of_week", "avg_pnl", "trade_count"],
                };
                assert!(numbers.iter().all(|name| row[*name].is_number()), "{row}");
            }
            "data"
        }
        (Some(true), Value::Object(data)) => {
            for name in ["total_return", "sharpe_ratio", "max_drawdown", "win_rate", "profit_factor", "avg_trade"] {
                assert!(data[name].is_number(), "{name}");
            }
            assert!(
                data["best_trade"].is_number() && data["worst_trade"].is_number() && data["total_trades"].is_number()
            );
            "data"
        }
        (Some(true), Value::Null) if path == "performance-metrics" => "no data",
        _ => "error",
    }
}

#[tokio::test]
async fn empty_panels_show_no_data_and_no_error() {
    let server = Server::new();
    for path in ["trading-heatmap", "equity-curve", "performance-metrics"] {
        for query in ["", "?days=7", "?days=365", "?days=30&symbol=E", "?days=30&symbol=EURUSD"] {
            let (status, result) = server.get(&format!("/api/analytics/{path}{query}")).await;
            assert_eq!((status, shown(path, &result)), (StatusCode::OK, "no data"), "{path}{query}: {result}");
        }
        let (status, _) = server.get(&format!("/api/analytics/{path}?days=366")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
    }
    // The panel loads forever on null, and calls `toFixed` on each of these without a check.
    let (status, risk) = server.get("/trading/risk-metrics").await;
    assert_eq!(status, StatusCode::OK);
    for name in ["var_95", "sharpe_ratio", "win_rate", "expected_shortfall", "max_drawdown", "profit_factor", "trades"]
    {
        assert_eq!(risk[name], 0, "{name}");
    }
}

#[tokio::test]
async fn reading_needs_a_token_where_configured() {
    let server = Server::with(ReadAuth::Required);
    for path in [
        "/signals/history",
        "/trading/positions",
        "/monitoring/metrics",
        "/trading/risk-metrics",
        "/api/analytics/equity-curve",
        "/api/institutional-ai/model-configs",
    ] {
        assert_eq!(server.get(path).await.0, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn the_page_may_send_credentials_from_any_origin() {
    let (a, b) = ("https://a.example", "https://b.example");
    let answer = async |allowed: &str, origin: &str, method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path).header("origin", origin);
        let response = through_cors(allowed, request.body(Body::empty()).unwrap()).await;
        ["access-control-allow-origin", "access-control-allow-credentials", "vary"]
            .map(|name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()))
    };
    let text = |value: &str| Some(value.to_owned());
    for path in ["/signals/history", "/trading/positions", "/monitoring/metrics", "/api/institutional-ai/model-configs"]
    {
        assert_eq!(answer("*", a, Method::GET, path).await, [text(a), text("true"), text("Origin")], "{path}");
        assert_eq!(answer(a, a, Method::GET, path).await, [text(a), text("true"), text("Origin")], "{path}");
        assert_eq!(answer(a, b, Method::GET, path).await, [None, None, text("Origin")], "{path}");
        assert_eq!(answer("*", a, Method::POST, path).await, [None, None, text("Origin")], "{path}");
    }
    assert_eq!(answer("*", a, Method::GET, "/api/signals").await, [text("*"), None, None]);
}
