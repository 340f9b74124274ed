//! Readers that get prices and signals later than others.
//!
//! Each delay in use has a whole set of its own of everything that readers get data from: a hub, which is fed one delay after
//! the live one; a reader of the log as it was then; the routes and the streams of all dashboards, built on these two; and
//! tokens that refuse everybody who has to read later still. A request goes to one set or another before it is looked at
//! ([`TokenLayer`](super::TokenLayer)), so that a route or a stream knows nothing of delays, and has nothing younger to give.
//!
//! Without a delayed reader there is no such set, and nothing of this runs.

mod backlog;
mod dispatch;
mod feed;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use chrono::{DateTime, Utc};
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tracing::{info, warn};

use self::backlog::{DelayBacklog, Earlier};
use self::feed::{DelayedFeed, PastClock};
use super::Gateway;
use super::lane::Fanout;
use crate::domain::{Delay, Event, MessageType, Position};
use crate::hub::{Envelope, Hub, Sink, announce};
use crate::store::{Cutoff, Recovered, StoreError};
pub use dispatch::Dispatch;

/// Maximum number of different delays in use since the start.
pub const MAX_DELAYS: usize = 8;
/// Signals that changed within this time before the delay are in the snapshot, if they have not ended.
const RECENT: Duration = Duration::from_hours(24);

/// What readers with one delay get their data from.
#[derive(Debug)]
pub struct DelayedView {
    /// The delayed hub, its delivery, and the log as it was.
    pub gateway: Arc<Gateway>,
    /// All routes and streams, with these.
    router: Router,
}

/// Builds what the transports do not know.
pub trait BuildView: Send + Sync {
    /// Starts the delivery of a hub beside that of `live`.
    fn fanout(&self, live: &Gateway, hub: &Hub) -> Fanout;

    /// Loads what the log had at `now` into a hub.
    fn restore(&self, hub: &Hub, recovered: &Recovered, now: DateTime<Utc>);

    /// Builds the routes and streams of a delay, and adds the remaining sinks to its hub.
    fn routes(&self, gateway: &Arc<Gateway>) -> Router;
}

/// Why there is no view for a delay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DelayUnavailable {
    /// Too many different delays are in use.
    #[error("tokens with {MAX_DELAYS} different delays are in use already: have them issued with one of those")]
    TooMany,
    /// The log cannot be read.
    #[error("the log as it was one delay ago cannot be read now; try again")]
    Unreadable,
}

/// The views of all delays in use. Each is made when it is first needed, and stays.
pub struct Delays {
    views: RwLock<BTreeMap<Delay, Arc<DelayedView>>>,
    /// Held while a view is being made.
    making: Mutex<()>,
    builder: OnceLock<Box<dyn BuildView>>,
    clock: fn() -> DateTime<Utc>,
    message_type: fn(&str) -> Option<MessageType>,
}

impl std::fmt::Debug for Delays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delays").field("views", &self.views.read().keys()).finish_non_exhaustive()
    }
}

impl Delays {
    /// Returns no views yet. `message_type` finds the type of stored messages.
    pub fn new(clock: fn() -> DateTime<Utc>, message_type: fn(&str) -> Option<MessageType>) -> Self {
        let (views, making, builder) = Default::default();
        Self { views, making, builder, clock, message_type }
    }

    /// Sets what builds the routes, once it exists.
    pub fn set_builder(&self, builder: impl BuildView + 'static) {
        self.builder.set(Box::new(builder)).ok();
    }

    /// Returns the view of a delay, beside `live`; `None` without a delay.
    ///
    /// # Errors
    /// [`DelayUnavailable`] when it does not exist and cannot be made.
    pub async fn view(&self, live: &Arc<Gateway>, delay: Delay) -> Result<Option<Arc<DelayedView>>, DelayUnavailable> {
        let Some(builder) = self.builder.get().filter(|_| !delay.is_none()) else { return Ok(None) };
        let ready = || self.views.read().get(&delay).cloned();
        if let Some(view) = ready() {
            return Ok(Some(view));
        }
        let _making = self.making.lock().await;
        if let Some(view) = ready() {
            return Ok(Some(view));
        }
        if self.views.read().len() == MAX_DELAYS {
            warn!(%delay, most = MAX_DELAYS, "a token with a further delay was refused");
            return Err(DelayUnavailable::TooMany);
        }
        let view = self.make(live, delay, builder.as_ref()).await.map_err(|error| {
            warn!(%delay, %error, "cannot read the log for delayed readers");
            DelayUnavailable::Unreadable
        })?;
        info!(%delay, "readers with this delay are served from now on");
        self.views.write().insert(delay, view.clone());
        Ok(Some(view))
    }

