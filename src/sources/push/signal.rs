//! A pushed signal: from any documented spelling to an id and a draft.

use std::time::Duration;

use chrono::DateTime;
use serde_json::{Map, Value};

use super::fault::PushFault;
use super::fields::{self, Fields, REQUIRED, Written};
use crate::domain::{
    Direction, Fault, Instruments, Invalidation, Killzone, Now, Signal, SignalDraft, SignalId, SignalStatus, SourceName,
};

const MAX_TARGETS: usize = 10;
const MAX_MODE_CHARS: usize = 64;
const MAX_REASON_CHARS: usize = 2_000;
const MAX_MODEL_CHARS: usize = 64;
const MAX_RR_TARGET: f64 = 1_000.0;
const TARGETS: [&str; 3] = ["take_profits", "take_profit", "tp"];
const ENDING_ONLY: &str = "goes only with the status invalidated";

/// What was pushed of a signal.
#[derive(Debug, Clone, PartialEq)]
pub struct PushedSignal {
    /// Which signal.
    pub id: SignalId,
    /// What is said of it.
    pub draft: SignalDraft,
    /// Whether it is only to be looked at.
    pub dry_run: bool,
    pub(super) written: Written,
}

/// Reads a pushed signal: the flat object, `{"signal":{…}}` or `{"type":"signal","data"|"payload":{…}}`.
///
/// Whether the id is known is not known here, so neither `symbol` nor `direction` is demanded of a body that may be about
/// a known signal. A body that is refused anyway names them too, so that its sender learns everything at once.
///
/// # Errors
/// [`PushFault`] with every fault, by the names that the sender used.
pub fn parse_signal(value: &Value, instruments: &Instruments) -> Result<PushedSignal, PushFault> {
    let (object, envelope) = unwrap(value).ok_or_else(|| PushFault::body("must be a JSON object"))?;
    let mut fields = Fields::new(object, String::new());
    let id = read_id(&mut fields);
    let draft = read_draft(&mut fields, instruments);
    let dry_run = fields.read(&["dry_run"], fields::flag);
    let outer = envelope.and_then(|envelope| {
        let mut outer = Fields::new(envelope, String::new());
        let dry_run = outer.read(&["dry_run"], fields::flag);
        fields.add(outer.into_faults().0);
        dry_run
    });
    let dry_run = dry_run.unwrap_or(false) || outer.unwrap_or(false);

    let says_nothing = draft.status.is_none() && !draft.has_content();
    if !fields.has(&["id"]) || says_nothing || dry_run || !fields.is_faultless() {
        name_missing(&mut fields, &draft);
    }
    if !fields.is_faultless() {
        fields.add(level_faults(&draft, instruments));
    }
    let written = fields.finish()?;
    let id = id.ok_or_else(|| PushFault::body("has no id"))?;
    Ok(PushedSignal { id, draft, dry_run, written })
}

/// Reads the end of a signal: `{"status":"confirmed"}` or `{"status":"invalidated","reason"?}`.
///
/// # Errors
/// [`PushFault`] with every fault.
pub fn parse_end(value: &Value) -> Result<SignalDraft, PushFault> {
    let object = value.as_object().ok_or_else(|| PushFault::body("must be a JSON object"))?;
    let mut fields = Fields::new(object, String::new());
    let status = fields.read(&["status"], |value| match fields::status(value) {
        Ok(status @ (SignalStatus::Confirmed | SignalStatus::Invalidated)) => Ok(status),
        _ => Err("must be confirmed or invalidated".to_owned()),
    });
    let invalidation = read_invalidation(&mut fields, &["reason", "invalidation"]);
    if invalidation.is_some() && status == Some(SignalStatus::Confirmed) {
        fields.fault("reason", ENDING_ONLY);
    }
    if !fields.has(&["status"]) {
        fields.fault("status", REQUIRED);
    }
    fields.finish()?;
    Ok(SignalDraft { status, invalidation, ..SignalDraft::default() })
}

/// A signal's own object, and the envelope it came in.
type Unwrapped<'a> = (&'a Map<String, Value>, Option<&'a Map<String, Value>>);

fn unwrap(value: &Value) -> Option<Unwrapped<'_>> {
    let object = value.as_object()?;
    let wrappers: &[&str] = if object.get("type").and_then(Value::as_str) == Some("signal") {
        &["data", "payload", "signal"]
    } else if object.contains_key("id") {
        &[]
    } else {
        &["signal"]
    };
    let inner = wrappers.iter().find_map(|name| object.get(*name)?.as_object());
    Some(inner.map_or((object, None), |inner| (inner, Some(object))))
}

fn read_id(fields: &mut Fields<'_>) -> Option<SignalId> {
    fields.read(&["id"], |value| {
        let id = match value {
            Value::String(text) => SignalId::new(text),
            Value::Number(number) => SignalId::new(&number.to_string()),
            _ => None,
        };
        id.ok_or_else(|| format!("must be text of 1 to {} characters", SignalId::MAX_CHARS))
    })
}

