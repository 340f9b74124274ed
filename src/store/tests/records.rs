//! The guarantees of the log for the records of confirmed signals.

use super::*;
use crate::domain::{Feed, OutcomeClass};

fn signal_id(id: &str) -> SignalId {
    SignalId::new(id).unwrap()
}

pub(super) fn outcome(id: &str, r: f64) -> TradeOutcome {
    let progress = Progress { feed: Some(Feed::Live), fill: Some(1.1), r, mfe: 0.1 + 0.2, mae: r, ..progress(id) };
    TradeOutcome::new(&confirmed(id), &progress, OutcomeClass::Stop, start())
}

fn progress(id: &str) -> Progress {
    Progress::from_confirmation(&confirmed(id))
}

/// Confirms the signals a to e, and stores the records of a to d in that order, and the progress of e.
async fn recorded(dir: &Path) {
    let (store, _) = open(dir);
    store.log(["a", "b", "c", "d", "e"].map(confirmed).into()).await.unwrap();
    let records = ["a", "b", "c", "d"].map(|id| outcome(id, -1.0));
    store.append_outcomes(records.into(), vec![(signal_id("e"), progress("e"))]).await.unwrap();
    store.close().await.unwrap();
}

async fn outcomes(reader: &Reader) -> Vec<TradeOutcome> {
    reader.fold_outcomes(Vec::new(), Vec::push).await.unwrap()
}

fn records(dir: &Path) -> VerifiedRecords {
    verify(dir).unwrap().records
}

#[tokio::test]
async fn every_confirmed_signal_has_one_record() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let simulated = Signal { source: SourceName::new(SourceName::SIMULATOR), ..signal("x", SignalState::Confirmed) };
    store.log(vec![confirmed("a"), confirmed("b"), pending("c"), Arc::new(simulated)]).await.unwrap();
    assert_eq!((records(dir.path()).records, records(dir.path()).open), (0, 2));
    let seen = Progress { minute: Some(bar(0, 0.1 + 0.2).candle()), gap_seconds: 7, ..progress("b") };
    store.append_outcomes(vec![outcome("a", -1.0)], vec![(signal_id("b"), seen.clone())]).await.unwrap();
    let again = vec![(signal_id("a"), progress("a"))];
    store.append_outcomes(vec![outcome("a", 3.0)], again).await.unwrap();
    let reader = store.reader();
    assert_eq!(outcomes(&reader).await, [outcome("a", -1.0)], "what is written stays");
    assert_eq!(reader.outcome(&signal_id("a")).await.unwrap(), Some(outcome("a", -1.0)));
    assert_eq!(reader.outcome(&signal_id("b")).await.unwrap(), None);
    store.close().await.unwrap();
    drop(store);
    let (store, recovered) = open(dir.path());
    let open: Vec<_> = recovered.open_records.iter().map(|(signal, kept)| (signal.id.as_str(), kept.clone())).collect();
    assert_eq!(open, [("b", Some(seen))]);
    store.append_outcomes(vec![outcome("b", 1.0)], Vec::new()).await.unwrap();
    let VerifiedRecords { records, taken_over, pruned, open, .. } = records(dir.path());
    assert_eq!((records, taken_over, pruned, open), (2, 0, 0, 0), "the chain goes on after a restart");
}

#[tokio::test]
async fn the_records_version_changes_with_records() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let version = || store.reader().records_version();
    let start = version();
    store.log(vec![pending("a")]).await.unwrap();
    assert_eq!(version(), start, "a pending signal has no record");
    store.log(vec![confirmed("a")]).await.unwrap();
    let begun = version();
    assert_ne!(begun, start);
    store.append_outcomes(Vec::new(), vec![(signal_id("a"), progress("a"))]).await.unwrap();
    assert_eq!(version(), begun, "progress is not told");
    store.append_outcomes(vec![outcome("a", 1.0)], Vec::new()).await.unwrap();
    let ended = version();
    assert_ne!(ended, begun);
    store.append_outcomes(vec![outcome("a", 2.0)], Vec::new()).await.unwrap();
    assert_eq!(version(), ended, "a second record of a signal is not taken");
}

