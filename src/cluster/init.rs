//! Makes the log of a cluster, once: the stream, and its first message.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::STREAM;
use super::append::{Appended, PlacedMessage};
use super::connection::{self, ClusterError};
use super::message::{Message, MessageContent, VERSION};
use crate::config::ClusterSettings;
use crate::store::{LocalLog, LogHeads};

/// How long the NATS servers may take until they are ready.
const INIT_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause between two attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// The log that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initialized {
    /// Its epoch.
    pub epoch: String,
    /// The last event of the log that it continues; 0 for a new one.
    pub continues: u64,
    /// The number of its copies at the NATS servers.
    pub replicas: usize,
}

/// Makes the log at the NATS servers. It continues the log in `dir` if there is one, with its epoch, so that cursors
/// stay valid.
///
/// # Errors
/// [`ClusterError`], also when there is a log already.
pub async fn init(
    settings: &ClusterSettings,
    dir: &Path,
    replicas: Option<usize>,
) -> Result<Initialized, ClusterError> {
    let stored = |error: &dyn std::fmt::Display| ClusterError::Local(error.to_string());
    if LocalLog::is_in_use(dir) {
        let what =
            format!("a server runs on {}: stop it first, so that the log continues where it ends", dir.display());
        return Err(ClusterError::Local(what));
    }
    let local = LocalLog::read(dir).map_err(|error| stored(&error))?;
    let (epoch, base) =
        local.map_or_else(|| (LocalLog::new_epoch(), LogHeads::START), |local| (local.epoch, local.heads));
    let replicas = replicas.unwrap_or(if settings.urls.iter().count() >= 3 { 3 } else { 1 });
    let client = connection::connect(settings).await?;
    let context = connection::jetstream(&client);
    let until = Instant::now() + INIT_TIMEOUT;
    let epoch = loop {
        let refused = match connection::stream(&context).await {
            Ok((stream, found)) if stream.cached_info().state.last_sequence == 0 => {
                if base != LogHeads::START && found != epoch {
                    let what =
                        format!("it is empty and has the epoch {found}, and this log has {epoch}: remove the stream");
                    return Err(ClusterError::Foreign(what));
                }
                // An earlier attempt was interrupted.
                break found;
            }
            Ok((_, found)) => {
                return Err(ClusterError::Foreign(format!("there is one already, with the epoch {found}: it is kept")));
            }
            Err(ClusterError::NoLog) => {
                match context.create_stream(connection::stream_config(&epoch, replicas)).await {
                    Ok(_) => break epoch,
                    Err(error) => ClusterError::Unreachable(format!("the stream {STREAM} cannot be made: {error}")),
                }
            }
            Err(error) => error,
        };
        if !refused.is_passing() || Instant::now() >= until {
            return Err(refused);
        }
        sleep(RETRY_PAUSE).await;
    };
    let node = settings.node.clone().unwrap_or_default();
    let genesis =
        Message { v: VERSION, epoch: epoch.clone(), term: 0, node, content: MessageContent::Genesis(base.into()) };
    let payload = genesis.encode().map_err(|error| stored(&error))?;
    let id = format!("{epoch}.genesis");
    // A stream that was made a moment ago may still be choosing its leader.
    match (PlacedMessage { id: &id, payload, after: 0, fenced: true }).send(&context, INIT_TIMEOUT).await {
        Appended::Done => Ok(Initialized { epoch, continues: base.events.seq, replicas }),
        Appended::Fenced => Err(ClusterError::Foreign("another `cluster init` was faster".to_owned())),
        Appended::Unknown(why) => {
            Err(ClusterError::Unreachable(format!("the first message was not acknowledged: {why}; run it again")))
        }
    }
}
