//! `/openapi.json`: the server answers as the document says, and the document says what the server answers.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use chrono::TimeDelta;
use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value, json};

use crate::support::users::{SECRET, admin_token, token, token_for};
use crate::support::{Server, TOKEN, signal};

const ADMIN: &str = "the-shared-admin-token";
const READ: &str = "the-shared-read-token";
const ALERTS: &str = "the-webhooks-token-of-32-letters";
/// Where the table of routes stands in the docs.
const TABLE: [&str; 2] = ["<!-- routes: from /openapi.json -->\n", "<!-- end of routes -->"];
/// They do not end by themselves.
const STREAMS: [&str; 2] = ["/api/realtime/events", "/api/stream"];

async fn server() -> (Server, Value) {
    let settings = [
        ("ORION_SOURCES", "none"),
        ("ORION_INGEST_TOKEN", TOKEN),
        ("ORION_ADMIN_TOKEN", ADMIN),
        ("ORION_JWT_SECRET", SECRET),
        ("ORION_READ_AUTH", "required"),
        ("ORION_READ_TOKEN", READ),
        ("ORION_TRADINGVIEW_TOKEN", ALERTS),
        ("ORION_MCP", "1"),
    ];
    let server = Server::start(&settings).await;
    let (status, document) = server.get("/openapi.json").await;
    assert_eq!(status, 200, "{document}");
    (server, document)
}

/// An operation of the document.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    described: &'a Value,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(move |(method, described)| Operation { method, path, described })
        })
        .collect()
}

impl Operation<'_> {
    /// The names of the tokens that the operation accepts; none if it asks for none.
    fn tokens(&self) -> Vec<&str> {
        let alternatives = self.described["security"].as_array().unwrap();
        alternatives.iter().flat_map(|one| one.as_object().unwrap().keys().map(String::as_str)).collect()
    }

    /// A request with the examples of the document, without a token.
    fn request(&self, server: &Server, document: &Value) -> RequestBuilder {
        let (mut path, mut query) = (self.path.to_owned(), Vec::new());
        for parameter in self.described["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let Some(example) = parameter.get("example") else { continue };
            let example = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
            match parameter["in"].as_str() {
                Some("path") if name == "token" => path = path.replace("{token}", ALERTS),
                Some("path") => path = path.replace(&format!("{{{name}}}"), &example),
                _ => query.push((name.to_owned(), example)),
            }
        }
        let method: Method = self.method.to_uppercase().parse().unwrap();
        let request = server.http.request(method, server.url(&path)).query(&query);
        match self.described["requestBody"]["content"].as_object() {
            None => request,
            Some(content) if content.contains_key("application/json") => {
                let schema = resolved(document, &content["application/json"]["schema"]);
                match schema.get("example") {
                    Some(example) => request.json(example),
                    None => text(request, content),
                }
            }
            Some(content) => text(request, content),
        }
    }
}

fn text(request: RequestBuilder, content: &Map<String, Value>) -> RequestBuilder {
    let example = content["text/plain"]["example"].as_str().unwrap().to_owned();
    request.header("content-type", "text/plain").body(example)
}

/// Follows a reference within the document.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let reference = value["$ref"].as_str();
    reference.map_or(value, |reference| document.pointer(reference.trim_start_matches('#')).unwrap())
}

fn with_token(request: RequestBuilder, name: &str) -> RequestBuilder {
    match name {
        "reader" => request.bearer_auth(READ),
        "ingest" => request.bearer_auth(TOKEN),
        "admin" => request.bearer_auth(ADMIN),
        "admin_header" => request.header("x-admin-token", ADMIN),
        "user" => request.bearer_auth(token("user_001")),
        other => panic!("no token for {other}"),
    }
}

