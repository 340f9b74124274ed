//! What the recomputation of a day needs of the log: the minutes that its engine begins with, and the signals of the day.

use std::ops::Range;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::Connection;

use super::bars::{self, BarsRead};
use super::error::StoreError;
use super::open::WARM_UP;
use super::reader::Reader;
use super::{checked, offline};
use crate::domain::{BarInterval, Signal, SourceName, StoredDay};

/// Maximum number of signals; a day of setups has some dozens.
const MAX_SIGNALS: usize = 10_000;
/// Minutes before the first tick are read from at most this long before it.
const MAX_WARM_UP: TimeDelta = TimeDelta::days(14);
/// Signals are read from this long before and after the day, because both sides may date them differently.
const MARGIN: TimeDelta = TimeDelta::minutes(10);

/// What is wanted of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDayQuery {
    /// The source of the signals.
    pub source: SourceName,
    /// The day. Signals that were published in it, or some minutes before or after, are read.
    pub day: Range<DateTime<Utc>>,
    /// When the first tick of the recomputation arrived. Minutes are read that ended by then.
    pub first: DateTime<Utc>,
    /// The [`recent_since`](super::Options::recent_since) of the server whose day it is, if it began before the first tick:
    /// minutes are read from as long before it as that server did.
    pub recent_since: DateTime<Utc>,
}

/// Reads what a recomputation needs from the log in a data directory or a database file, also beside a running server.
///
/// # Errors
/// [`StoreError`] when the log cannot be read.
pub fn stored_day(place: &Path, query: &StoredDayQuery) -> Result<StoredDay, StoreError> {
    let (file, connection) = offline::open(place)?;
    let read = read(&connection, query).map_err(|error| StoreError::sqlite(&file, &error))?;
    Ok(StoredDay { minutes: read.0.bars, signals: read.1 })
}

impl Reader {
    /// Reads what a recomputation needs.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn stored_day(&self, query: StoredDayQuery) -> Result<StoredDay, StoreError> {
        let (minutes, signals) = self.ask(move |connection| read(connection, &query)).await?;
        Ok(StoredDay { minutes: self.intact(minutes), signals })
    }
}

fn read(connection: &Connection, query: &StoredDayQuery) -> rusqlite::Result<(BarsRead, Vec<Signal>)> {
    let until = BarInterval::OneMinute.floor(query.first);
    let since = (query.recent_since.min(query.first) - WARM_UP).max(query.first - MAX_WARM_UP);
    Ok((bars::real_minutes(connection, since, until)?, signals(connection, query)?))
}

/// Returns the signals that changed around the day, and thus all that were published in it.
fn signals(connection: &Connection, query: &StoredDayQuery) -> rusqlite::Result<Vec<Signal>> {
    let sql = checked::states(
        "WHERE s.id IN (SELECT signal_id FROM signal_events WHERE at >= ?1 AND at < ?2 AND source = ?3) \
         ORDER BY s.first_seq LIMIT ?4",
    );
    let Range { start, end } = &query.day;
    let span = ((*start - MARGIN).timestamp_millis(), (*end + MARGIN).timestamp_millis());
    let parameters = (span.0, span.1, query.source.as_str(), MAX_SIGNALS);
    connection.prepare(&sql)?.query_map(parameters, |row| Ok(checked::current(row)?.signal))?.collect()
}
