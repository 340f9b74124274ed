//! A call of a tool as a request of its route.

use axum::body::Body;
use http::Request;
use http::header::CONTENT_TYPE;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::tools::{AgentTool, Place};
use crate::domain::Fault;
use crate::http::body::JSON;

/// Least similarity of a name that is suggested for another one, from 0 to 1.
const SIMILAR: f64 = 0.8;

/// Makes the request of a call.
///
/// # Errors
/// Every argument that cannot be put into the request.
pub(super) fn request(tool: &AgentTool, arguments: &Map<String, Value>) -> Result<Request<Body>, Vec<Fault>> {
    let (mut path, mut query, mut body, mut faults) = (tool.path.clone(), Vec::new(), Map::new(), Vec::new());
    for (name, value) in arguments {
        match (tool.place(name), text(value)) {
            (None, _) => faults.push(unknown(tool, name)),
            (Some(Place::Body), _) => drop(body.insert(name.clone(), value.clone())),
            _ if value.is_null() => {}
            (Some(Place::Path), Some(text)) if !text.is_empty() => {
                path = path.replace(&format!("{{{name}}}"), &encoded(&text));
            }
            (Some(Place::Query), Some(text)) => query.push(format!("{}={}", encoded(name), encoded(&text))),
            _ => faults.push(Fault::new(name, "must be text or a number")),
        }
    }
    for name in tool.arguments().filter(|name| path.contains(&format!("{{{name}}}"))) {
        if !faults.iter().any(|fault| fault.field == name) {
            faults.push(Fault::required(name));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    let request = Request::builder().method(tool.method.clone()).uri(path);
    let request = if tool.has_body {
        request.header(CONTENT_TYPE, JSON).body(Body::from(Value::Object(body).to_string()))
    } else {
        request.body(Body::empty())
    };
    request.map_err(|_| vec![Fault::new("arguments", "are too long")])
}

/// Returns a value as it stands in a path or a query: a list by its entries with commas.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        // Models write 10.0 where a whole number is asked for.
        Value::Number(number) => number.as_i64().map(|n| n.to_string()).or_else(|| Some(number.as_f64()?.to_string())),
        Value::Array(entries) => Some(entries.iter().map(text).collect::<Option<Vec<_>>>()?.join(",")),
        Value::Null | Value::Object(_) => None,
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn unknown(tool: &AgentTool, name: &str) -> Fault {
    let similar = tool.arguments().map(|known| (strsim::jaro_winkler(name, known), known));
    let most = similar.filter(|(score, _)| *score >= SIMILAR).max_by(|a, b| a.0.total_cmp(&b.0));
    let remedy = match most {
        Some((_, known)) => format!("did you mean {known}?"),
        None => format!("it has {}", tool.arguments().collect::<Vec<_>>().join(", ")),
    };
    Fault::new(name, format!("is not an argument of {}: {remedy}", tool.tool.name))
}