/// Checks an answer against the document; returns its status and its body.
async fn described_answer(operation: &Operation<'_>, document: &Value, request: RequestBuilder) -> (u16, Value) {
    let context = format!("{} {}", operation.method, operation.path);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
    let body = response.text().await.unwrap();
    let described = &operation.described["responses"][status.to_string()];
    assert!(described.is_object(), "{context}: {status} is not described: {body}");
    let content = resolved(document, described)["content"].as_object().unwrap();
    let (mime, content) = content.iter().next().unwrap();
    assert!(content_type.as_deref().unwrap_or_default().starts_with(mime.as_str()), "{context}: {content_type:?}");
    if mime != "application/json" {
        return (status, Value::String(body));
    }
    let body: Value = serde_json::from_str(&body).unwrap();
    let schema = json!({"allOf": [content["schema"]], "components": document["components"]});
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let faults: Vec<_> = validator.iter_errors(&body).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{context}: {faults:?} in {body}");
    (status, body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_gets_its_described_answer() {
    let (server, document) = server().await;
    let mut pushed = signal("model_001");
    pushed["symbol"] = json!("EURUSD");
    server.push(&pushed).await;
    let mut asked = 0;
    for operation in operations(&document).iter().filter(|operation| !STREAMS.contains(&operation.path)) {
        let request = operation.request(&server, &document);
        let tokens = operation.tokens();
        let request = tokens.first().map_or(request.try_clone().unwrap(), |name| with_token(request, name));
        let (status, body) = described_answer(operation, &document, request).await;
        assert!(status == 200, "{} {}: {status} {body}", operation.method, operation.path);
        asked += 1;
    }
    assert!(asked > 40, "{asked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_asks_for_its_described_token() {
    let (server, document) = server().await;
    server.push(&signal("model_001")).await;
    for operation in &operations(&document) {
        let request = || operation.request(&server, &document);
        let tokens = operation.tokens();
        let context = format!("{} {}", operation.method, operation.path);
        let expired = token_for("user_001", false, -TimeDelta::minutes(1));
        let (without, _) = if STREAMS.contains(&operation.path) {
            (request().send().await.unwrap().status().as_u16(), Value::Null)
        } else {
            described_answer(operation, &document, request()).await
        };
        assert_eq!(without == 401, !tokens.is_empty(), "{context} without a token: {without}");
        if tokens.is_empty() {
            continue;
        }
        let (status, body) = described_answer(operation, &document, request().bearer_auth(expired)).await;
        assert_eq!(status, 401, "{context}: {body}");
        if STREAMS.contains(&operation.path) {
            continue;
        }
        for name in tokens {
            let (status, body) = described_answer(operation, &document, with_token(request(), name)).await;
            assert!(status != 401 && status != 403, "{context} with {name}: {status} {body}");
        }
        if operation.tokens().contains(&"admin") {
            let (status, _) = described_answer(operation, &document, request().bearer_auth(token("ana"))).await;
            assert_eq!(status, 403, "{context} with a user's token");
            let by_admin = request().bearer_auth(admin_token("root"));
            assert_ne!(described_answer(operation, &document, by_admin).await.0, 403, "{context}");
        }
    }
}

/// The table of routes, as it stands in the docs.
fn table(document: &Value) -> String {
    let mut table = String::from("| route | | token |\n|---|---|---|\n");
    let tags = document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap());
    let of_tag = |tag| operations(document).into_iter().filter(move |operation| operation.described["tags"][0] == tag);
    let rows = tags.flat_map(|tag| of_tag(tag).enumerate().map(move |(row, operation)| (tag, row, operation)));
    for (tag, row, Operation { method, path, described }) in rows {
        if row == 0 {
            writeln!(table, "| **{tag}** | | |").unwrap();
        }
        let in_query = |parameter: &&Value| parameter["in"] == "query";
        let parameters = described["parameters"].as_array().into_iter().flatten().filter(in_query);
        let names: Vec<_> = parameters.map(|parameter| format!("`{}`", parameter["name"].as_str().unwrap())).collect();
        let names = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
        let security = described["security"].as_array().unwrap();
        let token = security.first().and_then(|one| one.as_object()?.keys().next()).map_or("", String::as_str);
        let summary = described["summary"].as_str().unwrap();
        writeln!(table, "| `{} {path}` | {summary}{names} | {token} |", method.to_uppercase()).unwrap();
    }
    table
}

/// With `ORION_WRITE_DOCS=1` the table is written, so that only the difference has to be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_route_table_in_the_docs_is_current() {
    let (_server, document) = server().await;
    let table = table(&document);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/messages.md");
    let docs = fs::read_to_string(&path).unwrap();
    let (before, rest) = docs.split_once(TABLE[0]).expect("docs/messages.md has the place of the table");
    let (written, after) = rest.split_once(TABLE[1]).unwrap();
    if std::env::var_os("ORION_WRITE_DOCS").is_some() {
        fs::write(&path, [before, TABLE[0], &table, TABLE[1], after].concat()).unwrap();
        return;
    }
    assert_eq!(written, table, "run this test again with ORION_WRITE_DOCS=1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_is_sent_once() {
    let (server, _) = server().await;
    let first = server.http.get(server.url("/openapi.json")).send().await.unwrap();
    let etag = first.headers()["etag"].clone();
    let again = server.http.get(server.url("/openapi.json")).header("if-none-match", &etag).send().await.unwrap();
    assert_eq!((again.status().as_u16(), again.text().await.unwrap().len()), (304, 0));
}
