//! A look at the files of a log before anything touches them: is it one, is it whole, does it hold what was acknowledged?

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rusqlite::Connection;

use super::compare::{Guarded, compare, nothing_of, nothing_there, unreadable_watermark};
use super::error::StoreError;
use super::verify::walk;
use super::wal::{self, Scan};
use super::watermark::{self, Heads, Watermark, WatermarkRead};
use super::{DATABASE_FILE, LOCK_FILE, WATERMARK_FILE, migrations, offline, outcomes, passing, queries, schema, users};
use crate::domain::Position;

/// Events and records whose hashes are checked at every start: about 50 ms, and longer than any dashboard looks back.
const CHECKED_EVENTS: u64 = 10_000;
/// Largest database whose pages are all read at every start. Beyond it a start would take seconds; `verify` reads all.
const CHECKED_BYTES: u64 = 64 << 20;

/// What is known of a log that was found whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is no log yet.
    New,
    /// An earlier release wrote it, and knew no watermark.
    EarlierRelease,
    /// It holds what its watermark says.
    Guarded {
        /// What it says.
        watermark: Watermark,
        /// One of the watermark's two copies is damaged.
        one_copy_damaged: bool,
    },
    /// It was closed, and its watermark is gone or belongs to nothing.
    Unguarded {
        /// Whether there is a watermark that cannot be read.
        unreadable: bool,
    },
    /// It was closed, and put in the place of another one, such as a backup is.
    Replaced {
        /// What was acknowledged of the other one.
        watermark: Watermark,
        /// The cursor at which a backup was made.
        copied_from: Option<Position>,
    },
}

/// Looks whether the file is a log that this program can write, whole, and as long as what was acknowledged, without changing
/// a byte of it. No process may be writing it.
///
/// `load` reads what a start needs of a log with the schema of this version.
pub(super) fn inspect<T>(
    file: &Path,
    load: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<(Standing, Option<T>), StoreError> {
    let damaged = |what: &str| Err(StoreError::Damaged { file: file.into(), what: what.into() });
    let read = read_watermark(file)?;
    let (length, wal) = (length(file)?, length(&wal_file(file))?);
    match (length, wal) {
        (0, 0) => return nothing_there(file, &read).map(|standing| (standing, None)),
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
    let found = schema_version(&connection, file)?;
    if found < migrations::FIRST_WITH_WATERMARK {
        return earlier_release(&connection, file, read).map(|standing| (standing, None));
    }
    let standing = compare(&connection, file, read)?;
    if length <= CHECKED_BYTES {
        check_pages(&connection, file)?;
    }
    if found != migrations::VERSION {
        return Ok((standing, None));
    }
    check_tail(&connection, file)?;
    let loaded = load(&connection).map_err(|error| StoreError::sqlite(file, &error))?;
    Ok((standing, Some(loaded)))
}

/// Judges a log whose schema knows no watermark.
fn earlier_release(connection: &Connection, file: &Path, read: WatermarkRead) -> Result<Standing, StoreError> {
    if let Some(what) = hidden_commits(file)? {
        return Err(StoreError::Lost { file: file.into(), what });
    }
    match read {
        WatermarkRead::Missing => Ok(Standing::EarlierRelease),
        WatermarkRead::Unreadable => Err(unreadable_watermark(file)),
        WatermarkRead::Found { watermark, .. } if watermark.heads == Heads::START => Ok(Standing::EarlierRelease),
        // A backup that the earlier release made has a name of its own.
        WatermarkRead::Found { watermark, .. }
            if schema::epoch_before_checksums(connection).is_some_and(|epoch| *epoch != *watermark.epoch) =>
        {
            Ok(Standing::Replaced { watermark, copied_from: None })
        }
        WatermarkRead::Found { watermark, .. } => Err(nothing_of(file, &watermark.heads)),
    }
}

/// What a look at a data directory found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Examined {
    /// There is no log yet.
    New,
    /// A server writes the log, which holds what was acknowledged.
    Running,
    /// A server can start on it.
    Whole,
}

/// Looks whether a server could start on the log in the data directory `dir`, or whether the one that runs has all that it
/// acknowledged. Changes nothing.
///
/// # Errors
/// What a start would say.
pub fn examine(dir: &Path) -> Result<Examined, StoreError> {
    if is_owned(dir) {
        let guarded = Guarded::read(dir)?;
        let (file, connection) = offline::open(dir)?;
        guarded.check(&connection, &file)?;
        return Ok(Examined::Running);
    }
    let (standing, _) = inspect(&dir.join(DATABASE_FILE), |_| Ok(()))?;
    Ok(if standing == Standing::New { Examined::New } else { Examined::Whole })
}

/// Whether a process owns the data directory. Leaves nothing behind.
pub(super) fn is_owned(dir: &Path) -> bool {
    let lock = File::options().append(true).open(dir.join(LOCK_FILE));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

/// Returns what an earlier release's write-ahead log holds out of SQLite's sight.
fn hidden_commits(file: &Path) -> Result<Option<String>, StoreError> {
    let wal = wal_file(file);
    Ok(match wal::scan(&wal, 0).map_err(|error| StoreError::io(&wal, &error))? {
        Scan::Log(frames) if frames.hidden_commits > 0 => Some(format!(
            "{} is damaged at frame {}, and {} commits follow that can no longer be read",
            wal.display(),
            frames.broken.unwrap_or_default(),
            frames.hidden_commits
        )),
        Scan::Headless if length(&wal)? >= wal::WHOLE_FRAME => {
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

/// Whether the database has the schema of this version; `false` when it is older, or was being made when the process died.
///
/// # Errors
/// When it is newer, or another program's.
pub(super) fn is_current_log(connection: &Connection, file: &Path) -> Result<bool, StoreError> {
    schema_version(connection, file).map(|found| found == migrations::VERSION)
}

fn schema_version(connection: &Connection, file: &Path) -> Result<usize, StoreError> {
    let number = |sql: &str| -> Result<usize, StoreError> {
        connection.query_row(sql, [], |row| row.get(0)).map_err(|error| StoreError::sqlite(file, &error))
    };
    let found = number("PRAGMA user_version")?;
    let application = number("PRAGMA application_id")?;
    if application != schema::APPLICATION_ID && (found != 0 || number("SELECT count(*) FROM sqlite_schema")? != 0) {
        return Err(StoreError::Damaged { file: file.into(), what: "it belongs to another program".into() });
    }
    if found > migrations::VERSION {
        return Err(StoreError::Newer { file: file.into(), found, known: migrations::VERSION });
    }
    Ok(found)
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
    passing::check(connection).and_then(|()| users::check(connection)).map_err(sqlite)?;
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

/// The watermark beside a database.
pub(super) fn watermark_file(file: &Path) -> PathBuf {
    file.with_file_name(WATERMARK_FILE)
}
