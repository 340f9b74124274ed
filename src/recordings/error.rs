//! The errors of reading a recording.

use std::io;

/// Longest line that can be a row, in bytes.
pub(super) const MAX_LINE: usize = 4096;
/// Largest number of rows in a file whose newest row comes first: it has to be reversed in memory.
pub(super) const MAX_REVERSED: usize = 2_000_000;

/// Why a file cannot be read as a recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// An I/O error.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file is empty.
    #[error("it is empty")]
    Empty,
    /// The file is binary.
    #[error("it is not text; a recording is a CSV file, which may be packed with gzip")]
    NotText,
    /// Another file format, detected by its first bytes.
    #[error("it is {what}: {remedy}")]
    OtherFormat {
        /// The file format.
        what: &'static str,
        /// How to convert it to a CSV.
        remedy: &'static str,
    },
    /// The file unpacks to far more than a recording does.
    #[error("it unpacks to more than {0} times its size, which no recording does")]
    Bomb(u64),
    /// The first line does not end.
    #[error("its first line is longer than {MAX_LINE} bytes")]
    LongLine,
    /// The delimiter is unknown.
    #[error("the columns of its first line are separated by neither comma, semicolon, tab nor '|': '{0}'")]
    Delimiter(String),
    /// The header has no time column.
    #[error(
        "no column is a time (time, timestamp, datetime, date); its columns are {0}; name it with --columns time=…"
    )]
    Time(String),
    /// The header has no price columns.
    #[error(
        "its columns hold neither ticks (time,bid,ask or time,price) nor bars (time,open,high,low,close[,volume]); \
         they are {0}; name them with --columns open=…,high=…,low=…,close=…"
    )]
    Prices(String),
    /// Without a header, the columns cannot be identified.
    #[error(
        "its columns are not understood without a header ({0}): name them with --columns, as in \
         time=#1,open=#2,high=#3,low=#4,close=#5"
    )]
    Shape(String),
    /// A column that the user named does not exist.
    #[error("--columns names '{wanted}', but its columns are {listed}")]
    NoColumn {
        /// The name that the user gave.
        wanted: String,
        /// The existing columns.
        listed: String,
    },
    /// A date is ambiguous, and no other row decides.
    #[error(
        "line {line}: '{text}' may be day/month or month/day, and no row of the file decides: say it with --columns \
         date_order=dmy or date_order=mdy"
    )]
    AmbiguousDate {
        /// The line of the date.
        line: u64,
        /// The date, as it is written.
        text: String,
    },
    /// Epochs in exponential form have lost their last digits.
    #[error(
        "line {line}: its times were rounded by a spreadsheet ('{text}'): export it again without opening it in one, or format \
         the column as a number without decimals first"
    )]
    RoundedTimes {
        /// The line of the first one.
        line: u64,
        /// The epoch, as it is written.
        text: String,
    },
    /// All bars have the same time.
    #[error(
        "most of its bars have the time of the bar before ({0}): its times were rounded by a spreadsheet, or it holds several \
         instruments without a column that names them"
    )]
    SameTimes(String),
    /// The times are milliseconds of a day, but the date is unknown.
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
        /// The wanted symbol.
        symbol: String,
        /// The symbols in the file.
        listed: String,
    },
    /// The spread should come from a column that does not exist.
    #[error("--spread column needs a column with the spread; its columns are {0}; name it with --columns spread=…")]
    NoSpreadColumn(String),
    /// The spread is so wide that it would dominate the result.
    #[error(
        "a spread of {spread} is more than 1 % of the price {price}: give it in points or as a difference of prices"
    )]
    WideSpread {
        /// The spread, as a difference of prices.
        spread: f64,
        /// The first price.
        price: f64,
    },
    /// The file is too long to be reversed in memory.
    #[error(
        "its newest row comes first, and it has more than {MAX_REVERSED} rows: turn it round (tac) and keep the header first"
    )]
    TooLongToReverse,
    /// The rows are not in order.
    #[error("{backwards} of its {rows} rows go back in time; {first}: sort it by time first")]
    Unordered {
        /// How many rows are older than the row before.
        backwards: u64,
        /// How many rows were read.
        rows: u64,
        /// The first such row.
        first: String,
    },
    /// No row is valid.
    #[error("none of its first {rows} rows can be used; {first}")]
    NoGoodRow {
        /// How many rows were read.
        rows: u64,
        /// The fault of the first row.
        first: String,
    },
    /// The file has only a header.
    #[error("it has a header, but no rows")]
    NoRows,
    /// The reading thread has panicked, which is a bug.
    #[error("reading it failed unexpectedly")]
    Panicked,
}
