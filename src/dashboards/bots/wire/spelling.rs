//! Trades and bots in both spellings: the documented one, which the event bus reads too, and the one of the dashboard's
//! own code (`exchange`, `profit_loss`, `current_capital`, …).

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::dashboards::bots::types;
use crate::domain::{Audience, RelayedMessage};
use crate::hub::{Audiences, Snapshot};

/// Fields of a trade: documented, and the dashboard's.
const OF_TRADES: [(&str, &str); 2] = [("platform", "exchange"), ("pnl", "profit_loss")];
/// Fields of a bot: documented, and the dashboard's.
const OF_BOTS: [(&str, &str); 3] = [("platform", "exchange"), ("capital", "current_capital"), ("pnl", "total_profit")];

/// What is known of the bot that a trade belongs to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Bot {
    name: Option<Value>,
    capital: Option<Value>,
    profit: Option<Value>,
}

impl Bot {
    /// Parses a published bot.
    pub(crate) fn read(published: &RelayedMessage) -> Self {
        let mut fields: Map<String, Value> = serde_json::from_str(&published.data).unwrap_or_default();
        let mut known = |spellings: [&str; 2]| {
            let mut found = spellings.into_iter().filter_map(|name| fields.remove(name));
            found.find(|value| !value.is_null())
        };
        Self {
            name: known(["name", "bot_name"]),
            capital: known(["current_capital", "capital"]),
            profit: known(["total_profit", "pnl"]),
        }
    }

    /// Returns the bot with this id among those for `audiences`. A user's own bot takes precedence over one for all
    /// users.
    pub(crate) fn find(snapshot: &Snapshot, audiences: &Audiences, id: &str) -> Option<Self> {
        let of = |audience: &Audience| {
            let mut bots = snapshot.states_of(audience, types::BOTS);
            bots.find_map(|bot| bot.published().filter(|bot| &*bot.key == id).map(Self::read))
        };
        audiences.each().collect::<Vec<_>>().iter().rev().find_map(of)
    }

    /// Returns the bot of a trade that `audiences` may read.
    pub(crate) fn of_trade(snapshot: &Snapshot, audiences: &Audiences, trade: &RelayedMessage) -> Option<Self> {
        Self::find(snapshot, audiences, &bot_id(trade)?)
    }
}

/// Returns the id of the bot that a trade names.
pub(super) fn bot_id(trade: &RelayedMessage) -> Option<String> {
    if trade.kind != types::TRADES {
        return None;
    }
    let trade: Map<String, Value> = serde_json::from_str(&trade.data).ok()?;
    trade.get("bot_id")?.as_str().map(str::to_owned)
}

/// Returns the `data` of a message in both spellings; the documented fields keep their order. `bot` is the bot of a
/// trade. Messages of other types are unchanged.
pub(crate) fn spelled<'a>(published: &'a RelayedMessage, bot: Option<&Bot>) -> Cow<'a, str> {
    let pairs = match published.kind {
        types::TRADES => &OF_TRADES[..],
        types::BOTS => &OF_BOTS[..],
        _ => return Cow::Borrowed(&published.data),
    };
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(&published.data) else {
        return Cow::Borrowed(&published.data);
    };
    let mut more = Vec::new();
    for (ours, theirs) in pairs {
        for (there, missing) in [(ours, theirs), (theirs, ours)] {
            if let (Some(value), None) = (fields.get(*there), fields.get(*missing)) {
                more.push((*missing, value.clone()));
            }
        }
    }
    if published.kind == types::TRADES {
        let profit = fields.get("pnl").or_else(|| fields.get("profit_loss"));
        if let (Some(profit), None) = (profit, fields.get("is_profitable")) {
            let is_profitable = profit.as_f64().map_or(Value::Null, |profit| (profit > 0.0).into());
            more.push(("is_profitable", is_profitable));
        }
        // The page prints "Bot" where there is no name.
        let name = bot.and_then(|bot| bot.name.as_ref().or_else(|| fields.get("bot_id")));
        if let (Some(name), None) = (name, fields.get("bot_name")) {
            more.push(("bot_name", name.clone()));
        }
    }
    Cow::Owned(with_fields(&published.data, &more))
}

