//! Reads a recording row by row: valid rows become ticks, invalid ones are counted and reported.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

use super::bars::{BarTick, TimedBar, Unrolling};
use super::error::RecordingError;
use super::input::Content;
use super::layout::Layout;
use super::left_out::LeftOutReason;
use super::lines::{Line, LineReader, Splitter};
use super::number::NumberStyle;
use super::row::{BarQuotes, RawPrices, RawRow, RecordedRow, RowFault, RowParser, RowPrices, Sides};
use super::stamp::{Stamp, TimeStyle};
use super::summary::ReadSummary;
use super::symbol_filter::SymbolFilter;
use super::weekly_gap::WeeklyGap;
use super::zone::Zone;
use crate::domain::{BarLabel, Candle, Feed, Instrument, Instruments, Quote, RecordingOptions, SourceName, Tick};

/// How many rows a chunk has.
const CHUNK: u64 = 256;
/// After this many invalid rows at the start, the file is not read further.
const MAX_BAD_START: u64 = 1000;
/// Invalid rows with fewer lines between them form one burst, which gets one warning.
const BURST_GAP: u64 = 1000;
/// Widest spread of a row, as a share of its price.
const WIDEST_SPREAD: f64 = 0.05;

/// How much of the file was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// All rows, valid and skipped.
    pub(crate) rows: u64,
    /// Skipped rows.
    pub(crate) left_out: u64,
    /// Bytes of the file.
    pub(crate) bytes: u64,
}

/// A tick of the recording, and how much of the file was read by then.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RecordedTick {
    pub(crate) tick: Tick,
    pub(crate) read: Counts,
}

/// What to read, and how.
#[derive(Debug, Clone)]
pub(crate) struct ReadRequest {
    /// The instrument in the file.
    pub(crate) instrument: Arc<Instrument>,
    /// The catalogue, for files with several instruments.
    pub(crate) instruments: Arc<Instruments>,
    /// The user's options for the file.
    pub(crate) options: RecordingOptions,
    /// The current time: rows more than a day later are invalid.
    pub(crate) now: DateTime<Utc>,
}

/// An open recording.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(super) lines: LineReader,
    /// Lines of the sample that are not used yet.
    pub(super) ahead: VecDeque<Line>,
    /// All rows, oldest first, of a file whose newest row comes first.
    pub(super) reversed: Option<VecDeque<RawRow>>,
    pub(super) line: Line,
    pub(super) splitter: Splitter,
    pub(super) layout: Layout,
    pub(super) times: TimeStyle,
    pub(super) numbers: NumberStyle,
    pub(super) wanted: SymbolFilter,
    pub(super) zone: Zone,
    pub(super) sides: Sides,
    /// The bar length; `None` for ticks.
    pub(super) bar_length: Option<TimeDelta>,
    pub(super) bars: Unrolling<Counts>,
    pub(super) instrument: Arc<Instrument>,
    pub(super) source: SourceName,
    pub(super) now: DateTime<Utc>,
    pub(super) summary: ReadSummary,
    pub(super) gap: WeeklyGap,
    pub(super) counts: Counts,
    pub(super) last_at: Option<DateTime<Utc>>,
    pub(super) first_at: Option<DateTime<Utc>>,
    pub(super) last_close: Option<f64>,
    /// The last known bid and ask of ticks.
    pub(super) known: (Option<f64>, Option<f64>),
    /// Rows whose own spread is zero.
    pub(super) without_spread: u64,
    /// Whether some times have no timezone.
    pub(super) has_local_times: bool,
    /// The line of the last invalid row. A reversal goes back to smaller ones.
    pub(super) last_fault: Option<u64>,
    pub(super) ended: bool,
}

impl Recording {
    /// Opens a file and reads its first rows.
    ///
    /// # Errors
    /// When it is not a recording, or is ambiguous.
    pub(crate) fn open(file: &Path, request: &ReadRequest) -> Result<Self, RecordingError> {
        Self::open_content(&Content::File(file.to_owned()), request)
    }

