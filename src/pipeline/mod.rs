//! The single writer: one loop processes all inputs in order.
//!
//! Commit, then publish, then acknowledge. While a batch is being committed, the loop goes on: it publishes prices and
//! collects further changes for the next batch, so that a burst of pushes shares a commit. A reply waits for all
//! earlier inputs, because its own may depend on them.

pub mod clock;
mod commit;
mod handle;
mod notices;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use prometheus::IntCounter;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, trace, warn};

pub use crate::domain::{Accepted, Input, Rejection};
use crate::domain::{Change, Event, Feed, Now, RelayedMessage, Signal, SourceName, Tick, TradeOutcome};
use crate::engine::{Engine, PersistScope, Processed};
use crate::hub::{Envelope, Hub};
use crate::store::{EventLog, Publisher, StoreError};
use crate::telemetry::{LogLimit, Metrics};
use crate::ticks::Keeper;
use clock::Clock;
use commit::{Commit, CommitBatch, PendingReply, committed, records_stored, reply};
pub use handle::{Handle, Request, Stopped, SubmitError};
use notices::Reporter;
pub use notices::{Feeds, LaneStatus};

/// Maximum number of requests that are received at a time.
const MAX_REQUESTS_AT_ONCE: usize = 256;
/// Events that are published before the loop yields, so that clients can drain their queues.
const PUBLISH_CHUNK: usize = 64;
/// Maximum number of replies, or of changes, that wait for a commit. At the limit no more requests are received.
const MAX_WAITING: usize = 4096;
/// How often changed bars are stored.
const SAVE_BARS_EVERY: Duration = Duration::from_secs(5);

/// An unchanged price is published again after this time.
pub const MAX_QUIET: Duration = Duration::from_secs(5);

/// Makes the messages that are published in addition to a changed signal, in the same commit.
pub type Announce = fn(&Signal, DateTime<Utc>) -> Vec<RelayedMessage>;

/// The loop and everything that it owns.
pub struct Pipeline {
    engine: Engine,
    clock: Clock,
    log: Arc<dyn EventLog>,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    reporter: Reporter,
    epoch: Arc<str>,
    announce: Option<Announce>,
    keeper: Option<Keeper>,
    next_batch: CommitBatch,
    committing: Option<(CommitBatch, Commit)>,
    retry_at: Option<Instant>,
    /// The write of records that is in progress.
    storing_records: Option<(Vec<TradeOutcome>, Commit)>,
    /// Whether the last write of records failed.
    records_failed: bool,
    /// Limits the log lines about commits that failed.
    commits_log: LogLimit,
    /// Limits the log lines about records that could not be stored.
    records_log: LogLimit,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("engine", &self.engine).field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl Pipeline {
    /// Returns a pipeline whose engine begins with the `pending` signals of the log.
    pub fn new(
        mut engine: Engine,
        clock: Clock,
        log: Arc<dyn EventLog>,
        hub: Arc<Hub>,
        metrics: Arc<Metrics>,
        pending: Vec<Signal>,
    ) -> Self {
        engine.restore(pending, clock.now());
        let epoch = hub.position().epoch;
        Self {
            engine,
            clock,
            log,
            hub,
            reporter: Reporter::new(metrics.clone(), Feeds::default()),
            metrics,
            epoch,
            announce: None,
            keeper: None,
            next_batch: CommitBatch::default(),
            committing: None,
            retry_at: None,
            storing_records: None,
            records_failed: false,
            commits_log: LogLimit::new(),
            records_log: LogLimit::new(),
        }
    }

    /// Also publishes the messages that `announce` makes of each changed signal.
    #[must_use]
    pub fn announcing(mut self, announce: Option<Announce>) -> Self {
        self.announce = announce;
        self
    }

    /// Updates `feeds` instead of a list of its own.
    #[must_use]
    pub fn reporting_to(mut self, feeds: Feeds) -> Self {
        self.reporter = Reporter::new(self.metrics.clone(), feeds);
        self
    }

    /// Gives the ticks that make bars to `keeper`, beginning now.
    #[must_use]
    pub fn keeping_ticks(mut self, keeper: Option<Keeper>) -> Self {
        if let Some(keeper) = &keeper {
            keeper.begin(self.clock.now().wall);
            self.engine = self.engine.keeping_ticks();
        }
        self.keeper = keeper;
        self
    }

    /// Returns the status of all sources, which the running pipeline updates.
    pub fn feeds(&self) -> Feeds {
        self.reporter.feeds()
    }

    /// Runs until `stop` is cancelled; then processes and commits what is left in the channel.
    ///
    /// # Errors
    /// Never fails today. Failures of the store go to the senders as [`SubmitError::NotStored`].
    pub async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        publish_interval: Duration,
        stop: CancellationToken,
    ) -> Result<(), StoreError> {
        let mut publish_tick = skipping_interval(publish_interval);
        let mut save_bars = skipping_interval(SAVE_BARS_EVERY);
        let most = MAX_REQUESTS_AT_ONCE.min(self.log.max_gathered());
        let mut received = Vec::with_capacity(most);
        while !(requests.is_closed() && requests.is_empty() && self.is_settled()) {
            let deadline = self.deadline();
            tokio::select! {
                biased;
                committed = committed(&mut self.committing), if self.committing.is_some() => self.finish_commit(committed).await,
                _ = publish_tick.tick() => self.publish_prices().await,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() && self.has_room() => {
                    self.expire();
                }
                stored = records_stored(&mut self.storing_records), if self.storing_records.is_some() => self.requeue_on_error(stored),
                _ = save_bars.tick() => {
                    self.save_bars();
                    self.store_records(PersistScope::Minutes);
                }
                count = requests.recv_many(&mut received, most), if self.has_room() => {
                    if count > 0 {
                        self.metrics.queue_depth.with_label_values(&["pipeline"]).set(requests.len() as i64);
                        self.process_requests(&mut received).await;
                    }
                }
                () = stop.cancelled(), if !requests.is_closed() => requests.close(),
            }
            self.commit();
            self.store_records(PersistScope::Entries);
        }
        self.save_bars();
        self.store_remaining_records().await;
        Ok(())
    }

