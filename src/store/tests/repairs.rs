//! The errors of a start on damaged files, and the results of `repair`.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::damage::{Image, fast_dir};
use super::*;

const DATABASE: usize = 0;
const WAL: usize = 1;
const WATERMARK: usize = 2;

/// Makes a log of 30 signals as after `kill -9`: a part in the database, the rest in the write-ahead log.
async fn killed() -> (TempDir, Image) {
    let dir = fast_dir();
    let (store, _) = open(dir.path());
    fill(&store, 0..20).await;
    store.close().await.unwrap();
    drop(store);
    let (store, _) = open(dir.path());
    fill(&store, 20..30).await;
    let image = Image::of(dir.path());
    store.close().await.unwrap();
    drop(store);
    image.write(dir.path());
    (dir, image)
}

async fn fill(store: &Store, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let user: Arc<str> = format!("u{number}").into();
        let alert = message(ALERTS, Audience::User(user.clone()), "", "{}");
        let note = UserNote { user, not_before: Some(start()), seen: Some(number) };
        store.append(vec![confirmed(&number.to_string())], vec![alert], vec![note]).await.unwrap();
    }
}

fn flip(content: &mut Option<Vec<u8>>, needle: &[u8]) {
    let content = content.as_mut().unwrap();
    let at = content.windows(needle.len()).position(|window| window == needle).unwrap();
    content[at] ^= 8;
}

fn planned(dir: &Path) -> Repair {
    repair(dir, RepairMode::Plan, start()).unwrap().expect("something to repair")
}

fn repaired(dir: &Path) -> Repair {
    repair(dir, RepairMode::AcceptLoss, start()).unwrap().expect("something to repair")
}

#[tokio::test]
async fn repair_names_lost_events_and_keeps_others() {
    let (dir, mut image) = killed().await;
    let epoch = open(dir.path()).1.position.epoch;
    flip(&mut image.0[WAL], b"\"id\":\"24\"");
    image.write(dir.path());
    let told = refused(dir.path()).to_string();
    assert!(told.contains("orion.db does not hold what was acknowledged"), "{told}");
    assert!(told.contains("–30, acknowledged, are not in the log"), "{told}");
    assert!(told.contains("repair --accept-loss"), "{told}");
    assert!(matches!(verify(dir.path()), Err(StoreError::Lost { .. })));
    assert!(matches!(examine(dir.path()), Err(StoreError::Lost { .. })));

    let plan = planned(dir.path());
    assert_eq!((plan.done, Image::of(dir.path()).0), (None, image.0.clone()), "a plan changes nothing");
    let repair = repaired(dir.path());
    assert!(repair.lost.iter().any(|lost| lost.contains("–30, acknowledged, are not in the log")), "{repair:?}");
    let moved_to = repair.done.unwrap().moved_to;
    assert_eq!(Image::of(&moved_to).0, image.0, "what was there is kept");
    let (store, recovered) = open(dir.path());
    assert_ne!(recovered.position.epoch, epoch);
    let kept = recovered.position.seq;
    assert!((20..25).contains(&kept), "{kept}");
    assert_eq!(recovered.users.len() as u64, kept);
    assert_eq!(recovered.forgotten.users, 30, "users are told that they may have missed some");
    let next = store.append(Vec::new(), vec![message(ALERTS, Audience::Admin, "", "x")], Vec::new()).await;
    assert_eq!(next.map(|receipt| receipt.first_published), Ok(31), "numbers are never given twice");
    drop(store);
    assert_eq!(verified(dir.path()), (kept, 1, kept, 0));
    assert_eq!(super::super::repair(dir.path(), RepairMode::AcceptLoss, start()), Ok(None));
}

