//! Relayed messages: the latest value of every state, and the last ordered messages of each audience. They share the
//! transactions of the signal log, but have their own numbers and are not chained.

use chrono::{DateTime, Utc};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row};

use super::{meta, row};
use crate::domain::{Audience, Class, MessageType, PrunedMessages, RelayedMessage, parse_epoch_millis};

/// Ordered messages that are kept for the audience of all users. It has more message types and readers than a single
/// user.
const MAX_MESSAGES_FOR_ALL: u64 = 500;
/// Maximum number of states over all audiences; the ones that are unchanged for the longest time are removed first.
const MAX_STATES: u64 = 20_000;
/// Maximum number of ordered messages that one transaction prunes.
const MAX_PRUNED_AT_ONCE: usize = 250;

/// Finds the type of messages with a name.
pub(super) type FindMessageType = fn(&str) -> Option<MessageType>;

/// The table.
pub(super) const TABLE: &str = "published";
/// The `meta` key for the number of the last pruned ordered message of any user.
const PRUNED: &str = "pruned_messages";

/// Returns the columns of a message.
fn columns(seq: u64, message: &RelayedMessage, data: &str) -> [Value; 6] {
    let key = (message.kind.class() == Class::State).then(|| message.key.to_string());
    [
        Value::Integer(seq as i64),
        Value::Integer(message.at.timestamp_millis()),
        message.kind.name().to_owned().into(),
        message.audience.to_string().into(),
        key.into(),
        data.to_owned().into(),
    ]
}

/// Appends messages after number `head`, and keeps the last `kept` ordered ones of each user. Returns the new head.
pub(super) fn append<'a>(
    transaction: &Connection,
    head: u64,
    messages: impl Iterator<Item = &'a RelayedMessage>,
    kept: u64,
) -> rusqlite::Result<u64> {
    let insert =
        "INSERT INTO published (seq, at, kind, audience, key, data, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let replace_row = "INSERT OR REPLACE INTO published (seq, at, kind, audience, key, data, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut replace = transaction
        .prepare_cached("DELETE FROM published WHERE audience = ?1 AND kind = ?2 AND key = ?3 AND key IS NOT NULL")?;
    let mut oldest = transaction.prepare_cached(
        "SELECT seq FROM published WHERE key IS NULL AND audience = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2",
    )?;
    let mut forget =
        transaction.prepare_cached("DELETE FROM published WHERE key IS NULL AND audience = ?1 AND seq < ?2")?;
    // The row of the last removed message stays without its content. A reader that stopped before it has missed
    // something.
    let mut head = head;
    for message in messages {
        head += 1;
        let audience = message.audience.to_string();
        let key = (message.kind.class() == Class::State).then_some(&*message.key);
        if key.is_some() {
            replace.execute((&audience, message.kind.name(), key))?;
        }
        row::write(transaction, insert, TABLE, &columns(head, message, &message.data))?;
        if key.is_none() {
            let kept = if message.audience == Audience::All { MAX_MESSAGES_FOR_ALL } else { kept };
            if let Some(last) = oldest.query_row((&audience, kept), |row| row.get::<_, u64>(0)).optional()? {
                forget.execute((&audience, last))?;
                // Only its number and audience are needed from now on.
                row::write(transaction, replace_row, TABLE, &columns(last, message, ""))?;
            }
        }
    }
    Ok(head)
}

/// Returns how many ordered messages of users exceed `most`. With a million messages it takes 0.2 s.
pub(super) fn excess(connection: &Connection, most: u64) -> rusqlite::Result<u64> {
    let count = "SELECT count(*) FROM published WHERE key IS NULL AND audience >= 'user:' AND audience < 'user;'";
    let count: u64 = connection.prepare_cached(count)?.query_row([], |row| row.get(0))?;
    Ok(count.saturating_sub(most))
}

/// Removes some of the oldest ordered messages of users: `excess` of them, and those from before `kept_since`. Returns
/// how many. It removes from the front across all users, so that a single number describes what is gone.
pub(super) fn prune_messages(
    transaction: &Connection,
    kept_since: DateTime<Utc>,
    excess: u64,
) -> rusqlite::Result<u64> {
    let before = pruned(transaction)?;
    // The `+` makes SQLite scan in table order and not by the index on audiences.
    let mut oldest = transaction.prepare_cached(
        "SELECT seq, at FROM published \
         WHERE seq > ?1 AND key IS NULL AND +audience >= 'user:' AND +audience < 'user;' ORDER BY seq LIMIT ?2",
    )?;
    let mut rows = oldest.query((before, MAX_PRUNED_AT_ONCE))?;
    let (mut last, mut removed) = (before, 0);
    while let Some(row) = rows.next()? {
        if removed >= excess && row.get::<_, i64>(1)? >= kept_since.timestamp_millis() {
            break;
        }
        last = row.get(0)?;
        removed += 1;
    }
    if removed > 0 {
        let gone = "DELETE FROM published WHERE seq > ?1 AND seq <= ?2 AND key IS NULL \
                    AND +audience >= 'user:' AND +audience < 'user;'";
        transaction.prepare_cached(gone)?.execute((before, last))?;
        note_pruned(transaction, last)?;
    }
    Ok(removed)
}

/// Returns the number of the last pruned ordered message of any user. Every user may have lost messages up to it.
pub(super) fn pruned(connection: &Connection) -> rusqlite::Result<u64> {
    Ok(meta::get(connection, PRUNED)?.unwrap_or(0))
}

/// Stores that ordered messages of users may be lost up to this number.
pub(super) fn note_pruned(transaction: &Connection, last: u64) -> rusqlite::Result<()> {
    meta::set(transaction, PRUNED, Value::Integer(last as i64))
}

/// Removes the messages after `head`.
pub(super) fn rewind(transaction: &Connection, head: u64) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM published WHERE seq > ?1", [head])?;
    Ok(())
}

