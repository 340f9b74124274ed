//! Settings of the listener: addresses, hosts, proxies and limits.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize};

use super::value::{self, duration};
use super::{AllowedOrigins, BasePath, HostPattern, List, Problem};

/// The listener: its address, its limits and the proxies in front of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// Address to listen on. Default `0.0.0.0`.
    #[serde(deserialize_with = "host")]
    pub host: IpAddr,
    /// TCP port; 0 lets the system choose. Default 8080.
    #[serde(deserialize_with = "value::whole")]
    pub port: u16,
    /// Whether a first start makes an admin token where no token is set, and shows the console's start page. Default on.
    #[serde(deserialize_with = "value::flag")]
    pub first_run: bool,
    /// The path below which a proxy serves the server, such as `/feed`. Default none: the server has a host of its own.
    pub base_path: BasePath,
    /// Origins for CORS and WebSocket handshakes, `*` for any. Default `*`.
    pub allowed_origins: AllowedOrigins,
    /// Time from SIGTERM to the end of the process; 2 s to 10 min. Default 10 s.
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
    /// Most connections at a time, over all transports; 0 for as many as the limit of descriptors allows. Default 0.
    #[serde(deserialize_with = "value::whole")]
    pub max_connections: usize,
    /// Most connections of one address (IPv6: of one /64) at a time; 0 for no limit. Default 1000.
    #[serde(deserialize_with = "value::whole")]
    pub max_connections_per_address: usize,
    /// Most connections with tokens of one user at a time; 0 for no limit. Default 200.
    #[serde(deserialize_with = "value::whole")]
    pub max_connections_per_user: usize,
    /// Most connections of one channel (a native path, the event stream, a Socket.IO namespace) at a time; 0 for no limit.
    /// Default 0.
    #[serde(deserialize_with = "value::whole")]
    pub max_connections_per_channel: usize,
    /// Most Socket.IO sessions over long polling at a time, which hold no connection of their own; 0 for one per 128 KiB of
    /// memory, at most as many as connections. Default 0.
    #[serde(deserialize_with = "value::whole")]
    pub max_polling_sessions: usize,
    /// Address (`host:port`) of a second listener, for `/health`, `/ready` and `/metrics` alone. Default unset: there is none.
    #[serde(deserialize_with = "metrics_address")]
    pub metrics_address: Option<SocketAddr>,
    /// Hosts that requests may name, against DNS rebinding. Default none: any.
    pub allowed_hosts: List<HostPattern>,
    /// Proxies that are trusted to name their client: addresses or networks. Default none.
    pub trusted_proxies: List<Network>,
    /// The header in which they name it. Default `X-Forwarded-For`.
    #[serde(deserialize_with = "value::text")]
    pub client_header: String,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::UNSPECIFIED.into(),
            port: 8080,
            first_run: true,
            base_path: BasePath::default(),
            allowed_origins: AllowedOrigins::default(),
            drain_timeout: Duration::from_secs(10),
            max_connections: 0,
            max_connections_per_address: 1_000,
            max_connections_per_user: 200,
            max_connections_per_channel: 0,
            max_polling_sessions: 0,
            metrics_address: None,
            allowed_hosts: List::default(),
            trusted_proxies: List::default(),
            client_header: "X-Forwarded-For".to_owned(),
        }
    }
}

impl ServerSettings {
    /// Returns the trusted proxies and their header.
    ///
    /// # Errors
    /// When the name of the header is not valid.
    pub fn proxies(&self) -> Result<(Vec<IpNet>, HeaderName), Problem> {
        let header = HeaderName::try_from(self.client_header.trim())
            .map_err(|_| Problem::new("server.client_header", "is no name of a header"))?;
        Ok((self.trusted_proxies.iter().map(|network| network.0).collect(), header))
    }

    /// Returns the address to listen on.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}

fn host<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.trim() {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        address => address.trim_matches(['[', ']']).parse().map_err(|_| {
            serde::de::Error::custom(format_args!("{text:?} is no IP address, such as 0.0.0.0, 127.0.0.1 or ::"))
        }),
    }
}

/// Parses `host:port`; the empty text means unset, as in the environment.
fn metrics_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let Some(text) = value::unless_empty::<D, String>(deserializer)? else { return Ok(None) };
    let address = text.trim();
    let numeric =
        address.strip_prefix("localhost:").map_or_else(|| address.to_owned(), |port| format!("127.0.0.1:{port}"));
    numeric.parse().map(Some).map_err(|_| {
        serde::de::Error::custom(format_args!(
            "{text:?} is not an address with a port, such as 127.0.0.1:9090, 0.0.0.0:9090 or [::]:9090"
        ))
    })
}

/// One address, or a network such as `172.16.0.0/12`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let trimmed = text.trim();
        let net = trimmed.parse().or_else(|_| trimmed.parse::<IpAddr>().map(IpNet::from));
        net.map(Self).map_err(|_| format!("{text:?} is neither an address nor a network such as 172.16.0.0/12"))
    }
}

impl From<Network> for String {
    fn from(Network(net): Network) -> Self {
        if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
    }
}
