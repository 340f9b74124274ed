//! A transaction of the writer, from the files that it goes into to the watermark that notes it, and the checkpoints.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::StoreError;
use super::inspect::{length, wal_file, watermark_file};
use super::wal::{WalFollower, WalPosition};
use super::watermark::{Heads, Phase, WatermarkFile};
use super::writer::Writer;
use super::{commit, compare, meta, outcomes, passing, queries, schema};

/// Frames in the write-ahead log, of a page of 4 KiB each, at which it is moved into the database.
pub(super) const CHECKPOINT_FRAMES: u32 = 1_000;
/// How many more frames there are before another attempt, when readers or the disk did not let all of it be moved.
const CHECKPOINT_RETRY_FRAMES: u32 = 250;
/// Which files a name stands for: device and number of each, where the system has such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    /// Of the database and its write-ahead log.
    log: [Option<(u64, u64)>; 2],
    watermark: Option<(u64, u64)>,
}

impl Identity {
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
    /// Runs `work` in one transaction and notes in the watermark what it has committed.
    pub(super) fn attempt<T>(
        &mut self,
        work: impl FnOnce(&Connection, &mut Heads) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.stay_with_the_files()?;
        let mut heads = self.heads;
        let connection = self.connection.as_mut().ok_or(StoreError::Closed)?;
        let faults = &self.shared.faults;
        let is_marked_closed = self.is_marked_closed;
        let run = || -> rusqlite::Result<T> {
            faults.tell(connection)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            faults.burden(&transaction)?;
            if is_marked_closed {
                meta::remove(&transaction, meta::CLOSED)?;
            }
            let value = work(&transaction, &mut heads)?;
            transaction.commit()?;
            Ok(value)
        };
        let value = run().map_err(|error| StoreError::sqlite(&self.file, &error))?;
        self.note_committed(heads).inspect_err(|_| {
            // It is committed, and nobody is told so: the next connection takes it back.
            self.connection = None;
        })?;
        self.heads = heads;
        Ok(value)
    }

    /// Makes sure that what is written goes into the files that have the names, and none is acknowledged into nothing.
    fn stay_with_the_files(&mut self) -> Result<(), StoreError> {
        let found = Identity::of(&self.file);
        // SQLite writes on happily into a file that was removed or replaced.
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
        }
        if self.connection.is_none() {
            self.connection = Some(self.reopen()?);
        }
        self.identity = Identity::of(&self.file);
        Ok(())
    }

    /// Notes in the watermark what has just been committed, before anybody is told.
    fn note_committed(&mut self, heads: Heads) -> Result<(), StoreError> {
        let Some(watermark) = &mut self.watermark else { return Ok(()) };
        let position = last_commit(&mut self.follower, &self.file)?;
        let phase = phase(position, self.is_half_checkpointed);
        watermark.write(heads, phase).map_err(|error| StoreError::io(watermark.path(), &error))?;
        if self.is_marked_closed {
            // The database alone must not say any more that it is all of the log.
            self.checkpoint(heads)?;
            self.is_marked_closed = self.is_half_checkpointed;
        }
        Ok(())
    }

    /// Moves the write-ahead log into the database when it has grown long. Nobody waits for it.
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

    /// Moves the write-ahead log into the database, as far as readers let it, and has the watermark say so meanwhile.
    fn checkpoint(&mut self, heads: Heads) -> Result<(), StoreError> {
        let position = last_commit(&mut self.follower, &self.file)?;
        let (Some(watermark), Some(connection)) = (&mut self.watermark, &self.connection) else { return Ok(()) };
        let io = |error| StoreError::io(&watermark_file(&self.file), &error);
        watermark.write_through(heads, Phase::Checkpointing(position)).map_err(io)?;
        // A full disk does not let the database grow; the write-ahead log has all of it.
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
            // As SQLite does by itself, unasked and unheard.
            checkpoint_passive(connection).ok();
        }
    }

    /// Opens the log again after an error, and makes sure that it is this log and ends where it should.
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
            // Before anything is taken back, so that the watermark is never ahead of the log.
            let io = |error| StoreError::io(&watermark_file(&self.file), &error);
            watermark.write_through(wanted, Phase::Opened).map_err(io)?;
        }
        if !ends_there {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
            commit::rewind(&transaction, wanted.events).map_err(sqlite)?;
            outcomes::rewind(&transaction, wanted.records).map_err(sqlite)?;
            passing::rewind(&transaction, wanted.published).map_err(sqlite)?;
            transaction.commit().map_err(sqlite)?;
        }
        self.is_marked_closed = meta::is_closed(&connection).map_err(sqlite)?;
        Ok(connection)
    }

    /// Moves everything into the database, has it say that it is all of the log, and then the watermark, too.
    pub(super) fn mark_closed(&mut self) -> Result<(), StoreError> {
        self.attempt(|transaction, _| meta::set(transaction, meta::CLOSED, 1))?;
        self.checkpoint(self.heads)?;
        let position = last_commit(&mut self.follower, &self.file)?;
        if let Some(watermark) = self.watermark.as_mut().filter(|_| !self.is_half_checkpointed) {
            let closed = watermark.write_through(self.heads, Phase::Closed(position));
            closed.map_err(|error| StoreError::io(watermark.path(), &error))?;
        }
        Ok(())
    }
}

/// Where the last commit is in the write-ahead log.
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

fn phase(position: WalPosition, is_half_checkpointed: bool) -> Phase {
    if is_half_checkpointed { Phase::Checkpointing(position) } else { Phase::Committed(position) }
}

/// Moves the write-ahead log into the database; whether all of it is there.
fn checkpoint_passive(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let (busy, frames, moved): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(busy == 0 && frames == moved)
    })
}
