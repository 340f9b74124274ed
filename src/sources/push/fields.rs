//! Reading of one pushed JSON object: forgiving about spelling, strict about meaning, all faults at once.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::fault::PushFault;
use crate::domain::{Direction, Fault, Instrument, Instruments, SignalStatus, parse_time};

/// Prices at or above this are nobody's prices.
const PRICE_LIMIT: f64 = 1e9;
/// Says the same to every missing field, so that [`PushFault`] can tell that nothing else is wrong.
pub(in crate::sources) const REQUIRED: &str = "is required";

/// What a value should have been, for a person.
pub(in crate::sources) type Reason = String;

/// The fields of one object, and what was found wrong with them.
#[derive(Debug)]
pub(in crate::sources) struct Fields<'a> {
    object: &'a Map<String, Value>,
    /// What stands before a field's name in a fault: `prices[3].` within a batch, else nothing.
    prefix: String,
    faults: Vec<Fault>,
    unknown_symbols: usize,
    written: Written,
}

/// Which spelling the sender chose, where it is not the documented one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::sources) struct Written(Vec<(&'static str, &'static str)>);

impl Written {
    /// Names a fault's field as the sender wrote it.
    pub(in crate::sources) fn name(&self, fault: Fault) -> Fault {
        match self.0.iter().find(|(documented, _)| *documented == fault.field) {
            Some((_, written)) => Fault { field: (*written).to_owned(), ..fault },
            None => fault,
        }
    }
}

impl<'a> Fields<'a> {
    pub(in crate::sources) fn new(object: &'a Map<String, Value>, prefix: String) -> Self {
        Self { object, prefix, faults: Vec::new(), unknown_symbols: 0, written: Written::default() }
    }

