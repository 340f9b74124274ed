//! Runs the notices where the log is written.

use std::sync::{Arc, OnceLock};

use super::run_forever;
use crate::cluster::ClusterHandle;
use crate::config::{NotifySettings, Settings, SourceSettings};
use crate::notify::{Lanes, Notices, NotifyStart};
use crate::transport::Gateway;

/// The notices, before their lanes run.
pub(super) struct IdleNotices {
    lanes: Lanes,
    cluster: Arc<OnceLock<ClusterHandle>>,
}

/// Returns whether this process sends: always, or in a cluster while this node writes.
pub(super) fn sender(in_cluster: bool) -> (Box<dyn Fn() -> bool + Send + Sync>, Arc<OnceLock<ClusterHandle>>) {
    let cluster = Arc::new(OnceLock::<ClusterHandle>::new());
    let joined = cluster.clone();
    let sends = move || !in_cluster || joined.get().is_some_and(|cluster| cluster.view().is_writer());
    (Box::new(sends), cluster)
}

/// Builds the channels.
pub(super) fn build(
    settings: &Settings,
    start: NotifyStart<'_>,
    cluster: Arc<OnceLock<ClusterHandle>>,
) -> anyhow::Result<(Notices, IdleNotices)> {
    // The signals of a recording are from another time.
    let off = NotifySettings::default();
    let replaying = settings.sources.runs(SourceSettings::REPLAY);
    let start = NotifyStart { settings: if replaying { &off } else { start.settings }, ..start };
    let (notices, lanes) = Notices::start(start)?;
    Ok((notices, IdleNotices { lanes, cluster }))
}

impl IdleNotices {
    /// Spawns the lanes, and shows their state in `/ready` and in the metrics.
    pub(super) fn spawn(self, gateway: &Gateway, notices: &Notices, cluster: Option<&ClusterHandle>) {
        if let Some(cluster) = cluster {
            self.cluster.set(cluster.clone()).ok();
        }
        if notices.states().is_empty() {
            return;
        }
        gateway.hub.add_sink(self.lanes.waker.clone());
        let (checked, gauged) = (notices.clone(), notices.clone());
        gateway.readiness.add_check("notices", move || checked.complaint());
        gateway.metrics.probe(move |metrics| gauged.update(metrics));
        let stopping = gateway.tasks.stopping();
        let run = async move {
            stopping.run_until_cancelled(self.lanes.run()).await;
            // The lanes end before the other tasks; a task must not end earlier than `stopping`.
            stopping.cancelled().await;
        };
        gateway.tasks.spawn("notices", run_forever(run));
    }
}
