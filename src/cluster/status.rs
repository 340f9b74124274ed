//! What the nodes and the stream say of themselves, for operators.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, jetstream};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::connection::{self, ClusterError};
use super::{NodeState, Shared, View};
use crate::config::ClusterSettings;
use crate::pipeline::clock;

/// The subject on which every node answers.
const SUBJECT: &str = "orion.status";
/// How long answers are collected.
const COLLECT: Duration = Duration::from_millis(800);
/// How long a writer that leaves looks for the node that is to follow it.
const SUCCESSOR_TIMEOUT: Duration = Duration::from_millis(250);
/// Pause before a failed subscription is repeated.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// A node's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub node: String,
    /// The version of its program.
    pub version: String,
    /// What it knows.
    #[serde(flatten)]
    pub view: View,
    /// Its wall clock; Unix milliseconds.
    pub now: i64,
    /// How far its clock is ahead of the asking one, in milliseconds, at most.
    #[serde(default)]
    pub clock_offset: i64,
}

/// The stream of the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamStatus {
    /// The epoch of the log.
    pub epoch: String,
    /// The first message that is kept.
    pub first: u64,
    /// The last message.
    pub last: u64,
    /// The size in bytes.
    pub bytes: u64,
    /// The number of copies that it is configured with.
    pub replicas: usize,
    /// The NATS server that leads it; `None` while there is none.
    pub leader: Option<String>,
    /// The other NATS servers that have it, each with whether it is up to date.
    pub followers: Vec<(String, bool)>,
    /// The version of the NATS server that was asked.
    pub server: String,
}

/// The state of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClusterStatus {
    /// The nodes that have answered, by name.
    pub nodes: Vec<NodeStatus>,
    /// The stream.
    pub stream: StreamStatus,
}

/// Asks a cluster from outside.
///
/// # Errors
/// [`ClusterError`] when the log cannot be read.
pub async fn status(settings: &ClusterSettings) -> Result<ClusterStatus, ClusterError> {
    let client = connection::connect(settings).await?;
    let context = connection::jetstream(&client);
    collect(&client, &context, connection::REQUEST_TIMEOUT).await
}

/// Collects the answers of all nodes, and the state of the stream.
pub(super) async fn collect(
    client: &Client,
    context: &jetstream::Context,
    time_limit: Duration,
) -> Result<ClusterStatus, ClusterError> {
    let unreachable = |error: &dyn std::fmt::Display| ClusterError::Unreachable(error.to_string());
    let found = timeout(time_limit.max(connection::REQUEST_TIMEOUT), connection::stream(context)).await;
    let (stream, epoch) = found.map_err(|_| unreachable(&"no answer"))??;
    let info = stream.cached_info();
    let followers = info.cluster.iter().flat_map(|cluster| &cluster.replicas);
    let stream = StreamStatus {
        epoch,
        first: info.state.first_sequence,
        last: info.state.last_sequence,
        bytes: info.state.bytes,
        replicas: info.config.num_replicas,
        leader: info.cluster.as_ref().and_then(|cluster| cluster.leader.clone()),
        followers: followers.map(|peer| (peer.name.clone(), peer.current && !peer.offline)).collect(),
        server: client.server_info().version,
    };
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| unreachable(&error))?;
    let asked = Instant::now();
    client.publish_with_reply(SUBJECT, inbox, Vec::new().into()).await.map_err(|error| unreachable(&error))?;
    let mut nodes: Vec<NodeStatus> = Vec::new();
    while let Ok(Some(message)) = timeout_at(asked + COLLECT, answers.next()).await {
        if let Ok(mut node) = serde_json::from_slice::<NodeStatus>(&message.payload) {
            node.clock_offset = node.now - clock::wall().timestamp_millis();
            nodes.push(node);
        }
    }
    nodes.sort_by(|one, other| one.node.cmp(&other.node));
    Ok(ClusterStatus { nodes, stream })
}

/// Returns the follower that answers first: one that follows closely and has the most time.
pub(super) async fn successor(shared: &Shared) -> Option<String> {
    let inbox = shared.client.new_inbox();
    let asked = async {
        let mut answers = shared.client.subscribe(inbox.clone()).await.ok()?;
        shared.client.publish_with_reply(SUBJECT, inbox, Vec::new().into()).await.ok()?;
        while let Some(message) = answers.next().await {
            if let Ok(NodeStatus { node, view, .. }) = serde_json::from_slice::<NodeStatus>(&message.payload)
                && view.state == NodeState::Follower
                && !view.has_left
                && view.lag() == 0
            {
                return Some(node);
            }
        }
        None
    };
    timeout(SUCCESSOR_TIMEOUT, asked).await.ok().flatten()
}

/// Answers with this node's state, until `stop`.
pub(super) async fn serve(shared: Arc<Shared>, clock: fn() -> DateTime<Utc>, stop: CancellationToken) {
    let serve = async {
        loop {
            if let Ok(mut asked) = shared.client.subscribe(SUBJECT).await {
                while let Some(message) = asked.next().await {
                    let Some(to) = message.reply else { continue };
                    let status = NodeStatus {
                        node: shared.name.to_string(),
                        version: env!("CARGO_PKG_VERSION").to_owned(),
                        view: shared.view.borrow().clone(),
                        now: clock().timestamp_millis(),
                        clock_offset: 0,
                    };
                    shared.publish(to.as_str(), &status).await;
                }
            }
            sleep(RETRY_PAUSE).await;
        }
    };
    stop.run_until_cancelled(serve).await;
}
