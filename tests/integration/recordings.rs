//! Recordings as vendors write them: the recorded files of a real broker, rewritten in each vendor's format, give the signals of the
//! original byte for byte; reports and replays say how a file was read.

mod vendors;

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use orion_server::backtest::{RunOptions, run};
use orion_server::config::Settings;
use orion_server::domain::{Instruments, RecordingOptions, TradingCosts};
use serde_json::Value;

use crate::support::{Native, Server, binary, soon};
use vendors::{Recorded, Rewritten};

const RECORDED: &str = "/work/shared/domain/data";
/// Bars of each recording that are rewritten: the first night and morning.
const BARS: usize = 1000;
/// Ticks that are rewritten: an hour of them.
const TICKS: usize = 8000;

/// Every change of every signal in a file, as JSON, and how many prices there were.
fn signals(dir: &Path, file: &Rewritten, symbol: &str) -> (String, u64) {
    let path = dir.join(&file.name);
    std::fs::write(&path, &file.text).unwrap();
    let settings = Settings::default();
    let list = Instruments::documented().into_iter().chain(Instruments::futures());
    let instruments = Arc::new(Instruments::new(list).unwrap());
    let instrument = instruments.resolve(symbol).unwrap().clone();
    let options = RunOptions {
        instruments,
        ttl: settings.signals.ttl,
        rules: settings.setups.rules(),
        costs: TradingCosts::default(),
        reading: RecordingOptions {
            spread: file.spread,
            columns: file.columns.parse().unwrap(),
            ..RecordingOptions::default()
        },
        now: DateTime::<Utc>::from_timestamp(1_790_000_000, 0).unwrap(),
    };
    let run = run(&path, &instrument, &options, |_| {}).unwrap_or_else(|error| panic!("{}: {error}", file.layout));
    assert!(run.read.read_as.starts_with(file.layout), "{}: {}", file.layout, run.read.read_as);
    assert_eq!(run.read.left_out.total(), 0, "{}: {}", file.layout, run.read.left_out);
    (serde_json::to_string(&run.changes).unwrap(), run.ticks)
}

fn same_signals(original: &Rewritten, others: &[Rewritten], symbol: &str, least: usize) {
    let dir = tempfile::tempdir().unwrap();
    let (expected, ticks) = signals(dir.path(), original, symbol);
    let changes = expected.matches("\"status\"").count();
    assert!(changes >= least, "{symbol}: {changes} changes in {ticks} prices show nothing");
    for other in others {
        let (found, count) = signals(dir.path(), other, symbol);
        assert_eq!(count, ticks, "{} as {}", symbol, other.layout);
        assert!(found == expected, "{} as {}: other signals", symbol, other.layout);
    }
}

fn recorded(name: &str) -> Option<String> {
    let path = format!("{RECORDED}/{name}");
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("skipped: {path} is not there");
    }
    text
}

#[test]
fn recorded_bars_give_equal_signals_in_every_format() {
    for (name, symbol, decimals) in
        [("eurusd_m1_oanda_201405.csv", "EURUSD", 5), ("xauusd_m1_oanda_201405.csv", "XAUUSD", 3)]
    {
        let Some(text) = recorded(name) else { return };
        let bars = Recorded::bars(&text, BARS, decimals);
        for (original, others) in [bars.both_sides(), bars.bids(), bars.last_prices()] {
            same_signals(&original, &others, symbol, 2);
        }
    }
}

#[test]
fn recorded_ticks_give_equal_signals_in_every_format() {
    let Some(text) = recorded("eurusd_ticks_oanda_20140508_1100_1500.csv") else { return };
    let (original, others) = Recorded::ticks(&text, TICKS).ticks_of_both_sides();
    same_signals(&original, &others, "EURUSD", 0);
}

