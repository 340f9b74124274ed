//! Parses the text of an alert into fields, in any form that expanded placeholders and pasted text can have.

use serde_json::{Map, Value};

use crate::ingest::PushError;
use crate::ingest::aliases::normalized;
use crate::ingest::loose::{self, LooseError};

/// Largest number of fields in a text that is not JSON.
const MAX_PAIRS: usize = 64;
/// Words that mean an absent value.
const NOTHING: [&str; 6] = ["", "na", "n/a", "null", "none", "undefined"];
/// Objects whose fields belong to the alert.
const NESTED: [&str; 6] = ["strategy", "order", "bar", "data", "payload", "alert"];

/// The parsed text of an alert.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum AlertText {
    /// Names and values; absent values are null.
    Fields(Map<String, Value>),
    /// Text written by a person.
    Text(String),
}

/// Parses JSON and near-JSON, `name=value` pairs, forms, and TradingView's default sentence for a strategy. Any other
/// text is returned unchanged.
pub(super) fn read(text: &str) -> Result<AlertText, PushError> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{feff}' | '\u{200b}'));
    let decoded = decoded(text);
    let text = without_fence(decoded.as_deref().unwrap_or(text));
    if text.starts_with(['{', '[']) {
        return object(text).map(AlertText::Fields);
    }
    let fields = sentence(text).or_else(|| pairs(text));
    Ok(fields.map_or_else(|| AlertText::Text(text.to_owned()), |fields| AlertText::Fields(cleaned(fields))))
}

fn object(text: &str) -> Result<Map<String, Value>, PushError> {
    match loose::read(text).map(|read| read.value) {
        Ok(Value::Object(object)) => Ok(cleaned(flat(object))),
        Ok(_) => Err(PushError::whole("must be one JSON object: send each alert by itself")),
        Err(error @ (LooseError::JsonWithinJson(_) | LooseError::Twice(_))) => {
            Err(PushError::whole(&error.to_string()))
        }
        Err(error) => Err(PushError::whole(&format!("begins like JSON, but is not: {error}; quote every placeholder"))),
    }
}

/// Flattens nested objects such as `strategy`: `strategy.order.action` also becomes `action` if there is no other.
fn flat(object: Map<String, Value>) -> Map<String, Value> {
    let (mut fields, mut nested) = (Map::new(), Vec::new());
    for (name, value) in object {
        match value {
            Value::Object(inner) if NESTED.contains(&normalized(&name).as_str()) => nested.push((name, inner)),
            value => drop(fields.insert(name, value)),
        }
    }
    while let Some((path, inner)) = nested.pop() {
        for (name, value) in inner {
            let whole = format!("{path}.{name}");
            match value {
                Value::Object(inner) if path.matches('.').count() < 2 => nested.push((whole, inner)),
                value => {
                    let is_known = whole_names().any(|known| known == normalized(&whole));
                    let is_free = !fields.keys().any(|other| normalized(other) == normalized(&name));
                    fields.insert(if !is_known && is_free { name } else { whole }, value);
                }
            }
        }
    }
    fields
}

/// Returns the names of the field tables that contain a path.
fn whole_names() -> impl Iterator<Item = String> {
    let fields = crate::ingest::aliases::SIGNAL_FIELDS.iter();
    fields
        .flat_map(|field| field.aliases.iter().chain(field.fallbacks))
        .filter(|name| name.contains('.'))
        .map(|name| normalized(name))
}

fn cleaned(fields: Map<String, Value>) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.trim().to_owned(), clean(value))).collect()
}

/// Replaces values that mean "absent", and placeholders that were not expanded, by null. TradingView prints `NaN` for
/// an indicator without a value, and no person sees the answer, so it is accepted here and rejected everywhere else.
fn clean(value: Value) -> Value {
    match value {
        Value::String(text) => {
            let word = text.trim();
            let says_nothing = NOTHING.iter().any(|nothing| word.eq_ignore_ascii_case(nothing))
                || loose::is_not_a_number(word)
                || word.contains("{{");
            if says_nothing { Value::Null } else { Value::String(word.to_owned()) }
        }
        Value::Array(entries) => {
            Value::Array(entries.into_iter().map(clean).filter(|entry| !entry.is_null()).collect())
        }
        other => other,
    }
}

