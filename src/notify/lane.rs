//! A lane: what goes to one receiver of a channel. It reads the log from its own cursor, so that a slow service only
//! lags, and saves the cursor in the log after each message that was taken.
//!
//! The marks of a lane are notes in the log (as those of the streams without cursors): the last event and the last
//! record that are done, the number of each message that can be edited, and the targets that were told. They are
//! committed with the log, are in its backups, and in a cluster every node has them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::rules::LaneRules;
use super::service::{NoticeMessage, NoticeService, Receipt, SendFault};
use super::status::LaneStates;
use super::text::SignalNotice;
use crate::domain::{Input, NoticeStep, Signal, SignalId, TradeOutcome, UserNote, WallClock};
use crate::pipeline::Handle;
use crate::store::{Reader, SignalChange, StoreError};
use crate::telemetry::{LogLimit, Metrics};

/// How many events or records are read at a time.
const BATCH: usize = 64;
/// How often open records are looked at, and the log without having been woken.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How often a node that does not send looks whether it should.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// The cursor is also saved this long after events that no message was sent for.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);
/// Failures in a row after which a lane counts as failing.
pub(super) const FAILING_AFTER: u32 = 3;
/// A pause from which on a lane counts as failing, too.
const LONG_PAUSE: Duration = Duration::from_mins(1);
/// The namespace of the keys of messages.
const KEYS: Uuid = Uuid::from_u128(0x6f72_696f_6e2d_4e6f_8469_6365_732d_7631);

/// The first and the longest pauses between attempts.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryPauses {
    pub(super) first: Duration,
    pub(super) longest: Duration,
    /// The first pause after a refusal.
    pub(super) refused: Duration,
}

impl Default for RetryPauses {
    fn default() -> Self {
        let (first, longest) = (Duration::from_secs(1), Duration::from_mins(5));
        Self { first, longest, refused: Duration::from_secs(30) }
    }
}

/// What all lanes share.
#[derive(Clone)]
pub(super) struct LaneContext {
    pub(super) log: Reader,
    pub(super) handle: Handle,
    /// Tells that there may be new events.
    pub(super) news: watch::Receiver<u64>,
    /// Whether this process is the one that sends.
    pub(super) sends: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Ends the lanes after the message that they send.
    pub(super) stop: CancellationToken,
    pub(super) epoch: Arc<str>,
    pub(super) states: LaneStates,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: WallClock,
    pub(super) pauses: RetryPauses,
}

/// One receiver of a channel.
pub(super) struct NoticeLane {
    pub(super) channel: &'static str,
    /// What the names of its marks begin with.
    pub(super) mark: String,
    pub(super) rules: LaneRules,
    pub(super) service: Arc<dyn NoticeService>,
    /// Its index among the states.
    pub(super) state: usize,
    pub(super) context: Arc<LaneContext>,
    /// Limits the log lines about what is too old.
    pub(super) too_old: LogLimit,
}

/// How far a lane is.
#[derive(Debug, Default)]
struct LanePlace {
    events: u64,
    records: u64,
    /// The targets that were told of signals whose record is open.
    hits: BTreeMap<SignalId, usize>,
    /// What was saved of `events` and `records`, and when.
    saved: (u64, u64),
    saved_at: Option<Instant>,
    failures: u32,
}

/// Why a lane has to begin again from its cursor.
enum Setback {
    /// After this pause.
    Pause(Duration),
    /// Another process sends now.
    Replaced,
}

impl From<StoreError> for Setback {
    fn from(error: StoreError) -> Self {
        tracing::debug!(%error, "notices wait: the log cannot be read");
        Self::Pause(IDLE_INTERVAL)
    }
}

impl NoticeLane {
    /// Sends until the notices are stopped.
    pub(super) async fn run(self) {
        let stop = &self.context.stop;
        while !stop.is_cancelled() {
            // Whoever sends begins where the log says that the last one stood.
            let loaded = if self.sends() { self.load().await.ok() } else { None };
            if let Some(place) = loaded {
                self.send_while_allowed(place).await;
                self.context.states.set(self.state, |state| (state.waiting_since, state.problem) = (None, None));
            } else {
                stop.run_until_cancelled(sleep(IDLE_INTERVAL)).await;
            }
        }
    }

