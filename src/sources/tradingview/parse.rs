//! What an alert says: a price, a signal, or nothing that is passed on.

use std::time::Duration;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::intent::{Intent, entries, entry, intent, no_direction_within};
use super::text::{self, Message};
use super::{REPEAT_WINDOW, SOURCE};
use crate::domain::{Direction, Fault, Feed, Instruments, SourceName, Tick, iso};
use crate::sources::push::aliases::{
    ASK, BID, CONFIDENCE, DIRECTION, DIRECTION_HINTS, ENTRY_PRICE, EXCHANGE, FieldAliases, ID, INVALIDATION, KILLZONE,
    MARKET_POSITION, MODEL, PRICE, RR_TARGET, STATUS, STOP_LOSS, SYMBOL, TAKE_PROFITS, TP_MODES, normalized,
    target_number,
};
use crate::sources::push::{PushFault, PushedPrices, parse_prices, parse_signal, pasted, trimmed, values};

/// What an alert says, and what it is recognized by when it comes again.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// What it says.
    pub alert: Alert,
    /// Made of its `id` and what it says about it, else of the whole body.
    pub key: Uuid,
    /// Whether it has an `id` or a time, so that another event cannot have the same text.
    pub is_unique: bool,
    /// What it was taken for and why, where that may surprise.
    pub note: Option<String>,
}

/// What an alert says.
#[derive(Debug, Clone, PartialEq)]
pub enum Alert {
    /// A price.
    Price(Tick),
    /// A signal or its end, in the spelling of pushed signals.
    Signal(Value),
    /// Nothing that is passed on, and why.
    Nothing(&'static str),
}

/// Reads the body of an alert.
///
/// # Errors
/// [`PushFault`] with every fault.
pub fn parse(body: &[u8], instruments: &Instruments, now: DateTime<Utc>) -> Result<Read, PushFault> {
    parse_within(body, instruments, now, REPEAT_WINDOW)
}

/// The same; a text without `id` and time makes one signal in each `window`.
pub(super) fn parse_within(
    body: &[u8],
    instruments: &Instruments,
    now: DateTime<Utc>,
    window: Duration,
) -> Result<Read, PushFault> {
    let text = std::str::from_utf8(trimmed(body)).map_err(|_| PushFault::body("must be UTF-8"))?;
    let object = match text::read(text)? {
        Message::Fields(object) => object,
        Message::Text(text) => match pasted::read(&text, instruments)?.signal() {
            Value::Object(object) => object,
            _ => return Err(PushFault::body("is not a signal")),
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

/// What tells one signal of a text from the next: the day where the text names its event, else the window of repeats.
fn bucket(now: DateTime<Utc>, window: Duration, is_unique: bool) -> String {
    if is_unique {
        return iso(now.date_naive().and_time(NaiveTime::MIN).and_utc());
    }
    let seconds = i64::try_from(window.as_secs()).unwrap_or(i64::MAX).max(1);
    format!("{}/{seconds}", now.timestamp().div_euclid(seconds))
}

/// Says so where a price has fields that only signals have.
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

fn price(object: &Map<String, Value>, instruments: &Instruments, now: DateTime<Utc>) -> Result<Tick, PushFault> {
    // The volume is left out: it is that of a whole bar, and would be counted with every alert.
    let mut told = Map::new();
    for field in [SYMBOL, EXCHANGE, BID, ASK] {
        told.extend(entries(object, &field).into_iter().map(|(name, value)| (name.to_owned(), value.clone())));
    }
    if let Some((name, value)) = entries(object, &PRICE).first().or(entries(object, &ENTRY_PRICE).first()) {
        let name = if entries(object, &PRICE).is_empty() { "price" } else { name };
        told.insert(name.to_owned(), (*value).clone());
    }
    told.insert("timestamp".to_owned(), iso(observed_at(object, now)?).into());
    let tick = match parse_prices(&Value::Object(told), instruments, now, now)? {
        PushedPrices::One(tick) => tick,
        PushedPrices::Batch(_) => return Err(PushFault::body("is no price")),
    };
    let feed = if is_delayed(object) { Feed::Delayed } else { Feed::Live };
    Ok(Tick { feed, source: SourceName::new(SOURCE), ..tick })
}

/// When the alert fired; else the end of the bar whose beginning it tells, if its length is known; else the arrival. Never in
/// the future.
fn observed_at(object: &Map<String, Value>, now: DateTime<Utc>) -> Result<DateTime<Utc>, PushFault> {
    let time = |name: &'static str| match entry(object, &FieldAliases::plain(name)) {
        Some(value) => values::time(value).map(Some).map_err(|why| PushFault::Invalid(vec![Fault::new(name, why)])),
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

/// TradingView marks the exchanges whose prices come late.
fn is_delayed(object: &Map<String, Value>) -> bool {
    let exchange = entry(object, &EXCHANGE).and_then(Value::as_str);
    let prefix = entry(object, &SYMBOL).and_then(Value::as_str).and_then(|symbol| Some(symbol.split_once(':')?.0));
    let marked = |name: &str| name.ends_with("_DL") || name.ends_with("_DLY");
    [exchange, prefix].into_iter().flatten().any(|name| marked(&name.trim().to_ascii_uppercase()))
}

/// The alert as a pushed signal, looked at once: what is wrong is to be answered, whatever the pipeline is doing.
fn signal(
    mut object: Map<String, Value>,
    direction: Option<Direction>,
    made_id: Uuid,
    instruments: &Instruments,
    now: DateTime<Utc>,
) -> Result<Value, PushFault> {
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
        // Only how it ended: what was agreed on before stays.
        let kept = [ID, STATUS, INVALIDATION]
            .map(|field| entries(&object, &field).first().map(|(name, _)| (*name).to_owned()));
        object.retain(|name, _| normalized(name) == "dryrun" || kept.iter().flatten().any(|kept| kept == name));
    }
    let signal = Value::Object(object);
    parse_signal(&signal, instruments)?;
    Ok(signal)
}
