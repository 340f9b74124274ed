//! The whole replay: from a file to timed batches.

use std::io::Write;
use std::path::Path;

use chrono::TimeDelta;

use super::*;
use crate::domain::{Quote, Tick, parse_time};
use crate::pipeline::{Handle, Input};
use crate::telemetry::{Metrics, SourceStates};

/// The recorded ticks of 8 May 2014, where the machine has them. They are not part of the repository.
const RECORDED: &str = "/work/shared/domain/data/eurusd_ticks_oanda_20140508_1100_1500.csv";

fn instruments() -> Arc<Instruments> {
    Arc::new(Instruments::new(Instruments::documented()).unwrap())
}

fn wall() -> WallClock {
    Arc::new(|| parse_time("2026-11-28T12:00:00Z").unwrap())
}

type Batches = Vec<(Duration, Vec<Tick>)>;

/// Replays `file` to its end. Returns the inputs with their times, and the result of the source.
///
/// Only the replay's own timers run meanwhile, so the paused clock waits for the reading thread.
async fn replay(file: &Path, speed: Speed) -> (Batches, Result<Finished, SourceError>) {
    let metrics = Metrics::new().unwrap();
    let states = SourceStates::new(&metrics);
    let (handle, mut receiver) = Handle::channel();
    let options = Options { file: file.into(), symbol: "EUR/USD".into(), speed, reading: RecordingOptions::default() };
    let mut replay = Replay::new(options, &instruments(), wall()).unwrap();
    let taken = metrics.source_ticks_total.with_label_values(&["replay"]);
    let out = SourceHandle::new(replay.name(), replay.feed(), handle, &metrics, &states);
    let began = Instant::now();
    let play = async move {
        let end = replay.run(&out).await;
        drop(out);
        end
    };
    let mut batches = Batches::new();
    let watch = async {
        while let Some(request) = receiver.recv().await {
            let Input::Ticks(ticks) = request.input else { panic!("a recording has no signals") };
            batches.push((began.elapsed(), ticks));
        }
    };
    let (end, ()) = tokio::join!(play, watch);
    assert_eq!(taken.get(), batches.iter().map(|(_, ticks)| ticks.len() as u64).sum::<u64>());
    (batches, end)
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

const TICKS: &str = "time,bid,ask\n2026-01-15T07:00:00.000Z,1.1,1.2\n2026-01-15T07:00:00.500Z,1.2,1.3\n\
                     2026-01-15T07:00:00.500Z,1.3,1.4\n2026-01-15T07:01:00.000Z,1.4,1.5\n";

fn moments(batches: &Batches) -> Vec<(u128, usize)> {
    batches.iter().map(|(at, ticks)| (at.as_millis(), ticks.len())).collect()
}

#[tokio::test(start_paused = true)]
async fn ticks_come_when_they_are_due() {
    let (batches, end) = replay(file(TICKS).path(), Speed::Factor(1.0)).await;
    assert_eq!(moments(&batches), [(0, 1), (500, 2), (60_000, 1)]);
    assert_eq!(end.unwrap(), Finished);
    let (batches, _) = replay(file(TICKS).path(), Speed::Factor(60.0)).await;
    assert_eq!(moments(&batches), [(0, 1), (9, 2), (1000, 1)]);
    let (batches, _) = replay(file(TICKS).path(), Speed::Factor(0.5)).await;
    assert_eq!(moments(&batches), [(0, 1), (1000, 2), (120_000, 1)]);
}

#[tokio::test(start_paused = true)]
async fn full_speed_never_waits_and_bounds_batches() {
    let row = |second: i64| {
        let at = parse_time("2026-01-15T07:00:00Z").unwrap() + TimeDelta::seconds(second);
        format!("{},1.1,1.2\n", crate::domain::iso(at))
    };
    let text: String = (0..1000).map(row).collect();
    let (batches, end) = replay(file(&text).path(), Speed::Max).await;
    assert_eq!(end.unwrap(), Finished);
    assert!(batches.iter().all(|(_, ticks)| ticks.len() <= MAX_BATCH));
    assert_eq!(batches.iter().map(|(_, ticks)| ticks.len()).sum::<usize>(), 1000);
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_recording_is_fatal_with_its_reason() {
    let broken = file("time,name,city\n1,2,3\n");
    for (path, part) in [
        (Path::new("/nowhere/ticks.csv"), "cannot replay /nowhere/ticks.csv: No such file"),
        (Path::new("/"), "cannot replay /: Is a directory"),
        (broken.path(), "they are time, name, city"),
    ] {
        let (batches, end) = replay(path, Speed::Max).await;
        let error = end.unwrap_err();
        assert!(matches!(error, SourceError::Fatal(_)));
        assert!(batches.is_empty() && error.to_string().contains(part), "{error}");
    }
}

#[test]
fn invalid_options_are_rejected() {
    let new = |symbol: &str, speed| {
        let reading = RecordingOptions::default();
        let options = Options { file: "ticks.csv".into(), symbol: symbol.into(), speed, reading };
        Replay::new(options, &instruments(), wall()).unwrap_err().to_string()
    };
    assert_eq!(new("US300", Speed::Max), "unknown symbol 'US300'");
    for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(new("EURUSD", Speed::Factor(factor)).starts_with("a replay speed has to be a positive number"));
    }
}

#[test]
fn no_speed_is_too_slow_for_the_timer() {
    let mut pace = ReplayPace::new(Speed::Factor(f64::MIN_POSITIVE));
    let first = parse_time("2026-01-15T07:00:00Z").unwrap();
    let began = pace.due(first).unwrap();
    assert_eq!(pace.due(first + TimeDelta::days(10_000)), Some(began + MAX_WAIT));
}

/// The whole recorded file at sixty times its speed: every quote unchanged, in order and on time.
#[tokio::test(start_paused = true)]
async fn recorded_ticks_are_unchanged() {
    let Ok(text) = std::fs::read_to_string(RECORDED) else {
        #[expect(clippy::print_stderr, reason = "a test that did not run has to say so")]
        {
            eprintln!("skipped: {RECORDED} is not there");
        }
        return;
    };
    let expected: Vec<(String, f64, f64)> = text
        .lines()
        .skip(1)
        .map(|line| {
            let mut fields = line.split(',');
            let mut next = || fields.next().unwrap();
            (next().to_owned(), next().parse().unwrap(), next().parse().unwrap())
        })
        .collect();
    let (batches, end) = replay(Path::new(RECORDED), Speed::Factor(60.0)).await;
    assert_eq!(end.unwrap(), Finished);
    let first = batches[0].1[0].observed_at;
    for (at, ticks) in &batches {
        let due = (ticks[0].observed_at - first).as_seconds_f64() / 60.0;
        assert!((at.as_secs_f64() - due).abs() < 0.003, "due after {due} s, came after {at:?}");
    }
    let ticks: Vec<(String, f64, f64)> = batches
        .into_iter()
        .flat_map(|(_, ticks)| ticks)
        .map(|tick| {
            let Quote::BidAsk { bid, ask } = tick.quote else { panic!("{tick:?}") };
            assert_eq!((tick.feed, tick.source.as_str()), (Feed::Replayed, "replay"));
            (crate::domain::iso(tick.observed_at), bid, ask)
        })
        .collect();
    assert_eq!(ticks.len(), 55_086);
    assert!(ticks == expected);
}
