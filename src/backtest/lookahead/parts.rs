//! What is checked: the detectors, the zones, the indicators and the engine, each as a function of some bars.

use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

use super::loaded::LoadedRecording;
use crate::backtest::RunOptions;
use crate::backtest::run::Player;
use crate::domain::{Candle, Killzone, SetupKind, Signal};
use crate::engine::detect::{
    Atr, BlockEvent, Break, Detectors, Ema, Finding, Gap, GapEvent, Macd, MarketLevels, Pivot, Range as PriceRange,
    Rsi, Shift, Sweep, Zones,
};

/// The number of prices after which the engine's bars are dropped, which nobody stores here.
const FORGET_BARS_AFTER: usize = 1_000;

/// What kind of thing has an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckedKind {
    /// A detector of market structure.
    Detector,
    /// An indicator.
    Indicator,
    /// A setup: its signals with their ends.
    Setup,
    /// The records of what came of confirmed signals.
    Outcome,
}

/// A value that was known at the close of a bar.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CheckedOutput {
    /// The bar at whose close it was known, from 0 in the whole recording.
    pub(super) bar: usize,
    /// The first bar that it refers to.
    pub(super) since: usize,
    /// What it says.
    pub(super) value: OutputValue,
}

/// What an output says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum OutputValue {
    /// The values of an indicator.
    Numbers([f64; 3]),
    /// Anything else, in words.
    Text(String),
}

/// The outputs of one detector, indicator or setup, in order.
#[derive(Debug)]
pub(super) struct OutputSeries {
    pub(super) kind: CheckedKind,
    pub(super) name: String,
    pub(super) outputs: Vec<CheckedOutput>,
}

impl OutputSeries {
    pub(super) fn new(kind: CheckedKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into(), outputs: Vec::new() }
    }

    pub(super) fn push(&mut self, bar: usize, since: usize, value: OutputValue) {
        self.outputs.push(CheckedOutput { bar, since, value });
    }
}

/// Something that is checked: it reads some bars from a clean start, and nothing else.
pub(super) trait CheckedPart: Sync {
    /// Returns all outputs of these bars. The series and their order are always the same.
    fn outputs(&self, recording: &LoadedRecording, bars: Range<usize>) -> Vec<OutputSeries>;
}

/// All detectors of market structure, and the ranges of days and killzones.
pub(super) struct MarketDetectors {
    pub(super) swing: usize,
}

impl CheckedPart for MarketDetectors {
    fn outputs(&self, recording: &LoadedRecording, bars: Range<usize>) -> Vec<OutputSeries> {
        let names = [
            "swings",
            "sweeps",
            "breaks of structure",
            "fair value gaps",
            "structure shifts",
            "order blocks",
            "trend",
            "day and killzone levels",
        ];
        let mut series = names.map(|name| OutputSeries::new(CheckedKind::Detector, name));
        let (mut detectors, mut levels) = (Detectors::new(self.swing), MarketLevels::default());
        let (mut trend, mut ranges) = (None, None);
        let first = bars.start;
        for (bar, (opened_at, candle)) in bars.clone().zip(&recording.bars[bars]) {
            for finding in detectors.push(candle) {
                let finding = moved(finding, first as u64);
                let (place, since) = described(&finding);
                series[place].push(bar, since as usize, OutputValue::Text(format!("{finding:?}")));
            }
            let now = detectors.structure().trend();
            if now != trend {
                trend = now;
                series[6].push(bar, bar, OutputValue::Text(format!("{now:?}")));
            }
            levels.push(*opened_at, candle);
            let now: [Option<PriceRange>; Killzone::ALL.len()] = Killzone::ALL.map(|zone| levels.last(zone));
            let now = (levels.previous_day(), now);
            if ranges != Some(now) {
                ranges = Some(now);
                series[7].push(bar, bar, OutputValue::Text(format!("{now:?}")));
            }
        }
        series.into()
    }
}

/// Returns the place of a finding's series, and the first bar that it refers to.
fn described(finding: &Finding) -> (usize, u64) {
    match finding {
        Finding::Swing(pivot) => (0, pivot.index),
        Finding::Sweep(sweep) => (1, sweep.pivot.index),
        Finding::Break(broken) => (2, broken.pivot.index),
        Finding::Gap(GapEvent::Born(gap) | GapEvent::Touched(gap) | GapEvent::Filled(gap)) => (3, gap.index - 1),
        Finding::Shift(shift) => (4, shift.broken.pivot.index),
        Finding::Block(BlockEvent::Born(block) | BlockEvent::Touched(block) | BlockEvent::Broken(block)) => {
            (5, block.index)
        }
    }
}

