//! Nodes of a cluster: real processes, each behind wires of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use orion_server::cluster::{self, ClusterStatus};
use orion_server::config::{ClusterSettings, Secret, Settings};
use orion_server::store::{Verified, verify};
use serde_json::Value;

use super::nats::{self, Nats, Wire};
use crate::support::{Server, TOKEN, binary, until};

/// A node, running or not.
pub(super) struct Node {
    pub(super) server: Option<Server>,
    pub(super) wires: Vec<Wire>,
    dir: tempfile::TempDir,
    settings: Vec<(String, String)>,
}

impl Node {
    pub(super) fn new(name: &str, nats: &Nats, settings: &[(&str, &str)]) -> Self {
        let mut wires = Vec::new();
        for server in &nats.servers {
            wires.push(Wire::to(server.port));
        }
        let dir = nats::memory_dir();
        let mut all = vec![
            ("ORION_CLUSTER__URLS", nats::urls(wires.iter().map(|wire| wire.port))),
            ("ORION_CLUSTER__CREDENTIALS", nats::CREDENTIALS.to_owned()),
            ("ORION_CLUSTER__NODE", name.to_owned()),
            ("ORION_CLUSTER__LEASE", "1s".to_owned()),
            ("ORION_DATA_DIR", dir.path().join("data").display().to_string()),
            ("ORION_DRAIN_TIMEOUT", "5s".to_owned()),
        ];
        all.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let settings = all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { server: None, wires, dir, settings }
    }

    pub(super) fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    /// The settings of the node, for its commands.
    pub(super) fn env(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    pub(super) async fn start(&mut self) {
        self.server = Some(Server::process(&self.env()).await);
    }

    /// Starts it in this process, without the servers' check of the place.
    pub(super) async fn start_unfenced(&mut self) {
        self.server = Some(Server::start_changed(&self.env(), |settings| settings.cluster.unfenced = true).await);
    }

    pub(super) fn running(&self) -> &Server {
        self.server.as_ref().expect("the node runs")
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.running().addr
    }

    pub(super) async fn kill(&mut self) {
        self.server.take().unwrap().kill().await;
    }

    /// SIGTERM; returns when it has ended.
    pub(super) async fn stop(&mut self) {
        self.server.take().unwrap().stop().await;
    }

    pub(super) async fn ready(&self) {
        let Server { http, addr, .. } = self.running();
        let ready =
            async || http.get(format!("http://{addr}/ready")).send().await.is_ok_and(|answer| answer.status() == 200);
        until("the node is ready", ready).await;
    }

    pub(super) fn cut(&self, is_cut: bool) {
        self.wires.iter().for_each(|wire| wire.cut(is_cut));
    }

    /// What `verify` says of the stopped node's copy.
    pub(super) fn verified(&self) -> Verified {
        verify(&self.data()).unwrap()
    }
}

/// A cluster under test.
pub(super) struct TestCluster {
    pub(super) nats: Nats,
    pub(super) nodes: Vec<Node>,
}

impl TestCluster {
    /// Starts NATS servers, makes the log, and starts three nodes; `None` where there is no NATS server.
    pub(super) async fn start(servers: usize, settings: &[(&str, &str)]) -> Option<Self> {
        let mut cluster = Self::prepare(servers, settings).await?;
        for node in &mut cluster.nodes {
            node.start().await;
        }
        cluster.begun().await;
        Some(cluster)
    }

    /// The same with nodes that do not run yet.
    pub(super) async fn prepare(servers: usize, settings: &[(&str, &str)]) -> Option<Self> {
        let nats = Nats::start_in_memory(servers)?;
        let mut nodes = Vec::new();
        for name in ["a", "b", "c"] {
            nodes.push(Node::new(name, &nats, settings));
        }
        let cluster = Self { nats, nodes };
        assert_eq!(cluster.command(&["cluster", "init"]).await.0, Some(0));
        Some(cluster)
    }

    /// Waits until all nodes are ready and one writes.
    pub(super) async fn begun(&self) {
        for node in &self.nodes {
            node.ready().await;
        }
        self.writer().await;
    }

    /// The sum of a metric over all running nodes.
    pub(super) async fn metric(&self, name: &str) -> f64 {
        let mut sum = 0.0;
        for server in self.nodes.iter().filter_map(|node| node.server.as_ref()) {
            sum += server.metric(name, "").await;
        }
        sum
    }

    /// Runs a command with the settings of the first node. Returns its exit code and its output.
    pub(super) async fn command(&self, args: &[&str]) -> (Option<i32>, String) {
        let settings: BTreeMap<_, _> = self.nodes[0].env().into_iter().collect();
        let output = binary().args(args).env("PORT", "0").envs(settings).output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    }

    /// Waits until a running node writes, and returns its place.
    pub(super) async fn writer(&self) -> usize {
        let mut found = None;
        until("a node writes", async || {
            for (place, node) in self.nodes.iter().enumerate() {
                if let Some(server) = &node.server
                    && is_writer(server).await
                {
                    found = Some(place);
                }
            }
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// A running node that does not write.
    pub(super) async fn follower(&self) -> usize {
        let writer = self.writer().await;
        (writer + 1) % self.nodes.len()
    }

    /// What `cluster status` shows, asked past the wires.
    pub(super) async fn status(&self) -> Option<ClusterStatus> {
        let settings = ClusterSettings {
            urls: self.nats.urls().split(',').map(str::to_owned).collect::<Vec<_>>().into(),
            credentials: Some(Secret::new(nats::CREDENTIALS)),
            node: Some("test".into()),
            ..Settings::default().cluster
        };
        cluster::status(&settings).await.ok()
    }

    /// The mean time of an append to the stream, and of a commit to a copy, in milliseconds, since the nodes started.
    pub(super) async fn pace(&self) -> (f64, f64) {
        let append = self.metric("orion_cluster_append_seconds_sum").await
            / self.metric("orion_cluster_append_seconds_count").await;
        let commit =
            self.metric("orion_store_commit_seconds_sum").await / self.metric("orion_store_commit_seconds_count").await;
        (append * 1e3, commit * 1e3)
    }

    /// Waits until every node has applied everything.
    pub(super) async fn in_step(&self) {
        until("all nodes are in step", async || {
            let Some(status) = self.status().await else { return false };
            status.nodes.len() == self.nodes.len()
                && status.nodes.iter().all(|node| node.view.stream_seq == status.stream.last)
        })
        .await;
    }

    /// Stops all nodes, and returns what their copies have. They have to be equal.
    pub(super) async fn equal_copies(&mut self) -> Verified {
        self.in_step().await;
        for node in &mut self.nodes {
            node.stop().await;
        }
        let copies: Vec<_> = self.nodes.iter().map(Node::verified).collect();
        assert_eq!(copies[0], copies[1]);
        assert_eq!(copies[0], copies[2]);
        copies.into_iter().next().unwrap()
    }
}

async fn is_writer(server: &Server) -> bool {
    let Ok(response) = server.http.get(server.url("/metrics")).timeout(Duration::from_millis(500)).send().await else {
        return false;
    };
    response.text().await.is_ok_and(|text| text.lines().any(|line| line == "orion_cluster_writer 1"))
}

/// Pushes a signal to a node once. Returns the status; `None` without an answer.
pub(super) async fn push(http: &reqwest::Client, addr: SocketAddr, body: &Value) -> Option<u16> {
    let request = http.post(format!("http://{addr}/api/signals")).bearer_auth(TOKEN).json(body);
    Some(request.send().await.ok()?.status().as_u16())
}
