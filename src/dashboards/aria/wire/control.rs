//! Messages about the connection itself: flat frames, each with the server's time.

use std::collections::BTreeSet;

use axum::extract::ws::Utf8Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{ChannelSet, encode};
use crate::domain::iso;

/// A message about the connection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::ConnectionMessage)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(in crate::dashboards::aria) enum ConnectionMessage<'a> {
    /// The first frame.
    Connection { message: &'static str, client_id: &'a str, subscriptions: &'a BTreeSet<String>, timestamp: String },
    /// The server's heartbeat, every 30 s; needs no answer.
    Ping { timestamp: String },
    /// The answer to `ping`.
    Pong { timestamp: String },
    /// The answer to `subscribe`.
    SubscriptionConfirmed { channels: &'a BTreeSet<String>, timestamp: String },
    /// The answer to `unsubscribe` and `set_subscriptions`.
    SubscriptionUpdated { channels: &'a BTreeSet<String>, timestamp: String },
    /// The answer to `whoami`.
    Identity { client_id: &'a str, subscriptions: &'a BTreeSet<String>, server_time: String, timestamp: String },
    /// The answer to `echo`.
    Echo { payload: &'a Value, server_time: String, timestamp: String },
    /// A frame was invalid; the connection stays open.
    Error { error: &'a str, code: &'static str, timestamp: String },
}

/// The first frame.
pub fn welcome(client_id: &str, channels: &ChannelSet, now: DateTime<Utc>) -> Utf8Bytes {
    encode(&ConnectionMessage::Connection {
        message: "Connected to orion-server",
        client_id,
        subscriptions: channels.names(),
        timestamp: iso(now),
    })
}

/// The server's heartbeat. No client answers it.
pub fn ping(now: DateTime<Utc>) -> Utf8Bytes {
    encode(&ConnectionMessage::Ping { timestamp: iso(now) })
}

/// The answer to the page's heartbeat.
pub fn pong(now: DateTime<Utc>) -> Utf8Bytes {
    encode(&ConnectionMessage::Pong { timestamp: iso(now) })
}

/// The answer to `subscribe`.
pub fn subscription_confirmed(channels: &ChannelSet, now: DateTime<Utc>) -> Utf8Bytes {
    encode(&ConnectionMessage::SubscriptionConfirmed { channels: channels.names(), timestamp: iso(now) })
}

/// The answer to `unsubscribe` and `set_subscriptions`.
pub fn subscription_updated(channels: &ChannelSet, now: DateTime<Utc>) -> Utf8Bytes {
    encode(&ConnectionMessage::SubscriptionUpdated { channels: channels.names(), timestamp: iso(now) })
}

/// The answer to `whoami`.
pub fn identity(client_id: &str, channels: &ChannelSet, now: DateTime<Utc>) -> Utf8Bytes {
    let (server_time, timestamp) = (iso(now), iso(now));
    encode(&ConnectionMessage::Identity { client_id, subscriptions: channels.names(), server_time, timestamp })
}

/// The answer to `echo`.
pub fn echo(payload: &Value, now: DateTime<Utc>) -> Utf8Bytes {
    encode(&ConnectionMessage::Echo { payload, server_time: iso(now), timestamp: iso(now) })
}

/// The answer to a frame that cannot be understood. The page lists it and continues.
pub fn error(code: &'static str, error: &str, now: DateTime<Utc>) -> Utf8Bytes {
    encode(&ConnectionMessage::Error { error, code, timestamp: iso(now) })
}
