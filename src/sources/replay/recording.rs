//! A recording, read line by line: what is good becomes ticks, what is not is counted and told.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::bars::{BarTick, TimedBar, Unrolling};
use super::layout::{Layout, LayoutError};
use super::row::{Row, RowFault, RowPrices};
use crate::domain::{Feed, Instrument, Quote, SourceName, Tick};

/// Longest line that can be a row, in bytes.
const MAX_LINE: u64 = 4096;
/// Rows that are read at a time.
const CHUNK: u64 = 256;
/// A file whose first rows are all bad is not read to its end.
const HOPELESS: u64 = 1000;
/// Bad rows with fewer good ones between them are one burst and get one warning.
const BURST: u64 = 1000;

/// Why a file cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The system says so.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// Bytes that no text has.
    #[error("it is not UTF-8 text; is it packed?")]
    NotText,
    /// A first line without an end.
    #[error("its first line is longer than {MAX_LINE} bytes")]
    LongLine,
    /// The columns are not those of a recording.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Nothing in it can be used.
    #[error("none of its first {rows} rows can be used; {first}")]
    NoGoodRow {
        /// Rows that were read.
        rows: u64,
        /// What is wrong with the first one.
        first: String,
    },
    /// Only a header.
    #[error("it has a header, but no rows")]
    NoRows,
    /// The reading thread is gone, which would be a defect.
    #[error("reading it failed unexpectedly")]
    Panicked,
}

/// How much of the file has been read, and how much of that was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Rows, good and bad.
    pub(crate) rows: u64,
    /// Rows that could not be read.
    pub(crate) bad: u64,
    /// Rows that went back in time.
    pub(crate) backwards: u64,
    /// Bytes.
    pub(crate) bytes: u64,
}

/// A tick of the recording, and how far the file had been read when it came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) tick: Tick,
    pub(crate) read: Counts,
}

/// What a line of the file is; an empty one is neither good nor counted.
enum Line {
    Good(Row),
    Bad,
    End,
}

/// An open recording.
#[derive(Debug)]
pub(crate) struct Recording<R> {
    input: R,
    line: Vec<u8>,
    line_number: u64,
    /// `line` is only the beginning of a line that is too long.
    line_is_cut: bool,
    layout: Layout,
    /// The first line is a row and has not been taken yet.
    first_line_waits: bool,
    instrument: Arc<Instrument>,
    source: SourceName,
    bars: Unrolling<Counts>,
    counts: Counts,
    last_at: Option<DateTime<Utc>>,
    /// The first fault, and the row of the last one.
    first_fault: Option<String>,
    last_fault: Option<u64>,
    ended: bool,
}

impl<R: BufRead> Recording<R> {
    /// Looks at the first line.
    pub(crate) fn open(input: R, instrument: Arc<Instrument>, source: SourceName) -> Result<Self, Problem> {
        let mut recording = Self {
            input,
            line: Vec::new(),
            line_number: 0,
            line_is_cut: false,
            layout: Layout::ticks(),
            first_line_waits: false,
            instrument,
            source,
            bars: Unrolling::new(),
            counts: Counts::default(),
            last_at: None,
            first_fault: None,
            last_fault: None,
            ended: false,
        };
        loop {
            if !recording.read_line()? {
                return Err(Problem::Empty);
            }
            if recording.line.contains(&0) {
                return Err(Problem::NotText);
            }
            if recording.line_is_cut {
                return Err(Problem::LongLine);
            }
            let line = std::str::from_utf8(&recording.line).map_err(|_| Problem::NotText)?;
            if !line.trim().is_empty() {
                recording.layout = Layout::detect(line)?;
                recording.first_line_waits = !recording.layout.has_header;
                return Ok(recording);
            }
        }
    }

    /// The next ticks, oldest first; none at the end.
    pub(crate) fn next_chunk(&mut self) -> Result<Vec<Step>, Problem> {
        let mut steps = Vec::new();
        while steps.is_empty() && !self.ended {
            let until = self.counts.rows + CHUNK;
            while self.counts.rows < until {
                match self.next_row()? {
                    Some(row) => self.take(row, &mut steps),
                    None => {
                        let ticks = self.bars.finish();
                        self.unrolled(ticks, &mut steps);
                        break;
                    }
                }
            }
        }
        Ok(steps)
    }

    /// The next row as it stands in the file, after the bad ones before it; `None` at the end.
    pub(crate) fn next_row(&mut self) -> Result<Option<Row>, Problem> {
        while !self.ended {
            match self.read_row()? {
                Line::Good(row) => return Ok(Some(row)),
                Line::Bad => {}
                Line::End => self.end()?,
            }
        }
        Ok(None)
    }

    /// How far it has been read.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// What is wrong with the first row that was left out, and where it is.
    pub(crate) fn first_fault(&self) -> Option<&str> {
        self.first_fault.as_deref()
    }

