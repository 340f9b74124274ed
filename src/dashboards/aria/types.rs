//! The types of messages that are published for this dashboard.

use crate::domain::MessageType;

pub(crate) const ORDER_UPDATE: MessageType = MessageType::ordered("order_update");
pub(crate) const IDEA: MessageType = MessageType::ordered("idea");
pub(crate) const PREPARED_PAYLOAD: MessageType = MessageType::ordered("prepared_payload");
pub(crate) const BAR: MessageType = MessageType::state("bar", 0);
pub(crate) const TICK: MessageType = MessageType::state("tick", 1);
pub(crate) const SIGNAL: MessageType = MessageType::ordered("signal");
