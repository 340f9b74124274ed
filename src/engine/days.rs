//! The range of each instrument's day: its highest and lowest price, and the volume.
//!
//! A day begins with the first price of its date ([`Session::day_of`](crate::domain::Session::day_of)), so that the
//! last day remains while a market is closed. Simulated and real prices never share a range.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};

use crate::domain::{Bar, DayRange, Feed, Instrument, Symbol, Tick};

/// The current day of each instrument.
#[derive(Debug, Default)]
pub(super) struct Days(BTreeMap<Symbol, Day>);

#[derive(Debug)]
struct Day {
    date: NaiveDate,
    is_simulated: bool,
    range: DayRange,
}

impl Days {
    /// Adds a tick at its time of arrival, as bars do.
    pub(super) fn push_tick(&mut self, instrument: &Instrument, tick: &Tick, at: DateTime<Utc>) {
        let price = instrument.mid(tick.quote);
        let range = DayRange { high: price, low: price, volume: tick.volume.filter(|volume| *volume > 0.0) };
        self.extend(instrument, at, tick.feed == Feed::Simulated, range);
    }

    /// Adds a recorded minute; the oldest has to come first.
    pub(super) fn restore(&mut self, instrument: &Instrument, minute: &Bar) {
        let volume = Some(minute.volume).filter(|volume| *volume > 0.0);
        let range = DayRange { high: minute.high, low: minute.low, volume };
        self.extend(instrument, minute.opened_at, minute.simulated, range);
    }

    fn extend(&mut self, instrument: &Instrument, at: DateTime<Utc>, is_simulated: bool, range: DayRange) {
        let date = instrument.session.day_of(at);
        match self.0.get_mut(&instrument.symbol).filter(|day| (day.date, day.is_simulated) == (date, is_simulated)) {
            Some(day) => day.range.extend(range),
            None => {
                self.0.insert(instrument.symbol.clone(), Day { date, is_simulated, range });
            }
        }
    }

    /// Drops the day of a symbol, because another source replaces its prices.
    pub(super) fn forget(&mut self, symbol: &Symbol) {
        self.0.remove(symbol);
    }

    /// Returns the day's range of a symbol.
    pub(super) fn of(&self, symbol: &Symbol) -> Option<DayRange> {
        self.0.get(symbol).map(|day| day.range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Instruments, Quote, Session, SourceName, parse_time};

    fn tick(at: &str, price: f64, volume: Option<f64>, feed: Feed) -> Tick {
        let (symbol, source) = (Symbol::new("EURUSD"), SourceName::new("push"));
        Tick { symbol, quote: Quote::Last(price), volume, observed_at: parse_time(at).unwrap(), feed, source }
    }

    #[test]
    fn a_day_keeps_its_extremes_until_the_next() {
        let instruments = Instruments::new(Instruments::documented()).unwrap();
        let euro = instruments.named("EURUSD").unwrap().as_ref().clone();
        let mut days = Days::default();
        let minute = Bar {
            high: 1.3,
            low: 1.05,
            ..Bar::opening(euro.symbol.clone(), parse_time("2026-01-14T22:30:00Z").unwrap(), 1.2, 7.0)
        };
        days.restore(
            &euro,
            &Bar { opened_at: parse_time("2026-01-14T21:59:00Z").unwrap(), high: 9.0, ..minute.clone() },
        );
        days.restore(&euro, &minute);
        let mut take = |euro: &Instrument, at, price, volume, feed| {
            let tick = tick(at, price, volume, feed);
            days.push_tick(euro, &tick, tick.observed_at);
            let DayRange { high, low, volume } = days.of(&euro.symbol).unwrap();
            (high, low, volume)
        };
        // The day began at 17:00 in New York, before the restart.
        assert_eq!(take(&euro, "2026-01-15T10:00:00Z", 1.1, Some(2.0), Feed::Live), (1.3, 1.05, Some(9.0)));
        assert_eq!(take(&euro, "2026-01-15T21:59:59Z", 1.0, None, Feed::Live), (1.3, 1.0, Some(9.0)));
        assert_eq!(take(&euro, "2026-01-15T22:00:00Z", 1.1, None, Feed::Live), (1.1, 1.1, None), "17:00 in New York");
        assert_eq!(take(&euro, "2026-01-15T22:01:00Z", 1.2, None, Feed::Simulated), (1.2, 1.2, None));
        let coin = Instrument { session: Session::Always, ..euro.clone() };
        assert_eq!(
            take(&coin, "2026-01-15T23:59:00Z", 1.4, None, Feed::Simulated),
            (1.4, 1.4, None),
            "its own UTC day"
        );
        assert_eq!(take(&coin, "2026-01-16T00:00:00Z", 1.3, None, Feed::Simulated), (1.3, 1.3, None));
    }
}
