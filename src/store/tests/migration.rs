//! A log of every released schema is upgraded completely, and released migrations never change.
//!
//! `fixtures/schema-8.sql` is the dump of a log that a server wrote. The older ones are the same log after undoing the
//! migrations one by one, as those releases stored it.

use sha2::{Digest, Sha256};

use super::*;
use crate::domain::OutcomeClass;

const FIXTURES: [&str; migrations::VERSION] = [
    include_str!("fixtures/schema-1.sql"),
    include_str!("fixtures/schema-2.sql"),
    include_str!("fixtures/schema-3.sql"),
    include_str!("fixtures/schema-4.sql"),
    include_str!("fixtures/schema-5.sql"),
    include_str!("fixtures/schema-6.sql"),
    include_str!("fixtures/schema-7.sql"),
    include_str!("fixtures/schema-8.sql"),
];

/// The root of the tree over the events and records of the fixtures from schema 5 on.
const TREE: &str = "dd21bbf4519053327c5f53e2feca7ea9231abf1a3327d52471685fa37ca2aa28";

fn fixture(version: usize) -> TempDir {
    let dir = TempDir::new().unwrap();
    Connection::open(dir.path().join(DATABASE_FILE)).unwrap().execute_batch(FIXTURES[version - 1]).unwrap();
    dir
}

/// Opens the log with a clock of the fixture's day, so that nothing is old enough to be pruned.
fn upgraded(dir: &Path) -> (Store, Recovered) {
    let clock = || parse_time("2026-11-28T10:52:00Z").unwrap();
    open_with(dir, Options { recent_since: clock() - DAY, message_type: crate::app::message_type, clock, ..options() })
        .unwrap()
}

#[tokio::test]
async fn a_log_of_every_schema_is_upgraded_whole() {
    for version in 1..=migrations::VERSION {
        let dir = fixture(version);
        let (store, recovered) = upgraded(dir.path());
        assert_eq!((&*recovered.position.epoch, recovered.position.seq), ("okl44ym8zh", 13), "schema {version}");
        let pending: Vec<_> = recovered.pending.iter().map(|signal| signal.id.as_str()).collect();
        assert_eq!(pending, ["waiting"], "schema {version}");
        assert_eq!(recovered.published.len(), if version < 2 { 0 } else { 10 }, "schema {version}");
        assert_eq!(recovered.users.len(), usize::from(version >= 3), "schema {version}");
        let outcomes = store.reader().fold_outcomes(Vec::new(), Vec::push).await.unwrap();
        let mut ended: Vec<_> = outcomes.iter().map(|outcome| (outcome.signal.as_str(), outcome.class)).collect();
        ended.sort_unstable();
        let first = if version < 4 { OutcomeClass::Interrupted } else { OutcomeClass::Stop };
        let expected = match version {
            5.. => vec![
                ("hit", OutcomeClass::Stop),
                ("short", OutcomeClass::Targets),
                ("stopped", OutcomeClass::Stop),
                ("watched", OutcomeClass::Stop),
            ],
            _ => vec![
                ("hit", first),
                ("open", OutcomeClass::Interrupted),
                ("short", OutcomeClass::Interrupted),
                ("stopped", first),
                ("watched", OutcomeClass::Interrupted),
            ],
        };
        assert_eq!(ended, expected, "schema {version}");
        let open: Vec<_> = recovered.open_records.iter().map(|(signal, _)| signal.id.as_str()).collect();
        assert_eq!(open, if version < 5 { [].as_slice() } else { &["open"] }, "schema {version}");
        store.log(vec![confirmed("after")]).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        let found = verify(dir.path()).unwrap();
        assert_eq!((found.events, found.records.taken_over), (14, if version < 5 { 5 } else { 0 }), "schema {version}");
        // As computed by a script of its own for schemas that have the records of the newest one.
        let connection = Connection::open(dir.path().join(DATABASE_FILE)).unwrap();
        if version >= 5 {
            assert_eq!(hex(&tree::root(&connection, 17).unwrap()), TREE, "schema {version}");
        }
    }
}

