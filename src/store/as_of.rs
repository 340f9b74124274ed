//! The log as it was at an earlier time: a connection whose views hide everything younger.
//!
//! The views have the names of the tables and live in the connection's own schema, which SQLite searches first. So every
//! query of the read side is one about that time, also one that is added later.

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension};

use super::passing;
use super::queries::MAX_ROWS;
use crate::domain::{MessageType, RelayedMessage};

/// The end of what a delayed reader sees; it moves on.
#[derive(Debug)]
pub struct Cutoff(Mutex<CutoffState>);

#[derive(Debug, Clone, Copy)]
struct CutoffState {
    seq: u64,
    at: DateTime<Utc>,
    /// Where the bars of a recording end, by their own time; `None` where that is the wall clock's.
    recorded: Option<DateTime<Utc>>,
}

impl Cutoff {
    /// Returns a cutoff after event `seq`, and after what was stored at `at`.
    pub fn new(seq: u64, at: DateTime<Utc>) -> Self {
        Self(Mutex::new(CutoffState { seq, at, recorded: None }))
    }

    /// Returns the cutoff of a server that replays a recording: no bar is before it until [`set_recorded`](Self::set_recorded).
    #[must_use]
    pub fn of_recording(self) -> Self {
        self.0.lock().recorded = Some(DateTime::<Utc>::MIN_UTC);
        self
    }

    /// Moves the end of a recording's bars to the time of a price in it; never back.
    pub fn set_recorded(&self, at: DateTime<Utc>) {
        let mut cutoff = self.0.lock();
        cutoff.recorded = cutoff.recorded.map(|recorded| recorded.max(at));
    }

    /// Moves the cutoff to event `seq`; never back.
    pub fn set_seq(&self, seq: u64) {
        let mut cutoff = self.0.lock();
        cutoff.seq = cutoff.seq.max(seq);
    }

    /// Moves the cutoff to what was stored at `at`; never back.
    pub fn set_time(&self, at: DateTime<Utc>) {
        let mut cutoff = self.0.lock();
        cutoff.at = cutoff.at.max(at);
    }

    /// Returns the time of the cutoff.
    pub fn time(&self) -> DateTime<Utc> {
        self.0.lock().at
    }

    /// Tells a connection with the views where they end.
    pub(super) fn apply(&self, connection: &Connection) -> rusqlite::Result<()> {
        let CutoffState { seq, at, recorded } = *self.0.lock();
        let bars = recorded.map_or(at, |recorded| recorded.min(at));
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        // Records are a chain, so they are cut behind the last one that is old enough.
        let mut set = connection.prepare_cached(
            "UPDATE temp.cutoff SET seq = ?1, at = ?2, bars = ?3, record = coalesce( \
             (SELECT o.seq FROM main.outcomes o WHERE o.stored_at <= ?2 ORDER BY o.seq DESC LIMIT 1), 0)",
        )?;
        set.execute((seq, at.timestamp_millis(), bars.timestamp_millis())).map(drop)
    }
}

/// What a signal was at the cutoff is the body of its last event up to there.
const VIEWS: &str = "
CREATE TEMP TABLE cutoff (seq INTEGER NOT NULL, at INTEGER NOT NULL, bars INTEGER NOT NULL, record INTEGER NOT NULL) STRICT;
INSERT INTO cutoff VALUES (0, 0, 0, 0);
CREATE TEMP VIEW signal_events AS SELECT * FROM main.signal_events WHERE seq <= (SELECT seq FROM temp.cutoff);
CREATE TEMP VIEW signals AS SELECT s.first_seq,
  CASE WHEN s.last_seq <= (SELECT seq FROM temp.cutoff) THEN s.last_seq ELSE
    (SELECT max(e.seq) FROM temp.signal_events e WHERE e.signal_id = s.id) END AS last_seq,
  s.id,
  CASE WHEN s.last_seq <= (SELECT seq FROM temp.cutoff) THEN s.status ELSE
    (SELECT e.status FROM temp.signal_events e WHERE e.signal_id = s.id ORDER BY e.seq DESC LIMIT 1) END AS status,
  s.symbol,
  CASE WHEN s.last_seq <= (SELECT seq FROM temp.cutoff) THEN s.killzone ELSE
    (SELECT e.body ->> '$.killzone' FROM temp.signal_events e WHERE e.signal_id = s.id ORDER BY e.seq DESC LIMIT 1)
    END AS killzone,
  CASE WHEN s.last_seq <= (SELECT seq FROM temp.cutoff) THEN s.updated_at ELSE
    (SELECT e.at FROM temp.signal_events e WHERE e.signal_id = s.id ORDER BY e.seq DESC LIMIT 1) END AS updated_at
  FROM main.signals s WHERE s.last_seq <= (SELECT seq FROM temp.cutoff)
    OR EXISTS (SELECT 1 FROM temp.signal_events e WHERE e.signal_id = s.id);
