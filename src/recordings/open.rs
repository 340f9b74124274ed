//! Opens a recording: its first rows determine how all of them are read.

use std::collections::{BTreeSet, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

use super::bars::{self, Unrolling};
use super::error::{MAX_REVERSED, RecordingError};
use super::input::Content;
use super::layout::vendors::{self, Vendor};
use super::layout::{FileContext, Layout, PriceColumns, Side};
use super::left_out::LeftOut;
use super::lines::{Line, LineReader, Splitter};
use super::reader::{Counts, ReadRequest, Recording, is_plausible};
use super::row::{RawPrices, RawRow, RowParser, Sides};
use super::sample::{FormatEvidence, RowOrder, Sample};
use super::stamp::Stamp;
use super::summary::ReadSummary;
use super::symbol_filter::SymbolFilter;
use super::weekly_gap::WeeklyGap;
use super::zone::Zone;
use crate::domain::{Instrument, RecordingOptions, SourceName, Spread};

/// The assumed spread where only one side is known and nothing gives the spread: one ten-thousandth of the price, which
/// is typical of liquid markets.
const ASSUMED_SPREAD: f64 = 1e-4;
/// A spread above this share of the price is in a wrong unit.
const WIDEST_SPREAD: f64 = 0.01;

impl Recording {
    pub(super) fn open_content(content: &Content, request: &ReadRequest) -> Result<Self, RecordingError> {
        let ReadRequest { instrument, instruments, options, now } = request;
        let mut lines = LineReader::new(content.open()?);
        let sample = Sample::read(&mut lines)?;
        let name = content.name();
        let about = FileContext { name: &name, instrument, instruments, options };
        let mut layout = Layout::detect(&sample.lines, sample.separator, about)?;
        let data = sample.lines.get(layout.header_lines..).unwrap_or_default();
        let known = sample.lines.last().map_or(0, |line| line.number);
        let mut wanted = SymbolFilter::new(instrument.clone(), instruments.clone());
        if let Some(note) = accept_symbol(&mut wanted, &layout, data, content, known)? {
            layout.notes.push(note);
        }
        let mut evidence = FormatEvidence::default();
        let mut splitter = Splitter::new(layout.delimiter);
        for line in data.iter().filter(|line| !line.is_cut) {
            let Ok(fields) = splitter.split(&line.bytes) else { continue };
            if layout.symbol.is_none_or(|column| fields.get(column).is_none_or(|spelling| wanted.is(spelling))) {
                evidence.observe(line.number, fields, &layout);
            }
        }
        evidence.scan_rest(content, known, &layout, options.columns.date_order)?;
        let times = evidence.times(options.columns.date_order)?;
        set_scale(&mut layout, &evidence);
        let reading = RowParser { layout: &layout, times, numbers: evidence.numbers, instrument };
        let rows = sample_rows(data, &reading, &mut wanted);
        let sides = sides(&layout, &evidence, options, instrument, &rows)?;
        let shown = SampleTimes::of(&rows, &layout, *now);
        if layout.prices.is_bar() && shown.order.is_standing() {
            return Err(RecordingError::SameTimes(shown.times.first().map(ToString::to_string).unwrap_or_default()));
        }
        let length = layout.prices.is_bar().then(|| shown.bar_length(&name));
        let ahead: VecDeque<Line> = data.to_vec().into();
        let mut recording = Self {
            lines,
            ahead,
            reversed: None,
            line: Line::default(),
            splitter,
            times,
            numbers: evidence.numbers,
            wanted,
            zone: Zone::new(layout.timezone),
            sides,
            bar_length: length.map(|length| length.span),
            bars: Unrolling::new(length.map_or(bars::SHORTEST, |length| length.span), *now + TimeDelta::days(1)),
            instrument: instrument.clone(),
            source: SourceName::new(super::SOURCE_NAME),
            now: *now,
            summary: ReadSummary {
                read_as: String::new(),
                timezone: None,
                price: "",
                spread: None,
                bar_label: None,
                bar_seconds: None,
                notes: Vec::new(),
                warnings: Vec::new(),
                left_out: LeftOut::default(),
            },
            gap: WeeklyGap::new(instrument.session),
            counts: Counts::default(),
            last_at: None,
            first_at: None,
            last_close: None,
            known: (None, None),
            without_spread: 0,
            has_local_times: shown.has_local,
            last_fault: None,
            ended: false,
            layout,
        };
        recording.describe_opening(options, shown.has_local, length.is_some_and(|length| !length.is_known));
        if shown.order.is_falling() {
            recording.reverse()?;
        }
        Ok(recording)
    }

    /// Reads all rows of a file whose newest row comes first, and reverses them.
    fn reverse(&mut self) -> Result<(), RecordingError> {
        let mut rows = VecDeque::new();
        while let Some(row) = self.next_raw()? {
            match row {
                Ok(row) if rows.len() < MAX_REVERSED => rows.push_front(row),
                Ok(_) => return Err(RecordingError::TooLongToReverse),
                Err(fault) => self.leave_out(self.line.number, &fault),
            }
        }
        self.counts.rows -= rows.len() as u64;
        self.reversed = Some(rows);
        Ok(())
    }
}

impl Vendor {
    /// Returns whether the vendor's programs count epochs on their local clock.
    pub(super) fn counts_epochs_locally(&self) -> bool {
        [vendors::METATRADER_4.name, vendors::METATRADER_5.name].contains(&self.name)
    }
}

/// Accepts a spelling that the catalogue does not know, if the whole file has no other. The user has named the
/// instrument.
fn accept_symbol(
    wanted: &mut SymbolFilter,
    layout: &Layout,
    data: &[Line],
    content: &Content,
    known: u64,
) -> Result<Option<String>, RecordingError> {
    let Some(column) = layout.symbol else { return Ok(None) };
    let mut splitter = Splitter::new(layout.delimiter);
    let mut spelling = |line: &Line| splitter.split(&line.bytes).ok()?.get(column).map(ToOwned::to_owned);
    let mut spellings: BTreeSet<String> =
        data.iter().filter_map(&mut spelling).filter(|name| !name.is_empty()).collect();
    let note = wanted.accept_only(&spellings);
    if note.is_none() {
        return Ok(None);
    }
    let mut lines = LineReader::new(content.open()?);
    let mut line = Line::default();
    while spellings.len() == 1 && lines.next(&mut line)? {
        if line.number > known && !line.is_blank() {
            spellings.extend(spelling(&line));
        }
    }
    if spellings.len() == 1 {
        return Ok(note);
    }
    wanted.revert();
    Ok(None)
}

/// Sets the scale: without a decimal point, the prices of two vendors are whole numbers of a small unit.
fn set_scale(layout: &mut Layout, evidence: &FormatEvidence) {
    if evidence.has_fractions {
        return;
    }
    if layout.vendor == vendors::DATABENTO {
        layout.scale = 1e9;
        layout.notes.push("prices are whole numbers of 1e-9, as Databento writes them".into());
    } else if layout.vendor == vendors::LEAN {
        layout.scale = 1e4;
        layout.notes.push("prices are whole numbers of 1/10000, as Lean writes them".into());
    }
}

/// Returns the valid rows of the sample.
fn sample_rows(data: &[Line], reading: &RowParser<'_>, wanted: &mut SymbolFilter) -> Vec<RawRow> {
    let mut splitter = Splitter::new(reading.layout.delimiter);
    let mut rows = Vec::new();
    for line in data {
        let Ok(fields) = splitter.split(&line.bytes) else { continue };
        let symbol = reading.layout.symbol.and_then(|column| fields.get(column));
        if symbol.is_none_or(|spelling| wanted.is(spelling)) {
            rows.extend(reading.row(line.number, fields));
        }
    }
    rows
}

/// What the sample shows about the times.
struct SampleTimes {
    times: Vec<DateTime<Utc>>,
    order: RowOrder,
    has_local: bool,
}

/// The bar length, and whether the file shows it.
#[derive(Debug, Clone, Copy)]
struct Length {
    span: TimeDelta,
    is_known: bool,
}

impl SampleTimes {
    fn of(rows: &[RawRow], layout: &Layout, now: DateTime<Utc>) -> Self {
        let mut zone = Zone::new(layout.timezone);
        let epochs_are_local = layout.vendor.counts_epochs_locally();
        let mut has_local = false;
        let mut resolve = |row: &RawRow| {
            let local = match row.stamp {
                Stamp::Instant(at) => return Some(at),
                Stamp::Epoch(at) if !epochs_are_local => return Some(at),
                Stamp::Epoch(at) => at.naive_utc(),
                Stamp::Local(local) => local,
            };
            has_local = true;
            zone.resolve(local, None)
        };
        let times: Vec<_> = rows.iter().filter_map(&mut resolve).filter(|at| is_plausible(*at, now)).collect();
        Self { order: RowOrder::of(&times), times, has_local }
    }

    /// Returns the bar length from the times, from the file's name, or the shortest one.
    fn bar_length(&self, name: &str) -> Length {
        let second = |at: &DateTime<Utc>| DateTime::from_timestamp(at.timestamp(), 0).unwrap_or(*at);
        let mut whole: Vec<_> = self.times.iter().map(second).collect();
        let mut exact = self.times.clone();
        if self.order.is_falling() {
            whole.reverse();
            exact.reverse();
        }
        let by_seconds = bars::bar_length(&whole).filter(|length| *length >= TimeDelta::minutes(1));
        let known = by_seconds.or_else(|| bars::bar_length(&exact)).or_else(|| vendors::bar_length_in_name(name));
        Length { span: known.unwrap_or(bars::SHORTEST), is_known: known.is_some() }
    }
}

/// Determines how a single price becomes bid and ask.
fn sides(
    layout: &Layout,
    evidence: &FormatEvidence,
    options: &RecordingOptions,
    instrument: &Instrument,
    rows: &[RawRow],
) -> Result<Sides, RecordingError> {
    let digits = usize::from(instrument.digits);
    // Computed numbers have more decimals than any market, so they do not show its point.
    let digits_of_file = if layout.scale == 1.0 && (digits..=digits + 1).contains(&evidence.decimals) {
        evidence.decimals
    } else {
        digits
    };
    let point = 10f64.powi(-(digits_of_file as i32));
    let mut sides = Sides { side: layout.side, spread: None, point: None, decimals: evidence.decimals.max(digits + 1) };
    if !layout.prices.is_single() {
        return Ok(sides);
    }
    let first = rows.iter().find_map(|row| match row.prices {
        RawPrices::Last(price) | RawPrices::Bar([price, ..]) => Some(price),
        _ => None,
    });
    let column = layout.spread.map(|_| if evidence.spread_has_fractions { 1.0 } else { point });
    match options.spread {
        Some(Spread::Points(points)) => sides.spread = Some(points * 10f64.powi(-i32::from(instrument.digits))),
        Some(Spread::Price(price)) => sides.spread = Some(price),
        Some(Spread::Column) => sides.point = column,
        None if column.is_some() => sides.point = column,
        None => {}
    }
    if let (Some(spread), Some(price)) = (sides.spread, first)
        && spread > price * WIDEST_SPREAD
    {
        return Err(RecordingError::WideSpread { spread, price });
    }
    if matches!(layout.side, Side::Bid | Side::Ask) && sides.spread.is_none() {
        // Also needed for rows whose own spread is missing.
        let ticks = first.map_or(1.0, |price| (price * ASSUMED_SPREAD / instrument.tick_size).ceil());
        sides.spread = Some(instrument.round(ticks * instrument.tick_size));
    }
    let halves = usize::from(matches!(layout.side, Side::Mid | Side::Last));
    sides.decimals = evidence.decimals.max(digits + 1) + halves;
    Ok(sides)
}

impl Layout {
    /// Returns the title in a report: `MetaTrader 5 bars`.
    pub(super) fn title(&self) -> String {
        let kind = match (self.prices, self.vendor == vendors::OWN) {
            (PriceColumns::Quote(..), true) => "ticks (time, bid, ask)",
            (PriceColumns::Last(_), true) => "ticks (time, price)",
            (PriceColumns::Bar(_), true) => "bars (time, open, high, low, close)",
            (PriceColumns::QuoteBar(..), true) => "bars (time, open to close of bid and ask)",
            (PriceColumns::Quote(..) | PriceColumns::Last(_), false) => "ticks",
            (PriceColumns::Bar(_) | PriceColumns::QuoteBar(..), false) => "bars",
        };
        let suffix = if self.columns_overridden { ", columns as told" } else { "" };
        format!("{} {kind}{suffix}", self.vendor.name).trim_start().to_owned()
    }
}
