//! Checks without the network: the settings, the form of keys, time zones, the disk and the port.

use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::path::Path;

use chrono::{DateTime, Datelike, Offset, TimeZone, Utc};
use chrono_tz::{America::New_York, IANA_TZDB_VERSION};

use super::CheckResult;
use super::CheckStatus::{Fail, Ok as Fine, Skip, Warn};
use crate::config::{Loaded, Settings};
use crate::sources::providers::{KeyForm, provider};
use crate::sources::{PROVIDERS, net};
use crate::store::{self, Examined};

const MIB: u64 = 1 << 20;
/// With less free space than this, the check warns.
const LOW_SPACE: u64 = 1024 * MIB;
/// With less free space than this, the check fails: old data cannot even be removed.
const NO_SPACE: u64 = 64 * MIB;

/// Reports where the settings come from, and their warnings.
pub(super) fn configuration(loaded: &Loaded) -> Vec<CheckResult> {
    let from = loaded.file.as_ref().map_or_else(
        || "defaults and environment".to_owned(),
        |file| format!("defaults, {} and environment", file.display()),
    );
    // Warnings about secrets are reported by `keys`.
    let of_keys = loaded.settings.secret_warnings();
    let warnings = loaded.warnings.iter().filter(|warning| !of_keys.contains(warning));
    let warnings = warnings.map(|warning| CheckResult::new(Warn, "configuration", warning.as_str()));
    std::iter::once(CheckResult::new(Fine, "configuration", from)).chain(warnings).collect()
}

/// Runs all checks without the network.
pub(super) fn check(settings: &Settings, now: DateTime<Utc>) -> Vec<CheckResult> {
    let mut findings = keys(settings);
    findings.push(time_zones(now));
    findings.extend(data(&settings.data.dir));
    findings.push(port(settings));
    findings.extend(certificates(settings));
    findings
}

/// Checks the form of the keys; only their issuer can tell whether they are valid.
fn keys(settings: &Settings) -> Vec<CheckResult> {
    let ours = [
        &settings.auth.ingest_token,
        &settings.auth.admin_token,
        &settings.auth.read_token,
        &settings.auth.delayed_read_token,
        &settings.auth.jwt_secret,
        &settings.tradingview.webhook_token,
    ];
    let theirs = PROVIDERS.iter().flat_map(|provider| provider.key_forms(settings));
    let secrets = settings.secret_warnings();
    let mut odd: Vec<CheckResult> =
        secrets.into_iter().map(|warning| CheckResult::new(Warn, "keys", warning)).collect();
    let mut seen = ours.into_iter().flatten().count();
    for KeyForm { variable, fits, form } in theirs {
        let Some(fits) = fits else { continue };
        seen += 1;
        if !fits {
            odd.push(CheckResult::new(
                Warn,
                "keys",
                format!("{variable} does not look like one ({form}): was all of it copied?"),
            ));
        }
    }
    match (seen, odd.is_empty()) {
        (_, false) => odd,
        (0, _) => vec![CheckResult::new(Skip, "keys", "none is set; pushes need ORION_INGEST_TOKEN")],
        (1, _) => vec![CheckResult::new(Fine, "keys", "the one that is set looks as it should")],
        (seen, _) => vec![CheckResult::new(Fine, "keys", format!("the {seen} that are set look as they should"))],
    }
}

/// Checks the age of the built-in time zones against the clock.
fn time_zones(now: DateTime<Utc>) -> CheckResult {
    let offset = New_York.offset_from_utc_datetime(&now.naive_utc()).fix().local_minus_utc() / 3600;
    let year: i32 = IANA_TZDB_VERSION[..4].parse().unwrap_or_default();
    let says = format!("built in ({IANA_TZDB_VERSION}); in New York it is {offset} h");
    if now.year() < year {
        CheckResult::new(Fail, "time zones", format!("{says}, but the clock says {}: set the clock", now.year()))
    } else if now.year() > year + 2 {
        CheckResult::new(Warn, "time zones", format!("{says}; rules may have changed since then: update orion-server"))
    } else {
        CheckResult::new(Fine, "time zones", says)
    }
}

