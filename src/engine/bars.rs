//! Builds bars of every length from the ticks as they arrive, for mid, bid and ask.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::{Bar, BarInterval, Candle, Feed, Instrument, Symbol, Tick};

/// A bar of mid, bid and ask. Where a source has only one price, all three are equal.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct QuoteBar {
    /// The mids, on the instrument's grid.
    pub(super) mid: Bar,
    pub(super) bid: Candle,
    pub(super) ask: Candle,
}

impl QuoteBar {
    fn opening(symbol: Symbol, opened_at: DateTime<Utc>, price: &TickPrices) -> Self {
        Self {
            mid: Bar { simulated: price.simulated, ..Bar::opening(symbol, opened_at, price.mid, price.volume) },
            bid: Candle::opening(price.bid),
            ask: Candle::opening(price.ask),
        }
    }

    fn update(&mut self, price: &TickPrices) {
        self.mid.update(price.mid, price.volume);
        self.mid.simulated |= price.simulated;
        self.bid.update(price.bid);
        self.ask.update(price.ask);
    }

    fn extend(&mut self, next: &Self) {
        self.mid.extend(&next.mid);
        self.bid.extend(&next.bid);
        self.ask.extend(&next.ask);
    }

    /// Returns the spread at the close, not rounded.
    pub(super) fn spread(&self) -> f64 {
        self.ask.close - self.bid.close
    }
}

/// A bar that has ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Closed {
    pub(super) interval: BarInterval,
    pub(super) bar: QuoteBar,
}

impl Closed {
    /// Returns the first instant after the bar.
    pub(super) fn ends_at(&self) -> DateTime<Utc> {
        self.bar.mid.opened_at + self.interval.length()
    }
}

/// When the clock goes back by at most this, the current bar continues. By more, new bars begin at the new time.
const MAX_CLOCK_CORRECTION: TimeDelta = TimeDelta::minutes(2);

/// The intervals that are built from one-minute bars.
const LONGER_INTERVALS: [BarInterval; 3] =
    [BarInterval::FiveMinutes, BarInterval::FifteenMinutes, BarInterval::OneHour];

/// The current bars of one instrument.
#[derive(Debug)]
struct Forming {
    minute: QuoteBar,
    changed: bool,
    longer: [Option<QuoteBar>; 3],
}

struct TickPrices {
    mid: f64,
    bid: f64,
    ask: f64,
    volume: f64,
    simulated: bool,
}

/// The current bars of each instrument, and the minutes that have ended since the last drain.
///
/// A bar ends with the first tick after it. A span without ticks has no bar.
#[derive(Debug, Default)]
pub(super) struct BarBuilder {
    forming: BTreeMap<Symbol, Forming>,
    ended: Vec<Bar>,
}

impl BarBuilder {
    /// Adds a tick at its time of arrival, so that a sender's clock cannot distort bars. Returns the bars that end with
    /// it, shorter ones first.
    pub(super) fn push_tick(&mut self, instrument: &Instrument, tick: &Tick, at: DateTime<Utc>) -> Vec<Closed> {
        let mid = instrument.mid(tick.quote);
        let (bid, ask) = instrument.sides(tick.quote);
        let simulated = tick.feed == Feed::Simulated;
        let price = TickPrices { mid, bid, ask, volume: tick.volume.unwrap_or(0.0), simulated };
        let opened_at = BarInterval::OneMinute.floor(at);
        let opening = || QuoteBar::opening(tick.symbol.clone(), opened_at, &price);
        match self.forming.get_mut(&tick.symbol) {
            Some(forming)
                if (forming.minute.mid.opened_at - MAX_CLOCK_CORRECTION..=forming.minute.mid.opened_at)
                    .contains(&opened_at) =>
            {
                forming.minute.update(&price);
                forming.changed = true;
                Vec::new()
            }
            Some(forming) => {
                let closed = forming.replace(opening());
                self.ended.extend(closed.first().map(|closed| closed.bar.mid.clone()));
                closed
            }
            None => {
                self.start(tick.symbol.clone(), opening(), true);
                Vec::new()
            }
        }
    }

    /// Adds a past minute of a symbol that has had no tick yet. Returns the bars that end with it.
    pub(super) fn restore(&mut self, bar: Bar) -> Vec<Closed> {
        let symbol = bar.symbol.clone();
        let bar = QuoteBar { bid: bar.candle(), ask: bar.candle(), mid: bar };
        match self.forming.get_mut(&symbol) {
            Some(forming) if bar.mid.opened_at <= forming.minute.mid.opened_at => Vec::new(),
            Some(forming) => forming.replace(bar),
            None => {
                self.start(symbol, bar, false);
                Vec::new()
            }
        }
    }

    fn start(&mut self, symbol: Symbol, minute: QuoteBar, changed: bool) {
        self.forming.insert(symbol, Forming { minute, changed, longer: [const { None }; 3] });
    }

    /// Returns the current minute of a symbol, if it has ended by `at`.
    pub(super) fn ended_minute(&self, symbol: &Symbol, at: DateTime<Utc>) -> Option<Closed> {
        let bar = self.forming.get(symbol)?.minute.clone();
        Some(Closed { interval: BarInterval::OneMinute, bar }).filter(|minute| minute.ends_at() <= at)
    }

    /// Drops the current bars of a symbol, because another source replaces its prices.
    pub(super) fn forget(&mut self, symbol: &Symbol) {
        if let Some(Forming { minute, changed: true, .. }) = self.forming.remove(symbol) {
            self.ended.push(minute.mid);
        }
    }

