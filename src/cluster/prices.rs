//! The prices of the writer, for all nodes: by core NATS, without the stream, because a newer price replaces an older one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Shared;
use super::wire::Prices;
use crate::domain::{Event, PriceUpdate, Symbol};
use crate::hub::{Envelope, Hub, Sink};

/// The subject of all prices: `orion.price.<SYMBOL>`.
const ALL: &str = "orion.price.>";
/// The subject on which the writer answers with all of its prices.
const SNAPSHOT: &str = "orion.snapshot";
/// Pause before a failed subscription is repeated.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// How often a node without prices asks for them.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Maximum number of prices in a message of a snapshot.
const SNAPSHOT_PRICES: usize = 500;

/// Sends what the hub publishes while this node writes. Only the latest price of a symbol waits.
#[derive(Debug)]
pub(super) struct PriceFanOut {
    shared: Arc<Shared>,
    waiting: Mutex<BTreeMap<Symbol, Arc<PriceUpdate>>>,
    wake: Notify,
    number: AtomicU64,
}

impl PriceFanOut {
    pub(super) fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { shared, waiting: Mutex::default(), wake: Notify::new(), number: AtomicU64::new(0) })
    }

    /// Sends until `stop`.
    pub(super) async fn send(self: Arc<Self>, stop: CancellationToken) {
        let send = async {
            loop {
                self.wake.notified().await;
                let waiting = std::mem::take(&mut *self.waiting.lock());
                let Some(term) = self.shared.view.borrow().writing() else { continue };
                // What is buffered while this node is cut off would arrive late.
                if !self.shared.is_connected() {
                    continue;
                }
                for (symbol, price) in waiting {
                    let number = self.number.fetch_add(1, Ordering::Relaxed);
                    self.shared.publish(subject(&symbol), &Prices { term, number, updates: vec![price] }).await;
                }
            }
        };
        stop.run_until_cancelled(send).await;
    }
}

fn subject(symbol: &Symbol) -> String {
    let name = symbol.as_str().chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '_' });
    format!("orion.price.{}", name.collect::<String>())
}

impl Sink for PriceFanOut {
    fn deliver(&self, batch: &[Arc<Envelope>]) {
        let prices = batch.iter().filter_map(|envelope| match envelope.event() {
            Event::Price(update) => Some(update.clone()),
            _ => None,
        });
        let mut prices = prices.peekable();
        if prices.peek().is_none() || !self.shared.view.borrow().is_writer() {
            return;
        }
        self.waiting.lock().extend(prices.map(|update| (update.symbol.clone(), update)));
        self.wake.notify_one();
    }
}

/// Publishes the writer's prices on this node, until `stop`.
pub(super) async fn receive(shared: Arc<Shared>, hub: Arc<Hub>, stop: CancellationToken) {
    let mut newest = BTreeMap::new();
    let receive = async {
        loop {
            if let Ok(mut prices) = shared.client.subscribe(ALL).await {
                let mut ask = interval(ASK_EVERY);
                loop {
                    let message = tokio::select! {
                        message = prices.next() => message,
                        _ = ask.tick() => {
                            ask_for_snapshot(&shared, &hub).await;
                            continue;
                        }
                    };
                    let Some(message) = message else { break };
                    if let Ok(prices) = serde_json::from_slice::<Prices>(&message.payload) {
                        publish(&shared, &hub, prices, &mut newest);
                    }
                }
            }
            sleep(RETRY_PAUSE).await;
        }
    };
    stop.run_until_cancelled(receive).await;
}

fn publish(shared: &Shared, hub: &Hub, received: Prices, newest: &mut BTreeMap<Symbol, (u64, u64)>) {
    let Prices { term, number, updates } = received;
    let view = shared.view.borrow().clone();
    if view.is_writer() || term < view.term {
        return;
    }
    let is_newer = |update: &Arc<PriceUpdate>| match newest.get_mut(&update.symbol) {
        Some(last) if *last >= (term, number) => false,
        Some(last) => {
            *last = (term, number);
            true
        }
        None => {
            newest.insert(update.symbol.clone(), (term, number));
            true
        }
    };
    let fresh = updates.into_iter().filter(is_newer).map(|update| Arc::new(Envelope::unplaced(Event::Price(update))));
    let fresh: Vec<_> = fresh.collect();
    if !fresh.is_empty() {
        hub.publish(&fresh);
    }
}

/// Asks the writer for its prices while this node has none.
async fn ask_for_snapshot(shared: &Shared, hub: &Hub) {
    let view = shared.view.borrow().clone();
    if view.is_writer() || view.writer.is_empty() || !shared.is_connected() || !hub.prices().is_empty() {
        return;
    }
    match shared.client.request(SNAPSHOT, Vec::new().into()).await {
        Ok(message) => {
            // What has come meanwhile is newer.
            let known: Vec<_> = hub.prices().iter().map(|update| update.symbol.clone()).collect();
            let Ok(Prices { updates, .. }) = serde_json::from_slice(&message.payload) else { return };
            let missing = updates.into_iter().filter(|update| !known.contains(&update.symbol));
            let missing: Vec<_> = missing.map(|update| Arc::new(Envelope::unplaced(Event::Price(update)))).collect();
            hub.publish(&missing);
        }
        Err(error) => debug!(%error, "the writer does not answer with its prices"),
    }
}

/// Answers nodes that ask for all prices while this node writes, until `stop`.
pub(super) async fn serve_snapshot(shared: Arc<Shared>, hub: Arc<Hub>, stop: CancellationToken) {
    let serve = async {
        loop {
            if let Ok(mut asked) = shared.client.subscribe(SNAPSHOT).await {
                while let Some(message) = asked.next().await {
                    let (Some(to), Some(term)) = (message.reply, shared.view.borrow().writing()) else { continue };
                    let updates = hub.prices().into_iter().take(SNAPSHOT_PRICES).collect();
                    shared.publish(to.as_str(), &Prices { term, number: 0, updates }).await;
                }
            }
            sleep(RETRY_PAUSE).await;
        }
    };
    stop.run_until_cancelled(serve).await;
}
