//! A minimal Socket.IO client that shows every packet, over WebSocket, long polling, and from one to the other.

use std::collections::VecDeque;
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::native::status;
use super::{open, soon};

/// What a client speaks: Socket.IO 3 and later, or 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Eio4,
    Eio3,
}

impl Protocol {
    fn version(self) -> u8 {
        match self {
            Self::Eio4 => 4,
            Self::Eio3 => 3,
        }
    }
}

/// A packet that the client is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Packet {
    /// `0`: the session is open.
    Open(Value),
    /// `40`: the namespace is joined.
    Connected,
    /// `41`: the server told the client to stay away.
    Disconnected,
    /// `42`: an event and its arguments.
    Event(String, Vec<Value>),
    /// `44`: the namespace was refused.
    Refused(Value),
    /// Anything else, as it came.
    Other(String),
}

impl Packet {
    fn parse(text: &str) -> Self {
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let payload = |text: &'_ str| text.find(['[', '{']).map_or(Value::Null, |at| json(&text[at..]));
        match text.get(..2).unwrap_or(text) {
            "40" => Self::Connected,
            "41" => Self::Disconnected,
            "42" => {
                let Value::Array(mut args) = payload(text) else { panic!("{text}") };
                let name = args.remove(0).as_str().unwrap().to_owned();
                Self::Event(name, args)
            }
            "44" => Self::Refused(payload(text)),
            _ if text.starts_with('0') => Self::Open(json(&text[1..])),
            _ => Self::Other(text.to_owned()),
        }
    }
}

/// How a connection ended: with a WebSocket close code, or without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended(pub(crate) Option<u16>);

/// A client over WebSocket.
pub(crate) struct Socket {
    pub(crate) sid: String,
    protocol: Protocol,
    pub(crate) stream: WebSocketStream<TcpStream>,
}

impl Socket {
    /// Opens a session on its own TCP connection, as WebSocket from the start.
    pub(crate) async fn over(stream: TcpStream, addr: SocketAddr, protocol: Protocol) -> Self {
        Self::asking(stream, addr, protocol, "", &[]).await
    }

    /// The same with more in the query (`&name=value`) and in the headers.
    pub(crate) async fn asking(
        stream: TcpStream,
        addr: SocketAddr,
        protocol: Protocol,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Self {
        let opened = Self::try_asking(stream, addr, protocol, query, headers).await;
        opened.unwrap_or_else(|status| panic!("not opened: {status}"))
    }

    /// The same; an error is the status with which it was refused, or 0 where the connection broke.
    pub(crate) async fn try_asking(
        stream: TcpStream,
        addr: SocketAddr,
        protocol: Protocol,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let path = format!("/socket.io/?EIO={}&transport=websocket{query}", protocol.version());
        let stream = open(stream, addr, &path, headers).await.map_err(|error| status(&error))?;
        let mut client = Self { sid: String::new(), protocol, stream };
        let Ok(Packet::Open(handshake)) = soon("open", client.next()).await else { return Err(0) };
        handshake["sid"].as_str().unwrap().clone_into(&mut client.sid);
        Ok(client)
    }

    pub(crate) async fn open(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).await.unwrap(), addr, Protocol::Eio4).await
    }

    /// Opens a session and joins the main namespace with this `auth`.
    pub(crate) async fn with_auth(addr: SocketAddr, auth: &Value) -> Self {
        let mut client = Self::open(addr).await;
        client.say(format!("40{auth}")).await;
        client
    }

    pub(crate) async fn say(&mut self, packet: impl Into<String>) {
        assert!(self.try_say(packet).await, "the server is gone");
    }

    /// Whether the server was still there.
    pub(crate) async fn try_say(&mut self, packet: impl Into<String>) -> bool {
        self.stream.send(Message::text(packet.into())).await.is_ok()
    }

    pub(crate) async fn emit(&mut self, event: &str, argument: &Value) {
        self.say(format!("42{}", json!([event, argument]))).await;
    }

    /// Joins the main namespace, which clients of Socket.IO 2 are in already, and subscribes as soon as it has joined.
    pub(crate) async fn subscribe(&mut self, argument: &Value) {
        if self.protocol == Protocol::Eio4 {
            self.say("40").await;
        }
        self.connected().await;
        self.emit("subscribe", argument).await;
    }

    pub(crate) async fn connected(&mut self) {
        assert_eq!(soon("connected", self.next()).await, Ok(Packet::Connected));
    }

    /// The next packet; pings are answered on the way.
    pub(crate) async fn next(&mut self) -> Result<Packet, Ended> {
        loop {
            match self.stream.next().await {
                // Whether it is gone shows with the next read.
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => drop(self.try_say("3").await),
                Some(Ok(Message::Text(text))) => return Ok(Packet::parse(&text)),
                Some(Ok(Message::Close(frame))) => return Err(Ended(Some(frame.map_or(1005, |f| f.code.into())))),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Ended(None)),
            }
        }
    }

