//! Opens connections to the database, and reads its epoch, anchor and head.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::chain::ChainLink;
use super::error::StoreError;
use super::{meta, migrations};
use crate::domain::Position;

/// `ORIO` in SQLite's header, so that another program's database is not taken for a log.
pub(super) const APPLICATION_ID: usize = 0x4f52_494f;

/// How long a statement waits for the lock of another program. It is short because pushes wait meanwhile.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The size in bytes to which the write-ahead log is truncated after a long read let it grow.
const WAL_LIMIT: i64 = 64 << 20;

/// Migrates the schema, and gives a new log its epoch.
pub(super) fn migrate(connection: &mut Connection, file: &Path) -> Result<(), StoreError> {
    let sqlite = |error| StoreError::sqlite(file, &error);
    let found = schema_version(connection).map_err(sqlite)?;
    migrations::run(connection, file)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    if epoch(&transaction).map_err(sqlite)?.is_none() {
        set_epoch(&transaction).map_err(sqlite)?;
    }
    if found != migrations::VERSION {
        meta::set(&transaction, meta::PROGRAM, env!("CARGO_PKG_VERSION").to_owned()).map_err(sqlite)?;
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

/// Returns the schema version of a database; 0 when it has none.
pub(super) fn schema_version(connection: &Connection) -> rusqlite::Result<usize> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Whether the rows of the log have checksums.
pub(super) fn has_checksums(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(schema_version(connection)? >= migrations::FIRST_WITH_WATERMARK)
}

/// Returns the version of the program that gave the log its schema, from a log of any schema; `None` if it did not say.
pub(super) fn program(connection: &Connection) -> Option<String> {
    connection.query_row("SELECT value FROM meta WHERE key = ?1", [meta::PROGRAM], |row| row.get(0)).ok()
}

/// Returns the position of a log whose rows have no checksums yet.
pub(super) fn position_before_checksums(connection: &Connection) -> rusqlite::Result<Position> {
    let seq = connection.query_row("SELECT coalesce(max(seq), 0) FROM signal_events", [], |row| row.get(0))?;
    Ok(Position { epoch: epoch_before_checksums(connection).unwrap_or_default().into(), seq })
}

/// Gives a copy of a log whose rows have no checksums yet a new epoch, and notes where it was made.
pub(super) fn mark_copy_before_checksums(copy: &Connection, copied_from: &Position) -> rusqlite::Result<()> {
    copy.execute("UPDATE meta SET value = ?1 WHERE key = 'epoch'", [new_epoch()])?;
    let sql = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
    copy.execute(sql, (meta::COPIED_FROM, copied_from.to_string())).map(drop)
}

/// Returns the cursor at which a copy whose rows have no checksums yet was made.
pub(super) fn copied_from_before_checksums(copy: &Connection) -> Option<Position> {
    let value = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
    copy.query_row("SELECT value FROM meta WHERE key = ?1", [meta::COPIED_FROM], value).ok()?.parse().ok()
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
