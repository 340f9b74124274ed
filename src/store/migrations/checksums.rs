//! Step 6: rows outside the chains get checksums. Frozen.

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use sha2::{Digest, Sha256};

/// Gives every existing row its checksum.
pub(super) fn add(transaction: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    transaction.create_scalar_function("row_checksum", -1, flags, |arguments| {
        let table = arguments.get_raw(0).as_str()?;
        Ok(checksum(table, (1..arguments.len()).map(|at| arguments.get_raw(at))))
    })?;
    transaction.execute_batch(
        "UPDATE meta SET checksum = row_checksum('meta', key, value);
         UPDATE bars SET checksum = row_checksum('bars', symbol, opened_at, open, high, low, close, volume, simulated);
         UPDATE published SET checksum = row_checksum('published', seq, at, kind, audience, key, data);
         UPDATE users SET checksum = row_checksum('users', user, not_before, seen, noted);",
    )?;
    transaction.remove_function("row_checksum", -1)
}

/// The first 8 bytes of the SHA-256 of the table's name and the values, each with its type and its length.
fn checksum<'a>(table: &str, values: impl Iterator<Item = ValueRef<'a>>) -> i64 {
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
            ValueRef::Real(real) => add(b'r', &(real + 0.0).to_bits().to_le_bytes()),
            ValueRef::Text(text) => add(b's', text),
            ValueRef::Blob(blob) => add(b'b', blob),
        }
    }
    let digest = hasher.finalize();
    digest.iter().take(8).rev().fold(0, |sum, byte| sum << 8 | i64::from(*byte))
}
