//! Inspects the files of a log before anything changes them: is it a log, is it intact, and does it contain what was
//! acknowledged?

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rusqlite::Connection;

use super::compare::{WatermarkCheck, compare, nothing_of, nothing_there, unreadable_watermark};
use super::error::StoreError;
use super::verify::walk;
use super::wal::{self, Scan};
use super::watermark::{self, Heads, Watermark, WatermarkRead};
use super::{
    DATABASE_FILE, LOCK_FILE, WATERMARK_FILE, migrations, offline, outcomes, passing, queries, schema, tree, upgrade,
    users,
};
use crate::domain::Position;

/// Maximum number of events and of records whose hashes are checked at every start. It takes about 50 ms, and covers
/// more than dashboards ask for.
const MAX_CHECKED_EVENTS: u64 = 10_000;
/// Maximum number of leaves of the tree that are checked at every start.
const MAX_CHECKED_LEAVES: u64 = 1_000;
/// The largest database whose pages are all read at every start. A larger one would delay the start by seconds;
/// `verify` reads all of it.
const MAX_CHECKED_BYTES: u64 = 64 << 20;

/// The condition of an intact log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LogCondition {
    /// There is no log yet.
    New,
    /// An earlier release without watermarks wrote it.
    EarlierRelease,
    /// It contains what its watermark says.
    Guarded {
        /// The watermark.
        watermark: Watermark,
        /// Whether one of the two copies of the watermark is damaged.
        one_copy_damaged: bool,
    },
    /// It was closed, and its watermark is missing or unreadable.
    Unguarded {
        /// Whether there is an unreadable watermark.
        unreadable: bool,
    },
    /// It was closed, and replaced another log; a restored backup, for example.
    Replaced {
        /// The watermark of the replaced log.
        watermark: Watermark,
        /// The cursor at which the backup was made.
        copied_from: Option<Position>,
    },
}

/// Checks that the file is an intact log that this program can write, and that it contains what was acknowledged.
/// Changes nothing. No process may be writing the log.
///
/// `load` reads what a start needs from a log with the current schema.
pub(super) fn inspect<T>(
    file: &Path,
    load: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<(LogCondition, Option<T>), StoreError> {
    let damaged = |what: &str| Err(StoreError::Damaged { file: file.into(), what: what.into() });
    let read = read_watermark(file)?;
    let (length, wal) = (length(file)?, length(&wal_file(file))?);
    match (length, wal) {
        (0, 0) => return nothing_there(file, &read).map(|condition| (condition, None)),
        (0, _) => return damaged("it is missing or empty, but its write-ahead log is not"),
        _ => {}
    }
    let header = DatabaseHeader::read(file)?;
    if !header.is_sqlite() {
        return damaged("it is not a SQLite database");
    }
    // The missing pages may be in the write-ahead log.
    if wal == 0 && header.described_bytes().is_some_and(|described| described > length) {
        return damaged("its end is missing");
    }
    let opened = if wal == 0 { schema::open_untouched(file) } else { schema::open_reader(file) };
    let connection = opened.map_err(|error| StoreError::sqlite(file, &error))?;
    let found = schema_version(&connection, file)?;
    if found < migrations::FIRST_WITH_WATERMARK {
        return earlier_release(&connection, file, read).map(|condition| (condition, None));
    }
    let condition = compare(&connection, file, read)?;
    if length <= MAX_CHECKED_BYTES {
        check_pages(&connection, file)?;
    }
    if found != migrations::VERSION {
        return Ok((condition, None));
    }
    check_tail(&connection, file)?;
    let loaded = load(&connection).map_err(|error| StoreError::sqlite(file, &error))?;
    Ok((condition, Some(loaded)))
}

/// Judges a log whose schema has no watermark.
fn earlier_release(connection: &Connection, file: &Path, read: WatermarkRead) -> Result<LogCondition, StoreError> {
    if let Some(what) = hidden_commits(file)? {
        return Err(StoreError::Lost { file: file.into(), what });
    }
    match read {
        WatermarkRead::Missing => Ok(LogCondition::EarlierRelease),
        WatermarkRead::Unreadable => Err(unreadable_watermark(file)),
        WatermarkRead::Found { watermark, .. } if watermark.heads == Heads::START => Ok(LogCondition::EarlierRelease),
        // A backup of the earlier release has its own epoch.
        WatermarkRead::Found { watermark, .. }
            if schema::epoch_before_checksums(connection).is_some_and(|epoch| *epoch != *watermark.epoch) =>
        {
            let copied_from = schema::copied_from_before_checksums(connection);
            Ok(LogCondition::Replaced { watermark, copied_from })
        }
        WatermarkRead::Found { watermark, .. } => Err(nothing_of(file, &watermark.heads)),
    }
}

/// The result of [`examine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Examined {
    /// There is no log yet.
    New,
    /// A server is running on the log, which contains what was acknowledged.
    Running,
    /// A server can start on the log.
    Whole,
}

