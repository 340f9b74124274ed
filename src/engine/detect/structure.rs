//! Breaks of structure: closes beyond the last swing, with the trend (BOS) or against it (CHoCH).

use super::{Extreme, Pivot};
use crate::domain::{Candle, Direction};

/// The relation of a break to the trend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakKind {
    /// Break of structure: in the direction of the previous break, or the first break.
    Bos,
    /// Change of character: against the direction of the previous break.
    Choch,
}

/// A bar closed beyond a swing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Break {
    /// With the trend or against it.
    pub kind: BreakKind,
    /// Long above a swing high, short below a swing low.
    pub direction: Direction,
    /// The swing.
    pub pivot: Pivot,
}

/// Tracks the last swing of each kind. A swing is broken once.
#[derive(Debug, Clone, Default)]
pub struct Structure {
    high: Option<(Pivot, bool)>,
    low: Option<(Pivot, bool)>,
    trend: Option<Direction>,
}

impl Structure {
    /// Replaces the tracked swing of the same kind by a newly confirmed one.
    pub fn watch(&mut self, pivot: Pivot) {
        match pivot.extreme {
            Extreme::High => self.high = Some((pivot, false)),
            Extreme::Low => self.low = Some((pivot, false)),
        }
    }

    /// Adds the next bar. Returns the breaks of the swing high and of the swing low.
    pub fn push(&mut self, candle: &Candle) -> [Option<Break>; 2] {
        let up = self.high.as_mut().and_then(|watched| close_beyond(watched, candle.close, Direction::Long));
        let up = up.map(|pivot| self.turn(pivot, Direction::Long));
        let down = self.low.as_mut().and_then(|watched| close_beyond(watched, candle.close, Direction::Short));
        let down = down.map(|pivot| self.turn(pivot, Direction::Short));
        [up, down]
    }

    fn turn(&mut self, pivot: Pivot, direction: Direction) -> Break {
        let against = self.trend.is_some_and(|trend| trend != direction);
        self.trend = Some(direction);
        Break { kind: if against { BreakKind::Choch } else { BreakKind::Bos }, direction, pivot }
    }

    /// Returns the direction of the last break.
    pub fn trend(&self) -> Option<Direction> {
        self.trend
    }

    /// Returns the last swing of a kind, unless it is broken.
    pub fn unbroken(&self, extreme: Extreme) -> Option<Pivot> {
        let watched = match extreme {
            Extreme::High => self.high,
            Extreme::Low => self.low,
        };
        watched.filter(|(_, broken)| !broken).map(|(pivot, _)| pivot)
    }
}

fn close_beyond((pivot, broken): &mut (Pivot, bool), close: f64, direction: Direction) -> Option<Pivot> {
    let breaks = !*broken && direction.sign() * (close - pivot.level) > 0.0;
    *broken |= breaks;
    breaks.then_some(*pivot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::detect::tests::candle;

    fn close(price: f64) -> Candle {
        candle(price, price, price, price)
    }

    #[test]
    fn breaks_follow_or_change_the_trend() {
        let high = |index, level| Pivot { extreme: Extreme::High, index, level };
        let low = |index, level| Pivot { extreme: Extreme::Low, index, level };
        let mut structure = Structure::default();
        structure.watch(high(1, 2.0));
        structure.watch(low(2, 1.0));
        assert_eq!(structure.push(&close(2.0)), [None, None], "at the level is not beyond it");
        let kinds =
            |breaks: [Option<Break>; 2]| breaks.map(|broken| broken.map(|broken| (broken.kind, broken.pivot.index)));
        assert_eq!(kinds(structure.push(&close(2.1))), [Some((BreakKind::Bos, 1)), None]);
        assert_eq!(kinds(structure.push(&close(2.2))), [None, None], "a swing is broken once");
        assert_eq!(structure.unbroken(Extreme::High), None);
        assert_eq!(structure.unbroken(Extreme::Low), Some(low(2, 1.0)));
        assert_eq!(kinds(structure.push(&close(0.9))), [None, Some((BreakKind::Choch, 2))]);
        assert_eq!(structure.trend(), Some(Direction::Short));
        structure.watch(low(5, 0.8));
        assert_eq!(kinds(structure.push(&close(0.7))), [None, Some((BreakKind::Bos, 5))]);
    }

    #[test]
    fn one_close_can_break_both_ways() {
        let mut structure = Structure::default();
        structure.watch(Pivot { extreme: Extreme::High, index: 1, level: 1.0 });
        structure.watch(Pivot { extreme: Extreme::Low, index: 2, level: 2.0 });
        let [up, down] = structure.push(&close(1.5)).map(|broken| broken.map(|broken| broken.kind));
        assert_eq!((up, down), (Some(BreakKind::Bos), Some(BreakKind::Choch)));
    }
}
