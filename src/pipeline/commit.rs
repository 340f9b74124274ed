//! Commit, then publish, then acknowledge: what gathers becomes durable together, and only then anybody is told.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Accepted, Pipeline, Rejection, SubmitError};
use crate::domain::{Change, Event, Position, RelayedMessage, Signal, TradeOutcome, UserNote};
use crate::engine::PersistScope;
use crate::hub::Envelope;
use crate::store::{Receipt, StoreError};

/// After a failed commit nothing is ended by the clock for this long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) type Commit = Pin<Box<dyn Future<Output = Result<Receipt, StoreError>> + Send>>;

/// Changes that become durable together, and the answers that wait for them.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) changes: Vec<Change>,
    pub(super) published: Vec<RelayedMessage>,
    pub(super) notes: Vec<UserNote>,
    pub(super) answers: Vec<Answer>,
}

pub(super) struct Answer {
    pub(super) to: oneshot::Sender<Result<Accepted, SubmitError>>,
    pub(super) is: Result<Accepted, Rejection>,
}

impl Batch {
    pub(super) fn has_nothing_to_store(&self) -> bool {
        self.changes.is_empty() && self.published.is_empty() && self.notes.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.has_nothing_to_store() && self.answers.is_empty()
    }
}

impl Pipeline {
    /// Begins to store what has become of confirmed signals, once the signals themselves are stored: the records that have
    /// ended, and of the open ones what `open` asks for. After a failure entries wait for the next minutes.
    pub(super) fn record(&mut self, open: PersistScope) {
        let is_too_early = self.unrecorded && open == PersistScope::Entries;
        if self.recording.is_some() || !self.is_settled() || is_too_early {
            return;
        }
        let (records, open) = (self.engine.ended_records(), self.engine.open_records(open));
        if !(records.is_empty() && open.is_empty()) {
            let commit: Commit = Box::pin(self.store.append_outcomes(records.clone(), open));
            self.recording = Some((records, commit));
        }
    }

    /// Stores all that is left to store of records, after what is being stored.
    pub(super) async fn record_rest(&mut self) {
        for _ in 0..2 {
            self.record(PersistScope::All);
            if self.recording.is_some() {
                let recorded = recorded(&mut self.recording).await;
                self.requeue_on_error(recorded);
            }
        }
    }

    /// Records that could not be stored come again.
    pub(super) fn requeue_on_error(&mut self, (records, stored): (Vec<TradeOutcome>, Result<Receipt, StoreError>)) {
        self.unrecorded = stored.is_err();
        match stored {
            Ok(_) => {
                if let Some(suppressed) = self.unrecorded_log.end() {
                    info!(suppressed, "records of signals are stored again");
                }
            }
            Err(error) => {
                if let Some(suppressed) = self.unrecorded_log.admit() {
                    warn!(%error, records = records.len(), suppressed, "records of signals could not be stored yet");
                }
                self.engine.keep_records(records);
            }
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.committing.is_none() && self.gathering.is_empty()
    }

    /// Begins to commit what has gathered, unless a commit is under way.
    pub(super) fn commit(&mut self) {
        if self.committing.is_some() || self.gathering.is_empty() {
            return;
        }
        let mut batch = std::mem::take(&mut self.gathering);
        if let Some(announce) = self.announce {
            let now = self.clock.now().wall;
            batch.published.extend(batch.changes.iter().filter_map(|change| announce(&change.signal, now)));
        }
        let signals: Vec<_> = batch.changes.iter().map(|change| change.signal.clone()).collect();
        let commit: Commit = if batch.has_nothing_to_store() {
            Box::pin(std::future::ready(Ok(Receipt { first_signal: 0, first_published: 0 })))
        } else {
            Box::pin(self.store.append(signals, batch.published.clone(), batch.notes.clone()))
        };
        self.committing = Some((batch, commit));
    }

    pub(super) async fn settle(&mut self, (batch, committed): (Batch, Result<Receipt, StoreError>)) {
        match committed {
            Ok(first) => {
                self.patience = None;
                if !batch.has_nothing_to_store()
                    && let Some(suppressed) = self.refusals_log.end()
                {
                    info!(suppressed, "signals are stored again");
                }
                self.publish_changes(&batch.changes, first.first_signal).await;
                self.pass_on(batch.published, first.first_published).await;
                for Answer { to, is } in batch.answers {
                    reply(Some(to), is.map_err(SubmitError::Rejected));
                }
            }
            Err(error) => self.rollback(batch, &error),
        }
        self.metrics.signals_pending.set(self.engine.pending() as i64);
    }

    /// What gathered meanwhile may rest on what could not be stored: both are taken back.
    fn rollback(&mut self, batch: Batch, error: &StoreError) {
        let gathered = std::mem::take(&mut self.gathering);
        if let Some(suppressed) = self.refusals_log.admit() {
            let changes = batch.changes.len() + gathered.changes.len();
            warn!(%error, changes, suppressed, "signals could not be stored");
        }
        self.engine.undo(batch.changes.into_iter().chain(gathered.changes), self.clock.now());
        for Answer { to, is } in batch.answers.into_iter().chain(gathered.answers) {
            // Prices are not stored: that they waited for a commit that failed does not undo them.
            let answer = match is {
                Ok(Accepted::Ticks(refused)) => Ok(Accepted::Ticks(refused)),
                _ => Err(SubmitError::NotStored(error.to_string())),
            };
            reply(Some(to), answer);
        }
        self.patience = Some(Instant::now() + RETRY_AFTER);
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

    async fn pass_on(&mut self, messages: Vec<RelayedMessage>, first: u64) {
        let numbered = messages.into_iter().zip(first..).map(|(message, seq)| RelayedMessage { seq, ..message });
        let publications: Vec<_> =
            numbered.map(|message| Arc::new(Envelope::unplaced(Event::RelayedMessage(Arc::new(message))))).collect();
        self.publish(&publications).await;
    }
}

pub(super) async fn committed(committing: &mut Option<(Batch, Commit)>) -> (Batch, Result<Receipt, StoreError>) {
    let Some((_, commit)) = committing else { return std::future::pending().await };
    let result = commit.await;
    let batch = committing.take().map(|(batch, _)| batch).unwrap_or_default();
    (batch, result)
}

pub(super) async fn recorded(
    recording: &mut Option<(Vec<TradeOutcome>, Commit)>,
) -> (Vec<TradeOutcome>, Result<Receipt, StoreError>) {
    let Some((_, commit)) = recording else { return std::future::pending().await };
    let result = commit.await;
    let records = recording.take().map(|(records, _)| records).unwrap_or_default();
    (records, result)
}

pub(super) fn reply(to: Option<oneshot::Sender<Result<Accepted, SubmitError>>>, answer: Result<Accepted, SubmitError>) {
    if let Some(to) = to {
        // Whoever asked may have left meanwhile.
        to.send(answer).ok();
    }
}
