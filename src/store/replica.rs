//! This log as a node's copy of a replicated one: where in the stream it stands, and which requests it has answered.
//! Both are written in the transaction of the entries, so that they never differ from them.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use super::chain::ChainLink;
use super::error::StoreError;
use super::event_log::RequestId;
use super::row::DamagedRow;
use super::watermark::Heads;
use super::{LOCK_FILE, bars, commit, compare, inspect, meta, offline, open, outcomes, schema};
use crate::domain::{Bar, Position};

/// The `meta` key of the place in the stream, JSON.
const PLACE: &str = "cluster_place";
/// For how long the ids of requests are kept, in milliseconds. Far longer than a request is repeated.
const REQUESTS_KEPT: i64 = 600_000;
/// The steps in which old signals and records are removed, in milliseconds: an hour.
const PRUNE_STEP: i64 = 3_600_000;
/// Of every so many messages one removes old ids.
const PRUNE_EVERY: u64 = 64;

/// The last entries of a log: what the next ones continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogHeads {
    /// The last signal event.
    pub events: ChainLink,
    /// The last record of a confirmed signal.
    pub records: ChainLink,
    /// The number of the last relayed message.
    pub published: u64,
}

impl LogHeads {
    /// The heads of an empty log.
    pub const START: Self = Self { events: ChainLink::START, records: ChainLink::START, published: 0 };
}

impl From<Heads> for LogHeads {
    fn from(heads: Heads) -> Self {
        Self { events: heads.events, records: heads.records, published: heads.published }
    }
}

/// How far a copy has followed the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaPlace {
    /// The epoch of the replicated log.
    pub epoch: String,
    /// The last message of the stream that was applied or skipped.
    pub stream_seq: u64,
    /// The current term.
    pub term: u64,
    /// The node that writes in this term; empty before the first one.
    pub writer: String,
    /// The SHA-256 of that message, in hexadecimal; empty before the first one.
    pub digest: String,
    /// The latest time at which entries were stored; Unix milliseconds.
    pub stored_at: i64,
}

impl ReplicaPlace {
    /// Returns the place before the first message.
    pub fn start(epoch: &str) -> Self {
        let (writer, digest) = (String::new(), String::new());
        Self { epoch: epoch.to_owned(), stream_seq: 0, term: 0, writer, digest, stored_at: 0 }
    }
}

/// What one message of the stream does to a copy.
#[derive(Debug, Clone, PartialEq)]
pub struct Replicated {
    /// The place after the message.
    pub place: ReplicaPlace,
    /// The entries that it has; `None` when it has none or is void.
    pub batch: Option<ReplicatedBatch>,
}

/// How the entries of a message continue the log.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicatedBatch {
    /// The heads that they follow.
    pub after: LogHeads,
    /// When the writer stored them.
    pub stored_at: DateTime<Utc>,
    /// The requests whose results they are.
    pub requests: Vec<RequestId>,
    /// One-minute bars.
    pub bars: Vec<Bar>,
}

impl Replicated {
    pub(super) fn stored_at(&self) -> Option<DateTime<Utc>> {
        self.batch.as_ref().map(|batch| batch.stored_at)
    }

    /// Stores everything but the entries themselves.
    ///
    /// # Errors
    /// When the entries do not continue the log.
    pub(super) fn store(&self, transaction: &Connection, heads: &Heads) -> rusqlite::Result<()> {
        if let Some(batch) = &self.batch {
            let heads = LogHeads::from(*heads);
            if batch.after != heads {
                let key = format!(
                    "message {} of the stream follows event {}, record {} and message {}, and this copy ends with {}, {} and \
                     {}, or its hashes differ",
                    self.place.stream_seq,
                    batch.after.events.seq,
                    batch.after.records.seq,
                    batch.after.published,
                    heads.events.seq,
                    heads.records.seq,
                    heads.published,
                );
                return Err(DamagedRow { table: "signal_events", key }.into());
            }
            for request in &batch.requests {
                let insert = "INSERT OR IGNORE INTO cluster_requests (id, stored_at) VALUES (?1, ?2)";
                transaction.prepare_cached(insert)?.execute((&**request, self.place.stored_at))?;
            }
            if self.place.stream_seq.is_multiple_of(PRUNE_EVERY) {
                let old = "DELETE FROM cluster_requests WHERE stored_at < ?1";
                transaction.prepare_cached(old)?.execute([self.place.stored_at - REQUESTS_KEPT])?;
            }
            // A damaged bar is replaced like a missing one.
            bars::save(transaction, &batch.bars)?;
        }
        set_place(transaction, &self.place)
    }

