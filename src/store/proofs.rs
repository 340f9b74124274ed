//! What the tree shows to outsiders: its head, its tiles, and proofs that an entry is in it and that it only grew.

use rusqlite::{Connection, OptionalExtension};
use tlog_tiles::{Tile, prove_record, prove_tree, record_hash};

use super::chain::Hash;
use super::error::StoreError;
use super::queries::MAX_ROWS;
use super::reader::Reader;
use super::row::DamagedRow;
use super::tree::{self, Entry, TreeHead};
use crate::domain::SignalId;

/// The height of a tile: it has the hashes of up to 256 nodes.
const TILE_HEIGHT: u8 = 8;

/// A leaf, and the proof that it is in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafProof {
    /// Its number, from 0.
    pub index: u64,
    /// Its data: JSON.
    pub data: String,
    /// Its hash.
    pub hash: Hash,
    /// The hashes from beside the leaf up to below the root.
    pub path: Vec<Hash>,
}

impl Reader {
    /// Returns the number of leaves and the root of the tree.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn tree_head(&self) -> Result<TreeHead, StoreError> {
        self.ask(tree::head).await
    }

    /// Returns the hashes of a tile of height 8, <https://c2sp.org/tlog-tiles>; `None` when the tree does not have it.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn tile(&self, level: u8, index: u64, width: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(move |connection| {
            if !has_tile(connection, level, index, width)? {
                return Ok(None);
            }
            let tile = Tile::new(TILE_HEIGHT, level, index, width, false);
            tree::on_stored(connection, |reader| tile.read_data(reader)).map(Some)
        })
        .await
    }

    /// Returns the data of the leaves of a tile of level 0; `None` when the tree does not have it, or its entries are no longer
    /// kept.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn tile_entries(&self, index: u64, width: u32) -> Result<Option<Vec<String>>, StoreError> {
        self.ask(move |connection| {
            if !has_tile(connection, 0, index, width)? {
                return Ok(None);
            }
            let first = index << TILE_HEIGHT;
            (first..first + u64::from(width)).map(|leaf| entry_of(connection, leaf)).collect()
        })
        .await
    }

    /// Returns the head of the tree, and the leaves of a signal's last 1,000 events and of its record, oldest first; `None` when the
    /// log does not have the signal.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn signal_proof(&self, id: &SignalId) -> Result<Option<(TreeHead, Vec<LeafProof>)>, StoreError> {
        let id = id.clone();
        self.ask(move |connection| {
            let head = tree::head(connection)?;
            let mut events = connection
                .prepare_cached("SELECT seq FROM signal_events WHERE signal_id = ?1 ORDER BY seq DESC LIMIT ?2")?;
            let events = events.query_map((id.as_str(), MAX_ROWS), |row| row.get(0).map(Entry::Event))?;
            let mut entries = events.collect::<rusqlite::Result<Vec<_>>>()?;
            entries.reverse();
            let mut record = connection.prepare_cached("SELECT seq FROM outcomes WHERE signal_id = ?1")?;
            entries.extend(record.query_row([id.as_str()], |row| row.get(0).map(Entry::Record)).optional()?);
            let leaves = entries.into_iter().map(|entry| prove(connection, head.size, entry));
            let leaves = leaves.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok((!leaves.is_empty()).then_some((head, leaves)))
        })
        .await
    }

    /// Returns the proof that the tree with `from` leaves is the beginning of the tree with `to` leaves; `None` unless 1 ≤ `from` ≤
    /// `to` ≤ the number of leaves.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn consistency(&self, from: u64, to: u64) -> Result<Option<Vec<Hash>>, StoreError> {
        self.ask(move |connection| {
            if from == 0 || from > to || to > tree::end(connection)?.size {
                return Ok(None);
            }
            let proof = tree::on_stored(connection, |reader| prove_tree(to, from, reader))?;
            Ok(Some(proof.into_iter().map(|hash| hash.0).collect()))
        })
        .await
    }
}

fn has_tile(connection: &Connection, level: u8, index: u64, width: u32) -> rusqlite::Result<bool> {
    let nodes = tree::end(connection)?.size.checked_shr(u32::from(TILE_HEIGHT * level)).unwrap_or(0);
    let end = index.checked_mul(1 << TILE_HEIGHT).and_then(|first| first.checked_add(width.into()));
    Ok(end.is_some_and(|end| end <= nodes))
}

/// Returns the data of a leaf; `None` when its entry is no longer kept.
fn entry_of(connection: &Connection, leaf: u64) -> rusqlite::Result<Option<String>> {
    let (entry, hash) = tree::leaf(connection, leaf)?;
    let Some(data) = tree::data(connection, entry)? else { return Ok(None) };
    if record_hash(data.as_bytes()).0 == hash {
        return Ok(Some(data));
    }
    Err(DamagedRow { table: tree::TABLE, key: leaf.to_string() }.into())
}

fn prove(connection: &Connection, size: u64, entry: Entry) -> rusqlite::Result<LeafProof> {
    let index = tree::leaf_of(connection, size, entry)?;
    let (found, hash) = tree::leaf(connection, index)?;
    let data = entry_of(connection, index)?.filter(|_| found == entry);
    let data = data.ok_or_else(|| DamagedRow { table: tree::TABLE, key: index.to_string() })?;
    let path = tree::on_stored(connection, |reader| prove_record(size, index, reader))?;
    Ok(LeafProof { index, data, hash, path: path.into_iter().map(|hash| hash.0).collect() })
}
