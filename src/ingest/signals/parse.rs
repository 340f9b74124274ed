//! Parses a pushed signal: from any documented spelling to an id and a draft.

use std::time::Duration;

use chrono::DateTime;
use serde_json::{Map, Value};

use super::targets::read_targets;
use crate::domain::{
    Direction, Fault, Instruments, Invalidation, Killzone, LevelLimits, Now, Signal, SignalDraft, SignalId,
    SignalStatus, SourceName,
};
use crate::ingest::aliases::{
    CONFIDENCE, DIRECTION, DIRECTION_HINTS, DRY_RUN, END_REASON, ENTRY_PRICE, ENTRY_TIME, FieldAliases, ID,
    INVALIDATION, KILLZONE, MARKET_POSITION, MAX_TARGETS, MODEL, REASON, RR_TARGET, STATUS, STOP_LOSS, SYMBOL,
    TP_MODES,
};
use crate::ingest::fields::{Fields, SentNames};
use crate::ingest::words::{self, TradeWord, trade_word};
use crate::ingest::{PushError, shapes, values};

const MAX_MODE_CHARS: usize = 64;
const MAX_REASON_CHARS: usize = 2_000;
const MAX_MODEL_CHARS: usize = 64;
const MAX_RR_TARGET: f64 = 1_000.0;
const ENDING_ONLY: &str = "goes only with the status invalidated";
/// Documented fields of a signal that have no effect: the message type, and TradingView's bar data.
const WITHOUT_EFFECT: [&str; 2] = ["interval", "timenow"];

/// A parsed signal.
#[derive(Debug, Clone, PartialEq)]
pub struct PushedSignal {
    /// The id of the signal.
    pub id: SignalId,
    /// The changes.
    pub draft: SignalDraft,
    /// Whether the signal is only validated.
    pub dry_run: bool,
    /// Names of the fields that had no effect, as they were sent.
    pub ignored: Vec<String>,
    pub(in crate::ingest) sent_names: SentNames,
}

/// Parses a pushed signal: a flat object, `{"signal":{…}}` or `{"type":"signal","data"|"payload":{…}}`.
///
/// The parser does not know whether the id exists, so it does not require `symbol` and `direction` in a body that may
/// update a known signal. If the body has other faults, it also names these fields, so that the sender sees all faults
/// at once.
///
/// # Errors
/// [`PushError`] with every fault, by the sender's field names.
pub fn parse_signal(value: &Value, instruments: &Instruments) -> Result<PushedSignal, PushError> {
    let (object, envelope) = unwrap(value).ok_or_else(|| shapes::not_an_object(value))?;
    let mut fields = Fields::new(object, String::new());
    let id = read_id(&mut fields);
    let draft = read_draft(&mut fields, instruments);
    let dry_run = fields.read(&DRY_RUN, values::flag);
    let outer = envelope.and_then(|envelope| {
        let mut outer = Fields::new(envelope, String::new());
        let dry_run = outer.read(&DRY_RUN, values::flag);
        fields.add(outer.into_faults());
        dry_run
    });
    let dry_run = dry_run.unwrap_or(false) || outer.unwrap_or(false);
    fields.disregard(&WITHOUT_EFFECT);

    let says_nothing = draft.status.is_none() && !draft.has_content();
    if says_nothing && let Some(fault) = shapes::several(object, instruments) {
        return Err(fault);
    }
    if !fields.has(&ID) || says_nothing || !fields.is_faultless() {
        name_missing(&mut fields, &draft);
    }
    if !fields.is_faultless() {
        fields.add(level_faults(&draft, instruments, LevelLimits::default()));
    }
    let ignored = fields.ignored();
    let sent_names = fields.finish()?;
    let id = id.ok_or_else(|| PushError::whole("has no id"))?;
    Ok(PushedSignal { id, draft, dry_run, ignored, sent_names })
}

/// Parses the end of a signal: `{"status":"confirmed"}` or `{"status":"invalidated","reason"?}`.
///
/// # Errors
/// [`PushError`] with every fault.
pub fn parse_end(value: &Value) -> Result<SignalDraft, PushError> {
    parse_end_of(value).map(|end| end.draft)
}

/// A parsed end of a signal.
#[derive(Debug)]
pub(in crate::ingest) struct PushedEnd {
    pub(in crate::ingest) draft: SignalDraft,
    /// Whether the end is only validated.
    pub(in crate::ingest) dry_run: bool,
    /// Names of the fields that had no effect, as they were sent.
    pub(in crate::ingest) ignored: Vec<String>,
}

/// Parses an end with everything that goes with it.
pub(in crate::ingest) fn parse_end_of(value: &Value) -> Result<PushedEnd, PushError> {
    let object = value.as_object().ok_or_else(|| shapes::not_an_object(value))?;
    let mut fields = Fields::new(object, String::new());
    let status = fields.read(&STATUS, |value| match words::status(value) {
        Ok(status @ (SignalStatus::Confirmed | SignalStatus::Invalidated)) => Ok(status),
        _ => Err("must be confirmed or invalidated".to_owned()),
    });
    let invalidation = read_invalidation(&mut fields, &END_REASON);
    if invalidation.is_some() && status == Some(SignalStatus::Confirmed) {
        fields.fault("reason", ENDING_ONLY);
    }
    if !fields.has(&STATUS) {
        fields.push(Fault::required("status"));
    }
    let dry_run = fields.read(&DRY_RUN, values::flag).unwrap_or(false);
    fields.disregard(&[ID.name]);
    let ignored = fields.ignored();
    fields.finish()?;
    Ok(PushedEnd { draft: SignalDraft { status, invalidation, ..SignalDraft::default() }, dry_run, ignored })
}