CREATE TEMP VIEW outcomes AS SELECT * FROM main.outcomes WHERE seq <= (SELECT record FROM temp.cutoff);
CREATE TEMP VIEW tree AS SELECT * FROM main.tree
  WHERE event <= (SELECT seq FROM temp.cutoff) AND record <= (SELECT record FROM temp.cutoff);
CREATE TEMP VIEW open_outcomes AS SELECT s.id AS signal_id, NULL AS body, NULL AS hash FROM temp.signals s
  WHERE s.status = 'confirmed' AND NOT EXISTS (SELECT 1 FROM temp.outcomes o WHERE o.signal_id = s.id)
    AND (EXISTS (SELECT 1 FROM main.open_outcomes o WHERE o.signal_id = s.id)
      OR EXISTS (SELECT 1 FROM main.outcomes o WHERE o.signal_id = s.id));
CREATE TEMP VIEW bars AS SELECT * FROM main.bars WHERE opened_at + 60000 <= (SELECT bars FROM temp.cutoff);
CREATE TEMP VIEW published AS SELECT * FROM main.published WHERE at <= (SELECT at FROM temp.cutoff);
";

/// Creates the views of a connection. [`Cutoff::apply`] comes before each query.
pub(super) fn create_views(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(VIEWS)
}

/// Entries of the log that were stored at about the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredGroup {
    /// The number of the last one.
    pub last: u64,
    /// When the last one was stored.
    pub at: DateTime<Utc>,
}

/// Returns the number of the last event that was stored at `at` or before.
pub(super) fn last_event_at(connection: &Connection, at: DateTime<Utc>) -> rusqlite::Result<u64> {
    let sql = "SELECT seq FROM signal_events WHERE stored_at <= ?1 ORDER BY seq DESC LIMIT 1";
    let found = connection.query_row(sql, [at.timestamp_millis()], |row| row.get(0)).optional()?;
    found.map_or_else(|| Ok(super::schema::anchor(connection)?.seq), Ok)
}

/// Returns the events after `seq`, and the ordered messages stored after `since`, in groups of `step` milliseconds.
pub(super) fn groups_after(
    connection: &Connection,
    (seq, since): (u64, DateTime<Utc>),
    step: i64,
) -> rusqlite::Result<[Vec<StoredGroup>; 2]> {
    let group =
        |row: &rusqlite::Row<'_>| Ok(StoredGroup { last: row.get(0)?, at: super::queries::time(1, row.get(1)?)? });
    let read = |sql: &str, after: i64| -> rusqlite::Result<Vec<StoredGroup>> {
        connection.prepare(sql)?.query_map((after, step), group)?.collect()
    };
    let events = "SELECT max(seq), max(stored_at) FROM signal_events WHERE seq > ?1 GROUP BY stored_at / ?2 ORDER BY 1";
    let messages = "SELECT max(seq), max(at) FROM published WHERE key IS NULL AND at > ?1 GROUP BY at / ?2 ORDER BY 1";
    Ok([read(events, i64::try_from(seq).unwrap_or(i64::MAX))?, read(messages, since.timestamp_millis())?])
}

/// Returns the ordered messages after `seq` up to `last`, oldest first.
pub(super) fn messages_after(
    connection: &Connection,
    (seq, last): (u64, u64),
    message_type: fn(&str) -> Option<MessageType>,
) -> rusqlite::Result<Vec<RelayedMessage>> {
    let number = |seq: u64| i64::try_from(seq).unwrap_or(i64::MAX);
    let rest = "WHERE key IS NULL AND seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3";
    passing::ordered(connection, rest, (number(seq), number(last), MAX_ROWS), message_type)
}
