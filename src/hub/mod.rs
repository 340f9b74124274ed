//! What is live: the hub keeps what a newcomer needs and delivers every publication to everybody who asked for it.
//!
//! Publishing and joining exclude each other, so that between a newcomer's snapshot and its first live event nothing is
//! missed and nothing doubled.

mod clients;
mod envelope;
mod message_cache;
mod outbox;
mod signal_cache;
mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::domain::{
    Audience, Event, Forgotten, MessageType, Now, Position, PriceUpdate, Quality, RelayedMessage, Signal, Symbol,
};
use crate::telemetry::Metrics;
pub use clients::{Clients, Membership};
pub use envelope::{Encoding, Envelope};
use message_cache::MessageCache;
pub use outbox::{Batch, Ordered, Outbox, OutboxClosed, Spacing};
use signal_cache::SignalCache;
pub use topics::{Audiences, Selection, Topics};

/// Somebody that publications are delivered to: a transport with clients of its own.
pub trait Sink: std::fmt::Debug + Send + Sync {
    /// Hands a batch to every client concerned. Called in publishing order, never twice at a time; must not block.
    fn deliver(&self, batch: &[Arc<Envelope>]);

    /// How many clients it has.
    fn clients(&self) -> usize;

    /// How many of them listen to what.
    fn channels(&self) -> Channels;
}

/// Who is there on a transport. A client may listen to several channels, or to some symbols of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// The transport.
    pub transport: &'static str,
    /// All its clients.
    pub clients: usize,
    /// Those that get prices.
    pub prices: usize,
    /// Those that get signals.
    pub signals: usize,
    /// Those that get published messages.
    pub messages: usize,
}

impl Channels {
    /// Nobody yet.
    pub fn of(transport: &'static str) -> Self {
        Self { transport, clients: 0, prices: 0, signals: 0, messages: 0 }
    }
}

/// What everybody is told, and what has been told lately.
#[derive(Debug)]
pub struct Hub {
    present: Mutex<Snapshot>,
    sinks: RwLock<Vec<Arc<dyn Sink>>>,
    metrics: Arc<Metrics>,
}

/// What a newcomer finds; nothing is published while somebody looks at it.
#[derive(Debug)]
pub struct Snapshot {
    position: Position,
    prices: BTreeMap<Symbol, Arc<Envelope>>,
    recent: SignalCache,
    passing: MessageCache,
}

/// Signals that a snapshot holds at most, the latest ones.
pub const MAX_SNAPSHOT_SIGNALS: usize = 200;

impl Hub {
    /// A hub whose log stands at `position`. Signals changed longer ago than `replay_window` leave the snapshot; the last
    /// `messages_per_user` ordered messages of each user are kept.
    pub fn new(position: Position, replay_window: Duration, messages_per_user: usize, metrics: Arc<Metrics>) -> Self {
        let present = Snapshot {
            position,
            prices: BTreeMap::new(),
            recent: SignalCache::new(replay_window),
            passing: MessageCache::new(messages_per_user),
        };
        Self { present: Mutex::new(present), sinks: RwLock::default(), metrics }
    }

    /// Delivers to `sink` from now on.
    pub fn add_sink(&self, sink: Arc<dyn Sink>) {
        self.sinks.write().push(sink);
    }

    /// Takes in what the log remembers, without telling anybody: for the start. `forgotten` is what it does
    /// not have any more.
    pub fn restore(&self, publications: impl IntoIterator<Item = Envelope>, forgotten: &Forgotten) {
        let present = &mut *self.present.lock();
        present.passing.forget(forgotten);
        for publication in publications.into_iter().map(Arc::new) {
            match publication.event() {
                Event::RelayedMessage(published) => present.passing.remember(published, &publication),
                Event::Signal(signal) => {
                    let at = signal.updated_at.timestamp_millis() as f64 / 1e3;
                    let last = &self.metrics.last_signal_seconds;
                    last.set(last.get().max(at));
                    present.recent.restore(publication);
                }
                Event::Price(_) => present.recent.restore(publication),
            }
        }
    }

    /// Publishes a batch: first it becomes part of the present, then everybody who is connected gets it.
    pub fn publish(&self, batch: &[Arc<Envelope>]) {
        let mut present = self.present.lock();
        for publication in batch {
            present.take(publication);
        }
        for sink in self.sinks.read().iter() {
            sink.deliver(batch);
        }
        drop(present);
        for publication in batch {
            if let Event::Signal(signal) = publication.event() {
                self.metrics.last_signal_seconds.set(signal.updated_at.timestamp_millis() as f64 / 1e3);
            }
            self.metrics.events_published_total.with_label_values(&[publication.event().kind()]).inc();
            self.metrics.publish_seconds.observe(publication.age().as_secs_f64());
        }
    }

    /// Runs `look` while nothing is published: for joining.
    pub fn with_snapshot<R>(&self, look: impl FnOnce(&Snapshot) -> R) -> R {
        look(&self.present.lock())
    }

