//! What an alert says: a price, a signal, or nothing that is passed on.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{SOURCE, mend};
use crate::domain::{Fault, Feed, Instruments, SourceName, Tick, iso};
use crate::sources::push::{PushFault, PushedPrices, fields, parse_prices, parse_signal};

/// Targets that may be listed one by one: `tp1` … `tp10`.
const MAX_TARGETS: usize = 10;

/// What an alert says, and what it is recognized by when it comes again.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// What it says.
    pub alert: Alert,
    /// Made of its `id` and what it says about it, else of the whole body.
    pub key: Uuid,
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
    let text = std::str::from_utf8(body).map_err(|_| PushFault::body("must be UTF-8"))?;
    let mut object = mend::read(text)?;
    let name = object.get("id").filter(|id| !id.is_null()).map(|id| {
        let says = ["status", "action", "direction", "market_position"].map(|name| object.get(name).cloned());
        format!("{id} {}", json!(says))
    });
    let key = Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_deref().unwrap_or(text).as_bytes());
    for (ours, theirs) in [("symbol", "ticker"), ("entry_price", "close")] {
        if object.get(ours).is_none_or(Value::is_null)
            && let Some(value) = object.get(theirs).cloned()
            && (ours != "entry_price" || ["price", "entry"].iter().all(|name| is_absent(&object, name)))
        {
            object.insert(ours.to_owned(), value);
        }
    }
    let alert = match intent(&object)? {
        Intent::Price => Alert::Price(price(&object, instruments, now)?),
        Intent::Exit => Alert::Nothing("an exit or a reduced position is no signal"),
        Intent::Signal(direction) => Alert::Signal(signal(object, direction, key, instruments, now)?),
    };
    Ok(Read { alert, key })
}

enum Intent {
    Price,
    Exit,
    /// With its direction; `None` where only a known signal is ended.
    Signal(Option<&'static str>),
}

fn is_absent(object: &Map<String, Value>, name: &str) -> bool {
    object.get(name).is_none_or(Value::is_null)
}

/// What the words for a direction come to. What a strategy holds after the order decides: a sale that leaves it long is no
/// signal to sell.
fn intent(object: &Map<String, Value>) -> Result<Intent, PushFault> {
    let word = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_ascii_lowercase);
    let named = ["action", "direction", "side", "signal"].into_iter().find_map(|name| Some((name, word(name)?)));
    let action = match &named {
        None => None,
        Some((name, word)) => Some(match word.as_str() {
            "buy" | "long" | "bullish" => Some("long"),
            "sell" | "short" | "bearish" => Some("short"),
            "exit" | "close" | "flat" | "close_long" | "close_short" | "exit_long" | "exit_short" => None,
            _ => {
                return Err(PushFault::Invalid(vec![Fault::new(
                    *name,
                    "must be buy, sell, long, short, close or exit",
                )]));
            }
        }),
    };
    let held = match word("market_position").as_deref() {
        Some("long") => Some(Some("long")),
        Some("short") => Some(Some("short")),
        Some("flat") => Some(None),
        _ => None,
    };
    let ends = matches!(word("status").as_deref(), Some("confirmed" | "invalidated"));
    Ok(match (action, held) {
        _ if ends => Intent::Signal(action.flatten()),
        (Some(None), _) | (_, Some(None)) => Intent::Exit,
        (Some(Some(ordered)), Some(Some(held))) if ordered != held => Intent::Exit,
        (Some(Some(direction)), _) | (None, Some(Some(direction))) => Intent::Signal(Some(direction)),
        (None, None) => Intent::Price,
    })
}

fn price(object: &Map<String, Value>, instruments: &Instruments, now: DateTime<Utc>) -> Result<Tick, PushFault> {
    let first =
        |names: &[&str]| names.iter().find_map(|name| object.get(*name).filter(|value| !value.is_null())).cloned();
    // The volume is left out: it is that of a whole bar, and would be counted with every alert.
    let told = json!({
        "symbol": object.get("symbol"), "bid": object.get("bid"), "ask": object.get("ask"),
        "price": first(&["price", "close", "last"]), "timestamp": iso(observed_at(object, now)?),
    });
    let tick = match parse_prices(&told, instruments, now, now)? {
        PushedPrices::One(tick) => tick,
        PushedPrices::Batch(_) => return Err(PushFault::body("is no price")),
    };
    let feed = if is_delayed(object) { Feed::Delayed } else { Feed::Live };
    Ok(Tick { feed, source: SourceName::new(SOURCE), ..tick })
}

