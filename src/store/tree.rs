//! The Merkle tree over all events and records, in the order in which they were committed: hashes as in RFC 6962, so that signed
//! checkpoints and proofs of it are those of <https://c2sp.org/tlog-tiles>.
//!
//! A row is written with each entry, in its transaction. It has the hash of the leaf and those of the subtrees that the leaf
//! completes, so the tree stays whole when entries are pruned. A log that was pruned before it had a tree begins with its oldest
//! entry.

use std::cell::RefCell;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row};
use tlog_tiles::{HashReader, node_hash, record_hash, split_stored_hash_index, tree_hash};

use super::chain::{Chained, Hash};
use super::error::StoreError;
use super::offline::StoredEvent;
use super::row::DamagedRow;
use super::{checked, outcomes, schema};

/// The table.
const TABLE: &str = "tree";
/// The bytes of a hash.
const HASH_BYTES: usize = 32;

/// An entry that has a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// The event with this number.
    Event(u64),
    /// The record with this number.
    Record(u64),
}

/// The root of the tree with a number of leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// The number of leaves.
    pub size: u64,
    /// The hash of the root.
    pub root: Hash,
}

/// Where the tree ends: what the next leaf follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TreeEnd {
    /// The number of leaves.
    pub(super) size: u64,
    /// The last event that has one.
    event: u64,
    /// The last record that has one.
    record: u64,
}

impl TreeEnd {
    /// Appends the leaf of an entry.
    pub(super) fn append(&mut self, transaction: &Connection, entry: Entry, data: &str) -> rusqlite::Result<()> {
        let kind = match entry {
            Entry::Event(seq) => {
                self.event = seq;
                0
            }
            Entry::Record(seq) => {
                self.record = seq;
                1
            }
        };
        let hashes = hashes(transaction, self.size, record_hash(data.as_bytes()))?;
        let mut insert = transaction
            .prepare_cached("INSERT INTO tree (leaf, kind, event, record, hashes) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        insert.execute((self.size, kind, self.event, self.record, hashes))?;
        self.size += 1;
        Ok(())
    }
}

/// A row of the table.
#[derive(Debug)]
struct LeafRow {
    leaf: u64,
    kind: i64,
    event: u64,
    record: u64,
    hashes: Vec<u8>,
}

impl LeafRow {
    /// The columns that [`read`](Self::read) reads.
    const COLUMNS: &'static str = "leaf, kind, event, record, hashes";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (leaf, kind, event, record, hashes) = row.try_into()?;
        Ok(Self { leaf, kind, event, record, hashes })
    }

    fn entry(&self) -> Entry {
        if self.kind == 0 { Entry::Event(self.event) } else { Entry::Record(self.record) }
    }

    fn end(&self) -> TreeEnd {
        TreeEnd { size: self.leaf + 1, event: self.event, record: self.record }
    }
}

/// Returns where the tree ends.
pub(super) fn end(connection: &Connection) -> rusqlite::Result<TreeEnd> {
    let sql = "SELECT leaf + 1, event, record FROM tree ORDER BY leaf DESC LIMIT 1";
    let read = |row: &Row<'_>| Ok(TreeEnd { size: row.get(0)?, event: row.get(1)?, record: row.get(2)? });
    match connection.prepare_cached(sql)?.query_row([], read).optional()? {
        Some(end) => Ok(end),
        None => begin(connection),
    }
}

/// Returns the end of an empty tree.
fn begin(connection: &Connection) -> rusqlite::Result<TreeEnd> {
    Ok(TreeEnd { size: 0, event: schema::anchor(connection)?.seq, record: outcomes::anchor(connection)?.seq })
}

/// Returns the hashes of the row of a leaf: its own, and those of the subtrees that it completes.
fn hashes(connection: &Connection, leaf: u64, own: tlog_tiles::Hash) -> rusqlite::Result<Vec<u8>> {
    let mut hash = own;
    let mut hashes = hash.0.to_vec();
    for level in 0..leaf.trailing_ones() {
        hash = node_hash(stored(connection, leaf - (1 << level), level as usize)?, hash);
        hashes.extend(hash.0);
    }
    Ok(hashes)
}

/// Reads the hash of the subtree of a level that a leaf completes; that of the leaf itself at level 0.
fn stored(connection: &Connection, leaf: u64, level: usize) -> rusqlite::Result<tlog_tiles::Hash> {
    let mut select = connection.prepare_cached("SELECT hashes FROM tree WHERE leaf = ?1")?;
    let found = select
        .query_row([leaf], |row| {
            let hashes = row.get_ref(0)?.as_blob()?;
            Ok(hashes.get(level * HASH_BYTES..(level + 1) * HASH_BYTES).and_then(|hash| hash.try_into().ok()))
        })
        .optional()?;
    let damaged = || DamagedRow { table: TABLE, key: leaf.to_string() };
    found.flatten().map(tlog_tiles::Hash).ok_or_else(|| damaged().into())
}

