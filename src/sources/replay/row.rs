//! One line of a recording, read.

use chrono::{DateTime, Utc};

use super::layout::{Layout, Prices, Time, number, trimmed};
use crate::domain::{Instrument, Quote, parse_time};

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row {
    /// Time of the tick, or time at which the bar opens.
    pub(crate) at: DateTime<Utc>,
    pub(crate) prices: RowPrices,
    pub(crate) volume: Option<f64>,
}

/// The prices of a tick or of a bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum RowPrices {
    Tick(Quote),
    Bar(BarQuotes),
}

/// Open, high, low and close of a bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BarQuotes {
    pub(crate) open: Quote,
    pub(crate) high: Quote,
    pub(crate) low: Quote,
    pub(crate) close: Quote,
}

/// What is wrong with a line, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowFault {
    /// The column; `None` when the line as a whole is wrong.
    pub(super) column: Option<String>,
    pub(super) reason: String,
}

/// No price is higher; beyond it digits would be lost.
const MAX_PRICE: f64 = 1e9;
/// No volume is larger.
const MAX_VOLUME: f64 = 1e15;

impl Row {
    /// Reads a line.
    pub(super) fn parse(line: &str, layout: &Layout, instrument: &Instrument) -> Result<Self, RowFault> {
        let fields: Vec<&str> = line.split(char::from(layout.delimiter)).map(trimmed).collect();
        let reading = Reading { fields, layout, instrument };
        let at = reading.time()?;
        let prices = match layout.prices {
            Prices::Last(column) => RowPrices::Tick(Quote::Last(reading.price(column)?)),
            Prices::Quote(bid, ask) => RowPrices::Tick(reading.quote(bid, ask)?),
            Prices::Bar(columns) => {
                let [open, high, low, close] = reading.bar(columns)?.map(Quote::Last);
                RowPrices::Bar(BarQuotes { open, high, low, close })
            }
            Prices::QuoteBar(bids, asks) => {
                reading.bar(bids)?;
                reading.bar(asks)?;
                let quote = |which: usize| reading.quote(bids[which], asks[which]);
                RowPrices::Bar(BarQuotes { open: quote(0)?, high: quote(1)?, low: quote(2)?, close: quote(3)? })
            }
        };
        Ok(Self { at, prices, volume: reading.volume()? })
    }
}

/// A line on its way to a row.
struct Reading<'a> {
    fields: Vec<&'a str>,
    layout: &'a Layout,
    instrument: &'a Instrument,
}

