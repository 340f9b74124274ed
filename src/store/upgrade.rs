//! Upgrades of the schema: the backup that is made before one, and what a start would do.
//!
//! The backup has the schema of the release that wrote the log, so that this release can be installed again. It has an
//! epoch of its own, as every backup has, because the log goes on without it.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::error::StoreError;
use super::inspect::{inspect, is_owned, length, schema_version, wal_file};
use super::{DATABASE_FILE, backup, migrations, schema};

/// How many backups of upgrades are kept.
const KEPT: usize = 2;
/// The beginning and the end of their names: `orion.schema-5-20260115-070000000.db`.
const NAME: [&str; 2] = ["orion.schema-", ".db"];
const MIB: u64 = 1 << 20;

/// What a start would do to the schema of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaState {
    /// The database.
    pub file: PathBuf,
    /// Its schema version; `None` when there is no log yet.
    pub found: Option<usize>,
    /// The schema version that this program writes.
    pub known: usize,
    /// The steps that the next start runs: each version, and what it brings.
    pub steps: Vec<(usize, &'static str)>,
    /// The size that the backup would have at most, and the free space on the disk, in bytes.
    pub space: Option<(u64, u64)>,
    /// The backups of earlier upgrades, the newest first.
    pub backups: Vec<PathBuf>,
}

/// Returns what the next start would do to the schema of the log in the data directory, or the file, `place`. Changes nothing;
/// it also works beside a running server of the earlier release.
///
/// # Errors
/// [`StoreError::Newer`] for a log of a newer version, or the error that a start would return for what is wrong with it.
pub fn schema_state(place: &Path) -> Result<SchemaState, StoreError> {
    let file = if place.is_file() { place.to_path_buf() } else { place.join(DATABASE_FILE) };
    let dir = file.parent().unwrap_or(Path::new("."));
    let mut state = SchemaState {
        found: None,
        known: migrations::VERSION,
        steps: Vec::new(),
        space: None,
        backups: backups(dir),
        file: file.clone(),
    };
    if length(&file)? == 0 && length(&wal_file(&file))? == 0 {
        return Ok(state);
    }
    let is_running = is_owned(dir);
    let found = schema_version(&connection(&file, is_running)?, &file)?;
    state.found = Some(found);
    if found < state.known {
        if place.is_dir() && !is_running {
            inspect(&file, |_| Ok(()))?;
        }
        let steps = migrations::STEPS.iter().enumerate().skip(found);
        state.steps = steps.map(|(at, what)| (at + 1, *what)).collect();
        let needed = size(&file)?;
        state.space = free(dir).map(|free| (needed, free));
    }
    Ok(state)
}

/// Makes a backup of a log whose schema is older, and removes the older ones but for one. The directory is locked.
///
/// # Errors
/// [`StoreError::NoBackup`] when there is no room, or the copy fails; nothing is left of it.
pub(super) fn back_up(file: &Path, now: DateTime<Utc>) -> Result<(), StoreError> {
    let source = connection(file, false)?;
    let found = schema_version(&source, file)?;
    // The creation of the log was interrupted: there is nothing in it.
    if found == 0 || found == migrations::VERSION {
        return Ok(());
    }
    let dir = file.parent().unwrap_or(Path::new("."));
    let to = dir.join(format!("{}{found}-{}{}", NAME[0], now.format("%Y%m%d-%H%M%S%3f"), NAME[1]));
    let failed = |why: String| StoreError::NoBackup { file: file.into(), found, known: migrations::VERSION, why };
    if let Some(why) = lack_of_room(size(file)?, free(dir)) {
        return Err(failed(why));
    }
    tracing::info!(schema = found, file = %to.display(), "the log is of an earlier release: making a backup before its upgrade");
    backup::before_upgrade(&source, file, &to).map_err(|error| failed(error.to_string()))?;
    tracing::info!(file = %to.display(), "the backup is complete; the log is upgraded now");
    // Whatever the clock says, the new one stays.
    for old in backups(dir).into_iter().filter(|old| *old != to).skip(KEPT - 1) {
        match fs::remove_file(&old) {
            Ok(()) => tracing::info!(file = %old.display(), "an older backup of an upgrade was removed"),
            Err(error) => {
                tracing::warn!(file = %old.display(), %error, "an older backup of an upgrade cannot be removed");
            }
        }
    }
    Ok(())
}

