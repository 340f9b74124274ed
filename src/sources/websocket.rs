//! One WebSocket connection to a provider: connecting, sending, keeping alive, and detecting a dead peer.
//!
//! No error text of this file contains an address, because a key can be part of one.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{SinkExt, StreamExt};
use http::HeaderMap;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use super::SourceError;
use super::net::{self, NetError};

/// Time limit for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// A longer message ends the connection, in bytes. Those of the providers have some kilobytes.
const MAX_MESSAGE: usize = 8 << 20;

/// Timeouts of a connection.
#[derive(Debug, Clone, Copy)]
pub struct SocketTimeouts {
    /// A silent peer is pinged after this time.
    pub ping_after: Duration,
    /// A peer that stays silent this long after a ping is dead: some providers drop connections without closing them.
    pub silence: Duration,
}

impl Default for SocketTimeouts {
    fn default() -> Self {
        Self { ping_after: Duration::from_secs(20), silence: Duration::from_secs(10) }
    }
}

/// An open WebSocket.
pub(super) struct ProviderSocket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    timeouts: SocketTimeouts,
    heard: Instant,
    pinged: Option<Instant>,
    /// A message that the provider wants at an interval, and when it is due.
    keep_alive: Option<(Duration, Utf8Bytes, Instant)>,
}

impl ProviderSocket {
    /// Opens the connection. `advice` is for a handshake that the provider refuses.
    pub(super) async fn open(
        address: &str,
        headers: &HeaderMap,
        timeouts: SocketTimeouts,
        (now, advice): (DateTime<Utc>, &str),
    ) -> Result<Self, SourceError> {
        let Ok(mut request) = address.into_client_request() else {
            return Err(SourceError::refused(format!("the address is invalid: {advice}")));
        };
        request.headers_mut().extend(headers.clone());
        let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        let connector = Some(Connector::Rustls(net::tls()));
        let opened =
            timeout(CONNECT_TIMEOUT, connect_async_tls_with_config(request, Some(config), true, connector)).await;
        match opened.map_err(|_| SourceError::transient(NetError::Silent(CONNECT_TIMEOUT)))? {
            Ok((socket, _)) => Ok(Self { socket, timeouts, heard: Instant::now(), pinged: None, keep_alive: None }),
            Err(Error::Http(answer)) => Err(net::classify_status(answer.status(), answer.headers(), now, advice, "")),
            Err(error) => Err(lost(&error)),
        }
    }

    /// Sends this message at this interval from now on.
    pub(super) fn keep_alive(&mut self, interval: Duration, message: impl Into<Utf8Bytes>) {
        self.keep_alive = Some((interval, message.into(), Instant::now() + interval));
    }

    /// Sends a text.
    pub(super) async fn send(&mut self, text: impl Into<Utf8Bytes>) -> Result<(), SourceError> {
        self.write(Message::text(text)).await
    }

    async fn write(&mut self, message: Message) -> Result<(), SourceError> {
        let limit = self.timeouts.silence;
        let sent = timeout(limit, self.socket.send(message)).await;
        sent.map_err(|_| SourceError::transient(NetError::Silent(limit)))?.map_err(|error| lost(&error))
    }

    /// Returns the next text message. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Utf8Bytes, SourceError> {
        let SocketTimeouts { ping_after, silence } = self.timeouts;
        loop {
            let now = Instant::now();
            if let Some((interval, message, due)) = self.keep_alive.as_mut().filter(|(.., due)| *due <= now) {
                *due = now + *interval;
                let message = message.clone();
                self.send(message).await?;
            }
            let dead_at = self.pinged.map_or(self.heard + ping_after, |at| at + silence);
            let until = self.keep_alive.as_ref().map_or(dead_at, |(.., due)| dead_at.min(*due));
            match timeout_at(until, self.socket.next()).await {
                Ok(Some(Ok(message))) => {
                    (self.heard, self.pinged) = (Instant::now(), None);
                    match message {
                        Message::Text(text) => return Ok(text),
                        Message::Close(frame) => {
                            let code = frame.map_or(1005, |frame| frame.code.into());
                            return Err(SourceError::transient(format!(
                                "the provider has closed the connection ({code})"
                            )));
                        }
                        _ => {}
                    }
                }
                Ok(Some(Err(error))) => return Err(lost(&error)),
                Ok(None) => return Err(SourceError::transient("the provider has ended the connection")),
                Err(_) if Instant::now() < dead_at => {}
                Err(_) if self.pinged.is_none() => {
                    self.pinged = Some(Instant::now());
                    self.write(Message::Ping(Bytes::new())).await?;
                }
                Err(_) => return Err(SourceError::transient(NetError::Silent(silence))),
            }
        }
    }
}

fn lost(error: &Error) -> SourceError {
    SourceError::transient(NetError::broken(error))
}
