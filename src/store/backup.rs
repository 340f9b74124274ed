//! Copies a log, also while a server writes it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::error::StoreError;
use super::{meta, offline, schema};
use crate::domain::Position;

/// Pages (of 4 KiB) between two reports of progress.
const PAGES_AT_ONCE: i32 = 1_024;
/// The pause before a locked page is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// Copies the log in the data directory `place` (or in the file `place`) to the new file `to`, also beside a running
/// server, and calls `progress` with the percentage.
///
/// The copy gets its own epoch, so that a cursor of the original is not valid in it.
///
/// # Errors
/// [`StoreError::Exists`] when `to` exists. After an error nothing is left at `to`.
pub fn backup(place: &Path, to: &Path, progress: impl FnMut(u8)) -> Result<(), StoreError> {
    if to.exists() {
        return Err(StoreError::Exists(to.into()));
    }
    let (file, source) = offline::open(place)?;
    let partial = Partial::beside(to);
    copy(&file, &source, &partial.0, progress)?;
    put_in_place(&partial, to)
}

/// Makes a complete copy durable under its name.
fn put_in_place(partial: &Partial, to: &Path) -> Result<(), StoreError> {
    let io = |error| StoreError::io(to, &error);
    File::open(&partial.0).and_then(|copy| copy.sync_all()).map_err(io)?;
    // Another program may have created it during the copy.
    if to.exists() {
        return Err(StoreError::Exists(to.into()));
    }
    fs::rename(&partial.0, to).map_err(io)?;
    let parent = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(io)
}

/// Copies a log of an earlier schema, whose only connection is `source`, to the new file `to`. The copy keeps that schema, for
/// the release that wrote it, and gets its own epoch.
pub(super) fn before_upgrade(source: &Connection, file: &Path, to: &Path) -> Result<(), StoreError> {
    let partial = Partial::beside(to);
    copy(file, source, &partial.0, |_| {})?;
    put_in_place(&partial, to)
}

fn copy(file: &Path, source: &Connection, to: &Path, mut progress: impl FnMut(u8)) -> Result<(), StoreError> {
    let reading = |error| StoreError::sqlite(file, &error);
    let writing = |error| StoreError::sqlite(to, &error);
    // SQLite restarts a backup when its source changes; a snapshot does not change.
    let snapshot = source.unchecked_transaction().map_err(reading)?;
    let has_checksums = schema::has_checksums(&snapshot).map_err(reading)?;
    let copied_from = if has_checksums {
        let epoch = schema::epoch(&snapshot).map_err(reading)?.unwrap_or_default();
        Position { epoch: epoch.into(), seq: schema::head(&snapshot).map_err(reading)?.seq }
    } else {
        schema::position_before_checksums(&snapshot).map_err(reading)?
    };
    let mut target = Connection::open(to).map_err(writing)?;
    let copy = Backup::new(&snapshot, &mut target).map_err(writing)?;
    loop {
        match copy.step(PAGES_AT_ONCE).map_err(writing)? {
            StepResult::Done => break,
            StepResult::More => {
                let step = copy.progress();
                progress((100 * (step.pagecount - step.remaining) / step.pagecount.max(1)).clamp(0, 99) as u8);
            }
            _ => std::thread::sleep(RETRY),
        }
    }
    drop(copy);
    // The copy is a single file; a server enables its write-ahead log again.
    target.pragma_update(None, "journal_mode", "DELETE").map_err(writing)?;
    target.pragma_update(None, "synchronous", "FULL").map_err(writing)?;
    if has_checksums {
        schema::set_epoch(&target).map_err(writing)?;
        meta::set(&target, meta::COPIED_FROM, copied_from.to_string()).map_err(writing)?;
        meta::set(&target, meta::CLOSED, 1).map_err(writing)?;
    } else {
        schema::mark_copy_before_checksums(&target, &copied_from).map_err(writing)?;
    }
    target.close().map_err(|(_, error)| writing(error))?;
    progress(100);
    Ok(())
}

/// An incomplete copy; removed when dropped, unless it was renamed.
struct Partial(PathBuf);

impl Partial {
    fn beside(to: &Path) -> Self {
        let mut name = OsString::from(".");
        name.push(to.file_name().unwrap_or_default());
        name.push(format!(".{}.partial", std::process::id()));
        Self(to.with_file_name(name))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let mut journal = self.0.clone().into_os_string();
        journal.push("-journal");
        for leftover in [self.0.clone(), journal.into()] {
            fs::remove_file(leftover).ok();
        }
    }
}
