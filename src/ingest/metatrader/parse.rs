//! Parses the posts of an Expert Advisor into ticks and signals. The format is the server's own; `ea/README.md`
//! describes it.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::messages::Refused;
use crate::domain::{Fault, Feed, Instruments, Quote, SourceName, Tick};
use crate::ingest::aliases::{FieldAliases, STOP_LOSS, TAKE_PROFITS, normalized, target_number};
use crate::ingest::fields::Fields;
use crate::ingest::{PushError, values};

/// Largest number of ticks in a batch.
const MAX_TICKS: usize = 1_000;
/// How many targets are converted. A signal with more is rejected later.
const MAX_TARGETS: usize = 10;
/// Largest offset of a clock from UTC, in seconds.
const MAX_OFFSET: f64 = 14.0 * 3600.0;
/// A tick dated further in the future gets its arrival time.
const AHEAD: TimeDelta = TimeDelta::seconds(5);
/// Longest quote of a rejected symbol in the answer, in characters.
const MAX_SPELLING: usize = 32;

/// A parsed post.
#[derive(Debug, Clone, PartialEq)]
pub enum Post {
    /// The changes since the last batch; empty as a keep-alive.
    Ticks(TickBatch),
    /// A signal, with the field names of pushed signals.
    Signal {
        /// The type of terminal.
        source: SourceName,
        /// The signal.
        signal: Value,
    },
}

/// A batch of ticks.
#[derive(Debug, Clone, PartialEq)]
pub struct TickBatch {
    /// `mt5` or `mt4`.
    pub source: SourceName,
    /// The sequence number of the Expert Advisor.
    pub seq: u64,
    /// Offset of the broker's clock from UTC, in seconds.
    pub utc_offset: Option<i64>,
    /// Whether the terminal is connected to its broker.
    pub connected: bool,
    /// Whether some ticks were dated in the future.
    pub ahead: bool,
    /// The valid ticks: index in the batch, symbol as it was sent, tick.
    pub ticks: Vec<(usize, String, Tick)>,
    /// The rejected ticks.
    pub refused: Vec<Refused>,
}

/// Parses a post: `{"v":1,"type":"ticks"|"signal",…}`.
///
/// # Errors
/// [`PushError`] when the post as a whole is invalid; single ticks are rejected individually.
pub fn parse(value: &Value, instruments: &Instruments, now: DateTime<Utc>) -> Result<Post, PushError> {
    let object = value.as_object().ok_or_else(|| PushError::whole("must be a JSON object"))?;
    let mut head = Fields::new(object, String::new());
    head.read(&FieldAliases::plain("v"), |version| match values::number(version) {
        Ok(1.0) => Ok(()),
        _ => Err("must be 1: this server and the Expert Advisor do not fit together".to_owned()),
    });
    let source = head.read(&FieldAliases::plain("src"), |source| {
        let name = super::SOURCES.into_iter().find(|name| source.as_str() == Some(name));
        name.ok_or_else(|| format!("must be one of {}", super::SOURCES.join(", ")))
    });
    let source = SourceName::new(source.unwrap_or(super::SOURCES[0]));
    match object.get("type").and_then(Value::as_str) {
        Some("ticks") => read_batch(head, source, instruments, now).map(Post::Ticks),
        Some("signal") => {
            head.finish()?;
            Ok(Post::Signal { source, signal: signal(object) })
        }
        _ => {
            head.fault("type", "must be ticks or signal");
            head.finish()?;
            Err(PushError::whole("is neither ticks nor a signal"))
        }
    }
}

