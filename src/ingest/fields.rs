//! Reads a pushed JSON object: every spelling of a field, contradictions between spellings, all faults at once, and the
//! names of unread fields.

use serde_json::{Map, Value};

use super::PushError;
use super::aliases::{EXCHANGE, FieldAliases, SYMBOL, normalized, target_number};
use super::loose;
use super::values::FaultReason;
use crate::domain::{Fault, Instrument, Instruments};

/// How many unread fields the answer names.
const MAX_IGNORED: usize = 20;
/// Longest name of an unread field in the answer, in characters.
const MAX_IGNORED_CHARS: usize = 64;

/// The fields of an object, and the faults found so far.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    entries: Vec<FieldEntry<'a>>,
    /// The prefix of field names in faults: `prices[3].` within a batch, else empty.
    prefix: String,
    faults: Vec<Fault>,
    sent_names: SentNames,
}

/// A field that is present and not null.
#[derive(Debug)]
struct FieldEntry<'a> {
    normalized: String,
    name: &'a str,
    value: &'a Value,
    was_read: bool,
}

/// The sender's spelling of each field, where it is not the documented one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct SentNames(Vec<(&'static str, String)>);

impl SentNames {
    /// Renames a fault's field to the sender's spelling.
    pub(super) fn name(&self, fault: Fault) -> Fault {
        match self.0.iter().find(|(documented, _)| *documented == fault.field) {
            Some((_, sent_names)) => fault.renamed(|_| sent_names.clone()),
            None => fault,
        }
    }
}

impl<'a> Fields<'a> {
    pub(super) fn new(object: &'a Map<String, Value>, prefix: String) -> Self {
        let entries = object.iter().filter(|(_, value)| !value.is_null());
        let entries = entries
            .map(|(name, value)| FieldEntry { normalized: normalized(name), name, value, was_read: false })
            .collect();
        Self { entries, prefix, faults: Vec::new(), sent_names: SentNames::default() }
    }

    /// Returns whether the field is present in any spelling, and not null.
    pub(super) fn has(&self, field: &FieldAliases) -> bool {
        let names = std::iter::once(&field.name).chain(field.aliases).chain(field.fallbacks);
        names.into_iter().any(|name| self.entries.iter().any(|entry| entry.normalized == normalized(name)))
    }

    /// Returns whether there are no faults so far.
    pub(super) fn is_faultless(&self) -> bool {
        self.faults.is_empty()
    }

    /// Removes the entries of a field: all synonyms, the documented name first, or else the first fallback. All of its
    /// names then count as read.
    pub(super) fn take(&mut self, field: &FieldAliases) -> Vec<(&'a str, &'a Value)> {
        let mut found = Vec::new();
        for name in std::iter::once(&field.name).chain(field.aliases) {
            found.extend(self.take_named(name));
        }
        for name in field.fallbacks {
            let fallback = self.take_named(name);
            if found.is_empty() {
                found = fallback;
            }
        }
        if let Some((first, _)) = found.first().filter(|(first, _)| *first != field.name) {
            self.sent_names.0.push((field.name, (*first).to_owned()));
        }
        found
    }

    fn take_named(&mut self, name: &str) -> Vec<(&'a str, &'a Value)> {
        let name = normalized(name);
        let mut found: Vec<_> = Vec::new();
        for entry in self.entries.iter_mut().filter(|entry| entry.normalized == name) {
            entry.was_read = true;
            found.push((entry.name, entry.value));
        }
        found
    }

    /// Removes the numbered target fields, in the order of their numbers.
    pub(super) fn take_numbered(&mut self) -> Vec<(&'a str, &'a Value)> {
        let mut found: Vec<_> = Vec::new();
        for entry in &mut self.entries {
            if let Some(number) = target_number(&entry.normalized) {
                entry.was_read = true;
                found.push((number, entry.name, entry.value));
            }
        }
        found.sort_by_key(|(number, ..)| *number);
        found.into_iter().map(|(_, name, value)| (name, value)).collect()
    }

    /// Marks fields as read that have no effect here.
    pub(super) fn disregard(&mut self, names: &[&str]) {
        for name in names {
            self.take_named(name);
        }
    }

