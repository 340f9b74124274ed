//! Backtests with the real binary: what they find is what a server finds, and their statistics are those of their records.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use chrono::{DateTime, TimeDelta};
use orion_server::store::{ExportFormat, export, export_outcomes};
use serde_json::{Value, json};

use crate::support::{Server, binary, soon};

/// Recorded at a real broker; not everybody has them.
const RECORDED: &str = "/work/shared/domain/data";

/// Minutes of a random walk with bid and ask, of `days` from a Sunday's opening on.
fn walk(days: i64) -> String {
    let began = DateTime::parse_from_rfc3339("2026-01-11T22:00:00Z").unwrap();
    let (mut state, mut price) = (7u64, 110_000i64);
    let mut step = |most: i64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as i64 % (2 * most + 1) - most
    };
    let mut csv = "time,bid_open,bid_high,bid_low,bid_close,ask_open,ask_high,ask_low,ask_close\n".to_owned();
    for minute in 0..days * 24 * 60 {
        let (open, close) = (price, price + step(9) + step(9));
        let (high, low) = (open.max(close) + step(4).abs(), open.min(close) - step(4).abs());
        price = close;
        let at = (began + TimeDelta::minutes(minute)).format("%Y-%m-%dT%H:%M:%SZ");
        write!(csv, "{at}").unwrap();
        for side in [0, 10] {
            for price in [open, high, low, close] {
                write!(csv, ",{:.5}", (price + side) as f64 / 1e5).unwrap();
            }
        }
        csv.push('\n');
    }
    csv
}

async fn backtest(args: &[&str]) -> Value {
    let output = soon("the backtest ends", binary().arg("backtest").args(args).output()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a server that replays the file has in its log and in its records.
async fn replayed(file: &str, symbol: &str, ticks: u64) -> (Vec<Value>, Value, Value) {
    let data = tempfile::tempdir().unwrap();
    // The second time the log knows every signal already, and each keeps its one life.
    for _ in 0..2 {
        let settings = [
            ("ORION_SOURCES", "replay"),
            ("ORION_REPLAY_FILE", file),
            ("ORION_REPLAY_SYMBOL", symbol),
            ("ORION_REPLAY_SPEED", "max"),
        ];
        let server = Server::start_on(&data, &settings).await;
        server.until("orion_events_in_total", "kind=\"tick\"", |count| count >= ticks as f64).await;
        server.stop().await;
    }
    let again = Server::start_on(&data, &[]).await;
    let (status, stats) = again.get("/api/stats?feed=replayed").await;
    assert_eq!(status, 200, "{stats}");
    again.stop().await;
    let (outcomes, log) = exported(data.path());
    (log, outcomes, stats)
}

/// The records and the changes of signals in a log.
pub(crate) fn exported(data: &Path) -> (Value, Vec<Value>) {
    let (mut outcomes, mut log) = (Vec::new(), Vec::new());
    export_outcomes(data, &mut outcomes).unwrap();
    export(data, ExportFormat::Json, &mut log).unwrap();
    let events: Vec<Value> = serde_json::from_slice(&log).unwrap();
    let signals = events.into_iter().map(|event| event["signal"].clone()).collect();
    (serde_json::from_slice(&outcomes).unwrap(), signals)
}

async fn same(file: &str, symbol: &str, least: usize) {
    let report = backtest(&["--symbol", symbol, "--json", "-", file]).await;
    let changes = report["changes"].as_array().unwrap();
    assert!(changes.len() >= least, "{} changes show nothing", changes.len());
    let (log, outcomes, stats) = replayed(file, symbol, report["files"][0]["ticks"].as_u64().unwrap()).await;
    assert_eq!(log.len(), changes.len());
    for (live, tested) in log.iter().zip(changes) {
        assert_eq!(live.to_string(), tested.to_string());
    }
    for part in ["all", "symbol", "setup", "killzone", "source", "confidence"] {
        assert_eq!(stats[part], report["statistics"][part], "{part}");
    }
    assert_eq!(outcomes, report["outcomes"]);
    recomputed(&json!({"statistics": stats_of(&stats), "outcomes": outcomes, "changes": log}));
}

/// The statistics alone.
pub(crate) fn stats_of(stats: &Value) -> Value {
    let parts = ["all", "symbol", "setup", "killzone", "source", "confidence"];
    parts.into_iter().map(|part| (part.to_owned(), stats[part].clone())).collect::<serde_json::Map<_, _>>().into()
}

/// Has a second implementation, in another language, compute the statistics of the records. `None` without Python.
pub(crate) fn recomputed(report: &Value) -> Option<BTreeMap<String, u64>> {
    recomputed_by("tests/recompute.py", &report.to_string())
}

/// Has a script compute the figures of a report. `None` without Python.
pub(crate) fn recomputed_by(script: &str, report: &str) -> Option<BTreeMap<String, u64>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), report).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let Ok(output) = std::process::Command::new("python3").arg(script).arg(file.path()).output() else {
        eprintln!("skipped: there is no python3");
        return None;
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[tokio::test]
async fn a_backtest_finds_what_a_live_replay_finds() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), walk(4)).unwrap();
    same(file.path().to_str().unwrap(), "EURUSD", 8).await;
}

