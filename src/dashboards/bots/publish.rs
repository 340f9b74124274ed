//! The bot platform's messages (`/api/ws`): what may be published, and the form in which its pages read it.
//!
//! Its documents and its pages differ in places. The encoded form is the one that the pages read without crashing:
//! `reasoning` is a list, `regime_state` an object, shares are 0 to 1. Nothing is made up: unknown values are absent,
//! or null if a page would print `NaN`.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::describe::{
    AlertData, BalancesData, BotData, DecisionData, HealthData, MetricsData, TaskData, TradeData, WalletData, WhaleData,
};
use super::wire::spelled;
use crate::dashboards::bots::types;
use crate::domain::{Fault, MessageType, iso};
use crate::transport::events::PublishedType;
use crate::transport::shape::{MAX_TEXT, Need, Parsed, Shape, json_number, number, text};

use Need::{Optional, Required};

/// The types.
pub(super) const TYPES: [PublishedType; 10] = [
    of::<TradeData>(types::TRADES),
    of::<BotData>(types::BOTS),
    of::<BalancesData>(types::BALANCES),
    of::<DecisionData>(types::DECISIONS),
    of::<MetricsData>(types::METRICS),
    of::<WhaleData>(types::WHALE),
    of::<AlertData>(types::ALERTS),
    of::<HealthData>(types::SYSTEM_HEALTH),
    of::<WalletData>(types::WALLET),
    of::<TaskData>(types::AI_TASKS),
];

const fn of<T: ToSchema>(kind: MessageType) -> PublishedType {
    PublishedType { on_user_streams: Some(|message| spelled(message, None)), ..PublishedType::new::<T>(kind, parse) }
}

/// Whether messages of a type are read here.
pub(super) fn is_read(kind: MessageType) -> bool {
    TYPES.iter().any(|declared| declared.kind == kind)
}

/// Longest id, including the keys of states.
const MAX_ID: usize = 128;
/// Longest name, word or state.
const MAX_NAME: usize = 64;
/// Longest symbol. Symbols are free text here: `BTC-ZAR`.
const MAX_SYMBOL: usize = 32;

/// Parses the `data` of one message.
///
/// # Errors
/// Returns all faults; also for a type that is not the bot platform's.
pub(super) fn parse(kind: MessageType, data: &Value, now: DateTime<Utc>) -> Result<Vec<Parsed>, Vec<Fault>> {
    let mut shape = Shape::of(data)?;
    match kind {
        types::TRADES => trade(&mut shape, now),
        types::BOTS => bot(&mut shape),
        types::BALANCES => balances(&mut shape),
        types::DECISIONS => decision(&mut shape, now),
        types::METRICS => metrics(&mut shape),
        types::WHALE => whale(&mut shape, now),
        types::ALERTS => alert(&mut shape, now),
        types::SYSTEM_HEALTH => system_health(&mut shape),
        types::WALLET => wallet(&mut shape),
        types::AI_TASKS => ai_task(&mut shape),
        other => shape.fault("type", format!("{} is no message of the bot platform", other.name())),
    }
    let key = match kind {
        types::BOTS => text_of(&shape, "id"),
        types::BALANCES => text_of(&shape, "platform"),
        _ => String::new(),
    };
    Ok(vec![Parsed { key, data: shape.finish()? }])
}

