//! Bars become ticks: the open at the bar's beginning, the two extremes inside it, the close in its last millisecond.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

use super::row::BarQuotes;
use crate::domain::Quote;

/// Bars that are looked at before the first is let go, to learn how long one is.
pub(crate) const LOOK_AHEAD: usize = 256;

/// A bar with whatever the caller wants back with its ticks.
#[derive(Debug, Clone)]
pub(super) struct TimedBar<M> {
    pub(super) opened_at: DateTime<Utc>,
    pub(super) quotes: BarQuotes,
    pub(super) volume: Option<f64>,
    pub(super) mark: M,
}

/// A tick made of a bar.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BarTick<M> {
    pub(super) at: DateTime<Utc>,
    pub(super) quote: Quote,
    pub(super) volume: Option<f64>,
    pub(super) mark: M,
}

/// Bars whose length is not known yet: a bar lasts until the next one opens, but not longer than most of them do, because
/// the gap of a weekend is no bar.
#[derive(Debug)]
pub(super) struct Unrolling<M> {
    waiting: VecDeque<TimedBar<M>>,
    usual: Option<TimeDelta>,
}

impl<M: Clone> Unrolling<M> {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new(), usual: None }
    }

    /// Takes the next bar, which opens after the one before; the ticks that are certain by now.
    pub(super) fn push(&mut self, bar: TimedBar<M>) -> Vec<BarTick<M>> {
        self.waiting.push_back(bar);
        if self.usual.is_none() && self.waiting.len() < LOOK_AHEAD {
            return Vec::new();
        }
        self.release(1)
    }

    /// The ticks of all bars still waiting, after the last bar.
    pub(super) fn finish(&mut self) -> Vec<BarTick<M>> {
        self.release(0)
    }

    fn release(&mut self, keep: usize) -> Vec<BarTick<M>> {
        let usual = *self.usual.get_or_insert_with(|| usual_gap(self.waiting.iter().map(|bar| bar.opened_at)));
        let mut ticks = Vec::new();
        while self.waiting.len() > keep {
            let Some(bar) = self.waiting.pop_front() else { break };
            let gap = self.waiting.front().map_or(usual, |next| next.opened_at - bar.opened_at);
            ticks.extend(bar.unroll(gap.min(usual)));
        }
        ticks
    }
}

/// The most frequent time between two bars, the shorter of two equally frequent ones; a minute for a single bar.
pub(crate) fn usual_gap(opened_at: impl Iterator<Item = DateTime<Utc>> + Clone) -> TimeDelta {
    let mut counts: HashMap<TimeDelta, usize> = HashMap::new();
    for (bar, next) in opened_at.clone().zip(opened_at.skip(1)) {
        *counts.entry(next - bar).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(gap, count)| (*count, std::cmp::Reverse(*gap)));
    most.map_or(TimeDelta::minutes(1), |(gap, _)| gap)
}

impl<M: Clone> TimedBar<M> {
    /// A bar that rises has most likely been at its low first, one that falls at its high.
    fn unroll(self, length: TimeDelta) -> [BarTick<M>; 4] {
        let BarQuotes { open, high, low, close } = self.quotes;
        let (second, third) = if close.mid() >= open.mid() { (low, high) } else { (high, low) };
        let last = (length.num_milliseconds() - 1).max(0);
        let tick = |after: i64, quote, volume| BarTick {
            at: self.opened_at + TimeDelta::milliseconds(after),
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
        let opened_at = parse_time("2026-01-15T07:00:00Z").unwrap() + TimeDelta::minutes(minute);
        TimedBar { opened_at, quotes: BarQuotes { open, high, low, close }, volume: Some(7.0), mark: () }
    }

    fn told(ticks: &[BarTick<()>]) -> Vec<(i64, f64, Option<f64>)> {
        let start = parse_time("2026-01-15T07:00:00Z").unwrap();
        ticks.iter().map(|tick| ((tick.at - start).num_milliseconds(), tick.quote.mid(), tick.volume)).collect()
    }

    #[test]
    fn a_bar_ends_with_the_next_one_but_a_gap_is_no_bar() {
        let mut unrolling = Unrolling::new();
        let mut ticks = Vec::new();
        for minute in [0, 5, 10, 600] {
            ticks.extend(unrolling.push(bar(minute, [1.1, 1.3, 1.0, 1.2])));
        }
        ticks.extend(unrolling.finish());
        let told = told(&ticks);
        assert_eq!(
            told[..5],
            [
                (0, 1.1, None),
                (99_999, 1.0, None),
                (199_998, 1.3, None),
                (299_999, 1.2, Some(7.0)),
                (300_000, 1.1, None)
            ]
        );
        assert_eq!(told[11], (899_999, 1.2, Some(7.0)), "the bar before the gap lasts five minutes");
        assert_eq!(told[15], (36_299_999, 1.2, Some(7.0)), "so does the last one");
        assert_eq!(told.len(), 16);
    }

    #[test]
    fn a_falling_bar_is_at_its_high_first() {
        let mut unrolling = Unrolling::new();
        assert_eq!(unrolling.push(bar(0, [1.2, 1.3, 1.0, 1.1])), []);
        let prices: Vec<f64> = unrolling.finish().iter().map(|tick| tick.quote.mid()).collect();
        assert_eq!(prices, [1.2, 1.3, 1.0, 1.1]);
    }

    #[test]
    fn only_so_many_bars_wait() {
        let mut unrolling = Unrolling::new();
        let ticks: usize = (0..1000).map(|minute| unrolling.push(bar(minute, [1.0; 4])).len()).sum();
        assert_eq!((ticks, unrolling.waiting.len()), (999 * 4, 1));
    }
}
