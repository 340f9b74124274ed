//! The transactions of the writer, including the check of the files, the watermark, and the checkpoints.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::StoreError;
use super::inspect::{length, wal_file, watermark_file};
use super::wal::{WalFollower, WalPosition};
use super::watermark::{Heads, WatermarkFile, WatermarkPhase};
use super::writer::Writer;
use super::{commit, compare, meta, outcomes, passing, queries, replica, schema, tree};

/// The number of frames (pages of 4 KiB) in the write-ahead log at which a checkpoint is made.
pub(super) const CHECKPOINT_FRAMES: u32 = 1_000;
/// Additional frames before the next attempt when a checkpoint could not move all of them.
const CHECKPOINT_RETRY_FRAMES: u32 = 250;
/// How often the log looks whether reads have ended when it is closed, and the pause before each look.
const READS_END_LOOKS: u32 = 50;
const READS_END_PAUSE: Duration = Duration::from_millis(20);

/// Identifies the open files by device and inode, where the system has these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileIdentity {
    /// The database and its write-ahead log.
    log: [Option<(u64, u64)>; 2],
    watermark: Option<(u64, u64)>,
}

impl FileIdentity {
    pub(super) fn of(file: &Path) -> Self {
        Self { log: [file, &wal_file(file)].map(inode), watermark: inode(&watermark_file(file)) }
    }
}

