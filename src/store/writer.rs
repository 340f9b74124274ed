//! The writer thread: group commits of appends, and between them bars, pruning, and probes of a failed disk.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::watch;

use super::commit::{self, ProbeStep};
use super::error::StoreError;
use super::faults::Faults;
use super::inspect::{self, wal_file};
use super::replica::{LogHeads, ReplicaPlace, Replicated};
use super::transact::FileIdentity;
use super::wal::WalFollower;
use super::watermark::{Heads, WatermarkFile};
use super::write_queue::{AcceptedWork, Append, AppendReceipt, Work, WriteQueue, WriterEnd};
use super::{Options, bars, outcomes, passing, tree, users};
use crate::domain::{Bar, Signal, SignalState};
use crate::telemetry::{LogLimit, Metrics};

/// How often a failed disk is probed when no append arrives.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// The interval between two prunings.
const PRUNE_INTERVAL: Duration = Duration::from_hours(1);
/// The pause between two chunks of a pruning. At least half of the disk's time remains for appends.
const PRUNE_PAUSE: Duration = Duration::from_millis(20);

/// Whether the log can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// The last attempt succeeded.
    Ok,
    /// The last attempt failed.
    Failing {
        /// The error.
        error: StoreError,
        /// When attempts began to fail.
        since: DateTime<Utc>,
    },
}

/// The state that the writer shares with the [`Store`](super::Store).
#[derive(Debug)]
pub(super) struct WriterShared {
    pub(super) queue: WriteQueue,
    pub(super) health: Mutex<Health>,
    pub(super) faults: Faults,
    /// The heads of what was committed, for readers of other threads.
    pub(super) heads: Mutex<LogHeads>,
    /// Becomes `true` when the writer has ended.
    pub(super) ended: watch::Sender<bool>,
}

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) shared: Arc<WriterShared>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) options: Options,
    pub(super) file: PathBuf,
    pub(super) epoch: Arc<str>,
    /// The heads of what was committed. New numbers continue from here, so that a failed transaction leaves no gap.
    pub(super) heads: Heads,
    /// Where a copy of a replicated log stands; `None` of a log of this process alone.
    pub(super) place: Option<ReplicaPlace>,
    /// See [`Reader::records_version`](super::Reader::records_version).
    pub(super) records_version: Arc<AtomicU64>,
    /// The total number of events that were pruned from the front.
    pub(super) pruned: u64,
    /// `None` after an error that a connection may not survive; the next attempt opens a new one.
    pub(super) connection: Option<Connection>,
    /// Identifies the files that the connection has open.
    pub(super) identity: FileIdentity,
    /// The watermark; `None` without watermarking.
    pub(super) watermark: Option<WatermarkFile>,
    /// Tracks the last commit in the write-ahead log.
    pub(super) follower: Option<WalFollower>,
    /// Whether the database is marked as the complete log; the next commit has to remove the mark.
    pub(super) is_marked_closed: bool,
    /// Whether a checkpoint has moved only a part of the write-ahead log into the database.
    pub(super) is_half_checkpointed: bool,
    /// The number of frames in the write-ahead log at which the next checkpoint is made.
    pub(super) checkpoint_at: u32,
    /// Limits the log lines about failed attempts, of which there is one a second while the disk fails.
    pub(super) failures_log: LogLimit,
    pub(super) prune_at: DateTime<Utc>,
    /// The number of excess messages that are still to be pruned; counted once per pruning.
    pub(super) excess_messages: Option<u64>,
    /// The last field, because it has to be dropped after the connection.
    pub(super) lock: File,
}

/// Reports the end of the writer when it is dropped, also after a panic.
struct EndGuard(Arc<WriterShared>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.queue.abandon(if std::thread::panicking() { WriterEnd::Panicked } else { WriterEnd::Closed });
        self.0.ended.send_replace(true);
    }
}

