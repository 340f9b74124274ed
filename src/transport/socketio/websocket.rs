//! Socket.IO over WebSocket: the handshake is answered here, so that the engine gets a stream with a lane.

use std::sync::{Arc, OnceLock, Weak};

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Uri};
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;
use tokio::sync::oneshot;

use super::NAMESPACES;
use super::admission_layer::ENGINE;
use super::disconnector::Disconnector;
use super::polling::PollingSession;
use super::session::ClientSession;
use super::session_layer::query_value;
use crate::domain::Delay;
use crate::hub::Hub;
use crate::listener::{KillSwitch, Peer, UpgradedSocket};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::transport::handshake::switch_protocols;
use crate::transport::lane::{Fanout, Lane, LaneStream, OnOverflow, SessionStart};

/// Hands the engine a stream that has become a WebSocket, and the head of its request.
type OpenStream = Box<dyn Fn(LaneStream, Request<()>) + Send + Sync>;

/// The lane of a session that began over WebSocket, and the delay of its clients; in the extensions of its request. Weak, because the engine keeps the
/// request for longer than the socket.
#[derive(Debug, Clone)]
struct SessionLane(Weak<Lane>, Arc<OnceLock<Delay>>);

/// Returns the lane of a client; `None` while it polls.
pub(super) fn lane(socket: &SocketRef) -> Option<Arc<Lane>> {
    match PollingSession::of(socket) {
        Some(session) => session.lane(),
        None => socket.req_parts().extensions.get::<SessionLane>()?.0.upgrade(),
    }
}

/// Whether all clients of a connection are read with this delay. They share its lane.
pub(super) fn has_delay(socket: &SocketRef, delay: Delay) -> bool {
    let known = match PollingSession::of(socket) {
        Some(session) => session.delay(),
        None => match socket.req_parts().extensions.get::<SessionLane>() {
            Some(SessionLane(_, known)) => known,
            None => return delay.is_none(),
        },
    };
    *known.get_or_init(|| delay) == delay
}

/// Returns the version of Engine.IO that a request asks for, if the engine has it.
pub(super) fn version(uri: &Uri) -> Option<u8> {
    match query_value(uri, "EIO") {
        Some("3") => Some(3),
        Some("4") => Some(4),
        _ => None,
    }
}

/// Answers WebSocket handshakes for the engine. Cheap to clone.
#[derive(Clone)]
pub struct WebSockets(Arc<WebSocketsState>);

struct WebSocketsState {
    tasks: Tasks,
    metrics: Arc<Metrics>,
    fanout: Fanout,
    disconnector: Disconnector,
    /// What is delivered to clients that have upgraded, if anything is.
    delivery: Option<(Arc<Hub>, SocketIo)>,
    engine: OnceLock<OpenStream>,
}

impl std::fmt::Debug for WebSockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebSockets").finish_non_exhaustive()
    }
}

impl WebSockets {
    /// Creates the handshakes of an engine whose clients are on the lanes of `fanout`.
    pub fn new(tasks: Tasks, metrics: Arc<Metrics>, fanout: Fanout, disconnector: Disconnector) -> Self {
        Self::with_delivery(tasks, metrics, fanout, disconnector, None)
    }

    /// Creates the handshakes of an engine, and moves the clients of `io` to their lanes when they have upgraded.
    pub(super) fn with_delivery(
        tasks: Tasks,
        metrics: Arc<Metrics>,
        fanout: Fanout,
        disconnector: Disconnector,
        delivery: Option<(Arc<Hub>, SocketIo)>,
    ) -> Self {
        Self(Arc::new(WebSocketsState { tasks, metrics, fanout, disconnector, delivery, engine: OnceLock::new() }))
    }

    /// Sets the engine, once it is built.
    pub fn set_engine(&self, engine: impl Fn(LaneStream, Request<()>) + Send + Sync + 'static) {
        self.0.engine.set(Box::new(engine)).ok();
    }

