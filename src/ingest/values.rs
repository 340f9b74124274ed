//! Parses single values: lenient in spelling, strict in meaning.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::loose;
use crate::domain::{Instrument, parse_time};

/// Numbers from this one on are not prices.
const PRICE_LIMIT: f64 = 1e9;
/// If the instrument's grid has fewer decimals than this, `25,500` cannot be 25.500.
const GROUP: usize = 3;
/// Units of a distance.
const UNITS: [&str; 14] =
    ["atr", "atrs", "pip", "pips", "point", "points", "pt", "pts", "tick", "ticks", "bps", "r", "p", "percent"];
/// Longest accepted number, in bytes.
const MAX_NUMBER: usize = 64;

/// What the value should have been, for people.
pub(super) type FaultReason = String;

/// Parses a finite number, or a text with one.
pub(super) fn number(value: &Value) -> Result<f64, FaultReason> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite()).ok_or_else(|| "must be a number".to_owned())
}

/// Parses a number within inclusive bounds.
pub(super) fn number_within(value: &Value, min: f64, max: f64) -> Result<f64, FaultReason> {
    let wrong = || format!("must be a number from {min} to {max}");
    number(value).ok().filter(|number| (min..=max).contains(number)).ok_or_else(wrong)
}

/// Parses a price that is above zero, also after rounding to the instrument's grid.
pub(super) fn price(value: &Value, instrument: Option<&Instrument>) -> Result<f64, FaultReason> {
    const BOUNDS: &str = "must be a number above 0 and below 1000000000";
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => Some(written_number(text, instrument.map(|instrument| instrument.digits))?),
        _ => None,
    };
    let number = number.ok_or(BOUNDS)?;
    if number == 0.0 {
        return Err(format!("{BOUNDS}: 0 is not a price; leave it out, or send null"));
    }
    if !(number > 0.0 && number < PRICE_LIMIT) {
        return Err(BOUNDS.to_owned());
    }
    match instrument {
        Some(instrument) if instrument.round(number) <= 0.0 => {
            Err(format!("must be at least {} for {}", instrument.tick_size, instrument.symbol))
        }
        _ => Ok(number),
    }
}

/// Parses a price in a text, with separators of thousands where they are unambiguous. `digits` is the number of
/// decimals on the instrument's grid.
pub(super) fn written_number(text: &str, digits: Option<u8>) -> Result<f64, FaultReason> {
    let wrong = || "must be a number above 0 and below 1000000000".to_owned();
    let text = text.trim();
    if text.len() > MAX_NUMBER {
        return Err(wrong());
    }
    if loose::is_not_a_number(text) {
        return Err("is not a number: send null, or leave it out".to_owned());
    }
    if let Ok(number) = text.parse::<f64>() {
        return Some(number).filter(|number| number.is_finite()).ok_or_else(wrong);
    }
    if is_distance(text) {
        return Err(
            "is a price; this looks like a distance (points, pips, ATR, percent): send the price itself".to_owned()
        );
    }
    let plain = without_groups(text, digits).map_err(|ambiguous| ambiguous.unwrap_or_else(wrong))?;
    plain.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(wrong)
}

/// Returns whether a number has a unit of distance: `300 pips`, `2atr`, `1.5%`.
fn is_distance(text: &str) -> bool {
    let is_number = |c: char| c.is_ascii_digit() || c.is_whitespace() || matches!(c, '.' | ',' | '+' | '-');
    let unit = text.trim_start_matches(is_number);
    let has_number = text[..text.len() - unit.len()].contains(|c: char| c.is_ascii_digit());
    let unit =
        unit.trim_start_matches(|c: char| matches!(c, 'x' | 'X' | '*') || c.is_whitespace()).to_ascii_lowercase();
    let unit = unit.split(|c: char| !(c.is_ascii_alphabetic() || c == '%')).next().unwrap_or_default();
    has_number && (unit == "%" || UNITS.contains(&unit))
}

