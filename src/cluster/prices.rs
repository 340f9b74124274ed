//! The prices of the writer, for all nodes: by core NATS, without the stream, because a newer price replaces an older one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Shared;
use super::wire::Prices;
use crate::domain::{Event, PriceUpdate, Quality, Symbol};
use crate::hub::{Envelope, Hub, Sink};
use crate::pipeline::MAX_QUIET;

/// The subject of all prices: `orion.price.<SYMBOL>`.
const ALL: &str = "orion.price.>";
/// The subject on which the writer answers with all of its prices.
const SNAPSHOT: &str = "orion.snapshot";
/// Pause before a failed subscription is repeated.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// How often a node without prices asks for them.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Maximum number of prices in a message of a snapshot. The others come with the next prices, within [`MAX_QUIET`].
const SNAPSHOT_PRICES: usize = 500;

/// Sends what the hub publishes while this node writes. Only the latest price of a symbol waits.
#[derive(Debug)]
pub(super) struct PriceFanOut {
    shared: Arc<Shared>,
    waiting: Mutex<BTreeMap<Symbol, Arc<PriceUpdate>>>,
    /// When this node last published a price of each symbol, as the writer or from it.
    published: Mutex<BTreeMap<Symbol, Instant>>,
    stale_after: Duration,
    wake: Notify,
    number: AtomicU64,
}

impl PriceFanOut {
    pub(super) fn new(shared: Arc<Shared>, stale_after: Duration) -> Arc<Self> {
        Arc::new(Self {
            shared,
            waiting: Mutex::default(),
            published: Mutex::default(),
            // A writer publishes what has not changed as well.
            stale_after: stale_after.max(2 * MAX_QUIET),
            wake: Notify::new(),
            number: AtomicU64::new(0),
        })
    }

    /// Publishes prices as stale of which nothing has come for too long: no node writes, this one is cut off from it, or
    /// a new writer has not heard of them yet.
    fn publish_stale(&self, hub: &Hub) {
        let stale = silent(hub.prices(), &self.published.lock(), Instant::now(), self.stale_after);
        let stale = stale.into_iter().map(|update| Arc::new(Envelope::unplaced(Event::Price(Arc::new(update)))));
        let stale: Vec<_> = stale.collect();
        if !stale.is_empty() {
            hub.publish(&stale);
        }
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
        let prices: Vec<_> = prices.map(|update: Arc<PriceUpdate>| (update.symbol.clone(), update)).collect();
        if prices.is_empty() {
            return;
        }
        let now = Instant::now();
        self.published.lock().extend(prices.iter().map(|(symbol, _)| (symbol.clone(), now)));
        if self.shared.view.borrow().is_writer() {
            self.waiting.lock().extend(prices);
            self.wake.notify_one();
        }
    }
}

/// Returns, as stale, the prices from a market that were published longer than `stale_after` ago.
fn silent(
    prices: Vec<Arc<PriceUpdate>>,
    published: &BTreeMap<Symbol, Instant>,
    now: Instant,
    stale_after: Duration,
) -> Vec<PriceUpdate> {
    let is_silent = |update: &Arc<PriceUpdate>| {
        let since = published.get(&update.symbol).map(|since| now.duration_since(*since));
        matches!(update.quality, Quality::Live | Quality::Delayed) && since.is_some_and(|since| since > stale_after)
    };
    let stale = |update: Arc<PriceUpdate>| PriceUpdate {
        quality: Quality::Stale,
        change: 0.0,
        change_percent: 0.0,
        ..(*update).clone()
    };
    prices.into_iter().filter(is_silent).map(stale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SourceName;

    #[test]
    fn a_price_that_nobody_repeats_becomes_stale() {
        let now = Instant::now();
        let price = |symbol: &str, quality| {
            Arc::new(PriceUpdate {
                symbol: Symbol::new(symbol),
                price: 1.5,
                timestamp: chrono::Utc::now(),
                change: 0.1,
                change_percent: 7.0,
                volume: None,
                bid_ask: None,
                day: None,
                quality,
                source: SourceName::new(SourceName::PUSH),
            })
        };
        let prices = vec![
            price("EURUSD", Quality::Live),
            price("GBPUSD", Quality::Live),
            price("USDJPY", Quality::Closed),
            price("XAUUSD", Quality::Simulated),
        ];
        let mut published: BTreeMap<_, _> = prices.iter().map(|price| (price.symbol.clone(), now)).collect();
        published.insert(prices[1].symbol.clone(), now + Duration::from_secs(20));
        let at =
            |seconds| silent(prices.clone(), &published, now + Duration::from_secs(seconds), Duration::from_mins(1));
        assert_eq!(at(60), []);
        let stale = at(61);
        assert_eq!(stale.len(), 1);
        assert_eq!((stale[0].symbol.as_str(), stale[0].quality, stale[0].price), ("EURUSD", Quality::Stale, 1.5));
        assert_eq!(stale[0].change, 0.0);
    }
}

/// Publishes the writer's prices on this node, until `stop`.
pub(super) async fn receive(fan_out: Arc<PriceFanOut>, hub: Arc<Hub>, stop: CancellationToken) {
    let shared = &fan_out.shared;
    let mut newest = BTreeMap::new();
    let receive = async {
        loop {
            if let Ok(mut prices) = shared.client.subscribe(ALL).await {
                let mut ask = interval(ASK_EVERY);
                loop {
                    let message = tokio::select! {
                        message = prices.next() => message,
                        _ = ask.tick() => {
                            ask_for_snapshot(shared, &hub).await;
                            fan_out.publish_stale(&hub);
                            continue;
                        }
                    };
                    let Some(message) = message else { break };
                    if let Ok(prices) = serde_json::from_slice::<Prices>(&message.payload) {
                        publish(shared, &hub, prices, &mut newest);
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
