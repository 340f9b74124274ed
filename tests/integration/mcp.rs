//! The interface for agents at `/mcp`: what its tools do, and what it refuses.

use std::collections::BTreeSet;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{Server, TOKEN, signal};

const READ: &str = "the-shared-read-token";
const READING: [&str; 6] = ["get_bars", "get_prices", "get_signal", "get_stats", "killzones", "list_signals"];
const WRITING: [&str; 2] = ["push_signal", "update_signal"];

async fn server(more: &[(&str, &str)]) -> Server {
    let settings = [("ORION_MCP", "1"), ("ORION_SOURCES", "none"), ("ORION_INGEST_TOKEN", TOKEN)];
    Server::start(&[&settings, more].concat()).await
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

fn message(server: &Server, method: &str, params: &Value) -> RequestBuilder {
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    server.http.post(server.url("/mcp")).json(&body)
}

/// The names of the tools that a request lists, sorted.
async fn listed(request: RequestBuilder) -> Vec<String> {
    let (status, answer) = answer(request).await;
    assert_eq!(status, 200, "{answer}");
    let names = answer["result"]["tools"].as_array().unwrap().iter();
    names.map(|tool| tool["name"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Calls a tool with the ingest token; its answer, or the error for the model.
async fn call(server: &Server, tool: &str, arguments: Value) -> Result<Value, Value> {
    let request = message(server, "tools/call", &json!({"name": tool, "arguments": arguments})).bearer_auth(TOKEN);
    called(answer(request).await)
}

fn called((status, answer): (u16, Value)) -> Result<Value, Value> {
    assert_eq!(status, 200, "{answer}");
    let result = &answer["result"];
    let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().expect("a text")).unwrap();
    if result["isError"] == true {
        assert!(
            result.get("structuredContent").is_none(),
            "clients check it against the schema of the answer: {answer}"
        );
        return Err(text);
    }
    assert_eq!(result["structuredContent"], text);
    Ok(text)
}

#[tokio::test]
async fn off_the_path_says_how_to_turn_it_on() {
    let server = Server::push_only().await;
    let get = server.http.get(server.url("/mcp"));
    for request in [get, message(&server, "tools/list", &json!({})).bearer_auth(TOKEN)] {
        let (status, answer) = answer(request).await;
        assert_eq!((status, &answer["code"]), (404, &json!("not_found")), "{answer}");
        assert!(answer["error"].as_str().unwrap().contains("ORION_MCP=1"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn tools_depend_on_the_token() {
    let open = server(&[]).await;
    let list = |server: &Server| message(server, "tools/list", &json!({}));
    let all: Vec<_> = READING.into_iter().chain(WRITING).collect::<BTreeSet<_>>().into_iter().collect();
    assert_eq!(listed(list(&open)).await, READING);
    assert_eq!(listed(list(&open).bearer_auth(TOKEN)).await, all);
    assert_eq!(listed(list(&open).header("x-ingest-token", TOKEN)).await, all);
    for tool in WRITING {
        let params = json!({"name": tool, "arguments": signal("mcp_1")});
        let error = called(answer(message(&open, "tools/call", &params)).await).unwrap_err();
        assert_eq!(error["code"], "unauthorized", "{error}");
        assert!(error["remedy"].as_str().unwrap().contains("token"), "{error}");
    }
    assert_eq!(open.get("/api/signals/mcp_1").await.0, 404);
    open.stop().await;

    let closed = server(&[("ORION_READ_AUTH", "required"), ("ORION_READ_TOKEN", READ)]).await;
    assert_eq!(answer(list(&closed)).await.0, 401);
    assert_eq!(listed(list(&closed).bearer_auth(READ)).await, READING);
    assert_eq!(listed(list(&closed).bearer_auth(TOKEN)).await, WRITING);
    assert_eq!(listed(list(&closed).bearer_auth(READ).header("x-ingest-token", TOKEN)).await, all);
    let params = json!({"name": "list_signals", "arguments": {}});
    let error = called(answer(message(&closed, "tools/call", &params).bearer_auth(TOKEN)).await).unwrap_err();
    assert_eq!(error["code"], "unauthorized", "{error}");
    let both = message(&closed, "tools/call", &params).bearer_auth(READ).header("x-ingest-token", TOKEN);
    assert!(called(answer(both).await).is_ok());
    closed.stop().await;
}

#[tokio::test]
async fn wrong_tokens_are_refused_and_throttled() {
    let server = server(&[("ORION_LIMITS__WRONG_TOKENS_PER_MINUTE", "2")]).await;
    let list = || message(&server, "tools/list", &json!({}));
    let wrong = [list().bearer_auth("wrong"), list().bearer_auth(TOKEN).header("x-ingest-token", "wrong")];
    for request in wrong {
        let (status, answer) = answer(request).await;
        assert_eq!((status, &answer["code"]), (401, &json!("unauthorized")), "{answer}");
    }
    assert_eq!(answer(list().bearer_auth("wrong")).await.0, 429);
    assert_eq!(listed(list().bearer_auth(TOKEN)).await.len(), 8, "a right token is taken all the same");
    server.stop().await;
}

#[tokio::test]
async fn every_tool_answers_by_its_schema() {
    let server = server(&[]).await;
    server.push(&signal("mcp_1")).await;
    assert_eq!(server.post("/api/prices", &json!({"symbol": "EURUSD", "price": 1.1})).await.0, 200);
    let (_, list) = answer(message(&server, "tools/list", &json!({})).bearer_auth(TOKEN)).await;
    let tools = list["result"]["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 8);
    for tool in tools {
        let name = tool["name"].as_str().unwrap();
        assert!(!tool["inputSchema"].to_string().contains("$ref"), "{tool}");
        let arguments = match name {
            "get_signal" => json!({"id": "mcp_1", "risk": 100}),
            "get_bars" => json!({"symbol": "eur/usd", "interval": "5m", "limit": 10.0}),
            "push_signal" => signal("mcp_2"),
            "update_signal" => json!({"id": "mcp_2", "status": "confirmed"}),
            "list_signals" => json!({"symbol": "EURUSD", "limit": "10", "before": null}),
            _ => json!({}),
        };
        let inputs = jsonschema::draft202012::new(&tool["inputSchema"]).unwrap();
        assert!(name == "get_bars" || name == "list_signals" || inputs.is_valid(&arguments), "{name}");
        let answer = call(&server, name, arguments).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let schema = jsonschema::draft202012::new(&tool["outputSchema"]).unwrap();
        let faults: Vec<_> = schema.iter_errors(&answer).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{name}: {faults:?} in {answer}");
        assert_eq!(tool["annotations"]["readOnlyHint"], READING.contains(&name), "{tool}");
    }
    let (_, listed) = server.get("/api/signals").await;
    assert_eq!(call(&server, "list_signals", json!({})).await.unwrap(), listed);
    let since = json!({"since": listed["cursor"]});
    assert_eq!(call(&server, "list_signals", since).await.unwrap()["signals"], json!([]));
    assert_eq!(server.metric("orion_mcp_calls_total", "outcome=\"ok\"").await, 10.0);
    server.stop().await;
}

#[tokio::test]
async fn an_error_tells_how_to_repair_the_call() {
    let server = server(&[]).await;
    let mut wrong = signal("mcp_1");
    (wrong["confidence"], wrong["direction"]) = (json!(101), json!("sideways"));
    let error = call(&server, "push_signal", wrong).await.unwrap_err();
    assert_eq!(
        (&error["code"], &error["example"]["id"]),
        (&json!("validation_failed"), &json!("model_001")),
        "{error}"
    );
    let fields = error["fields"].as_array().unwrap();
    let field = |name: &str| fields.iter().find(|field| field["field"] == name).unwrap_or_else(|| panic!("{error}"));
    assert!(field("confidence")["remedy"].as_str().unwrap().starts_with("Send a number from 0 to 100"), "{error}");
    assert_eq!(field("confidence")["example"], 0.8);
    assert!(field("direction")["remedy"].as_str().unwrap().starts_with("Send one of long, short."), "{error}");
    assert!(field("direction")["reason"].as_str().is_some_and(|reason| !reason.is_empty()));

    for (tool, arguments, code, part) in [
        ("list_signals", json!({"symbols": "EURUSD"}), "validation_failed", "did you mean symbol?"),
        ("list_signals", json!({"symbol": {"is": "EURUSD"}}), "validation_failed", "must be text or a number"),
        ("list_signals", json!({"limit": 0}), "validation_failed", "from 1 to 500"),
        ("get_bars", json!({}), "validation_failed", "is required"),
        ("get_bars", json!({"symbol": "EURUSDD"}), "unknown_symbol", "EURUSDD"),
        ("get_signal", json!({}), "validation_failed", "is required"),
        ("get_signal", json!({"id": "../prices"}), "signal_not_found", "list_signals"),
        ("get_signal", json!({"id": "a/b?risk=1#"}), "signal_not_found", "list_signals"),
        ("update_signal", json!({"id": "nobody", "status": "confirmed"}), "signal_not_found", "push_signal"),
    ] {
        let error = call(&server, tool, arguments.clone()).await.expect_err(tool);
        assert_eq!(error["code"], code, "{tool} {arguments}: {error}");
        assert!(error.to_string().contains(part), "{tool} {arguments}: {error}");
    }
    let (_, unknown) = answer(message(&server, "tools/call", &json!({"name": "get_money"}))).await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    server.stop().await;
}

#[tokio::test]
async fn a_dry_run_is_judged_as_the_real_call() {
    let server = server(&[]).await;
    let dry = |mut arguments: Value| {
        arguments["dry_run"] = json!(true);
        arguments
    };
    let before = server.cursor().await;
    assert_eq!(call(&server, "push_signal", dry(signal("mcp_1"))).await.unwrap()["dry_run"], true);
    let end = json!({"id": "mcp_1", "status": "invalidated", "reason": "news"});
    let both = async |tool, arguments: Value| {
        let rehearsed = call(&server, tool, dry(arguments.clone())).await;
        (rehearsed, call(&server, tool, arguments).await)
    };
    let code =
        |result: &Result<Value, Value>| result.as_ref().map_or_else(|e| e["code"].clone(), |a| a["status"].clone());
    let (rehearsed, done) = both("update_signal", end.clone()).await;
    assert_eq!((code(&rehearsed), code(&done)), (json!("signal_not_found"), json!("signal_not_found")));
    assert_eq!(server.cursor().await, before, "nothing was changed");

    server.push(&signal("mcp_1")).await;
    // A known signal needs only what changes.
    let entry = signal("mcp_1")["entry_price"].as_f64().unwrap();
    let far = json!({"id": "mcp_1", "stop_loss": entry * 2.0});
    let (rehearsed, done) = both("push_signal", far).await;
    assert_eq!((code(&rehearsed), rehearsed), (json!("validation_failed"), done));
    assert!(call(&server, "push_signal", dry(json!({"id": "mcp_1", "confidence": 0.4}))).await.is_ok());
    assert_eq!(call(&server, "update_signal", dry(end.clone())).await.unwrap()["status"], "invalidated");
    assert_eq!(server.history("mcp_1").await.len(), 1, "nothing was changed");

    let (rehearsed, done) = both("update_signal", end).await;
    assert_eq!((code(&rehearsed), code(&done)), (json!("invalidated"), json!("invalidated")));
    let (rehearsed, done) = both("update_signal", json!({"id": "mcp_1", "status": "confirmed"})).await;
    assert_eq!((code(&rehearsed), rehearsed), (json!("signal_terminal"), done));
    server.stop().await;
}

#[tokio::test]
async fn pages_need_to_be_listed_by_name() {
    let server = server(&[("ORION_ALLOWED_ORIGINS", "*,https://page.example")]).await;
    let own = format!("http://{}", server.addr);
    let listing = |origin: &str| message(&server, "tools/list", &json!({})).header("origin", origin);
    for (origin, expected) in
        [("https://page.example", 200), ("https://evil.example", 403), (&*own, 403), ("null", 403)]
    {
        let (status, answer) = answer(listing(origin)).await;
        assert_eq!(status, expected, "{origin}: {answer}");
        let preflight = server.http.request(Method::OPTIONS, server.url("/mcp")).header("origin", origin);
        let allowed = preflight.header("access-control-request-method", "POST").send().await.unwrap();
        let headers = allowed.headers().get("access-control-allow-headers").map(|value| value.to_str().unwrap());
        assert_eq!(headers.is_some_and(|names| names.contains("Mcp-Protocol-Version")), expected == 200, "{origin}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    let server = server(&[]).await;
    let post = || server.http.post(server.url("/mcp"));
    let text = |body: &str| post().header("content-type", "application/json").body(body.to_owned());
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let long = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, "x".repeat(70_000));
    for (request, status, code) in [
        (text("{"), 400, "invalid_json"),
        (text("[]"), 400, "bad_request"),
        (text("{}"), 400, "bad_request"),
        (text(&format!("[{list}]")), 400, "bad_request"),
        (text(&long), 413, "payload_too_large"),
        (post().header("content-type", "text/plain").body(list), 415, "unsupported_media_type"),
        (post().body(list), 415, "unsupported_media_type"),
        (text(list).header("mcp-protocol-version", "1999-01-01"), 400, "bad_request"),
    ] {
        let (got, answer) = answer(request).await;
        assert_eq!((got, &answer["code"]), (status, &json!(code)), "{answer}");
        assert!(answer["error"].as_str().is_some_and(|error| !error.is_empty()), "{answer}");
    }
    for request in [server.http.get(server.url("/mcp")), server.http.delete(server.url("/mcp"))] {
        let response = request.send().await.unwrap();
        assert_eq!((response.status().as_u16(), &response.headers()["allow"]), (405, &"POST".parse().unwrap()));
    }
    // It goes on as before, for a client that names no types either.
    assert_eq!(listed(text(list).header("accept", "*/*")).await, READING);
    server.stop().await;
}

#[tokio::test]
async fn old_and_new_clients_agree_on_a_version() {
    let server = server(&[]).await;
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let client =
            json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let (status, answer) = answer(message(&server, "initialize", &client)).await;
        assert_eq!((status, &answer["result"]["protocolVersion"]), (200, &json!(version)), "{answer}");
        assert_eq!(answer["result"]["serverInfo"]["name"], "orion-server");
    }
    let noted = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let (status, _) = answer(server.http.post(server.url("/mcp")).json(&noted)).await;
    assert_eq!(status, 202);
    // Newer clients begin without a handshake.
    let version = "2026-07-28";
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let request = message(&server, "tools/call", &json!({"name": "killzones", "arguments": {}, "_meta": meta}))
        .header("mcp-protocol-version", version)
        .header("mcp-method", "tools/call")
        .header("mcp-name", "killzones");
    assert!(called(answer(request).await).unwrap()["next"].is_object());
    server.stop().await;
}

#[tokio::test]
async fn no_token_gets_into_the_log() {
    let server = server(&[("ORION_LOG", "trace,rmcp=trace"), ("ORION_READ_TOKEN", READ)]).await;
    let params = json!({"name": "push_signal", "arguments": signal("mcp_1")});
    let request = message(&server, "tools/call", &params).bearer_auth(READ).header("x-ingest-token", TOKEN);
    assert!(called(answer(request).await).is_ok());
    server.logged("answered").await;
    let log = server.log_text();
    assert!(log.contains("rmcp"), "its lines are on");
    assert!(!log.contains(TOKEN) && !log.contains(READ), "{log}");
    server.stop().await;
}
