//! Exports all events for other programs, a page at a time, so that the length of the log does not matter.

use std::io::{self, Write};
use std::path::Path;

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use serde::Serialize;
use serde_json::value::RawValue;

use super::error::StoreError;
use super::offline::{self, StoredEvent};
use super::{checked, row, spreadsheet};
use crate::domain::{Invalidation, Signal, SignalState, TradeOutcome, iso};

/// Events in a page. The log is not read between two pages, because the reader of the output may be slow.
const PAGE: usize = 1_000;

/// The format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ExportFormat {
    /// A header line and one line per event, safe to open in a spreadsheet; times are UTC, targets and their labels are separated
    /// by `|`.
    Csv,
    /// One array with one object per event.
    Json,
}

/// Writes every event of the log in the data directory `place` (or in the file `place`) to `out`, oldest first, also
/// beside a running server. Returns the number of events.
///
/// # Errors
/// [`StoreError::Output`] when `out` cannot be written, otherwise what is wrong with the log.
pub fn export(place: &Path, format: ExportFormat, mut out: impl Write) -> Result<u64, StoreError> {
    let (file, connection) = offline::open(place)?;
    let io = |error: io::Error| StoreError::Output(error.kind());
    let mut page = ExportPage { format, bytes: Vec::new(), events: 0, last: 0 };
    loop {
        page.read(&connection, &file)?;
        out.write_all(&page.bytes).map_err(io)?;
        if page.bytes.is_empty() {
            break;
        }
        page.bytes.clear();
    }
    if format == ExportFormat::Json {
        out.write_all(if page.events == 0 { b"[]\n" } else { b"\n]\n" }).map_err(io)?;
    }
    out.flush().map_err(io)?;
    Ok(page.events)
}

/// Writes the record of every confirmed signal to `out` as one JSON array, in the order in which they ended. Returns
/// their number.
///
/// # Errors
/// [`StoreError::Output`] when `out` cannot be written, otherwise what is wrong with the log.
pub fn export_outcomes(place: &Path, mut out: impl Write) -> Result<u64, StoreError> {
    let (file, connection) = offline::open(place)?;
    let sqlite = |error| StoreError::sqlite(&file, &error);
    let io = |error: io::Error| StoreError::Output(error.kind());
    let sql = checked::records("ORDER BY o.closed_at, o.signal_id");
    let mut statement = connection.prepare(&sql).map_err(sqlite)?;
    let mut rows = statement.query([]).map_err(sqlite)?;
    let mut count = 0;
    while let Some(row) = rows.next().map_err(sqlite)? {
        checked::record(row).map_err(sqlite)?;
        let body = row.get_ref(5).and_then(|body| Ok(body.as_str()?.to_owned())).map_err(sqlite)?;
        let start = if count == 0 { "[\n" } else { ",\n" };
        write!(out, "{start}{body}").map_err(io)?;
        count += 1;
    }
    out.write_all(if count == 0 { b"[]\n" } else { b"\n]\n" }).map_err(io)?;
    out.flush().map_err(io)?;
    Ok(count)
}

/// Returns the record of every confirmed signal, in the order in which they ended, also beside a running server.
///
/// # Errors
/// What is wrong with the log.
pub fn stored_outcomes(place: &Path) -> Result<Vec<TradeOutcome>, StoreError> {
    let (file, connection) = offline::open(place)?;
    let read = || -> rusqlite::Result<Vec<TradeOutcome>> {
        let mut statement = connection.prepare(&checked::records("ORDER BY o.closed_at, o.signal_id"))?;
        statement.query_map([], checked::record)?.collect()
    };
    read().map_err(|error| StoreError::sqlite(&file, &error))
}

struct ExportPage {
    format: ExportFormat,
    bytes: Vec<u8>,
    events: u64,
    last: u64,
}

#[derive(Serialize)]
struct JsonEvent<'a> {
    seq: u64,
    at: String,
    stored_at: String,
    signal: &'a RawValue,
    hash: String,
}