/// When the alert fired; else the end of the bar whose beginning it tells, if its length is known; else the arrival. Never in
/// the future.
fn observed_at(object: &Map<String, Value>, now: DateTime<Utc>) -> Result<DateTime<Utc>, PushFault> {
    let time = |name: &str| match object.get(name).filter(|value| !value.is_null()) {
        Some(value) => fields::time(value).map(Some).map_err(|why| PushFault::Invalid(vec![Fault::new(name, why)])),
        None => Ok(None),
    };
    let bar = object.get("interval").and_then(interval);
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
    let exchange = object.get("exchange").and_then(Value::as_str);
    let prefix = object.get("symbol").and_then(Value::as_str).and_then(|symbol| Some(symbol.split_once(':')?.0));
    let marked = |name: &str| name.ends_with("_DL") || name.ends_with("_DLY");
    [exchange, prefix].into_iter().flatten().any(|name| marked(&name.to_ascii_uppercase()))
}

/// The alert as a pushed signal, looked at once: what is wrong is to be answered, whatever the pipeline is doing.
fn signal(
    mut object: Map<String, Value>,
    direction: Option<&'static str>,
    key: Uuid,
    instruments: &Instruments,
    now: DateTime<Utc>,
) -> Result<Value, PushFault> {
    let ends = direction.is_none();
    for name in ["side", "action", "signal", "type", "data", "payload"] {
        object.remove(name);
    }
    match direction {
        Some(direction) => object.insert("direction".to_owned(), json!(direction)),
        None => object.remove("direction"),
    };
    if is_absent(&object, "id") && !ends {
        // The same alert on another day is another signal.
        let day = now.date_naive().and_time(NaiveTime::MIN).and_utc();
        object.insert("id".to_owned(), json!(Uuid::new_v5(&key, iso(day).as_bytes())));
    }
    targets(&mut object);
    if is_absent(&object, "reason")
        && let Some(words) = ["comment", "message", "setup"].iter().find_map(|name| object.get(*name)?.as_str())
    {
        let words = words.to_owned();
        object.insert("reason".to_owned(), json!(words));
    }
    if is_absent(&object, "entry_time") && !is_absent(&object, "timenow") {
        object.insert("entry_time".to_owned(), json!(iso(observed_at(&object, now)?)));
    }
    if ends {
        // Only how it ended: what was agreed on before stays.
        object.retain(|name, _| matches!(name.as_str(), "id" | "status" | "invalidation" | "dry_run"));
    }
    let signal = Value::Object(object);
    parse_signal(&signal, instruments)?;
    Ok(signal)
}

/// `"1.09, 1.10"` and `tp1`, `tp2`, … become a list.
fn targets(object: &mut Map<String, Value>) {
    for name in ["take_profits", "take_profit", "tp"] {
        if let Some(text) = object.get(name).and_then(Value::as_str)
            && text.contains(',')
        {
            let list: Vec<&str> = text.trim_matches(['[', ']']).split(',').map(str::trim).collect();
            let list = json!(list);
            object.insert(name.to_owned(), list);
        }
        if let Some(Value::Array(list)) = object.get_mut(name) {
            list.retain(|target| !target.is_null());
        }
    }
    if ["take_profits", "take_profit", "tp"].iter().all(|name| is_absent(object, name)) {
        let names = (1..=MAX_TARGETS).flat_map(|number| [format!("tp{number}"), format!("take_profit_{number}")]);
        let list: Vec<Value> =
            names.filter_map(|name| object.get(&name).filter(|value| !value.is_null()).cloned()).collect();
        if !list.is_empty() {
            object.insert("take_profits".to_owned(), Value::Array(list));
        }
    }
}
