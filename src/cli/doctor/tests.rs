//! Tests of the report, line by line.

use std::path::Path;

use super::*;
use crate::config::{Environment, Settings};
use crate::domain::parse_time;
use crate::sources::providers;

fn now() -> DateTime<Utc> {
    parse_time("2026-07-15T12:00:00Z").unwrap()
}

/// Returns the exit code and the report without the network.
fn report(dir: &Path, env: &[(&str, &str)]) -> (u8, String) {
    let file = dir.join("orion.toml");
    std::fs::write(&file, "").unwrap();
    let data = dir.join("data").display().to_string();
    let env = [("PORT", "0"), ("ORION_DATA_DIR", &*data)].into_iter().chain(env.iter().copied());
    let env: Environment = env.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut out = Vec::new();
    let doctor = DoctorCommand { offline: true, ..DoctorCommand::default() };
    let code = doctor.run(Settings::load(providers::tables(), &env, Some(&file)), now, &mut out).unwrap();
    (code, String::from_utf8(out).unwrap().replace(&dir.display().to_string(), "<dir>"))
}

#[test]
fn a_fresh_server_passes() {
    let dir = tempfile::tempdir().unwrap();
    let (code, report) = report(dir.path(), &[]);
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(code, EXIT_OK, "{report}");
    for line in [
        "ok    configuration  defaults, <dir>/orion.toml and environment",
        "skip  keys           none is set; pushes need ORION_INGEST_TOKEN",
        "ok    data           <dir>/data is not there yet and can be made",
        "ok    port           0.0.0.0:0 is free",
        "skip  network        not asked, because of --offline",
    ] {
        assert!(lines.contains(&line), "{line}\n{report}");
    }
    assert!(report.contains("time zones     built in (20") && report.contains("in New York it is -4 h"), "{report}");
    assert!(report.contains("MiB free"), "{report}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn an_unusable_configuration_is_the_only_line() {
    let dir = tempfile::tempdir().unwrap();
    let (code, report) = report(dir.path(), &[("ORION_SOURCES", "oanda")]);
    assert_eq!(
        (code, report.as_str()),
        (
            EXIT_FAILURE,
            "FAIL  configuration  oanda.token (ORION_OANDA_TOKEN): the source 'oanda' needs it\n\n1 to fix\n"
        )
    );
}

#[test]
fn odd_keys_are_named_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let (code, text) = report(
        dir.path(),
        &[
            ("ORION_SOURCES", "oanda,massive,alpha_vantage"),
            ("ORION_INGEST_TOKEN", "s3cret"),
            ("ORION_OANDA_TOKEN", "s3cret-0"),
            ("ORION_OANDA_ACCOUNT", "12345"),
            ("ORION_MASSIVE_KEY", "s3cret"),
            ("ORION_ALPHA_VANTAGE_KEY", "s3cret"),
        ],
    );
    assert_eq!(code, EXIT_OK, "odd is not wrong: {text}");
    assert!(!text.contains("s3cret"), "{text}");
    for name in ["INGEST_TOKEN", "OANDA_TOKEN", "OANDA_ACCOUNT", "MASSIVE_KEY", "ALPHA_VANTAGE_KEY"] {
        assert!(
            text.lines().any(|line| line.starts_with(&format!("warn  keys           ORION_{name} "))),
            "{name}\n{text}"
        );
    }
    assert!(text.contains("certificates"), "{text}");

    let hex = "0123456789abcdef0123456789abcdef";
    let (_, text) = report(
        dir.path(),
        &[
            ("ORION_INGEST_TOKEN", hex),
            ("ORION_OANDA_TOKEN", &format!("{hex}-{hex}")),
            ("ORION_OANDA_ACCOUNT", "101-001-1234567-001"),
            ("ORION_MASSIVE_KEY", hex),
            ("ORION_ALPHA_VANTAGE_KEY", "ABCDEFGHIJ012345"),
        ],
    );
    assert!(text.contains("ok    keys           the 5 that are set look as they should\n"), "{text}");
}

#[test]
fn an_unusable_data_directory_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("data"), "a file").unwrap();
    let (code, report) = report(dir.path(), &[]);
    assert_eq!(code, EXIT_FAILURE);
    assert!(
        report.contains("FAIL  data           <dir>/data cannot be written (not a directory): set ORION_DATA_DIR"),
        "{report}"
    );
    assert!(report.ends_with("\n1 to fix\n"), "{report}");
}

#[test]
fn a_port_in_use_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, report) = report(dir.path(), &[("ORION_HOST", "127.0.0.1"), ("PORT", &port)]);
    assert!(report.contains("is in use: fine if that is this server"), "{report}");
    assert_eq!(code, EXIT_OK, "doctor may be asked beside a running server");
}

#[test]
fn foreign_text_stays_on_its_line() {
    let finding = CheckResult::new(CheckStatus::Warn, "clock", "a\nb\u{1b}[2J");
    assert_eq!(finding.to_string(), "warn  clock          a b [2J");
}
