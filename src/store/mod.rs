//! The durable signal log: every change of a signal is a row, committed before anybody is told, chained by hashes. So are
//! the records of what became of confirmed signals.
//!
//! ```text
//! append ──► lanes ──► writer (one thread, group commit) ──► orion.db ◄── reader (a few connections)
//! save_bars ─┘           │ between commits: bars, pruning, probes            ▲
//!                        ▼                          verify, backup, export ──┘  (from other processes)
//!                   orion.watermark (what was acknowledged last)
//! ```
//!
//! A start compares the log with the `watermark`. Every row that is served is checked when it is read: events and records
//! against their chains (`checked`), all others against a checksum of their own (`row`).
//!
//! Numbers of events have no gaps. What [`Store::append`] answers with `Ok` survives `kill -9` and a power cut. What it
//! answers with an error is not in the log of this process; a disk that failed in the middle of a commit may bring it
//! back at the next start.

mod backup;
mod bars;
mod chain;
mod checked;
mod commit;
mod compare;
mod error;
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
mod queries;
mod reader;
mod repair;
mod row;
mod salvage;
mod schema;
mod spreadsheet;
#[cfg(test)]
mod tests;
mod transact;
mod users;
mod verify;
mod wal;
mod watermark;
mod write_queue;
mod writer;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

pub use backup::backup;
pub use error::StoreError;
pub use export::{ExportFormat, export, export_outcomes, hex};
#[doc(hidden)]
pub use faults::Fault;
pub use inspect::{Examined, examine};
pub use open::Recovered;
pub use place::{NotWritable, check_writable, foreign_filesystem, foreign_warning};
pub use queries::{Change, HistoryQuery, Page, Since, StateRow};
pub use reader::Reader;
pub use repair::{Repair, RepairMode, Repaired, repair};
pub use verify::{Verified, VerifiedRecords, verify};
pub use write_queue::Receipt;
pub use writer::Health;

use crate::domain::{Bar, Progress, RelayedMessage, Signal, SignalId, TradeOutcome, UserNote};
use crate::telemetry::{LogLimit, Metrics};
use open::Watermarking;
use transact::{CHECKPOINT_FRAMES, Identity};
use watermark::Phase;
use write_queue::{Append, End, WriteQueue};
use writer::{Shared, Writer};

/// The database, in the data directory.
const DATABASE_FILE: &str = "orion.db";
/// What was acknowledged last, beside the database.
const WATERMARK_FILE: &str = "orion.watermark";
/// The file whose lock says that a process owns the data directory.
const LOCK_FILE: &str = "orion.lock";

/// How a log is kept.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long events are kept after they were stored.
    pub signal_retention: Duration,
    /// How long one-minute bars are kept, reckoned from the newest of their symbol.
    pub bar_retention: Duration,
    /// Which signals are [`Recovered::recent`]: those changed at this time or later.
    pub recent_since: DateTime<Utc>,
    /// Ordered messages that are kept for one user, and for administrators.
    pub messages_per_user: u64,
    /// How long ordered messages for users are kept.
    pub message_retention: Duration,
    /// Ordered messages that are kept for all users together; the oldest go first.
    pub max_messages: u64,
    /// The wall clock; decides what is too old, and nothing else.
    pub clock: fn() -> DateTime<Utc>,
}

/// An append that waits for its answer.
type Queued = Pin<Box<dyn Future<Output = Result<Receipt, StoreError>> + Send>>;

