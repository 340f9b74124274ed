//! The prices of a recording for a chart: few enough bars, however long it is.

use chrono::{DateTime, Utc};

use crate::domain::Candle;

/// Maximum number of bars; beyond it, their length is doubled.
const MOST: usize = 800;

/// Bars of equal length, at first of a minute.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceLine {
    /// The length of a bar in minutes.
    pub(super) minutes: i64,
    /// The bars with their opening times, oldest first.
    pub(super) bars: Vec<(DateTime<Utc>, Candle)>,
}

impl PriceLine {
    /// Returns a line without prices.
    pub(super) fn new() -> Self {
        Self { minutes: 1, bars: Vec::new() }
    }

    /// Adds the next price.
    pub(super) fn push(&mut self, at: DateTime<Utc>, price: f64) {
        let slot = self.slot(at);
        match self.bars.last_mut() {
            Some((last, bar)) if slot <= at_slot(*last, self.minutes) => bar.update(price),
            _ => self.bars.push((at, Candle::opening(price))),
        }
        while self.bars.len() > MOST {
            self.minutes *= 2;
            let mut merged: Vec<(DateTime<Utc>, Candle)> = Vec::with_capacity(MOST);
            for (at, bar) in std::mem::take(&mut self.bars) {
                match merged.last_mut() {
                    Some((last, before)) if at_slot(*last, self.minutes) == self.slot(at) => before.extend(&bar),
                    _ => merged.push((at, bar)),
                }
            }
            self.bars = merged;
        }
    }

    /// Returns the place of the bar in which a time lies, or of the nearest one before it; 0 before the first.
    pub(super) fn place(&self, at: DateTime<Utc>) -> usize {
        let slot = self.slot(at);
        self.bars.partition_point(|(opened_at, _)| self.slot(*opened_at) <= slot).saturating_sub(1)
    }

    fn slot(&self, at: DateTime<Utc>) -> i64 {
        at_slot(at, self.minutes)
    }
}

fn at_slot(at: DateTime<Utc>, minutes: i64) -> i64 {
    at.timestamp().div_euclid(60 * minutes)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::parse_time;

    #[test]
    fn a_long_recording_has_few_bars() {
        let began = parse_time("2026-01-15T07:00:00Z").unwrap();
        let mut line = PriceLine::new();
        for minute in 0..10_000 {
            line.push(began + TimeDelta::minutes(minute), minute as f64);
            line.push(began + TimeDelta::minutes(minute), minute as f64 + 0.5);
        }
        assert_eq!((line.minutes, line.bars.len()), (16, 626));
        assert_eq!(line.bars[1].1, Candle { open: 12.0, high: 27.5, low: 12.0, close: 27.5 });
        assert_eq!([0, 11, 12, 9_999].map(|minute| line.place(began + TimeDelta::minutes(minute))), [0, 0, 1, 625]);
        assert_eq!(line.place(began - TimeDelta::days(1)), 0);
    }
}
