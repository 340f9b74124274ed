//! Opens a log: locks the directory, inspects the files before anything changes them, and loads what a start needs.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OpenFlags};

use super::bars::{self, BarsRead};
use super::chain::ChainLink;
use super::error::StoreError;
use super::inspect::{LogCondition, inspect, wal_file, watermark_file};
use super::passing::FindMessageType;
use super::replica::ReplicaPlace;
use super::wal::{self, Scan};
use super::watermark::{Heads, Watermark, WatermarkFile, WatermarkPhase};
use super::{
    DATABASE_FILE, LOCK_FILE, WATERMARK_FILE, compare, meta, outcomes, passing, place, queries, replica, schema,
    upgrade, users,
};
use crate::domain::{Bar, Position, Progress, PrunedMessages, RelayedMessage, Signal, UserNote};

/// How far back bars are read for the detectors of setups.
pub(super) const WARM_UP: TimeDelta = TimeDelta::days(5);
/// The longest trading day: 25 hours when daylight saving time ends.
const MAX_DAY_LENGTH: TimeDelta = TimeDelta::hours(25);
/// Maximum number of recent signals for the hub.
const MAX_RECENT: usize = 1_000;

/// What was loaded from a log when it was opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovered {
    /// The position of the last event.
    pub position: Position,
    /// Every signal that has not ended, oldest first.
    pub pending: Vec<Signal>,
    /// The current state of each signal that changed since `recent_since`, with the sequence number of its last event;
    /// oldest change first. At most the last 1,000.
    pub recent: Vec<(u64, Signal)>,
    /// The kept relayed messages, oldest first.
    pub published: Vec<RelayedMessage>,
    /// Confirmed signals whose record is open, oldest first, with its progress; `None` before the first price.
    pub open_records: Vec<(Signal, Option<Progress>)>,
    /// The minutes of the last days since the last simulated price of their symbol, oldest first for each symbol.
    pub minutes: Vec<Bar>,
    /// All minutes of the last day, including simulated ones, oldest first for each symbol.
    pub day: Vec<Bar>,
    /// Which ordered messages have been pruned.
    pub forgotten: PrunedMessages,
    /// The notes about users, in no order.
    pub users: Vec<UserNote>,
}

/// An opened log, before its writer runs.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: PathBuf,
    /// The lock of the data directory, held while the process writes.
    pub(super) lock: File,
    pub(super) connection: Connection,
    pub(super) heads: Heads,
    pub(super) anchor: ChainLink,
    /// `None` without watermarking.
    pub(super) watermark: Option<WatermarkFile>,
    /// Whether the database is still marked as the complete log.
    pub(super) is_marked_closed: bool,
    /// The number of damaged bars, which were skipped.
    pub(super) damaged_bars: u64,
    pub(super) recovered: Recovered,
    /// Where a copy of a replicated log stands.
    pub(super) place: Option<ReplicaPlace>,
}

/// Whether a watermark is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watermarking {
    /// The default.
    On,
    /// Only in a benchmark, to measure the cost.
    Off,
}

/// What a start loads from a log. All of it is checked.
pub(super) struct Contents {
    pending: Vec<Signal>,
    recent: Vec<(u64, Signal)>,
    published: Vec<RelayedMessage>,
    forgotten: PrunedMessages,
    open_records: Vec<(Signal, Option<Progress>)>,
    minutes: BarsRead,
    day: Vec<Bar>,
    users: Vec<UserNote>,
}

impl Contents {
    pub(super) fn load(
        connection: &Connection,
        (recent_since, message_type): (DateTime<Utc>, FindMessageType),
    ) -> rusqlite::Result<Self> {
        let (published, forgotten) = passing::all(connection, message_type)?;
        Ok(Self {
            pending: queries::pending(connection)?,
            recent: queries::recent(connection, recent_since, MAX_RECENT)?,
            published,
            forgotten,
            open_records: outcomes::open(connection)?,
            minutes: bars::real_minutes(connection, recent_since - WARM_UP, DateTime::<Utc>::MAX_UTC)?,
            day: bars::since(connection, recent_since - MAX_DAY_LENGTH)?,
            users: users::all(connection)?,
        })
    }

