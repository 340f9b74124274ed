//! The tables, and how a connection to them is opened.

use std::path::Path;
use std::time::Duration;

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use rusqlite_migration::{M, Migrations};

use super::chain::Link;
use super::error::StoreError;
use super::{meta, outcomes, row};

/// `ORIO` in SQLite's header, so that another program's database is not taken for a log.
pub(super) const APPLICATION_ID: usize = 0x4f52_494f;

/// How long a statement waits for another program's lock. Short: everybody who pushes waits with it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// What the write-ahead log is cut back to after a long reader let it grow; bytes.
const WAL_LIMIT: i64 = 64 << 20;

/// Only ever append to this list: a migration that was released has run on somebody's log.
const STEPS: [&str; 6] = [
    "
PRAGMA application_id = 0x4f52494f;

CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

-- Every change of every signal, append-only. Times are Unix milliseconds. `reason` is that of an invalidation.
CREATE TABLE signal_events (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    signal_id TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    source TEXT NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE INDEX signal_events_by_signal ON signal_events (signal_id);

-- Where every signal is now. Its content is the body of the event `last_seq`.
CREATE TABLE signals (
    first_seq INTEGER PRIMARY KEY,
    last_seq INTEGER NOT NULL UNIQUE,
    id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    symbol TEXT NOT NULL,
    killzone TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX signals_pending ON signals (first_seq) WHERE status = 'pending';
CREATE INDEX signals_by_symbol ON signals (symbol, first_seq);
CREATE INDEX signals_by_change ON signals (updated_at);

-- One-minute bars.
CREATE TABLE bars (
    symbol TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    open REAL NOT NULL,
    high REAL NOT NULL,
    low REAL NOT NULL,
    close REAL NOT NULL,
    volume REAL NOT NULL,
    PRIMARY KEY (symbol, opened_at)
) STRICT, WITHOUT ROWID;
",
    "
-- Messages of others. `key` is null for ordered ones; of a state it says which one of its kind it is.
CREATE TABLE published (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    audience TEXT NOT NULL,
    key TEXT,
    data TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX published_states ON published (audience, kind, key) WHERE key IS NOT NULL;
CREATE INDEX published_messages ON published (audience, seq) WHERE key IS NULL;
",
    "
-- What is remembered of users. `not_before`: tokens made before are revoked. `seen`: the last message that reached him.
CREATE TABLE users (
    user TEXT NOT NULL PRIMARY KEY,
    not_before INTEGER,
    seen INTEGER,
    noted INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX users_by_age ON users (noted);
",
    "
-- What became of confirmed signals; written once.
CREATE TABLE outcomes (
    signal_id TEXT NOT NULL PRIMARY KEY,
    closed_at INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX outcomes_by_end ON outcomes (closed_at, signal_id);
CREATE INDEX outcomes_by_age ON outcomes (stored_at);
-- Whether any of its prices was invented. Nobody remembers that of the bars from before.
ALTER TABLE bars ADD COLUMN simulated INTEGER NOT NULL DEFAULT 1;
",
    "
-- Records become a chain, see `take_over`. `taken_over`: it was there before.
DROP INDEX outcomes_by_end;
DROP INDEX outcomes_by_age;
ALTER TABLE outcomes RENAME TO outcomes_before;
CREATE TABLE outcomes (
    seq INTEGER PRIMARY KEY,
    signal_id TEXT NOT NULL UNIQUE,
    closed_at INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    taken_over INTEGER NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE INDEX outcomes_by_end ON outcomes (closed_at, signal_id);

-- Confirmed signals that have no record yet, and how far it has come; null before the first price.
CREATE TABLE open_outcomes (signal_id TEXT NOT NULL PRIMARY KEY, body TEXT, hash BLOB) STRICT, WITHOUT ROWID;
",
    "
-- Every row outside of the chains gets a checksum, see `row.rs`. Rows that are there get theirs in `add_checksums`.
ALTER TABLE meta ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bars ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE published ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
-- What a process that was killed while its disk was full has left.
DELETE FROM meta WHERE key IN ('probe', 'burden');
-- Until the watermark is there, the log counts as one that was closed.
INSERT INTO meta (key, value) VALUES ('closed', 1);
",
];

/// The step that makes a chain of the records.
const CHAINED_RECORDS: usize = 4;

/// The step that gives checksums to rows.
const CHECKSUMS: usize = 5;

/// The first schema version whose log has a watermark, and whose rows have checksums.
pub(super) const FIRST_WITH_WATERMARK: usize = CHECKSUMS + 1;

/// The newest schema version that this program knows.
pub(super) const VERSION: usize = STEPS.len();

/// Brings the schema up to date and gives a new log its name.
pub(super) fn migrate(connection: &mut Connection, file: &Path) -> Result<(), StoreError> {
    let mut steps = STEPS.map(M::up);
    steps[CHAINED_RECORDS] = M::up_with_hook(STEPS[CHAINED_RECORDS], |transaction: &Transaction<'_>| {
        outcomes::take_over(transaction)?;
        Ok(transaction.execute_batch("DROP TABLE outcomes_before")?)
    });
    steps[CHECKSUMS] =
        M::up_with_hook(STEPS[CHECKSUMS], |transaction: &Transaction<'_>| Ok(add_checksums(transaction)?));
    Migrations::new(steps.into()).to_latest(connection).map_err(|error| match error {
        rusqlite_migration::Error::RusqliteError { err, .. } => StoreError::sqlite(file, &err),
        other => StoreError::Damaged { file: file.into(), what: other.to_string() },
    })?;
    let sqlite = |error| StoreError::sqlite(file, &error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    if epoch(&transaction).map_err(sqlite)?.is_none() {
        set_epoch(&transaction).map_err(sqlite)?;
    }
    transaction.commit().map_err(sqlite)
}

/// Gives the rows of a log of before their checksums. It was released: its tables and columns stay as they are.
fn add_checksums(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    transaction.create_scalar_function("row_checksum", -1, flags, |arguments| {
        let table = arguments.get_raw(0).as_str()?;
        Ok(row::checksum(table, (1..arguments.len()).map(|at| arguments.get_raw(at))))
    })?;
    transaction.execute_batch(
        "UPDATE meta SET checksum = row_checksum('meta', key, value);
         UPDATE bars SET checksum = row_checksum('bars', symbol, opened_at, open, high, low, close, volume, simulated);
         UPDATE published SET checksum = row_checksum('published', seq, at, kind, audience, key, data);
         UPDATE users SET checksum = row_checksum('users', user, not_before, seen, noted);",
    )?;
    transaction.remove_function("row_checksum", -1)
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
