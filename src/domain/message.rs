//! Relayed messages: orders, trades, balances, notifications and others that the server only passes on.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Class;

/// A type of relayed messages: its name on the wire, and how its messages are delivered. The dashboards declare theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageType {
    rank: u8,
    name: &'static str,
    class: Class,
}

impl MessageType {
    /// Declares a type of ordered messages.
    pub const fn ordered(name: &'static str) -> Self {
        Self { rank: 0, name, class: Class::Ordered }
    }

    /// Declares a type of states. Of states that are due at once, those of a lower `rank` leave first.
    pub const fn state(name: &'static str, rank: u8) -> Self {
        Self { rank, name, class: Class::State }
    }

    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Returns the delivery class.
    pub const fn class(self) -> Class {
        self.class
    }
}

/// The receivers of a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// All readers of this message type.
    All,
    /// One user, on all their connections.
    User(Arc<str>),
    /// Administrators.
    Admin,
}

impl Audience {
    /// Maximum length of a user id in characters.
    pub const MAX_USER: usize = 128;
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::User(user) => write!(f, "user:{user}"),
            Self::Admin => f.write_str("admin"),
        }
    }
}

/// A note about a user. Absent values stay unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserNote {
    /// The user's id.
    pub user: Arc<str>,
    /// Tokens that were issued before are revoked. It only ever increases.
    pub not_before: Option<DateTime<Utc>>,
    /// The last message that reached the user on a stream without cursors. It only ever increases.
    pub seen: Option<u64>,
}

impl UserNote {
    /// What the names of the notes begin with that the notices keep: not users, but how far each channel is.
    pub const NOTICES: &str = "notify\u{1f}";
}

/// A relayed message, validated and in the shape that its dashboard reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayedMessage {
    /// Its number among all relayed messages; 0 until it is stored.
    pub seq: u64,
    /// The message type.
    pub kind: MessageType,
    /// The receivers.
    pub audience: Audience,
    /// The key of a state within its type, such as the account or the platform; empty when the type has only one.
    pub key: Arc<str>,
    /// The encoded JSON object or list that is sent as `data`.
    pub data: Arc<str>,
    /// When the server accepted it.
    pub at: DateTime<Utc>,
}

/// Which ordered messages a log has pruned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrunedMessages {
    /// The number of the last pruned message of each audience that is known to have lost some.
    pub of: Vec<(Audience, u64)>,
    /// Every user may have lost messages up to this number; 0 when none was pruned.
    pub users: u64,
}