    /// Forgets signals that have left the replay window.
    pub fn tidy(&self, now: Now) {
        self.present.lock().recent.tidy(now);
    }

    /// How many clients are connected, over all transports.
    pub fn clients(&self) -> usize {
        self.sinks.read().iter().map(|sink| sink.clients()).sum()
    }

    /// Who is there, by transport.
    pub fn channels(&self) -> Vec<Channels> {
        self.sinks.read().iter().map(|sink| sink.channels()).collect()
    }

    /// Last published price of every symbol.
    pub fn prices(&self) -> Vec<Arc<PriceUpdate>> {
        let price = |publication: &Arc<Envelope>| match publication.event() {
            Event::Price(update) => Some(update.clone()),
            Event::Signal(_) | Event::RelayedMessage(_) => None,
        };
        self.present.lock().prices.values().filter_map(price).collect()
    }

    /// Where the log stands: the last ordered event that was published.
    pub fn position(&self) -> Position {
        self.present.lock().position.clone()
    }
}

impl Snapshot {
    fn take(&mut self, publication: &Arc<Envelope>) {
        match publication.event() {
            Event::Price(update) => {
                self.prices.insert(update.symbol.clone(), publication.clone());
            }
            Event::Signal(_) => {
                if let Some(seq) = publication.seq() {
                    self.position.seq = seq;
                }
                self.recent.remember(publication.clone());
            }
            Event::RelayedMessage(published) => self.passing.remember(published, publication),
        }
    }

    /// Where the log stands.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Last price of each symbol that `wanted` selects.
    pub fn prices(&self, wanted: impl Fn(&Symbol) -> bool) -> Vec<Arc<Envelope>> {
        self.prices.iter().filter(|(symbol, _)| wanted(symbol)).map(|(_, price)| price.clone()).collect()
    }

    /// Those of `symbols` that have no price now, or only one that is too old to act on: no source feeds them.
    pub fn unfed(&self, symbols: &BTreeSet<Symbol>) -> Vec<Symbol> {
        let is_fed = |symbol: &&Symbol| match self.prices.get(*symbol).map(|price| price.event()) {
            Some(Event::Price(update)) => update.quality != Quality::Stale,
            _ => false,
        };
        symbols.iter().filter(|symbol| !is_fed(symbol)).cloned().collect()
    }

    /// Each signal that is pending or changed within the replay window, as it is now, oldest change first.
    pub fn signals(&self, wanted: impl Fn(&Symbol) -> bool) -> Vec<Arc<Envelope>> {
        self.signals_by_age(|signal, _| wanted(&signal.symbol))
    }

    /// The same of those that `wanted` selects by what they are and by how long ago they changed.
    pub fn signals_by_age(&self, wanted: impl Fn(&Signal, Duration) -> bool) -> Vec<Arc<Envelope>> {
        let is_wanted = |publication: &Envelope, age| match publication.event() {
            Event::Signal(signal) => wanted(signal, age),
            Event::Price(_) | Event::RelayedMessage(_) => false,
        };
        let signals = self.recent.signals().filter(|(publication, age)| is_wanted(publication, *age));
        let mut signals: Vec<_> = signals.map(|(publication, _)| publication.clone()).collect();
        signals.drain(..signals.len().saturating_sub(MAX_SNAPSHOT_SIGNALS));
        signals
    }

    /// How far back the snapshot of ended signals reaches.
    pub fn replay_window(&self) -> Duration {
        self.recent.window()
    }

    /// Latest published states that `wanted` selects.
    pub fn states(&self, wanted: impl Fn(&RelayedMessage) -> bool) -> Vec<Arc<Envelope>> {
        self.passing.states(wanted)
    }

    /// Latest published states of one kind for one audience, by their keys; quick however many others there are.
    pub fn states_of(&self, audience: &Audience, kind: MessageType) -> impl Iterator<Item = &Arc<Envelope>> {
        self.passing.states_of(audience, kind)
    }

    /// The ordered messages for `audiences` that are kept and come after number `seq`, oldest first, and whether these are
    /// all that there were.
    pub fn messages_after(&self, audiences: &Audiences, seq: u64) -> (Vec<Arc<Envelope>>, bool) {
        self.passing.messages_after(audiences, seq)
    }

    /// The number of the last published message, state or ordered.
    pub fn last_message(&self) -> u64 {
        self.passing.last()
    }

    /// The signal events after `seq` that are younger than `window`, oldest first.
    pub fn signals_younger(&self, seq: u64, window: Duration) -> impl Iterator<Item = &Arc<Envelope>> {
        self.recent.younger(seq, window)
    }

    /// The signal events after `seq`, or `None` when the hub does not remember that far.
    pub fn after(&self, seq: u64) -> Option<Vec<Arc<Envelope>>> {
        self.recent.after(seq, self.position.seq)
    }
}

#[cfg(test)]
mod tests;