/// Returns the number with a decimal point and without separators of thousands.
///
/// # Errors
/// The reason if the text is ambiguous; `None` if it is not a number.
fn without_groups(text: &str, digits: Option<u8>) -> Result<String, Option<FaultReason>> {
    let is_blank = |c: char| c.is_whitespace() || matches!(c, '\'' | '’');
    if !text.chars().all(|c| c.is_ascii_digit() || is_blank(c) || matches!(c, '.' | ',')) {
        return Err(None);
    }
    let (commas, dots) = (text.matches(',').count(), text.matches('.').count());
    let blanks = text.chars().filter(|c| is_blank(*c)).count();
    let decimal = match (text.rfind(','), text.rfind('.')) {
        // 25,412.25 and 1.160
        (_, Some(dot)) if dots == 1 && text.rfind(',').is_none_or(|comma| comma < dot) => Some(dot),
        // 25.412,25
        (Some(comma), Some(dot)) if commas == 1 && dot < comma => Some(comma),
        // 1,234,567 and 1.234.567
        (Some(_), None) if commas > 1 => None,
        (None, Some(_)) if dots > 1 => None,
        (Some(comma), None) if blanks == 0 => {
            let (whole, decimals) = (&text[..comma], &text[comma + 1..]);
            let is_group = decimals.len() == GROUP && (1..=GROUP).contains(&whole.len()) && !whole.starts_with('0');
            if is_group && digits.is_some_and(|digits| usize::from(digits) < GROUP) {
                None
            } else {
                let meant = if is_group {
                    format!("{whole}.{decimals} or {whole}{decimals}")
                } else {
                    format!("{whole}.{decimals}")
                };
                return Err(Some(format!("has a comma that may be of decimals or of thousands: write {meant}")));
            }
        }
        (None, None) => None,
        _ => return Err(None),
    };
    let (whole, decimals) = decimal.map_or((text, ""), |at| (&text[..at], &text[at + 1..]));
    let groups: Vec<&str> = whole.split(|c: char| is_blank(c) || matches!(c, ',' | '.')).collect();
    let separators: Vec<char> = whole.chars().filter(|c| !c.is_ascii_digit()).collect();
    let is_grouped = separators.windows(2).all(|pair| pair[0] == pair[1])
        && groups.iter().skip(1).all(|group| group.len() == GROUP)
        && (1..=GROUP).contains(&groups[0].len());
    let is_plain = separators.is_empty();
    if !(is_grouped || is_plain) || !decimals.chars().all(|c| c.is_ascii_digit()) {
        return Err(None);
    }
    Ok(format!("{}.{decimals}", groups.concat()))
}

/// Parses a model score: 0 to 1, or above 1 up to 100 as percent.
pub(super) fn confidence(value: &Value) -> Result<f64, FaultReason> {
    let wrong = || "must be a number from 0 to 1, or up to 100 in percent".to_owned();
    if let Some(percent) = value.as_str().and_then(|text| text.trim().strip_suffix('%')) {
        return number_within(&percent.into(), 0.0, 100.0).map(|percent| percent / 100.0).map_err(|_| wrong());
    }
    let score = number_within(value, 0.0, 100.0).map_err(|_| wrong())?;
    Ok(if score > 1.0 { score / 100.0 } else { score })
}

/// Parses a text of at most `max` characters.
pub(super) fn text(value: &Value, max: usize) -> Result<&str, FaultReason> {
    let text = value.as_str().filter(|text| text.chars().count() <= max);
    text.ok_or_else(|| format!("must be text of at most {max} characters"))
}

/// Parses an ISO 8601 time or a Unix epoch, as text or number.
pub(super) fn time(value: &Value) -> Result<DateTime<Utc>, FaultReason> {
    let time = match value {
        Value::String(text) => parse_time(text),
        Value::Number(epoch) => parse_time(&epoch.to_string()),
        _ => None,
    };
    time.ok_or_else(|| "must be an ISO 8601 time or a Unix epoch".to_owned())
}

/// Parses `true` or `false`, also as text.
pub(super) fn flag(value: &Value) -> Result<bool, FaultReason> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