#[cfg(unix)]
fn inode(file: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(file).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn inode(_: &Path) -> Option<(u64, u64)> {
    None
}

impl Writer {
    /// Runs `work` in one transaction, and writes the watermark after the commit.
    pub(super) fn attempt<T>(
        &mut self,
        work: impl FnOnce(&Connection, &mut Heads) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.ensure_same_files()?;
        let mut heads = self.heads;
        let connection = self.connection.as_mut().ok_or(StoreError::Closed)?;
        let faults = &self.shared.faults;
        let is_marked_closed = self.is_marked_closed;
        let run = || -> rusqlite::Result<T> {
            faults.apply(connection)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            faults.fill_disk(&transaction)?;
            if is_marked_closed {
                meta::remove(&transaction, meta::CLOSED)?;
            }
            let value = work(&transaction, &mut heads)?;
            transaction.commit()?;
            Ok(value)
        };
        let value = run().map_err(|error| StoreError::sqlite(&self.file, &error))?;
        self.write_watermark(heads).inspect_err(|_| {
            // The commit is not acknowledged, so the next connection rewinds it.
            self.connection = None;
        })?;
        self.heads = heads;
        Ok(value)
    }

    /// Ensures that the open files are still those with the log's names, so that nothing is acknowledged that goes into
    /// a deleted file.
    fn ensure_same_files(&mut self) -> Result<(), StoreError> {
        let mut found = FileIdentity::of(&self.file);
        // SQLite goes on writing into a file that was removed or replaced.
        if self.connection.is_some() && found.log != self.identity.log {
            self.connection = None;
        }
        if found.watermark != self.identity.watermark
            && let Some(kept) = &self.watermark
        {
            let path = kept.path().to_owned();
            tracing::warn!(
                file = %path.display(),
                "the watermark was removed or replaced while the server ran; it is written anew"
            );
            let anew = WatermarkFile::create(&path, kept.last().clone());
            self.watermark = Some(anew.map_err(|error| StoreError::io(&path, &error))?);
            found.watermark = inode(&path);
        }
        if self.connection.is_none() {
            self.connection = Some(self.reopen()?);
            found.log = FileIdentity::of(&self.file).log;
        }
        // What was not made anew is what was looked at: a file that was replaced since is found the next time.
        self.identity = found;
        Ok(())
    }

    /// Writes the watermark after a commit and before its acknowledgement.
    fn write_watermark(&mut self, heads: Heads) -> Result<(), StoreError> {
        let Some(watermark) = &mut self.watermark else { return Ok(()) };
        let position = last_commit(&mut self.follower, &self.file)?;
        let phase = phase(position, self.is_half_checkpointed);
        watermark.write(heads, phase).map_err(|error| StoreError::io(watermark.path(), &error))?;
        if self.is_marked_closed {
            // The database is no longer the complete log, so the mark has to leave the database file, too.
            self.checkpoint(heads)?;
            self.is_marked_closed = self.is_half_checkpointed;
        }
        Ok(())
    }

    /// Makes a checkpoint when the write-ahead log is long enough. No append waits at this point.
    pub(super) fn checkpoint_when_long(&mut self) {
        if self.connection.is_none() {
            return;
        }
        if self.watermark.is_none() {
            self.checkpoint_without_watermark();
            return;
        }
        let long =
            last_commit(&mut self.follower, &self.file).is_ok_and(|position| position.frames >= self.checkpoint_at);
        if long && let Err(error) = self.checkpoint(self.heads) {
            self.failed(&error);
        }
    }

    /// Moves the write-ahead log into the database as far as readers allow it. The watermark marks the checkpoint while
    /// it runs.
    fn checkpoint(&mut self, heads: Heads) -> Result<(), StoreError> {
        let position = last_commit(&mut self.follower, &self.file)?;
        let (Some(watermark), Some(connection)) = (&mut self.watermark, &self.connection) else { return Ok(()) };
        let io = |error| StoreError::io(&watermark_file(&self.file), &error);
        watermark.write_through(heads, WatermarkPhase::Checkpointing(position)).map_err(io)?;
        // A full disk can prevent it, but the write-ahead log still has everything.
        self.is_half_checkpointed = !checkpoint_passive(connection).unwrap_or(false);
        let phase = phase(position, self.is_half_checkpointed);
        watermark.write_through(heads, phase).map_err(io)?;
        self.checkpoint_at =
            if self.is_half_checkpointed { position.frames + CHECKPOINT_RETRY_FRAMES } else { CHECKPOINT_FRAMES };
        Ok(())
    }

    fn checkpoint_without_watermark(&mut self) {
        let wal = length(&wal_file(&self.file)).unwrap_or(0);
        if let Some(connection) = &self.connection
            && wal > u64::from(CHECKPOINT_FRAMES) * 4_120
        {
            // SQLite's automatic checkpoint ignores errors, too.
            checkpoint_passive(connection).ok();
        }
    }

    /// Reopens the log after an error, and checks that it is the same log with the expected heads.
    fn reopen(&mut self) -> Result<Connection, StoreError> {
        let sqlite = |error| StoreError::sqlite(&self.file, &error);
        let mut connection = schema::open_writer(&self.file, OpenFlags::empty()).map_err(sqlite)?;
        let epoch = schema::epoch(&connection).map_err(sqlite)?;
        let found = compare::heads(&connection).map_err(sqlite)?;
        let is_ours = epoch.as_deref() == Some(&*self.epoch);
        let wanted = self.heads;
        let ends_there = (found.events, found.records) == (wanted.events, wanted.records)
            && found.published <= wanted.published
            && found.notes == wanted.notes;
        if !(is_ours && ends_there) {
            let is_short = compare::missing_after(&found, &wanted).is_some();
            let here = match queries::link_at(&connection, wanted.events.seq).map_err(sqlite)? {
                Some(link) => link,
                None => schema::anchor(&connection).map_err(sqlite)?,
            };
            if !is_ours || is_short || here != wanted.events {
                let what = "it was removed or replaced while the server ran; restart the server".to_owned();
                return Err(StoreError::Io { file: self.file.clone(), what });
            }
        }
        self.follower = None;
        if let Some(watermark) = &mut self.watermark {
            // Before the rewind, so that the watermark is never ahead of the log.
            let io = |error| StoreError::io(&watermark_file(&self.file), &error);
            watermark.write_through(wanted, WatermarkPhase::Opened).map_err(io)?;
        }
        if !ends_there {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
            commit::rewind(&transaction, wanted.events).map_err(sqlite)?;
            outcomes::rewind(&transaction, wanted.records).map_err(sqlite)?;
            tree::rewind(&transaction, wanted.events.seq, wanted.records.seq).map_err(sqlite)?;
            passing::rewind(&transaction, wanted.published).map_err(sqlite)?;
            if let Some(place) = &self.place {
                replica::set_place(&transaction, place).map_err(sqlite)?;
            }
            transaction.commit().map_err(sqlite)?;
        }
        self.is_marked_closed = meta::is_closed(&connection).map_err(sqlite)?;
        Ok(connection)
    }

    /// Marks the log as closed: moves everything into the database, and marks first the database and then the
    /// watermark.
    pub(super) fn mark_closed(&mut self) -> Result<(), StoreError> {
        self.attempt(|transaction, _| meta::set(transaction, meta::CLOSED, 1))?;
        self.checkpoint(self.heads)?;
        // A read that has begun keeps some of it in the write-ahead log until it ends.
        for _ in 0..READS_END_LOOKS {
            if !self.is_half_checkpointed {
                break;
            }
            std::thread::sleep(READS_END_PAUSE);
            self.checkpoint(self.heads)?;
        }
        let position = last_commit(&mut self.follower, &self.file)?;
        if let Some(watermark) = self.watermark.as_mut().filter(|_| !self.is_half_checkpointed) {
            let closed = watermark.write_through(self.heads, WatermarkPhase::Closed(position));
            closed.map_err(|error| StoreError::io(watermark.path(), &error))?;
        }
        Ok(())
    }
}

/// Returns the position of the last commit in the write-ahead log.
fn last_commit(follower: &mut Option<WalFollower>, file: &Path) -> Result<WalPosition, StoreError> {
    let wal = wal_file(file);
    let io = |error| StoreError::io(&wal, &error);
    if follower.is_none() {
        *follower = WalFollower::open(&wal).map_err(io)?;
    }
    let position = match follower {
        Some(follower) => follower.last_commit().map_err(io)?,
        None => None,
    };
    position.ok_or_else(|| StoreError::Io { file: wal.clone(), what: "the last commit is not in it".into() })
}

fn phase(position: WalPosition, is_half_checkpointed: bool) -> WatermarkPhase {
    if is_half_checkpointed { WatermarkPhase::Checkpointing(position) } else { WatermarkPhase::Committed(position) }
}

/// Moves the write-ahead log into the database. Returns whether all of it was moved.
fn checkpoint_passive(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let (busy, frames, moved): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(busy == 0 && frames == moved)
    })
}