    /// Removes some of what is older than `retention` at the time of the message, to the hour: all copies have the same
    /// signals and records at a place of the log, whatever their clocks say, so that what is ignored because it is there
    /// already is ignored by all. Returns the number of removed events.
    pub(super) fn prune(&self, transaction: &Connection, retention: Duration) -> rusqlite::Result<u64> {
        let Some(stored_at) = self.stored_at() else { return Ok(0) };
        let hour = stored_at - TimeDelta::milliseconds(stored_at.timestamp_millis().rem_euclid(PRUNE_STEP));
        let retention = TimeDelta::from_std(retention).unwrap_or(TimeDelta::MAX);
        let Some(kept_since) = hour.checked_sub_signed(retention) else { return Ok(0) };
        let events = commit::prune_events(transaction, kept_since)?;
        if events == 0 {
            outcomes::prune(transaction, kept_since)?;
        }
        Ok(events)
    }
}

/// Stores the place of a copy.
pub(super) fn set_place(transaction: &Connection, place: &ReplicaPlace) -> rusqlite::Result<()> {
    let place =
        serde_json::to_string(place).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    meta::set(transaction, PLACE, place)
}

/// Returns the place of a copy; `None` of a log that is not replicated.
pub(super) fn place(connection: &Connection) -> rusqlite::Result<Option<ReplicaPlace>> {
    let place: Option<String> = meta::get(connection, PLACE)?;
    // Written by this program, and guarded by its row's checksum.
    Ok(place.and_then(|place| serde_json::from_str(&place).ok()))
}

/// Whether the log has the result of a request.
pub(super) fn has_request(connection: &Connection, id: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM cluster_requests WHERE id = ?1";
    connection.prepare_cached(sql)?.query_row([id], |_| Ok(())).optional().map(|found| found.is_some())
}

/// Makes the log a copy of the replicated log with this epoch, unless it is one. Called before the log is served.
pub(super) fn begin(connection: &Connection, epoch: &str) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS cluster_requests (id TEXT PRIMARY KEY, stored_at INTEGER NOT NULL) WITHOUT ROWID, STRICT",
    )?;
    if place(connection)?.is_none_or(|place| place.epoch != epoch) {
        set_place(connection, &ReplicaPlace::start(epoch))?;
    }
    if schema::epoch(connection)?.as_deref() != Some(epoch) {
        meta::set(connection, "epoch", epoch.to_owned())?;
    }
    meta::remove(connection, meta::COPIED_FROM)
}

/// What a node finds in its data directory before it joins.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalLog {
    /// The epoch of the log.
    pub epoch: String,
    /// Where it stands in the stream; `None` when it has never followed one.
    pub place: Option<ReplicaPlace>,
    /// The last entries.
    pub heads: LogHeads,
    /// The cursor at which it was made, if it is a backup.
    pub copied_from: Option<Position>,
}

impl LocalLog {
    /// Reads the log in `dir`, also beside a running server; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub fn read(dir: &Path) -> Result<Option<Self>, StoreError> {
        let (file, connection) = match offline::open(dir) {
            Ok(opened) => opened,
            Err(StoreError::Missing(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let read = || -> rusqlite::Result<Self> {
            let copied_from: Option<String> = meta::get(&connection, meta::COPIED_FROM)?;
            Ok(Self {
                epoch: schema::epoch(&connection)?.unwrap_or_default(),
                place: place(&connection)?,
                heads: compare::heads(&connection)?.into(),
                copied_from: copied_from.and_then(|cursor| cursor.parse().ok()),
            })
        };
        read().map(Some).map_err(|error| StoreError::sqlite(&file, &error))
    }

    /// Whether a server runs on the log in `dir`.
    pub fn is_in_use(dir: &Path) -> bool {
        inspect::is_owned(dir)
    }

    /// Returns a name for a new log.
    pub fn new_epoch() -> String {
        schema::new_epoch()
    }

    /// Moves the files of the log in `dir` into a new directory beside them, and returns its name.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when a server runs on them; otherwise an error of the disk.
    pub fn set_aside(dir: &Path, epoch: &str) -> Result<String, StoreError> {
        let lock = open::lock(dir)?;
        let names = (0..1_000).map(|number| format!("set-aside-{epoch}-{number}"));
        let free = names.into_iter().find(|name| !dir.join(name).exists());
        let name = free.ok_or_else(|| StoreError::Exists(dir.join(format!("set-aside-{epoch}-999"))))?;
        let to = dir.join(&name);
        let io = |error| StoreError::io(&to, &error);
        std::fs::create_dir(&to).map_err(io)?;
        for entry in std::fs::read_dir(dir).map_err(io)? {
            let entry = entry.map_err(io)?;
            let file = entry.file_name();
            let is_of_log = file.to_str().is_some_and(|file| file.starts_with("orion.") && file != LOCK_FILE);
            if is_of_log {
                std::fs::rename(entry.path(), to.join(&file)).map_err(io)?;
            }
        }
        drop(lock);
        Ok(name)
    }
}
