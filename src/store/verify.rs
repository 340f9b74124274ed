//! Verifies a complete log: both hash chains from the anchor to the head, that the current states follow from the
//! events, and that every confirmed signal has a record.

use std::path::Path;

use rusqlite::Connection;

use super::chain::ChainLink;
use super::compare::WatermarkCheck;
use super::error::StoreError;
use super::offline::{self, StoredEvent};
use super::tree::{self, TreeHead};
use super::{bars, inspect, meta, outcomes, passing, schema, users};

/// The result for an intact log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// The number of checked events.
    pub events: u64,
    /// The number of the first one; one past `last_seq` when there are none.
    pub first_seq: u64,
    /// The number of the last one.
    pub last_seq: u64,
    /// Events that were pruned from the front. The last one's hash still anchors the chain.
    pub pruned: u64,
    /// The hash of the last event, which covers all events before it.
    pub hash: [u8; 32],
    /// The records of confirmed signals.
    pub records: VerifiedRecords,
    /// The Merkle tree over both.
    pub tree: TreeHead,
}

/// The result for the records of confirmed signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedRecords {
    /// The number of checked records.
    pub records: u64,
    /// Those that were written before the chain existed. Nothing proves their content before that.
    pub taken_over: u64,
    /// Records that were pruned from the front.
    pub pruned: u64,
    /// Confirmed signals whose record has not ended.
    pub open: u64,
    /// The hash of the last record, which covers all records before it.
    pub hash: [u8; 32],
}

/// Verifies the log in the data directory `place` (or in the file `place`, such as a backup), also beside a running
/// server. In a data directory, the log also has to contain everything that was acknowledged.
///
/// # Errors
/// [`StoreError::Lost`] when acknowledged entries are missing; [`StoreError::Broken`] for the first event that is not
/// what was written; [`StoreError::BrokenRecord`] for the first such record, or the first confirmed signal without one;
/// [`StoreError::BrokenTree`] when the tree does not fit them; [`StoreError::Damaged`] for any other damaged row or an unreadable file.
pub fn verify(place: &Path) -> Result<Verified, StoreError> {
    // Read before the log, to which a running server only appends.
    let guarded = WatermarkCheck::read(place)?;
    let (file, connection) = match offline::open(place) {
        Err(StoreError::Missing(file)) => return Err(guarded.missing(&file)),
        opened => opened?,
    };
    let sqlite = |error| StoreError::sqlite(&file, &error);
    // One snapshot for all checks, whatever is appended or pruned meanwhile.
    let snapshot = connection.unchecked_transaction().map_err(sqlite)?;
    let found = verify_all(&snapshot, &file)?;
    guarded.check(&snapshot, &file)?;
    Ok(found)
}

/// Verifies everything in a log.
pub(super) fn verify_all(snapshot: &Connection, file: &Path) -> Result<Verified, StoreError> {
    let sqlite = |error| StoreError::sqlite(file, &error);
    let anchor = schema::anchor(snapshot).map_err(sqlite)?;
    let head = walk(snapshot, file, anchor)?;
    check_states(snapshot, anchor).map_err(sqlite)?.map_or(Ok(()), Err)?;
    let found = outcomes::check(snapshot, file, u64::MAX)?;
    outcomes::check_whole(snapshot, file)?;
    let tree = tree::check(snapshot, file, u64::MAX)?;
    let pruned = outcomes::anchor(snapshot).map_err(sqlite)?.seq;
    meta::check(snapshot)
        .and_then(|()| passing::check(snapshot))
        .and_then(|()| users::check(snapshot))
        .and_then(|()| bars::check(snapshot))
        .map_err(sqlite)?;
    inspect::check_pages(snapshot, file)?;
    Ok(Verified {
        events: head.seq - anchor.seq,
        first_seq: anchor.seq + 1,
        last_seq: head.seq,
        pruned: anchor.seq,
        hash: head.hash,
        records: VerifiedRecords {
            records: found.head.seq - pruned,
            taken_over: found.taken_over,
            pruned,
            open: found.open,
            hash: found.head.hash,
        },
        tree,
    })
}

/// Checks all events after `from`. Returns the last one.
pub(super) fn walk(connection: &Connection, file: &Path, from: ChainLink) -> Result<ChainLink, StoreError> {
    let sqlite = |error| StoreError::sqlite(file, &error);
    let mut statement = connection.prepare_cached(StoredEvent::AFTER).map_err(sqlite)?;
    let mut rows = statement.query((from.seq, -1)).map_err(sqlite)?;
    let mut link = from;
    while let Some(row) = rows.next().map_err(sqlite)? {
        let followed = match StoredEvent::read(row) {
            Ok(event) => link.follow(&event.row, event.hash),
            Err(error) => Err(error.to_string()),
        };
        link = followed.map_err(|what| StoreError::Broken { seq: link.seq + 1, what })?;
    }
    Ok(link)
}

/// Checks that the state of every signal follows from its last event. Returns the first error.
fn check_states(connection: &Connection, anchor: ChainLink) -> rusqlite::Result<Option<StoreError>> {
    // An event without a state, newer than its state, or older than the signal's first one.
    let events = "SELECT e.seq FROM signal_events e LEFT JOIN signals s ON s.id = e.signal_id \
                  WHERE s.id IS NULL OR e.seq > s.last_seq OR e.seq < s.first_seq ORDER BY e.seq LIMIT 1";
    // A state without its event, or with different content.
    let states = "SELECT s.last_seq FROM signals s LEFT JOIN signal_events e ON e.seq = s.last_seq \
                  WHERE e.seq IS NULL OR e.signal_id <> s.id OR e.status <> s.status OR e.at <> s.updated_at \
                  OR e.body ->> 'symbol' <> s.symbol OR e.body ->> 'killzone' <> s.killzone \
                  ORDER BY s.last_seq LIMIT 1";
    // A state whose first event belongs to another signal. Events before the anchor are pruned.
    let firsts = "SELECT s.first_seq FROM signals s LEFT JOIN signal_events e ON e.seq = s.first_seq \
                  WHERE NOT s.first_seq BETWEEN 1 AND ?1 AND e.signal_id IS NOT s.id ORDER BY s.first_seq LIMIT 1";
    for (sql, parameters) in [(events, vec![]), (states, vec![]), (firsts, vec![anchor.seq])] {
        let mut statement = connection.prepare(sql)?;
        let mut found = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get(0))?;
        if let Some(seq) = found.next().transpose()? {
            let what = "the current state of its signal does not follow from it".to_owned();
            return Ok(Some(StoreError::Broken { seq, what }));
        }
    }
    Ok(None)
}
