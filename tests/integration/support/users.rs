//! Users of the bot platform: tokens, good and bad, and his stream in every way in which it reaches a user.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use hmac::{Hmac, KeyInit, Mac};
use orion_server::auth::mint;
use orion_server::config::{Auth, Secret};
use orion_server::pipeline::clock::wall;
use serde_json::{Value, json};
use sha2::{Sha256, Sha512};
use tokio::net::TcpStream;

use super::{Native, Packet, Protocol, Socket, answer, soon};

/// The secret of user tokens.
pub(crate) const SECRET: &str = "a secret for tests, of more than 32 bytes";

fn auth(secret: &str, audience: Option<&str>) -> Auth {
    Auth { jwt_secret: Some(Secret::new(secret)), jwt_audience: audience.map(Into::into), ..Auth::default() }
}

/// A token of `user` that ends after `ttl`.
pub(crate) fn token_for(user: &str, admin: bool, ttl: TimeDelta) -> String {
    mint(&auth(SECRET, None), user, admin, wall(), ttl).unwrap()
}

/// A token of `user` that is good for all of a test.
pub(crate) fn token(user: &str) -> String {
    token_for(user, false, TimeDelta::hours(1))
}

/// A token of an administrator.
pub(crate) fn admin_token(user: &str) -> String {
    token_for(user, true, TimeDelta::hours(1))
}

/// A token that a server for `audience` takes.
pub(crate) fn token_of_audience(user: &str, audience: Option<&str>) -> String {
    mint(&auth(SECRET, audience), user, false, wall(), TimeDelta::hours(1)).unwrap()
}

/// A token with this algorithm in its header and these claims, signed as that algorithm does; `none` is not signed.
pub(crate) fn signed(algorithm: &str, secret: &str, claims: &Value) -> String {
    let header = json!({ "alg": algorithm, "typ": "JWT" });
    let body = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = match algorithm {
        "HS512" => {
            let mac: Hmac<Sha512> = Hmac::new_from_slice(secret.as_bytes()).unwrap();
            mac.chain_update(&body).finalize().into_bytes().to_vec()
        }
        "HS256" => {
            let mac: Hmac<Sha256> = Hmac::new_from_slice(secret.as_bytes()).unwrap();
            mac.chain_update(&body).finalize().into_bytes().to_vec()
        }
        _ => Vec::new(),
    };
    format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// How the stream reaches its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// `/api/ws?token=`
    Query,
    /// `/api/ws&token=`, as one release of the page asks.
    Path,
    /// `/api/ws` with an `Authorization` header.
    Header,
    /// `/api/realtime/events?token=`
    Events,
    /// Socket.IO, channel `user`.
    SocketIo,
}

impl Way {
    /// Those of the bot platform's own pages.
    pub(crate) const PAGES: [Self; 4] = [Self::Query, Self::Path, Self::Header, Self::Events];
    pub(crate) const ALL: [Self; 5] = [Self::Query, Self::Path, Self::Header, Self::Events, Self::SocketIo];

    /// With what code the server ends a stream whose token has; server-sent events just end.
    pub(crate) fn policy_end(self) -> u16 {
        if self == Self::Events { ENDED } else { 1008 }
    }
}

/// The end of a stream that has no close codes.
pub(crate) const ENDED: u16 = 0;

/// A user's stream, open. Dropping it cuts the connection without a goodbye.
pub(crate) enum Stream {
    Native(Native),
    Events(Events),
    SocketIo(Socket),
}

impl Stream {
    /// Opens it, from where the user stopped; an error is the status with which that was refused, 0 when nobody answered.
    pub(crate) async fn open(addr: SocketAddr, way: Way, token: &str, since: Option<&str>) -> Result<Self, u16> {
        if way == Way::Events {
            return Ok(Self::Events(Events::open(addr, token, since).await?));
        }
        if way == Way::SocketIo {
            return Ok(Self::SocketIo(socketio(addr, token, since).await?));
        }
        let cursor = since.map(|since| format!("last_event_id={since}"));
        let cursor = |mark: char| cursor.as_ref().map(|cursor| format!("{mark}{cursor}")).unwrap_or_default();
        let bearer = format!("Bearer {token}");
        let (path, headers) = match way {
            Way::Query => (format!("/api/ws?token={token}{}", cursor('&')), vec![]),
            Way::Path => (format!("/api/ws&token={token}{}", cursor('?')), vec![]),
            Way::Header | Way::Events | Way::SocketIo => {
                (format!("/api/ws{}", cursor('?')), vec![("authorization", bearer.as_str())])
            }
        };
        Ok(Self::Native(Native::try_connect(addr, &path, &headers).await?))
    }

    /// Opens one that has to open.
    pub(crate) async fn expect(addr: SocketAddr, way: Way, token: &str, since: Option<&str>) -> Self {
        Self::open(addr, way, token, since).await.unwrap_or_else(|status| panic!("{way:?} was refused with {status}"))
    }

    /// Opens it at the present. What is published once this has returned reaches it; what came before is none of it.
    pub(crate) async fn live(addr: SocketAddr, way: Way, token: &str) -> Self {
        let mut stream = Self::expect(addr, way, token, None).await;
        stream.frame("connection").await;
        stream
    }

