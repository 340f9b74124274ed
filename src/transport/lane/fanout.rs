//! The fan-out: one task per worker thread, each over its share of the lanes.

use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use std::{cmp, fmt};

use axum::extract::ws::Utf8Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::batch::{Batch, EncodedFrames, Slot};
use super::{DeliveryOutcome, Lane, Tally};
use crate::hub::{Envelope, Outbox, Sink, Topics};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// Time between two searches for lanes that are closed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Deliveries between two yields, so that the other tasks of the worker go on.
const STRIDE: usize = 32;
/// Batches that may wait for one task. Beyond it they become one batch, with the newest of each state.
const MAX_BATCHES: usize = 256;

/// Encodes events for all clients of one encoding.
pub trait Encode: Send + Sync + fmt::Debug {
    /// Passes each message of an event to `message`: none, one or several.
    fn encode(&self, envelope: &Arc<Envelope>, message: &mut dyn FnMut(&str));

    /// Returns the transport, a metric label, and the label of the states that a newer one has replaced.
    fn labels(&self) -> (&'static str, &'static str);
}

/// The encoding of a native endpoint.
pub type NativeEncoding = fn(&Arc<Envelope>) -> &[Utf8Bytes];

impl Encode for NativeEncoding {
    fn encode(&self, envelope: &Arc<Envelope>, message: &mut dyn FnMut(&str)) {
        for text in self(envelope) {
            message(text.as_str());
        }
    }

    fn labels(&self) -> (&'static str, &'static str) {
        ("native", "outbox_states")
    }
}

/// Delivers batches to lanes.
#[derive(Debug, Clone)]
pub struct Fanout(Arc<FanoutState>);

#[derive(Debug)]
struct FanoutState {
    shards: Box<[Shard]>,
    encoders: Box<[Box<dyn Encode>]>,
    metrics: Arc<Metrics>,
    /// The shard that gets the next lane.
    next: AtomicUsize,
    /// The number of the last published event.
    published: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    inbox: Mutex<Inbox>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Inbox {
    joined: Vec<(Weak<Lane>, Slot)>,
    /// Clients whose tasks encode their events themselves.
    outboxes: Vec<Weak<Outbox>>,
    /// Lanes that hold states back until then.
    held: Vec<(Instant, Weak<Lane>)>,
    /// The batches that are not delivered to all lanes yet. The task delivers the first one, and removes it afterwards.
    batches: VecDeque<Arc<EncodedBatch>>,
}

/// A batch, encoded when the first client needs it.
#[derive(Debug)]
struct EncodedBatch {
    batch: Batch,
    frames: Box<[OnceLock<EncodedFrames>]>,
}

impl Fanout {
    /// Returns a fan-out of this many tasks, with the encoders of all slots.
    pub fn new(shards: usize, encoders: Vec<Box<dyn Encode>>, metrics: Arc<Metrics>) -> Self {
        let shards = (0..shards.max(1)).map(|_| Shard::default()).collect();
        Self(Arc::new(FanoutState {
            shards,
            encoders: encoders.into(),
            metrics,
            next: AtomicUsize::new(0),
            published: AtomicU64::new(0),
        }))
    }

    /// Spawns the tasks. They end when the tasks stop.
    pub fn spawn(&self, tasks: &Tasks) {
        for index in 0..self.0.shards.len() {
            let (fanout, stop) = (self.clone(), tasks.stopping());
            tasks.spawn("fan-out", async move {
                stop.run_until_cancelled(fanout.run(index)).await;
                Ok::<_, std::convert::Infallible>(())
            });
        }
    }

    /// Returns the task for the next lane.
    pub fn next_shard(&self) -> usize {
        self.0.next.fetch_add(1, Ordering::Relaxed) % self.0.shards.len()
    }

    /// Delivers to a lane what its task has not delivered yet. Call it under the lock that excludes publishing: afterwards
    /// everything that was published has been delivered.
    pub fn settle(&self, lane: &Arc<Lane>) {
        let slots = lane.slots();
        if slots.is_empty() {
            return;
        }
        let shard = &self.0.shards[lane.shard];
        let batches = shard.inbox.lock().batches.clone();
        for batch in &batches {
            for slot in &slots {
                let (frames, mut tally) = (self.frames(batch, *slot), Tally::default());
                let outcome = lane.deliver(*slot, &batch.batch, frames, Instant::now(), &mut tally);
                self.count(*slot, tally);
                if let DeliveryOutcome::Later(when) = outcome {
                    shard.inbox.lock().held.push((when, Arc::downgrade(lane)));
                    shard.wake.notify_one();
                }
            }
        }
    }

