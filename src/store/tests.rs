//! The guarantees of the log, one test each.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::domain::{
    Audience, BarInterval, Direction, Invalidation, Killzone, MessageType, Position, PrunedMessages, SignalFilter,
    SignalId, SignalState, SignalStatus, SourceName, Symbol, parse_time,
};

mod as_of;
mod damage;
mod forgery;
mod merkle;
mod migration;
mod records;
mod repairs;
mod replica;
mod timeline;

const DAY: Duration = Duration::from_hours(24);

fn start() -> DateTime<Utc> {
    parse_time("2026-01-15T07:00:00Z").unwrap()
}

fn options() -> Options {
    Options {
        signal_retention: DAY,
        bar_retention: DAY,
        recent_since: start(),
        messages_per_user: 50,
        message_retention: DAY,
        max_messages: 1_000,
        upgrade_backup: true,
        message_type,
        clock: start,
    }
}

const ALERTS: MessageType = MessageType::ordered("alerts");
const BALANCES: MessageType = MessageType::state("balances", 0);
const NOTIFICATION: MessageType = MessageType::ordered("notification");
const ORDER_UPDATE: MessageType = MessageType::ordered("order_update");

fn message_type(name: &str) -> Option<MessageType> {
    [ALERTS, BALANCES, NOTIFICATION, ORDER_UPDATE].into_iter().find(|kind| kind.name() == name)
}

fn open_with(dir: &Path, options: Options) -> Result<(Store, Recovered), StoreError> {
    Store::open(dir, options, Arc::new(Metrics::new().unwrap()))
}

fn open(dir: &Path) -> (Store, Recovered) {
    open_with(dir, options()).unwrap()
}

fn signal(id: &str, state: SignalState) -> Signal {
    Signal {
        id: SignalId::new(id).unwrap(),
        state,
        direction: Direction::Long,
        symbol: Symbol::new("EURUSD"),
        entry_time: start(),
        entry_price: Some(1.085),
        stop_loss: Some(1.0821),
        take_profits: vec![1.088, 1.0913],
        tp_modes: vec!["TP1 30%".into(), "Runner 30%".into()],
        reason: "Sweep, \"MSS\"\nand FVG".into(),
        confidence: 0.85,
        calibration: None,
        rr_target: 2.17,
        killzone: Killzone::London,
        model: None,
        source: SourceName::new("push"),
        accepted_at: start(),
        updated_at: start(),
        expires_at: start() + Duration::from_mins(5),
    }
}

impl Store {
    /// Appends signals only. Returns the number of the first.
    fn log(&self, signals: Vec<Arc<Signal>>) -> impl Future<Output = Result<u64, StoreError>> + Send + 'static + use<> {
        let appended = self.append(signals, Vec::new(), Vec::new());
        async move { appended.await.map(|receipt| receipt.first_signal) }
    }
}

fn pending(id: &str) -> Arc<Signal> {
    Arc::new(signal(id, SignalState::Pending))
}

fn confirmed(id: &str) -> Arc<Signal> {
    Arc::new(signal(id, SignalState::Confirmed))
}

fn timed_out(id: &str) -> Arc<Signal> {
    let at = start() + Duration::from_mins(5);
    Arc::new(signal(id, SignalState::Pending).ended(SignalState::Invalidated(Invalidation::TIMEOUT), at))
}

/// Makes a log with one signal of each end and a pending one: seven events of four signals.
async fn filled(dir: &Path) -> Vec<Arc<Signal>> {
    let events =
        vec![pending("a"), pending("b"), confirmed("a"), pending("c"), timed_out("b"), confirmed("d"), pending("c")];
    let (store, _) = open(dir);
    assert_eq!(store.log(events.clone()).await, Ok(1));
    store.close().await.unwrap();
    events
}

fn filter(name: &str, value: &str) -> SignalFilter {
    let mut filter = SignalFilter::default();
    filter.set(name, &value.into()).unwrap();
    filter
}

fn everything() -> HistoryQuery {
    HistoryQuery { status: None, symbol: None, killzone: None, filter: None, since: None, before: None, limit: 100 }
}

fn ids<'a>(signals: impl IntoIterator<Item = &'a Signal>) -> Vec<&'a str> {
    signals.into_iter().map(|signal| signal.id.as_str()).collect()
}

/// Returns all files of a directory with their bytes, except the lock file.
fn bytes(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| name != LOCK_FILE)
        .collect();
    files.sort();
    files
}

/// Edits a closed log without the server.
fn edit(dir: &Path, sql: &str) {
    let connection = Connection::open(dir.join(DATABASE_FILE)).unwrap();
    connection.execute_batch(sql).unwrap();
    connection.pragma_update(None, "journal_mode", "DELETE").unwrap();
}

/// Returns the verified events: their number, the first, the last, and the number of pruned ones.
fn verified(dir: &Path) -> (u64, u64, u64, u64) {
    let found = verify(dir).unwrap();
    (found.events, found.first_seq, found.last_seq, found.pruned)
}

fn refused(dir: &Path) -> StoreError {
    open_with(dir, options()).map(drop).unwrap_err()
}

#[tokio::test]
async fn appended_events_survive_a_restart() {
    let dir = TempDir::new().unwrap();
    let (store, recovered) = open(dir.path());
    assert_eq!((recovered.position.seq, recovered.pending, recovered.recent), (0, vec![], vec![]));
    drop(store);
    let events = filled(dir.path()).await;

    let (store, recovered) = open(dir.path());
    assert_eq!(recovered.position, Position { seq: 7, ..recovered.position.clone() });
    assert_eq!(recovered.position.to_string().parse(), Ok(recovered.position.clone()));
    assert_eq!(recovered.pending, [signal("c", SignalState::Pending)]);
    let recent: Vec<_> = recovered.recent.iter().map(|(seq, signal)| (*seq, signal.id.as_str())).collect();
    assert_eq!(recent, [(3, "a"), (5, "b"), (6, "d"), (7, "c")]);

    let reader = store.reader();
    let all = reader.events_after(0, 100).await.unwrap();
    assert!(all.iter().map(|(seq, _)| *seq).eq(1..=7));
    assert!(all.iter().map(|(_, signal)| signal).eq(events.iter().map(|signal| &**signal)));
    let page = reader.events_after(2, 3).await.unwrap();
    assert!(page.iter().map(|(seq, _)| *seq).eq(3..=5));
    assert_eq!(reader.events_after(u64::MAX, 3).await, Ok(vec![]));
    assert_eq!(reader.oldest_seq().await, Ok(1));
    assert_eq!(store.log(vec![pending("e")]).await, Ok(8));
}

