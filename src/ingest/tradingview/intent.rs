//! Determines the intended direction of an alert, if it has one.

use serde_json::{Map, Value};

use crate::domain::{Direction, Fault};
use crate::ingest::PushError;
use crate::ingest::aliases::{
    DIRECTION, DIRECTION_HINTS, EXCHANGE, FieldAliases, ID, MARKET_POSITION, STATUS, SYMBOL, normalized,
};
use crate::ingest::words::{PENDING_ORDER, TradeWord, direction_token, trade_word};

/// The intent of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    /// A price: no field has a direction.
    Price,
    /// A position is closed or reduced.
    Exit,
    /// No action.
    Hold,
    /// A signal with its direction; `None` if the alert only ends a known signal.
    Signal(Option<Direction>),
}

/// Returns the entries of a field in any spelling that are not null, the documented name first.
pub(super) fn entries<'a>(object: &'a Map<String, Value>, field: &FieldAliases) -> Vec<(&'a str, &'a Value)> {
    let names = std::iter::once(&field.name).chain(field.aliases).chain(field.fallbacks);
    let of = |name: &&str| {
        let name = normalized(name);
        let is_same = move |entry: &(&String, &Value)| normalized(entry.0) == name && !entry.1.is_null();
        object.iter().filter(is_same).map(|(name, value)| (name.as_str(), value)).collect::<Vec<_>>()
    };
    names.flat_map(of).collect()
}

/// Returns the first of these entries.
pub(super) fn entry<'a>(object: &'a Map<String, Value>, field: &FieldAliases) -> Option<&'a Value> {
    entries(object, field).first().map(|(_, value)| *value)
}

/// Returns the first entry of a value that is an object.
pub(super) fn entry_of<'a>(value: &'a Value, field: &FieldAliases) -> Option<&'a Value> {
    value.as_object().and_then(|object| entry(object, field))
}

/// Determines the intent from the direction words. The position after the order decides: a sale that leaves a strategy
/// long is not a sell signal.
pub(super) fn intent(object: &Map<String, Value>) -> Result<Intent, PushError> {
    let mut action: Option<(&str, TradeWord)> = None;
    let hints = entries(object, &DIRECTION_HINTS);
    for (at, (name, value)) in entries(object, &DIRECTION).into_iter().chain(hints.iter().copied()).enumerate() {
        let is_hint = at >= entries(object, &DIRECTION).len();
        let word = match (value.as_str().and_then(trade_word), value) {
            (Some(TradeWord::PendingOrder), _) => return Err(refused(name, PENDING_ORDER)),
            (Some(word), _) => word,
            (None, _) if is_hint => continue,
            (None, Value::Object(_)) => continue,
            (None, _) => return Err(refused(name, "must be buy, sell, long, short, close or exit")),
        };
        match action {
            None => action = Some((name, word)),
            // An event that repeats the action in other words, or a hint without a meaning.
            Some((_, before)) if before == word || word == TradeWord::Hold => {}
            // An exit is an exit, whichever order causes it.
            Some((_, TradeWord::Direction(_))) if word == TradeWord::Exit => action = Some((name, word)),
            Some((_, TradeWord::Exit)) => {}
            Some((other, _)) => return Err(refused(name, &format!("contradicts {other}"))),
        }
    }
    let held = match entry(object, &MARKET_POSITION).and_then(Value::as_str).and_then(trade_word) {
        Some(TradeWord::Direction(held)) => Some(Some(held)),
        Some(TradeWord::Exit) => Some(None),
        _ => None,
    };
    let status = entry(object, &STATUS).and_then(Value::as_str).map(str::to_ascii_lowercase);
    let ends = matches!(status.as_deref(), Some("confirmed" | "invalidated"));
    let direction = match action {
        Some((_, TradeWord::Direction(direction))) => Some(direction),
        _ => None,
    };
    Ok(match (action.map(|(_, word)| word), held) {
        _ if ends => Intent::Signal(direction),
        (Some(TradeWord::Exit), _) | (_, Some(None)) => Intent::Exit,
        (Some(TradeWord::Hold), _) => Intent::Hold,
        (Some(TradeWord::Direction(ordered)), Some(Some(held))) if ordered != held => Intent::Exit,
        (Some(TradeWord::Direction(direction)), _) | (None, Some(Some(direction))) => Intent::Signal(Some(direction)),
        _ => Intent::Price,
    })
}

/// Rejects a body that would be a price, but contains a direction word somewhere.
pub(super) fn no_direction_within(object: &Map<String, Value>) -> Result<(), PushError> {
    let is_name_of_something = |name: &str| {
        let name = normalized(name);
        let names = [SYMBOL, EXCHANGE, ID];
        let mut names = names.iter().flat_map(|field| std::iter::once(&field.name).chain(field.aliases));
        names.any(|known| normalized(known) == name)
    };
    for (name, value) in object.iter().filter(|(name, _)| !is_name_of_something(name)) {
        let said = match value {
            Value::Null | Value::Bool(false) => None,
            value => word_of(value).or_else(|| direction_token(name)),
        };
        if let Some(word) = said {
            let reason = format!(
                "says {word}, and no field says the direction: send action with buy, sell, long, short, close or exit; for a \
                 price alone leave {name} out"
            );
            return Err(refused(name, &reason));
        }
    }
    Ok(())
}

/// Returns a direction word anywhere within a value.
fn word_of(value: &Value) -> Option<&'static str> {
    match value {
        Value::String(text) => direction_token(text),
        Value::Array(entries) => entries.iter().find_map(word_of),
        Value::Object(fields) => {
            fields.iter().find_map(|(name, value)| direction_token(name).or_else(|| word_of(value)))
        }
        _ => None,
    }
}

fn refused(name: &str, reason: &str) -> PushError {
    PushError::Invalid(vec![Fault::new(name, reason)])
}