/// Reads hashes by the numbers that the tree's algorithms use.
struct StoredHashes<'a> {
    connection: &'a Connection,
    /// The error of the last read, because the algorithms have no room for it.
    error: RefCell<Option<rusqlite::Error>>,
}

impl HashReader for StoredHashes<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        let read = |index: &u64| {
            let (level, number) = split_stored_hash_index(*index);
            stored(self.connection, ((number + 1) << level) - 1, level.into())
        };
        indexes.iter().map(read).collect::<rusqlite::Result<_>>().map_err(|error| {
            self.error.replace(Some(error));
            tlog_tiles::Error::IndexesNotInTree
        })
    }
}

/// Runs one of the tree's algorithms on the stored hashes.
fn on_stored<T>(
    connection: &Connection,
    run: impl FnOnce(&StoredHashes<'_>) -> Result<T, tlog_tiles::Error>,
) -> rusqlite::Result<T> {
    let reader = StoredHashes { connection, error: RefCell::default() };
    run(&reader).map_err(|error| {
        let of_sqlite = reader.error.take();
        of_sqlite.unwrap_or_else(|| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    })
}

/// Returns the root of the tree of the first `size` leaves.
pub(super) fn root(connection: &Connection, size: u64) -> rusqlite::Result<Hash> {
    on_stored(connection, |reader| tree_hash(size, reader)).map(|root| root.0)
}

/// Removes the leaves of entries after these.
pub(super) fn rewind(transaction: &Connection, event: u64, record: u64) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM tree WHERE event > ?1 OR record > ?2", [event, record]).map(drop)
}

/// Returns the data of an entry's leaf; `None` when the log does not have the entry.
fn data(connection: &Connection, entry: Entry) -> rusqlite::Result<Option<String>> {
    match entry {
        Entry::Event(seq) => {
            let mut event = connection.prepare_cached(StoredEvent::AFTER)?;
            let read = |row: &Row<'_>| StoredEvent::read(row).map(|event| (event.row.seq, event.row.leaf()));
            let found = event.query_row((seq as i64 - 1, 1), read).optional()?;
            Ok(found.filter(|(found, _)| *found == seq).map(|(_, data)| data))
        }
        Entry::Record(seq) => {
            let mut record = connection.prepare_cached(
                "SELECT seq, closed_at, stored_at, taken_over, signal_id, body, hash FROM outcomes WHERE seq = ?1",
            )?;
            record.query_row([seq], |row| checked::stored_record(row).map(|(record, _)| record.leaf())).optional()
        }
    }
}

/// What the tree is compared with: the first and the last entries that the log has.
struct Kept {
    /// The last pruned event and the last pruned record.
    anchors: [u64; 2],
    /// The last event and the last record.
    heads: [u64; 2],
}

impl Kept {
    fn of(connection: &Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            anchors: [schema::anchor(connection)?.seq, outcomes::anchor(connection)?.seq],
            heads: [schema::head(connection)?.seq, outcomes::head(connection)?.seq],
        })
    }

    /// Checks that `row` follows the leaf `before`, and that its leaf has the hash of its entry. Returns what is wrong.
    fn check(&self, connection: &Connection, row: &LeafRow, before: Option<TreeEnd>) -> rusqlite::Result<Option<&str>> {
        let is_event = row.kind == 0;
        let follows = |last: u64, before: u64, is_own: bool, anchor: u64| {
            // Entries without a leaf were pruned before there was a tree.
            if is_own { last > before && (last == before + 1 || last - 1 <= anchor) } else { last == before }
        };
        let fits = match before {
            Some(before) => {
                row.leaf == before.size
                    && follows(row.event, before.event, is_event, self.anchors[0])
                    && follows(row.record, before.record, !is_event, self.anchors[1])
            }
            None => {
                row.leaf == 0
                    && row.event <= self.anchors[0] + u64::from(is_event)
                    && row.record <= self.anchors[1] + u64::from(!is_event)
            }
        };
        if !fits {
            return Ok(Some("it does not follow the leaf before it"));
        }
        let Some(own) = row.hashes.first_chunk::<HASH_BYTES>().copied() else {
            return Ok(Some("it has no hash"));
        };
        let (seq, anchor) = if is_event { (row.event, self.anchors[0]) } else { (row.record, self.anchors[1]) };
        if seq > anchor {
            match data(connection, row.entry())? {
                Some(data) if record_hash(data.as_bytes()).0 == own => {}
                Some(_) => return Ok(Some("it is not the hash of its entry")),
                None => return Ok(Some("its entry is missing")),
            }
        }
        let whole = hashes(connection, row.leaf, tlog_tiles::Hash(own))?;
        Ok((whole != row.hashes).then_some("its hashes do not cover the leaves before it"))
    }
}

