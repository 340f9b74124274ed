//! A flipped bit after `kill -9`, as an operator meets it: refused, explained, repaired, and no client is told a lie.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Native, Server, binary, seq, signal, soon};

/// A command on a data directory.
async fn run(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = binary();
    command.current_dir(dir).env("ORION_DATA_DIR", dir).env("PORT", "0").env("ORION_HOST", "127.0.0.1");
    let output: Output = soon("it ends", command.args(args).output()).await.unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.code(), text)
}

/// The answer to the subscription that a native client has from the start.
async fn subscribed(server: &Server, query: &str) -> Value {
    Native::connect(server.addr, &format!("/ws/signals{query}")).await.frame("subscribed").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_refused_and_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_on(&dir, &[]).await;
    for number in 0..40 {
        server.push(&signal(&format!("s-{number}"))).await;
    }
    let cursor = subscribed(&server, "").await["cursor"].clone();
    assert_eq!(seq(&cursor), 40);
    server.kill().await;

    let wal = dir.path().join("orion.db-wal");
    let mut content = fs::read(&wal).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(&wal, &content).unwrap();
    let watermark = fs::read(dir.path().join("orion.watermark")).unwrap();

    let lost = "–40, acknowledged, are not in the log";
    for args in [&[][..], &["verify"], &["doctor"], &["repair"]] {
        let (code, told) = run(dir.path(), args).await;
        assert_eq!(code, Some(1), "{args:?}: {told}");
        for part in ["orion.db does not hold what was acknowledged", "orion.db-wal is damaged", lost, "--accept-loss"] {
            assert!(told.contains(part), "{args:?}: no '{part}' in {told}");
        }
    }
    assert_eq!(fs::read(&wal).unwrap(), content, "it was touched");
    assert_eq!(fs::read(dir.path().join("orion.watermark")).unwrap(), watermark, "it was touched");

    let (code, told) = run(dir.path(), &["repair", "--accept-loss"]).await;
    assert_eq!(code, Some(0), "{told}");
    for part in ["\nkept: ", "\nlost: ", lost, "\nmoved: the damaged files are in ", "\nok: repaired."] {
        assert!(told.contains(part), "no '{part}' in {told}");
    }
    assert_eq!(run(dir.path(), &["verify"]).await.0, Some(0));
    assert_eq!(run(dir.path(), &["repair"]).await, (Some(0), "ok: nothing is to be repaired\n".to_owned()));

    let server = Server::start_on(&dir, &[]).await;
    let answer = subscribed(&server, &format!("?since={}", cursor.as_str().unwrap())).await;
    assert_eq!(answer["recovered"], false, "{answer}");
    let kept = seq(&answer["cursor"]);
    assert!(kept < 40, "{answer}");
    for number in 0..kept {
        assert_eq!(server.history(&format!("s-{number}")).await.len(), 1);
    }
    assert_eq!(run(dir.path(), &["doctor"]).await.0, Some(0), "beside the server");
    server.push(&json!({ "id": "s-0", "status": "confirmed" })).await;
    server.stop().await;
}
