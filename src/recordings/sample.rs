//! The first rows of a recording, and what they show about the rest: the format of dates and numbers, the order of the
//! rows, and the bar length. If they leave a question open, the whole file is scanned.

use std::io;

use chrono::{DateTime, Utc};

use super::error::RecordingError;
use super::input::Content;
use super::layout::{Layout, TimeColumns};
use super::lines::{Line, LineReader, RowFields, Splitter};
use super::number::NumberStyle;
use super::row::price_decimals;
use super::stamp::{self, TimeFault, TimeStyle};
use crate::domain::DateOrder;

/// How many rows the sample has.
const SAMPLE: usize = 1000;

/// The first lines that are not blank.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) lines: Vec<Line>,
    /// The delimiter of a line `sep=;`.
    pub(super) separator: Option<u8>,
}

impl Sample {
    /// Reads the first lines of the file.
    pub(super) fn read(source: &mut LineReader) -> io::Result<Self> {
        let mut sample = Self { lines: Vec::new(), separator: None };
        let mut line = Line::default();
        while sample.lines.len() < SAMPLE && source.next(&mut line)? {
            if line.bytes.starts_with(b"\xef\xbb\xbf") {
                line.bytes.drain(..3);
            }
            let at_top = sample.lines.is_empty();
            if line.is_blank() || (at_top && line.bytes.starts_with(b"#")) {
                continue;
            }
            if at_top
                && sample.separator.is_none()
                && let Some(separator) = separator(&line.bytes)
            {
                sample.separator = Some(separator);
                continue;
            }
            sample.lines.push(line.clone());
        }
        Ok(sample)
    }
}

/// Returns the delimiter that a line `sep=;` names.
fn separator(line: &[u8]) -> Option<u8> {
    let line = line.strip_prefix(b"\"").unwrap_or(line);
    let rest = line.get(..4).filter(|start| start.eq_ignore_ascii_case(b"sep=")).and(line.get(4..))?;
    rest.first().copied().filter(|delimiter| matches!(delimiter, b',' | b';' | b'|' | b'\t'))
}

/// What the fields of many rows show.
#[derive(Debug, Clone, Default)]
pub(super) struct FormatEvidence {
    pub(super) numbers: NumberStyle,
    /// Largest number of decimals of a price.
    pub(super) decimals: usize,
    /// Whether a price has a decimal point or comma.
    pub(super) has_fractions: bool,
    /// Whether a spread has a decimal point or comma.
    pub(super) spread_has_fractions: bool,
    day_first: bool,
    month_first: bool,
    ambiguous: Option<(u64, String)>,
    rounded: Option<(u64, String)>,
    bare_clocks: bool,
    with_seconds: bool,
    without_seconds: bool,
}

impl FormatEvidence {
    /// Records what a row shows.
    pub(super) fn observe(&mut self, line: u64, fields: RowFields<'_>, layout: &Layout) {
        for column in layout.prices.columns() {
            let Some(text) = fields.get(column) else { continue };
            self.numbers.observe(text);
            self.has_fractions |= text.contains(['.', ',']);
            self.decimals = self.decimals.max(price_decimals(text));
        }
        let spread = layout.spread.and_then(|column| fields.get(column));
        self.spread_has_fractions |= spread.is_some_and(|text| text.contains(['.', ',']));
        let (date, clock) = match layout.time {
            TimeColumns::Whole(column) => (fields.get(column), None),
            TimeColumns::Split(date, clock) => (fields.get(date), fields.get(clock)),
            TimeColumns::SinceMidnight(..) => return,
        };
        if let Some(date) = date {
            match stamp::shown_order(date) {
                Some(DateOrder::DayFirst) => self.day_first = true,
                Some(DateOrder::MonthFirst) => self.month_first = true,
                None => match stamp::read(date, TimeStyle::default()) {
                    Err(TimeFault::Ambiguous) => drop(self.ambiguous.get_or_insert_with(|| (line, date.to_owned()))),
                    Err(TimeFault::Rounded) => drop(self.rounded.get_or_insert_with(|| (line, date.to_owned()))),
                    _ => {}
                },
            }
        }
        if let Some(clock) = clock {
            self.bare_clocks |= stamp::is_bare_clock(clock);
            match stamp::shows_seconds(clock) {
                Some(true) => self.with_seconds = true,
                Some(false) => self.without_seconds = true,
                None => {}
            }
        }
    }

    fn order(&self) -> Option<DateOrder> {
        match (self.day_first, self.month_first) {
            (true, false) => Some(DateOrder::DayFirst),
            (false, true) => Some(DateOrder::MonthFirst),
            _ => None,
        }
    }

    /// Returns whether later rows are needed to interpret these.
    fn is_open(&self) -> bool {
        (self.ambiguous.is_some() && self.order().is_none() && !(self.day_first && self.month_first))
            || self.numbers.is_open()
            || (self.bare_clocks && !self.with_seconds && !self.without_seconds)
    }

    /// Returns the format of the times.
    ///
    /// # Errors
    /// When a date is ambiguous and no row decides, or times have lost their digits.
    pub(super) fn times(&self, given: Option<DateOrder>) -> Result<TimeStyle, RecordingError> {
        if let Some((line, text)) = self.rounded.clone() {
            return Err(RecordingError::RoundedTimes { line, text });
        }
        let date_order = given.or(self.order());
        if let (Some((line, text)), None) = (self.ambiguous.clone(), date_order) {
            return Err(RecordingError::AmbiguousDate { line, text });
        }
        Ok(TimeStyle { date_order, has_seconds: self.with_seconds })
    }

    /// Scans the rest of the file for what the sample leaves open; `after` lines are already known.
    pub(super) fn scan_rest(
        &mut self,
        content: &Content,
        after: u64,
        layout: &Layout,
        given: Option<DateOrder>,
    ) -> Result<(), RecordingError> {
        if given.is_some() {
            self.ambiguous = None;
        }
        if !self.is_open() {
            return Ok(());
        }
        let mut lines = LineReader::new(content.open()?);
        let mut splitter = Splitter::new(layout.delimiter);
        let mut line = Line::default();
        while self.is_open() && lines.next(&mut line)? {
            if line.number > after
                && !line.is_cut
                && let Ok(fields) = splitter.split(&line.bytes)
            {
                self.observe(line.number, fields, layout);
            }
        }
        Ok(())
    }
}

/// The order of a sample's rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RowOrder {
    rising: usize,
    falling: usize,
    same: usize,
}

impl RowOrder {
    pub(super) fn of(times: &[DateTime<Utc>]) -> Self {
        let mut order = Self::default();
        for pair in times.windows(2) {
            match pair[1].cmp(&pair[0]) {
                std::cmp::Ordering::Greater => order.rising += 1,
                std::cmp::Ordering::Less => order.falling += 1,
                std::cmp::Ordering::Equal => order.same += 1,
            }
        }
        order
    }

    /// Returns whether the newest row comes first.
    pub(super) fn is_falling(self) -> bool {
        self.falling > 0 && self.rising * 10 <= self.falling
    }

    /// Returns whether most rows have the time of the previous row.
    pub(super) fn is_standing(self) -> bool {
        self.same >= 2 && self.same > self.rising + self.falling
    }
}
