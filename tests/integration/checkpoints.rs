//! The signed record: an outsider verifies it with a program of their own.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Server, binary, signal};

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

/// Runs a witness once. Returns its exit code and what it said.
async fn witness(server: &Server, dir: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut command = binary();
    command.args(["witness", &server.url(""), "--once", "--dir"]).arg(dir).args(more);
    let output = command.output().await.unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_cosigns_growth_and_refuses_a_fork() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("ORION_SOURCES", "none"), ("ORION_DATA_DIR", data.path().to_str().unwrap())];
    let state = tempfile::tempdir().unwrap();
    let held = || fs::read_to_string(state.path().join("checkpoint")).unwrap();
    let server = Server::start(&settings).await;
    push(&server, 0..3).await;
    let (code, said) = witness(&server, state.path(), &["--name", "witness.example.org"]).await;
    assert_eq!(code, Some(0), "{said}");
    push(&server, 3..5).await;
    let (code, said) = witness(&server, state.path(), &["--name", "witness.example.org"]).await;
    assert!(code == Some(0) && said.contains("has 5 leaves (before 3)"), "{said}");
    let cosigned = held();
    assert!(cosigned.lines().any(|line| line.starts_with("— witness.example.org ")), "{cosigned}");
    let file = state.path().join("checkpoint");
    let verify = async || {
        let mut command = binary();
        command.args(["verify", "--dir"]).arg(data.path()).arg("--checkpoint").arg(&file);
        command.arg("--key").arg(fs::read_to_string(state.path().join("log.pub")).unwrap().trim());
        let output = command.output().await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, said) = verify().await;
    assert!(code == Some(0) && said.contains("ok: 1 checkpoints of up to 5 leaves"), "{said}");
    server.stop().await;
    // The operator begins anew, with the same key.
    for entry in fs::read_dir(data.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("orion.") {
            fs::remove_file(path).unwrap();
        }
    }
    let server = Server::start(&settings).await;
    push(&server, 10..12).await;
    let (code, said) = witness(&server, state.path(), &[]).await;
    assert!(code == Some(1) && said.contains("has 2 leaves, and had 5"), "{said}");
    let (code, said) = verify().await;
    assert!(code == Some(1) && said.contains("the end of the log was cut off"), "{said}");
    push(&server, 12..20).await;
    let (code, said) = witness(&server, state.path(), &[]).await;
    assert!(code == Some(1) && said.contains("FORK"), "{said}");
    assert_eq!(held(), cosigned, "it never goes back");
    assert!(state.path().join("fork-10").is_file());
    let (code, said) = verify().await;
    assert!(code == Some(1) && said.contains("the history was rewritten"), "{said}");
    server.stop().await;
}
