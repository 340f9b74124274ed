//! What waits for one native client: the latest of each state, such as a symbol's price, and every ordered frame.
//!
//! A client that reads slowly loses outdated states only. When even the ordered frames would not fit, the outbox closes:
//! the client is cut, comes back, and gets what it missed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::{Envelope, Topics};
use crate::domain::StateKey;
use crate::telemetry::{Behind, Metrics, Queue};

/// Ordered frames that may wait for one client: a snapshot, the tail of a replay, and room for what is live.
const MAX_ORDERED: usize = 2048;

/// States that may wait for one client: all symbols, and more bots and balances than a page shows.
const MAX_STATES: usize = 1024;

/// The queue between the hub and one client's write loop.
#[derive(Debug)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    wake: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Waiting {
    topics: Topics,
    states: BTreeMap<StateKey, Arc<Envelope>>,
    ordered: VecDeque<Ordered>,
    /// Time between two prices of a symbol, and when each symbol had its last.
    price_interval: Option<Duration>,
    told: BTreeMap<StateKey, Instant>,
    /// Of ordered events that leave one at a time, and when the next one may.
    spacing: Option<Spacing>,
    next_ordered: Option<Instant>,
    /// An ordered event was taken and is not written yet.
    writing: bool,
    /// Since when something waits.
    since: Option<Instant>,
    closed: Option<OutboxClosed>,
}

/// An ordered thing to write.
#[derive(Debug, Clone)]
pub enum Ordered {
    /// An event, still to be put into the client's dialect.
    Event(Arc<Envelope>),
    /// A frame of this client's own, such as an answer.
    Frame(Utf8Bytes),
    /// A protocol ping that carries this number. Only native WebSockets have them.
    Ping(u64),
}

/// All that is due for a client, states first.
#[derive(Debug, Default)]
pub struct Batch {
    /// Latest prices and other states.
    pub states: Vec<Arc<Envelope>>,
    /// Ordered events and answers.
    pub ordered: Vec<Ordered>,
}

/// The least time between two ordered events of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spacing {
    /// After the client has confirmed the first.
    pub confirmed: Duration,
    /// After the first was written, as long as the client has not confirmed it.
    pub unconfirmed: Duration,
}

/// The client fell too far behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is too slow for its signals")]
pub struct OutboxClosed {
    /// Frames that waited for it.
    pub waiting: usize,
    /// Age of the oldest event among them.
    pub behind: Duration,
}

