//! A thread that brings the watermark to the disk beside the commits, so that no push waits for a second sync.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Between two syncs. Syncs after every commit take a fifth of a single pusher's rate from a disk.
const INTERVAL: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Something was written that no sync covers yet.
    is_dirty: bool,
    /// How the last one failed, until it is told.
    error: Option<io::Error>,
    is_stopping: bool,
}

/// Syncs one file: at once when it was quiet, else every few milliseconds.
#[derive(Debug)]
pub(super) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    pub(super) fn spawn(file: File) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("store-syncer".into()).spawn({
            let shared = Arc::clone(&shared);
            move || run(&file, &shared)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Has what was written synced soon.
    pub(super) fn request(&self) {
        self.shared.state.lock().is_dirty = true;
        self.shared.changed.notify_one();
    }

    /// Returns how the last sync failed, once.
    ///
    /// # Errors
    /// When it failed.
    pub(super) fn check(&self) -> io::Result<()> {
        self.shared.state.lock().error.take().map_or(Ok(()), Err)
    }
}

fn run(file: &File, shared: &Shared) {
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
            // It has no way to panic.
            thread.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_requested_is_synced_before_the_end() {
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
