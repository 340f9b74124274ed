//! What somebody else makes and this server only passes on: orders, trades, balances, notifications, …

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Class;

/// The message types that can be published. Which dashboard reads which, and in what shape, is the dialects' business.
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
    /// Name and class of every type: the table.
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

    /// The name on every wire.
    pub const fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// How it is delivered.
    pub const fn class(self) -> Class {
        Self::ALL[self as usize].2
    }
}

/// A message type that this server does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no message type that can be published")]
pub struct UnknownMessageType;

impl FromStr for MessageType {
    type Err = UnknownMessageType;

    fn from_str(name: &str) -> Result<Self, UnknownMessageType> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(kind, ..)| *kind).ok_or(UnknownMessageType)
    }
}

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Everybody who reads this kind of message.
    All,
    /// One user, on all his connections.
    User(Arc<str>),
    /// Administrators.
    Admin,
}

impl Audience {
    /// Longest user id, in characters.
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

/// What is remembered of a user; what is absent stays as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserNote {
    /// The user's id.
    pub user: Arc<str>,
    /// Tokens that were made before are revoked. Only ever moves on.
    pub not_before: Option<DateTime<Utc>>,
    /// The last message that reached him on a stream that has no cursor. Only ever moves on.
    pub seen: Option<u64>,
}

/// A message that somebody published, checked and brought into the shape in which its dashboard reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayedMessage {
    /// Its number among all published messages; 0 until it is stored.
    pub seq: u64,
    /// What it is.
    pub kind: MessageType,
    /// Who is told.
    pub audience: Audience,
    /// Of a state: which one of its kind it is, such as the bot or the platform; empty where there is only one.
    pub key: Arc<str>,
    /// The JSON object (or list) that goes out as `data`, encoded.
    pub data: Arc<str>,
    /// When the server took it.
    pub at: DateTime<Utc>,
}

/// Which ordered messages a log does not have any more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrunedMessages {
    /// Of each audience that is known to have lost some, the number of the last one.
    pub of: Vec<(Audience, u64)>,
    /// Up to this number any user may have lost some; 0 for none.
    pub users: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_types() {
        for (index, (kind, name, _)) in MessageType::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index, "{name}");
            assert_eq!(name.parse(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{name}\""));
        }
        assert_eq!("quotes".parse::<MessageType>(), Err(UnknownMessageType));
    }
}