#[tokio::test]
async fn a_new_data_directory_is_private() {
    let parent = TempDir::new().unwrap();
    let mode = |dir: &Path| fs::metadata(dir).unwrap().permissions().mode() & 0o777;
    let (new, mine) = (parent.path().join("apps/data"), parent.path().join("mine"));
    fs::create_dir(&mine).unwrap();
    let before = mode(&mine);
    for dir in [&new, &mine] {
        let (store, _) = open(dir);
        store.close().await.unwrap();
    }
    assert_eq!(mode(&new), 0o700);
    assert_eq!(mode(&mine), before, "the mode of one that was there is the operator's");
    assert_eq!(mode(new.parent().unwrap()), before, "others may need what leads to it");
}

#[tokio::test]
async fn recent_signals_are_those_changed_since() {
    let dir = TempDir::new().unwrap();
    filled(dir.path()).await;
    let since = Options { recent_since: start() + Duration::from_secs(1), ..options() };
    let (_store, recovered) = open_with(dir.path(), since).unwrap();
    assert_eq!(ids(recovered.recent.iter().map(|(_, signal)| signal)), ["b"]);
}

#[tokio::test]
async fn a_signal_is_found_with_its_life() {
    let dir = TempDir::new().unwrap();
    filled(dir.path()).await;
    let (store, _) = open(dir.path());
    let reader = store.reader();
    let (a, b, x) = (SignalId::new("a").unwrap(), SignalId::new("b").unwrap(), SignalId::new("x").unwrap());
    let found = reader.find(&[a.clone(), b.clone(), x.clone()]).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!((&found[&a], &found[&b]), (&*confirmed("a"), &*timed_out("b")));

    let (now, life) = reader.signal(&b).await.unwrap().unwrap();
    assert_eq!(now, *timed_out("b"));
    let life: Vec<_> = life.iter().map(|row| (row.seq, row.at, row.status, row.reason.as_deref())).collect();
    let ended = start() + Duration::from_mins(5);
    assert_eq!(
        life,
        [(2, start(), SignalStatus::Pending, None), (5, ended, SignalStatus::Invalidated, Some("timeout"))]
    );
    assert_eq!(reader.signal(&x).await, Ok(None));
}

#[tokio::test]
async fn the_history_is_filtered() {
    let dir = TempDir::new().unwrap();
    filled(dir.path()).await;
    let (store, _) = open(dir.path());
    let other = Signal {
        symbol: Symbol::new("XAUUSD"),
        killzone: Killzone::NyAm,
        updated_at: start() + DAY,
        ..signal("e", SignalState::Confirmed)
    };
    store.log(vec![Arc::new(other)]).await.unwrap();
    for (query, expected) in [
        (everything(), vec!["e", "d", "c", "b", "a"]),
        (HistoryQuery { status: Some(SignalStatus::Pending), ..everything() }, vec!["c"]),
        (HistoryQuery { status: Some(SignalStatus::Confirmed), ..everything() }, vec!["e", "d", "a"]),
        (HistoryQuery { status: Some(SignalStatus::Invalidated), ..everything() }, vec!["b"]),
        (HistoryQuery { symbol: Some(Symbol::new("XAUUSD")), ..everything() }, vec!["e"]),
        (HistoryQuery { symbol: Some(Symbol::new("x' OR 1=1")), ..everything() }, vec![]),
        (HistoryQuery { killzone: Some(Killzone::London), ..everything() }, vec!["d", "c", "b", "a"]),
        (HistoryQuery { filter: Some(filter("statuses", "pending,invalidated")), ..everything() }, vec!["c", "b"]),
        (
            HistoryQuery { filter: Some(filter("killzones", "ny_am")), since: Some(Since::Seq(5)), ..everything() },
            vec!["e"],
        ),
        (HistoryQuery { since: Some(Since::Seq(5)), ..everything() }, vec!["e", "d", "c"]),
        (HistoryQuery { since: Some(Since::Time(start())), ..everything() }, vec!["e", "b"]),
        (HistoryQuery { since: Some(Since::Seq(u64::MAX)), ..everything() }, vec![]),
        (
            HistoryQuery {
                status: Some(SignalStatus::Confirmed),
                symbol: Some(Symbol::new("EURUSD")),
                killzone: Some(Killzone::London),
                filter: None,
                since: Some(Since::Seq(2)),
                before: Some(6),
                limit: 1,
            },
            vec!["a"],
        ),
    ] {
        let page = store.reader().history(query.clone()).await.unwrap();
        assert_eq!(ids(&page.signals), expected, "{query:?}");
        assert_eq!(page.next, None, "{query:?}");
    }
}

#[tokio::test]
async fn a_filter_fills_its_pages() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    for number in 0..40 {
        let name = format!("s{number:03}");
        let changed = if number % 4 == 0 { confirmed(&name) } else { pending(&name) };
        store.log(vec![changed]).await.unwrap();
    }
    let (mut pages, mut before) = (Vec::new(), None);
    loop {
        let query = HistoryQuery { filter: Some(filter("statuses", "confirmed")), before, limit: 4, ..everything() };
        let page = store.reader().history(query).await.unwrap();
        pages.push(page.signals.len());
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(pages, [4, 4, 2]);
}

#[tokio::test]
async fn history_pages_stay_stable_while_signals_arrive() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let name = |number: usize| format!("s{number:03}");
    for number in 0..100 {
        store.log(vec![pending(&name(number))]).await.unwrap();
    }
    let (mut seen, mut before, mut arriving) = (Vec::new(), None, 100);
    loop {
        let page = store.reader().history(HistoryQuery { before, limit: 9, ..everything() }).await.unwrap();
        seen.extend(ids(&page.signals).iter().map(ToString::to_string));
        store.log(vec![pending(&name(arriving)), confirmed(&name(arriving / 2))]).await.unwrap();
        arriving += 1;
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert!(seen.iter().eq((0..100).rev().map(name).collect::<Vec<_>>().iter()), "{seen:?}");
}

