//! The read side: questions to the log, answered on threads that may block.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::error::StoreError;
use super::queries::{self, Change, HistoryQuery, Page, StateRow};
use super::{bars, outcomes, row, schema};
use crate::domain::{Bar, BarInterval, Signal, SignalId, SourceName, Symbol, TradeOutcome};
use crate::telemetry::Metrics;

/// Questions that are answered at the same time.
const CONNECTIONS: usize = 4;
/// Questions that may wait for that, beyond which one is refused.
const WAITING: usize = 512;

/// Asks the log. Cheap to clone; sees everything that was acknowledged.
#[derive(Debug, Clone)]
pub struct Reader {
    questions: Arc<Pool>,
    /// The pipeline's own, so that its pushers never wait for somebody's history.
    lookups: Arc<Pool>,
    records_version: Arc<AtomicU64>,
}

impl Reader {
    pub(super) fn new(file: &Path, metrics: &Arc<Metrics>, records_version: Arc<AtomicU64>) -> Self {
        let pool = |connections| Arc::new(Pool::new(file, connections, Arc::clone(metrics)));
        Self { questions: pool(CONNECTIONS), lookups: pool(1), records_version }
    }

    /// The events after `seq`, ascending; at most `limit` and 1,000. When the first is not `seq + 1`, those between were
    /// pruned.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn events_after(&self, seq: u64, limit: usize) -> Result<Vec<(u64, Signal)>, StoreError> {
        self.questions.ask(move |connection| queries::events_after(connection, seq, limit)).await
    }

    /// The events after `seq` as [`events_after`](Self::events_after) has them, each with the number of its signal's latest.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn changes_after(&self, seq: u64, limit: usize) -> Result<Vec<Change>, StoreError> {
        self.questions.ask(move |connection| queries::changes_after(connection, seq, limit)).await
    }

    /// Number of the oldest event that is kept; one past the head when none is.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn oldest_seq(&self) -> Result<u64, StoreError> {
        self.questions.ask(|connection| Ok(schema::anchor(connection)?.seq + 1)).await
    }

    /// The signals with these ids, as they are now; ids that the log does not know are absent.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn find(&self, ids: &[SignalId]) -> Result<HashMap<SignalId, Signal>, StoreError> {
        let ids = ids.to_vec();
        self.lookups.ask(move |connection| queries::find(connection, &ids)).await
    }

    /// One page of the history. Pages do not shift when new signals arrive.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn history(&self, query: HistoryQuery) -> Result<Page, StoreError> {
        self.questions.ask(move |connection| queries::history(connection, &query)).await
    }

    /// A signal as it is now and its changes, oldest first (the last 1,000); `None` when the log does not know it.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn signal(&self, id: &SignalId) -> Result<Option<(Signal, Vec<StateRow>)>, StoreError> {
        let id = id.clone();
        self.questions.ask(move |connection| queries::life(connection, &id)).await
    }

    /// Folds the records of confirmed signals into `start`, one by one in the order in which they ended, at most the last
    /// 100,000: memory for one of them is all that it takes.
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
            outcomes::each(connection, |outcome| fold(&mut folded, outcome))?;
            Ok(folded)
        };
        self.questions.ask(read).await
    }

    /// A number that changes with every commit that adds or removes a record, or begins one. Read before a question, it
    /// tells later whether the answer still holds.
    pub fn records_version(&self) -> u64 {
        self.records_version.load(Ordering::Acquire)
    }

    /// The record of one signal; `None` while there is none.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn outcome(&self, id: &SignalId) -> Result<Option<TradeOutcome>, StoreError> {
        let id = id.clone();
        self.questions.ask(move |connection| outcomes::of(connection, &id)).await
    }

    /// Symbol and sender of every confirmed signal whose record has not ended, in no order.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn open_records(&self) -> Result<Vec<(Symbol, SourceName)>, StoreError> {
        self.questions.ask(outcomes::open_of).await
    }

    /// The last bars of an interval, oldest first; at most `limit` and 1,000. Bars that are damaged are left out and counted.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn bars(&self, symbol: &Symbol, interval: BarInterval, limit: usize) -> Result<Vec<Bar>, StoreError> {
        let symbol = symbol.clone();
        let read = self.questions.ask(move |connection| bars::of(connection, &symbol, interval, limit)).await?;
        self.questions.metrics.count_damaged_rows(bars::TABLE, read.damaged);
        Ok(read.bars)
    }
}

/// Connections that can only read, opened when they are first needed.
#[derive(Debug)]
struct Pool {
    file: PathBuf,
    metrics: Arc<Metrics>,
    idle: Mutex<Vec<Connection>>,
    /// One for each connection that may be open.
    turns: Arc<Semaphore>,
    /// One for each question that may be open.
    places: Semaphore,
}

impl Pool {
    fn new(file: &Path, connections: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            file: file.into(),
            metrics,
            idle: Mutex::default(),
            turns: Arc::new(Semaphore::new(connections)),
            places: Semaphore::new(connections + WAITING),
        }
    }

    async fn ask<T, F>(self: &Arc<Self>, question: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(StoreError::Busy(format!("{WAITING} questions wait for an answer")));
        };
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let pool = Arc::clone(self);
        let answer = tokio::task::spawn_blocking(move || {
            let answer = pool.answer(question);
            // Given back here and not by the asker, who may have gone away while the thread was still busy.
            drop(turn);
            answer
        });
        answer.await.map_err(|_| StoreError::Closed)?
    }

    fn answer<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let sqlite = |error| StoreError::sqlite(&self.file, &error);
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => schema::open_reader(&self.file).map_err(sqlite)?,
        };
        // One snapshot for all statements of a question.
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
