//! Native clients.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::soon;

/// A TCP connection whose receive buffer is so small that whoever stops reading is noticed.
pub(crate) async fn narrow(addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(addr).await.unwrap()
}

/// Opens a WebSocket with further headers.
pub(crate) async fn open(
    stream: TcpStream,
    addr: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<WebSocketStream<TcpStream>, Error> {
    let mut request = format!("ws://{addr}{path}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let opened = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
    opened.map(|(socket, _)| socket)
}

/// The status with which a handshake was refused; 0 where the connection broke.
pub(super) fn status(error: &Error) -> u16 {
    match error {
        Error::Http(response) => response.status().as_u16(),
        _ => 0,
    }
}

/// The status and the answer with which a handshake was refused.
pub(crate) async fn refusal(addr: SocketAddr, path: &str, headers: &[(&'static str, &str)]) -> (u16, Value) {
    let stream = TcpStream::connect(addr).await.unwrap();
    match open(stream, addr, path, headers).await {
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            (response.status().as_u16(), serde_json::from_slice(body).unwrap_or_default())
        }
        other => panic!("{path} was not refused: {other:?}"),
    }
}

/// A native client.
pub(crate) struct Native(pub(crate) WebSocketStream<TcpStream>);

impl Native {
    pub(crate) async fn connect(addr: SocketAddr, path: &str) -> Self {
        Self(open(TcpStream::connect(addr).await.unwrap(), addr, path, &[]).await.unwrap())
    }

    /// The same with further headers; an error is the status with which that was refused, 0 when nobody answered.
    pub(crate) async fn try_connect(
        addr: SocketAddr,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let stream = TcpStream::connect(addr).await.map_err(|_| 0_u16)?;
        open(stream, addr, path, headers).await.map(Self).map_err(|error| status(&error))
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.say(frame.to_string()).await;
    }

    pub(crate) async fn say(&mut self, text: impl Into<String>) {
        assert!(self.try_say(text).await, "the server is gone");
    }

    /// Whether the server was still there.
    pub(crate) async fn try_say(&mut self, text: impl Into<String>) -> bool {
        self.0.send(Message::text(text.into())).await.is_ok()
    }

    /// The next frame, or the close code with which the server ended it; 1006 where it just broke.
    pub(crate) async fn next(&mut self) -> Result<Value, u16> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    // The library answers with the next read.
                    self.0.next().await;
                    return Err(frame.map_or(1005, |frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// The next frame of a type.
    pub(crate) async fn frame(&mut self, kind: &str) -> Value {
        soon(kind, async {
            loop {
                let frame = self.next().await.unwrap_or_else(|code| panic!("closed with {code} before {kind}"));
                if frame["type"] == kind {
                    return frame;
                }
            }
        })
        .await
    }
}
