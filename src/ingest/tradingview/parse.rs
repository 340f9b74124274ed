//! Parses an alert: a price, a signal, or nothing to forward.

use std::time::Duration;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::intent::{Intent, entries, entry, intent, no_direction_within};
use super::text::{self, AlertText};
use super::{REPEAT_WINDOW, SOURCE};
use crate::domain::{Direction, Fault, Feed, Instruments, SourceName, Tick, iso};
use crate::ingest::aliases::{
    ASK, BID, CONFIDENCE, DIRECTION, DIRECTION_HINTS, ENTRY_PRICE, EXCHANGE, FieldAliases, ID, INVALIDATION, KILLZONE,
    MARKET_POSITION, MODEL, PRICE, RR_TARGET, STATUS, STOP_LOSS, SYMBOL, TAKE_PROFITS, TP_MODES, normalized,
    target_number,
};
use crate::ingest::{PushError, PushedPrices, parse_prices, parse_signal, signals::pasted, trimmed, values};

/// A parsed alert, with the key that identifies its repeats.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The content.
    pub alert: Alert,
    /// A hash of the `id` with the related fields, else of the whole body.
    pub key: Uuid,
    /// Whether the alert has an `id` or a time, so that no other event has the same text.
    pub is_unique: bool,
    /// How the alert was interpreted and why, where that may be unexpected.
    pub note: Option<String>,
}

/// The content of an alert.
#[derive(Debug, Clone, PartialEq)]
pub enum Alert {
    /// A price.
    Price(Tick),
    /// A signal or its end, with the field names of pushed signals.
    Signal(Value),
    /// Nothing to forward, with the reason.
    Nothing(&'static str),
}

/// Parses the body of an alert.
///
/// # Errors
/// [`PushError`] with every fault.
pub fn parse(body: &[u8], instruments: &Instruments, now: DateTime<Utc>) -> Result<Read, PushError> {
    parse_within(body, instruments, now, REPEAT_WINDOW)
}

/// Parses the body of an alert. A text without an `id` and a time is one signal in each `window`.
pub(super) fn parse_within(
    body: &[u8],
    instruments: &Instruments,
    now: DateTime<Utc>,
    window: Duration,
) -> Result<Read, PushError> {
    let text = std::str::from_utf8(trimmed(body)).map_err(|_| PushError::whole("must be UTF-8"))?;
    let object = match text::read(text)? {
        AlertText::Fields(object) => object,
        AlertText::Text(text) => match pasted::read(&text, instruments)?.signal() {
            Value::Object(object) => object,
            _ => return Err(PushError::whole("is not a signal")),
        },
    };
    let id = entry(&object, &ID);
    let name = id.map(|id| {
        let says = [STATUS, DIRECTION, DIRECTION_HINTS, MARKET_POSITION].map(|field| entry(&object, &field).cloned());
        format!("{id} {}", json!(says))
    });
    let key = Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_deref().unwrap_or(text).as_bytes());
    let has_time = ["timenow", "time", "timestamp", "entry_time"];
    let is_unique = id.is_some() || has_time.iter().any(|name| entry(&object, &FieldAliases::plain(name)).is_some());
    let mut note = None;
    let alert = match intent(&object)? {
        Intent::Price => {
            no_direction_within(&object)?;
            note = looks_like_a_signal(&object);
            Alert::Price(price(&object, instruments, now)?)
        }
        Intent::Exit => Alert::Nothing("an exit or a reduced position is no signal"),
        Intent::Hold => {
            Alert::Nothing("to hold, wait or stay flat is no signal; send buy, sell, long or short, or nothing")
        }
        Intent::Signal(direction) => {
            let made_id = Uuid::new_v5(&key, bucket(now, window, is_unique).as_bytes());
            Alert::Signal(signal(object, direction, made_id, instruments, now)?)
        }
    };
    Ok(Read { alert, key, is_unique, note })
}

/// Returns the period in which the same text is one signal: the day if the text names its event, else the window of
/// repeats.
fn bucket(now: DateTime<Utc>, window: Duration, is_unique: bool) -> String {
    if is_unique {
        return iso(now.date_naive().and_time(NaiveTime::MIN).and_utc());
    }
    let seconds = i64::try_from(window.as_secs()).unwrap_or(i64::MAX).max(1);
    format!("{}/{seconds}", now.timestamp().div_euclid(seconds))
}

/// Returns a note if a price has fields that only signals have.
fn looks_like_a_signal(object: &Map<String, Value>) -> Option<String> {
    let fields =
        [STOP_LOSS, TAKE_PROFITS, TP_MODES, CONFIDENCE, RR_TARGET, KILLZONE, MODEL, INVALIDATION, DIRECTION_HINTS];
    let found = fields.iter().find_map(|field| entries(object, field).first().map(|(name, _)| (*name).to_owned()));
    let entry_names = FieldAliases { fallbacks: &[], ..ENTRY_PRICE };
    let found = found.or_else(|| entries(object, &entry_names).first().map(|(name, _)| (*name).to_owned()));
    let numbered = |(name, value): (&String, &Value)| {
        (target_number(&normalized(name)).is_some() && !value.is_null()).then(|| name.clone())
    };
    let name = found.or_else(|| object.iter().find_map(numbered))?;
    Some(format!(
        "no action, direction or side: taken as a price; {name} looks like a signal, which needs action with buy, sell, long or \
         short"
    ))
}

