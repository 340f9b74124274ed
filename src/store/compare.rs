//! Compares a log with its watermark: does it contain everything that was acknowledged?

use std::path::Path;

use rusqlite::Connection;

use super::error::StoreError;
use super::inspect::{LogCondition, is_owned, read_watermark, wal_file};
use super::wal::{self, Scan};
use super::watermark::{Heads, Watermark, WatermarkPhase, WatermarkRead};
use super::{DATABASE_FILE, WATERMARK_FILE, meta, outcomes, passing, queries, schema, users};

/// Judges a directory that has neither a database nor a write-ahead log.
pub(super) fn nothing_there(file: &Path, read: &WatermarkRead) -> Result<LogCondition, StoreError> {
    match read {
        WatermarkRead::Missing => Ok(LogCondition::New),
        WatermarkRead::Unreadable => Err(unreadable_watermark(file)),
        // A log without acknowledged entries is created again.
        WatermarkRead::Found { watermark, .. } if watermark.heads == Heads::START => Ok(LogCondition::New),
        WatermarkRead::Found { watermark, .. } => Err(nothing_of(file, &watermark.heads)),
    }
}

pub(super) fn nothing_of(file: &Path, acknowledged: &Heads) -> StoreError {
    let what = format!(
        "it is missing, empty or from before them; {}",
        missing_after(&Heads::START, acknowledged).unwrap_or_default()
    );
    StoreError::Lost { file: file.into(), what }
}

pub(super) fn unreadable_watermark(file: &Path) -> StoreError {
    let what = format!(
        "both copies in {WATERMARK_FILE} are damaged, and the log was not closed: what was acknowledged last is not known"
    );
    StoreError::Lost { file: file.into(), what }
}

/// Compares the log with its watermark. The schema of the database has to support one.
pub(super) fn compare(connection: &Connection, file: &Path, read: WatermarkRead) -> Result<LogCondition, StoreError> {
    let sqlite = |error| StoreError::sqlite(file, &error);
    let lost = |what| StoreError::Lost { file: file.into(), what };
    let WatermarkRead::Found { watermark, one_copy_damaged } = read else {
        if meta::is_closed(connection).map_err(sqlite)? {
            return Ok(LogCondition::Unguarded { unreadable: read == WatermarkRead::Unreadable });
        }
        return Err(match read {
            WatermarkRead::Unreadable => unreadable_watermark(file),
            _ => lost(format!(
                "{WATERMARK_FILE} is missing, and the log was not closed: what was acknowledged last is not known. If the \
                 files were copied from a running server or a stopped one, copy {WATERMARK_FILE} too"
            )),
        });
    };
    if let Some(replaced) = replaced(file, &watermark)? {
        return Ok(replaced);
    }
    let trouble = write_ahead_log_trouble(file, watermark.phase)?;
    let missing = shortfall(connection, file, &watermark);
    match (trouble, missing) {
        (None, Ok(None)) => Ok(LogCondition::Guarded { watermark, one_copy_damaged }),
        (None, Ok(Some(what))) => Err(lost(what)),
        (None, Err(error)) => Err(error),
        (Some(trouble), Ok(Some(what))) => Err(lost(format!("{trouble}; {what}"))),
        (Some(trouble), _) => Err(lost(trouble)),
    }
}

/// Returns whether the database is a closed log with another epoch than the watermark's.
fn replaced(file: &Path, watermark: &Watermark) -> Result<Option<LogCondition>, StoreError> {
    // Opened without the write-ahead log: that of another log would hide this database.
    let Ok(alone) = schema::open_untouched(file) else { return Ok(None) };
    let (Ok(Some(epoch)), Ok(true)) = (schema::epoch(&alone), meta::is_closed(&alone)) else { return Ok(None) };
    if *epoch == *watermark.epoch {
        return Ok(None);
    }
    let wal = wal_file(file);
    match wal::scan(&wal, 0).map_err(|error| StoreError::io(&wal, &error))? {
        Scan::Log(frames) if frames.committed.frames > 0 => {
            let what = format!(
                "{} beside it belongs to the log that was here before: remove it, and the -shm file, to use this one",
                wal.display()
            );
            Err(StoreError::Damaged { file: file.into(), what })
        }
        _ => {
            let copied_from: Option<String> = meta::get(&alone, meta::COPIED_FROM).unwrap_or_default();
            let copied_from = copied_from.and_then(|cursor| cursor.parse().ok());
            Ok(Some(LogCondition::Replaced { watermark: watermark.clone(), copied_from }))
        }
    }
}

