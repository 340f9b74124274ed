//! Copies the intact part of a damaged log into a new one: each chain up to its first damage, and every other row whose
//! checksum matches.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Row, params_from_iter};

use super::chain::ChainLink;
use super::offline::StoredEvent;
use super::watermark::Heads;
use super::{bars, checked, compare, outcomes, passing, row, schema, tree, users};

/// The result of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Salvaged {
    /// The heads of the new log.
    pub(super) heads: Heads,
    /// The numbers of copied events, records, messages, users and bars.
    counts: [u64; 5],
    /// What is lost, a line each.
    pub(super) lost: Vec<String>,
}

impl Salvaged {
    /// Describes what was copied.
    pub(super) fn kept(&self) -> String {
        let [events, records, messages, users, bars] = self.counts;
        let last = self.heads.events.seq;
        let range = match events {
            0 => String::new(),
            _ => format!(" ({}–{last})", last + 1 - events),
        };
        format!("{events} events{range}, {records} records, {messages} messages, notes on {users} users, {bars} bars")
    }
}

/// Returns the number of the last event of the intact chain; 0 when no event can be read.
pub(super) fn last_whole_event(source: &Connection) -> u64 {
    let anchor = anchor(source);
    whole_events(source, anchor, |_| Ok(())).map_or(0, |(link, _)| link.seq)
}

/// Makes an empty log when nothing can be read.
pub(super) fn nothing(target: &Connection, acknowledged: Option<&Heads>) -> rusqlite::Result<Salvaged> {
    let published = acknowledged.map_or(0, |heads| heads.published);
    continue_messages(target, published, true)?;
    let lost = vec!["everything: the database cannot be read".to_owned()];
    Ok(Salvaged { heads: compare::heads(target)?, counts: [0; 5], lost })
}

/// Copies the intact part of `source` into the empty log `target`.
pub(super) fn copy(
    source: &Connection,
    target: &Connection,
    acknowledged: Option<&Heads>,
) -> rusqlite::Result<Salvaged> {
    let mut lost = Vec::new();
    let events = copy_events(source, target, &mut lost)?;
    let records = copy_records(source, target, &mut lost)?;
    lost.extend(tree::salvage(source, target)?);
    copy_open_records(source, target, &mut lost)?;
    let messages = copy_messages(source, target, acknowledged, &mut lost)?;
    let users = copy_users(source, target, &mut lost)?;
    let bars = copy_bars(source, target, &mut lost)?;
    Ok(Salvaged { heads: compare::heads(target)?, counts: [events, records, messages, users, bars], lost })
}

/// Returns the link before the first event. A damaged anchor is derived from the first event.
fn anchor(source: &Connection) -> ChainLink {
    let first = || {
        let sql = "SELECT seq, hash FROM signal_events ORDER BY seq LIMIT 1";
        let first = source.query_row(sql, [], schema::link).ok()?;
        // Its own hash cannot be checked without the previous one, so it becomes the anchor.
        Some(if first.seq == 1 { ChainLink::START } else { first })
    };
    schema::anchor(source).ok().or_else(first).unwrap_or(ChainLink::START)
}

/// Calls `visit` for each event of the intact chain. Returns the last link, and what is wrong after it.
fn whole_events(
    source: &Connection,
    anchor: ChainLink,
    mut visit: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<(ChainLink, Option<String>)> {
    let mut statement = match source.prepare(StoredEvent::AFTER) {
        Ok(statement) => statement,
        Err(error) => return Ok((anchor, Some(error.to_string()))),
    };
    let mut rows = statement.query((anchor.seq, -1))?;
    let mut link = anchor;
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok((link, None)),
            Err(error) => return Ok((link, Some(error.to_string()))),
        };
        let followed = match StoredEvent::read(row) {
            Ok(event) => link.follow(&event.row, event.hash),
            Err(error) => Err(error.to_string()),
        };
        match followed {
            Ok(next) => {
                visit(row)?;
                link = next;
            }
            Err(what) => return Ok((link, Some(what))),
        }
    }
}

