//! Step 8: a Merkle tree over the stored events and records. Frozen.
//!
//! Earlier releases did not store the order of an event and a record. Here it is that of the times at which they were stored, an
//! event before a record of the same millisecond.

use rusqlite::{Connection, Row};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Every entry in the order of the tree: its kind and its number.
const ORDER: &str = "SELECT kind, seq FROM ( \
     SELECT 0 AS kind, seq, max(stored_at) OVER (ORDER BY seq) AS at FROM signal_events \
     UNION ALL SELECT 1, seq, max(stored_at) OVER (ORDER BY seq) FROM outcomes) ORDER BY at, kind, seq";

/// Builds the tree.
pub(super) fn build(transaction: &Connection) -> rusqlite::Result<()> {
    let anchor = |key: &str| -> rusqlite::Result<i64> {
        transaction.query_row("SELECT coalesce(max(value), 0) FROM meta WHERE key = ?1", [key], |row| row.get(0))
    };
    let mut last = [anchor("anchor_seq")?, anchor("outcome_anchor_seq")?];
    let mut event = transaction.prepare(
        "SELECT seq, at, stored_at, signal_id, status, reason, source, body FROM signal_events WHERE seq = ?1",
    )?;
    let mut record = transaction
        .prepare("SELECT seq, closed_at, stored_at, taken_over, signal_id, body FROM outcomes WHERE seq = ?1")?;
    let mut insert =
        transaction.prepare("INSERT INTO tree (leaf, kind, event, record, hashes) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut order = transaction.prepare(ORDER)?;
    let mut rows = order.query([])?;
    // The complete subtrees so far, from large to small.
    let mut subtrees: Vec<[u8; 32]> = Vec::new();
    let mut leaf = 0_u64;
    while let Some(row) = rows.next()? {
        let (kind, seq): (usize, i64) = row.try_into()?;
        let text = if kind == 0 { event.query_row([seq], event_text) } else { record.query_row([seq], record_text) }?;
        last[kind] = seq;
        let mut hash: [u8; 32] = Sha256::new().chain_update([0]).chain_update(text).finalize().into();
        let mut hashes = hash.to_vec();
        for _ in 0..leaf.trailing_ones() {
            let left = subtrees.pop().unwrap_or_default();
            hash = Sha256::new().chain_update([1]).chain_update(left).chain_update(hash).finalize().into();
            hashes.extend(hash);
        }
        subtrees.push(hash);
        insert.execute((leaf, kind, last[0], last[1], hashes))?;
        leaf += 1;
    }
    Ok(())
}

fn event_text(row: &Row<'_>) -> rusqlite::Result<String> {
    let (seq, at, stored_at): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let text = |column| Ok::<_, rusqlite::Error>(Value::from(row.get::<_, Option<String>>(column)?));
    let (id, status, reason, source) = (text(3)?, text(4)?, text(5)?, text(6)?);
    let body: String = row.get(7)?;
    Ok(format!(
        r#"{{"event":{seq},"at":{at},"stored_at":{stored_at},"id":{id},"status":{status},"reason":{reason},"source":{source},"signal":{body}}}"#
    ))
}

fn record_text(row: &Row<'_>) -> rusqlite::Result<String> {
    let (seq, closed_at, stored_at): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (taken_over, id, body): (bool, String, String) = (row.get(3)?, row.get(4)?, row.get(5)?);
    let id = Value::from(id);
    Ok(format!(
        r#"{{"record":{seq},"closed_at":{closed_at},"stored_at":{stored_at},"taken_over":{taken_over},"id":{id},"outcome":{body}}}"#
    ))
}
