//! The single writer: everything that happens goes through this loop, in one order.
//!
//! Commit, then publish, then acknowledge. While one batch of changes is being committed the loop goes on: prices are
//! published, and further changes gather for the next batch, so that a burst of pushes shares a commit. An answer waits
//! for everything before it, because it may rest on it.

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
use crate::store::{Store, StoreError};
use crate::telemetry::{LogLimit, Metrics};
use clock::Clock;
use commit::{Answer, Batch, Commit, committed, recorded, reply};
pub use handle::{Handle, Request, Stopped, SubmitError};
use notices::Reporter;
pub use notices::{Feeds, LaneStatus};

/// Requests taken from the channel at a time.
const MAX_REQUESTS: usize = 256;
/// Events published without a yield in between, so that client queues are emptied meanwhile.
const CHUNK: usize = 64;
/// Answers, or changes, that may wait for a commit before no more are taken.
const MAX_WAITING: usize = 4096;
/// How often changed bars are handed to the store.
const SAVE_BARS_EVERY: Duration = Duration::from_secs(5);

/// An unchanged price is published again after this long.
pub const MAX_QUIET: Duration = Duration::from_secs(5);

/// What is published of a signal beside the signal itself, in the same commit.
pub type Announce = fn(&Signal, DateTime<Utc>) -> Option<RelayedMessage>;

/// The loop and all that it owns.
pub struct Pipeline {
    engine: Engine,
    clock: Clock,
    store: Arc<Store>,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    reporter: Reporter,
    epoch: Arc<str>,
    announce: Option<Announce>,
    gathering: Batch,
    committing: Option<(Batch, Commit)>,
    patience: Option<Instant>,
    /// Records that are being stored.
    recording: Option<(Vec<TradeOutcome>, Commit)>,
    /// The last ones could not be stored.
    unrecorded: bool,
    /// Of pushes that could not be stored.
    refusals_log: LogLimit,
    /// Of records that could not be stored.
    unrecorded_log: LogLimit,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("engine", &self.engine).field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl Pipeline {
    /// A pipeline whose engine begins with `pending`, as the log remembers them.
    pub fn new(
        mut engine: Engine,
        clock: Clock,
        store: Arc<Store>,
        hub: Arc<Hub>,
        metrics: Arc<Metrics>,
        pending: Vec<Signal>,
    ) -> Self {
        engine.restore(pending, clock.now());
        let epoch = hub.position().epoch;
        Self {
            engine,
            clock,
            store,
            hub,
            reporter: Reporter::new(metrics.clone()),
            metrics,
            epoch,
            announce: None,
            gathering: Batch::default(),
            committing: None,
            patience: None,
            recording: None,
            unrecorded: false,
            refusals_log: LogLimit::new(),
            unrecorded_log: LogLimit::new(),
        }
    }

    /// Publishes what `announce` makes of each change of a signal, too.
    #[must_use]
    pub fn announcing(mut self, announce: Option<Announce>) -> Self {
        self.announce = announce;
        self
    }

    /// The sources of every symbol, for as long as the pipeline runs.
    pub fn feeds(&self) -> Feeds {
        self.reporter.feeds()
    }

    /// Runs until `stop`; then takes what is in the channel, commits it, and ends.
    ///
    /// # Errors
    /// None yet that could not be survived; the store's failures are answered to those who push.
    pub async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        publish_interval: Duration,
        stop: CancellationToken,
    ) -> Result<(), StoreError> {
        let mut beat = steady(publish_interval);
        let mut save_bars = steady(SAVE_BARS_EVERY);
        let mut taken = Vec::with_capacity(MAX_REQUESTS);
        while !(requests.is_closed() && requests.is_empty() && self.is_settled()) {
            let deadline = self.deadline();
            tokio::select! {
                biased;
                committed = committed(&mut self.committing), if self.committing.is_some() => self.settle(committed).await,
                _ = beat.tick() => self.publish_prices().await,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() && self.has_room() => {
                    self.expire();
                }
                recorded = recorded(&mut self.recording), if self.recording.is_some() => self.requeue_on_error(recorded),
                _ = save_bars.tick() => {
                    self.save_bars();
                    self.record(PersistScope::Minutes);
                }
                count = requests.recv_many(&mut taken, MAX_REQUESTS), if self.has_room() => {
                    if count > 0 {
                        self.metrics.queue_depth.with_label_values(&["pipeline"]).set(requests.len() as i64);
                        self.take(&mut taken).await;
                    }
                }
                () = stop.cancelled(), if !requests.is_closed() => requests.close(),
            }
            self.commit();
            self.record(PersistScope::Entries);
        }
        self.save_bars();
        self.record_rest().await;
        Ok(())
    }

    /// Whether more may gather while a commit is under way: what is not stored yet must not leave the engine's memory.
    fn has_room(&self) -> bool {
        self.gathering.answers.len().max(self.gathering.changes.len()) < MAX_WAITING
    }

    /// When the next pending signal ends by itself.
    fn deadline(&self) -> Option<Instant> {
        let due = self.clock.instant(self.engine.next_deadline()?)?;
        Some(self.patience.map_or(due, |patience| due.max(patience)))
    }

