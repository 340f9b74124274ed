//! The durable signal log. Every change of a signal is a row that is committed before it is published, and chained by
//! hashes. The records of confirmed signals are a second chain.
//!
//! ```text
//! append ──► queue ──► writer (one thread, group commit) ──► orion.db ◄── reader (a few connections)
//! save_bars ─┘           │ between commits: bars, pruning, probes            ▲
//!                        ▼                          verify, backup, export ──┘  (from other processes)
//!                   orion.watermark (the last acknowledged entries)
//! ```
//!
//! A start compares the log with the `watermark`. Every row is checked when it is read: events and records against
//! their chains (`checked`), all others against their own checksum (`row`).
//!
//! Sequence numbers of events have no gaps. What [`Store::append`] answers with `Ok` survives `kill -9` and a power
//! cut. What it answers with an error is not in the log of this process; after a disk failure during a commit, the next
//! start may find it in the log.

mod as_of;
mod backup;
mod bars;
mod chain;
mod checked;
mod commit;
mod compare;
mod error;
mod event_log;
mod export;
mod faults;
mod inspect;
mod meta;
mod migrations;
mod offline;
mod open;
mod outcomes;
mod passing;
mod place;
mod proofs;
mod queries;
mod reader;
mod recompute;
mod repair;
mod replica;
mod row;
mod salvage;
mod schema;
mod spreadsheet;
#[cfg(test)]
mod tests;
mod timeline;
mod transact;
mod tree;
mod upgrade;
mod users;
mod verify;
mod wal;
mod watermark;
mod write_queue;
mod writer;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

pub use as_of::{Cutoff, StoredGroup};
pub use backup::backup;
pub use chain::{ChainLink, Hash};
pub use error::StoreError;
pub use event_log::{Appending, EventLog, LogEntries, Publisher, RequestId};
pub use export::{ExportFormat, export, export_outcomes, hex, stored_outcomes};
#[doc(hidden)]
pub use faults::DiskFault;
pub use inspect::{Examined, examine};
pub use open::Recovered;
pub use place::{NotWritable, check_writable, foreign_filesystem, foreign_warning};
pub use proofs::LeafProof;
pub use queries::{HistoryPage, HistoryQuery, SignalChange, Since, StateRow};
pub use reader::Reader;
pub use recompute::{StoredDayQuery, stored_day};
pub use repair::{Repair, RepairMode, Repaired, repair};
pub use replica::{LocalLog, LogHeads, ReplicaPlace, Replicated, ReplicatedBatch};
pub use timeline::{Timeline, TimelineEntry};
pub use tree::TreeHead;
pub use upgrade::{SchemaState, schema_state};
pub use verify::{Verified, VerifiedRecords, verify, verify_against};
pub use write_queue::AppendReceipt;
pub use writer::Health;

use crate::domain::{Bar, MessageType, Progress, RelayedMessage, Signal, SignalId, TradeOutcome, UserNote};
use crate::telemetry::{LogLimit, Metrics};
use open::Watermarking;
use transact::{CHECKPOINT_FRAMES, FileIdentity};
use watermark::WatermarkPhase;
use write_queue::{Append, WriteQueue, WriterEnd};
use writer::{Writer, WriterShared};

/// The database, in the data directory.
const DATABASE_FILE: &str = "orion.db";
/// The watermark, beside the database: what was acknowledged last.
const WATERMARK_FILE: &str = "orion.watermark";
/// The file whose lock marks the data directory as owned by a process.
const LOCK_FILE: &str = "orion.lock";

/// Retention of the log, and its clock.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long events are kept after they were stored.
    pub signal_retention: Duration,
    /// How long one-minute bars are kept, counted back from the newest bar of their symbol.
    pub bar_retention: Duration,
    /// Which signals are [`Recovered::recent`]: those changed at this time or later.
    pub recent_since: DateTime<Utc>,
    /// Maximum number of ordered messages for one user, and for administrators.
    pub messages_per_user: u64,
    /// How long ordered messages for users are kept.
    pub message_retention: Duration,
    /// Maximum number of ordered messages for all users together; the oldest are removed first.
    pub max_messages: u64,
    /// Finds the type of relayed messages with a name. Messages of an unknown type are skipped.
    pub message_type: fn(&str) -> Option<MessageType>,
    /// Whether a backup is made before the schema is upgraded.
    pub upgrade_backup: bool,
    /// The wall clock. It is used for retention, and to name the backup before an upgrade.
    pub clock: fn() -> DateTime<Utc>,
}

