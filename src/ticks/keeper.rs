//! The queue between the pipeline, which never waits, and the task that writes.

use std::convert::Infallible;
use std::fmt;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use prometheus::IntCounter;
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;

use super::MAX_BLOCK_ENTRIES;
use super::writer::BlockWriter;
use crate::domain::{KeptEntry, UsedTick, WallClock};
use crate::telemetry::Metrics;

/// Maximum number of entries that wait to be written. Beyond it ticks are lost, and counted.
pub(super) const MAX_QUEUED: usize = 65_536;
/// The time between two blocks, unless a block is full before.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// What a keeper needs.
pub struct KeeperOptions {
    /// The data directory.
    pub dir: PathBuf,
    /// How long a day is kept after its end.
    pub retention: Duration,
    /// Maximum size of all files in bytes; beyond it the oldest days are removed. A single day may take half of it.
    pub max_bytes: u64,
    /// Returns why there is no space for ticks; `None` while there is space.
    pub low_space: Box<dyn Fn() -> Option<String> + Send>,
    /// The wall clock.
    pub clock: WallClock,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
}

impl KeeperOptions {
    /// The usual maximum of all files: 2 GiB.
    pub const MAX_BYTES: u64 = 2 << 30;
}

impl fmt::Debug for KeeperOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeeperOptions").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Keeps ticks: the pipeline's end of the queue. Cheap to clone; the task ends after the last one was dropped.
#[derive(Debug, Clone)]
pub struct Keeper {
    queue: Arc<TickQueue>,
    _open: mpsc::Sender<Infallible>,
}

#[derive(Debug)]
struct TickQueue {
    waiting: Mutex<QueuedTicks>,
    /// Woken when a block is full.
    block: Notify,
    lost: IntCounter,
}

#[derive(Debug, Default)]
struct QueuedTicks {
    /// When the writer of the ticks began, until its first tick comes: without ticks there is nothing to keep.
    began: Option<DateTime<Utc>>,
    entries: Vec<KeptEntry>,
    /// The ticks that had no room after `entries`: the time of the first one, and how many.
    lost: Option<(DateTime<Utc>, u64)>,
}

impl QueuedTicks {
    /// Puts the entry for lost ticks in its place, after what had room.
    fn mark_lost(&mut self) {
        self.entries.extend(self.lost.take().map(|(at, ticks)| KeptEntry::Lost(at, ticks)));
    }
}

impl Keeper {
    /// Returns a keeper, and its task, which has to be run.
    pub fn new(options: KeeperOptions) -> (Self, KeeperTask) {
        let lost = options.metrics.ticks_lost_total.with_label_values(&["queue"]);
        let queue = Arc::new(TickQueue { waiting: Mutex::default(), block: Notify::new(), lost });
        let (open, keepers) = mpsc::channel(1);
        let task = KeeperTask { queue: queue.clone(), keepers, writer: BlockWriter::new(options) };
        (Self { queue, _open: open }, task)
    }

    /// Notes that a pipeline begins. The first entry of a process, and of each term of a cluster's node, if there are ticks.
    pub fn begin(&self, at: DateTime<Utc>) {
        self.queue.waiting.lock().began = Some(at);
    }

    /// Keeps ticks in order, and never waits: those without room are lost, and counted.
    pub fn keep(&self, ticks: Vec<UsedTick>) {
        if ticks.is_empty() {
            return;
        }
        let mut waiting = self.queue.waiting.lock();
        if let Some(began) = waiting.began.take() {
            waiting.mark_lost();
            waiting.entries.push(KeptEntry::Began(began));
        }
        let room = MAX_QUEUED.saturating_sub(waiting.entries.len());
        let mut ticks = ticks.into_iter();
        waiting.entries.extend(ticks.by_ref().take(room).map(KeptEntry::Tick));
        if let Some(first) = ticks.next() {
            let more = 1 + ticks.len() as u64;
            let (_, count) = waiting.lost.get_or_insert((first.received_at, 0));
            *count += more;
            self.queue.lost.inc_by(more);
        }
        if waiting.entries.len() >= MAX_BLOCK_ENTRIES {
            self.queue.block.notify_one();
        }
    }
}

/// The task that writes. It ends when the last [`Keeper`] was dropped and everything is written.
#[derive(Debug)]
pub struct KeeperTask {
    queue: Arc<TickQueue>,
    keepers: mpsc::Receiver<Infallible>,
    writer: BlockWriter,
}

impl KeeperTask {
    /// Writes until the last keeper was dropped; files are written on a thread for blocking work.
    ///
    /// # Errors
    /// When writing panics. What the disk refuses is counted and logged, and is not an error.
    pub async fn run(self) -> Result<(), JoinError> {
        let Self { queue, mut keepers, mut writer } = self;
        let mut is_open = true;
        while is_open {
            tokio::select! {
                () = queue.block.notified() => {}
                () = sleep(WRITE_EVERY) => {}
                never = keepers.recv() => is_open = never.is_some(),
            }
            let entries = queue.take();
            writer = spawn_blocking(move || {
                writer.write(&entries);
                writer
            })
            .await?;
        }
        Ok(())
    }
}

impl TickQueue {
    /// Takes what waits. Ticks that come after a [`KeptEntry::Lost`] stand after it.
    fn take(&self) -> Vec<KeptEntry> {
        let mut waiting = self.waiting.lock();
        waiting.mark_lost();
        mem::take(&mut waiting.entries)
    }
}
