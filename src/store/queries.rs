//! The queries of the log, on one connection.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::chain::ChainLink;
use super::{checked, schema};
use crate::domain::{Killzone, Signal, SignalFilter, SignalId, SignalStatus, SourceName, Symbol};

/// Maximum number of rows that one query returns.
pub(super) const MAX_ROWS: usize = 1_000;
/// Maximum number of signals that a filter looks at for one page.
const MAX_FILTERED: usize = 10_000;
/// Up to this number of events since a cursor, sorting the changed signals is faster than scanning all signals.
const MAX_SORTED_EVENTS: u64 = 10_000;

/// The filters of a history query. `None` does not filter.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryQuery {
    /// The current state.
    pub status: Option<SignalStatus>,
    /// The instrument.
    pub symbol: Option<Symbol>,
    /// The window of the trading day.
    pub killzone: Option<Killzone>,
    /// Only signals that this admits in their current state.
    pub filter: Option<SignalFilter>,
    /// Only signals that changed after this.
    pub since: Option<Since>,
    /// Only signals that were created before the event with this number: the [`HistoryPage::next`] of the previous
    /// page.
    pub before: Option<u64>,
    /// Maximum number of signals on a page, 1–1,000.
    pub limit: usize,
}

/// A point in time or in the log, exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// After this event.
    Seq(u64),
    /// After this instant, by `updated_at`.
    Time(DateTime<Utc>),
}

/// A page of the history: current states of signals, newest created first. A filter that admits few signals may leave it
/// short, or empty, before the last page.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryPage {
    /// The signals.
    pub signals: Vec<Signal>,
    /// The `before` of the next page; `None` on the last page.
    pub next: Option<u64>,
}

/// One change of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRow {
    /// Number of the event.
    pub seq: u64,
    /// When it changed.
    pub at: DateTime<Utc>,
    /// The state after the change.
    pub status: SignalStatus,
    /// Why it was invalidated.
    pub reason: Option<String>,
    /// The source of the signal.
    pub source: SourceName,
}

/// Returns every pending signal, oldest first.
pub(super) fn pending(connection: &Connection) -> rusqlite::Result<Vec<Signal>> {
    let sql = checked::states("WHERE s.status = 'pending' ORDER BY s.first_seq");
    connection.prepare(&sql)?.query_map([], |row| Ok(checked::current(row)?.signal))?.collect()
}

/// Returns the current state of the signals that changed at or after `since`, oldest change first; the last `limit`.
pub(super) fn recent(
    connection: &Connection,
    since: DateTime<Utc>,
    limit: usize,
) -> rusqlite::Result<Vec<(u64, Signal)>> {
    let sql = checked::states("WHERE s.updated_at >= ?1 ORDER BY s.last_seq DESC LIMIT ?2");
    let parameters = (since.timestamp_millis(), limit);
    let event = |row: &Row<'_>| checked::current(row).map(|current| (current.last_seq, current.signal));
    let mut recent = connection.prepare(&sql)?.query_map(parameters, event)?.collect::<rusqlite::Result<Vec<_>>>()?;
    recent.reverse();
    Ok(recent)
}

/// Returns the events after `seq`, ascending.
pub(super) fn events_after(connection: &Connection, seq: u64, limit: usize) -> rusqlite::Result<Vec<(u64, Signal)>> {
    let sql = checked::events("WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2");
    let parameters = (integer(seq), limit.min(MAX_ROWS));
    connection.prepare_cached(&sql)?.query_map(parameters, checked::numbered)?.collect()
}

/// A change of a signal, and the number of the same signal's latest change.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalChange {
    /// Number of the event.
    pub seq: u64,
    /// The signal as it was after the event.
    pub signal: Signal,
    /// Number of the signal's latest event.
    pub latest: u64,
}

/// Returns the events after `seq`, ascending, each with the number of its signal's latest event.
pub(super) fn changes_after(connection: &Connection, seq: u64, limit: usize) -> rusqlite::Result<Vec<SignalChange>> {
    let latest = ", (SELECT max(seq) FROM signal_events WHERE signal_id = e.signal_id)";
    let sql = checked::events_and(latest, "WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2");
    let change = |row: &Row<'_>| {
        let (seq, signal) = checked::numbered(row)?;
        Ok(SignalChange { seq, signal, latest: row.get(10)? })
    };
    connection.prepare_cached(&sql)?.query_map((integer(seq), limit.min(MAX_ROWS)), change)?.collect()
}

/// Returns event `seq` as a link of the chain.
pub(super) fn link_at(connection: &Connection, seq: u64) -> rusqlite::Result<Option<ChainLink>> {
    let sql = "SELECT seq, hash FROM signal_events WHERE seq = ?1";
    connection.prepare_cached(sql)?.query_row([integer(seq)], schema::link).optional()
}

