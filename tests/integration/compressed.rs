//! Compressed answers, and answers that the client already has.

use std::io::Read;

use flate2::read::GzDecoder;
use reqwest::Response;
use serde_json::json;

use crate::support::users::{SECRET, token};
use crate::support::{Server, signal};

async fn get(server: &Server, path: &str, encoding: &str) -> Response {
    let request = server.http.get(server.url(path)).header("accept-encoding", encoding);
    request.bearer_auth(token("ana")).send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_and_histories_are_compressed() {
    let server = Server::start(&[("ORION_SOURCES", "none"), ("ORION_INGEST_TOKEN", crate::support::TOKEN)]).await;
    for number in 0..20 {
        server.push(&signal(&format!("signal-{number}"))).await;
    }
    for path in ["/openapi.json", "/api/signals", "/signals/history", "/metrics"] {
        let plain = get(&server, path, "identity").await;
        assert_eq!(header(&plain, "content-encoding"), None, "{path}");
        let plain = plain.bytes().await.unwrap();
        for encoding in ["gzip", "br", "zstd"] {
            let response = get(&server, path, encoding).await;
            assert_eq!(header(&response, "content-encoding"), Some(encoding), "{path}");
            assert!(header(&response, "vary").unwrap().to_lowercase().contains("accept-encoding"), "{path}");
            let length: usize = header(&response, "content-length").unwrap().parse().unwrap();
            let body = response.bytes().await.unwrap();
            assert!(body.len() == length && length < plain.len() / 2, "{path} {encoding}: {length} of {}", plain.len());
        }
    }
    let response = get(&server, "/api/signals", "gzip").await;
    let mut text = String::new();
    GzDecoder::new(response.bytes().await.unwrap().as_ref()).read_to_string(&mut text).unwrap();
    let page: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(page["signals"].as_array().unwrap().len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_and_small_answers_are_not_compressed() {
    let settings = [("ORION_SOURCES", "none"), ("ORION_JWT_SECRET", SECRET)];
    let server = Server::start(&settings).await;
    for path in ["/api/realtime/events", "/socket.io/?EIO=4&transport=polling", "/health", "/api/prices"] {
        let response = get(&server, path, "gzip, br, zstd").await;
        assert_eq!((response.status().as_u16(), header(&response, "content-encoding")), (200, None), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_cannot_change_has_a_tag() {
    let server = Server::start(&[("ORION_SOURCES", "none"), ("ORION_INGEST_TOKEN", crate::support::TOKEN)]).await;
    server.push(&signal("a")).await;
    let pending = get(&server, "/api/signals/a", "gzip").await;
    assert_eq!((header(&pending, "etag"), header(&pending, "cache-control")), (None, Some("no-store")));
    server.patch("a", &json!({ "status": "invalidated" })).await;
    for path in ["/api/signals/a", "/openapi.json"] {
        let tags: Vec<_> = [get(&server, path, "identity").await, get(&server, path, "gzip").await]
            .iter()
            .map(|response| header(response, "etag").unwrap().to_owned())
            .collect();
        assert_eq!(tags[0], tags[1], "{path}");
        let again = server.http.get(server.url(path)).header("if-none-match", &tags[0]).send().await.unwrap();
        assert_eq!((again.status().as_u16(), again.bytes().await.unwrap().len()), (304, 0), "{path}");
        let other = server.http.get(server.url(path)).header("if-none-match", "\"other\"").send().await.unwrap();
        assert_eq!(other.status().as_u16(), 200, "{path}");
    }
    let sized = get(&server, "/api/signals/a?risk=100", "identity").await;
    assert_eq!(header(&sized, "etag"), None, "the size follows the prices");
}
