//! What clients say, in every form they say it: `subscribe`, `unsubscribe`, `ping`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::dialects::orion::{ErrorObject, Unsubscribed};
use crate::domain::{Instruments, Symbol};
use crate::hub::{Selection, Topics};

/// Entries of a list that are looked at; the rest is answered with one error.
const MAX_ENTRIES: usize = 256;

/// Channels and symbols that were named, and what about them was wrong.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// What was named and exists.
    pub topics: Topics,
    /// The symbols they were narrowed to.
    pub symbols: Option<BTreeSet<Symbol>>,
    /// The cursor that was presented, whatever it is.
    pub since: Option<String>,
    /// One for each thing that does not exist.
    pub faults: Vec<ErrorObject>,
}

impl Request {
    /// Reads `{"channels":[…],"symbols":[…],"since":"…"}`, a list of channels, one channel, or nothing (both channels).
    pub fn parse(data: &Value, instruments: &Instruments) -> Self {
        let mut faults = Vec::new();
        let (channels, symbols, since) = match data {
            Value::Object(fields) => {
                let since = fields.get("since").and_then(|since| match since {
                    Value::Null => None,
                    Value::String(since) => Some(since.clone()),
                    other => Some(other.to_string()),
                });
                (fields.get("channels").unwrap_or(&Value::Null), fields.get("symbols").unwrap_or(&Value::Null), since)
            }
            other => (other, &Value::Null, None),
        };
        let symbols = names(symbols, "symbols", &mut faults).map(|spellings| {
            let resolve = |spelling: &String| match instruments.resolve(spelling) {
                Ok(instrument) => Some(instrument.symbol.clone()),
                Err(unknown) => {
                    faults.push(fault("unknown_symbol", unknown.to_string()));
                    None
                }
            };
            spellings.iter().filter_map(resolve).collect::<BTreeSet<_>>()
        });
        let selection = match &symbols {
            None => Selection::All,
            Some(symbols) if symbols.is_empty() => Selection::None,
            Some(symbols) => Selection::Only(symbols.clone()),
        };
        let mut topics = Topics::default();
        match names(channels, "channels", &mut faults) {
            None => topics = Topics { prices: selection.clone(), signals: selection, ..topics },
            Some(channels) => {
                for channel in channels {
                    match channel.as_str() {
                        "prices" => topics.prices = selection.clone(),
                        "signals" => topics.signals = selection.clone(),
                        other => faults.push(fault("unknown_channel", format!("unknown channel '{}'", short(other)))),
                    }
                }
            }
        }
        Self { topics, symbols, since, faults }
    }

    /// The channels that were named and exist.
    pub fn channels(&self) -> Vec<&'static str> {
        let named = [("signals", &self.topics.signals), ("prices", &self.topics.prices)];
        named.into_iter().filter(|(_, selection)| !selection.is_none()).map(|(name, _)| name).collect()
    }

    /// The symbols for the answer; null for all.
    pub fn symbol_list(&self) -> Option<Vec<Symbol>> {
        self.symbols.as_ref().map(|symbols| symbols.iter().cloned().collect())
    }

    /// The answer to an `unsubscribe`.
    pub fn unsubscribed(&self) -> Unsubscribed {
        Unsubscribed { channels: self.channels(), symbols: self.symbol_list() }
    }
}

/// A list of names, or one name; `None` for nothing.
fn names(value: &Value, field: &str, faults: &mut Vec<ErrorObject>) -> Option<Vec<String>> {
    match value {
        Value::Null => None,
        Value::String(name) => Some(vec![name.clone()]),
        Value::Array(entries) => {
            if entries.len() > MAX_ENTRIES {
                faults.push(fault("too_many", format!("{field}: only the first {MAX_ENTRIES} entries are taken")));
            }
            let mut names = Vec::new();
            for entry in entries.iter().take(MAX_ENTRIES) {
                match entry {
                    Value::String(name) => names.push(name.clone()),
                    other => faults
                        .push(fault("invalid_request", format!("{field}: '{}' is no name", short(&other.to_string())))),
                }
            }
            Some(names)
        }
        _ => {
            faults.push(fault("invalid_request", format!("{field} must be a list of names")));
            Some(Vec::new())
        }
    }
}

/// An error for a client.
pub fn fault(code: &'static str, error: impl Into<String>) -> ErrorObject {
    ErrorObject { error: error.into(), code }
}

/// What a client wrote, cut to a length that can be shown.
pub fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(value: &Value) -> Request {
        Request::parse(value, &Instruments::new(Instruments::documented()).unwrap())
    }

    fn only(symbols: &[&str]) -> Selection {
        Selection::Only(symbols.iter().map(|symbol| Symbol::new(symbol)).collect())
    }

    #[test]
    fn every_form_of_subscribe() {
        let both = Topics::market();
        let prices = Topics { prices: Selection::All, signals: Selection::None, ..Topics::default() };
        for (form, topics) in [
            (json!(null), both.clone()),
            (json!({}), both.clone()),
            (
                json!({"type":"subscribe","channels":["signals","prices"],"timestamp":"2024-09-01T10:30:00.000Z"}),
                both.clone(),
            ),
            (json!(["signals", "prices"]), both),
            (json!(["prices"]), prices.clone()),
            (json!("prices"), prices.clone()),
            (json!({"channels":"prices"}), prices),
            (
                json!({"channels":["prices"],"symbols":["EUR/USD","GOLD"]}),
                Topics { prices: only(&["EURUSD", "XAUUSD"]), signals: Selection::None, ..Topics::default() },
            ),
            (
                json!({"symbols":"EURUSD"}),
                Topics { prices: only(&["EURUSD"]), signals: only(&["EURUSD"]), ..Topics::default() },
            ),
            (json!([]), Topics::default()),
        ] {
            let request = parse(&form);
            assert_eq!((request.topics, request.faults), (topics, vec![]), "{form}");
        }
    }

    #[test]
    fn what_does_not_exist_is_named_and_the_rest_holds() {
        let request = parse(&json!({"channels":["prices","trades"],"symbols":["EURUSD","AAPL"],"since":"e:7"}));
        assert_eq!(request.topics, Topics { prices: only(&["EURUSD"]), signals: Selection::None, ..Topics::default() });
        assert_eq!(request.since.as_deref(), Some("e:7"));
        assert_eq!(
            request.faults,
            [fault("unknown_symbol", "unknown symbol 'AAPL'"), fault("unknown_channel", "unknown channel 'trades'"),]
        );
    }

    #[test]
    fn only_unknown_symbols_select_nothing() {
        assert_eq!(parse(&json!({"symbols":["AAPL"]})).topics, Topics::default());
    }

    proptest! {
        #[test]
        fn nothing_that_is_said_panics(text in "\\PC{0,60}", number in any::<f64>()) {
            for value in [json!(text), json!([text]), json!({"channels": text, "symbols": [number]}), json!(number)] {
                parse(&value);
            }
        }
    }
}
