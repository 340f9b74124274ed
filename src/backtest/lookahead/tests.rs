//! Nothing of ours is rewritten; what looks ahead is found, and the known package has its published number.

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::parts::{CheckedKind, OutputSeries, OutputValue};
use super::report::SeriesCheck;
use super::*;
use crate::domain::{Instruments, RecordingOptions, SetupRules, TradingCosts, parse_time};

/// Market data of real brokers; not everybody has it.
const RECORDED: &str = "../shared/domain/data";

fn options() -> LookaheadOptions {
    let instruments = Arc::new(Instruments::new(Instruments::documented()).unwrap());
    let reading = RecordingOptions::default();
    let now = parse_time("2026-11-28T12:00:00Z").unwrap();
    let (ttl, rules, costs) = (Duration::from_mins(5), SetupRules::default(), TradingCosts::default());
    let run = RunOptions { instruments, ttl, rules, costs, reading, now };
    LookaheadOptions { run, interval: BarInterval::OneMinute, swing: 5 }
}

fn instrument(symbol: &str) -> Arc<Instrument> {
    options().run.instruments.resolve(symbol).unwrap().clone()
}

fn loaded(file: &Path) -> LoadedRecording {
    LoadedRecording::open(file, &instrument("EURUSD"), &options()).unwrap()
}

/// Returns a file of the walk in the fixtures.
fn walk() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/detect/fixtures/walk.csv")
}

/// Returns the first rows of a recorded file; `None`, after saying so, where it is absent.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn recorded(name: &str, rows: usize) -> Option<tempfile::NamedTempFile> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDED).join(name);
    let Ok(text) = fs::read_to_string(&file) else {
        eprintln!("skipped: {} is absent", file.display());
        return None;
    };
    let mut first = tempfile::NamedTempFile::new().unwrap();
    for line in text.lines().take(rows + 1) {
        writeln!(first, "{line}").unwrap();
    }
    Some(first)
}

fn rewritten_by(recording: &LoadedRecording, part: &dyn CheckedPart, prefixes: &[usize]) -> SeriesCheck {
    rewritten(recording, &[part], prefixes, |_| {}).swap_remove(0)
}

/// Swings as `smartmoneyconcepts` 0.0.27 defines them: the highest of a centred window, at the bar of the extreme; of two highs in
/// a row the lower one is removed; the first and the last bar are swings.
struct CentredSwings;

impl CheckedPart for CentredSwings {
    fn outputs(&self, recording: &LoadedRecording, bars: Range<usize>) -> Vec<OutputSeries> {
        const LENGTH: usize = 5;
        let bars = &recording.bars[bars];
        let (high, low) = (|bar: usize| bars[bar].1.high, |bar: usize| bars[bar].1.low);
        let mut found: Vec<(usize, i32)> = Vec::new();
        for bar in 2 * LENGTH - 1..bars.len().saturating_sub(LENGTH) {
            let window = bar + 1 - LENGTH..=bar + LENGTH;
            if window.clone().all(|other| high(other) <= high(bar)) {
                found.push((bar, 1));
            } else if window.clone().all(|other| low(other) >= low(bar)) {
                found.push((bar, -1));
            }
        }
        loop {
            let mut removed = vec![false; found.len()];
            for (place, pair) in found.windows(2).enumerate() {
                let ((one, side), (next, other)) = (pair[0], pair[1]);
                if side == other {
                    let next_is_beyond = if side == 1 { high(one) < high(next) } else { low(one) > low(next) };
                    removed[if next_is_beyond { place } else { place + 1 }] = true;
                }
            }
            if !removed.contains(&true) {
                break;
            }
            let mut removed = removed.into_iter();
            found.retain(|_| !removed.next().unwrap());
        }
        let ends = found.first().zip(found.last()).map(|((_, first), (_, last))| (-first, -last));
        if let Some((first, last)) = ends {
            found.insert(0, (0, first));
            found.push((bars.len() - 1, last));
        }
        let mut series = OutputSeries::new(CheckedKind::Detector, "centred swings");
        for (bar, side) in found {
            series.push(bar, bar, OutputValue::Text(side.to_string()));
        }
        vec![series]
    }
}

