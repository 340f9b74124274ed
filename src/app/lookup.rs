//! What pushes are checked against, and how long they may take.

use std::sync::Arc;

use futures_util::FutureExt;

use crate::cluster::PUSH_TIMEOUT;
use crate::config::Settings;
use crate::domain::{PriceUpdate, Quality};
use crate::hub::Hub;
use crate::ingest::{ContextLookup, Push, SignalContext};
use crate::store::Store;

/// Completes what receives pushes, by the settings. In a cluster a push takes the way over the writing node.
pub(super) fn completed(push: Push, settings: &Settings, store: &Store, hub: &Arc<Hub>) -> Push {
    let push = push.with_level_limits(settings.signals.level_limits()).with_lookup(lookup(store, hub));
    if settings.cluster.is_on() { push.with_timeout(PUSH_TIMEOUT) } else { push }
}

/// Returns the lookup in the log and among the last prices.
fn lookup(store: &Store, hub: &Arc<Hub>) -> ContextLookup {
    let (log, hub) = (store.reader(), hub.clone());
    Arc::new(move |id, symbol| {
        let (log, hub) = (log.clone(), hub.clone());
        let found = async move {
            let found = log.find(std::slice::from_ref(&id)).await.map_err(|error| error.to_string())?;
            let signal = found.into_values().next();
            let symbol = signal.as_ref().map(|signal| signal.symbol.clone()).or(symbol);
            let is_last = |update: &&Arc<PriceUpdate>| {
                update.quality != Quality::Simulated && symbol.as_ref() == Some(&update.symbol)
            };
            let last_price = hub.prices().iter().find(is_last).map(|update| update.price);
            Ok(SignalContext { signal, last_price })
        };
        found.boxed()
    })
}
