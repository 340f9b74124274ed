//! Answers to the pages' HTTP requests, built from published messages in the form that the pages read. Unknown values
//! are null or absent, never made up.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::spelling::{Bot, bot_id, spelled};
use super::whale::WhaleSums;
use crate::dashboards::bots::publish::decimals;
use crate::domain::{RelayedMessage, iso};
use crate::transport::shape::json_number;

/// The platform name under which a sum over all platforms is published.
const ALL_PLATFORMS: &str = "all";
/// The currency of the totals.
const CURRENCY: &str = "ZAR";

/// Returns the bots of one user by id, for the trades of an answer.
pub(crate) fn bots_by_id<'a>(bots: impl Iterator<Item = &'a RelayedMessage>) -> BTreeMap<&'a str, Bot> {
    bots.map(|bot| (&*bot.key, Bot::read(bot))).collect()
}

/// `{"trades":[…]}`, newest first.
pub(crate) fn trades<'a>(newest_first: impl Iterator<Item = &'a RelayedMessage>, bots: &BTreeMap<&str, Bot>) -> String {
    let unknown = Bot::default();
    let trade = |trade: &'a RelayedMessage| {
        let bot = bot_id(trade).and_then(|id| bots.get(id.as_str())).unwrap_or(&unknown);
        spelled(trade, Some(bot)).into_owned()
    };
    format!(r#"{{"trades":[{}]}}"#, newest_first.map(trade).collect::<Vec<_>>().join(","))
}

/// A bare list of bots, over which the page iterates.
pub(crate) fn bots<'a>(bots: impl Iterator<Item = &'a RelayedMessage>) -> String {
    let bots: Vec<_> = bots.map(|bot| spelled(bot, None)).collect();
    format!("[{}]", bots.join(","))
}

/// `{"success","count","decisions":[…]}`, newest first.
pub(crate) fn decisions<'a>(newest_first: impl Iterator<Item = &'a RelayedMessage>) -> String {
    let decisions: Vec<_> = newest_first.collect();
    let count = decisions.len();
    format!(r#"{{"success":true,"count":{count},"decisions":{}}}"#, list(decisions.into_iter()))
}

fn list<'a>(messages: impl Iterator<Item = &'a RelayedMessage>) -> String {
    let data: Vec<&str> = messages.map(|message| &*message.data).collect();
    format!("[{}]", data.join(","))
}

/// The holdings of one user per platform, and in total.
pub(crate) fn wallet<'a>(user: &str, balances: impl Iterator<Item = &'a RelayedMessage>, now: DateTime<Utc>) -> Value {
    let holdings = Holdings::of(balances);
    let mut master = Map::new();
    master.insert("total_zar".into(), json_number(holdings.total_zar));
    for (asset, amount) in &holdings.assets {
        master.insert(format!("{}_balance", asset.to_lowercase()), json_number(*amount));
    }
    // The dashboard's own balances read two currencies at the top level.
    let [zar, btc] = ["ZAR", "BTC"].map(|asset| json_number(holdings.assets.get(asset).copied().unwrap_or_default()));
    json!({
        "user_id": user, "master_wallet": master, "exchanges": holdings.exchanges, "zar": zar, "btc": btc,
        "timestamp": iso(now)
    })
}

/// The portfolio of one user: equity from the balances, metrics, and the sums of trades, which are only known when all
/// trades are retained.
pub(crate) fn portfolio<'a>(
    balances: impl Iterator<Item = &'a RelayedMessage>,
    metrics: Option<&RelayedMessage>,
    all_trades: Option<impl Iterator<Item = &'a RelayedMessage>>,
    now: DateTime<Utc>,
) -> Value {
    let holdings = Holdings::of(balances);
    let metrics: Map<String, Value> =
        metrics.and_then(|metrics| serde_json::from_str(&metrics.data).ok()).unwrap_or_default();
    let trades = all_trades.map(|trades| {
        let trades = trades.filter_map(|trade| serde_json::from_str::<Map<String, Value>>(&trade.data).ok());
        trades.fold((0.0, 0.0), |(realized, fees), trade| {
            let number = |name: &str| trade.get(name).and_then(Value::as_f64).unwrap_or_default();
            (realized + number("pnl"), fees + number("fee"))
        })
    });
    let sum = |sum: Option<f64>| sum.map_or(Value::Null, |sum| json_number(decimals(sum)));
    let known = |name: &str| metrics.get(name).cloned().unwrap_or(Value::Null);
    // The dashboard prints it with a percent sign.
    let exposure = metrics.get("exposure").and_then(Value::as_f64).map(|exposure| exposure * 100.0);
    json!({
        "equity": if holdings.is_empty() { Value::Null } else { json_number(holdings.total_zar) },
        "realized_pnl": sum(trades.map(|(realized, _)| realized)),
        "unrealized_pnl": null,
        "fees_total": sum(trades.map(|(_, fees)| fees)),
        "net_pnl": known("total_pnl"),
        "drawdown_current": null,
        "drawdown_max": null,
        "win_rate": known("win_rate"),
        "total_trades": known("total_trades"),
        "active_bots": known("active_bots"),
        "total_bots": known("total_bots"),
        "exposure": sum(exposure),
        "risk_level": known("risk_level"),
        "timestamp": iso(now)
    })
}

/// The sums of whale movements, oldest first: in `data` beside a `status`, and at the top level, for the two pages that
/// read them.
pub(crate) fn whales<'a>(oldest_first: impl Iterator<Item = &'a RelayedMessage>) -> Value {
    let mut whales = serde_json::to_value(WhaleSums::of(oldest_first)).unwrap_or_default();
    whales["signals"] = json!([]);
    let data = whales.clone();
    whales["status"] = "success".into();
    whales["data"] = data;
    whales
}

#[derive(Debug, Default)]
struct Holdings {
    exchanges: Map<String, Value>,
    assets: BTreeMap<String, f64>,
    total_zar: f64,
}

impl Holdings {
    /// Adds up balances. If a sum over all platforms was published, it is not added to its parts.
    fn of<'a>(balances: impl Iterator<Item = &'a RelayedMessage>) -> Self {
        let mut holdings = Self::default();
        let mut sum = None;
        for message in balances {
            let Ok(data) = serde_json::from_str::<Map<String, Value>>(&message.data) else { continue };
            let total = data.get("total_value_zar").and_then(Value::as_f64);
            if &*message.key == ALL_PLATFORMS {
                sum = total;
                continue;
            }
            let assets = data.get("balances").and_then(Value::as_object);
            for (asset, amounts) in assets.into_iter().flatten() {
                let amount = amounts.get("total").and_then(Value::as_f64).unwrap_or_default();
                let total = holdings.assets.entry(asset.clone()).or_default();
                *total = decimals(*total + amount);
            }
            // Without a total, only the currency itself has a known value.
            let in_zar = || assets?.get(CURRENCY)?.get("total")?.as_f64();
            holdings.total_zar = decimals(holdings.total_zar + total.or_else(in_zar).unwrap_or_default());
            holdings.exchanges.insert(message.key.to_string(), data.into());
        }
        holdings.total_zar = sum.unwrap_or(holdings.total_zar);
        holdings
    }

    fn is_empty(&self) -> bool {
        self.exchanges.is_empty() && self.total_zar == 0.0
    }
}
