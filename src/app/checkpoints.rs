//! The key that signs checkpoints of the log, and the task that publishes them.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::config::{RecordSettings, Settings};
use crate::record::{LogKey, SignedCheckpoint, append_to};
use crate::store::Reader;
use crate::tasks::Tasks;

/// Returns the key of the log, and begins to publish checkpoints if there is a file for them.
pub(super) fn begin(settings: &Settings, reader: Reader, tasks: &Tasks) -> anyhow::Result<Arc<LogKey>> {
    let key = Arc::new(LogKey::open(&settings.data.dir, &settings.record).context("cannot start")?);
    info!(key = %key.public(), "checkpoints of the log are signed by this key (GET /log/checkpoint)");
    if settings.cluster.is_on() && settings.record.key.is_none() {
        warn!(
            "each node of the cluster signs checkpoints with a key of its own; set record.key (ORION_RECORD__KEY) to the same on all"
        );
    }
    publish(&settings.record, reader, key.clone(), tasks);
    Ok(key)
}

/// Spawns the task, if there is a file to publish in.
fn publish(settings: &RecordSettings, reader: Reader, key: Arc<LogKey>, tasks: &Tasks) {
    let Some(file) = settings.publish_file.clone() else { return };
    let (interval, stopping) = (settings.publish_interval, tasks.stopping());
    tasks.spawn("checkpoints", async move {
        loop {
            if let Err(error) = publish_once(&reader, &key, file.clone()).await {
                let file = file.display();
                warn!(%file, error = format!("{error:#}"), "the checkpoint of the log is not published (record.publish_file); trying again later");
            }
            if stopping.run_until_cancelled(sleep(interval)).await.is_none() {
                return Ok::<_, Infallible>(());
            }
        }
    });
}

async fn publish_once(reader: &Reader, key: &LogKey, file: PathBuf) -> anyhow::Result<()> {
    let checkpoint = SignedCheckpoint::sign(key, &reader.tree_head().await?)?;
    tokio::task::spawn_blocking(move || append_to(&file, &checkpoint)).await?.context("cannot write it")
}
