//! A thread that syncs the watermark in the background, so that no append waits for a second sync.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

/// The minimum time between two syncs. A sync after every commit reduces the rate of a single sender by a fifth.
const INTERVAL: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
struct SyncerShared {
    state: Mutex<SyncState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct SyncState {
    /// Whether something was written since the last sync.
    is_dirty: bool,
    /// The error of the last failed sync, until [`Syncer::check`] returns it.
    error: Option<io::Error>,
    is_stopping: bool,
}

/// Syncs a file: at once after an idle time, otherwise every few milliseconds.
#[derive(Debug)]
pub(super) struct Syncer {
    shared: Arc<SyncerShared>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    pub(super) fn spawn(file: File) -> io::Result<Self> {
        let shared = Arc::new(SyncerShared::default());
        let thread = std::thread::Builder::new().name("store-syncer".into()).spawn({
            let shared = Arc::clone(&shared);
            move || run(&file, &shared)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Requests a sync of what was written.
    pub(super) fn request(&self) {
        self.shared.state.lock().is_dirty = true;
        self.shared.changed.notify_one();
    }

    /// Checks the last sync. An error is returned once.
    ///
    /// # Errors
    /// The error of the last failed sync.
    pub(super) fn check(&self) -> io::Result<()> {
        self.shared.state.lock().error.take().map_or(Ok(()), Err)
    }
}

fn run(file: &File, shared: &SyncerShared) {
    let mut state = shared.state.lock();
    loop {
        shared.changed.wait_while(&mut state, |state| !state.is_dirty && !state.is_stopping);
        if !state.is_dirty {
            return;
        }
        state.is_dirty = false;
        let synced = MutexGuard::unlocked(&mut state, || file.sync_data());
        if let Err(error) = synced {
            state.error = Some(error);
        }
        shared.changed.wait_while_for(&mut state, |state| !state.is_stopping, INTERVAL);
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.state.lock().is_stopping = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // The thread does not panic.
            thread.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requested_syncs_finish_before_drop() {
        let syncer = Syncer::spawn(tempfile::tempfile().unwrap()).unwrap();
        for _ in 0..100 {
            syncer.request();
            syncer.check().unwrap();
        }
        let shared = Arc::clone(&syncer.shared);
        drop(syncer);
        let state = shared.state.lock();
        assert!(!state.is_dirty && state.error.is_none());
    }
}
