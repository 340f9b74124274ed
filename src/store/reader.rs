//! The read side of the log: queries on a pool of connections, executed on blocking threads.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::as_of::{self, Cutoff, StoredGroup};
use super::error::StoreError;
use super::event_log::RequestId;
use super::open::{Contents, Recovered};
use super::queries::{self, HistoryPage, HistoryQuery, SignalChange, StateRow};
use super::{bars, outcomes, replica, row, schema, users};
use crate::domain::{
    Bar, BarInterval, MessageType, Progress, RelayedMessage, Signal, SignalId, SourceName, Symbol, TradeOutcome,
};
use crate::telemetry::Metrics;

/// Maximum number of queries that run at the same time.
const MAX_CONNECTIONS: usize = 4;
/// Maximum number of queries that wait for a connection; further ones are rejected.
const MAX_WAITING: usize = 512;

/// Reads the log. Cheap to clone; sees everything that was acknowledged.
#[derive(Debug, Clone)]
pub struct Reader {
    pool: Arc<ReaderPool>,
    /// The pipeline's own pool, so that pushes never wait for history queries.
    lookups: Arc<ReaderPool>,
    records_version: Arc<AtomicU64>,
    is_copy: bool,
}

impl Reader {
    pub(super) fn new(file: &Path, metrics: &Arc<Metrics>, records_version: Arc<AtomicU64>, is_copy: bool) -> Self {
        let pool = |connections| Arc::new(ReaderPool::new(file, connections, Arc::clone(metrics), None));
        Self { pool: pool(MAX_CONNECTIONS), lookups: pool(1), records_version, is_copy }
    }

    /// Returns a reader of the same log that sees nothing beyond the cutoff: each signal as it then was, and only what was
    /// known then.
    #[must_use]
    pub fn as_of(&self, cutoff: &Arc<Cutoff>) -> Self {
        let pool = |connections| {
            let ReaderPool { file, metrics, .. } = &*self.pool;
            Arc::new(ReaderPool::new(file, connections, Arc::clone(metrics), Some(Arc::clone(cutoff))))
        };
        Self { pool: pool(MAX_CONNECTIONS), lookups: pool(1), ..self.clone() }
    }

    /// Returns the time up to which a delayed reader sees the log; `None` for one without a delay.
    pub fn cutoff(&self) -> Option<DateTime<Utc>> {
        self.pool.cutoff.as_ref().map(|cutoff| cutoff.time())
    }