/// The log of this process, and the only way to write it. Closed when dropped.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    reader: Reader,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the log in the data directory `dir`, making both if need be, and starts its writer.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has the directory; [`StoreError::Newer`], [`StoreError::Damaged`] and
    /// [`StoreError::Lost`] when the files there are not to be written by this program, are damaged, or hold less than was
    /// acknowledged (not a byte of them is changed); else what the disk says.
    pub fn open(dir: &Path, options: Options, metrics: Arc<Metrics>) -> Result<(Self, Recovered), StoreError> {
        Self::start(dir, options, metrics, Watermarking::On)
    }

    /// The same without a watermark, to measure what it costs. The log it leaves is refused.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[doc(hidden)]
    pub fn open_without_watermark(
        dir: &Path,
        options: Options,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Recovered), StoreError> {
        Self::start(dir, options, metrics, Watermarking::Off)
    }

    fn start(
        dir: &Path,
        options: Options,
        metrics: Arc<Metrics>,
        watermarking: Watermarking,
    ) -> Result<(Self, Recovered), StoreError> {
        let opened = open::open(dir, options.recent_since, watermarking)?;
        metrics.count_damaged_rows(bars::TABLE, opened.damaged_bars);
        let shared = Arc::new(Shared {
            lanes: WriteQueue::default(),
            health: Mutex::new(Health::Ok),
            faults: faults::Faults::default(),
            ended: watch::Sender::new(false),
        });
        let records_version = Arc::new(AtomicU64::new(0));
        let reader = Reader::new(&opened.file, &metrics, records_version.clone());
        let writer = Writer {
            shared: Arc::clone(&shared),
            metrics: Arc::clone(&metrics),
            options,
            epoch: Arc::clone(&opened.recovered.position.epoch),
            heads: opened.heads,
            records_version,
            pruned: opened.anchor.seq,
            is_half_checkpointed: opened
                .watermark
                .as_ref()
                .is_some_and(|kept| matches!(kept.last().phase, Phase::Checkpointing(_))),
            watermark: opened.watermark,
            follower: None,
            is_marked_closed: opened.is_marked_closed,
            checkpoint_at: CHECKPOINT_FRAMES,
            failures_log: LogLimit::new(),
            connection: Some(opened.connection),
            identity: Identity::of(&opened.file),
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
        Ok((Self { shared, metrics, reader, thread }, opened.recovered))
    }

    /// Appends changes of signals and published messages, and keeps notes of users, all or none. Returns the numbers of the first;
    /// the others follow them.
    ///
    /// The place in the log is decided by the call, not by when the future is polled. Batches that wait at the same time
    /// share a transaction, and its fate.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::ReadOnly`] and the like: nothing of it is in the log, and the next attempt may
    /// succeed. [`StoreError::Closed`] and [`StoreError::Panicked`]: none will.
    pub fn append(
        &self,
        signals: Vec<Arc<Signal>>,
        published: Vec<RelayedMessage>,
        notes: Vec<UserNote>,
    ) -> impl Future<Output = Result<Receipt, StoreError>> + Send + 'static + use<> {
        self.queue(|answer| Append { signals, published, notes, outcomes: Vec::new(), open: Vec::new(), answer })
    }

    /// Appends records of confirmed signals and keeps how far open ones have come, all or none. The record of a signal is
    /// written once; another one of it is not taken.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_outcomes(
        &self,
        outcomes: Vec<TradeOutcome>,
        open: Vec<(SignalId, Progress)>,
    ) -> impl Future<Output = Result<Receipt, StoreError>> + Send + 'static + use<> {
        let (signals, published, notes) = (Vec::new(), Vec::new(), Vec::new());
        self.queue(|answer| Append { signals, published, notes, outcomes, open, answer })
    }

    fn queue(&self, append: impl FnOnce(oneshot::Sender<Result<Receipt, StoreError>>) -> Append) -> Queued {
        let (answer, answered) = oneshot::channel();
        let queued = self.shared.lanes.append(append(answer));
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            queued?;
            match answered.await {
                Ok(answer) => answer,
                // The writer went away with the batch in its hands.
                Err(_) => Err(shared.lanes.end().unwrap_or(End::Panicked).into()),
            }
        })
    }

    /// Stores one-minute bars when no append waits. A bar that is stored already is joined with its newer self.
    ///
    /// Best effort: while the disk refuses, up to 4,096 bars wait; what has no place is dropped and counted.
    pub fn save_bars(&self, bars: Vec<Bar>) {
        let dropped = self.shared.lanes.save(bars);
        self.metrics.store_bars_dropped_total.inc_by(dropped);
    }

    /// Asks the log.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Whether the log can be written.
    pub fn health(&self) -> Health {
        self.shared.health.lock().clone()
    }

    /// Waits until the writer has ended: by [`close`](Self::close), or by its own fault.
    ///
    /// # Errors
    /// [`StoreError::Panicked`] in the latter case: nothing can be stored any more, and the process has to stop.
    pub fn closed(&self) -> impl Future<Output = Result<(), StoreError>> + Send + 'static + use<> {
        let mut ended = self.shared.ended.subscribe();
        let shared = Arc::clone(&self.shared);
        async move {
            // `shared` keeps the sender alive, so that waiting cannot fail.
            ended.wait_for(|ended| *ended).await.ok();
            match shared.lanes.end() {
                Some(End::Panicked) => Err(StoreError::Panicked),
                Some(End::Closed) | None => Ok(()),
            }
        }
    }

    /// Writes what waits, closes the file and gives the data directory back. Further appends fail.
    ///
    /// # Errors
    /// [`StoreError::Panicked`] when the writer had ended by its own fault before.
    pub fn close(&self) -> impl Future<Output = Result<(), StoreError>> + Send + 'static + use<> {
        self.shared.lanes.close();
        self.closed()
    }

    /// Plays a disk that fails, for tests.
    #[doc(hidden)]
    pub fn play(&self, fault: Fault) {
        self.shared.faults.set(fault);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.lanes.close();
        if let Some(thread) = self.thread.get_mut().take() {
            // A panic was told to everybody who asked.
            thread.join().ok();
        }
    }
}