    /// Reads a field; null counts as absent. Different values for two spellings are a fault that names both.
    pub(super) fn read<T: PartialEq>(
        &mut self,
        field: &FieldAliases,
        read: impl Fn(&'a Value) -> Result<T, FaultReason>,
    ) -> Option<T> {
        let mut first: Option<(&str, T)> = None;
        for (name, value) in self.take(field) {
            match (read(value), &first) {
                (Err(reason), _) => self.fault(name, reason),
                (Ok(value), None) => first = Some((name, value)),
                (Ok(value), Some((other, before))) if value != *before => {
                    self.fault(name, format!("contradicts {other}"));
                }
                (Ok(_), Some(_)) => {}
            }
        }
        first.map(|(_, value)| value)
    }

    /// Reads a field that is a list, whose entries have faults of their own.
    pub(super) fn read_list<T: PartialEq>(
        &mut self,
        field: &FieldAliases,
        max: usize,
        read: impl Fn(&'a Value) -> Result<T, FaultReason>,
    ) -> Option<Vec<T>> {
        let mut found = self.take(field);
        found.truncate(1);
        let (name, value) = found.pop()?;
        self.list(name, value, max, read)
    }

    /// Reads the entries of a value that must be a list.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        value: &'a Value,
        max: usize,
        read: impl Fn(&'a Value) -> Result<T, FaultReason>,
    ) -> Option<Vec<T>> {
        let Some(entries) = value.as_array().filter(|entries| entries.len() <= max) else {
            self.fault(name, format!("must be a list of at most {max}"));
            return None;
        };
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

    /// Reads the instrument from the symbol in any spelling, and from the exchange field beside it.
    pub(super) fn instrument<'i>(&mut self, instruments: &'i Instruments) -> Option<&'i Instrument> {
        let exchange = self.exchange();
        let found = self.take(&SYMBOL);
        let mut first: Option<(&str, &'i Instrument)> = None;
        for (name, value) in found {
            let spelling = match symbol_text(value) {
                Ok(spelling) => spelling,
                Err(reason) => {
                    self.fault(name, reason);
                    continue;
                }
            };
            match (instruments.resolve_listed(&spelling, exchange.as_deref()), first) {
                (Ok(instrument), None) => first = Some((name, instrument)),
                (Ok(instrument), Some((other, before))) if instrument.symbol != before.symbol => {
                    self.fault(name, format!("contradicts {other}"));
                }
                (Ok(_), Some(_)) => {}
                (Err(unknown), _) => self.push(Fault::unknown_symbol(name, &unknown)),
            }
        }
        first.map(|(_, instrument)| instrument)
    }

    fn exchange(&mut self) -> Option<String> {
        let (_, value) = self.take(&EXCHANGE).into_iter().next()?;
        value.as_str().map(ToOwned::to_owned)
    }

    pub(super) fn fault(&mut self, field: impl std::fmt::Display, reason: impl Into<String>) {
        self.push(Fault::new(field.to_string(), reason));
    }

    /// Adds a fault of a field of this object.
    pub(super) fn push(&mut self, fault: Fault) {
        self.faults.push(fault.renamed(|field| format!("{}{field}", self.prefix)));
    }

    /// Adds faults of the domain with the sender's spelling. A field that already has a fault is skipped.
    pub(super) fn add(&mut self, faults: Vec<Fault>) {
        for fault in faults {
            let fault = self.sent_names.name(fault);
            if !self.faults.iter().any(|known| root(&known.field) == fault.field) {
                self.faults.push(fault);
            }
        }
    }

    /// Returns the names of unread fields, as they were sent.
    pub(super) fn ignored(&self) -> Vec<String> {
        let unread = self.entries.iter().filter(|entry| !entry.was_read);
        let cut = |name: &str| name.chars().take(MAX_IGNORED_CHARS).collect::<String>();
        unread.take(MAX_IGNORED).map(|entry| format!("{}{}", self.prefix, cut(entry.name))).collect()
    }

    /// Returns the sender's spellings if there are no faults.
    pub(super) fn finish(self) -> Result<SentNames, PushError> {
        PushError::of_faults(self.faults).map_or(Ok(self.sent_names), Err)
    }

    /// Returns the faults.
    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }
}

/// Returns `take_profits` for `take_profits[2]`.
fn root(field: &str) -> &str {
    field.split('[').next().unwrap_or(field)
}

/// Returns the symbol in a value: a text, or TradingView's form of an adjusted symbol, as an object or as the text
/// `={"adjustment":"dividends","symbol":"OANDA:EURUSD"}`.
pub(super) fn symbol_text(value: &Value) -> Result<String, FaultReason> {
    let inner = match value {
        Value::String(text) => match text.trim().strip_prefix('=').filter(|inner| inner.starts_with('{')) {
            Some(inner) => loose::read(inner).ok().map(|inner| inner.value),
            None => Some(value.clone()),
        },
        _ => Some(value.clone()),
    };
    let symbol = match &inner {
        Some(Value::Object(adjusted)) => adjusted.get("symbol"),
        other => other.as_ref(),
    };
    let symbol = symbol.and_then(Value::as_str).map(str::trim).filter(|symbol| !symbol.is_empty());
    symbol.map(ToOwned::to_owned).ok_or_else(|| "must be the name of an instrument".to_owned())
}
