//! Runs the notices where the log is written.

use std::sync::{Arc, LazyLock, OnceLock};

use super::run_forever;
use crate::cluster::ClusterHandle;
use crate::config::{NotifySettings, Settings, SourceSettings};
use crate::domain::{Instruments, Signal};
use crate::notify::{ChannelSwitch, Lanes, Notices, NotifyStart};
use crate::pipeline::{Handle, clock};
use crate::store::{Recovered, Store};
use crate::telemetry::Metrics;
use crate::transport::Gateway;

/// The notices, before their lanes run.
pub(super) struct IdleNotices {
    lanes: Lanes,
    cluster: Arc<OnceLock<ClusterHandle>>,
}

/// Returns the settings of the channels that are used: none while a recording is replayed, whose signals are from another time.
pub(super) fn used(settings: &Settings) -> &NotifySettings {
    static OFF: LazyLock<NotifySettings> = LazyLock::new(NotifySettings::default);
    if settings.sources.runs(SourceSettings::REPLAY) { &OFF } else { &settings.notify }
}

/// Builds the channels. In a cluster nothing is sent before [`IdleNotices::spawn`], and then only while this node writes.
pub(super) fn build(
    settings: &Settings,
    store: &Store,
    recovered: &Recovered,
    handle: &Handle,
    instruments: &Arc<Instruments>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<(Notices, IdleNotices, ChannelSwitch)> {
    let cluster = Arc::new(OnceLock::<ClusterHandle>::new());
    let (joined, in_cluster) = (cluster.clone(), settings.cluster.is_on());
    let sends = move || !in_cluster || joined.get().is_some_and(|cluster| cluster.view().is_writer());
    let start = NotifyStart {
        settings: used(settings),
        instruments: instruments.clone(),
        log: store.reader(),
        handle: handle.clone(),
        sends: Arc::new(sends),
        epoch: recovered.position.epoch.clone(),
        metrics: metrics.clone(),
        clock: Arc::new(clock::wall),
    };
    let (notices, lanes, switch) = Notices::start(start)?;
    Ok((notices, IdleNotices { lanes, cluster }, switch))
}

/// Returns what says whether a message about a signal goes to LINE.
pub(super) fn told_to_line(notices: &Notices) -> impl Fn(&Signal) -> bool + Send + Sync + 'static + use<> {
    let notices = notices.clone();
    move |signal| notices.line_takes(signal)
}

/// Shows the state of the channels in `/ready` and in the metrics, from the first channel on.
pub(super) fn show(gateway: &Gateway, notices: &Notices) {
    const PART: &str = "notices";
    if notices.states().is_empty() || gateway.readiness.parts().iter().any(|(part, _)| *part == PART) {
        return;
    }
    let (checked, gauged) = (notices.clone(), notices.clone());
    gateway.readiness.add_check(PART, move || checked.complaint());
    gateway.metrics.probe(move |metrics| gauged.update(metrics));
}

impl IdleNotices {
    /// Spawns the lanes, and shows their state in `/ready` and in the metrics.
    pub(super) fn spawn(self, gateway: &Gateway, notices: &Notices, cluster: Option<&ClusterHandle>) {
        if let Some(cluster) = cluster {
            self.cluster.set(cluster.clone()).ok();
        }
        gateway.hub.add_sink(self.lanes.waker.clone());
        show(gateway, notices);
        let stopping = gateway.tasks.stopping();
        let run = async move {
            stopping.run_until_cancelled(self.lanes.run()).await;
            // The lanes end before the other tasks; a task must not end earlier than `stopping`.
            stopping.cancelled().await;
        };
        gateway.tasks.spawn("notices", run_forever(run));
    }
}