/// Checks the newest leaves, `most` at most: each has the hash of its entry if the log still has that, and every entry of the log
/// has one. Returns the root over all leaves.
pub(super) fn check(connection: &Connection, file: &Path, most: u64) -> Result<TreeHead, StoreError> {
    let sqlite = |error| StoreError::sqlite(file, &error);
    let kept = Kept::of(connection).map_err(sqlite)?;
    let size = end(connection).map_err(sqlite)?.size;
    let from = size.saturating_sub(most);
    // One more, to know what the first one follows.
    let sql = format!("SELECT {} FROM tree WHERE leaf >= ?1 ORDER BY leaf", LeafRow::COLUMNS);
    let mut statement = connection.prepare(&sql).map_err(sqlite)?;
    let mut rows = statement.query([from.saturating_sub(1)]).map_err(sqlite)?;
    let mut last: Option<TreeEnd> = None;
    while let Some(row) = rows.next().map_err(sqlite)? {
        let row = LeafRow::read(row).map_err(sqlite)?;
        if row.leaf >= from
            && let Some(what) = kept.check(connection, &row, last).map_err(sqlite)?
        {
            return Err(StoreError::BrokenTree(format!("leaf {}: {what}", row.leaf)));
        }
        last = Some(row.end());
    }
    let last = match last {
        Some(last) => last,
        None => begin(connection).map_err(sqlite)?,
    };
    if [last.event, last.record] != kept.heads {
        let [event, record] = kept.heads;
        return Err(StoreError::BrokenTree(format!(
            "it ends with event {} and record {}, and the log with {event} and {record}",
            last.event, last.record
        )));
    }
    Ok(TreeHead { size, root: root(connection, size).map_err(sqlite)? })
}

/// Copies the tree of a damaged log as far as it fits what was copied before, and appends the leaves of all other entries. Returns
/// what is lost.
pub(super) fn salvage(source: &Connection, target: &Connection) -> rusqlite::Result<Option<String>> {
    let kept = Kept::of(target)?;
    let mut last = None;
    let mut insert =
        target.prepare("INSERT INTO tree (leaf, kind, event, record, hashes) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut copy = |row: &LeafRow| -> rusqlite::Result<bool> {
        if kept.check(target, row, last)?.is_some() {
            return Ok(false);
        }
        insert.execute((row.leaf, row.kind, row.event, row.record, &row.hashes))?;
        last = Some(row.end());
        Ok(true)
    };
    let sql = format!("SELECT {} FROM tree ORDER BY leaf", LeafRow::COLUMNS);
    let all_fit = match source.prepare(&sql) {
        Ok(mut statement) => {
            let mut rows = statement.query_map([], LeafRow::read)?;
            rows.all(|row| row.and_then(|row| copy(&row)).unwrap_or(false))
        }
        Err(_) => false,
    };
    let copied = end(target)?;
    let is_whole = all_fit && [copied.event, copied.record] == kept.heads;
    append_missing(target, copied)?;
    let lost = format!(
        "the tree after leaf {}: it is built anew from there, and checkpoints that were signed over more leaves do not fit it",
        copied.size
    );
    Ok((!is_whole).then_some(lost))
}

/// Appends the leaves of all entries after `end`, in the order of the times at which they were stored.
fn append_missing(target: &Connection, end: TreeEnd) -> rusqlite::Result<()> {
    let mut order = target.prepare(
        "SELECT kind, seq FROM ( \
         SELECT 0 AS kind, seq, max(stored_at) OVER (ORDER BY seq) AS at FROM signal_events WHERE seq > ?1 \
         UNION ALL SELECT 1, seq, max(stored_at) OVER (ORDER BY seq) FROM outcomes WHERE seq > ?2) \
         ORDER BY at, kind, seq",
    )?;
    let anchors = begin(target)?;
    let mut end = TreeEnd { event: end.event.max(anchors.event), record: end.record.max(anchors.record), ..end };
    let mut rows = order.query([end.event, end.record])?;
    while let Some(row) = rows.next()? {
        let seq = row.get(1)?;
        let entry = if row.get::<_, i64>(0)? == 0 { Entry::Event(seq) } else { Entry::Record(seq) };
        let missing = || DamagedRow { table: TABLE, key: end.size.to_string() };
        let data = data(target, entry)?.ok_or_else(missing)?;
        end.append(target, entry, &data)?;
    }
    Ok(())
}