    /// Opens a session over WebSocket.
    pub(super) fn open_session(&self, request: Request<Body>, version: u8) -> Response {
        // In Engine.IO 3 the client sends the pings.
        let opening = if version == 4 { SessionStart::HoldPing } else { SessionStart::Plain };
        let mut head = head(&request);
        let this = self.clone();
        self.switch_protocols(request, async move |upgraded| {
            let Some(upgraded) = upgraded else { return };
            let stream = this.stream(upgraded, opening);
            head.extensions_mut().insert(SessionLane(stream.lane(), Arc::default()));
            this.open(stream, head);
        })
    }

    /// Continues a long-polling session over WebSocket.
    pub(super) fn upgrade_session(&self, request: Request<Body>, session: Arc<PollingSession>) -> Response {
        let (head, this) = (head(&request), self.clone());
        self.switch_protocols(request, async move |upgraded| {
            let Some(upgraded) = upgraded else { return this.end_upgrade(&session, None) };
            let (completed, is_completed) = oneshot::channel();
            let stream = this.stream(upgraded, SessionStart::Upgrade(completed));
            let lane = stream.lane();
            this.open(stream, head);
            this.end_upgrade(&session, is_completed.await.is_ok().then_some(lane));
        })
    }

    /// Moves the clients of a session to the lane of the WebSocket that it has become. Without a lane the upgrade came to
    /// nothing: the engine would leave the session between two transports for good.
    fn end_upgrade(&self, session: &PollingSession, lane: Option<Weak<Lane>>) {
        let WebSocketsState { delivery, disconnector, .. } = &*self.0;
        let Some(lane) = lane else { return disconnector.close_polling(session.id(), session.version()) };
        let Ok(sid) = session.id().parse::<Sid>() else { return };
        let Some((hub, io)) = delivery else { return session.set_lane(lane) };
        hub.with_snapshot(|_| {
            session.set_lane(lane);
            for namespace in NAMESPACES.into_iter().filter_map(|namespace| io.of(namespace)) {
                if let Some(socket) = namespace.get_socket(sid)
                    && let Some(client) = ClientSession::of(&socket)
                {
                    // The clients of one connection have one hub, perhaps a later one.
                    client.move_to_lane(&socket, hub);
                }
            }
        });
    }

    fn open(&self, stream: LaneStream, head: Request<()>) {
        if let Some(engine) = self.0.engine.get() {
            engine(stream, head);
        }
    }

    fn stream(&self, upgraded: (UpgradedSocket, Bytes), opening: SessionStart) -> LaneStream {
        let stream =
            LaneStream::new(upgraded, self.0.fanout.next_shard(), opening, OnOverflow::Kill(self.0.metrics.clone()));
        stream.serves(ENGINE);
        stream
    }

    fn switch_protocols<F>(
        &self,
        mut request: Request<Body>,
        then: impl FnOnce(Option<(UpgradedSocket, Bytes)>) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send,
    {
        let upgrade = hyper::upgrade::on(&mut request);
        switch_protocols(&self.0.tasks, request.headers(), upgrade, then)
    }
}

/// Copies what is needed of a request's head: the engine keeps it, and with the original hyper's buffer would stay in
/// memory.
fn head(request: &Request<Body>) -> Request<()> {
    let mut head = Request::new(());
    if let Ok(uri) = Uri::from_maybe_shared(Bytes::from(request.uri().to_string())) {
        *head.uri_mut() = uri;
    }
    for value in request.headers().get_all(AUTHORIZATION) {
        if let Ok(mut value) = HeaderValue::from_bytes(value.as_bytes()) {
            value.set_sensitive(true);
            head.headers_mut().append(AUTHORIZATION, value);
        }
    }
    if let Some(connection) = request.extensions().get::<KillSwitch>() {
        head.extensions_mut().insert(connection.clone());
    }
    if let Some(peer) = request.extensions().get::<Peer>() {
        head.extensions_mut().insert(*peer);
    }
    head
}
