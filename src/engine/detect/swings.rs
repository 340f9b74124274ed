//! Swing highs and lows: bars whose extreme exceeds those of their neighbours.

use std::collections::VecDeque;

use crate::domain::Candle;

/// The high or the low of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extreme {
    /// The high.
    High,
    /// The low.
    Low,
}

/// A confirmed swing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pivot {
    /// Whether it is a high or a low.
    pub extreme: Extreme,
    /// The index of the bar.
    pub index: u64,
    /// The high or the low of the bar.
    pub level: f64,
}

/// Finds swings: a high above each of the `length` bars before and after it, a low below each of them; a tie rejects. A
/// swing is known `length` bars later.
#[derive(Debug, Clone)]
pub struct Swings {
    length: usize,
    /// High and low of the last `2·length + 1` bars.
    window: VecDeque<(f64, f64)>,
    next: u64,
}

impl Swings {
    /// A `length` of 0 counts as 1.
    pub fn new(length: usize) -> Self {
        let length = length.max(1);
        Self { length, window: VecDeque::with_capacity(2 * length + 2), next: 0 }
    }

    /// Adds the next bar. Returns the swing high and the swing low that it confirms.
    pub fn push(&mut self, candle: &Candle) -> [Option<Pivot>; 2] {
        self.window.push_back((candle.high, candle.low));
        self.next += 1;
        let size = 2 * self.length + 1;
        if self.window.len() > size {
            self.window.pop_front();
        }
        if self.window.len() < size {
            return [None, None];
        }
        let (high, low) = self.window[self.length];
        let index = self.next - 1 - self.length as u64;
        let others = || self.window.iter().enumerate().filter(|(place, _)| *place != self.length).map(|(_, bar)| bar);
        let is_high = others().all(|other| high > other.0);
        let is_low = others().all(|other| low < other.1);
        [
            is_high.then_some(Pivot { extreme: Extreme::High, index, level: high }),
            is_low.then_some(Pivot { extreme: Extreme::Low, index, level: low }),
        ]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::detect::tests::{candle, series};

    #[test]
    fn a_swing_is_known_after_enough_bars() {
        let mut swings = Swings::new(2);
        let bars = [1.0, 2.0, 5.0, 2.0, 3.0, 0.5, 1.0, 4.0].map(|high| candle(high, high, high - 0.1, high));
        let found: Vec<_> = bars.iter().map(|bar| swings.push(bar)).collect();
        assert_eq!(found[4][0], Some(Pivot { extreme: Extreme::High, index: 2, level: 5.0 }));
        assert_eq!(found[7][1], Some(Pivot { extreme: Extreme::Low, index: 5, level: 0.4 }));
        assert_eq!(found.iter().flatten().flatten().count(), 2);
    }

    #[test]
    fn a_tie_rejects() {
        let mut swings = Swings::new(1);
        let highs = [1.0, 3.0, 3.0, 1.0].map(|high| candle(high, high, 0.0, high));
        assert!(highs.iter().all(|bar| swings.push(bar)[0].is_none()));
    }

    proptest! {
        /// Compares with the definition on the complete series.
        #[test]
        fn swings_match_the_definition(bars in series(), length in 1usize..6) {
            let mut swings = Swings::new(length);
            for (n, bar) in bars.iter().enumerate() {
                let found = swings.push(bar);
                let expected = n.checked_sub(2 * length).map(|first| {
                    let around = &bars[first..=n];
                    let middle = &around[length];
                    let beats = |higher: &dyn Fn(&Candle, &Candle) -> bool| {
                        around.iter().enumerate().all(|(place, other)| place == length || higher(middle, other))
                    };
                    (beats(&|a, b| a.high > b.high), beats(&|a, b| a.low < b.low))
                });
                let (high, low) = expected.unwrap_or_default();
                prop_assert_eq!((found[0].is_some(), found[1].is_some()), (high, low));
            }
        }
    }
}