/// Appends fields to an encoded object.
fn with_fields(object: &str, more: &[(&str, Value)]) -> String {
    let Some(own) = object.strip_prefix('{').and_then(|object| object.strip_suffix('}')) else {
        return object.to_owned();
    };
    let more = more.iter().map(|(name, value)| format!("{}:{value}", Value::from(*name)));
    let fields = Some(own.to_owned()).filter(|own| !own.is_empty()).into_iter().chain(more);
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

/// Returns what a trade changes in the dashboard's list of bots: the top level of `trade_executed`, beside the trade
/// itself.
pub(super) fn executed(trade: &str, bot: Option<&Bot>) -> String {
    let fields: Map<String, Value> = serde_json::from_str(trade).unwrap_or_default();
    let mut top = Vec::new();
    for name in ["bot_id", "bot_name"] {
        top.extend(fields.get(name).map(|value| (name, value.clone())));
    }
    // The publisher's own value is newer than the bot's last state.
    let known = [
        ("new_capital", bot.and_then(|bot| bot.capital.as_ref())),
        ("total_profit", bot.and_then(|bot| bot.profit.as_ref())),
    ];
    for (name, of_bot) in known {
        top.extend(fields.get(name).filter(|value| !value.is_null()).or(of_bot).map(|value| (name, value.clone())));
    }
    with_fields(&format!(r#"{{"trade":{trade}}}"#), &top)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;
    use serde_json::json;

    use super::*;
    use crate::domain::MessageType;

    fn published(kind: MessageType, data: &str) -> RelayedMessage {
        let at = DateTime::UNIX_EPOCH;
        RelayedMessage { seq: 7, kind, audience: Audience::All, key: "b".into(), data: Arc::from(data), at }
    }

    fn spelled_trade(data: &str, bot: Option<&Bot>) -> String {
        spelled(&published(types::TRADES, data), bot).into_owned()
    }

    #[test]
    fn a_trade_has_what_each_page_reads() {
        let bot = Bot::read(&published(types::BOTS, r#"{"id":"b","name":"Scalper","capital":5000,"pnl":-1.5}"#));
        assert_eq!(
            spelled_trade(r#"{"id":"t","bot_id":"b","platform":"luno","pnl":12.5}"#, Some(&bot)),
            r#"{"id":"t","bot_id":"b","platform":"luno","pnl":12.5,"exchange":"luno","profit_loss":12.5,"is_profitable":true,"bot_name":"Scalper"}"#
        );
        // Unknown values are absent, and an unknown bot has its id as a name.
        assert_eq!(
            spelled_trade(r#"{"id":"t","bot_id":"b","platform":"luno","pnl":null}"#, Some(&Bot::default())),
            r#"{"id":"t","bot_id":"b","platform":"luno","pnl":null,"exchange":"luno","profit_loss":null,"is_profitable":null,"bot_name":"b"}"#
        );
        assert_eq!(spelled_trade(r#"{"id":"t"}"#, Some(&bot)), r#"{"id":"t","bot_name":"Scalper"}"#);
        assert_eq!(spelled_trade(r#"{"id":"t"}"#, None), r#"{"id":"t"}"#);
        assert_eq!(spelled_trade("{}", None), "{}");
        // A publisher's own values are kept.
        let own = r#"{"platform":"luno","exchange":"Luno","pnl":-2,"profit_loss":-2.5,"is_profitable":false,"bot_name":"Mine"}"#;
        assert_eq!(spelled_trade(own, Some(&bot)), own);
    }

    #[test]
    fn a_bot_has_what_each_page_reads() {
        let bot = published(types::BOTS, r#"{"id":"b","platform":"luno","status":"running","capital":5000,"pnl":0}"#);
        assert_eq!(
            spelled(&bot, None),
            r#"{"id":"b","platform":"luno","status":"running","capital":5000,"pnl":0,"exchange":"luno","current_capital":5000,"total_profit":0}"#
        );
        let bare = published(types::BOTS, r#"{"id":"b","status":"running","current_capital":5}"#);
        assert_eq!(spelled(&bare, None), r#"{"id":"b","status":"running","current_capital":5,"capital":5}"#);
        let alert = published(types::ALERTS, r#"{"platform":"luno"}"#);
        assert_eq!(spelled(&alert, None), r#"{"platform":"luno"}"#);
    }

    #[test]
    fn an_executed_trade_updates_the_pages_bot() {
        let bot =
            Bot::read(&published(types::BOTS, r#"{"id":"b","name":"Scalper","capital":5000,"total_profit":150.5}"#));
        let top = |trade: &str, bot: Option<&Bot>| serde_json::from_str::<Value>(&executed(trade, bot)).unwrap();
        let trade = r#"{"id":"t","bot_id":"b","bot_name":"Scalper"}"#;
        assert_eq!(
            top(trade, Some(&bot)),
            json!({ "trade": { "id": "t", "bot_id": "b", "bot_name": "Scalper" }, "bot_id": "b", "bot_name": "Scalper",
                "new_capital": 5000, "total_profit": 150.5 })
        );
        let expected = r#"{"id":"t","bot_id":"b","new_capital":5100,"total_profit":250}"#;
        let executed = top(expected, Some(&bot));
        assert_eq!((&executed["new_capital"], &executed["total_profit"]), (&json!(5100), &json!(250)));
        assert_eq!(top(r#"{"id":"t"}"#, None), json!({ "trade": { "id": "t" } }));
    }
}
