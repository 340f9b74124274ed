//! The simulator's saved state: one small file in the data directory.
//!
//! It is written before the ticks of a beat are delivered, so that after `kill -9` it covers everything that a
//! dashboard has shown. It is not synced: after a power failure the simulator may continue from an earlier beat, or
//! start again.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::desk::OpenSignal;
use super::market::MarketState;
use crate::telemetry::LogLimit;

/// Largest accepted file, in bytes: far more than the catalogue and the open signals need.
const MAX_BYTES: u64 = 1024 * 1024;

/// The saved state.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Saved {
    /// The time of the beat.
    pub(super) at: DateTime<Utc>,
    pub(super) market: MarketState,
    pub(super) signals: Vec<OpenSignal>,
}

/// The file of the saved state.
#[derive(Debug)]
pub(super) struct Memory {
    file: PathBuf,
    failures: LogLimit,
}

impl Memory {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file, failures: LogLimit::new() }
    }

    /// Reads the saved state; `None` without a file, or if it is invalid.
    pub(super) fn load(&self) -> Option<Saved> {
        match read(&self.file) {
            Ok(saved) => Some(saved),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                let file = self.file.display();
                tracing::warn!(%file, %error, "the simulator's saved prices cannot be read; it begins with its starting prices");
                None
            }
        }
    }

    /// Saves the state. A failure is logged once a minute, and the stream continues.
    pub(super) async fn save(&self, saved: &Saved) {
        let written = match serde_json::to_vec(saved) {
            Ok(bytes) => {
                let file = self.file.clone();
                let write = tokio::task::spawn_blocking(move || write(&file, &bytes));
                write.await.unwrap_or_else(|error| Err(io::Error::other(error)))
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = written
            && let Some(suppressed) = self.failures.admit()
        {
            let file = self.file.display();
            tracing::warn!(%file, %error, suppressed, "the simulator's prices cannot be saved; after a restart it continues from older ones");
        }
    }
}

fn read(file: &Path) -> io::Result<Saved> {
    if std::fs::metadata(file)?.len() > MAX_BYTES {
        return Err(ErrorKind::FileTooLarge.into());
    }
    let saved: Saved = serde_json::from_slice(&std::fs::read(file)?)?;
    if saved.market.is_plausible() { Ok(saved) } else { Err(ErrorKind::InvalidData.into()) }
}

/// Writes the file atomically: a temporary file replaces it.
fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = file.with_extension("json.new");
    std::fs::write(&beside, bytes)?;
    std::fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn saved_state_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::new(folder.path().join("simulator.json"));
        assert_eq!(memory.load(), None);
        let mut saved = Saved { at: crate::domain::parse_time("2026-01-15T12:00:00Z").unwrap(), ..Saved::default() };
        saved.market.paths.insert("EURUSD".into(), 0.0123);
        memory.save(&saved).await;
        assert_eq!(memory.load(), Some(saved));
    }

    #[tokio::test]
    async fn an_invalid_file_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("simulator.json");
        let far = r#"{"at":"2026-01-15T12:00:00Z","market":{"paths":{"EURUSD":99.0},"own":{}},"signals":[]}"#;
        for text in ["", "{", "[]", r#"{"at":1}"#, far] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(Memory::new(file.clone()).load(), None, "{text}");
        }
        // A failed write has no effect.
        Memory::new("/nowhere/simulator.json".into()).save(&Saved::default()).await;
    }
}
