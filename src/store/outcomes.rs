//! The records of confirmed signals, in a chain of their own: one row for each signal, written once. A second table has
//! the progress of open records.
//!
//! A signal's confirmation and its open record are committed together, and so are its final record and the removal of
//! the open one. Every confirmed signal therefore has exactly one of the two at any time. The simulator's signals have
//! neither.

use std::path::Path;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row};

use super::chain::{ChainLink, Chained, RecordRow, open_hash};
use super::error::StoreError;
use super::queries::unreadable;
use super::row::{DamagedRow, damaged_row};
use super::tree::{Entry, TreeEnd};
use super::{checked, meta, schema};
use crate::domain::{Progress, Signal, SignalId, SourceName, Symbol, TradeOutcome};

/// Maximum number of records that one query returns, the newest ones: far more than those of a year.
const MAX_RECORDS: usize = 100_000;
/// Maximum number of records that one transaction prunes.
const MAX_PRUNED_AT_ONCE: usize = 250;
/// The two keys of `meta` for the last pruned record.
const ANCHOR: [&str; 2] = ["outcome_anchor_seq", "outcome_anchor_hash"];

/// Appends records after `head`, to the tree as well. A second record of a signal is ignored. Returns the new head.
pub(super) fn append<'a>(
    transaction: &Connection,
    head: ChainLink,
    tree: &mut TreeEnd,
    outcomes: impl Iterator<Item = &'a TradeOutcome>,
    stored_at: DateTime<Utc>,
) -> rusqlite::Result<ChainLink> {
    let mut head = head;
    for outcome in outcomes {
        let body = json(outcome)?;
        head = insert(transaction, head, tree, |seq| RecordRow {
            seq,
            closed_at: outcome.closed_at.timestamp_millis(),
            stored_at: stored_at.timestamp_millis(),
            taken_over: false,
            signal_id: outcome.signal.as_str(),
            body: &body,
        })?;
        let mut end = transaction.prepare_cached("DELETE FROM open_outcomes WHERE signal_id = ?1")?;
        end.execute([outcome.signal.as_str()])?;
    }
    Ok(head)
}

fn insert<'a>(
    transaction: &Connection,
    head: ChainLink,
    tree: &mut TreeEnd,
    record: impl Fn(u64) -> RecordRow<'a>,
) -> rusqlite::Result<ChainLink> {
    let record = record(head.seq + 1);
    let mut statement = transaction.prepare_cached(
        "INSERT INTO outcomes (seq, signal_id, closed_at, stored_at, taken_over, body, hash) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (signal_id) DO NOTHING",
    )?;
    let RecordRow { seq, closed_at, stored_at, taken_over, signal_id, body } = record;
    let hash = record.hash(&head.hash);
    let written = statement.execute((seq, signal_id, closed_at, stored_at, taken_over, body, hash))?;
    if written == 0 {
        return Ok(head);
    }
    tree.append(transaction, Entry::Record(seq), &record.leaf())?;
    Ok(ChainLink { seq, hash })
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// Opens the record of a signal that has just been confirmed.
pub(super) fn begin(transaction: &Connection, signal: &Signal) -> rusqlite::Result<()> {
    if signal.source.as_str() == SourceName::SIMULATOR {
        return Ok(());
    }
    let mut statement = transaction.prepare_cached(
        "INSERT OR IGNORE INTO open_outcomes (signal_id) \
         SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM outcomes WHERE signal_id = ?1)",
    )?;
    statement.execute([signal.id.as_str()]).map(drop)
}

/// Stores the progress of open records.
pub(super) fn update_open<'a>(
    transaction: &Connection,
    open: impl Iterator<Item = &'a (SignalId, Progress)>,
) -> rusqlite::Result<()> {
    for (id, progress) in open {
        set_open(transaction, id.as_str(), Some(&json(progress)?))?;
    }
    Ok(())
}

