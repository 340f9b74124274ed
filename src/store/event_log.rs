//! The seam between the pipeline and the log that it writes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{AppendReceipt, Reader, Store, StoreError};
use crate::domain::{Bar, Progress, RelayedMessage, Signal, SignalId, TradeOutcome, UserNote};

/// The future of an append.
pub type Appending = Pin<Box<dyn Future<Output = Result<AppendReceipt, StoreError>> + Send>>;

/// The id of a pushed request. A request that is sent again, because its answer was lost, has the same id.
pub type RequestId = Arc<str>;

/// Entries that are appended together, all or none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogEntries {
    /// Changes of signals.
    pub signals: Vec<Arc<Signal>>,
    /// Relayed messages.
    pub published: Vec<RelayedMessage>,
    /// Notes about users.
    pub notes: Vec<UserNote>,
    /// Records of confirmed signals that have ended. A signal has one record; a second one is ignored.
    pub outcomes: Vec<TradeOutcome>,
    /// The progress of open records.
    pub open: Vec<(SignalId, Progress)>,
}

impl LogEntries {
    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.signals.len() + self.published.len() + self.notes.len() + self.outcomes.len() + self.open.len()
    }

    /// Whether there is nothing to append.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Who publishes what was appended to the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publisher {
    /// The caller, after the append.
    Caller,
    /// The log itself, before the append is answered.
    Log,
}

/// The log as the pipeline writes it: that of this process alone, or one that several nodes replicate.
pub trait EventLog: std::fmt::Debug + Send + Sync {
    /// Appends entries, all or none, in the order of the calls. Returns the numbers of the first ones; the others follow
    /// consecutively. `requests` are the ids of the requests whose results these are.
    fn append(&self, entries: LogEntries, requests: Vec<RequestId>) -> Appending;

    /// Stores one-minute bars when no append waits, best effort.
    fn save_bars(&self, bars: Vec<Bar>);

    /// Returns a reader of the log.
    fn reader(&self) -> Reader;

    /// Returns who publishes what was appended.
    fn publisher(&self) -> Publisher;

    /// Returns how many entries the pipeline should gather for one append at most.
    fn max_gathered(&self) -> usize;
}

impl EventLog for Store {
    fn append(&self, entries: LogEntries, _: Vec<RequestId>) -> Appending {
        self.append_entries(entries)
    }

    fn save_bars(&self, bars: Vec<Bar>) {
        Self::save_bars(self, bars);
    }

    fn reader(&self) -> Reader {
        Self::reader(self)
    }

    fn publisher(&self) -> Publisher {
        Publisher::Caller
    }

    fn max_gathered(&self) -> usize {
        usize::MAX
    }
}
