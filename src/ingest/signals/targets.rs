//! The targets of a signal: a list, one price, a text with several, or numbered fields.

use serde_json::Value;

use crate::domain::Instrument;
use crate::ingest::aliases::{MAX_TARGETS, TAKE_PROFITS};
use crate::ingest::fields::Fields;
use crate::ingest::values::{self, FaultReason};

/// Reads the targets from all fields that have some. Different values are a fault, unless one field repeats a single
/// target of the others.
pub(super) fn read_targets(fields: &mut Fields<'_>, instrument: Option<&Instrument>) -> Option<Vec<f64>> {
    let price = |value: &Value| values::price(value.get("price").unwrap_or(value), instrument);
    let mut read: Vec<(String, Vec<f64>)> = Vec::new();
    for (name, value) in fields.take(&TAKE_PROFITS) {
        let targets = match value {
            Value::Array(_) => fields.list(name, value, MAX_TARGETS, price),
            Value::String(text) => match listed(text, instrument) {
                Ok(targets) => Some(targets),
                Err(reason) => {
                    fields.fault(name, reason);
                    None
                }
            },
            _ => match price(value) {
                Ok(target) => Some(vec![target]),
                Err(reason) => {
                    fields.fault(name, reason);
                    None
                }
            },
        };
        read.extend(targets.map(|targets| (name.to_owned(), targets)));
    }
    let (mut numbered, mut first_name) = (Vec::new(), None);
    for (name, value) in fields.take_numbered() {
        match price(value) {
            Ok(target) => {
                first_name.get_or_insert(name);
                numbered.push(target);
            }
            Err(reason) => fields.fault(name, reason),
        }
    }
    read.extend(first_name.map(|name| (name.to_owned(), numbered)));
    let longest = read.iter().max_by_key(|(_, targets)| targets.len()).cloned()?;
    for (name, targets) in &read {
        let repeats_one = targets.len() == 1 && longest.1.contains(&targets[0]);
        if *targets != longest.1 && !repeats_one && !targets.is_empty() {
            fields.fault(name, format!("contradicts {}", longest.0));
        }
    }
    Some(longest.1)
}

/// `1.09`, `"1.09, 1.10"`, `"[1.09,1.10]"`, `"1.09 / 1.10"`, `"25,412.25; 25,500"`.
fn listed(text: &str, instrument: Option<&Instrument>) -> Result<Vec<f64>, FaultReason> {
    let price = |text: &str| values::price(&text.into(), instrument);
    let text = text.trim().trim_start_matches(['[', '(']).trim_end_matches([']', ')']);
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut targets = Vec::new();
    for part in text.replace(", ", ";").split([';', '/', '|', '\n']).map(str::trim).filter(|part| !part.is_empty()) {
        match price(part) {
            Ok(target) => targets.push(target),
            // `1.09,1.10`
            Err(_) if part.contains(',') && part.contains('.') => {
                for part in part.split(',') {
                    targets.push(price(part.trim())?);
                }
            }
            Err(reason) => return Err(reason),
        }
    }
    if targets.len() > MAX_TARGETS { Err(format!("must be at most {MAX_TARGETS} targets")) } else { Ok(targets) }
}
