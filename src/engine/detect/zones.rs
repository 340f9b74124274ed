//! The zones of a series of bars, fair value gaps and order blocks, each with the times at which it became known, was
//! touched and ended.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Block, BlockEvent, Detectors, Finding, Gap, GapEvent};
use crate::domain::{Candle, Direction};

/// The kind of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ZoneKind {
    /// Three bars of which the first and the third do not overlap.
    FairValueGap,
    /// The bar at which the leg that broke a swing began.
    OrderBlock,
}

/// A zone. Everything that is known about it became known at the close of a bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PriceZone {
    /// A gap or a block.
    pub kind: ZoneKind,
    /// Long when the market rose from it.
    pub direction: Direction,
    /// Upper edge.
    pub top: f64,
    /// Lower edge.
    pub bottom: f64,
    /// When its bar opened: the middle one of a gap, the one of a block.
    pub begins_at: DateTime<Utc>,
    /// The close of the bar that revealed it.
    pub known_at: DateTime<Utc>,
    /// The close of the first bar that returned to its near edge.
    pub touched_at: Option<DateTime<Utc>>,
    /// The close of the bar that ended it: that traded through a gap, or closed beyond a block.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Follows the zones of one series of bars.
#[derive(Debug)]
pub struct Zones {
    detectors: Detectors,
    length: Duration,
    /// When each bar opened, by its index.
    opened: Vec<DateTime<Utc>>,
    found: Vec<PriceZone>,
}

impl Zones {
    /// Bars have this `length`; a swing has `swing_length` lower (or higher) bars on each side.
    pub fn new(length: Duration, swing_length: usize) -> Self {
        Self { detectors: Detectors::new(swing_length), length, opened: Vec::new(), found: Vec::new() }
    }

    /// Adds the next closed bar.
    pub fn push(&mut self, opened_at: DateTime<Utc>, candle: &Candle) {
        self.opened.push(opened_at);
        let at = opened_at + self.length;
        for finding in self.detectors.push(candle) {
            match finding {
                Finding::Gap(GapEvent::Born(gap)) => self.add(of_gap(&gap), gap.index, at),
                Finding::Gap(GapEvent::Touched(gap)) => self.touch(of_gap(&gap), gap.index, at),
                Finding::Gap(GapEvent::Filled(gap)) => self.end(of_gap(&gap), gap.index, at),
                Finding::Block(BlockEvent::Born(block)) => self.add(of_block(&block), block.index, at),
                Finding::Block(BlockEvent::Touched(block)) => self.touch(of_block(&block), block.index, at),
                Finding::Block(BlockEvent::Broken(block)) => self.end(of_block(&block), block.index, at),
                Finding::Swing(_) | Finding::Sweep(_) | Finding::Break(_) | Finding::Shift(_) => {}
            }
        }
    }

    /// Returns the zones in the order in which they became known.
    pub fn finish(self) -> Vec<PriceZone> {
        self.found
    }

    /// Two breaks may have the same bar at the begin of their legs: the zone is added once.
    fn add(&mut self, (kind, direction, top, bottom): Edges, index: u64, known_at: DateTime<Utc>) {
        let Some(begins_at) = self.opened_at(index) else { return };
        if self.open((kind, direction, top, bottom), begins_at).is_none() {
            let (touched_at, ended_at) = (None, None);
            self.found.push(PriceZone { kind, direction, top, bottom, begins_at, known_at, touched_at, ended_at });
        }
    }

    fn touch(&mut self, edges: Edges, index: u64, at: DateTime<Utc>) {
        let begins_at = self.opened_at(index);
        if let Some(zone) = begins_at.and_then(|begins_at| self.open(edges, begins_at)) {
            zone.touched_at.get_or_insert(at);
        }
    }

    fn end(&mut self, edges: Edges, index: u64, at: DateTime<Utc>) {
        let begins_at = self.opened_at(index);
        if let Some(zone) = begins_at.and_then(|begins_at| self.open(edges, begins_at)) {
            zone.ended_at = Some(at);
        }
    }

    fn open(&mut self, (kind, direction, ..): Edges, begins_at: DateTime<Utc>) -> Option<&mut PriceZone> {
        let is_same =
            |zone: &&mut PriceZone| (zone.kind, zone.direction, zone.begins_at) == (kind, direction, begins_at);
        self.found.iter_mut().rev().filter(|zone| zone.ended_at.is_none()).find(is_same)
    }

    fn opened_at(&self, index: u64) -> Option<DateTime<Utc>> {
        self.opened.get(usize::try_from(index).ok()?).copied()
    }
}

type Edges = (ZoneKind, Direction, f64, f64);

fn of_gap(gap: &Gap) -> Edges {
    (ZoneKind::FairValueGap, gap.direction, gap.top, gap.bottom)
}

fn of_block(block: &Block) -> Edges {
    (ZoneKind::OrderBlock, block.direction, block.top, block.bottom)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::parse_time;
    use crate::engine::detect::tests::{candle, series};

    const LENGTH: Duration = Duration::from_mins(5);

    fn at(bar: usize) -> DateTime<Utc> {
        parse_time("2026-01-15T07:00:00Z").unwrap() + TimeDelta::minutes(5) * i32::try_from(bar).unwrap()
    }

    fn zones(bars: &[Candle]) -> Vec<PriceZone> {
        let mut zones = Zones::new(LENGTH, 2);
        for (n, bar) in bars.iter().enumerate() {
            zones.push(at(n), bar);
        }
        zones.finish()
    }

    #[test]
    fn a_gap_has_the_times_of_its_life() {
        let bars = [
            candle(1.0, 1.2, 0.9, 1.1),
            candle(1.1, 1.6, 1.1, 1.5),
            candle(1.5, 1.8, 1.4, 1.7),
            candle(1.7, 1.8, 1.3, 1.7),
            candle(1.7, 1.8, 1.0, 1.1),
        ];
        let gap = PriceZone {
            kind: ZoneKind::FairValueGap,
            direction: Direction::Long,
            top: 1.4,
            bottom: 1.2,
            begins_at: at(1),
            known_at: at(3),
            touched_at: None,
            ended_at: None,
        };
        assert_eq!(zones(&bars[..2]), [], "not known before the close of the third bar");
        assert_eq!(zones(&bars[..3]), [gap]);
        let touched = PriceZone { touched_at: Some(at(4)), ..gap };
        assert_eq!(zones(&bars[..4]), [touched]);
        assert_eq!(zones(&bars), [PriceZone { ended_at: Some(at(5)), ..touched }]);
    }

    proptest! {
        /// What is known at a bar is what a longer series says was known then.
        #[test]
        fn later_bars_change_nothing_that_was_known(bars in series(), cut in 0usize..250) {
            let cut = cut.min(bars.len());
            let known = |time: DateTime<Utc>| time <= at(cut);
            let then = zones(&bars).into_iter().filter(|zone| known(zone.known_at)).map(|zone| PriceZone {
                touched_at: zone.touched_at.filter(|time| known(*time)),
                ended_at: zone.ended_at.filter(|time| known(*time)),
                ..zone
            });
            prop_assert_eq!(zones(&bars[..cut]), then.collect::<Vec<_>>());
        }
    }
}
