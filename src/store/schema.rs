//! Opens connections to the database, and reads its epoch, anchor and head.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::chain::ChainLink;
use super::error::StoreError;
use super::{meta, migrations};

/// `ORIO` in SQLite's header, so that another program's database is not taken for a log.
pub(super) const APPLICATION_ID: usize = 0x4f52_494f;

/// How long a statement waits for the lock of another program. It is short because pushes wait meanwhile.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The size in bytes to which the write-ahead log is truncated after a long read let it grow.
const WAL_LIMIT: i64 = 64 << 20;

/// Migrates the schema, and gives a new log its epoch.
pub(super) fn migrate(connection: &mut Connection, file: &Path) -> Result<(), StoreError> {
    migrations::run(connection, file)?;
    let sqlite = |error| StoreError::sqlite(file, &error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    if epoch(&transaction).map_err(sqlite)?.is_none() {
        set_epoch(&transaction).map_err(sqlite)?;
    }
    transaction.commit().map_err(sqlite)
}

/// Opens the connection of the writer.
pub(super) fn open_writer(file: &Path, create: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a commit returns after it is on the disk, as an acknowledgement promises.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", WAL_LIMIT)?;
    // The writer makes the checkpoints, so that the watermark covers a partly written database.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    configure(&connection)?;
    Ok(connection)
}

/// Creates a temporary database, without durability.
pub(super) fn open_scratch(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "MEMORY")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    configure(&connection)?;
    Ok(connection)
}

/// Opens a read-only connection, beside a process that writes.
pub(super) fn open_reader(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    configure(&connection)?;
    Ok(connection)
}

/// Opens a file that no other process has open, without creating any file beside it.
pub(super) fn open_untouched(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri(file), flags)?;
    configure(&connection)?;
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

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    // With memory maps a failing disk would kill the process by a signal.
    connection.pragma_update(None, "mmap_size", 0)?;
    // Every combination of history filters is its own statement.
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Returns the epoch of the log; `None` in a new database.
pub(super) fn epoch(connection: &Connection) -> rusqlite::Result<Option<String>> {
    meta::get(connection, "epoch")
}

/// Returns the epoch of a log whose rows have no checksums yet.
pub(super) fn epoch_before_checksums(connection: &Connection) -> Option<String> {
    connection.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |row| row.get(0)).ok()
}

/// Gives the log a new epoch, so that earlier cursors are no longer valid.
pub(super) fn set_epoch(connection: &Connection) -> rusqlite::Result<()> {
    meta::set(connection, "epoch", new_epoch())
}

/// Returns a new epoch.
pub(super) fn new_epoch() -> String {
    let letters = std::iter::repeat_with(|| ALPHABET[rand::random_range(0..ALPHABET.len())]);
    letters.map(char::from).take(EPOCH_LENGTH).collect()
}

const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// 36^10 possible epochs: two logs do not get the same one by chance.
const EPOCH_LENGTH: usize = 10;

/// Returns the last pruned event; the start of the chain when none was pruned.
pub(super) fn anchor(connection: &Connection) -> rusqlite::Result<ChainLink> {
    meta::link(connection, ANCHOR)
}

/// Stores the last pruned event.
pub(super) fn set_anchor(connection: &Connection, anchor: ChainLink) -> rusqlite::Result<()> {
    meta::set_link(connection, ANCHOR, anchor)
}

const ANCHOR: [&str; 2] = ["anchor_seq", "anchor_hash"];

/// Returns the newest event.
pub(super) fn head(connection: &Connection) -> rusqlite::Result<ChainLink> {
    let newest = "SELECT seq, hash FROM signal_events ORDER BY seq DESC LIMIT 1";
    match connection.prepare_cached(newest)?.query_row([], link).optional()? {
        Some(head) => Ok(head),
        None => anchor(connection),
    }
}

/// Reads a row of `seq, hash`.
pub(super) fn link(row: &rusqlite::Row<'_>) -> rusqlite::Result<ChainLink> {
    Ok(ChainLink { seq: row.get(0)?, hash: row.get(1)? })
}