#[tokio::test]
async fn waiting_batches_share_a_transaction() {
    let dir = TempDir::new().unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let (store, _) = Store::open(dir.path(), options(), Arc::clone(&metrics)).unwrap();
    let appends: Vec<_> = (0..200).map(|number| store.log(vec![pending(&number.to_string())])).collect();
    for (number, append) in appends.into_iter().enumerate() {
        assert_eq!(append.await, Ok(number as u64 + 1));
    }
    let commits = metrics.store_batch_size.get_sample_count();
    assert_eq!(metrics.store_batch_size.get_sample_sum(), 200.0);
    assert!(commits < 100, "{commits} commits");
    assert!(metrics.store_log_bytes.get() > 0);
    // A dropped future does not lose its batch.
    drop(store.log(vec![pending("unwatched")]));
    assert_eq!(store.log(vec![pending("next")]).await, Ok(202));
}

#[tokio::test]
async fn a_full_disk_leaves_no_gap_in_numbers() {
    for (fault, error) in
        [(DiskFault::Full, StoreError::Full as fn(_) -> _), (DiskFault::ReadOnly, StoreError::ReadOnly as fn(_) -> _)]
    {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join(DATABASE_FILE);
        let metrics = Arc::new(Metrics::new().unwrap());
        let (store, _) = Store::open(dir.path(), options(), Arc::clone(&metrics)).unwrap();
        assert_eq!(store.log(vec![pending("a")]).await, Ok(1));

        store.simulate_fault(fault);
        let refused = [store.log(vec![pending("b"), pending("c")]), store.log(vec![confirmed("a")])];
        for append in refused {
            assert_eq!(append.await, Err(error(file.clone())));
        }
        assert_eq!(store.health(), Health::Failing { error: error(file.clone()), since: start() });
        store.save_bars(vec![bar(0, 1.0)]);
        assert_eq!(store.reader().events_after(0, 9).await.unwrap().len(), 1, "reading goes on");
        assert!(metrics.store_errors_total.get() > 0);

        store.simulate_fault(DiskFault::None);
        healed(&store).await;
        assert_eq!(store.log(vec![confirmed("a"), pending("b")]).await, Ok(2));
        store.close().await.unwrap();
        drop(store);
        assert_eq!(verified(dir.path()), (3, 1, 3, 0));
        let (store, _) = open(dir.path());
        let bars = store.reader().bars(&Symbol::new("EURUSD"), BarInterval::OneMinute, 9).await.unwrap();
        assert_eq!(bars, [bar(0, 1.0)], "bars waited");
    }
}

/// Waits for a probe without appending.
async fn healed(store: &Store) {
    for _ in 0..500 {
        if store.health() == Health::Ok {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", store.health());
}

#[tokio::test]
async fn a_failed_event_on_disk_is_rewound() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    store.log(vec![pending("a"), pending("b")]).await.unwrap();
    store.simulate_fault(DiskFault::ReadOnly);
    store.log(vec![pending("c")]).await.unwrap_err();
    // The state after a commit whose last sync failed.
    let connection = Connection::open(dir.path().join(DATABASE_FILE)).unwrap();
    let head = schema::head(&connection).unwrap();
    commit::append(
        &connection,
        head,
        &mut tree::end(&connection).unwrap(),
        [confirmed("a"), pending("c")].iter(),
        start(),
    )
    .unwrap();
    drop(connection);
    store.simulate_fault(DiskFault::None);
    healed(&store).await;
    assert_eq!(store.log(vec![timed_out("b")]).await, Ok(3));
    assert_eq!(
        store.reader().history(everything()).await.unwrap().signals,
        [(*timed_out("b")).clone(), (*pending("a")).clone()]
    );
    assert_eq!(verify(dir.path()).unwrap().last_seq, 3);
}

#[tokio::test]
async fn a_replaced_log_is_not_written() {
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    filled(other.path()).await;
    let (store, _) = open(dir.path());
    store.log(vec![pending("a")]).await.unwrap();
    for name in [DATABASE_FILE, "orion.db-wal", "orion.db-shm"] {
        fs::remove_file(dir.path().join(name)).ok();
    }
    fs::copy(other.path().join(DATABASE_FILE), dir.path().join(DATABASE_FILE)).unwrap();
    let told = store.log(vec![pending("b")]).await;
    assert!(matches!(&told, Err(StoreError::Io { what, .. }) if what.contains("restart")), "{told:?}");
    drop(store);
    assert_eq!(verify(dir.path()).unwrap().last_seq, 7);
}

#[cfg(unix)]
#[tokio::test]
async fn a_removed_file_gets_no_acknowledgement() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    store.log(vec![pending("a")]).await.unwrap();
    // No other connection has the write-ahead log open, so closing moves it into the database, and a new one begins.
    fs::remove_file(dir.path().join("orion.db-wal")).unwrap();
    // The attempt that finds the missing file may fail; it must not acknowledge, and the next one must succeed.
    let told = match store.log(vec![pending("b")]).await {
        Err(StoreError::Io { .. }) => store.log(vec![pending("b")]).await,
        told => told,
    };
    assert_eq!(told, Ok(2));
    assert_eq!(verify(dir.path()).map(|verified| verified.last_seq), Ok(2));
    fs::remove_file(dir.path().join(DATABASE_FILE)).unwrap();
    for _ in 0..2 {
        store.log(vec![pending("c")]).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_writer_panic_reaches_every_caller() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let closed = store.closed();
    store.simulate_fault(DiskFault::Panic);
    assert_eq!(store.log(vec![pending("a")]).await, Err(StoreError::Panicked));
    assert_eq!(closed.await, Err(StoreError::Panicked));
    assert_eq!(store.log(vec![pending("a")]).await, Err(StoreError::Panicked));
    assert_eq!(store.close().await, Err(StoreError::Panicked));
    // The lock of the directory is released.
    open(dir.path());
}

/// A read that has begun keeps a checkpoint from being whole; when it ends, SQLite removes the write-ahead log at the next
/// chance.
#[tokio::test]
async fn a_log_closed_under_a_read_opens_again() {
    for ends_in_time in [true, false] {
        let dir = TempDir::new().unwrap();
        let (store, _) = open(dir.path());
        store.log(vec![pending("a")]).await.unwrap();
        let read = schema::open_reader(&dir.path().join(DATABASE_FILE)).unwrap();
        read.execute_batch("BEGIN; SELECT count(*) FROM signal_events").unwrap();
        store.log(vec![pending("b")]).await.unwrap();
        let read = if ends_in_time {
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(300));
                drop(read);
            });
            None
        } else {
            Some(read)
        };
        store.close().await.unwrap();
        drop((store, read));
        let (store, recovered) = open(dir.path());
        assert_eq!(recovered.position.seq, 2, "{ends_in_time}");
        store.close().await.unwrap();
        assert_eq!(verified(dir.path()).0, 2);
    }
}

