//! Commands of clients in every accepted form: `subscribe`, `unsubscribe`, `ping`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::cursor::MessageCursor;
use super::messages::{ErrorObject, Unsubscribed};
use super::shape::json_number;
use crate::config::parse_duration;
use crate::domain::{CursorError, Fault, FaultKind, Instruments, SignalFilter, Symbol};
use crate::hub::{Selection, Snapshot, Topics};

/// Entries of a list that are read. A longer list gets one error for the rest.
const MAX_ENTRIES: usize = 256;
/// Fields beside the known ones that are read.
const MAX_FIELDS: usize = 16;
/// Range of `max_hz`, in prices per second and symbol.
const MAX_HZ: std::ops::RangeInclusive<f64> = 0.1..=20.0;
/// The channel of the messages that are published for one user.
const USER: &str = "user";
/// The channel of the killzone clock.
const CLOCK: &str = "clock";
/// The channel of the counts of clients.
const PRESENCE: &str = "presence";
/// The code of a filter whose value is invalid.
const INVALID_FILTER: &str = "invalid_filter";
/// Fields of a command that are no filters. Clients send some of them that have no meaning here.
const FIELDS: [&str; 11] = [
    "type",
    "channels",
    "symbols",
    "since",
    "replay",
    "max_hz",
    "last_event_id",
    "timestamp",
    "token",
    "id",
    "protocol",
];

/// The channels and symbols of a command, and the errors in it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SubscriptionRequest {
    /// The named channels and symbols that exist.
    pub topics: Topics,
    /// The symbols to which the channels are narrowed; `None` for all.
    pub symbols: Option<BTreeSet<Symbol>>,
    /// The presented cursor, unparsed.
    pub since: Option<String>,
    /// Whether the channel `user` was named: messages for the user, and for all users.
    pub user: bool,
    /// How far back the snapshot of ended signals should reach, if the client says so.
    pub replay: Option<Duration>,
    /// Limit on the prices per second of each symbol.
    pub max_hz: Option<f64>,
    /// The presented cursor of published messages, or why it is malformed.
    pub last_event_id: Option<Result<MessageCursor, CursorError>>,
    /// One error for each thing that does not exist.
    pub faults: Vec<ErrorObject>,
}

impl SubscriptionRequest {
    /// Parses `{"channels":[…],"symbols":[…],"since":"…","last_event_id":…}`, a list of channels, one channel, or
    /// nothing (prices and signals).
    pub fn parse(data: &Value, instruments: &Instruments) -> Self {
        let mut faults = Vec::new();
        let field = |name: &str| data.as_object().and_then(|fields| fields.get(name)).filter(|value| !value.is_null());
        let since = field("since").map(|since| match since {
            Value::String(since) => since.clone(),
            other => other.to_string(),
        });
        let replay = field("replay").and_then(|asked| parse_replay(asked).map_err(|fault| faults.push(fault)).ok());
        let last_event_id = field("last_event_id").map(MessageCursor::read);
        let max_hz = field("max_hz").and_then(|asked| match asked.as_f64() {
            Some(hz) if MAX_HZ.contains(&hz) => Some(hz),
            _ => {
                let wanted = format!("max_hz must be a number from {} to {}", MAX_HZ.start(), MAX_HZ.end());
                faults.push(fault("invalid_request", wanted));
                None
            }
        });
        let (channels, symbols) = match data {
            Value::Object(_) => (field("channels").unwrap_or(&Value::Null), field("symbols").unwrap_or(&Value::Null)),
            other => (other, &Value::Null),
        };
        let symbols = names(symbols, "symbols", &mut faults).map(|spellings| {
            let resolve = |spelling: &String| match instruments.resolve(spelling) {
                Ok(instrument) => Some(instrument.symbol.clone()),
                Err(unknown) => {
                    faults.push(fault("unknown_symbol", unknown.to_string()));
                    None
                }
            };
            spellings.iter().filter(|spelling| !spelling.is_empty()).filter_map(resolve).collect::<BTreeSet<_>>()
        });
        let selection = match &symbols {
            None => Selection::All,
            Some(symbols) if symbols.is_empty() => Selection::None,
            Some(symbols) => Selection::Only(symbols.clone()),
        };
        let (filter, may_filter) = filter(data, &mut faults);
        let (mut topics, mut user) = (Topics::default(), false);
        match names(channels, "channels", &mut faults) {
            None => topics = Topics { prices: selection.clone(), signals: selection, ..topics },
            Some(channels) => {
                for channel in channels {
                    match channel.as_str() {
                        "prices" => topics.prices = selection.clone(),
                        "signals" => topics.signals = selection.clone(),
                        USER => user = true,
                        CLOCK => topics.clock = true,
                        PRESENCE => topics.presence = true,
                        other => faults.push(unknown_channel(other)),
                    }
                }
            }
        }
        // A client that acts on signals must not get those that it meant to leave out.
        if may_filter {
            topics.filter = filter.map(Arc::new);
        } else {
            topics.signals = Selection::None;
        }
        Self { topics, symbols, since, user, replay, max_hz, last_event_id, faults }
    }