/// Returns why a backup of `needed` bytes has no room, if so; `free` is what the system says.
fn lack_of_room(needed: u64, free: Option<u64>) -> Option<String> {
    let free = free.filter(|free| *free < needed)?;
    Some(format!("it needs {} MiB, and {} MiB are free on the disk", needed.div_ceil(MIB), free / MIB))
}

/// Returns the backups of upgrades in a data directory, the newest first.
fn backups(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let dated = |path: PathBuf| Some((schema_and_time(&path)?.1.to_owned(), path));
    let mut found: Vec<_> = entries.filter_map(dated).collect();
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, path)| path).collect()
}

/// Returns the schema and the time in the name of a backup; `None` for another file.
fn schema_and_time(path: &Path) -> Option<(usize, &str)> {
    let name = path.file_name()?.to_str()?.strip_prefix(NAME[0])?.strip_suffix(NAME[1])?;
    let (schema, time) = name.split_once('-')?;
    let is_time = time.len() == 18 && time.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    is_time.then_some((schema.parse().ok()?, time))
}

/// Says how to go on from a log of a newer schema than `known`. `program` is the version that made it.
pub(super) fn downgrade_remedy(file: &Path, program: Option<&str>, known: usize) -> String {
    let all = file.parent().map(backups).unwrap_or_default();
    let usable = all.into_iter().find(|path| schema_and_time(path).is_some_and(|(schema, _)| schema <= known));
    let newer = program.map_or_else(|| "the newer version".to_owned(), |program| format!("orion-server {program}"));
    let restored = match usable {
        Some(backup) => format!("put {} in its place (what was stored since is not in it", backup.display()),
        None => "put a backup that this version has made in its place (there is none in the data directory".to_owned(),
    };
    format!("Install {newer} or later again; or {restored}; remove the -wal and -shm files beside it too)")
}

/// Opens the database for reading. A closed one of no running server is opened without creating a file beside it.
fn connection(file: &Path, is_running: bool) -> Result<Connection, StoreError> {
    let is_closed = length(&wal_file(file))? == 0;
    let opened = if is_closed && !is_running { schema::open_untouched(file) } else { schema::open_reader(file) };
    opened.map_err(|error| StoreError::sqlite(file, &error))
}

/// Returns the bytes that a copy needs at most.
fn size(file: &Path) -> Result<u64, StoreError> {
    Ok(length(file)? + length(&wal_file(file))?)
}

/// Returns the bytes that this process can still write on the disk of `dir`; `None` if the system does not say.
fn free(dir: &Path) -> Option<u64> {
    let space = rustix::fs::statvfs(dir).ok()?;
    Some(space.f_bavail.saturating_mul(space.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_needs_room_for_the_whole_log() {
        assert_eq!((lack_of_room(MIB, Some(MIB)), lack_of_room(MIB, None)), (None, None));
        let why = "it needs 3 MiB, and 1 MiB are free on the disk";
        assert_eq!(lack_of_room(2 * MIB + 1, Some(2 * MIB - 1)).as_deref(), Some(why));
    }

    #[test]
    fn a_downgrade_is_told_what_to_install_or_restore() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(DATABASE_FILE);
        let says = |program| downgrade_remedy(&file, program, 6);
        assert!(says(Some("0.3.0")).starts_with("Install orion-server 0.3.0 or later again; or put a backup"));
        for name in [
            "orion.schema-5-20260101-000000000.db",
            "orion.schema-6-20260301-000000000.db",
            "orion.schema-7-20260401-000000000.db",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let text = says(None);
        assert!(text.contains("the newer version") && text.contains("orion.schema-6-20260301-000000000.db"), "{text}");
    }
}