#[tokio::test]
async fn recorded_bars_give_the_signals_of_a_server() {
    let file = |name: &str| format!("{RECORDED}/{name}_m1_oanda_201405.csv");
    if !Path::new(&file("eurusd")).exists() {
        eprintln!("skipped: {} is not there", file("eurusd"));
        return;
    }
    let report = backtest(&["--json", "-", &file("eurusd"), &file("xauusd")]).await;
    for recording in report["files"].as_array().unwrap() {
        let per_day = recording["signals_per_day"].as_f64().unwrap();
        assert!((0.7..=3.0).contains(&per_day), "{recording}");
    }
    same(&file("eurusd"), "EURUSD", 20).await;
}

#[tokio::test]
async fn costs_are_in_the_net_results_alone() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), walk(4)).unwrap();
    let path = file.path().to_str().unwrap();
    let args = ["--symbol", "EURUSD", "--json", "-", path];
    let costs = ["--slippage", "2,XAUUSD=0.5", "--commission", "0.00003"];
    let (free, mut paid) = (backtest(&args).await, backtest(&[&args[..], &costs].concat()).await);
    let gross = |report: &Value| {
        let records = report["outcomes"].as_array().unwrap().iter().cloned();
        let without = records.map(|mut record| {
            record.as_object_mut().unwrap().remove("net");
            record
        });
        without.collect::<Vec<_>>()
    };
    assert_eq!((gross(&paid), &paid["changes"]), (gross(&free), &free["changes"]));
    let (all, net) = (&paid["statistics"]["all"], &paid["statistics"]["all"]["net"]);
    assert_eq!((&net["trades"], &free["statistics"]["all"]["net"]), (&all["trades"], &Value::Null));
    assert!(net["total_r"].as_f64() < all["total_r"].as_f64(), "{net}");
    let assumed = paid["assumptions"].to_string();
    assert!(assumed.contains("Slippage: 2points, XAUUSD=0.5 on each fill"), "{assumed}");
    paid["costs"] = json!({ "slippage": 0.000_02, "commission": 0.000_03 });
    recomputed(&paid);
    let limit = backtest(&[&args[..], &["--entry", "limit"]].concat()).await;
    let orders = limit["outcomes"].as_array().unwrap();
    assert!(orders.iter().all(|record| record["order"] == "limit"), "{orders:?}");
    recomputed(&limit);
}

/// Runs a sweep. `processors` are those that it may use, as taskset lists them.
async fn swept(processors: &str, args: &[&str]) -> String {
    let server = binary();
    let mut command = tokio::process::Command::new("taskset");
    command.args(["-c", processors]).arg(server.as_std().get_program()).arg("backtest").args(args).env_clear();
    let output = soon("the sweep ends", command.output()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_sweep_is_recomputed_and_the_same_everywhere() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), walk(24)).unwrap();
    let pages = [tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap()];
    let args = ["--symbol", "EURUSD", "--json", "-", "--held-out", "10", "--sweep", "setups.swing=3,8", "--sweep"];
    let args = [&args[..], &["setups.min_score=0:0.5:0.5", file.path().to_str().unwrap()]].concat();
    let [first, second] = pages.each_ref().map(|page| [&["--html", page.path().to_str().unwrap()][..], &args].concat());
    let (one, all) = tokio::join!(swept("0", &first), swept("0-1023", &second));
    assert!(one == all, "the report depends on the number of processors");
    let [first, second] = pages.each_ref().map(|page| std::fs::read_to_string(page.path()).unwrap());
    assert!(first == second && first.contains("Sensitivity to setups.swing") && first.contains("held out"), "{first}");
    let report: Value = serde_json::from_str(&one).unwrap();
    let settings: Vec<_> = report["tries"].as_array().unwrap().iter().map(|it| it["settings"].clone()).collect();
    let expected = [("3", "0.0"), ("3", "0.5"), ("8", "0.0"), ("8", "0.5")]
        .map(|(swing, score)| json!({ "setups.swing": swing, "setups.min_score": score }));
    assert_eq!(settings, expected);
    assert_eq!(report["overfitting"]["splits"], 12_870, "{}", report["sentences"]);
    if let Some(counted) = recomputed_by("tests/recompute_sweep.py", &one) {
        assert!(counted["trades"] > 40, "{counted:?} shows nothing");
        // A figure that is wrong is found.
        for figure in ["probabilistic_sharpe", "sharpe_variance", "deflated_sharpe", "median_logit", "max_drawdown_r"] {
            let (before, after) = one.split_once(&format!("\"{figure}\": ")).unwrap();
            let forged = format!("{before}\"{figure}\": 0.25{}", &after[after.find([',', '\n']).unwrap()..]);
            let outcome = std::panic::catch_unwind(|| recomputed_by("tests/recompute_sweep.py", &forged));
            assert!(outcome.is_err(), "{figure} is not computed again");
        }
    }
    // The try without changes is a backtest.
    let plain = backtest(&["--symbol", "EURUSD", "--json", "-", file.path().to_str().unwrap()]).await;
    let default =
        swept("0", &["--symbol", "EURUSD", "--json", "-", "--sweep", "setups.swing=5", args[args.len() - 1]]).await;
    let default: Value = serde_json::from_str(&default).unwrap();
    let results: Vec<_> =
        plain["outcomes"].as_array().unwrap().iter().filter(|it| it["class"] != "not_filled").collect();
    assert_eq!(default["tries"][0]["results"], results.iter().map(|it| it["r"].clone()).collect::<Value>());
}

