//! Sweeps: bars whose wick goes through a swing, where stops lie, and that close back.

use super::{Extreme, Pivot};
use crate::domain::Candle;

/// A swing was swept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sweep {
    /// The swing.
    pub pivot: Pivot,
    /// The end of the wick: the bar's high above a swing high, its low below a swing low.
    pub extreme: f64,
}

/// Tracks the last swing of each kind. A swing is swept once, and never after a close beyond it.
#[derive(Debug, Clone, Default)]
pub struct Sweeps {
    high: Option<Pivot>,
    low: Option<Pivot>,
}

impl Sweeps {
    /// Replaces the tracked swing of the same kind by a newly confirmed one.
    pub fn watch(&mut self, pivot: Pivot) {
        match pivot.extreme {
            Extreme::High => self.high = Some(pivot),
            Extreme::Low => self.low = Some(pivot),
        }
    }

    /// Adds the next bar. Returns the sweeps of the swing high and of the swing low.
    pub fn push(&mut self, candle: &Candle) -> [Option<Sweep>; 2] {
        let high = sweep(&mut self.high, candle.high, candle.close, 1.0);
        let low = sweep(&mut self.low, candle.low, candle.close, -1.0);
        [high, low]
    }
}

/// `beyond` is +1 above a high, −1 below a low.
fn sweep(watched: &mut Option<Pivot>, extreme: f64, close: f64, beyond: f64) -> Option<Sweep> {
    let pivot = *watched.as_ref()?;
    if beyond * (extreme - pivot.level) <= 0.0 {
        return None;
    }
    // A sweep and a close beyond both end the tracking.
    *watched = None;
    (beyond * (close - pivot.level) <= 0.0).then_some(Sweep { pivot, extreme })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::detect::tests::candle;

    const HIGH: Pivot = Pivot { extreme: Extreme::High, index: 3, level: 2.0 };
    const LOW: Pivot = Pivot { extreme: Extreme::Low, index: 4, level: 1.0 };

    #[test]
    fn a_wick_through_a_swing_sweeps_it_once() {
        let mut sweeps = Sweeps::default();
        sweeps.watch(HIGH);
        sweeps.watch(LOW);
        assert_eq!(sweeps.push(&candle(1.5, 2.0, 1.0, 1.5)), [None, None], "reaching it is not enough");
        let high = Sweep { pivot: HIGH, extreme: 2.1 };
        assert_eq!(sweeps.push(&candle(1.5, 2.1, 1.4, 2.0)), [Some(high), None], "a close at the level is back");
        assert_eq!(sweeps.push(&candle(1.5, 2.2, 1.4, 1.5)), [None, None], "once");
        let low = Sweep { pivot: LOW, extreme: 0.9 };
        assert_eq!(sweeps.push(&candle(1.5, 1.6, 0.9, 1.2)), [None, Some(low)]);
    }

    #[test]
    fn a_close_beyond_ends_the_tracking() {
        let mut sweeps = Sweeps::default();
        sweeps.watch(HIGH);
        assert_eq!(sweeps.push(&candle(1.5, 2.2, 1.4, 2.1)), [None, None]);
        assert_eq!(sweeps.push(&candle(2.1, 2.3, 1.4, 1.5)), [None, None]);
        sweeps.watch(Pivot { index: 9, ..HIGH });
        assert!(sweeps.push(&candle(1.5, 2.2, 1.4, 1.5))[0].is_some(), "a new swing is watched again");
    }
}
