//! What a node knows of the cluster, for everything else in the process.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The state of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "reason", rename_all = "snake_case")]
pub enum NodeState {
    /// It has not reached the log yet.
    Connecting,
    /// It reads what it has missed.
    CatchingUp,
    /// It follows the writer.
    Follower,
    /// It tries to become the writer.
    Candidate,
    /// It writes.
    Writer,
    /// The log cannot be read now.
    NoLog(String),
    /// It has stopped following, because the log or its copy is not what it should be. An operator has to look.
    Damaged(String),
}

impl NodeState {
    /// Returns the name in answers and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::CatchingUp => "catching_up",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Writer => "writer",
            Self::NoLog(_) => "no_log",
            Self::Damaged(_) => "damaged",
        }
    }
}

/// What a node knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The node's state.
    #[serde(flatten)]
    pub state: NodeState,
    /// The current term; 0 before the first one.
    pub term: u64,
    /// The writer of the term; empty before the first one.
    pub writer: Arc<str>,
    /// The last message of the stream that this node has applied and published.
    pub stream_seq: u64,
    /// The last message of the stream that this node has heard of.
    pub stream_end: u64,
    /// Whether the node has handed over, because it stops.
    pub has_left: bool,
}

impl View {
    /// Whether this node writes.
    pub fn is_writer(&self) -> bool {
        self.state == NodeState::Writer
    }

    /// Returns the term in which this node writes.
    pub(super) fn writing(&self) -> Option<u64> {
        self.is_writer().then_some(self.term)
    }

    /// Returns how many messages this node is behind.
    pub fn lag(&self) -> u64 {
        self.stream_end.saturating_sub(self.stream_seq)
    }
}

/// Waits until `wanted` holds, and returns the view; `None` when the node has ended.
pub(super) async fn wait(view: &mut watch::Receiver<View>, wanted: impl FnMut(&View) -> bool) -> Option<View> {
    view.wait_for(wanted).await.ok().map(|view| view.clone())
}
