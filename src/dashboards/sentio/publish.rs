//! Messages that may be published for Sentio: the bodies of its documents and those that its pages read, checked field
//! by field.
//!
//! A page crashes on a number that is text, and on a signal with an unknown word, so these are rejected. Numbers that a
//! page prints without a check become 0 if they were not published: it would print `NaN` or `undefined`.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::describe::{
    AnalyticsData, EarningsData, NotificationData, RevenueData, SubscribersData, TradeSignalData, UsersData,
};
use super::wire::MAX_SYMBOL;
use crate::dashboards::sentio::types;
use crate::domain::{Audience, Fault, MessageType, iso};
use crate::transport::events::{Addressees, PublishedType, as_published};
use crate::transport::shape::Need::{Optional, Required};
use crate::transport::shape::{MAX_TEXT, Parsed, Shape, json_number, number};

/// The types.
pub(super) const TYPES: [PublishedType; 7] = [
    PublishedType::new::<TradeSignalData>(types::TRADE_SIGNALS, parse),
    // Earnings that name their user are for that user, even if the sender does not name the user again.
    PublishedType { addressees: Addressees::UserInData, ..personal::<EarningsData>(types::EARNINGS) },
    personal::<NotificationData>(types::NOTIFICATION),
    administrative::<UsersData>(types::ADMIN_USERS),
    administrative::<SubscribersData>(types::ADMIN_SUBSCRIBERS),
    administrative::<RevenueData>(types::ADMIN_REVENUE),
    administrative::<AnalyticsData>(types::ADMIN_USER_ANALYTICS),
];

const fn personal<T: ToSchema>(kind: MessageType) -> PublishedType {
    PublishedType { on_user_streams: Some(as_published), ..PublishedType::new::<T>(kind, parse) }
}

const fn administrative<T: ToSchema>(kind: MessageType) -> PublishedType {
    PublishedType { addressees: Addressees::Admins, ..personal::<T>(kind) }
}

/// Largest number of signals in one message.
const MAX_SIGNALS: usize = 256;
/// Longest word, such as a tier or a state.
const MAX_WORD: usize = 64;

/// Parses a published message. Each entry of `trade_signals` becomes a state of its own, with the symbol as its key;
/// every other type is one message.
///
/// # Errors
/// Returns all faults at once.
pub(super) fn parse(kind: MessageType, data: &Value, now: DateTime<Utc>) -> Result<Vec<Parsed>, Vec<Fault>> {
    let data = match kind {
        types::TRADE_SIGNALS => return trade_signals(data, now),
        types::EARNINGS => earnings(data, now)?,
        types::NOTIFICATION => notification(data)?,
        types::ADMIN_USERS => admin_users(data)?,
        types::ADMIN_SUBSCRIBERS => admin_subscribers(data)?,
        types::ADMIN_REVENUE => admin_revenue(data)?,
        types::ADMIN_USER_ANALYTICS => admin_user_analytics(data)?,
        _ => return Err(vec![Fault::new("type", "is no message of Sentio's")]),
    };
    Ok(vec![Parsed { key: String::new(), data }])
}

/// Parses a list of signals, or one.
fn trade_signals(data: &Value, now: DateTime<Utc>) -> Result<Vec<Parsed>, Vec<Fault>> {
    let Some(list) = data.as_array() else {
        return trade_signal(data, now).map(|signal| vec![signal]);
    };
    if !(1..=MAX_SIGNALS).contains(&list.len()) {
        return Err(vec![Fault::new("data", format!("must be a list of 1 to {MAX_SIGNALS} signals"))]);
    }
    each(list, "data", |entry| trade_signal(entry, now))
}

