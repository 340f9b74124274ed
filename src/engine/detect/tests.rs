//! Compares all detectors with the reference implementation, and checks causality at every cut of a series.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::Direction;

pub(super) fn candle(open: f64, high: f64, low: f64, close: f64) -> Candle {
    Candle { open, high, low, close }
}

/// Generates random walks on a coarse grid, so that ties and touches are frequent.
pub(super) fn series() -> impl Strategy<Value = Vec<Candle>> {
    prop::collection::vec((-4i32..=4, 0i32..4, 0i32..4, -1i32..=1), 0..250).prop_map(|steps| {
        let mut last = 1000;
        let bars = steps.into_iter().map(|(body, up, down, jump)| {
            let (open, close) = (last + jump, last + jump + body);
            last = close;
            let prices = [open, open.max(close) + up, open.min(close) - down, close];
            let [open, high, low, close] = prices.map(f64::from);
            candle(open, high, low, close)
        });
        bars.collect()
    })
}

/// Returns the findings in the format of the reference, without the kinds that it does not have.
fn events(bars: &[Candle], swing_length: usize) -> Vec<Value> {
    let mut recorder = Recorder::new(swing_length);
    for bar in bars {
        recorder.push(bar);
    }
    recorder.events().iter().map(|event| serde_json::to_value(event).unwrap()).collect()
}

fn all(bars: &[Candle]) -> Vec<(usize, Vec<Finding>)> {
    let mut detectors = Detectors::new(3);
    bars.iter().map(|bar| detectors.push(bar)).enumerate().collect()
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn shared(name: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new("/work/shared/domain/golden").join(name)).ok();
    if text.is_none() {
        eprintln!("skipped: {name} is not here");
    }
    text
}

fn bars(csv: &str) -> Vec<Candle> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let rows = reader.records().map(|row| {
        let [open, high, low, close] = std::array::from_fn(|column| row.as_ref().unwrap()[column + 1].parse().unwrap());
        candle(open, high, low, close)
    });
    rows.collect()
}

fn causal_golden(input: &str, golden: &str, swing_length: usize, least: usize) {
    let golden: Value = serde_json::from_str(golden).unwrap();
    let expected = golden["events"].as_array().unwrap();
    let found = events(&bars(input), swing_length);
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
    assert!(found.len() >= least, "{} events are too few to show anything", found.len());
}

#[test]
fn agrees_with_the_causal_reference_on_recorded_bars() {
    for name in ["eurusd_m15", "eurusd_m1"] {
        let (input, golden) = (shared(&format!("{name}_input.csv")), shared(&format!("{name}_causal_L5.json")));
        if let (Some(input), Some(golden)) = (input, golden) {
            causal_golden(&input, &golden, 5, 3_000);
        }
    }
}

/// The reference's findings on a random walk with ties; see `fixtures/README.md`.
#[test]
fn the_random_walk_matches_the_reference() {
    let (input, golden) = (include_str!("fixtures/walk.csv"), include_str!("fixtures/walk_causal_L3.json"));
    causal_golden(input, golden, 3, 300);
}

/// Returns middle bar, direction, edges and first touch of every gap.
fn gaps(bars: &[Candle]) -> Vec<Value> {
    let mut gaps = Gaps::default();
    let mut found: Vec<Value> = Vec::new();
    for (n, bar) in bars.iter().enumerate() {
        for event in gaps.push(bar) {
            match event {
                GapEvent::Born(gap) => found.push(
                    json!({"i": gap.index, "FVG": gap.direction.sign() as i64, "Top": gap.top, "Bottom": gap.bottom, "MitigatedIndex": 0}),
                ),
                GapEvent::Touched(gap) => {
                    let born = found.iter_mut().find(|found| found["i"] == gap.index).unwrap();
                    born["MitigatedIndex"] = n.into();
                }
                GapEvent::Filled(_) => {}
            }
        }
    }
    found
}

#[test]
fn gaps_agree_with_smartmoneyconcepts_in_64_bits() {
    for name in ["eurusd_m15", "eurusd_m1"] {
        let (input, golden) = (shared(&format!("{name}_input.csv")), shared(&format!("{name}_golden.json")));
        let (Some(input), Some(golden)) = (input, golden) else { continue };
        // Python writes NaN, which is not valid JSON.
        let golden: Value = serde_json::from_str(&golden.replace("NaN", "null")).unwrap();
        let found = gaps(&bars(&input));
        assert_eq!(&found, golden["f64"]["fvg"].as_array().unwrap(), "{name}");
        assert!(found.len() > 1_000);
    }
}

