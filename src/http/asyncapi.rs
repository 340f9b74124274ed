//! The description of the streams: AsyncAPI 3.0, written from what the dashboards and transports say of themselves.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};

use super::describe;
use crate::config::{BasePath, HeartbeatSettings, Limits, Live};
use crate::domain::PROTOCOL;
use crate::transport::close::Close;
use crate::transport::describe::{MessageDescription, Schemas, StreamAccess, StreamDescription, StreamKind};

/// What the description of the streams is written from.
#[derive(Debug, Default)]
pub struct StreamDescriptions {
    /// Every stream.
    pub streams: Vec<StreamDescription>,
    /// What a client may send.
    pub limits: Live<Limits>,
    /// When the server pings, and gives a client up.
    pub heartbeat: HeartbeatSettings,
    /// The path below which the streams, and the routes, are reached.
    pub base_path: BasePath,
}

/// An AsyncAPI document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    asyncapi: &'static str,
    /// Relative to the address of the document.
    id: &'static str,
    info: Value,
    default_content_type: &'static str,
    servers: Value,
    channels: BTreeMap<&'a str, Value>,
    operations: BTreeMap<String, Value>,
    components: AsyncComponents<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AsyncComponents<'a> {
    messages: BTreeMap<&'a str, MessageObject<'a>>,
    schemas: &'a Schemas,
    security_schemes: Value,
}

#[derive(Serialize)]
struct MessageObject<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    summary: &'a str,
    payload: &'a RefOr<Schema>,
    /// Over Socket.IO the second argument of the event: there it stands in place of headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<&'a RefOr<Schema>>,
}

/// Encodes the document.
pub(super) fn encoded(described: &StreamDescriptions) -> Vec<u8> {
    let streams = &described.streams;
    let mut schemas = Schemas::new();
    for stream in streams {
        schemas.extend(stream.messages.schemas().clone());
    }
    let messages = streams.iter().flat_map(|stream| stream.messages.iter());
    let messages = messages.map(|message| (message.id.as_str(), MessageObject::from(message))).collect();
    let document = Document {
        asyncapi: "3.0.0",
        id: "urn:orion-server",
        info: info(described),
        default_content_type: "application/json",
        servers: servers(&described.base_path),
        channels: streams.iter().map(|stream| (stream.name, channel(stream))).collect(),
        operations: streams.iter().flat_map(operations).collect(),
        components: AsyncComponents { messages, schemas: &schemas, security_schemes: schemes() },
    };
    // The document has string keys only, so encoding cannot fail.
    serde_json::to_vec(&document).unwrap_or_default()
}

impl<'a> From<&'a MessageDescription> for MessageObject<'a> {
    fn from(message: &'a MessageDescription) -> Self {
        let MessageDescription { name, summary, payload, beside, .. } = message;
        Self { name, summary, payload, headers: beside.as_ref() }
    }
}

fn info(described: &StreamDescriptions) -> Value {
    let StreamDescriptions { streams, heartbeat, .. } = described;
    let limits = &*described.limits.get();
    let mut groups: Vec<&str> = Vec::new();
    for stream in streams {
        if !groups.contains(&stream.group) {
            groups.push(stream.group);
        }
    }
    json!({
        "title": "orion-server: streams",
        "version": env!("CARGO_PKG_VERSION"),
        "description": introduction(limits, heartbeat),
        "license": { "name": "MIT" },
        "tags": groups.into_iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
        "x-protocol": PROTOCOL,
        "x-limits": {
            "message_bytes": limits.message_bytes,
            "events_per_second": limits.events_per_second,
            "events_burst": limits.events_burst,
            "pushes_per_second": limits.pushes_per_second,
            "pushes_burst": limits.pushes_burst,
            "wrong_tokens_per_minute": limits.wrong_tokens_per_minute,
        },
    })
}

fn introduction(limits: &Limits, heartbeat: &HeartbeatSettings) -> String {
    format!(
        "Live prices and trading signals, and everything that is published for the dashboards, over WebSocket, Socket.IO \
         and server-sent events. Routes over plain HTTP are in `/openapi.json`.\n\n\
         **Frames** are JSON in text frames, one message in each. Times are ISO 8601 in UTC. Ignore fields and messages that you \
         do not know: new ones may come within a version (`Orion-Protocol`, now {PROTOCOL}).\n\n\
         **Limits.** A client may send messages of up to {} bytes, {} per second on average (0: any number) and {} at once. A client \
         that continues to send faster after the error `rate_limited` is closed with 1008.\n\n\
         **Alive.** The server sends a protocol ping every {} s, which browsers and libraries answer by themselves, and closes a \
         connection that has been silent for {} s.\n\n\
         **Closing.** `x-close-codes` of each channel lists them. 1000 is never used. After 1001, 1012 and 1013 connect again, \
         with the cursor if there is one.",
        limits.message_bytes,
        limits.events_per_second,
        limits.events_burst,
        heartbeat.protocol_ping.as_secs(),
        heartbeat.peer_timeout.as_secs(),
    )
}

fn servers(base: &BasePath) -> Value {
    let host = json!({ "host": { "default": "localhost:8080", "description": "Host and port of the server" } });
    let server = |protocol: &str, pathname: &str, description: &str| {
        json!({
            "host": "{host}", "protocol": protocol, "pathname": format!("{}{pathname}", base.as_str()), "description": description, "variables": host,
        })
    };
    json!({
        "native": server("ws", "/", "Native WebSocket. `wss` behind TLS"),
        "socketio": server("ws", "/socket.io/", "Socket.IO 2 to 4 (Engine.IO 3 and 4), long polling and WebSocket. `wss` behind TLS"),
        "events": server("http", "/", "Server-sent events. `https` behind TLS"),
    })
}