fn trade_signal(data: &Value, now: DateTime<Utc>) -> Result<Parsed, Vec<Fault>> {
    let mut shape = Shape::of(data)?;
    shape.field(&["symbol"], Required, |value| {
        let symbol = value.as_str().map(|symbol| symbol.trim().to_uppercase());
        let symbol = symbol.filter(|symbol| (1..=MAX_SYMBOL).contains(&symbol.chars().count()));
        symbol.map(Value::from).ok_or_else(|| format!("must be text of 1 to {MAX_SYMBOL} characters"))
    });
    shape.choice(&["signal"], Required, &["buy", "sell", "hold", "error"]);
    let failed = shape.get("signal").is_some_and(|signal| signal == "error");
    shape.number_within(&["confidence"], if failed { Optional } else { Required }, 0.0, 1.0);
    if failed && shape.get("confidence").is_none_or(Value::is_null) {
        // A signal that could not be computed has no confidence, but the page needs a number.
        shape.put("confidence", 0);
    }
    shape.number_within(&["consensus_strength"], Optional, 0.0, 1.0);
    if is_absent(&shape, "consensus_strength")
        && let Some(confidence) = shape.get("confidence").cloned()
    {
        // One score, like for the server's own signals. The page prints NaN without it.
        shape.put("consensus_strength", confidence);
    }
    stamp(&mut shape, now);
    shape.text(&["error"], Optional, MAX_TEXT);
    let key = shape.get("symbol").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Parsed { key, data: shape.finish()? })
}

fn earnings(data: &Value, now: DateTime<Utc>) -> Result<String, Vec<Fault>> {
    let mut shape = Shape::of(data)?;
    shape.text(&["user_id"], Optional, Audience::MAX_USER);
    shape.number(&["portfolio_value"], Required);
    for name in ["total_return", "total_return_pct", "daily_pnl", "total_trades"] {
        shape.number(&[name], Optional);
        or_zero(&mut shape, name);
    }
    shape.number_within(&["win_rate"], Optional, 0.0, 1.0);
    or_zero(&mut shape, "win_rate");
    nested(&mut shape, "profit_sharing", profit_sharing);
    if is_absent(&shape, "profit_sharing") {
        shape.put("profit_sharing", json!({ "total_shared": 0, "rate": 0, "enabled": false }));
    }
    stamp(&mut shape, now);
    shape.finish()
}

fn profit_sharing(data: &Value) -> Result<String, Vec<Fault>> {
    let mut shape = Shape::of(data)?;
    shape.number(&["total_shared"], Optional);
    shape.number_within(&["rate"], Optional, 0.0, 1.0);
    or_zero(&mut shape, "total_shared");
    or_zero(&mut shape, "rate");
    shape.flag(&["enabled"], Optional);
    shape.finish()
}

/// Checks a notification. The page replaces its time with the envelope's.
fn notification(data: &Value) -> Result<String, Vec<Fault>> {
    let mut shape = Shape::of(data)?;
    shape.choice(&["type"], Required, &["success", "warning", "error", "info"]);
    shape.text(&["title"], Optional, MAX_TEXT);
    shape.text(&["message"], Required, MAX_TEXT);
    shape.time(&["timestamp"], Optional);
    shape.finish()
}

/// The page reads `users`. The documents send totals without a list, so an empty list is added.
fn admin_users(data: &Value) -> Result<String, Vec<Fault>> {
    let mut shape = Shape::of(data)?;
    let totals = ["total_users", "active_subscriptions", "monthly_revenue"];
    let has_totals = totals.iter().any(|name| data.get(name).is_some_and(|total| !total.is_null()));
    rows(&mut shape, "users", has_totals, |user| {
        let mut shape = member(user)?;
        for name in ["profit_sharing_balance", "total_profits_shared"] {
            shape.number(&[name], Optional);
            or_zero(&mut shape, name);
        }
        shape.finish()
    });
    for name in totals {
        shape.number(&[name], Optional);
    }
    shape.finish()
}

fn admin_subscribers(data: &Value) -> Result<String, Vec<Fault>> {
    let mut shape = Shape::of(data)?;
    rows(&mut shape, "subscribers", false, |subscriber| {
        let mut shape = member(subscriber)?;
        nested(&mut shape, "features", features);
        if is_absent(&shape, "features") {
            // The page accesses its fields without checking that it is present.
            shape.put("features", json!({}));
        }
        shape.finish()
    });
    shape.finish()
}

fn features(data: &Value) -> Result<String, Vec<Fault>> {
    let mut shape = Shape::of(data)?;
    shape.number(&["max_concurrent_trades"], Optional);
    shape.number(&["max_strategies"], Optional);
    shape.flag(&["day_trading"], Optional);
    shape.flag(&["api_access"], Optional);
    shape.finish()
}