fn copy_events(source: &Connection, target: &Connection, lost: &mut Vec<String>) -> rusqlite::Result<u64> {
    let anchor = anchor(source);
    let mut insert = target.prepare(
        "INSERT INTO signal_events (seq, at, stored_at, signal_id, status, reason, source, body, hash) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let (head, ended) = whole_events(source, anchor, |row| insert_row(&mut insert, row, 9))?;
    if let Some(why) = ended {
        lost.push(format!("every event after {} ({why})", head.seq));
    }
    if anchor != ChainLink::START {
        schema::set_anchor(target, anchor)?;
    }
    target.execute(
        "INSERT INTO signals (first_seq, last_seq, id, status, symbol, killzone, updated_at) \
         SELECT f.first, e.seq, e.signal_id, e.status, e.body ->> 'symbol', e.body ->> 'killzone', e.at \
         FROM (SELECT min(seq) AS first, max(seq) AS last FROM signal_events GROUP BY signal_id) f \
         JOIN signal_events e ON e.seq = f.last",
        [],
    )?;
    Ok(head.seq - anchor.seq)
}

fn insert_row(insert: &mut rusqlite::Statement<'_>, row: &Row<'_>, columns: usize) -> rusqlite::Result<()> {
    let values = (0..columns).map(|column| row.get_ref(column)).collect::<rusqlite::Result<Vec<ValueRef<'_>>>>()?;
    insert
        .execute(params_from_iter(values.iter().map(|value| rusqlite::types::ToSqlOutput::Borrowed(*value))))
        .map(drop)
}

/// Calls `visit` for each row until it returns a reason to stop, or the source cannot be read. Returns the reason.
///
/// # Errors
/// Those of `visit`.
fn each_row(
    source: &Connection,
    sql: &str,
    after: u64,
    mut visit: impl FnMut(&Row<'_>) -> rusqlite::Result<Option<String>>,
) -> rusqlite::Result<Option<String>> {
    let mut statement = match source.prepare(sql) {
        Ok(statement) => statement,
        Err(error) => return Ok(Some(error.to_string())),
    };
    let mut rows = statement.query([after])?;
    loop {
        match rows.next() {
            Ok(Some(row)) => {
                if let Some(why) = visit(row)? {
                    return Ok(Some(why));
                }
            }
            Ok(None) => return Ok(None),
            Err(error) => return Ok(Some(error.to_string())),
        }
    }
}

/// The result of copying the rows of a table.
struct RowsCopied {
    copied: u64,
    damaged: u64,
    /// Why reading stopped early.
    ended: Option<String>,
}

/// Copies every row of a table whose checksum matches.
fn copy_rows(
    source: &Connection,
    target: &Connection,
    table: &'static str,
    columns: &[&str],
) -> rusqlite::Result<RowsCopied> {
    let (names, places) = (columns.join(", "), vec!["?"; columns.len() + 1].join(", "));
    let mut insert = target.prepare(&format!("INSERT INTO {table} ({names}, checksum) VALUES ({places})"))?;
    let (mut copied, mut damaged) = (0, 0);
    let sql = format!("SELECT {names}, checksum FROM {table} WHERE ?1 = 0");
    let ended = each_row(source, &sql, 0, |row| {
        if row::check(table, row, columns.len()).is_err() {
            damaged += 1;
            return Ok(None);
        }
        match insert_row(&mut insert, row, columns.len() + 1) {
            Ok(()) => copied += 1,
            // A damaged tree can yield a row twice.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => damaged += 1,
            Err(error) => return Err(error),
        }
        Ok(None)
    })?;
    Ok(RowsCopied { copied, damaged, ended })
}

fn copy_records(source: &Connection, target: &Connection, lost: &mut Vec<String>) -> rusqlite::Result<u64> {
    let Ok(anchor) = outcomes::anchor(source) else {
        lost.push("every record of confirmed signals: where they begin is damaged".into());
        return Ok(0);
    };
    let is_pruned = schema::anchor(target)? != ChainLink::START;
    let mut insert = target.prepare(
        "INSERT INTO outcomes (seq, closed_at, stored_at, taken_over, signal_id, body, hash) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let mut status = target.prepare("SELECT status FROM signals WHERE id = ?1")?;
    let sql = "SELECT seq, closed_at, stored_at, taken_over, signal_id, body, hash FROM outcomes \
               WHERE seq > ?1 ORDER BY seq";
    let mut link = anchor;
    let mut next = |link: ChainLink, row: &Row<'_>| -> rusqlite::Result<Result<ChainLink, String>> {
        let (record, hash) = checked::stored_record(row)?;
        let mut found = status.query_map([record.signal_id], |row| row.get::<_, String>(0))?;
        let is_confirmed = found.next().transpose()?.map_or(is_pruned, |status| status == "confirmed");
        Ok(match link.follow(&record, hash) {
            Ok(_) if !is_confirmed => Err(format!("the confirmation of signal {} is lost", record.signal_id)),
            followed => followed,
        })
    };
    let ended = each_row(source, sql, anchor.seq, |row| match next(link, row) {
        Ok(Ok(followed)) => {
            insert_row(&mut insert, row, 7)?;
            link = followed;
            Ok(None)
        }
        Ok(Err(what)) => Ok(Some(what)),
        Err(error) => Ok(Some(error.to_string())),
    })?;
    if let Some(why) = ended {
        lost.push(format!("every record of confirmed signals after {} ({why})", link.seq));
    }
    if anchor != ChainLink::START {
        outcomes::set_anchor(target, anchor)?;
    }
    Ok(link.seq - anchor.seq)
}

fn copy_open_records(source: &Connection, target: &Connection, lost: &mut Vec<String>) -> rusqlite::Result<()> {
    outcomes::begin_missing(target)?;
    let mut damaged = 0;
    let ended = outcomes::for_each_open(source, |open| {
        match open {
            Ok((id, body)) => outcomes::set_open(target, &id, body.as_deref())?,
            Err(_) => damaged += 1,
        }
        Ok(())
    });
    if damaged > 0 || ended.is_err() {
        lost.push("how far the records of some open signals had come".into());
    }
    Ok(())
}

/// Copies messages, and continues their numbers so that none is assigned twice.
fn copy_messages(
    source: &Connection,
    target: &Connection,
    acknowledged: Option<&Heads>,
    lost: &mut Vec<String>,
) -> rusqlite::Result<u64> {
    let columns = ["seq", "at", "kind", "audience", "key", "data"];
    let RowsCopied { copied, damaged, ended } = copy_rows(source, target, passing::TABLE, &columns)?;
    if damaged > 0 {
        lost.push(format!("{damaged} damaged messages"));
    }
    if let Some(why) = &ended {
        lost.push(format!("every message that could not be read ({why})"));
    }
    let found = passing::head(source).unwrap_or(0);
    let head = acknowledged.map_or(found, |heads| heads.published.max(found));
    let pruned = passing::pruned(source);
    let is_short = damaged > 0 || ended.is_some() || head > found || pruned.is_err();
    if let Ok(pruned @ 1..) = pruned {
        passing::note_pruned(target, pruned)?;
    }
    continue_messages(target, head, is_short)?;
    Ok(copied)
}

/// Continues the message numbers after `head`. With `is_short`, marks the messages up to it as possibly lost.
fn continue_messages(target: &Connection, head: u64, is_short: bool) -> rusqlite::Result<()> {
    target.execute("DELETE FROM sqlite_sequence WHERE name = 'published'", [])?;
    target.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('published', ?1)", [head])?;
    if is_short && head > 0 {
        passing::note_pruned(target, head)?;
    }
    Ok(())
}

fn copy_users(source: &Connection, target: &Connection, lost: &mut Vec<String>) -> rusqlite::Result<u64> {
    let columns = ["user", "not_before", "seen", "noted"];
    let RowsCopied { copied, damaged, ended } = copy_rows(source, target, users::TABLE, &columns)?;
    if damaged > 0 || ended.is_some() {
        lost.push("notes about some users: revoke tokens again that were revoked".into());
    }
    Ok(copied)
}

fn copy_bars(source: &Connection, target: &Connection, lost: &mut Vec<String>) -> rusqlite::Result<u64> {
    let columns = ["symbol", "opened_at", "open", "high", "low", "close", "volume", "simulated"];
    let RowsCopied { copied, damaged, ended } = copy_rows(source, target, bars::TABLE, &columns)?;
    if damaged > 0 {
        lost.push(format!("{damaged} damaged bars"));
    }
    if let Some(why) = ended {
        lost.push(format!("every bar that could not be read ({why})"));
    }
    Ok(copied)
}
