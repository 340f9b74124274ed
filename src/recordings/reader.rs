//! A recording, read row by row: what is good becomes ticks, what is not is counted and told.

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

/// Rows that are read at a time.
const CHUNK: u64 = 256;
/// A file whose first rows are all bad is not read to its end.
const MAX_BAD_START: u64 = 1000;
/// Bad rows with fewer good ones between them are one burst and get one warning.
const BURST_GAP: u64 = 1000;
/// Widest spread of a row, as a share of its price.
const WIDEST_SPREAD: f64 = 0.05;

/// How much of the file has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Rows, good and bad.
    pub(crate) rows: u64,
    /// Rows that were left out.
    pub(crate) left_out: u64,
    /// Bytes of the file.
    pub(crate) bytes: u64,
}

/// A tick of the recording, and how far the file had been read when it came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RecordedTick {
    pub(crate) tick: Tick,
    pub(crate) read: Counts,
}

/// What is read, and what is known beforehand.
#[derive(Debug, Clone)]
pub(crate) struct ReadRequest {
    /// What the file holds.
    pub(crate) instrument: Arc<Instrument>,
    /// The catalogue, for files that hold several instruments.
    pub(crate) instruments: Arc<Instruments>,
    /// What the user says about it.
    pub(crate) options: RecordingOptions,
    /// The time now: nothing is recorded later than a day after it.
    pub(crate) now: DateTime<Utc>,
}

/// An open recording.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(super) lines: LineReader,
    /// Lines of the sample that are still to be read.
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
    /// How long bars are; `None` for ticks.
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
    /// Whether some time carries no zone.
    pub(super) has_local_times: bool,
    pub(super) last_fault: Option<u64>,
    pub(super) ended: bool,
}

impl Recording {
    /// Opens a file and looks at its first rows.
    ///
    /// # Errors
    /// When it is not a recording, or can be understood in more than one way.
    pub(crate) fn open(file: &Path, request: &ReadRequest) -> Result<Self, RecordingError> {
        Self::open_content(&Content::File(file.to_owned()), request)
    }

    /// The next ticks, oldest first; none at the end.
    pub(crate) fn next_chunk(&mut self) -> Result<Vec<RecordedTick>, RecordingError> {
        let mut steps = Vec::new();
        while steps.is_empty() && !self.ended {
            let until = self.counts.rows + CHUNK;
            while self.counts.rows < until {
                if let Some(row) = self.next_row()? {
                    self.take(row, &mut steps);
                } else {
                    let ticks = self.bars.finish();
                    self.unrolled(ticks, &mut steps);
                    break;
                }
            }
        }
        Ok(steps)
    }

    /// The next row, after the bad ones before it; `None` at the end.
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
            if self.last_at.is_none() && self.faults() >= MAX_BAD_START {
                return Err(self.no_good_row());
            }
        }
        Ok(None)
    }

    /// How far it has been read.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// How long bars are; `None` for ticks.
    pub(crate) fn bar_length(&self) -> Option<TimeDelta> {
        self.bar_length
    }

    /// How it is read, and what was left out so far.
    pub(crate) fn summary(&self) -> &ReadSummary {
        &self.summary
    }

    /// The next row as it stands in the file; `None` at the end.
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

    /// Reads the current line.
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

    /// Makes a row of a line: the last word on its time, its order and its sides.
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
        // Two ticks may share a millisecond; two bars cannot open at once.
        if let Some(last) = self.last_at {
            if at < last {
                return Err(RowFault::whole(LeftOutReason::BackInTime, "goes back in time"));
            }
            if at == last && self.bar_length.is_some() {
                return Err(RowFault::whole(LeftOutReason::SameTime, "has the time of the bar before"));
            }
        }
        let is_flat = is_flat(raw);
        // Without a volume, a filler is known by repeating the last close.
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

    /// The instant of a row's time.
    pub(super) fn resolve(&mut self, stamp: Stamp) -> Result<DateTime<Utc>, RowFault> {
        let local = match stamp {
            Stamp::Instant(at) => return Ok(at),
            Stamp::Epoch(at) if !self.layout.vendor.counts_epochs_locally() => return Ok(at),
            Stamp::Epoch(at) => at.naive_utc(),
            Stamp::Local(local) => local,
        };
        self.has_local_times = true;
        // Bars of whole minutes may carry the milliseconds of their first trade.
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

    /// Puts bid and ask to a row.
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

    fn take(&mut self, row: RecordedRow, steps: &mut Vec<RecordedTick>) {
        let RecordedRow { at, prices, volume, .. } = row;
        match prices {
            RowPrices::Tick(quote) => steps.push(self.step(at, quote, volume, self.counts)),
            RowPrices::Bar(quotes) => {
                let bar = TimedBar { opened_at: at, quotes, volume, mark: self.counts };
                let ticks = self.bars.push(bar);
                self.unrolled(ticks, steps);
            }
        }
    }

    fn unrolled(&self, ticks: Option<[BarTick<Counts>; 4]>, steps: &mut Vec<RecordedTick>) {
        steps.extend(ticks.into_iter().flatten().map(|tick| self.step(tick.at, tick.quote, tick.volume, tick.mark)));
    }

    fn step(&self, at: DateTime<Utc>, quote: Quote, volume: Option<f64>, read: Counts) -> RecordedTick {
        let (symbol, source) = (self.instrument.symbol.clone(), self.source.clone());
        RecordedTick { tick: Tick { symbol, quote, volume, observed_at: at, feed: Feed::Replayed, source }, read }
    }

    /// Counts a row that is not used, and tells of it once per burst.
    pub(super) fn leave_out(&mut self, line: u64, fault: &RowFault) {
        self.counts.left_out += 1;
        self.summary.left_out.count(fault.kind, || fault.located(line));
        if fault.kind.is_expected() {
            return;
        }
        let row = self.counts.rows;
        if self.last_fault.replace(row).is_none_or(|last| row - last > BURST_GAP) {
            tracing::warn!(source = %self.source, "a row is left out, as are bad ones near it: {}", fault.located(line));
        }
    }

    /// Rows that are left out though they should not be there.
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

/// What the clock of the file shows.
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

/// Whether something can have been recorded at `at`: from 1990 until a day after `now`.
pub(super) fn is_plausible(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    let first = NaiveDate::from_ymd_opt(1990, 1, 1).map(|day| day.and_time(NaiveTime::MIN).and_utc());
    first.is_some_and(|first| at >= first) && at <= now + TimeDelta::days(1)
}

/// Whether a bar shows no movement and no volume.
fn is_flat(raw: &RawRow) -> bool {
    let same = |prices: [f64; 4]| prices.iter().all(|price| *price == prices[0]);
    let still = match raw.prices {
        RawPrices::Bar(prices) => same(prices),
        RawPrices::QuoteBar(bids, asks) => same(bids) && same(asks),
        RawPrices::Quote(..) | RawPrices::Last(_) => false,
    };
    still && raw.volume.is_none_or(|volume| volume == 0.0)
}
