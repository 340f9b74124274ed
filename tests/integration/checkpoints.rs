//! The signed record: an outsider verifies it with a program of their own.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Server, signal};

/// Runs the outsider's script; `None` without Python.
fn verify(server: &Server, arguments: &[&str]) -> Option<Output> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify_log.py");
    let output = Command::new("python3").arg(script).arg(server.url("")).args(arguments).output();
    if output.is_err() {
        eprintln!("skipped: there is no python3");
    }
    output.ok()
}

async fn text(server: &Server, path: &str) -> String {
    let response = server.http.get(server.url(path)).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response.text().await.unwrap()
}

async fn push(server: &Server, ids: std::ops::Range<usize>) {
    let signals: Vec<Value> = ids.map(|id| signal(&format!("s-{id}"))).collect();
    for signals in signals.chunks(100) {
        for signal in signals {
            server.push(signal).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outsider_verifies_the_whole_record() {
    let server = Server::start(&[("ORION_SOURCES", "none"), ("ORION_RECORD__ORIGIN", "example.com/log")]).await;
    let key = text(&server, "/log/key").await;
    assert!(key.starts_with("example.com/log+"), "{key}");
    push(&server, 0..5).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let earlier = text(&server, "/log/checkpoint").await;
    assert_eq!(earlier.lines().nth(1), Some("5"), "{earlier}");
    fs::write(file.path(), &earlier).unwrap();
    push(&server, 5..260).await;
    server.push(&json!({ "id": "s-3", "status": "confirmed" })).await;
    let earlier_file = file.path().to_str().unwrap();
    let found = tokio::task::block_in_place(|| verify(&server, &["--checkpoint", earlier_file, "s-3", "s-259"]));
    let Some(output) = found else { return };
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    // Two levels of tiles: one of them is full.
    assert_eq!(found["size"], 261);
    assert_eq!((&found["levels"], &found["leaves"], &found["earlier"]), (&json!(2), &json!(3), &json!(5)));
    // A checkpoint that another history would have.
    let lines: Vec<_> = earlier.lines().collect();
    fs::write(file.path(), earlier.replacen(lines[1], "6", 1)).unwrap();
    let forged = tokio::task::block_in_place(|| verify(&server, &["--checkpoint", earlier_file])).unwrap();
    assert!(String::from_utf8_lossy(&forged.stderr).contains("the signature is wrong"), "{forged:?}");
    server.stop().await;
}