    async fn make(
        &self,
        live: &Arc<Gateway>,
        delay: Delay,
        builder: &dyn BuildView,
    ) -> Result<Arc<DelayedView>, StoreError> {
        let backlog = Arc::new(DelayBacklog::new(delay, live.metrics.clone()));
        let sink: Arc<dyn Sink> = backlog.clone();
        // From here on nothing is missed.
        let states = live
            .hub
            .add_sink_with(sink.clone(), |snapshot| [snapshot.prices(|_| true), snapshot.states(|_| true)].concat());
        let made = self.make_from(live, delay, builder, (backlog, states)).await;
        if made.is_err() {
            live.hub.remove_sink(&sink);
        }
        made
    }

    async fn make_from(
        &self,
        live: &Arc<Gateway>,
        delay: Delay,
        builder: &dyn BuildView,
        (backlog, states): (Arc<DelayBacklog>, Vec<Arc<Envelope>>),
    ) -> Result<Arc<DelayedView>, StoreError> {
        let wall = (self.clock)();
        let then = wall - delay.duration();
        let seq = live.log.last_event_at(then).await?;
        let cutoff = Arc::new(Cutoff::new(seq, then));
        let log = live.log.as_of(&cutoff);
        let window = live.hub.with_snapshot(crate::hub::Snapshot::replay_window);
        let recovered = log.recover(then - window.max(RECENT), self.message_type).await?;
        let [signals, messages] = live.log.groups_after(seq, then, backlog.slot()).await?;

        let hub = Arc::new(live.hub.later(Position { seq, ..recovered.position.clone() }));
        builder.restore(&hub, &recovered, then);
        let (old, young): (Vec<_>, Vec<_>) =
            states.into_iter().partition(|publication| publication.age() >= delay.duration());
        // Older messages are in the log.
        let prices = old.iter().filter(|publication| publication.published().is_none());
        let prices: Vec<_> = prices.map(|price| Arc::new(Envelope::unplaced(feed::delayed(price.event())))).collect();
        hub.publish(&prices);
        let state = |publication: &Arc<Envelope>| {
            let event: &Event = publication.event();
            Some((publication.age(), Earlier::State(event.state_key()?, event.clone())))
        };
        let age = |at: DateTime<Utc>| (wall - at).to_std().unwrap_or_default();
        let signals = signals.iter().map(|group| (age(group.at), Earlier::Signals(group.last)));
        let ordered = messages.iter().map(|group| (age(group.at), Earlier::Messages(group.last)));
        backlog.precede(young.iter().filter_map(state).chain(signals).chain(ordered).collect());

        let last_message = recovered.published.iter().map(|message| message.seq).max().unwrap_or_default();
        let gateway = Arc::new(Gateway {
            fanout: builder.fanout(live, &hub),
            hub: hub.clone(),
            log,
            tokens: Arc::new(live.tokens.for_delay(delay)),
            delay,
            ..Gateway::clone(live)
        });
        let router = builder.routes(&gateway);
        let feed = DelayedFeed {
            delay,
            hub,
            log: live.log.clone(),
            cutoff,
            backlog,
            clock: self.clock,
            past: PastClock::new(delay, wall),
            message_type: self.message_type,
            last_message,
        };
        let announcing = announce(gateway.hub.clone(), Arc::new(self.clock));
        let stopping = live.tasks.stopping();
        live.tasks.spawn("delayed readers", async move {
            stopping.run_until_cancelled(async { tokio::join!(feed.run(), announcing) }).await;
            Ok::<_, std::convert::Infallible>(())
        });
        Ok(Arc::new(DelayedView { gateway, router }))
    }
}
