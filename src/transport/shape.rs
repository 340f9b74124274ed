//! Checks a published object field by field and encodes it again in the documented order.
//!
//! It accepts different spellings (numbers as text, upper case), is strict about meaning, and reports all faults at
//! once. Undocumented fields are kept behind the others, because a page may read more than its documents say.

use serde_json::{Map, Value};

use crate::domain::{Fault, iso, number::Number, parse_time};

/// Longest text of a field without a limit of its own, in characters.
pub const MAX_TEXT: usize = 2_000;

/// A published object that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// For states: which one of its type it is; empty where there is only one.
    pub key: String,
    /// The encoded `data` of the message.
    pub data: String,
}

/// Whether a field has to be present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A fault when it is missing or null.
    Required,
    /// Left out when it is missing; null stays null.
    Optional,
}

/// One object while it is checked.
#[derive(Debug)]
pub struct Shape<'a> {
    object: &'a Map<String, Value>,
    consumed: Vec<&'a str>,
    written: Vec<(&'static str, Value)>,
    faults: Vec<Fault>,
}

impl<'a> Shape<'a> {
    /// Begins with an object.
    ///
    /// # Errors
    /// Fails when `data` is not an object.
    pub fn of(data: &'a Value) -> Result<Self, Vec<Fault>> {
        let object = data.as_object().ok_or_else(|| vec![Fault::new("data", "must be an object")])?;
        Ok(Self { object, consumed: Vec::new(), written: Vec::new(), faults: Vec::new() })
    }

