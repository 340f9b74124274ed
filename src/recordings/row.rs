//! One row of a recording: first as it is in the file, then as prices of the instrument.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

use super::layout::{Layout, PriceColumns, Side, TimeColumns};
use super::left_out::LeftOutReason;
use super::lines::RowFields;
use super::number::{NumberFault, NumberStyle, decimals};
use super::stamp::{self, Stamp, TimeFault, TimeStyle};
use crate::domain::{Candle, Instrument, Quote};

/// A tick or a bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RecordedRow {
    /// Time of the tick, or opening time of the bar.
    pub(crate) at: DateTime<Utc>,
    pub(crate) prices: RowPrices,
    pub(crate) volume: Option<f64>,
    /// The prices as in the file, if it has a single price at a time.
    pub(crate) own: Option<Candle>,
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

/// A row before it is compared with its neighbours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RawRow {
    pub(super) line: u64,
    pub(super) stamp: Stamp,
    pub(super) prices: RawPrices,
    pub(super) volume: Option<f64>,
    /// The spread in points.
    pub(super) spread: Option<f64>,
}

/// The prices of a row; a side that is empty or zero is `None`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum RawPrices {
    Quote(Option<f64>, Option<f64>),
    Last(f64),
    Bar([f64; 4]),
    QuoteBar([f64; 4], [f64; 4]),
}

impl RawPrices {
    /// Returns the last price. With both sides it is the bid; 0 for a tick without a bid.
    pub(super) fn close(self) -> f64 {
        match self {
            Self::Quote(bid, _) => bid.unwrap_or_default(),
            Self::Last(price) | Self::Bar([.., price]) | Self::QuoteBar([.., price], _) => price,
        }
    }
}

/// The fault of a row, and its column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowFault {
    pub(super) kind: LeftOutReason,
    /// The column; `None` if the row as a whole is invalid.
    pub(super) column: Option<String>,
    pub(super) reason: String,
}

impl RowFault {
    pub(super) fn whole(kind: LeftOutReason, reason: impl Into<String>) -> Self {
        Self { kind, column: None, reason: reason.into() }
    }

    /// `line 3, column 'ask': is below the bid`.
    pub(super) fn located(&self, line: u64) -> String {
        let column = self.column.as_ref().map(|column| format!(", column '{column}'")).unwrap_or_default();
        format!("line {line}{column}: {}", self.reason)
    }
}

/// Largest accepted price; beyond it, digits would be lost.
const MAX_PRICE: f64 = 1e9;
/// Largest accepted volume.
const MAX_VOLUME: f64 = 1e15;

/// Parses the fields of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowParser<'a> {
    pub(super) layout: &'a Layout,
    pub(super) times: TimeStyle,
    pub(super) numbers: NumberStyle,
    pub(super) instrument: &'a Instrument,
}