#[tokio::test]
async fn closing_writes_what_waits_and_nothing_after() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let last = store.log(vec![pending("a")]);
    store.save_bars(vec![bar(0, 1.0)]);
    store.close().await.unwrap();
    assert_eq!(last.await, Ok(1));
    assert_eq!(store.log(vec![pending("b")]).await, Err(StoreError::Closed));
    assert_eq!(store.closed().await, Ok(()));
    let names: Vec<_> = bytes(dir.path()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [DATABASE_FILE, WATERMARK_FILE], "the file alone is the log");
    let (store, recovered) = open(dir.path());
    assert_eq!(recovered.position.seq, 1);
    let bars = store.reader().bars(&Symbol::new("EURUSD"), BarInterval::OneMinute, 9).await.unwrap();
    assert_eq!(bars.len(), 1);
}

#[test]
fn an_interrupted_creation_is_repeated() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(DATABASE_FILE), "").unwrap();
    drop(open(dir.path()));
    let dir = TempDir::new().unwrap();
    let bare = Connection::open(dir.path().join(DATABASE_FILE)).unwrap();
    bare.pragma_update(None, "journal_mode", "WAL").unwrap();
    drop(bare);
    assert_eq!(open(dir.path()).1.position.seq, 0);
}

#[test]
fn a_second_owner_of_the_directory_is_refused() {
    let dir = TempDir::new().unwrap();
    let first = open(dir.path());
    assert_eq!(refused(dir.path()), StoreError::InUse(dir.path().into()));
    drop(first);
    open(dir.path());
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let dir = TempDir::new().unwrap();
    filled(dir.path()).await;
    edit(dir.path(), "PRAGMA user_version = 99");
    let before = bytes(dir.path());
    let error = refused(dir.path());
    assert!(matches!(error, StoreError::Newer { found: 99, known: migrations::VERSION, .. }), "{error:?}");
    // The version that made the schema.
    assert!(error.to_string().contains(concat!("Install orion-server ", env!("CARGO_PKG_VERSION"))), "{error}");
    assert_eq!(bytes(dir.path()), before);
}

/// Opens a damaged log, and checks that the error names the file and nothing changed.
fn assert_refused_untouched(dir: &Path, case: &str) {
    let before = bytes(dir);
    let error = refused(dir);
    assert!(matches!(error, StoreError::Damaged { .. } | StoreError::Newer { .. }), "{case}: {error:?}");
    assert!(error.to_string().contains(dir.join(DATABASE_FILE).to_str().unwrap()), "{case}: {error}");
    assert!(bytes(dir) == before, "{case}: files changed");
}

#[tokio::test]
async fn a_damaged_file_is_named_and_not_touched() {
    let whole = TempDir::new().unwrap();
    filled(whole.path()).await;
    let database = fs::read(whole.path().join(DATABASE_FILE)).unwrap();
    let text = b"this is no database but a letter that somebody saved under its name, long enough to hold a header";
    let cases: [(&str, Vec<u8>); 5] = [
        ("a letter", text.repeat(100)),
        ("a word", b"word".to_vec()),
        ("zeros", vec![0; 8192]),
        ("half", database[..database.len() / 2].to_vec()),
        ("a page short", database[..database.len() - 4096].to_vec()),
    ];
    for (case, content) in cases {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join(DATABASE_FILE), content).unwrap();
        assert_refused_untouched(dir.path(), case);
    }
    let dir = TempDir::new().unwrap();
    Connection::open(dir.path().join(DATABASE_FILE)).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert_refused_untouched(dir.path(), "another program's database");
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("orion.db-wal"), [1; 5000]).unwrap();
    assert_refused_untouched(dir.path(), "a write-ahead log without its database");
}

/// Flips bytes throughout the file. Either the start detects it, or the byte stores nothing.
#[tokio::test]
async fn flipped_bytes_are_noticed() {
    let whole = TempDir::new().unwrap();
    let events = filled(whole.path()).await;
    let database = fs::read(whole.path().join(DATABASE_FILE)).unwrap();
    let stored: Vec<usize> = (0..database.len()).filter(|at| database[*at] != 0).collect();
    let (mut noticed, mut tried) = (0, 0);
    for at in stored.iter().step_by(97) {
        let dir = TempDir::new().unwrap();
        let mut flipped = database.clone();
        flipped[*at] ^= 0x55;
        fs::write(dir.path().join(DATABASE_FILE), flipped).unwrap();
        tried += 1;
        let before = bytes(dir.path());
        match open_with(dir.path(), options()) {
            Err(_) => {
                noticed += 1;
                assert!(bytes(dir.path()) == before, "byte {at}: files changed");
            }
            Ok((store, recovered)) => {
                assert_eq!((recovered.position.seq, recovered.pending.len()), (7, 1), "byte {at}");
                let all = store.reader().events_after(0, 100).await.unwrap();
                assert!(all.iter().map(|(_, signal)| signal).eq(events.iter().map(|signal| &**signal)), "byte {at}");
            }
        }
    }
    assert!(noticed * 10 > tried * 7, "{noticed} of {tried}");
}

