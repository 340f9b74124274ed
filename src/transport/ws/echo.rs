//! Echoes every message over the transport of the native streams, for conformance suites: see `examples/echo.rs`.

use axum::response::Response;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use super::{Handshake, open};
use crate::config::Limits;
use crate::tasks::Tasks;
use crate::transport::close::Close;
use crate::transport::handshake::switch_protocols;

/// Completes a handshake and echoes until the peer closes or violates the protocol. A violation is answered with its
/// close code.
pub fn echo(handshake: Handshake, tasks: &Tasks, limits: &Limits) -> Response {
    let (Handshake { headers, upgrade, .. }, limits) = (handshake, limits.clone());
    switch_protocols(tasks, &headers, upgrade, async move |upgraded| {
        let Some((_, mut socket)) = upgraded.and_then(|upgraded| open(upgraded, 0, &limits)) else { return };
        while let Some(read) = socket.next().await {
            let reply = match read {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => message,
                // The library answers pings and closes with the next read.
                Ok(_) => continue,
                Err(error) => match Close::of_error(&error) {
                    Some(close) => Message::Close(Some(close.frame())),
                    None => return,
                },
            };
            let last = matches!(reply, Message::Close(_));
            if socket.send(reply).await.is_err() || last {
                return;
            }
        }
    })
}