/// Returns every table of the schema: its columns with their types and constraints, and its indexes.
fn shape(dir: &Path) -> Vec<String> {
    let connection = Connection::open(dir.join(DATABASE_FILE)).unwrap();
    let sql = "SELECT m.name || ' ' || c.name || ' ' || c.type || c.\"notnull\" || c.pk || coalesce(c.dflt_value, '') \
               FROM sqlite_schema m JOIN pragma_table_xinfo(m.name) c WHERE m.name NOT LIKE 'sqlite_%' \
               UNION ALL SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1";
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn every_upgrade_ends_in_the_same_tables() {
    let new = TempDir::new().unwrap();
    drop(open(new.path()));
    let expected = shape(new.path());
    assert!(expected.len() > 40, "{expected:?}");
    for version in 1..=migrations::VERSION {
        let dir = fixture(version);
        drop(upgraded(dir.path()));
        assert_eq!(shape(dir.path()), expected, "schema {version}");
    }
}

/// A released migration has run on logs of users. A new migration has to correct its errors.
#[test]
fn released_migrations_stay_as_they_are() {
    let released = [
        (include_str!("../migrations/0001_signal_log.sql"), "5bac2e4b280e99d8"),
        (include_str!("../migrations/0002_published.sql"), "9a0febef35ee2c89"),
        (include_str!("../migrations/0003_users.sql"), "70efafce3020e15d"),
        (include_str!("../migrations/0004_outcomes.sql"), "e1cac5be7ca21bae"),
        (include_str!("../migrations/0005_chained_records.sql"), "fc173b10e5008c6a"),
        (include_str!("../migrations/0006_checksums.sql"), "a696e70e92fc0670"),
        (include_str!("../migrations/0007_events_by_time.sql"), "b8d6a1246d2e2d6c"),
        (include_str!("../migrations/0008_tree.sql"), "2e078dab892a93d7"),
    ];
    assert_eq!(released.len(), migrations::VERSION, "a new step: add it here and a fixture of the schema before it");
    for (number, (sql, digest)) in released.into_iter().enumerate() {
        let statements: String = sql.lines().filter(|line| !line.starts_with("--")).collect();
        let found = hex(&Sha256::digest(statements)[..8]);
        assert_eq!(found, digest, "migration {} was changed", number + 1);
    }
}

/// The results of released migrations must not change when current types change.
#[test]
fn released_migrations_use_no_other_room() {
    let sources = [
        include_str!("../migrations/mod.rs"),
        include_str!("../migrations/chained_records.rs"),
        include_str!("../migrations/checksums.rs"),
        include_str!("../migrations/tree.rs"),
    ];
    for line in sources.iter().flat_map(|source| source.lines()).filter(|line| !line.starts_with("//")) {
        assert!(!line.contains("crate::"), "{line}");
        assert!(!line.contains("super::") || line == "use super::error::StoreError;", "{line}");
    }
}

/// The names of the backups in a data directory, sorted.
fn backups(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> =
        names.filter(|name| name.starts_with("orion.schema-") || name.contains("partial")).collect();
    names.sort();
    names
}

/// The schema, the epoch and the number of events of a database of any schema.
fn facts(file: &Path) -> (usize, String, u64) {
    let connection = Connection::open(file).unwrap();
    let events = connection.query_row("SELECT count(*) FROM signal_events", [], |row| row.get(0)).unwrap();
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    (version, schema::epoch_before_checksums(&connection).unwrap(), events)
}

#[test]
fn an_upgrade_leaves_a_backup_of_the_earlier_schema() {
    for version in 1..migrations::VERSION {
        let dir = fixture(version);
        let (_, epoch, events) = facts(&dir.path().join(DATABASE_FILE));
        drop(upgraded(dir.path()));
        let name = format!("orion.schema-{version}-20261128-105200000.db");
        assert_eq!(backups(dir.path()), std::slice::from_ref(&name));
        let backup = dir.path().join(name);
        let found = facts(&backup);
        assert_eq!((found.0, found.2), (version, events));
        assert_ne!(found.1, epoch, "schema {version}: a cursor of the log must not be valid in its backup");
        // The earlier release runs on it; a later upgrade takes it, although the watermark is from after the first one.
        let file = dir.path().join(DATABASE_FILE);
        fs::rename(&backup, &file).unwrap();
        let (_, recovered) = upgraded(dir.path());
        assert_eq!((&*recovered.position.epoch, recovered.position.seq), (&*found.1, 13), "schema {version}");
    }
}

#[test]
fn the_backups_of_the_last_two_upgrades_are_kept() {
    let dir = fixture(5);
    let older =
        ["orion.schema-3-20250101-000000000.db", "orion.schema-4-20260101-000000000.db", "orion.schema-my-own.db"];
    for name in older {
        fs::write(dir.path().join(name), "").unwrap();
    }
    drop(upgraded(dir.path()));
    assert_eq!(backups(dir.path()), [older[1], "orion.schema-5-20261128-105200000.db", older[2]]);
    // Without an upgrade there is no further one.
    drop(upgraded(dir.path()));
    assert_eq!(backups(dir.path()).len(), 3);
}

#[test]
fn without_a_backup_nothing_is_upgraded() {
    let dir = fixture(5);
    let file = dir.path().join(DATABASE_FILE);
    let in_the_way = format!(".orion.schema-5-20261128-105200000.db.{}.partial", std::process::id());
    fs::create_dir(dir.path().join(in_the_way)).unwrap();
    let before = fs::read(&file).unwrap();
    let clock = || parse_time("2026-11-28T10:52:00Z").unwrap();
    let options = Options { recent_since: clock() - DAY, clock, ..options() };
    let error = open_with(dir.path(), options).unwrap_err();
    assert!(matches!(error, StoreError::NoBackup { found: 5, .. }), "{error:?}");
    assert!(error.to_string().contains("ORION_DATA__UPGRADE_BACKUP=0"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), before);
    open_with(dir.path(), Options { upgrade_backup: false, ..options }).unwrap();
    assert_eq!(facts(&file).0, migrations::VERSION);
}

#[test]
fn the_copy_of_a_cluster_is_backed_up_too() {
    let dir = fixture(5);
    let metrics = Arc::new(Metrics::new().unwrap());
    drop(Store::open_replica(dir.path(), options(), metrics, "abcdefghij").unwrap());
    assert_eq!(backups(dir.path()), ["orion.schema-5-20260115-070000000.db"]);
}

#[test]
fn the_check_says_what_would_run() {
    let empty = TempDir::new().unwrap();
    assert_eq!(schema_state(empty.path()).unwrap().found, None);
    for version in 1..=migrations::VERSION {
        let dir = fixture(version);
        let before = bytes(dir.path());
        let state = schema_state(dir.path()).unwrap();
        assert_eq!((state.found, state.steps.len()), (Some(version), migrations::VERSION - version));
        assert_eq!(state.steps.first().map(|(step, _)| *step), (version < migrations::VERSION).then_some(version + 1));
        assert_eq!(bytes(dir.path()), before, "schema {version}");
        drop(upgraded(dir.path()));
        let state = schema_state(dir.path()).unwrap();
        assert_eq!((state.steps.len(), state.backups.len()), (0, usize::from(version < migrations::VERSION)));
    }
}
