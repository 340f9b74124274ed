//! One WebSocket connection to Massive: connecting, sending, and detecting a dead peer.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use super::messages::Action;
use crate::sources::SourceError;
use crate::sources::net::{self, NetError};

/// Time limit for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest frame. Massive's are some kilobytes.
const MAX_FRAME: usize = 1 << 20;

/// An open WebSocket.
pub(super) struct MassiveSocket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// A silent peer is pinged after this time.
    ping_after: Duration,
    /// A peer that stays silent this long after a ping is dead: Massive drops connections every night without closing
    /// them.
    silence: Duration,
    heard: Instant,
    pinged: Option<Instant>,
}

impl MassiveSocket {
    /// Opens the connection.
    pub(super) async fn open(
        address: &str,
        (ping_after, silence): (Duration, Duration),
        now: DateTime<Utc>,
    ) -> Result<Self, SourceError> {
        let config = WebSocketConfig::default().max_message_size(Some(MAX_FRAME)).max_frame_size(Some(MAX_FRAME));
        let connector = Some(Connector::Rustls(net::tls()));
        let opened =
            timeout(CONNECT_TIMEOUT, connect_async_tls_with_config(address, Some(config), true, connector)).await;
        match opened.map_err(|_| SourceError::transient(NetError::Silent(CONNECT_TIMEOUT)))? {
            Ok((socket, _)) => Ok(Self { socket, ping_after, silence, heard: Instant::now(), pinged: None }),
            Err(Error::Http(answer)) => {
                let advice = "check ORION_MASSIVE_KEY and massive.url";
                Err(net::classify_status(answer.status(), answer.headers(), now, advice, ""))
            }
            Err(error) => Err(lost(&error)),
        }
    }

    /// Sends an action, such as `auth` or `subscribe`.
    pub(super) async fn send(&mut self, action: &'static str, params: &str) -> Result<(), SourceError> {
        let text = serde_json::to_string(&Action { action, params }).map_err(SourceError::transient)?;
        self.write(Message::text(text)).await
    }

    async fn write(&mut self, message: Message) -> Result<(), SourceError> {
        let sent = timeout(self.silence, self.socket.send(message)).await;
        sent.map_err(|_| SourceError::transient(NetError::Silent(self.silence)))?.map_err(|error| lost(&error))
    }

    /// Returns the next text frame. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Utf8Bytes, SourceError> {
        loop {
            let until = self.pinged.map_or(self.heard + self.ping_after, |at| at + self.silence);
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
                Err(_) if self.pinged.is_none() => {
                    self.pinged = Some(Instant::now());
                    self.write(Message::Ping(Bytes::new())).await?;
                }
                Err(_) => return Err(SourceError::transient(NetError::Silent(self.silence))),
            }
        }
    }
}

fn lost(error: &Error) -> SourceError {
    SourceError::transient(NetError::broken(error))
}