    /// Sets what a client gets in an encoding, of everything that is published from now on. Empty topics end the
    /// subscription. Call it under the lock that excludes publishing, after [`settle`](Self::settle).
    pub fn subscribe(&self, lane: &Arc<Lane>, slot: Slot, topics: Topics) {
        if lane.subscribe(slot, topics, self.0.published.load(Ordering::Acquire)) {
            let shard = &self.0.shards[lane.shard];
            shard.inbox.lock().joined.push((Arc::downgrade(lane), slot));
            shard.wake.notify_one();
        }
    }

    /// Adds a client whose task encodes its events itself, until the outbox is dropped.
    pub fn join(&self, outbox: &Arc<Outbox>) {
        let shard = self.shard_of(outbox);
        shard.inbox.lock().outboxes.push(Arc::downgrade(outbox));
        shard.wake.notify_one();
    }

    /// Offers an outbox what its task has not offered yet, like [`settle`](Self::settle). Call it before something is put
    /// into the outbox, and before its topics change.
    pub fn settle_outbox(&self, outbox: &Arc<Outbox>) {
        let batches = self.shard_of(outbox).inbox.lock().batches.clone();
        for batch in &batches {
            outbox.offer(&batch.batch.0);
        }
    }

    /// Returns the task that fills an outbox.
    fn shard_of(&self, outbox: &Arc<Outbox>) -> &Shard {
        // Allocations are aligned.
        &self.0.shards[(Arc::as_ptr(outbox).addr() >> 6) % self.0.shards.len()]
    }

    /// Sends events to one client, whatever it has subscribed to: a snapshot or a replay. Call it under the lock that
    /// excludes publishing, after [`settle`](Self::settle).
    pub fn put(&self, lane: &Arc<Lane>, slot: Slot, events: &[Arc<Envelope>]) {
        lane.seal();
        let tally = self.put_behind_gate(lane, slot, events);
        self.count(slot, tally);
    }

    /// Sends events to one client behind the marker that is under way, in place of the engine: nothing is encoded for this
    /// client alone, and the engine's buffers stay small. Call it under the lock that excludes publishing, after
    /// [`Lane::close_gate`].
    pub fn put_behind_gate(&self, lane: &Arc<Lane>, slot: Slot, events: &[Arc<Envelope>]) -> Tally {
        let encoder = &self.0.encoders[usize::from(slot.0)];
        let frames = EncodedFrames::of(&Batch::new(0, events), encoder.as_ref());
        lane.send(frames.parts().map(|(range, _)| frames.all.slice(range)));
        let ordered = frames.len() as u64 - frames.states;
        Tally { ordered, states: frames.states, conflated: 0 }
    }

    fn count(&self, slot: Slot, Tally { ordered, states, conflated }: Tally) {
        let (transport, queue) = self.0.encoders[usize::from(slot.0)].labels();
        let metrics = &self.0.metrics;
        metrics.deliveries_total.with_label_values(&["ordered", transport]).inc_by(ordered);
        metrics.deliveries_total.with_label_values(&["state", transport]).inc_by(states);
        metrics.dropped_total.with_label_values(&[queue]).inc_by(conflated);
    }

    /// Hands a batch to all tasks. Does not wait. Calls must not overlap.
    pub fn publish(&self, events: &[Arc<Envelope>]) {
        let before = self.0.published.fetch_add(events.len() as u64, Ordering::AcqRel);
        let batch = Arc::new(EncodedBatch::new(Batch::new(before + 1, events), self.0.encoders.len()));
        for shard in &self.0.shards {
            shard.inbox.lock().push(batch.clone());
            shard.wake.notify_one();
        }
    }