async fn backtest(args: &[&str]) -> (i32, String, String) {
    let output = soon("the backtest ends", binary().arg("backtest").args(args).output()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

const DUKASCOPY: &str = "Gmt time,Open,High,Low,Close,Volume\n\
                         15.01.2026 07:00:00.000,1.16001,1.16012,1.15998,1.16005,1234.56\n\
                         15.01.2026 07:01:00.000,1.16005,1.16005,1.16005,1.16005,0\n\
                         17.01.2026 07:00:00.000,1.16200,1.16200,1.16200,1.16200,0\n";

#[tokio::test]
async fn every_report_says_how_a_file_was_read() {
    let dir = tempfile::tempdir().unwrap();
    let (csv, page) = (dir.path().join("EURUSD_Candlestick_1_M_BID.csv"), dir.path().join("report.html"));
    std::fs::write(&csv, DUKASCOPY).unwrap();
    let csv = csv.to_str().unwrap();
    let (code, table, told) = backtest(&["--html", page.to_str().unwrap(), csv]).await;
    assert_eq!(code, 0, "{told}");
    let page = std::fs::read_to_string(&page).unwrap();
    for part in
        ["read as: Dukascopy bars, bid prices, UTC", "left out: 1 filling a closed market", "0.00012 was assumed"]
    {
        assert!(table.contains(part) && page.contains(part), "{part}: {table}");
    }
    assert!(told.contains("read as: Dukascopy bars, bid prices, UTC"), "{told}");
    let args =
        ["--timezone", "+02:00", "--price", "ask", "--spread", "0.0002", "--bar-label", "end", "--json", "-", csv];
    let (code, json, told) = backtest(&args).await;
    assert_eq!(code, 0, "{told}");
    let report: Value = serde_json::from_str(&json).unwrap();
    let read = &report["files"][0];
    assert_eq!(read["read_as"], "Dukascopy bars, ask prices, UTC+02:00, bars labelled by their end");
    assert_eq!((&read["from"], &read["trading_days"]), (&"2026-01-15T04:59:00.000Z".into(), &1.into()));
    assert_eq!(
        (&read["timezone"], &read["price"], &read["bar_label"]),
        (&"+02:00".into(), &"ask".into(), &"end".into())
    );
    assert_eq!((&read["spread"], &read["bar_seconds"]), (&0.0002.into(), &60.0.into()));
    assert_eq!((&read["rows_left_out"], &read["left_out"]["closed_market"]["rows"]), (&1.into(), &1.into()));
}

#[tokio::test]
async fn ambiguous_recordings_are_refused_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("EURUSD.csv");
    for (text, args, part) in [
        ("Date,Open,High,Low,Close\n01/02/2026,1.1,1.2,1.0,1.1\n", &[][..], "date_order=dmy or date_order=mdy"),
        ("time,open,high,low,close\n1.76846E+12,1.1,1.2,1.0,1.1\n", &[], "rounded by a spreadsheet"),
        (DUKASCOPY, &["--timezone", "EDT"], "is not a time zone: give an IANA name"),
        (DUKASCOPY, &["--spread", "1.3pips"], "mean different things to different brokers"),
        (DUKASCOPY, &["--columns", "time=when"], "--columns names 'when', but its columns are Gmt time"),
    ] {
        std::fs::write(&csv, text).unwrap();
        let (code, _, told) = backtest(&[args, &[csv.to_str().unwrap()]].concat()).await;
        assert!(code != 0 && told.contains(part), "{code}: {told}");
    }
}

#[tokio::test]
async fn a_replay_reads_as_its_settings_say() {
    let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    let rows = "time;o;h;l;c\n2026-01-15 09:00;1,16001;1,16012;1,15998;1,16005\n2026-01-15 09:01;1,16005;1,16009;1,16001;1,16008\n";
    std::fs::write(file.path(), rows).unwrap();
    let server = Server::start(&[
        ("ORION_SOURCES", "replay"),
        ("ORION_REPLAY_FILE", file.path().to_str().unwrap()),
        ("ORION_REPLAY_SYMBOL", "EURUSD"),
        ("ORION_REPLAY_SPEED", "max"),
        ("ORION_REPLAY_TIMEZONE", "broker"),
        ("ORION_REPLAY_PRICE", "bid"),
        ("ORION_REPLAY_SPREAD", "21"),
        ("ORION_REPLAY_BAR_LABEL", "end"),
        ("ORION_REPLAY_COLUMNS", "volume=none"),
    ])
    .await;
    let mut client = Native::connect(server.addr, "/ws/signals").await;
    let last = loop {
        let frame = client.frame("price_update").await;
        if frame["payload"]["timestamp"] == "2026-01-15T07:00:59.999Z" {
            break frame;
        }
    };
    let price = &last["payload"];
    assert_eq!((&price["bid"], &price["ask"]), (&1.16008.into(), &1.16029.into()), "{last}");
    server.stop().await;
}
