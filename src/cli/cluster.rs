//! `cluster`: makes the log of a cluster, and shows the state of its nodes.

use std::io::{self, Write};

use clap::Subcommand;

use super::{EXIT_FAILURE, EXIT_OK};
use crate::cluster::{self, ClusterError, ClusterStatus};
use crate::config::Settings;

/// The end of its help.
pub(super) const EXAMPLE: &str = "Examples:\n  orion-server cluster init\n  orion-server cluster status --json";

/// Work on a cluster of several nodes.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum ClusterCommand {
    /// Make the cluster's log at the NATS servers, once
    ///
    /// It continues the log in the data directory if there is one, with its epoch, so that cursors stay valid; the server
    /// on it has to be stopped. An existing log at the NATS servers is never changed.
    Init {
        /// Copies of the log at the NATS servers: 1, 3 or 5 [3, or 1 with fewer than three addresses in cluster.urls]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=5))]
        replicas: Option<u8>,
    },
    /// Show the nodes and the log: who writes, who follows how far behind, and whether the NATS servers are in step
    ///
    /// Exits with 1 when no node writes, a node is not in step, or a copy of the log is missing.
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterCommandError {
    /// The cluster's log.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// There are no settings of a cluster.
    #[error("cluster.urls (ORION_CLUSTER__URLS) is not set: this server is not a node of a cluster")]
    Alone,
    /// The output cannot be written.
    #[error(transparent)]
    Output(#[from] io::Error),
}

impl ClusterCommand {
    /// Runs the command. Returns its exit code.
    ///
    /// # Errors
    /// [`ClusterCommandError`].
    pub fn run(&self, settings: &Settings, out: &mut impl Write) -> Result<u8, ClusterCommandError> {
        if !settings.cluster.is_on() {
            return Err(ClusterCommandError::Alone);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        match self {
            Self::Init { replicas } => {
                let replicas = replicas.map(usize::from);
                let made = runtime.block_on(cluster::init(&settings.cluster, &settings.data.dir, replicas))?;
                writeln!(out, "made the log {} with {} copies", made.epoch, made.replicas)?;
                if made.continues > 0 {
                    writeln!(
                        out,
                        "it continues the log in {} after event {}: start a node here first, and give the others its backup",
                        settings.data.dir.display(),
                        made.continues
                    )?;
                }
                Ok(EXIT_OK)
            }
            Self::Status { json } => {
                let status = runtime.block_on(cluster::status(&settings.cluster))?;
                if *json {
                    serde_json::to_writer_pretty(&mut *out, &status).map_err(io::Error::from)?;
                    writeln!(out)?;
                } else {
                    print(&status, out)?;
                }
                Ok(if faults(&status).is_empty() { EXIT_OK } else { EXIT_FAILURE })
            }
        }
    }
}

/// Returns what an operator has to look at.
fn faults(status: &ClusterStatus) -> Vec<String> {
    let ClusterStatus { nodes, stream } = status;
    let mut faults = Vec::new();
    match nodes.iter().filter(|node| node.view.is_writer()).count() {
        0 => faults.push("no node writes".to_owned()),
        1 => {}
        writers => faults.push(format!("{writers} nodes write; one of them is being replaced")),
    }
    for node in nodes {
        match node.view.state.name() {
            "writer" | "follower" | "candidate" => {}
            state => faults.push(format!("node {} is {state}", node.node)),
        }
    }
    if stream.leader.is_none() && stream.replicas > 1 {
        faults.push("the stream has no leader".to_owned());
    }
    for (server, is_current) in &stream.followers {
        if !is_current {
            faults.push(format!("the NATS server {server} is not up to date"));
        }
    }
    faults
}

fn print(status: &ClusterStatus, out: &mut impl Write) -> io::Result<()> {
    let ClusterStatus { nodes, stream } = status;
    writeln!(
        out,
        "log {}: messages {} to {}, {} bytes, {} copies, NATS {}",
        stream.epoch, stream.first, stream.last, stream.bytes, stream.replicas, stream.server
    )?;
    let leader = stream.leader.as_deref().unwrap_or("none");
    let followers = stream
        .followers
        .iter()
        .map(|(server, is_current)| if *is_current { server.clone() } else { format!("{server} (behind)") });
    writeln!(out, "led by {leader}, followed by {}", followers.collect::<Vec<_>>().join(", "))?;
    writeln!(
        out,
        "{:<20} {:<12} {:>6} {:>10} {:>6} {:>9}  version",
        "node", "state", "term", "message", "lag", "clock"
    )?;
    for node in nodes {
        let view = &node.view;
        writeln!(
            out,
            "{:<20} {:<12} {:>6} {:>10} {:>6} {:>6} ms  {}",
            node.node,
            view.state.name(),
            view.term,
            view.stream_seq,
            view.lag(),
            node.clock_offset,
            node.version
        )?;
    }
    for fault in faults(status) {
        writeln!(out, "! {fault}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{NodeState, NodeStatus, StreamStatus, View};

    fn node(name: &str, state: NodeState) -> NodeStatus {
        let view = View { state, term: 3, writer: "a".into(), stream_seq: 7, stream_end: 9, has_left: false };
        NodeStatus { node: name.into(), version: "1".into(), view, now: 0, clock_offset: -2 }
    }

    fn status(nodes: Vec<NodeStatus>) -> ClusterStatus {
        let stream = StreamStatus {
            epoch: "log".into(),
            first: 1,
            last: 9,
            bytes: 100,
            replicas: 3,
            leader: Some("n1".into()),
            followers: vec![("n2".into(), true), ("n3".into(), true)],
            server: "2.15.1".into(),
        };
        ClusterStatus { nodes, stream }
    }

    #[test]
    fn a_cluster_in_step_has_no_faults() {
        let status = status(vec![node("a", NodeState::Writer), node("b", NodeState::Follower)]);
        assert_eq!(faults(&status), Vec::<String>::new());
        let mut text = Vec::new();
        print(&status, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("log log: messages 1 to 9") && text.contains("-2 ms"), "{text}");
    }

    #[test]
    fn what_is_out_of_step_is_named() {
        let mut status = status(vec![node("b", NodeState::Damaged("hash".into()))]);
        status.stream.followers[0].1 = false;
        assert_eq!(faults(&status), ["no node writes", "node b is damaged", "the NATS server n2 is not up to date"]);
    }
}
