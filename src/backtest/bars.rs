//! Merges the rows of a recording to bars.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::{BarInterval, Candle, Instrument, Quote};
use crate::recordings::{BarQuotes, RecordedRow, RowPrices};

/// Merges rows to bars. Bars have the prices of the file; ticks become bars of their mids.
pub(super) struct BarJoiner<'a> {
    instrument: &'a Instrument,
    /// The interval to which rows are merged; `None` leaves them as they are.
    joined: Option<BarInterval>,
    forming: Option<(DateTime<Utc>, Candle)>,
}

impl<'a> BarJoiner<'a> {
    /// Merges rows to `interval`, unless the file's bars have this length or are longer. `own_length` is that of the file's bars;
    /// `None` for ticks.
    pub(super) fn new(instrument: &'a Instrument, own_length: Option<TimeDelta>, interval: BarInterval) -> Self {
        let asked = TimeDelta::minutes(interval.minutes().into());
        let joined = own_length.is_none_or(|own| own < asked).then_some(interval);
        Self { instrument, joined, forming: None }
    }

    /// Adds a row. Returns the bar that it ends, with its opening time.
    pub(super) fn push(&mut self, row: &RecordedRow) -> Option<(DateTime<Utc>, Candle)> {
        let candle = match (row.own, row.prices) {
            (Some(own), _) => own,
            (None, RowPrices::Tick(quote)) => Candle::opening(self.price(quote)),
            (None, RowPrices::Bar(BarQuotes { open, high, low, close })) => Candle {
                open: self.price(open),
                high: self.price(high),
                low: self.price(low),
                close: self.price(close),
            },
        };
        let Some(interval) = self.joined else { return Some((row.at, candle)) };
        let opened_at = interval.floor(row.at);
        match &mut self.forming {
            Some((forming, bar)) if *forming == opened_at => {
                bar.extend(&candle);
                None
            }
            forming => forming.replace((opened_at, candle)),
        }
    }

    /// Returns the last bar, which no row has ended.
    pub(super) fn finish(self) -> Option<(DateTime<Utc>, Candle)> {
        self.forming
    }

    fn price(&self, quote: Quote) -> f64 {
        self.instrument.mid(quote)
    }
}
