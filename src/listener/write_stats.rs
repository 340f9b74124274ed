//! How writing to one connection goes, and what is served on it: for whoever watches.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry::{Behind, Queue};

/// What a connection is called before anybody has said what it is for.
const PLAIN: &str = "HTTP";

/// Written to when a write begins or ends to wait for the peer, and so never by one that goes through at once.
#[derive(Debug)]
pub(super) struct WriteStats {
    opened: Instant,
    /// When the write began to wait that waits now: milliseconds after `opened`, plus one. 0 when none waits.
    blocked: AtomicU64,
    /// The longest wait that is over, in milliseconds.
    longest: AtomicU64,
    client: OnceLock<Client>,
}

#[derive(Debug)]
struct Client {
    endpoint: &'static str,
    /// What waits for it before it is written. Whoever serves it holds it.
    queue: Option<Weak<dyn Queue>>,
}

/// A connection whose peer takes its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowConnection {
    /// What is served on it: a path of ours, or `HTTP`.
    pub endpoint: &'static str,
    /// How long it has been open.
    pub connected: Duration,
    /// How long the write has waited that waits now.
    pub blocked: Option<Duration>,
    /// The longest that any write has waited.
    pub longest: Duration,
    /// What waits for its client in the queue in front of it, where that can be seen.
    pub behind: Option<Behind>,
}

impl WriteStats {
    /// Whoever keeps nobody waiting for longer than this is not slow.
    const LEAST: Duration = Duration::from_millis(100);

    pub(super) fn new() -> Self {
        Self { opened: Instant::now(), blocked: AtomicU64::new(0), longest: AtomicU64::new(0), client: OnceLock::new() }
    }

    /// Says what is served, and what may wait for it. The first word stands.
    pub(super) fn serves(&self, endpoint: &'static str, queue: Option<Weak<dyn Queue>>) {
        self.client.set(Client { endpoint, queue }).ok();
    }

    /// A write waits from now on.
    pub(super) fn block(&self) {
        self.blocked.store(self.opened.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
    }

    /// It waits no more.
    pub(super) fn unblock(&self) {
        if let Some(waited) = self.blocked() {
            self.longest.fetch_max(waited.as_millis() as u64, Ordering::Relaxed);
        }
        self.blocked.store(0, Ordering::Relaxed);
    }

    /// How long the write has waited that waits now.
    pub(super) fn blocked(&self) -> Option<Duration> {
        let since = self.blocked.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.opened.elapsed().saturating_sub(Duration::from_millis(since)))
    }

    pub(super) fn endpoint(&self) -> &'static str {
        self.client.get().map_or(PLAIN, |client| client.endpoint)
    }

    pub(super) fn behind(&self) -> Option<Behind> {
        Some(self.client.get()?.queue.as_ref()?.upgrade()?.behind())
    }

    /// How slow the peer is; `None` when it is not.
    pub(super) fn slow(&self) -> Option<SlowConnection> {
        let (blocked, behind) = (self.blocked(), self.behind());
        let longest = Duration::from_millis(self.longest.load(Ordering::Relaxed)).max(blocked.unwrap_or_default());
        (longest.max(behind.unwrap_or_default().by) >= Self::LEAST).then(|| SlowConnection {
            endpoint: self.endpoint(),
            connected: self.opened.elapsed(),
            blocked,
            longest,
            behind,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[derive(Debug)]
    struct Three;

    impl Queue for Three {
        fn behind(&self) -> Behind {
            Behind { ordered: 1, states: 2, by: SECOND }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_told_while_it_lasts_and_the_longest_afterwards() {
        let flow = WriteStats::new();
        assert_eq!((flow.blocked(), flow.slow()), (None, None));
        flow.block();
        tokio::time::advance(3 * SECOND).await;
        assert_eq!(flow.blocked(), Some(3 * SECOND));
        flow.unblock();
        tokio::time::advance(SECOND).await;
        flow.block();
        tokio::time::advance(SECOND).await;
        let slow = flow.slow().unwrap();
        assert_eq!((slow.endpoint, slow.connected), ("HTTP", 5 * SECOND));
        assert_eq!((slow.blocked, slow.longest, slow.behind), (Some(SECOND), 3 * SECOND, None));
        flow.unblock();
        assert_eq!(flow.slow().map(|slow| (slow.blocked, slow.longest)), Some((None, 3 * SECOND)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_in_front_of_it_is_told_as_long_as_somebody_serves_it() {
        let (flow, queue) = (WriteStats::new(), Arc::new(Three));
        let weak: Weak<dyn Queue> = Arc::<Three>::downgrade(&queue);
        flow.serves("/ws", Some(weak));
        flow.serves("/other", None);
        let slow = flow.slow().unwrap();
        assert_eq!((slow.endpoint, slow.blocked, slow.behind.unwrap().states), ("/ws", None, 2));
        drop(queue);
        assert_eq!(flow.slow(), None);
    }
}
