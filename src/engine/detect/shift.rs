//! Market structure shifts: changes of character with displacement.

use super::{Break, BreakKind, Extreme, Gap, GapEvent, Sweep};
use crate::domain::{Candle, Direction};

/// A gap belongs to the leg of a break when it appeared at most this many bars before.
const LEG: u64 = 5;
/// A sweep belongs to a shift when it was at most this many bars before.
const SWEEP_MEMORY: u64 = 30;
/// The minimum body of the breaking bar, in average true ranges, that is displacement without a gap.
const BODY: f64 = 1.0;

/// A CHoCH with displacement (MSS).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// The change of character.
    pub broken: Break,
    /// The body of the breaking bar in average true ranges of the bars before it; 0 while that is unknown.
    pub displacement: f64,
    /// The gap that the leg left; the last one of several.
    pub gap: Option<Gap>,
    /// Whether a swing on the opposite side was swept within the previous 30 bars.
    pub after_sweep: bool,
}

/// Finds the changes of character that are shifts: the body of the breaking bar is at least one average true range, or
/// its leg left a gap in its direction at most five bars before.
#[derive(Debug, Clone, Default)]
pub struct Shifts {
    gap_up: Option<(u64, Gap)>,
    gap_down: Option<(u64, Gap)>,
    swept_high: Option<u64>,
    swept_low: Option<u64>,
}

impl Shifts {
    /// Records a sweep at bar `n`.
    pub fn swept(&mut self, n: u64, sweep: &Sweep) {
        match sweep.pivot.extreme {
            Extreme::High => self.swept_high = Some(n),
            Extreme::Low => self.swept_low = Some(n),
        }
    }

    /// Records a gap at bar `n`.
    pub fn gap(&mut self, n: u64, event: &GapEvent) {
        if let GapEvent::Born(gap) = event {
            match gap.direction {
                Direction::Long => self.gap_up = Some((n, *gap)),
                Direction::Short => self.gap_down = Some((n, *gap)),
            }
        }
    }

    /// Returns the shift when the break at bar `n` by the close of `candle` is one. `atr` is that of the bars before.
    pub fn broken(&self, n: u64, broken: &Break, candle: &Candle, atr: Option<f64>) -> Option<Shift> {
        if broken.kind != BreakKind::Choch {
            return None;
        }
        let body = broken.direction.sign() * (candle.close - candle.open);
        let displacement = atr.filter(|atr| *atr > 0.0).map_or(0.0, |atr| body / atr);
        let (gap, swept) = match broken.direction {
            Direction::Long => (self.gap_up, self.swept_low),
            Direction::Short => (self.gap_down, self.swept_high),
        };
        let gap = gap.filter(|(born, _)| n - born <= LEG).map(|(_, gap)| gap);
        let after_sweep = swept.is_some_and(|swept| n - swept <= SWEEP_MEMORY);
        (gap.is_some() || displacement >= BODY).then_some(Shift { broken: *broken, displacement, gap, after_sweep })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::detect::Pivot;
    use crate::engine::detect::tests::candle;

    fn broken(kind: BreakKind) -> Break {
        let pivot = Pivot { extreme: Extreme::High, index: 90, level: 1.05 };
        Break { kind, direction: Direction::Long, pivot }
    }

    #[test]
    fn a_large_body_or_gap_makes_a_shift() {
        let mut shifts = Shifts::default();
        let bar = candle(1.0, 1.2, 1.0, 1.1);
        let shift = |shifts: &Shifts, n, atr| shifts.broken(n, &broken(BreakKind::Choch), &bar, atr);
        assert_eq!(shift(&shifts, 100, Some(0.2)), None, "half an average range");
        assert_eq!(shift(&shifts, 100, None), None, "no range is known yet");
        let strong = shift(&shifts, 100, Some(0.05)).unwrap();
        assert!((strong.displacement - 2.0).abs() < 1e-9 && strong.gap.is_none() && !strong.after_sweep);
        assert_eq!(
            shifts.broken(100, &broken(BreakKind::Bos), &bar, Some(0.05)),
            None,
            "with the trend it shifts nothing"
        );

        let gap = Gap { direction: Direction::Long, index: 94, top: 1.02, bottom: 1.0, touched: false };
        shifts.gap(95, &GapEvent::Born(gap));
        let low = Pivot { extreme: Extreme::Low, index: 60, level: 0.9 };
        shifts.swept(70, &Sweep { pivot: low, extreme: 0.89 });
        let with_gap = shift(&shifts, 100, Some(0.2)).unwrap();
        assert_eq!((with_gap.gap, with_gap.after_sweep), (Some(gap), true));
        assert_eq!(shift(&shifts, 101, Some(0.2)), None, "the gap is of another leg");
        assert!(!shift(&shifts, 101, Some(0.05)).unwrap().after_sweep, "the sweep is too long ago");
    }
}