/// After a crash the newest events are in the write-ahead log only, which a rejected start must not change either.
#[tokio::test]
async fn a_damaged_file_is_never_changed() {
    let (running, dir) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (store, _) = open(running.path());
    store.log((0..200).map(|number| pending(&number.to_string())).collect()).await.unwrap();
    drop(store);
    let (store, _) = open(running.path());
    store.log(vec![pending("newest")]).await.unwrap();
    let crashed = |damage: fn(&mut Vec<u8>)| {
        let mut database = fs::read(running.path().join(DATABASE_FILE)).unwrap();
        damage(&mut database);
        fs::write(dir.path().join(DATABASE_FILE), database).unwrap();
        for name in ["orion.db-wal", WATERMARK_FILE] {
            fs::copy(running.path().join(name), dir.path().join(name)).unwrap();
        }
        fs::remove_file(dir.path().join("orion.db-shm")).ok();
    };
    crashed(|database| {
        for at in 0..database.len() - 5 {
            if database[at..].starts_with(b"Sweep") {
                database[at] ^= 1;
            }
        }
    });
    let before = bytes(dir.path());
    let error = refused(dir.path());
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    let after: Vec<_> = bytes(dir.path()).into_iter().filter(|(name, _)| !name.ends_with("-shm")).collect();
    assert!(after == before, "files changed");

    crashed(|_| {});
    let (_store, recovered) = open(dir.path());
    assert_eq!(recovered.position.seq, 201, "what was acknowledged survives a crash");
}

