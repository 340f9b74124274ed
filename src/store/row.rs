//! Checksums of the rows that are not part of a chain, so that a flipped bit is never served.
//!
//! They detect accidents, not forgery: a program that can write the database can compute them.

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};
use sha2::{Digest, Sha256};

/// A row that does not match its checksum or hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a row of {table} ({key}) is not what was written")]
pub(super) struct DamagedRow {
    /// Its table.
    pub(super) table: &'static str,
    /// The value of its first column.
    pub(super) key: String,
}

impl From<DamagedRow> for rusqlite::Error {
    fn from(damaged: DamagedRow) -> Self {
        Self::FromSqlConversionFailure(0, rusqlite::types::Type::Null, Box::new(damaged))
    }
}

/// Returns the damaged row that caused the error, if one did.
pub(super) fn damaged_row(error: &rusqlite::Error) -> Option<&DamagedRow> {
    match error {
        rusqlite::Error::FromSqlConversionFailure(_, _, error) => error.downcast_ref(),
        _ => None,
    }
}

/// Returns the checksum of a row: the first 8 bytes of the SHA-256 of its table's name and its values, each with its type
/// and its length.
///
/// The stored form must not change: existing rows have it, and a migration adds it to older rows.
pub(super) fn checksum<'a>(table: &str, values: impl IntoIterator<Item = ValueRef<'a>>) -> i64 {
    let mut hasher = Sha256::new();
    let mut add = |tag: u8, bytes: &[u8]| {
        hasher.update([tag]);
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    add(b't', table.as_bytes());
    for value in values {
        match value {
            ValueRef::Null => add(b'n', &[]),
            ValueRef::Integer(integer) => add(b'i', &integer.to_le_bytes()),
            // SQLite does not store the sign of a zero.
            ValueRef::Real(real) => add(b'r', &(real + 0.0).to_bits().to_le_bytes()),
            ValueRef::Text(text) => add(b's', text),
            ValueRef::Blob(blob) => add(b'b', blob),
        }
    }
    let digest = hasher.finalize();
    digest.iter().take(8).rev().fold(0, |sum, byte| sum << 8 | i64::from(*byte))
}

/// Checks a row. Its first `columns` columns are those of the table in their order; the next one is the checksum.
pub(super) fn check(table: &'static str, row: &Row<'_>, columns: usize) -> rusqlite::Result<()> {
    let values = (0..columns).map(|column| row.get_ref(column)).collect::<rusqlite::Result<Vec<_>>>()?;
    if row.get_ref(columns)? == ValueRef::Integer(checksum(table, values.iter().copied())) {
        return Ok(());
    }
    let key = match values.first() {
        Some(ValueRef::Integer(key)) => key.to_string(),
        Some(ValueRef::Text(key)) => String::from_utf8_lossy(key).into_owned(),
        _ => "without a key".to_owned(),
    };
    Err(DamagedRow { table, key }.into())
}

/// Executes a statement whose parameters are the values of a row, followed by its checksum.
pub(super) fn write(connection: &Connection, sql: &str, table: &str, values: &[Value]) -> rusqlite::Result<usize> {
    let sum = Value::Integer(checksum(table, values.iter().map(ValueRef::from)));
    let all = values.iter().chain([&sum]).map(|value| ToSqlOutput::Borrowed(ValueRef::from(value)));
    connection.prepare_cached(sql)?.execute(params_from_iter(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_counts_with_its_type() {
        let of = |values: &[ValueRef<'_>]| checksum("t", values.iter().copied());
        let sum = of(&[ValueRef::Integer(1), ValueRef::Text(b"a"), ValueRef::Null]);
        for other in [
            of(&[ValueRef::Integer(2), ValueRef::Text(b"a"), ValueRef::Null]),
            of(&[ValueRef::Integer(1), ValueRef::Blob(b"a"), ValueRef::Null]),
            of(&[ValueRef::Integer(1), ValueRef::Text(b""), ValueRef::Text(b"a")]),
            of(&[ValueRef::Real(1.0), ValueRef::Text(b"a"), ValueRef::Null]),
            of(&[ValueRef::Integer(1), ValueRef::Text(b"a")]),
            checksum("u", [ValueRef::Integer(1), ValueRef::Text(b"a"), ValueRef::Null]),
        ] {
            assert_ne!(other, sum);
        }
        assert_eq!(of(&[ValueRef::Real(-0.0)]), of(&[ValueRef::Real(0.0)]));
    }

    /// The stored form must not change under logs that exist.
    #[test]
    fn the_checksum_is_pinned() {
        let row = [ValueRef::Text(b"EURUSD"), ValueRef::Integer(1), ValueRef::Real(1.5), ValueRef::Null];
        assert_eq!(checksum("bars", row), -1_537_539_141_075_375_017);
    }
}
