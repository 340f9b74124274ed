//! The life of the process: exit codes, what it says, and where it listens.

use std::net::TcpListener;
use std::process::Output;

use crate::support::{Server, binary, soon};

async fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let mut command = binary();
    command.current_dir(dir.path()).args(args).envs(env.iter().copied());
    soon("the command ends", command.output()).await.unwrap()
}

/// What was said on standard error, which has to be one line.
fn line(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.trim_end().lines().count(), 1, "one clear line, not: {text}");
    text
}

#[tokio::test]
async fn a_bad_configuration_exits_64_with_one_line() {
    for (env, named) in [
        (("ORION_SIGNAL_TTL", "soon"), "ORION_SIGNAL_TTL"),
        (("PORT", "99999"), "PORT"),
        (("ORION_SOURCES", "replay"), "ORION_REPLAY_FILE"),
        (("ORION_SOURCES", "oracle"), "ORION_SOURCES"),
        (("ORION_ALLOWED_ORIGINS", "app.example"), "ORION_ALLOWED_ORIGINS"),
        (("ORION_READ_AUTH", "sometimes"), "ORION_READ_AUTH"),
        (("ORION_CONFIG", "/nowhere/orion.toml"), "/nowhere/orion.toml"),
    ] {
        for command in [&[][..], &["check-config"][..]] {
            let output = run(command, &[env]).await;
            assert_eq!(output.status.code(), Some(64), "{env:?} {command:?}: {output:?}");
            assert!(line(&output).contains(named), "{env:?}: {output:?}");
            assert!(output.stdout.is_empty(), "{env:?}: {output:?}");
        }
    }
}

#[tokio::test]
async fn an_unknown_key_is_named_with_its_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[server]\nprot = 9000\n").unwrap();
    let path = file.path().to_str().unwrap();
    let output = run(&["--config", path], &[]).await;
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let line = line(&output);
    assert!(line.contains(&format!("{path}:2")) && line.contains("server.prot"), "{line}");
}

#[tokio::test]
async fn commands_answer_on_standard_output_and_exit_0() {
    for (args, expected) in [
        (&["check-config"][..], "configuration ok"),
        (&["default-config"][..], "[server]"),
        (&["--help"][..], "check-config"),
        (&["--version"][..], env!("CARGO_PKG_VERSION")),
    ] {
        let output = run(args, &[]).await;
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(expected), "{args:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{args:?}: {output:?}");
    }
}

#[tokio::test]
async fn the_default_configuration_is_accepted_as_printed() {
    let printed = run(&["default-config"], &[]).await.stdout;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), printed).unwrap();
    let output = run(&["check-config", "--config", file.path().to_str().unwrap()], &[]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[tokio::test]
async fn a_wrong_command_line_exits_64() {
    assert_eq!(run(&["swerve"], &[]).await.status.code(), Some(64));
}

#[tokio::test]
async fn a_used_port_exits_1_with_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(&[], &[("PORT", &port), ("ORION_HOST", "127.0.0.1")]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let line = line(&output);
    assert!(line.contains(&format!("127.0.0.1:{port}")) && line.contains("in use"), "{line}");
}

#[tokio::test]
async fn port_0_is_chosen_and_logged() {
    let (one, other) = tokio::join!(Server::process(&[]), Server::process(&[]));
    assert_ne!(one.addr.port(), 0);
    assert_ne!(one.addr, other.addr);
    assert_eq!(one.get("/ready").await.0, 200);
    tokio::join!(one.stop(), other.stop());
}

#[tokio::test]
async fn sigint_stops_as_cleanly_as_sigterm() {
    let mut server = Server::process(&[]).await;
    server.interrupt();
    assert_eq!(server.exit().await.code(), Some(0));
}
