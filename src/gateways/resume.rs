//! How a client that was away gets what it missed: pages from the log while it is still far behind, then one step that
//! hands over the rest and joins it to what is live.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::domain::{Position, Signal};
use crate::hub::{Envelope, Hub, Snapshot};
use crate::store::{Reader, SignalChange, StoreError};
use crate::telemetry::LogLimit;

/// Every client that comes back asks while the disk cannot be read.
static UNREADABLE: LogLimit = LogLimit::new();

/// Logs that a replay could not be read, at most once a minute.
pub(super) fn log_unreadable(error: &StoreError) {
    if let Some(suppressed) = UNREADABLE.admit() {
        tracing::warn!(%error, suppressed, "a replay could not be read");
    }
}

/// Events read from the log at a time.
const PAGE: usize = 200;
/// How long a page that cannot be read is asked for again.
const READ_PATIENCE: Duration = Duration::from_secs(3);
/// Pause before that.
const READ_PAUSE: Duration = Duration::from_millis(100);

/// A client that reads nothing for this long while it should join is gone.
const JOIN_PATIENCE: Duration = Duration::from_secs(10);
/// Pause before it is tried again.
const JOIN_PAUSE: Duration = Duration::from_millis(20);

/// The client is gone; nobody needs the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// A client's queue is full of what it has not read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRoom {
    /// The last event that found a place; `None` when the first did not.
    pub(super) reached: Option<u64>,
}

/// How the attempt to resume ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resumed {
    /// The gap is filled and the client has joined.
    Joined,
    /// The cursor is too old, or was never of this log: the client needs a snapshot.
    Impossible,
    /// The client left meanwhile.
    Gone,
}

/// A client that comes back.
pub(super) trait ResumeRequest: Send {
    /// Writes a page of what was missed, and waits for the client where it must.
    fn send(&mut self, page: Vec<(Position, Signal)>) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Hands over what is still missing and joins the client, while nothing is published.
    ///
    /// # Errors
    /// When there is no room for all of it: the client has not joined, and is tried again a little later.
    fn join(&mut self, present: &Snapshot, rest: Vec<Arc<Envelope>>) -> Result<(), NoRoom>;
}

/// Where a presented cursor points, if it is one of this log's.
pub(super) fn place(cursor: &str, head: &Position) -> Option<u64> {
    let position: Position = cursor.parse().ok()?;
    (position.epoch == head.epoch && position.seq <= head.seq).then_some(position.seq)
}

/// Brings a client from `seq` to the present.
///
/// # Errors
/// When the log cannot be read; the client has not joined.
pub(super) async fn resume(
    hub: &Hub,
    log: &Reader,
    mut seq: u64,
    client: &mut impl ResumeRequest,
) -> Result<Resumed, StoreError> {
    let mut patience = Instant::now() + JOIN_PATIENCE;
    loop {
        let (head, joined) = hub.with_snapshot(|present| {
            let joined = present.after(seq).map(|rest| client.join(present, rest));
            (present.position().clone(), joined)
        });
        match joined {
            Some(Ok(())) => return Ok(Resumed::Joined),
            Some(Err(NoRoom { reached: None })) if Instant::now() > patience => return Ok(Resumed::Gone),
            Some(Err(NoRoom { reached })) => {
                if let Some(reached) = reached {
                    (seq, patience) = (reached, Instant::now() + JOIN_PATIENCE);
                }
                sleep(JOIN_PAUSE).await;
                continue;
            }
            None => {}
        }
        let mut page = read_page(log, seq).await?;
        // What is committed and not published yet will come live.
        page.retain(|(at, _)| *at <= head.seq);
        // Events are numbered without holes, so a page that does not begin with the next one has lost some to pruning.
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

/// Reads the events after `seq`. When everybody comes back at once, the log may be too busy for a moment.
///
/// # Errors
/// When the log cannot be read for longer than that.
async fn read_page(log: &Reader, seq: u64) -> Result<Vec<(u64, Signal)>, StoreError> {
    retried(|| log.events_after(seq, PAGE)).await
}

/// Reads the events after `seq`, each with the number of its signal's latest.
///
/// # Errors
/// When the log cannot be read for longer than a moment.
pub(super) async fn read_changes(log: &Reader, seq: u64) -> Result<Vec<SignalChange>, StoreError> {
    retried(|| log.changes_after(seq, PAGE)).await
}

/// Asks again for a while when the log cannot answer.
async fn retried<T, F>(read: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let until = Instant::now() + READ_PATIENCE;
    loop {
        match read().await {
            Err(error) if Instant::now() < until => {
                debug!(%error, "a page of the log is read again");
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
    fn only_a_cursor_of_this_log_has_a_place() {
        let head = Position { epoch: "abc".into(), seq: 10 };
        assert_eq!(place("abc:10", &head), Some(10));
        assert_eq!(place("abc:0", &head), Some(0));
        for cursor in ["abc:11", "abd:5", "nonsense", "", "abc:-1"] {
            assert_eq!(place(cursor, &head), None, "{cursor}");
        }
    }
}
