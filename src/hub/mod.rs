//! The hub: keeps the snapshot that a new client needs, and delivers each published event to the clients that
//! subscribed to it.
//!
//! Publishing and reading the snapshot take the same lock. A client therefore misses no event between its snapshot and
//! its first live event, and gets none twice.

mod announcements;
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
    Audience, Event, MessageType, Now, Position, Presence, PriceUpdate, PrunedMessages, Quality, RelayedMessage,
    Signal, Symbol,
};
use crate::telemetry::Metrics;
pub use announcements::announce;
use clients::Clients;
pub use clients::{Channels, Membership};
pub use envelope::{Encoding, Envelope};
use message_cache::MessageCache;
pub use outbox::{Ordered, Outbox, OutboxBatch, OutboxClosed, Spacing};
use signal_cache::SignalCache;
pub use topics::{Audiences, Selection, Topics};

/// What delivers published events to the clients of a transport.
pub trait Sink: std::fmt::Debug + Send + Sync {
    /// Queues a batch for every subscribed client. The hub calls it in publishing order, one call at a time; it must
    /// not block.
    fn deliver(&self, batch: &[Arc<Envelope>]);
}

/// Delivers published events to all sinks, and keeps the snapshot for new clients.
#[derive(Debug)]
pub struct Hub {
    snapshot: Mutex<Snapshot>,
    sinks: RwLock<Vec<Arc<dyn Sink>>>,
    clients: Clients,
    metrics: Arc<Metrics>,
    /// Whether its events are new, and not those of another hub a while later.
    is_live: bool,
}

/// What a new client gets before its first live event. Nothing is published while a caller reads it.
#[derive(Debug)]
pub struct Snapshot {
    position: Position,
    prices: BTreeMap<Symbol, Arc<Envelope>>,
    signals: SignalCache,
    messages: MessageCache,
}

/// Maximum number of signals in a snapshot; the latest ones are kept.
pub const MAX_SNAPSHOT_SIGNALS: usize = 200;

impl Hub {
    /// Returns a hub that continues after `position`. Ended signals leave the snapshot `replay_window` after their last
    /// change; the last `messages_per_user` ordered messages of each user are kept.
    pub fn new(position: Position, replay_window: Duration, messages_per_user: usize, metrics: Arc<Metrics>) -> Self {
        let snapshot = Snapshot {
            position,
            prices: BTreeMap::new(),
            signals: SignalCache::new(replay_window),
            messages: MessageCache::new(messages_per_user),
        };
        let (snapshot, sinks) = (Mutex::new(snapshot), RwLock::default());
        Self { snapshot, sinks, clients: Clients::default(), metrics, is_live: true }
    }

    /// Returns an empty hub that continues after `position` with the same limits, for those who get the events of this one
    /// later. Their clients are counted here.
    #[must_use]
    pub fn later(&self, position: Position) -> Self {
        let snapshot = self.snapshot.lock();
        let (window, messages) = (snapshot.signals.window(), snapshot.messages.per_user());
        drop(snapshot);
        let later = Self::new(position, window, messages, self.metrics.clone());
        Self { clients: self.clients.clone(), is_live: false, ..later }
    }

    /// Counts a client of a transport, until the membership is dropped. `user` is whom its token names.
    pub fn join(&self, transport: &'static str, user: Option<Arc<str>>) -> Membership {
        self.clients.join(transport, user)
    }

    /// Registers a sink for all later events.
    pub fn add_sink(&self, sink: Arc<dyn Sink>) {
        self.sinks.write().push(sink);
    }

    /// Loads the events that the log kept into the snapshot, without delivering them. Called once at the start.
    /// `forgotten` says which messages the log has pruned.
    pub fn restore(&self, publications: impl IntoIterator<Item = Envelope>, forgotten: &PrunedMessages) {
        let snapshot = &mut *self.snapshot.lock();
        snapshot.messages.forget(forgotten);
        for publication in publications.into_iter().map(Arc::new) {
            match publication.event() {
                Event::RelayedMessage(published) => snapshot.messages.append(published, &publication),
                Event::Signal(signal) if self.is_live => {
                    let at = signal.updated_at.timestamp_millis() as f64 / 1e3;
                    let last = &self.metrics.last_signal_timestamp_seconds;
                    last.set(last.get().max(at));
                    snapshot.signals.restore(publication);
                }
                Event::Signal(_) => snapshot.signals.restore(publication),
                Event::Price(_) | Event::Cursor(_) | Event::Killzone(_) | Event::Presence(..) => {}
            }
        }
    }

