//! The notes about users: since when their tokens are valid, and which message reached them last.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row};

use super::row;
use crate::domain::{UserNote, parse_epoch_millis};

/// Maximum number of users; beyond it, those with the oldest notes are removed.
const MAX_USERS: u64 = 100_000;
/// Maximum number of notes of the notices among them.
const MAX_NOTICE_NOTES: u64 = 20_000;
/// The table.
pub(super) const TABLE: &str = "users";
/// All rows with their checksums.
const ALL: &str = "SELECT user, not_before, seen, noted, checksum FROM users";

/// Stores notes. Their values only ever increase.
///
/// # Errors
/// When the stored row of a user is damaged. Merging the note would hide the damage.
pub(super) fn upsert_notes<'a>(
    transaction: &Connection,
    notes: impl Iterator<Item = &'a UserNote>,
) -> rusqlite::Result<()> {
    let mut stored =
        transaction.prepare_cached("SELECT user, not_before, seen, noted, checksum FROM users WHERE user = ?1")?;
    for UserNote { user, not_before, seen } in notes {
        let known = stored.query_row([&**user], |row| {
            row::check(TABLE, row, 4)?;
            Ok((row.get::<_, Option<i64>>(1)?, row.get::<_, Option<u64>>(2)?))
        });
        let (known_not_before, known_seen) = known.optional()?.unwrap_or_default();
        // `None` is less than every value.
        let not_before = not_before.map(|at| at.timestamp_millis()).max(known_not_before);
        let seen = (*seen).max(known_seen);
        let noted = last_note(transaction)? + 1;
        insert(transaction, user, not_before, seen, noted)?;
    }
    Ok(())
}

/// Writes the row of a user.
fn insert(
    transaction: &Connection,
    user: &str,
    not_before: Option<i64>,
    seen: Option<u64>,
    noted: u64,
) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO users (user, not_before, seen, noted, checksum) VALUES (?1, ?2, ?3, ?4, ?5)";
    let seen = seen.map(|seen| seen as i64);
    let values = [Value::from(user.to_owned()), not_before.into(), seen.into(), Value::Integer(noted as i64)];
    row::write(transaction, sql, TABLE, &values).map(drop)
}

/// Returns the number of the last note; 0 before the first.
pub(super) fn last_note(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT coalesce(max(noted), 0) FROM users")?.query_row([], |row| row.get(0))
}

/// Removes users beyond [`MAX_USERS`], and notes of the notices beyond [`MAX_NOTICE_NOTES`]: those with the oldest notes.
/// Called periodically.
pub(super) fn prune(transaction: &Connection) -> rusqlite::Result<u64> {
    let mut statement = transaction.prepare_cached(
        "DELETE FROM users WHERE noted <= (SELECT noted FROM users ORDER BY noted DESC LIMIT 1 OFFSET ?1)",
    )?;
    let removed = statement.execute([MAX_USERS])?;
    // Names that begin with the prefix: its last character is followed by the next one.
    let mut statement = transaction.prepare_cached(
        "DELETE FROM users WHERE user >= ?1 AND user < ?2 AND noted <= \
         (SELECT noted FROM users WHERE user >= ?1 AND user < ?2 ORDER BY noted DESC LIMIT 1 OFFSET ?3)",
    )?;
    let after = UserNote::NOTICES.replace('\u{1f}', " ");
    let of_notices = statement.execute((UserNote::NOTICES, after, MAX_NOTICE_NOTES))?;
    Ok((removed + of_notices) as u64)
}

/// Returns the last message of a note; `None` when there is none.
pub(super) fn seen(connection: &Connection, user: &str) -> rusqlite::Result<Option<u64>> {
    let sql = "SELECT user, not_before, seen, noted, checksum FROM users WHERE user = ?1";
    let note = connection.prepare_cached(sql)?.query_row([user], read).optional()?;
    Ok(note.and_then(|note| note.seen))
}

/// Checks every row; fails at the first damaged one.
pub(super) fn check(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(ALL)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        row::check(TABLE, row, 4)?;
    }
    Ok(())
}

/// Returns the notes about all users.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<UserNote>> {
    let mut statement = connection.prepare(ALL)?;
    statement.query_map([], read)?.collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<UserNote> {
    row::check(TABLE, row, 4)?;
    let not_before: Option<i64> = row.get(1)?;
    Ok(UserNote {
        user: row.get::<_, String>(0)?.into(),
        not_before: not_before.map(parse_epoch_millis),
        seen: row.get(2)?,
    })
}