/// The distance of a close from the mean of all closes, which only the whole recording knows.
struct Centred;

impl CheckedPart for Centred {
    fn outputs(&self, recording: &LoadedRecording, bars: Range<usize>) -> Vec<OutputSeries> {
        let closes: Vec<f64> = recording.bars[bars.clone()].iter().map(|(_, bar)| bar.close).collect();
        let mean = closes.iter().sum::<f64>() / closes.len() as f64;
        let mut series = OutputSeries::new(CheckedKind::Indicator, "centred");
        for (bar, close) in bars.zip(closes) {
            series.push(bar, bar, OutputValue::Numbers([close - mean, 0.0, 0.0]));
        }
        vec![series]
    }
}

/// The sum of all closes: it never looks ahead, and never forgets.
struct Total;

impl CheckedPart for Total {
    fn outputs(&self, recording: &LoadedRecording, bars: Range<usize>) -> Vec<OutputSeries> {
        let (mut sum, mut series) = (0.0, OutputSeries::new(CheckedKind::Indicator, "total"));
        for bar in bars {
            sum += recording.bars[bar].1.close;
            series.push(bar, bar, OutputValue::Numbers([sum, 0.0, 0.0]));
        }
        vec![series]
    }
}

#[test]
fn nothing_of_ours_is_rewritten_in_a_walk() {
    let report = lookahead_check(&walk(), &instrument("EURUSD"), &options(), |_| {}).unwrap();
    assert!(report.passed, "{}", report.table());
    for it in &report.outputs {
        let is_bars = matches!(it.kind, CheckedKind::Detector | CheckedKind::Indicator);
        assert!(it.rewritten == 0 && (it.compared > 100 || !is_bars || it.name.contains("levels")), "{it:?}");
    }
    assert!((60..=120).contains(&report.prefixes.len()), "{:?}", report.prefixes);
    assert!(report.warm_up.is_empty() && report.verdict().starts_with("ok: 0 rewritten of "), "{}", report.table());
}

#[test]
fn what_looks_ahead_is_found() {
    let recording = loaded(&walk());
    let prefixes = prefixes(recording.bars.len());
    for (part, least) in [(&CentredSwings as &dyn CheckedPart, 100), (&Centred, 10_000)] {
        let found = rewritten_by(&recording, part, &prefixes);
        assert!(found.rewritten > least && found.first.is_some(), "{found:?}");
        let leaks = LookaheadReport::new(&walk(), &instrument("EURUSD"), 5, &recording, &prefixes, vec![found], vec![]);
        assert!(!leaks.passed && leaks.verdict().starts_with("failed: "), "{}", leaks.table());
    }
    let sound = rewritten_by(&recording, &Total, &prefixes);
    assert_eq!((sound.rewritten, sound.first), (0, None));
}

/// The public measure: the first 2,000 bars of the package's own test data, 60 prefixes candle by candle.
#[test]
fn the_known_package_rewrites_92_readings() {
    let Some(file) = recorded("eurusd_m15_mt5_2022_2023.csv", 2_000) else { return };
    let recording = loaded(file.path());
    let public: Vec<_> = (1_200..1_260).collect();
    assert_eq!(recording.bars.len(), 2_000);
    assert_eq!(rewritten_by(&recording, &CentredSwings, &public).rewritten, 92);
    let ours =
        rewritten(&recording, &[&MarketDetectors { swing: 5 }, &ZoneList { swing: 5 }, &Indicators], &public, |_| {});
    for it in ours {
        assert!(it.rewritten == 0 && it.compared > 0, "{it:?}");
    }
}

#[test]
fn nothing_of_ours_is_rewritten_in_recordings() {
    for (name, symbol, rows) in [
        ("eurusd_m15_mt5_2022_2023.csv", "EURUSD", 1_500),
        ("eurusd_m1_oanda_201405.csv", "EURUSD", 1_500),
        ("xauusd_m1_oanda_201405.csv", "XAUUSD", 1_500),
        ("eurusd_ticks_oanda_20140508_1100_1500.csv", "EURUSD", 6_000),
    ] {
        let Some(file) = recorded(name, rows) else { continue };
        let options = options();
        let recording = LoadedRecording::open(file.path(), &instrument(symbol), &options).unwrap();
        let (detectors, zones, engine) =
            (MarketDetectors { swing: 5 }, ZoneList { swing: 5 }, Engines { options: &options.run });
        let few: Vec<_> = prefixes(recording.bars.len()).into_iter().step_by(12).collect();
        for it in rewritten(&recording, &[&detectors, &zones, &Indicators, &engine], &few, |_| {}) {
            assert_eq!(it.rewritten, 0, "{name}: {it:?}");
        }
    }
}