fn text_of(shape: &Shape<'_>, name: &str) -> String {
    shape.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn trade(shape: &mut Shape<'_>, now: DateTime<Utc>) {
    shape.text(&["id", "trade_id"], Required, MAX_ID);
    shape.text(&["bot_id"], Optional, MAX_ID);
    shape.text(&["bot_name"], Optional, MAX_ID);
    shape.text(&["platform", "exchange"], Required, MAX_NAME);
    shape.text(&["symbol", "pair"], Required, MAX_SYMBOL);
    shape.choice(&["side"], Required, &["buy", "sell"]);
    shape.number(&["quantity", "amount"], Required);
    shape.number(&["price"], Required);
    shape.number(&["total"], Optional);
    if let (None | Some(Value::Null), Some(quantity), Some(price)) =
        (shape.get("total"), known(shape, "quantity"), known(shape, "price"))
    {
        shape.put("total", json_number(decimals(quantity * price)));
    }
    shape.number(&["fee"], Optional);
    shape.choice(&["status"], Required, &["pending", "filled", "cancelled", "failed"]);
    shape.number(&["pnl", "profit_loss"], Optional);
    shape.flag(&["is_profitable"], Optional);
    shape.number(&["new_capital"], Optional);
    shape.number(&["total_profit"], Optional);
    time_or(shape, now);
}

fn bot(shape: &mut Shape<'_>) {
    shape.text(&["id", "bot_id"], Required, MAX_ID);
    shape.text(&["name"], Optional, MAX_ID);
    shape.text(&["platform", "exchange"], Optional, MAX_NAME);
    shape.text(&["symbol", "pair"], Optional, MAX_SYMBOL);
    shape.choice(&["status"], Required, &["running", "stopped", "paused", "error"]);
    shape.choice(&["trading_mode", "mode"], Optional, &["paper", "live"]);
    shape.choice(&["risk_mode"], Optional, &["conservative", "moderate", "aggressive"]);
    either(shape, "capital", "current_capital");
    either(shape, "pnl", "total_profit");
    shape.number_within(&["trades_count"], Optional, 0.0, 1e15);
    share(shape, &["win_rate"], Optional);
    shape.time(&["last_trade"], Optional);
}

/// A number in the documented spelling or the dashboard's. A publisher who gives both may mean two things, so both are
/// kept.
fn either(shape: &mut Shape<'_>, ours: &'static str, theirs: &'static str) {
    if shape.has(ours) && shape.has(theirs) {
        shape.number(&[ours], Optional);
        shape.number(&[theirs], Optional);
    } else {
        shape.number(&[ours, theirs], Optional);
    }
}

fn balances(shape: &mut Shape<'_>) {
    shape.text(&["platform", "exchange"], Required, MAX_NAME);
    match shape.consume(&["balances"]) {
        Some(Value::Object(assets)) => {
            let read = assets.iter().map(|(asset, amounts)| (asset.clone(), balance(shape, asset, amounts)));
            let read: Map<_, _> = read.collect();
            shape.put("balances", read);
        }
        Some(_) => shape.fault("balances", "must be an object of assets"),
        None => shape.push(Fault::required("balances")),
    }
    shape.number(&["total_value_zar"], Optional);
}

/// The balance of one asset. The pages read `free` and `locked`.
fn balance(shape: &mut Shape<'_>, asset: &str, amounts: &Value) -> Value {
    let Some(mut read) = amounts.as_object().cloned() else {
        shape.fault(format!("balances.{asset}"), "must be an object {free, locked}");
        return Value::Null;
    };
    let [free, locked, total] = ["free", "locked", "total"].map(|name| {
        let given = read.get(name).filter(|value| !value.is_null()).map(number);
        match given {
            Some(Ok(amount)) => {
                read.insert(name.to_owned(), json_number(amount));
                return Some(amount);
            }
            Some(Err(reason)) => shape.fault(format!("balances.{asset}.{name}"), reason),
            None if name != "total" => shape.push(Fault::required(format!("balances.{asset}.{name}"))),
            None => {}
        }
        None
    });
    if let (Some(free), Some(locked), None) = (free, locked, total) {
        read.insert("total".to_owned(), json_number(decimals(free + locked)));
    }
    read.into()
}

fn decision(shape: &mut Shape<'_>, now: DateTime<Utc>) {
    shape.text(&["id", "decision_id"], Required, MAX_ID);
    shape.text(&["bot_id"], Optional, MAX_ID);
    shape.text(&["symbol", "pair"], Required, MAX_SYMBOL);
    shape.text(&["platform", "exchange"], Optional, MAX_NAME);
    shape.choice(&["decision", "action"], Required, &["buy", "sell", "hold"]);
    share(shape, &["confidence"], Required);
    // The panel calls `map` on it without a check.
    let reasons = shape.consume(&["reasoning"]).map_or_else(|| Ok(json!([])), reasons);
    match reasons {
        Ok(reasons) => shape.put("reasoning", reasons),
        Err(reason) => shape.fault("reasoning", reason),
    }
    shape.field(&["market_data"], Optional, market);
    shape.field(&["regime_state"], Optional, regime);
    numbers_within(shape, "component_scores", -1.0, 1.0);
    shape.object(&["sizing"], Optional);
    shape.number(&["position_size_multiplier"], Optional);
    shape.object(&["stops"], Optional);
    for name in ["stop_loss", "take_profit"] {
        shape.number(&[name], Optional);
        let within = shape.get("stops").and_then(|stops| stops.get(name)).filter(|level| !level.is_null()).map(number);
        match (shape.get(name), within) {
            (None | Some(Value::Null), Some(Ok(level))) => shape.put(name, json_number(level)),
            (_, Some(Err(reason))) => shape.fault(format!("stops.{name}"), reason),
            _ => {}
        }
    }
    time_or(shape, now);
}

fn reasons(value: &Value) -> Result<Value, String> {
    let wrong = || format!("must be text, or a list of texts, of at most {MAX_TEXT} characters");
    match value {
        Value::Array(reasons) => {
            let reasons: Option<Vec<_>> = reasons.iter().map(|reason| text(reason, MAX_TEXT).ok()).collect();
            reasons.map(Value::from).ok_or_else(wrong)
        }
        Value::String(reason) if reason.is_empty() => Ok(json!([])),
        reason => text(reason, MAX_TEXT).map(|reason| json!([reason])).map_err(|_| wrong()),
    }
}

/// A single word becomes an object. A missing confidence is null, because the panel does arithmetic on it.
fn regime(value: &Value) -> Result<Value, String> {
    let wrong = || "must be a word or an object {regime, confidence}".to_owned();
    let mut state = match value {
        Value::Object(state) => state.clone(),
        word => Map::from_iter([("regime".to_owned(), word.clone())]),
    };
    let regime = text(state.get("regime").unwrap_or(&Value::Null), MAX_NAME).map_err(|_| wrong())?;
    let confidence = match state.get("confidence") {
        None | Some(Value::Null) => Value::Null,
        Some(confidence) => read_share(confidence).map_err(|reason| format!("confidence {reason}"))?,
    };
    state.insert("regime".to_owned(), regime.into());
    state.insert("confidence".to_owned(), confidence);
    Ok(state.into())
}

/// The page reads `volume`; the documents call it `volume_24h`. Its numbers are numbers or absent.
fn market(value: &Value) -> Result<Value, String> {
    let mut market = value.as_object().cloned().ok_or_else(|| "must be an object".to_owned())?;
    if market.get("volume").is_none_or(Value::is_null)
        && let Some(volume) = market.get("volume_24h").cloned()
    {
        market.insert("volume".to_owned(), volume);
    }
    for name in ["price", "volume", "volume_24h", "change_24h", "volatility"] {
        match market.remove(name) {
            None | Some(Value::Null) => {}
            Some(value) => {
                let value = number(&value).map_err(|reason| format!("{name} {reason}"))?;
                market.insert(name.to_owned(), json_number(value));
            }
        }
    }
    Ok(market.into())
}

fn metrics(shape: &mut Shape<'_>) {
    shape.number(&["total_pnl"], Optional);
    shape.number(&["total_pnl_percent"], Optional);
    for counter in ["active_bots", "total_bots", "total_trades"] {
        shape.number_within(&[counter], Optional, 0.0, 1e15);
    }
    share(shape, &["win_rate"], Optional);
    shape.number(&["exposure"], Optional);
    shape.text(&["risk_level"], Optional, MAX_NAME);
    shape.number_within(&["uptime_seconds"], Optional, 0.0, 1e15);
    shape.number_within(&["trades_per_hour"], Optional, 0.0, 1e15);
}

/// One movement, as documented, or the sums of all movements, as the page keeps them.
fn whale(shape: &mut Shape<'_>, now: DateTime<Utc>) {
    if let Some(exchanges) = shape.consume(&["exchanges"]) {
        flows(shape, "exchanges", exchanges, 2);
        if let Some(summary) = shape.consume(&["summary"]) {
            flows(shape, "summary", summary, 1);
        }
        shape.time(&["last_update"], Optional);
        return;
    }
    shape.text(&["coin"], Required, MAX_SYMBOL);
    shape.text(&["platform", "exchange"], Required, MAX_NAME);
    shape.choice(&["flow_type"], Required, &["inflow", "outflow"]);
    shape.number_within(&["amount"], Required, 0.0, 1e18);
    shape.number_within(&["value_usd"], Optional, 0.0, 1e18);
    time_or(shape, now);
    shape.text(&["signal"], Optional, MAX_NAME);
}

/// An object of objects of numbers, with `depth` levels above the numbers.
fn flows(shape: &mut Shape<'_>, name: &'static str, value: &Value, depth: usize) {
    fn sound(value: &Value, depth: usize) -> bool {
        match value {
            Value::Object(fields) if depth > 0 => fields.values().all(|value| sound(value, depth - 1)),
            Value::Object(fields) => fields.values().all(Value::is_number),
            _ => false,
        }
    }
    if sound(value, depth) {
        shape.put(name, value.clone());
    } else {
        let of = if depth == 2 { "exchange → coin" } else { "coin" };
        shape.fault(name, format!("must be an object {of} → object of numbers"));
    }
}

fn alert(shape: &mut Shape<'_>, now: DateTime<Utc>) {
    shape.text(&["id", "alert_id"], Required, MAX_ID);
    shape.choice(&["severity"], Required, &["info", "warning", "error", "critical"]);
    shape.text(&["category"], Optional, MAX_NAME);
    shape.text(&["title"], Optional, MAX_TEXT);
    shape.text(&["message"], Required, MAX_TEXT);
    shape.text(&["bot_id"], Optional, MAX_ID);
    shape.text(&["platform", "exchange"], Optional, MAX_NAME);
    shape.flag(&["action_required"], Optional);
    time_or(shape, now);
}

fn system_health(shape: &mut Shape<'_>) {
    shape.text(&["status"], Optional, MAX_NAME);
    shape.number_within(&["uptime"], Optional, 0.0, 1e15);
    for percent in ["cpu_percent", "memory_percent", "disk_percent"] {
        shape.number_within(&[percent], Optional, 0.0, 1e6);
    }
    for service in ["database", "redis"] {
        shape.text(&[service], Optional, MAX_NAME);
    }
    shape.field(&["exchange_connections"], Optional, |value| match value {
        Value::Object(states) if states.values().all(Value::is_string) => Ok(value.clone()),
        _ => Err("must be an object exchange → state".to_owned()),
    });
    shape.time(&["last_trade"], Optional);
    shape.number_within(&["error_rate"], Optional, 0.0, 1e15);
}

fn wallet(shape: &mut Shape<'_>) {
    shape.text(&["event"], Required, MAX_NAME);
    shape.text(&["platform", "exchange"], Optional, MAX_NAME);
    shape.text(&["asset", "coin"], Optional, MAX_SYMBOL);
    shape.number(&["amount"], Optional);
    shape.text(&["address"], Optional, MAX_TEXT);
    shape.text(&["txid"], Optional, MAX_TEXT);
    shape.number_within(&["confirmations"], Optional, 0.0, 1e15);
    shape.text(&["status"], Optional, MAX_NAME);
}

fn ai_task(shape: &mut Shape<'_>) {
    shape.text(&["task_id", "id"], Required, MAX_ID);
    shape.text(&["task_type"], Required, MAX_NAME);
    shape.choice(&["status"], Required, &["queued", "running", "completed", "failed"]);
    // The notification of a running task does arithmetic on it.
    let running = shape.get("status").is_some_and(|status| status == "running");
    share(shape, &["progress"], if running { Required } else { Optional });
    shape.field(&["result"], Optional, |result| Ok(result.clone()));
    shape.text(&["error"], Optional, MAX_TEXT);
    shape.time(&["started_at"], Optional);
    shape.time(&["completed_at"], Optional);
}

/// The message's own time, or the time of arrival.
fn time_or(shape: &mut Shape<'_>, now: DateTime<Utc>) {
    shape.time(&["timestamp", "created_at"], Optional);
    if shape.get("timestamp").is_none_or(Value::is_null) {
        shape.put("timestamp", iso(now));
    }
}

/// A share: 0 to 1, or percent if above 1 to 100.
fn share(shape: &mut Shape<'_>, spellings: &[&'static str], need: Need) {
    shape.field(spellings, need, read_share);
}

