//! An echo server over the transports of this crate, for the official test suites: `cargo run --release --example echo`. `PORT`
//! replaces port 3000; 0 is any free ones.
//!
//! **Autobahn** on `/ws/echo`. Version 25.10.1 runs on Python 2.7:
//!
//! ```text
//! python2.7 -m pip install autobahntestsuite==25.10.1
//! echo '{"outdir": "reports", "servers": [{"url": "ws://127.0.0.1:3000/ws/echo"}],
//!   "cases": ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]}' > fuzzingclient.json
//! wstest -m fuzzingclient -s fuzzingclient.json
//! ```
//!
//! None of the 301 cases fails, and every close is clean. 6.4.3 and 6.4.4 are "non-strict", because a text is validated when its
//! frame is complete; 7.1.6, 7.13.1 and 7.13.2 are informational. Compression (12 and 13) is not negotiated. Against the server
//! itself (`/api/websocket` with `ORION_LIMITS__EVENTS_PER_SECOND=0`), only those cases of 2 to 7 fail that expect an echo.
//!
//! **Socket.IO 5, Engine.IO 4 and 3**: the documented cases of the protocols are in `client-test/tests/protocol/`, which starts this
//! program: `make test-protocol`. Socket.IO is on the port, Engine.IO alone on the next one, both at `/socket.io/` and on lanes,
//! as in the server. The official suites (socketio/socket.io, `docs/*-protocol/*-test-suite`) run against it with their URLs
//! changed.

#![allow(clippy::print_stdout, reason = "a program for people")]

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use engineioxide::config::EngineIoConfig;
use engineioxide::handler::EngineIoHandler;
use engineioxide::layer::EngineIoLayer;
use engineioxide::{DisconnectReason, Socket, Str};
use http::{Request, Response};
use orion_server::config::Limits;
use orion_server::listener::{self, ListenerConfig, RequestBody, Stop};
use orion_server::tasks::Tasks;
use orion_server::telemetry::Metrics;
use orion_server::transport::lane::{Fanout, LaneStream};
use orion_server::transport::socketio::{Disconnector, PollingLimits, PollingSessions, SessionLayer, WebSockets};
use orion_server::transport::{socketio, ws};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeTuple, Serializer};
use socketioxide::extract::{AckSender, Data, SocketRef, TryData};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt};

const PING_INTERVAL: Duration = Duration::from_millis(300);
const PING_TIMEOUT: Duration = Duration::from_millis(200);
const MAX_PAYLOAD: usize = 1_000_000;
/// Autobahn's largest messages have 16 MiB.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let limits = Limits { message_bytes: MAX_PAYLOAD, attachments: 10, ..Limits::default() };
    let (socketio, io) = socketio::engine(&limits)
        .ping_interval(PING_INTERVAL)
        .ping_timeout(PING_TIMEOUT)
        .connect_timeout(Duration::from_secs(1))
        .build_layer();
    for namespace in ["/", "/custom"] {
        io.ns(namespace, connected);
    }
    let config = EngineIoConfig::builder()
        .req_path("/socket.io")
        .ping_interval(PING_INTERVAL)
        .ping_timeout(PING_TIMEOUT)
        .max_payload(MAX_PAYLOAD as u64)
        .build();
    let (tasks, native) = (Tasks::new(), Limits { message_bytes: MAX_MESSAGE, ..Limits::default() });
    let echoing = tasks.clone();
    let router = Router::new()
        .route("/ws/echo", get(async move |handshake: ws::Handshake| ws::echo(handshake, &echoing, &native)));
    let engineio = EngineIoLayer::from_config(Arc::new(EngineEcho), config);
    tokio::try_join!(
        serve(port, &tasks, socketio.layer(router.clone())),
        serve(if port == 0 { 0 } else { port.saturating_add(1) }, &tasks, engineio.layer(router)),
    )?;
    Ok(())
}

