//! Validation of WebSocket handshakes, whichever library answers them.

use axum::Json;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::command::fault;
use crate::listener::UpgradedSocket;
use crate::tasks::Tasks;

/// Length of a handshake's key in bytes (RFC 6455 section 4.1).
const KEY_BYTES: usize = 16;
/// The only version of the protocol.
const VERSION: &str = "13";

/// Why a request is not a WebSocket handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HandshakeFault {
    /// It does not ask for a WebSocket of this version.
    NoUpgrade,
    /// Its key does not have 16 bytes, or there is more than one.
    Key,
}

impl IntoResponse for HandshakeFault {
    fn into_response(self) -> Response {
        match self {
            Self::NoUpgrade => {
                let headers = [(UPGRADE, "websocket"), (CONNECTION, "upgrade"), (SEC_WEBSOCKET_VERSION, VERSION)];
                let hint = fault("upgrade_required", "this is a WebSocket endpoint: connect with ws:// or wss://");
                (StatusCode::UPGRADE_REQUIRED, headers, Json(hint)).into_response()
            }
            Self::Key => {
                let error = "Sec-WebSocket-Key must be one value: the base64 form of 16 random bytes";
                (StatusCode::BAD_REQUEST, Json(fault("invalid_websocket_key", error))).into_response()
            }
        }
    }
}

/// Checks a handshake by RFC 6455 section 4.2.1: the method, the two upgrade headers, version 13, and one key of 16
/// bytes.
///
/// # Errors
/// Returns what is wrong.
pub(super) fn judge_handshake(method: &Method, headers: &HeaderMap) -> Result<(), HandshakeFault> {
    let lists = |name: HeaderName, word: &str| {
        let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).any(|entry| entry.trim().eq_ignore_ascii_case(word))
    };
    let is_handshake = method == Method::GET
        && lists(CONNECTION, "upgrade")
        && lists(UPGRADE, "websocket")
        && headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == VERSION)
        && headers.contains_key(SEC_WEBSOCKET_KEY);
    if is_handshake { judge_key(headers) } else { Err(HandshakeFault::NoUpgrade) }
}

/// Checks that there is one key, and that it decodes to 16 bytes.
///
/// # Errors
/// Returns [`HandshakeFault::Key`] otherwise.
pub(super) fn judge_key(headers: &HeaderMap) -> Result<(), HandshakeFault> {
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).into_iter();
    let key = keys.next().and_then(|key| STANDARD.decode(key.as_bytes().trim_ascii()).ok());
    if keys.next().is_none() && key.is_some_and(|key| key.len() == KEY_BYTES) {
        return Ok(());
    }
    Err(HandshakeFault::Key)
}

/// Answers a handshake, and passes the socket on when hyper has let go of it, with what was read behind the handshake;
/// `None` when the client has left before.
pub(super) fn switch_protocols<F>(
    tasks: &Tasks,
    headers: &HeaderMap,
    upgrade: OnUpgrade,
    then: impl FnOnce(Option<(UpgradedSocket, Bytes)>) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send,
{
    let key = headers.get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes().trim_ascii()));
    let Some(Ok(accept)) = key.map(HeaderValue::try_from) else { return HandshakeFault::Key.into_response() };
    tasks.spawn_connection(async move {
        // Boxed, so that the task has no room for both the socket and what is done with it.
        let work = {
            let upgraded = upgrade.await.ok().and_then(|upgraded| UpgradedSocket::take(upgraded).ok());
            Box::pin(then(upgraded))
        };
        work.await;
    });
    let headers = [
        (CONNECTION, HeaderValue::from_static("upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(keys: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        for key in keys {
            headers.append(SEC_WEBSOCKET_KEY, HeaderValue::from_static(key));
        }
        headers
    }

    #[test]
    fn a_key_has_sixteen_bytes() {
        let status = |keys: &[&'static str]| {
            judge_handshake(&Method::GET, &headers(keys)).map_err(|fault| fault.into_response().status().as_u16())
        };
        assert_eq!(status(&["dGhlIHNhbXBsZSBub25jZQ=="]), Ok(()));
        for key in ["", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25j", "dGhlIHNhbXBsZSBub25jZWE=", "!!!!"] {
            assert_eq!(status(&[key]), Err(400), "{key:?}");
        }
        assert_eq!(status(&["dGhlIHNhbXBsZSBub25jZQ=="; 2]), Err(400));
        assert_eq!(status(&[]), Err(426));
    }

    #[test]
    fn the_upgrade_error_names_the_protocol() {
        let response = HandshakeFault::NoUpgrade.into_response();
        assert_eq!(response.headers()[UPGRADE], "websocket");
        assert_eq!(response.headers()[SEC_WEBSOCKET_VERSION], "13");
    }
}
