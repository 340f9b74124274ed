//! A thread that brings the watermark to the disk while the next commit is being made.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// A sync was asked for and has not ended.
    pending: bool,
    /// How the last one failed, until it is told.
    error: Option<io::Error>,
    stopping: bool,
}

/// Syncs one file. At most one sync is under way.
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

    /// Begins to sync.
    pub(super) fn begin(&self) {
        self.shared.state.lock().pending = true;
        self.shared.changed.notify_all();
    }

    /// Waits until nothing is under way.
    ///
    /// # Errors
    /// When the last sync failed.
    pub(super) fn wait(&self) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        self.shared.changed.wait_while(&mut state, |state| state.pending);
        state.error.take().map_or(Ok(()), Err)
    }
}

fn run(file: &File, shared: &Shared) {
    let mut state = shared.state.lock();
    loop {
        shared.changed.wait_while(&mut state, |state| !state.pending && !state.stopping);
        if !state.pending {
            return;
        }
        let synced = parking_lot::MutexGuard::unlocked(&mut state, || file.sync_data());
        state.pending = false;
        state.error = synced.err();
        shared.changed.notify_all();
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.state.lock().stopping = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has no way to panic.
            thread.join().ok();
        }
    }
}
