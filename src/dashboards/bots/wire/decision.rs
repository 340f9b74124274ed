//! The server's own signals as decisions of the bot `orion`.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::dashboards::bots::types;
use crate::domain::number::{number, optional};
use crate::domain::{Audience, Direction, RelayedMessage, Signal, iso};

/// Bot and platform of these decisions.
const ORION: &str = "orion";

/// The known fields of a signal. The other fields of a decision (sizing, regime, scores) are left out.
#[derive(Debug, Serialize)]
struct DecisionObject<'a> {
    id: &'a str,
    bot_id: &'static str,
    symbol: &'a str,
    platform: &'static str,
    decision: &'static str,
    #[serde(serialize_with = "number")]
    confidence: f64,
    reasoning: Vec<&'a str>,
    stops: Stops,
    #[serde(flatten)]
    levels: Stops,
    timestamp: String,
}

/// The panel reads these fields at the top level; the documents have them in `stops`.
#[derive(Debug, Clone, Copy, Serialize)]
struct Stops {
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    stop_loss: Option<f64>,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    take_profit: Option<f64>,
}

/// Returns the decision for a signal that is new, or still pending and sent again; `None` for its end.
pub(crate) fn decision_of(signal: &Signal, now: DateTime<Utc>) -> Option<RelayedMessage> {
    if !signal.is_news() {
        return None;
    }
    let levels = Stops { stop_loss: signal.stop_loss, take_profit: signal.take_profits.first().copied() };
    let object = DecisionObject {
        id: signal.id.as_str(),
        bot_id: ORION,
        symbol: signal.symbol.as_str(),
        platform: ORION,
        decision: match signal.direction {
            Direction::Long => "buy",
            Direction::Short => "sell",
        },
        confidence: signal.confidence,
        reasoning: Some(signal.reason.as_str()).filter(|reason| !reason.is_empty()).into_iter().collect(),
        stops: levels,
        levels,
        timestamp: iso(signal.entry_time),
    };
    let data = serde_json::to_string(&object).ok()?;
    let (kind, audience) = (types::DECISIONS, Audience::All);
    Some(RelayedMessage { seq: 0, kind, audience, key: "".into(), data: data.into(), at: now })
}
