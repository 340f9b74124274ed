//! Writes and prunes signal events, inside a transaction of the caller.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::chain::{ChainLink, Chained, EventRow};
use super::tree::{Entry, TreeEnd};
use super::{meta, outcomes, schema};
use crate::domain::{Signal, SignalState};

/// Maximum number of rows that one transaction prunes. It limits how long an append has to wait.
const MAX_PRUNED_AT_ONCE: usize = 250;

/// The number of bytes that a probe writes.
const PROBE_BYTES: usize = 65_536;

/// Appends changes of signals after `head`, to the tree as well. Returns the new head.
pub(super) fn append<'a>(
    transaction: &Connection,
    head: ChainLink,
    tree: &mut TreeEnd,
    signals: impl Iterator<Item = &'a Arc<Signal>>,
    stored_at: DateTime<Utc>,
) -> rusqlite::Result<ChainLink> {
    let mut event = transaction.prepare_cached(
        "INSERT INTO signal_events (seq, at, stored_at, signal_id, status, reason, source, body, hash) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let mut state = transaction.prepare_cached(
        "INSERT INTO signals (first_seq, last_seq, id, status, symbol, killzone, updated_at) \
         VALUES (?1, ?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (id) DO UPDATE SET last_seq = excluded.last_seq, status = excluded.status, \
         symbol = excluded.symbol, killzone = excluded.killzone, updated_at = excluded.updated_at",
    )?;
    let mut head = head;
    for signal in signals {
        let body = serde_json::to_string(&**signal)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let row = EventRow {
            seq: head.seq + 1,
            at: signal.updated_at.timestamp_millis(),
            stored_at: stored_at.timestamp_millis(),
            signal_id: signal.id.as_str(),
            status: signal.state.status().name(),
            reason: match &signal.state {
                SignalState::Invalidated(reason) => Some(reason.as_str()),
                SignalState::Pending | SignalState::Confirmed => None,
            },
            source: signal.source.as_str(),
            body: &body,
        };
        let (seq, hash) = (row.seq, row.hash(&head.hash));
        tree.append(transaction, Entry::Event(seq), &row.leaf())?;
        event.execute((
            seq,
            row.at,
            row.stored_at,
            row.signal_id,
            row.status,
            row.reason,
            row.source,
            row.body,
            hash,
        ))?;
        state.execute((seq, row.signal_id, row.status, signal.symbol.as_str(), signal.killzone.name(), row.at))?;
        if signal.state == SignalState::Confirmed {
            outcomes::begin(transaction, signal)?;
        }
        head = ChainLink { seq: row.seq, hash };
    }
    Ok(head)
}

/// Removes everything after `head`: events that reached the disk although their commit was reported as failed.
pub(super) fn rewind(transaction: &Connection, head: ChainLink) -> rusqlite::Result<()> {
    let seq = head.seq;
    transaction.execute("DELETE FROM signal_events WHERE seq > ?1", [seq])?;
    transaction.execute("DELETE FROM signals WHERE first_seq > ?1", [seq])?;
    transaction.execute(
        "UPDATE signals SET (last_seq, status, symbol, killzone, updated_at) = \
         (SELECT seq, status, body ->> 'symbol', body ->> 'killzone', at FROM signal_events \
          WHERE signal_id = signals.id ORDER BY seq DESC LIMIT 1) \
         WHERE last_seq > ?1",
        [seq],
    )?;
    Ok(())
}

/// Removes some of the oldest events that were stored before `kept_since` and whose signals have ended.
///
/// It removes from the front only, so that the chain is complete from the anchor on. Returns the number of removed
/// events.
pub(super) fn prune_events(transaction: &Connection, kept_since: DateTime<Utc>) -> rusqlite::Result<u64> {
    let anchor = schema::anchor(transaction)?;
    let mut oldest = transaction.prepare_cached(
        "SELECT e.seq, e.hash, e.stored_at, s.status = 'pending' FROM signal_events e \
         JOIN signals s ON s.id = e.signal_id WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2",
    )?;
    let mut rows = oldest.query((anchor.seq, MAX_PRUNED_AT_ONCE))?;
    let mut last = anchor;
    while let Some(row) = rows.next()? {
        let (stored_at, pending): (i64, bool) = (row.get(2)?, row.get(3)?);
        if pending || stored_at >= kept_since.timestamp_millis() {
            break;
        }
        last = schema::link(row)?;
    }
    if last != anchor {
        let seq = last.seq;
        transaction.prepare_cached("DELETE FROM signals WHERE last_seq <= ?1")?.execute([seq])?;
        transaction.prepare_cached("DELETE FROM signal_events WHERE seq <= ?1")?.execute([seq])?;
        let gone = "DELETE FROM open_outcomes WHERE NOT EXISTS (SELECT 1 FROM signals WHERE id = signal_id)";
        transaction.prepare_cached(gone)?.execute([])?;
        schema::set_anchor(transaction, last)?;
    }
    Ok(last.seq - anchor.seq)
}

/// Writes or removes as many bytes as a batch of pushes needs, to find out whether the disk has room again.
pub(super) fn probe(transaction: &Connection, step: ProbeStep) -> rusqlite::Result<()> {
    match step {
        ProbeStep::Write => meta::set(transaction, "probe", vec![0; PROBE_BYTES]),
        ProbeStep::Remove => meta::remove(transaction, "probe"),
    }
}

/// The two transactions of a probe. In a single transaction they would cancel each other before anything is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum ProbeStep {
    Write,
    Remove,
}
