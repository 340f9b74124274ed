//! Publishes the checkpoints of the log at an interval.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tokio::time::sleep;
use tracing::warn;

use crate::config::RecordSettings;
use crate::record::{LogKey, SignedCheckpoint, append_to};
use crate::store::Reader;
use crate::tasks::Tasks;

/// Spawns the task, if there is a file to publish in.
pub(super) fn publish(settings: &RecordSettings, reader: Reader, key: Arc<LogKey>, tasks: &Tasks) {
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
