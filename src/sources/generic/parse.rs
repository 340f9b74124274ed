//! Reads prices where the settings say that they are. Pure.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::GenericSettings;
use crate::domain::{Quote, parse_time};
use crate::sources::listing::{Listing, MalformedPrice, ReadEvent, WireEvent, millis, number, positive, sides};

/// The symbol of an item is its key in an object of items.
pub(super) const KEY: &str = "@key";

/// Parses a message or an answer. One invalid item does not affect the others.
pub(super) fn message(
    places: &GenericSettings,
    text: &str,
    listing: &Listing,
    received_at: DateTime<Utc>,
) -> Vec<ReadEvent> {
    let Ok(whole) = serde_json::from_str::<Value>(text) else { return vec![Err(MalformedPrice::Form)] };
    if let Some(words) = at(&whole, places.error.as_ref()).and_then(words) {
        return vec![Ok(WireEvent::Complaint(words))];
    }
    let reader = ItemReader { places, whole: &whole, listing, received_at };
    match whole.pointer(places.items.as_deref().unwrap_or_default()) {
        Some(Value::Object(items)) if places.symbol.as_deref() == Some(KEY) => {
            items.iter().map(|(name, item)| reader.item(item, Some(name.into()))).collect()
        }
        Some(Value::Array(items)) => items.iter().map(|item| reader.item(item, reader.name(item))).collect(),
        Some(item @ Value::Object(_)) => vec![reader.item(item, reader.name(item))],
        None if whole.is_object() || whole.is_array() => vec![Ok(WireEvent::Other)],
        _ => vec![Err(MalformedPrice::Form)],
    }
}

/// Reads the items of one message.
struct ItemReader<'a> {
    places: &'a GenericSettings,
    whole: &'a Value,
    listing: &'a Listing,
    received_at: DateTime<Utc>,
}

impl ItemReader<'_> {
    /// Returns the symbol of an item. Where the settings name no place, it is that of the only instrument.
    fn name<'a>(&'a self, item: &'a Value) -> Option<Cow<'a, str>> {
        let Some(place) = &self.places.symbol else { return self.listing.names().first().map(Into::into) };
        match item.pointer(place).or_else(|| self.whole.pointer(place))? {
            Value::String(name) => Some(name.into()),
            Value::Number(number) => Some(number.to_string().into()),
            _ => None,
        }
    }

    fn item(&self, item: &Value, name: Option<Cow<'_, str>>) -> ReadEvent {
        // Other instruments of a list are nothing unusual.
        let Some(name) = name.filter(|name| self.listing.has(name)) else { return Ok(WireEvent::Other) };
        let price = |place| at(item, place).map(price).transpose();
        let GenericSettings { bid, ask, price: last, time, .. } = self.places;
        let quote = match (price(bid.as_ref())?, price(ask.as_ref())?, price(last.as_ref())?) {
            (Some(bid), Some(ask), _) => sides(bid, ask)?,
            (_, _, Some(last)) => Quote::Last(positive(last)?),
            _ => return Ok(WireEvent::Other),
        };
        let observed_at = match time {
            None => self.received_at,
            // One time may be that of all items.
            Some(place) => {
                let found = item.pointer(place).or_else(|| self.whole.pointer(place));
                found.ok_or(MalformedPrice::Time).and_then(time_of)?
            }
        };
        self.listing.tick(&name, quote, observed_at)
    }
}

fn at<'a>(value: &'a Value, place: Option<&String>) -> Option<&'a Value> {
    value.pointer(place?).filter(|found| !found.is_null())
}

/// Returns the text of an error; nothing for what says that there is none.
fn words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        Value::Bool(is_error) => is_error.then(|| "an error".to_owned()),
        Value::Array(list) => (!list.is_empty()).then(|| value.to_string()),
        Value::Number(code) => (code.as_f64() != Some(0.0)).then(|| code.to_string()),
        _ => Some(value.to_string()),
    }
}

fn price(value: &Value) -> Result<f64, MalformedPrice> {
    match value {
        Value::String(text) => number(text),
        value => value.as_f64().ok_or(MalformedPrice::Number),
    }
}

/// Parses RFC 3339, or a Unix time as number or text. The size of the number tells its unit.
fn time_of(value: &Value) -> Result<DateTime<Utc>, MalformedPrice> {
    match value {
        Value::Number(number) => match number.as_i64() {
            Some(whole) => unix_time(whole),
            None => number.as_f64().ok_or(MalformedPrice::Time).and_then(fraction),
        },
        Value::String(text) => match (text.trim().parse::<i64>(), text.trim().parse::<f64>()) {
            (Ok(whole), _) => unix_time(whole),
            (_, Ok(number)) => fraction(number),
            _ => parse_time(text).ok_or(MalformedPrice::Time),
        },
        _ => Err(MalformedPrice::Time),
    }
}

/// Returns a Unix time in seconds, milliseconds, microseconds or nanoseconds, between the years 2000 and 2100, in which these
/// cannot be mistaken for each other.
fn unix_time(time: i64) -> Result<DateTime<Utc>, MalformedPrice> {
    match time.checked_ilog10() {
        Some(14..17) => millis(time / 1000),
        Some(17..) => millis(time / 1_000_000),
        Some(11..14) => millis(time),
        _ => millis(time.saturating_mul(1000)),
    }
}

fn fraction(time: f64) -> Result<DateTime<Utc>, MalformedPrice> {
    // Only seconds and milliseconds are written with fractions.
    if !(0.0..1e14).contains(&time) {
        return Err(MalformedPrice::Time);
    }
    millis(if time < 1e11 { time * 1000.0 } else { time }.round() as i64)
}
