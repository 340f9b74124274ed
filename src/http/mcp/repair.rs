//! Errors of tools, so that a model can repair its call: each invalid field with the reason, the remedy and an example.

use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};

use super::tools::AgentTool;

/// What went wrong with a call.
#[derive(Debug, Serialize)]
pub(super) struct RepairHint<'a> {
    /// A sentence for people.
    error: &'a str,
    /// The code of the error, the same as over HTTP.
    code: &'a str,
    /// What to do now.
    remedy: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<FieldHint<'a>>,
    /// Arguments that are valid together.
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<&'a Map<String, Value>>,
}

#[derive(Debug, Serialize)]
struct FieldHint<'a> {
    field: &'a str,
    reason: &'a str,
    /// What the field has to be; absent for a field that is not described.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<&'a Value>,
}

impl<'a> RepairHint<'a> {
    /// Explains an error of a tool's route: its status, its body, and its `Retry-After`.
    pub(super) fn new(tool: &'a AgentTool, status: StatusCode, body: &'a Value, retry_after: Option<&str>) -> Self {
        let text = |name: &str, or: &'a str| body[name].as_str().unwrap_or(or);
        let fields: Vec<_> = body["details"]["fields"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(field, reason)| FieldHint::new(tool, field, reason.as_str().unwrap_or_default()))
            .collect();
        Self {
            error: text("error", "The call failed"),
            code: text("code", "internal"),
            remedy: remedy(tool, status, retry_after),
            example: (!fields.is_empty() && !tool.example.is_empty()).then_some(&tool.example),
            fields,
        }
    }
}

impl<'a> FieldHint<'a> {
    fn new(tool: &'a AgentTool, field: &'a str, reason: &'a str) -> Self {
        // A place in a list belongs to the list.
        let name = field.split(['[', '.']).next().unwrap_or(field);
        let schema = tool.argument(name);
        Self {
            field,
            reason,
            remedy: schema.map(expected),
            example: schema.and_then(|schema| schema.pointer("/examples/0").or_else(|| schema.pointer("/enum/0"))),
        }
    }
}

/// Returns what to do after an error with this status.
fn remedy(tool: &AgentTool, status: StatusCode, retry_after: Option<&str>) -> String {
    let name = &tool.tool.name;
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            format!("{name} needs a token that this client does not have: ask its user to configure it, see docs/mcp.md")
        }
        StatusCode::NOT_FOUND if tool.writes => {
            "Find the id with list_signals; a new signal goes through push_signal, with symbol and direction".to_owned()
        }
        StatusCode::NOT_FOUND => "Find the id with list_signals".to_owned(),
        StatusCode::CONFLICT => {
            "Nothing was changed, and the same call fails again: read the state with get_signal; a signal that has ended \
             stays as it is, a new one needs another id"
                .to_owned()
        }
        StatusCode::PAYLOAD_TOO_LARGE => "Send shorter texts".to_owned(),
        status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            format!("Nothing was changed: correct the call and call {name} again")
        }
        _ => {
            let wait = retry_after.unwrap_or("5");
            format!("Wait {wait} s and make the same call again; with the same id nothing is done twice")
        }
    }
}

/// Returns what a field has to be, from its schema.
fn expected(schema: &Value) -> String {
    let mut text = match (&schema["enum"], schema["type"].as_str()) {
        (Value::Array(values), _) => {
            let values: Vec<_> = values.iter().filter_map(Value::as_str).collect();
            format!("Send one of {}", values.join(", "))
        }
        (_, Some("string")) if schema["format"] == "date-time" => "Send a time".to_owned(),
        (_, Some("string")) => "Send text".to_owned(),
        (_, Some("integer")) => "Send a whole number".to_owned(),
        (_, Some("boolean")) => "Send true or false".to_owned(),
        (_, Some("array")) => "Send a list".to_owned(),
        _ => "Send a number".to_owned(),
    };
    if let (Some(least), Some(most)) = (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        text = format!("{text} from {least} to {most}");
    }
    for (limit, unit) in [("maxLength", "characters"), ("maxItems", "entries")] {
        if let Some(most) = schema[limit].as_u64() {
            text = format!("{text} of at most {most} {unit}");
        }
    }
    match schema["description"].as_str() {
        Some(description) => format!("{text}. {description}"),
        None => text,
    }
}
