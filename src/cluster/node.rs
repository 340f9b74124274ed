//! The task of a node: it follows the stream, becomes the writer when the lease is over, and writes. It does one thing at
//! a time, so that its copy has one order.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::append::{Appended, GIVE_UP_AFTER, PlacedMessage};
use super::apply::Trouble;
use super::lease::Lease;
use super::log::QueuedAppend;
use super::message::{Message, MessageContent, VERSION};
use super::wire::Beat;
use super::{BEAT, Handover, NodeState, Shared};
use crate::domain::Now;
use crate::hub::Hub;
use crate::pipeline::clock;
use crate::store::{Health, ReplicaPlace, Store};

/// How often the node looks at its lease and at the watchdog.
const TICK: Duration = Duration::from_millis(50);
/// How often ended signals leave the snapshot for new clients.
const EVICT_EVERY: Duration = Duration::from_millis(500);
/// The writer may be this long ahead before the node reads the stream anew.
const WATCHDOG: Duration = Duration::from_secs(1);
/// The same damage has to be found for this long before the node stops.
const DAMAGE_CONFIRMED: Duration = Duration::from_secs(30);
/// Pause before the stream is read again after a trouble.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How long the log may take to answer before this node stands.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a candidate tries to begin a term.
const CANDIDACY: Duration = Duration::from_secs(10);

/// Why the node stops reading the stream from where it does.
#[derive(Debug)]
pub(super) enum Interruption {
    /// The process stops.
    Stopping,
    /// The stream has to be read anew.
    Again(Trouble),
}

/// The state of a node's task.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) shared: Arc<Shared>,
    pub(super) store: Arc<Store>,
    pub(super) hub: Arc<Hub>,
    pub(super) place: ReplicaPlace,
    pub(super) lease: Lease,
    pub(super) appends: mpsc::Receiver<QueuedAppend>,
    pub(super) handover: watch::Receiver<Handover>,
    pub(super) started: Instant,
    /// The term in which this node writes.
    pub(super) writing: Option<u64>,
    /// Whether it has handed over, and may not become the writer again.
    pub(super) has_left: bool,
    /// The end of the stream, as far as this node has heard, and since when it has been ahead of the copy.
    pub(super) end: u64,
    pub(super) behind_since: Option<Instant>,
    /// Whether everything that the stream had when this node began to read has been applied.
    pub(super) caught_up: bool,
    /// When ended signals leave the snapshot for new clients next.
    pub(super) evict_at: Duration,
    /// Whether the log has answered since the lease is over.
    pub(super) has_probed: bool,
    /// When this node last looked at its lease.
    pub(super) watched_at: Duration,
    /// Since when the log cannot be read.
    pub(super) no_log_since: Option<Instant>,
    /// What seems to be damaged, and since when.
    pub(super) damage: Option<(String, Instant)>,
}