impl RowParser<'_> {
    /// Parses a row.
    pub(super) fn row(&self, line: u64, fields: RowFields<'_>) -> Result<RawRow, RowFault> {
        let layout = self.layout;
        if fields.filled() > layout.names.len() {
            let (has, named) = (fields.filled(), layout.names.len());
            let reason = format!("has {has} columns, {named} are named; a decimal comma needs quotation marks");
            return Err(RowFault::whole(LeftOutReason::Unreadable, reason));
        }
        let stamp = self.stamp(fields)?;
        if layout.prices.columns().iter().all(|column| fields.get(*column).is_none_or(is_absent)) {
            let fault = if fields.get(layout.prices.columns()[0]).is_some() { "has no price" } else { "is cut off" };
            return Err(RowFault::whole(LeftOutReason::NoPrice, fault));
        }
        let prices = match layout.prices {
            PriceColumns::Last(column) => RawPrices::Last(self.price(fields, column)?),
            PriceColumns::Quote(bid, ask) => RawPrices::Quote(self.side(fields, bid)?, self.side(fields, ask)?),
            PriceColumns::Bar(columns) => RawPrices::Bar(self.bar(fields, columns)?),
            PriceColumns::QuoteBar(bids, asks) => {
                let (bids_read, asks_read) = (self.bar(fields, bids)?, self.bar(fields, asks)?);
                if let Some(place) = (0..4).find(|place| bids_read[*place] > asks_read[*place]) {
                    return Err(self.fault(asks[place], LeftOutReason::Crossed, "is below the bid"));
                }
                RawPrices::QuoteBar(bids_read, asks_read)
            }
        };
        let number = |column: Option<usize>| {
            let field = fields.get(column?)?;
            self.volume(field)
        };
        Ok(RawRow { line, stamp, prices, volume: number(layout.volume), spread: number(layout.spread) })
    }

    fn fault(&self, column: usize, kind: LeftOutReason, reason: impl Into<String>) -> RowFault {
        RowFault { kind, column: self.layout.names.get(column).cloned(), reason: reason.into() }
    }

    fn unreadable(&self, column: usize, reason: impl Into<String>) -> RowFault {
        self.fault(column, LeftOutReason::Unreadable, reason)
    }

    fn field<'a>(&self, fields: RowFields<'a>, column: usize) -> Result<&'a str, RowFault> {
        fields.get(column).ok_or_else(|| self.unreadable(column, "is missing"))
    }

    fn stamp(&self, fields: RowFields<'_>) -> Result<Stamp, RowFault> {
        let not = |column: usize, text: &str, fault: TimeFault| self.unreadable(column, fault.reason(text));
        match self.layout.time {
            TimeColumns::Whole(column) => {
                let text = self.field(fields, column)?;
                stamp::read(text, self.times).map_err(|fault| not(column, text, fault))
            }
            TimeColumns::Split(date, clock) => {
                let (day, time) = (self.field(fields, date)?, self.field(fields, clock)?);
                stamp::read_split(day, time, self.times)
                    .map_err(|(in_date, fault)| if in_date { not(date, day, fault) } else { not(clock, time, fault) })
            }
            TimeColumns::SinceMidnight(column, day) => {
                let text = self.field(fields, column)?;
                let millis = text.parse::<i64>().ok().filter(|millis| (0..86_400_000).contains(millis));
                let millis =
                    millis.ok_or_else(|| self.unreadable(column, format!("'{text}' is not a millisecond of a day")))?;
                Ok(Stamp::Local(day.and_time(NaiveTime::MIN) + TimeDelta::milliseconds(millis)))
            }
        }
    }

    /// Parses a price that is positive on the instrument's grid.
    fn price(&self, fields: RowFields<'_>, column: usize) -> Result<f64, RowFault> {
        let text = self.field(fields, column)?;
        let refused = |reason: String| self.unreadable(column, reason);
        let shown = || text.chars().take(40).collect::<String>();
        let number = self.numbers.read(text).map_err(|fault| match fault {
            NumberFault::Ambiguous => refused(format!(
                "'{}' may have a decimal comma or one between thousands, and no other price decides: write it with a point",
                shown()
            )),
            NumberFault::NotANumber => refused(format!("'{}' is not a price of {}", shown(), self.instrument.symbol)),
        })?;
        let price = number / self.layout.scale;
        if price <= MAX_PRICE && self.instrument.round(price) > 0.0 {
            Ok(price)
        } else {
            Err(refused(format!("'{}' is not a price of {}", shown(), self.instrument.symbol)))
        }
    }

    /// Parses one side of a tick; empty and zero mean that it did not change.
    fn side(&self, fields: RowFields<'_>, column: usize) -> Result<Option<f64>, RowFault> {
        let text = self.field(fields, column)?;
        if is_absent(text) { Ok(None) } else { self.price(fields, column).map(Some) }
    }

    fn bar(&self, fields: RowFields<'_>, columns: [usize; 4]) -> Result<[f64; 4], RowFault> {
        let mut prices = [0.0; 4];
        for (price, column) in prices.iter_mut().zip(columns) {
            *price = self.price(fields, column)?;
        }
        let [_, high, low, _] = prices;
        if prices.iter().any(|price| *price > high) {
            return Err(self.fault(columns[1], LeftOutReason::InconsistentBar, "is not the highest price of its bar"));
        }
        if prices.iter().any(|price| *price < low) {
            return Err(self.fault(columns[2], LeftOutReason::InconsistentBar, "is not the lowest price of its bar"));
        }
        Ok(prices)
    }

    /// Parses a volume, including `150.25K`; an invalid one counts as absent.
    fn volume(&self, text: &str) -> Option<f64> {
        let (digits, factor) = match text.as_bytes().last()? {
            b'K' | b'k' => (&text[..text.len() - 1], 1e3),
            b'M' | b'm' => (&text[..text.len() - 1], 1e6),
            b'B' | b'b' => (&text[..text.len() - 1], 1e9),
            _ => (text, 1.0),
        };
        let volume = self.numbers.read(digits).ok()? * factor;
        (0.0..=MAX_VOLUME).contains(&volume).then_some(volume)
    }
}

/// Returns whether a field is empty, a word for an absent value, or zero.
fn is_absent(text: &str) -> bool {
    let zero = text.starts_with('0') && text.bytes().all(|b| matches!(b, b'0' | b'.' | b','));
    zero || text == UNDEFINED
        || ["", "nan", "null", "none", "n/a", "na", "-"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Databento's value for an absent price.
const UNDEFINED: &str = "9223372036854775807";

/// How a single price becomes bid and ask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sides {
    pub(super) side: Side,
    /// The spread, if the row has none; `None` if a single price stays a single price.
    pub(super) spread: Option<f64>,
    /// The size of a point in the file's spread column; `None` if the column is not used.
    pub(super) point: Option<f64>,
    /// Decimals of the file's prices with their spread.
    pub(super) decimals: usize,
}

impl Sides {
    /// Returns bid and ask for a price.
    pub(super) fn quote(self, price: f64, points: Option<f64>) -> Quote {
        let of_row = self.point.and_then(|point| Some(points? * point));
        let Some(spread) = of_row.or(self.spread) else { return Quote::Last(price) };
        let round = |price: f64| round(price, self.decimals);
        let (bid, ask) = match self.side {
            Side::Bid => (price, round(price + spread)),
            Side::Ask => (round(price - spread), price),
            Side::Mid | Side::Last => (round(price - spread / 2.0), round(price + spread / 2.0)),
        };
        Quote::BidAsk { bid, ask }
    }
}

/// Rounds a price to `decimals`.
pub(super) fn round(price: f64, decimals: usize) -> f64 {
    let scale = 10f64.powi(decimals.min(12) as i32);
    (price * scale).round() / scale
}

/// Returns the number of decimals in a price field.
pub(super) fn price_decimals(text: &str) -> usize {
    decimals(text).min(10)
}
