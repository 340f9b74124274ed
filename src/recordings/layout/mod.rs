//! The layout of a recording: its delimiter, its header, the meaning of its columns, and the conventions of its vendor.

mod header;
mod overrides;
mod shape;
pub(super) mod vendors;

use chrono::NaiveDate;

use super::error::RecordingError;
use super::lines::{Line, Splitter};
use super::number::NumberStyle;
use super::stamp::{self, TimeStyle};
use crate::domain::{BarLabel, Instrument, Instruments, PriceSide, RecordingOptions, Timezone};
use vendors::Vendor;

/// Which side a single price is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Bid,
    Ask,
    Mid,
    /// The last traded price, or unknown.
    Last,
}

/// The columns of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeColumns {
    /// In one column.
    Whole(usize),
    /// In a column for the date and one for the time of day.
    Split(usize, usize),
    /// Milliseconds since midnight of a day that the file's name gives.
    SinceMidnight(usize, NaiveDate),
}

/// The columns of the prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PriceColumns {
    /// Ticks: bid and ask.
    Quote(usize, usize),
    /// Ticks: one price.
    Last(usize),
    /// Bars: open, high, low, close.
    Bar([usize; 4]),
    /// Bars of bids and bars of asks.
    QuoteBar([usize; 4], [usize; 4]),
}

impl PriceColumns {
    pub(super) fn is_bar(self) -> bool {
        matches!(self, Self::Bar(_) | Self::QuoteBar(..))
    }

    /// Returns whether there is only one price at a time.
    pub(super) fn is_single(self) -> bool {
        matches!(self, Self::Last(_) | Self::Bar(_))
    }

    pub(super) fn columns(self) -> Vec<usize> {
        match self {
            Self::Quote(bid, ask) => vec![bid, ask],
            Self::Last(price) => vec![price],
            Self::Bar(columns) => columns.to_vec(),
            Self::QuoteBar(bids, asks) => [bids, asks].concat(),
        }
    }
}

/// The origin of the timezone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ZoneOrigin {
    /// The user's option.
    Given,
    /// The header.
    Header,
    /// The vendor's documentation.
    Vendor,
    /// An assumption.
    Assumed,
}

/// The meaning of the columns, and of the prices and times in them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    pub(super) vendor: Vendor,
    pub(super) delimiter: u8,
    /// Lines before the first row, without blank ones.
    pub(super) header_lines: usize,
    /// Names of all columns as in the file, or `column 1`.
    pub(super) names: Vec<String>,
    pub(super) time: TimeColumns,
    pub(super) prices: PriceColumns,
    pub(super) volume: Option<usize>,
    /// The column with the spread in points.
    pub(super) spread: Option<usize>,
    pub(super) symbol: Option<usize>,
    pub(super) side: Side,
    pub(super) timezone: Timezone,
    pub(super) zone_origin: ZoneOrigin,
    pub(super) label: BarLabel,
    /// The factor of the prices in the file.
    pub(super) scale: f64,
    /// Whether the user chose the columns.
    pub(super) columns_overridden: bool,
    pub(super) notes: Vec<String>,
}

/// What is known of a file besides its lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileContext<'a> {
    pub(super) name: &'a str,
    pub(super) instrument: &'a Instrument,
    pub(super) instruments: &'a Instruments,
    pub(super) options: &'a RecordingOptions,
}

/// The layout from a header or a shape, before the user's options.
#[derive(Debug, Clone, PartialEq)]
struct Draft {
    vendor: Vendor,
    header_lines: usize,
    names: Vec<String>,
    time: Option<TimeColumns>,
    /// The timezone that a header names.
    zone: Option<Timezone>,
    prices: Option<PriceColumns>,
    volume: Option<usize>,
    spread: Option<usize>,
    symbol: Option<usize>,
    notes: Vec<String>,
}

impl Draft {
    fn new(vendor: Vendor, header_lines: usize, names: Vec<String>) -> Self {
        Self {
            vendor,
            header_lines,
            names,
            time: None,
            zone: None,
            prices: None,
            volume: None,
            spread: None,
            symbol: None,
            notes: Vec::new(),
        }
    }

    fn listed(&self) -> String {
        self.names.join(", ")
    }
}