/// The values of TA-Lib 0.8.1 for the closes (and bars) of the random walk; see `fixtures/README.md`.
#[test]
fn indicators_agree_with_ta_lib() {
    let bars = bars(include_str!("fixtures/walk.csv"));
    let (mut atr, mut rsi, mut ema, mut macd) = (Atr::new(14), Rsi::new(14), Ema::new(20), Macd::new(12, 26, 9));
    let mut reader = csv::Reader::from_reader(include_str!("fixtures/walk_talib.csv").as_bytes());
    let mut compared = 0;
    for (bar, row) in bars.iter().zip(reader.records()) {
        let row = row.unwrap();
        let macd = macd.push(bar.close);
        let found = [
            atr.push(bar),
            rsi.push(bar.close),
            ema.push(bar.close),
            macd.map(|value| value.macd),
            macd.map(|value| value.signal),
            macd.map(|value| value.histogram),
        ];
        for (found, expected) in found.into_iter().zip(&row) {
            let expected: Option<f64> = (!expected.is_empty()).then(|| expected.parse().unwrap());
            assert_eq!(found.is_some(), expected.is_some(), "{row:?}");
            let apart = (found.unwrap_or_default() - expected.unwrap_or_default()).abs();
            assert!(apart < 1e-9, "{found:?} is not {expected:?}");
            compared += 1;
        }
    }
    assert!(compared > 2_000);
}

fn prefixes_agree(bars: &[Candle], cut: usize) {
    let whole = all(bars);
    let cut = cut.min(bars.len());
    assert_eq!(all(&bars[..cut]), whole[..cut]);
}

/// Mirrors the bars from `cut` on: a different future of the same past.
fn other_future(bars: &[Candle], cut: usize) -> Vec<Candle> {
    let Some(pivot) = bars.get(cut.saturating_sub(1)).map(|bar| bar.close) else { return bars.to_vec() };
    let turned = |bar: &Candle| {
        let turn = |price: f64| 2.0 * pivot - price;
        candle(turn(bar.open), turn(bar.low), turn(bar.high), turn(bar.close))
    };
    bars[..cut].iter().copied().chain(bars[cut..].iter().map(turned)).collect()
}

proptest! {
    #[test]
    fn the_future_changes_nothing_that_was_said(bars in series(), cut in 0usize..250) {
        let cut = cut.min(bars.len());
        prefixes_agree(&bars, cut);
        let (one, other) = (all(&bars), all(&other_future(&bars, cut)));
        prop_assert_eq!(&one[..cut], &other[..cut]);
    }

    #[test]
    fn what_is_said_is_sound(bars in series()) {
        for (n, found) in all(&bars) {
            for finding in found {
                let (index, ordered) = match finding {
                    Finding::Swing(pivot) | Finding::Sweep(Sweep { pivot, .. }) => (pivot.index, true),
                    Finding::Break(broken) => (broken.pivot.index, true),
                    Finding::Shift(shift) => (shift.broken.pivot.index, shift.gap.is_some() || shift.displacement >= 1.0),
                    Finding::Gap(GapEvent::Born(gap) | GapEvent::Touched(gap) | GapEvent::Filled(gap)) => (gap.index, gap.bottom < gap.top),
                    Finding::Block(BlockEvent::Born(block) | BlockEvent::Touched(block) | BlockEvent::Broken(block)) => {
                        (block.index, block.bottom <= block.top)
                    }
                };
                prop_assert!(index < n as u64 && ordered);
            }
        }
    }
}

#[test]
fn recorded_bars_cut_anywhere_say_the_same() {
    let Some(input) = shared("eurusd_m1_input.csv") else { return };
    let bars = bars(&input);
    for cut in [1, 2, 17, 500, 1_999, 4_321, bars.len() - 1] {
        prefixes_agree(&bars, cut);
    }
}

#[test]
fn a_fall_and_turn_give_the_expected_findings() {
    // Down, a low, up to a lower high, sweep of the low, then up through the high with a gap.
    let closes = [10.0, 9.0, 8.0, 8.5, 9.0, 8.6, 8.2, 8.1, 9.5, 10.5];
    let lows = [9.8, 8.8, 7.5, 8.0, 8.4, 8.4, 7.9, 7.2, 8.1, 9.4];
    let mut bars = Vec::new();
    let mut open = 10.4;
    for (close, low) in closes.into_iter().zip(lows) {
        // The fifth bar is the swing.
        let wick = if bars.len() == 4 { 0.2 } else { 0.05 };
        bars.push(candle(open, open.max(close) + wick, low, close));
        open = close;
    }
    let mut detectors = Detectors::new(1);
    let found: Vec<_> =
        bars.iter().enumerate().flat_map(|(n, bar)| detectors.push(bar).into_iter().map(move |f| (n, f))).collect();
    let sweep = found.iter().find(|(_, finding)| matches!(finding, Finding::Sweep(_))).unwrap();
    assert_eq!(sweep.0, 7);
    let broken = found.iter().find_map(|(n, finding)| match finding {
        Finding::Break(broken) => Some((*n, broken.direction, broken.pivot.index)),
        _ => None,
    });
    assert_eq!(broken, Some((8, Direction::Long, 4)));
    assert!(found.iter().any(|(n, finding)| *n == 9
        && matches!(finding, Finding::Gap(GapEvent::Born(gap)) if gap.direction == Direction::Long)));
}