    /// Returns the next ticks, oldest first; empty at the end.
    pub(crate) fn next_chunk(&mut self) -> Result<Vec<RecordedTick>, RecordingError> {
        let mut steps = Vec::new();
        while steps.is_empty() && !self.ended {
            let until = self.counts.rows + CHUNK;
            while self.counts.rows < until {
                if let Some(row) = self.next_row()? {
                    self.convert(row, &mut steps);
                } else {
                    let ticks = self.bars.finish();
                    self.append_ticks(ticks, &mut steps);
                    break;
                }
            }
        }
        Ok(steps)
    }

    /// Returns the next valid row; `None` at the end. Skips invalid rows before it.
    pub(crate) fn next_row(&mut self) -> Result<Option<RecordedRow>, RecordingError> {
        while !self.ended {
            match self.next_raw()? {
                Some(Ok(raw)) => match self.accept(&raw) {
                    Ok(row) => return Ok(Some(row)),
                    Err(fault) => self.leave_out(raw.line, &fault),
                },
                Some(Err(fault)) => self.leave_out(self.line.number, &fault),
                None => self.end()?,
            }
            // Before a reversal the whole file was read, so its faults need not be at the start.
            if self.last_at.is_none() && self.reversed.is_none() && self.faults() >= MAX_BAD_START {
                return Err(self.no_good_row());
            }
        }
        Ok(None)
    }

    /// Returns how much of the file was read.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the bar length; `None` for ticks.
    pub(crate) fn bar_length(&self) -> Option<TimeDelta> {
        self.bar_length
    }

    /// Returns how the file is read, and which rows were skipped so far.
    pub(crate) fn summary(&self) -> &ReadSummary {
        &self.summary
    }

    /// Returns the next row as it is in the file; `None` at the end.
    pub(super) fn next_raw(&mut self) -> Result<Option<Result<RawRow, RowFault>>, RecordingError> {
        if let Some(rows) = &mut self.reversed {
            let row = rows.pop_front();
            self.counts.rows += u64::from(row.is_some());
            return Ok(row.map(Ok));
        }
        loop {
            if let Some(line) = self.ahead.pop_front() {
                self.line = line;
            } else if !self.lines.next(&mut self.line)? {
                return Ok(None);
            }
            if !self.line.is_blank() {
                self.counts.rows += 1;
                self.counts.bytes = self.lines.bytes();
                return Ok(Some(self.parse()));
            }
        }
    }

    /// Parses the current line.
    fn parse(&mut self) -> Result<RawRow, RowFault> {
        let Self { line, splitter, layout, times, numbers, instrument, wanted, .. } = self;
        if line.is_cut {
            let reason = format!("is longer than {} bytes", super::error::MAX_LINE);
            return Err(RowFault::whole(LeftOutReason::Unreadable, reason));
        }
        let bad = |_| {
            RowFault::whole(LeftOutReason::Unreadable, "has a quotation mark that is not closed, or too many columns")
        };
        let fields = splitter.split(&line.bytes).map_err(bad)?;
        if let Some(spelling) = layout.symbol.and_then(|column| fields.get(column))
            && !wanted.is(spelling)
        {
            let shown: String = spelling.chars().take(40).collect();
            return Err(RowFault::whole(LeftOutReason::OtherInstrument, format!("is of '{shown}'")));
        }
        let reading = RowParser { layout, times: *times, numbers: *numbers, instrument };
        reading.row(line.number, fields)
    }

    /// Checks a row's time, order and sides, and converts it.
    fn accept(&mut self, raw: &RawRow) -> Result<RecordedRow, RowFault> {
        let at = self.resolve(raw.stamp)?;
        let (at, clock) = match self.bar_length {
            Some(length) => {
                let before = if self.layout.label == BarLabel::End { length } else { TimeDelta::zero() };
                (at - before, clock(raw.stamp) - before)
            }
            None => (at, clock(raw.stamp)),
        };
        if !is_plausible(at, self.now) {
            let reason = format!("{} is before 1990 or in the future", at.format("%Y-%m-%d"));
            return Err(RowFault::whole(LeftOutReason::TimeOutOfRange, reason));
        }
        // Two ticks may share a millisecond; two bars cannot open at the same time.
        if let Some(last) = self.last_at {
            if at < last {
                return Err(RowFault::whole(LeftOutReason::BackInTime, "goes back in time"));
            }
            if at == last && self.bar_length.is_some() {
                return Err(RowFault::whole(LeftOutReason::SameTime, "has the time of the bar before"));
            }
        }
        let is_flat = is_flat(raw);
        // Without a volume, a filler repeats the last close.
        let repeats = raw.volume.is_some() || self.last_close == Some(raw.prices.close());
        if is_flat && repeats && self.bar_length.is_some() && !self.instrument.session.is_open(at) {
            return Err(RowFault::whole(LeftOutReason::ClosedMarket, "fills a closed market"));
        }
        let row = self.priced(raw, at)?;
        (self.last_at, self.last_close) = (Some(at), Some(raw.prices.close()));
        self.first_at.get_or_insert(at);
        if !is_flat && self.bar_length.is_none_or(|length| length <= TimeDelta::hours(1)) {
            self.gap.observe(clock, clock + self.bar_length.unwrap_or_default());
        }
        Ok(row)
    }

