//! The one thread that writes: group commits, and between them bars, pruning, and looking whether a disk has healed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::watch;

use super::chain::Link;
use super::commit::{self, Probe};
use super::error::StoreError;
use super::faults::Faults;
use super::lanes::{Append, End, Lanes, Receipt, Wanted, Work};
use super::{Options, open, outcomes, passing, queries, schema, users};
use crate::domain::{Bar, Signal, SignalState};
use crate::telemetry::Metrics;

/// While the disk refuses, it is asked again this often even if nobody pushes.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks for something to prune.
const PRUNE_INTERVAL: Duration = Duration::from_hours(1);
/// Between two chunks that are pruned: at least half of the disk's time stays with appends.
const PRUNE_PAUSE: Duration = Duration::from_millis(20);

/// Whether the log can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// The last attempt succeeded.
    Ok,
    /// The last attempt failed.
    Failing {
        /// How.
        error: StoreError,
        /// Since when no attempt has succeeded.
        since: DateTime<Utc>,
    },
}

/// What the writer shares with those who use it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) lanes: Lanes,
    pub(super) health: Mutex<Health>,
    pub(super) faults: Faults,
    /// Becomes true when the writer has ended.
    pub(super) ended: watch::Sender<bool>,
}

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) options: Options,
    pub(super) file: PathBuf,
    pub(super) epoch: Arc<str>,
    /// The last event that was committed. Numbers are given from here, so that a failed transaction leaves no gap.
    pub(super) head: Link,
    /// The last record that was committed.
    pub(super) records: Link,
    /// See [`Reader::records_version`](super::Reader::records_version).
    pub(super) records_version: Arc<AtomicU64>,
    /// How many events were pruned from the front, ever.
    pub(super) pruned: u64,
    /// The last published message that was committed.
    pub(super) published: u64,
    /// `None` after an error that a connection may not survive; the next attempt opens another.
    pub(super) connection: Option<Connection>,
    /// Which files the connection has open.
    pub(super) identity: Identity,
    pub(super) prune_at: DateTime<Utc>,
    /// Messages that are still to be pruned for their number; counted once until everything is pruned.
    pub(super) excess_messages: Option<u64>,
    /// Last, because it has to go after the connection.
    pub(super) lock: File,
}

/// Which files a name stands for, database and write-ahead log: device and number of each, where the system has such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity([Option<(u64, u64)>; 2]);

impl Identity {
    pub(super) fn of(file: &Path) -> Self {
        Self([file, &open::wal_file(file)].map(inode))
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

/// Says that the writer has ended, also when it unwinds.
struct Farewell(Arc<Shared>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.lanes.abandon(if std::thread::panicking() { End::Panicked } else { End::Closed });
        self.0.ended.send_replace(true);
    }
}

impl Writer {
    /// Writes until the lanes are closed and empty.
    pub(super) fn run(self) {
        let farewell = Farewell(Arc::clone(&self.shared));
        // Owned by this frame, so that the lock is free by the time of the farewell.
        let mut writer = self;
        writer.work();
        writer.close();
        drop(farewell);
    }

    fn work(&mut self) {
        loop {
            let healthy = *self.shared.health.lock() == Health::Ok;
            let (patience, wanted) =
                if healthy { (self.until_pruning(), Wanted::Everything) } else { (PROBE_INTERVAL, Wanted::Appends) };
            match self.shared.lanes.next(patience, wanted) {
                Work::Appends(appends) => self.append(appends),
                Work::Bars(bars) => self.save(&bars),
                Work::Nothing if healthy => self.prune(),
                Work::Nothing => self.probe(),
                Work::End => return,
            }
        }
    }

