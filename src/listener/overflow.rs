//! Connections above the limit: only health checks and metrics scrapes are served, all others are refused.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Connections in the queue at a time. A further connection evicts the one that has waited longest, so that silent
/// connections cannot keep a check out.
const MAX_WAITING: usize = 48;
/// How long a queued connection may take to send the head of its request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(1);
/// How often an incomplete head is looked at again.
const PEEK_INTERVAL: Duration = Duration::from_millis(10);
/// Requests with a short answer that are answered at a time.
const MAX_CHECKS: usize = 32;
/// Requests with a long answer that are answered at a time: a peer that does not read its answer holds a permit for a while.
const MAX_SCRAPES: usize = 8;
/// The longest head that is looked at, in bytes. A longer head is classified by its first line.
const MAX_HEAD: usize = 4096;

/// The requests that are answered even at the limit, so that monitoring can see that it is reached; and whether their
/// answer is long.
const CHECKS: [(&[u8], bool); 3] = [(b"GET /health", false), (b"GET /ready", false), (b"GET /metrics", true)];

/// The connections that wait to be recognised as a check.
#[derive(Debug, Clone)]
pub(super) struct OverflowQueue {
    waiting: Arc<Mutex<WaitQueue>>,
    checks: Arc<Semaphore>,
    scrapes: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct WaitQueue {
    next: u64,
    queue: VecDeque<(u64, CancellationToken)>,
}

/// A connection in the queue; dropping it leaves the queue.
#[derive(Debug)]
pub(super) struct QueuedConnection {
    overflow: OverflowQueue,
    id: u64,
    evicted: CancellationToken,
}

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeadKind {
    /// The whole head of a check, or as much of a long one as is looked at.
    Check { is_long: bool },
    /// Nothing yet, or the beginning of what may be a check.
    Incomplete,
    /// Something else.
    Other,
}

impl OverflowQueue {
    pub(super) fn new() -> Self {
        Self {
            waiting: Arc::default(),
            checks: Arc::new(Semaphore::new(MAX_CHECKS)),
            scrapes: Arc::new(Semaphore::new(MAX_SCRAPES)),
        }
    }

    /// Appends a connection to the queue. When the queue is full, the connection that has waited longest is evicted.
    pub(super) fn push(&self) -> QueuedConnection {
        let mut waiting = self.waiting.lock();
        if waiting.queue.len() >= MAX_WAITING
            && let Some((_, oldest)) = waiting.queue.pop_front()
        {
            oldest.cancel();
        }
        let (id, evicted) = (waiting.next, CancellationToken::new());
        waiting.next += 1;
        waiting.queue.push_back((id, evicted.clone()));
        QueuedConnection { overflow: self.clone(), id, evicted }
    }
}

impl QueuedConnection {
    /// Waits until the connection has sent a check. Returns the permit to answer it; `None` when it has to be refused.
    ///
    /// The bytes are only peeked at: whatever serves the connection reads them again.
    pub(super) async fn check(self, stream: &TcpStream) -> Option<OwnedSemaphorePermit> {
        let head = self.evicted.run_until_cancelled(timeout(HEAD_TIMEOUT, check_head(stream)));
        let is_long = head.await?.ok()??;
        let permits = if is_long { &self.overflow.scrapes } else { &self.overflow.checks };
        permits.clone().try_acquire_owned().ok()
    }
}

impl Drop for QueuedConnection {
    fn drop(&mut self) {
        self.overflow.waiting.lock().queue.retain(|(id, _)| *id != self.id);
    }
}

/// Waits for the head of a check and returns whether its answer is long; `None` when another request arrives.
async fn check_head(stream: &TcpStream) -> Option<bool> {
    let mut head = vec![0; MAX_HEAD];
    let mut seen = 0;
    loop {
        let length = stream.peek(&mut head).await.ok().filter(|length| *length > 0)?;
        match classify(&head[..length]) {
            HeadKind::Check { is_long } => return Some(is_long),
            HeadKind::Other => return None,
            HeadKind::Incomplete if length == seen => {
                // The peeked bytes keep the socket readable, so only a pause prevents a busy loop.
                sleep(PEEK_INTERVAL).await;
            }
            HeadKind::Incomplete => {}
        }
        seen = length;
    }
}

fn classify(head: &[u8]) -> HeadKind {
    let is_whole = head.len() == MAX_HEAD || head.windows(4).any(|end| end == b"\r\n\r\n");
    for (check, is_long) in CHECKS {
        match head.strip_prefix(check) {
            Some([b' ' | b'?', ..]) if is_whole => return HeadKind::Check { is_long },
            Some([b' ' | b'?', ..] | []) => return HeadKind::Incomplete,
            Some(_) => return HeadKind::Other,
            None if check.starts_with(head) => return HeadKind::Incomplete,
            None => {}
        }
    }
    HeadKind::Other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_needs_its_whole_head() {
        let check = |is_long| HeadKind::Check { is_long };
        for (head, seen) in [
            ("", HeadKind::Incomplete),
            ("GET /", HeadKind::Incomplete),
            ("GET /health", HeadKind::Incomplete),
            ("GET /health HTTP/1.1\r\nHost: x\r\n", HeadKind::Incomplete),
            ("GET /health HTTP/1.1\r\nHost: x\r\n\r\n", check(false)),
            ("GET /ready?verbose HTTP/1.1\r\n\r\n", check(false)),
            ("GET /metrics HTTP/1.1\r\n\r\n", check(true)),
            ("GET /healthy HTTP/1.1\r\n\r\n", HeadKind::Other),
            ("GET / HTTP/1.1\r\n\r\n", HeadKind::Other),
            ("POST /health HTTP/1.1\r\n\r\n", HeadKind::Other),
        ] {
            assert_eq!(classify(head.as_bytes()), seen, "{head:?}");
        }
        let long = format!("GET /health HTTP/1.1\r\nX-Long: {}", "a".repeat(MAX_HEAD));
        assert_eq!(classify(&long.as_bytes()[..MAX_HEAD]), check(false));
    }

    #[test]
    fn the_oldest_queued_connection_is_evicted() {
        let overflow = OverflowQueue::new();
        let mut queued: Vec<_> = (0..MAX_WAITING).map(|_| overflow.push()).collect();
        assert!(queued.iter().all(|queued| !queued.evicted.is_cancelled()));
        queued.push(overflow.push());
        let evicted: Vec<_> =
            queued.iter().filter(|queued| queued.evicted.is_cancelled()).map(|queued| queued.id).collect();
        assert_eq!(evicted, [0]);
        drop(queued);
        assert!(overflow.waiting.lock().queue.is_empty());
    }
}
