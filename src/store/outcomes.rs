//! Records of what became of confirmed signals. One for each signal, written once.

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::queries::{signal, unreadable};
use crate::domain::{Outcome, Signal, SignalId};

/// Most records that one question returns, the newest: far more than a year's.
const MAX_RECORDS: usize = 100_000;
/// Most signals whose records are gone on with.
const MAX_OPEN: usize = 1_000;
/// Records that one transaction prunes.
const PRUNED_AT_ONCE: usize = 250;

/// Writes records. Another one of the same signal is not taken.
pub(super) fn append<'a>(
    transaction: &Connection,
    outcomes: impl Iterator<Item = &'a Outcome>,
    stored_at: DateTime<Utc>,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR IGNORE INTO outcomes (signal_id, closed_at, stored_at, body) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for outcome in outcomes {
        let body =
            serde_json::to_string(outcome).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let (closed_at, stored_at) = (outcome.closed_at.timestamp_millis(), stored_at.timestamp_millis());
        statement.execute((outcome.signal.as_str(), closed_at, stored_at, body))?;
    }
    Ok(())
}

/// All records, in the order in which they ended.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Outcome>> {
    let sql = "SELECT body FROM outcomes ORDER BY closed_at DESC, signal_id DESC LIMIT ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut all = statement.query_map([MAX_RECORDS], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    all.reverse();
    Ok(all)
}

/// The record of one signal.
pub(super) fn of(connection: &Connection, id: &SignalId) -> rusqlite::Result<Option<Outcome>> {
    let mut statement = connection.prepare_cached("SELECT body FROM outcomes WHERE signal_id = ?1")?;
    statement.query_map([id.as_str()], read)?.next().transpose()
}

/// Signals confirmed since `since` that have no record yet, oldest first.
pub(super) fn open(connection: &Connection, since: DateTime<Utc>) -> rusqlite::Result<Vec<Signal>> {
    let sql = "SELECT e.body FROM signals s JOIN signal_events e ON e.seq = s.last_seq \
               WHERE s.updated_at >= ?1 AND s.status = 'confirmed' \
               AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.signal_id = s.id) ORDER BY s.last_seq LIMIT ?2";
    connection.prepare(sql)?.query_map((since.timestamp_millis(), MAX_OPEN), |row| signal(row, 0))?.collect()
}

/// Removes some of the oldest records when they were stored before `kept_since`; returns how many.
pub(super) fn prune(transaction: &Connection, kept_since: DateTime<Utc>) -> rusqlite::Result<u64> {
    let mut statement = transaction.prepare_cached(
        "DELETE FROM outcomes WHERE signal_id IN \
         (SELECT signal_id FROM outcomes WHERE stored_at < ?1 ORDER BY stored_at LIMIT ?2)",
    )?;
    statement.execute((kept_since.timestamp_millis(), PRUNED_AT_ONCE)).map(|removed| removed as u64)
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Outcome> {
    serde_json::from_str(row.get_ref(0)?.as_str()?).map_err(|error| unreadable(0, error))
}
