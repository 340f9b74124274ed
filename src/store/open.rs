//! Opening a log: the directory's lock, a look at the file before anything touches it, and what comes back from it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OpenFlags};

use super::chain::Link;
use super::error::StoreError;
use super::verify::walk;
use super::{DATABASE_FILE, LOCK_FILE, outcomes, passing, place, queries, schema, users};
use crate::domain::{Bar, Forgotten, Position, Progress, Published, Signal, UserNote};

/// Events and records whose hashes are checked at every start: about 50 ms, and longer than any dashboard looks back.
const CHECKED_EVENTS: u64 = 10_000;
/// Largest database whose pages are all read at every start. Beyond it a start would take seconds; `verify` reads all.
const CHECKED_BYTES: u64 = 64 << 20;
/// How far back bars are read, so that setups know where the market is.
const WARM_UP: TimeDelta = TimeDelta::days(5);
/// Most recent signals that are handed to a starting hub.
const RECENT_LIMIT: usize = 1_000;

/// What a log knew when it was opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovered {
    /// The last event of the log.
    pub position: Position,
    /// Every signal that has not ended, oldest first.
    pub pending: Vec<Signal>,
    /// Each signal changed since the time asked for, as it is now, with the number of its last event; oldest change
    /// first. At most the last 1,000.
    pub recent: Vec<(u64, Signal)>,
    /// Published messages that are kept, oldest first.
    pub published: Vec<Published>,
    /// Confirmed signals whose record has not ended, oldest first, and how far it had come; `None` before the first price.
    pub open_records: Vec<(Signal, Option<Progress>)>,
    /// Minutes of the last days since the last invented price of their symbol, oldest first of each symbol.
    pub minutes: Vec<Bar>,
    /// Which ordered messages are not kept any more.
    pub forgotten: Forgotten,
    /// What is remembered of users, in no order.
    pub users: Vec<UserNote>,
}

/// An opened log, before its writer runs.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: PathBuf,
    /// Held as long as the process writes.
    pub(super) lock: File,
    pub(super) connection: Connection,
    pub(super) head: Link,
    pub(super) anchor: Link,
    /// The last record.
    pub(super) records: Link,
    pub(super) published: u64,
    pub(super) recovered: Recovered,
}

/// Opens the log in `dir`, making both if need be.
pub(super) fn open(dir: &Path, recent_since: DateTime<Utc>) -> Result<Opened, StoreError> {
    place::check_writable(dir)?;
    make_directory(dir)?;
    let lock = lock(dir)?;
    let file = dir.join(DATABASE_FILE);
    examine(&file)?;
    let sqlite = |error| StoreError::sqlite(&file, &error);
    let mut connection = schema::open_writer(&file, OpenFlags::SQLITE_OPEN_CREATE).map_err(sqlite)?;
    schema::migrate(&mut connection, &file)?;
    let head = schema::head(&connection).map_err(sqlite)?;
    let anchor = schema::anchor(&connection).map_err(sqlite)?;
    let epoch = schema::epoch(&connection).map_err(sqlite)?.unwrap_or_default();
    let (published, forgotten) = passing::all(&connection).map_err(sqlite)?;
    let recovered = Recovered {
        position: Position { epoch: epoch.into(), seq: head.seq },
        pending: queries::pending(&connection).map_err(sqlite)?,
        recent: queries::recent(&connection, recent_since, RECENT_LIMIT).map_err(sqlite)?,
        published,
        forgotten,
        open_records: outcomes::open(&connection).map_err(sqlite)?,
        minutes: queries::real_minutes(&connection, recent_since - WARM_UP).map_err(sqlite)?,
        users: users::all(&connection).map_err(sqlite)?,
    };
    let published = passing::head(&connection).map_err(sqlite)?;
    let records = outcomes::head(&connection).map_err(sqlite)?;
    Ok(Opened { file, lock, connection, head, anchor, records, published, recovered })
}

fn make_directory(dir: &Path) -> Result<(), StoreError> {
    let io = |error| StoreError::io(dir, &error);
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir).map_err(io)?;
    // A directory is on the disk when its parent is; SQLite sees to the files in it.
    match dir.canonicalize().map_err(io)?.parent() {
        Some(parent) => File::open(parent).and_then(|parent| parent.sync_all()).map_err(io),
        None => Ok(()),
    }
}

/// Takes the data directory for this process. The system gives it back when the process ends, however it ends.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let file = dir.join(LOCK_FILE);
    let lock = File::options().append(true).create(true).open(&file).map_err(|error| StoreError::io(&file, &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(dir.into())),
        Err(TryLockError::Error(error)) => Err(StoreError::io(&file, &error)),
    }
}

