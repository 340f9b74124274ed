//! Settings of a cluster of several nodes.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value::{self, duration};
use super::{List, Problem, Secret};

/// A cluster: several nodes that share one log on NATS JetStream. Unset, nothing of it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterSettings {
    /// The addresses of the NATS servers: `nats://host:4222`, or `tls://host:4222`. Default none: no cluster.
    pub urls: List<String>,
    /// User and password at the NATS servers, as `user:password`. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub credentials: Option<Secret>,
    /// The certificates (PEM) that the NATS servers are checked with. Default: those of the system.
    #[serde(deserialize_with = "value::unless_empty")]
    pub tls_ca: Option<PathBuf>,
    /// This node's certificate (PEM), for NATS servers that ask for one. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub tls_cert: Option<PathBuf>,
    /// The key (PEM) of `tls_cert`. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub tls_key: Option<PathBuf>,
    /// The name of this node: stable over restarts, different from that of every other node; letters, digits, `-` and
    /// `_`. Default unset; a cluster needs it.
    #[serde(deserialize_with = "value::unless_empty")]
    pub node: Option<String>,
    /// After this long without a sign of the writer another node takes over; 500 ms to 1 min. Default 2 s.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// Appends without the servers' check of the place. For tests of the readers' rule only, so no file can set it.
    #[doc(hidden)]
    #[serde(skip)]
    pub unfenced: bool,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            urls: List::default(),
            credentials: None,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            node: None,
            lease: Duration::from_secs(2),
            unfenced: false,
        }
    }
}

/// Longest name of a node.
const MAX_NODE: usize = 64;

impl ClusterSettings {
    /// Whether this process is a node of a cluster.
    pub fn is_on(&self) -> bool {
        self.urls.iter().next().is_some()
    }

    /// Checks what the types cannot express.
    pub(super) fn check(&self) -> Result<(), Problem> {
        for url in self.urls.iter() {
            let address = url.strip_prefix("nats://").or_else(|| url.strip_prefix("tls://"));
            if address.is_none_or(|address| address.is_empty() || address.contains(['/', '@', ' '])) {
                let reason = "must be nats://host:port or tls://host:port, several with commas; user and password go into \
                              cluster.credentials";
                return Err(Problem::new("cluster.urls", reason));
            }
        }
        let name_is_valid = |name: &String| {
            (1..=MAX_NODE).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        match &self.node {
            Some(name) if !name_is_valid(name) => {
                let reason = format!("must be 1 to {MAX_NODE} letters, digits, - and _");
                return Err(Problem::new("cluster.node", reason));
            }
            None if self.is_on() => {
                let reason = "is needed with cluster.urls: a name that this node keeps and no other one has";
                return Err(Problem::new("cluster.node", reason));
            }
            _ => {}
        }
        let is_pair =
            |credentials: &Secret| credentials.expose().split_once(':').is_some_and(|(user, _)| !user.is_empty());
        if self.credentials.as_ref().is_some_and(|credentials| !is_pair(credentials)) {
            return Err(Problem::new("cluster.credentials", "must be user:password"));
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err(Problem::new("cluster.tls_key", "is needed with cluster.tls_cert, and the other way round"));
        }
        Ok(())
    }
}