impl Outbox {
    /// An empty outbox that gets nothing yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { waiting: Mutex::default(), wake: Notify::new(), metrics }
    }

    /// What the client gets from now on. Call it inside of [`Hub::hold`](super::Hub::hold), with the snapshot.
    pub fn set_topics(&self, topics: Topics) {
        self.waiting.lock().topics = topics;
    }

    /// From now on the client gets prices of each symbol at most so often: between them the newest waits. `None` for every
    /// price.
    pub fn set_price_interval(&self, interval: Option<Duration>) {
        let mut waiting = self.waiting.lock();
        waiting.price_interval = interval;
        if interval.is_none() {
            waiting.told.clear();
        }
        drop(waiting);
        // What waits may be due earlier now.
        self.wake.notify_one();
    }

    /// From now on ordered events leave one at a time, at least so far apart: for a page that tells them apart by the time
    /// of their arrival. The others wait here. [`wrote`](Self::wrote) has to be called after each write.
    pub fn set_spacing(&self, spacing: Spacing) {
        self.waiting.lock().spacing = Some(spacing);
    }

    /// All that was taken is written: the time to the next ordered event counts from here, however long the write took.
    pub fn wrote(&self) {
        let mut waiting = self.waiting.lock();
        if std::mem::take(&mut waiting.writing) {
            waiting.next_ordered = waiting.spacing.map(|spacing| Instant::now() + spacing.unconfirmed);
        }
    }

    /// The client has confirmed the last ordered event.
    pub fn confirmed(&self) {
        let mut waiting = self.waiting.lock();
        let soon = waiting.spacing.map(|spacing| Instant::now() + spacing.confirmed);
        waiting.next_ordered = waiting.next_ordered.min(soon);
        drop(waiting);
        self.wake.notify_one();
    }

    /// What the client gets.
    pub fn topics(&self) -> Topics {
        self.waiting.lock().topics.clone()
    }

    /// Queues the publications that the client asked for, and wakes its write loop once.
    pub fn offer(&self, batch: &[Arc<Envelope>]) {
        let mut waiting = self.waiting.lock();
        let mut taken = false;
        for publication in batch {
            if waiting.topics.contain(publication.event()) {
                waiting.push(publication, &self.metrics);
                taken = true;
            }
        }
        drop(waiting);
        if taken {
            self.wake.notify_one();
        }
    }

    /// Queues publications whatever the client asked for: for a snapshot or a replay.
    pub fn put(&self, batch: impl IntoIterator<Item = Arc<Envelope>>) {
        let mut waiting = self.waiting.lock();
        for publication in batch {
            waiting.push(&publication, &self.metrics);
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// Queues a frame of the client's own, behind all ordered events.
    pub fn answer(&self, frame: Utf8Bytes) {
        let mut waiting = self.waiting.lock();
        waiting.push_ordered(Ordered::Frame(frame), &self.metrics);
        drop(waiting);
        self.wake.notify_one();
    }

    /// Queues a protocol ping behind all ordered events; its answer says that they have arrived.
    pub fn ping(&self, number: u64) {
        let mut waiting = self.waiting.lock();
        waiting.push_ordered(Ordered::Ping(number), &self.metrics);
        drop(waiting);
        self.wake.notify_one();
    }

    /// Waits until something is due and takes all of it.
    ///
    /// # Errors
    /// [`OutboxClosed`] when the client fell too far behind; what was waiting is gone.
    pub async fn due(&self) -> Result<Batch, OutboxClosed> {
        loop {
            let batch = self.take()?;
            if !batch.is_empty() {
                return Ok(batch);
            }
            let next = self.waiting.lock().next();
            match next {
                None => self.wake.notified().await,
                Some(next) => tokio::select! {
                    () = self.wake.notified() => {}
                    () = sleep_until(next) => {}
                },
            }
        }
    }

    /// Takes all that is due now.
    ///
    /// # Errors
    /// [`OutboxClosed`] when the client fell too far behind.
    pub fn take(&self) -> Result<Batch, OutboxClosed> {
        let mut waiting = self.waiting.lock();
        if let Some(closed) = waiting.closed {
            return Err(closed);
        }
        let batch = Batch { states: waiting.due_states(), ordered: waiting.due_ordered() };
        // What still waits is not behind: it has its time.
        waiting.since = None;
        Ok(batch)
    }
}

impl Queue for Outbox {
    fn behind(&self) -> Behind {
        let waiting = self.waiting.lock();
        let by = waiting.since.filter(|_| !waiting.is_empty()).map(|since| since.elapsed()).unwrap_or_default();
        Behind { ordered: waiting.ordered.len(), states: waiting.states.len(), by }
    }
}

impl Batch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty() && self.ordered.is_empty()
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.states.is_empty() && self.ordered.is_empty()
    }

    /// Takes the states whose time has come.
    fn due_states(&mut self) -> Vec<Arc<Envelope>> {
        let Some(interval) = self.price_interval else {
            return std::mem::take(&mut self.states).into_values().collect();
        };
        let (now, told) = (Instant::now(), &mut self.told);
        let due = self.states.extract_if(.., |key, _| {
            let due = told.get(key).is_none_or(|last| *last + interval <= now);
            if due && matches!(key, StateKey::Price(_)) {
                told.insert(key.clone(), now);
            }
            due
        });
        due.map(|(_, publication)| publication).collect()
    }

    /// Takes the ordered frames whose time has come: all, or up to the second event where events are spaced.
    fn due_ordered(&mut self) -> Vec<Ordered> {
        if self.spacing.is_none() {
            return self.ordered.drain(..).collect();
        }
        let mut has_room = self.next_ordered.is_none_or(|next| next <= Instant::now());
        let mut due = Vec::new();
        while let Some(ordered) = self.ordered.pop_front() {
            if matches!(ordered, Ordered::Event(_)) && !std::mem::take(&mut has_room) {
                self.ordered.push_front(ordered);
                break;
            }
            due.push(ordered);
        }
        if let Some(spacing) = self.spacing.filter(|_| due.iter().any(|it| matches!(it, Ordered::Event(_)))) {
            (self.writing, self.next_ordered) = (true, Some(Instant::now() + spacing.unconfirmed));
        }
        due
    }

    /// When the next of what waits is due.
    fn next(&self) -> Option<Instant> {
        let ordered = self.next_ordered.filter(|_| !self.ordered.is_empty());
        [self.next_price(), ordered].into_iter().flatten().min()
    }

    /// When the next price that waits is due.
    fn next_price(&self) -> Option<Instant> {
        let interval = self.price_interval?;
        self.states.keys().filter_map(|key| self.told.get(key).map(|last| *last + interval)).min()
    }

    fn push(&mut self, publication: &Arc<Envelope>, metrics: &Metrics) {
        let Some(key) = publication.event().state_key() else {
            return self.push_ordered(Ordered::Event(publication.clone()), metrics);
        };
        if self.closed.is_some() {
            return;
        }
        self.since.get_or_insert_with(Instant::now);
        if self.states.insert(key, publication.clone()).is_some() {
            metrics.dropped_total.with_label_values(&["outbox_states"]).inc();
        }
        while self.states.len() > MAX_STATES {
            self.states.pop_last();
            metrics.dropped_total.with_label_values(&["outbox_states"]).inc();
        }
    }

    fn push_ordered(&mut self, ordered: Ordered, metrics: &Metrics) {
        if self.closed.is_some() {
            return;
        }
        if self.ordered.len() >= MAX_ORDERED {
            metrics.dropped_total.with_label_values(&["outbox_ordered"]).inc_by(self.ordered.len() as u64 + 1);
            let events = self.ordered.iter().filter_map(|ordered| match ordered {
                Ordered::Event(publication) => Some(publication.age()),
                Ordered::Frame(_) | Ordered::Ping(_) => None,
            });
            let behind = events.max().unwrap_or_default();
            self.closed = Some(OutboxClosed { waiting: self.ordered.len(), behind });
            self.ordered.clear();
            self.states.clear();
            return;
        }
        self.since.get_or_insert_with(Instant::now);
        self.ordered.push_back(ordered);
    }
}
