//! Filters of signals. Every subscription and the history have the same, by the same names.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Direction, Killzone, SetupKind, Signal, SignalStatus, SourceName, TradeOutcome};

/// Maximum number of values of one filter.
const MAX_VALUES: usize = 32;
/// Maximum length of a value, in characters.
const MAX_VALUE: usize = 64;

/// Which signals a client wants. A filter that is not set admits every signal.
///
/// It judges each event by the signal as it is in that event, and nothing else: a signal that no longer matches is not
/// announced.
#[derive(Debug, Clone, PartialEq, Default, Serialize, ToSchema)]
pub struct SignalFilter {
    /// The smallest confidence, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_confidence: Option<f64>,
    /// The directions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    directions: Vec<Direction>,
    /// The windows of the trading day.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    killzones: Vec<Killzone>,
    /// The setups, as the signal's `reason` names them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    setups: Vec<SetupKind>,
    /// The sources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sources: Vec<SourceName>,
    /// The states.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<SignalStatus>,
}

/// Sets a filter from its values, or says what they must be.
type Set = fn(&mut SignalFilter, &[&str]) -> Result<(), String>;

/// Every filter: its name, and how it is read.
const FILTERS: [(&str, Set); 6] = [
    ("min_confidence", |filter, values| {
        let number = |text: &&str| text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
        let [confidence] = values else { return Err("must be one number from 0 to 1".into()) };
        let confidence = number(confidence).ok_or_else(|| "must be a number from 0 to 1".to_owned())?;
        filter.min_confidence = Some(confidence);
        Ok(())
    }),
    ("directions", |filter, values| {
        set(&mut filter.directions, values, &[Direction::Long, Direction::Short], Direction::name, |text| {
            [Direction::Long, Direction::Short].into_iter().find(|direction| direction.name() == text)
        })
    }),
    ("killzones", |filter, values| set(&mut filter.killzones, values, &Killzone::ALL, Killzone::name, Killzone::parse)),
    ("setups", |filter, values| {
        set(&mut filter.setups, values, &SetupKind::ALL, SetupKind::wire_name, |text| {
            let named = SetupKind::ALL.into_iter().find(|setup| setup.wire_name() == text);
            named.or_else(|| SetupKind::named_in(text))
        })
    }),
    ("sources", |filter, values| {
        filter.sources = values.iter().map(|name| SourceName::new(name)).collect();
        Ok(())
    }),
    ("statuses", |filter, values| {
        set(&mut filter.statuses, values, &SignalStatus::ALL, SignalStatus::name, |text| {
            SignalStatus::ALL.into_iter().find(|status| status.name() == text)
        })
    }),
];

