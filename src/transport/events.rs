//! The types of messages that may be published, and the events that publish them, one or a batch:
//! `{"type","data","user"?,"audience"?}` or `{"events":[…]}`.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::describe::{CollectSchema, schema_of};
use super::shape::{self, Parsed, json_number};
use crate::domain::{Audience, Fault, MessageType, RelayedMessage};
use crate::ingest::PushedEvents;

/// Largest number of events in a batch.
const MAX_BATCH: usize = 1_000;

/// Checks the `data` of a message and converts it to the form that its dashboard reads. A list may become several
/// messages, each the state of a different thing. Fails with all faults, named within `data`.
pub type ParseData = fn(MessageType, &Value, DateTime<Utc>) -> Result<Vec<Parsed>, Vec<Fault>>;

/// Returns the `data` of a message for its user's streams.
pub type UserData = fn(&RelayedMessage) -> Cow<'_, str>;

/// Whom the messages of a type may be addressed to, and to whom they go if the sender does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressees {
    /// One user, all users or administrators; by default all users.
    Any,
    /// The same; by default the user that `user_id` in the data names.
    UserInData,
    /// Administrators only.
    Admins,
}

/// A type of messages that may be published, as the dashboard that reads it declares it.
#[derive(Debug, Clone, Copy)]
pub struct PublishedType {
    /// The type.
    pub kind: MessageType,
    /// Checks its data.
    pub parse: ParseData,
    /// The schema of its data, as it is sent.
    pub data: CollectSchema,
    /// Whom it may be addressed to.
    pub addressees: Addressees,
    /// Its form on the users' streams over Socket.IO. `None` for a form of the market data that a single dashboard
    /// reads: over Socket.IO the market data has its own events, some of them under the same names.
    pub on_user_streams: Option<UserData>,
}

/// All types of messages that may be published.
#[derive(Debug)]
pub struct PublishedTypes(Vec<PublishedType>);

impl PublishedTypes {
    /// Creates the table. Error texts name the types in this order.
    pub fn new(types: impl IntoIterator<Item = PublishedType>) -> Self {
        Self(types.into_iter().collect())
    }

    /// Returns the types.
    pub fn iter(&self) -> impl Iterator<Item = &PublishedType> {
        self.0.iter()
    }

    /// Returns the form of a message on the users' streams, if it belongs there.
    pub fn on_user_streams(&self, kind: MessageType) -> Option<UserData> {
        self.0.iter().find(|declared| declared.kind == kind)?.on_user_streams
    }

    /// Parses a whole body; the events keep their order.
    ///
    /// # Errors
    /// Returns all faults, each named by its place: `events[3].data.price`.
    pub fn read(&self, body: &Value, now: DateTime<Utc>) -> Result<PushedEvents, Vec<Fault>> {
        let object = body.as_object().ok_or_else(|| vec![Fault::new("body", "must be a JSON object")])?;
        let Some(batch) = object.get("events").filter(|batch| !batch.is_null()) else {
            let (kind, messages) = self.event(body, "", now)?;
            return Ok(PushedEvents::One(kind, messages));
        };
        let events = batch.as_array().filter(|events| (1..=MAX_BATCH).contains(&events.len()));
        let events =
            events.ok_or_else(|| vec![Fault::new("events", format!("must be a list of 1 to {MAX_BATCH} events"))])?;
        let (mut all, mut faults) = (Vec::with_capacity(events.len()), Vec::new());
        for (index, entry) in events.iter().enumerate() {
            match self.event(entry, &format!("events[{index}]."), now) {
                Ok((_, messages)) => all.extend(messages),
                Err(more) => faults.extend(more),
            }
        }
        if faults.is_empty() { Ok(PushedEvents::Batch(events.len(), all)) } else { Err(faults) }
    }