fn read_share(value: &Value) -> Result<Value, String> {
    let share = number(value).ok().filter(|share| (0.0..=100.0).contains(share));
    let share = share.map(|share| if share > 1.0 { share / 100.0 } else { share });
    share.map(json_number).ok_or_else(|| "must be a number from 0 to 1, or up to 100 in percent".to_owned())
}

/// An object whose values are numbers within bounds. Each invalid one is named.
fn numbers_within(shape: &mut Shape<'_>, name: &'static str, min: f64, max: f64) {
    let values = match shape.consume(&[name]) {
        None => return,
        Some(Value::Object(values)) => values,
        Some(_) => return shape.fault(name, "must be an object of numbers"),
    };
    let mut read = Map::new();
    for (of, value) in values {
        match number(value).ok().filter(|value| (min..=max).contains(value)) {
            Some(value) => {
                read.insert(of.clone(), json_number(value));
            }
            None => shape.fault(format!("{name}.{of}"), format!("must be a number from {min} to {max}")),
        }
    }
    shape.put(name, read);
}

fn known(shape: &Shape<'_>, name: &str) -> Option<f64> {
    shape.get(name).and_then(Value::as_f64)
}

/// Removes the noise of binary fractions.
pub(super) fn decimals(amount: f64) -> f64 {
    let rounded = (amount * 1e8).round() / 1e8;
    if rounded.is_finite() { rounded } else { amount }
}

#[cfg(test)]
mod tests;