    /// Parses the query of an address, whose lists are texts with commas. What is given twice counts together.
    pub fn of_query(pairs: &[(String, String)], instruments: &Instruments) -> Self {
        let mut fields = Map::new();
        for (name, text) in pairs.iter().filter(|(name, text)| !text.is_empty() || name == "since") {
            let parts = || text.split(',').map(|part| Value::from(part.trim()));
            match fields.entry(name) {
                Entry::Occupied(mut before) => {
                    if let Value::Array(before) = before.get_mut() {
                        before.extend(parts());
                    }
                }
                Entry::Vacant(new) => {
                    let value = match name.as_str() {
                        "since" | "replay" | "last_event_id" => Value::from(text.as_str()),
                        "max_hz" => text.parse().map_or_else(|_| Value::from(text.as_str()), |hz: f64| json_number(hz)),
                        _ => parts().collect(),
                    };
                    new.insert(value);
                }
            }
        }
        Self::parse(&Value::Object(fields), instruments)
    }

    /// Whether the value of a filter is invalid, so that no signals are selected.
    pub fn has_invalid_filter(&self) -> bool {
        self.faults.iter().any(|fault| fault.code == INVALID_FILTER)
    }

    /// Returns the faults by the field that has them.
    pub fn field_faults(&self) -> Vec<Fault> {
        let by_field = |fault: &ErrorObject| match (fault.code, fault.error.split_once([':', ' '])) {
            ("unknown_symbol", _) => Fault { kind: FaultKind::UnknownSymbol, ..Fault::new("symbols", &*fault.error) },
            ("unknown_channel", _) => Fault::new("channels", &*fault.error),
            (_, Some((field, reason))) => Fault::new(field, reason.trim_start()),
            (_, None) => Fault::new("query", &*fault.error),
        };
        self.faults.iter().map(by_field).collect()
    }

    /// Uses `filter`, unless the command has a filter of its own.
    #[must_use]
    pub fn or_filter(mut self, filter: Option<&Arc<SignalFilter>>) -> Self {
        self.topics.filter = self.topics.filter.or_else(|| filter.cloned());
        self
    }

    /// Removes the channel `user`, where it does not exist.
    #[must_use]
    pub fn without_user(mut self) -> Self {
        if std::mem::take(&mut self.user) {
            self.faults.push(unknown_channel(USER));
        }
        self
    }

    /// Returns the named channels that exist.
    pub fn channels(&self) -> Vec<&'static str> {
        let named = [
            ("signals", !self.topics.signals.is_none()),
            ("prices", !self.topics.prices.is_none()),
            (USER, self.user),
            (CLOCK, self.topics.clock),
            (PRESENCE, self.topics.presence),
        ];
        named.into_iter().filter(|(_, named)| *named).map(|(name, _)| name).collect()
    }

    /// Returns the symbols for the answer; null for all.
    pub fn symbol_list(&self) -> Option<Vec<Symbol>> {
        self.symbols.as_ref().map(|symbols| symbols.iter().cloned().collect())
    }

    /// Returns the named symbols that no source feeds now.
    pub fn unfed(&self, snapshot: &Snapshot) -> Vec<Symbol> {
        self.symbols.as_ref().map(|symbols| snapshot.unfed(symbols)).unwrap_or_default()
    }

    /// Returns how far back the snapshot of ended signals reaches, for the answer; `None` if the client did not say.
    pub fn granted_replay(&self, snapshot: &Snapshot) -> Option<Duration> {
        self.replay.map(|asked| asked.min(snapshot.replay_window()))
    }

    /// Returns the filters for the answer; `None` without any.
    pub fn filters(&self) -> Option<Arc<SignalFilter>> {
        self.topics.filter.clone().filter(|_| !self.topics.signals.is_none())
    }

    /// Returns the answer to an `unsubscribe`.
    pub fn unsubscribed(&self) -> Unsubscribed {
        Unsubscribed { channels: self.channels(), symbols: self.symbol_list() }
    }
}

/// Parses how far back a snapshot should reach: `10m`, `90s`.
///
/// # Errors
/// Returns the error for the client when it is not a duration.
pub fn parse_replay(asked: &Value) -> Result<Duration, ErrorObject> {
    let error = || {
        let shown = asked.as_str().map_or_else(|| asked.to_string(), str::to_owned);
        fault(
            "invalid_request",
            format!("replay must be a duration such as \"10m\" or \"90s\", not '{}'", short(&shown)),
        )
    };
    asked.as_str().and_then(parse_duration).ok_or_else(error)
}

