//! Parses published events, one or a batch: `{"type","data","user"?,"audience"?}` or `{"events":[…]}`.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::dialects::{published, shape};
use crate::domain::{Audience, Fault, MessageType, RelayedMessage};
use crate::ingest::PushedEvents;

/// Largest number of events in a batch.
const MAX_BATCH: usize = 1_000;

/// Parses a whole body; the events keep their order.
///
/// # Errors
/// Returns all faults, each named by its place: `events[3].data.price`.
pub fn read(body: &Value, now: DateTime<Utc>) -> Result<PushedEvents, Vec<Fault>> {
    let object = body.as_object().ok_or_else(|| vec![Fault::new("body", "must be a JSON object")])?;
    let Some(batch) = object.get("events").filter(|batch| !batch.is_null()) else {
        let (kind, messages) = event(body, "", now)?;
        return Ok(PushedEvents::One(kind, messages));
    };
    let events = batch.as_array().filter(|events| (1..=MAX_BATCH).contains(&events.len()));
    let events =
        events.ok_or_else(|| vec![Fault::new("events", format!("must be a list of 1 to {MAX_BATCH} events"))])?;
    let (mut all, mut faults) = (Vec::with_capacity(events.len()), Vec::new());
    for (index, entry) in events.iter().enumerate() {
        match event(entry, &format!("events[{index}]."), now) {
            Ok((_, messages)) => all.extend(messages),
            Err(more) => faults.extend(more),
        }
    }
    if faults.is_empty() { Ok(PushedEvents::Batch(events.len(), all)) } else { Err(faults) }
}

/// Parses one event. `prefix` is put in front of the names of faults.
fn event(event: &Value, prefix: &str, now: DateTime<Utc>) -> Result<(MessageType, Vec<RelayedMessage>), Vec<Fault>> {
    let Some(event) = event.as_object() else {
        return Err(vec![Fault::new(prefix.trim_end_matches('.'), "must be an object {type, data}")]);
    };
    let mut faults = Vec::new();
    let mut fault = |field: &str, reason: String| faults.push(Fault::new(format!("{prefix}{field}"), reason));
    let kind = kind(event).map_err(|reason| fault("type", reason)).ok();
    let parsed = match (kind, event.get("data").filter(|data| !data.is_null())) {
        (Some(kind), Some(data)) => published::parse(kind, data, now),
        (_, None) => Err(vec![Fault::new("data", "is required")]),
        (None, _) => Err(Vec::new()),
    };
    let parsed = parsed.map_err(|within| {
        for Fault { field, reason } in within {
            fault(&within_data(&field), reason);
        }
    });
    let audience = audience(event, kind).map_err(|(field, reason)| fault(field, reason));
    match (kind, parsed, audience) {
        (Some(kind), Ok(parsed), Ok(audience)) => {
            let message = |parsed: shape::Parsed| RelayedMessage {
                seq: 0,
                kind,
                audience: audience.clone(),
                key: parsed.key.into(),
                data: parsed.data.into(),
                at: now,
            };
            Ok((kind, parsed.into_iter().map(message).collect()))
        }
        _ => Err(faults),
    }
}

/// Returns the place of a fault in the data, relative to the event.
fn within_data(field: &str) -> String {
    match field {
        "data" => field.to_owned(),
        entry if entry.starts_with('[') => format!("data{entry}"),
        field if field.starts_with("data[") => field.to_owned(),
        field => format!("data.{field}"),
    }
}

fn kind(event: &Map<String, Value>) -> Result<MessageType, String> {
    match event.get("type") {
        None | Some(Value::Null) => Err("is required".to_owned()),
        Some(Value::String(name)) => name.trim().parse().map_err(|_| {
            let known: Vec<_> = MessageType::ALL.iter().map(|(_, name, _)| *name).collect();
            let name: String = name.chars().take(40).collect();
            format!("'{name}' is no message type; the types are {}", known.join(", "))
        }),
        Some(_) => Err("must be the name of a message type".to_owned()),
    }
}

/// Returns the audience of the event, or the field that is wrong about it. Administrators' messages never go to anybody
/// else.
fn audience(event: &Map<String, Value>, kind: Option<MessageType>) -> Result<Audience, (&'static str, String)> {
    let one = |field, reason: &str| (field, reason.to_owned());
    let given = |name: &str| event.get(name).filter(|value| !value.is_null());
    let user = given("user").map(|user| shape::text(user, Audience::MAX_USER).map_err(|reason| one("user", &reason)));
    let user = user.transpose()?;
    let word = match given("audience") {
        None => None,
        Some(Value::String(word)) => Some(word.trim().to_ascii_lowercase()),
        Some(_) => return Err(one("audience", "must be all, user or admin")),
    };
    let admins = matches!(
        kind,
        Some(
            MessageType::AdminUsers
                | MessageType::AdminSubscribers
                | MessageType::AdminRevenue
                | MessageType::AdminUserAnalytics
        )
    );
    if admins {
        return match (word.as_deref(), user) {
            (None | Some("admin"), None) => Ok(Audience::Admin),
            (_, Some(_)) => Err(one("user", "must be absent: administrators' messages go to all of them")),
            (Some(_), None) => Err(one("audience", "must be admin for administrators' messages")),
        };
    }
    // Earnings that name their user are for that user, even if the sender does not name the user again.
    let named = || event.get("data")?.get("user_id").and_then(|id| shape::text(id, Audience::MAX_USER).ok());
    match (word.as_deref(), user) {
        (None | Some("user"), Some(user)) => Ok(Audience::User(user.into())),
        (Some("all" | "admin"), Some(_)) => Err(one("user", "must be absent beside an audience of all or admin")),
        (Some("user"), None) => Err(one("user", "is required for the audience user")),
        (None, None) if kind == Some(MessageType::Earnings) => {
            Ok(named().map_or(Audience::All, |user| Audience::User(user.into())))
        }
        (None | Some("all"), None) => Ok(Audience::All),
        (Some("admin"), None) => Ok(Audience::Admin),
        (Some(_), _) => Err(one("audience", "must be all, user or admin")),
    }
}

#[cfg(test)]
mod tests;
