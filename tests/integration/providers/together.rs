//! The whole server with every provider: the same prices whoever sends them, and no key in anything it says.

use std::sync::Arc;
use std::time::Duration;

use orion_server::domain::{Accepted, Input, Quote, parse_time};
use orion_server::ingest::Push;
use orion_server::ingest::metatrader::MetaTrader;
use orion_server::pipeline::{Handle, Request, clock};
use orion_server::telemetry::{Metrics, SourceStates};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::contract::{Provider, price};
use super::stage::{Act, Price, Stage};
use super::{
    KEY, Rig, WRONG_KEY, alpha_vantage, binance, catalogue, coinbase, finnhub, generic, kraken, luno, massive,
    no_key_in, oanda, twelve_data, valr, wall,
};
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

/// The settings of a provider that is played there.
fn settings(stage: &Stage, name: &str, key: &str) -> Vec<(&'static str, String)> {
    let address = |scheme: &str| format!("{scheme}://{}", stage.addr);
    match name {
        "oanda" => vec![
            ("ORION_OANDA_TOKEN", key.into()),
            ("ORION_OANDA_ACCOUNT", "101-001-1234567-001".into()),
            ("ORION_OANDA__URL", address("http")),
            ("ORION_OANDA__INSTRUMENTS", "EUR_USD,USD_JPY,XAU_USD".into()),
        ],
        "massive" => vec![
            ("ORION_MASSIVE_KEY", key.into()),
            ("ORION_MASSIVE__URL", address("ws")),
            ("ORION_MASSIVE__INSTRUMENTS", "C:EURUSD,C:USDJPY,C:XAUUSD".into()),
        ],
        _ => vec![
            ("ORION_ALPHA_VANTAGE_KEY", key.into()),
            ("ORION_ALPHA_VANTAGE__URL", address("http")),
            ("ORION_ALPHA_VANTAGE__INSTRUMENTS", "EURUSD".into()),
        ],
    }
}

