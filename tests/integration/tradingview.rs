//! TradingView's side of its webhook: posts the alerts of docs/sources.md with their placeholders expanded, and tries the door.

use serde_json::{Value, json};

use crate::support::{Native, Server, answer};

const TOKEN: &str = "a-very-secret-part-of-a-path-4711";

async fn server(settings: &[(&str, &str)]) -> Server {
    let mut all = vec![("ORION_TRADINGVIEW_TOKEN", TOKEN), ("ORION_INGEST_TOKEN", ""), ("ORION_LOG", "trace")];
    all.extend_from_slice(settings);
    Server::start(&all).await
}

fn path(token: &str) -> String {
    format!("/api/webhooks/tradingview/{token}")
}

/// As TradingView does it: JSON says so, everything else is plain text.
async fn alert(server: &Server, body: &str) -> (u16, Value) {
    let mime = if serde_json::from_str::<Value>(body).is_ok() { "application/json" } else { "text/plain" };
    let post = server.http.post(server.url(&path(TOKEN))).header("content-type", format!("{mime}; charset=utf-8"));
    answer(post.body(body.to_owned())).await
}

/// The alert templates of the documents, with their placeholders expanded as TradingView would.
fn templates() -> Vec<String> {
    let page = include_str!("../../docs/sources.md");
    let section = page.split("\n## TradingView\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let blocks = section.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let expanded = blocks.map(|block| {
        [
            ("{{ticker}}", "EURUSD"),
            ("{{exchange}}", "OANDA"),
            ("{{interval}}", "15"),
            ("{{close}}", "1.0852"),
            ("{{time}}", "2026-01-15T10:15:00Z"),
            ("{{timenow}}", "2026-01-15T10:30:00Z"),
            ("{{strategy.order.action}}", "buy"),
            ("{{strategy.order.price}}", "1.0852"),
            ("{{strategy.order.id}}", "Long"),
            ("{{strategy.order.comment}}", "NaN"),
            ("{{strategy.market_position}}", "long"),
            ("{{plot(\"Stop\")}}", "1.0822"),
            ("{{plot(\"Target\")}}", "1.0892"),
            ("{{plot_0}}", "1.0822"),
            ("{{plot_1}}", "1.0892"),
        ]
        .iter()
        .fold(block.to_owned(), |block, (placeholder, value)| block.replace(placeholder, value))
    });
    expanded.collect()
}

#[tokio::test]
async fn the_documented_templates_become_signals_and_prices() {
    let server = server(&[]).await;
    let mut client = Native::connect(server.addr, "/ws/signals").await;
    client.frame("subscribed").await;
    let templates = templates();
    assert!(templates.len() >= 3, "{templates:?}");
    let mut kinds = Vec::new();
    for template in &templates {
        assert!(!template.contains("{{"), "a placeholder that this test does not know: {template}");
        let (status, told) = alert(&server, template).await;
        assert_eq!((status, &told["success"]), (200, &json!(true)), "{template} {told}");
        kinds.push(told["kind"].as_str().unwrap().to_owned());
        let (_, again) = alert(&server, template).await;
        assert_eq!(again["kind"], "duplicate", "{template}");
    }
    assert!(kinds.contains(&"signal".to_owned()) && kinds.contains(&"price".to_owned()), "{kinds:?}");
    let signal = client.frame("signal").await["payload"].clone();
    assert_eq!(
        (&signal["symbol"], &signal["direction"], &signal["source"]),
        (&json!("EURUSD"), &json!("long"), &json!("tradingview"))
    );
    let price = client.frame("price_update").await["payload"].clone();
    assert_eq!((&price["price"], &price["source"]), (&json!(1.0852), &json!("tradingview")));
    server.stop().await;
}

