//! The simulator over a restart: its prices go on, and its pending signals end by price.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::support::{Server, soon, until};

/// So quick that a signal's life is a few seconds, and the prices of a beat reach everybody before the next one.
const SETTINGS: [(&str, &str); 3] =
    [("ORION_SOURCES", "simulator"), ("ORION_PUBLISH_INTERVAL", "100ms"), ("ORION_SIMULATOR__SIGNAL_INTERVAL", "1s")];

async fn start(data: &Path) -> Server {
    Server::start_on(data, &SETTINGS).await
}

/// Symbol → price and tick size.
async fn prices(server: &Server) -> BTreeMap<String, f64> {
    let (_, body) = server.get("/api/prices").await;
    let price = |price: &Value| (price["symbol"].as_str().unwrap().to_owned(), price["price"].as_f64().unwrap());
    body["prices"].as_array().unwrap().iter().map(price).collect()
}

async fn ticks(server: &Server) -> BTreeMap<String, f64> {
    let (_, body) = server.get("/api/instruments").await;
    let list = body["instruments"].as_array().or(body.as_array()).unwrap();
    let tick = |i: &Value| (i["symbol"].as_str().unwrap().to_owned(), i["tick_size"].as_f64().unwrap());
    list.iter().map(tick).collect()
}

async fn signals(server: &Server, status: &str) -> BTreeMap<String, Value> {
    let (_, body) = server.get(&format!("/api/signals?limit=500&status={status}")).await;
    let signals = body["signals"].as_array().unwrap().iter();
    signals.map(|signal| (signal["id"].as_str().unwrap().to_owned(), signal.clone())).collect()
}

async fn first_prices(server: &Server) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    until("prices", async || {
        found = prices(server).await;
        found.len() >= 11
    })
    .await;
    found
}

/// The server has run for a while, ends by `end`, and starts again.
async fn over_a_restart(end: impl AsyncFnOnce(Server)) {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path()).await;
    let start_prices = first_prices(&server).await;
    let ticks = ticks(&server).await;
    let moved = |from: &BTreeMap<String, f64>, to: &BTreeMap<String, f64>| -> f64 {
        let of = |symbol: &String| (from[symbol] - to[symbol]).abs() / ticks[symbol];
        from.keys().map(of).sum::<f64>() / from.len() as f64
    };
    // A price that began anew would be seen.
    until("prices have moved", async || moved(&start_prices, &prices(&server).await) > 12.0).await;
    until("signals are pending", async || signals(&server, "pending").await.len() >= 3).await;
    let pending = signals(&server, "pending").await;
    let last = prices(&server).await;
    end(server).await;

    let server = start(data.path()).await;
    let restarted = Instant::now();
    let first = first_prices(&server).await;
    let (over_the_restart, since_the_start) = (moved(&last, &first), moved(&start_prices, &last));
    eprintln!("ticks moved on average: {over_the_restart:.1} over the restart, {since_the_start:.1} before it");
    assert!(over_the_restart < since_the_start / 2.0, "{last:?} {first:?}");

    // They end before their time is up: by price, unless the price does not get there.
    let mut by_price = 0;
    soon("they end", async {
        while restarted.elapsed() < Duration::from_secs(150) && by_price * 3 < pending.len() * 2 {
            let mut ended = signals(&server, "confirmed").await;
            ended.extend(signals(&server, "invalidated").await);
            ended.retain(|id, signal| pending.contains_key(id) && signal["invalidation"] != "timeout");
            by_price = ended.len();
            sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    eprintln!("{by_price} of {} pending signals ended by price within {:?}", pending.len(), restarted.elapsed());
    assert!(by_price * 3 >= pending.len() * 2, "{by_price} of {}", pending.len());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn simulated_prices_and_signals_survive_a_stop() {
    over_a_restart(async |server| server.stop().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn simulated_prices_and_signals_survive_kill_9() {
    over_a_restart(async |server| server.kill().await).await;
}