    fn read_row(&mut self) -> Result<Line, Problem> {
        if !std::mem::take(&mut self.first_line_waits) && !self.read_line()? {
            return Ok(Line::End);
        }
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let read = if text.trim().is_empty() { Line::Bad } else { self.read_text(&text) };
        self.line = line;
        if self.last_at.is_none() && self.counts.rows >= HOPELESS { Err(self.hopeless()) } else { Ok(read) }
    }

    fn read_text(&mut self, text: &str) -> Line {
        self.counts.rows += 1;
        let text = text.trim_start_matches('\u{feff}');
        let row = if self.line_is_cut {
            Err(RowFault { column: None, reason: format!("is longer than {MAX_LINE} bytes") })
        } else {
            Row::parse(text, &self.layout, &self.instrument)
        };
        let row = match row {
            Ok(row) => row,
            Err(fault) => {
                self.counts.bad += 1;
                self.complain(&fault);
                return Line::Bad;
            }
        };
        // Two ticks may share a millisecond; two bars cannot open at once.
        let goes_back = match row.prices {
            RowPrices::Tick(_) => self.last_at.is_some_and(|last| row.at < last),
            RowPrices::Bar(_) => self.last_at.is_some_and(|last| row.at <= last),
        };
        if goes_back {
            self.counts.backwards += 1;
            self.complain(&RowFault { column: None, reason: "goes back in time".into() });
            return Line::Bad;
        }
        self.last_at = Some(row.at);
        Line::Good(row)
    }

    fn take(&mut self, row: Row, steps: &mut Vec<Step>) {
        let Row { at, prices, volume } = row;
        match prices {
            RowPrices::Tick(quote) => steps.push(self.step(at, quote, volume, self.counts)),
            RowPrices::Bar(quotes) => {
                let bar = TimedBar { opened_at: at, quotes, volume, mark: self.counts };
                let ticks = self.bars.push(bar);
                self.unrolled(ticks, steps);
            }
        }
    }

    fn unrolled(&self, ticks: Vec<BarTick<Counts>>, steps: &mut Vec<Step>) {
        steps.extend(ticks.into_iter().map(|tick| self.step(tick.at, tick.quote, tick.volume, tick.mark)));
    }

    fn step(&self, at: DateTime<Utc>, quote: Quote, volume: Option<f64>, read: Counts) -> Step {
        let (symbol, source) = (self.instrument.symbol.clone(), self.source.clone());
        Step { tick: Tick { symbol, quote, volume, observed_at: at, feed: Feed::Replayed, source }, read }
    }

    fn end(&mut self) -> Result<(), Problem> {
        self.ended = true;
        if self.counts.rows == 0 {
            return Err(Problem::NoRows);
        }
        if self.last_at.is_none() { Err(self.hopeless()) } else { Ok(()) }
    }

    fn hopeless(&mut self) -> Problem {
        Problem::NoGoodRow { rows: self.counts.rows, first: self.first_fault.take().unwrap_or_default() }
    }

    /// Tells of a row that is left out, once per burst.
    fn complain(&mut self, fault: &RowFault) {
        let row = self.counts.rows;
        let told = self.last_fault.replace(row).is_some_and(|last| row - last <= BURST);
        if told {
            return;
        }
        let RowFault { column, reason } = fault;
        let column = column.as_ref().map(|column| format!(", column '{column}'")).unwrap_or_default();
        let place = format!("line {}{column}: {reason}", self.line_number);
        tracing::warn!(source = %self.source, "row left out, as are bad ones near it: {place}");
        self.first_fault.get_or_insert(place);
    }

