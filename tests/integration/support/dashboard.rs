//! A dashboard that subscribes to everything, and asks in any way for what it missed.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{Native, Packet, Protocol, Socket, soon};

/// How a client asks for what it missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Native, `?since=`.
    Query,
    /// Native, `since` in a `subscribe` frame.
    Frame,
    /// The same on the endpoint for pushers.
    PusherFrame,
    /// Socket.IO, `since` in the handshake's `auth`.
    Auth,
    /// Socket.IO, `since` in `subscribe`.
    Subscribe,
}

impl Way {
    pub(crate) const ALL: [Self; 5] = [Self::Query, Self::Frame, Self::PusherFrame, Self::Auth, Self::Subscribe];
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Signal { signal: Value, cursor: Value },
    Subscribed { cursor: Value, recovered: Option<bool> },
    Price(Value),
    Other(Value),
}

impl Told {
    fn of(kind: &str, payload: Value, meta: &Value) -> Self {
        match kind {
            "signal" if meta["cursor"].is_string() => Self::Signal { signal: payload, cursor: meta["cursor"].clone() },
            "subscribed" if payload["cursor"].is_string() => {
                Self::Subscribed { cursor: payload["cursor"].clone(), recovered: payload["recovered"].as_bool() }
            }
            "price_update" => Self::Price(payload),
            _ => Self::Other(json!([kind, payload, meta])),
        }
    }
}

/// A dashboard that subscribes to everything. Dropping it cuts the connection without a goodbye.
pub(crate) enum Client {
    Native(Native),
    SocketIo(Socket),
}

impl Client {
    /// Connects and asks for what was missed since `since`; an error when the process is away.
    pub(crate) async fn connect(addr: SocketAddr, way: Way, since: Option<&str>) -> Result<Self, u16> {
        let asked = since.map_or(json!({}), |since| json!({ "since": since }));
        match way {
            Way::Query => {
                let query = since.map(|since| format!("?since={since}")).unwrap_or_default();
                Ok(Self::Native(Native::try_connect(addr, &format!("/ws/signals{query}"), &[]).await?))
            }
            Way::Frame | Way::PusherFrame => {
                let path = if way == Way::Frame { "/ws/signals" } else { "/api/websocket" };
                let mut native = Native::try_connect(addr, path, &[]).await?;
                if let Some(since) = since {
                    // Whether it is gone shows with the next read.
                    native.try_say(json!({ "type": "subscribe", "since": since }).to_string()).await;
                }
                Ok(Self::Native(native))
            }
            Way::Auth => Self::connect_socketio(addr, &asked, "[\"subscribe\"]").await,
            Way::Subscribe => Self::connect_socketio(addr, &json!({}), &json!(["subscribe", asked]).to_string()).await,
        }
    }

    async fn connect_socketio(addr: SocketAddr, auth: &Value, request: &str) -> Result<Self, u16> {
        let stream = TcpStream::connect(addr).await.map_err(|_| 0_u16)?;
        let mut socket = Socket::try_asking(stream, addr, Protocol::Eio4, "", &[]).await?;
        socket.try_say(format!("40{auth}")).await;
        if soon("connected", socket.next()).await != Ok(Packet::Connected) {
            return Err(0);
        }
        socket.try_say(format!("42{request}")).await;
        Ok(Self::SocketIo(socket))
    }

    pub(crate) async fn say(&mut self, text: String) {
        match self {
            Self::Native(native) => native.say(text).await,
            Self::SocketIo(socket) => socket.say(text).await,
        }
    }

    /// The next thing that it is told; `None` when the connection has ended.
    pub(crate) async fn told(&mut self) -> Option<Told> {
        match self {
            Self::Native(native) => {
                let mut frame = native.next().await.ok()?;
                let kind = frame["type"].as_str().unwrap_or_default().to_owned();
                let payload = if kind == "subscribed" { frame.clone() } else { frame["payload"].take() };
                Some(Told::of(&kind, payload, &frame))
            }
            Self::SocketIo(socket) => loop {
                match socket.next().await.ok()? {
                    Packet::Event(event, args) => {
                        let mut args = args.into_iter();
                        let payload = args.next().unwrap_or_default();
                        return Some(Told::of(&event, payload, &args.next().unwrap_or_default()));
                    }
                    Packet::Disconnected => panic!("told to stay away"),
                    _ => {}
                }
            },
        }
    }

    /// Everything up to and with `subscribed`: the signals with their cursors, and the answer.
    pub(crate) async fn until_subscribed(&mut self) -> (Vec<(Value, Value)>, Value, Option<bool>) {
        soon("subscribed", async {
            let mut signals = Vec::new();
            loop {
                match self.told().await.expect("the connection stays") {
                    Told::Signal { signal, cursor } => signals.push((signal, cursor)),
                    Told::Subscribed { cursor, recovered } => return (signals, cursor, recovered),
                    Told::Price(_) | Told::Other(_) => {}
                }
            }
        })
        .await
    }
}