/// Returns the current state of the signals with these ids.
pub(super) fn find(connection: &Connection, ids: &[SignalId]) -> rusqlite::Result<HashMap<SignalId, Signal>> {
    let mut found = HashMap::new();
    for id in ids {
        if let Some(signal) = current(connection, id)? {
            found.insert(id.clone(), signal);
        }
    }
    Ok(found)
}

fn current(connection: &Connection, id: &SignalId) -> rusqlite::Result<Option<Signal>> {
    let sql = checked::states("WHERE s.id = ?1");
    connection.prepare_cached(&sql)?.query_row([id.as_str()], |row| Ok(checked::current(row)?.signal)).optional()
}

/// Returns the current state of a signal, and its last 1,000 changes, oldest first.
pub(super) fn life(connection: &Connection, id: &SignalId) -> rusqlite::Result<Option<(Signal, Vec<StateRow>)>> {
    let Some(signal) = current(connection, id)? else {
        return Ok(None);
    };
    let sql = checked::events("WHERE e.signal_id = ?1 ORDER BY e.seq DESC LIMIT ?2");
    let parameters = (id.as_str(), MAX_ROWS);
    let mut rows = connection
        .prepare_cached(&sql)?
        .query_map(parameters, state_row)?
        .collect::<rusqlite::Result<Vec<StateRow>>>()?;
    rows.reverse();
    Ok(Some((signal, rows)))
}

fn state_row(row: &Row<'_>) -> rusqlite::Result<StateRow> {
    let super::chain::EventRow { seq, at, status, reason, source, .. } = checked::event(row)?.row;
    Ok(StateRow {
        seq,
        at: time(1, at)?,
        status: serde_json::from_value(status.into()).map_err(|error| unreadable(4, error))?,
        reason: reason.map(str::to_owned),
        source: SourceName::new(source),
    })
}

/// Returns one page of the history.
pub(super) fn history(connection: &Connection, query: &HistoryQuery) -> rusqlite::Result<HistoryPage> {
    let recent = match query.since {
        Some(Since::Seq(seq)) => schema::head(connection)?.seq.saturating_sub(seq) <= MAX_SORTED_EVENTS,
        Some(Since::Time(_)) | None => true,
    };
    let (mut sql, mut parameters) = (checked::states("WHERE 1"), Vec::new());
    let mut only = |condition: &str, value: Option<Value>| {
        sql += condition;
        parameters.extend(value);
    };
    match query.status {
        // A literal, so that SQLite uses the partial index on pending signals.
        Some(SignalStatus::Pending) => only(" AND s.status = 'pending'", None),
        Some(ended) => only(" AND s.status = ?", Some(ended.name().to_owned().into())),
        None => {}
    }
    if let Some(symbol) = &query.symbol {
        only(" AND s.symbol = ?", Some(symbol.as_str().to_owned().into()));
    }
    if let Some(killzone) = query.killzone {
        only(" AND s.killzone = ?", Some(killzone.name().to_owned().into()));
    }
    match query.since {
        Some(Since::Seq(seq)) if recent => only(" AND s.last_seq > ?", Some(integer(seq).into())),
        // The `+` makes SQLite scan in the order of creation and stop at the end of the page, instead of sorting the
        // log.
        Some(Since::Seq(seq)) => only(" AND +s.last_seq > ?", Some(integer(seq).into())),
        Some(Since::Time(at)) => only(" AND s.updated_at > ?", Some(at.timestamp_millis().into())),
        None => {}
    }
    if let Some(before) = query.before {
        only(" AND s.first_seq < ?", Some(integer(before).into()));
    }
    let limit = query.limit.clamp(1, MAX_ROWS);
    let rows = if query.filter.is_some() { MAX_FILTERED } else { limit };
    // One additional row shows whether there is a next page.
    only(" ORDER BY s.first_seq DESC LIMIT ?", Some(Value::Integer(integer(rows as u64 + 1))));

    let mut statement = connection.prepare_cached(&sql)?;
    let mut page = HistoryPage { signals: Vec::new(), next: None };
    let mut last = None;
    for (index, current) in statement.query_map(params_from_iter(parameters), checked::current)?.enumerate() {
        if page.signals.len() == limit || index == rows {
            page.next = last;
            break;
        }
        let current = current?;
        last = Some(current.first_seq);
        if query.filter.as_ref().is_none_or(|filter| filter.admits(&current.signal)) {
            page.signals.push(current.signal);
        }
    }
    Ok(page)
}

pub(super) fn time(column: usize, millis: i64) -> rusqlite::Result<DateTime<Utc>> {
    DateTime::from_timestamp_millis(millis).ok_or(rusqlite::Error::IntegralValueOutOfRange(column, millis))
}

pub(super) fn unreadable(column: usize, error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}

/// Converts a number of a client to an integer of SQLite. A number out of range is greater than that of every event.
fn integer(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