impl Writer {
    /// Writes until the queue is closed and empty.
    pub(super) fn run(self) {
        let guard = EndGuard(Arc::clone(&self.shared));
        // Owned by this frame, so that the directory's lock is released before the guard reports the end.
        let mut writer = self;
        writer.work();
        writer.close();
        drop(guard);
    }

    fn work(&mut self) {
        loop {
            let healthy = *self.shared.health.lock() == Health::Ok;
            let (timeout, wanted) = if healthy {
                (self.until_pruning(), AcceptedWork::Everything)
            } else {
                (PROBE_INTERVAL, AcceptedWork::Appends)
            };
            match self.shared.queue.next(timeout, wanted) {
                Work::Appends(appends) => self.append(appends),
                Work::Bars(bars) => self.save(&bars),
                Work::Nothing if healthy => self.prune(),
                Work::Nothing => self.probe(),
                Work::WriterEnd => return,
            }
            self.checkpoint_when_long();
        }
    }

    /// Writes the appends in one transaction, then answers all of them.
    fn append(&mut self, appends: Vec<Append>) {
        let before = self.heads;
        let stored_at = (self.options.clock)();
        let (kept, retention) = (self.options.messages_per_user, self.options.signal_retention);
        let mut pruned = 0;
        let timer = self.metrics.store_commit_seconds.start_timer();
        let committed = self.transact(|transaction, heads| {
            for Append { entries, replicated, .. } in &appends {
                let stored_at = replicated.as_ref().and_then(Replicated::stored_at).unwrap_or(stored_at);
                if let Some(replicated) = replicated {
                    replicated.store(transaction, heads)?;
                    pruned += replicated.prune(transaction, retention)?;
                }
                let mut tree = tree::end(transaction)?;
                let events = commit::append(transaction, heads.events, &mut tree, entries.signals.iter(), stored_at)?;
                heads.events = events;
                if !entries.notes.is_empty() {
                    users::upsert_notes(transaction, entries.notes.iter())?;
                    heads.notes = users::last_note(transaction)?;
                }
                let ended = entries.outcomes.iter();
                heads.records = outcomes::append(transaction, heads.records, &mut tree, ended, stored_at)?;
                outcomes::update_open(transaction, entries.open.iter())?;
                heads.published = passing::append(transaction, heads.published, entries.published.iter(), kept)?;
            }
            Ok(())
        });
        match committed {
            Ok(()) => {
                timer.observe_duration();
                self.pruned += pruned;
                let (events, messages) =
                    (self.heads.events.seq - before.events.seq, self.heads.published - before.published);
                self.metrics.store_batch_size.observe((events + messages) as f64);
                let confirmed = |signal: &Arc<Signal>| signal.state == SignalState::Confirmed;
                if self.heads.records != before.records
                    || appends.iter().flat_map(|append| &append.entries.signals).any(confirmed)
                {
                    self.records_version.fetch_add(1, Ordering::Release);
                }
                self.measure();
                *self.shared.heads.lock() = self.heads.into();
                if let Some(replicated) = appends.iter().rev().find_map(|append| append.replicated.as_ref()) {
                    self.place = Some(replicated.place.clone());
                }
                let mut receipt =
                    AppendReceipt { first_signal: before.events.seq + 1, first_published: before.published + 1 };
                for append in appends {
                    // The caller may have stopped waiting.
                    append.answer.send(Ok(receipt)).ok();
                    receipt.first_signal += append.entries.signals.len() as u64;
                    receipt.first_published += append.entries.published.len() as u64;
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

    fn save(&mut self, minutes: &[Bar]) {
        match self.transact(|transaction, _| bars::save(transaction, minutes)) {
            Ok(damaged) => self.metrics.count_damaged_rows(bars::TABLE, damaged),
            Err(_) => self.metrics.store_bars_dropped_total.inc_by(self.shared.queue.requeue(minutes)),
        }
    }

    fn until_pruning(&self) -> Duration {
        let left = (self.prune_at - (self.options.clock)()).to_std().unwrap_or_default();
        // A clock that was set back must not postpone the pruning.
        if left > PRUNE_INTERVAL { Duration::ZERO } else { left }
    }

    fn prune(&mut self) {
        let now = (self.options.clock)();
        let Options { signal_retention, bar_retention, message_retention, max_messages, .. } = self.options;
        let before = |kept| {
            let kept = TimeDelta::from_std(kept).unwrap_or(TimeDelta::MAX);
            now.checked_sub_signed(kept).unwrap_or(DateTime::<Utc>::MIN_UTC)
        };
        let (mut excess, is_copy) = (self.excess_messages, self.place.is_some());
        let pruned = self.transact(|transaction, _| {
            // A copy removes signals and records at a place of the replicated log: see `Replicated::prune`.
            let kept_since = if is_copy { DateTime::<Utc>::MIN_UTC } else { before(signal_retention) };
            let events = commit::prune_events(transaction, kept_since)?;
            // A transaction prunes one kind only, so that it stays short.
            if events > 0 {
                return Ok((events, events));
            }
            let bars = bars::prune(transaction, now, bar_retention)?;
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
        if self.transact(|transaction, _| commit::probe(transaction, ProbeStep::Write)).is_ok() {
            // The write decides about the health; the next probe replaces a row that could not be removed.
            self.transact(|transaction, _| commit::probe(transaction, ProbeStep::Remove)).ok();
        }
    }

    /// Runs `work` in one transaction with the heads of the log, and updates the health.
    fn transact<T>(
        &mut self,
        work: impl FnOnce(&Connection, &mut Heads) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let outcome = self.attempt(work);
        match &outcome {
            Ok(_) => self.succeeded(),
            Err(error) => self.failed(error),
        }
        outcome
    }

    fn succeeded(&self) {
        let mut health = self.shared.health.lock();
        if let Health::Failing { since, .. } = &*health {
            if let Some(suppressed) = self.failures_log.end() {
                tracing::info!(%since, suppressed, "the signal log can be written again");
            }
            *health = Health::Ok;
        }
    }

    pub(super) fn failed(&mut self, error: &StoreError) {
        self.metrics.store_errors_total.inc();
        // The transaction has been rolled back; when even that failed, the connection has to be closed.
        if !error.spares_connection() || self.connection.as_ref().is_some_and(|connection| !connection.is_autocommit())
        {
            self.connection = None;
        }
        let mut health = self.shared.health.lock();
        let since = match &*health {
            Health::Failing { since, .. } => *since,
            Health::Ok => (self.options.clock)(),
        };
        if let Some(suppressed) = self.failures_log.admit() {
            tracing::error!(%error, suppressed, "the signal log cannot be written");
        }
        *health = Health::Failing { error: error.clone(), since };
    }

    fn measure(&self) {
        let length = |file: &Path| inspect::length(file).unwrap_or(0);
        let bytes = length(&self.file) + length(&wal_file(&self.file));
        self.metrics.store_log_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.metrics.log_position.set(self.heads.events.seq as i64);
        // Sequence numbers have no gaps.
        self.metrics.store_events.set((self.heads.events.seq - self.pruned) as i64);
    }

    fn close(mut self) {
        if self.watermark.is_some() && self.connection.is_some() {
            let closed = self.mark_closed();
            if let Err(error) = closed {
                tracing::warn!(%error, "the signal log could not be marked as closed; the next start compares its files");
            }
        }
        if let Some(connection) = self.connection {
            let moved = if self.is_half_checkpointed {
                // The database is not whole without the write-ahead log, which SQLite would remove with its last
                // connection.
                connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(drop)
            } else {
                // The database file alone is then the complete log. Open readers can prevent it, which loses nothing.
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            };
            if let Err(error) = moved.and_then(|()| connection.close().map_err(|(_, error)| error)) {
                tracing::warn!(%error, "the signal log was closed without moving its write-ahead log into the database");
            }
        }
        drop(self.watermark);
        drop(self.lock);
    }
}
