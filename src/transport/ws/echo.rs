//! Echoes every message over the transport of the native streams, for conformance suites: see `examples/echo.rs`.

use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::response::Response;

use super::bounded;
use crate::config::Limits;
use crate::transport::close::Close;

/// Completes a handshake and echoes until the peer closes or violates the protocol. A violation is answered with its
/// close code.
pub fn echo(upgrade: WebSocketUpgrade, limits: &Limits) -> Response {
    bounded(upgrade, limits).on_upgrade(async |mut socket| {
        while let Some(read) = socket.recv().await {
            let reply = match read {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => message,
                // The library answers pings and closes with the next read.
                Ok(_) => continue,
                Err(error) => match Close::of_error(error) {
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
