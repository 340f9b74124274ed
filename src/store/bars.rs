//! One-minute bars. A damaged bar is skipped, counted and logged; the others are served.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row};

use super::queries::{MAX_ROWS, time};
use super::row;
use crate::domain::{Bar, BarInterval, Symbol, aggregate};

/// The table.
pub(super) const TABLE: &str = "bars";
/// Maximum number of rows that one transaction prunes for each symbol.
const MAX_PRUNED_AT_ONCE: usize = 250;
/// The span of time of which [`next_minutes`] returns the bars of all symbols.
const PAGE: TimeDelta = TimeDelta::minutes(15);

/// Bars that were read.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct BarsRead {
    /// The intact bars.
    pub(super) bars: Vec<Bar>,
    /// The number of damaged bars, which were skipped.
    pub(super) damaged: u64,
}

/// Stores one-minute bars. Two bars of the same minute are merged: both contribute to its extremes.
///
/// Returns how many stored bars were damaged and replaced.
pub(super) fn save(transaction: &Connection, bars: &[Bar]) -> rusqlite::Result<u64> {
    let mut stored = transaction.prepare_cached(
        "SELECT symbol, opened_at, open, high, low, close, volume, simulated, checksum FROM bars \
         WHERE symbol = ?1 AND opened_at = ?2",
    )?;
    let mut damaged = 0;
    for bar in bars {
        let known = stored.query_row((bar.symbol.as_str(), bar.opened_at.timestamp_millis()), |row| Ok(read(row)));
        let joined = match known.optional()? {
            Some(Ok(known)) => Bar {
                open: known.open,
                high: known.high.max(bar.high),
                low: known.low.min(bar.low),
                volume: known.volume.max(bar.volume),
                simulated: known.simulated || bar.simulated,
                ..bar.clone()
            },
            Some(Err(error)) if row::damaged_row(&error).is_some() => {
                damaged += 1;
                bar.clone()
            }
            Some(Err(error)) => return Err(error),
            None => bar.clone(),
        };
        insert(transaction, &joined)?;
    }
    Ok(damaged)
}

/// Writes a bar, and replaces a stored one.
fn insert(transaction: &Connection, bar: &Bar) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO bars (symbol, opened_at, open, high, low, close, volume, simulated, checksum) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let values = [
        Value::from(bar.symbol.as_str().to_owned()),
        Value::Integer(bar.opened_at.timestamp_millis()),
        Value::Real(bar.open),
        Value::Real(bar.high),
        Value::Real(bar.low),
        Value::Real(bar.close),
        Value::Real(bar.volume),
        Value::Integer(bar.simulated.into()),
    ];
    row::write(transaction, sql, TABLE, &values).map(drop)
}

/// Removes some of the oldest bars. Returns how many.
///
/// The age of a bar counts back from the newest bar of its symbol, so that an old recording is kept as long as current
/// bars.
pub(super) fn prune(transaction: &Connection, now: DateTime<Utc>, kept: Duration) -> rusqlite::Result<u64> {
    let kept = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
    let mut next_symbol = transaction.prepare_cached("SELECT min(symbol) FROM bars WHERE symbol > ?1")?;
    let mut newest = transaction.prepare_cached("SELECT max(opened_at) FROM bars WHERE symbol = ?1")?;
    let mut delete = transaction.prepare_cached(
        "DELETE FROM bars WHERE symbol = ?1 AND opened_at IN \
         (SELECT opened_at FROM bars WHERE symbol = ?1 AND opened_at < ?2 ORDER BY opened_at LIMIT ?3)",
    )?;
    let (mut removed, mut symbol) = (0, String::new());
    while let Some(next) = next_symbol.query_row([&symbol], |row| row.get::<_, Option<String>>(0))? {
        symbol = next;
        let present: i64 = newest.query_row([&symbol], |row| row.get(0))?;
        let before = present.min(now.timestamp_millis()).saturating_sub(kept);
        removed += delete.execute((&symbol, before, MAX_PRUNED_AT_ONCE))?;
        if removed >= MAX_PRUNED_AT_ONCE {
            break;
        }
    }
    Ok(removed as u64)
}