/// Minutes of two days from a Sunday's opening on.
fn two_days() -> tempfile::NamedTempFile {
    let (mut state, mut price) = (7u64, 110_000i64);
    let mut step = |most: i64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as i64 % (2 * most + 1) - most
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "time,open,high,low,close,volume").unwrap();
    for minute in 0..2 * 24 * 60 {
        let (open, close) = (price, price + step(9) + step(9));
        let (high, low) = (open.max(close) + step(4).abs(), open.min(close) - step(4).abs());
        price = close;
        let prices = [open, high, low, close].map(|points| format!("{:.5}", points as f64 / 1e5)).join(",");
        writeln!(file, "{},{prices},1", 1_768_168_800 + 60 * minute).unwrap();
    }
    file
}

/// The engine's outputs, each a bar before it was known.
struct EarlySignals<'a>(Engines<'a>);

impl CheckedPart for EarlySignals<'_> {
    fn outputs(&self, recording: &LoadedRecording, bars: Range<usize>) -> Vec<OutputSeries> {
        let mut series = self.0.outputs(recording, bars);
        series.iter_mut().flat_map(|it| &mut it.outputs).for_each(|output| output.bar -= 1);
        series
    }
}

#[test]
fn signals_stay_and_early_ones_are_found() {
    let file = two_days();
    let (recording, options) = (loaded(file.path()), options());
    let engine = Engines { options: &options.run };
    let signals: Vec<_> =
        engine.outputs(&recording, 0..recording.bars.len()).into_iter().flat_map(|it| it.outputs).collect();
    let known = signals.iter().map(|signal| signal.bar).min().unwrap();
    let prefixes = [known, known + 1, 2_000, recording.bars.len() - 1];
    let sum = |part: &dyn CheckedPart| {
        let found = rewritten(&recording, &[part], &prefixes, |_| {});
        found.iter().fold((0, 0), |(compared, rewritten), it| (compared + it.compared, rewritten + it.rewritten))
    };
    let (compared, unchanged) = sum(&engine);
    assert!(compared > 4 && unchanged == 0, "{compared} compared, {unchanged} rewritten");
    assert!(sum(&EarlySignals(engine)).1 > 0);
}

#[test]
fn an_indicator_that_never_forgets_is_found() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "time,open,high,low,close,volume").unwrap();
    for bar in 0..1_200 {
        let close = 1.1 + f64::from(bar % 7) / 100.0;
        writeln!(file, "{},1.1,1.2,1.0,{close},1", 1_768_460_400 + 60 * bar).unwrap();
    }
    let recording = loaded(file.path());
    let found = warm_up(&recording, &[&Total, &Indicators]);
    let bars: Vec<_> = found.iter().map(|it| (it.name.as_str(), it.bars)).collect();
    assert_eq!(bars[0], ("total", None));
    // The average true range forgets by 1/14 a bar: 10⁻⁶ takes at most 14 + 187 bars.
    assert!(bars[1..].iter().all(|(_, bars)| (14..=250).contains(&bars.unwrap())), "{bars:?}");
    let report = |warm_up| LookaheadReport::new(&walk(), &instrument("EURUSD"), 5, &recording, &[], vec![], warm_up);
    assert!(!report(found).passed);
}

#[test]
fn prefixes_go_candle_by_candle_and_far() {
    let all = prefixes(6_100);
    assert_eq!((all.len(), all[0], *all.last().unwrap()), (119, 100, 6_000));
    assert!((1_200..1_260).all(|length| all.contains(&length)));
    assert_eq!(prefixes(100)[..2], [1, 3]);
    assert!((40..100).all(|length| prefixes(100).contains(&length)));
    assert!(prefixes(0).is_empty() && prefixes(1).is_empty());
}