#[tokio::test]
async fn an_edit_of_the_log_shows() {
    for (case, sql, seq) in [
        ("body", "UPDATE signal_events SET body = replace(body, '1.085', '1.086') WHERE seq = 3", 3),
        ("time", "UPDATE signal_events SET at = at - 1 WHERE seq = 4", 4),
        ("reason", "UPDATE signal_events SET reason = 'manual' WHERE seq = 5", 5),
        ("hash", "UPDATE signal_events SET hash = zeroblob(32) WHERE seq = 2", 2),
        ("deleted", "DELETE FROM signal_events WHERE seq = 4", 4),
        ("deleted first", "DELETE FROM signal_events WHERE seq = 1", 1),
        (
            "swapped",
            "UPDATE signal_events SET seq = 100 WHERE seq = 3; UPDATE signal_events SET seq = 3 WHERE seq = 4; \
             UPDATE signal_events SET seq = 4 WHERE seq = 100",
            3,
        ),
        ("cut at the end", "DELETE FROM signal_events WHERE seq = 7", 7),
        ("state", "UPDATE signals SET status = 'confirmed' WHERE id = 'b'", 5),
        ("state of another", "UPDATE signals SET symbol = 'GBPUSD' WHERE id = 'd'", 6),
        ("state behind", "UPDATE signals SET last_seq = 1 WHERE id = 'a'", 3),
        ("no state", "DELETE FROM signals WHERE id = 'a'", 1),
        ("first event", "UPDATE signals SET first_seq = 0 WHERE id = 'a'", 0),
    ] {
        let dir = TempDir::new().unwrap();
        filled(dir.path()).await;
        assert_eq!(verified(dir.path()), (7, 1, 7, 0));
        edit(dir.path(), sql);
        match verify(dir.path()) {
            Err(StoreError::Broken { seq: found, .. }) => assert_eq!(found, seq, "{case}"),
            other => panic!("{case}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_log_is_verified_while_it_is_written() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let path = dir.path().to_owned();
    let verifying = tokio::task::spawn_blocking(move || {
        (0..20).map(|_| verify(&path).map(|verified| verified.last_seq)).collect::<Vec<_>>()
    });
    let mut number = 0;
    while !verifying.is_finished() {
        number += 1;
        store.log(vec![pending(&number.to_string()), confirmed(&number.to_string())]).await.unwrap();
    }
    let seen: Vec<u64> = verifying.await.unwrap().into_iter().collect::<Result<_, _>>().unwrap();
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!(verify(dir.path()).map(|verified| verified.last_seq), Ok(2 * number));
    assert_eq!(verify(&dir.path().join("none")), Err(StoreError::Missing(dir.path().join("none"))));
}

static CLOCK: AtomicI64 = AtomicI64::new(0);

fn clock() -> DateTime<Utc> {
    start() + Duration::from_secs(CLOCK.load(Ordering::SeqCst) as u64)
}

#[tokio::test]
async fn pruning_takes_the_front_and_keeps_its_hash() {
    let dir = TempDir::new().unwrap();
    let options = Options { signal_retention: Duration::from_mins(1), clock, ..options() };
    let (store, _) = open_with(dir.path(), options).unwrap();
    let mut events: Vec<_> = (0..300).flat_map(|n| [pending(&n.to_string()), confirmed(&n.to_string())]).collect();
    events.push(pending("stays"));
    events.push(confirmed("after"));
    store.log(events).await.unwrap();
    CLOCK.store(59, Ordering::SeqCst);
    store.log(vec![pending("late"), confirmed("late")]).await.unwrap();
    CLOCK.store(61, Ordering::SeqCst);
    drop(store);

    let metrics = Arc::new(Metrics::new().unwrap());
    let (store, _) = Store::open(dir.path(), options, Arc::clone(&metrics)).unwrap();
    let reader = store.reader();
    while reader.oldest_seq().await.unwrap() < 601 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(reader.oldest_seq().await, Ok(601), "a pending signal and all after it are kept");
    assert_eq!(reader.events_after(0, 100).await.unwrap().len(), 4);
    assert_eq!(metrics.store_events.get(), 4);
    let page = reader.history(everything()).await.unwrap();
    assert_eq!(ids(&page.signals), ["late", "after", "stays"]);
    assert_eq!(verified(dir.path()), (4, 601, 604, 600));
    assert_eq!(store.log(vec![confirmed("stays")]).await, Ok(605));
    CLOCK.store(1000, Ordering::SeqCst);
    drop((store, reader));

    // Only the anchor is left, and the numbers continue.
    let (store, _) = open_with(dir.path(), options).unwrap();
    while store.reader().oldest_seq().await.unwrap() < 606 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(store);
    assert_eq!(verified(dir.path()), (0, 606, 605, 605));
    let (store, recovered) = open_with(dir.path(), options).unwrap();
    assert_eq!(recovered.position.seq, 605);
    assert_eq!(store.log(vec![pending("new")]).await, Ok(606));
    drop(store);
    assert_eq!(verify(dir.path()).map(|verified| verified.last_seq), Ok(606));
    edit(dir.path(), "UPDATE meta SET value = zeroblob(32) WHERE key = 'anchor_hash'");
    let told = verify(dir.path()).unwrap_err().to_string();
    assert!(told.contains("a row of meta (anchor_hash) is not what was written"), "{told}");
}

fn bar(minute: u64, price: f64) -> Bar {
    Bar::opening(Symbol::new("EURUSD"), start() + Duration::from_mins(minute), price, 1.0)
}

#[tokio::test]
async fn bars_are_joined_kept_and_served() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let eurusd = Symbol::new("EURUSD");
    store.save_bars(vec![Bar { high: 1.3, close: 1.2, volume: 5.0, ..bar(0, 1.1) }]);
    let gone = Duration::from_hours(48);
    store.save_bars(vec![bar(7, 1.4), bar(200, 1.5), Bar { opened_at: start() - gone, ..bar(0, 9.0) }]);
    store.close().await.unwrap();
    drop(store);
    let (store, _) = open(dir.path());
    store.save_bars(vec![Bar { open: 9.0, low: 1.0, close: 1.05, volume: 2.0, ..bar(0, 1.1) }]);
    store.close().await.unwrap();
    drop(store);
    let (store, _) = open(dir.path());
    let reader = store.reader();
    let first = Bar { high: 1.3, low: 1.0, close: 1.05, volume: 5.0, ..bar(0, 1.1) };
    let minutes = reader.bars(&eurusd, BarInterval::OneMinute, 3).await.unwrap();
    assert_eq!(minutes, [first.clone(), bar(7, 1.4), bar(200, 1.5)]);
    let last = reader.bars(&eurusd, BarInterval::FiveMinutes, 2).await.unwrap();
    assert_eq!(last, [Bar { opened_at: start() + Duration::from_mins(5), ..bar(7, 1.4) }, bar(200, 1.5)]);
    let hours = reader.bars(&eurusd, BarInterval::OneHour, 2).await.unwrap();
    assert_eq!(hours[0], Bar { high: 1.4, close: 1.4, volume: 6.0, ..first });
    assert_eq!(reader.bars(&Symbol::new("NONE"), BarInterval::OneHour, 2).await, Ok(vec![]));
    while reader.bars(&eurusd, BarInterval::OneMinute, 9).await.unwrap().len() > 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn excess_bars_are_dropped_and_counted() {
    let dir = TempDir::new().unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let (store, _) = Store::open(dir.path(), options(), Arc::clone(&metrics)).unwrap();
    store.simulate_fault(DiskFault::Full);
    store.save_bars(vec![bar(0, 1.0)]);
    while store.health() == Health::Ok {
        std::thread::sleep(Duration::from_millis(5));
    }
    store.save_bars((0..5_000).map(|minute| bar(minute, 1.0)).collect());
    assert_eq!(metrics.store_bars_dropped_total.get(), 5_000 - 4_096);
}

#[tokio::test]
async fn a_backup_is_whole_and_another_log() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let events: Vec<_> = (0..3_000).map(|number| pending(&number.to_string())).collect();
    store.log(events).await.unwrap();
    let (to, path, done) = (dir.path().join("copy.db"), dir.path().to_owned(), Arc::clone(&stop));
    let copying = tokio::task::spawn_blocking({
        let to = to.clone();
        move || {
            let mut told = Vec::new();
            let outcome = backup(&path, &to, |percent| told.push(percent));
            done.store(true, Ordering::SeqCst);
            (outcome, told)
        }
    });
    while !stop.load(Ordering::SeqCst) {
        store.log(vec![confirmed("1")]).await.unwrap();
    }
    let (outcome, told) = copying.await.unwrap();
    assert_eq!(outcome, Ok(()));
    assert!(told.is_sorted() && told.last() == Some(&100), "{told:?}");
    let names: Vec<_> = bytes(dir.path()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["copy.db", DATABASE_FILE, "orion.db-shm", "orion.db-wal", WATERMARK_FILE]);
    assert!(verify(&to).unwrap().last_seq >= 3_000);
    let before = fs::read(&to).unwrap();
    assert_eq!(backup(dir.path(), &to, |_| {}), Err(StoreError::Exists(to.clone())));
    assert!(fs::read(&to).unwrap() == before, "not overwritten");

    let restored = TempDir::new().unwrap();
    fs::rename(&to, restored.path().join(DATABASE_FILE)).unwrap();
    let (_copy, recovered) = open(restored.path());
    drop(store);
    let (_store, original) = open(dir.path());
    assert_ne!(recovered.position.epoch, original.position.epoch);
}

#[tokio::test]
async fn an_export_holds_every_event() {
    let dir = TempDir::new().unwrap();
    let events = filled(dir.path()).await;
    let mut json = Vec::new();
    assert_eq!(export(dir.path(), ExportFormat::Json, &mut json), Ok(7));
    let json: Vec<serde_json::Value> = serde_json::from_slice(&json).unwrap();
    for (number, (event, signal)) in json.iter().zip(&events).enumerate() {
        assert_eq!(event["seq"], number as u64 + 1);
        assert_eq!(serde_json::from_value::<Signal>(event["signal"].clone()).unwrap(), **signal);
    }
    let mut csv = Vec::new();
    assert_eq!(export(dir.path(), ExportFormat::Csv, &mut csv), Ok(7));
    let mut csv = csv::Reader::from_reader(&csv[..]);
    let rows: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 7);
    let row: Vec<&str> = rows[4].iter().take(16).collect();
    assert_eq!(
        row,
        [
            "5",
            "2026-01-15 07:05:00.000",
            "2026-01-15 07:00:00.000",
            "b",
            "invalidated",
            "timeout",
            "push",
            "long",
            "EURUSD",
            "2026-01-15 07:00:00.000",
            "1.085",
            "1.0821",
            "1.088|1.0913",
            "TP1 30%|Runner 30%",
            "Sweep, \"MSS\"\nand FVG",
            "0.85"
        ]
    );

    let empty = TempDir::new().unwrap();
    drop(open(empty.path()));
    let mut json = Vec::new();
    assert_eq!(export(empty.path(), ExportFormat::Json, &mut json), Ok(0));
    assert_eq!(json, b"[]\n");
}

/// An output whose reader has gone.
struct Closed;

impl std::io::Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_long_export_goes_in_pages() {
    let dir = TempDir::new().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (store, _) = open(dir.path());
    let events = (0..10_500).map(|number| pending(&number.to_string())).collect();
    runtime.block_on(store.log(events)).unwrap();
    let mut json = Vec::new();
    assert_eq!(export(dir.path(), ExportFormat::Json, &mut json), Ok(10_500));
    assert_eq!(serde_json::from_slice::<Vec<serde_json::Value>>(&json).unwrap().len(), 10_500);
    // Near and distant cursors find the same signals.
    for (seq, newest) in [(0, "10499"), (10_400, "10499"), (10_500, "")] {
        let query = HistoryQuery { since: Some(Since::Seq(seq)), limit: 1, ..everything() };
        let page = runtime.block_on(store.reader().history(query)).unwrap();
        assert_eq!(ids(&page.signals).concat(), newest, "{seq}");
    }
    let closed = export(dir.path(), ExportFormat::Csv, Closed);
    assert_eq!(closed, Err(StoreError::Output(std::io::ErrorKind::BrokenPipe)));
}

fn any_batch() -> impl Strategy<Value = Vec<(u8, u8)>> {
    prop::collection::vec((0u8..20, 0u8..3), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Everything that is appended, in any batches and with failures and restarts between, is read back unchanged in
    /// pages.
    #[test]
    fn what_is_read_is_what_was_appended(
        batches in prop::collection::vec((any_batch(), 0u8..8), 1..12),
        page in 1usize..20,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = TempDir::new().unwrap();
        let (mut store, recovered) = open(dir.path());
        let mut expected: Vec<Arc<Signal>> = Vec::new();
        for (batch, then) in batches {
            let batch: Vec<_> = batch
                .into_iter()
                .map(|(id, state)| match state {
                    0 => pending(&id.to_string()),
                    1 => confirmed(&id.to_string()),
                    _ => timed_out(&id.to_string()),
                })
                .collect();
            let first = expected.len() as u64 + 1;
            match then {
                0 => {
                    store.simulate_fault(DiskFault::Full);
                    prop_assert!(runtime.block_on(store.log(batch)).is_err());
                    store.simulate_fault(DiskFault::None);
                    continue;
                }
                1 => {
                    let unwatched = store.log(batch.clone());
                    drop(store);
                    prop_assert_eq!(runtime.block_on(unwatched), Ok(first));
                    let (opened, again) = open(dir.path());
                    prop_assert_eq!(again.position.epoch, recovered.position.epoch.clone());
                    store = opened;
                }
                _ => prop_assert_eq!(runtime.block_on(store.log(batch.clone())), Ok(first)),
            }
            expected.extend(batch);
        }
        let reader = store.reader();
        let mut read = Vec::new();
        loop {
            let next = runtime.block_on(reader.events_after(read.len() as u64, page)).unwrap();
            if next.is_empty() {
                break;
            }
            read.extend(next);
        }
        prop_assert!(read.iter().map(|(seq, _)| *seq).eq(1..=expected.len() as u64));
        prop_assert!(read.iter().map(|(_, signal)| signal).eq(expected.iter().map(|signal| &**signal)));
        prop_assert_eq!(verify(dir.path()).unwrap().last_seq, expected.len() as u64);
    }
}

fn message(kind: MessageType, audience: Audience, key: &str, data: &str) -> RelayedMessage {
    RelayedMessage { seq: 0, kind, audience, key: key.into(), data: data.into(), at: start() }
}

#[tokio::test]
async fn relayed_messages_survive_a_restart() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let user = || Audience::User("u".into());
    let first = vec![
        message(BALANCES, user(), "luno", "1"),
        message(NOTIFICATION, user(), "", "2"),
        message(BALANCES, user(), "kraken", "3"),
    ];
    let second = vec![message(BALANCES, user(), "luno", "4"), message(ORDER_UPDATE, Audience::All, "", "5")];
    assert_eq!(store.append(vec![pending("a")], first, Vec::new()).await.map(|receipt| receipt.first_published), Ok(1));
    assert_eq!(store.append(Vec::new(), second, Vec::new()).await.map(|receipt| receipt.first_published), Ok(4));
    store.close().await.unwrap();
    drop(store);
    let (_store, recovered) = open(dir.path());
    let kept: Vec<_> = recovered.published.iter().map(|message| (message.seq, &*message.data)).collect();
    assert_eq!(kept, [(2, "2"), (3, "3"), (4, "4"), (5, "5")]);
}

#[tokio::test]
async fn the_ordered_messages_of_an_audience_are_bounded() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let audience = |number: u64| if number.is_multiple_of(2) { Audience::Admin } else { Audience::User("u".into()) };
    let many = (1..=200).map(|number| message(ALERTS, audience(number), "", &number.to_string())).collect();
    store.append(Vec::new(), many, Vec::new()).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let (store, recovered) = open(dir.path());
    assert_eq!(
        recovered.published.iter().map(|message| message.seq).collect::<Vec<_>>(),
        (101..=200).collect::<Vec<_>>()
    );
    // The number of the last removed message is stored, also for a process with a larger limit.
    assert_eq!(recovered.forgotten, PrunedMessages { of: vec![(audience(99), 99), (audience(100), 100)], users: 0 });
    let next = store.append(Vec::new(), vec![message(ALERTS, Audience::Admin, "", "x")], Vec::new()).await;
    assert_eq!(next.map(|receipt| receipt.first_published), Ok(201), "numbers are never given twice");
}