    /// Whether one of the spellings is there and not null.
    pub(in crate::sources) fn has(&self, spellings: &[&'static str]) -> bool {
        self.find(spellings).is_some()
    }

    /// Whether nothing is wrong so far.
    pub(in crate::sources) fn is_faultless(&self) -> bool {
        self.faults.is_empty()
    }

    fn find(&self, spellings: &[&'static str]) -> Option<(&'static str, &'a Value)> {
        let present = |name: &&'static str| self.object.get(*name).filter(|value| !value.is_null());
        spellings.iter().find_map(|name| Some((*name, present(name)?)))
    }

    /// Reads the first of `spellings` (the documented one comes first) that is there; null is absent.
    pub(in crate::sources) fn read<T>(
        &mut self,
        spellings: &[&'static str],
        read: impl FnOnce(&'a Value) -> Result<T, Reason>,
    ) -> Option<T> {
        let (name, value) = self.find(spellings)?;
        if name != spellings[0] {
            self.written.0.push((spellings[0], name));
        }
        read(value).map_err(|reason| self.fault(name, reason)).ok()
    }

    /// Like [`read`](Self::read) for a list, whose entries have faults of their own.
    pub(in crate::sources) fn read_list<T>(
        &mut self,
        spellings: &[&'static str],
        max: usize,
        read: impl Fn(&'a Value) -> Result<T, Reason>,
    ) -> Option<Vec<T>> {
        let entries = self.read(spellings, |value| match value {
            Value::Array(entries) if entries.len() <= max => Ok(entries),
            _ => Err(format!("must be a list of at most {max}")),
        })?;
        let name = self.find(spellings)?.0;
        let faults_before = self.faults.len();
        let mut list = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            match read(entry) {
                Ok(entry) => list.push(entry),
                Err(reason) => self.fault(format_args!("{name}[{index}]"), reason),
            }
        }
        (self.faults.len() == faults_before).then_some(list)
    }

    /// The instrument that `symbol` names in whatever spelling.
    pub(in crate::sources) fn instrument<'i>(&mut self, instruments: &'i Instruments) -> Option<&'i Instrument> {
        let spelling = self.read(&["symbol"], |value| match value {
            Value::String(spelling) if !spelling.trim().is_empty() => Ok(spelling.as_str()),
            _ => Err("must be the name of an instrument".to_owned()),
        })?;
        match instruments.resolve(spelling) {
            Ok(instrument) => Some(instrument),
            Err(unknown) => {
                self.unknown_symbols += 1;
                self.fault("symbol", unknown.to_string());
                None
            }
        }
    }

    pub(in crate::sources) fn fault(&mut self, field: impl std::fmt::Display, reason: impl Into<String>) {
        self.faults.push(Fault::new(format!("{}{field}", self.prefix), reason));
    }

    /// Adds what the domain finds wrong, under the sender's spelling; a field that is already named is not named again.
    pub(in crate::sources) fn add(&mut self, faults: Vec<Fault>) {
        for fault in faults {
            let fault = self.written.name(fault);
            if !self.faults.iter().any(|known| root(&known.field) == fault.field) {
                self.faults.push(fault);
            }
        }
    }

    /// The spellings that were used, when nothing is wrong.
    pub(in crate::sources) fn finish(self) -> Result<Written, PushFault> {
        PushFault::of(self.faults, self.unknown_symbols).map_or(Ok(self.written), Err)
    }

    /// What is wrong, and how much of it is only an unknown symbol.
    pub(in crate::sources) fn into_faults(self) -> (Vec<Fault>, usize) {
        (self.faults, self.unknown_symbols)
    }
}

/// `take_profits` of `take_profits[2]`.
fn root(field: &str) -> &str {
    field.split('[').next().unwrap_or(field)
}

/// A finite number, or text that is one.
pub(in crate::sources) fn number(value: &Value) -> Result<f64, Reason> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite()).ok_or_else(|| "must be a number".to_owned())
}

/// A number within bounds, both included.
pub(in crate::sources) fn number_within(value: &Value, min: f64, max: f64) -> Result<f64, Reason> {
    let wrong = || format!("must be a number from {min} to {max}");
    number(value).ok().filter(|number| (min..=max).contains(number)).ok_or_else(wrong)
}

/// A price above zero, also once it is on the instrument's grid.
pub(in crate::sources) fn price(value: &Value, instrument: Option<&Instrument>) -> Result<f64, Reason> {
    let number = number(value).ok().filter(|price| *price > 0.0 && *price < PRICE_LIMIT);
    let number = number.ok_or_else(|| "must be a number above 0 and below 1000000000".to_owned())?;
    match instrument {
        Some(instrument) if instrument.round(number) <= 0.0 => {
            Err(format!("must be at least {} for {}", instrument.tick_size, instrument.symbol))
        }
        _ => Ok(number),
    }
}

/// Model score: 0 to 1, or above 1 to 100 in percent.
pub(in crate::sources) fn confidence(value: &Value) -> Result<f64, Reason> {
    let wrong = || "must be a number from 0 to 1, or up to 100 in percent".to_owned();
    let score = number_within(value, 0.0, 100.0).map_err(|_| wrong())?;
    Ok(if score > 1.0 { score / 100.0 } else { score })
}

/// Text of at most `max` characters.
pub(in crate::sources) fn text(value: &Value, max: usize) -> Result<&str, Reason> {
    let text = value.as_str().filter(|text| text.chars().count() <= max);
    text.ok_or_else(|| format!("must be text of at most {max} characters"))
}

/// ISO 8601 or a Unix epoch, as text or number.
pub(in crate::sources) fn time(value: &Value) -> Result<DateTime<Utc>, Reason> {
    let time = match value {
        Value::String(text) => parse_time(text),
        Value::Number(epoch) => parse_time(&epoch.to_string()),
        _ => None,
    };
    time.ok_or_else(|| "must be an ISO 8601 time or a Unix epoch".to_owned())
}

/// `true` or `false`, also as text.
pub(in crate::sources) fn flag(value: &Value) -> Result<bool, Reason> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

pub(in crate::sources) fn direction(value: &Value) -> Result<Direction, Reason> {
    match word(value).as_deref() {
        Some("long" | "buy") => Ok(Direction::Long),
        Some("short" | "sell") => Ok(Direction::Short),
        _ => Err("must be long, short, buy or sell".to_owned()),
    }
}

pub(in crate::sources) fn status(value: &Value) -> Result<SignalStatus, Reason> {
    match word(value).as_deref() {
        Some("pending") => Ok(SignalStatus::Pending),
        Some("confirmed") => Ok(SignalStatus::Confirmed),
        Some("invalidated") => Ok(SignalStatus::Invalidated),
        _ => Err("must be pending, confirmed or invalidated".to_owned()),
    }
}

fn word(value: &Value) -> Option<String> {
    value.as_str().map(|word| word.trim().to_ascii_lowercase())
}