/// Reads each value as one of a list of words, in any case.
fn set<T: Copy + PartialEq>(
    target: &mut Vec<T>,
    values: &[&str],
    all: &[T],
    name: fn(T) -> &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<(), String> {
    let mut found = Vec::new();
    for value in values {
        let Some(value) = read(&value.to_ascii_lowercase()) else {
            let known: Vec<_> = all.iter().map(|value| name(*value)).collect();
            return Err(format!("must be of {}, not '{value}'", known.join(", ")));
        };
        if !found.contains(&value) {
            found.push(value);
        }
    }
    *target = found;
    Ok(())
}

impl SignalFilter {
    /// Returns the names of all filters.
    pub fn names() -> [&'static str; FILTERS.len()] {
        FILTERS.map(|(name, _)| name)
    }

    /// Whether there is a filter of this name.
    pub fn has(name: &str) -> bool {
        Self::names().contains(&name)
    }

    /// Returns what is wrong with the name of a filter that does not exist, after that name.
    pub fn unknown() -> String {
        format!("is no filter; the filters are {}", Self::names().join(", "))
    }

    /// Sets the filter `name`: from one value, from several in one text with commas between them, or from a list. The name
    /// must be that of a filter.
    ///
    /// # Errors
    /// What the value must be.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<(), String> {
        let entries = match value {
            Value::Array(entries) => entries.as_slice(),
            one => std::slice::from_ref(one),
        };
        let texts = entries.iter().map(|entry| match entry {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err("must be a value or a list of values".to_owned()),
        });
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        let values: Vec<_> = texts.iter().flat_map(|text| text.split(',')).map(str::trim).collect();
        if values.len() > MAX_VALUES {
            return Err(format!("must have at most {MAX_VALUES} values"));
        }
        if values.is_empty() || values.iter().any(|value| !(1..=MAX_VALUE).contains(&value.chars().count())) {
            return Err(format!("must have values of 1 to {MAX_VALUE} characters; leave it out to admit all"));
        }
        let (_, set) = FILTERS.iter().find(|(known, _)| *known == name).ok_or_else(Self::unknown)?;
        set(self, &values)
    }

    /// Whether it admits every signal.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it admits a signal in its present state.
    pub fn admits(&self, signal: &Signal) -> bool {
        let Signal { confidence, state, direction, killzone, source, reason, .. } = signal;
        // The setup comes last, because it reads a text.
        self.judge(*confidence, state.status(), *direction, *killzone, source)
            && self.admits_setup(|| SetupKind::named_in(reason))
    }

    /// Whether it admits the signal of a record, as it was confirmed.
    pub fn admits_outcome(&self, outcome: &TradeOutcome) -> bool {
        let TradeOutcome { confidence, direction, killzone, source, setup, .. } = outcome;
        self.judge(*confidence, SignalStatus::Confirmed, *direction, *killzone, source) && self.admits_setup(|| *setup)
    }

    fn judge(
        &self,
        confidence: f64,
        status: SignalStatus,
        direction: Direction,
        killzone: Killzone,
        source: &SourceName,
    ) -> bool {
        fn any<T: PartialEq>(wanted: &[T], value: &T) -> bool {
            wanted.is_empty() || wanted.contains(value)
        }
        self.min_confidence.is_none_or(|least| confidence >= least)
            && any(&self.statuses, &status)
            && any(&self.directions, &direction)
            && any(&self.killzones, &killzone)
            && any(&self.sources, source)
    }

    fn admits_setup(&self, setup: impl FnOnce() -> Option<SetupKind>) -> bool {
        self.setups.is_empty() || setup().is_some_and(|setup| self.setups.contains(&setup))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::domain::{Instruments, Now, SignalDraft, SignalId, parse_time};

    fn signal(draft: SignalDraft) -> Signal {
        let instruments = Instruments::new(Instruments::documented()).unwrap();
        let draft = SignalDraft {
            direction: Some(Direction::Long),
            confidence: Some(0.8),
            killzone: Some(Killzone::London),
            reason: Some("MSS + FVG at the open".into()),
            ..draft
        };
        let wall = parse_time("2026-01-15T08:00:00Z").unwrap();
        let now = Now { wall, mono: std::time::Duration::ZERO };
        let (id, source) = (SignalId::new("s").unwrap(), SourceName::new("push"));
        let instrument = instruments.resolve("EURUSD").unwrap();
        Signal::create(id, &draft, instrument, source, now, std::time::Duration::from_mins(5)).unwrap()
    }

    fn filter(fields: &Value) -> Result<SignalFilter, String> {
        let mut filter = SignalFilter::default();
        for (name, value) in fields.as_object().unwrap() {
            filter.set(name, value)?;
        }
        Ok(filter)
    }

    #[test]
    fn every_filter_admits_what_it_names() {
        let signal = signal(SignalDraft::default());
        for (fields, admits) in [
            (json!({}), true),
            (json!({"min_confidence": 0.8}), true),
            (json!({"min_confidence": "0.81"}), false),
            (json!({"directions": "long"}), true),
            (json!({"directions": ["SHORT"]}), false),
            (json!({"killzones": "ny_am, London Open"}), true),
            (json!({"killzones": ["pm", "lunch"]}), false),
            (json!({"setups": ["bos", "mss_fvg"]}), true),
            (json!({"setups": "MSS+FVG"}), true),
            (json!({"setups": "order_block"}), false),
            (json!({"sources": ["ict", "push"]}), true),
            (json!({"sources": "ict"}), false),
            (json!({"statuses": "pending"}), true),
            (json!({"statuses": ["confirmed", "invalidated"]}), false),
            (json!({"min_confidence": 0.5, "directions": "long", "statuses": "confirmed"}), false),
        ] {
            assert_eq!(filter(&fields).unwrap().admits(&signal), admits, "{fields}");
        }
    }

    #[test]
    fn a_wrong_value_is_explained() {
        for (fields, reason) in [
            (json!({"min_confidence": 85}), "must be a number from 0 to 1"),
            (json!({"min_confidence": [0.1, 0.2]}), "must be one number from 0 to 1"),
            (json!({"directions": "up"}), "must be of long, short, not 'up'"),
            (json!({"statuses": ["open"]}), "must be of pending, confirmed, invalidated, not 'open'"),
            (
                json!({"setups": "smc"}),
                "must be of mss_fvg, order_block, liquidity_sweep, bos, premium_discount, not 'smc'",
            ),
            (json!({"sources": []}), "must have values of 1 to 64 characters; leave it out to admit all"),
            (json!({"sources": vec!["a"; 33]}), "must have at most 32 values"),
            (json!({"killzones": {"a": 1}}), "must be a value or a list of values"),
            (
                json!({"confidence": 1}),
                "is no filter; the filters are min_confidence, directions, killzones, setups, sources, statuses",
            ),
        ] {
            assert_eq!(filter(&fields), Err(reason.to_owned()), "{fields}");
        }
    }

    #[test]
    fn a_filter_is_sent_by_its_names() {
        let fields = json!({"min_confidence": 0.5, "directions": ["long"], "killzones": ["ny_am"],
            "setups": ["mss_fvg"], "sources": ["push"], "statuses": ["pending"]});
        assert_eq!(serde_json::to_value(filter(&fields).unwrap()).unwrap(), fields);
        assert!(filter(&json!({})).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn no_value_panics(text in "\\PC{0,80}", number in any::<f64>()) {
            for name in SignalFilter::names() {
                let mut filter = SignalFilter::default();
                filter.set(name, &json!(text)).ok();
                filter.set(name, &json!([text, number])).ok();
            }
        }
    }
}