    async fn send_while_allowed(&self, mut place: LanePlace) {
        let (mut news, stop) = (self.context.news.clone(), &self.context.stop);
        while self.sends() {
            news.mark_unchanged();
            match self.round(&mut place).await {
                Ok(()) => {
                    stop.run_until_cancelled(timeout(LOOK_INTERVAL, news.changed())).await;
                }
                Err(Setback::Pause(pause)) => {
                    stop.run_until_cancelled(sleep(pause)).await;
                }
                Err(Setback::Replaced) => return,
            }
        }
    }

    /// Whether this process is the one that sends, and is not about to stop.
    fn sends(&self) -> bool {
        !self.context.stop.is_cancelled() && (self.context.sends)()
    }

    /// Reads the cursor. A channel that is new begins with what happens from now on.
    async fn load(&self) -> Result<LanePlace, Setback> {
        let log = &self.context.log;
        let (last_event, last_record) = log.last_entries().await?;
        let (events, records) = (log.seen(&self.mark).await?, log.seen(&self.records_mark()).await?);
        let is_new = events.is_none() || records.is_none();
        let mut place = LanePlace {
            events: events.unwrap_or(last_event).min(last_event),
            records: records.unwrap_or(last_record).min(last_record),
            ..LanePlace::default()
        };
        if is_new {
            self.save(&mut place, Vec::new()).await?;
        }
        place.saved = (place.events, place.records);
        Ok(place)
    }

    /// Tells everything that the log has after the cursor.
    async fn round(&self, place: &mut LanePlace) -> Result<(), Setback> {
        let log = &self.context.log;
        loop {
            let changes = log.changes_after(place.events, BATCH).await?;
            if changes.is_empty() {
                break;
            }
            for change in changes {
                // The newer state is edited in at once.
                let is_outdated = self.service.edits() && change.latest > change.seq;
                if !is_outdated {
                    self.on_event(place, &change).await?;
                }
                place.events = place.events.max(change.seq);
            }
        }
        self.on_targets(place).await?;
        loop {
            let records = log.outcomes_after(place.records, BATCH).await?;
            if records.is_empty() {
                break;
            }
            for (seq, outcome) in records {
                self.on_record(place, seq, outcome).await?;
                place.records = place.records.max(seq);
            }
        }
        self.context.states.set(self.state, |state| state.waiting_since = None);
        let is_due = place.saved_at.is_none_or(|at| at.elapsed() >= SAVE_INTERVAL);
        if is_due && place.saved != (place.events, place.records) {
            self.save(place, Vec::new()).await?;
        }
        Ok(())
    }

    async fn on_event(&self, place: &mut LanePlace, change: &SignalChange) -> Result<(), Setback> {
        let done = (change.seq, place.records);
        self.tell(place, SignalNotice::of(&change.signal), change.seq, done, None).await
    }

    /// Tells the targets that open signals have reached since the last look.
    async fn on_targets(&self, place: &mut LanePlace) -> Result<(), Setback> {
        if !self.service.edits() && !self.rules.tells(NoticeStep::Target) {
            return Ok(());
        }
        let open = self.context.log.open_signals().await?;
        place.hits.retain(|id, _| open.iter().any(|(signal, _)| signal.id == *id));
        for (signal, hits) in open {
            if hits == 0 || place.hits.get(&signal.id) == Some(&hits) {
                continue;
            }
            let mark = self.targets_mark(&signal.id);
            let told = self.context.log.seen(&mark).await?.unwrap_or_default();
            let id = signal.id.clone();
            if told < hits as u64 {
                let at = (self.context.clock)();
                let notice = SignalNotice { step: NoticeStep::Target, signal, targets_hit: hits, outcome: None, at };
                let mark = note(mark, hits as u64);
                self.tell(place, notice, hits as u64, (place.events, place.records), Some(mark)).await?;
            }
            place.hits.insert(id, hits);
        }
        Ok(())
    }

