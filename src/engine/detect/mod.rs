//! Detectors of market structure. Each takes one closed bar after the other, and returns what that bar revealed.
//!
//! They are streaming and causal: a finding at bar `n` does not depend on later bars, and is never withdrawn or
//! changed. Indices count the bars of one series from 0; `n` is the bar at whose close something is known.
//!
//! # Differences from `smartmoneyconcepts`
//!
//! That library (0.0.27) reads a complete series at once. Much of what it returns for a bar depends on later bars.
//!
//! | | there | here |
//! |---|---|---|
//! | fair value gap | known one bar later | the same rule, at that bar |
//! | its `MitigatedIndex` | first bar that touches the near edge | `GapTouched`; also `GapFilled` for a gap that is traded through |
//! | swing | highest of `L − 1` bars before and `L` after; ties count; of two highs in a row the lower one is removed later; the first and last bar are made into swings | higher than each of `L` bars before and `L` after, ties reject; stays |
//! | BOS, CHoCH | placed at the broken swing once four swings alternate; unbroken and overtaken ones disappear | the first close beyond the last swing, at that close; CHoCH when it turns the direction of the last break |
//! | order block | removed when price trades back through it | ends once; the earlier finding remains |
//! | comparisons | levels as 32-bit floats against 64-bit closes: equal prices compare unequal | 64-bit throughout |
//!
//! In a replay of the library bar by bar over 1,200 recorded bars, 20 breaks (59 stayed), 39 order blocks (11 stayed)
//! and 5 swings (153 stayed) vanished after they had been returned. A signal based on them could not have been traded.

mod blocks;
mod gaps;
mod indicators;
mod levels;
mod record;
mod shift;
mod structure;
mod sweeps;
mod swings;
#[cfg(test)]
mod tests;
mod zones;

pub use blocks::{Block, BlockEvent, Blocks};
pub use gaps::{Gap, GapEvent, Gaps};
pub use indicators::{Atr, Ema, Macd, MacdValue, Rsi};
pub use levels::{MarketLevels, Range};
pub use record::{Recorded, Recorder};
pub use shift::{Shift, Shifts};
pub use structure::{Break, BreakKind, Structure};
pub use sweeps::{Sweep, Sweeps};
pub use swings::{Extreme, Pivot, Swings};
pub use zones::{PriceZone, ZoneKind, Zones};

use crate::domain::Candle;

/// The period of the average true range, the unit of displacement.
const ATR_PERIOD: usize = 14;

/// Something that a bar revealed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Finding {
    /// A swing high or low is confirmed.
    Swing(Pivot),
    /// A bar traded through a swing and closed back.
    Sweep(Sweep),
    /// A bar closed beyond a swing.
    Break(Break),
    /// A fair value gap, its first touch, or its end.
    Gap(GapEvent),
    /// A change of character with displacement.
    Shift(Shift),
    /// An order block, its first touch, or its end.
    Block(BlockEvent),
}

/// All detectors on one series of bars.
#[derive(Debug, Clone)]
pub struct Detectors {
    next: u64,
    swings: Swings,
    sweeps: Sweeps,
    structure: Structure,
    gaps: Gaps,
    atr: Atr,
    shifts: Shifts,
    blocks: Blocks,
}

impl Detectors {
    /// Returns detectors without bars. A swing has `swing_length` lower (or higher) bars on each side.
    pub fn new(swing_length: usize) -> Self {
        Self {
            next: 0,
            swings: Swings::new(swing_length),
            sweeps: Sweeps::default(),
            structure: Structure::default(),
            gaps: Gaps::default(),
            atr: Atr::new(ATR_PERIOD),
            shifts: Shifts::default(),
            blocks: Blocks::new(swing_length),
        }
    }

    /// Adds the next closed bar. Returns what it revealed: swings, sweeps, breaks, gaps, shifts, blocks; highs before
    /// lows.
    pub fn push(&mut self, candle: &Candle) -> Vec<Finding> {
        let n = self.next;
        self.next += 1;
        let mut found = Vec::new();
        let atr_before = self.atr.value();
        self.atr.push(candle);
        let pivots = self.swings.push(candle);
        for pivot in pivots.into_iter().flatten() {
            found.push(Finding::Swing(pivot));
            self.sweeps.watch(pivot);
            self.structure.watch(pivot);
        }
        for sweep in self.sweeps.push(candle).into_iter().flatten() {
            found.push(Finding::Sweep(sweep));
            self.shifts.swept(n, &sweep);
        }
        let breaks = self.structure.push(candle);
        found.extend(breaks.into_iter().flatten().map(Finding::Break));
        for event in self.gaps.push(candle) {
            found.push(Finding::Gap(event));
            self.shifts.gap(n, &event);
        }
        for broken in breaks.into_iter().flatten() {
            found.extend(self.shifts.broken(n, &broken, candle, atr_before).map(Finding::Shift));
        }
        found.extend(self.blocks.push(candle, pivots, breaks).into_iter().map(Finding::Block));
        found
    }

    /// Returns the number of bars so far.
    pub fn bars(&self) -> u64 {
        self.next
    }

    /// Returns the average true range of 14 bars, once there are enough.
    pub fn atr(&self) -> Option<f64> {
        self.atr.value()
    }

    /// Returns the trend and the unbroken swings.
    pub fn structure(&self) -> &Structure {
        &self.structure
    }

    /// Returns the gaps that are not filled, oldest first.
    pub fn open_gaps(&self) -> &[Gap] {
        self.gaps.open()
    }
}