/// Checks whether a server could start on the log in the data directory `dir`. For a running server, checks that its
/// log contains what was acknowledged. Changes nothing.
///
/// # Errors
/// The error that a start would return.
pub fn examine(dir: &Path) -> Result<Examined, StoreError> {
    if is_owned(dir) {
        let guarded = WatermarkCheck::read(dir)?;
        let (file, connection) = offline::open(dir)?;
        guarded.check(&connection, &file)?;
        return Ok(Examined::Running);
    }
    let (condition, _) = inspect(&dir.join(DATABASE_FILE), |_| Ok(()))?;
    Ok(if condition == LogCondition::New { Examined::New } else { Examined::Whole })
}

/// Whether a process owns the data directory. Creates no file.
pub(super) fn is_owned(dir: &Path) -> bool {
    let lock = File::options().append(true).open(dir.join(LOCK_FILE));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

/// Describes commits in the write-ahead log of an earlier release that SQLite cannot reach because of damage.
fn hidden_commits(file: &Path) -> Result<Option<String>, StoreError> {
    let wal = wal_file(file);
    Ok(match wal::scan(&wal, 0).map_err(|error| StoreError::io(&wal, &error))? {
        Scan::Log(frames) if frames.hidden_commits > 0 => Some(format!(
            "{} is damaged at frame {}, and {} commits follow that can no longer be read",
            wal.display(),
            frames.broken.unwrap_or_default(),
            frames.hidden_commits
        )),
        Scan::Headless if length(&wal)? >= wal::MIN_WAL_BYTES => {
            Some(format!("the header of {} is damaged, and frames follow that can no longer be read", wal.display()))
        }
        _ => None,
    })
}

/// Reads the watermark beside a database.
pub(super) fn read_watermark(file: &Path) -> Result<WatermarkRead, StoreError> {
    let path = watermark_file(file);
    watermark::read(&path).map_err(|error| StoreError::io(&path, &error))
}

/// Whether the database has the current schema; `false` when it is older or its creation was interrupted.
///
/// # Errors
/// When it is newer, or belongs to another program.
pub(super) fn is_current_log(connection: &Connection, file: &Path) -> Result<bool, StoreError> {
    schema_version(connection, file).map(|found| found == migrations::VERSION)
}

/// Returns the schema version of a log that this program can read; 0 when its creation was interrupted.
///
/// # Errors
/// When it is newer, or belongs to another program.
pub(super) fn schema_version(connection: &Connection, file: &Path) -> Result<usize, StoreError> {
    let number = |sql: &str| -> Result<usize, StoreError> {
        connection.query_row(sql, [], |row| row.get(0)).map_err(|error| StoreError::sqlite(file, &error))
    };
    let found = number("PRAGMA user_version")?;
    let application = number("PRAGMA application_id")?;
    if application != schema::APPLICATION_ID && (found != 0 || number("SELECT count(*) FROM sqlite_schema")? != 0) {
        return Err(StoreError::Damaged { file: file.into(), what: "it belongs to another program".into() });
    }
    if found > migrations::VERSION {
        let remedy = upgrade::downgrade_remedy(file, schema::program(connection).as_deref(), migrations::VERSION);
        return Err(StoreError::Newer { file: file.into(), found, known: migrations::VERSION, remedy });
    }
    Ok(found)
}

/// Reads every page, and checks that the trees are intact.
pub(super) fn check_pages(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    let answer = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0))
        .map_err(|error| StoreError::sqlite(file, &error))?;
    match answer.as_str() {
        "ok" => Ok(()),
        what => Err(StoreError::Damaged { file: file.into(), what: what.replace('\n', " ") }),
    }
}

