//! How a connection to the database is opened, and where its chains stand.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::chain::Link;
use super::error::StoreError;
use super::{meta, migrations};

/// `ORIO` in SQLite's header, so that another program's database is not taken for a log.
pub(super) const APPLICATION_ID: usize = 0x4f52_494f;

/// How long a statement waits for another program's lock. Short: everybody who pushes waits with it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// What the write-ahead log is cut back to after a long reader let it grow; bytes.
const WAL_LIMIT: i64 = 64 << 20;

/// Brings the schema up to date and gives a new log its name.
pub(super) fn migrate(connection: &mut Connection, file: &Path) -> Result<(), StoreError> {
    migrations::run(connection, file)?;
    let sqlite = |error| StoreError::sqlite(file, &error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    if epoch(&transaction).map_err(sqlite)?.is_none() {
        set_epoch(&transaction).map_err(sqlite)?;
    }
    transaction.commit().map_err(sqlite)
}

/// Opens the one connection that writes.
pub(super) fn open_writer(file: &Path, create: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a commit returns when it is on the disk, which is what an acknowledged signal is promised.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", WAL_LIMIT)?;
    // The writer makes checkpoints by itself, so that the watermark can say when the database is half written.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    settle(&connection)?;
    Ok(connection)
}

/// Makes a database that nobody needs before it is whole.
pub(super) fn open_scratch(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "MEMORY")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    settle(&connection)?;
    Ok(connection)
}

/// Opens a connection that can only read, beside a process that writes.
pub(super) fn open_reader(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    settle(&connection)?;
    Ok(connection)
}

/// Opens a file that nobody else has open, leaving not even a lock behind.
pub(super) fn open_untouched(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri(file), flags)?;
    settle(&connection)?;
    Ok(connection)
}

fn uri(file: &Path) -> String {
    let path: Vec<String> = file
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .map(|byte| match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(*byte).to_string(),
            other => format!("%{other:02x}"),
        })
        .collect();
    format!("file:{}?immutable=1", path.concat())
}

fn settle(connection: &Connection) -> rusqlite::Result<()> {
    // Without memory maps a failing disk is an error instead of a signal that kills the process.
    connection.pragma_update(None, "mmap_size", 0)?;
    // Every combination of the history's filters is one statement.
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// The name of the log; `None` in a database that is not one yet.
pub(super) fn epoch(connection: &Connection) -> rusqlite::Result<Option<String>> {
    meta::get(connection, "epoch")
}

/// The name of a log whose rows have no checksums yet.
pub(super) fn epoch_before_checksums(connection: &Connection) -> Option<String> {
    connection.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |row| row.get(0)).ok()
}

/// Gives the log a new name: cursors of any other no longer lead into it.
pub(super) fn set_epoch(connection: &Connection) -> rusqlite::Result<()> {
    let name: String = std::iter::repeat_with(|| ALPHABET[rand::random_range(0..ALPHABET.len())])
        .map(char::from)
        .take(EPOCH_LENGTH)
        .collect();
    meta::set(connection, "epoch", name)
}

const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// 36^10 names: two logs never share one by chance.
const EPOCH_LENGTH: usize = 10;

/// The last pruned event; the start of the chain when none was pruned.
pub(super) fn anchor(connection: &Connection) -> rusqlite::Result<Link> {
    meta::link(connection, ANCHOR)
}

/// Notes the last pruned event.
pub(super) fn set_anchor(connection: &Connection, anchor: Link) -> rusqlite::Result<()> {
    meta::set_link(connection, ANCHOR, anchor)
}

const ANCHOR: [&str; 2] = ["anchor_seq", "anchor_hash"];

/// The newest row of the log.
pub(super) fn head(connection: &Connection) -> rusqlite::Result<Link> {
    let newest = "SELECT seq, hash FROM signal_events ORDER BY seq DESC LIMIT 1";
    match connection.prepare_cached(newest)?.query_row([], link).optional()? {
        Some(head) => Ok(head),
        None => anchor(connection),
    }
}

/// Reads a row of `seq, hash`.
pub(super) fn link(row: &rusqlite::Row<'_>) -> rusqlite::Result<Link> {
    Ok(Link { seq: row.get(0)?, hash: row.get(1)? })
}