const COLUMNS: [&str; 21] = [
    "seq",
    "at",
    "stored_at",
    "id",
    "status",
    "invalidation",
    "source",
    "direction",
    "symbol",
    "entry_time",
    "entry_price",
    "stop_loss",
    "take_profits",
    "tp_modes",
    "reason",
    "confidence",
    "rr_target",
    "killzone",
    "model",
    "expires_at",
    "hash",
];

impl ExportPage {
    fn read(&mut self, connection: &Connection, file: &Path) -> Result<(), StoreError> {
        let sqlite = |error| StoreError::sqlite(file, &error);
        let mut statement =
            connection.prepare_cached(&checked::events("WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2")).map_err(sqlite)?;
        let mut rows = statement.query((self.last, PAGE)).map_err(sqlite)?;
        while let Some(row) = rows.next().map_err(sqlite)? {
            let event = checked::event(row).map_err(|error| match row::damaged_row(&error) {
                Some(damaged) => {
                    let seq = damaged.key.parse().unwrap_or(self.last + 1);
                    StoreError::Broken { seq, what: "its hash does not cover what is stored".into() }
                }
                None => sqlite(error),
            })?;
            let unreadable =
                |error: String| StoreError::Broken { seq: event.row.seq, what: format!("it cannot be read: {error}") };
            match self.format {
                ExportFormat::Csv => self.csv(&event).map_err(|error| unreadable(error.to_string()))?,
                ExportFormat::Json => self.json(&event).map_err(|error| unreadable(error.to_string()))?,
            }
            self.last = event.row.seq;
            self.events += 1;
        }
        Ok(())
    }

    fn json(&mut self, event: &StoredEvent<'_>) -> serde_json::Result<()> {
        self.bytes.extend_from_slice(if self.events == 0 { b"[\n" } else { b",\n" });
        let line = JsonEvent {
            seq: event.row.seq,
            at: instant(event.row.at),
            stored_at: instant(event.row.stored_at),
            signal: serde_json::from_str(event.row.body)?,
            hash: hex(event.hash),
        };
        serde_json::to_writer(&mut self.bytes, &line)
    }

    fn csv(&mut self, event: &StoredEvent<'_>) -> Result<(), Box<dyn std::error::Error>> {
        let signal: Signal = serde_json::from_str(event.row.body)?;
        let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        let invalidation = match &signal.state {
            SignalState::Invalidated(reason) => Invalidation::as_str(reason),
            SignalState::Pending | SignalState::Confirmed => "",
        };
        let mut writer = csv::Writer::from_writer(&mut self.bytes);
        if self.events == 0 {
            writer.write_record(COLUMNS)?;
        }
        writer.write_record([
            &event.row.seq.to_string(),
            &cell_time(event.row.at),
            &cell_time(event.row.stored_at),
            &*spreadsheet::text(signal.id.as_str()),
            signal.state.status().name(),
            &*spreadsheet::text(invalidation),
            &*spreadsheet::text(signal.source.as_str()),
            signal.direction.name(),
            signal.symbol.as_str(),
            &spreadsheet::time(signal.entry_time),
            &number(signal.entry_price),
            &number(signal.stop_loss),
            &signal.take_profits.iter().map(f64::to_string).collect::<Vec<_>>().join("|"),
            &*spreadsheet::text(&signal.tp_modes.join("|")),
            &*spreadsheet::text(&signal.reason),
            &signal.confidence.to_string(),
            &signal.rr_target.to_string(),
            signal.killzone.name(),
            &*spreadsheet::text(signal.model.as_deref().unwrap_or_default()),
            &spreadsheet::time(signal.expires_at),
            &hex(event.hash),
        ])?;
        writer.flush()?;
        Ok(())
    }
}

fn cell_time(millis: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(millis).map(spreadsheet::time).unwrap_or_default()
}

fn instant(millis: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(millis).map(iso).unwrap_or_default()
}

/// Formats bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