impl Layout {
    /// Detects the layout from the first lines of a file; `lines` contains no blank line.
    pub(super) fn detect(
        lines: &[Line],
        separator: Option<u8>,
        about: FileContext<'_>,
    ) -> Result<Self, RecordingError> {
        let first = lines.first().ok_or(RecordingError::Empty)?;
        if first.is_cut {
            return Err(RecordingError::LongLine);
        }
        let delimiter = match separator {
            Some(delimiter) => delimiter,
            None => find_delimiter(lines).ok_or_else(|| RecordingError::Delimiter(shown(&first.bytes)))?,
        };
        let rows = fields(lines, delimiter);
        let head = rows.first().cloned().unwrap_or_default();
        let has_overrides = !about.options.columns.roles.is_empty();
        let draft = if is_header(&head) {
            header::read(&rows, about)
        } else {
            match shape::read(&rows, delimiter, about) {
                Err(_) if has_overrides => Ok(Draft::new(vendors::OWN, 0, shape::names(head.len()))),
                read => read,
            }
        }?;
        overrides::apply(draft, about.options)?.finish(delimiter, has_overrides, about)
    }
}

impl Draft {
    fn finish(self, delimiter: u8, columns_overridden: bool, about: FileContext<'_>) -> Result<Layout, RecordingError> {
        let listed = self.listed();
        let time = self.time.ok_or_else(|| RecordingError::Time(listed.clone()))?;
        let prices = self.prices.ok_or_else(|| RecordingError::Prices(listed.clone()))?;
        let RecordingOptions { timezone, price, bar_label, .. } = about.options;
        let (usual, documented) = self.vendor.clock.zone(about.instrument.class);
        let (timezone, zone_origin) = match (timezone, self.zone) {
            (Some(zone), _) => (*zone, ZoneOrigin::Given),
            (None, Some(zone)) => (zone, ZoneOrigin::Header),
            (None, None) => (usual, if documented { ZoneOrigin::Vendor } else { ZoneOrigin::Assumed }),
        };
        let side = match price {
            Some(PriceSide::Bid) => Side::Bid,
            Some(PriceSide::Ask) => Side::Ask,
            Some(PriceSide::Mid) => Side::Mid,
            None => vendors::side_in_name(about.name).unwrap_or(self.vendor.side),
        };
        Ok(Layout {
            vendor: self.vendor,
            delimiter,
            header_lines: self.header_lines,
            names: self.names,
            time,
            prices,
            volume: self.volume,
            spread: self.spread,
            symbol: self.symbol,
            side,
            timezone,
            zone_origin,
            label: bar_label.unwrap_or(self.vendor.label),
            scale: 1.0,
            columns_overridden,
            notes: self.notes,
        })
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).take(80).collect()
}

/// How many lines are read to find delimiter and shape.
const LOOKED_AT: usize = 50;

/// Returns the delimiter that every line has. The comma is tried last, because it may also be a decimal comma.
fn find_delimiter(lines: &[Line]) -> Option<u8> {
    let looked: Vec<_> = lines.iter().filter(|line| !line.is_cut).take(LOOKED_AT).collect();
    let most_have = |delimiter: u8| {
        let mut splitter = Splitter::new(delimiter);
        let have =
            looked.iter().filter(|line| splitter.split(&line.bytes).is_ok_and(|fields| fields.len() >= 2)).count();
        have * 10 >= looked.len() * 8 && splitter.split(&looked[0].bytes).is_ok_and(|fields| fields.len() >= 2)
    };
    b"\t;|,".iter().copied().find(|delimiter| most_have(*delimiter)).or_else(|| {
        b"\t;|,".iter().copied().find(|delimiter| looked.first().is_some_and(|line| line.bytes.contains(delimiter)))
    })
}

/// Returns the fields of the first lines.
fn fields(lines: &[Line], delimiter: u8) -> Vec<Vec<String>> {
    let mut splitter = Splitter::new(delimiter);
    let mut split = |line: &Line| {
        let fields = splitter.split(&line.bytes).ok()?;
        Some(fields.iter().map(ToOwned::to_owned).collect::<Vec<_>>())
    };
    lines.iter().take(LOOKED_AT).filter_map(&mut split).collect()
}

/// Returns whether a line names columns: no field is a number or a time.
fn is_header(fields: &[String]) -> bool {
    !fields.iter().any(|field| is_number(field) || is_time(field))
}

fn is_number(field: &str) -> bool {
    !matches!(NumberStyle::default().read(field), Err(super::number::NumberFault::NotANumber))
}

fn is_time(field: &str) -> bool {
    !matches!(stamp::read(field, TimeStyle::default()), Err(stamp::TimeFault::NotATime))
}
