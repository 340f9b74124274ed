//! Disconnects single Socket.IO clients so that they reconnect: at the transport, below Socket.IO.
//!
//! Socket.IO's own `disconnect()` would tell the client not to reconnect, and has no effect when its queue is full.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{Method, Request};
use socketioxide::extract::SocketRef;
use socketioxide::{ProtocolVersion, TransportType};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use tracing::{Instrument, debug, info};

use super::MAX_QUEUED_PACKETS;
use super::polling::{Overdue, PollingSession, PollingSessions};
use super::polling_requests::engine_request;
use super::session::ClientSession;
use crate::listener::{KillSwitch, Reason};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// The server's own service, to send requests to the engine as a client would.
type EngineService = BoxCloneSyncService<Request<Body>, Response, Infallible>;

/// Disconnects clients. Cheap to clone.
#[derive(Clone)]
pub struct Disconnector(Arc<DisconnectorState>);

struct DisconnectorState {
    tasks: Tasks,
    metrics: Arc<Metrics>,
    sessions: PollingSessions,
    engine: OnceLock<EngineService>,
}

/// Time between two checks for sessions that have to end.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

impl std::fmt::Debug for Disconnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disconnector").finish_non_exhaustive()
    }
}

impl Disconnector {
    /// Creates a disconnector for clients whose long-polling sessions are in `sessions`.
    pub fn new(tasks: Tasks, metrics: Arc<Metrics>, sessions: PollingSessions) -> Self {
        Self(Arc::new(DisconnectorState { tasks, metrics, sessions, engine: OnceLock::new() }))
    }

    /// Returns the long-polling sessions.
    pub(super) fn sessions(&self) -> &PollingSessions {
        &self.0.sessions
    }

    /// Ends sessions that are idle or hold too much memory, until `stop`.
    pub async fn watch_sessions(self, stop: CancellationToken) {
        let watch = async {
            loop {
                sleep(WATCH_INTERVAL).await;
                let (waiting, overdue) = self.0.sessions.overdue();
                self.0.metrics.polling_waiting_bytes.set(waiting as i64);
                for Overdue { session, reason } in overdue {
                    self.0.metrics.polling_evicted_total.with_label_values(&[reason]).inc();
                    session.span().in_scope(|| {
                        debug!(reason, "ending a long-polling session");
                        self.close_polling(session.id(), session.version());
                    });
                }
                self.0.metrics.polling_sessions.set(self.0.sessions.count() as i64);
            }
        };
        stop.run_until_cancelled(watch).await;
    }

    /// Sets the service through which polling sessions are closed, once it is built.
    pub fn set_engine(&self, engine: EngineService) {
        self.0.engine.set(engine).ok();
    }

    /// Disconnects a client whose queue is full, unless that is in progress. It reconnects and catches up. `missed`
    /// names what had no room.
    pub(super) fn disconnect_slow(&self, socket: &SocketRef, missed: &str) {
        let session = ClientSession::of(socket);
        let _entered = session.as_ref().map(|session| session.span().entered());
        let connection = Self::connection(socket);
        if connection.as_ref().is_some_and(|connection| connection.killed().is_some()) {
            return;
        }
        let blocked = connection.and_then(|connection| connection.blocked()).unwrap_or_default();
        self.0.metrics.dropped_total.with_label_values(&["socketio"]).inc();
        self.0.metrics.cut_slow("socketio", blocked);
        info!(
            waiting = MAX_QUEUED_PACKETS,
            seconds_blocked = blocked.as_secs_f64(),
            missed,
            "a Socket.IO client is too slow: cut, to come back and catch up"
        );
        self.disconnect(socket);
    }

    /// Returns the connection of a client, unless it polls.
    fn connection(socket: &SocketRef) -> Option<KillSwitch> {
        if socket.transport_type() == TransportType::Polling {
            return None;
        }
        match PollingSession::of(socket) {
            Some(session) => session.connection(),
            None => socket.req_parts().extensions.get::<KillSwitch>().cloned(),
        }
    }

    /// Disconnects a client at its transport.
    pub(super) fn disconnect(&self, socket: &SocketRef) {
        // After the missed event nothing later may follow, which would move the client's cursor past the gap.
        socket.leave_all();
        match (socket.transport_type(), Self::connection(socket)) {
            (_, Some(connection)) => connection.kill(Reason::Overloaded),
            (TransportType::Polling, None) => {
                let version = if socket.protocol() == ProtocolVersion::V4 { 3 } else { 4 };
                self.close_polling(&socket.id.to_string(), version);
            }
            (TransportType::Websocket, None) => debug!("the connection has no kill switch"),
        }
    }

    /// Sends the engine the packet with which a polling client closes its session.
    pub(super) fn close_polling(&self, sid: &str, version: u8) {
        let Some(engine) = self.0.engine.get().cloned() else { return };
        // Engine.IO 3, used by Socket.IO 2 clients, puts the length before the packet.
        let packet = if version == 3 { "1:1" } else { "1" };
        let Some(request) = engine_request(Method::POST, version, sid, packet) else { return };
        let ending = async move {
            engine.oneshot(request).await.ok();
        };
        self.0.tasks.spawn_connection(ending.in_current_span());
    }
}