    /// Returns the first of `spellings` that is present and not null, and marks all of them as read.
    pub fn consume(&mut self, spellings: &[&'static str]) -> Option<&'a Value> {
        let mut found = None;
        for spelling in spellings {
            if let Some((name, value)) = self.object.get_key_value(*spelling) {
                self.consumed.push(name);
                found = found.or_else(|| Some(value).filter(|value| !value.is_null()));
            }
        }
        found
    }

    /// Whether a field is present and not null.
    pub fn has(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(|value| !value.is_null())
    }

    /// Writes a field, or replaces it.
    pub fn put(&mut self, name: &'static str, value: impl Into<Value>) {
        let value = value.into();
        match self.written.iter_mut().find(|(written, _)| *written == name) {
            Some((_, old)) => *old = value,
            None => self.written.push((name, value)),
        }
    }

    /// Returns a field that was written.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.written.iter().find(|(written, _)| *written == name).map(|(_, value)| value)
    }

    /// Adds a fault.
    pub fn fault(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.push(Fault::new(field, reason));
    }

    /// Adds a fault of any kind.
    pub fn push(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Reads a field (`spellings[0]` is its documented name), checks it with `read`, and writes the result.
    pub fn field(
        &mut self,
        spellings: &[&'static str],
        need: Need,
        read: impl FnOnce(&Value) -> Result<Value, String>,
    ) {
        let name = spellings[0];
        let was_null = spellings.iter().any(|spelling| self.object.get(*spelling).is_some_and(Value::is_null));
        match (self.consume(spellings), need) {
            (Some(value), _) => match read(value) {
                Ok(value) => self.put(name, value),
                Err(reason) => self.fault(name, reason),
            },
            (None, Need::Required) => self.push(Fault::required(name)),
            (None, Need::Optional) if was_null => self.put(name, Value::Null),
            (None, Need::Optional) => {}
        }
    }

    /// Text of 1 to `max` characters. A number becomes text.
    pub fn text(&mut self, spellings: &[&'static str], need: Need, max: usize) {
        self.field(spellings, need, |value| text(value, max).map(Value::from));
    }

    /// A finite number.
    pub fn number(&mut self, spellings: &[&'static str], need: Need) {
        self.field(spellings, need, |value| number(value).map(json_number));
    }

    /// A number within bounds, both included.
    pub fn number_within(&mut self, spellings: &[&'static str], need: Need, min: f64, max: f64) {
        self.field(spellings, need, |value| {
            let number = number(value).ok().filter(|number| (min..=max).contains(number));
            number.map(json_number).ok_or_else(|| format!("must be a number from {min} to {max}"))
        });
    }

    /// One of some words, in lower case.
    pub fn choice(&mut self, spellings: &[&'static str], need: Need, words: &[&str]) {
        self.field(spellings, need, |value| {
            let word = value
                .as_str()
                .map(|word| word.trim().to_ascii_lowercase())
                .filter(|word| words.contains(&word.as_str()));
            word.map(Value::from).ok_or_else(|| format!("must be one of {}", words.join(", ")))
        });
    }

    /// `true` or `false`.
    pub fn flag(&mut self, spellings: &[&'static str], need: Need) {
        self.field(spellings, need, |value| {
            value.as_bool().map(Value::from).ok_or_else(|| "must be true or false".into())
        });
    }

    /// A time in any accepted form; written in ISO 8601 with a zone.
    pub fn time(&mut self, spellings: &[&'static str], need: Need) {
        self.field(spellings, need, |value| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let at = parse_time(&text).ok_or_else(|| "must be an ISO 8601 time or a Unix epoch".to_owned())?;
            Ok(iso(at).into())
        });
    }

    /// An object, unchanged.
    pub fn object(&mut self, spellings: &[&'static str], need: Need) {
        self.field(spellings, need, |value| match value {
            Value::Object(_) => Ok(value.clone()),
            _ => Err("must be an object".into()),
        });
    }

    /// Encodes the object: documented fields in the order in which they were read, then the rest.
    ///
    /// # Errors
    /// Returns all faults.
    pub fn finish(self) -> Result<String, Vec<Fault>> {
        if !self.faults.is_empty() {
            return Err(self.faults);
        }
        let rest = self.object.iter().filter(|(name, _)| !self.consumed.contains(&name.as_str()));
        let rest = rest.filter(|(name, _)| !self.written.iter().any(|(written, _)| written == name));
        let written = self.written.iter().map(|(name, value)| (*name, value));
        let fields = written.chain(rest.map(|(name, value)| (name.as_str(), value)));
        let fields = fields.map(|(name, value)| format!("{}:{value}", Value::from(name)));
        Ok(format!("{{{}}}", fields.collect::<Vec<_>>().join(",")))
    }
}

/// Checks text of 1 to `max` characters. A number becomes text.
pub fn text(value: &Value, max: usize) -> Result<String, String> {
    let text = match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    text.filter(|text| (1..=max).contains(&text.chars().count()))
        .ok_or_else(|| format!("must be text of 1 to {max} characters"))
}

/// Checks a finite number, or text that is one.
pub fn number(value: &Value) -> Result<f64, String> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite()).ok_or_else(|| "must be a number".to_owned())
}

/// Returns a number as JavaScript writes it.
pub fn json_number(number: f64) -> Value {
    serde_json::to_value(Number(number)).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_keep_the_documented_order() {
        let data = json!({"extra":[1],"price":"1.0850","SIDE":1,"side":"BUY","id":7,"note":null,"at":1_725_186_600});
        let mut shape = Shape::of(&data).unwrap();
        shape.text(&["id"], Need::Required, 10);
        shape.choice(&["side"], Need::Required, &["buy", "sell"]);
        shape.number(&["price"], Need::Required);
        shape.text(&["note"], Need::Optional, 10);
        shape.time(&["timestamp", "at"], Need::Optional);
        let expected = r#"{"id":"7","side":"buy","price":1.085,"note":null,"timestamp":"2024-09-01T10:30:00.000Z","SIDE":1,"extra":[1]}"#;
        assert_eq!(shape.finish().as_deref(), Ok(expected));
    }

    #[test]
    fn all_faults_are_named() {
        let data = json!({"side":"up","price":"x"});
        let mut shape = Shape::of(&data).unwrap();
        shape.text(&["id"], Need::Required, 10);
        shape.choice(&["side"], Need::Required, &["buy", "sell"]);
        shape.number(&["price"], Need::Required);
        assert_eq!(
            shape.finish().unwrap_err(),
            [
                Fault::required("id"),
                Fault::new("side", "must be one of buy, sell"),
                Fault::new("price", "must be a number"),
            ]
        );
        assert_eq!(Shape::of(&json!([])).unwrap_err(), [Fault::new("data", "must be an object")]);
    }
}