    /// Returns the number of the last event that was stored at `at` or before.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn last_event_at(&self, at: DateTime<Utc>) -> Result<u64, StoreError> {
        self.pool.query(move |connection| as_of::last_event_at(connection, at)).await
    }

    /// Returns the events after `seq`, and the ordered messages stored after `since`, in groups of about `step`.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn groups_after(
        &self,
        seq: u64,
        since: DateTime<Utc>,
        step: Duration,
    ) -> Result<[Vec<StoredGroup>; 2], StoreError> {
        let step = i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1);
        self.pool.query(move |connection| as_of::groups_after(connection, (seq, since), step)).await
    }

    /// Returns the ordered messages after `seq` up to `last`, oldest first; at most 1,000.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn messages_after(
        &self,
        seq: u64,
        last: u64,
        message_type: fn(&str) -> Option<MessageType>,
    ) -> Result<Vec<RelayedMessage>, StoreError> {
        self.pool.query(move |connection| as_of::messages_after(connection, (seq, last), message_type)).await
    }

    /// Whether the log is this node's copy of a replicated one.
    pub fn is_copy(&self) -> bool {
        self.is_copy
    }

    /// Returns the events after `seq`, ascending; at most `limit` and 1,000. When the first one is not `seq + 1`, those
    /// between were pruned.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn events_after(&self, seq: u64, limit: usize) -> Result<Vec<(u64, Signal)>, StoreError> {
        self.pool.query(move |connection| queries::events_after(connection, seq, limit)).await
    }

    /// Returns the same events as [`events_after`](Self::events_after), each with the number of its signal's latest
    /// event.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn changes_after(&self, seq: u64, limit: usize) -> Result<Vec<SignalChange>, StoreError> {
        self.pool.query(move |connection| queries::changes_after(connection, seq, limit)).await
    }

    /// Returns the number of the oldest kept event; one past the head when no event is kept.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn oldest_seq(&self) -> Result<u64, StoreError> {
        self.pool.query(|connection| Ok(schema::anchor(connection)?.seq + 1)).await
    }

    /// Returns the current state of the signals with these ids. Unknown ids are absent.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn find(&self, ids: &[SignalId]) -> Result<HashMap<SignalId, Signal>, StoreError> {
        let ids = ids.to_vec();
        self.lookups.query(move |connection| queries::find(connection, &ids)).await
    }

    /// Whether the log has the result of the request with this id.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read, or is not a copy of a replicated one.
    pub async fn has_request(&self, id: &RequestId) -> Result<bool, StoreError> {
        let id = id.clone();
        self.lookups.query(move |connection| replica::has_request(connection, &id)).await
    }

    /// Loads what a pipeline begins with, as [`Store::open`](super::Store::open) does.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn recover(
        &self,
        recent_since: DateTime<Utc>,
        message_type: fn(&str) -> Option<MessageType>,
    ) -> Result<Recovered, StoreError> {
        self.pool.query(move |connection| Contents::recover(connection, (recent_since, message_type))).await
    }

    /// Returns one page of the history. Pages do not shift when new signals arrive.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn history(&self, query: HistoryQuery) -> Result<HistoryPage, StoreError> {
        self.pool.query(move |connection| queries::history(connection, &query)).await
    }

    /// Returns the current state of a signal and its last 1,000 changes, oldest first; `None` when the log does not
    /// have it.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn signal(&self, id: &SignalId) -> Result<Option<(Signal, Vec<StateRow>)>, StoreError> {
        let id = id.clone();
        self.pool.query(move |connection| queries::life(connection, &id)).await
    }

    /// Folds the records of confirmed signals into `start` in the order in which they ended, at most the last 100,000.
    /// It holds one record in memory at a time.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn fold_outcomes<T: Send + 'static>(
        &self,
        start: T,
        mut fold: impl FnMut(&mut T, TradeOutcome) + Send + 'static,
    ) -> Result<T, StoreError> {
        let read = move |connection: &Connection| {
            let mut folded = start;
            outcomes::for_each(connection, |outcome| fold(&mut folded, outcome))?;
            Ok(folded)
        };
        self.pool.query(read).await
    }

    /// Returns a number that changes with every commit that opens, ends or removes a record; of a delayed reader, every
    /// second. A caller that reads it
    /// before a query can tell later whether the result is still current.
    pub fn records_version(&self) -> u64 {
        match &self.pool.cutoff {
            Some(cutoff) => cutoff.time().timestamp().unsigned_abs(),
            None => self.records_version.load(Ordering::Acquire),
        }
    }

    /// Returns the records after number `seq` in the order in which they were stored, at most `limit` and 1,000.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn outcomes_after(&self, seq: u64, limit: usize) -> Result<Vec<(u64, TradeOutcome)>, StoreError> {
        let limit = limit.min(queries::MAX_ROWS);
        self.pool.query(move |connection| outcomes::after(connection, seq, limit)).await
    }

    /// Returns the numbers of the last event and of the last record.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn last_entries(&self) -> Result<(u64, u64), StoreError> {
        self.pool.query(|connection| Ok((schema::head(connection)?.seq, outcomes::head(connection)?.seq))).await
    }

    /// Returns the confirmed signals whose record is open, oldest confirmation first, with how many targets they have
    /// reached.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn open_signals(&self) -> Result<Vec<(Signal, usize)>, StoreError> {
        let open = self.pool.query(outcomes::open).await?;
        let hits = |progress: Option<Progress>| progress.map_or(0, |progress| progress.targets_hit);
        Ok(open.into_iter().map(|(signal, progress)| (signal, hits(progress))).collect())
    }

    /// Returns the last message that a [note](crate::domain::UserNote) with this name has; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn seen(&self, note: &str) -> Result<Option<u64>, StoreError> {
        let note = note.to_owned();
        self.pool.query(move |connection| users::seen(connection, &note)).await
    }

    /// Returns the record of a signal; `None` while there is none.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn outcome(&self, id: &SignalId) -> Result<Option<TradeOutcome>, StoreError> {
        let id = id.clone();
        self.pool.query(move |connection| outcomes::of(connection, &id)).await
    }

    /// Returns symbol and source of every confirmed signal whose record is open, in no order.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn open_records(&self) -> Result<Vec<(Symbol, SourceName)>, StoreError> {
        self.pool.query(outcomes::open_of).await
    }

    /// Returns the last bars of an interval, oldest first; at most `limit` and 1,000. Damaged bars are skipped and
    /// counted.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn bars(&self, symbol: &Symbol, interval: BarInterval, limit: usize) -> Result<Vec<Bar>, StoreError> {
        self.bars_until(symbol, interval, None, limit).await
    }

    /// Returns the same bars as [`bars`](Self::bars), made of the minutes that opened before a time.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn bars_before(
        &self,
        symbol: &Symbol,
        interval: BarInterval,
        before: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Bar>, StoreError> {
        self.bars_until(symbol, interval, Some(before), limit).await
    }

    /// Answers a question of another file of this room.
    pub(super) async fn ask<T, F>(&self, question: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        self.pool.query(question).await
    }

    /// Counts the damaged bars among those that were read, and returns the others.
    pub(super) fn intact(&self, read: bars::BarsRead) -> Vec<Bar> {
        self.pool.metrics.count_damaged_rows(bars::TABLE, read.damaged);
        read.bars
    }

    async fn bars_until(
        &self,
        symbol: &Symbol,
        interval: BarInterval,
        before: Option<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Bar>, StoreError> {
        let symbol = symbol.clone();
        let read = self.pool.query(move |connection| bars::of(connection, &symbol, interval, before, limit)).await?;
        Ok(self.intact(read))
    }
}