    /// Whether the next batch has room. Changes that are not committed yet must not exceed what the engine keeps in
    /// memory.
    fn has_room(&self) -> bool {
        self.next_batch.replies.len().max(self.next_batch.changes.len()) < MAX_WAITING.min(self.log.max_gathered())
    }

    /// Returns when the next pending signal expires.
    fn deadline(&self) -> Option<Instant> {
        let due = self.clock.instant(self.engine.next_deadline()?)?;
        Some(self.retry_at.map_or(due, |retry_at| due.max(retry_at)))
    }

    async fn process_requests(&mut self, requests: &mut Vec<Request>) {
        let load_error = self.load_referenced_signals(requests).await;
        for Request { input, id, answer } in requests.drain(..) {
            if let (Err(error), Input::Signal { .. }) = (&load_error, &input) {
                reply(answer, Err(SubmitError::NotStored(error.clone())));
                continue;
            }
            self.process_request(input, answer).await;
            if !self.next_batch.has_nothing_to_store() {
                self.next_batch.requests.extend(id);
            }
        }
    }

    async fn process_request(&mut self, input: Input, to: Option<oneshot::Sender<Result<Accepted, SubmitError>>>) {
        let count = counter(&self.metrics, &input);
        let outcome = match (self.clock.is_recording(), input) {
            (true, Input::Ticks(ticks)) if ticks.iter().all(|tick| tick.feed == Feed::Replayed) => self.replay(&ticks),
            (true, Input::Ticks(_) | Input::Signal { .. } | Input::Publish(_)) => {
                return reply(to, Err(Rejection::Replaying.into()));
            }
            (_, input) => {
                match &input {
                    Input::Publish(messages) => self.next_batch.published.extend(messages.iter().cloned()),
                    Input::Note(notes) => self.next_batch.notes.extend(notes.iter().cloned()),
                    Input::Ticks(_) | Input::Signal { .. } => {}
                }
                self.engine.process(input, self.clock.now())
            }
        };
        if let Some(keeper) = &self.keeper {
            keeper.keep(self.engine.drain_used_ticks());
        }
        for notice in self.engine.drain_notices() {
            self.reporter.report(notice);
        }
        if let (Ok(_), Some((counter, events))) = (&outcome.answer, count) {
            counter.inc_by(events);
        }
        let changes = self.drop_known_setups(outcome.changes).await;
        self.next_batch.changes.extend(changes);
        match to {
            Some(to) if self.is_settled() => reply(Some(to), outcome.answer.map_err(SubmitError::Rejected)),
            Some(to) => self.next_batch.replies.push(PendingReply { to, is: outcome.answer }),
            None => {
                if let Err(rejection) = outcome.answer {
                    trace!(%rejection, "an input was rejected");
                }
            }
        }
    }