/// Looks whether the file is a log that this program can write, and whole, without changing a byte of it.
fn examine(file: &Path) -> Result<(), StoreError> {
    let damaged = |what: &str| Err(StoreError::Damaged { file: file.into(), what: what.into() });
    let (length, wal) = (length(file)?, length(&wal_file(file))?);
    match (length, wal) {
        (0, 0) => return Ok(()),
        (0, _) => return damaged("it is missing or empty, but its write-ahead log is not"),
        _ => {}
    }
    let header = Header::read(file)?;
    if !header.is_sqlite() {
        return damaged("it is not a SQLite database");
    }
    // With a write-ahead log the pages that are missing here may be in there.
    if wal == 0 && header.described_bytes().is_some_and(|described| described > length) {
        return damaged("its end is missing");
    }
    let opened = if wal == 0 { schema::open_untouched(file) } else { schema::open_reader(file) };
    let connection = opened.map_err(|error| StoreError::sqlite(file, &error))?;
    if !is_current_log(&connection, file)? {
        return Ok(());
    }
    if length <= CHECKED_BYTES {
        check_pages(&connection, file)?;
    }
    check_tail(&connection, file)
}

/// Whether the database has the schema of this version; `false` when it is older, or was being made when the process died.
///
/// # Errors
/// When it is newer, or another program's.
pub(super) fn is_current_log(connection: &Connection, file: &Path) -> Result<bool, StoreError> {
    let number = |sql: &str| -> Result<usize, StoreError> {
        connection.query_row(sql, [], |row| row.get(0)).map_err(|error| StoreError::sqlite(file, &error))
    };
    let found = number("PRAGMA user_version")?;
    let application = number("PRAGMA application_id")?;
    if application != schema::APPLICATION_ID && (found != 0 || number("SELECT count(*) FROM sqlite_schema")? != 0) {
        return Err(StoreError::Damaged { file: file.into(), what: "it belongs to another program".into() });
    }
    if found > schema::VERSION {
        return Err(StoreError::Newer { file: file.into(), found, known: schema::VERSION });
    }
    Ok(found == schema::VERSION)
}

/// Reads every page and checks that the trees are whole.
pub(super) fn check_pages(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    let answer = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0))
        .map_err(|error| StoreError::sqlite(file, &error))?;
    match answer.as_str() {
        "ok" => Ok(()),
        what => Err(StoreError::Damaged { file: file.into(), what: what.replace('\n', " ") }),
    }
}

/// Checks the name of the log, the links of its newest events and records, and what is open.
fn check_tail(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    let sqlite = |error| StoreError::sqlite(file, &error);
    let damaged = |what: String| StoreError::Damaged { file: file.into(), what };
    let epoch = schema::epoch(connection).map_err(sqlite)?.unwrap_or_default();
    Position::from_str(&format!("{epoch}:0")).map_err(|_| damaged("the name of the log is missing".into()))?;
    let head = schema::head(connection).map_err(sqlite)?;
    let anchor = schema::anchor(connection).map_err(sqlite)?;
    let from = match queries::link_at(connection, head.seq.saturating_sub(CHECKED_EVENTS)).map_err(sqlite)? {
        Some(link) if link.seq > anchor.seq => link,
        _ => anchor,
    };
    match walk(connection, file, from).and_then(|_| outcomes::check(connection, file, CHECKED_EVENTS)) {
        Ok(_) => Ok(()),
        Err(StoreError::Broken { seq, what }) => Err(damaged(format!("event {seq}: {what}"))),
        Err(StoreError::BrokenRecord(what)) => Err(damaged(what)),
        Err(error) => Err(error),
    }
}

/// The first bytes of a database file, <https://www.sqlite.org/fileformat.html>.
struct Header([u8; 100]);

impl Header {
    fn read(file: &Path) -> Result<Self, StoreError> {
        let mut header = [0; 100];
        match File::open(file).and_then(|mut file| file.read_exact(&mut header)) {
            Ok(()) => Ok(Self(header)),
            // Too short to be anything.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Self([0; 100])),
            Err(error) => Err(StoreError::io(file, &error)),
        }
    }

    fn is_sqlite(&self) -> bool {
        self.0.starts_with(b"SQLite format 3\0")
    }

    /// How long the file says it is; `None` when it was last written by something that does not say.
    fn described_bytes(&self) -> Option<u64> {
        let number = |at: usize| self.0[at..at + 4].iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let page_size = match u16::from_be_bytes([self.0[16], self.0[17]]) {
            1 => 65_536,
            size => u64::from(size),
        };
        (number(24) == number(92)).then(|| page_size * number(28))
    }
}

/// Bytes of a file; 0 when there is none.
pub(super) fn length(file: &Path) -> Result<u64, StoreError> {
    match fs::metadata(file) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(StoreError::io(file, &error)),
    }
}

/// The write-ahead log beside a database.
pub(super) fn wal_file(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}