    /// Returns the instant of a row's time.
    pub(super) fn resolve(&mut self, stamp: Stamp) -> Result<DateTime<Utc>, RowFault> {
        let local = match stamp {
            Stamp::Instant(at) => return Ok(at),
            Stamp::Epoch(at) if !self.layout.vendor.counts_epochs_locally() => return Ok(at),
            Stamp::Epoch(at) => at.naive_utc(),
            Stamp::Local(local) => local,
        };
        self.has_local_times = true;
        // Bars of whole minutes may have the milliseconds of their first trade.
        let local = match self.bar_length {
            Some(length) if length >= TimeDelta::minutes(1) => whole_second(local),
            _ => local,
        };
        self.zone.resolve(local, self.last_at).ok_or_else(|| {
            let reason = format!(
                "{} does not exist in {}: daylight saving skips it",
                local.format("%Y-%m-%d %H:%M:%S"),
                self.layout.timezone
            );
            RowFault::whole(LeftOutReason::NoSuchLocalTime, reason)
        })
    }

    /// Adds bid and ask to a row.
    fn priced(&mut self, raw: &RawRow, at: DateTime<Utc>) -> Result<RecordedRow, RowFault> {
        let crossed = |reason: &str| RowFault::whole(LeftOutReason::Crossed, reason);
        let spread = match (raw.spread, raw.prices) {
            (Some(points), RawPrices::Last(price) | RawPrices::Bar([_, _, price, _])) if self.sides.point.is_some() => {
                if points * self.sides.point.unwrap_or_default() > price * WIDEST_SPREAD {
                    let reason =
                        format!("has a spread of {points}, more than {} % of its price", WIDEST_SPREAD * 100.0);
                    return Err(RowFault::whole(LeftOutReason::Unreadable, reason));
                }
                self.without_spread += u64::from(points == 0.0);
                Some(points)
            }
            _ => None,
        };
        let quote = |price: f64| self.sides.quote(price, spread);
        let (prices, own) = match raw.prices {
            RawPrices::Last(price) => (RowPrices::Tick(quote(price)), Some(Candle::opening(price))),
            RawPrices::Bar([open, high, low, close]) => {
                let quotes = BarQuotes { open: quote(open), high: quote(high), low: quote(low), close: quote(close) };
                (RowPrices::Bar(quotes), Some(Candle { open, high, low, close }))
            }
            RawPrices::Quote(bid, ask) => {
                let known = (bid.or(self.known.0), ask.or(self.known.1));
                self.known = known;
                let (Some(bid), Some(ask)) = known else {
                    let reason = "has one side, and the other is not known yet";
                    return Err(RowFault::whole(LeftOutReason::OneSided, reason));
                };
                if bid > ask {
                    return Err(crossed("has its bid above its ask"));
                }
                (RowPrices::Tick(Quote::BidAsk { bid, ask }), None)
            }
            RawPrices::QuoteBar(bids, asks) => {
                let quote = |place: usize| Quote::BidAsk { bid: bids[place], ask: asks[place] };
                (RowPrices::Bar(BarQuotes { open: quote(0), high: quote(1), low: quote(2), close: quote(3) }), None)
            }
        };
        Ok(RecordedRow { at, prices, volume: raw.volume, own })
    }

    fn convert(&mut self, row: RecordedRow, steps: &mut Vec<RecordedTick>) {
        let RecordedRow { at, prices, volume, .. } = row;
        match prices {
            RowPrices::Tick(quote) => steps.push(self.tick(at, quote, volume, self.counts)),
            RowPrices::Bar(quotes) => {
                let bar = TimedBar { opened_at: at, quotes, volume, mark: self.counts };
                let ticks = self.bars.push(bar);
                self.append_ticks(ticks, steps);
            }
        }
    }

