//! Data directories that cannot be used as they are: `doctor`, `check-config` and the start say so, with the remedy.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::support::{Server, binary, signal, soon};

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

/// A folder that this process's user owns and every user may enter.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o755);
    folder
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Runs a command as a user who may not write what is not theirs: root becomes somebody else.
async fn run(args: &[&str], data: &Path) -> Output {
    let mut command = binary();
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.current_dir("/").env("PORT", "0").env("ORION_HOST", "127.0.0.1").env("ORION_DATA_DIR", data).args(args);
    soon("the command ends", command.output()).await.unwrap()
}

fn user() -> u32 {
    let user = rustix::process::geteuid();
    if user.is_root() { NOBODY } else { user.as_raw() }
}

/// All three ways say what cannot be written, by whom, and what to do.
async fn all_three_say(data: &Path, what: &Path) {
    let said = format!("cannot write {} as user {}", what.display(), user());
    let remedy =
        if rustix::process::geteuid().is_root() { format!("chown -R {} ", user()) } else { "chmod -R u+rwX ".into() };
    for (args, code, verdict) in [
        (&[][..], 1, "orion-server: "),
        (&["doctor", "--offline"], 1, "FAIL  data           "),
        (&["check-config"], 0, "warning: "),
    ] {
        let output = run(args, data).await;
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        let line = text.lines().find(|line| line.contains(&said)).unwrap_or_else(|| panic!("{args:?}: {text}"));
        assert!(line.starts_with(verdict) && line.contains(&remedy), "{args:?}: {line}");
        assert!(line.contains("ORION_DATA_DIR"), "{args:?}: {line}");
    }
}

/// A data directory with a log in it, of this process's user.
async fn used() -> TempDir {
    let data = folder();
    let server = Server::start_on(&data, &[]).await;
    server.push(&signal("one")).await;
    server.stop().await;
    data
}

/// Case 58.
#[tokio::test]
async fn a_folder_of_another_user_is_told() {
    let data = folder();
    set_mode(data.path(), 0o555);
    all_three_say(data.path(), data.path()).await;
    // The folder in which it would be made counts, too.
    all_three_say(&data.path().join("deeper/still"), data.path()).await;
    set_mode(data.path(), 0o755);
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0, "nothing was made");
}

/// Case 58: SQLite makes files beside the database.
#[tokio::test]
async fn a_writable_database_alone_is_not_enough() {
    let data = used().await;
    set_mode(&data.path().join("orion.db"), 0o666);
    set_mode(data.path(), 0o555);
    all_three_say(data.path(), data.path()).await;
    set_mode(data.path(), 0o755);
}

/// H12.
#[tokio::test]
async fn a_database_of_another_user_is_told() {
    let data = used().await;
    let before = fs::read(data.path().join("orion.db")).unwrap();
    set_mode(data.path(), 0o777);
    set_mode(&data.path().join("orion.db"), 0o444);
    all_three_say(data.path(), &data.path().join("orion.db")).await;
    assert_eq!(fs::read(data.path().join("orion.db")).unwrap(), before);
    set_mode(data.path(), 0o755);
}

/// H13: nothing but a shell replaces these.
#[tokio::test]
async fn quotes_and_tildes_are_refused_with_a_hint() {
    for (name, value, hint) in [
        ("ORION_DATA_DIR", "~/orion", "~, which only a shell"),
        ("ORION_DATA_DIR", "\"/data\"", "in quotes"),
        ("ORION_DATA_DIR", "'./data'", "in quotes"),
        ("ORION_DATA_DIR", "$HOME/orion", "a variable, which only a shell"),
        ("ORION_REPLAY_FILE", "~/eurusd.csv", "~, which only a shell"),
        ("ORION_CONFIG", "~/orion.toml", "~, which only a shell"),
        ("ORION_CONFIG", "\"orion.toml\"", "in quotes"),
        ("ORION_INGEST_TOKEN_FILE", "~/token", "~, which only a shell"),
        ("ORION_SOURCES", "\"none\"", "in quotes"),
        ("PORT", "'8080'", "in quotes"),
        ("ORION_ALLOWED_ORIGINS", "\"https://app.example\"", "in quotes"),
        ("ORION_SIGNAL_TTL", "\"5m\"", "in quotes"),
        ("ORION_LOG", "'info'", "in quotes"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for args in [&[][..], &["check-config"], &["doctor", "--offline"]] {
            let mut command = binary();
            command.current_dir(folder.path()).args(args).env("ORION_HOST", "127.0.0.1").env(name, value);
            let output = soon("the command ends", command.output()).await.unwrap();
            let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            let code = if args.first() == Some(&"doctor") { 1 } else { 64 };
            assert_eq!(output.status.code(), Some(code), "{name}={value} {args:?}: {text}");
            let names = text.contains(name) || name == "ORION_CONFIG" && text.contains("orion.toml");
            assert!(names && text.contains(hint), "{name}={value} {args:?}: {text}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{name}={value} made something");
    }
}