#[tokio::test]
async fn an_edit_of_the_records_shows() {
    for (case, sql, says) in [
        ("altered", "UPDATE outcomes SET body = replace(body, '-1.0', '3.0') WHERE signal_id = 'b'", "signal b"),
        ("time", "UPDATE outcomes SET closed_at = closed_at + 1 WHERE seq = 3", "record 3"),
        ("origin", "UPDATE outcomes SET taken_over = 1 WHERE seq = 3", "record 3"),
        ("of another", "UPDATE outcomes SET signal_id = 'z' WHERE seq = 2", "record 2"),
        ("hash", "UPDATE outcomes SET hash = zeroblob(32) WHERE seq = 2", "record 2"),
        ("deleted", "DELETE FROM outcomes WHERE signal_id = 'b'", "record 2 is missing"),
        ("deleted first", "DELETE FROM outcomes WHERE seq = 1", "record 1 is missing"),
        (
            "closed ranks",
            "DELETE FROM outcomes WHERE seq = 2; UPDATE outcomes SET seq = seq - 1 WHERE seq > 2",
            "record 2",
        ),
        ("cut in the middle", "DELETE FROM outcomes WHERE seq IN (2, 3)", "record 2 is missing"),
        ("cut at the end", "DELETE FROM outcomes WHERE seq > 2", "signal c was confirmed"),
        (
            "inserted",
            "UPDATE outcomes SET seq = 100 + seq WHERE seq > 2; UPDATE outcomes SET seq = seq - 99 WHERE seq > 100; \
             INSERT INTO outcomes SELECT 3, 'new', closed_at, stored_at, taken_over, body, hash FROM outcomes WHERE seq = 2",
            "record 3",
        ),
        (
            "inserted at the end",
            "INSERT INTO outcomes SELECT 5, 'new', closed_at, stored_at, taken_over, body, hash FROM outcomes WHERE seq = 4",
            "record 5",
        ),
        (
            "pretended to be pruned",
            "DELETE FROM outcomes WHERE seq = 1; INSERT INTO meta (key, value) VALUES \
             ('outcome_anchor_seq', 1), ('outcome_anchor_hash', zeroblob(32))",
            "outcome_anchor",
        ),
        ("open, altered", "UPDATE open_outcomes SET body = replace(body, '0.0', '9.0')", "open record of signal e"),
        ("open, undone", "UPDATE open_outcomes SET body = NULL", "open record of signal e"),
        ("open, deleted", "DELETE FROM open_outcomes", "signal e was confirmed, and has neither"),
    ] {
        let dir = TempDir::new().unwrap();
        recorded(dir.path()).await;
        assert_eq!((records(dir.path()).records, records(dir.path()).open), (4, 1));
        edit(dir.path(), sql);
        match verify(dir.path()) {
            Err(StoreError::BrokenRecord(what) | StoreError::Damaged { what, .. }) => {
                assert!(what.contains(says), "{case}: {what}");
            }
            other => panic!("{case}: {other:?}"),
        }
        assert_eq!(
            open_with(dir.path(), options()).is_err(),
            case != "open, deleted",
            "{case}: noticed at the start, unless only an open record is missing"
        );
    }
}

#[tokio::test]
async fn a_record_without_a_confirmed_signal_shows() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    store.log(vec![pending("a")]).await.unwrap();
    for id in ["a", "never"] {
        store.append_outcomes(vec![outcome(id, 9.0)], Vec::new()).await.unwrap();
        let broken = verify(dir.path()).unwrap_err().to_string();
        assert!(broken.contains(&format!("signal {id}, which was not confirmed")), "{broken}");
        store.log(vec![confirmed("a")]).await.unwrap();
    }
}

/// No later row covers the end of a chain: only the watermark, or a hash that is stored elsewhere, detects a change
/// there.
#[tokio::test]
async fn a_rewritten_tail_is_detected() {
    let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    recorded(one.path()).await;
    recorded(other.path()).await;
    assert_eq!(records(one.path()), records(other.path()));
    edit(
        other.path(),
        "DELETE FROM outcomes WHERE seq = 4; DELETE FROM tree WHERE record = 4; \
         INSERT INTO open_outcomes (signal_id) VALUES ('d')",
    );
    let told = verify(other.path()).unwrap_err().to_string();
    assert!(told.contains("record 4, acknowledged, is not in the log"), "{told}");
    fs::remove_file(other.path().join(WATERMARK_FILE)).unwrap();
    assert_ne!(records(one.path()).hash, records(other.path()).hash);
}

