//! Why a recording cannot be read.

use std::io;

/// Longest line that can be a row, in bytes.
pub(super) const MAX_LINE: usize = 4096;
/// Most rows of a file whose newest row comes first: it has to lie in memory to be turned round.
pub(super) const MAX_REVERSED: usize = 2_000_000;

/// Why a file cannot be read as a recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The system says so.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// Bytes that no text has.
    #[error("it is not text; a recording is a CSV file, which may be packed with gzip")]
    NotText,
    /// Another kind of file, known by its first bytes.
    #[error("it is {what}: {remedy}")]
    OtherFormat {
        /// What it is.
        what: &'static str,
        /// What makes a CSV of it.
        remedy: &'static str,
    },
    /// It unpacks to far more than any recording does.
    #[error("it unpacks to more than {0} times its size, which no recording does")]
    Bomb(u64),
    /// A first line without an end.
    #[error("its first line is longer than {MAX_LINE} bytes")]
    LongLine,
    /// No delimiter was found.
    #[error("the columns of its first line are separated by neither comma, semicolon, tab nor '|': '{0}'")]
    Delimiter(String),
    /// The header names no time.
    #[error(
        "no column is a time (time, timestamp, datetime, date); its columns are {0}; name it with --columns time=…"
    )]
    Time(String),
    /// The header names no prices.
    #[error(
        "its columns hold neither ticks (time,bid,ask or time,price) nor bars (time,open,high,low,close[,volume]); \
         they are {0}; name them with --columns open=…,high=…,low=…,close=…"
    )]
    Prices(String),
    /// Without a header the columns can only be counted.
    #[error(
        "its columns are not understood without a header ({0}): name them with --columns, as in \
         time=#1,open=#2,high=#3,low=#4,close=#5"
    )]
    Shape(String),
    /// A column that the user named is not there.
    #[error("--columns names '{wanted}', but its columns are {listed}")]
    NoColumn {
        /// What was named.
        wanted: String,
        /// What there is.
        listed: String,
    },
    /// A date that has two meanings, and no other row that decides.
    #[error(
        "line {line}: '{text}' may be day/month or month/day, and no row of the file decides: say it with --columns \
         date_order=dmy or date_order=mdy"
    )]
    AmbiguousDate {
        /// Where it stands.
        line: u64,
        /// What stands there.
        text: String,
    },
    /// Epochs in exponential form have lost their last digits.
    #[error(
        "line {line}: its times were rounded by a spreadsheet ('{text}'): export it again without opening it in one, or format \
         the column as a number without decimals first"
    )]
    RoundedTimes {
        /// Where the first one stands.
        line: u64,
        /// What stands there.
        text: String,
    },
    /// Bars of one instant.
    #[error(
        "most of its bars have the time of the bar before ({0}): its times were rounded by a spreadsheet, or it holds several \
         instruments without a column that names them"
    )]
    SameTimes(String),
    /// Times that are milliseconds of a day that nothing names.
    #[error(
        "its times are milliseconds since midnight (QuantConnect Lean), and its name holds no date: call it \
         YYYYMMDD_quote.csv, as Lean does"
    )]
    NoDateInName,
    /// The rows are of other instruments.
    #[error(
        "none of its rows is of {symbol}: they are of {listed}; name the instrument with --symbol, or take all rows with \
         --columns symbol=none"
    )]
    OtherInstruments {
        /// What was looked for.
        symbol: String,
        /// What there is.
        listed: String,
    },
    /// The spread is to be that of a column which is not there.
    #[error("--spread column needs a column with the spread; its columns are {0}; name it with --columns spread=…")]
    NoSpreadColumn(String),
    /// A spread that would be most of the result.
    #[error(
        "a spread of {spread} is more than 1 % of the price {price}: give it in points or as a difference of prices"
    )]
    WideSpread {
        /// The spread, as a difference of prices.
        spread: f64,
        /// The first price.
        price: f64,
    },
    /// Turned round it would fill the memory.
    #[error(
        "its newest row comes first, and it has more than {MAX_REVERSED} rows: turn it round (tac) and keep the header first"
    )]
    TooLongToReverse,
    /// In no order.
    #[error("{backwards} of its {rows} rows go back in time; {first}: sort it by time first")]
    Unordered {
        /// Rows that go back.
        backwards: u64,
        /// Rows that were read.
        rows: u64,
        /// The first one.
        first: String,
    },
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
