//! Repairs a damaged log by copying its intact part into a new one. The damaged files are moved aside and never
//! deleted.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OpenFlags};

use super::compare::missing_after;
use super::error::StoreError;
use super::inspect::{inspect, read_watermark, wal_file, watermark_file};
use super::open::{self, Contents};
use super::salvage::{self, Salvaged};
use super::verify::verify_all;
use super::wal::WalPosition;
use super::watermark::{Heads, Watermark, WatermarkFile, WatermarkPhase, WatermarkRead};
use super::{DATABASE_FILE, migrations, schema};

/// Whether a repair may change files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairMode {
    /// Only reports what it would do.
    Plan,
    /// Repairs the log; the operator accepts the loss of what is damaged.
    AcceptLoss,
}

/// What a repair found, and what it did or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// What was wrong.
    pub damage: StoreError,
    /// What is kept, in words.
    pub kept: String,
    /// What is lost, a line each.
    pub lost: Vec<String>,
    /// The folder of the damaged files and the new epoch; `None` when nothing was changed.
    pub done: Option<Repaired>,
}

/// The result of a repair that changed files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// The folder that the damaged files were moved to.
    pub moved_to: PathBuf,
    /// The new epoch of the log.
    pub epoch: String,
}

/// Repairs the log in the data directory `dir`. `now` names the folder for the damaged files.
///
/// The repaired log gets a new epoch, so that no cursor of the damaged log points to other events in it. Returns `None`
/// when there is nothing to repair.
///
/// # Errors
/// [`StoreError::InUse`] while a server runs, [`StoreError::Newer`] for a log of a newer version, otherwise an error of
/// the disk. The log is then unchanged.
pub fn repair(dir: &Path, mode: RepairMode, now: DateTime<Utc>) -> Result<Option<Repair>, StoreError> {
    if !dir.is_dir() {
        return Err(StoreError::Missing(dir.into()));
    }
    let lock = open::lock(dir)?;
    let file = dir.join(DATABASE_FILE);
    let Err(damage) = diagnose(&file, now) else { return Ok(None) };
    match damage {
        StoreError::Damaged { .. }
        | StoreError::Lost { .. }
        | StoreError::Broken { .. }
        | StoreError::BrokenRecord(_)
        | StoreError::BrokenTree(_) => {}
        other => return Err(other),
    }
    let acknowledged = match read_watermark(&file)? {
        WatermarkRead::Found { watermark, .. } => Some(watermark.heads),
        WatermarkRead::Missing | WatermarkRead::Unreadable => None,
    };
    let scratch = Scratch(dir.join("orion.repair"));
    scratch.begin()?;
    let target = scratch.0.join(DATABASE_FILE);
    let (salvaged, epoch) = rebuild(&file, &scratch.0, &target, acknowledged.as_ref())?;
    let mut lost = salvaged.lost.clone();
    match &acknowledged {
        Some(acknowledged) => lost.splice(0..0, missing_after(&salvaged.heads, acknowledged)).for_each(drop),
        None => lost.insert(0, "what was acknowledged after that, if anything: it is not known".into()),
    }
    let done = match mode {
        RepairMode::Plan => None,
        RepairMode::AcceptLoss => {
            let moved_to = put_in_place(&file, &target, &salvaged.heads, &epoch, now)?;
            Some(Repaired { moved_to, epoch })
        }
    };
    drop((scratch, lock));
    Ok(Some(Repair { damage, kept: salvaged.kept(), lost, done }))
}

/// Returns what is wrong with the log.
fn diagnose(file: &Path, now: DateTime<Utc>) -> Result<(), StoreError> {
    let (_, loaded) = inspect(file, |connection| Contents::load(connection, (now, |_| None)))?;
    // The next start migrates a log of an earlier schema.
    if loaded.is_none() {
        return Ok(());
    }
    let connection = schema::open_reader(file).map_err(|error| StoreError::sqlite(file, &error))?;
    verify_all(&connection, file).map(drop)
}

