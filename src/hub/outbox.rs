//! The outbox of one native client: the latest value of each state, such as a symbol's price, and every ordered frame.
//!
//! A slow client loses outdated states only. When the ordered frames exceed their limit, the outbox closes: the client
//! is disconnected, and gets what it missed when it reconnects.

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

/// Maximum number of ordered frames in the queue: a snapshot, the end of a replay, and room for live events.
const MAX_ORDERED: usize = 2048;

/// Maximum number of states in the queue: all symbols, and more relayed states than a page shows.
const MAX_STATES: usize = 1024;

/// The queue between the hub and one client's write loop.
#[derive(Debug)]
pub struct Outbox {
    state: Mutex<OutboxState>,
    wake: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct OutboxState {
    topics: Topics,
    /// The number of the last event that was offered.
    offered: u64,
    states: BTreeMap<StateKey, Arc<Envelope>>,
    ordered: VecDeque<Ordered>,
    /// The minimum time between two prices of a symbol.
    price_interval: Option<Duration>,
    last_sent: BTreeMap<StateKey, Instant>,
    /// The minimum time between two ordered events; `None` sends all of them at once.
    spacing: Option<Spacing>,
    next_ordered: Option<Instant>,
    /// Whether an ordered event was drained and is not written yet.
    writing: bool,
    /// When the oldest queued item was queued.
    since: Option<Instant>,
    closed: Option<OutboxClosed>,
    /// States that a newer one has replaced.
    conflated: u64,
}

/// An ordered item to write.
#[derive(Debug, Clone)]
pub enum Ordered {
    /// An event that is still to be encoded in the client's wire format.
    Event(Arc<Envelope>),
    /// A frame for this client only, such as an answer.
    Frame(Utf8Bytes),
    /// A protocol ping that carries this number. Only native WebSockets have them.
    Ping(u64),
}

/// Everything that is due for a client, states first.
#[derive(Debug, Default)]
pub struct OutboxBatch {
    /// Latest prices and other states.
    pub states: Vec<Arc<Envelope>>,
    /// Ordered events and answers.
    pub ordered: Vec<Ordered>,
}

/// The minimum time between two ordered events of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spacing {
    /// After the client has confirmed the previous event.
    pub confirmed: Duration,
    /// After the previous event was written, while the client has not confirmed it.
    pub unconfirmed: Duration,
}

/// The client fell too far behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is too slow for its signals")]
pub struct OutboxClosed {
    /// How many ordered frames were queued.
    pub waiting: usize,
    /// The age of the oldest event among them.
    pub behind: Duration,
}