/// Read-only connections, opened when they are first needed.
#[derive(Debug)]
struct ReaderPool {
    file: PathBuf,
    metrics: Arc<Metrics>,
    /// Where the log ends for this pool; `None` at its end.
    cutoff: Option<Arc<Cutoff>>,
    idle: Mutex<Vec<Connection>>,
    /// A permit for each connection that may be in use.
    connections: Arc<Semaphore>,
    /// A permit for each query that may run or wait.
    waiting: Semaphore,
}

impl ReaderPool {
    fn new(file: &Path, connections: usize, metrics: Arc<Metrics>, cutoff: Option<Arc<Cutoff>>) -> Self {
        Self {
            file: file.into(),
            metrics,
            cutoff,
            idle: Mutex::default(),
            connections: Arc::new(Semaphore::new(connections)),
            waiting: Semaphore::new(connections + MAX_WAITING),
        }
    }

    async fn query<T, F>(self: &Arc<Self>, question: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let Ok(_place) = self.waiting.try_acquire() else {
            return Err(StoreError::Busy(format!("{MAX_WAITING} questions wait for an answer")));
        };
        let turn = Arc::clone(&self.connections).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let pool = Arc::clone(self);
        let answer = tokio::task::spawn_blocking(move || {
            let answer = pool.answer(question);
            // Released on this thread, because the caller may be gone before the query ends.
            drop(turn);
            answer
        });
        answer.await.map_err(|_| StoreError::Closed)?
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let connection = schema::open_reader(&self.file)?;
        if self.cutoff.is_some() {
            as_of::create_views(&connection)?;
        }
        Ok(connection)
    }

    fn answer<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let sqlite = |error| StoreError::sqlite(&self.file, &error);
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open().map_err(sqlite)?,
        };
        if let Some(cutoff) = &self.cutoff {
            cutoff.apply(&connection).map_err(sqlite)?;
        }
        // One snapshot for all statements of a query.
        let snapshot = connection.unchecked_transaction().map_err(sqlite)?;
        let answer = question(&snapshot).map_err(|error| {
            if let Some(damaged) = row::damaged_row(&error) {
                self.metrics.count_damaged_rows(damaged.table, 1);
            }
            sqlite(error)
        })?;
        snapshot.commit().map_err(sqlite)?;
        self.idle.lock().push(connection);
        Ok(answer)
    }
}
