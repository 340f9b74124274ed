//! Native WebSocket: the connection loop that all dashboards share.

mod connection;
mod echo;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::{IntoResponse, Response};
use http::header::SEC_WEBSOCKET_KEY;
use http::request::Parts;

use super::Gateway;
use super::handshake::{HandshakeFault, judge_key};
use crate::auth::UserSession;
use crate::config::Limits;
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

/// Applies the size limits that every native endpoint has.
fn bounded(upgrade: WebSocketUpgrade, limits: &Limits) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER.max(2 * limits.message_bytes))
        .max_message_size(limits.message_bytes)
        .max_frame_size(limits.message_bytes)
}