/// Returns the last `limit` bars of an interval, oldest first; with `before`, of the minutes that opened before it.
pub(super) fn of(
    connection: &Connection,
    symbol: &Symbol,
    interval: BarInterval,
    before: Option<DateTime<Utc>>,
    limit: usize,
) -> rusqlite::Result<BarsRead> {
    let sql = "SELECT symbol, opened_at, open, high, low, close, volume, simulated, checksum FROM bars \
               WHERE symbol = ?1 AND opened_at < ?2 ORDER BY opened_at DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let before = before.map_or(i64::MAX, |before| before.timestamp_millis());
    let mut rows = statement.query((symbol.as_str(), before))?;
    let (mut minutes, mut damaged, mut intervals, mut last) = (Vec::new(), 0, 0, None);
    while let Some(row) = rows.next()? {
        let Some(minute) = whole(read(row), &mut damaged)? else { continue };
        let opened_at = Some(interval.floor(minute.opened_at));
        // Markets close, so the last bars are counted and not computed from the time of the newest.
        if last != opened_at {
            if intervals == limit.min(MAX_ROWS) {
                break;
            }
            (intervals, last) = (intervals + 1, opened_at);
        }
        minutes.push(minute);
    }
    minutes.reverse();
    Ok(BarsRead { bars: aggregate(minutes, interval), damaged })
}

/// Returns the minutes of every symbol that opened at or after `since` and before `until`, oldest first; only those after the
/// symbol's last simulated price in this span.
pub(super) fn real_minutes(
    connection: &Connection,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
) -> rusqlite::Result<BarsRead> {
    let sql = "SELECT symbol, opened_at, open, high, low, close, volume, simulated, checksum FROM bars \
               WHERE opened_at >= ?1 AND opened_at < ?2 ORDER BY symbol, opened_at";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([since.timestamp_millis(), until.timestamp_millis()])?;
    let (mut minutes, mut damaged, mut first_of_symbol): (Vec<Bar>, u64, usize) = (Vec::new(), 0, 0);
    while let Some(row) = rows.next()? {
        let Some(minute) = whole(read(row), &mut damaged)? else { continue };
        if minutes.last().is_some_and(|last| last.symbol != minute.symbol) {
            first_of_symbol = minutes.len();
        }
        if minute.simulated {
            minutes.truncate(first_of_symbol);
        } else {
            minutes.push(minute);
        }
    }
    Ok(BarsRead { bars: minutes, damaged })
}

/// Returns the minutes of every symbol that opened at or after `since`, oldest first for each. Skips damaged ones.
pub(super) fn since(connection: &Connection, since: DateTime<Utc>) -> rusqlite::Result<Vec<Bar>> {
    let mut next_symbol = connection.prepare("SELECT min(symbol) FROM bars WHERE symbol > ?1")?;
    let sql = "SELECT symbol, opened_at, open, high, low, close, volume, simulated, checksum FROM bars \
               WHERE symbol = ?1 AND opened_at >= ?2 ORDER BY opened_at";
    let mut statement = connection.prepare(sql)?;
    let (mut minutes, mut damaged, mut symbol) = (Vec::new(), 0, String::new());
    while let Some(next) = next_symbol.query_row([&symbol], |row| row.get::<_, Option<String>>(0))? {
        symbol = next;
        let mut rows = statement.query((&symbol, since.timestamp_millis()))?;
        while let Some(row) = rows.next()? {
            minutes.extend(whole(read(row), &mut damaged)?);
        }
    }
    Ok(minutes)
}