/// Decodes percent-encoding, of the whole text or of the single field of a form; `None` without any.
fn decoded(text: &str) -> Option<String> {
    let is_encoded = |text: &str| text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("%7b"));
    let is_object = |text: &str| text.starts_with('{') && !text.starts_with("{{") && text.ends_with('}');
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let encoded = match text.split_once('=') {
        Some((name, value)) if is_name(name) && is_encoded(value) => value,
        Some((name, value)) if is_name(name) && is_object(value) => return Some(value.to_owned()),
        _ if is_encoded(text) => text,
        _ => return None,
    };
    Some(percent_decoded(encoded))
}

/// Invalid escapes stay unchanged.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let read = match (byte, first) {
            (Some(byte), _) => byte,
            (None, b'+') => b' ',
            (None, other) => *other,
        };
        bytes.push(read);
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// Returns the content of a code fence, or the whole text.
fn without_fence(text: &str) -> &str {
    let Some(rest) = text.strip_prefix("```") else { return text };
    let rest = rest.split_once('\n').map_or(rest, |(_, rest)| rest);
    rest.trim_end().trim_end_matches('`').trim()
}

/// Parses `symbol=EURUSD, action: buy`, separated by line breaks, commas or semicolons, or as a form by `&`.
fn pairs(text: &str) -> Option<Map<String, Value>> {
    let is_form = text.contains('&') && text.split('&').all(|pair| pair.contains('='));
    let mut found: Vec<(String, String)> = Vec::new();
    for line in text.split(['\n', ';', if is_form { '&' } else { '\n' }]) {
        let mut is_first = true;
        for part in line.split(',').filter(|part| !part.trim().is_empty()) {
            let pair = part.split_once('=').or_else(|| part.split_once(':'));
            match (pair, found.last_mut()) {
                (Some((name, value)), _) if is_name(name) => {
                    let value = if is_form { percent_decoded(value) } else { value.trim().to_owned() };
                    found.push((name.trim().to_owned(), value));
                }
                // `25,412.25`, `1.09, 1.10`
                (None, Some((_, value))) if !is_first => {
                    value.push(',');
                    value.push_str(part);
                }
                _ => return None,
            }
            is_first = false;
        }
    }
    if found.is_empty() || found.len() > MAX_PAIRS {
        return None;
    }
    let mut object = Map::new();
    for (name, value) in found {
        match object.get_mut(&name) {
            None => drop(object.insert(name, Value::String(value))),
            // `TP: 4055`, `TP: 4065`
            Some(Value::Array(list)) => list.push(value.into()),
            Some(before) => *before = Value::Array(vec![before.take(), value.into()]),
        }
    }
    Some(object)
}

/// A name has one or two words: `Take Profit`.
fn is_name(name: &str) -> bool {
    let name = name.trim();
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
    name.starts_with(char::is_alphabetic)
        && name.len() <= 40
        && name.chars().all(is_part)
        && name.split(' ').count() <= 3
}

