//! `dry_run` in the query of the writing routes.

use super::*;

/// The writing routes that take `dry_run`, each with a body that it accepts.
fn writes() -> [(Method, &'static str, Value); 4] {
    let end = json!({ "status": "invalidated", "reason": "news" });
    [
        (Method::POST, "/api/signals", signal("new")),
        (Method::PATCH, "/api/signals/known", end),
        (Method::POST, "/api/test-line", json!({})),
        (Method::POST, "/api/send-line-notification", json!({ "signal": signal("new") })),
    ]
}

async fn states(server: &Server) -> Vec<(String, String)> {
    let (_, page) = server.get("/api/signals").await;
    let signals = page["signals"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    signals.map(|signal| (text(&signal["id"]), text(&signal["status"]))).collect()
}

#[tokio::test]
async fn a_misspelt_dry_run_writes_nothing() {
    let server = Server::new();
    server.push(signal("known")).await;
    let before = states(&server).await;
    for (method, path, body) in writes() {
        for name in ["dry_rum", "dryrun", "dryRun", "dry-run", "DRY_RUN", "dy_run"] {
            let (status, refused) = server.write(method.clone(), &format!("{path}?{name}=true"), &body).await;
            assert_eq!((status, &refused["code"]), (StatusCode::BAD_REQUEST, &json!("validation_failed")), "{refused}");
            let reason = &refused["details"]["fields"][name];
            assert_eq!(reason, "is not a parameter here: did you mean dry_run?", "{path} {name}");
        }
    }
    assert_eq!(states(&server).await, before);
}

#[tokio::test]
async fn other_parameters_of_pushers_are_ignored() {
    let server = Server::new();
    let path = "/api/signals?debug=1&dry=true&run=7&key=&symbol=EURUSD";
    assert_eq!(server.write(Method::POST, path, signal("new")).await.0, StatusCode::OK);
    assert_eq!(states(&server).await.len(), 1);
}

#[tokio::test]
async fn every_writing_route_reads_dry_run_from_its_query() {
    let server = Server::new();
    server.push(signal("known")).await;
    let before = states(&server).await;
    for (method, path, body) in writes() {
        for query in ["dry_run", "dry_run=1", "dry_run=True&debug=1"] {
            let (status, answer) = server.write(method.clone(), &format!("{path}?{query}"), &body).await;
            if method == Method::PATCH {
                // Here nothing looks up what is ended; `pushing` tries it on a real server.
                assert_eq!((status, &answer["code"]), (StatusCode::NOT_FOUND, &json!("signal_not_found")), "{answer}");
                continue;
            }
            assert_eq!((status, &answer["dry_run"]), (StatusCode::OK, &json!(true)), "{path} {query}: {answer}");
        }
        for query in ["dry_run=maybe", "dry_run=true&dry_run=false"] {
            let (status, answer) = server.write(method.clone(), &format!("{path}?{query}"), &body).await;
            assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")), "{path} {query}");
        }
    }
    assert_eq!(states(&server).await, before);
}

#[tokio::test]
async fn a_test_message_reads_dry_run_from_its_body() {
    let server = Server::new();
    let test = async |body: Value| server.write(Method::POST, "/api/test-line", body).await;
    let (status, answer) = test(json!({ "dry_run": true })).await;
    assert_eq!((status, &answer["message"]), (StatusCode::OK, &json!("Nothing was sent")), "{answer}");
    let (status, answer) = test(json!({ "dry_run": "maybe" })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    assert!(answer["details"]["fields"]["dry_run"].is_string(), "{answer}");
    let (status, answer) = test(json!({ "dry_run": false })).await;
    assert_eq!((status, &answer["code"]), (StatusCode::INTERNAL_SERVER_ERROR, &json!("not_configured")), "it is sent");
}