    async fn on_record(&self, place: &mut LanePlace, seq: u64, outcome: TradeOutcome) -> Result<(), Setback> {
        let mut found = self.context.log.find(std::slice::from_ref(&outcome.signal)).await?;
        // Without its signal, which was pruned, there is nothing to tell.
        let Some(signal) = found.remove(&outcome.signal) else { return Ok(()) };
        let (at, targets_hit) = (outcome.closed_at, outcome.targets_hit);
        let notice = SignalNotice { step: NoticeStep::Closed, signal, targets_hit, outcome: Some(outcome), at };
        self.tell(place, notice, seq, (place.events, seq), None).await
    }

    /// Sends or edits a message, if the rules say so. `number` tells it from the other messages of its step and signal;
    /// `done` is the cursor after it, and `mark` what is saved with it.
    async fn tell(
        &self,
        place: &mut LanePlace,
        notice: SignalNotice,
        number: u64,
        done: (u64, u64),
        mark: Option<UserNote>,
    ) -> Result<(), Setback> {
        let message_mark = self.message_mark(&notice.signal.id);
        let earlier = if self.service.edits() { self.context.log.seen(&message_mark).await? } else { None };
        if earlier.is_none() {
            let now = (self.context.clock)();
            if let Some(reason) = self.rules.skips(&notice, now) {
                self.context.metrics.notify_skipped_total.with_label_values(&[self.channel, reason]).inc();
                if let ("old", Some(suppressed)) = (reason, self.too_old.admit()) {
                    tracing::warn!(channel = self.channel, signal = %notice.signal.id, suppressed, "a notice is older than max_age and is not sent");
                }
                return Ok(());
            }
        }
        if !self.sends() {
            return Err(Setback::Replaced);
        }
        let Some(receipt) = self.attempt(place, &notice, number, earlier).await? else { return Ok(()) };
        let id = receipt.id.filter(|id| self.service.edits() && earlier != Some(*id));
        let marks = id.map(|id| note(message_mark, id)).into_iter().chain(mark).collect();
        (place.events, place.records) = done;
        self.save(place, marks).await?;
        // Counted when it cannot be sent again any more.
        let LaneContext { metrics, .. } = &*self.context;
        let counter = if receipt.edited { &metrics.notify_edited_total } else { &metrics.notify_sent_total };
        counter.with_label_values(&[self.channel]).inc();
        if !receipt.pause.is_zero() {
            self.context.stop.run_until_cancelled(sleep(receipt.pause)).await;
        }
        Ok(())
    }

    /// Makes one attempt. `None`: the service will never take this message.
    async fn attempt(
        &self,
        place: &mut LanePlace,
        notice: &SignalNotice,
        number: u64,
        earlier: Option<u64>,
    ) -> Result<Option<Receipt>, Setback> {
        let LaneContext { states, metrics, .. } = &*self.context;
        states.set(self.state, |state| state.waiting_since = Some(notice.at));
        for limit in self.service.limits() {
            if self.context.stop.run_until_cancelled(limit.turn()).await.is_none() {
                return Err(Setback::Replaced);
            }
        }
        let message = NoticeMessage {
            key: self.key(notice, number),
            notice,
            title: self.rules.style.headline(notice),
            text: self.rules.style.text(notice, |text| self.service.escape(text)),
        };
        let fault = match self.service.deliver(&message, earlier).await {
            Ok(receipt) => {
                self.recovered(place);
                return Ok(Some(receipt));
            }
            Err(fault) => fault,
        };
        let pauses = self.context.pauses;
        let (counter, base, asked) = match &fault {
            SendFault::Unusable(why) => {
                tracing::warn!(channel = self.channel, signal = %notice.signal.id, why, "a notice was rejected and is left out");
                metrics.notify_failed_total.with_label_values(&[self.channel]).inc();
                return Ok(None);
            }
            SendFault::Refused { .. } => (&metrics.notify_failed_total, pauses.refused, None),
            SendFault::Transient { after, .. } => (&metrics.notify_retried_total, pauses.first, *after),
        };
        let is_refusal = matches!(fault, SendFault::Refused { .. });
        self.failed(place, &fault, is_refusal || asked.is_some_and(|pause| pause >= LONG_PAUSE));
        counter.with_label_values(&[self.channel]).inc();
        let pause = asked.unwrap_or_else(|| backed_off(base, pauses.longest, place.failures));
        Err(Setback::Pause(pause))
    }

