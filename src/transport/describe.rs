//! How the streams describe themselves, for `/asyncapi.json`: their messages with schemas made from Rust types, and what
//! a client has to know about the connection.
//!
//! A message type is a variant of an enum that is tagged by `type`; its doc comment is the description. The schemas stay
//! within what draft 7 of JSON Schema knows, because AsyncAPI expects that.

use std::collections::BTreeMap;
use std::fmt;

use utoipa::ToSchema;
use utoipa::openapi::schema::ArrayBuilder;
use utoipa::openapi::{Ref, RefOr, Schema};

use super::close::Close;

/// Schemas by their names.
pub type Schemas = BTreeMap<String, RefOr<Schema>>;

/// Collects the schema of a type. See [`schema_of`].
pub type CollectSchema = fn(&mut Schemas) -> RefOr<Schema>;

/// Adds the schema of a type, and those that it refers to. Returns a reference to it.
pub fn schema_of<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    add_references::<T>(schemas);
    let name = T::name().into_owned();
    schemas.insert(name.clone(), T::schema());
    RefOr::Ref(Ref::from_schema_name(name))
}

/// Adds the schema of an entry. Returns the schema of a list of it.
pub fn list_of<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    let entry = schema_of::<T>(schemas);
    RefOr::T(ArrayBuilder::new().items(entry).build().into())
}

fn add_references<T: ToSchema>(schemas: &mut Schemas) {
    let mut collected = Vec::new();
    T::schemas(&mut collected);
    schemas.extend(collected);
}

/// The way in which a stream is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// A native WebSocket on a path of its own.
    WebSocket,
    /// A namespace of Socket.IO.
    Namespace,
    /// Server-sent events.
    EventStream,
}

/// The token that a stream asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamAccess {
    /// That of a reader, where reading needs one.
    Reader,
    /// That of a reader, where reading needs one; the token for writing permits pushes.
    ReaderOrWriter,
    /// That of a user.
    User,
    /// That of a user, in the handshake or in the first frame.
    UserInFrame,
    /// That of an administrator, in the first frame.
    AdminInFrame,
}

/// What a client has to know about a stream.
#[derive(Debug)]
pub struct StreamDescription {
    /// Name of the stream in the document, in snake case.
    pub name: &'static str,
    /// Whose stream it is: the title of a group.
    pub group: &'static str,
    /// How it is opened.
    pub kind: StreamKind,
    /// Its path, or its namespace.
    pub address: &'static str,
    /// Other paths of the same stream.
    pub aliases: &'static [&'static str],
    /// What it is for, in one sentence.
    pub summary: &'static str,
    /// What is sent when, and what the client should do.
    pub description: &'static str,
    /// The token that it asks for.
    pub access: StreamAccess,
    /// Parameters of the query, or of `auth` over Socket.IO, and what they mean.
    pub parameters: &'static [(&'static str, &'static str)],
    /// How a client continues where it stopped; `None` if the stream sends the current state only.
    pub resume: Option<&'static str>,
    /// Why the server closes it, beside [`Close::OF_EVERY_STREAM`].
    pub closes: &'static [Close],
    /// Its messages.
    pub messages: Messages,
}

/// One type of message on a stream.
#[derive(Clone)]
pub struct MessageDescription {
    /// The type on the wire. For a frame without a type, a name.
    pub name: String,
    /// Name of the message among those of all streams.
    pub id: String,
    /// Whether the server sends it.
    pub is_sent: bool,
    /// What it says.
    pub summary: String,
    /// Its schema: of the frame, or over Socket.IO of the event's first argument.
    pub payload: RefOr<Schema>,
    /// Schema of the event's second argument over Socket.IO.
    pub beside: Option<RefOr<Schema>>,
    /// The messages that answer it.
    pub answers: &'static [&'static str],
}

impl fmt::Debug for MessageDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageDescription").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The messages of a stream.
#[derive(Clone, Default)]
pub struct Messages {
    list: Vec<MessageDescription>,
    schemas: Schemas,
}

impl Messages {
    /// Adds messages that the server sends: the variants of an enum that is tagged by `type`.
    #[must_use]
    pub fn sends<T: ToSchema>(self) -> Self {
        self.variants::<T>(true)
    }

