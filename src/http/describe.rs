//! The description of the HTTP interface: OpenAPI 3.1, generated from the handlers and the types that they answer with.
//!
//! A handler says what it reads and what it answers in case of success. Which errors it can answer with follows from
//! that: from its token, its body, and [`ErrorCode`].

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, ContactBuilder, InfoBuilder, LicenseBuilder, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder,
    Server, path::Operation,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::body::{BATCH, SMALL};
use crate::config::BasePath;
use crate::domain::ErrorCode;
use crate::ingest::ErrorBody;

/// The token for reading. A server with `ORION_READ_AUTH=open` asks for none.
pub(super) const READER: &str = "reader";
/// The token of administrators, as a bearer token.
pub(super) const ADMIN: &str = "admin";
/// The same in a header of its own.
const ADMIN_HEADER: &str = "admin_header";
/// The token for writing.
pub(super) const INGEST: &str = "ingest";
/// The token of a user.
pub(super) const USER: &str = "user";

pub(super) const READER_TEXT: &str = "`ORION_READ_TOKEN` or a user's token; only where `ORION_READ_AUTH=required`.";
pub(super) const INGEST_TEXT: &str = "`ORION_INGEST_TOKEN`: gives write access.";
pub(super) const USER_TEXT: &str = "The token of a user, signed by your login service.";

/// Answers that any request can get.
const ALWAYS: [u16; 3] = [400, 421, 500];
/// Answers where a token is asked for: it is missing or wrong, presented too often, or cannot be verified now.
const WITH_TOKEN: [u16; 3] = [401, 429, 503];
/// Answers to a body that does not arrive, is too large or of another type.
const WITH_BODY: [u16; 3] = [408, 413, 415];

/// Answers beside those that follow from an operation's token and body: the status is a number in its type.
#[derive(Debug)]
pub(crate) struct Refuses<const STATUS: u16>;

impl<const STATUS: u16> utoipa::IntoResponses for Refuses<STATUS> {
    fn responses() -> std::collections::BTreeMap<String, RefOr<Response>> {
        [(STATUS.to_string(), reference(STATUS))].into()
    }
}

/// A group of routes: its name, and what it is for.
pub(crate) type Group = (&'static str, &'static str);

/// Puts the routes of a router into a group.
pub(crate) fn grouped<S>((name, text): Group, mut routes: OpenApiRouter<S>) -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let api = routes.get_openapi_mut();
    api.tags = Some(vec![TagBuilder::new().name(name).description(Some(text)).build()]);
    for operation in api.paths.paths.values_mut().flat_map(operations) {
        operation.tags = Some(vec![name.to_owned()]);
    }
    routes
}

/// Completes what the routers have collected.
pub(super) fn complete(mut api: OpenApi, base: &BasePath) -> OpenApi {
    let license = LicenseBuilder::new().name("MIT").identifier(Some("MIT")).build();
    api.info = InfoBuilder::new()
        .title("orion-server")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(introduction()))
        .contact(Some(ContactBuilder::new().name(Some("orion-server")).build()))
        .license(Some(license))
        .build();
    // Without a base path relative to this document, so that it also holds behind a proxy that removes one.
    api.servers = Some(vec![Server::new(if base.as_str().is_empty() { "." } else { base.as_str() })]);
    // The router's form of a parameter that goes on over slashes.
    let paths = std::mem::take(&mut api.paths.paths).into_iter();
    api.paths.paths = paths.map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    api.paths.paths.values_mut().flat_map(operations).for_each(complete_operation);
    let components = api.components.get_or_insert_with(Components::new);
    components.schemas.insert(ErrorBody::name().into_owned(), ErrorBody::schema());
    components.schemas.insert(<ErrorCode as ToSchema>::name().into_owned(), ErrorCode::schema());
    for status in statuses() {
        components.responses.insert(component(status), error(status).into());
    }
    for (name, scheme) in schemes() {
        components.security_schemes.insert(name.to_owned(), scheme.into());
    }
    // The parameters of generic types are written in place.
    let text = api.to_json().unwrap_or_default();
    let components = api.components.get_or_insert_with(Components::new);
    components.schemas.retain(|name, _| text.contains(&format!("\"#/components/schemas/{name}\"")));
    api
}

/// Returns the operations of a path.
fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.patch].into_iter().filter_map(Option::as_mut)
}