    /// Drains the ended minutes, then the current ones that changed.
    pub(super) fn take_changed(&mut self) -> Vec<Bar> {
        let mut bars = std::mem::take(&mut self.ended);
        for forming in self.forming.values_mut() {
            if std::mem::take(&mut forming.changed) {
                bars.push(forming.minute.mid.clone());
            }
        }
        bars
    }
}

impl Forming {
    /// Begins the next minute. Returns the bars that end with the previous one.
    fn replace(&mut self, next: QuoteBar) -> Vec<Closed> {
        let now = next.mid.opened_at;
        let minute = std::mem::replace(&mut self.minute, next);
        self.changed = true;
        let mut closed = vec![Closed { interval: BarInterval::OneMinute, bar: minute }];
        for (interval, forming) in LONGER_INTERVALS.into_iter().zip(&mut self.longer) {
            let minute = &closed[0].bar;
            let opened_at = interval.floor(minute.mid.opened_at);
            let bar = match forming.take() {
                Some(mut bar) => {
                    bar.extend(minute);
                    bar
                }
                None => QuoteBar { mid: Bar { opened_at, ..minute.mid.clone() }, ..minute.clone() },
            };
            // A clock that is set back ends longer bars, too.
            if interval.floor(now) == opened_at {
                *forming = Some(bar);
            } else {
                closed.push(Closed { interval, bar });
            }
        }
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Instruments, Quote, SourceName, parse_time};

    fn push(bars: &mut BarBuilder, at: &str, bid: f64, ask: f64) -> Vec<(&'static str, String, Candle)> {
        let instrument = &Instruments::documented()[0];
        let observed_at = parse_time(at).unwrap();
        let tick = Tick {
            symbol: instrument.symbol.clone(),
            quote: Quote::BidAsk { bid, ask },
            volume: None,
            observed_at,
            feed: Feed::Live,
            source: SourceName::new("push"),
        };
        let closed = bars.push_tick(instrument, &tick, observed_at);
        closed.into_iter().map(|c| (c.interval.name(), c.bar.mid.opened_at.to_string(), c.bar.bid)).collect()
    }

    #[test]
    fn bars_end_with_the_next_tick() {
        let mut bars = BarBuilder::default();
        assert_eq!(push(&mut bars, "2026-01-15T07:58:10Z", 1.1, 1.1002), []);
        assert_eq!(push(&mut bars, "2026-01-15T07:58:50Z", 1.2, 1.2002), []);
        let minute = Candle { open: 1.1, high: 1.2, low: 1.1, close: 1.2 };
        let closed = push(&mut bars, "2026-01-15T07:59:00Z", 1.3, 1.3002);
        assert_eq!(closed, [("1m", "2026-01-15 07:58:00 UTC".to_owned(), minute)]);
        let hour = Candle { open: 1.1, high: 1.3, low: 1.1, close: 1.3 };
        let closed = push(&mut bars, "2026-01-15T08:31:00Z", 1.0, 1.0002);
        assert_eq!(
            closed[1..],
            [("5m", "07:55"), ("15m", "07:45"), ("1h", "07:00")]
                .map(|(name, at)| { (name, format!("2026-01-15 {at}:00 UTC"), hour) })
        );
        assert_eq!(closed.len(), 4, "half an hour without ticks has no bars");
    }

    #[test]
    fn ticks_continue_restored_minutes() {
        let instrument = &Instruments::documented()[0];
        let mut bars = BarBuilder::default();
        for minute in 0..5 {
            let opened_at = parse_time(&format!("2026-01-15T07:0{minute}:00Z")).unwrap();
            bars.restore(Bar::opening(instrument.symbol.clone(), opened_at, 1.1, 1.0));
        }
        let closed = push(&mut bars, "2026-01-15T07:05:00Z", 1.2, 1.2);
        assert_eq!(closed.iter().map(|closed| closed.0).collect::<Vec<_>>(), ["1m", "5m"]);
    }

    #[test]
    fn only_a_large_clock_change_ends_bars() {
        let mut bars = BarBuilder::default();
        push(&mut bars, "2026-01-15T07:58:10Z", 1.1, 1.1);
        push(&mut bars, "2026-01-15T07:59:10Z", 1.2, 1.2);
        assert_eq!(push(&mut bars, "2026-01-15T07:57:50Z", 1.3, 1.3), []);
        let names = |closed: Vec<(&'static str, String, Candle)>| closed.iter().map(|c| c.0).collect::<Vec<_>>();
        assert_eq!(names(push(&mut bars, "2026-01-15T05:59:10Z", 1.4, 1.4)), ["1m", "5m", "15m", "1h"]);
        assert_eq!(names(push(&mut bars, "2026-01-15T06:00:00Z", 1.5, 1.5)), ["1m", "5m", "15m", "1h"]);
        assert_eq!(names(push(&mut bars, "2026-01-15T06:01:00Z", 1.5, 1.5)), ["1m"], "time goes on from there");
    }

    #[test]
    fn bid_and_ask_have_their_own_bars() {
        let instrument = &Instruments::documented()[0];
        let mut bars = BarBuilder::default();
        push(&mut bars, "2026-01-15T07:00:00Z", 1.1, 1.1004);
        push(&mut bars, "2026-01-15T07:00:01Z", 1.1001, 1.1002);
        let forming = &bars.forming[&instrument.symbol].minute;
        assert_eq!((forming.bid.high, forming.ask.high, forming.ask.low), (1.1001, 1.1004, 1.1002));
        assert_eq!((forming.mid.open, forming.mid.close), (1.1002, 1.10015));
        assert!((forming.spread() - 0.0001).abs() < 1e-9);
    }
}