    /// One transaction for everybody who waits, and everybody's answer after it.
    fn append(&mut self, appends: Vec<Append>) {
        let (head, records, published) = (self.head, self.records, self.published);
        let stored_at = (self.options.clock)();
        let kept = self.options.messages_per_user;
        let timer = self.metrics.store_commit_seconds.start_timer();
        let committed = self.transact(|transaction| {
            let signals = appends.iter().flat_map(|append| &append.signals);
            let head = commit::append(transaction, head, signals, stored_at)?;
            users::note(transaction, appends.iter().flat_map(|append| &append.notes))?;
            let ended = appends.iter().flat_map(|append| &append.outcomes);
            let records = outcomes::append(transaction, records, ended, stored_at)?;
            outcomes::keep(transaction, appends.iter().flat_map(|append| &append.open))?;
            let messages = appends.iter().flat_map(|append| &append.published);
            Ok((head, records, passing::append(transaction, published, messages, kept)?))
        });
        match committed {
            Ok((new_head, new_records, new_published)) => {
                timer.observe_duration();
                self.metrics.store_batch_size.observe((new_head.seq - head.seq + new_published - published) as f64);
                (self.head, self.records, self.published) = (new_head, new_records, new_published);
                let confirmed = |signal: &Arc<Signal>| signal.state == SignalState::Confirmed;
                if new_records != records || appends.iter().flat_map(|append| &append.signals).any(confirmed) {
                    self.records_version.fetch_add(1, Ordering::Release);
                }
                self.measure();
                let mut receipt = Receipt { first_signal: head.seq + 1, first_published: published + 1 };
                for append in appends {
                    // Whoever stopped waiting finds it in the log.
                    append.answer.send(Ok(receipt)).ok();
                    receipt.first_signal += append.signals.len() as u64;
                    receipt.first_published += append.published.len() as u64;
                }
            }
            Err(error) => {
                timer.stop_and_discard();
                for append in appends {
                    append.answer.send(Err(error.clone())).ok();
                }
            }
        }
    }

    fn save(&mut self, bars: &[Bar]) {
        if self.transact(|transaction| commit::save_bars(transaction, bars)).is_err() {
            self.metrics.store_bars_dropped_total.inc_by(self.shared.lanes.put_back(bars));
        }
    }

    fn until_pruning(&self) -> Duration {
        let left = (self.prune_at - (self.options.clock)()).to_std().unwrap_or_default();
        // A clock that was set back must not put it off.
        if left > PRUNE_INTERVAL { Duration::ZERO } else { left }
    }

    fn prune(&mut self) {
        let now = (self.options.clock)();
        let Options { signal_retention, bar_retention, message_retention, max_messages, .. } = self.options;
        let before = |kept| {
            let kept = TimeDelta::from_std(kept).unwrap_or(TimeDelta::MAX);
            now.checked_sub_signed(kept).unwrap_or(DateTime::<Utc>::MIN_UTC)
        };
        let mut excess = self.excess_messages;
        let pruned = self.transact(|transaction| {
            let kept_since = before(signal_retention);
            let events = commit::prune_events(transaction, kept_since)?;
            // One or the other, so that a chunk stays a chunk.
            if events > 0 {
                return Ok((events, events));
            }
            let bars = commit::prune_bars(transaction, now, bar_retention)?;
            if bars > 0 {
                return Ok((bars, events));
            }
            let too_many = match excess {
                Some(excess) => excess,
                None => passing::excess(transaction, max_messages)?,
            };
            let messages = passing::prune_messages(transaction, before(message_retention), too_many)?;
            excess = Some(too_many.saturating_sub(messages));
            if messages > 0 {
                return Ok((messages, events));
            }
            let passing = passing::prune(transaction)? + users::prune(transaction)?;
            Ok((passing + outcomes::prune(transaction, kept_since)?, events))
        });
        self.pruned += pruned.as_ref().map_or(0, |(_, events)| *events);
        let is_done = matches!(pruned, Ok((0, _)));
        if !is_done {
            self.records_version.fetch_add(1, Ordering::Release);
        }
        self.excess_messages = excess.filter(|_| pruned.is_ok() && !is_done);
        self.prune_at = now + if is_done { PRUNE_INTERVAL } else { PRUNE_PAUSE };
        self.measure();
    }

    fn probe(&mut self) {
        if self.transact(|transaction| commit::probe(transaction, Probe::Write)).is_ok() {
            // Health was decided by the writing; what could not be removed is replaced by the next probe.
            self.transact(|transaction| commit::probe(transaction, Probe::Remove)).ok();
        }
    }