static MESSAGE_CLOCK: AtomicI64 = AtomicI64::new(0);

fn message_clock() -> DateTime<Utc> {
    start() + Duration::from_secs(MESSAGE_CLOCK.load(Ordering::SeqCst) as u64)
}

/// Opens the log, and waits until `left` messages are left. Returns their numbers and what was pruned.
async fn messages_left(dir: &Path, options: Options, left: u64) -> (Vec<u64>, PrunedMessages) {
    let (store, _) = open_with(dir, options).unwrap();
    let connection = Connection::open(dir.join(DATABASE_FILE)).unwrap();
    let count = || connection.query_row("SELECT count(*) FROM published", [], |row| row.get::<_, u64>(0)).unwrap();
    while count() > left {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store.close().await.unwrap();
    drop(store);
    let forever = Options { message_retention: DAY * 1_000, max_messages: u64::MAX, ..options };
    let (_, recovered) = open_with(dir, forever).unwrap();
    (recovered.published.iter().map(|message| message.seq).collect(), recovered.forgotten)
}

#[tokio::test]
async fn ordered_messages_are_limited_by_number_and_age() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    // One message for each user. Messages for all users, and states, have other limits.
    let user = |number: u64| Audience::User(number.to_string().into());
    let mut many = vec![message(ALERTS, Audience::All, "", "1"), message(BALANCES, user(2), "luno", "2")];
    many.extend((3..=700).map(|number| message(ALERTS, user(number), "", "x")));
    let late = RelayedMessage { at: start() + DAY, ..message(ALERTS, user(701), "", "x") };
    many.push(late);
    store.append(Vec::new(), many, Vec::new()).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let few = Options { max_messages: 100, clock: message_clock, ..options() };
    let (left, forgotten) = messages_left(dir.path(), few, 102).await;
    assert_eq!(left, [1, 2].into_iter().chain(602..=701).collect::<Vec<_>>());
    assert_eq!(forgotten, PrunedMessages { of: vec![], users: 601 });

    MESSAGE_CLOCK.store(DAY.as_secs() as i64 + 1, Ordering::SeqCst);
    let (left, forgotten) = messages_left(dir.path(), few, 3).await;
    assert_eq!((left, forgotten), (vec![1, 2, 701], PrunedMessages { of: vec![], users: 700 }));
    let (store, _) = open(dir.path());
    let next = store.append(Vec::new(), vec![message(ALERTS, user(1), "", "x")], Vec::new()).await;
    assert_eq!(next.map(|receipt| receipt.first_published), Ok(702), "numbers are never given twice");
}

