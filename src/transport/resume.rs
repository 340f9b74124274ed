//! Resuming a client from a cursor: pages from the log while it is far behind, then one step that sends the rest and
//! joins it to live events.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::domain::{Position, Signal};
use crate::hub::{Envelope, Hub, Snapshot};
use crate::store::{Reader, SignalChange, StoreError};
use crate::telemetry::LogLimit;

/// Limits the log line, because every returning client needs the log while the disk cannot be read.
static UNREADABLE: LogLimit = LogLimit::new();

/// Logs that a replay could not be read, at most once a minute.
pub(crate) fn log_unreadable(error: &StoreError) {
    if let Some(suppressed) = UNREADABLE.admit() {
        tracing::warn!(%error, suppressed, "cannot read a replay from the log: clients get a snapshot instead");
    }
}

/// Number of events read from the log at a time.
const PAGE: usize = 200;
/// How long a failed read of the log is repeated.
const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause between two attempts to read.
const READ_PAUSE: Duration = Duration::from_millis(100);

/// A client that reads nothing for this long while it should join counts as gone.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client waits for events that another node of a cluster has published.
const AHEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two attempts to join.
const JOIN_PAUSE: Duration = Duration::from_millis(20);

/// The client has disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// The client's queue is full of what it has not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoom {
    /// The last event that was queued; `None` when the first did not fit.
    pub(crate) reached: Option<u64>,
}

/// Result of an attempt to resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resumed {
    /// The gap is filled and the client has joined.
    Joined,
    /// The cursor is too old or belongs to another log: the client needs a snapshot.
    Impossible,
    /// The client has disconnected.
    Gone,
}

/// A client that resumes.
pub(crate) trait ResumeRequest: Send {
    /// Writes a page of missed events, and waits for the client where it must.
    fn send(&mut self, page: Vec<(Position, Signal)>) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Sends the rest of the missed events and joins the client, while nothing is published.
    ///
    /// # Errors
    /// Fails when the client's queue has no room for all of it. The client has not joined, and the caller retries.
    fn join(&mut self, snapshot: &Snapshot, rest: Vec<Arc<Envelope>>) -> Result<(), NoRoom>;
}

/// Returns the sequence number of a cursor, if it belongs to this log.
pub(crate) fn place(cursor: &str, head: &Position) -> Option<u64> {
    let position: Position = cursor.parse().ok()?;
    (position.epoch == head.epoch && position.seq <= head.seq).then_some(position.seq)
}

/// Returns the sequence number of a cursor of this log, even if it is ahead: another node of a cluster may have given it
/// a moment ago. [`resume`] waits for it.
pub(crate) fn reachable(cursor: &str, head: &Position) -> Option<u64> {
    let position: Position = cursor.parse().ok()?;
    (position.epoch == head.epoch).then_some(position.seq)
}

/// Waits until everything up to `seq` is published here, for at most [`AHEAD_TIMEOUT`]. Returns whether it is; a log of
/// this process alone never has more than it has published, so that nothing is waited for.
pub(crate) async fn reached(hub: &Hub, log: &Reader, seq: u64) -> bool {
    let until = Instant::now() + if log.is_copy() { AHEAD_TIMEOUT } else { Duration::ZERO };
    while hub.position().seq < seq {
        if Instant::now() >= until {
            return false;
        }
        sleep(JOIN_PAUSE).await;
    }
    true
}

/// Sends a client everything after `seq` and joins it to live events. In a cluster it first waits for what another node
/// has published already.
///
/// # Errors
/// Fails when the log cannot be read; the client has not joined.
pub(crate) async fn resume(
    hub: &Hub,
    log: &Reader,
    mut seq: u64,
    client: &mut impl ResumeRequest,
) -> Result<Resumed, StoreError> {
    if !reached(hub, log, seq).await {
        return Ok(Resumed::Impossible);
    }
    let mut deadline = Instant::now() + JOIN_TIMEOUT;
    loop {
        let (head, joined) = hub.with_snapshot(|snapshot| {
            let joined = snapshot.after(seq).map(|rest| client.join(snapshot, rest));
            (snapshot.position().clone(), joined)
        });
        match joined {
            Some(Ok(())) => return Ok(Resumed::Joined),
            Some(Err(NoRoom { reached: None })) if Instant::now() > deadline => return Ok(Resumed::Gone),
            Some(Err(NoRoom { reached })) => {
                if let Some(reached) = reached {
                    (seq, deadline) = (reached, Instant::now() + JOIN_TIMEOUT);
                }
                sleep(JOIN_PAUSE).await;
                continue;
            }
            None => {}
        }
        let mut page = read_page(log, seq).await?;
        // Events that are committed and not published yet arrive live.
        page.retain(|(at, _)| *at <= head.seq);
        // Events are numbered without gaps, so a page that does not start with the next one has lost some to pruning.
        match (page.first(), page.last()) {
            (Some((first, _)), Some((last, _))) if *first == seq + 1 => seq = *last,
            _ => return Ok(Resumed::Impossible),
        }
        let page =
            page.into_iter().map(|(seq, signal)| (Position { epoch: head.epoch.clone(), seq }, signal)).collect();
        if client.send(page).await.is_err() {
            return Ok(Resumed::Gone);
        }
    }
}

/// Reads the events after `seq`. When all clients reconnect at once, the log may be busy for a moment.
///
/// # Errors
/// Fails when the log cannot be read within [`READ_TIMEOUT`].
async fn read_page(log: &Reader, seq: u64) -> Result<Vec<(u64, Signal)>, StoreError> {
    retried(|| log.events_after(seq, PAGE)).await
}

/// Reads the events after `seq`, each with the sequence number of its signal's latest event.
///
/// # Errors
/// Fails when the log cannot be read within [`READ_TIMEOUT`].
pub(crate) async fn read_changes(log: &Reader, seq: u64) -> Result<Vec<SignalChange>, StoreError> {
    retried(|| log.changes_after(seq, PAGE)).await
}

/// Repeats a failed read until [`READ_TIMEOUT`].
async fn retried<T, F>(read: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let until = Instant::now() + READ_TIMEOUT;
    loop {
        match read().await {
            Err(error) if Instant::now() < until => {
                debug!(%error, "reading a page of the log again");
                sleep(READ_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cursor_of_this_log_is_accepted() {
        let head = Position { epoch: "abc".into(), seq: 10 };
        assert_eq!(place("abc:10", &head), Some(10));
        assert_eq!(place("abc:0", &head), Some(0));
        for cursor in ["abc:11", "abd:5", "nonsense", "", "abc:-1"] {
            assert_eq!(place(cursor, &head), None, "{cursor}");
        }
        assert_eq!(reachable("abc:11", &head), Some(11));
        assert_eq!(reachable("abd:5", &head), None);
    }
}