    /// Runs `work` in one transaction and notes how that went.
    fn transact<T>(&mut self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let outcome = self.attempt(work);
        match &outcome {
            Ok(_) => self.succeeded(),
            Err(error) => self.failed(error),
        }
        outcome
    }

    fn attempt<T>(&mut self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        // SQLite writes on happily into a file that was removed or replaced, and so would we acknowledge into nothing.
        if self.connection.is_some() && Identity::of(&self.file) != self.identity {
            self.connection = None;
        }
        if self.connection.is_none() {
            self.connection = Some(self.reopen()?);
            self.identity = Identity::of(&self.file);
        }
        let connection = self.connection.as_mut().ok_or(StoreError::Closed)?;
        let faults = &self.shared.faults;
        let run = || -> rusqlite::Result<T> {
            faults.tell(connection)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            faults.burden(&transaction)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run().map_err(|error| StoreError::sqlite(&self.file, &error))
    }

    /// Opens the log again after an error, and makes sure that it is this log and ends where it should.
    fn reopen(&self) -> Result<Connection, StoreError> {
        let sqlite = |error| StoreError::sqlite(&self.file, &error);
        let mut connection = schema::open_writer(&self.file, OpenFlags::empty()).map_err(sqlite)?;
        let epoch = schema::epoch(&connection).map_err(sqlite)?;
        let head = schema::head(&connection).map_err(sqlite)?;
        let records = outcomes::head(&connection).map_err(sqlite)?;
        let published = passing::head(&connection).map_err(sqlite)?;
        let is_ours = epoch.as_deref() == Some(&*self.epoch);
        if is_ours && (head, records) == (self.head, self.records) && published <= self.published {
            return Ok(connection);
        }
        let here = match queries::link_at(&connection, self.head.seq).map_err(sqlite)? {
            Some(link) => link,
            None => schema::anchor(&connection).map_err(sqlite)?,
        };
        if !is_ours || here != self.head {
            let what = "it was removed or replaced while the server ran; restart the server".to_owned();
            return Err(StoreError::Io { file: self.file.clone(), what });
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
        commit::rewind(&transaction, self.head).map_err(sqlite)?;
        outcomes::rewind(&transaction, self.records).map_err(sqlite)?;
        passing::rewind(&transaction, self.published).map_err(sqlite)?;
        transaction.commit().map_err(sqlite)?;
        Ok(connection)
    }

    fn succeeded(&self) {
        let mut health = self.shared.health.lock();
        if let Health::Failing { since, .. } = &*health {
            tracing::info!(%since, "the signal log can be written again");
            *health = Health::Ok;
        }
    }

    fn failed(&mut self, error: &StoreError) {
        self.metrics.store_errors_total.inc();
        // SQLite rolls back by itself or when the transaction is dropped. Where even that failed, only closing helps.
        if !error.spares_connection() || self.connection.as_ref().is_some_and(|connection| !connection.is_autocommit())
        {
            self.connection = None;
        }
        let mut health = self.shared.health.lock();
        let since = match &*health {
            Health::Failing { since, .. } => *since,
            Health::Ok => {
                tracing::error!(%error, "the signal log cannot be written");
                (self.options.clock)()
            }
        };
        *health = Health::Failing { error: error.clone(), since };
    }

    fn measure(&self) {
        let bytes = open::length(&self.file).unwrap_or(0) + open::length(&open::wal_file(&self.file)).unwrap_or(0);
        self.metrics.store_log_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.metrics.log_position.set(self.head.seq as i64);
        // Numbers have no gaps.
        self.metrics.store_events.set((self.head.seq - self.pruned) as i64);
    }

    fn close(self) {
        if let Some(connection) = self.connection {
            // So that the file alone is the whole log while nobody has it open. Readers may hold it up; it is safe either
            // way.
            let checkpoint = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            if let Err(error) = checkpoint.and_then(|()| connection.close().map_err(|(_, error)| error)) {
                tracing::warn!(%error, "the signal log was closed without moving its write-ahead log into the database");
            }
        }
        drop(self.lock);
    }
}