fn complete_operation(operation: &mut Operation) {
    let one_line = |text: &mut String| *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(summary) = &mut operation.summary {
        one_line(summary);
        summary.truncate(summary.trim_end_matches('.').len());
    }
    operation.description.iter_mut().for_each(one_line);
    let mut statuses = ALWAYS.to_vec();
    let security = operation.security.get_or_insert_default();
    if !security.is_empty() {
        statuses.extend(WITH_TOKEN);
        let has = |name: &str| security.contains(&requirement(name));
        match (has(READER), has(ADMIN)) {
            (true, _) => security.push(SecurityRequirement::default()),
            (_, true) => {
                security.push(requirement(ADMIN_HEADER));
                statuses.push(403);
            }
            _ => {}
        }
    }
    if operation.request_body.is_some() {
        statuses.extend(WITH_BODY);
    }
    for status in statuses {
        operation.responses.responses.entry(status.to_string()).or_insert_with(|| reference(status));
    }
}

fn requirement(name: &str) -> SecurityRequirement {
    SecurityRequirement::new(name, [""; 0])
}

fn introduction() -> String {
    format!(
        "Live prices and trading signals, and everything that is published for the dashboards, over plain HTTP. The \
         streams, over WebSocket and Socket.IO, are in `/asyncapi.json`: [streams](docs/streams).\n\n\
         **Limits.** A body has at most {} KiB, a batch {} KiB, and a batch has at most 1,000 entries; it is accepted or \
         rejected as a whole. At most 16 expensive reads run at the same time; beyond that the answer is 503 `overloaded` \
         with `Retry-After`. An address that presents more than 20 wrong tokens within a minute gets 429.\n\n\
         **Errors** are `{{\"error\", \"code\", \"details\"?}}`: a sentence for people, a code for programs, and where \
         fields are invalid all of them in `details.fields`.\n\n\
         **Times** are ISO 8601 in UTC. Every answer has `X-Request-Id`, by which the log names the request.",
        SMALL / 1024,
        BATCH / 1024,
    )
}

fn schemes() -> [(&'static str, SecurityScheme); 5] {
    let bearer = |text: &str, jwt: bool| {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text));
        SecurityScheme::Http(if jwt { scheme.bearer_format("JWT") } else { scheme }.build())
    };
    let header = "The token of administrators, in a header of its own; it takes precedence over a bearer token.";
    [
        (READER, bearer(READER_TEXT, false)),
        (INGEST, bearer(INGEST_TEXT, false)),
        (USER, bearer(USER_TEXT, true)),
        (ADMIN, bearer("`ORION_ADMIN_TOKEN`, or the token of a user who is an administrator.", false)),
        (ADMIN_HEADER, SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description("X-Admin-Token", header)))),
    ]
}

/// Returns the statuses of errors, each once, without the one of a method that a route does not have.
fn statuses() -> Vec<u16> {
    let mut statuses: Vec<u16> = ErrorCode::ALL.iter().map(|code| code.status()).collect();
    statuses.dedup();
    statuses.retain(|status| *status != ErrorCode::MethodNotAllowed.status());
    statuses
}

fn component(status: u16) -> String {
    format!("Error{status}")
}

fn reference(status: u16) -> RefOr<Response> {
    RefOr::Ref(Ref::from_response_name(component(status)))
}

/// Describes the errors with a status.
fn error(status: u16) -> Response {
    let codes: Vec<_> = ErrorCode::ALL.iter().filter(|code| code.status() == status).collect();
    let lines = codes.iter().map(|code| format!("- `{code}`: {}", code.meaning()));
    let names = codes.iter().map(|code| code.name());
    let code = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).enum_values(Some(names));
    let narrowed = ObjectBuilder::new().property("code", code).required("code");
    let body = AllOfBuilder::new().item(Ref::from_schema_name(ErrorBody::name())).item(narrowed);
    let content = ContentBuilder::new().schema(Some(body)).build();
    let response =
        ResponseBuilder::new().description(lines.collect::<Vec<_>>().join("\n")).content("application/json", content);
    let header = |kind, text: &str| {
        let schema = ObjectBuilder::new().schema_type(SchemaType::Type(kind));
        HeaderBuilder::new().schema(Some(schema)).description(Some(text)).build()
    };
    match status {
        401 => response.header("WWW-Authenticate", header(Type::String, "`Bearer`")),
        429 | 503 => response.header("Retry-After", header(Type::Integer, "Seconds until a new attempt makes sense")),
        _ => response,
    }
    .build()
}
