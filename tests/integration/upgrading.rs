//! A new release on the log of an earlier one, by the real binary: announced, backed up, and not undone by accident.

use std::path::Path;

use crate::support::{Server, binary, soon};

/// Runs `migrate --check` on a data directory. Returns its exit code and what it says.
async fn check(dir: &Path) -> (Option<i32>, String) {
    let mut command = binary();
    command.current_dir(dir).env("ORION_DATA_DIR", dir).args(["migrate", "--check"]);
    let output = soon("it ends", command.output()).await.unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_is_announced_and_backed_up() {
    let dir = tempfile::tempdir().unwrap();
    let (code, says) = check(dir.path()).await;
    assert!(code == Some(0) && says.contains("there is no log"), "{code:?} {says}");

    let open = || rusqlite::Connection::open(dir.path().join("orion.db")).unwrap();
    open().execute_batch(include_str!("../../src/store/tests/fixtures/schema-5.sql")).unwrap();
    let (code, says) = check(dir.path()).await;
    assert!(code == Some(2) && says.contains("has schema 5") && says.contains("\nstep 6: "), "{code:?} {says}");

    let server = Server::start_on(dir.path(), &[]).await;
    let (code, says) = check(dir.path()).await;
    assert!(code == Some(0) && says.contains("orion.schema-5-"), "{code:?} {says}");
    server.stop().await;

    open().pragma_update(None, "user_version", 99).unwrap();
    let (code, says) = check(dir.path()).await;
    let version = concat!("Install orion-server ", env!("CARGO_PKG_VERSION"));
    assert!(code == Some(1) && says.contains(version) && says.contains("orion.schema-5-"), "{code:?} {says}");
}