/// Checks the epoch, the hashes of the newest events and records, and the open records.
fn check_tail(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    let sqlite = |error| StoreError::sqlite(file, &error);
    let damaged = |what: String| StoreError::Damaged { file: file.into(), what };
    let epoch = schema::epoch(connection).map_err(sqlite)?.unwrap_or_default();
    Position::from_str(&format!("{epoch}:0")).map_err(|_| damaged("the name of the log is missing".into()))?;
    let head = schema::head(connection).map_err(sqlite)?;
    let anchor = schema::anchor(connection).map_err(sqlite)?;
    let from = match queries::link_at(connection, head.seq.saturating_sub(MAX_CHECKED_EVENTS)).map_err(sqlite)? {
        Some(link) if link.seq > anchor.seq => link,
        _ => anchor,
    };
    passing::check(connection).and_then(|()| users::check(connection)).map_err(sqlite)?;
    let checked = walk(connection, file, from)
        .and_then(|_| outcomes::check(connection, file, MAX_CHECKED_EVENTS))
        .and_then(|_| tree::check(connection, file, MAX_CHECKED_LEAVES));
    match checked {
        Ok(_) => Ok(()),
        Err(StoreError::Broken { seq, what }) => Err(damaged(format!("event {seq}: {what}"))),
        Err(StoreError::BrokenRecord(what)) => Err(damaged(what)),
        Err(error @ StoreError::BrokenTree(_)) => Err(damaged(error.to_string())),
        Err(error) => Err(error),
    }
}

/// The first bytes of a database file, <https://www.sqlite.org/fileformat.html>.
struct DatabaseHeader([u8; 100]);

impl DatabaseHeader {
    fn read(file: &Path) -> Result<Self, StoreError> {
        let mut header = [0; 100];
        match File::open(file).and_then(|mut file| file.read_exact(&mut header)) {
            Ok(()) => Ok(Self(header)),
            // A shorter file is not a database.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Self([0; 100])),
            Err(error) => Err(StoreError::io(file, &error)),
        }
    }

    fn is_sqlite(&self) -> bool {
        self.0.starts_with(b"SQLite format 3\0")
    }

    /// Returns the length in the header; `None` when the program that last wrote the file did not maintain it.
    fn described_bytes(&self) -> Option<u64> {
        let number = |at: usize| self.0[at..at + 4].iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let page_size = match u16::from_be_bytes([self.0[16], self.0[17]]) {
            1 => 65_536,
            size => u64::from(size),
        };
        (number(24) == number(92)).then(|| page_size * number(28))
    }
}

/// Returns the bytes of a file; 0 when it does not exist.
pub(super) fn length(file: &Path) -> Result<u64, StoreError> {
    match fs::metadata(file) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(StoreError::io(file, &error)),
    }
}

/// Returns the path of a database's write-ahead log.
pub(super) fn wal_file(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Returns the path of a database's watermark.
pub(super) fn watermark_file(file: &Path) -> PathBuf {
    file.with_file_name(WATERMARK_FILE)
}
