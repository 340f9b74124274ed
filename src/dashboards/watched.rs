//! A state that others wait for: what the trackers of deliveries have in common.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::timeout;

/// A state behind a lock, and its changes.
#[derive(Debug, Default)]
pub(super) struct Watched<T> {
    state: Mutex<T>,
    changed: Notify,
}

impl<T> Watched<T> {
    pub(super) fn new(state: T) -> Self {
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        self.state.lock()
    }

    /// Tells all who wait that the state has changed. The lock must not be held.
    pub(super) fn changed(&self) {
        self.changed.notify_waiters();
    }

    /// Waits until the state is as `holds` wants it, at most for `limit`.
    pub(super) async fn until(&self, limit: Duration, holds: impl Fn(&T) -> bool) {
        let holding = async {
            loop {
                let mut changed = std::pin::pin!(self.changed.notified());
                changed.as_mut().enable();
                if holds(&self.state.lock()) {
                    return;
                }
                changed.await;
            }
        };
        timeout(limit, holding).await.ok();
    }
}