/// Reads `dry_run` of a body that has no signal.
///
/// # Errors
/// [`PushError`] when its value is not a flag.
pub(super) fn read_dry_run(value: &Value) -> Result<bool, PushError> {
    let Some(object) = value.as_object() else { return Ok(false) };
    let mut fields = Fields::new(object, String::new());
    let dry_run = fields.read(&DRY_RUN, values::flag).unwrap_or(false);
    fields.finish()?;
    Ok(dry_run)
}

/// A signal's own object, and the envelope around it.
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
    fields.read(&ID, |value| {
        let id = match value {
            Value::String(text) => SignalId::new(text),
            Value::Number(number) => SignalId::new(&number.to_string()),
            _ => None,
        };
        id.ok_or_else(|| format!("must be text of 1 to {} characters", SignalId::MAX_CHARS))
    })
}

fn read_draft(fields: &mut Fields<'_>, instruments: &Instruments) -> SignalDraft {
    let status = fields.read(&STATUS, words::status);
    let invalidation = read_invalidation(fields, &INVALIDATION);
    if invalidation.is_some() && status != Some(SignalStatus::Invalidated) {
        fields.fault("invalidation", ENDING_ONLY);
    }
    let direction = read_direction(fields, status);
    let instrument = fields.instrument(instruments);
    let price = |value: &Value| values::price(value, instrument);
    SignalDraft {
        status,
        invalidation,
        direction,
        symbol: instrument.map(|instrument| instrument.symbol.clone()),
        entry_time: fields.read(&ENTRY_TIME, values::time),
        entry_price: fields.read(&ENTRY_PRICE, price),
        stop_loss: fields.read(&STOP_LOSS, price),
        take_profits: read_targets(fields, instrument),
        tp_modes: fields
            .read_list(&TP_MODES, MAX_TARGETS, |mode| values::text(mode, MAX_MODE_CHARS).map(ToOwned::to_owned)),
        reason: fields.read(&REASON, |value| values::text(value, MAX_REASON_CHARS)).map(ToOwned::to_owned),
        confidence: fields.read(&CONFIDENCE, values::confidence),
        rr_target: fields.read(&RR_TARGET, |value| values::number_within(value, 0.0, MAX_RR_TARGET)),
        killzone: fields.read(&KILLZONE, killzone).flatten(),
        model: fields.read(&MODEL, |value| values::text(value, MAX_MODEL_CHARS)).and_then(unless_blank),
    }
}

/// Reads the direction from every field that has one. A closed position has no direction if the push ends a signal.
fn read_direction(fields: &mut Fields<'_>, status: Option<SignalStatus>) -> Option<Direction> {
    let ends = status.is_some_and(|status| status != SignalStatus::Pending);
    let word = |value: &Value| value.as_str().and_then(trade_word);
    let is_exit = move |value: &Value| ends && word(value) == Some(TradeWord::Exit);
    let direction =
        fields.read(&DIRECTION, |value| if is_exit(value) { Ok(None) } else { words::direction(value).map(Some) });
    let mut direction = direction.flatten();
    for name in std::iter::once(&DIRECTION_HINTS.name).chain(DIRECTION_HINTS.fallbacks).chain([&MARKET_POSITION.name]) {
        for (name, value) in fields.take(&FieldAliases::plain(name)) {
            match word(value) {
                Some(TradeWord::Direction(hint)) if direction.is_none_or(|direction| direction == hint) => {
                    direction = Some(hint);
                }
                Some(TradeWord::Direction(_)) => fields.fault(name, "contradicts the direction"),
                Some(TradeWord::PendingOrder) => fields.fault(name, words::PENDING_ORDER),
                Some(TradeWord::Exit) if !ends => {
                    fields.fault(name, words::direction(value).err().unwrap_or_default());
                }
                _ => {}
            }
        }
    }
    direction
}

fn read_invalidation(fields: &mut Fields<'_>, field: &FieldAliases) -> Option<Invalidation> {
    let text = fields.read(field, |value| values::text(value, Invalidation::MAX_CHARS)).and_then(unless_blank)?;
    Invalidation::new(&text)
}

/// A blank value counts as absent: the time then determines the killzone.
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

/// Adds a fault for each field that a new signal needs, unless the body only ends a known one.
fn name_missing(fields: &mut Fields<'_>, draft: &SignalDraft) {
    if !fields.has(&ID) {
        fields.push(Fault::required("id"));
    }
    let has_direction = fields.has(&DIRECTION) || draft.direction.is_some();
    let describes = fields.has(&SYMBOL) || has_direction;
    let ends = match draft.status {
        Some(status) => status != SignalStatus::Pending,
        // The status is invalid.
        None => fields.has(&STATUS) && !describes,
    };
    if ends {
        return;
    }
    if !fields.has(&SYMBOL) {
        fields.push(Fault::required_for_signal("symbol"));
    }
    if !has_direction {
        fields.push(Fault::required_for_signal("direction"));
    }
}

/// Returns the levels that contradict the direction, or are too far from the entry, as far as the draft has both. The
/// pipeline makes the same checks.
fn level_faults(draft: &SignalDraft, instruments: &Instruments, limits: LevelLimits) -> Vec<Fault> {
    let (Some(symbol), Some(_), Some(id)) = (&draft.symbol, draft.direction, SignalId::new("-")) else {
        return Vec::new();
    };
    let Some(instrument) = instruments.get(symbol) else { return Vec::new() };
    let now = Now { wall: DateTime::UNIX_EPOCH, mono: Duration::ZERO };
    let source = SourceName::new(crate::ingest::SOURCE);
    let far = limits.faults(draft, None, instrument, None);
    let made = Signal::create(id, draft, instrument, source, now, Duration::ZERO);
    LevelLimits::joined(far, made.err().unwrap_or_default())
}
