//! What is remembered of users: since when their tokens count, and what has reached them.

use rusqlite::{Connection, Row};

use crate::domain::{UserNote, parse_epoch_millis};

/// Users that are remembered; beyond that, those longest unspoken of are forgotten.
const KEPT: u64 = 100_000;

/// Keeps notes. What they say only ever moves on.
pub(super) fn note<'a>(transaction: &Connection, notes: impl Iterator<Item = &'a UserNote>) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO users (user, not_before, seen, noted) \
         VALUES (?1, ?2, ?3, (SELECT coalesce(max(noted), 0) + 1 FROM users)) \
         ON CONFLICT (user) DO UPDATE SET noted = excluded.noted, \
         not_before = max(coalesce(not_before, excluded.not_before), coalesce(excluded.not_before, not_before)), \
         seen = max(coalesce(seen, excluded.seen), coalesce(excluded.seen, seen))",
    )?;
    for UserNote { user, not_before, seen } in notes {
        statement.execute((&**user, not_before.map(|at| at.timestamp_millis()), seen))?;
    }
    Ok(())
}

/// Forgets users beyond those that are remembered; called now and then.
pub(super) fn prune(transaction: &Connection) -> rusqlite::Result<u64> {
    let mut statement = transaction.prepare_cached(
        "DELETE FROM users WHERE noted <= (SELECT noted FROM users ORDER BY noted DESC LIMIT 1 OFFSET ?1)",
    )?;
    statement.execute([KEPT]).map(|removed| removed as u64)
}

/// Everybody who is remembered.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<UserNote>> {
    let mut statement = connection.prepare("SELECT user, not_before, seen FROM users")?;
    statement.query_map([], read)?.collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<UserNote> {
    let not_before: Option<i64> = row.get(1)?;
    Ok(UserNote {
        user: row.get::<_, String>(0)?.into(),
        not_before: not_before.map(parse_epoch_millis),
        seen: row.get(2)?,
    })
}
