//! The whole server with every provider: the same prices whoever sends them, and no key in anything it says.

use std::time::Duration;

use orion_server::domain::{Quote, parse_time};
use serde_json::Value;

use super::contract::{Provider, price};
use super::stage::{Act, Price, Stage};
use super::{KEY, Rig, WRONG_KEY, alpha_vantage, massive, no_key_in, oanda};
use crate::support::{PATIENCE, Server, soon};

/// Waits until the board says what `of` expects of EURUSD's price.
async fn price_of(server: &Server, of: impl Fn(&Value) -> bool) -> Value {
    soon("the price", async {
        loop {
            let (_, body) = server.get("/api/prices").await;
            let prices = body["prices"].as_array().or_else(|| body.as_array()).cloned().unwrap_or_default();
            if let Some(price) = prices.into_iter().find(|price| price["symbol"] == "EURUSD" && of(price)) {
                return price;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

async fn start(stage: &Stage, name: &str, key: &str) -> Server {
    let http = format!("http://{}", stage.addr);
    let ws = format!("ws://{}", stage.addr);
    let settings: &[(&str, &str)] = match name {
        "oanda" => &[
            ("ORION_OANDA_TOKEN", key),
            ("ORION_OANDA_ACCOUNT", "101-001-1234567-001"),
            ("ORION_OANDA__URL", &http),
            ("ORION_OANDA__INSTRUMENTS", "EUR_USD,USD_JPY,XAU_USD"),
        ],
        "massive" => &[
            ("ORION_MASSIVE_KEY", key),
            ("ORION_MASSIVE__URL", &ws),
            ("ORION_MASSIVE__INSTRUMENTS", "C:EURUSD,C:USDJPY,C:XAUUSD"),
        ],
        _ => &[
            ("ORION_ALPHA_VANTAGE_KEY", key),
            ("ORION_ALPHA_VANTAGE__URL", &http),
            ("ORION_ALPHA_VANTAGE__INSTRUMENTS", "EURUSD"),
        ],
    };
    let common = [("ORION_SOURCES", name), ("ORION_LOG", "trace"), ("ORION_INGEST_TOKEN", "")];
    Server::start(&[settings, &common].concat()).await
}

async fn play(name: &str, plan: Vec<Vec<Act>>) -> Stage {
    match name {
        "oanda" => oanda::Played::play(plan).await,
        "massive" => massive::Played::play(plan).await,
        _ => alpha_vantage::Played::play(plan).await,
    }
}

/// With every level of the log on, and everything asked that shows how the sources are.
async fn says_no_key(server: &Server) {
    for path in ["/metrics", "/ready", "/api/prices", "/api/sources"] {
        let (_, body) = server.get(path).await;
        no_key_in(&body.to_string());
    }
    no_key_in(&server.log_text());
}

#[tokio::test]
async fn every_provider_gives_the_same_published_price_and_no_line_shows_a_key() {
    let mut published = Vec::new();
    for name in ["oanda", "massive", "alpha_vantage"] {
        let stage = play(name, vec![vec![Act::Price(price(0)), Act::Garbage, Act::Price(price(30))]]).await;
        let server = start(&stage, name, KEY).await;
        // Alpha Vantage's free budget has one call for one pair.
        let last = price(if name == "alpha_vantage" { 0 } else { 30 });
        let told = price_of(&server, |told| told["bid"] == last.bid).await;
        assert_eq!((&told["ask"], &told["source"]), (&last.ask.into(), &name.into()));
        if name != "alpha_vantage" {
            published.push((told["price"].clone(), told["timestamp"].clone(), told["quality"].clone()));
        }
        says_no_key(&server).await;
        server.stop().await;
    }
    assert_eq!(published[0], published[1]);
}

#[tokio::test]
async fn a_refused_key_stops_neither_the_server_nor_shows_up() {
    for name in ["oanda", "massive", "alpha_vantage"] {
        let stage = play(name, Vec::new()).await;
        let server = start(&stage, name, WRONG_KEY).await;
        server.logged("source refused; it is not asked again before a restart").await;
        let (status, ready) = server.get("/ready").await;
        assert_eq!((status, &ready["status"]), (200, &"degraded".into()), "{ready}");
        assert!(ready["reasons"].to_string().contains(&format!("{name} (refused)")), "{ready}");
        says_no_key(&server).await;
        server.stop().await;
    }
}

/// The ticks of a recording as a source tells them.
async fn told<P: Provider>(recording: &[Price]) -> Vec<(String, Quote, i64)> {
    let stage = P::play(vec![recording.iter().copied().map(Act::Price).collect()]).await;
    let mut rig = Rig::run(P::source(&stage, KEY, PATIENCE));
    let ticks = rig.ticks(recording.len()).await;
    rig.end().await;
    ticks.into_iter().map(|t| (t.symbol.to_string(), t.quote, t.observed_at.timestamp_millis())).collect()
}

#[tokio::test]
async fn a_real_recording_is_told_the_same_by_each_stream() {
    let file = "/work/shared/domain/data/eurusd_ticks_oanda_20140508_1100_1500.csv";
    let Ok(text) = std::fs::read_to_string(file) else {
        eprintln!("skipped: {file} is not here");
        return;
    };
    let mut recording: Vec<Price> = Vec::new();
    for line in text.lines().skip(1).take(20_000) {
        let mut fields = line.split(',');
        let at = parse_time(fields.next().unwrap()).unwrap().timestamp_millis();
        let mut number = || fields.next().unwrap().parse().unwrap();
        let price = Price { symbol: "EURUSD", bid: number(), ask: number(), at };
        // The same price of the same moment twice is one.
        if recording.last() != Some(&price) {
            recording.push(price);
        }
    }
    let expected: Vec<_> = recording
        .iter()
        .map(|price| ("EURUSD".to_owned(), Quote::BidAsk { bid: price.bid, ask: price.ask }, price.at))
        .collect();
    assert!(told::<oanda::Played>(&recording).await == expected, "OANDA's stream");
    assert!(told::<massive::Played>(&recording).await == expected, "Massive's socket");
}
