//! A dashboard that subscribes to everything, and asks in any way for what it missed.

use std::collections::VecDeque;
use std::net::SocketAddr;

use reqwest::Response;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{Native, PATIENCE, Packet, Protocol, Socket, soon};

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
    /// Server-sent events, `Last-Event-ID`.
    Stream,
    /// Long polling, `since` and `wait`.
    Poll,
}

impl Way {
    pub(crate) const ALL: [Self; 7] =
        [Self::Query, Self::Frame, Self::PusherFrame, Self::Auth, Self::Subscribe, Self::Stream, Self::Poll];
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

/// A stream of server-sent events.
pub(crate) struct EventStream {
    response: Response,
    text: String,
    /// What a browser would send as `Last-Event-ID`.
    pub(crate) last_id: String,
    /// The comments so far.
    pub(crate) comments: usize,
}

/// An event of such a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SentEvent {
    pub(crate) name: String,
    /// The id of this event alone; empty without one.
    pub(crate) id: String,
    pub(crate) data: Value,
}

impl EventStream {
    /// Opens a stream; `None` when the process is away, or about to be.
    pub(crate) async fn open(addr: SocketAddr, path: &str, last_event_id: &str) -> Option<Self> {
        let request = reqwest::Client::new().get(format!("http://{addr}{path}"));
        let response = request.header("last-event-id", last_event_id).send().await.ok()?;
        if response.status() == 503 {
            let refusal: Value = response.json().await.ok()?;
            assert_eq!(refusal["code"], "draining", "{refusal}");
            return None;
        }
        assert_eq!(
            (response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()),
            (200, "text/event-stream")
        );
        Some(Self { response, text: String::new(), last_id: last_event_id.to_owned(), comments: 0 })
    }

    /// The next event, as the standard parses it; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<SentEvent> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (mut event, mut data) =
                    (SentEvent { name: "message".into(), id: String::new(), data: Value::Null }, None);
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("", _)) => self.comments += 1,
                        Some(("event", name)) => name.clone_into(&mut event.name),
                        Some(("id", id)) => id.clone_into(&mut event.id),
                        Some(("data", line)) => data = Some(serde_json::from_str(line).unwrap()),
                        Some(("retry", millis)) => drop(millis.parse::<u32>().unwrap()),
                        _ => panic!("{line}"),
                    }
                }
                let read = self.text.len() - rest.len();
                self.text.drain(..read);
                if !event.id.is_empty() {
                    self.last_id.clone_from(&event.id);
                }
                if let Some(data) = data {
                    return Some(SentEvent { data, ..event });
                }
            }
            let chunk = self.response.chunk().await.ok()??;
            self.text += std::str::from_utf8(&chunk).unwrap();
        }
    }

    /// The next event of this name. Prices in between are left out.
    pub(crate) async fn event(&mut self, name: &str) -> SentEvent {
        soon(name, async {
            loop {
                let event = self.next().await.expect("the stream goes on");
                if event.name == name {
                    return event;
                }
                assert_eq!(event.name, "price_update", "{event:?} before {name}");
            }
        })
        .await
    }
}

/// A client that polls for what it has missed.
pub(crate) struct LongPoll {
    http: reqwest::Client,
    url: String,
    since: Option<String>,
    told: VecDeque<Told>,
}

impl LongPoll {
    async fn told(&mut self) -> Option<Told> {
        if let Some(told) = self.told.pop_front() {
            return Some(told);
        }
        let since = self.since.as_ref().map(|since| format!("&since={since}")).unwrap_or_default();
        let mut answer: Value = self.http.get(format!("{}{since}", self.url)).send().await.ok()?.json().await.ok()?;
        if answer["code"] == "draining" {
            return None;
        }
        let (signals, cursors) = (answer["signals"].as_array().unwrap(), answer["cursors"].as_array().unwrap());
        assert_eq!(signals.len(), cursors.len());
        for (signal, cursor) in signals.iter().zip(cursors) {
            self.told.push_back(Told::Signal { signal: signal.clone(), cursor: cursor.clone() });
        }
        let (cursor, recovered) = (answer["cursor"].take(), answer["recovered"].as_bool());
        self.since = cursor.as_str().map(str::to_owned);
        self.told.push_back(Told::Subscribed { cursor, recovered });
        self.told.pop_front()
    }
}

/// A dashboard that subscribes to everything. Dropping it cuts the connection without a goodbye.
pub(crate) enum Client {
    Native(Native),
    SocketIo(Socket),
    Stream(EventStream),
    Poll(LongPoll),
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
            Way::Stream => {
                // An empty header says nothing, as with a browser that has had no id.
                let (query, header) = match since {
                    Some("") => ("?since=", ""),
                    since => ("", since.unwrap_or_default()),
                };
                let stream = EventStream::open(addr, &format!("/api/stream{query}"), header).await;
                stream.map(Self::Stream).ok_or(0)
            }
            Way::Poll => {
                let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
                let url = format!("http://{addr}/api/signals?wait=2s");
                Ok(Self::Poll(LongPoll { http, url, since: since.map(str::to_owned), told: VecDeque::new() }))
            }
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
            Self::Stream(_) | Self::Poll(_) => panic!("it only reads"),
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
            Self::Stream(stream) => {
                let SentEvent { name, id, data } = stream.next().await?;
                // It says that the end follows.
                (name != "close").then(|| Told::of(&name, data, &json!({ "cursor": id })))
            }
            Self::Poll(poll) => poll.told().await,
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