/// Removes the records after `head`, and adjusts the open records to the signals, whose events were rewound before.
pub(super) fn rewind(transaction: &Connection, head: ChainLink) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM outcomes WHERE seq > ?1", [head.seq])?;
    transaction.execute(
        "DELETE FROM open_outcomes WHERE NOT EXISTS \
         (SELECT 1 FROM signals WHERE id = signal_id AND status = 'confirmed')",
        [],
    )?;
    begin_missing(transaction)
}

/// Opens the record of every confirmed signal that has none.
pub(super) fn begin_missing(transaction: &Connection) -> rusqlite::Result<()> {
    let sql = format!("INSERT OR IGNORE INTO open_outcomes (signal_id) SELECT s.id {WITHOUT_RECORD}");
    transaction.execute(&sql, []).map(drop)
}

/// Calls `visit` with the signal and the progress of every open record; with an error for a damaged one.
pub(super) fn for_each_open(
    connection: &Connection,
    mut visit: impl FnMut(rusqlite::Result<(String, Option<String>)>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT signal_id, body, hash FROM open_outcomes")?;
    let mut rows = statement.query([])?;
    let read = |row: &Row<'_>| -> rusqlite::Result<(String, Option<String>)> {
        let (id, body, hash) =
            (row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, Option<Vec<u8>>>(2)?);
        if body.as_deref().map(|body| open_hash(&id, body).to_vec()) != hash {
            return Err(DamagedRow { table: "open_outcomes", key: id }.into());
        }
        Ok((id, body))
    };
    while let Some(row) = rows.next()? {
        visit(read(row))?;
    }
    Ok(())
}

/// Stores the progress of a signal's record, if it is open.
pub(super) fn set_open(transaction: &Connection, id: &str, body: Option<&str>) -> rusqlite::Result<()> {
    let mut statement =
        transaction.prepare_cached("UPDATE open_outcomes SET body = ?2, hash = ?3 WHERE signal_id = ?1")?;
    statement.execute((id, body, body.map(|body| open_hash(id, body)))).map(drop)
}

/// Stores the last pruned record.
pub(super) fn set_anchor(transaction: &Connection, anchor: ChainLink) -> rusqlite::Result<()> {
    meta::set_link(transaction, ANCHOR, anchor)
}

/// The rest of a `SELECT` for confirmed signals without a record.
const WITHOUT_RECORD: &str = "FROM signals s JOIN signal_events e ON e.seq = s.last_seq \
     WHERE s.status = 'confirmed' AND e.source <> 'simulator' \
     AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.signal_id = s.id)";

/// Calls `visit` with each record in the order in which they ended; with the newest [`MAX_RECORDS`] at most.
pub(super) fn for_each(connection: &Connection, mut visit: impl FnMut(TradeOutcome)) -> rusqlite::Result<()> {
    let count: usize = connection.prepare_cached("SELECT count(*) FROM outcomes")?.query_row([], |row| row.get(0))?;
    let sql = checked::records("ORDER BY o.closed_at, o.signal_id LIMIT -1 OFFSET ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut records = statement.query_map([count.saturating_sub(MAX_RECORDS)], checked::record)?;
    records.try_for_each(|record| {
        visit(record?);
        Ok(())
    })
}

/// Returns the record of a signal.
pub(super) fn of(connection: &Connection, id: &SignalId) -> rusqlite::Result<Option<TradeOutcome>> {
    let mut statement = connection.prepare_cached(&checked::records("WHERE o.signal_id = ?1"))?;
    statement.query_map([id.as_str()], checked::record)?.next().transpose()
}

/// Returns the records after number `seq`, ascending.
pub(super) fn after(connection: &Connection, seq: u64, limit: usize) -> rusqlite::Result<Vec<(u64, TradeOutcome)>> {
    let mut statement = connection.prepare_cached(&checked::records("WHERE o.seq > ?1 ORDER BY o.seq LIMIT ?2"))?;
    let numbered = |row: &Row<'_>| Ok((row.get(0)?, checked::record(row)?));
    statement.query_map((seq, limit), numbered)?.collect()
}

/// Returns a statement on open records for [`checked::current`], with three more columns.
fn open_records(rest: &str) -> String {
    checked::states_and(", o.signal_id, o.body, o.hash", &format!("JOIN open_outcomes o ON o.signal_id = s.id {rest}"))
}

/// Returns the signals whose record is open, oldest confirmation first, and its progress.
pub(super) fn open(connection: &Connection) -> rusqlite::Result<Vec<(Signal, Option<Progress>)>> {
    let orphan = "SELECT signal_id FROM open_outcomes WHERE NOT EXISTS (SELECT 1 FROM signals WHERE id = signal_id)";
    if let Some(key) = connection.query_row(orphan, [], |row| row.get(0)).optional()? {
        return Err(DamagedRow { table: "open_outcomes", key }.into());
    }
    let both = |row: &Row<'_>| {
        let signal = checked::current(row)?.signal;
        let (id, kept, hash) =
            (row.get_ref(18)?.as_str()?, row.get_ref(19)?.as_str_or_null()?, row.get_ref(20)?.as_blob_or_null()?);
        if kept.map(|kept| open_hash(id, kept)).as_ref().map(|hash| &hash[..]) != hash {
            return Err(DamagedRow { table: "open_outcomes", key: id.to_owned() }.into());
        }
        let progress = kept.map(|kept| serde_json::from_str(kept).map_err(|error| unreadable(19, error)));
        Ok((signal, progress.transpose()?))
    };
    connection.prepare(&open_records("ORDER BY s.last_seq"))?.query_map([], both)?.collect()
}

