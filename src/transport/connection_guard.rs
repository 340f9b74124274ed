//! The lifetime of a client's connection, over whichever transport: its metrics, its log lines and its span.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock, Weak};

use socketioxide::ProtocolVersion;
use socketioxide::socket::{DisconnectReason, Sid};
use tokio::time::Instant;
use tracing::{Span, field, info};

use super::channels::ChannelSlot;
use super::close::Close;
use crate::listener::{KillSwitch, Reason};
use crate::telemetry::{ConnectionSpan, Metrics, Queue};

/// How a connection ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ConnectionEnd {
    /// The peer closed it, or the connection broke.
    Peer,
    /// The server closed it.
    Closed(Close),
    /// The listener ended it.
    Killed(Reason),
    /// Socket.IO ended it.
    Socketio(DisconnectReason),
    /// Its task ended early.
    Aborted,
    /// The client left before it had joined its namespace.
    LeftWhileConnecting,
}

impl ConnectionEnd {
    /// Returns the metric label.
    fn label(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Closed(close) => close.label(),
            Self::Killed(reason) => reason.label(),
            Self::Socketio(reason) => match reason {
                DisconnectReason::TransportClose => "transport_close",
                DisconnectReason::MultipleHttpPollingError => "multiple_polls",
                DisconnectReason::PacketParsingError => "parse_error",
                DisconnectReason::TransportError => "transport_error",
                DisconnectReason::HeartbeatTimeout => "ping_timeout",
                DisconnectReason::ClientNSDisconnect => "client_disconnect",
                DisconnectReason::ServerNSDisconnect => "server_disconnect",
                DisconnectReason::ClosingServer => "server_closing",
            },
            Self::Aborted => "aborted",
            Self::LeftWhileConnecting => "left_while_connecting",
        }
    }
}

/// Formats the end for the log.
impl fmt::Display for ConnectionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer => f.write_str("the client left, or the connection broke"),
            Self::Closed(close) => f.write_str(close.reason()),
            Self::Killed(reason) => reason.fmt(f),
            Self::Socketio(reason) => reason.fmt(f),
            Self::Aborted => f.write_str("the connection's task ended early"),
            Self::LeftWhileConnecting => f.write_str("the client left before it had joined the namespace"),
        }
    }
}

/// What is known about a connection when it opens.
#[derive(Debug)]
pub(crate) struct Opening {
    /// Transport: a metric label.
    pub(crate) transport: &'static str,
    /// Path or namespace: a metric label.
    pub(crate) endpoint: &'static str,
    /// Address of the client.
    pub(crate) peer: Option<IpAddr>,
    /// User whose token the client has presented.
    pub(crate) user: Option<Arc<str>>,
    /// Session and protocol of a Socket.IO client.
    pub(crate) socketio: Option<(Sid, ProtocolVersion)>,
    /// How the connection ended when nothing else is noted.
    pub(crate) unless_noted: ConnectionEnd,
    /// Whether a page of this server has opened it.
    pub(crate) is_own_page: bool,
}

/// Counts a connection for as long as it is open, and logs its start and its end.
#[derive(Debug)]
pub(crate) struct ConnectionGuard {
    opening: Opening,
    span: ConnectionSpan,
    metrics: Arc<Metrics>,
    /// The stream that the client is served on.
    stream: Option<KillSwitch>,
    since: Instant,
    end: OnceLock<ConnectionEnd>,
    /// Its place in its channel.
    _slot: ChannelSlot,
}

impl ConnectionGuard {
    pub(crate) fn new(metrics: Arc<Metrics>, slot: ChannelSlot, opening: Opening) -> Self {
        let span = ConnectionSpan::new();
        let Opening { transport, endpoint, peer, user, socketio, .. } = &opening;
        metrics.connections.with_label_values(&[transport, endpoint]).inc();
        metrics.connections_total.with_label_values(&[transport, endpoint]).inc();
        if !opening.is_own_page {
            metrics.first_steps.note_dashboard();
        }
        span.span().in_scope(|| {
            info!(
                transport,
                endpoint,
                peer = peer.map(field::display),
                user = user.as_deref(),
                sid = socketio.map(|(sid, _)| field::display(sid)),
                protocol = socketio.map(|(_, protocol)| field::debug(protocol)),
                "a client connected"
            );
        });
        Self { opening, span, metrics, stream: None, since: Instant::now(), end: OnceLock::new(), _slot: slot }
    }

    /// Returns a span, to enter it around a step of work on the connection.
    pub(crate) fn span(&self) -> Span {
        self.span.span()
    }

    /// Returns what names the connection in the lines of other rooms.
    pub(crate) fn identity(&self) -> ConnectionSpan {
        self.span
    }

    /// Returns the client's address.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.opening.peer
    }

    /// Records on `stream` which client it serves, and the client's queue. From now on the listener's reason for ending
    /// the stream is how the connection ended.
    pub(crate) fn serve_on(&mut self, stream: KillSwitch, queue: Weak<dyn Queue>) {
        stream.serves(self.opening.endpoint, Some(queue));
        stream.identify(self.span);
        self.stream = Some(stream);
    }

    /// Records the user whose token the client has presented in a frame.
    pub(crate) fn log_in(&mut self, user: Arc<str>) {
        info!(user = &*user, "a client has logged in");
        self.opening.user = Some(user);
    }

    /// Records how the connection ended. Only the first call counts.
    pub(crate) fn ended(&self, end: ConnectionEnd) {
        self.end.set(end).ok();
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let Opening { transport, endpoint, peer, user, unless_noted, .. } = &self.opening;
        let end = match *self.end.get().unwrap_or(unless_noted) {
            // A write may have failed because the listener has ended the stream.
            ConnectionEnd::Peer => {
                let killed = self.stream.as_ref().and_then(KillSwitch::killed);
                killed.map_or(ConnectionEnd::Peer, ConnectionEnd::Killed)
            }
            end => end,
        };
        self.metrics.connections.with_label_values(&[transport, endpoint]).dec();
        self.metrics.disconnects_total.with_label_values(&[endpoint, end.label()]).inc();
        let seconds = self.since.elapsed().as_secs_f64();
        self.span().in_scope(|| {
            info!(
                transport,
                endpoint,
                peer = peer.map(field::display),
                user = user.as_deref(),
                reason = %end,
                seconds,
                "a client disconnected"
            );
        });
    }
}