    /// Returns the contents of the log that ends at `position`.
    fn at(self, position: Position) -> Recovered {
        let Self { pending, recent, published, forgotten, open_records, minutes, day, users } = self;
        let BarsRead { bars: minutes, .. } = minutes;
        Recovered { position, pending, recent, published, open_records, minutes, day, forgotten, users }
    }

    /// Loads the contents of a log that is being written.
    pub(super) fn recover(
        connection: &Connection,
        wanted: (DateTime<Utc>, FindMessageType),
    ) -> rusqlite::Result<Recovered> {
        let (epoch, seq) = (schema::epoch(connection)?.unwrap_or_default(), schema::head(connection)?.seq);
        Ok(Self::load(connection, wanted)?.at(Position { epoch: epoch.into(), seq }))
    }
}

/// Opens the log in `dir`, creating both if necessary. `backup_at` is the time of the backup before an upgrade, if one is to
/// be made.
pub(super) fn open(
    dir: &Path,
    wanted: (DateTime<Utc>, FindMessageType),
    backup_at: Option<DateTime<Utc>>,
    watermarking: Watermarking,
    replicated: Option<&str>,
) -> Result<Opened, StoreError> {
    place::check_writable(dir)?;
    make_directory(dir)?;
    let lock = lock(dir)?;
    let file = dir.join(DATABASE_FILE);
    let load = |connection: &Connection| Contents::load(connection, wanted);
    let (condition, loaded) = inspect(&file, load)?;
    // A log of an earlier schema is not loaded before it is upgraded.
    if let Some(now) = backup_at.filter(|_| loaded.is_none() && condition != LogCondition::New) {
        upgrade::back_up(&file, now)?;
    }
    let on = watermarking == Watermarking::On;
    let mut watermark = if on { open_watermark(&file, &condition)? } else { None };
    let sqlite = |error| StoreError::sqlite(&file, &error);
    let mut connection = schema::open_writer(&file, OpenFlags::SQLITE_OPEN_CREATE).map_err(sqlite)?;
    schema::migrate(&mut connection, &file)?;
    if let Some(epoch) = replicated {
        replica::begin(&connection, epoch).map_err(sqlite)?;
    }
    let epoch = schema::epoch(&connection).map_err(sqlite)?.unwrap_or_default();
    let heads = compare::heads(&connection).map_err(sqlite)?;
    if on {
        watermark = Some(start_watermark(&file, watermark, &epoch, heads)?);
    }
    let anchor = schema::anchor(&connection).map_err(sqlite)?;
    let contents = match loaded {
        Some(loaded) => loaded,
        None => load(&connection).map_err(sqlite)?,
    };
    let damaged_bars = contents.minutes.damaged;
    let recovered = contents.at(Position { epoch: epoch.into(), seq: heads.events.seq });
    let is_marked_closed = meta::is_closed(&connection).map_err(sqlite)?;
    let place = if replicated.is_some() { replica::place(&connection).map_err(sqlite)? } else { None };
    Ok(Opened { file, lock, connection, heads, anchor, watermark, is_marked_closed, damaged_bars, recovered, place })
}