    /// The next frame, or how the stream ended: with a close code, 1006 where it broke, or [`ENDED`].
    pub(crate) async fn next(&mut self) -> Result<Value, u16> {
        match self {
            Self::Native(native) => native.next().await,
            Self::Events(events) => events.next().await,
            Self::SocketIo(socket) => loop {
                match socket.next().await {
                    Ok(Packet::Event(name, args)) => return Ok(frame_of_event(&name, &args)),
                    Ok(Packet::Disconnected) => panic!("told to stay away"),
                    Ok(_) => {}
                    Err(_) => return Err(1006),
                }
            },
        }
    }

    /// The next frame of a type.
    pub(crate) async fn frame(&mut self, kind: &str) -> Value {
        soon(kind, async {
            loop {
                let frame = self.next().await.unwrap_or_else(|end| panic!("ended with {end} before {kind}"));
                if frame["type"] == kind {
                    return frame;
                }
            }
        })
        .await
    }

    /// The last frame and how the stream ended after it.
    pub(crate) async fn end(&mut self) -> (Value, u16) {
        soon("the end of a stream", async {
            let mut last = Value::Null;
            loop {
                match self.next().await {
                    Ok(frame) => last = frame,
                    Err(end) => return (last, end),
                }
            }
        })
        .await
    }
}

/// A Socket.IO client that has asked for the user's own.
async fn socketio(addr: SocketAddr, token: &str, since: Option<&str>) -> Result<Socket, u16> {
    let stream = TcpStream::connect(addr).await.map_err(|_| 0_u16)?;
    let mut socket = Socket::try_asking(stream, addr, Protocol::Eio4, "", &[]).await?;
    socket.try_say(format!("40{}", json!({ "token": token }))).await;
    match soon("connected", socket.next()).await {
        Ok(Packet::Connected) => {}
        Ok(Packet::Refused(_)) => return Err(401),
        _ => return Err(0),
    }
    let mut request = json!({ "channels": ["user"] });
    if let Some(since) = since {
        request["last_event_id"] = json!(since);
    }
    socket.try_say(format!("42{}", json!(["subscribe", request]))).await;
    Ok(socket)
}

/// An event as the bot platform's frame: what stands beside the object there, and the answer to `subscribe`, which comes
/// behind what was missed, in the place of the frame that says who is connected.
fn frame_of_event(name: &str, args: &[Value]) -> Value {
    let place = args.get(1).unwrap_or(&Value::Null);
    match name {
        "subscribed" => {
            let cursor = args[0]["cursor"].as_str().unwrap();
            let epoch = cursor.split_once(':').unwrap().0;
            json!({ "type": "connection", "status": "Connected", "recovered": args[0]["recovered"],
                "cursor": format!("{epoch}:m{}", args[0]["last_event_id"]) })
        }
        _ => json!({ "type": name, "data": args[0], "sequence": place["sequence"], "cursor": place["cursor"] }),
    }
}

/// A stream of server-sent events, read as a browser does.
pub(crate) struct Events {
    response: reqwest::Response,
    buffer: String,
    cursor: Option<String>,
}

impl Events {
    async fn open(addr: SocketAddr, token: &str, since: Option<&str>) -> Result<Self, u16> {
        let request = reqwest::Client::new().get(format!("http://{addr}/api/realtime/events?token={token}"));
        let request = since.into_iter().fold(request, |request, since| request.header("last-event-id", since));
        let response = request.send().await.map_err(|_| 0_u16)?;
        if response.status() != 200 {
            return Err(response.status().as_u16());
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Ok(Self { response, buffer: String::new(), cursor: None })
    }

    async fn next(&mut self) -> Result<Value, u16> {
        loop {
            while let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.buffer = rest;
                if let Some(frame) = self.read(&event) {
                    return Ok(frame);
                }
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.buffer.push_str(std::str::from_utf8(&bytes).unwrap()),
                Ok(None) => return Err(ENDED),
                Err(_) => return Err(1006),
            }
        }
    }

    fn read(&mut self, event: &str) -> Option<Value> {
        let mut frame: Option<Value> = None;
        for line in event.lines() {
            match line.split_once(": ").unwrap() {
                ("data", data) => assert!(frame.replace(serde_json::from_str(data).unwrap()).is_none(), "{event}"),
                ("id", id) => self.cursor = Some(id.to_owned()),
                // The page listens to events without a name.
                ("" | "retry", _) => {}
                other => panic!("{other:?}"),
            }
        }
        if event.starts_with("id") {
            assert_eq!(self.cursor.as_deref(), frame.as_ref()?["cursor"].as_str(), "{event}");
        }
        frame
    }
}

/// A request with a bearer token.
pub(crate) async fn get_as(addr: SocketAddr, token: &str, path: &str) -> (u16, Value) {
    answer(reqwest::Client::new().get(format!("http://{addr}{path}")).bearer_auth(token)).await
}

/// A request with a bearer token and a body.
pub(crate) async fn post_as(addr: SocketAddr, token: &str, path: &str, body: &Value) -> (u16, Value) {
    answer(reqwest::Client::new().post(format!("http://{addr}{path}")).bearer_auth(token).json(body)).await
}
