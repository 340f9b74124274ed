//! Commit, then publish, then acknowledge: a batch of changes is committed as a whole before it is published and
//! answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Accepted, Pipeline, Rejection, SubmitError};
use crate::domain::{Change, Event, Position, RelayedMessage, Signal, TradeOutcome, UserNote};
use crate::engine::PersistScope;
use crate::hub::Envelope;
use crate::store::{AppendReceipt, Appending, LogEntries, Publisher, RequestId, StoreError};

/// After a failed commit, deadlines of signals are not processed for this long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) type Commit = Appending;

/// Changes that are committed together, and the replies that wait for the commit.
#[derive(Default)]
pub(super) struct CommitBatch {
    pub(super) changes: Vec<Change>,
    pub(super) published: Vec<RelayedMessage>,
    pub(super) notes: Vec<UserNote>,
    pub(super) replies: Vec<PendingReply>,
    pub(super) requests: Vec<RequestId>,
}

pub(super) struct PendingReply {
    pub(super) to: oneshot::Sender<Result<Accepted, SubmitError>>,
    pub(super) is: Result<Accepted, Rejection>,
}

impl CommitBatch {
    pub(super) fn has_nothing_to_store(&self) -> bool {
        self.changes.is_empty() && self.published.is_empty() && self.notes.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.has_nothing_to_store() && self.replies.is_empty()
    }
}

impl Pipeline {
    /// Begins to store the records of confirmed signals: the ended ones, and the open ones that `open` selects. Does
    /// nothing while signals are not committed yet. After a failure, entries are stored with the next minutes.
    pub(super) fn store_records(&mut self, open: PersistScope) {
        let is_too_early = self.records_failed && open == PersistScope::Entries;
        if self.storing_records.is_some() || !self.is_settled() || is_too_early {
            return;
        }
        let (records, open) = (self.engine.ended_records(), self.engine.open_records(open));
        if !(records.is_empty() && open.is_empty()) {
            let entries = LogEntries { outcomes: records.clone(), open, ..LogEntries::default() };
            let commit = self.log.append(entries, Vec::new());
            self.storing_records = Some((records, commit));
        }
    }

    /// Finishes the current write of records, then stores all remaining ones.
    pub(super) async fn store_remaining_records(&mut self) {
        for _ in 0..2 {
            self.store_records(PersistScope::All);
            if self.storing_records.is_some() {
                let stored = records_stored(&mut self.storing_records).await;
                self.requeue_on_error(stored);
            }
        }
    }