/// Reads the filters of a command, and whether all of them are valid. A field that is neither a filter nor anything else
/// is a fault: it is likely to be a filter that is misspelled.
fn filter(data: &Value, faults: &mut Vec<ErrorObject>) -> (Option<SignalFilter>, bool) {
    let fields = data.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let (mut filter, mut is_valid) = (SignalFilter::default(), true);
    for (name, value) in fields.filter(|(name, _)| !FIELDS.contains(&name.as_str())).take(MAX_FIELDS) {
        if !SignalFilter::has(name) {
            faults.push(fault("unknown_filter", format!("{} {}", short(name), SignalFilter::unknown())));
        } else if let Err(reason) = filter.set(name, value) {
            faults.push(fault(INVALID_FILTER, format!("{name} {reason}")));
            is_valid = false;
        }
    }
    (Some(filter).filter(|filter| !filter.is_empty()), is_valid)
}

/// Returns a list of names, or a single name; `None` for null.
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

fn unknown_channel(name: &str) -> ErrorObject {
    fault("unknown_channel", format!("unknown channel '{}'", short(name)))
}

/// Builds an error for a client.
pub fn fault(code: &'static str, error: impl Into<String>) -> ErrorObject {
    ErrorObject { error: error.into(), code }
}

/// Truncates a client's text to a length that can be shown.
pub fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(value: &Value) -> SubscriptionRequest {
        SubscriptionRequest::parse(value, &Instruments::new(Instruments::documented()).unwrap())
    }

    fn only(symbols: &[&str]) -> Selection {
        Selection::Only(symbols.iter().map(|symbol| Symbol::new(symbol)).collect())
    }

    #[test]
    fn every_form_of_subscribe_is_accepted() {
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
    fn the_channel_user_has_to_be_named() {
        for (form, channels) in [
            (json!("user"), vec!["user"]),
            (json!(["user"]), vec!["user"]),
            (json!({"type": "subscribe", "channels": "user"}), vec!["user"]),
            (json!(["user", "prices", "signals"]), vec!["signals", "prices", "user"]),
            (json!({"channels": ["user", "prices"], "symbols": ["EURUSD"]}), vec!["prices", "user"]),
            (json!({"channels": ["user", "prices"], "symbols": []}), vec!["user"]),
            (json!(null), vec!["signals", "prices"]),
            (json!({"last_event_id": 7}), vec!["signals", "prices"]),
        ] {
            let request = parse(&form);
            assert_eq!((request.channels(), request.faults), (channels, vec![]), "{form}");
        }
        let elsewhere = parse(&json!(["user", "prices"])).without_user();
        assert_eq!(elsewhere.channels(), ["prices"]);
        assert_eq!(elsewhere.faults, [fault("unknown_channel", "unknown channel 'user'")]);
    }

    #[test]
    fn every_form_of_a_message_cursor_is_accepted() {
        let read = |id: Value| parse(&json!({"channels": "user", "last_event_id": id})).last_event_id;
        let cursor = |epoch: Option<&str>| Some(Ok(MessageCursor { epoch: epoch.map(Into::into), seq: 42 }));
        assert_eq!(read(json!(null)), None);
        assert_eq!(read(json!(42)), cursor(None));
        assert_eq!(read(json!("42")), cursor(None));
        assert_eq!(read(json!("k3x9:m42")), cursor(Some("k3x9")));
        for nonsense in [json!("k3x9:42"), json!(-1), json!(1.5), json!(""), json!([42]), json!({"seq": 42})] {
            assert_eq!(read(nonsense.clone()), Some(Err(CursorError)), "{nonsense}");
        }
        assert_eq!(parse(&json!("user")).last_event_id, None);
    }

    #[test]
    fn a_price_rate_is_a_number_within_bounds() {
        let read = |max_hz: Value| {
            let request = parse(&json!({"channels": ["prices"], "max_hz": max_hz}));
            (request.max_hz, request.faults.len())
        };
        for hz in [0.1, 0.2, 1.0, 20.0] {
            assert_eq!(read(json!(hz)), (Some(hz), 0));
        }
        assert_eq!((read(json!(1)), read(json!(null))), ((Some(1.0), 0), (None, 0)));
        for wrong in [json!(0), json!(0.09), json!(20.1), json!(-1), json!("1"), json!([1])] {
            assert_eq!(read(wrong.clone()), (None, 1), "{wrong}");
        }
    }

    #[test]
    fn a_replay_is_a_duration() {
        let read = |replay: Value| {
            let request = parse(&json!({"replay": replay}));
            (request.replay.map(|replay| replay.as_secs()), request.faults.len())
        };
        for (asked, seconds) in [("10m", 600), ("90s", 90), (" 1h ", 3600), ("0s", 0)] {
            assert_eq!(read(json!(asked)), (Some(seconds), 0), "{asked}");
        }
        assert_eq!(read(json!(null)), (None, 0));
        for wrong in [json!(""), json!("10"), json!(600), json!("-1m"), json!("soon"), json!(["10m"]), json!(true)] {
            assert_eq!(read(wrong.clone()), (None, 1), "{wrong}");
        }
        let faults = parse(&json!({"replay": "soon"})).faults;
        assert_eq!(
            faults,
            [fault("invalid_request", "replay must be a duration such as \"10m\" or \"90s\", not 'soon'")]
        );
    }

    #[test]
    fn unknown_names_are_reported_and_the_rest_applies() {
        let request = parse(&json!({"channels":["prices","trades"],"symbols":["EURUSD","AAPL"],"since":"e:7"}));
        assert_eq!(request.topics, Topics { prices: only(&["EURUSD"]), signals: Selection::None, ..Topics::default() });
        assert_eq!(request.since.as_deref(), Some("e:7"));
        assert_eq!(
            request.faults,
            [fault("unknown_symbol", "unknown symbol 'AAPL'"), fault("unknown_channel", "unknown channel 'trades'"),]
        );
    }

    #[test]
    fn filters_are_read_and_a_wrong_one_stops_the_signals() {
        let request = parse(&json!({"min_confidence": 0.8, "directions": "long", "killzones": null}));
        assert_eq!((request.channels(), request.faults.len()), (vec!["signals", "prices"], 0));
        let filters = json!({"min_confidence": 0.8, "directions": ["long"]});
        assert_eq!(serde_json::to_value(request.filters()).unwrap(), filters);
        let wrong = parse(&json!({"min_confidence": 80}));
        assert_eq!(wrong.faults, [fault("invalid_filter", "min_confidence must be a number from 0 to 1")]);
        assert_eq!((wrong.channels(), wrong.filters()), (vec!["prices"], None));
        let unknown = parse(&json!({"type": "subscribe", "timestamp": 1, "status": "pending"}));
        let reason =
            "status is no filter; the filters are min_confidence, directions, killzones, setups, sources, statuses";
        assert_eq!((unknown.faults, unknown.topics), (vec![fault("unknown_filter", reason)], Topics::market()));
    }

    #[test]
    fn a_query_is_read_like_a_command() {
        let query = |text: &str| {
            let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
            let pairs: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            SubscriptionRequest::of_query(&pairs, &Instruments::new(Instruments::documented()).unwrap())
        };
        let request =
            query("channels=signals,clock&symbols=EURUSD&symbols=gold,&since=e:7&max_hz=2&token=t&directions=short");
        let expected = parse(&json!({"channels": ["signals", "clock"], "symbols": ["EURUSD", "GOLD"], "since": "e:7",
            "max_hz": 2, "directions": "short"}));
        assert_eq!((request.topics, request.since, request.max_hz), (expected.topics, expected.since, expected.max_hz));
        let wrong = query("symbols=AAPL&channels=trades&max_hz=fast&replay=soon&statuses=open&confidence=1");
        let faults: Vec<_> =
            wrong.field_faults().into_iter().map(|fault| format!("{} {}", fault.field, fault.reason)).collect();
        assert_eq!(
            faults,
            [
                "replay must be a duration such as \"10m\" or \"90s\", not 'soon'",
                "max_hz must be a number from 0.1 to 20",
                "symbols unknown symbol 'AAPL'",
                "confidence is no filter; the filters are min_confidence, directions, killzones, setups, sources, statuses",
                "statuses must be of pending, confirmed, invalidated, not 'open'",
                "channels unknown channel 'trades'",
            ]
        );
    }

    #[test]
    fn the_channel_clock_has_to_be_named() {
        let request = parse(&json!(["clock", "signals"]));
        assert_eq!((request.channels(), request.topics.clock), (vec!["signals", "clock"], true));
        assert!(!parse(&json!(null)).topics.clock);
    }

    #[test]
    fn the_channel_presence_has_to_be_named() {
        let request = parse(&json!(["presence", "clock"]));
        assert_eq!((request.channels(), request.topics.presence), (vec!["clock", "presence"], true));
        assert!(!parse(&json!(null)).topics.presence);
    }

    #[test]
    fn only_unknown_symbols_select_nothing() {
        assert_eq!(parse(&json!({"symbols":["AAPL"]})).topics, Topics::default());
    }

    proptest! {
        #[test]
        fn no_command_panics(text in "\\PC{0,60}", number in any::<f64>()) {
            for value in [json!(text), json!([text]), json!({"channels": text, "symbols": [number], "last_event_id": text}), json!(number)] {
                parse(&value);
            }
        }
    }
}