    /// Publishes a batch: applies it to the snapshot, then delivers it to all connected clients.
    pub fn publish(&self, batch: &[Arc<Envelope>]) {
        let mut snapshot = self.snapshot.lock();
        for publication in batch {
            snapshot.apply(publication);
        }
        for sink in self.sinks.read().iter() {
            sink.deliver(batch);
        }
        drop(snapshot);
        if !self.is_live {
            return;
        }
        for publication in batch {
            if let Event::Signal(signal) = publication.event() {
                self.metrics.last_signal_timestamp_seconds.set(signal.updated_at.timestamp_millis() as f64 / 1e3);
            }
            self.metrics.events_published_total.with_label_values(&[publication.event().kind()]).inc();
        }
    }

    /// Publishes the position of the log, for clients whose filters have left out what was published before. Returns it;
    /// `None` when it is still `last`.
    pub fn publish_position(&self, last: u64) -> Option<u64> {
        let snapshot = self.snapshot.lock();
        let position = snapshot.position.clone();
        let seq = Some(position.seq).filter(|seq| *seq != last)?;
        let batch = [Arc::new(Envelope::unplaced(Event::Cursor(position)))];
        for sink in self.sinks.read().iter() {
            sink.deliver(&batch);
        }
        Some(seq)
    }

    /// Registers a sink together with a look at the snapshot: what the snapshot does not have yet reaches the sink.
    pub fn add_sink_with<R>(&self, sink: Arc<dyn Sink>, look: impl FnOnce(&Snapshot) -> R) -> R {
        let snapshot = self.snapshot.lock();
        self.add_sink(sink);
        look(&snapshot)
    }

    /// Removes a sink.
    pub fn remove_sink(&self, sink: &Arc<dyn Sink>) {
        self.sinks.write().retain(|other| !Arc::ptr_eq(other, sink));
    }

    /// Runs `look` under the lock, so that nothing is published meanwhile. Used when a client subscribes.
    pub fn with_snapshot<R>(&self, look: impl FnOnce(&Snapshot) -> R) -> R {
        look(&self.snapshot.lock())
    }

    /// Removes ended signals that have left the replay window.
    pub fn evict_expired(&self, now: Now) {
        self.snapshot.lock().signals.evict_expired(now);
    }

    /// Returns how many clients are connected over all transports.
    pub fn clients(&self) -> usize {
        self.presence().clients
    }

    /// Returns how many clients of this node get what, over all transports and delays.
    pub fn presence(&self) -> Presence {
        self.clients.channels().iter().fold(Presence::default(), |sum, channels| sum + channels.counts)
    }

    /// Returns the first `most` users by name that have a client here, and how many there are.
    pub fn users(&self, most: usize) -> (Vec<(Arc<str>, Presence)>, usize) {
        self.clients.users(most)
    }

    /// Returns how many clients of a transport are connected.
    pub fn clients_of(&self, transport: &str) -> usize {
        let all = self.clients.channels();
        all.iter().filter(|channels| channels.transport == transport).map(|channels| channels.counts.clients).sum()
    }

    /// Returns the counts of clients by transport.
    pub fn channels(&self) -> impl IntoIterator<Item = Channels> {
        self.clients.channels()
    }

    /// Returns the last published price of every symbol.
    pub fn prices(&self) -> Vec<Arc<PriceUpdate>> {
        let price = |publication: &Arc<Envelope>| match publication.event() {
            Event::Price(update) => Some(update.clone()),
            _ => None,
        };
        self.snapshot.lock().prices.values().filter_map(price).collect()
    }

