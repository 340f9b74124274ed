//! Describes what clients send, in its documented form. [`command`](super::command) accepts more forms, so that these
//! types are not what it parses into.

#![expect(dead_code, reason = "only described")]

use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::{Direction, Killzone, SetupKind, SignalStatus, Symbol};

/// A channel. `user`: the messages for one user, only over Socket.IO.
#[derive(Debug, ToSchema)]
#[schema(as = Channel, rename_all = "snake_case")]
pub enum ChannelName {
    /// Signals.
    Signals,
    /// Prices.
    Prices,
    /// The killzone clock.
    Clock,
    /// How many clients are connected to this node.
    Presence,
    /// Messages for one user.
    User,
}

/// What to subscribe to.
#[derive(Debug, ToSchema)]
pub struct SubscribeRequest {
    /// `signals` and `prices` if absent.
    channels: Option<Vec<ChannelName>>,
    /// All symbols if absent.
    #[schema(max_items = 256)]
    symbols: Option<Vec<Symbol>>,
    /// The cursor of the last frame that had one: the signals that were missed since then come first.
    since: Option<String>,
    /// How far back the snapshot of ended signals reaches, such as `10m`.
    replay: Option<String>,
    /// Maximum number of prices per second of each symbol.
    #[schema(minimum = 0.1, maximum = 20)]
    max_hz: Option<f64>,
    /// Of the channel `user`: the `cursor` or the `sequence` of its last message.
    #[schema(value_type = Option<MessageNumber>)]
    last_event_id: Option<Value>,
    /// Only signals of at least this confidence.
    #[schema(minimum = 0, maximum = 1)]
    min_confidence: Option<f64>,
    /// Only signals of these directions.
    #[schema(max_items = 32)]
    directions: Option<Vec<Direction>>,
    /// Only signals of these windows.
    #[schema(max_items = 32)]
    killzones: Option<Vec<Killzone>>,
    /// Only signals whose `reason` names one of these setups.
    #[schema(max_items = 32)]
    setups: Option<Vec<SetupKind>>,
    /// Only signals of these sources.
    #[schema(max_items = 32)]
    sources: Option<Vec<String>>,
    /// Only signals in these states.
    #[schema(max_items = 32)]
    statuses: Option<Vec<SignalStatus>>,
}

/// The cursor of a published message, or its sequence number.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum MessageNumber {
    /// Its cursor.
    Cursor(String),
    /// Its sequence number.
    Sequence(u64),
}

/// What to unsubscribe from.
#[derive(Debug, ToSchema)]
pub struct UnsubscribeRequest {
    /// `signals` and `prices` if absent.
    channels: Option<Vec<ChannelName>>,
    /// All symbols if absent.
    #[schema(max_items = 256)]
    symbols: Option<Vec<Symbol>>,
}

/// Asks whether the connection is alive.
#[derive(Debug, ToSchema)]
pub struct PingRequest {
    /// Returned unchanged.
    timestamp: Option<Value>,
}

/// What to subscribe to over Socket.IO: an object, a list of channels, one channel, or nothing for signals and prices.
#[derive(Debug, ToSchema)]
#[schema(as = Subscription)]
#[serde(untagged)]
pub enum SubscriptionForms {
    /// Channels and symbols.
    Request(Box<SubscribeRequest>),
    /// Channels.
    Channels(Vec<ChannelName>),
    /// One channel.
    Channel(ChannelName),
}

/// What to unsubscribe from over Socket.IO, in the same forms.
#[derive(Debug, ToSchema)]
#[schema(as = Unsubscription)]
#[serde(untagged)]
pub enum UnsubscriptionForms {
    /// Channels and symbols.
    Request(UnsubscribeRequest),
    /// Channels.
    Channels(Vec<ChannelName>),
    /// One channel.
    Channel(ChannelName),
}
