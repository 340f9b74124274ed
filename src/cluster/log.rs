//! The replicated log as the pipeline writes it: what is appended waits for the node's task, which sends it to the stream.

use tokio::sync::{mpsc, oneshot};

use crate::domain::Bar;
use crate::store::{AppendReceipt, Appending, EventLog, LogEntries, Publisher, Reader, RequestId, StoreError};
use crate::telemetry::Metrics;
use std::sync::Arc;

/// Maximum number of appends that wait. The pipeline has two in flight.
const MAX_APPENDS: usize = 64;
/// Maximum number of entries of a message, unless one push alone has more.
pub(super) const MAX_ENTRIES: usize = 64;

/// Entries on their way to the stream.
#[derive(Debug)]
pub(super) struct QueuedAppend {
    pub(super) entries: LogEntries,
    pub(super) bars: Vec<Bar>,
    pub(super) requests: Vec<RequestId>,
    /// `None` for bars.
    pub(super) answer: Option<oneshot::Sender<Result<AppendReceipt, StoreError>>>,
}

/// The log of a cluster, on the node that writes.
#[derive(Debug, Clone)]
pub struct ReplicatedLog {
    queue: mpsc::Sender<QueuedAppend>,
    reader: Reader,
    metrics: Arc<Metrics>,
}

impl ReplicatedLog {
    /// Returns the log over this node's copy, and what is appended to it.
    pub(super) fn new(reader: Reader, metrics: Arc<Metrics>) -> (Self, mpsc::Receiver<QueuedAppend>) {
        let (queue, appends) = mpsc::channel(MAX_APPENDS);
        (Self { queue, reader, metrics }, appends)
    }
}

impl EventLog for ReplicatedLog {
    fn append(&self, entries: LogEntries, requests: Vec<RequestId>) -> Appending {
        let (answer, answered) = oneshot::channel();
        let append = QueuedAppend { entries, bars: Vec::new(), requests, answer: Some(answer) };
        let queued = self.queue.try_send(append).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy(format!("{MAX_APPENDS} appends wait")),
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        });
        Box::pin(async move {
            queued?;
            answered.await.unwrap_or(Err(StoreError::Closed))
        })
    }

    fn save_bars(&self, bars: Vec<Bar>) {
        let count = bars.len() as u64;
        let append = QueuedAppend { entries: LogEntries::default(), bars, requests: Vec::new(), answer: None };
        if self.queue.try_send(append).is_err() {
            self.metrics.store_bars_dropped_total.inc_by(count);
        }
    }

    fn reader(&self) -> Reader {
        self.reader.clone()
    }

    fn publisher(&self) -> Publisher {
        Publisher::Log
    }

    fn max_gathered(&self) -> usize {
        MAX_ENTRIES
    }
}