    /// Returns the position of the last published signal event.
    pub fn position(&self) -> Position {
        self.snapshot.lock().position.clone()
    }
}

impl Snapshot {
    fn apply(&mut self, publication: &Arc<Envelope>) {
        match publication.event() {
            Event::Price(update) => {
                self.prices.insert(update.symbol.clone(), publication.clone());
            }
            Event::Signal(_) => {
                if let Some(seq) = publication.seq() {
                    self.position.seq = seq;
                }
                self.signals.append(publication.clone());
            }
            Event::RelayedMessage(published) => self.messages.append(published, publication),
            Event::Cursor(_) | Event::Killzone(_) | Event::Presence(..) => {}
        }
    }

    /// Returns the position of the last published signal event.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Returns the last price of each symbol for which `wanted` is true.
    pub fn prices(&self, wanted: impl Fn(&Symbol) -> bool) -> Vec<Arc<Envelope>> {
        self.prices.iter().filter(|(symbol, _)| wanted(symbol)).map(|(_, price)| price.clone()).collect()
    }

    /// Returns those of `symbols` that no source feeds: they have no price, or only a stale one.
    pub fn unfed(&self, symbols: &BTreeSet<Symbol>) -> Vec<Symbol> {
        let is_fed = |symbol: &&Symbol| match self.prices.get(*symbol).map(|price| price.event()) {
            Some(Event::Price(update)) => update.quality != Quality::Stale,
            _ => false,
        };
        symbols.iter().filter(|symbol| !is_fed(symbol)).cloned().collect()
    }

    /// Returns the current state of each signal that is pending or changed within the replay window, oldest change
    /// first.
    pub fn signals(&self, wanted: impl Fn(&Symbol) -> bool) -> Vec<Arc<Envelope>> {
        self.signals_by_age(|signal, _| wanted(&signal.symbol))
    }

    /// Returns the same signals, filtered by the signal and the time since its last change.
    pub fn signals_by_age(&self, wanted: impl Fn(&Signal, Duration) -> bool) -> Vec<Arc<Envelope>> {
        let is_wanted = |publication: &Envelope, age| match publication.event() {
            Event::Signal(signal) => wanted(signal, age),
            _ => false,
        };
        let signals = self.signals.signals().filter(|(publication, age)| is_wanted(publication, *age));
        let mut signals: Vec<_> = signals.map(|(publication, _)| publication.clone()).collect();
        signals.drain(..signals.len().saturating_sub(MAX_SNAPSHOT_SIGNALS));
        signals
    }

    /// Returns how long ended signals stay in the snapshot.
    pub fn replay_window(&self) -> Duration {
        self.signals.window()
    }

    /// Returns the latest relayed states for which `wanted` is true.
    pub fn states(&self, wanted: impl Fn(&RelayedMessage) -> bool) -> Vec<Arc<Envelope>> {
        self.messages.states(wanted)
    }

    /// Returns the latest states of one type for one audience, ordered by key. The cost does not depend on the number
    /// of other states.
    pub fn states_of(&self, audience: &Audience, kind: MessageType) -> impl Iterator<Item = &Arc<Envelope>> {
        self.messages.states_of(audience, kind)
    }

    /// Returns the kept messages for `audiences` after number `seq`, oldest first, and whether none of them has been
    /// dropped.
    pub fn messages_after(&self, audiences: &Audiences, seq: u64) -> (Vec<Arc<Envelope>>, bool) {
        self.messages.messages_after(audiences, seq)
    }

    /// Returns the number of the last relayed message, state or ordered.
    pub fn last_message(&self) -> u64 {
        self.messages.last()
    }

    /// Returns the signal events after `seq` that are younger than `window`, oldest first.
    pub fn signals_younger(&self, seq: u64, window: Duration) -> impl Iterator<Item = &Arc<Envelope>> {
        self.signals.younger(seq, window)
    }

    /// Returns the signal events after `seq`, or `None` when the hub no longer has all of them.
    pub fn after(&self, seq: u64) -> Option<Vec<Arc<Envelope>>> {
        self.signals.after(seq, self.position.seq)
    }
}

#[cfg(test)]
mod tests;