fn admin_revenue(data: &Value) -> Result<String, Vec<Fault>> {
    let mut shape = Shape::of(data)?;
    shape.number(&["monthly_recurring_revenue", "monthly_revenue"], Required);
    shape.field(&["revenue_by_tier"], Optional, numbers);
    shape.field(&["subscribers_by_tier"], Optional, numbers);
    shape.finish()
}

fn admin_user_analytics(data: &Value) -> Result<String, Vec<Fault>> {
    let mut shape = Shape::of(data)?;
    shape.number(&["total_users"], Required);
    shape.field(&["by_status"], Optional, numbers);
    shape.field(&["by_tier"], Optional, numbers);
    shape.finish()
}

/// Parses a user or subscriber.
fn member(data: &Value) -> Result<Shape<'_>, Vec<Fault>> {
    let mut shape = Shape::of(data)?;
    shape.text(&["user_id"], Required, Audience::MAX_USER);
    for name in ["tier", "status", "start_date"] {
        shape.text(&[name], Optional, MAX_WORD);
    }
    Ok(shape)
}

fn is_absent(shape: &Shape<'_>, name: &str) -> bool {
    shape.get(name).is_none_or(Value::is_null)
}

/// A number that the page prints without a check. It would print `NaN` or `undefined` for a missing one.
fn or_zero(shape: &mut Shape<'_>, name: &'static str) {
    if is_absent(shape, name) {
        shape.put(name, 0);
    }
}

/// The sender's time, or the current one.
fn stamp(shape: &mut Shape<'_>, now: DateTime<Utc>) {
    shape.time(&["timestamp"], Optional);
    if shape.get("timestamp").is_none_or(Value::is_null) {
        shape.put("timestamp", iso(now));
    }
}

/// An object whose values are numbers.
fn numbers(value: &Value) -> Result<Value, String> {
    let read = |(name, value): (&String, &Value)| Some((name.clone(), json_number(number(value).ok()?)));
    let numbers = value.as_object().and_then(|object| object.iter().map(read).collect::<Option<Map<_, _>>>());
    numbers.map(Value::Object).ok_or_else(|| "must be an object of numbers".into())
}

/// An object within the object.
fn nested(shape: &mut Shape<'_>, name: &'static str, read: impl Fn(&Value) -> Result<String, Vec<Fault>>) {
    let Some(value) = shape.consume(&[name]) else { return };
    match read(value) {
        Ok(object) => shape.put(name, reparse(&object)),
        Err(faults) => within(name, faults).into_iter().for_each(|fault| shape.push(fault)),
    }
}

/// A list of objects, always written.
fn rows(
    shape: &mut Shape<'_>,
    name: &'static str,
    may_be_missing: bool,
    read: impl Fn(&Value) -> Result<String, Vec<Fault>>,
) {
    match shape.consume(&[name]) {
        None if may_be_missing => shape.put(name, Vec::<Value>::new()),
        None => shape.push(Fault::required(name)),
        Some(Value::Array(list)) => match each(list, name, read) {
            Ok(rows) => shape.put(name, rows.iter().map(|row| reparse(row)).collect::<Vec<_>>()),
            Err(faults) => faults.into_iter().for_each(|fault| shape.push(fault)),
        },
        Some(_) => shape.fault(name, "must be a list"),
    }
}

/// Parses each entry of a list. Faults are named `list[0].field`.
fn each<T>(list: &[Value], name: &str, read: impl Fn(&Value) -> Result<T, Vec<Fault>>) -> Result<Vec<T>, Vec<Fault>> {
    let (mut entries, mut faults) = (Vec::new(), Vec::new());
    for (index, entry) in list.iter().enumerate() {
        match read(entry) {
            Ok(entry) => entries.push(entry),
            Err(more) => faults.extend(within(&format!("{name}[{index}]"), more)),
        }
    }
    if faults.is_empty() { Ok(entries) } else { Err(faults) }
}

/// Prefixes faults with their place. A shape calls itself `data`.
fn within(place: &str, faults: Vec<Fault>) -> Vec<Fault> {
    let name = |field: &str| if field == "data" { place.to_owned() } else { format!("{place}.{field}") };
    faults.into_iter().map(|fault| fault.renamed(name)).collect()
}

/// Parses an encoded object, to embed it in another.
fn reparse(object: &str) -> Value {
    serde_json::from_str(object).unwrap_or(Value::Null)
}
