//! `recompute` of the real binary, over the ticks and the log of a server.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use orion_server::cli;
use orion_server::config::Settings;
use orion_server::domain::{Feed, Input, Now, Quote, Signal, SourceName, Symbol, Tick, parse_time};
use orion_server::engine::Engine;
use orion_server::pipeline::clock::wall;
use orion_server::store::Store;
use orion_server::telemetry::Metrics;
use orion_server::ticks::{Keeper, KeeperOptions};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{binary, soon, store_options};

/// Rules that find many signals.
const RULES: [(&str, &str); 6] = [
    ("ORION_SETUPS__COOL_DOWN", "5m"),
    ("ORION_SETUPS__KILLZONES", "asia,london,ny_am,lunch,pm"),
    ("ORION_SETUPS__REACH_ATR", "3"),
    ("ORION_SETUPS__MAX_RISK_ATR", "20"),
    ("ORION_SETUPS__MIN_RISK_ATR", "0.1"),
    ("ORION_SETUPS__MIN_RISK_SPREADS", "1"),
];

/// Runs a day of a server, whose prices arrive up to `late` milliseconds after they were observed. What it keeps and stores is in
/// the directory.
async fn server(late: i64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let env = RULES.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let settings: Settings = cli::parse(["orion-server"]).unwrap().load(&env).unwrap().settings;
    let instruments = Arc::new(settings.instruments().unwrap());
    let mut engine =
        Engine::new(instruments, settings.signals.ttl, 5).with_setups(settings.setups.rules(), false).keeping_ticks();
    let metrics = Arc::new(Metrics::new().unwrap());
    let (keeper, task) = Keeper::new(KeeperOptions {
        dir: dir.path().to_owned(),
        retention: Duration::from_hours(100_000),
        max_bytes: KeeperOptions::MAX_BYTES,
        low_space: Box::new(|| None),
        clock: Arc::new(wall),
        metrics: metrics.clone(),
    });
    let (store, _) = Store::open(dir.path(), store_options(), metrics).unwrap();
    let began = parse_time("2026-01-14T00:00:00Z").unwrap();
    keeper.begin(began);
    let (mut signals, mut random, mut price) = (BTreeMap::new(), 42u64, 1.1);
    for step in 1..24 * 60 * 4 {
        let mut sum = 0.0;
        for _ in 0..4 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum += (random >> 40) as f64 / f64::from(1 << 24) - 0.5;
        }
        price += sum * 0.000_12;
        let observed_at = began + TimeDelta::milliseconds(step * 15_000 - 100);
        let received_at = observed_at + TimeDelta::milliseconds(late.min((random >> 33) as i64 % late.max(1)));
        let now = Now { wall: received_at, mono: (received_at - began).to_std().unwrap() };
        let quote = Quote::BidAsk { bid: price - 0.000_05, ask: price + 0.000_05 };
        let (symbol, source) = (Symbol::new("EURUSD"), SourceName::new("oanda"));
        let tick = Tick { symbol, quote, volume: None, observed_at, feed: Feed::Live, source };
        let mut changes = engine.expire(now);
        changes.extend(engine.process(Input::Ticks(vec![tick]), now).changes);
        keeper.keep(engine.drain_used_ticks());
        let changed: Vec<Arc<Signal>> = changes.into_iter().map(|change| change.signal).collect();
        if !changed.is_empty() {
            store.append(changed.clone(), Vec::new(), Vec::new()).await.unwrap();
        }
        signals.extend(changed.into_iter().map(|signal| (signal.id.clone(), signal)));
    }
    assert!(signals.len() >= 5, "{} signals", signals.len());
    drop(keeper);
    task.run().await.unwrap();
    store.close().await.unwrap();
    dir
}

async fn recompute(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = binary();
    command.current_dir(dir).envs(RULES).env("ORION_DATA_DIR", dir).arg("recompute").args(args);
    let Output { status, stdout, stderr } = soon("it ends", command.output()).await.unwrap();
    (status.code(), String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn punctual_prices_give_the_live_signals() {
    let dir = server(0).await;
    let (code, told) = recompute(dir.path(), &["2026-01-14"]).await;
    let first = told.lines().next().unwrap();
    assert_eq!(code, Some(0), "{told}");
    assert!(
        first.starts_with("2026-01-14: 5759 ticks, ") && first.ends_with(" in the backtest, 0 differences"),
        "{told}"
    );
    let (code, told) = recompute(dir.path(), &["2026-01-12"]).await;
    let expected = format!("no ticks of 2026-01-12 are kept in {}; those of 2026-01-14 are", dir.path().display());
    assert!(code == Some(1) && told.contains(&expected), "{told}");
    let (code, told) = recompute(dir.path(), &["9999-01-01"]).await;
    assert!(code == Some(1) && told.contains("9999-01-01 is not over (UTC); name an earlier day"), "{told}");
    // Other rules than those of the server explain nothing.
    let mut command = binary();
    command.env("ORION_DATA_DIR", dir.path()).args(["recompute", "2026-01-14"]);
    let other = soon("it ends", command.output()).await.unwrap();
    let told = String::from_utf8(other.stdout).unwrap();
    assert!(other.status.code() == Some(1) && told.contains("unexplained"), "{told}");
}

#[tokio::test]
async fn late_prices_are_listed_with_their_times() {
    let dir = server(400).await;
    let (code, told) = recompute(dir.path(), &["2026-01-14"]).await;
    assert_eq!(code, Some(0), "late ticks are explained: {told}");
    assert!(told.lines().next().unwrap().contains(" differences: late_tick "), "{told}");
    assert!(told.contains("EURUSD") && told.contains(" ms later, at 2026-01-14T"), "{told}");
    let (_, json) = recompute(dir.path(), &["2026-01-14", "--json", "-"]).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    let differences = json["differences"].as_array().unwrap();
    assert_eq!(json["counts"]["late_tick"], differences.len());
    assert!(differences.iter().all(|it| it["reason"] == "late_tick" && it["symbol"] == "EURUSD"), "{json}");
}
