//! Messages that others publish for ARIA: checked, and converted to the form that the page reads.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::describe::{BarData, IdeaData, OrderData, PayloadData, SignalData, TickData};
use crate::dashboards::aria::types;
use crate::domain::number::difference;
use crate::domain::{Fault, MessageType, iso};
use crate::transport::events::{PublishedType, as_published};
use crate::transport::shape::{MAX_TEXT, Need, Parsed, Shape, json_number};

/// The types.
pub(super) const TYPES: [PublishedType; 6] = [
    PublishedType {
        on_user_streams: Some(as_published),
        ..PublishedType::new::<OrderData>(types::ORDER_UPDATE, parse)
    },
    PublishedType::new::<IdeaData>(types::IDEA, parse),
    PublishedType::new::<PayloadData>(types::PREPARED_PAYLOAD, parse),
    PublishedType::new::<BarData>(types::BAR, parse),
    PublishedType::new::<TickData>(types::TICK, parse),
    PublishedType::new::<SignalData>(types::SIGNAL, parse),
];

/// Longest symbol, in characters. Any symbol is accepted: AAPL, BTC-ZAR.
const MAX_SYMBOL: usize = 32;
/// Longest name of a model, a setup or an order, in characters.
const MAX_NAME: usize = 128;

/// Checks the `data` of a message. `now` is its time if it has none.
///
/// # Errors
/// Returns all faults; also for a type that ARIA does not read.
pub(super) fn parse(kind: MessageType, data: &Value, now: DateTime<Utc>) -> Result<Vec<Parsed>, Vec<Fault>> {
    let mut shape = Shape::of(data)?;
    if kind == types::ORDER_UPDATE {
        // The page cuts off its last eight characters, so it has to be text.
        shape.text(&["order_id", "ticket"], Need::Required, MAX_NAME);
    }
    shape.text(&["symbol", "pair"], Need::Required, MAX_SYMBOL);
    match kind {
        types::TICK => tick(&mut shape),
        types::SIGNAL => signal(&mut shape),
        types::ORDER_UPDATE => order_update(&mut shape),
        types::IDEA => idea(&mut shape),
        types::BAR => bar(&mut shape),
        types::PREPARED_PAYLOAD => prepared_payload(&mut shape),
        other => return Err(vec![Fault::new("type", format!("{} is not read by ARIA", other.name()))]),
    }
    shape.time(&["timestamp", "time"], Need::Optional);
    if shape.get("timestamp").is_none_or(Value::is_null) {
        shape.put("timestamp", iso(now));
    }
    let key = match kind {
        types::TICK | types::BAR => shape.get("symbol").and_then(Value::as_str).unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    Ok(vec![Parsed { key, data: shape.finish()? }])
}

/// The page crashes without bid, ask and spread; the back end's function names the first two.
fn tick(shape: &mut Shape<'_>) {
    shape.number(&["bid"], Need::Required);
    shape.number(&["ask"], Need::Required);
    shape.number(&["spread"], Need::Optional);
    let number = |shape: &Shape<'_>, name| shape.get(name).and_then(Value::as_f64);
    if number(shape, "spread").is_none()
        && let (Some(bid), Some(ask)) = (number(shape, "bid"), number(shape, "ask"))
    {
        shape.put("spread", json_number(difference(ask, bid)));
    }
}

fn signal(shape: &mut Shape<'_>) {
    side(shape, Need::Required);
    shape.number_within(&["strength"], Need::Required, 0.0, 1.0);
    shape.number_within(&["confidence"], Need::Required, 0.0, 100.0);
    shape.text(&["model"], Need::Optional, MAX_NAME);
    levels(shape);
}

fn order_update(shape: &mut Shape<'_>) {
    side(shape, Need::Required);
    status(shape);
    shape.number(&["volume"], Need::Required);
    shape.number(&["price"], Need::Required);
}

fn idea(shape: &mut Shape<'_>) {
    shape.text(&["type"], Need::Optional, MAX_NAME);
    shape.text(&["timeframe"], Need::Optional, MAX_NAME);
    shape.number_within(&["confidence"], Need::Optional, 0.0, 100.0);
    levels(shape);
    shape.text(&["reasoning"], Need::Optional, MAX_TEXT);
}

fn bar(shape: &mut Shape<'_>) {
    for price in ["open", "high", "low", "close"] {
        shape.number(&[price], Need::Required);
    }
    shape.number(&["volume"], Need::Optional);
}

fn prepared_payload(shape: &mut Shape<'_>) {
    side(shape, Need::Optional);
    shape.number(&["volume"], Need::Optional);
    levels(shape);
    shape.number(&["risk_percent"], Need::Optional);
    shape.number(&["risk_reward_ratio"], Need::Optional);
    shape.flag(&["execution_ready"], Need::Optional);
}

fn levels(shape: &mut Shape<'_>) {
    for level in ["entry_price", "stop_loss", "take_profit"] {
        shape.number(&[level], Need::Optional);
    }
}

fn side(shape: &mut Shape<'_>, need: Need) {
    word(shape, "side", need, &[("buy", "buy"), ("sell", "sell"), ("long", "buy"), ("short", "sell")]);
}

fn status(shape: &mut Shape<'_>) {
    let words = [
        ("filled", "filled"),
        ("pending", "pending"),
        ("cancelled", "cancelled"),
        ("partial_fill", "partial_fill"),
        ("canceled", "cancelled"),
        ("partially_filled", "partial_fill"),
    ];
    word(shape, "status", Need::Required, &words);
}

/// One of some words, each mapped to the word that the page reads.
fn word(shape: &mut Shape<'_>, name: &'static str, need: Need, words: &[(&str, &'static str)]) {
    shape.field(&[name], need, |value| {
        let word = value.as_str().map(str::trim).unwrap_or_default();
        let found = words.iter().find(|(spelling, _)| word.eq_ignore_ascii_case(spelling));
        found.map(|(_, word)| Value::from(*word)).ok_or_else(|| {
            let known: Vec<_> =
                words.iter().filter(|(spelling, word)| spelling == word).map(|(_, word)| *word).collect();
            format!("must be one of {}", known.join(", "))
        })
    });
}
