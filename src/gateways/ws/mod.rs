//! Native WebSocket: the connection loop that all dashboards share.

mod connection;
mod echo;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{AUTHORIZATION, ORIGIN, SEC_WEBSOCKET_KEY, USER_AGENT};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};
use serde::Deserialize;

use super::Gateway;
use super::handshake::{HandshakeFault, judge_key};
use crate::auth::UserSession;
use crate::config::Limits;
use crate::dashboards::aria::catch_up::CatchUp;
use crate::dashboards::aria::stream::{self as aria, AriaProtocol, PerformancePage};
use crate::dashboards::bots::stream as bots;
use crate::dashboards::orion::stream::OrionProtocol;
use crate::dashboards::sentio::stream as sentio;
use crate::listener::{KillSwitch, Peer};
use connection::serve;
pub(crate) use connection::{Client, Protocol};
pub use echo::echo;

/// Read buffer in bytes. Clients send little.
const READ_BUFFER: usize = 1024;
/// Output is buffered up to this many bytes before it is written to the socket. Each batch ends with a flush.
const WRITE_BUFFER: usize = 16 * 1024;
/// Output that may wait behind a blocked socket, in bytes, before the connection is closed.
const MAX_WRITE_BUFFER: usize = 1024 * 1024;

/// Routes of the native endpoints.
pub fn routes(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/ws/signals", get(dashboard))
        .route("/ws/signals/", get(dashboard))
        .route("/api/websocket", get(pusher))
        .route("/ws", get(trading_desk))
        .route("/ws/", get(trading_desk))
        .route("/monitoring/ws/performance", get(performance))
        .route("/api/ws", get(bots::handshake))
        .route("/api/ws/", get(bots::handshake))
        .merge(sentio::routes())
        .with_state(gateway)
}

/// A WebSocket handshake and the connection that it arrived on.
#[derive(Debug)]
pub(crate) struct Handshake {
    upgrade: WebSocketUpgrade,
    connection: KillSwitch,
    /// Address of the client.
    pub(crate) address: Option<IpAddr>,
}

impl<S: Send + Sync> FromRequestParts<S> for Handshake {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let connection = parts.extensions.get().cloned().unwrap_or_default();
        if parts.headers.contains_key(SEC_WEBSOCKET_KEY) {
            judge_key(&parts.headers).map_err(IntoResponse::into_response)?;
        }
        let address = parts.extensions.get::<Peer>().map(|peer| peer.client);
        match WebSocketUpgrade::from_request_parts(parts, state).await {
            Ok(upgrade) => Ok(Self { upgrade, connection, address }),
            Err(_) => Err(HandshakeFault::NoUpgrade.into_response()),
        }
    }
}

impl Handshake {
    /// Completes the handshake and serves the protocol, unless the channel is full. The limits of [`bounded`] apply.
    pub(crate) fn serve<C: Protocol + 'static>(
        self,
        gateway: Arc<Gateway>,
        login: Option<UserSession>,
        protocol: C,
    ) -> Response {
        let slot = match gateway.enter("native", protocol.endpoint()) {
            Ok(slot) => slot,
            Err(refusal) => return refusal.into_response(),
        };
        let Self { upgrade, connection, address } = self;
        bounded(upgrade, &gateway.limits).on_upgrade(async move |socket| {
            serve(socket, (connection, address), slot, gateway, login, protocol).await;
        })
    }
}

/// Query parameters of ORION's dashboard stream.
#[derive(Debug, Default, Deserialize)]
struct OrionQuery {
    since: Option<String>,
    replay: Option<String>,
}

async fn dashboard(
    State(gateway): State<Arc<Gateway>>,
    Query(OrionQuery { since, replay }): Query<OrionQuery>,
    headers: HeaderMap,
    uri: Uri,
    handshake: Handshake,
) -> Response {
    let login = match gateway.admit_reader(&headers, &uri, None) {
        Ok(login) => login,
        Err(refusal) => return refusal.into_response(),
    };
    let may_push = gateway.may_push(&headers, &uri);
    let protocol = OrionProtocol::dashboard(gateway.clone(), since, replay, may_push);
    handshake.serve(gateway, login, protocol)
}

async fn pusher(State(gateway): State<Arc<Gateway>>, headers: HeaderMap, uri: Uri, handshake: Handshake) -> Response {
    let may_push = gateway.may_push(&headers, &uri);
    // A pusher may still send its token in a frame. A wrong token in the handshake is rejected at once.
    if !may_push && let Err(refusal) = gateway.admit_token(&headers, &uri) {
        return refusal.into_response();
    }
    let login = gateway.admit_reader(&headers, &uri, None);
    let may_read = may_push || login.is_ok();
    let protocol = OrionProtocol::pusher(gateway.clone(), may_push, may_read);
    handshake.serve(gateway, login.ok().flatten(), protocol)
}

/// Query parameters of ARIA's stream.
#[derive(Debug, Default, Deserialize)]
struct AriaQuery {
    channels: Option<String>,
}

/// Serves ARIA's `/ws`, where the token may also come in a header of its own.
async fn trading_desk(
    State(gateway): State<Arc<Gateway>>,
    Query(AriaQuery { channels }): Query<AriaQuery>,
    headers: HeaderMap,
    uri: Uri,
    handshake: Handshake,
) -> Response {
    let login = match gateway.admit_reader(&headers, &uri, aria::token(&headers)) {
        Ok(login) => login,
        Err(refusal) => return refusal.into_response(),
    };
    let address = handshake.address.map(|address| address.to_string());
    let repeated = [USER_AGENT.as_str(), ORIGIN.as_str(), AUTHORIZATION.as_str(), aria::TOKEN_HEADER];
    let repeated = repeated.map(|name| headers.get(name).and_then(|value| value.to_str().ok()));
    let asked = uri.path_and_query().map(PathAndQuery::as_str);
    let key = CatchUp::key([address.as_deref(), asked].into_iter().chain(repeated));
    let protocol = AriaProtocol::new(gateway.clone(), channels.as_deref(), key);
    handshake.serve(gateway, login, protocol)
}

async fn performance(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    uri: Uri,
    handshake: Handshake,
) -> Response {
    let login = match gateway.admit_reader(&headers, &uri, aria::token(&headers)) {
        Ok(login) => login,
        Err(refusal) => return refusal.into_response(),
    };
    let protocol = PerformancePage::new(gateway.clone());
    handshake.serve(gateway, login, protocol)
}

/// Applies the size limits that every native endpoint has.
fn bounded(upgrade: WebSocketUpgrade, limits: &Limits) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER.max(2 * limits.message_bytes))
        .max_message_size(limits.message_bytes)
        .max_frame_size(limits.message_bytes)
}