/// Builds a new log at `target` from the best readable source.
fn rebuild(
    file: &Path,
    scratch: &Path,
    target: &Path,
    acknowledged: Option<&Heads>,
) -> Result<(Salvaged, String), StoreError> {
    let writing = |error| StoreError::sqlite(target, &error);
    let mut connection = schema::open_scratch(target).map_err(writing)?;
    schema::migrate(&mut connection, target)?;
    let sources = readable(file, scratch);
    // The better one of the database with its write-ahead log and without it.
    let best = sources.iter().max_by_key(|source| salvage::last_whole_event(source));
    let transaction = connection.transaction().map_err(writing)?;
    let salvaged = match best {
        Some(source) => salvage::copy(source, &transaction, acknowledged).map_err(writing)?,
        None => salvage::nothing(&transaction, acknowledged).map_err(writing)?,
    };
    transaction.commit().map_err(writing)?;
    let epoch = schema::epoch(&connection).map_err(writing)?.unwrap_or_default();
    connection.close().map_err(|(_, error)| writing(error))?;
    File::open(target).and_then(|file| file.sync_all()).map_err(|error| StoreError::io(target, &error))?;
    Ok((salvaged, epoch))
}

/// Opens copies of the database, with its write-ahead log and without it, as far as possible.
///
/// They are copies because SQLite writes beside a database that it reads, and because an earlier schema is migrated.
fn readable(file: &Path, scratch: &Path) -> Vec<Connection> {
    let open = |name: &str, with_wal: bool| {
        let copy = scratch.join(name);
        fs::copy(file, &copy).ok()?;
        let wal = wal_file(file);
        if with_wal {
            if !wal.is_file() {
                return None;
            }
            fs::copy(wal, wal_file(&copy)).ok()?;
        }
        let mut connection = schema::open_writer(&copy, OpenFlags::empty()).ok()?;
        let version: usize = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).ok()?;
        if version != migrations::VERSION {
            schema::migrate(&mut connection, &copy).ok()?;
        }
        Some(connection)
    };
    [open("with-wal.db", true), open("alone.db", false)].into_iter().flatten().collect()
}

/// Moves the damaged files aside, and the new log into their place. A crash in between leaves either a log that is
/// still rejected or the new one.
fn put_in_place(
    file: &Path,
    target: &Path,
    heads: &Heads,
    epoch: &str,
    now: DateTime<Utc>,
) -> Result<PathBuf, StoreError> {
    let name = format!("orion.damaged-{}", now.format("%Y%m%d-%H%M%S%3f"));
    let aside = file.with_file_name(name);
    let io = |error| StoreError::io(&aside, &error);
    fs::create_dir(&aside).map_err(io)?;
    let place = |file: &Path| aside.join(file.file_name().unwrap_or_default());
    let (wal, watermark) = (wal_file(file), watermark_file(file));
    if watermark.is_file() {
        fs::copy(&watermark, place(&watermark)).map_err(io)?;
    }
    if wal.is_file() {
        fs::rename(&wal, place(&wal)).map_err(io)?;
    }
    let mut shared = file.as_os_str().to_owned();
    shared.push("-shm");
    // It has no data of its own, and need not exist.
    fs::remove_file(PathBuf::from(shared)).ok();
    if file.exists() {
        fs::hard_link(file, place(file)).or_else(|_| fs::copy(file, place(file)).map(drop)).map_err(io)?;
    }
    fs::rename(target, file).map_err(io)?;
    let whole = Watermark {
        generation: 1,
        epoch: epoch.into(),
        heads: *heads,
        phase: WatermarkPhase::Closed(WalPosition::default()),
    };
    WatermarkFile::create(&watermark, whole).map_err(|error| StoreError::io(&watermark, &error))?;
    for folder in [Some(aside.as_path()), file.parent()].into_iter().flatten() {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| StoreError::io(folder, &error))?;
    }
    Ok(aside)
}

/// A temporary folder; removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn begin(&self) -> Result<(), StoreError> {
        // An interrupted repair may have left it.
        fs::remove_dir_all(&self.0).ok();
        fs::create_dir(&self.0).map_err(|error| StoreError::io(&self.0, &error))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
