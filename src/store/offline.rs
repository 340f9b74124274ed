//! Opens a log for reading from another process than the one that writes it.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::chain::EventRow;
use super::error::StoreError;
use super::inspect::{is_current_log, length, wal_file};
use super::{DATABASE_FILE, schema};

/// Opens the log in a data directory, or a database file, for reading.
pub(super) fn open(place: &Path) -> Result<(PathBuf, Connection), StoreError> {
    let file = if place.is_dir() { place.join(DATABASE_FILE) } else { place.to_path_buf() };
    if !file.is_file() {
        return Err(StoreError::Missing(file));
    }
    let connection = schema::open_reader(&file).map_err(|error| StoreError::sqlite(&file, &error))?;
    match is_current_log(&connection, &file) {
        // SQLite cannot create its lock files in a read-only directory. A running server would have created them.
        Err(StoreError::ReadOnly(_) | StoreError::Io { .. }) if length(&wal_file(&file))? == 0 => {
            let connection = schema::open_untouched(&file).map_err(|error| StoreError::sqlite(&file, &error))?;
            current(is_current_log(&connection, &file)?, &file)?;
            Ok((file, connection))
        }
        outcome => {
            current(outcome?, &file)?;
            Ok((file, connection))
        }
    }
}

fn current(is_current: bool, file: &Path) -> Result<(), StoreError> {
    let what = "its schema is older than this program; start the server once to bring it up to date".to_owned();
    if is_current { Ok(()) } else { Err(StoreError::Io { file: file.into(), what }) }
}

/// An event as it is stored, borrowed from the statement.
#[derive(Debug)]
pub(super) struct StoredEvent<'a> {
    pub(super) row: EventRow<'a>,
    pub(super) hash: &'a [u8],
}

impl<'a> StoredEvent<'a> {
    /// The statement whose rows [`read`](Self::read) reads. Its parameters are the previous event and the limit.
    pub(super) const AFTER: &'static str = "SELECT seq, at, stored_at, signal_id, status, reason, source, body, hash \
                                            FROM signal_events WHERE seq > ?1 ORDER BY seq LIMIT ?2";

    pub(super) fn read(row: &'a rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            row: EventRow {
                seq: row.get(0)?,
                at: row.get(1)?,
                stored_at: row.get(2)?,
                signal_id: row.get_ref(3)?.as_str()?,
                status: row.get_ref(4)?.as_str()?,
                reason: row.get_ref(5)?.as_str_or_null()?,
                source: row.get_ref(6)?.as_str()?,
                body: row.get_ref(7)?.as_str()?,
            },
            hash: row.get_ref(8)?.as_blob()?,
        })
    }
}
