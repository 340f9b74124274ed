//! Relayed messages: orders, trades, balances, notifications and others that the server only passes on.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Class;

/// The types of relayed messages. The dashboards declare which of them they read, and in what shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are those of the messages")]
pub enum MessageType {
    OrderUpdate,
    Idea,
    PreparedPayload,
    Bar,
    Tick,
    Signal,
    TradeSignals,
    Earnings,
    Notification,
    AdminUsers,
    AdminSubscribers,
    AdminRevenue,
    AdminUserAnalytics,
    Trades,
    Bots,
    Balances,
    Decisions,
    Metrics,
    Whale,
    Alerts,
    SystemHealth,
    Wallet,
    AiTasks,
}

impl MessageType {
    /// Name and class of every type, in the order of the variants.
    pub const ALL: [(Self, &'static str, Class); 23] = [
        (Self::OrderUpdate, "order_update", Class::Ordered),
        (Self::Idea, "idea", Class::Ordered),
        (Self::PreparedPayload, "prepared_payload", Class::Ordered),
        (Self::Bar, "bar", Class::State),
        (Self::Tick, "tick", Class::State),
        (Self::Signal, "signal", Class::Ordered),
        (Self::TradeSignals, "trade_signals", Class::State),
        (Self::Earnings, "earnings", Class::State),
        (Self::Notification, "notification", Class::Ordered),
        (Self::AdminUsers, "admin_users", Class::State),
        (Self::AdminSubscribers, "admin_subscribers", Class::State),
        (Self::AdminRevenue, "admin_revenue", Class::State),
        (Self::AdminUserAnalytics, "admin_user_analytics", Class::State),
        (Self::Trades, "trades", Class::Ordered),
        (Self::Bots, "bots", Class::State),
        (Self::Balances, "balances", Class::State),
        (Self::Decisions, "decisions", Class::Ordered),
        (Self::Metrics, "metrics", Class::State),
        (Self::Whale, "whale", Class::Ordered),
        (Self::Alerts, "alerts", Class::Ordered),
        (Self::SystemHealth, "system_health", Class::State),
        (Self::Wallet, "wallet", Class::Ordered),
        (Self::AiTasks, "ai_tasks", Class::Ordered),
    ];

    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Returns the delivery class.
    pub const fn class(self) -> Class {
        Self::ALL[self as usize].2
    }
}

/// An unknown message type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no message type that can be published")]
pub struct UnknownMessageType;

impl FromStr for MessageType {
    type Err = UnknownMessageType;

    fn from_str(name: &str) -> Result<Self, UnknownMessageType> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(kind, ..)| *kind).ok_or(UnknownMessageType)
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserNote {
    /// The user's id.
    pub user: Arc<str>,
    /// Tokens that were issued before are revoked. It only ever increases.
    pub not_before: Option<DateTime<Utc>>,
    /// The last message that reached the user on a stream without cursors. It only ever increases.
    pub seen: Option<u64>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_follows_the_order_of_types() {
        for (index, (kind, name, _)) in MessageType::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index, "{name}");
            assert_eq!(name.parse(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{name}\""));
        }
        assert_eq!("quotes".parse::<MessageType>(), Err(UnknownMessageType));
    }
}