    /// Adds messages that the server accepts: the variants of an enum that is tagged by `type` or by `action`.
    #[must_use]
    pub fn accepts<T: ToSchema>(self) -> Self {
        self.variants::<T>(false)
    }

    /// Adds a message that the server sends without a type.
    #[must_use]
    pub fn sends_untyped<T: ToSchema>(self, name: &str) -> Self {
        self.one::<T>(name, true)
    }

    /// Adds a message that the server accepts without a type.
    #[must_use]
    pub fn accepts_untyped<T: ToSchema>(self, name: &str) -> Self {
        self.one::<T>(name, false)
    }

    /// Adds an event that the server emits, with its first argument.
    #[must_use]
    pub fn emits(self, name: &str, summary: &str, data: CollectSchema) -> Self {
        self.event(name, summary, true, data)
    }

    /// Adds an event that the server listens to, with its argument.
    #[must_use]
    pub fn listens(self, name: &str, summary: &str, data: CollectSchema) -> Self {
        self.event(name, summary, false, data)
    }

    /// Adds the second argument of the last event.
    #[must_use]
    pub fn beside<T: ToSchema>(mut self) -> Self {
        let beside = schema_of::<T>(&mut self.schemas);
        if let Some(last) = self.list.last_mut() {
            last.beside = Some(beside);
        }
        self
    }

    /// Says which messages answer the message `name` of the client.
    #[must_use]
    pub fn answered(mut self, name: &str, answers: &'static [&'static str]) -> Self {
        let accepted = self.list.iter_mut().filter(|message| !message.is_sent && message.name == name);
        accepted.for_each(|message| message.answers = answers);
        self
    }

    /// Returns the messages.
    pub fn iter(&self) -> impl Iterator<Item = &MessageDescription> {
        self.list.iter()
    }

    /// Returns the schemas that the messages refer to.
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    fn variants<T: ToSchema>(mut self, is_sent: bool) -> Self {
        add_references::<T>(&mut self.schemas);
        let variants = match T::schema() {
            RefOr::T(Schema::OneOf(variants)) => variants.items,
            other => vec![other],
        };
        for payload in variants {
            let name = tag(&payload).unwrap_or_default();
            let (id, summary) = (format!("{}.{name}", T::name()), one_line(&description(&payload)));
            self.list.push(MessageDescription { name, id, is_sent, summary, payload, beside: None, answers: &[] });
        }
        self
    }

    fn one<T: ToSchema>(mut self, name: &str, is_sent: bool) -> Self {
        let payload = schema_of::<T>(&mut self.schemas);
        let summary = one_line(&description(&T::schema()));
        let (id, name) = (T::name().into_owned(), name.to_owned());
        self.list.push(MessageDescription { name, id, is_sent, summary, payload, beside: None, answers: &[] });
        self
    }

    fn event(mut self, name: &str, summary: &str, is_sent: bool, data: CollectSchema) -> Self {
        let payload = data(&mut self.schemas);
        let (name, summary) = (name.to_owned(), summary.to_owned());
        let id = format!("event.{name}");
        self.list.push(MessageDescription { name, id, is_sent, summary, payload, beside: None, answers: &[] });
        self
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.list).finish()
    }
}

/// Returns the type of a frame, which its schema has as the only value of `type` or `action`.
fn tag(schema: &RefOr<Schema>) -> Option<String> {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            let tag = object.properties.get("type").or_else(|| object.properties.get("action"))?;
            let RefOr::T(Schema::Object(tag)) = tag else { return None };
            let [only] = tag.enum_values.as_deref()? else { return None };
            only.as_str().map(str::to_owned)
        }
        RefOr::T(Schema::AllOf(parts)) => parts.items.iter().find_map(tag),
        _ => None,
    }
}

fn description(schema: &RefOr<Schema>) -> String {
    let text = match schema {
        RefOr::T(Schema::Object(object)) => object.description.clone(),
        RefOr::T(Schema::AllOf(parts)) => parts.description.clone(),
        RefOr::T(Schema::OneOf(variants)) => variants.description.clone(),
        _ => None,
    };
    text.unwrap_or_default()
}

/// Returns a doc comment without its line breaks.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
