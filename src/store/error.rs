//! The errors of the log, worded for the operator who has to resolve them.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::row::damaged_row;
use super::{LOCK_FILE, NotWritable};

/// Why the log could not be opened, written or read. It is cheap to clone, because every append of a failed commit gets
/// it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The user of the process may not write the data directory or a file in it.
    #[error(transparent)]
    NotWritable(#[from] NotWritable),
    /// Another process owns the data directory.
    #[error(
        "another orion-server process owns the data directory {}: stop it, or give this one a directory of its own \
         (ORION_DATA_DIR)",
        .0.display()
    )]
    InUse(PathBuf),
    /// The database was written by a newer version of this program.
    #[error("{} has schema {found}, this orion-server knows up to {known}; nothing was changed. {remedy}", .file.display())]
    Newer {
        /// The database.
        file: PathBuf,
        /// Its schema version.
        found: usize,
        /// The newest schema version that this program knows.
        known: usize,
        /// What to do: which version to install, or which backup to restore.
        remedy: String,
    },
    /// The log would be upgraded, but the backup that is made before failed.
    #[error(
        "{} has schema {found} and is to be upgraded to {known}, but there is no backup from before: {why}; nothing was \
         changed. Free space or set the directory right; or upgrade without a backup: data.upgrade_backup = false \
         (ORION_DATA__UPGRADE_BACKUP=0)",
        .file.display()
    )]
    NoBackup {
        /// The database.
        file: PathBuf,
        /// Its schema version.
        found: usize,
        /// The schema version that it would get.
        known: usize,
        /// Why the backup failed.
        why: String,
    },
    /// The database is not what this program wrote.
    #[error(
        "{} is damaged ({what}); nothing was changed. Put a backup in its place (made with `orion-server backup`; remove \
         the -wal and -shm files beside it too), keep what is whole with `orion-server repair --accept-loss`, or move the \
         file away, and all other orion.* files with it, to begin a new log",
        .file.display()
    )]
    Damaged {
        /// The database.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The log does not contain everything that was acknowledged.
    #[error(
        "{} does not hold what was acknowledged: {what}; nothing was changed. Put a backup in its place (made with \
         `orion-server backup`; remove the -wal and -shm files beside it too), or keep what is left with `orion-server \
         repair --accept-loss`",
        .file.display()
    )]
    Lost {
        /// The database.
        file: PathBuf,
        /// What is missing, and why.
        what: String,
    },
    /// An event of the log is not what was written.
    #[error("the log is broken at event {seq}: {what}")]
    Broken {
        /// The first event that does not match.
        seq: u64,
        /// What does not match.
        what: String,
    },
    /// A record of a confirmed signal is not what was written, or is missing.
    #[error("the track record is broken: {0}")]
    BrokenRecord(String),
    /// The Merkle tree does not fit the events and records.
    #[error("the tree over the log is broken: {0}")]
    BrokenTree(String),
    /// No space is left.
    #[error("the disk with {} is full", .0.display())]
    Full(PathBuf),
    /// The disk or the file cannot be written.
    #[error("{} is read-only", .0.display())]
    ReadOnly(PathBuf),
    /// Another program has locked the database, or too many readers wait.
    #[error("the signal log is busy: {0}")]
    Busy(String),
    /// An error of the disk or the operating system.
    #[error("{}: {what}", .file.display())]
    Io {
        /// The file or directory.
        file: PathBuf,
        /// The message of the operating system.
        what: String,
    },
    /// There is no log at this path.
    #[error("there is no signal log at {}", .0.display())]
    Missing(PathBuf),
    /// The file exists and is not overwritten.
    #[error("{} exists already and is not overwritten", .0.display())]
    Exists(PathBuf),
    /// The output of an export cannot be written.
    #[error("the export cannot be written: {0}")]
    Output(io::ErrorKind),
    /// The replicated log did not take it: another node writes now, or it could not be reached.
    #[error("the cluster's log did not take it: {0}")]
    NotReplicated(String),
    /// The store is closed.
    #[error("the signal log is closed")]
    Closed,
    /// The writer thread has panicked.
    #[error("the thread that writes the signal log has panicked")]
    Panicked,
}

impl StoreError {
    /// Converts an error of the file system.
    pub(super) fn io(file: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(file.into()),
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly(file.into()),
            _ => Self::Io { file: file.into(), what: error.to_string() },
        }
    }

    /// Converts an error of SQLite, classified by what the operator has to do about it.
    pub(super) fn sqlite(file: &Path, error: &rusqlite::Error) -> Self {
        if let Some(damaged) = damaged_row(error) {
            return Self::Damaged { file: file.into(), what: damaged.to_string() };
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(file.into()),
            Some(ErrorCode::ReadOnly) => Self::ReadOnly(file.into()),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Busy(format!("another program has locked {}", file.display()))
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { file: file.into(), what: error.to_string() }
            }
            // SQLite does not pass on the errno that tells a read-only file system from a failing disk.
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if on_read_only_disk(file) => {
                Self::ReadOnly(file.into())
            }
            Some(_) => Self::Io { file: file.into(), what: with_extended_code(error) },
            // A column of another type or a missing row: this program did not write it.
            None => Self::Damaged { file: file.into(), what: error.to_string() },
        }
    }

    /// Whether the connection remains usable after this error.
    pub(super) const fn spares_connection(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Busy(_))
    }
}

fn on_read_only_disk(file: &Path) -> bool {
    let lock = file.with_file_name(LOCK_FILE);
    let opened = std::fs::OpenOptions::new().append(true).open(lock);
    opened.is_err_and(|error| error.kind() == io::ErrorKind::ReadOnlyFilesystem)
}

/// Adds SQLite's extended code, which tells reading from writing, locking and shared memory,
/// <https://www.sqlite.org/rescode.html>.
fn with_extended_code(error: &rusqlite::Error) -> String {
    match error.sqlite_error() {
        Some(ffi) => format!("{error} (SQLite code {})", ffi.extended_code),
        None => error.to_string(),
    }
}