    /// Processes the ticks of a recording one by one, each at its own time, so that the result does not depend on
    /// batches.
    fn replay(&mut self, ticks: &[Tick]) -> Processed {
        let mut changes = Vec::new();
        for tick in ticks {
            self.clock.advance(tick.observed_at);
            changes.extend(self.engine.replay(tick, self.clock.now()));
        }
        Processed { changes, answer: Ok(Accepted::Ticks(Vec::new())) }
    }

    /// Drops the changes of setups that the log already has from an earlier run over the same prices, because a signal
    /// has one life. Returns the other changes.
    async fn drop_known_setups(&mut self, changes: Vec<Change>) -> Vec<Change> {
        let is_new =
            |change: &&Change| change.previous.is_none() && change.signal.source.as_str() == SourceName::SETUPS;
        let found: Vec<_> = changes.iter().filter(is_new).map(|change| change.signal.id.clone()).collect();
        if found.is_empty() {
            return changes;
        }
        let known = match self.log.reader().find(&found).await {
            Ok(known) => known,
            Err(error) => {
                warn!(%error, "the log cannot be read; the setups that were just found are dropped");
                self.engine.undo(changes.into_iter(), self.clock.now());
                return Vec::new();
            }
        };
        let (old, new): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| known.contains_key(&change.signal.id));
        if !old.is_empty() {
            info!(
                setups = known.len(),
                "setups are already in the log from an earlier run; they are not published again"
            );
            self.engine.undo(old.into_iter(), self.clock.now());
            self.engine.restore(known.into_values(), self.clock.now());
        }
        new
    }

    /// Loads the signals that the requests refer to and that are no longer in memory, so that a retry after a restart
    /// is recognized.
    async fn load_referenced_signals(&mut self, requests: &[Request]) -> Result<(), String> {
        let mut unknown = HashSet::new();
        for request in requests {
            if let Input::Signal { id, feed, .. } = &request.input
                && *feed != Feed::Simulated
                && !self.engine.knows(id)
            {
                unknown.insert(id.clone());
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = unknown.into_iter().collect();
        let found = self.log.reader().find(&ids).await.map_err(|error| error.to_string())?;
        self.engine.restore(found.into_values(), self.clock.now());
        Ok(())
    }

    fn expire(&mut self) {
        let changes = self.engine.expire(self.clock.now());
        self.next_batch.changes.extend(changes);
    }

    async fn publish_prices(&mut self) {
        let now: Now = self.clock.now();
        if !self.clock.is_recording() {
            self.reporter.watch_clocks(now);
        }
        let updates = self.engine.publish(now);
        let publications: Vec<_> = updates
            .into_iter()
            .map(|update| {
                trace!(symbol = %update.symbol, price = update.price, "price");
                Arc::new(Envelope::unplaced(Event::Price(update)))
            })
            .collect();
        self.publish(&publications).await;
        if self.reporter.is_due() {
            self.reporter.update_status(self.engine.lanes(now));
        }
        // A log that publishes has the hub's clock, too: it outlives this pipeline.
        if self.log.publisher() == Publisher::Caller {
            self.hub.evict_expired(now);
        }
    }

    async fn publish(&mut self, publications: &[Arc<Envelope>]) {
        for chunk in publications.chunks(PUBLISH_CHUNK) {
            self.hub.publish(chunk);
            tokio::task::yield_now().await;
        }
    }

    fn save_bars(&mut self) {
        let bars = self.engine.changed_bars();
        if !bars.is_empty() {
            self.log.save_bars(bars);
        }
    }
}

/// Returns the counter of accepted inputs, and the number of events in this one. Relayed messages do not name their
/// sender, and are counted where they arrive.
fn counter(metrics: &Metrics, input: &Input) -> Option<(IntCounter, u64)> {
    let (kind, source, events) = match input {
        Input::Ticks(ticks) => ("tick", &ticks.first()?.source, ticks.len() as u64),
        Input::Signal { source, .. } => ("signal", source, 1),
        Input::Publish(_) | Input::Note(_) => return None,
    };
    Some((metrics.events_in_total.with_label_values(&[kind, source.as_str()]), events))
}

fn skipping_interval(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval
}