    fn frames<'a>(&self, batch: &'a EncodedBatch, slot: Slot) -> &'a EncodedFrames {
        let index = usize::from(slot.0);
        batch.frames[index].get_or_init(|| EncodedFrames::of(&batch.batch, self.0.encoders[index].as_ref()))
    }

    /// Returns how many batches wait, and their events.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> (usize, usize) {
        let inbox = self.0.shards[0].inbox.lock();
        (inbox.batches.len(), inbox.batches.iter().map(|batch| batch.batch.0.len()).sum())
    }

    async fn run(&self, index: usize) {
        let shard = &self.0.shards[index];
        let mut members: Vec<Vec<Weak<Lane>>> = self.0.encoders.iter().map(|_| Vec::new()).collect();
        let (mut outboxes, mut due, mut swept) = (Vec::new(), Due::default(), Instant::now());
        loop {
            let sweep = swept + SWEEP_INTERVAL;
            tokio::select! {
                () = shard.wake.notified() => {}
                () = sleep_until(due.next().map_or(sweep, |next| next.min(sweep))) => {}
            }
            if sweep <= Instant::now() {
                members.iter_mut().for_each(remove_closed);
                swept = Instant::now();
            }
            loop {
                let next = {
                    let mut inbox = shard.inbox.lock();
                    for (lane, slot) in inbox.joined.drain(..) {
                        members[usize::from(slot.0)].push(lane);
                    }
                    outboxes.append(&mut inbox.outboxes);
                    inbox.held.drain(..).for_each(|(when, lane)| due.push(when, lane));
                    inbox.batches.front().cloned()
                };
                let Some(batch) = next else { break };
                offer(&batch.batch, &mut outboxes).await;
                for (slot, members) in (0..).map(Slot).zip(&mut members) {
                    if !members.is_empty() {
                        let tally = self.deliver(&batch, slot, members, &mut due).await;
                        self.count(slot, tally);
                    }
                }
                shard.inbox.lock().batches.pop_front();
                if let Some((_, newest)) = batch.batch.0.last() {
                    self.0.metrics.publish_seconds.observe(newest.age().as_secs_f64());
                }
                due.deliver(Instant::now());
            }
            due.deliver(Instant::now());
        }
    }

    async fn deliver(&self, batch: &EncodedBatch, slot: Slot, members: &mut Vec<Weak<Lane>>, due: &mut Due) -> Tally {
        let (mut tally, frames) = (Tally::default(), self.frames(batch, slot));
        if frames.is_empty() {
            return tally;
        }
        let (mut at, mut until_yield, mut now) = (0, STRIDE, Instant::now());
        while at < members.len() {
            if until_yield == 0 {
                yield_now().await;
                (until_yield, now) = (STRIDE, Instant::now());
            }
            until_yield -= 1;
            let delivery = match members[at].upgrade() {
                Some(lane) => lane.deliver(slot, &batch.batch, frames, now, &mut tally),
                None => DeliveryOutcome::Gone,
            };
            match delivery {
                DeliveryOutcome::Done => at += 1,
                DeliveryOutcome::Later(when) => {
                    due.push(when, members[at].clone());
                    at += 1;
                }
                DeliveryOutcome::Gone => {
                    members.swap_remove(at);
                }
            }
        }
        tally
    }
}

/// Offers a batch to the outboxes, and removes those that are dropped.
async fn offer(batch: &Batch, outboxes: &mut Vec<Weak<Outbox>>) {
    let mut at = 0;
    while at < outboxes.len() {
        if at % STRIDE == STRIDE - 1 {
            yield_now().await;
        }
        match outboxes[at].upgrade() {
            Some(outbox) => {
                outbox.offer(&batch.0);
                at += 1;
            }
            None => {
                outboxes.swap_remove(at);
            }
        }
    }
}

impl Sink for Fanout {
    fn deliver(&self, batch: &[Arc<Envelope>]) {
        self.publish(batch);
    }
}

impl Inbox {
    /// Puts a batch in line. When too many wait, those behind the first become one, with every ordered event and the newest
    /// of each state.
    fn push(&mut self, batch: Arc<EncodedBatch>) {
        self.batches.push_back(batch);
        if self.batches.len() <= MAX_BATCHES {
            return;
        }
        let (mut states, mut kept, mut encodings) = (HashSet::new(), Vec::new(), 0);
        for batch in self.batches.drain(1..).rev() {
            encodings = batch.frames.len();
            let is_newest = |(_, envelope): &&(u64, Arc<Envelope>)| {
                envelope.event().state_key().is_none_or(|key| states.insert(key))
            };
            kept.extend(batch.batch.0.iter().rev().filter(is_newest).cloned());
        }
        kept.reverse();
        self.batches.push_back(Arc::new(EncodedBatch::new(Batch(kept), encodings)));
    }
}

impl EncodedBatch {
    fn new(batch: Batch, encodings: usize) -> Self {
        Self { batch, frames: (0..encodings).map(|_| OnceLock::new()).collect() }
    }
}

/// Removes the lanes that are closed, and so gives back their memory: without a delivery nothing else would.
fn remove_closed(members: &mut Vec<Weak<Lane>>) {
    members.retain(|lane| lane.strong_count() > 0);
    members.shrink_to(2 * members.len());
}

/// The lanes that hold states back, by the time of the next one.
#[derive(Debug, Default)]
struct Due(BinaryHeap<DueLane>);

#[derive(Debug)]
struct DueLane {
    at: Instant,
    lane: Weak<Lane>,
}

impl Due {
    fn push(&mut self, at: Instant, lane: Weak<Lane>) {
        self.0.push(DueLane { at, lane });
    }

    fn next(&self) -> Option<Instant> {
        self.0.peek().map(|due| due.at)
    }

    /// Delivers what is due.
    fn deliver(&mut self, now: Instant) {
        while self.next().is_some_and(|next| next <= now) {
            let Some(DueLane { lane, .. }) = self.0.pop() else { return };
            if let Some(DeliveryOutcome::Later(next)) = lane.upgrade().map(|lane| lane.deliver_due(now)) {
                self.push(next, lane);
            }
        }
    }
}

impl Ord for DueLane {
    /// The earliest is the greatest, which a heap returns first.
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for DueLane {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for DueLane {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for DueLane {}
