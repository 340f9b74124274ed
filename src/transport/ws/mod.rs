//! Native WebSocket: the connection loop that all dashboards share.

mod client;
mod connection;
mod echo;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::HeaderMap;
use http::header::SEC_WEBSOCKET_KEY;
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::Gateway;
use super::handshake::{HandshakeFault, judge_handshake, judge_key, switch_protocols};
use super::lane::{LaneStream, OnOverflow, SessionStart};
use crate::auth::UserSession;
use crate::config::Limits;
use crate::listener::{Peer, UpgradedSocket};
pub(crate) use client::Client;
use connection::NativeConnection;
pub(crate) use connection::Protocol;
pub use echo::echo;

/// Read buffer in bytes. Clients send little.
const READ_BUFFER: usize = 512;

/// A WebSocket handshake, and the connection that it arrived on.
#[derive(Debug)]
pub struct Handshake {
    headers: HeaderMap,
    upgrade: OnUpgrade,
    /// Address of the client.
    pub(crate) address: Option<IpAddr>,
}

impl<S: Send + Sync> FromRequestParts<S> for Handshake {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        if parts.headers.contains_key(SEC_WEBSOCKET_KEY) {
            judge_key(&parts.headers).map_err(IntoResponse::into_response)?;
        }
        judge_handshake(&parts.method, &parts.headers).map_err(IntoResponse::into_response)?;
        let upgrade =
            parts.extensions.remove::<OnUpgrade>().ok_or_else(|| HandshakeFault::NoUpgrade.into_response())?;
        let address = parts.extensions.get::<Peer>().map(|peer| peer.client);
        Ok(Self { headers: parts.headers.clone(), upgrade, address })
    }
}

impl Handshake {
    /// Completes the handshake and serves the protocol, unless the channel is full. The limits of [`open`] apply.
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
        let Self { headers, upgrade, address } = self;
        let tasks = gateway.tasks.clone();
        // Boxed, because its place stays in memory as long as the connection exists.
        let opening = Box::new((slot, gateway, login, protocol));
        switch_protocols(&tasks, &headers, upgrade, move |upgraded| {
            let (slot, gateway, login, protocol) = *opening;
            let connection = upgraded.and_then(|upgraded| {
                let (lane, socket) = open(upgraded, gateway.fanout.next_shard(), &gateway.limits.get())?;
                Some(Box::new(NativeConnection::new(
                    lane.upgrade()?,
                    socket,
                    (slot, address),
                    gateway,
                    login,
                    protocol,
                )))
            });
            async move {
                if let Some(connection) = connection {
                    connection.serve().await;
                }
            }
        })
    }
}

/// Opens a connection with the size limits that every native endpoint has. The library only reads, and answers control
/// frames; it needs to wait for nothing.
fn open(
    upgraded: (UpgradedSocket, Bytes),
    shard: usize,
    limits: &Limits,
) -> Option<(std::sync::Weak<super::lane::Lane>, WebSocketStream<LaneStream>)> {
    let stream = LaneStream::new(upgraded, shard, SessionStart::Plain, OnOverflow::Notify);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(limits.message_bytes))
        .max_frame_size(Some(limits.message_bytes));
    let lane = stream.lane();
    Some((lane, WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).now_or_never()?))
}
