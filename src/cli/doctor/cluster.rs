//! Checks of a cluster: its NATS servers, its log, and its other nodes.

use super::CheckResult;
use super::CheckStatus::{Fail, Ok as Fine, Skip, Warn};
use crate::cluster::{self, ClusterError, ClusterStatus};
use crate::config::Settings;

/// The name of the checks.
const WHAT: &str = "cluster";
/// With clocks that differ by more than this, deadlines change noticeably with the writer; in milliseconds.
const MAX_OFFSET: i64 = 1_000;

/// Runs all checks; none outside of a cluster.
pub(super) async fn check(settings: &Settings) -> Vec<CheckResult> {
    if !settings.cluster.is_on() {
        return Vec::new();
    }
    match cluster::status(&settings.cluster).await {
        Ok(status) => judge(&status),
        Err(ClusterError::NoLog) => vec![CheckResult::new(Fail, WHAT, ClusterError::NoLog.to_string())],
        Err(error) => {
            let says =
                format!("{error}; are the addresses, cluster.credentials, its rights and the certificates right?");
            vec![CheckResult::new(Fail, WHAT, says)]
        }
    }
}

fn judge(status: &ClusterStatus) -> Vec<CheckResult> {
    let ClusterStatus { nodes, stream } = status;
    let mut findings = Vec::new();
    let mut find = |verdict, says: String| findings.push(CheckResult::new(verdict, WHAT, says));
    find(Fine, format!("NATS {} answers and has the log {} (message {})", stream.server, stream.epoch, stream.last));
    if stream.replicas < 3 {
        let copies = stream.replicas;
        find(Warn, format!("the log has {copies} copies: with fewer than 3 it stops when a NATS server does"));
    }
    let behind: Vec<_> =
        stream.followers.iter().filter(|(_, is_current)| !is_current).map(|(server, _)| server.as_str()).collect();
    if !behind.is_empty() {
        find(Warn, format!("NATS servers that are away or behind: {}", behind.join(", ")));
    }
    if stream.leader.is_none() && stream.replicas > 1 {
        find(Fail, "the log has no leader: do most of the NATS servers run?".to_owned());
    }
    find(Skip, "sync_interval cannot be asked for: see that every NATS server has sync_interval: always".to_owned());
    if nodes.is_empty() {
        find(Skip, "no node runs yet".to_owned());
    }
    for node in nodes.iter().filter(|node| node.clock_offset.abs() > MAX_OFFSET) {
        let seconds = node.clock_offset as f64 / 1e3;
        find(Warn, format!("the clock of the node {} differs from this one by {seconds:.1} s: use NTP", node.node));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::CheckStatus;
    use super::*;
    use crate::cluster::{NodeState, NodeStatus, StreamStatus, View};

    #[test]
    fn what_weakens_a_cluster_is_named() {
        let view = View {
            state: NodeState::Writer,
            term: 1,
            writer: "a".into(),
            stream_seq: 1,
            stream_end: 1,
            has_left: false,
        };
        let node = NodeStatus { node: "a".into(), version: "1".into(), view, now: 0, clock_offset: -4_200 };
        let stream = StreamStatus {
            epoch: "log".into(),
            first: 1,
            last: 1,
            bytes: 1,
            replicas: 2,
            leader: None,
            followers: vec![("n2".into(), false)],
            server: "2.15.1".into(),
        };
        let findings = judge(&ClusterStatus { nodes: vec![node], stream });
        let verdicts: Vec<CheckStatus> = findings.iter().map(|finding| finding.verdict).collect();
        assert_eq!(verdicts, [Fine, Warn, Warn, Fail, Skip, Warn], "{findings:?}");
        assert!(findings[5].says.contains("-4.2 s"), "{findings:?}");
    }
}
