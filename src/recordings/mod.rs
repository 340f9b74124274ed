//! Recordings of many vendors, read as ticks or bars of one instrument. The replay and the backtest share this reader.
//!
//! A file is read at the caller's pace, some rows ahead, and is never in memory as a whole (except if its newest row
//! comes first). The first rows determine how all rows are read; if they leave a question open, the whole file is
//! scanned. Assumptions are reported ([`ReadSummary`]), ambiguities are an error with its remedy ([`RecordingError`]),
//! and skipped rows are counted by reason ([`LeftOut`]). `docs/recordings.md` has the table of the layouts.

mod bars;
mod describe;
mod error;
mod input;
mod layout;
mod left_out;
mod lines;
mod number;
mod open;
mod reader;
mod row;
mod sample;
mod stamp;
mod summary;
mod symbol_filter;
mod weekly_gap;
mod zone;

pub use error::RecordingError;
pub use left_out::{LeftOut, LeftOutReason, LeftOutRows};
pub use summary::ReadSummary;

pub(crate) use reader::{Counts, ReadRequest, RecordedTick, Recording};
pub(crate) use row::{BarQuotes, RecordedRow, RowPrices};

/// The name of recorded prices on the wire.
pub const SOURCE_NAME: &str = "replay";

#[cfg(test)]
mod tests;