impl Outbox {
    /// Returns an empty outbox without topics.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { state: Mutex::default(), wake: Notify::new(), metrics }
    }

    /// Replaces the subscription. Call it inside [`Hub::with_snapshot`](super::Hub::with_snapshot), together with
    /// reading the snapshot.
    pub fn set_topics(&self, topics: Topics) {
        self.state.lock().topics = topics;
    }

    /// Limits how often the client gets a price of each symbol; in between, only the newest is kept. `None` removes the
    /// limit.
    pub fn set_price_interval(&self, interval: Option<Duration>) {
        let mut state = self.state.lock();
        state.price_interval = interval;
        if interval.is_none() {
            state.last_sent.clear();
        }
        drop(state);
        // Queued prices may be due earlier now.
        self.wake.notify_one();
    }

    /// Sends ordered events one at a time, with this time between them. For a page that identifies events by their time
    /// of arrival. The caller has to call [`wrote`](Self::wrote) after each write.
    pub fn set_spacing(&self, spacing: Spacing) {
        self.state.lock().spacing = Some(spacing);
    }

    /// Notes that the last batch is written. The time to the next ordered event counts from here, however long the
    /// write took.
    pub fn wrote(&self) {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.writing) {
            state.next_ordered = state.spacing.map(|spacing| Instant::now() + spacing.unconfirmed);
        }
    }

    /// Notes that the client has confirmed the last ordered event.
    pub fn confirmed(&self) {
        let mut state = self.state.lock();
        let soon = state.spacing.map(|spacing| Instant::now() + spacing.confirmed);
        state.next_ordered = state.next_ordered.min(soon);
        drop(state);
        self.wake.notify_one();
    }

    /// Returns the subscription.
    pub fn topics(&self) -> Topics {
        self.state.lock().topics.clone()
    }

    /// Queues the events that the client subscribed to, and wakes its write loop once. Events that were offered before are
    /// left out, by their numbers in the order of publishing.
    pub fn offer(&self, batch: &[(u64, Arc<Envelope>)]) {
        let mut state = self.state.lock();
        let (mut queued, offered) = (false, state.offered);
        state.offered = offered.max(batch.last().map_or(0, |(number, _)| *number));
        for (_, publication) in batch.iter().filter(|(number, _)| *number > offered) {
            if state.topics.contain(publication.event()) {
                state.push(publication, &self.metrics);
                queued = true;
            }
        }
        drop(state);
        if queued {
            self.wake.notify_one();
        }
    }

    /// Queues events regardless of the subscription. For a snapshot or a replay.
    pub fn put(&self, batch: impl IntoIterator<Item = Arc<Envelope>>) {
        let mut state = self.state.lock();
        for publication in batch {
            state.push(&publication, &self.metrics);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Queues a frame for this client only, behind all ordered events.
    pub fn answer(&self, frame: Utf8Bytes) {
        let mut state = self.state.lock();
        state.push_ordered(Ordered::Frame(frame), &self.metrics);
        drop(state);
        self.wake.notify_one();
    }

    /// Queues a protocol ping behind all ordered events. Its pong proves that they have arrived.
    pub fn ping(&self, number: u64) {
        let mut state = self.state.lock();
        state.push_ordered(Ordered::Ping(number), &self.metrics);
        drop(state);
        self.wake.notify_one();
    }

    /// Waits until something is due, and drains all of it.
    ///
    /// # Errors
    /// [`OutboxClosed`] when the client fell too far behind; the queue has been dropped.
    pub async fn due(&self) -> Result<OutboxBatch, OutboxClosed> {
        loop {
            self.ready().await;
            let batch = self.drain()?;
            if !batch.is_empty() {
                return Ok(batch);
            }
        }
    }

    /// Waits until something is due.
    pub async fn ready(&self) {
        loop {
            let next = self.state.lock().next();
            match next {
                None => self.wake.notified().await,
                Some(next) if next <= Instant::now() => return,
                Some(next) => tokio::select! {
                    () = self.wake.notified() => {}
                    () = sleep_until(next) => {}
                },
            }
        }
    }

    /// Drains everything that is due now.
    ///
    /// # Errors
    /// [`OutboxClosed`] when the client fell too far behind.
    pub fn drain(&self) -> Result<OutboxBatch, OutboxClosed> {
        let mut state = self.state.lock();
        if let Some(closed) = state.closed {
            return Err(closed);
        }
        let batch = OutboxBatch { states: state.due_states(), ordered: state.due_ordered() };
        // Items that are not due yet do not count as backlog.
        state.since = None;
        Ok(batch)
    }
}

impl Queue for Outbox {
    fn behind(&self) -> Behind {
        let state = self.state.lock();
        let by = state.since.filter(|_| !state.is_empty()).map(|since| since.elapsed()).unwrap_or_default();
        Behind { ordered: state.ordered.len(), states: state.states.len(), by, conflated: state.conflated }
    }
}

impl OutboxBatch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty() && self.ordered.is_empty()
    }
}

impl OutboxState {
    fn is_empty(&self) -> bool {
        self.states.is_empty() && self.ordered.is_empty()
    }

    /// Drains the states that are due.
    fn due_states(&mut self) -> Vec<Arc<Envelope>> {
        let Some(interval) = self.price_interval else {
            return std::mem::take(&mut self.states).into_values().collect();
        };
        let (now, last_sent) = (Instant::now(), &mut self.last_sent);
        let due = self.states.extract_if(.., |key, _| {
            let due = last_sent.get(key).is_none_or(|last| *last + interval <= now);
            if due && matches!(key, StateKey::Price(_)) {
                last_sent.insert(key.clone(), now);
            }
            due
        });
        due.map(|(_, publication)| publication).collect()
    }

    /// Drains the ordered items that are due: all, or with a spacing those before the second event.
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

    /// Returns when the next queued item is due.
    fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        let ordered = self.ordered.front().map(|first| match first {
            Ordered::Event(_) => self.next_ordered.unwrap_or(now),
            Ordered::Frame(_) | Ordered::Ping(_) => now,
        });
        let after = |key| self.price_interval.and_then(|interval| Some(*self.last_sent.get(key)? + interval));
        let states = self.states.keys().map(|key| after(key).unwrap_or(now));
        states.chain(ordered).chain(self.closed.map(|_| now)).min()
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
            self.conflated += 1;
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