/// Removes states beyond [`MAX_STATES`]. Called periodically, not at every append.
pub(super) fn prune(transaction: &Connection) -> rusqlite::Result<u64> {
    let mut statement = transaction.prepare_cached(
        "DELETE FROM published WHERE key IS NOT NULL AND seq <= \
         (SELECT seq FROM published WHERE key IS NOT NULL ORDER BY seq DESC LIMIT 1 OFFSET ?1)",
    )?;
    statement.execute([MAX_STATES]).map(|removed| removed as u64)
}

/// Returns the number of the newest message, even when it has been removed since.
pub(super) fn head(connection: &Connection) -> rusqlite::Result<u64> {
    let newest = "SELECT seq FROM sqlite_sequence WHERE name = 'published'";
    Ok(connection.query_row(newest, [], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Checks every message; fails at the first damaged one.
pub(super) fn check(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(ALL)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        row::check(TABLE, row, 6)?;
    }
    pruned(connection).map(drop)
}

/// All rows with their checksums.
const ALL: &str = "SELECT seq, at, kind, audience, key, data, checksum FROM published ORDER BY seq";

/// Returns all kept messages, oldest first, and which ones have been removed.
pub(super) fn all(
    connection: &Connection,
    message_type: FindMessageType,
) -> rusqlite::Result<(Vec<RelayedMessage>, PrunedMessages)> {
    let mut statement = connection.prepare(ALL)?;
    let rows = statement.query_map([], |row| read(row, message_type))?;
    // A message type that no dashboard declares is skipped.
    let all: Vec<RelayedMessage> = rows.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    let (forgotten, kept): (Vec<_>, _) = all.into_iter().partition(|message| message.data.is_empty());
    let of = forgotten.into_iter().map(|message| (message.audience, message.seq)).collect();
    Ok((kept, PrunedMessages { of, users: pruned(connection)? }))
}

/// Returns the messages of a query on the kept ordered ones.
pub(super) fn ordered(
    connection: &Connection,
    rest: &str,
    parameters: impl rusqlite::Params,
    message_type: FindMessageType,
) -> rusqlite::Result<Vec<RelayedMessage>> {
    let sql = format!("SELECT seq, at, kind, audience, key, data, checksum FROM published {rest}");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(parameters, |row| read(row, message_type))?;
    let messages = rows.filter_map(Result::transpose);
    messages.filter(|read| read.as_ref().map_or(true, |message| !message.data.is_empty())).collect()
}

fn read(row: &Row<'_>, message_type: FindMessageType) -> rusqlite::Result<Option<RelayedMessage>> {
    row::check(TABLE, row, 6)?;
    let kind = message_type(row.get_ref(2)?.as_str()?);
    let audience = match row.get_ref(3)?.as_str()? {
        "all" => Some(Audience::All),
        "admin" => Some(Audience::Admin),
        other => other.strip_prefix("user:").map(|user| Audience::User(user.into())),
    };
    let key: Option<String> = row.get(4)?;
    let (seq, at, data) = (row.get(0)?, parse_epoch_millis(row.get(1)?), row.get::<_, String>(5)?);
    Ok(kind.zip(audience).map(|(kind, audience)| RelayedMessage {
        seq,
        kind,
        audience,
        key: key.unwrap_or_default().into(),
        data: data.into(),
        at,
    }))
}
