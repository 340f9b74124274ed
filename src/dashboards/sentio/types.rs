//! The types of messages that are published for this dashboard.

use crate::domain::MessageType;

pub(crate) const TRADE_SIGNALS: MessageType = MessageType::state("trade_signals", 0);
pub(crate) const EARNINGS: MessageType = MessageType::state("earnings", 0);
pub(crate) const NOTIFICATION: MessageType = MessageType::ordered("notification");
pub(crate) const ADMIN_USERS: MessageType = MessageType::state("admin_users", 0);
pub(crate) const ADMIN_SUBSCRIBERS: MessageType = MessageType::state("admin_subscribers", 1);
pub(crate) const ADMIN_REVENUE: MessageType = MessageType::state("admin_revenue", 2);
pub(crate) const ADMIN_USER_ANALYTICS: MessageType = MessageType::state("admin_user_analytics", 3);
