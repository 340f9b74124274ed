//! Reads events, states and records, and checks them: each row against its hash in the chain, and each state against
//! its event.

use rusqlite::Row;

use super::chain::{Chained, GENESIS, Hash, RecordRow};
use super::offline::StoredEvent;
use super::queries::unreadable;
use super::row::DamagedRow;
use crate::domain::{Signal, TradeOutcome};

/// The columns of an event `e` and the previous hash, for [`event`]. Requires the join of [`PREVIOUS`].
const EVENT: &str = "e.seq, e.at, e.stored_at, e.signal_id, e.status, e.reason, e.source, e.body, e.hash, \
     coalesce(p.hash, (SELECT value FROM meta WHERE key = 'anchor_hash'), zeroblob(32))";
/// Joins the previous event of `e` as `p`.
const PREVIOUS: &str = "LEFT JOIN signal_events p ON p.seq = e.seq - 1";

/// Returns a statement on events for [`event`], with `rest` after its joins.
pub(super) fn events(rest: &str) -> String {
    events_and("", rest)
}

/// The same, with `more` columns after those of [`event`].
pub(super) fn events_and(more: &str, rest: &str) -> String {
    format!("SELECT {EVENT}{more} FROM signal_events e {PREVIOUS} {rest}")
}

/// Returns a statement on current states `s` for [`current`], with `rest` after its joins.
pub(super) fn states(rest: &str) -> String {
    states_and("", rest)
}

/// The same, with `more` columns after those of [`current`].
pub(super) fn states_and(more: &str, rest: &str) -> String {
    format!(
        "SELECT {EVENT}, s.first_seq, s.id, s.status, s.symbol, s.killzone, s.updated_at, f.signal_id, s.last_seq{more} \
         FROM signals s LEFT JOIN signal_events e ON e.seq = s.last_seq {PREVIOUS} \
         LEFT JOIN signal_events f ON f.seq = s.first_seq {rest}"
    )
}

/// Returns a statement on records `o` for [`record`], with `rest` after its joins.
pub(super) fn records(rest: &str) -> String {
    format!(
        "SELECT o.seq, o.closed_at, o.stored_at, o.taken_over, o.signal_id, o.body, o.hash, \
         coalesce(p.hash, (SELECT value FROM meta WHERE key = 'outcome_anchor_hash'), zeroblob(32)) \
         FROM outcomes o LEFT JOIN outcomes p ON p.seq = o.seq - 1 {rest}"
    )
}

/// Reads an event and checks its hash.
pub(super) fn event<'a>(row: &'a Row<'_>) -> rusqlite::Result<StoredEvent<'a>> {
    let event = StoredEvent::read(row)?;
    let previous = previous(row, 9)?;
    if event.row.hash(&previous) == event.hash {
        return Ok(event);
    }
    Err(DamagedRow { table: "signal_events", key: event.row.seq.to_string() }.into())
}

/// Reads an event as its sequence number and its signal.
pub(super) fn numbered(row: &Row<'_>) -> rusqlite::Result<(u64, Signal)> {
    let event = event(row)?;
    Ok((event.row.seq, signal(event.row.body)?))
}

/// The current state of a signal.
#[derive(Debug)]
pub(super) struct Current {
    /// The sequence number of its first event.
    pub(super) first_seq: u64,
    /// The sequence number of its last event.
    pub(super) last_seq: u64,
    pub(super) signal: Signal,
}

/// Reads a current state, and checks that it follows from its last event.
pub(super) fn current(row: &Row<'_>) -> rusqlite::Result<Current> {
    let (first_seq, last_seq): (u64, u64) = (row.get(10)?, row.get(17)?);
    let damaged = || rusqlite::Error::from(DamagedRow { table: "signals", key: first_seq.to_string() });
    if row.get::<_, Option<u64>>(0)?.is_none() {
        return Err(damaged());
    }
    let event = event(row)?;
    let signal = signal(event.row.body)?;
    let id = row.get_ref(11)?.as_str()?;
    let first = row.get_ref(16)?.as_str_or_null()?;
    let follows = id == event.row.signal_id
        && row.get_ref(12)?.as_str()? == event.row.status
        && row.get_ref(13)?.as_str()? == signal.symbol.as_str()
        && row.get_ref(14)?.as_str()? == signal.killzone.name()
        && row.get::<_, i64>(15)? == event.row.at
        && first.is_none_or(|first| first == id)
        && first_seq <= last_seq;
    if follows { Ok(Current { first_seq, last_seq, signal }) } else { Err(damaged()) }
}

/// Reads a record and checks its hash.
pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<TradeOutcome> {
    let (record, stored) = stored_record(row)?;
    if record.hash(&previous(row, 7)?) != stored {
        return Err(DamagedRow { table: "outcomes", key: record.seq.to_string() }.into());
    }
    serde_json::from_str(record.body).map_err(|error| unreadable(5, error))
}

/// Reads a record and its stored hash, without a check.
pub(super) fn stored_record<'a>(row: &'a Row<'_>) -> rusqlite::Result<(RecordRow<'a>, &'a [u8])> {
    let record = RecordRow {
        seq: row.get(0)?,
        closed_at: row.get(1)?,
        stored_at: row.get(2)?,
        taken_over: row.get(3)?,
        signal_id: row.get_ref(4)?.as_str()?,
        body: row.get_ref(5)?.as_str()?,
    };
    Ok((record, row.get_ref(6)?.as_blob()?))
}

fn previous(row: &Row<'_>, column: usize) -> rusqlite::Result<Hash> {
    // A hash of another length matches no row.
    Ok(row.get_ref(column)?.as_blob()?.try_into().unwrap_or(GENESIS))
}

fn signal(body: &str) -> rusqlite::Result<Signal> {
    serde_json::from_str(body).map_err(|error| unreadable(7, error))
}
