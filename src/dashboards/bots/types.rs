//! The types of messages that are published for this dashboard.

use crate::domain::MessageType;

pub(crate) const TRADES: MessageType = MessageType::ordered("trades");
pub(crate) const BOTS: MessageType = MessageType::state("bots", 0);
pub(crate) const BALANCES: MessageType = MessageType::state("balances", 1);
pub(crate) const DECISIONS: MessageType = MessageType::ordered("decisions");
pub(crate) const METRICS: MessageType = MessageType::state("metrics", 2);
pub(crate) const WHALE: MessageType = MessageType::ordered("whale");
pub(crate) const ALERTS: MessageType = MessageType::ordered("alerts");
pub(crate) const SYSTEM_HEALTH: MessageType = MessageType::state("system_health", 3);
pub(crate) const WALLET: MessageType = MessageType::ordered("wallet");
pub(crate) const AI_TASKS: MessageType = MessageType::ordered("ai_tasks");
