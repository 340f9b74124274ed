//! What is asked of the log, as statements on one connection.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::chain::Link;
use super::schema;
use crate::domain::{Bar, BarInterval, Killzone, Signal, SignalId, SignalStatus, SourceName, Symbol, aggregate};

/// Most rows that one question returns.
const MAX_ROWS: usize = 1_000;
/// Up to so many events, it is quicker to sort what changed since a cursor than to look for it among all signals.
const SORTED_EVENTS: u64 = 10_000;

/// Which signals of the history are asked for. Everything that is `None` is not asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryQuery {
    /// In this state now.
    pub status: Option<SignalStatus>,
    /// Of this instrument.
    pub symbol: Option<Symbol>,
    /// Of this window of the trading day.
    pub killzone: Option<Killzone>,
    /// Changed after this.
    pub since: Option<Since>,
    /// Created before the event with this number: the [`Page::next`] of the page before.
    pub before: Option<u64>,
    /// Most signals of a page, 1–1,000.
    pub limit: usize,
}

/// A place in time or in the log; both exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// After this event.
    Seq(u64),
    /// After this instant, by `updated_at`.
    Time(DateTime<Utc>),
}

/// Some signals of the history, newest created first, each as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The signals.
    pub signals: Vec<Signal>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<u64>,
}

/// One change of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRow {
    /// Number of the event.
    pub seq: u64,
    /// When it changed.
    pub at: DateTime<Utc>,
    /// The state from then on.
    pub status: SignalStatus,
    /// Why it was invalidated.
    pub reason: Option<String>,
    /// Who had sent it.
    pub source: SourceName,
}

/// Every signal that has not ended, oldest first.
pub(super) fn pending(connection: &Connection) -> rusqlite::Result<Vec<Signal>> {
    let sql = "SELECT e.body FROM signals s JOIN signal_events e ON e.seq = s.last_seq \
               WHERE s.status = 'pending' ORDER BY s.first_seq";
    connection.prepare(sql)?.query_map([], |row| signal(row, 0))?.collect()
}

/// The signals changed since `since`, as they are now, oldest change first; the last `limit`.
pub(super) fn recent(
    connection: &Connection,
    since: DateTime<Utc>,
    limit: usize,
) -> rusqlite::Result<Vec<(u64, Signal)>> {
    let sql = "SELECT e.seq, e.body FROM signals s JOIN signal_events e ON e.seq = s.last_seq \
               WHERE s.updated_at >= ?1 ORDER BY s.last_seq DESC LIMIT ?2";
    let parameters = (since.timestamp_millis(), limit);
    let mut recent = connection.prepare(sql)?.query_map(parameters, event)?.collect::<rusqlite::Result<Vec<_>>>()?;
    recent.reverse();
    Ok(recent)
}

/// The events after `seq`, ascending.
pub(super) fn events_after(connection: &Connection, seq: u64, limit: usize) -> rusqlite::Result<Vec<(u64, Signal)>> {
    let sql = "SELECT seq, body FROM signal_events WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let parameters = (integer(seq), limit.min(MAX_ROWS));
    connection.prepare_cached(sql)?.query_map(parameters, event)?.collect()
}

/// A change of a signal, and the number of the latest change of the same signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Number of the event.
    pub seq: u64,
    /// The signal as it was after the event.
    pub signal: Signal,
    /// Number of the signal's latest event.
    pub latest: u64,
}

/// The events after `seq`, ascending, each with the number of its signal's latest one.
pub(super) fn changes_after(connection: &Connection, seq: u64, limit: usize) -> rusqlite::Result<Vec<Change>> {
    let sql = "SELECT e.seq, e.body, s.last_seq FROM signal_events e JOIN signals s ON s.id = e.signal_id \
               WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2";
    let change = |row: &Row<'_>| {
        let (seq, signal) = event(row)?;
        Ok(Change { seq, signal, latest: row.get(2)? })
    };
    connection.prepare_cached(sql)?.query_map((integer(seq), limit.min(MAX_ROWS)), change)?.collect()
}

/// Event `seq` as a link of the chain.
pub(super) fn link_at(connection: &Connection, seq: u64) -> rusqlite::Result<Option<Link>> {
    let sql = "SELECT seq, hash FROM signal_events WHERE seq = ?1";
    connection.prepare_cached(sql)?.query_row([integer(seq)], schema::link).optional()
}

/// The signals with these ids, as they are now.
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
    let sql = "SELECT e.body FROM signals s JOIN signal_events e ON e.seq = s.last_seq WHERE s.id = ?1";
    connection.prepare_cached(sql)?.query_row([id.as_str()], |row| signal(row, 0)).optional()
}

/// A signal as it is now, and its last 1,000 changes, oldest first.
pub(super) fn life(connection: &Connection, id: &SignalId) -> rusqlite::Result<Option<(Signal, Vec<StateRow>)>> {
    let Some(signal) = current(connection, id)? else {
        return Ok(None);
    };
    let sql = "SELECT seq, at, status, reason, source FROM signal_events WHERE signal_id = ?1 \
               ORDER BY seq DESC LIMIT ?2";
    let parameters = (id.as_str(), MAX_ROWS);
    let mut rows = connection
        .prepare_cached(sql)?
        .query_map(parameters, state_row)?
        .collect::<rusqlite::Result<Vec<StateRow>>>()?;
    rows.reverse();
    Ok(Some((signal, rows)))
}