/// Returns symbol and source of the signals whose record is open.
pub(super) fn open_of(connection: &Connection) -> rusqlite::Result<Vec<(Symbol, SourceName)>> {
    let both = |row: &Row<'_>| {
        let Signal { symbol, source, .. } = checked::current(row)?.signal;
        Ok((symbol, source))
    };
    connection.prepare_cached(&open_records(""))?.query_map([], both)?.collect()
}

/// Removes some of the oldest records that were stored before `kept_since` and whose signals are pruned. Returns how
/// many.
pub(super) fn prune(transaction: &Connection, kept_since: DateTime<Utc>) -> rusqlite::Result<u64> {
    let anchor = anchor(transaction)?;
    let mut oldest = transaction.prepare_cached(
        "SELECT seq, hash, stored_at, EXISTS (SELECT 1 FROM signals WHERE id = signal_id) FROM outcomes \
         WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?;
    let mut rows = oldest.query((anchor.seq, MAX_PRUNED_AT_ONCE))?;
    let mut last = anchor;
    while let Some(row) = rows.next()? {
        let (stored_at, has_signal): (i64, bool) = (row.get(2)?, row.get(3)?);
        if has_signal || stored_at >= kept_since.timestamp_millis() {
            break;
        }
        last = schema::link(row)?;
    }
    if last != anchor {
        transaction.prepare_cached("DELETE FROM outcomes WHERE seq <= ?1")?.execute([last.seq])?;
        set_anchor(transaction, last)?;
    }
    Ok(last.seq - anchor.seq)
}

/// Returns the last pruned record; the start of the chain when none was pruned.
pub(super) fn anchor(connection: &Connection) -> rusqlite::Result<ChainLink> {
    meta::link(connection, ANCHOR)
}

/// Returns the newest record.
pub(super) fn head(connection: &Connection) -> rusqlite::Result<ChainLink> {
    let newest = "SELECT seq, hash FROM outcomes ORDER BY seq DESC LIMIT 1";
    match connection.prepare_cached(newest)?.query_row([], schema::link).optional()? {
        Some(head) => Ok(head),
        None => anchor(connection),
    }
}

/// Returns record `seq` as a link of the chain.
pub(super) fn link_at(connection: &Connection, seq: u64) -> rusqlite::Result<Option<ChainLink>> {
    let sql = "SELECT seq, hash FROM outcomes WHERE seq = ?1";
    connection.prepare_cached(sql)?.query_row([seq], schema::link).optional()
}

/// The result of [`check`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Checked {
    pub(super) head: ChainLink,
    pub(super) taken_over: u64,
    pub(super) open: u64,
}