fn read_draft(fields: &mut Fields<'_>, instruments: &Instruments) -> SignalDraft {
    let status = fields.read(&["status"], fields::status);
    let invalidation = read_invalidation(fields, &["invalidation"]);
    if invalidation.is_some() && status != Some(SignalStatus::Invalidated) {
        fields.fault("invalidation", ENDING_ONLY);
    }
    let direction = read_direction(fields);
    let instrument = fields.instrument(instruments);
    let price = |value: &Value| fields::price(value, instrument);
    SignalDraft {
        status,
        invalidation,
        direction,
        symbol: instrument.map(|instrument| instrument.symbol.clone()),
        entry_time: fields.read(&["entry_time", "time", "timestamp"], fields::time),
        entry_price: fields.read(&["entry_price", "price", "entry"], price),
        stop_loss: fields.read(&["stop_loss", "sl"], price),
        take_profits: read_targets(fields, price),
        tp_modes: fields
            .read_list(&["tp_modes"], MAX_TARGETS, |mode| fields::text(mode, MAX_MODE_CHARS).map(ToOwned::to_owned)),
        reason: fields.read(&["reason"], |value| fields::text(value, MAX_REASON_CHARS)).map(ToOwned::to_owned),
        confidence: fields.read(&["confidence"], fields::confidence),
        rr_target: fields.read(&["rr_target"], |value| fields::number_within(value, 0.0, MAX_RR_TARGET)),
        killzone: fields.read(&["killzone"], killzone).flatten(),
        model: fields.read(&["model"], |value| fields::text(value, MAX_MODEL_CHARS)).and_then(unless_blank),
    }
}

fn read_direction(fields: &mut Fields<'_>) -> Option<Direction> {
    let direction = fields.read(&["direction", "side"], fields::direction);
    if fields.has(&["direction"]) && fields.has(&["side"]) {
        let side = fields.read(&["side"], fields::direction);
        if side.is_some() && direction.is_some() && side != direction {
            fields.fault("side", "contradicts direction");
        }
    }
    direction
}

/// A list of targets, or a single one; each a price or `{"price":…}`.
fn read_targets(fields: &mut Fields<'_>, price: impl Fn(&Value) -> Result<f64, String>) -> Option<Vec<f64>> {
    let target = |value: &Value| price(value.get("price").unwrap_or(value));
    let is_list = |value: &Value| Ok(value.is_array());
    if fields.read(&TARGETS, is_list)? {
        fields.read_list(&TARGETS, MAX_TARGETS, target)
    } else {
        fields.read(&TARGETS, target).map(|target| vec![target])
    }
}

fn read_invalidation(fields: &mut Fields<'_>, spellings: &[&'static str]) -> Option<Invalidation> {
    let text = fields.read(spellings, |value| fields::text(value, Invalidation::MAX_CHARS)).and_then(unless_blank)?;
    Invalidation::new(&text)
}

/// A blank one is absent: the time then decides.
fn killzone(value: &Value) -> Result<Option<Killzone>, String> {
    match value.as_str() {
        Some(text) if text.trim().is_empty() => Ok(None),
        Some(text) if Killzone::parse(text).is_some() => Ok(Killzone::parse(text)),
        _ => Err(format!("must be one of {}", Killzone::ALL.map(Killzone::name).join(", "))),
    }
}

fn unless_blank(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.to_owned())
}

/// Names what a new signal would need, unless the body only ends a known one.
fn name_missing(fields: &mut Fields<'_>, draft: &SignalDraft) {
    if !fields.has(&["id"]) {
        fields.fault("id", REQUIRED);
    }
    let describes = fields.has(&["symbol"]) || fields.has(&["direction", "side"]);
    let ends = match draft.status {
        Some(status) => status != SignalStatus::Pending,
        // An unreadable status.
        None => fields.has(&["status"]) && !describes,
    };
    if ends {
        return;
    }
    if !fields.has(&["symbol"]) {
        fields.fault("symbol", format!("{REQUIRED} for a new signal"));
    }
    if !fields.has(&["direction", "side"]) {
        fields.fault("direction", format!("{REQUIRED} for a new signal"));
    }
}

/// Levels that contradict the direction, as far as the draft says both: what the pipeline would find.
pub(super) fn level_faults(draft: &SignalDraft, instruments: &Instruments) -> Vec<Fault> {
    let (Some(symbol), Some(_), Some(id)) = (&draft.symbol, draft.direction, SignalId::new("-")) else {
        return Vec::new();
    };
    let Some(instrument) = instruments.get(symbol) else { return Vec::new() };
    let now = Now { wall: DateTime::UNIX_EPOCH, mono: Duration::ZERO };
    let source = SourceName::new(super::SOURCE);
    Signal::create(id, draft, instrument, source, now, Duration::ZERO).err().unwrap_or_default()
}