impl Node {
    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        loop {
            match self.follow(&stop).await {
                Interruption::Stopping => return Ok(()),
                Interruption::Again(trouble) => {
                    if let Some(reason) = self.confirmed(&trouble) {
                        self.stop_following(reason, &stop).await;
                        return Ok(());
                    }
                    if let Trouble::Damage(what) = &trouble {
                        self.step_down();
                        self.show(NodeState::NoLog(what.clone()));
                    }
                    if trouble != Trouble::Silent {
                        self.shared.metrics.cluster_rereads_total.inc();
                        debug!(%trouble, stream_seq = self.place.stream_seq, "the stream is read anew");
                    }
                    tokio::select! {
                        () = tokio::time::sleep(RETRY_PAUSE) => {}
                        () = stop.cancelled() => return Ok(()),
                    }
                }
            }
        }
    }

    /// Returns why the node must not go on, once the same answer has come for long enough.
    fn confirmed(&mut self, trouble: &Trouble) -> Option<String> {
        let what = match trouble {
            Trouble::Undecodable(..) => return Some(trouble.to_string()),
            Trouble::Damage(what) => what.clone(),
            // Once it is a consumer that was made anew.
            Trouble::Gap => format!("message {} of the stream is missing", self.place.stream_seq + 1),
            Trouble::Silent | Trouble::Disk(_) | Trouble::NoLog(_) => return None,
        };
        match &self.damage {
            Some((known, since)) if *known == what => (since.elapsed() >= DAMAGE_CONFIRMED).then_some(what),
            _ => {
                warn!(what, "the log or its copy seems to be damaged; it is read again for {DAMAGE_CONFIRMED:?}");
                self.damage = Some((what, Instant::now()));
                None
            }
        }
    }

    /// Stops following, and says so until the process stops.
    async fn stop_following(&mut self, reason: String, stop: &CancellationToken) {
        error!(
            reason,
            "this node has stopped following the cluster's log; it serves what it has. Compare the nodes with \
             `orion-server verify`, and begin this one's copy anew from another node's backup (docs/cluster.md)"
        );
        self.step_down();
        self.has_left = true;
        self.appends.close();
        self.show(NodeState::Damaged(reason));
        stop.cancelled().await;
    }

    /// Follows the stream from the copy's place until something is wrong.
    async fn follow(&mut self, stop: &CancellationToken) -> Interruption {
        let opened = tokio::select! {
            opened = self.open() => opened,
            () = stop.cancelled() => return Interruption::Stopping,
        };
        let (mut log, mut beats) = match opened {
            Ok(opened) => {
                self.no_log_since = None;
                opened
            }
            Err(trouble) => {
                if let Trouble::NoLog(why) = &trouble {
                    let since = *self.no_log_since.get_or_insert_with(Instant::now);
                    // After an election of the NATS servers the same writer can go on at once.
                    if self.writing.is_none() || since.elapsed() >= GIVE_UP_AFTER {
                        self.step_down();
                        self.show(NodeState::NoLog(why.clone()));
                    }
                }
                return Interruption::Again(trouble);
            }
        };
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut gathered = Vec::new();
        loop {
            self.show_role();
            let outcome = tokio::select! {
                biased;
                () = stop.cancelled() => return Interruption::Stopping,
                changed = self.handover.changed() => {
                    if changed.is_err() { return Interruption::Stopping; }
                    self.leave().await;
                    Ok(())
                }
                message = log.next() => self.take(message, &mut log).await,
                beat = beats.next() => match beat {
                    Some(beat) => { self.hear(&beat.payload); Ok(()) }
                    None => Err(Trouble::Silent),
                },
                _ = tick.tick() => self.watch().await,
                count = self.appends.recv_many(&mut gathered, 64) => {
                    if count == 0 { return Interruption::Stopping; }
                    self.write(std::mem::take(&mut gathered)).await
                }
            };
            let outcome = match outcome {
                // Nothing is acknowledged until this node writes: it does not wait for the next look at the lease.
                Ok(()) if self.lease.is_offered() => self.stand_when_over().await,
                outcome => outcome,
            };
            if let Err(trouble) = outcome {
                return Interruption::Again(trouble);
            }
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn renew_lease(&mut self) {
        self.has_probed = false;
        self.lease.renew(self.now());
    }

    /// Looks at the watchdog and at the lease.
    async fn watch(&mut self) -> Result<(), Trouble> {
        if self.now() >= self.evict_at {
            self.evict_at = self.now() + EVICT_EVERY;
            self.hub.evict_expired(Now { wall: clock::wall(), mono: self.now() });
        }
        if self.behind_since.is_some_and(|since| since.elapsed() > WATCHDOG) {
            self.behind_since = None;
            self.shared.metrics.cluster_rereads_total.inc();
            return Err(Trouble::Silent);
        }
        // Whoever was cut off or stood still has heard no beats: the lease begins anew.
        let stood_still = self.now().saturating_sub(self.watched_at) > self.shared.lease / 2;
        if stood_still || !self.shared.is_connected() {
            self.renew_lease();
        }
        self.watched_at = self.now();
        self.stand_when_over().await
    }

    /// Tries to become the writer once the lease is over, unless the stream is known to have more than the copy.
    async fn stand_when_over(&mut self) -> Result<(), Trouble> {
        let is_at_end = self.caught_up && self.end <= self.place.stream_seq;
        let may_write = !self.has_left && self.store.health() == Health::Ok && self.shared.is_connected();
        if self.writing.is_none() && is_at_end && may_write && self.lease.is_over(self.now()) {
            if self.has_probed || self.lease.is_offered() {
                return self.stand().await;
            }
            self.probe().await;
        }
        Ok(())
    }

    /// Finds out whether the log answers, before this node stands: the silence may be its own connection's. Beats that
    /// come with the answer renew the lease.
    async fn probe(&mut self) {
        let found = timeout(PROBE_TIMEOUT, super::connection::stream(&self.shared.context)).await;
        if matches!(found, Ok(Ok(_))) {
            self.has_probed = true;
        } else {
            self.renew_lease();
        }
    }

    /// Tries to begin the next term.
    async fn stand(&mut self) -> Result<(), Trouble> {
        self.show(NodeState::Candidate);
        let term = self.place.term + 1;
        let message = self.message(term, MessageContent::Term);
        let Ok(payload) = message.encode() else { return Ok(()) };
        let outcome = self.send(term, payload.clone(), CANDIDACY).await;
        self.renew_lease();
        match outcome {
            Appended::Done => {
                self.apply(vec![(self.place.stream_seq + 1, payload)]).await?;
                self.writing = Some(term);
                self.shared.metrics.cluster_takeovers_total.inc();
                info!(term, "this node is the writer of the cluster");
            }
            Appended::Fenced => debug!(term, "another node was faster"),
            Appended::Unknown(why) => {
                warn!(term, why, "this node could not become the writer: the log does not answer");
            }
        }
        Ok(())
    }

    pub(super) fn message(&self, term: u64, content: MessageContent) -> Message {
        let (epoch, node) = (self.place.epoch.clone(), self.shared.name.to_string());
        Message { v: VERSION, epoch, term, node, content }
    }

    /// Appends a message after the copy's place.
    pub(super) async fn send(&self, term: u64, payload: Bytes, time_limit: Duration) -> Appended {
        let after = self.place.stream_seq;
        let id = format!("{}.{term}.{}.{}", self.place.epoch, self.shared.name, after + 1);
        let fenced = !self.shared.unfenced;
        let timer = self.shared.metrics.cluster_append_seconds.start_timer();
        let outcome = PlacedMessage { id: &id, payload, after, fenced }.send(&self.shared.context, time_limit).await;
        match &outcome {
            Appended::Done => timer.observe_duration(),
            Appended::Fenced | Appended::Unknown(_) => drop(timer.stop_and_discard()),
        }
        outcome
    }

    /// Sends everything that can be waited for no longer, and lets another node take over.
    async fn leave(&mut self) {
        if *self.handover.borrow_and_update() != Handover::Released || self.has_left {
            return;
        }
        self.has_left = true;
        if let Some(term) = self.writing {
            self.step_down();
            let beat = Beat {
                epoch: self.place.epoch.clone(),
                term,
                node: self.shared.name.to_string(),
                stream_seq: self.place.stream_seq,
                leaving: true,
                successor: self.shared.successor.lock().clone(),
            };
            self.shared.publish(BEAT, &beat).await;
            info!(term, to = beat.successor, "this node has handed over: another one becomes the writer");
        }
        if timeout(super::connection::REQUEST_TIMEOUT, self.shared.client.flush()).await.is_err() {
            warn!("the NATS server does not answer while this node leaves");
        }
        self.show_role();
    }

    /// Writes no longer.
    pub(super) fn step_down(&mut self) {
        if self.writing.take().is_some() {
            self.renew_lease();
        }
    }

    fn show_role(&mut self) {
        if self.writing.is_some_and(|term| term != self.place.term) {
            info!(term = self.place.term, writer = self.place.writer, "another node writes now");
            self.step_down();
        }
        self.show(match self.writing {
            Some(_) => NodeState::Writer,
            None if !self.caught_up => NodeState::CatchingUp,
            None => NodeState::Follower,
        });
    }

    fn show(&self, state: NodeState) {
        let metrics = &self.shared.metrics;
        let (place, end) = (&self.place, self.end.max(self.place.stream_seq));
        self.shared.view.send_if_modified(|view| {
            let next = super::View {
                state,
                term: place.term,
                writer: if *place.writer == *view.writer { view.writer.clone() } else { place.writer.as_str().into() },
                stream_seq: place.stream_seq,
                stream_end: end,
                has_left: self.has_left,
            };
            let changed = *view != next;
            if changed {
                metrics.cluster_term.set(next.term as i64);
                metrics.cluster_lag.set(next.lag() as i64);
                metrics.cluster_writer.set(next.is_writer().into());
                *view = next;
            }
            changed
        });
    }
}
