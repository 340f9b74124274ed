//! Before a node starts: does its data directory belong to the cluster's log?

use std::path::Path;
use std::time::Duration;

use async_nats::Client;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::connection::{self, ClusterError};
use super::judge;
use super::message::{Message, WireHeads};
use crate::config::ClusterSettings;
use crate::store::{LocalLog, LogHeads, StoreError};

/// How long a node without a copy waits for the log.
const FIRST_FIND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a node with a copy waits before it serves what it has.
const FIND_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// A node that may start.
#[derive(Debug, Clone)]
pub struct Joined {
    /// The connection to the NATS servers.
    pub(super) client: Client,
    /// The epoch of the log.
    pub epoch: String,
}

/// The log at the NATS servers.
struct Found {
    epoch: String,
    /// The heads that it begins after.
    base: LogHeads,
}

/// Compares the data directory with the cluster's log, and moves a log of an earlier epoch aside.
///
/// # Errors
/// [`ClusterError`]: the node cannot start, and why.
pub async fn join(settings: &ClusterSettings, dir: &Path) -> Result<Joined, ClusterError> {
    let client = connection::connect(settings).await?;
    let local = read(dir)?;
    let place = local.as_ref().and_then(|local| local.place.as_ref());
    let time_limit = if place.is_some() { FIND_TIMEOUT } else { FIRST_FIND_TIMEOUT };
    match (find(&client, time_limit).await, place) {
        (Ok(found), _) => {
            let epoch = found.epoch.clone();
            match fit(local.as_ref(), &found) {
                Fit::Follows => {}
                Fit::SetAside(of) => {
                    let to = LocalLog::set_aside(dir, &of).map_err(|error| stored(&error))?;
                    info!(to, epoch, "the log of another epoch was moved aside; this node begins a new copy");
                    require_whole(&found)?;
                }
                Fit::Nothing => require_whole(&found)?,
                Fit::Foreign(why) => return Err(ClusterError::Local(why)),
            }
            Ok(Joined { client, epoch })
        }
        (Err(error), Some(place)) if error.is_passing() => {
            warn!(%error, "this node serves what its copy has until the cluster's log can be read");
            Ok(Joined { client, epoch: place.epoch.clone() })
        }
        (Err(error), _) => Err(error),
    }
}

fn stored(error: &StoreError) -> ClusterError {
    ClusterError::Local(error.to_string())
}

fn read(dir: &Path) -> Result<Option<LocalLog>, ClusterError> {
    LocalLog::read(dir).map_err(|error| stored(&error))
}

async fn find(client: &Client, time_limit: Duration) -> Result<Found, ClusterError> {
    let until = Instant::now() + time_limit;
    let context = connection::jetstream(client);
    loop {
        let attempt = async {
            let (stream, epoch) = connection::stream(&context).await?;
            let first = stream.get_raw_message(1).await;
            let first =
                first.map_err(|error| ClusterError::Unreachable(format!("the first message of the log: {error}")))?;
            let foreign = |why: &dyn std::fmt::Display| ClusterError::Foreign(why.to_string());
            let first = Message::decode(&first.payload).map_err(|error| foreign(&error))?;
            let base = judge::base(&first).and_then(WireHeads::read);
            Ok(Found { epoch, base: base.ok_or_else(|| foreign(&"its first message does not begin a log"))? })
        };
        let found = timeout(connection::REQUEST_TIMEOUT, attempt).await;
        match found.unwrap_or_else(|_| Err(ClusterError::Unreachable("no answer".to_owned()))) {
            Err(error) if error.is_passing() && Instant::now() < until => sleep(RETRY_PAUSE).await,
            outcome => return outcome,
        }
    }
}

/// How a data directory fits to the cluster's log.
#[derive(Debug, PartialEq, Eq)]
enum Fit {
    /// It has a copy, or the log that the cluster's continues.
    Follows,
    /// It has no log.
    Nothing,
    /// It has a log of this epoch, which is moved aside.
    SetAside(String),
    /// It has a log that must not be touched.
    Foreign(String),
}

fn fit(local: Option<&LocalLog>, found: &Found) -> Fit {
    let Some(local) = local else { return Fit::Nothing };
    match &local.place {
        Some(place) if place.epoch == found.epoch => Fit::Follows,
        Some(place) => Fit::SetAside(place.epoch.clone()),
        None if local.heads == LogHeads::START => {
            if local.epoch == found.epoch && found.base == LogHeads::START {
                Fit::Follows
            } else {
                Fit::SetAside(local.epoch.clone())
            }
        }
        None => {
            let is_of_epoch = local.epoch == found.epoch
                || local.copied_from.as_ref().is_some_and(|copied_from| *copied_from.epoch == *found.epoch);
            if is_of_epoch && local.heads == found.base {
                return Fit::Follows;
            }
            Fit::Foreign(format!(
                "the data directory has a log of its own ({}:{}), and the cluster's log is {}:{}. Move the orion.* files \
                 away to begin a copy, or put a backup of another node in their place",
                local.epoch, local.heads.events.seq, found.epoch, found.base.events.seq
            ))
        }
    }
}

/// A node without a log can only follow a log that has its beginning in the stream.
fn require_whole(found: &Found) -> Result<(), ClusterError> {
    if found.base == LogHeads::START {
        return Ok(());
    }
    Err(ClusterError::Local(format!(
        "the cluster's log continues one that had {} events before: put a backup of another node (made with `orion-server \
         backup`) into the data directory as orion.db, and start again",
        found.base.events.seq
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ChainLink, ReplicaPlace};

    fn heads(seq: u64) -> LogHeads {
        LogHeads { events: ChainLink { seq, hash: [seq as u8; 32] }, ..LogHeads::START }
    }

    fn local(epoch: &str, seq: u64) -> LocalLog {
        let heads = if seq == 0 { LogHeads::START } else { heads(seq) };
        LocalLog { epoch: epoch.into(), place: None, heads, copied_from: None }
    }

    fn found(seq: u64) -> Found {
        Found { epoch: "log".into(), base: if seq == 0 { LogHeads::START } else { heads(seq) } }
    }

    #[test]
    fn the_log_that_the_cluster_continues_follows() {
        assert_eq!(fit(Some(&local("log", 7)), &found(7)), Fit::Follows);
        let backup = LocalLog { copied_from: "log:7".parse().ok(), ..local("copy", 7) };
        assert_eq!(fit(Some(&backup), &found(7)), Fit::Follows);
        assert!(matches!(fit(Some(&local("log", 8)), &found(7)), Fit::Foreign(_)));
        assert!(matches!(fit(Some(&local("other", 7)), &found(7)), Fit::Foreign(_)));
    }

    #[test]
    fn a_copy_of_an_earlier_epoch_is_moved_aside() {
        let copy = |epoch| LocalLog { place: Some(ReplicaPlace::start(epoch)), ..local("any", 3) };
        assert_eq!(fit(Some(&copy("log")), &found(0)), Fit::Follows);
        assert_eq!(fit(Some(&copy("old")), &found(0)), Fit::SetAside("old".into()));
        assert_eq!(fit(Some(&local("empty", 0)), &found(0)), Fit::SetAside("empty".into()));
        assert_eq!(fit(None, &found(0)), Fit::Nothing);
    }

    #[test]
    fn a_continued_log_needs_a_backup() {
        assert!(require_whole(&found(0)).is_ok());
        assert!(require_whole(&found(7)).is_err());
    }
}
