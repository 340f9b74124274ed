//! Newcomers at a full house: only checks are let in, and a newcomer has to show that it is one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Newcomers that are waited for at a time. One more takes the place of the one that has waited for longest, so that
/// connections that say nothing never keep a check out.
const MAX_WAITING: usize = 48;
/// How long a newcomer may take to send the head of its request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(1);
/// How often it is looked at again whether more of a head has come.
const PAUSE: Duration = Duration::from_millis(10);
/// Requests that are answered at a time, of those with a short answer.
const MAX_CHECKS: usize = 32;
/// The same of those with a long one: a peer that does not read it holds its place for a while.
const MAX_SCRAPES: usize = 8;
/// The longest head that is looked at, in bytes. A longer one is a check by its first line.
const MAX_HEAD: usize = 4096;

/// What is answered however full the house is, and whether its answer is long. How else would anybody learn that it is?
const CHECKS: [(&[u8], bool); 3] = [(b"GET /health", false), (b"GET /ready", false), (b"GET /metrics", true)];

/// The newcomers that are waited for.
#[derive(Debug, Clone)]
pub(super) struct Newcomers {
    waiting: Arc<Mutex<Waiting>>,
    checks: Arc<Semaphore>,
    scrapes: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    queue: VecDeque<(u64, CancellationToken)>,
}

/// A newcomer's place in the queue.
#[derive(Debug)]
pub(super) struct Turn {
    newcomers: Newcomers,
    id: u64,
    evicted: CancellationToken,
}

/// What the beginning of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// The head of a check, or so much of it that it can be nothing else.
    Check { is_long: bool },
    /// Nothing yet, or what may become a check.
    Incomplete,
    /// Something else.
    Other,
}

impl Newcomers {
    pub(super) fn new() -> Self {
        Self {
            waiting: Arc::default(),
            checks: Arc::new(Semaphore::new(MAX_CHECKS)),
            scrapes: Arc::new(Semaphore::new(MAX_SCRAPES)),
        }
    }

    /// Takes a newcomer in. The one that has waited for longest goes when there are too many.
    pub(super) fn enter(&self) -> Turn {
        let mut waiting = self.waiting.lock();
        if waiting.queue.len() >= MAX_WAITING
            && let Some((_, oldest)) = waiting.queue.pop_front()
        {
            oldest.cancel();
        }
        let (id, evicted) = (waiting.next, CancellationToken::new());
        waiting.next += 1;
        waiting.queue.push_back((id, evicted.clone()));
        Turn { newcomers: self.clone(), id, evicted }
    }
}

impl Turn {
    /// Waits until the newcomer has sent a check. Returns the permit to answer it; `None` when it has to be refused.
    ///
    /// What it sends is only looked at: it is read by what serves it.
    pub(super) async fn check(self, stream: &TcpStream) -> Option<OwnedSemaphorePermit> {
        let head = self.evicted.run_until_cancelled(timeout(HEAD_TIMEOUT, check_head(stream)));
        let is_long = head.await?.ok()??;
        let permits = if is_long { &self.newcomers.scrapes } else { &self.newcomers.checks };
        permits.clone().try_acquire_owned().ok()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.newcomers.waiting.lock().queue.retain(|(id, _)| *id != self.id);
    }
}

/// Waits for the head of a check; whether its answer is long. `None` when something else comes.
async fn check_head(stream: &TcpStream) -> Option<bool> {
    let mut head = vec![0; MAX_HEAD];
    let mut seen = 0;
    loop {
        let length = stream.peek(&mut head).await.ok().filter(|length| *length > 0)?;
        match judge(&head[..length]) {
            Seen::Check { is_long } => return Some(is_long),
            Seen::Other => return None,
            Seen::Incomplete if length == seen => {
                // What was seen already makes the socket readable at once.
                sleep(PAUSE).await;
            }
            Seen::Incomplete => {}
        }
        seen = length;
    }
}

fn judge(head: &[u8]) -> Seen {
    let is_whole = head.len() == MAX_HEAD || head.windows(4).any(|end| end == b"\r\n\r\n");
    for (check, is_long) in CHECKS {
        match head.strip_prefix(check) {
            Some([b' ' | b'?', ..]) if is_whole => return Seen::Check { is_long },
            Some([b' ' | b'?', ..] | []) => return Seen::Incomplete,
            Some(_) => return Seen::Other,
            None if check.starts_with(head) => return Seen::Incomplete,
            None => {}
        }
    }
    Seen::Other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_known_by_its_whole_head() {
        let check = |is_long| Seen::Check { is_long };
        for (head, seen) in [
            ("", Seen::Incomplete),
            ("GET /", Seen::Incomplete),
            ("GET /health", Seen::Incomplete),
            ("GET /health HTTP/1.1\r\nHost: x\r\n", Seen::Incomplete),
            ("GET /health HTTP/1.1\r\nHost: x\r\n\r\n", check(false)),
            ("GET /ready?verbose HTTP/1.1\r\n\r\n", check(false)),
            ("GET /metrics HTTP/1.1\r\n\r\n", check(true)),
            ("GET /healthy HTTP/1.1\r\n\r\n", Seen::Other),
            ("GET / HTTP/1.1\r\n\r\n", Seen::Other),
            ("POST /health HTTP/1.1\r\n\r\n", Seen::Other),
        ] {
            assert_eq!(judge(head.as_bytes()), seen, "{head:?}");
        }
        let long = format!("GET /health HTTP/1.1\r\nX-Long: {}", "a".repeat(MAX_HEAD));
        assert_eq!(judge(&long.as_bytes()[..MAX_HEAD]), check(false));
    }

    #[test]
    fn the_one_that_has_waited_longest_gives_way() {
        let newcomers = Newcomers::new();
        let mut turns: Vec<_> = (0..MAX_WAITING).map(|_| newcomers.enter()).collect();
        assert!(turns.iter().all(|turn| !turn.evicted.is_cancelled()));
        turns.push(newcomers.enter());
        let evicted: Vec<_> = turns.iter().filter(|turn| turn.evicted.is_cancelled()).map(|turn| turn.id).collect();
        assert_eq!(evicted, [0]);
        drop(turns);
        assert!(newcomers.waiting.lock().queue.is_empty());
    }
}
