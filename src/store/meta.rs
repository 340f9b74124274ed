//! Metadata of the log, by key.

use rusqlite::types::{FromSql, Value};
use rusqlite::{Connection, OptionalExtension};

use super::chain::ChainLink;
use super::row;

/// The table.
pub(super) const TABLE: &str = "meta";

/// The key that exists while the database file alone is the complete log: from the close to the next commit, and in a
/// backup.
pub(super) const CLOSED: &str = "closed";
/// The key that holds, in a backup, the cursor at which it was made.
pub(super) const COPIED_FROM: &str = "copied_from";
/// The key that holds the version of the program that gave the log its schema.
pub(super) const PROGRAM: &str = "program";

/// Returns the value of a key.
pub(super) fn get<T: FromSql>(connection: &Connection, key: &str) -> rusqlite::Result<Option<T>> {
    let mut statement = connection.prepare_cached("SELECT key, value, checksum FROM meta WHERE key = ?1")?;
    let value = |row: &rusqlite::Row<'_>| {
        row::check(TABLE, row, 2)?;
        row.get(1)
    };
    statement.query_row([key], value).optional()
}

/// Sets the value of a key.
pub(super) fn set(connection: &Connection, key: &str, value: impl Into<Value>) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO meta (key, value, checksum) VALUES (?1, ?2, ?3)";
    row::write(connection, sql, TABLE, &[key.to_owned().into(), value.into()]).map(drop)
}

/// Removes a key.
pub(super) fn remove(connection: &Connection, key: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM meta WHERE key = ?1")?.execute([key]).map(drop)
}

/// Whether the database file alone is the complete log.
pub(super) fn is_closed(connection: &Connection) -> rusqlite::Result<bool> {
    get::<i64>(connection, CLOSED).map(|closed| closed.is_some())
}

/// Checks every value; fails at the first damaged one.
pub(super) fn check(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT key, value, checksum FROM meta")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        row::check(TABLE, row, 2)?;
    }
    Ok(())
}

/// Returns the link that is stored under two keys, or the start of a chain.
pub(super) fn link(connection: &Connection, [seq, hash]: [&str; 2]) -> rusqlite::Result<ChainLink> {
    let (seq, hash) = (get(connection, seq)?, get(connection, hash)?);
    Ok(seq.zip(hash).map_or(ChainLink::START, |(seq, hash)| ChainLink { seq, hash }))
}

/// Stores a link under two keys.
pub(super) fn set_link(connection: &Connection, [seq, hash]: [&str; 2], link: ChainLink) -> rusqlite::Result<()> {
    set(connection, seq, Value::Integer(link.seq as i64))?;
    set(connection, hash, link.hash.to_vec())
}