fn server(kind: StreamKind) -> &'static str {
    match kind {
        StreamKind::WebSocket => "native",
        StreamKind::Namespace => "socketio",
        StreamKind::EventStream => "events",
    }
}

fn reference(path: &str) -> Value {
    json!({ "$ref": format!("#/{path}") })
}

/// Returns a reference to a message of a channel.
fn message(stream: &StreamDescription, key: &str) -> Value {
    reference(&format!("channels/{}/messages/{key}", stream.name))
}

/// Returns the name of a message within its channel: the client and the server may use the same type.
fn key(message: &MessageDescription) -> String {
    if message.is_sent { message.name.clone() } else { format!("client.{}", message.name) }
}

fn channel(stream: &StreamDescription) -> Value {
    let StreamDescription { address, aliases, summary, description, group, kind, resume, .. } = stream;
    let messages: Map<_, _> = stream
        .messages
        .iter()
        .map(|message| (key(message), reference(&format!("components/messages/{}", message.id))))
        .collect();
    let mut channel = json!({
        "address": address,
        "title": summary,
        "description": description,
        "servers": [reference(&format!("servers/{}", server(*kind)))],
        "messages": messages,
        "tags": [{ "name": group }],
    });
    let names = address.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameters: Map<_, _> = names.map(|name| (name.to_owned(), json!({}))).collect();
    let properties: Map<_, _> = stream
        .parameters
        .iter()
        .map(|(name, text)| ((*name).to_owned(), json!({ "type": "string", "description": text })))
        .collect();
    let query = json!({ "type": "object", "properties": properties });
    let mut put = |name: &str, value: Value| channel[name] = value;
    if !parameters.is_empty() {
        put("parameters", parameters.into());
    }
    if !aliases.is_empty() {
        put("x-aliases", json!(aliases));
    }
    if let Some(resume) = resume {
        put("x-resume", json!(resume));
    }
    match kind {
        StreamKind::WebSocket => {
            put("bindings", json!({ "ws": { "method": "GET", "query": query, "bindingVersion": "0.1.0" } }));
            put("x-close-codes", Close::OF_EVERY_STREAM.iter().chain(stream.closes).copied().map(close).collect());
        }
        StreamKind::Namespace => put("x-auth", query),
        StreamKind::EventStream => put("x-query", query),
    }
    channel
}

fn close(close: Close) -> Value {
    json!({ "code": close.code(), "reason": close.reason(), "label": close.label(), "description": close.meaning() })
}

/// Returns what the server sends as one operation, and an operation with its answers for each message of a client.
fn operations(stream: &StreamDescription) -> Vec<(String, Value)> {
    let (name, channel) = (stream.name, reference(&format!("channels/{}", stream.name)));
    let security: Vec<_> =
        schemes_of(stream.access).iter().map(|name| reference(&format!("components/securitySchemes/{name}"))).collect();
    let sent = stream.messages.iter().filter(|message| message.is_sent);
    let sent: Vec<_> = sent.map(|sent| message(stream, &key(sent))).collect();
    let send = json!({
        "action": "send", "channel": channel, "messages": sent, "summary": stream.summary, "security": security,
    });
    let accepted = stream.messages.iter().filter(|message| !message.is_sent).map(|accepted| {
        let mut operation = json!({
            "action": "receive", "channel": channel, "messages": [message(stream, &key(accepted))],
            "summary": accepted.summary,
        });
        if !accepted.answers.is_empty() {
            let answers: Vec<_> = accepted.answers.iter().map(|answer| message(stream, answer)).collect();
            operation["reply"] = json!({ "channel": channel, "messages": answers });
        }
        (format!("{name}.receive.{}", accepted.name), operation)
    });
    std::iter::once((format!("{name}.send"), send)).chain(accepted).collect()
}

/// Token in the query, for clients that cannot set headers.
const IN_QUERY: &str = "query";
/// Token in the first frame.
const IN_FRAME: &str = "frame";

fn schemes_of(access: StreamAccess) -> &'static [&'static str] {
    match access {
        StreamAccess::Reader => &[describe::READER, IN_QUERY],
        StreamAccess::ReaderOrWriter => &[describe::READER, describe::INGEST, IN_QUERY, IN_FRAME],
        StreamAccess::User => &[describe::USER, IN_QUERY],
        StreamAccess::UserInFrame => &[describe::USER, IN_QUERY, IN_FRAME],
        StreamAccess::AdminInFrame => &[IN_FRAME],
    }
}

fn schemes() -> Value {
    let bearer = |description: &str| json!({ "type": "http", "scheme": "bearer", "description": description });
    json!({
        describe::READER: bearer(describe::READER_TEXT),
        describe::INGEST: bearer(describe::INGEST_TEXT),
        describe::USER: bearer(describe::USER_TEXT),
        IN_QUERY: {
            "type": "httpApiKey", "name": "token", "in": "query",
            "description": "The same token in the query, for browsers, which cannot set headers; over Socket.IO also in `auth`.",
        },
        IN_FRAME: { "type": "apiKey", "in": "user", "description": "The token in the first frame." },
    })
}
