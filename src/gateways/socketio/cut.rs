//! Cutting one Socket.IO client off so that it comes back: at its transport, below Socket.IO.
//!
//! `disconnect()` would tell it to stay away, and does nothing at all when its queue is full.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::response::Response;
use http::{Method, Request};
use parking_lot::Mutex;
use socketioxide::extract::SocketRef;
use socketioxide::{ProtocolVersion, TransportType};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use tracing::{debug, info};

use super::MAX_QUEUED_PACKETS;
use crate::door::{KillSwitch, Reason};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// Our own service, for speaking to the engine as a client would.
type Engine = BoxCloneSyncService<Request<Body>, Response, Infallible>;

/// Knows how to cut each client. Cheap to clone.
#[derive(Clone)]
pub struct Cuts(Arc<Inner>);

struct Inner {
    tasks: Tasks,
    metrics: Arc<Metrics>,
    /// Switch of the connection that a polling session was upgraded to, by session. Sessions that began as WebSocket carry
    /// theirs in the request that they keep.
    upgraded: Mutex<Upgraded>,
    engine: OnceLock<Engine>,
}

#[derive(Default)]
struct Upgraded {
    switches: HashMap<String, KillSwitch>,
    purge_at: usize,
}

/// Below this many upgraded sessions nobody looks for those that ended.
const MIN_PURGE: usize = 256;

impl std::fmt::Debug for Cuts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cuts").finish_non_exhaustive()
    }
}

impl Cuts {
    /// Knows nobody yet.
    pub fn new(tasks: Tasks, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Inner { tasks, metrics, upgraded: Mutex::default(), engine: OnceLock::new() }))
    }

    /// Sets the service that polling sessions are closed through, once it is built.
    pub fn set_engine(&self, engine: Engine) {
        self.0.engine.set(engine).ok();
    }

    /// Remembers the connection that a session is upgraded to.
    pub(super) fn upgraded(&self, sid: &str, switch: KillSwitch) {
        let mut upgraded = self.0.upgraded.lock();
        upgraded.switches.insert(sid.to_owned(), switch);
        if upgraded.switches.len() >= upgraded.purge_at.max(MIN_PURGE) {
            upgraded.switches.retain(|_, switch| !switch.is_orphaned());
            upgraded.purge_at = upgraded.switches.len() * 2;
        }
    }

    /// Cuts a client whose queue is full, unless it is being cut: it comes back and catches up. `missed` is what had no
    /// room.
    pub(super) fn too_slow(&self, socket: &SocketRef, missed: &str) {
        let connection = self.connection(socket);
        if connection.as_ref().is_some_and(|connection| connection.killed().is_some()) {
            return;
        }
        let blocked = connection.and_then(|connection| connection.blocked()).unwrap_or_default();
        self.0.metrics.dropped_total.with_label_values(&["socketio"]).inc();
        self.0.metrics.cut_slow("socketio", blocked);
        info!(
            sid = %socket.id, waiting = MAX_QUEUED_PACKETS, seconds_blocked = blocked.as_secs_f64(), missed,
            "a Socket.IO client is too slow: cut, to come back and catch up"
        );
        self.cut(socket);
    }

    /// The connection of a client, unless it polls.
    fn connection(&self, socket: &SocketRef) -> Option<KillSwitch> {
        if socket.transport_type() == TransportType::Polling {
            return None;
        }
        let upgraded = self.0.upgraded.lock().switches.get(&socket.id.to_string()).cloned();
        upgraded.or_else(|| socket.req_parts().extensions.get::<KillSwitch>().cloned())
    }

    /// Cuts a client at its transport.
    pub(super) fn cut(&self, socket: &SocketRef) {
        // What it has missed must not be followed by something later: that would move its cursor past the hole.
        socket.leave_all();
        match (socket.transport_type(), self.connection(socket)) {
            (_, Some(connection)) => connection.kill(Reason::Overloaded),
            (TransportType::Polling, None) => self.close_polling(&socket.id.to_string(), socket.protocol()),
            (TransportType::Websocket, None) => debug!(sid = %socket.id, "a connection without a kill switch"),
        }
    }

    /// Hands the engine the packet with which a polling client would close its session.
    fn close_polling(&self, sid: &str, protocol: ProtocolVersion) {
        let Some(engine) = self.0.engine.get().cloned() else { return };
        // Engine.IO 3, spoken by Socket.IO 2 clients, puts the length before the packet.
        let (version, packet) = match protocol {
            ProtocolVersion::V4 => (3, "1:1"),
            ProtocolVersion::V5 => (4, "1"),
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/socket.io/?EIO={version}&transport=polling&sid={sid}"))
            .header(http::header::CONTENT_TYPE, "text/plain;charset=UTF-8")
            .body(Body::from(packet));
        let Ok(request) = request else { return };
        self.0.tasks.spawn_connection(async move {
            engine.oneshot(request).await.ok();
        });
    }
}