fn state_row(row: &Row<'_>) -> rusqlite::Result<StateRow> {
    let (at, status, source): (i64, String, String) = (row.get(1)?, row.get(2)?, row.get(4)?);
    Ok(StateRow {
        seq: row.get(0)?,
        at: time(1, at)?,
        status: serde_json::from_value(status.into()).map_err(|error| unreadable(2, error))?,
        reason: row.get(3)?,
        source: SourceName::new(&source),
    })
}

/// One page of the history.
pub(super) fn history(connection: &Connection, query: &HistoryQuery) -> rusqlite::Result<Page> {
    let recent = match query.since {
        Some(Since::Seq(seq)) => schema::head(connection)?.seq.saturating_sub(seq) <= SORTED_EVENTS,
        Some(Since::Time(_)) | None => true,
    };
    let (mut sql, mut parameters) = (
        String::from("SELECT s.first_seq, e.body FROM signals s JOIN signal_events e ON e.seq = s.last_seq WHERE 1"),
        Vec::new(),
    );
    let mut only = |condition: &str, value: Option<Value>| {
        sql += condition;
        parameters.extend(value);
    };
    match query.status {
        // Spelled out, so that the index over the pending ones is used.
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
        // With a plus, SQLite goes by the order of creation, and stops at the end of the page instead of sorting the log.
        Some(Since::Seq(seq)) => only(" AND +s.last_seq > ?", Some(integer(seq).into())),
        Some(Since::Time(at)) => only(" AND s.updated_at > ?", Some(at.timestamp_millis().into())),
        None => {}
    }
    if let Some(before) = query.before {
        only(" AND s.first_seq < ?", Some(integer(before).into()));
    }
    let limit = query.limit.clamp(1, MAX_ROWS);
    // One more than asked for tells whether there is a next page.
    only(" ORDER BY s.first_seq DESC LIMIT ?", Some(Value::Integer(integer(limit as u64 + 1))));

    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query_map(params_from_iter(parameters), event)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(first_seq, _)| *first_seq);
    Ok(Page { signals: found.into_iter().map(|(_, signal)| signal).collect(), next })
}

/// The last `limit` bars of an interval, oldest first.
pub(super) fn bars(
    connection: &Connection,
    symbol: &Symbol,
    interval: BarInterval,
    limit: usize,
) -> rusqlite::Result<Vec<Bar>> {
    let sql = "SELECT opened_at, open, high, low, close, volume, simulated FROM bars WHERE symbol = ?1 ORDER BY opened_at DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([symbol.as_str()])?;
    let (mut minutes, mut intervals, mut last) = (Vec::new(), 0, None);
    while let Some(row) = rows.next()? {
        let minute = bar(row, symbol)?;
        let opened_at = Some(interval.floor(minute.opened_at));
        // Markets close: the last bars are counted, not reckoned back from the newest.
        if last != opened_at {
            if intervals == limit.min(MAX_ROWS) {
                break;
            }
            (intervals, last) = (intervals + 1, opened_at);
        }
        minutes.push(minute);
    }
    minutes.reverse();
    Ok(aggregate(minutes, interval))
}

/// The minutes opened since `since` of every symbol, oldest first; only those after its last invented price.
pub(super) fn real_minutes(connection: &Connection, since: DateTime<Utc>) -> rusqlite::Result<Vec<Bar>> {
    let sql = "SELECT opened_at, open, high, low, close, volume, simulated, symbol FROM bars \
               WHERE opened_at >= ?1 ORDER BY symbol, opened_at";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([since.timestamp_millis()])?;
    let (mut minutes, mut first_of_symbol): (Vec<Bar>, usize) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let minute = bar(row, &Symbol::new(row.get_ref(7)?.as_str()?))?;
        if minutes.last().is_some_and(|last| last.symbol != minute.symbol) {
            first_of_symbol = minutes.len();
        }
        if minute.simulated {
            minutes.truncate(first_of_symbol);
        } else {
            minutes.push(minute);
        }
    }
    Ok(minutes)
}

fn bar(row: &Row<'_>, symbol: &Symbol) -> rusqlite::Result<Bar> {
    Ok(Bar {
        symbol: symbol.clone(),
        opened_at: time(0, row.get(0)?)?,
        open: row.get(1)?,
        high: row.get(2)?,
        low: row.get(3)?,
        close: row.get(4)?,
        volume: row.get(5)?,
        simulated: row.get(6)?,
    })
}

fn event(row: &Row<'_>) -> rusqlite::Result<(u64, Signal)> {
    Ok((row.get(0)?, signal(row, 1)?))
}

pub(super) fn signal(row: &Row<'_>, column: usize) -> rusqlite::Result<Signal> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| unreadable(column, error))
}

fn time(column: usize, millis: i64) -> rusqlite::Result<DateTime<Utc>> {
    DateTime::from_timestamp_millis(millis).ok_or(rusqlite::Error::IntegralValueOutOfRange(column, millis))
}

pub(super) fn unreadable(column: usize, error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}

/// A number that a client may have sent, as `SQLite` counts: what is out of range is beyond every event.
fn integer(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
