//! `calibrate` of the real binary: its figures are those of an independent computation, and its mapping is one that a server takes.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use orion_server::domain::{
    AppliedCalibration, Direction, EntryOrder, Feed, Killzone, OutcomeClass, SetupKind, SignalId, SourceName, Symbol,
    TradeOutcome, parse_time,
};
use orion_server::store::Store;
use orion_server::telemetry::Metrics;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::backtesting::recomputed_by;
use crate::support::{binary, soon, store_options};

const SCORES: [f64; 6] = [0.35, 0.4, 0.45, 0.5, 0.65, 0.8];

/// A record whose first target is reached the more often, the higher its score is, but less often than the score says.
fn record(number: u32) -> TradeOutcome {
    let mixed = number.wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(0x9e37_79b9);
    let score = SCORES[mixed as usize % SCORES.len()];
    let reached = f64::from(mixed >> 8) / f64::from(1 << 24) < score * 0.7;
    let at = parse_time("2026-01-15T10:30:00Z").unwrap() + Duration::from_secs(u64::from(number) * 600);
    // A mapping was applied to some of them: their score counts, not what became of it.
    let is_mapped = number.is_multiple_of(5);
    let calibration = is_mapped.then(|| AppliedCalibration { version: "an older one".into(), score });
    TradeOutcome {
        signal: SignalId::new(&format!("s{number}")).unwrap(),
        symbol: Symbol::new("EURUSD"),
        direction: Direction::Long,
        setup: Some(SetupKind::MssFvg),
        killzone: Killzone::London,
        source: SourceName::new(if number.is_multiple_of(11) { "push" } else { SourceName::SETUPS }),
        confidence: if is_mapped { 0.99 } else { score },
        calibration,
        feed: Some(Feed::Live),
        entry: Some(1.085),
        stop: Some(1.082),
        fill: Some(1.085),
        confirmed_at: at,
        closed_at: at,
        class: if number.is_multiple_of(13) { OutcomeClass::NotFilled } else { OutcomeClass::Stop },
        targets_hit: usize::from(reached),
        targets: 2,
        r: if reached { 0.0 } else { -1.0 },
        mfe: 1.0,
        mae: -1.0,
        gap_seconds: 0,
        order: EntryOrder::Market,
        net: None,
    }
}

async fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = binary();
    command.current_dir(dir).env("ORION_DATA_DIR", dir).args(args);
    soon("it ends", command.output()).await.unwrap()
}

async fn data(records: u32) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), store_options(), Metrics::new().unwrap().into()).unwrap();
    store.append_outcomes((0..records).map(record).collect(), Vec::new()).await.unwrap();
    store.close().await.unwrap();
    dir
}

#[tokio::test]
async fn a_calibration_is_recomputed_and_can_be_applied() {
    let dir = data(300).await;
    let made = run(dir.path(), &["calibrate", "--json", "-", "--write", "map.json"]).await;
    assert!(made.status.success(), "{made:?}");
    let report: Value = serde_json::from_slice(&made.stdout).unwrap();
    let exported = run(dir.path(), &["export", "--outcomes", "--format", "json"]).await;
    let outcomes: Value = serde_json::from_slice(&exported.stdout).unwrap();
    let both = json!({ "report": report, "outcomes": outcomes }).to_string();
    if let Some(compared) = recomputed_by("tests/recompute_calibration.py", &both) {
        assert!(compared["outcomes"] > 200 && compared["numbers"] > 50, "{compared:?} shows nothing");
        // A figure that is wrong is found.
        for figure in ["reliability", "mapped_brier", "high"] {
            let (before, after) = both.rsplit_once(&format!("\"{figure}\":")).unwrap();
            let forged = format!("{before}\"{figure}\":0.25{}", &after[after.find([',', '}']).unwrap()..]);
            let outcome = std::panic::catch_unwind(|| recomputed_by("tests/recompute_calibration.py", &forged));
            assert!(outcome.is_err(), "{figure} is not computed again");
        }
    }
    let table = run(dir.path(), &["calibrate"]).await;
    let table = String::from_utf8(table.stdout).unwrap();
    let version = report["mapping"]["version"].as_str().unwrap();
    assert!(table.contains(&format!("mapping {version} (isotonic)")), "{table}");

    let again = run(dir.path(), &["calibrate", "--write", "map.json"]).await;
    assert_eq!(again.status.code(), Some(1), "a mapping is never overwritten");
    let mut check = binary();
    check.current_dir(dir.path()).env("ORION_SETUPS__CALIBRATION", "map.json").arg("check-config");
    let checked = soon("it ends", check.output()).await.unwrap();
    let told = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && told.contains("calibration = \"map.json\""), "{checked:?}");
}

#[tokio::test]
async fn few_outcomes_suggest_no_mapping() {
    let dir = data(100).await;
    let few = run(dir.path(), &["calibrate", "--write", "map.json"]).await;
    let table = String::from_utf8(few.stdout).unwrap();
    assert_eq!((few.status.code(), dir.path().join("map.json").exists()), (Some(1), false));
    assert!(table.contains("Not enough to suggest a mapping: at least 200 outcomes are needed."), "{table}");
    assert!(table.contains("Brier score ") && !table.contains("isotonic"), "{table}");
}
