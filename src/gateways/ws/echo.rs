//! Echoes every message over the transport that all native streams have, for conformance suites: see `examples/echo.rs`.

use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::response::Response;

use super::bounded;
use crate::config::Limits;
use crate::gateways::close::Close;

/// Takes a handshake and echoes until the peer closes, or breaks a rule: then it is closed with the code of what it broke.
pub fn echo(upgrade: WebSocketUpgrade, limits: &Limits) -> Response {
    bounded(upgrade, limits).on_upgrade(async |mut socket| {
        while let Some(read) = socket.recv().await {
            let reply = match read {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => message,
                // Pings and closes are answered by the library, with the next read.
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