    /// The next event of a name, with its arguments.
    pub(crate) async fn event(&mut self, name: &str) -> Vec<Value> {
        self.until(name).await.pop().unwrap().1
    }

    /// All events up to the next one of a name, with their arguments.
    pub(crate) async fn until(&mut self, name: &str) -> Vec<(String, Vec<Value>)> {
        soon(name, async {
            let mut heard = Vec::new();
            loop {
                match self.next().await {
                    Ok(Packet::Event(event, args)) => heard.push((event, args)),
                    Ok(Packet::Disconnected | Packet::Refused(_)) | Err(_) => panic!("ended before {name}"),
                    Ok(_) => continue,
                }
                if heard.last().is_some_and(|(event, _)| event == name) {
                    return heard;
                }
            }
        })
        .await
    }
}

/// A client over long polling.
pub(crate) struct Polling {
    pub(crate) sid: String,
    protocol: Protocol,
    http: reqwest::Client,
    url: String,
    arrived: VecDeque<Packet>,
    /// The most packets that an answer has had.
    pub(crate) most: usize,
}

impl Polling {
    pub(crate) async fn open(addr: SocketAddr, protocol: Protocol) -> Self {
        Self::asking(addr, protocol, "").await
    }

    /// The same with more in the query: `&name=value`.
    pub(crate) async fn asking(addr: SocketAddr, protocol: Protocol, query: &str) -> Self {
        let http = reqwest::Client::new();
        let url = format!("http://{addr}/socket.io/?EIO={}&transport=polling{query}", protocol.version());
        let mut client = Self { sid: String::new(), protocol, http, url, arrived: VecDeque::new(), most: 0 };
        let Ok(Packet::Open(handshake)) = soon("open", client.next()).await else { panic!("not opened") };
        handshake["sid"].as_str().unwrap().clone_into(&mut client.sid);
        client.url = format!("{}&sid={}", client.url, client.sid);
        client
    }

    fn upgrade_path(&self) -> String {
        format!("/socket.io/?EIO={}&transport=websocket&sid={}", self.protocol.version(), self.sid)
    }