/// Parses `Name (1, 2): order buy @ 1 filled on EURUSD. New strategy position is 1`.
fn sentence(text: &str) -> Option<Map<String, Value>> {
    let (name, rest) = text.split_once("order ")?;
    let (action, rest) = rest.split_once(" @ ")?;
    let (_, rest) = rest.split_once(" filled on ")?;
    let (symbol, position) = rest.split_once(". New strategy position is ")?;
    let position = position.trim().trim_end_matches('.').replace(',', "").replace('−', "-");
    let position: f64 = position.parse().ok()?;
    let held = match position {
        held if held > 0.0 => "long",
        held if held < 0.0 => "short",
        _ => "flat",
    };
    let name = name.trim().trim_end_matches(':');
    let fields = [("symbol", symbol), ("action", action), ("market_position", held), ("reason", name)];
    Some(fields.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value.to_owned()))).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(text: &str) -> Value {
        match read(text).unwrap() {
            AlertText::Fields(fields) => Value::Object(fields),
            AlertText::Text(text) => text.into(),
        }
    }

    #[test]
    fn expanded_placeholders_may_be_anything() {
        for (text, object) in [
            (r#"{"a": NaN, "b": 1.5, "c": }"#, json!({"a": null, "b": 1.5, "c": null})),
            (r#"{"a":,"b":-Infinity,"c":true,"d":[NaN,1]}"#, json!({"a": null, "b": null, "c": true, "d": [1]})),
            (
                r#"{"a": "NaN", "b": "", "c": "{{plot(\"x\")}}", "d": " n/a "}"#,
                json!({"a": null, "b": null, "c": null, "d": null}),
            ),
            (
                "{\"Reason\": \"two\nlines \\\"and\\\" quotes\", \"n\": na}",
                json!({"Reason": "two\nlines \"and\" quotes", "n": null}),
            ),
        ] {
            assert_eq!(fields(text), object, "{text}");
        }
    }

    #[test]
    fn nested_fields_stand_beside_the_others() {
        let text = r#"{"ticker":"EURUSD","strategy":{"order":{"action":"buy","price":1.16},"market_position":"long"},"bar":{"close":1.17}}"#;
        let flat = json!({"ticker": "EURUSD", "strategy.order.action": "buy", "strategy.order.price": 1.16,
            "strategy.market_position": "long", "close": 1.17});
        assert_eq!(fields(text), flat);
        let text = r#"{"ticker":"EURUSD","strategy":{"order_action":"buy"}}"#;
        assert_eq!(fields(text), json!({"ticker": "EURUSD", "strategy.order_action": "buy"}));
    }

    #[test]
    fn text_is_pairs_form_or_default_sentence() {
        for (text, object) in [
            ("Symbol=EURUSD\naction: buy\n\nprice=1.08", json!({"Symbol": "EURUSD", "action": "buy", "price": "1.08"})),
            ("symbol=EURUSD, time=2024-09-01T10:30:00Z", json!({"symbol": "EURUSD", "time": "2024-09-01T10:30:00Z"})),
            ("symbol=NQ1!, price=25,412.25", json!({"symbol": "NQ1!", "price": "25,412.25"})),
            ("ticker=EUR%2FUSD&action=buy&price=1.16", json!({"ticker": "EUR/USD", "action": "buy", "price": "1.16"})),
            ("payload=%7B%22ticker%22%3A%22EURUSD%22%7D", json!({"ticker": "EURUSD"})),
            ("payload={\"ticker\": \"EURUSD\"}", json!({"ticker": "EURUSD"})),
            ("%7b%22ticker%22:+%22EURUSD%22%7d", json!({"ticker": "EURUSD"})),
            ("```json\n{\"ticker\": \"EURUSD\"}\n```", json!({"ticker": "EURUSD"})),
            ("Symbol: EURUSD\nTP: 1.17\nTP: 1.18", json!({"Symbol": "EURUSD", "TP": ["1.17", "1.18"]})),
            (
                "MACD (12, 26): order sell @ 2 filled on NQ1!. New strategy position is -2",
                json!({"symbol": "NQ1!", "action": "sell", "market_position": "short", "reason": "MACD (12, 26)"}),
            ),
        ] {
            assert_eq!(fields(text), object, "{text}");
        }
        for text in ["hello", "just, words", "BUY EURUSD @ 1.16 SL: 1.15", "BUY XAUUSD\nSL: 4038"] {
            assert_eq!(read(text), Ok(AlertText::Text(text.to_owned())), "{text}");
        }
        for text in ["[1]", "{\"a\"", "{a b c"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