#[tokio::test]
async fn the_same_recording_gives_the_same_report() {
    let dir = tempfile::tempdir().unwrap();
    let (csv, page) = (dir.path().join("eurusd_walk.csv"), dir.path().join("report.html"));
    std::fs::write(&csv, walk(3)).unwrap();
    let args = ["--json", "-", "--html", page.to_str().unwrap(), csv.to_str().unwrap()];
    let (one, other) = (backtest(&args).await, backtest(&args).await);
    assert_eq!(one.to_string(), other.to_string());
    let page = std::fs::read_to_string(&page).unwrap();
    for part in [
        "<svg",
        "signals by trading day",
        "Sum of the results in R",
        "The sample: ",
        "Price and signals",
        "class=\"dot\"",
        "<h2>Months",
        "× 1.5",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("http") && !page.contains("<script"), "it needs nothing else");
    assert!(page.len() < 200_000, "{} bytes", page.len());
}

#[tokio::test]
async fn statistics_match_a_script_over_the_records() {
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("eurusd_walk.csv");
    std::fs::write(&csv, walk(12)).unwrap();
    let page = dir.path().join("report.html");
    let report = backtest(&["--json", "-", "--html", page.to_str().unwrap(), csv.to_str().unwrap()]).await;
    let Some(compared) = recomputed(&report) else { return };
    assert!(compared["numbers"] > 100 && compared["trades"] > 5, "{compared:?}");
    // A figure that is wrong is found.
    for figure in ["/curve/1/drawdown_r", "/months/0/total_r", "/months/0/max_drawdown_r", "/spreads/2/max_drawdown_r"]
    {
        let mut forged = report.clone();
        let value = forged.pointer_mut(figure).unwrap_or_else(|| panic!("the report has no {figure}"));
        *value = json!(value.as_f64().unwrap() + 1e-6);
        let outcome = std::panic::catch_unwind(|| recomputed(&forged));
        assert!(outcome.is_err(), "{figure} is not computed again");
    }
}

#[tokio::test]
async fn a_look_ahead_check_compares_or_fails() {
    let (file, empty) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    let rows = walk(1);
    let first = |rows: &str, count| rows.split_inclusive('\n').take(count).collect::<String>();
    std::fs::write(file.path(), first(&rows, 181)).unwrap();
    std::fs::write(empty.path(), first(&rows, 2)).unwrap();
    let check = async |file: &Path| {
        let file = file.to_str().unwrap();
        let args = ["backtest", "--lookahead-check", "--symbol", "EURUSD", "--json", "-", file];
        let output = soon("the check ends", binary().args(args).output()).await.unwrap();
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap()[0].clone())
    };
    let (code, report) = check(file.path()).await;
    assert_eq!((code, &report["passed"], &report["bars"]), (Some(0), &json!(true), &json!(180)), "{report}");
    let swings = &report["outputs"][0];
    assert!(swings["compared"].as_u64() > Some(100) && swings["rewritten"] == 0, "{swings}");
    // A check that compared nothing shows nothing.
    let (code, report) = check(empty.path()).await;
    assert_eq!((code, &report["passed"]), (Some(1), &json!(false)), "{report}");
}