    pub(crate) async fn say(&mut self, packet: &str) {
        let body = match self.protocol {
            Protocol::Eio4 => packet.to_owned(),
            Protocol::Eio3 => format!("{}:{packet}", packet.encode_utf16().count()),
        };
        let request = self.http.post(&self.url).header("content-type", "text/plain;charset=UTF-8").body(body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{packet}");
    }

    pub(crate) async fn emit(&mut self, event: &str, argument: &Value) {
        self.say(&format!("42{}", json!([event, argument]))).await;
    }

    /// Joins the main namespace, which clients of Socket.IO 2 are in already, and subscribes as soon as it has joined.
    pub(crate) async fn subscribe(&mut self, argument: &Value) {
        if self.protocol == Protocol::Eio4 {
            self.say("40").await;
        }
        assert_eq!(soon("connected", self.next()).await, Ok(Packet::Connected));
        self.emit("subscribe", argument).await;
    }

    /// Polls once; an error is the status with which the session was refused, or 0 where the connection broke.
    pub(crate) async fn poll(&mut self) -> Result<(), u16> {
        let response = self.http.get(&self.url).send().await.map_err(|_| 0u16)?;
        let status = response.status().as_u16();
        let text = response.text().await.map_err(|_| 0u16)?;
        if status != 200 {
            return Err(status);
        }
        let packets: Vec<_> = match self.protocol {
            Protocol::Eio4 => text.split('\x1e').map(ToOwned::to_owned).collect(),
            Protocol::Eio3 => split_by_length(&text),
        };
        self.most = self.most.max(packets.len());
        for packet in packets {
            if packet == "2" {
                self.say("3").await;
            } else {
                self.arrived.push_back(Packet::parse(&packet));
            }
        }
        Ok(())
    }

    /// What has come and was not looked at.
    pub(crate) fn arrived(&mut self) -> Vec<Packet> {
        self.arrived.drain(..).collect()
    }

    pub(crate) async fn next(&mut self) -> Result<Packet, u16> {
        loop {
            if let Some(packet) = self.arrived.pop_front() {
                return Ok(packet);
            }
            self.poll().await?;
        }
    }

    pub(crate) async fn event(&mut self, name: &str) -> Vec<Value> {
        soon(name, async {
            loop {
                match self.next().await {
                    Ok(Packet::Event(event, args)) if event == name => return args,
                    Ok(Packet::Disconnected | Packet::Refused(_)) | Err(_) => panic!("ended before {name}"),
                    Ok(_) => {}
                }
            }
        })
        .await
    }
}

/// Takes a polling session to a WebSocket while it goes on polling, as socket.io-client does: it polls until it is told that the
/// WebSocket works. Returns what the polls were answered with, too.
pub(crate) async fn upgrade_while_polling(mut polling: Polling, addr: SocketAddr) -> (Vec<Packet>, Socket) {
    let (path, protocol, sid) = (polling.upgrade_path(), polling.protocol, polling.sid.clone());
    let probed = CancellationToken::new();
    let polls = async {
        while !probed.is_cancelled() {
            polling.poll().await.unwrap();
        }
        polling.arrived()
    };
    let probing = async {
        let stream = open(TcpStream::connect(addr).await.unwrap(), addr, &path, &[]).await.unwrap();
        let mut client = Socket { sid, protocol, stream };
        client.say("2probe").await;
        assert_eq!(soon("3probe", client.next()).await, Ok(Packet::Other("3probe".into())));
        probed.cancel();
        client
    };
    let (polled, mut client) = soon("an upgrade", async { tokio::join!(polls, probing) }).await;
    client.say("5").await;
    (polled, client)
}

/// `<length>:<packet>` one after the other; the length counts as JavaScript does.
fn split_by_length(text: &str) -> Vec<String> {
    let mut packets = Vec::new();
    let mut rest = text;
    while let Some((length, after)) = rest.split_once(':') {
        let length: usize = length.parse().unwrap();
        let mut units = 0;
        let end = after.char_indices().find_map(|(at, char)| {
            let full = units >= length;
            units += char.len_utf16();
            full.then_some(at)
        });
        let (packet, next) = after.split_at(end.unwrap_or(after.len()));
        packets.push(packet.to_owned());
        rest = next;
    }
    packets
}

/// Takes a polling session to a WebSocket on its own TCP connection, as real clients do it.
pub(crate) async fn upgrade(polling: Polling, stream: TcpStream, addr: SocketAddr) -> Socket {
    let stream = open(stream, addr, &polling.upgrade_path(), &[]).await.unwrap();
    let mut client = Socket { sid: polling.sid.clone(), protocol: polling.protocol, stream };
    client.say("2probe").await;
    let probed = soon("3probe", client.next()).await;
    assert_eq!(probed, Ok(Packet::Other("3probe".into())));
    client.say("5").await;
    client
}
