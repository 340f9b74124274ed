//! From the text of an alert to a JSON object, whatever its placeholders were expanded to.

use serde_json::{Map, Value};

use crate::sources::push::PushFault;

/// Fields of a text that is not JSON.
const MAX_PAIRS: usize = 64;
/// Words that stand for nothing.
const NOTHING: [&str; 8] = ["", "nan", "na", "n/a", "null", "none", "undefined", "infinity"];

/// Reads JSON, mended where that is needed, or `key=value` pairs, or the sentence that TradingView sends for a strategy when
/// its user writes nothing. Names come out in lower case, and what says nothing is null.
pub(super) fn read(text: &str) -> Result<Map<String, Value>, PushFault> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let object = if text.starts_with('{') {
        let value = serde_json::from_str(text).or_else(|_| serde_json::from_str(&mended(text)));
        match value {
            Ok(Value::Object(object)) => object,
            _ => return Err(PushFault::body("begins like JSON, but is not; quote every placeholder")),
        }
    } else if let Some(object) = sentence(text) {
        object
    } else {
        pairs(text).ok_or_else(|| PushFault::body("must be a JSON object, or lines of name=value"))?
    };
    Ok(object.into_iter().map(|(name, value)| (name.trim().to_ascii_lowercase(), clean(value))).collect())
}

/// A word that says nothing, or a placeholder that was not expanded, is null.
fn clean(value: Value) -> Value {
    match value {
        Value::String(text) => {
            let word = text.trim();
            let nothing = NOTHING.iter().any(|nothing| word.eq_ignore_ascii_case(nothing)) || word.contains("{{");
            if nothing { Value::Null } else { Value::String(word.to_owned()) }
        }
        Value::Array(entries) => Value::Array(entries.into_iter().map(clean).collect()),
        other => other,
    }
}

/// JSON as it was meant: `NaN` and missing values become null, and raw line breaks within texts are escaped.
fn mended(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let (mut in_text, mut escaped, mut wants_value) = (false, false, false);
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if in_text {
            match c {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_control() => {}
                c => out.push(c),
            }
            (in_text, escaped) = (escaped || c != '"', !escaped && c == '\\');
            continue;
        }
        if wants_value && matches!(c, ',' | '}' | ']') {
            out.push_str("null");
        }
        if c == '"' {
            in_text = true;
        }
        if c.is_ascii_alphabetic() || (c == '-' && chars.peek().is_some_and(|(_, next)| next.is_ascii_alphabetic())) {
            let mut end = at + c.len_utf8();
            while let Some((next, _)) = chars.next_if(|(_, next)| next.is_ascii_alphabetic() || *next == '/') {
                end = next + 1;
            }
            let word = &text[at..end];
            out.push_str(if matches!(word, "true" | "false") { word } else { "null" });
        } else {
            out.push(c);
        }
        if !c.is_whitespace() {
            wants_value = c == ':';
        }
    }
    out
}

/// `symbol=EURUSD, action: buy`, separated by line breaks, commas or semicolons.
fn pairs(text: &str) -> Option<Map<String, Value>> {
    let mut object = Map::new();
    for pair in text.split(['\n', ',', ';']).map(str::trim).filter(|pair| !pair.is_empty()).take(MAX_PAIRS) {
        let (name, value) = pair.split_once('=').or_else(|| pair.split_once(':'))?;
        object.insert(name.trim().to_owned(), Value::String(value.trim().to_owned()));
    }
    (!object.is_empty()).then_some(object)
}

/// `Name (1, 2): order buy @ 1 filled on EURUSD. New strategy position is 1`.
fn sentence(text: &str) -> Option<Map<String, Value>> {
    let (name, rest) = text.split_once("order ")?;
    let (action, rest) = rest.split_once(" @ ")?;
    let (_, rest) = rest.split_once(" filled on ")?;
    let (symbol, position) = rest.split_once(". New strategy position is ")?;
    let position: f64 = position.trim().parse().ok()?;
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

    fn read(text: &str) -> Value {
        Value::Object(super::read(text).unwrap())
    }

    #[test]
    fn placeholders_may_have_become_anything() {
        for (text, object) in [
            (r#"{"a": NaN, "b": 1.5, "c": }"#, json!({"a": null, "b": 1.5, "c": null})),
            (r#"{"a":,"b":-Infinity,"c":true,"d":[NaN,1]}"#, json!({"a": null, "b": null, "c": true, "d": [null, 1]})),
            (
                r#"{"a": "NaN", "b": "", "c": "{{plot(\"x\")}}", "d": " n/a "}"#,
                json!({"a": null, "b": null, "c": null, "d": null}),
            ),
            (
                "{\"Reason\": \"two\nlines \\\"and\\\" quotes\", \"n\": na}",
                json!({"reason": "two\nlines \"and\" quotes", "n": null}),
            ),
            ("\u{feff} {\"A\": \"NaN, not: a number\", \"b\": NaN}", json!({"a": "NaN, not: a number", "b": null})),
        ] {
            assert_eq!(read(text), object, "{text}");
        }
    }

    #[test]
    fn text_is_pairs_or_the_default_sentence() {
        assert_eq!(
            read("Symbol=EURUSD\naction: buy\n\nprice=1.08"),
            json!({"symbol": "EURUSD", "action": "buy", "price": "1.08"})
        );
        assert_eq!(
            read("symbol=EURUSD, time=2024-09-01T10:30:00Z"),
            json!({"symbol": "EURUSD", "time": "2024-09-01T10:30:00Z"})
        );
        assert_eq!(
            read("MACD (12, 26): order sell @ 2 filled on NQ1!. New strategy position is -2"),
            json!({"symbol": "NQ1!", "action": "sell", "market_position": "short", "reason": "MACD (12, 26)"})
        );
        for text in ["", "hello", "[1]", "{\"a\"", "{a b c", "just, words"] {
            assert!(super::read(text).is_err(), "{text}");
        }
    }
}