/// Opens the watermark of the log before the log is changed, and logs what the operator should know.
///
/// Returns `None` when the log has no valid watermark.
fn open_watermark(file: &Path, condition: &LogCondition) -> Result<Option<WatermarkFile>, StoreError> {
    let path = watermark_file(file);
    let io = |error| StoreError::io(&path, &error);
    match condition {
        LogCondition::New => {}
        LogCondition::EarlierRelease => {
            tracing::info!(
                file = %path.display(),
                "the log of an earlier release was migrated; from now on {WATERMARK_FILE} records what was acknowledged last"
            );
        }
        LogCondition::Guarded { watermark, one_copy_damaged } => {
            if *one_copy_damaged {
                tracing::warn!(
                    file = %path.display(),
                    "one of the two copies in the watermark was damaged; both are written anew"
                );
            }
            let mut opened = WatermarkFile::open(&path, watermark.clone()).map_err(io)?;
            if matches!(watermark.phase, WatermarkPhase::Closed(_)) {
                opened.write_through(watermark.heads, WatermarkPhase::Opened).map_err(io)?;
            }
            return Ok(Some(opened));
        }
        LogCondition::Unguarded { unreadable } => {
            let what = if *unreadable { "both copies in it are damaged" } else { "it is missing" };
            tracing::warn!(
                file = %path.display(),
                "the watermark is created again: {what}; the log was closed, so the database alone is complete"
            );
        }
        LogCondition::Replaced { watermark, copied_from } => {
            let copied_from = copied_from.as_ref().filter(|cursor| *cursor.epoch == *watermark.epoch);
            let of_before = format!("{}:{}", watermark.epoch, watermark.heads.events.seq);
            match copied_from {
                Some(copied_from) => tracing::warn!(
                    %of_before,
                    %copied_from,
                    events = watermark.heads.events.seq.saturating_sub(copied_from.seq),
                    "a backup was put in the place of the log; so many events that were acknowledged after it was made are not in it"
                ),
                None => tracing::warn!(
                    %of_before,
                    events = watermark.heads.events.seq,
                    "another log was put in the place of the one that was here; none of the events of that one are in it"
                ),
            }
        }
    }
    Ok(None)
}

/// Writes a watermark that covers all of the log, because everything in it is served from now on.
fn start_watermark(
    file: &Path,
    watermark: Option<WatermarkFile>,
    epoch: &str,
    heads: Heads,
) -> Result<WatermarkFile, StoreError> {
    let (path, wal) = (watermark_file(file), wal_file(file));
    let phase = match wal::scan(&wal, 0).map_err(|error| StoreError::io(&wal, &error))? {
        Scan::Log(frames) if frames.committed.frames > 0 => match watermark.as_ref().map(|kept| kept.last().phase) {
            Some(WatermarkPhase::Checkpointing(before)) if before.salts == frames.committed.salts => {
                WatermarkPhase::Checkpointing(frames.committed)
            }
            _ => WatermarkPhase::Committed(frames.committed),
        },
        Scan::Log(_) | Scan::Empty | Scan::Headless => WatermarkPhase::Opened,
    };
    let kept = match watermark {
        Some(mut watermark) => watermark.write_through(heads, phase).map(|()| watermark),
        None => WatermarkFile::create(&path, Watermark { generation: 1, epoch: epoch.into(), heads, phase }),
    };
    kept.map_err(|error| StoreError::io(&path, &error))
}

/// Makes a missing data directory, for its owner only: it has the messages of users and keys.
fn make_directory(dir: &Path) -> Result<(), StoreError> {
    let io = |error| StoreError::io(dir, &error);
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent).map_err(io)?;
    }
    DirBuilder::new().mode(0o700).create(dir).map_err(io)?;
    // A new directory is durable when its parent is synced; SQLite syncs the files in it.
    match dir.canonicalize().map_err(io)?.parent() {
        Some(parent) => File::open(parent).and_then(|parent| parent.sync_all()).map_err(io),
        None => Ok(()),
    }
}

/// Locks the data directory for this process. The system releases the lock when the process ends, even after a crash.
pub(super) fn lock(dir: &Path) -> Result<File, StoreError> {
    let file = dir.join(LOCK_FILE);
    let lock = File::options().append(true).create(true).open(&file).map_err(|error| StoreError::io(&file, &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(dir.into())),
        Err(TryLockError::Error(error)) => Err(StoreError::io(&file, &error)),
    }
}