/// Restores the tables of the schema before records were chained.
const BEFORE: &str = "
DROP TABLE outcomes; DROP TABLE open_outcomes;
DROP INDEX signal_events_by_time; DROP TABLE tree;
DELETE FROM meta WHERE key = 'closed';
ALTER TABLE meta DROP COLUMN checksum;
ALTER TABLE bars DROP COLUMN checksum;
ALTER TABLE published DROP COLUMN checksum;
ALTER TABLE users DROP COLUMN checksum;
CREATE TABLE outcomes (
    signal_id TEXT NOT NULL PRIMARY KEY,
    closed_at INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX outcomes_by_end ON outcomes (closed_at, signal_id);
CREATE INDEX outcomes_by_age ON outcomes (stored_at);
INSERT INTO outcomes VALUES
    ('b', 1768462200000, 1768462200005, '{\"signal\":\"b\",\"symbol\":\"EURUSD\",\"direction\":\"long\",\"setup\":null,\"killzone\":\"london\",\
\"source\":\"push\",\"confidence\":0.85,\"feed\":\"live\",\"entry\":1.085,\"stop\":1.0821,\"fill\":1.1,\
\"confirmed_at\":\"2026-01-15T07:00:00Z\",\"closed_at\":\"2026-01-15T07:30:00Z\",\"class\":\"stop\",\"targets_hit\":0,\
\"targets\":2,\"r\":-1.0,\"mfe\":0.30000000000000004,\"mae\":-1.0}');
PRAGMA user_version = 4;
";

#[tokio::test]
async fn records_older_than_the_chain_are_marked() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    store.log(vec![confirmed("a"), confirmed("b"), pending("c"), confirmed("d")]).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    edit(dir.path(), BEFORE);
    fs::remove_file(dir.path().join(WATERMARK_FILE)).unwrap();
    let (store, recovered) = open(dir.path());
    assert_eq!(recovered.open_records, [], "nothing was kept of what was open");
    let outcomes = super::records::outcomes(&store.reader()).await;
    let told: Vec<_> = outcomes.iter().map(|o| (o.signal.as_str(), o.class, o.feed, o.r, o.gap_seconds)).collect();
    assert_eq!(
        told,
        [
            ("a", OutcomeClass::Interrupted, None, 0.0, 0),
            ("d", OutcomeClass::Interrupted, None, 0.0, 0),
            ("b", OutcomeClass::Stop, Some(Feed::Live), -1.0, 0),
        ],
    );
    store.log(vec![confirmed("c")]).await.unwrap();
    store.append_outcomes(vec![outcome("c", 1.0)], Vec::new()).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let found = records(dir.path());
    assert_eq!((found.records, found.taken_over, found.open), (4, 3, 0));
    edit(dir.path(), "UPDATE outcomes SET body = replace(body, '-1.0', '1.0') WHERE signal_id = 'b'");
    assert!(matches!(verify(dir.path()), Err(StoreError::BrokenRecord(_))), "from now on they are held, too");
}

static CLOCK: AtomicI64 = AtomicI64::new(0);

fn clock() -> DateTime<Utc> {
    start() + Duration::from_secs(CLOCK.load(Ordering::SeqCst) as u64)
}

#[tokio::test]
async fn records_are_pruned_after_their_signals() {
    let dir = TempDir::new().unwrap();
    let options = Options { signal_retention: Duration::from_mins(1), clock, ..options() };
    let (store, _) = open_with(dir.path(), options).unwrap();
    let ids: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    store.log(ids.iter().map(|id| confirmed(id)).collect()).await.unwrap();
    store.append_outcomes(ids.iter().map(|id| outcome(id, 1.0)).collect(), Vec::new()).await.unwrap();
    // A pending signal prevents the pruning of later events and their records.
    store.log(vec![pending("stays"), confirmed("after"), confirmed("open")]).await.unwrap();
    store.append_outcomes(vec![outcome("after", 1.0)], Vec::new()).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    CLOCK.store(61, Ordering::SeqCst);
    let (store, _) = open_with(dir.path(), options).unwrap();
    while records(dir.path()).pruned < 300 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let found = records(dir.path());
    assert_eq!((found.records, found.pruned, found.open), (1, 300, 1));
    assert_eq!(outcomes(&store.reader()).await, [outcome("after", 1.0)]);
    store.log(vec![confirmed("stays")]).await.unwrap();
    store.append_outcomes(vec![outcome("stays", 1.0)], Vec::new()).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    CLOCK.store(1_000, Ordering::SeqCst);
    let (_store, _) = open_with(dir.path(), options).unwrap();
    while records(dir.path()).pruned < 302 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let found = records(dir.path());
    assert_eq!((found.records, found.pruned, found.open), (0, 302, 0), "with a signal goes its open record");
}

#[tokio::test]
async fn a_failed_record_on_disk_is_rewound() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    store.log(vec![confirmed("a"), confirmed("b")]).await.unwrap();
    store.append_outcomes(vec![outcome("a", 1.0)], Vec::new()).await.unwrap();
    store.simulate_fault(DiskFault::ReadOnly);
    store.append_outcomes(vec![outcome("b", 1.0)], Vec::new()).await.unwrap_err();
    // The state after a commit whose last sync failed.
    let connection = Connection::open(dir.path().join(DATABASE_FILE)).unwrap();
    let head = outcomes::head(&connection).unwrap();
    outcomes::append(&connection, head, &mut tree::end(&connection).unwrap(), [outcome("b", 1.0)].iter(), start())
        .unwrap();
    drop(connection);
    store.simulate_fault(DiskFault::None);
    healed(&store).await;
    assert_eq!((records(dir.path()).records, records(dir.path()).open), (1, 1));
    store.append_outcomes(vec![outcome("b", -1.0)], Vec::new()).await.unwrap();
    assert_eq!((records(dir.path()).records, records(dir.path()).open), (2, 0));
    assert_eq!(store.reader().outcome(&signal_id("b")).await.unwrap(), Some(outcome("b", -1.0)));
}
