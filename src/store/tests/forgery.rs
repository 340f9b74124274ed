//! Whatever is done to the history, one earlier checkpoint shows it.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rusqlite::backup::Backup;

use super::*;
use crate::store::chain::{ChainLink, Chained};
use crate::store::offline::StoredEvent;
use crate::store::verify::verify_all;

/// A log of 30 leaves: every signal is pending, then confirmed, and every second one ends.
async fn history(dir: &Path) {
    let (store, _) = open(dir);
    for number in 0..12 {
        let id = number.to_string();
        store.log(vec![pending(&id), confirmed(&id)]).await.unwrap();
        if number % 2 == 1 {
            store.append_outcomes(vec![records::outcome(&id, 1.0)], Vec::new()).await.unwrap();
        }
    }
    store.close().await.unwrap();
}

fn copy(of: &Connection) -> Connection {
    let mut copy = Connection::open_in_memory().unwrap();
    Backup::new(of, &mut copy).unwrap().run_to_completion(1_000, Duration::ZERO, None).unwrap();
    copy
}

/// Gives the rows of both chains their right hashes again, and builds the tree anew.
fn rechain(log: &Connection) {
    let (mut link, mut events) = (ChainLink::START, Vec::new());
    let mut statement = log.prepare(StoredEvent::AFTER).unwrap();
    let mut rows = statement.query((0, -1)).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let row = StoredEvent::read(row).unwrap().row;
        link = ChainLink { seq: row.seq, hash: row.hash(&link.hash) };
        events.push(link);
    }
    for link in events {
        log.execute("UPDATE signal_events SET hash = ?2 WHERE seq = ?1", (link.seq, link.hash)).unwrap();
    }
    let sql = "SELECT seq, closed_at, stored_at, taken_over, signal_id, body, hash FROM outcomes ORDER BY seq";
    let (mut link, mut records) = (ChainLink::START, Vec::new());
    let mut statement = log.prepare(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let row = checked::stored_record(row).unwrap().0;
        link = ChainLink { seq: row.seq, hash: row.hash(&link.hash) };
        records.push(link);
    }
    for link in records {
        log.execute("UPDATE outcomes SET hash = ?2 WHERE seq = ?1", (link.seq, link.hash)).unwrap();
    }
    // The order of the leaves stays.
    let mut end = tree::TreeEnd::START;
    let mut order = log.prepare("SELECT leaf FROM tree ORDER BY leaf").unwrap();
    let leaves: Vec<u64> = order.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let entries: Vec<_> = leaves.into_iter().map(|leaf| tree::leaf(log, leaf).unwrap().0).collect();
    log.execute("DELETE FROM tree", []).unwrap();
    for entry in entries {
        end.append(log, entry, &tree::data(log, entry).unwrap().unwrap()).unwrap();
    }
}

/// Removes the end of the log, as its own program would.
fn cut(log: &Connection, leaves: u64) {
    let (event, record): (u64, u64) =
        log.query_row("SELECT event, record FROM tree WHERE leaf = ?1", [leaves - 1], |row| row.try_into()).unwrap();
    commit::rewind(log, queries::link_at(log, event).unwrap().unwrap()).unwrap();
    outcomes::rewind(log, outcomes::link_at(log, record).unwrap().unwrap_or(ChainLink::START)).unwrap();
    tree::rewind(log, event, record).unwrap();
}

/// Goes on with other entries.
fn append(log: &Connection, random: &mut StdRng, count: u64) {
    let mut end = tree::end(log).unwrap();
    for number in 0..count {
        let signal = pending(&format!("other-{number}-{}", random.random_range(0..1_000)));
        let head = schema::head(log).unwrap();
        commit::append(log, head, &mut end, [signal].iter(), start()).unwrap();
    }
}

/// Changes one entry below a number of leaves.
fn alter(log: &Connection, random: &mut StdRng, leaves: u64) -> String {
    let (entry, _) = tree::leaf(log, random.random_range(0..leaves)).unwrap();
    let (table, seq) = match entry {
        tree::Entry::Event(seq) => ("signal_events", seq),
        tree::Entry::Record(seq) => ("outcomes", seq),
    };
    let change = match (table, random.random_range(0..4)) {
        (_, 0) => "stored_at = stored_at + 1",
        ("signal_events", 1) => "source = source || 'x'",
        ("signal_events", 2) => "body = replace(body, '0.85', '0.95')",
        ("signal_events", _) => "body = replace(body, '1.0821', '1.0721')",
        (_, 1) => "taken_over = 1",
        (_, 2) => "body = replace(body, '\"r\":1.0', '\"r\":3.0')",
        (_, _) => "closed_at = closed_at - 60000",
    };
    let sql = format!("UPDATE {table} SET {change} WHERE seq = {seq}");
    assert_eq!(log.execute(&sql, []).unwrap(), 1);
    sql
}

#[tokio::test]
async fn one_checkpoint_shows_a_thousand_forgeries() {
    let dir = damage::fast_dir();
    history(dir.path()).await;
    let file = dir.path().join(DATABASE_FILE);
    let whole = Connection::open(&file).unwrap();
    let size = tree::end(&whole).unwrap().size;
    assert_eq!(size, 30);
    let mut found = [0; 4];
    for round in 0..1_000 {
        let mut random = StdRng::seed_from_u64(round);
        let leaves = random.random_range(2..=size);
        let checkpoint = TreeHead { size: leaves, root: tree::root(&whole, leaves).unwrap() };
        let log = copy(&whole);
        let way = (round % 4) as usize;
        let what = match way {
            0 => alter(&log, &mut random, leaves),
            1 => {
                let sql = alter(&log, &mut random, leaves);
                rechain(&log);
                sql
            }
            2 => {
                let left = random.random_range(1..leaves);
                cut(&log, left);
                format!("cut to {left}")
            }
            _ => {
                let left = random.random_range(1..leaves);
                cut(&log, left);
                append(&log, &mut random, size);
                format!("forked after {left}")
            }
        };
        let case = format!("round {round}, checkpoint of {leaves}: {what}");
        let alone = verify_all(&log, &file);
        // Only what was not put in order again shows without a checkpoint.
        assert_eq!(alone.is_err(), way == 0, "{case}: {alone:?}");
        let with_checkpoint = alone.and_then(|_| tree::check_earlier(&log, &file, &[checkpoint]));
        found[way] += u32::from(with_checkpoint.is_err());
        assert!(with_checkpoint.is_err(), "{case}");
    }
    assert_eq!(found, [250; 4]);
    assert_eq!(verify_all(&whole, &file).map(|found| found.tree.size), Ok(size), "the history itself is whole");
    for leaves in 0..=size {
        let checkpoint = TreeHead { size: leaves, root: tree::root(&whole, leaves).unwrap() };
        assert_eq!(tree::check_earlier(&whole, &file, &[checkpoint]), Ok(()), "{leaves}");
    }
}
