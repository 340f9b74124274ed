//! What dry runs are checked against.

use std::sync::Arc;

use futures_util::FutureExt;

use crate::domain::{PriceUpdate, Quality};
use crate::hub::Hub;
use crate::ingest::{ContextLookup, SignalContext};
use crate::store::Store;

/// Returns the lookup in the log and among the last prices.
pub(super) fn of(store: &Store, hub: &Arc<Hub>) -> ContextLookup {
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