/// The log of this process; the only way to write it. Dropping it closes the log.
#[derive(Debug)]
pub struct Store {
    shared: Arc<WriterShared>,
    metrics: Arc<Metrics>,
    reader: Reader,
    /// Where the copy stood when it was opened; `None` of a log of this process alone.
    place: Option<ReplicaPlace>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the log in the data directory `dir`, creating both if necessary, and starts its writer thread.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process owns the directory. [`StoreError::Newer`], [`StoreError::Damaged`] or
    /// [`StoreError::Lost`] when the files belong to a newer version or another program, are damaged, or lack
    /// acknowledged entries, [`StoreError::NoBackup`] when an upgrade is due and its backup fails; the files are then
    /// unchanged. Otherwise an error of the disk.
    pub fn open(dir: &Path, options: Options, metrics: Arc<Metrics>) -> Result<(Self, Recovered), StoreError> {
        Self::start(dir, options, metrics, Watermarking::On, None)
    }

    /// Opens the log without a watermark, to measure its cost. A later [`open`](Self::open) rejects that log.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[doc(hidden)]
    pub fn open_without_watermark(
        dir: &Path,
        options: Options,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Recovered), StoreError> {
        Self::start(dir, options, metrics, Watermarking::Off, None)
    }

    /// Opens the log in `dir` as this node's copy of the replicated log with this epoch, creating it if necessary. A
    /// backup of a copy becomes a copy again.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_replica(
        dir: &Path,
        options: Options,
        metrics: Arc<Metrics>,
        epoch: &str,
    ) -> Result<(Self, Recovered), StoreError> {
        Self::start(dir, options, metrics, Watermarking::On, Some(epoch))
    }

    fn start(
        dir: &Path,
        options: Options,
        metrics: Arc<Metrics>,
        watermarking: Watermarking,
        replicated: Option<&str>,
    ) -> Result<(Self, Recovered), StoreError> {
        let wanted = (options.recent_since, options.message_type);
        let backup_at = options.upgrade_backup.then(options.clock);
        let opened = open::open(dir, wanted, backup_at, watermarking, replicated)?;
        metrics.count_damaged_rows(bars::TABLE, opened.damaged_bars);
        let shared = Arc::new(WriterShared {
            queue: WriteQueue::default(),
            health: Mutex::new(Health::Ok),
            faults: faults::Faults::default(),
            heads: Mutex::new(opened.heads.into()),
            ended: watch::Sender::new(false),
        });
        let records_version = Arc::new(AtomicU64::new(0));
        let reader = Reader::new(&opened.file, &metrics, records_version.clone(), replicated.is_some());
        let writer = Writer {
            shared: Arc::clone(&shared),
            metrics: Arc::clone(&metrics),
            options,
            epoch: Arc::clone(&opened.recovered.position.epoch),
            heads: opened.heads,
            place: opened.place.clone(),
            records_version,
            pruned: opened.anchor.seq,
            is_half_checkpointed: opened
                .watermark
                .as_ref()
                .is_some_and(|kept| matches!(kept.last().phase, WatermarkPhase::Checkpointing(_))),
            watermark: opened.watermark,
            follower: None,
            is_marked_closed: opened.is_marked_closed,
            checkpoint_at: CHECKPOINT_FRAMES,
            failures_log: LogLimit::new(),
            connection: Some(opened.connection),
            identity: FileIdentity::of(&opened.file),
            prune_at: (options.clock)(),
            excess_messages: None,
            file: opened.file,
            lock: opened.lock,
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run())
            .map_err(|error| StoreError::io(dir, &error))?;
        let thread = Mutex::new(Some(thread));
        Ok((Self { shared, metrics, reader, place: opened.place, thread }, opened.recovered))
    }

    /// Appends changes of signals and relayed messages, and stores notes about users, all or none. Returns the numbers
    /// of the first ones; the others follow consecutively.
    ///
    /// The order in the log is that of the calls, not that in which the futures are polled. Batches that wait at the
    /// same time share a transaction and its result.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::ReadOnly`] and similar errors: nothing of it is in the log, and a later
    /// attempt may succeed. After [`StoreError::Closed`] or [`StoreError::Panicked`] no attempt will succeed.
    pub fn append(
        &self,
        signals: Vec<Arc<Signal>>,
        published: Vec<RelayedMessage>,
        notes: Vec<UserNote>,
    ) -> impl Future<Output = Result<AppendReceipt, StoreError>> + Send + 'static + use<> {
        self.append_entries(LogEntries { signals, published, notes, ..LogEntries::default() })
    }

    /// Appends records of confirmed signals, and stores the progress of open ones, all or none. A signal has one
    /// record; a second one is ignored.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_outcomes(
        &self,
        outcomes: Vec<TradeOutcome>,
        open: Vec<(SignalId, Progress)>,
    ) -> impl Future<Output = Result<AppendReceipt, StoreError>> + Send + 'static + use<> {
        self.append_entries(LogEntries { outcomes, open, ..LogEntries::default() })
    }

    fn append_entries(&self, entries: LogEntries) -> Appending {
        self.queue(|answer| Append { entries, replicated: None, answer })
    }

    /// Applies a message of the replicated log to this copy: its entries, and the new place, in one transaction. Calls
    /// that wait at the same time share a transaction and its result.
    ///
    /// # Errors
    /// As [`append`](Self::append), and [`StoreError::Damaged`] when the entries do not continue the log.
    pub fn apply(
        &self,
        entries: LogEntries,
        replicated: Replicated,
    ) -> impl Future<Output = Result<AppendReceipt, StoreError>> + Send + 'static + use<> {
        self.queue(|answer| Append { entries, replicated: Some(replicated), answer })
    }

    /// Returns the last entries that were committed.
    pub fn heads(&self) -> LogHeads {
        *self.shared.heads.lock()
    }

    /// Returns where this copy of a replicated log stood when it was opened.
    pub fn place(&self) -> Option<&ReplicaPlace> {
        self.place.as_ref()
    }

    fn queue(&self, append: impl FnOnce(oneshot::Sender<Result<AppendReceipt, StoreError>>) -> Append) -> Appending {
        let (answer, answered) = oneshot::channel();
        let queued = self.shared.queue.append(append(answer));
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            queued?;
            match answered.await {
                Ok(answer) => answer,
                // The writer ended while it had the batch.
                Err(_) => Err(shared.queue.end().unwrap_or(WriterEnd::Panicked).into()),
            }
        })
    }

    /// Stores one-minute bars when no append waits. A bar of a stored minute is merged with the stored one.
    ///
    /// Best effort: while the disk fails, up to 4,096 bars wait; further ones are dropped and counted.
    pub fn save_bars(&self, bars: Vec<Bar>) {
        let dropped = self.shared.queue.save(bars);
        self.metrics.store_bars_dropped_total.inc_by(dropped);
    }

    /// Returns a reader of the log.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Whether the log can be written.
    pub fn health(&self) -> Health {
        self.shared.health.lock().clone()
    }

    /// Waits until the writer has ended: after [`close`](Self::close), or after a panic.
    ///
    /// # Errors
    /// [`StoreError::Panicked`] after a panic: nothing can be stored any more, and the process has to stop.
    pub fn closed(&self) -> impl Future<Output = Result<(), StoreError>> + Send + 'static + use<> {
        let mut ended = self.shared.ended.subscribe();
        let shared = Arc::clone(&self.shared);
        async move {
            // `shared` keeps the sender alive, so `wait_for` cannot fail.
            ended.wait_for(|ended| *ended).await.ok();
            match shared.queue.end() {
                Some(WriterEnd::Panicked) => Err(StoreError::Panicked),
                Some(WriterEnd::Closed) | None => Ok(()),
            }
        }
    }

    /// Writes what is queued, closes the file and releases the data directory. Further appends fail.
    ///
    /// # Errors
    /// [`StoreError::Panicked`] when the writer had panicked before.
    pub fn close(&self) -> impl Future<Output = Result<(), StoreError>> + Send + 'static + use<> {
        self.shared.queue.close();
        self.closed()
    }

    /// Simulates a failing disk, for tests.
    #[doc(hidden)]
    pub fn simulate_fault(&self, fault: DiskFault) {
        self.shared.faults.set(fault);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(thread) = self.thread.get_mut().take() {
            // A panic was already reported to the callers.
            thread.join().ok();
        }
    }
}