/// Returns what is wrong with the write-ahead log, given the position of the last acknowledged commit.
fn write_ahead_log_trouble(file: &Path, phase: WatermarkPhase) -> Result<Option<String>, StoreError> {
    let wal = wal_file(file);
    let asked = match phase {
        WatermarkPhase::Committed(position)
        | WatermarkPhase::Checkpointing(position)
        | WatermarkPhase::Closed(position) => position.frames,
        WatermarkPhase::Opened => 0,
    };
    let found = wal::scan(&wal, asked).map_err(|error| StoreError::io(&wal, &error))?;
    let name = wal.display();
    Ok(match (phase, found) {
        // Another program may have checkpointed the write-ahead log; the heads show whether all of it is in the
        // database.
        (WatermarkPhase::Opened, _)
        | (WatermarkPhase::Closed(_), Scan::Empty | Scan::Headless)
        | (WatermarkPhase::Committed(_), Scan::Empty) => None,
        (WatermarkPhase::Closed(position), Scan::Log(frames)) => {
            let is_own = frames.committed.salts == position.salts && frames.asked == Some(position.checksum);
            (frames.committed.frames > 0 && !is_own).then(|| {
                format!("the log was closed, and {name} is damaged or not its own: remove it, and the -shm file")
            })
        }
        (WatermarkPhase::Checkpointing(_), Scan::Empty) => {
            Some(format!("{name} is missing, which the database is not whole without"))
        }
        (WatermarkPhase::Committed(_) | WatermarkPhase::Checkpointing(_), Scan::Headless) => {
            Some(format!("the header of {name} is damaged"))
        }
        (WatermarkPhase::Committed(position) | WatermarkPhase::Checkpointing(position), Scan::Log(frames)) => {
            let salts = frames.committed.salts;
            // The next generation begins only after all of this one is in the database.
            let is_next =
                salts[0] == position.salts[0].wrapping_add(1) && matches!(phase, WatermarkPhase::Committed(_));
            if salts != position.salts {
                (!is_next).then(|| format!("{name} is an older one, or of another log"))
            } else if frames.asked != Some(position.checksum) {
                let at = frames.broken.map_or_else(String::new, |frame| format!(" at frame {frame}"));
                Some(format!("{name} is damaged or cut off{at} of {}", position.frames))
            } else {
                frames.several_hidden().map(|frame| format!("{name} is damaged at frame {frame}, and commits follow"))
            }
        }
    })
}

/// Returns what the log lacks or has differently from its watermark.
pub(super) fn shortfall(
    connection: &Connection,
    file: &Path,
    watermark: &Watermark,
) -> Result<Option<String>, StoreError> {
    let sqlite = |error| StoreError::sqlite(file, &error);
    let epoch = schema::epoch(connection).map_err(sqlite)?.unwrap_or_default();
    if *epoch != *watermark.epoch {
        return Ok(Some(format!(
            "it is the log {epoch}, and {WATERMARK_FILE} is that of the log {}: put together what belongs together",
            watermark.epoch
        )));
    }
    let found = heads(connection).map_err(sqlite)?;
    let acknowledged = &watermark.heads;
    if let Some(missing) = missing_after(&found, acknowledged) {
        return Ok(Some(missing));
    }
    let anchor =
        Some(schema::anchor(connection).map_err(sqlite)?).filter(|anchor| anchor.seq == acknowledged.events.seq);
    let event = queries::link_at(connection, acknowledged.events.seq).map_err(sqlite)?.or(anchor);
    if event.is_some_and(|event| event != acknowledged.events) {
        return Ok(Some(format!("event {} is not the one that was acknowledged", acknowledged.events.seq)));
    }
    let record = outcomes::link_at(connection, acknowledged.records.seq).map_err(sqlite)?;
    if record.is_some_and(|record| record != acknowledged.records) {
        return Ok(Some(format!("record {} is not the one that was acknowledged", acknowledged.records.seq)));
    }
    Ok(None)
}

/// Names the acknowledged entries that are missing after the heads of a log.
pub(super) fn missing_after(found: &Heads, acknowledged: &Heads) -> Option<String> {
    let ends = [
        ("event", found.events.seq, acknowledged.events.seq),
        ("record", found.records.seq, acknowledged.records.seq),
        ("message", found.published, acknowledged.published),
        ("note about users", found.notes, acknowledged.notes),
    ];
    let missing: Vec<String> = ends
        .into_iter()
        .filter(|(_, found, acknowledged)| found < acknowledged)
        .map(|(what, found, acknowledged)| match what {
            _ if found + 1 == acknowledged => format!("{what} {acknowledged}"),
            "note about users" => format!("notes about users {}–{acknowledged}", found + 1),
            what => format!("{what}s {}–{acknowledged}", found + 1),
        })
        .collect();
    let is_one = ends.iter().map(|(_, found, acknowledged)| acknowledged.saturating_sub(*found)).sum::<u64>() == 1;
    let verb = if is_one { "is" } else { "are" };
    (!missing.is_empty()).then(|| format!("{}, acknowledged, {verb} not in the log", missing.join(", ")))
}

/// Reads the heads of a log.
pub(super) fn heads(connection: &Connection) -> rusqlite::Result<Heads> {
    Ok(Heads {
        events: schema::head(connection)?,
        records: outcomes::head(connection)?,
        published: passing::head(connection)?,
        notes: users::last_note(connection)?,
    })
}

/// The watermark of a data directory, read before its log.
#[derive(Debug)]
pub(super) struct WatermarkCheck {
    /// `None` for a single database file, such as a backup.
    read: Option<WatermarkRead>,
    /// Whether a process owns the data directory.
    is_running: bool,
}

impl WatermarkCheck {
    pub(super) fn read(place: &Path) -> Result<Self, StoreError> {
        if !place.is_dir() {
            return Ok(Self { read: None, is_running: false });
        }
        let is_running = is_owned(place);
        Ok(Self { read: Some(read_watermark(&place.join(DATABASE_FILE))?), is_running })
    }

    /// Returns the error for a missing database.
    pub(super) fn missing(&self, file: &Path) -> StoreError {
        match &self.read {
            Some(read) => nothing_there(file, read).err(),
            None => None,
        }
        .unwrap_or_else(|| StoreError::Missing(file.into()))
    }

    /// Checks that the log contains what the watermark says.
    pub(super) fn check(&self, connection: &Connection, file: &Path) -> Result<(), StoreError> {
        let lost = |what| Err(StoreError::Lost { file: file.into(), what });
        match &self.read {
            None => Ok(()),
            // A running server rewrites its write-ahead log at any time, so only the heads can be compared.
            Some(WatermarkRead::Found { watermark, .. }) if self.is_running => {
                shortfall(connection, file, watermark)?.map_or(Ok(()), lost)
            }
            Some(read) => compare(connection, file, read.clone()).map(drop),
        }
    }
}
