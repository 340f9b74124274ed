//! Socket.IO: namespaces, the events a client may send, and the rooms that events are emitted to.
//!
//! | room | what is emitted into it |
//! |---|---|
//! | `prices`, `prices:<SYMBOL>` | `price_update` |
//! | `signals`, `signals:<SYMBOL>` | `signal` |
//! | `user:<id>` | what is published for one user: an event with the name of its type |
//! | `users` | what is published for all users, likewise |
//! | `admin` | what is published for administrators, likewise |
//!
//! Clients with a delay are in rooms of their own, which begin with its seconds: `300:prices`.

mod admission_layer;
mod describe;
mod disconnector;
mod headcount;
mod lanes;
mod namespace_query;
mod payload;
mod personal;
mod polling;
mod polling_requests;
mod rooms;
mod session;
mod session_layer;
mod upgrade;
mod websocket;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use socketioxide::ParserConfig;
use socketioxide::extract::{AckSender, Event, SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use socketioxide::layer::SocketIoLayer;
use socketioxide::socket::DisconnectReason;
use socketioxide::{SocketIo, SocketIoBuilder, TransportType};

pub(crate) use admission_layer::Rewritten;
pub use admission_layer::{AdmissionLayer, AdmissionService, Rewrite};
pub use describe::streams;
pub use disconnector::Disconnector;
use headcount::Headcount;
pub use lanes::encoders;
use polling::PollingSession;
pub use polling::{PollingLimits, PollingSessions};
pub use rooms::Rooms;
use session::{ClientCommand, ClientSession, ResumeCursors};
pub use session_layer::{SessionLayer, SessionService};
pub use websocket::WebSockets;

use super::Gateway;
use super::admission::AdmissionError;
use super::connection_guard::{ConnectionEnd, ConnectionGuard, Opening};
use super::cursor::MessageCursor;
use crate::auth::{UserSession, handshake_token};
use crate::config;
use crate::listener::{KillSwitch, Peer};

/// Namespaces that behave alike. The client's URL decides which one it connects to.
pub const NAMESPACES: [&str; 3] = ["/", "/ws/signals", "/ws/signals/"];

/// Packets that may be queued for one client. The limit covers what is queued without yielding; it costs nothing while
/// idle.
const MAX_QUEUED_PACKETS: usize = 4096;
/// Read buffer of a WebSocket, in bytes. Clients send little.
const READ_BUFFER: usize = 256;
/// A session that has not connected to a namespace by then is dropped.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns a builder of the engine with its limits, without timers and namespaces.
pub fn engine(limits: &config::Limits) -> SocketIoBuilder {
    let largest = limits.message_bytes;
    let parser = ParserConfig::common().max_incoming_binaries(limits.attachments).max_incoming_binary_buf_size(largest);
    SocketIo::builder()
        .max_buffer_size(MAX_QUEUED_PACKETS)
        .max_payload(largest as u64)
        .ws_max_message_size(largest)
        .ws_max_frame_size(largest)
        .ws_read_buffer_size(READ_BUFFER)
        .with_parser(parser)
}

/// Builds the engine with its namespaces.
pub fn build(
    settings: &config::SocketioSettings,
    gateway: &Arc<Gateway>,
    disconnector: &Disconnector,
) -> (SocketIoLayer, Rooms, WebSockets) {
    let (layer, io) = engine(&gateway.limits.get())
        .ping_interval(settings.ping_interval)
        .ping_timeout(settings.ping_timeout)
        .connect_timeout(CONNECT_TIMEOUT)
        .build_layer();
    let headcount = Arc::new(Headcount::default());
    let log = gateway.hub.position();
    for namespace in NAMESPACES {
        let (gateway, disconnector, headcount) = (gateway.clone(), disconnector.clone(), headcount.clone());
        // Handlers are registered before the client learns that it is connected. An event sent at once would be lost
        // otherwise.
        let admit = move |socket: SocketRef, TryData::<Value>(auth)| {
            let (gateway, disconnector) = (gateway.clone(), disconnector.clone());
            let headcount = headcount.clone();
            async move {
                let auth = auth.ok();
                if let Some(token) = auth.as_ref().and_then(|auth| auth.get("token")?.as_str()) {
                    gateway.tokens.fetch_key_of(token).await;
                }
                let address = address(&socket);
                let admitted = match gateway_for(&gateway, &socket, auth.as_ref()).await {
                    Ok(gateway) => admit(&gateway, &disconnector, &headcount, namespace, &socket, auth.as_ref()),
                    Err(refusal) => Err(refusal),
                };
                admitted.map_err(|refusal| gateway.count_refusal(refusal, address))
            }
        };
        // Messages that arrived after the client learned that it is connected, and before it had joined, were queued.
        let connected = |socket: SocketRef| {
            if let Some(session) = ClientSession::of(&socket) {
                session.end_with_login(&socket);
                session.span().in_scope(|| session.execute_queued(&socket));
            }
            std::future::ready(())
        };
        io.ns(namespace, connected.with(admit));
    }
    let websockets = WebSockets::with_delivery(
        gateway.tasks.clone(),
        gateway.metrics.clone(),
        gateway.fanout.clone(),
        disconnector.clone(),
        Some((gateway.hub.clone(), io.clone())),
    );
    let types = gateway.published.clone();
    let rooms = Rooms::new(io, headcount, disconnector.clone(), types, log, gateway.metrics.clone());
    (layer, rooms, websockets)
}

/// What the console page says in its query, so that it does not count as a dashboard.
const CONSOLE: &str = "console";

/// Returns the token in `auth`. A page without a logged-in user sends an empty one.
fn token_in(auth: Option<&Value>) -> Option<&str> {
    auth?.get("token")?.as_str().filter(|token| !token.is_empty())
}

/// Returns what the reader reads whose token is in `auth`, else in the handshake. All clients of a connection share its lane,
/// so they read with the same delay.
async fn gateway_for(
    live: &Arc<Gateway>,
    socket: &SocketRef,
    auth: Option<&Value>,
) -> Result<Arc<Gateway>, AdmissionError> {
    if !live.tokens.may_delay() {
        return Ok(live.clone());
    }
    let handshake = socket.req_parts();
    let delay = match token_in(auth) {
        Some(token) => live.tokens.delay_of(Some(token)),
        None => {
            let token = handshake_token(&handshake.headers, &handshake.uri).ok().flatten();
            live.tokens.delay_of(token.as_deref())
        }
    };
    let view = live.view(delay).await?;
    Ok(view.map_or_else(|| live.clone(), |view| view.gateway.clone()))
}

fn admit(
    gateway: &Arc<Gateway>,
    disconnector: &Disconnector,
    headcount: &Arc<Headcount>,
    namespace: &'static str,
    socket: &SocketRef,
    auth: Option<&Value>,
) -> Result<(), AdmissionError> {
    let field = |name: &str| auth.and_then(|auth| auth.get(name)).filter(|value| !value.is_null());
    let handshake = socket.req_parts();
    let token = token_in(auth);
    if !websocket::has_delay(socket, gateway.delay) {
        return Err(gateway.refused(AdmissionError::OtherDelay));
    }
    // The handshake of a long-polling session may have identified the user already.
    let login = PollingSession::of(socket).and_then(|session| session.take_login()).filter(|_| token.is_none());
    let login = match login {
        Some(login) => Some(login),
        None => gateway.admit_reader(&handshake.headers, &handshake.uri, token)?,
    };
    let presented = ResumeCursors {
        since: field("since").and_then(Value::as_str).map(str::to_owned),
        last_event_id: field("last_event_id").map(MessageCursor::read),
    };
    // With and without a trailing slash it is one channel.
    let channel = if namespace == "/" { "/" } else { "/ws/signals" };
    let seat = headcount.enter(namespace);
    let opening = Opening {
        transport: match socket.transport_type() {
            TransportType::Polling => "polling",
            TransportType::Websocket => "websocket",
        },
        endpoint: namespace,
        peer: address(socket),
        user: login.as_ref().and_then(UserSession::user).map(|principal| principal.user.clone()),
        socketio: Some((socket.id, socket.protocol())),
        unless_noted: ConnectionEnd::LeftWhileConnecting,
        is_own_page: session_layer::query_value(&handshake.uri, "page") == Some(CONSOLE),
    };
    let guard = ConnectionGuard::new(gateway.metrics.clone(), gateway.enter("socketio", channel)?, opening);
    match (PollingSession::of(socket), handshake.extensions.get::<KillSwitch>()) {
        (Some(session), _) => session.identify(guard.identity()),
        (None, Some(connection)) => connection.identify(guard.identity()),
        (None, None) => {}
    }
    let session = Arc::new(ClientSession::open(gateway.clone(), disconnector.clone(), (seat, guard), login, presented));
    socket.extensions.insert(session.clone());

    // The work is done in the closure's body, not in its future: otherwise a client's events could overtake each other. One
    // handler for all events, because the engine's table of handlers would take half a kilobyte of every client.
    let listening = session.clone();
    socket.on_fallback(move |socket: SocketRef, Event(event), TryData::<Value>(data), ack: AckSender| {
        listening.span().in_scope(|| match ClientCommand::named(&event) {
            Some(command) => listening.on_command(&socket, command, data.unwrap_or(Value::Null), ack),
            None => {
                listening.is_within_rate(&socket);
            }
        });
        std::future::ready(())
    });
    socket.on_disconnect(move |reason: DisconnectReason| {
        session.ended(reason);
        std::future::ready(())
    });
    Ok(())
}

/// Returns the address of a client.
fn address(socket: &SocketRef) -> Option<IpAddr> {
    socket.req_parts().extensions.get::<Peer>().map(|peer| peer.client)
}