#[tokio::test]
async fn every_repair_leaves_a_log_that_starts() {
    let (_, image) = killed().await;
    let dir = fast_dir();
    for round in 0..40 {
        let mut random = StdRng::seed_from_u64(round);
        let mut damaged = image.clone();
        for _ in 0..3 {
            match &mut damaged.0[random.random_range(0..3)] {
                Some(content) if random.random_range(0..6) > 0 => {
                    for _ in 0..random.random_range(1..200) {
                        let at = random.random_range(0..content.len());
                        content[at] ^= 1 << random.random_range(0..8);
                    }
                }
                file => *file = None,
            }
        }
        damaged.write(dir.path());
        let now = start() + Duration::from_secs(round);
        if open_with(dir.path(), options()).is_err() {
            damaged.write(dir.path());
            repair(dir.path(), RepairMode::AcceptLoss, now).unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
        let (store, recovered) =
            open_with(dir.path(), options()).unwrap_or_else(|error| panic!("round {round}: {error}"));
        let events = store.reader().events_after(0, 100).await.unwrap();
        assert_eq!(events.len() as u64, recovered.position.seq, "round {round}");
        assert!(events.iter().all(|(seq, signal)| *signal == *confirmed(&(seq - 1).to_string())), "round {round}");
        drop(store);
    }
}

#[tokio::test]
async fn a_damaged_watermark_never_hides_a_loss() {
    let (dir, image) = killed().await;
    for (at, is_refused) in [(vec![30], false), (vec![4_126], false), (vec![30, 4_126], true)] {
        let mut damaged = image.clone();
        for at in &at {
            damaged.0[WATERMARK].as_mut().unwrap()[*at] ^= 1;
        }
        damaged.write(dir.path());
        assert_eq!(open_with(dir.path(), options()).is_err(), is_refused, "{at:?}");
        if !is_refused {
            let watermark = fs::read(dir.path().join(WATERMARK_FILE)).unwrap();
            assert_eq!(watermark[..256], watermark[4_096..4_352], "both are written anew");
        }
    }
    // A closed log is marked as complete.
    image.write(dir.path());
    open(dir.path());
    for content in [None, Some(vec![0; 8_192])] {
        let mut damaged = Image::of(dir.path());
        damaged.0[WATERMARK] = content;
        damaged.write(dir.path());
        assert_eq!(open(dir.path()).1.position.seq, 30);
    }
}

#[tokio::test]
async fn a_closed_log_is_its_database_alone() {
    let (dir, _) = killed().await;
    let epoch = open(dir.path()).1.position.epoch;
    let other = fast_dir();
    fs::copy(dir.path().join(DATABASE_FILE), other.path().join(DATABASE_FILE)).unwrap();
    let (_store, recovered) = open(other.path());
    assert_eq!((recovered.position.seq, recovered.position.epoch), (30, epoch));
}

#[tokio::test]
async fn a_backup_takes_the_place_of_its_original() {
    let (dir, _) = killed().await;
    drop(open(dir.path()));
    let copy = fast_dir();
    let copy = copy.path().join("copy.db");
    backup(dir.path(), &copy, |_| {}).unwrap();
    let (store, _) = open(dir.path());
    fill(&store, 30..35).await;
    let mut image = Image::of(dir.path());
    drop(store);
    image.0[DATABASE] = fs::read(&copy).ok();
    image.write(dir.path());
    let told = refused(dir.path()).to_string();
    assert!(told.contains("belongs to the log that was here before: remove it"), "{told}");
    image.0[WAL] = None;
    image.write(dir.path());
    let (store, recovered) = open(dir.path());
    assert_eq!(recovered.position.seq, 30);
    fill(&store, 40..41).await;
    let killed = Image::of(dir.path());
    drop(store);
    killed.write(dir.path());
    assert_eq!(open(dir.path()).1.position, Position { seq: 31, ..recovered.position });
}

#[tokio::test]
async fn an_earlier_release_is_taken_over_whole() {
    let (dir, _) = killed().await;
    drop(open(dir.path()));
    fs::remove_file(dir.path().join(WATERMARK_FILE)).unwrap();
    let before = "ALTER TABLE meta DROP COLUMN checksum; ALTER TABLE bars DROP COLUMN checksum; \
                  ALTER TABLE published DROP COLUMN checksum; ALTER TABLE users DROP COLUMN checksum; \
                  DELETE FROM meta WHERE key = 'closed'; DROP INDEX signal_events_by_time; DROP TABLE tree; PRAGMA user_version = 5;";
    edit(dir.path(), before);
    let connection = Connection::open(dir.path().join(DATABASE_FILE)).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    for number in 0..9 {
        connection.execute("UPDATE meta SET value = 'zzzzzzzzz' || ?1 WHERE key = 'epoch'", [number]).unwrap();
    }
    let image = Image::of(dir.path());
    drop(connection);
    let mut damaged = image.clone();
    damaged.0[WAL].as_mut().unwrap()[32 + 4_120 + 99] ^= 1;
    damaged.write(dir.path());
    let told = refused(dir.path()).to_string();
    assert!(told.contains("7 commits follow that can no longer be read"), "{told}");
    image.write(dir.path());
    let (store, recovered) = open(dir.path());
    assert_eq!((recovered.position.seq, recovered.published.len(), recovered.users.len()), (30, 30, 30));
    drop(store);
    assert_eq!(verified(dir.path()), (30, 1, 30, 0));
}

/// Opens the log after an edit that does not change the hashes.
fn edited(dir: &Path, sql: &str) -> Result<(Store, Recovered), StoreError> {
    edit(dir, sql);
    open_with(dir, options())
}

#[tokio::test]
async fn a_damaged_row_is_never_served() {
    for (sql, table) in [
        ("UPDATE published SET data = '{\"total\":9234567.25}' WHERE seq = 3", "published"),
        ("UPDATE published SET audience = 'user:u9' WHERE seq = 3", "published"),
        ("UPDATE users SET not_before = NULL WHERE user = 'u4'", "users"),
        ("UPDATE users SET user = 'x' WHERE user = 'u4'", "users"),
        ("UPDATE signals SET status = 'pending' WHERE id = '4'", "signals"),
        ("UPDATE signals SET updated_at = updated_at + 1 WHERE id = '4'", "signals"),
        ("UPDATE meta SET value = 'abcdefghij' WHERE key = 'epoch'", "meta"),
        ("UPDATE open_outcomes SET signal_id = 'x' WHERE signal_id = '4'", "open_outcomes"),
    ] {
        let (dir, _) = killed().await;
        drop(open(dir.path()));
        let told = edited(dir.path(), sql).map(drop).unwrap_err().to_string();
        assert!(told.contains(&format!("a row of {table} (")), "{sql}: {told}");
        verify(dir.path()).unwrap_err();
        repaired(dir.path());
        open(dir.path());
        verify(dir.path()).unwrap();
    }
}

#[tokio::test]
async fn damaged_bars_are_left_out_and_counted() {
    let dir = fast_dir();
    let (store, _) = open(dir.path());
    store.save_bars((0..5).map(|minute| bar(minute, 1.1)).collect());
    drop(store);
    edit(dir.path(), "UPDATE bars SET close = 9.1 WHERE opened_at = (SELECT min(opened_at) FROM bars)");
    let metrics = Arc::new(Metrics::new().unwrap());
    let (store, recovered) = Store::open(dir.path(), options(), Arc::clone(&metrics)).unwrap();
    assert_eq!(recovered.minutes.len(), 4);
    let bars = store.reader().bars(&Symbol::new("EURUSD"), BarInterval::OneMinute, 9).await.unwrap();
    assert_eq!(bars, (1..5).map(|minute| bar(minute, 1.1)).collect::<Vec<_>>());
    assert_eq!(metrics.store_damaged_rows_total.with_label_values(&["bars"]).get(), 2);
    assert!(verify(dir.path()).unwrap_err().to_string().contains("a row of bars"));
    drop(store);
    assert!(repaired(dir.path()).lost.contains(&"1 damaged bars".to_owned()));
    verify(dir.path()).unwrap();
}

#[tokio::test]
async fn history_read_later_is_checked_too() {
    let (dir, _) = killed().await;
    let metrics = Arc::new(Metrics::new().unwrap());
    let (store, _) = Store::open(dir.path(), options(), Arc::clone(&metrics)).unwrap();
    let connection = Connection::open(dir.path().join(DATABASE_FILE)).unwrap();
    connection.execute("UPDATE signal_events SET body = replace(body, '1.085', '9.085') WHERE seq = 7", []).unwrap();
    let reader = store.reader();
    assert_eq!(reader.events_after(7, 100).await.unwrap().len(), 23);
    reader.events_after(0, 100).await.unwrap_err();
    reader.history(everything()).await.unwrap_err();
    reader.find(&[SignalId::new("6").unwrap()]).await.unwrap_err();
    assert_eq!(metrics.store_damaged_rows_total.with_label_values(&["signal_events"]).get(), 3);
}

#[tokio::test]
async fn nothing_is_acknowledged_without_its_watermark() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    store.log(vec![pending("a")]).await.unwrap();
    let watermark = dir.path().join(WATERMARK_FILE);
    fs::remove_file(&watermark).unwrap();
    store.log(vec![pending("b")]).await.unwrap();
    assert!(watermark.is_file(), "it is written anew");
    // A folder cannot be replaced by a file.
    fs::remove_file(&watermark).unwrap();
    fs::create_dir_all(watermark.join("x")).unwrap();
    for _ in 0..2 {
        store.log(vec![pending("c")]).await.unwrap_err();
    }
    assert!(matches!(store.health(), Health::Failing { .. }));
    fs::remove_dir_all(&watermark).unwrap();
    healed(&store).await;
    assert_eq!(store.log(vec![pending("d")]).await, Ok(3));
    drop(store);
    assert_eq!(verified(dir.path()), (3, 1, 3, 0));
}