/// Counts the bars of a finding from another first one.
fn moved(finding: Finding, by: u64) -> Finding {
    let pivot = |pivot: Pivot| Pivot { index: pivot.index + by, ..pivot };
    let gap = |gap: Gap| Gap { index: gap.index + by, ..gap };
    let broken = |broken: Break| Break { pivot: pivot(broken.pivot), ..broken };
    match finding {
        Finding::Swing(found) => Finding::Swing(pivot(found)),
        Finding::Sweep(sweep) => Finding::Sweep(Sweep { pivot: pivot(sweep.pivot), ..sweep }),
        Finding::Break(found) => Finding::Break(broken(found)),
        Finding::Gap(GapEvent::Born(found)) => Finding::Gap(GapEvent::Born(gap(found))),
        Finding::Gap(GapEvent::Touched(found)) => Finding::Gap(GapEvent::Touched(gap(found))),
        Finding::Gap(GapEvent::Filled(found)) => Finding::Gap(GapEvent::Filled(gap(found))),
        Finding::Shift(shift) => {
            Finding::Shift(Shift { broken: broken(shift.broken), gap: shift.gap.map(gap), ..shift })
        }
        Finding::Block(mut event) => {
            let (BlockEvent::Born(block) | BlockEvent::Touched(block) | BlockEvent::Broken(block)) = &mut event;
            block.index += by;
            Finding::Block(event)
        }
    }
}

/// The list of zones that the chart shows.
pub(super) struct ZoneList {
    pub(super) swing: usize,
}

impl CheckedPart for ZoneList {
    fn outputs(&self, recording: &LoadedRecording, bars: Range<usize>) -> Vec<OutputSeries> {
        let mut series = OutputSeries::new(CheckedKind::Detector, "zones of the chart");
        let length = recording.length;
        let mut zones = Zones::new(length.to_std().unwrap_or_default(), self.swing);
        for (opened_at, candle) in &recording.bars[bars] {
            zones.push(*opened_at, candle);
        }
        for zone in zones.finish() {
            let edges = format!("{:?} {:?} {} to {}", zone.kind, zone.direction, zone.bottom, zone.top);
            let since = recording.bar_at(zone.begins_at).saturating_sub(1);
            for (what, at) in [("known", Some(zone.known_at)), ("touched", zone.touched_at), ("ended", zone.ended_at)] {
                if let Some(at) = at {
                    let text = format!("{what}: {edges}, since {}", zone.begins_at);
                    series.push(recording.bar_at(at - length), since, OutputValue::Text(text));
                }
            }
        }
        series.outputs.sort_by_key(|output| output.bar);
        vec![series]
    }
}

/// All indicators.
pub(super) struct Indicators;

impl CheckedPart for Indicators {
    fn outputs(&self, recording: &LoadedRecording, bars: Range<usize>) -> Vec<OutputSeries> {
        let names = ["ATR (14)", "RSI (14)", "EMA (20)", "MACD (12, 26, 9)"];
        let mut series = names.map(|name| OutputSeries::new(CheckedKind::Indicator, name));
        let (mut atr, mut rsi, mut ema, mut macd) = (Atr::new(14), Rsi::new(14), Ema::new(20), Macd::new(12, 26, 9));
        let one = |value: f64| [value, 0.0, 0.0];
        for (bar, (_, candle)) in bars.clone().zip(&recording.bars[bars]) {
            let Candle { close, .. } = *candle;
            let values = [
                atr.push(candle).map(one),
                rsi.push(close).map(one),
                ema.push(close).map(one),
                macd.push(close).map(|it| [it.macd, it.signal, it.histogram]),
            ];
            for (series, value) in series.iter_mut().zip(values) {
                if let Some(value) = value {
                    series.push(bar, bar, OutputValue::Numbers(value));
                }
            }
        }
        series.into()
    }
}

/// A new engine for every run: the signals of each setup with their ends, and the records of what came of them.
pub(super) struct Engines<'a> {
    pub(super) options: &'a RunOptions,
}

impl CheckedPart for Engines<'_> {
    fn outputs(&self, recording: &LoadedRecording, bars: Range<usize>) -> Vec<OutputSeries> {
        let RunOptions { instruments, rules, ttl, costs, .. } = self.options;
        let mut setups = SetupKind::ALL.map(|kind| OutputSeries::new(CheckedKind::Setup, kind.name()));
        let mut records = OutputSeries::new(CheckedKind::Outcome, "outcomes");
        let mut player = Player::new(instruments.clone(), rules.clone(), *ttl).with_costs(costs.clone());
        for (place, tick) in recording.prices(bars).iter().enumerate() {
            let changed: Vec<Arc<Signal>> = player.push(tick).collect();
            let ended = player.outcomes();
            if !changed.is_empty() || !ended.is_empty() {
                let bar = recording.bar_at(tick.observed_at);
                for signal in changed {
                    let kind = SetupKind::named_in(&signal.reason);
                    let series = SetupKind::ALL.into_iter().zip(&mut setups).find(|(of, _)| Some(*of) == kind);
                    if let Some((_, series)) = series {
                        series.push(bar, bar, OutputValue::Text(format!("{signal:?}")));
                    }
                }
                for outcome in ended {
                    records.push(bar, bar, OutputValue::Text(format!("{outcome:?}")));
                }
            }
            if place % FORGET_BARS_AFTER == 0 {
                player.forget_bars();
            }
        }
        setups.into_iter().chain([records]).collect()
    }
}
