//! What operators see: the parts of `/ready`, and the gauges that `/metrics` reads on demand.

use std::sync::Arc;

use super::sources::market_is_open;
use crate::auth::Tokens;
use crate::domain::Instruments;
use crate::listener::ConnectionRegistry;
use crate::pipeline::{Feeds, Handle};
use crate::store::{Health, Store};
use crate::telemetry::{DISK, Disk, Metrics, Readiness, SOURCES, STORE, SourceStates};
use crate::transport::Gateway;

/// Builds the parts of `/ready`: the log, the free space of the disk, the sources and the feeds.
pub(super) fn readiness(store: &Arc<Store>, disk: &Arc<Disk>, states: &SourceStates, feeds: &Feeds) -> Arc<Readiness> {
    let readiness = Arc::new(Readiness::default());
    let store = store.clone();
    readiness.add_check(STORE, move || match store.health() {
        Health::Ok => None,
        Health::Failing { error, .. } => Some(format!("signals cannot be stored: {error}")),
    });
    let disk = disk.clone();
    readiness.add_check(DISK, move || disk.complaint());
    let states = states.clone();
    readiness.add_check(SOURCES, move || {
        let down = states.list().into_iter().filter(|source| source.state.is_trouble());
        let down: Vec<_> = down.map(|source| format!("{} ({})", source.name, source.state)).collect();
        (!down.is_empty()).then(|| format!("sources that do not deliver: {}", down.join(", ")))
    });
    let feeds = feeds.clone();
    readiness.add_check("feeds", move || feeds.complaint());
    readiness
}

/// The sources of the gauges that are read at each scrape.
struct GaugeSources {
    handle: Handle,
    connections: Arc<ConnectionRegistry>,
    tokens: Arc<Tokens>,
    states: SourceStates,
    instruments: Arc<Instruments>,
    readiness: Arc<Readiness>,
    disk: Arc<Disk>,
}

/// Sets the gauges whenever the metrics are read.
pub(super) fn probe(gateway: &Gateway, connections: Arc<ConnectionRegistry>, states: &SourceStates, disk: &Arc<Disk>) {
    let sources = GaugeSources {
        handle: gateway.handle.clone(),
        connections,
        tokens: gateway.tokens.clone(),
        states: states.clone(),
        instruments: gateway.instruments.clone(),
        readiness: gateway.readiness.clone(),
        disk: disk.clone(),
    };
    gateway.metrics.probe(move |metrics| sources.update(metrics));
}

impl GaugeSources {
    fn update(&self, metrics: &Metrics) {
        let waiting = self.connections.waiting();
        let queues =
            [("pipeline", self.handle.depth()), ("outbox_ordered", waiting.ordered), ("outbox_states", waiting.states)];
        for (queue, depth) in queues {
            metrics.queue_depth.with_label_values(&[queue]).set(depth as i64);
        }
        let (blocked, longest) = self.connections.blocked();
        metrics.blocked_connections.set(blocked as i64);
        metrics.blocked_seconds.set(longest.as_secs_f64());
        metrics.logins.set(self.tokens.logged_in() as i64);
        for source in self.states.list() {
            if let Some(age) = source.last_tick_age {
                metrics.source_last_tick_age_seconds.with_label_values(&[source.name.as_str()]).set(age.as_secs_f64());
            }
        }
        metrics.market_open.set(market_is_open(&self.instruments).into());
        for (part, reason) in self.readiness.parts() {
            metrics.degraded.with_label_values(&[part]).set(reason.is_some().into());
        }
        if let Some(space) = self.disk.space() {
            metrics.disk_free_bytes.set(space.free as i64);
            metrics.disk_size_bytes.set(space.total as i64);
        }
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    }
}
