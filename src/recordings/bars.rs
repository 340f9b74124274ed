//! Converts bars to ticks: the open at the bar's beginning, the two extremes inside it, the close in its last
//! millisecond.

use std::cmp::Reverse;
use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::row::BarQuotes;
use crate::domain::Quote;

/// The bar length where nothing shows it.
pub(super) const SHORTEST: TimeDelta = TimeDelta::minutes(1);
/// The longest bar: one month.
const LONGEST: TimeDelta = TimeDelta::days(31);
/// Bar lengths of charts, in seconds. Two bars alone can only show one of these.
const USUAL: [i64; 22] = [
    1, 5, 10, 15, 30, 60, 120, 180, 240, 300, 600, 720, 900, 1200, 1800, 3600, 7200, 10_800, 14_400, 28_800, 43_200,
    86_400,
];

/// A bar, with data that the caller gets back with its ticks.
#[derive(Debug, Clone)]
pub(super) struct TimedBar<M> {
    pub(super) opened_at: DateTime<Utc>,
    pub(super) quotes: BarQuotes,
    pub(super) volume: Option<f64>,
    pub(super) mark: M,
}

/// A tick made from a bar.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BarTick<M> {
    pub(super) at: DateTime<Utc>,
    pub(super) quote: Quote,
    pub(super) volume: Option<f64>,
    pub(super) mark: M,
}

/// Converts bars one by one. A bar lasts until the next one opens, but not longer than the usual bar length, because
/// the gap of a weekend is not a bar.
#[derive(Debug)]
pub(super) struct Unrolling<M> {
    waiting: Option<TimedBar<M>>,
    length: TimeDelta,
    /// No tick is later than this, even if the last bar is longer.
    latest: DateTime<Utc>,
}

impl<M: Clone> Unrolling<M> {
    pub(super) fn new(length: TimeDelta, latest: DateTime<Utc>) -> Self {
        Self { waiting: None, length, latest }
    }

    /// Adds the next bar, which opens after the previous one, and returns the ticks of the previous one.
    pub(super) fn push(&mut self, bar: TimedBar<M>) -> Option<[BarTick<M>; 4]> {
        let opened_at = bar.opened_at;
        let before = self.waiting.replace(bar)?;
        let gap = opened_at - before.opened_at;
        Some(before.unroll(gap.min(self.length), self.latest))
    }

    /// Returns the ticks of the last bar.
    pub(super) fn finish(&mut self) -> Option<[BarTick<M>; 4]> {
        Some(self.waiting.take()?.unroll(self.length, self.latest))
    }
}

/// Returns the bar length for ascending opening times: the most frequent difference, and of equally frequent ones the
/// shortest. `None` if that cannot be a bar length: a single difference must be a usual length, because it may be a
/// gap.
pub(super) fn bar_length(opened_at: &[DateTime<Utc>]) -> Option<TimeDelta> {
    let mut counts: HashMap<TimeDelta, usize> = HashMap::new();
    for pair in opened_at.windows(2).filter(|pair| pair[1] > pair[0]) {
        *counts.entry(pair[1] - pair[0]).or_default() += 1;
    }
    let (length, count) = counts.into_iter().max_by_key(|(gap, count)| (*count, Reverse(*gap)))?;
    let is_usual = USUAL.iter().any(|seconds| TimeDelta::seconds(*seconds) == length);
    (is_usual || (count > 1 && length <= LONGEST) || length < TimeDelta::hours(1)).then_some(length)
}

impl<M: Clone> TimedBar<M> {
    /// A rising bar most likely reached its low first, a falling bar its high.
    fn unroll(self, length: TimeDelta, latest: DateTime<Utc>) -> [BarTick<M>; 4] {
        let BarQuotes { open, high, low, close } = self.quotes;
        let (second, third) = if close.mid() >= open.mid() { (low, high) } else { (high, low) };
        let last = (length.num_milliseconds() - 1).max(0);
        let tick = |after: i64, quote, volume| BarTick {
            at: (self.opened_at + TimeDelta::milliseconds(after)).min(latest),
            quote,
            volume,
            mark: self.mark.clone(),
        };
        [
            tick(0, open, None),
            tick(last / 3, second, None),
            tick(last / 3 * 2, third, None),
            tick(last, close, self.volume),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::parse_time;

    fn bar(minute: i64, [open, high, low, close]: [f64; 4]) -> TimedBar<()> {
        let [open, high, low, close] = [open, high, low, close].map(Quote::Last);
        TimedBar { opened_at: at(minute), quotes: BarQuotes { open, high, low, close }, volume: Some(7.0), mark: () }
    }

    fn at(minute: i64) -> DateTime<Utc> {
        parse_time("2026-01-15T07:00:00Z").unwrap() + TimeDelta::minutes(minute)
    }

    fn ticks_of(ticks: &[BarTick<()>]) -> Vec<(i64, f64, Option<f64>)> {
        ticks.iter().map(|tick| ((tick.at - at(0)).num_milliseconds(), tick.quote.mid(), tick.volume)).collect()
    }

    #[test]
    fn a_bar_ends_with_the_next_except_gaps() {
        let mut unrolling = Unrolling::new(TimeDelta::minutes(5), DateTime::<Utc>::MAX_UTC);
        let mut ticks = Vec::new();
        for minute in [0, 5, 10, 600] {
            ticks.extend(unrolling.push(bar(minute, [1.1, 1.3, 1.0, 1.2])).into_iter().flatten());
        }
        ticks.extend(unrolling.finish().into_iter().flatten());
        let ticks_of = ticks_of(&ticks);
        assert_eq!(
            ticks_of[..5],
            [
                (0, 1.1, None),
                (99_999, 1.0, None),
                (199_998, 1.3, None),
                (299_999, 1.2, Some(7.0)),
                (300_000, 1.1, None)
            ]
        );
        assert_eq!(ticks_of[11], (899_999, 1.2, Some(7.0)), "the bar before the gap lasts five minutes");
        assert_eq!(ticks_of[15], (36_299_999, 1.2, Some(7.0)), "so does the last one");
        assert_eq!(ticks_of.len(), 16);
    }

    #[test]
    fn a_falling_bar_is_at_its_high_first() {
        let mut unrolling = Unrolling::new(TimeDelta::minutes(1), DateTime::<Utc>::MAX_UTC);
        assert_eq!(unrolling.push(bar(0, [1.2, 1.3, 1.0, 1.1])), None);
        let prices: Vec<f64> = unrolling.finish().unwrap().iter().map(|tick| tick.quote.mid()).collect();
        assert_eq!(prices, [1.2, 1.3, 1.0, 1.1]);
    }

    #[test]
    fn a_gap_is_not_a_bar_length() {
        let hours = |hours: i64| Some(TimeDelta::hours(hours));
        for (minutes, length) in [
            (vec![], None),
            (vec![0], None),
            (vec![0, 60], hours(1)),
            (vec![0, 168 * 1440], None),
            (vec![0, 1, 168 * 1440], Some(TimeDelta::minutes(1))),
            (vec![0, 5, 10, 600], Some(TimeDelta::minutes(5))),
            (vec![0, 30 * 1440, 60 * 1440], hours(24 * 30)),
            (vec![0, 1440], hours(24)),
            (vec![0, 100, 250], None),
        ] {
            let opened: Vec<_> = minutes.iter().map(|minute| at(*minute)).collect();
            assert_eq!(bar_length(&opened), length, "{minutes:?}");
        }
    }
}
