//! Collects the detectors' findings in the format of the causal reference implementation, for comparison.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::{BreakKind, Detectors, Extreme, Finding, GapEvent};
use crate::domain::Candle;

/// A finding of a kind that the reference has (swings, sweeps, breaks, gaps), with the bar at whose close it was known.
///
/// It is serialized as `{"n", "k", …}` with `k` one of `swing_high`, `swing_low`, `sweep_high`, `sweep_low`, `bos`,
/// `choch`, `fvg`,
/// `fvg_touch`, `fvg_filled`; `dir` is 1 or −1, `i` the bar of the swing or the middle bar of the gap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recorded {
    /// The bar at whose close it was known.
    pub n: u64,
    /// What was found.
    pub finding: Finding,
}

/// Runs the detectors, and collects their findings.
#[derive(Debug, Clone)]
pub struct Recorder {
    detectors: Detectors,
    events: Vec<Recorded>,
}

impl Recorder {
    /// A swing has `swing_length` lower (or higher) bars on each side.
    pub fn new(swing_length: usize) -> Self {
        Self { detectors: Detectors::new(swing_length), events: Vec::new() }
    }

    /// Adds the next closed bar.
    pub fn push(&mut self, candle: &Candle) {
        let n = self.detectors.bars();
        let known = |finding: &Finding| !matches!(finding, Finding::Shift(_) | Finding::Block(_));
        let found = self.detectors.push(candle).into_iter().filter(known);
        self.events.extend(found.map(|finding| Recorded { n, finding }));
    }

    /// Returns the number of bars so far.
    pub fn bars(&self) -> u64 {
        self.detectors.bars()
    }

    /// Returns the findings in order.
    pub fn events(&self) -> &[Recorded] {
        &self.events
    }
}

impl Serialize for Recorded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("n", &self.n)?;
        match &self.finding {
            Finding::Swing(pivot) => {
                map.serialize_entry("k", name(pivot.extreme, "swing_high", "swing_low"))?;
                map.serialize_entry("i", &pivot.index)?;
                map.serialize_entry("level", &pivot.level)?;
            }
            Finding::Sweep(sweep) => {
                map.serialize_entry("k", name(sweep.pivot.extreme, "sweep_high", "sweep_low"))?;
                map.serialize_entry("i", &sweep.pivot.index)?;
                map.serialize_entry("level", &sweep.pivot.level)?;
                map.serialize_entry("extreme", &sweep.extreme)?;
            }
            Finding::Break(broken) => {
                let kind = match broken.kind {
                    BreakKind::Bos => "bos",
                    BreakKind::Choch => "choch",
                };
                map.serialize_entry("k", kind)?;
                map.serialize_entry("dir", &(broken.direction.sign() as i64))?;
                map.serialize_entry("i", &broken.pivot.index)?;
                map.serialize_entry("level", &broken.pivot.level)?;
            }
            Finding::Gap(GapEvent::Born(gap)) => {
                map.serialize_entry("k", "fvg")?;
                map.serialize_entry("dir", &(gap.direction.sign() as i64))?;
                map.serialize_entry("i", &gap.index)?;
                map.serialize_entry("top", &gap.top)?;
                map.serialize_entry("bottom", &gap.bottom)?;
            }
            Finding::Gap(event @ (GapEvent::Touched(gap) | GapEvent::Filled(gap))) => {
                let touched = matches!(event, GapEvent::Touched(_));
                map.serialize_entry("k", if touched { "fvg_touch" } else { "fvg_filled" })?;
                map.serialize_entry("i", &gap.index)?;
                map.serialize_entry("dir", &(gap.direction.sign() as i64))?;
            }
            Finding::Shift(_) | Finding::Block(_) => {
                return Err(serde::ser::Error::custom("the reference knows neither shifts nor blocks"));
            }
        }
        map.end()
    }
}

fn name(extreme: Extreme, high: &'static str, low: &'static str) -> &'static str {
    match extreme {
        Extreme::High => high,
        Extreme::Low => low,
    }
}
