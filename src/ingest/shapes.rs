//! Bodies that contain signals in an unsupported shape: explains what to send instead.

use serde_json::{Map, Value};

use super::PushError;
use super::aliases::{DIRECTION, SYMBOL, normalized};
use crate::domain::Instruments;

/// Longest quote of a name in the answer, in characters.
const MAX_NAME: usize = 32;

/// Returns the fault of a body that is not an object.
pub(super) fn not_an_object(value: &Value) -> PushError {
    PushError::whole(match value {
        Value::Array(_) => "must be a JSON object: send each signal of the list by itself",
        Value::String(text) if text.trim_start().starts_with('{') => {
            "must be a JSON object, not a text that holds one: send the object without the quotes around it"
        }
        _ => "must be a JSON object",
    })
}

/// Returns the fault of an object without signal fields that contains objects with them: a map by symbol, or a list
/// under one name.
pub(super) fn several(object: &Map<String, Value>, instruments: &Instruments) -> Option<PushError> {
    let is_signal = |value: &Value| {
        value.as_object().is_some_and(|inner| {
            let is_field = |field: &super::aliases::FieldAliases| {
                let mut names = std::iter::once(&field.name).chain(field.aliases);
                names.any(|name| inner.keys().any(|key| normalized(key) == normalized(name)))
            };
            is_field(&SYMBOL) || is_field(&DIRECTION)
        })
    };
    let cut = |name: &str| name.chars().take(MAX_NAME).collect::<String>();
    for (name, value) in object {
        if value.as_array().is_some_and(|list| list.iter().any(is_signal)) {
            let name = cut(name);
            return Some(PushError::whole(&format!(
                "holds a list of signals in {name}: send one object per signal, each with id, symbol and direction \
                 (action, side)"
            )));
        }
    }
    let by_symbol = object.iter().any(|(name, value)| value.is_object() && instruments.resolve(name).is_ok());
    if by_symbol || object.values().any(is_signal) {
        return Some(PushError::whole(
            "holds one object for each symbol: send one object per signal, each with id, symbol and direction (action, \
             side); for HOLD send nothing",
        ));
    }
    None
}