#[tokio::test]
async fn a_rejected_message_is_not_stored() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    store.simulate_fault(DiskFault::Full);
    let lost = message(ALERTS, Audience::All, "", &"x".repeat(100_000));
    assert!(store.append(Vec::new(), vec![lost], Vec::new()).await.is_err());
    store.simulate_fault(DiskFault::None);
    let kept = message(ALERTS, Audience::All, "", "kept");
    assert_eq!(store.append(Vec::new(), vec![kept], Vec::new()).await.map(|receipt| receipt.first_published), Ok(1));
}

#[tokio::test]
async fn minutes_before_simulated_prices_are_skipped() {
    let dir = TempDir::new().unwrap();
    let (store, recovered) = open(dir.path());
    assert_eq!(recovered.minutes, []);
    let invented = |bar: Bar| Bar { simulated: true, ..bar };
    let gold = |bar: Bar| Bar { symbol: Symbol::new("XAUUSD"), ..bar };
    store.save_bars(vec![bar(0, 1.1), invented(bar(1, 1.2)), bar(2, 1.3), bar(3, 1.4), gold(bar(0, 9.0))]);
    store.save_bars(vec![invented(gold(bar(1, 9.0)))]);
    store.close().await.unwrap();
    drop(store);
    let (_, recovered) = open(dir.path());
    assert_eq!(recovered.minutes, [bar(2, 1.3), bar(3, 1.4)]);
}

#[tokio::test]
async fn a_day_is_read_as_a_server_began() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open_with(dir.path(), Options { bar_retention: 30 * DAY, ..options() }).unwrap();
    let minutes = (start() - Duration::from_hours(1), start());
    let early = Bar { opened_at: minutes.0 - TimeDelta::days(5), ..bar(0, 1.0) };
    let older = Bar { opened_at: early.opened_at - TimeDelta::minutes(1), ..early.clone() };
    store.save_bars(vec![older.clone(), early.clone(), bar(0, 1.1), bar(1, 1.2), bar(2, 1.3)]);
    let at = |id: &str, at: DateTime<Utc>, source: &str| {
        let source = SourceName::new(source);
        Arc::new(Signal { accepted_at: at, updated_at: at, source, ..signal(id, SignalState::Pending) })
    };
    let setups = SourceName::SETUPS;
    let day = start()..start() + TimeDelta::days(1);
    let ended = at("ended", day.start, setups).as_ref().clone();
    let ended = Arc::new(ended.ended(SignalState::Confirmed, day.start + TimeDelta::minutes(1)));
    let signals = vec![
        at("before", day.start - TimeDelta::hours(1), setups),
        at("ended", day.start, setups),
        at("pushed", day.start, "push"),
        ended,
        at("last", day.end, setups),
        at("after", day.end + TimeDelta::hours(1), setups),
    ];
    store.append(signals, Vec::new(), Vec::new()).await.unwrap();
    store.close().await.unwrap();
    let first = bar(2, 1.3).opened_at + TimeDelta::seconds(59);
    let query =
        |recent_since| StoredDayQuery { source: SourceName::new(setups), day: day.clone(), first, recent_since };
    for read in
        [store.reader().stored_day(query(minutes.0)).await.unwrap(), stored_day(dir.path(), &query(minutes.0)).unwrap()]
    {
        assert_eq!(ids(&read.signals), ["ended", "last"]);
        assert_eq!(read.signals[0].state, SignalState::Confirmed);
        assert_eq!(read.minutes, [early.clone(), bar(0, 1.1), bar(1, 1.2)]);
    }
    let longest = stored_day(dir.path(), &query(start() - TimeDelta::days(60))).unwrap();
    assert_eq!(longest.minutes.len(), 4);
}
