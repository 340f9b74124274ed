//! The demo desk. It speaks past the dialects, because sources do not know them: everything that it says is what they would let
//! out. What it trades at is on the screen, and what it has made is still there after a restart.

use chrono::TimeDelta;
use orion_server::app::published_types;
use orion_server::domain::{Session, parse_time};
use orion_server::pipeline::clock::wall;
use orion_server::sources::demo::{Desk, Quoted};
use serde_json::{Value, json};

use crate::support::users::{SECRET, token};
use crate::support::{Native, Server, soon, until};

const DESK: [(&str, &str); 2] = [("ORION_DEMO_DESK", "1"), ("ORION_JWT_SECRET", SECRET)];

#[test]
fn the_demo_desk_publishes_documented_shapes() {
    let start = parse_time("2026-01-14T16:30:00Z").unwrap();
    let quoted: Vec<_> = Desk::symbols().map(|symbol| Quoted { symbol, bid: 100.25, ask: 100.5, digits: 2 }).collect();
    let types = published_types();
    for seed in 0..3 {
        let mut desk = Desk::new(seed, ["demo".into(), "u2".into()], types.iter().map(|declared| declared.kind));
        for beat in 0..120 {
            let now = start + TimeDelta::seconds(beat);
            for message in desk.step(now, &quoted) {
                let data: Value = serde_json::from_str(&message.data).unwrap();
                let declared = types.iter().find(|declared| declared.kind == message.kind).unwrap();
                let parsed = declared.parse(&data, now);
                let parsed = parsed.unwrap_or_else(|faults| panic!("{faults:?}: {message:?}")).remove(0);
                let read: Value = serde_json::from_str(&parsed.data).unwrap();
                assert_eq!((parsed.key.as_str(), &read), (&*message.key, &data), "{}", message.kind.name());
                assert!(!message.data.contains(".0,") && !message.data.contains(".0}"), "{}", message.data);
            }
        }
    }
}

async fn bot(server: &Server) -> Option<Value> {
    let token = token("demo");
    let bots = server.http.get(server.url("/api/bots")).bearer_auth(token).send().await.unwrap();
    bots.json::<Value>().await.unwrap().as_array()?.iter().find(|bot| bot["id"] == "demo_bot").cloned()
}

#[tokio::test]
async fn the_desk_fills_at_prices_that_were_published() {
    let server = Server::start(&[&DESK[..], &[("ORION_SOURCES", "simulator")]].concat()).await;
    let mut prices = Native::connect(server.addr, "/ws/signals").await;
    let mut page = Native::connect(server.addr, &format!("/api/ws?token={}", token("demo"))).await;
    let (mut published, mut trades) = (Vec::<(String, Value, Value)>::new(), Vec::<Value>::new());
    soon("three live trades", async {
        while trades.len() < 3 {
            tokio::select! {
                biased;
                frame = prices.next() => {
                    let frame = frame.unwrap();
                    let price = &frame["payload"];
                    if frame["type"] == "price_update" && price["symbol"].as_str().unwrap().ends_with("ZAR") {
                        assert_eq!(price["quality"], "simulated");
                        let symbol = price["symbol"].as_str().unwrap().to_owned();
                        published.push((symbol, price["bid"].clone(), price["ask"].clone()));
                    }
                }
                frame = page.next() => {
                    let frame = frame.unwrap();
                    if frame["type"] == "trades" {
                        trades.push(frame["data"].clone());
                    }
                }
            }
        }
    })
    .await;
    for trade in &trades {
        let symbol = trade["symbol"].as_str().unwrap().replace('-', "");
        let is_it = |(known, bid, ask): &&(String, Value, Value)| {
            *known == symbol && trade["price"] == *(if trade["side"] == "buy" { ask } else { bid })
        };
        assert!(published.iter().any(|price| is_it(&price)), "{trade} / {published:?}");
    }
}