impl Reading<'_> {
    fn field(&self, column: usize) -> Result<&str, RowFault> {
        self.fields.get(column).copied().ok_or_else(|| self.fault(column, "is missing"))
    }

    fn fault(&self, column: usize, reason: &str) -> RowFault {
        RowFault { column: self.layout.names.get(column).cloned(), reason: reason.into() }
    }

    /// A fault that shows what stands there.
    fn not(&self, column: usize, expected: &str) -> RowFault {
        let shown: String = self.fields.get(column).copied().unwrap_or_default().chars().take(40).collect();
        self.fault(column, &format!("'{shown}' is no {expected}"))
    }

    fn time(&self) -> Result<DateTime<Utc>, RowFault> {
        match self.layout.time {
            Time::Whole(column) => parse_time(self.field(column)?).ok_or_else(|| self.not(column, "time")),
            Time::Split(date, time) => {
                let whole = format!("{} {}", self.field(date)?, self.field(time)?);
                parse_time(&whole).ok_or_else(|| self.not(time, "time"))
            }
        }
    }

    /// A price that stays positive on the instrument's grid.
    fn price(&self, column: usize) -> Result<f64, RowFault> {
        let price = number(self.field(column)?, self.layout.delimiter);
        price
            .filter(|price| *price <= MAX_PRICE && self.instrument.round(*price) > 0.0)
            .ok_or_else(|| self.not(column, &format!("price of {}", self.instrument.symbol)))
    }

    fn quote(&self, bid: usize, ask: usize) -> Result<Quote, RowFault> {
        let quote = (self.price(bid)?, self.price(ask)?);
        if quote.0 > quote.1 {
            return Err(self.fault(ask, "is below the bid"));
        }
        Ok(Quote::BidAsk { bid: quote.0, ask: quote.1 })
    }

    fn bar(&self, [open, high, low, close]: [usize; 4]) -> Result<[f64; 4], RowFault> {
        let prices = [self.price(open)?, self.price(high)?, self.price(low)?, self.price(close)?];
        if prices.iter().any(|price| *price > prices[1]) {
            return Err(self.fault(high, "is not the highest price of its bar"));
        }
        if prices.iter().any(|price| *price < prices[2]) {
            return Err(self.fault(low, "is not the lowest price of its bar"));
        }
        Ok(prices)
    }

    /// The volume; an absent or empty one is none.
    fn volume(&self) -> Result<Option<f64>, RowFault> {
        let Some(column) = self.layout.volume else { return Ok(None) };
        match self.fields.get(column).copied() {
            None | Some("") => Ok(None),
            Some(field) => number(field, self.layout.delimiter)
                .filter(|volume| (0.0..=MAX_VOLUME).contains(volume))
                .map(Some)
                .ok_or_else(|| self.not(column, "volume")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Instruments, iso};

    fn parse(header: &str, line: &str) -> Result<Row, (String, String)> {
        let layout = Layout::detect(header).unwrap();
        Row::parse(line, &layout, &Instruments::documented()[0])
            .map_err(|fault| (fault.column.unwrap_or_default(), fault.reason))
    }

    #[test]
    fn ticks_and_bars_are_read() {
        let tick = parse("time,bid,ask", "2026-01-15T07:00:00.5Z, 1.1 ,\"1.2\"").unwrap();
        assert_eq!(iso(tick.at), "2026-01-15T07:00:00.500Z");
        assert_eq!(tick.prices, RowPrices::Tick(Quote::BidAsk { bid: 1.1, ask: 1.2 }));
        let bar = parse("date;open;high;low;close;volume", "2026.01.15 07:00:00;1,1;1,3;1,0;1,2;7").unwrap();
        let [open, high, low, close] = [1.1, 1.3, 1.0, 1.2].map(Quote::Last);
        assert_eq!((bar.prices, bar.volume), (RowPrices::Bar(BarQuotes { open, high, low, close }), Some(7.0)));
        let split = parse("<DATE>\t<TIME>\t<BID>\t<ASK>\t<VOLUME>", "2026.01.15\t07:00:00.250\t1.1\t1.2\t").unwrap();
        assert_eq!((iso(split.at).as_str(), split.volume), ("2026-01-15T07:00:00.250Z", None));
    }

    #[test]
    fn a_bad_line_names_its_column() {
        for (header, line, column, reason) in [
            ("time,bid,ask", "today,1.1,1.2", "time", "'today' is no time"),
            ("time,bid,ask", "2026-01-15T07:00:00Z,x,1.2", "bid", "'x' is no price of EURUSD"),
            ("time,bid,ask", "2026-01-15T07:00:00Z,1.1,-1.2", "ask", "'-1.2' is no price of EURUSD"),
            ("time,bid,ask", "2026-01-15T07:00:00Z,1.1,inf", "ask", "'inf' is no price of EURUSD"),
            ("time,bid,ask", "2026-01-15T07:00:00Z,1e-9,1", "bid", "'1e-9' is no price of EURUSD"),
            ("time,bid,ask", "2026-01-15T07:00:00Z,1.1,1e300", "ask", "'1e300' is no price of EURUSD"),
            ("time,bid,ask", "2026-01-15T07:00:00Z,1.2,1.1", "ask", "is below the bid"),
            ("time,bid,ask", "2026-01-15T07:00:00Z,1.2", "ask", "is missing"),
            ("time,o,h,l,c", "2026-01-15T07:00:00Z,1.2,1.1,1.0,1.1", "h", "is not the highest price of its bar"),
            ("time,o,h,l,c", "2026-01-15T07:00:00Z,1.2,1.3,1.25,1.3", "l", "is not the lowest price of its bar"),
            ("time,o,h,l,c,v", "2026-01-15T07:00:00Z,1,1,1,1,-7", "v", "'-7' is no volume"),
        ] {
            assert_eq!(parse(header, line), Err((column.to_owned(), reason.to_owned())), "{line}");
        }
    }
}