    /// Gives records that could not be stored back to the engine, for the next attempt.
    pub(super) fn requeue_on_error(
        &mut self,
        (records, stored): (Vec<TradeOutcome>, Result<AppendReceipt, StoreError>),
    ) {
        self.records_failed = stored.is_err();
        match stored {
            Ok(_) => {
                if let Some(suppressed) = self.records_log.end() {
                    info!(suppressed, "records of signals are stored again");
                }
            }
            Err(error) => {
                if let Some(suppressed) = self.records_log.admit() {
                    warn!(%error, records = records.len(), suppressed, "records of signals could not be stored yet");
                }
                self.engine.requeue_records(records);
            }
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.committing.is_none() && self.next_batch.is_empty()
    }

    /// Begins to commit the next batch, unless a commit is in progress.
    pub(super) fn commit(&mut self) {
        if self.committing.is_some() || self.next_batch.is_empty() {
            return;
        }
        let mut batch = std::mem::take(&mut self.next_batch);
        if let Some(announce) = self.announce {
            let now = self.clock.now().wall;
            batch.published.extend(batch.changes.iter().flat_map(|change| announce(&change.signal, now)));
        }
        let commit: Commit = if batch.has_nothing_to_store() {
            Box::pin(std::future::ready(Ok(AppendReceipt { first_signal: 0, first_published: 0 })))
        } else {
            let entries = LogEntries {
                signals: batch.changes.iter().map(|change| change.signal.clone()).collect(),
                published: batch.published.clone(),
                notes: batch.notes.clone(),
                ..LogEntries::default()
            };
            self.log.append(entries, std::mem::take(&mut batch.requests))
        };
        self.committing = Some((batch, commit));
    }

    pub(super) async fn finish_commit(&mut self, (batch, committed): (CommitBatch, Result<AppendReceipt, StoreError>)) {
        match committed {
            Ok(first) => {
                self.retry_at = None;
                if !batch.has_nothing_to_store()
                    && let Some(suppressed) = self.commits_log.end()
                {
                    info!(suppressed, "signals are stored again");
                }
                if self.log.publisher() == Publisher::Caller {
                    self.publish_changes(&batch.changes, first.first_signal).await;
                    self.publish_messages(batch.published, first.first_published).await;
                }
                for PendingReply { to, is } in batch.replies {
                    reply(Some(to), is.map_err(SubmitError::Rejected));
                }
            }
            Err(error) => self.rollback(batch, &error),
        }
        self.metrics.signals_pending.set(self.engine.pending() as i64);
    }

    /// Undoes the failed batch and the next one, which may depend on it.
    fn rollback(&mut self, batch: CommitBatch, error: &StoreError) {
        let gathered = std::mem::take(&mut self.next_batch);
        if let Some(suppressed) = self.commits_log.admit() {
            let changes = batch.changes.len() + gathered.changes.len();
            warn!(%error, changes, suppressed, "signals could not be stored");
        }
        self.engine.undo(batch.changes.into_iter().chain(gathered.changes), self.clock.now());
        for PendingReply { to, is } in batch.replies.into_iter().chain(gathered.replies) {
            // Prices are not stored, so the failed commit does not affect them.
            let answer = match is {
                Ok(Accepted::Ticks(refused)) => Ok(Accepted::Ticks(refused)),
                _ => Err(SubmitError::NotStored(error.to_string())),
            };
            reply(Some(to), answer);
        }
        self.retry_at = Some(Instant::now() + RETRY_AFTER);
    }

    async fn publish_changes(&mut self, changes: &[Change], first: u64) {
        let publications = changes.iter().zip(first..).map(|(change, seq)| {
            let Signal { id, symbol, state, .. } = change.signal.as_ref();
            info!(%id, %symbol, status = state.status().name(), seq, clients = self.hub.clients(), "signal");
            let position = Position { epoch: self.epoch.clone(), seq };
            Arc::new(Envelope::placed(Event::Signal(change.signal.clone()), position))
        });
        let publications: Vec<_> = publications.collect();
        self.publish(&publications).await;
    }

    async fn publish_messages(&mut self, messages: Vec<RelayedMessage>, first: u64) {
        let numbered = messages.into_iter().zip(first..).map(|(message, seq)| RelayedMessage { seq, ..message });
        let publications: Vec<_> =
            numbered.map(|message| Arc::new(Envelope::unplaced(Event::RelayedMessage(Arc::new(message))))).collect();
        self.publish(&publications).await;
    }
}

pub(super) async fn committed(
    committing: &mut Option<(CommitBatch, Commit)>,
) -> (CommitBatch, Result<AppendReceipt, StoreError>) {
    let Some((_, commit)) = committing else { return std::future::pending().await };
    let result = commit.await;
    let batch = committing.take().map(|(batch, _)| batch).unwrap_or_default();
    (batch, result)
}

pub(super) async fn records_stored(
    storing_records: &mut Option<(Vec<TradeOutcome>, Commit)>,
) -> (Vec<TradeOutcome>, Result<AppendReceipt, StoreError>) {
    let Some((_, commit)) = storing_records else { return std::future::pending().await };
    let result = commit.await;
    let records = storing_records.take().map(|(records, _)| records).unwrap_or_default();
    (records, result)
}

pub(super) fn reply(to: Option<oneshot::Sender<Result<Accepted, SubmitError>>>, answer: Result<Accepted, SubmitError>) {
    if let Some(to) = to {
        // The caller may be gone.
        to.send(answer).ok();
    }
}