/// Returns the minutes of every symbol that opened after `after` and not after `until`, oldest first: those of a short span
/// that begins with the first of them, and where it ends. `None` when there is none.
pub(super) fn next_minutes(
    connection: &Connection,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
) -> rusqlite::Result<Option<(BarsRead, DateTime<Utc>)>> {
    let mut next = connection.prepare_cached("SELECT min(opened_at) FROM bars WHERE symbol = ?1 AND opened_at > ?2")?;
    let symbols = symbols(connection)?;
    let mut first = None;
    for symbol in &symbols {
        let opened_at: Option<i64> = next.query_row((symbol, after.timestamp_millis()), |row| row.get(0))?;
        first = first.into_iter().chain(opened_at).min();
    }
    let Some(first) = first.filter(|first| *first <= until.timestamp_millis()) else { return Ok(None) };
    let end = time(1, first)?.checked_add_signed(PAGE).map_or(until, |end| end.min(until));
    let sql = "SELECT symbol, opened_at, open, high, low, close, volume, simulated, checksum FROM bars \
               WHERE symbol = ?1 AND opened_at > ?2 AND opened_at <= ?3 ORDER BY opened_at";
    let mut statement = connection.prepare_cached(sql)?;
    let mut read_bars = BarsRead::default();
    for symbol in &symbols {
        let mut rows = statement.query((symbol, after.timestamp_millis(), end.timestamp_millis()))?;
        while let Some(row) = rows.next()? {
            read_bars.bars.extend(whole(read(row), &mut read_bars.damaged)?);
        }
    }
    read_bars.bars.sort_by(|one, other| (one.opened_at, &one.symbol).cmp(&(other.opened_at, &other.symbol)));
    Ok(Some((read_bars, end)))
}

/// Returns the last minute of every symbol that opened at `until` or before.
pub(super) fn last_minutes(connection: &Connection, until: DateTime<Utc>) -> rusqlite::Result<BarsRead> {
    let sql = "SELECT symbol, opened_at, open, high, low, close, volume, simulated, checksum FROM bars \
               WHERE symbol = ?1 AND opened_at <= ?2 ORDER BY opened_at DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut last = BarsRead::default();
    for symbol in symbols(connection)? {
        let found = statement.query_row((symbol, until.timestamp_millis()), |row| Ok(read(row))).optional()?;
        last.bars.extend(found.map(|read| whole(read, &mut last.damaged)).transpose()?.flatten());
    }
    last.bars.sort_by_key(|bar| bar.opened_at);
    Ok(last)
}

/// Returns the symbols that have bars.
fn symbols(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut next_symbol = connection.prepare_cached("SELECT min(symbol) FROM bars WHERE symbol > ?1")?;
    let mut symbols: Vec<String> = Vec::new();
    loop {
        let last = symbols.last().map_or("", String::as_str);
        match next_symbol.query_row([last], |row| row.get(0))? {
            Some(next) => symbols.push(next),
            None => return Ok(symbols),
        }
    }
}

/// Checks every bar; fails at the first damaged one.
pub(super) fn check(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection
        .prepare("SELECT symbol, opened_at, open, high, low, close, volume, simulated, checksum FROM bars")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        row::check(TABLE, row, 8)?;
    }
    Ok(())
}

/// Returns the bar; for a damaged one, counts it and returns `None`.
fn whole(read: rusqlite::Result<Bar>, damaged: &mut u64) -> rusqlite::Result<Option<Bar>> {
    match read {
        Ok(bar) => Ok(Some(bar)),
        Err(error) if row::damaged_row(&error).is_some() => {
            *damaged += 1;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Reads a row of all columns and the checksum, and checks it.
fn read(row: &Row<'_>) -> rusqlite::Result<Bar> {
    row::check(TABLE, row, 8)?;
    Ok(Bar {
        symbol: Symbol::new(row.get_ref(0)?.as_str()?),
        opened_at: time(1, row.get(1)?)?,
        open: row.get(2)?,
        high: row.get(3)?,
        low: row.get(4)?,
        close: row.get(5)?,
        volume: row.get(6)?,
        simulated: row.get(7)?,
    })
}