/// What the page of live prices asks for, and what the bot platform's asks every five seconds.
#[tokio::test]
async fn the_panels_of_prices_are_not_empty() {
    let server = Server::start(&DESK).await;
    let symbols = ["AAPL", "GOOGL", "MSFT", "TSLA", "BTC-ZAR"];
    until("the desk's symbols have prices", async || server.get("/api/prices/live").await.1["BTC/ZAR"].is_object())
        .await;
    let mut page = Native::connect(server.addr, "/ws/market-data").await;
    page.send(&json!({ "action": "subscribe", "symbols": symbols })).await;
    let quotes = page.frame("quotes").await;
    let quotes = quotes["data"].as_array().unwrap();
    let mut named: Vec<_> = quotes.iter().map(|quote| quote["symbol"].as_str().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(named, ["AAPL", "BTC-ZAR", "GOOGL", "MSFT", "TSLA"]);
    for quote in quotes {
        let [price, high, low, volume] = ["price", "high", "low", "volume"].map(|name| quote[name].as_f64().unwrap());
        assert!(low <= price && price <= high && volume > 0.0, "{quote}");
        assert_eq!(quote["quality"], "simulated");
    }
    // Only what the desk brought is simulated: the rest is the operator's to push.
    let (_, prices) = server.get("/api/prices").await;
    let prices = prices["prices"].as_array().unwrap();
    assert!(prices.iter().all(|price| !["EURUSD", "NAS100", "ES"].contains(&price["symbol"].as_str().unwrap())));
    let (_, quote) = server.get("/api/v1/market/quote/BTC%2FZAR").await;
    assert!(quote["quote"]["price"].is_number(), "{quote}");
    let off = Server::start(&[]).await;
    let (_, instruments) = off.get("/api/instruments").await;
    assert_eq!(instruments["instruments"].as_array().unwrap().len(), 11, "without the desk nothing changes");
}

#[tokio::test]
async fn a_killed_desk_goes_on_with_its_account() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_on(&dir, &DESK).await;
    until("two trades", async || bot(&server).await.is_some_and(|bot| bot["trades_count"].as_u64() >= Some(2))).await;
    let before = bot(&server).await.unwrap();
    server.kill().await;
    let server = Server::start_on(&dir, &DESK).await;
    // The desk may trade once more between an answer and the kill, or between the start and an answer: each trade buys one lot.
    let at_once = bot(&server).await.unwrap();
    let trades = |bot: &Value| bot["trades_count"].as_u64().unwrap();
    if trades(&at_once) == trades(&before) {
        assert_eq!(at_once["account"], before["account"]);
    }
    until("another trade", async || trades(&bot(&server).await.unwrap()) > trades(&at_once)).await;
    let after = bot(&server).await.unwrap();
    let lots = |bot: &Value| {
        let positions = bot["account"]["positions"].as_object().unwrap();
        positions.values().map(|position| position["lots"].as_u64().unwrap()).sum::<u64>()
    };
    let cash = |bot: &Value| bot["account"]["cash"].as_f64().unwrap();
    for (earlier, later) in [(&before, &at_once), (&at_once, &after)] {
        let further = trades(later).checked_sub(trades(earlier)).expect("no trade is forgotten");
        assert_eq!(lots(later), lots(earlier) + further, "{earlier} {later}");
        let paid = cash(earlier) - cash(later);
        assert!((paid > 0.0) == (further > 0) && paid <= 1_000.0 * further as f64, "{earlier} {later}");
    }
}

/// The high and the low of the page of live prices: of the whole day, also of the time before a restart.
#[tokio::test]
async fn a_quote_has_the_days_high_and_low() {
    let dir = tempfile::tempdir().unwrap();
    let quote = async |server: &Server| server.get("/api/v1/market/quote/EURUSD").await.1["quote"].clone();
    let push = async |server: &Server, price: f64| {
        let body = json!({ "symbol": "EURUSD", "price": price, "volume": 10 });
        assert_eq!(server.post("/api/prices", &body).await.0, 200);
        until("it is published", async || quote(server).await["price"] == price).await;
    };
    let day = Session::Forex.day_of(wall());
    let server = Server::start_on(&dir, &[]).await;
    for price in [1.1, 1.12, 1.08] {
        push(&server, price).await;
    }
    let told = quote(&server).await;
    assert_eq!((&told["high"], &told["low"], &told["volume"]), (&json!(1.12), &json!(1.08), &json!(30)));
    server.stop().await;
    let server = Server::start_on(&dir, &[]).await;
    push(&server, 1.1).await;
    let told = quote(&server).await;
    // A run over the end of the day, at 17:00 in New York, begins anew.
    if Session::Forex.day_of(wall()) == day {
        assert_eq!((&told["high"], &told["low"], &told["volume"]), (&json!(1.12), &json!(1.08), &json!(40)));
    }
}