fn price(object: &Map<String, Value>, instruments: &Instruments, now: DateTime<Utc>) -> Result<Tick, PushError> {
    // The volume is left out: it belongs to a whole bar, and would be counted with every alert.
    let mut fields = Map::new();
    for field in [SYMBOL, EXCHANGE, BID, ASK] {
        fields.extend(entries(object, &field).into_iter().map(|(name, value)| (name.to_owned(), value.clone())));
    }
    if let Some((name, value)) = entries(object, &PRICE).first().or(entries(object, &ENTRY_PRICE).first()) {
        let name = if entries(object, &PRICE).is_empty() { "price" } else { name };
        fields.insert(name.to_owned(), (*value).clone());
    }
    fields.insert("timestamp".to_owned(), iso(observed_at(object, now)?).into());
    let tick = match parse_prices(&Value::Object(fields), instruments, now, now)? {
        PushedPrices::One(tick) => tick,
        PushedPrices::Batch(_) => return Err(PushError::whole("is no price")),
    };
    let feed = if is_delayed(object) { Feed::Delayed } else { Feed::Live };
    Ok(Tick { feed, source: SourceName::new(SOURCE), ..tick })
}

/// Returns the time of the alert; else the end of its bar, if the bar's length is known; else the arrival time. Never
/// in the future.
fn observed_at(object: &Map<String, Value>, now: DateTime<Utc>) -> Result<DateTime<Utc>, PushError> {
    let time = |name: &'static str| match entry(object, &FieldAliases::plain(name)) {
        Some(value) => values::time(value).map(Some).map_err(|why| PushError::Invalid(vec![Fault::new(name, why)])),
        None => Ok(None),
    };
    let bar = entry(object, &FieldAliases::plain("interval")).and_then(interval);
    let at = match (time("timenow")?, time("time")?, time("timestamp")?) {
        (Some(fired), ..) => fired,
        (None, Some(opened), _) => bar.map_or(now, |bar| opened + bar),
        (None, None, Some(at)) => at,
        (None, None, None) => now,
    };
    Ok(at.min(now))
}

/// `5` (minutes), `30S`, `1D`, `1W`.
fn interval(value: &Value) -> Option<TimeDelta> {
    let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let number = |text: &str| text.parse::<u16>().ok().map(i64::from);
    match text.char_indices().last()? {
        (_, '0'..='9') => number(&text).map(TimeDelta::minutes),
        (at, 'S') => number(&text[..at]).map(TimeDelta::seconds),
        (at, 'D') => number(&text[..at]).map(TimeDelta::days),
        (at, 'W') => number(&text[..at]).map(TimeDelta::weeks),
        _ => None,
    }
}

/// Returns whether the exchange is marked as delayed.
fn is_delayed(object: &Map<String, Value>) -> bool {
    let exchange = entry(object, &EXCHANGE).and_then(Value::as_str);
    let prefix = entry(object, &SYMBOL).and_then(Value::as_str).and_then(|symbol| Some(symbol.split_once(':')?.0));
    let marked = |name: &str| name.ends_with("_DL") || name.ends_with("_DLY");
    [exchange, prefix].into_iter().flatten().any(|name| marked(&name.trim().to_ascii_uppercase()))
}

/// Converts the alert to a pushed signal and validates it, so that faults are answered independently of the pipeline.
fn signal(
    mut object: Map<String, Value>,
    direction: Option<Direction>,
    made_id: Uuid,
    instruments: &Instruments,
    now: DateTime<Utc>,
) -> Result<Value, PushError> {
    let ends = direction.is_none();
    let of_intent = [DIRECTION, DIRECTION_HINTS, MARKET_POSITION].map(|field| {
        let names = entries(&object, &field).into_iter().map(|(name, _)| name.to_owned());
        names.collect::<Vec<_>>()
    });
    for name in of_intent.iter().flatten() {
        object.remove(name);
    }
    if let Some(direction) = direction {
        object.insert("direction".to_owned(), json!(direction.name()));
    }
    if entry(&object, &ID).is_none() && !ends {
        object.insert("id".to_owned(), json!(made_id));
    }
    if entry(&object, &FieldAliases::plain("entry_time")).is_none()
        && entry(&object, &FieldAliases::plain("timenow")).is_some()
    {
        object.insert("entry_time".to_owned(), json!(iso(observed_at(&object, now)?)));
    }
    if ends {
        // An end changes only the status; the levels stay as they are.
        let kept = [ID, STATUS, INVALIDATION]
            .map(|field| entries(&object, &field).first().map(|(name, _)| (*name).to_owned()));
        object.retain(|name, _| normalized(name) == "dryrun" || kept.iter().flatten().any(|kept| kept == name));
    }
    let signal = Value::Object(object);
    parse_signal(&signal, instruments)?;
    Ok(signal)
}