#[tokio::test]
async fn invalid_alerts_are_answered_and_delays_marked() {
    let server = server(&[]).await;
    let (status, told) = alert(&server, "{\"ticker\":\"DAX\",\"price\":1}").await;
    assert_eq!((status, &told["code"]), (422, &json!("unknown_symbol")));
    let (status, told) = alert(&server, "hello").await;
    assert_eq!((status, &told["code"]), (400, &json!("validation_failed")));
    let (status, _) = alert(&server, &"x".repeat(70_000)).await;
    assert_eq!(status, 413);
    let (status, told) =
        alert(&server, "{\"ticker\":\"ES1!\",\"exchange\":\"CME_MINI_DL\",\"close\":NaN,\"price\":5000.25}").await;
    assert_eq!((status, &told["delayed"]), (200, &json!(true)));
    server.until("orion_events_published_total", "price", |count| count > 0.0).await;
    let (_, prices) = server.get("/api/prices").await;
    assert!(prices.to_string().contains("\"quality\":\"delayed\""), "{prices}");
    server.stop().await;
}

#[tokio::test]
async fn the_webhook_needs_its_secret_and_hides_it() {
    let server = server(&[]).await;
    let nothing = answer(server.http.post(server.url("/api/webhooks/tradingview")).body("{}")).await;
    assert_eq!(nothing.0, 404);
    for token in ["wrong-and-long-enough", "x", &TOKEN[1..], &format!("{TOKEN}x")] {
        assert_eq!(answer(server.http.post(server.url(&path(token))).body("{}")).await, nothing, "{token}");
        assert_eq!(answer(server.http.get(server.url(&path(token)))).await, nothing, "{token}");
    }
    assert_eq!(answer(server.http.get(server.url(&path(TOKEN)))).await, nothing, "not even with it, but by POST");
    alert(&server, "{\"ticker\":\"DAX\",\"price\":1}").await;
    alert(&server, "{\"ticker\":\"EURUSD\",\"price\":1.1}").await;
    assert!((server.metric("orion_refused_total", "webhook_token").await - 9.0).abs() < 0.1);
    let metrics = server.http.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(!metrics.contains(TOKEN));
    let log = server.log_text();
    assert!(log.contains("/api/webhooks/tradingview/{token}"), "requests are logged at this level");
    assert!(!log.contains(TOKEN), "{}", log.lines().find(|line| line.contains(TOKEN)).unwrap());
    server.stop().await;

    let unset = Server::push_only().await;
    assert_eq!(answer(unset.http.post(unset.url(&path(TOKEN))).body("{}")).await, nothing);
    unset.stop().await;
}

#[tokio::test]
async fn only_listed_addresses_may_call_the_webhook() {
    let call = async |server: &Server, headers: &[(&str, &str)]| {
        let post = server.http.post(server.url(&path(TOKEN)));
        let post = headers.iter().fold(post, |post, (name, value)| post.header(*name, *value));
        answer(post.body("{\"ticker\":\"EURUSD\",\"price\":1.1}")).await.0
    };
    let direct = server(&[("ORION_TRADINGVIEW__ADDRESSES", "52.89.214.238")]).await;
    assert_eq!(call(&direct, &[]).await, 404);
    assert_eq!(call(&direct, &[("x-forwarded-for", "52.89.214.238")]).await, 404, "nobody vouches for it");
    direct.stop().await;
    let local = server(&[("ORION_TRADINGVIEW__ADDRESSES", "127.0.0.1")]).await;
    assert_eq!(call(&local, &[]).await, 200);
    local.stop().await;
    let proxied = server(&[
        ("ORION_TRADINGVIEW__ADDRESSES", "52.89.214.238,34.212.75.30"),
        ("ORION_SERVER__TRUSTED_PROXIES", "127.0.0.1"),
    ])
    .await;
    assert_eq!(call(&proxied, &[]).await, 404);
    assert_eq!(call(&proxied, &[("x-forwarded-for", "52.89.214.238, 10.0.0.1")]).await, 404, "forged from the left");
    assert_eq!(call(&proxied, &[("x-forwarded-for", "10.0.0.1, 52.89.214.238")]).await, 200);
    proxied.stop().await;
}