    /// Reads the next line into `line`; `false` at the end. What is beyond [`MAX_LINE`] is thrown away.
    fn read_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        let read = self.input.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.line)?;
        self.counts.bytes += read as u64;
        self.line_number += 1;
        self.line_is_cut = read as u64 == MAX_LINE && !self.line.ends_with(b"\n");
        if self.line_is_cut {
            self.counts.bytes += self.input.skip_until(b'\n')? as u64;
        }
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Instruments, iso};

    fn open(text: &[u8]) -> Result<Recording<&[u8]>, Problem> {
        let instrument = Arc::new(Instruments::documented().swap_remove(0));
        Recording::open(text, instrument, SourceName::new("replay"))
    }

    fn all(text: &[u8]) -> Result<(Vec<Step>, Counts), Problem> {
        let mut recording = open(text)?;
        let mut steps = Vec::new();
        loop {
            let chunk = recording.next_chunk()?;
            if chunk.is_empty() {
                return Ok((steps, recording.counts()));
            }
            steps.extend(chunk);
        }
    }

    fn mids(text: &str) -> (Vec<f64>, Counts) {
        let (steps, counts) = all(text.as_bytes()).unwrap();
        (steps.iter().map(|step| step.tick.quote.mid()).collect(), counts)
    }

    const TICKS: &str = "time,bid,ask\r\n2026-01-15T07:00:00Z,1.1,1.2\r\n\r\n2026-01-15T07:00:01Z,1.2,1.3\r\n";

    #[test]
    fn ticks_come_marked_as_replayed_with_their_own_time() {
        let (steps, counts) = all(TICKS.as_bytes()).unwrap();
        let Tick { observed_at, feed, source, quote, .. } = &steps[1].tick;
        assert_eq!((iso(*observed_at).as_str(), *feed), ("2026-01-15T07:00:01.000Z", Feed::Replayed));
        assert_eq!((source.as_str(), *quote), ("replay", Quote::BidAsk { bid: 1.2, ask: 1.3 }));
        assert_eq!(counts, Counts { rows: 2, bytes: TICKS.len() as u64, ..Counts::default() });
        assert_eq!(steps[1].read, counts);
    }

    #[test]
    fn bad_rows_and_steps_back_are_left_out_and_counted() {
        let text = "2026-01-15T07:00:05Z;1,1;1,2\n2026-01-15T07:00:05Z;1,2;1,3\nx;y;z\n2026-01-15T07:00:04Z;9;9\n\
                    2026-01-15T07:00:06Z;1,3;1,4";
        let (mids, counts) = mids(text);
        assert_eq!(mids.iter().map(|mid| (mid * 100.0).round()).collect::<Vec<_>>(), [115.0, 125.0, 135.0]);
        assert_eq!(counts, Counts { rows: 5, bad: 1, backwards: 1, bytes: text.len() as u64 });
    }

    #[test]
    fn bars_become_four_ticks_each() {
        let text = "time,open,high,low,close,volume\n2026-01-15T07:00:00Z,1.1,1.4,1.0,1.3,5\n\
                    2026-01-15T07:00:00Z,9,9,9,9,9\n2026-01-15T07:01:00Z,1.3,1.4,1.0,1.1,6\n";
        let (prices, counts) = mids(text);
        assert_eq!(prices, [1.1, 1.0, 1.4, 1.3, 1.3, 1.4, 1.0, 1.1]);
        assert_eq!((counts.rows, counts.backwards), (3, 1));
    }

    #[test]
    fn a_file_without_one_good_row_says_what_is_wrong_with_the_first() {
        let error = |text: &str| all(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            error("time,bid,ask\n\n2026-01-15T07:00:00Z,1.1,x\n2026-01-15T07:00:00Z,1.1,y\n"),
            "none of its first 2 rows can be used; line 3, column 'ask': 'x' is no price of EURUSD"
        );
        let many = format!("time,bid,ask\n{}", "a,b,c\n".repeat(5000));
        assert_eq!(error(&many), "none of its first 1000 rows can be used; line 2, column 'time': 'a' is no time");
        assert_eq!(error("time,bid,ask\n"), "it has a header, but no rows");
        assert_eq!(error("\n \n"), "it is empty");
        assert_eq!(error("PK\u{3},\0\0"), "it is not UTF-8 text; is it packed?");
        assert_eq!(error(&"x,".repeat(10_000)), "its first line is longer than 4096 bytes");
    }

    #[test]
    fn an_endless_line_is_one_bad_row() {
        let text = format!("{TICKS}{}\n2026-01-15T07:00:02Z,1.3,1.4\n", "7,".repeat(1_000_000));
        let (mids, counts) = mids(&text);
        assert_eq!((mids.len(), counts.bad, counts.bytes), (3, 1, text.len() as u64));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            drop(all(&bytes));
        }

        /// Rows of almost the right shape: whatever comes out is sound and in order.
        #[test]
        fn what_comes_out_is_sound(
            header in prop::sample::select(vec!["time,bid,ask\n", "", "time,open,high,low,close,volume\n", "time,price,volume\n"]),
            rows in prop::collection::vec(("(17[0-9]{8}|2026-01-15T0[0-9]:00:0[0-9]Z|x)", prop::collection::vec("-?[0-9]{0,3}(\\.[0-9]{0,7})?(e[0-9]{1,3})?", 1..6)), 0..40),
        ) {
            let rows = rows.iter().map(|(time, fields)| format!("{time},{}\n", fields.join(",")));
            let text = format!("{header}{}", rows.collect::<String>());
            if let Ok((steps, counts)) = all(text.as_bytes()) {
                prop_assert!(steps.is_sorted_by_key(|step| step.tick.observed_at));
                prop_assert!(counts.bad + counts.backwards < counts.rows);
                for step in steps {
                    let (low, high) = match step.tick.quote {
                        Quote::BidAsk { bid, ask } => (bid, ask),
                        Quote::Last(price) => (price, price),
                    };
                    prop_assert!(low > 0.0 && low <= high && high.is_finite());
                }
            }
        }
    }
}
