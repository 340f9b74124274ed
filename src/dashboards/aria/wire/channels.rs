//! Channels: the server's names (`tick`, `order_update`), the page's plural ones (`ticks`, `orders`), and those of one
//! symbol (`symbol:EURUSD`, `tick:EURUSD`).

use std::collections::BTreeSet;

use serde_json::Value;

/// The channel of all messages.
const ALL: &str = "all";
/// Largest number of channels that one client may name.
const MAX_NAMES: usize = 256;
/// Longest name, in characters.
const MAX_NAME: usize = 64;

/// The channels of one client. There is always at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelSet {
    names: BTreeSet<String>,
}

impl Default for ChannelSet {
    fn default() -> Self {
        Self { names: BTreeSet::from([ALL.to_owned()]) }
    }
}

impl ChannelSet {
    /// Creates exactly these channels; an empty list means all.
    pub fn of(names: impl IntoIterator<Item = String>) -> Self {
        let mut channels = Self { names: BTreeSet::new() };
        channels.add(names);
        channels.or_all()
    }

    /// Adds channels.
    pub fn add(&mut self, names: impl IntoIterator<Item = String>) {
        for name in names {
            let name = name.trim();
            if self.names.len() < MAX_NAMES && (1..=MAX_NAME).contains(&name.chars().count()) {
                self.names.insert(name.to_owned());
            }
        }
    }

    /// Removes channels. A client with all channels keeps all; a client without any other channel gets all.
    pub fn remove(&mut self, names: impl IntoIterator<Item = String>) {
        let has_all = self.is_all();
        for name in names {
            self.names.remove(name.trim());
        }
        if has_all {
            self.names.insert(ALL.to_owned());
        }
        *self = std::mem::take(self).or_all();
    }

    fn or_all(self) -> Self {
        if self.names.is_empty() { Self::default() } else { self }
    }

    /// Whether these are all channels.
    pub fn is_all(&self) -> bool {
        self.names.contains(ALL)
    }

    /// Whether they contain a message of type `kind` about `symbol`.
    pub fn contain(&self, kind: &str, symbol: Option<&str>) -> bool {
        self.is_all() || self.names.iter().any(|name| matches(name, kind, symbol))
    }

    /// Returns their names, sorted.
    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// Returns the names in a client's message: a list, one name, or nothing.
    pub fn named(value: Option<&Value>) -> Vec<String> {
        let name = |value: &Value| match value {
            Value::String(name) => Some(name.clone()),
            _ => None,
        };
        match value {
            Some(Value::Array(entries)) => entries.iter().take(MAX_NAMES).filter_map(name).collect(),
            Some(value) => name(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// Returns the names in `?channels=a,b`.
    pub fn listed(list: &str) -> Vec<String> {
        list.split(',').take(MAX_NAMES).map(str::to_owned).collect()
    }
}

fn matches(name: &str, kind: &str, symbol: Option<&str>) -> bool {
    match name.split_once(':') {
        None => is_channel(name, kind),
        Some((channel, wanted)) => {
            (channel == "symbol" || is_channel(channel, kind))
                && symbol.is_some_and(|symbol| symbol.eq_ignore_ascii_case(wanted.trim()))
        }
    }
}

/// Whether a channel, in singular or plural, is the one of a type.
fn is_channel(name: &str, kind: &str) -> bool {
    let singular = name.strip_suffix('s').unwrap_or(name);
    let channel = match singular {
        "order" => "order_update",
        other => other,
    };
    // Ideas are sent under two names.
    channel == kind || (channel == "idea" && kind == "smc_idea")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(names: &[&str]) -> ChannelSet {
        ChannelSet::of(names.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn singular_plural_and_symbol_names_match() {
        for (name, kind, symbol) in [
            ("tick", "tick", "EURUSD"),
            ("ticks", "tick", "EURUSD"),
            ("tick:EURUSD", "tick", "EURUSD"),
            ("ticks:eurusd", "tick", "EURUSD"),
            ("symbol:EURUSD", "signal", "EURUSD"),
            ("orders", "order_update", "EURUSD"),
            ("order:EURUSD", "order_update", "EURUSD"),
            ("idea", "smc_idea", "EURUSD"),
            ("smc_idea", "smc_idea", "EURUSD"),
            ("prepared_payload", "prepared_payload", "EURUSD"),
        ] {
            assert!(of(&[name]).contain(kind, Some(symbol)), "{name}");
        }
        for (name, kind) in [
            ("tick", "signal"),
            ("tick:GBPUSD", "tick"),
            ("symbol:GBPUSD", "tick"),
            ("smc_idea", "idea"),
            ("x", "tick"),
        ] {
            assert!(!of(&[name]).contain(kind, Some("EURUSD")), "{name}");
        }
        assert!(!of(&["symbol:EURUSD"]).contain("tick", None));
    }

    #[test]
    fn a_subscription_never_narrows_all_channels() {
        let mut channels = ChannelSet::default();
        channels.add(["ticks".to_owned()]);
        assert_eq!(channels, of(&["all", "ticks"]));
        channels.remove(["ticks".to_owned(), "all".to_owned(), "signals".to_owned()]);
        assert_eq!(channels, ChannelSet::default());
    }

    #[test]
    fn only_a_replacement_narrows_the_channels() {
        let mut channels = of(&["tick", " signal "]);
        assert!(!channels.is_all());
        channels.remove(["tick".to_owned(), "signal".to_owned()]);
        assert!(channels.is_all());
        assert!(of(&[]).is_all());
        assert!(of(&["", "  "]).is_all());
    }

    #[test]
    fn the_channels_of_a_client_are_bounded() {
        let long = "x".repeat(MAX_NAME + 1);
        assert!(ChannelSet::of([long]).is_all());
        let many = ChannelSet::of((0..1_000).map(|number| number.to_string()));
        assert_eq!(many.names().len(), MAX_NAMES);
        assert_eq!(ChannelSet::named(Some(&json!(["a", 1, null, {}]))), ["a"]);
        assert_eq!(ChannelSet::named(Some(&json!("a"))), ["a"]);
        assert_eq!(ChannelSet::named(None), Vec::<String>::new());
        assert_eq!(ChannelSet::listed("a,b"), ["a", "b"]);
    }
}