/// Checks that the data directory, or its nearest existing parent, is writable and has free space.
fn data(dir: &Path) -> Vec<CheckResult> {
    let shown = dir.display();
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let Some(folder) = absolute.ancestors().find(|folder| folder.exists()) else {
        return vec![CheckResult::new(Fail, "data", format!("{shown}: nothing of this path is there"))];
    };
    let mend = "set ORION_DATA_DIR to a folder of this user's, or mount the volume writable";
    let writable = match store::check_writable(dir).map(|()| try_writing(folder)) {
        Err(error) => CheckResult::new(Fail, "data", error.to_string()),
        Ok(Ok(())) if folder == absolute => CheckResult::new(Fine, "data", format!("{shown} can be written")),
        Ok(Ok(())) => CheckResult::new(Fine, "data", format!("{shown} is not there yet and can be made")),
        Ok(Err(error)) => CheckResult::new(Fail, "data", format!("{shown} cannot be written ({error}): {mend}")),
    };
    let foreign =
        store::foreign_filesystem(dir).map(|kind| CheckResult::new(Fail, "data", store::foreign_warning(dir, kind)));
    let log = (folder == absolute && folder.is_dir()).then(|| signal_log(dir));
    [writable].into_iter().chain(foreign).chain([free_space(folder)]).chain(log).collect()
}

/// Checks whether a server can start with the signal log.
fn signal_log(dir: &Path) -> CheckResult {
    match store::examine(dir) {
        Ok(Examined::New) => CheckResult::new(Fine, "signal log", "there is none yet; the server begins one"),
        Ok(Examined::Running) => {
            CheckResult::new(Fine, "signal log", "a server writes it, and it holds what was acknowledged")
        }
        Ok(Examined::Whole) => {
            let due = store::schema_state(dir).ok().filter(|state| !state.steps.is_empty());
            let upgrade = due.map(|_| "; the next start upgrades it: see orion-server migrate --check");
            let says = format!("whole, and it holds what was acknowledged{}", upgrade.unwrap_or_default());
            CheckResult::new(Fine, "signal log", says)
        }
        Err(error) => CheckResult::new(Fail, "signal log", error.to_string()),
    }
}

/// Creates a file and removes it.
fn try_writing(folder: &Path) -> std::io::Result<()> {
    if !folder.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    let file = folder.join(format!(".orion-doctor-{}", std::process::id()));
    let written = std::fs::File::create_new(&file).and_then(|mut open| {
        open.write_all(b"doctor")?;
        open.sync_all()
    });
    let removed = std::fs::remove_file(&file);
    written.and(removed)
}

fn free_space(folder: &Path) -> CheckResult {
    let space = match rustix::fs::statvfs(folder) {
        Ok(space) => space,
        Err(error) => return CheckResult::new(Skip, "disk space", format!("cannot be told: {error}")),
    };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let says = format!("{} MiB free", free / MIB);
    if space.f_files > 0 && space.f_favail == 0 {
        CheckResult::new(Fail, "disk space", format!("{says}, but no more files can be made: remove some"))
    } else if free < NO_SPACE {
        CheckResult::new(Fail, "disk space", format!("{says}: signals could soon not be stored; make room"))
    } else if free < LOW_SPACE {
        CheckResult::new(Warn, "disk space", format!("{says}: make room, or shorten data.signal_retention"))
    } else {
        CheckResult::new(Fine, "disk space", says)
    }
}

fn port(settings: &Settings) -> CheckResult {
    let address = settings.server.address();
    match TcpListener::bind(address) {
        Ok(_) => CheckResult::new(Fine, "port", format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let says = format!("{address} is in use: fine if that is this server, else set PORT");
            CheckResult::new(Warn, "port", says)
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let says = format!("{address} is not for this user: set PORT to 1024 or more, with a proxy in front");
            CheckResult::new(Fail, "port", says)
        }
        Err(error) => CheckResult::new(Fail, "port", format!("{address}: {error}; set ORION_HOST and PORT")),
    }
}

/// Checks the root certificates, which connections to providers, to the webhook of alerts and to the login service need.
fn certificates(settings: &Settings) -> Option<CheckResult> {
    let webhook = settings.alerts.webhook_url.is_some();
    let key_set = settings.auth.jwks_url.as_ref().is_some_and(|url| url.trim().starts_with("https"));
    if !webhook && !key_set && !settings.sources.enabled.iter().any(|name| provider(name).is_some()) {
        return None;
    }
    Some(match net::root_certificates() {
        0 => {
            let says = "this system has no root certificates, so no provider, no webhook and no login service can be trusted: install ca-certificates";
            CheckResult::new(Fail, "certificates", says)
        }
        count => CheckResult::new(Fine, "certificates", format!("{count} roots of this system")),
    })
}