/// Serves an engine as the server does.
async fn serve<S, R>(port: u16, tasks: &Tasks, engine: S) -> Result<(), Box<dyn std::error::Error>>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible> + Clone + Send + Sync + 'static,
    S: hyper::service::Service<(LaneStream, Request<()>)>,
    <S as Service<Request<Body>>>::Future: Send,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let metrics = Arc::new(Metrics::new()?);
    let limits = PollingLimits {
        sessions: 1_000,
        per_address: 1_000,
        waiting_bytes: 64 << 20,
        poll_timeout: PING_INTERVAL + PING_TIMEOUT,
    };
    let disconnector = Disconnector::new(tasks.clone(), metrics.clone(), PollingSessions::new(limits));
    let polls =
        ServiceExt::<Request<Body>>::map_response(engine.clone(), |response: Response<R>| response.map(Body::new));
    disconnector.set_engine(BoxCloneSyncService::new(polls));
    let websockets = WebSockets::new(
        tasks.clone(),
        metrics.clone(),
        Fanout::new(1, Vec::new(), metrics.clone()),
        disconnector.clone(),
    );
    let streams = engine.clone();
    // The engine has spawned its task when the call returns.
    websockets.set_engine(move |stream, head| drop(hyper::service::Service::call(&streams, (stream, head))));
    let service = ServiceBuilder::new()
        .map_request(|request: Request<RequestBody>| request.map(Body::new))
        .layer(SessionLayer::new(disconnector, websockets, MAX_PAYLOAD))
        .service(engine);
    let tcp = listener::listen(([0, 0, 0, 0], port).into())?;
    println!("listening on {}", tcp.local_addr()?);
    listener::serve(tcp, service, ListenerConfig::default(), tasks.clone(), metrics.as_ref().clone(), Stop::default())
        .await;
    Ok(())
}

async fn connected(socket: SocketRef, TryData(auth): TryData<Any>) {
    let auth = match auth {
        Ok(auth @ Any::Map(_)) => auth,
        _ => Any::Map(Vec::new()),
    };
    socket.emit("auth", &auth).ok();
    socket.on("message", async |socket: SocketRef, Data::<Args>(args)| {
        socket.emit("message-back", &args).ok();
    });
    socket.on("message-with-ack", async |Data::<Args>(args), ack: AckSender| {
        ack.send(&args).ok();
    });
}

#[derive(Debug, Clone)]
struct EngineEcho;

impl EngineIoHandler for EngineEcho {
    type Data = ();

    fn on_connect(self: Arc<Self>, _socket: Arc<Socket<()>>) {}

    fn on_disconnect(&self, _socket: Arc<Socket<()>>, _reason: DisconnectReason) {}

    fn on_message(self: &Arc<Self>, message: Str, socket: Arc<Socket<()>>) {
        socket.emit(message).ok();
    }

    fn on_binary(self: &Arc<Self>, data: Bytes, socket: Arc<Socket<()>>) {
        socket.emit_binary(data).ok();
    }
}

/// All arguments of an event, as a tuple of any length.
struct Args(Vec<Any>);

impl<'de> Deserialize<'de> for Args {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Args;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("arguments")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Args, A::Error> {
                let mut args = Vec::new();
                while let Some(arg) = seq.next_element()? {
                    args.push(arg);
                }
                Ok(Args(args))
            }
        }
        deserializer.deserialize_tuple(0, All)
    }
}

impl Serialize for Args {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for arg in &self.0 {
            tuple.serialize_element(arg)?;
        }
        tuple.end()
    }
}

/// JSON that may contain binary data.
enum Any {
    Json(serde_json::Value),
    Bytes(Vec<u8>),
    List(Vec<Any>),
    Map(Vec<(String, Any)>),
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whatever;
        impl<'de> Visitor<'de> for Whatever {
            type Value = Any;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_unit<E>(self) -> Result<Any, E> {
                Ok(Any::Json(serde_json::Value::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Any, E> {
                Ok(Any::Json(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Any, E> {
                Ok(Any::Json(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Any, E> {
                Ok(Any::Json(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Any, E> {
                Ok(Any::Json(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Any, E> {
                Ok(Any::Json(value.into()))
            }

            fn visit_bytes<E>(self, value: &[u8]) -> Result<Any, E> {
                Ok(Any::Bytes(value.to_vec()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Any, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = seq.next_element()? {
                    list.push(item);
                }
                Ok(Any::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Any, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Any::Map(entries))
            }
        }
        deserializer.deserialize_any(Whatever)
    }
}

impl Serialize for Any {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Json(value) => value.serialize(serializer),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::List(items) => items.serialize(serializer),
            Self::Map(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
        }
    }
}
