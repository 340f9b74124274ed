//! Statistics of the writes to one connection, and what is served on it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, Weak};
use std::time::Duration;

use tokio::time::Instant;
use tracing::Span;

use crate::telemetry::{Behind, ConnectionId, ConnectionSpan, Queue};

/// The endpoint of a connection for which none was recorded.
const PLAIN: &str = "HTTP";

/// The write statistics of one connection. They change when a write begins or ends to wait for the peer; a write that goes
/// through at once costs nothing.
#[derive(Debug)]
pub(super) struct WriteStats {
    opened: Instant,
    /// When the current write began to wait: milliseconds after `opened`, plus one. 0 when no write waits.
    blocked: AtomicU64,
    /// The longest wait that has ended, in milliseconds.
    longest: AtomicU64,
    served: OnceLock<Served>,
    /// The client that is served.
    client: OnceLock<ConnectionSpan>,
}

#[derive(Debug)]
struct Served {
    endpoint: &'static str,
    /// The queue in front of the connection, owned by the task that serves it.
    queue: Option<Weak<dyn Queue>>,
}

/// A connection whose peer reads slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowConnection {
    /// What is served on it: the path of an endpoint, or `HTTP`.
    pub endpoint: &'static str,
    /// The id of the client's connection in the log; `None` when only requests are served.
    pub connection: Option<ConnectionId>,
    /// How long it has been open.
    pub connected: Duration,
    /// How long the current write has waited, if one waits.
    pub blocked: Option<Duration>,
    /// The longest wait of any write.
    pub longest: Duration,
    /// The backlog in the queue in front of the connection, if it has one.
    pub behind: Option<Behind>,
}

impl WriteStats {
    /// Shorter waits than this do not count as slow.
    const SLOW_FROM: Duration = Duration::from_millis(100);

    pub(super) fn new() -> Self {
        Self {
            opened: Instant::now(),
            blocked: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            served: OnceLock::new(),
            client: OnceLock::new(),
        }
    }

    /// Records what is served, and its queue. Only the first call counts.
    pub(super) fn serves(&self, endpoint: &'static str, queue: Option<Weak<dyn Queue>>) {
        self.served.set(Served { endpoint, queue }).ok();
    }

    /// Records which client is served. Only the first call counts.
    pub(super) fn identify(&self, client: ConnectionSpan) {
        self.client.set(client).ok();
    }

    /// Returns the span of the client that is served; a disabled one when only requests are served.
    pub(super) fn span(&self) -> Span {
        self.client.get().map_or_else(Span::none, ConnectionSpan::span)
    }

    /// Records that a write begins to wait.
    pub(super) fn block(&self) {
        self.blocked.store(self.opened.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
    }

    /// Records that the write no longer waits.
    pub(super) fn unblock(&self) {
        if let Some(waited) = self.blocked() {
            self.longest.fetch_max(waited.as_millis() as u64, Ordering::Relaxed);
        }
        self.blocked.store(0, Ordering::Relaxed);
    }

    /// Returns how long the current write has waited; `None` when no write waits.
    pub(super) fn blocked(&self) -> Option<Duration> {
        let since = self.blocked.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.opened.elapsed().saturating_sub(Duration::from_millis(since)))
    }

    /// Returns the longest wait of any write, the current one included.
    pub(super) fn longest(&self) -> Duration {
        Duration::from_millis(self.longest.load(Ordering::Relaxed)).max(self.blocked().unwrap_or_default())
    }

    pub(super) fn endpoint(&self) -> &'static str {
        self.served.get().map_or(PLAIN, |served| served.endpoint)
    }

    pub(super) fn behind(&self) -> Option<Behind> {
        Some(self.served.get()?.queue.as_ref()?.upgrade()?.behind())
    }

    /// Returns how slow the peer is; `None` when it is not slow.
    pub(super) fn slow(&self) -> Option<SlowConnection> {
        let (blocked, behind) = (self.blocked(), self.behind());
        let longest = self.longest();
        (longest.max(behind.unwrap_or_default().by) >= Self::SLOW_FROM).then(|| SlowConnection {
            endpoint: self.endpoint(),
            connection: self.client.get().map(ConnectionSpan::id),
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
            Behind { ordered: 1, states: 2, by: SECOND, conflated: 3 }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_current_and_the_longest_wait_are_reported() {
        let write_stats = WriteStats::new();
        assert_eq!((write_stats.blocked(), write_stats.slow()), (None, None));
        write_stats.block();
        tokio::time::advance(3 * SECOND).await;
        assert_eq!(write_stats.blocked(), Some(3 * SECOND));
        write_stats.unblock();
        tokio::time::advance(SECOND).await;
        write_stats.block();
        tokio::time::advance(SECOND).await;
        let slow = write_stats.slow().unwrap();
        assert_eq!((slow.endpoint, slow.connected), ("HTTP", 5 * SECOND));
        assert_eq!((slow.blocked, slow.longest, slow.behind), (Some(SECOND), 3 * SECOND, None));
        write_stats.unblock();
        assert_eq!(write_stats.slow().map(|slow| (slow.blocked, slow.longest)), Some((None, 3 * SECOND)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_backlog_is_reported_while_its_queue_exists() {
        let (write_stats, queue) = (WriteStats::new(), Arc::new(Three));
        let weak: Weak<dyn Queue> = Arc::<Three>::downgrade(&queue);
        write_stats.serves("/ws", Some(weak));
        write_stats.serves("/other", None);
        let slow = write_stats.slow().unwrap();
        assert_eq!((slow.endpoint, slow.blocked, slow.behind.unwrap().states), ("/ws", None, 2));
        drop(queue);
        assert_eq!(write_stats.slow(), None);
    }
}