    /// Parses one event. `prefix` is put in front of the names of faults.
    fn event(
        &self,
        event: &Value,
        prefix: &str,
        now: DateTime<Utc>,
    ) -> Result<(MessageType, Vec<RelayedMessage>), Vec<Fault>> {
        let Some(event) = event.as_object() else {
            return Err(vec![Fault::new(prefix.trim_end_matches('.'), "must be an object {type, data}")]);
        };
        let mut faults = Vec::new();
        let mut add = |fault: Fault| faults.push(fault.renamed(|field| format!("{prefix}{field}")));
        let declared = self.declared(event).map_err(&mut add).ok();
        let parsed = match (declared, event.get("data").filter(|data| !data.is_null())) {
            (Some(declared), Some(data)) => declared.parse(data, now),
            (_, None) => Err(vec![Fault::required("data")]),
            (None, _) => Err(Vec::new()),
        };
        let parsed = parsed.map_err(|within| within.into_iter().for_each(|fault| add(fault.renamed(within_data))));
        let audience = audience(event, declared.map(|declared| declared.addressees)).map_err(add);
        match (declared.map(|declared| declared.kind), parsed, audience) {
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

    fn declared(&self, event: &Map<String, Value>) -> Result<&PublishedType, Fault> {
        match event.get("type") {
            None | Some(Value::Null) => Err(Fault::required("type")),
            Some(Value::String(name)) => {
                let found = self.0.iter().find(|declared| declared.kind.name() == name.trim());
                found.ok_or_else(|| {
                    let known: Vec<_> = self.0.iter().map(|declared| declared.kind.name()).collect();
                    let name: String = name.chars().take(40).collect();
                    Fault::new("type", format!("'{name}' is no message type; the types are {}", known.join(", ")))
                })
            }
            Some(_) => Err(Fault::new("type", "must be the name of a message type")),
        }
    }
}

impl PublishedType {
    /// Returns a type that may be addressed to anyone and is not on the users' streams. `T` describes its data.
    pub const fn new<T: ToSchema>(kind: MessageType, parse: ParseData) -> Self {
        Self { kind, parse, data: schema_of::<T>, addressees: Addressees::Any, on_user_streams: None }
    }

    /// Checks the data of a message, see [`ParseData`].
    pub fn parse(&self, data: &Value, now: DateTime<Utc>) -> Result<Vec<Parsed>, Vec<Fault>> {
        (self.parse)(self.kind, &clean(data.clone()), now)
    }
}

/// Returns the data of a message as it was published.
pub fn as_published(message: &RelayedMessage) -> Cow<'_, str> {
    Cow::Borrowed(&message.data)
}

/// Writes numbers like JavaScript does, even in undocumented fields: `5000.0` becomes `5000`.
fn clean(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => json_number(float),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(clean).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, clean(value))).collect(),
        other => other,
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

/// Returns the audience of the event, or what is wrong about it. Administrators' messages never go to anybody else.
fn audience(event: &Map<String, Value>, addressees: Option<Addressees>) -> Result<Audience, Fault> {
    let wrong = |field: &str, reason: &str| Err(Fault::new(field, reason));
    let given = |name: &str| event.get(name).filter(|value| !value.is_null());
    let user =
        given("user").map(|user| shape::text(user, Audience::MAX_USER).map_err(|reason| Fault::new("user", reason)));
    let user = user.transpose()?;
    let word = match given("audience") {
        None => None,
        Some(Value::String(word)) => Some(word.trim().to_ascii_lowercase()),
        Some(_) => return wrong("audience", "must be all, user or admin"),
    };
    if addressees == Some(Addressees::Admins) {
        return match (word.as_deref(), user) {
            (None | Some("admin"), None) => Ok(Audience::Admin),
            (_, Some(_)) => wrong("user", "must be absent: administrators' messages go to all of them"),
            (Some(_), None) => wrong("audience", "must be admin for administrators' messages"),
        };
    }
    let named = || event.get("data")?.get("user_id").and_then(|id| shape::text(id, Audience::MAX_USER).ok());
    match (word.as_deref(), user) {
        (None | Some("user"), Some(user)) => Ok(Audience::User(user.into())),
        (Some("all" | "admin"), Some(_)) => wrong("user", "must be absent beside an audience of all or admin"),
        (Some("user"), None) => Err(Fault::required_when("user", " for the audience user")),
        (None, None) if addressees == Some(Addressees::UserInData) => {
            Ok(named().map_or(Audience::All, |user| Audience::User(user.into())))
        }
        (None | Some("all"), None) => Ok(Audience::All),
        (Some("admin"), None) => Ok(Audience::Admin),
        (Some(_), _) => wrong("audience", "must be all, user or admin"),
    }
}

#[cfg(test)]
mod tests;
