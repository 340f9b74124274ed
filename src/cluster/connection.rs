//! The connection to the NATS servers.

use std::error::Error;
use std::time::Duration;

use async_nats::jetstream::{self, stream};
use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use tracing::{debug, info, warn};

use super::{LOG, STREAM};
use crate::config::ClusterSettings;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a request to a server may take.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a silent connection is probed.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// The user's own inboxes, so that rights can be given on them alone.
const INBOX: &str = "_INBOX.orion-node";
/// The `metadata` key of the stream with the epoch of the log.
pub(super) const EPOCH: &str = "orion.epoch";
/// The oldest NATS server with what the log needs.
pub(super) const OLDEST_SERVER: (i64, i64, i64) = (2, 11, 0);

/// Why the cluster's log cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// The NATS servers do not answer.
    #[error("the NATS servers at cluster.urls cannot be reached: {0}")]
    Unreachable(String),
    /// This node and the NATS servers do not trust each other.
    #[error("{0}")]
    Refused(String),
    /// There is no log yet.
    #[error("there is no log at the NATS servers yet: make it once with `orion-server cluster init`")]
    NoLog,
    /// The stream belongs to something else, or is damaged.
    #[error("the stream {STREAM} at the NATS servers is not the log of an orion-server: {0}")]
    Foreign(String),
    /// The NATS server is too old.
    #[error(
        "the NATS server has version {0}, and a cluster needs {major}.{minor} or newer",
        major = OLDEST_SERVER.0,
        minor = OLDEST_SERVER.1
    )]
    OldServer(String),
    /// The local log does not belong to the cluster.
    #[error("{0}")]
    Local(String),
}

impl ClusterError {
    /// Whether a later attempt may succeed without an operator.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::NoLog)
    }
}

/// Connects to the servers. Never gives up: while no server answers it returns a client that connects as soon as one does.
///
/// # Errors
/// [`ClusterError::Unreachable`] when the addresses cannot be used, [`ClusterError::Refused`] when a certificate or the
/// credentials cannot.
pub(super) async fn connect(settings: &ClusterSettings) -> Result<Client, ClusterError> {
    let unusable = |error: &dyn std::fmt::Display| ClusterError::Unreachable(error.to_string());
    let addresses: Vec<ServerAddr> =
        settings.urls.iter().map(|url| url.parse()).collect::<Result<_, _>>().map_err(|error| unusable(&error))?;
    let mut options = ConnectOptions::new()
        .name(settings.node.clone().unwrap_or_default())
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .ping_interval(PING_INTERVAL)
        .custom_inbox_prefix(INBOX)
        .max_reconnects(None)
        .ignore_discovered_servers()
        .reconnect_delay_callback(|attempts| Duration::from_millis(if attempts <= 3 { 50 } else { 250 }))
        .event_callback(|event| async move { log(&event) });
    if let Some((user, password)) = settings.credentials.as_ref().and_then(|pair| pair.expose().split_once(':')) {
        options = options.user_and_password(user.to_owned(), password.to_owned());
    }
    if let Some(certificates) = &settings.tls_ca {
        options = options.add_root_certificates(certificates.clone());
    }
    if let Some((certificate, key)) = settings.tls_cert.as_ref().zip(settings.tls_key.as_ref()) {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    // A client that connects later never says why it cannot.
    match options.clone().connect(addresses.clone()).await {
        Ok(client) => return Ok(client),
        Err(error) => {
            if let Some(why) = refusal(&error) {
                return Err(ClusterError::Refused(why));
            }
            debug!(%error, "no NATS server answers yet");
        }
    }
    options.retry_on_initial_connect().connect(addresses).await.map_err(|error| unusable(&error))
}

/// Returns what an operator has to change before the servers can be used; `None` when it is enough to wait.
fn refusal(error: &ConnectError) -> Option<String> {
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            return Some("the NATS servers refuse cluster.credentials (ORION_CLUSTER__CREDENTIALS)".to_owned());
        }
        ConnectErrorKind::Tls => {}
        // The server's answer to a certificate that it does not accept is an error of the connection.
        _ if chain(error).any(|cause| cause.downcast_ref::<rustls::Error>().is_some()) => {}
        _ => return None,
    }
    Some(format!(
        "no TLS with the NATS servers: {error}. cluster.tls_ca (ORION_CLUSTER__TLS_CA) has to be the authority of their \
         certificates, which name the hosts of cluster.urls; if they ask for a certificate, it is cluster.tls_cert"
    ))
}

/// The error and its causes. An error of the system shows its cause instead of naming it.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<std::io::Error>() {
        Some(error) => error.get_ref().map(|cause| cause as &(dyn Error + 'static)),
        None => error.source(),
    })
}

fn log(event: &Event) {
    match event {
        Event::Connected => info!("connected to a NATS server"),
        Event::Disconnected => warn!("the connection to the NATS server was lost; it is made again"),
        Event::SlowConsumer(_) => warn!("this node does not keep up with what the NATS server sends"),
        Event::ServerError(error) => warn!(%error, "the NATS server refuses something"),
        other => debug!(event = %other, "NATS"),
    }
}

/// Returns JetStream with short time-outs.
pub(super) fn jetstream(client: &Client) -> jetstream::Context {
    jetstream::ContextBuilder::new().timeout(REQUEST_TIMEOUT).ack_timeout(REQUEST_TIMEOUT).build(client.clone())
}

/// Returns the configuration of the stream of a log with this epoch.
pub(super) fn stream_config(epoch: &str, replicas: usize) -> stream::Config {
    stream::Config {
        name: STREAM.into(),
        subjects: vec![LOG.into()],
        num_replicas: replicas,
        storage: stream::StorageType::File,
        discard: stream::DiscardPolicy::New,
        deny_delete: true,
        deny_purge: true,
        allow_direct: false,
        duplicate_window: Duration::from_secs(120),
        metadata: [(EPOCH.to_owned(), epoch.to_owned())].into(),
        ..stream::Config::default()
    }
}

/// Returns the stream of the log, and its epoch.
///
/// # Errors
/// [`ClusterError`].
pub(super) async fn stream(context: &jetstream::Context) -> Result<(stream::Stream, String), ClusterError> {
    use jetstream::ErrorCode;
    use jetstream::context::GetStreamErrorKind;
    let found = context.get_stream(STREAM).await.map_err(|error| match error.kind() {
        GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            ClusterError::NoLog
        }
        _ => ClusterError::Unreachable(error.to_string()),
    })?;
    let server = context.client().server_info().version;
    if !context.client().is_server_compatible(OLDEST_SERVER.0, OLDEST_SERVER.1, OLDEST_SERVER.2) {
        return Err(ClusterError::OldServer(server));
    }
    let epoch = found.cached_info().config.metadata.get(EPOCH).cloned();
    let epoch = epoch.ok_or_else(|| ClusterError::Foreign("it has no epoch".to_owned()))?;
    Ok((found, epoch))
}
