//! Migrations of the database, one file each.
//!
//! A released migration is frozen: it has run on somebody's log. It works on columns and JSON as they were then, and its Rust
//! code has its own copies of the types and hashes that it needs: nothing here uses the rest of the crate but for the error.
//! `store/tests/migration.rs` upgrades a fixture of every released schema.

mod chained_records;
mod checksums;
mod tree;

use std::path::Path;

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

use super::error::StoreError;

/// The newest schema version that this program knows.
pub(super) const VERSION: usize = 8;

/// The first schema version whose log has a watermark, and whose rows have checksums.
pub(super) const FIRST_WITH_WATERMARK: usize = 6;

/// What each step brings.
pub(super) const STEPS: [&str; VERSION] = [
    "the log of signals",
    "messages for dashboards",
    "users: revoked tokens and marks of delivery",
    "records of confirmed signals",
    "the records become a chain of hashes",
    "checksums of every row, and the watermark",
    "an index of the events by time, for replays",
    "a Merkle tree over events and records, for signed checkpoints",
];

/// All migrations, oldest first. Append to this list; never change or remove an entry.
fn all() -> [M<'static>; VERSION] {
    [
        M::up(include_str!("0001_signal_log.sql")),
        M::up(include_str!("0002_published.sql")),
        M::up(include_str!("0003_users.sql")),
        M::up(include_str!("0004_outcomes.sql")),
        M::up_with_hook(include_str!("0005_chained_records.sql"), |transaction: &rusqlite::Transaction<'_>| {
            Ok(chained_records::build(transaction)?)
        }),
        M::up_with_hook(include_str!("0006_checksums.sql"), |transaction: &rusqlite::Transaction<'_>| {
            Ok(checksums::add(transaction)?)
        }),
        M::up(include_str!("0007_events_by_time.sql")),
        M::up_with_hook(include_str!("0008_tree.sql"), |transaction: &rusqlite::Transaction<'_>| {
            Ok(tree::build(transaction)?)
        }),
    ]
}

/// Brings the database up to [`VERSION`].
///
/// # Errors
/// When SQLite fails, or the database is not what the earlier release wrote.
pub(super) fn run(connection: &mut Connection, file: &Path) -> Result<(), StoreError> {
    Migrations::new(all().into()).to_latest(connection).map_err(|error| match error {
        rusqlite_migration::Error::RusqliteError { err, .. } => StoreError::sqlite(file, &err),
        other => StoreError::Damaged { file: file.into(), what: other.to_string() },
    })
}
