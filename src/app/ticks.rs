//! The task that keeps the ticks that made bars.

use std::sync::Arc;

use tracing::warn;

use crate::config::{Settings, SourceSettings};
use crate::domain::WallClock;
use crate::telemetry::Disk;
use crate::ticks::{Keeper, KeeperOptions, remove_all};
use crate::transport::Gateway;

/// Begins to keep ticks, and returns where they go; `None` when the settings keep none, or a recording is replayed. In a cluster
/// the same task serves every term of this node.
pub(super) fn begin(settings: &Settings, gateway: &Gateway, disk: &Arc<Disk>, wall: &WallClock) -> Option<Keeper> {
    if settings.sources.runs(SourceSettings::REPLAY) {
        return None;
    }
    let (dir, retention) = (settings.data.dir.clone(), settings.data.tick_retention);
    if retention.is_zero() {
        if let Err(error) = remove_all(&dir) {
            warn!(%error, "data.tick_retention is 0s, but the ticks that were kept cannot be removed: remove the folder 'ticks' of the data directory");
        }
        return None;
    }
    let disk = disk.clone();
    let (keeper, task) = Keeper::new(KeeperOptions {
        dir,
        retention,
        max_bytes: KeeperOptions::MAX_BYTES,
        low_space: Box::new(move || disk.complaint()),
        clock: wall.clone(),
        metrics: gateway.metrics.clone(),
    });
    let stopping = gateway.tasks.stopping();
    gateway.tasks.spawn("ticks", async move {
        let written = task.run().await;
        // The pipeline ends after `stopping`, unless it has failed.
        stopping.cancelled().await;
        written
    });
    Some(keeper)
}
