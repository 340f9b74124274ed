//! Keeps the positions over a clean restart, in a small file in the data directory: written at shutdown, read and
//! removed at the next start.
//!
//! After a crash there is no file, and new clients get the window.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{CatchUp, CatchUpState, ConnectionRecord, Delivered};
use crate::domain::Position;

/// Largest file that is read, in bytes: more than [`MAX_WAITING`](super::MAX_WAITING) positions take.
const MAX_BYTES: u64 = 2 * 1024 * 1024;

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
struct SavedPositions {
    at: DateTime<Utc>,
    /// Epoch of the log that the positions refer to.
    epoch: String,
    /// Key, last signal event, last message.
    positions: Vec<(u64, u64, u64)>,
}

impl CatchUp {
    /// Name of the file in the data directory.
    pub(crate) const FILE: &'static str = "panels.json";

    /// Saves the positions for the next process at shutdown.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub(crate) fn save(&self, log: &Position, now: DateTime<Utc>) -> io::Result<()> {
        let positions = self.state.lock().positions();
        let Some(file) = self.file.as_ref().filter(|_| !positions.is_empty()) else { return Ok(()) };
        let saved = SavedPositions { at: now, epoch: log.epoch.to_string(), positions };
        std::fs::write(file, serde_json::to_vec(&saved)?)
    }

    /// Restores the positions that the previous process has saved in `file`, unless they are older than the window or
    /// of another log. The file is removed.
    #[must_use]
    pub(crate) fn restored(self, file: PathBuf, log: &Position, now: DateTime<Utc>) -> Self {
        match read(&file) {
            Ok(saved) => {
                let age = (now - saved.at).abs().to_std().unwrap_or_default();
                if saved.epoch == *log.epoch && age <= self.window {
                    self.state.lock().resume(&saved.positions);
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let file = file.display();
                tracing::warn!(%file, %error, "cannot read the saved positions of panels: some panels get messages again");
            }
        }
        Self { file: Some(file), ..self }
    }
}

fn read(file: &Path) -> io::Result<SavedPositions> {
    let length = std::fs::metadata(file)?.len();
    let saved = if length > MAX_BYTES {
        Err(ErrorKind::FileTooLarge.into())
    } else {
        std::fs::read(file).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?))
    };
    std::fs::remove_file(file)?;
    saved
}

impl CatchUpState {
    fn positions(&self) -> Vec<(u64, u64, u64)> {
        let of = |(key, known): (&u64, &ConnectionRecord)| {
            let Delivered { signals, messages } = known.delivered;
            (!known.is_taken).then_some((*key, signals, messages))
        };
        let all = self.connections.iter().flat_map(|(key, of_key)| of_key.values().map(move |known| (key, known)));
        all.filter_map(of).take(super::MAX_WAITING).collect()
    }

    fn resume(&mut self, positions: &[(u64, u64, u64)]) {
        for &(key, signals, messages) in positions.iter().take(super::MAX_WAITING) {
            self.last += 1;
            let known = ConnectionRecord::broken(Delivered { signals, messages });
            self.connections.entry(key).or_default().insert(self.last, known);
            self.broken.push_back((Instant::now(), key, self.last));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use chrono::TimeDelta;

    use super::*;
    use crate::domain::parse_time;
    use crate::hub::Outbox;
    use crate::telemetry::Metrics;

    const WINDOW: Duration = Duration::from_secs(15);

    fn tracker() -> CatchUp {
        CatchUp::new(WINDOW, Arc::new(Metrics::new().unwrap()))
    }

    async fn join(tracker: &Arc<CatchUp>, key: u64) -> Option<Delivered> {
        let outbox = Arc::new(Outbox::new(Arc::new(Metrics::new().unwrap())));
        let (mut tracked, from) = tracker.join(key, &outbox).await;
        tracked.leave();
        from
    }

    #[tokio::test(start_paused = true)]
    async fn positions_survive_a_clean_restart_once() {
        let folder = tempfile::tempdir().unwrap();
        let (file, now) = (folder.path().join(CatchUp::FILE), parse_time("2026-01-15T12:00:00Z").unwrap());
        let log = |epoch: &str| Position { epoch: epoch.into(), seq: 9 };
        let key = CatchUp::key([Some("a"), None]);
        assert_eq!(key, 0xa991_5db5_4755_9559, "the next process knows it");
        assert_ne!(key, CatchUp::key([None, Some("a")]));
        let save = async |at| {
            let before = Arc::new(tracker().restored(file.clone(), &log("abc"), at));
            let outbox = Arc::new(Outbox::new(Arc::new(Metrics::new().unwrap())));
            let (tracked, _) = before.join(key, &outbox).await;
            tracked.start_at(Delivered { signals: 5, messages: 6 });
            drop(tracked);
            before.save(&log("abc"), at).unwrap();
        };
        for (epoch, age, expected) in
            [("abc", 14, Some(Delivered { signals: 5, messages: 6 })), ("abc", 16, None), ("other", 1, None)]
        {
            save(now).await;
            let resume = || Arc::new(tracker().restored(file.clone(), &log(epoch), now + TimeDelta::seconds(age)));
            assert_eq!(join(&resume(), key).await, expected, "{epoch} {age}");
            assert_eq!(join(&resume(), key).await, None, "the file is used up");
        }
        std::fs::write(&file, "{").unwrap();
        assert_eq!(join(&Arc::new(tracker().restored(file.clone(), &log("abc"), now)), key).await, None);
        assert!(!file.exists());
    }
}