    async fn take(&mut self, taken: &mut Vec<Request>) {
        let lost = self.recall_spoken_of(taken).await;
        for Request { input, answer } in taken.drain(..) {
            if let (Err(error), Input::Signal { .. }) = (&lost, &input) {
                reply(answer, Err(SubmitError::NotStored(error.clone())));
                continue;
            }
            self.take_one(input, answer).await;
        }
    }

    async fn take_one(&mut self, input: Input, to: Option<oneshot::Sender<Result<Accepted, SubmitError>>>) {
        let count = counter(&self.metrics, &input);
        let outcome = match (self.clock.is_recording(), input) {
            (true, Input::Ticks(ticks)) if ticks.iter().all(|tick| tick.feed == Feed::Replayed) => self.replay(&ticks),
            (true, Input::Ticks(_) | Input::Signal { .. } | Input::Publish(_)) => {
                return reply(to, Err(Rejection::Replaying.into()));
            }
            (_, input) => {
                match &input {
                    Input::Publish(messages) => self.gathering.published.extend(messages.iter().cloned()),
                    Input::Note(notes) => self.gathering.notes.extend(notes.iter().cloned()),
                    Input::Ticks(_) | Input::Signal { .. } => {}
                }
                self.engine.process(input, self.clock.now())
            }
        };
        for notice in self.engine.take_notices() {
            self.reporter.report(notice);
        }
        if let (Ok(_), Some((taken, events))) = (&outcome.answer, count) {
            taken.inc_by(events);
        }
        let changes = self.unknown_to_the_log(outcome.changes).await;
        self.gathering.changes.extend(changes);
        match to {
            Some(to) if self.is_settled() => reply(Some(to), outcome.answer.map_err(SubmitError::Rejected)),
            Some(to) => self.gathering.answers.push(Answer { to, is: outcome.answer }),
            None => {
                if let Err(rejection) = outcome.answer {
                    trace!(%rejection, "an input was not taken");
                }
            }
        }
    }

    /// Takes ticks of a recording one by one, each at its own time: how they are batched must not matter.
    fn replay(&mut self, ticks: &[Tick]) -> Processed {
        let mut changes = Vec::new();
        for tick in ticks {
            self.clock.advance(tick.observed_at);
            changes.extend(self.engine.replay(tick, self.clock.now()));
        }
        Processed { changes, answer: Ok(Accepted::Ticks(Vec::new())) }
    }

    /// The changes without those of setups that the log knows from an earlier run over the same prices: a signal has one
    /// life.
    async fn unknown_to_the_log(&mut self, changes: Vec<Change>) -> Vec<Change> {
        let is_new =
            |change: &&Change| change.previous.is_none() && change.signal.source.as_str() == SourceName::SETUPS;
        let found: Vec<_> = changes.iter().filter(is_new).map(|change| change.signal.id.clone()).collect();
        if found.is_empty() {
            return changes;
        }
        let known = match self.store.reader().find(&found).await {
            Ok(known) => known,
            Err(error) => {
                warn!(%error, "cannot ask the log: setups just found are left out");
                self.engine.undo(changes.into_iter(), self.clock.now());
                return Vec::new();
            }
        };
        let (old, new): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| known.contains_key(&change.signal.id));
        if !old.is_empty() {
            info!(setups = known.len(), "found again what the log has of an earlier run");
            self.engine.undo(old.into_iter(), self.clock.now());
            self.engine.restore(known.into_values(), self.clock.now());
        }
        new
    }

    /// Reads signals that are spoken of and have left memory from the log, so that a retry after a restart is known.
    async fn recall_spoken_of(&mut self, taken: &[Request]) -> Result<(), String> {
        let mut unknown = HashSet::new();
        for request in taken {
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
        let found = self.store.reader().find(&ids).await.map_err(|error| error.to_string())?;
        self.engine.restore(found.into_values(), self.clock.now());
        Ok(())
    }

    fn expire(&mut self) {
        let changes = self.engine.expire(self.clock.now());
        self.gathering.changes.extend(changes);
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
            self.reporter.tell(self.engine.lanes(now));
        }
        self.hub.tidy(now);
    }

    async fn publish(&mut self, publications: &[Arc<Envelope>]) {
        for chunk in publications.chunks(CHUNK) {
            self.hub.publish(chunk);
            tokio::task::yield_now().await;
        }
    }

    fn save_bars(&mut self) {
        let bars = self.engine.changed_bars();
        if !bars.is_empty() {
            self.store.save_bars(bars);
        }
    }
}

/// Where an input is counted once it is taken, and as how many events. Published messages do not say who sent them: they
/// are counted where they come in.
fn counter(metrics: &Metrics, input: &Input) -> Option<(IntCounter, u64)> {
    let (kind, source, events) = match input {
        Input::Ticks(ticks) => ("tick", &ticks.first()?.source, ticks.len() as u64),
        Input::Signal { source, .. } => ("signal", source, 1),
        Input::Publish(_) | Input::Note(_) => return None,
    };
    Some((metrics.events_in_total.with_label_values(&[kind, source.as_str()]), events))
}

fn steady(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval
}
