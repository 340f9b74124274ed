//! Fair value gaps: three bars of which the first and the third do not overlap.

use crate::domain::{Candle, Direction};

/// Maximum number of open gaps; beyond it the oldest is dropped.
const MAX_OPEN: usize = 4096;

/// A fair value gap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gap {
    /// Long when the market rose through it.
    pub direction: Direction,
    /// The index of the middle bar of the three.
    pub index: u64,
    /// Upper edge.
    pub top: f64,
    /// Lower edge.
    pub bottom: f64,
    /// Whether price has returned to the near edge.
    pub touched: bool,
}

impl Gap {
    /// Returns the edge that price reaches first when it returns.
    pub fn near(&self) -> f64 {
        match self.direction {
            Direction::Long => self.top,
            Direction::Short => self.bottom,
        }
    }

    /// Returns the other edge.
    pub fn far(&self) -> f64 {
        match self.direction {
            Direction::Long => self.bottom,
            Direction::Short => self.top,
        }
    }

    /// Returns the gap between three bars, if there is one, by the rule of `smartmoneyconcepts.fvg`.
    fn between(index: u64, first: &Candle, middle: &Candle, third: &Candle) -> Option<Self> {
        if first.high < third.low && middle.close > middle.open {
            Some(Self { direction: Direction::Long, index, top: third.low, bottom: first.high, touched: false })
        } else if first.low > third.high && middle.close < middle.open {
            Some(Self { direction: Direction::Short, index, top: first.low, bottom: third.high, touched: false })
        } else {
            None
        }
    }

    /// Returns how far a bar reached into the gap: its low for a long gap, its high for a short one.
    fn reach(&self, candle: &Candle) -> f64 {
        match self.direction {
            Direction::Long => candle.low,
            Direction::Short => candle.high,
        }
    }
}

/// An event of a gap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GapEvent {
    /// The gap appeared.
    Born(Gap),
    /// Price returned to the near edge for the first time; never in the bar that completed the gap.
    Touched(Gap),
    /// Price traded beyond the far edge, which ends the gap.
    Filled(Gap),
}

/// Finds gaps, and tracks them until they are filled.
#[derive(Debug, Clone, Default)]
pub struct Gaps {
    last: Option<Candle>,
    before_last: Option<Candle>,
    next: u64,
    open: Vec<Gap>,
}

impl Gaps {
    /// Adds the next bar. Returns the gap that it completes, then the events of older gaps.
    pub fn push(&mut self, candle: &Candle) -> Vec<GapEvent> {
        let n = self.next;
        self.next += 1;
        let middle = self.last.replace(*candle);
        let first = std::mem::replace(&mut self.before_last, middle);
        let born = match (first, middle) {
            (Some(first), Some(middle)) => Gap::between(n - 1, &first, &middle, candle),
            _ => None,
        };
        let mut events: Vec<_> = born.into_iter().map(GapEvent::Born).collect();
        self.open.retain_mut(|gap| {
            let reach = gap.reach(candle);
            let sign = gap.direction.sign();
            if !gap.touched && sign * (reach - gap.near()) <= 0.0 {
                gap.touched = true;
                events.push(GapEvent::Touched(*gap));
            }
            let filled = sign * (reach - gap.far()) < 0.0;
            if filled {
                events.push(GapEvent::Filled(*gap));
            }
            !filled
        });
        self.open.extend(born);
        if self.open.len() > MAX_OPEN {
            self.open.remove(0);
        }
        events
    }

    /// Returns the gaps that are not filled, oldest first.
    pub fn open(&self) -> &[Gap] {
        &self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::detect::tests::candle;

    #[test]
    fn a_gap_is_born_touched_and_filled() {
        let mut gaps = Gaps::default();
        assert_eq!(gaps.push(&candle(1.0, 1.2, 0.9, 1.1)), []);
        assert_eq!(gaps.push(&candle(1.1, 1.6, 1.1, 1.5)), []);
        let gap = Gap { direction: Direction::Long, index: 1, top: 1.4, bottom: 1.2, touched: false };
        assert_eq!(
            gaps.push(&candle(1.5, 1.8, 1.4, 1.7)),
            [GapEvent::Born(gap)],
            "not touched in the bar of its birth"
        );
        assert_eq!(gaps.push(&candle(1.7, 1.8, 1.45, 1.7)), []);
        let touched = Gap { touched: true, ..gap };
        assert_eq!(gaps.push(&candle(1.7, 1.75, 1.4, 1.7)), [GapEvent::Touched(touched)], "at the edge is a touch");
        assert_eq!(gaps.push(&candle(1.7, 1.75, 1.2, 1.7)), [], "at the far edge is not beyond it");
        assert_eq!(gaps.push(&candle(1.7, 1.75, 1.1, 1.7)), [GapEvent::Filled(touched)]);
        assert_eq!(gaps.open(), []);
    }

    #[test]
    fn the_middle_bar_needs_the_same_direction() {
        let mut gaps = Gaps::default();
        for bar in [candle(1.0, 1.2, 0.9, 1.1), candle(1.6, 1.6, 1.3, 1.5), candle(1.5, 1.8, 1.4, 1.7)] {
            assert_eq!(gaps.push(&bar), []);
        }
    }

    #[test]
    fn a_bar_may_touch_and_fill_at_once() {
        let mut gaps = Gaps::default();
        for bar in [candle(2.0, 2.1, 1.9, 2.0), candle(2.0, 2.0, 1.5, 1.5), candle(1.5, 1.7, 1.4, 1.5)] {
            gaps.push(&bar);
        }
        let gap = Gap { direction: Direction::Short, index: 1, top: 1.9, bottom: 1.7, touched: true };
        assert_eq!((gap.near(), gap.far()), (1.7, 1.9));
        let events = gaps.push(&candle(1.5, 2.5, 1.5, 2.4));
        assert_eq!(events, [GapEvent::Touched(gap), GapEvent::Filled(gap)]);
    }

    #[test]
    fn the_number_of_open_gaps_is_limited() {
        let mut gaps = Gaps::default();
        for n in 0..3 * MAX_OPEN {
            let low = n as f64 * 10.0;
            gaps.push(&candle(low, low + 5.0, low, low + 5.0));
        }
        assert_eq!(gaps.open().len(), MAX_OPEN);
    }
}