/// Checks the newest records, `most` at most, and all open records.
pub(super) fn check(connection: &Connection, file: &Path, most: u64) -> Result<Checked, StoreError> {
    let sqlite = |error| StoreError::sqlite(file, &error);
    let (anchor, head) = (anchor(connection).map_err(sqlite)?, head(connection).map_err(sqlite)?);
    let from = head.seq.saturating_sub(most);
    let from = if from <= anchor.seq { anchor } else { link_at(connection, from).map_err(sqlite)?.unwrap_or(anchor) };
    let (head, taken_over) = walk(connection, file, from)?;
    let open = check_open(connection, file)?;
    Ok(Checked { head, taken_over, open })
}

/// Checks all records after `from`. Returns the last one, and how many of them are older than the chain.
fn walk(connection: &Connection, file: &Path, from: ChainLink) -> Result<(ChainLink, u64), StoreError> {
    let sqlite = |error| StoreError::sqlite(file, &error);
    let sql =
        "SELECT seq, closed_at, stored_at, taken_over, signal_id, body, hash FROM outcomes WHERE seq > ?1 ORDER BY seq";
    let mut statement = connection.prepare_cached(sql).map_err(sqlite)?;
    let mut rows = statement.query([from.seq]).map_err(sqlite)?;
    let (mut link, mut taken_over) = (from, 0);
    while let Some(row) = rows.next().map_err(sqlite)? {
        let broken = |what: String| StoreError::BrokenRecord(format!("record {}: {what}", link.seq + 1));
        let (record, stored) = checked::stored_record(row).map_err(|error| broken(error.to_string()))?;
        link = match link.follow(&record, stored) {
            Ok(next) => next,
            Err(what) if record.seq == link.seq + 1 => {
                return Err(broken(format!("{what}; it is that of signal {}", record.signal_id)));
            }
            Err(what) => return Err(StoreError::BrokenRecord(what)),
        };
        taken_over += u64::from(record.taken_over);
    }
    Ok((link, taken_over))
}

/// Checks the stored progress of all open records. Returns how many there are.
fn check_open(connection: &Connection, file: &Path) -> Result<u64, StoreError> {
    let mut open = 0;
    let checked = for_each_open(connection, |read| {
        open += 1;
        read.map(drop)
    });
    checked.map_err(|error| match damaged_row(&error) {
        Some(DamagedRow { key, .. }) => {
            StoreError::BrokenRecord(format!("the open record of signal {key} is not what was written"))
        }
        None => StoreError::sqlite(file, &error),
    })?;
    Ok(open)
}

/// Checks that every confirmed signal has a record or an open one, and that every record belongs to a confirmed signal.
pub(super) fn check_whole(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    let sqlite = |error| StoreError::sqlite(file, &error);
    let without = format!(
        "SELECT s.id {WITHOUT_RECORD} AND NOT EXISTS (SELECT 1 FROM open_outcomes o WHERE o.signal_id = s.id) \
         ORDER BY s.last_seq LIMIT 1"
    );
    let id = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0)).optional().map_err(sqlite);
    if let Some(id) = id(&without)? {
        let what = format!("signal {id} was confirmed, and has neither a record nor an open one");
        return Err(StoreError::BrokenRecord(what));
    }
    // The signal may have been pruned with its events.
    let all_there = schema::anchor(connection).map_err(sqlite)? == ChainLink::START;
    let signal = if all_there { "s.status IS NOT 'confirmed'" } else { "s.status <> 'confirmed'" };
    let sql = format!(
        "SELECT o.signal_id FROM outcomes o LEFT JOIN signals s ON s.id = o.signal_id WHERE {signal} ORDER BY o.seq LIMIT 1"
    );
    id(&sql)?.map_or(Ok(()), |id| {
        Err(StoreError::BrokenRecord(format!("there is a record of signal {id}, which was not confirmed")))
    })
}
