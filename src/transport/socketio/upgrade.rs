//! The upgrade of a long-polling session to a WebSocket.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use http::{Method, Request, StatusCode};
use tower::{BoxError, Service, ServiceExt};

use super::polling::{Leftover, PollAnswer, PollingSession, PollingSessions};
use super::polling_requests::{engine_request, ready_now};
use super::session_layer::{is_over_websocket, query_value};
use super::websocket::WebSockets;
use crate::listener::KillSwitch;
use crate::transport::command::fault;

/// A WebSocket handshake that upgrades a long-polling session.
#[derive(Debug)]
pub(super) struct UpgradeHandshake {
    session: Arc<PollingSession>,
    /// The connection that the handshake arrived on.
    connection: Option<KillSwitch>,
}

impl UpgradeHandshake {
    /// Returns the upgrade that a request to the engine asks for.
    pub(super) fn of(sessions: &PollingSessions, request: &Request<Body>) -> Option<Self> {
        let id = query_value(request.uri(), "sid").filter(|_| is_over_websocket(request.uri()))?;
        // The engine rejects a second upgrade.
        let session = sessions.find(id).filter(|session| !session.is_upgraded())?;
        Some(Self { session, connection: request.extensions().get::<KillSwitch>().cloned() })
    }

    /// Lets the engine answer as soon as the client has polled everything that the upgrade would lose.
    pub(super) async fn serve<S, R>(self, inner: S, request: Request<Body>, websockets: &WebSockets) -> Response
    where
        S: Service<Request<Body>, Response = Response<R>, Error = Infallible> + Clone,
        R: http_body::Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let Self { session, connection } = self;
        let look = {
            let (session, engine) = (session.clone(), inner.clone());
            move || look_into_engine(session.clone(), engine.clone())
        };
        let Some(upgrade) = session.prepare_upgrade(look).await else {
            let error = "poll for what is waiting before the session becomes a WebSocket";
            return (StatusCode::CONFLICT, Json(fault("poll_first", error))).into_response();
        };
        if let Some(connection) = connection {
            session.upgrade(connection);
        }
        upgrade.done();
        websockets.upgrade_session(request, session)
    }
}

/// Asks the engine for its packets as a poll would, without waiting for them.
async fn look_into_engine<S, R>(session: Arc<PollingSession>, engine: S) -> Leftover
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible>,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let Some(request) = engine_request(Method::GET, session.version(), session.id(), "") else {
        return Leftover::Nothing;
    };
    let Some(Ok(response)) = ready_now(pin!(engine.oneshot(request))).await else { return Leftover::Nothing };
    PollAnswer::read(response.map(Body::new)).await.map_or(Leftover::Nothing, Leftover::Answer)
}