    /// Notes a failure. `is_lasting`: it will not be over soon.
    fn failed(&self, place: &mut LanePlace, fault: &SendFault, is_lasting: bool) {
        place.failures = place.failures.saturating_add(1);
        let failures = place.failures;
        let is_failing = is_lasting || failures >= FAILING_AFTER;
        if is_lasting && failures == 1 || failures == FAILING_AFTER {
            tracing::warn!(channel = self.channel, why = %fault, "notices cannot be sent; they are tried again until notify.{}.max_age", self.channel);
        } else {
            tracing::debug!(channel = self.channel, why = %fault, failures, "a notice could not be sent; trying again");
        }
        self.context.states.set(self.state, |state| {
            state.failures = failures;
            state.problem = is_failing.then(|| fault.to_string());
        });
    }

    fn recovered(&self, place: &mut LanePlace) {
        let now = (self.context.clock)();
        if std::mem::take(&mut place.failures) >= FAILING_AFTER {
            tracing::info!(channel = self.channel, "notices are sent again");
        }
        self.context.states.set(self.state, |state| {
            (state.failures, state.problem, state.sent_at) = (0, None, Some(now));
        });
    }

    /// Saves the cursor and `marks` in the log. It does not give up: without them a message that was taken would be sent
    /// again after a restart.
    async fn save(&self, place: &mut LanePlace, marks: Vec<UserNote>) -> Result<(), Setback> {
        let mut notes = marks;
        notes.push(note(self.mark.clone(), place.events));
        notes.push(note(self.records_mark(), place.records));
        while let Err(error) = self.context.handle.submit(Input::Note(notes.clone())).await {
            tracing::debug!(channel = self.channel, %error, "the marks of the notices cannot be saved; trying again");
            sleep(IDLE_INTERVAL.min(self.context.pauses.first)).await;
        }
        place.saved = (place.events, place.records);
        place.saved_at = Some(Instant::now());
        Ok(())
    }

    /// Returns the key of a message: the same for each attempt, on each node, after each restart.
    fn key(&self, notice: &SignalNotice, number: u64) -> Uuid {
        let Signal { id, .. } = &notice.signal;
        let name =
            format!("{}\u{1f}{}\u{1f}{}\u{1f}{id}\u{1f}{number}", self.context.epoch, self.mark, notice.step.name());
        Uuid::new_v5(&KEYS, name.as_bytes())
    }

    fn records_mark(&self) -> String {
        format!("{}\u{1f}", self.mark)
    }

    fn message_mark(&self, id: &SignalId) -> String {
        format!("{}\u{1f}m{id}", self.mark)
    }

    fn targets_mark(&self, id: &SignalId) -> String {
        format!("{}\u{1f}t{id}", self.mark)
    }
}

fn note(user: String, seen: u64) -> UserNote {
    UserNote { user: user.into(), not_before: None, seen: Some(seen) }
}

/// Returns the pause before the next attempt, with some jitter.
fn backed_off(base: Duration, longest: Duration, failures: u32) -> Duration {
    let pause = base.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest.max(base));
    pause.mul_f64(rand::random_range(0.8..1.0))
}

/// Returns the age of something that happened `at`.
pub(super) fn age(now: DateTime<Utc>, at: DateTime<Utc>) -> Duration {
    (now - at).to_std().unwrap_or_default()
}
