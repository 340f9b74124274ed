//! Assigns each type of published message to the dialect that reads it.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{aria, bots, sentio};
use crate::domain::{Fault, MessageType};
use crate::gateways::shape::{Parsed, json_number};

/// Checks the `data` of a message, and converts it to the form that its dashboard reads. A list may become several
/// messages, each the state of a different thing.
///
/// # Errors
/// Returns all faults, named within `data`.
pub fn parse(kind: MessageType, data: &Value, now: DateTime<Utc>) -> Result<Vec<Parsed>, Vec<Fault>> {
    let data = &clean(data.clone());
    match kind {
        MessageType::Trades
        | MessageType::Bots
        | MessageType::Balances
        | MessageType::Decisions
        | MessageType::Metrics
        | MessageType::Whale
        | MessageType::Alerts
        | MessageType::SystemHealth
        | MessageType::Wallet
        | MessageType::AiTasks => bots::publish::parse(kind, data, now),
        MessageType::OrderUpdate
        | MessageType::Idea
        | MessageType::PreparedPayload
        | MessageType::Bar
        | MessageType::Tick
        | MessageType::Signal => aria::publish::parse(kind, data, now).map(|parsed| vec![parsed]),
        MessageType::TradeSignals
        | MessageType::Earnings
        | MessageType::Notification
        | MessageType::AdminUsers
        | MessageType::AdminSubscribers
        | MessageType::AdminRevenue
        | MessageType::AdminUserAnalytics => sentio::publish::parse(kind, data, now),
    }
}

/// Writes numbers like JavaScript does, even in undocumented fields: `5000.0` becomes `5000`.
fn clean(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => json_number(float),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(clean).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, clean(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_print_clean_at_any_depth() {
        let data: Value = serde_json::from_str(
            r#"{"event":"x","amount":1.0,"more":[5000.0,{"a":-0.0,"b":0.1,"c":12345678901234567890}]}"#,
        )
        .unwrap();
        let parsed = parse(MessageType::Wallet, &data, DateTime::UNIX_EPOCH).unwrap().remove(0);
        assert_eq!(parsed.data, r#"{"event":"x","amount":1,"more":[5000,{"a":0,"b":0.1,"c":12345678901234567890}]}"#);
        assert_eq!(json!(null), clean(json!(null)));
    }
}