fn read_batch(
    mut head: Fields<'_>,
    source: SourceName,
    instruments: &Instruments,
    now: DateTime<Utc>,
) -> Result<TickBatch, PushError> {
    let seq =
        head.read(&FieldAliases::plain("seq"), |seq| seq.as_u64().ok_or_else(|| "must be a whole number".to_owned()));
    let utc_offset =
        head.read(&FieldAliases::plain("utc_off"), |offset| values::number_within(offset, -MAX_OFFSET, MAX_OFFSET));
    let connected = head.read(&FieldAliases::plain("connected"), values::flag).unwrap_or(true);
    let entries = head.read(&FieldAliases::plain("ticks"), |ticks| match ticks {
        Value::Array(entries) if entries.len() <= MAX_TICKS => Ok(entries),
        _ => Err(format!("must be a list of at most {MAX_TICKS} ticks")),
    });
    for field in ["seq", "ticks"] {
        if !head.has(&FieldAliases::plain(field)) {
            head.push(Fault::required(field));
        }
    }
    head.finish()?;
    let mut batch = TickBatch {
        source,
        seq: seq.unwrap_or_default(),
        utc_offset: utc_offset.map(|offset| offset as i64),
        connected,
        ahead: false,
        ticks: Vec::new(),
        refused: Vec::new(),
    };
    for (index, entry) in entries.into_iter().flatten().enumerate() {
        let symbol: String = entry["s"].as_str().unwrap_or_default().chars().take(MAX_SPELLING).collect();
        match read_tick(entry, &batch.source, instruments, now) {
            Ok((mut tick, ahead)) => {
                batch.ahead |= ahead;
                if !batch.connected {
                    // The terminal cannot trade, so its prices are only indicative.
                    tick.feed = Feed::Indicative;
                }
                batch.ticks.push((index, symbol, tick));
            }
            Err((code, reason)) => batch.refused.push(Refused { index, symbol, code, reason }),
        }
    }
    Ok(batch)
}

/// Parses a tick. Returns it with whether it was dated in the future.
fn read_tick(
    entry: &Value,
    source: &SourceName,
    instruments: &Instruments,
    now: DateTime<Utc>,
) -> Result<(Tick, bool), (&'static str, String)> {
    let invalid = |reason: String| ("invalid", reason);
    let spelling = entry["s"].as_str().ok_or_else(|| invalid("s must be the name of a symbol".to_owned()))?;
    let instrument = instruments.resolve(spelling).map_err(|unknown| ("unknown_symbol", unknown.to_string()))?;
    let price =
        |name: &str| values::price(&entry[name], Some(instrument)).map_err(|why| invalid(format!("{name} {why}")));
    let (bid, ask) = (price("b")?, price("a")?);
    if bid > ask {
        return Err(invalid("b must not be above a".to_owned()));
    }
    let at = match &entry["t"] {
        Value::Null => now,
        time => values::time(time).map_err(|why| invalid(format!("t {why}")))?,
    };
    let ahead = at - now > AHEAD;
    let tick = Tick {
        symbol: instrument.symbol.clone(),
        quote: Quote::BidAsk { bid, ask },
        volume: None,
        observed_at: if ahead { now } else { at },
        feed: Feed::Live,
        source: source.clone(),
    };
    Ok((tick, ahead))
}

/// Converts a signal of the Expert Advisor to the field names of pushed signals: setup and time frame become the
/// reason, and the share of each target becomes its label.
fn signal(object: &Map<String, Value>) -> Value {
    let mut signal = object.clone();
    for (name, value) in &mut signal {
        without_zeros(name, value);
    }
    let words: Vec<&str> = ["setup", "tf"].iter().filter_map(|name| object.get(*name)?.as_str()).collect();
    if !object.contains_key("reason") && !words.is_empty() {
        signal.insert("reason".to_owned(), json!(words.join(" ")));
    }
    for name in ["v", "type", "src", "setup", "tf"] {
        signal.remove(name);
    }
    let targets = signal.get("take_profits").and_then(Value::as_array);
    if let Some(targets) = targets.filter(|targets| targets.len() <= MAX_TARGETS && !object.contains_key("tp_modes")) {
        let modes = targets.iter().enumerate().map(|(index, target)| {
            let share = values::number_within(target.get("pct")?, 0.0, 100.0).ok()?;
            Some(format!("TP{} {share}%", index + 1))
        });
        if let Some(modes) = modes.collect::<Option<Vec<_>>>() {
            signal.insert("tp_modes".to_owned(), json!(modes));
        }
    }
    Value::Object(signal)
}

/// In MetaTrader, 0 means that a stop or target is not set.
fn without_zeros(name: &str, value: &mut Value) {
    let name = normalized(name);
    let is_named =
        |field: &FieldAliases| std::iter::once(&field.name).chain(field.aliases).any(|known| normalized(known) == name);
    if !(is_named(&STOP_LOSS) || is_named(&TAKE_PROFITS) || target_number(&name).is_some()) {
        return;
    }
    let is_zero = |level: &Value| values::number(level.get("price").unwrap_or(level)) == Ok(0.0);
    match value {
        Value::Array(levels) => levels.retain(|level| !is_zero(level)),
        level if is_zero(level) => *level = Value::Null,
        _ => {}
    }
}