    fn append_ticks(&self, ticks: Option<[BarTick<Counts>; 4]>, steps: &mut Vec<RecordedTick>) {
        steps.extend(ticks.into_iter().flatten().map(|tick| self.tick(tick.at, tick.quote, tick.volume, tick.mark)));
    }

    fn tick(&self, at: DateTime<Utc>, quote: Quote, volume: Option<f64>, read: Counts) -> RecordedTick {
        let (symbol, source) = (self.instrument.symbol.clone(), self.source.clone());
        RecordedTick { tick: Tick { symbol, quote, volume, observed_at: at, feed: Feed::Replayed, source }, read }
    }

    /// Counts a skipped row, and logs it once per burst.
    pub(super) fn leave_out(&mut self, line: u64, fault: &RowFault) {
        self.counts.left_out += 1;
        self.summary.left_out.count(fault.kind, || fault.located(line));
        if fault.kind.is_expected() {
            return;
        }
        if self.last_fault.replace(line).is_none_or(|last| line.abs_diff(last) > BURST_GAP) {
            tracing::warn!(source = %self.source, "a row is skipped, as are invalid ones near it: {}", fault.located(line));
        }
    }

    /// Returns the number of skipped rows that a valid file would not have.
    fn faults(&self) -> u64 {
        self.summary.left_out.iter().filter(|(reason, _)| !reason.is_expected()).map(|(_, rows)| rows.rows).sum()
    }

    fn end(&mut self) -> Result<(), RecordingError> {
        self.ended = true;
        self.counts.bytes = self.lines.bytes();
        if self.counts.rows == 0 {
            return Err(RecordingError::NoRows);
        }
        if self.last_at.is_none() {
            return Err(self.no_good_row());
        }
        let backwards = self.summary.left_out.of(LeftOutReason::BackInTime);
        if backwards * 2 > self.counts.rows {
            let first = self.summary.left_out.first(LeftOutReason::BackInTime).unwrap_or_default().to_owned();
            return Err(RecordingError::Unordered { backwards, rows: self.counts.rows, first });
        }
        self.describe_end();
        Ok(())
    }

    fn no_good_row(&self) -> RecordingError {
        let others = self.summary.left_out.of(LeftOutReason::OtherInstrument);
        if others > 0 && self.faults() == 0 {
            let listed: BTreeSet<_> = self.wanted.others().collect();
            let listed = listed.into_iter().collect::<Vec<_>>().join(", ");
            return RecordingError::OtherInstruments { symbol: self.instrument.symbol.to_string(), listed };
        }
        let first = self.summary.left_out.first_fault().unwrap_or_default().to_owned();
        RecordingError::NoGoodRow { rows: self.counts.rows, first }
    }
}

/// Returns the time that the file's clock shows.
fn clock(stamp: Stamp) -> NaiveDateTime {
    match stamp {
        Stamp::Instant(at) | Stamp::Epoch(at) => at.naive_utc(),
        Stamp::Local(local) => local,
    }
}

fn whole_second(local: NaiveDateTime) -> NaiveDateTime {
    use chrono::Timelike;
    local.with_nanosecond(0).unwrap_or(local)
}

/// Returns whether `at` is a plausible time of a recording: from 1990 until a day after `now`.
pub(super) fn is_plausible(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    let first = NaiveDate::from_ymd_opt(1990, 1, 1).map(|day| day.and_time(NaiveTime::MIN).and_utc());
    first.is_some_and(|first| at >= first) && at <= now + TimeDelta::days(1)
}

/// Returns whether a bar has no movement and no volume.
fn is_flat(raw: &RawRow) -> bool {
    let same = |prices: [f64; 4]| prices.iter().all(|price| *price == prices[0]);
    let still = match raw.prices {
        RawPrices::Bar(prices) => same(prices),
        RawPrices::QuoteBar(bids, asks) => same(bids) && same(asks),
        RawPrices::Quote(..) | RawPrices::Last(_) => false,
    };
    still && raw.volume.is_none_or(|volume| volume == 0.0)
}