async fn start_with(sources: &str, settings: Vec<(&'static str, String)>) -> Server {
    let own = settings.iter().map(|(name, value)| (*name, value.as_str()));
    let common = [("ORION_SOURCES", sources), ("ORION_LOG", "trace"), ("ORION_INGEST_TOKEN", "")];
    Server::start(&own.chain(common).collect::<Vec<_>>()).await
}

async fn start(stage: &Stage, name: &str, key: &str) -> Server {
    start_with(name, settings(stage, name, key)).await
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
async fn every_provider_publishes_the_same_price_without_keys() {
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
        let (_, sources) = server.get("/api/sources").await;
        let source = sources["sources"].as_array().unwrap().iter().find(|source| source["name"] == name).unwrap();
        let budget = &source["budget"];
        match name {
            "alpha_vantage" => assert_eq!((&budget["used"], &budget["limit"]), (&1.into(), &25.into()), "{source}"),
            _ => assert!(budget.is_null() && source["rejected"].as_u64() > Some(1), "{source}"),
        }
        says_no_key(&server).await;
        server.stop().await;
    }
    assert_eq!(published[0], published[1]);
}

/// One server with all of them: each delivers, and no key shows.
#[tokio::test]
async fn providers_of_every_kind_run_side_by_side() {
    let plan = || vec![vec![Act::Price(price(0)), Act::Price(price(30))]];
    let stages = [
        ("KRAKEN", "ws", "/v2", "EUR/USD,USD/JPY,XAU/USD", kraken::Played::play(plan()).await),
        ("COINBASE", "ws", "", "EUR-USD,USD-JPY,XAU-USD", coinbase::Played::play(plan()).await),
        ("BINANCE", "ws", "", "EURUSD,USDJPY,XAUUSD", binance::Played::play(plan()).await),
        ("LUNO", "http", "", "EURUSD,USDJPY,XAUUSD", luno::Played::play(plan()).await),
        ("VALR", "ws", "/ws/trade", "EURUSD,USDJPY,XAUUSD", valr::Played::play(plan()).await),
        ("FINNHUB", "ws", "", "OANDA:EUR_USD,OANDA:USD_JPY,OANDA:XAU_USD", finnhub::Played::play(plan()).await),
        ("TWELVE_DATA", "ws", "/v1/quotes/price", "EUR/USD,USD/JPY,XAU/USD", twelve_data::Played::play(plan()).await),
        (
            "GENERIC",
            "http",
            "/rates?of={symbols}&key={key}",
            "EURUSD,USDJPY,XAUUSD",
            generic::Polled::play(plan()).await,
        ),
        ("GENERIC_2", "ws", "/feed", "t:eur=EURUSD,t:jpy=USDJPY,t:xau=XAUUSD", generic::Streamed::play(plan()).await),
    ];
    let mut settings: Vec<(String, String)> = Vec::new();
    for (name, scheme, path, instruments, stage) in &stages {
        settings.push((format!("ORION_{name}__URL"), format!("{scheme}://{}{path}", stage.addr)));
        settings.push((format!("ORION_{name}__INSTRUMENTS"), (*instruments).to_owned()));
    }
    let keyed = ["ORION_FINNHUB_KEY", "ORION_TWELVE_DATA_KEY", "ORION_GENERIC_KEY", "ORION_GENERIC_2__KEY"];
    let keyed = keyed.map(|name| (name, KEY));
    let places = [
        ("GENERIC__ITEMS", "/rates"),
        ("GENERIC__SYMBOL", "@key"),
        ("GENERIC__PRICE", "/last"),
        ("GENERIC__TIME", "/at"),
        ("GENERIC_2__HEADERS", "X-Client: {key}"),
        ("GENERIC_2__SUBSCRIBE", "{\"login\":\"{key}\"}\n{\"want\":{symbols_json}}"),
        ("GENERIC_2__ITEMS", "/quotes"),
        ("GENERIC_2__SYMBOL", "/name"),
        ("GENERIC_2__BID", "/book/0"),
        ("GENERIC_2__ASK", "/book/1"),
        ("GENERIC_2__TIME", "/us"),
    ];
    let places = places.map(|(name, place)| (format!("ORION_{name}"), place));
    let sources = "kraken,coinbase,binance,luno,valr,finnhub,twelve_data,generic,generic_2";
    let common = [("ORION_SOURCES", sources), ("ORION_LOG", "trace"), ("ORION_INGEST_TOKEN", "")];
    let own = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let env = own.chain(keyed).chain(places.iter().map(|(name, place)| (name.as_str(), *place))).chain(common);
    let server = Server::start(&env.collect::<Vec<_>>()).await;
    // Whichever came first is in force, and some have no bid.
    let told = price_of(&server, |_| true).await;
    assert!(sources.split(',').any(|source| told["source"] == source), "{told}");
    soon("every source delivers", async {
        loop {
            let (_, answer) = server.get("/api/sources").await;
            let listed = answer["sources"].as_array().unwrap();
            let live = listed.iter().filter(|source| source["state"] == "live" && !source["last_tick_age"].is_null());
            if live.count() == stages.len() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    says_no_key(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn a_refused_key_neither_stops_nor_shows() {
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

/// A price of this moment.
fn now(bid: f64) -> Price {
    Price { symbol: "EURUSD", bid, ask: bid + 0.0001, at: clock::wall().timestamp_millis() }
}

#[tokio::test]
async fn a_silent_stream_is_replaced_by_the_other() {
    let oanda = play("oanda", vec![vec![Act::Price(now(1.1)), Act::Mute]]).await;
    let (open, gate) = watch::channel(false);
    let massive = massive::special(move |mut socket: massive::Socket| {
        let mut gate = gate.clone();
        async move {
            for _ in 0..3 {
                let Some(asked) = massive::heard(&mut socket).await else { return };
                let channel = asked["params"].as_str().unwrap();
                massive::say(&mut socket, vec![massive::status("success", &format!("subscribed to: {channel}"))]).await;
            }
            gate.wait_for(|open| *open).await.unwrap();
            let mut bid = 1.1;
            while massive::say(&mut socket, vec![massive::quote(now(bid))]).await {
                bid += 1e-5;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    })
    .await;
    // Short enough for a test, and the same on a weekend.
    let waits = [
        "ORION_PRICES__DELAYED_AFTER",
        "ORION_PRICES__STALE_AFTER",
        "ORION_PRICES__STALE_AFTER_QUIET",
        "ORION_PRICES__SWITCH_AFTER",
    ];
    let mut all: Vec<_> = waits.map(|name| (name, "1s".to_owned())).into();
    all.extend(settings(&oanda, "oanda", KEY));
    all.extend(settings(&massive, "massive", KEY));
    let server = start_with("oanda,massive", all).await;
    price_of(&server, |told| told["source"] == "oanda").await;
    open.send_replace(true);
    price_of(&server, |told| told["source"] == "massive" && told["quality"] == "live").await;
    says_no_key(&server).await;
    server.stop().await;
}

/// The ticks of a recording as a source tells them.
async fn told<P: Provider>(recording: &[Price]) -> Vec<(String, Quote, i64)> {
    let stage = P::play(vec![recording.iter().copied().map(Act::Price).collect()]).await;
    let mut rig = Rig::run(P::source(&stage, KEY, PATIENCE));
    let ticks = rig.ticks(recording.len()).await;
    rig.end().await;
    ticks.into_iter().map(|t| (t.symbol.to_string(), t.quote, t.observed_at.timestamp_millis())).collect()
}

/// The same as a terminal's Expert Advisor sends it: in batches, its broker's clock reckoned back to UTC.
async fn told_by_terminal(recording: &[Price]) -> Vec<(String, Quote, i64)> {
    let (handle, mut requests) = Handle::channel();
    let (instruments, metrics) = (Arc::new(catalogue()), Arc::new(Metrics::new().unwrap()));
    let push = Push::new(handle, instruments.clone(), wall(), metrics.clone());
    let states = SourceStates::new(&metrics);
    let terminal = MetaTrader::new(push, instruments, wall(), metrics, states);
    let taking = tokio::spawn(async move {
        let mut taken = Vec::new();
        while let Some(Request { input, answer, .. }) = requests.recv().await {
            let Input::Ticks(ticks) = input else { panic!("{input:?}") };
            taken.extend(ticks.into_iter().map(|t| (t.symbol.to_string(), t.quote, t.observed_at.timestamp_millis())));
            answer.unwrap().send(Ok(Accepted::Ticks(Vec::new()))).unwrap();
        }
        taken
    });
    for (seq, prices) in recording.chunks(100).enumerate() {
        let tick = |price: &Price| json!({ "s": "EURUSD.m", "b": price.bid, "a": price.ask, "d": 5, "t": price.at });
        let ticks: Vec<_> = prices.iter().map(tick).collect();
        let batch = json!({
            "v": 1, "type": "ticks", "src": "mt5", "seq": seq + 1, "utc_off": 10_800, "connected": true, "ticks": ticks
        });
        terminal.receive(&batch).await.unwrap();
    }
    drop(terminal);
    taking.await.unwrap()
}

#[tokio::test]
async fn each_stream_tells_a_real_recording_alike() {
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
    let told = told_by_terminal(&recording).await;
    let differing = told.iter().zip(&expected).find(|(told, expected)| told != expected);
    assert_eq!((differing, told.len()), (None, expected.len()), "a terminal");
}
