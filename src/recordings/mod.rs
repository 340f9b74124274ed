//! Recordings of every vendor, read as ticks or bars of one instrument: the replay and the backtest share this reader.
//!
//! A file is read by a caller of its own pace, some rows ahead, and never lies in memory as a whole (but for one whose newest row
//! comes first). Its first rows decide how all are read; what they leave open, the whole file is asked. What is not certain is
//! told ([`ReadSummary`]), what has two meanings is refused with the remedy ([`RecordingError`]), and rows that are left out are
//! counted by reason ([`LeftOut`]). `docs/recordings.md` has the table of the layouts.

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
