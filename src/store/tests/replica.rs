//! The log as a copy of a replicated one.

use super::*;

const EPOCH: &str = "replicated";

fn open_copy(dir: &Path) -> (Store, Recovered) {
    Store::open_replica(dir, options(), Arc::new(Metrics::new().unwrap()), EPOCH).unwrap()
}

/// A message of the stream that continues what `store` has.
fn message(store: &Store, stream_seq: u64, minute: u64) -> Replicated {
    let stored_at = start() + Duration::from_mins(minute);
    let place = ReplicaPlace {
        stream_seq,
        term: 1,
        writer: "a".into(),
        digest: format!("{stream_seq}"),
        stored_at: stored_at.timestamp_millis(),
        ..ReplicaPlace::start(EPOCH)
    };
    let requests = vec![format!("request-{stream_seq}").into()];
    Replicated { place, batch: Some(ReplicatedBatch { after: store.heads(), stored_at, requests, bars: Vec::new() }) }
}

fn entries(signals: Vec<Arc<Signal>>) -> LogEntries {
    LogEntries { signals, ..LogEntries::default() }
}

#[tokio::test]
async fn copies_of_the_same_messages_are_equal() {
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let [(one, _), (other, _)] = [open_copy(dirs[0].path()), open_copy(dirs[1].path())];
    for (stream_seq, id) in [(2, "a"), (3, "b")] {
        let next = message(&one, stream_seq, stream_seq);
        for store in [&one, &other] {
            store.apply(entries(vec![pending(id)]), next.clone()).await.unwrap();
        }
    }
    assert_eq!(one.heads(), other.heads());
    assert_eq!(one.heads().events.seq, 2);
    let [one_tree, other_tree] = dirs.each_ref().map(|dir| verify(dir.path()).unwrap().tree);
    assert_eq!((one_tree.size, one_tree), (2, other_tree));
    assert!(one.reader().has_request(&"request-3".into()).await.unwrap());
    assert!(!one.reader().has_request(&"request-4".into()).await.unwrap());
}

/// A second record of a signal is ignored while the first is there: which is no matter of a node's clock.
#[tokio::test]
async fn copies_forget_at_the_same_message() {
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let late = Options { clock: || start() + 9 * DAY, ..options() };
    let (other, _) = Store::open_replica(dirs[1].path(), late, Arc::new(Metrics::new().unwrap()), EPOCH).unwrap();
    let (one, _) = open_copy(dirs[0].path());
    let life =
        || LogEntries { outcomes: vec![records::outcome("a", 1.0)], ..entries(vec![pending("a"), confirmed("a")]) };
    let day = 24 * 60;
    let messages = [(2, 0), (3, day), (4, day + 59), (5, day + 60), (6, day + 61)];
    for ((stream_seq, minute), records) in messages.into_iter().zip([1, 1, 1, 1, 2]) {
        let next = message(&one, stream_seq, minute);
        for store in [&one, &other] {
            let entries = if stream_seq == 2 || stream_seq == 6 { life() } else { LogEntries::default() };
            store.apply(entries, next.clone()).await.unwrap();
            assert_eq!(store.heads().records.seq, records, "after message {stream_seq}");
        }
        assert_eq!(one.heads(), other.heads());
    }
    for store in [one, other] {
        store.close().await.unwrap();
    }
    // The events of the first life are gone, the others are there.
    assert_eq!(dirs.map(|dir| verify(dir.path()).unwrap().events), [2, 2]);
}

#[tokio::test]
async fn a_message_that_does_not_follow_is_refused_whole() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open_copy(dir.path());
    let (first, same) = (message(&store, 2, 0), message(&store, 3, 0));
    store.apply(entries(vec![pending("a")]), first).await.unwrap();
    let refused = store.apply(entries(vec![pending("b")]), same).await;
    assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
    store.close().await.unwrap();
    drop(store);
    let (store, recovered) = open_copy(dir.path());
    assert_eq!(recovered.position, Position { epoch: EPOCH.into(), seq: 1 });
    assert_eq!(store.place().unwrap().stream_seq, 2);
}

#[tokio::test]
async fn the_place_is_committed_with_the_entries() {
    let dir = TempDir::new().unwrap();
    let (store, recovered) = open_copy(dir.path());
    assert_eq!((store.place().unwrap().stream_seq, &*recovered.position.epoch), (0, EPOCH));
    let void = Replicated { place: ReplicaPlace { stream_seq: 1, ..ReplicaPlace::start(EPOCH) }, batch: None };
    store.apply(LogEntries::default(), void).await.unwrap();
    store.simulate_fault(DiskFault::Full);
    let failed = store.apply(entries(vec![pending("a")]), message(&store, 2, 0)).await;
    assert!(matches!(failed, Err(StoreError::Full(_))), "{failed:?}");
    drop(store);
    let (store, recovered) = open_copy(dir.path());
    assert_eq!((store.place().unwrap().stream_seq, recovered.position.seq), (1, 0));
}

#[tokio::test]
async fn a_backup_of_a_copy_becomes_a_copy() {
    let (dir, restored) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (store, _) = open_copy(dir.path());
    store.apply(entries(vec![pending("a")]), message(&store, 2, 0)).await.unwrap();
    backup(dir.path(), &restored.path().join(DATABASE_FILE), |_| ()).unwrap();
    let local = LocalLog::read(restored.path()).unwrap().unwrap();
    assert_ne!(local.epoch, EPOCH);
    assert_eq!(local.copied_from, Some(Position { epoch: EPOCH.into(), seq: 1 }));
    assert_eq!((local.place.unwrap().stream_seq, local.heads), (2, store.heads()));
    let (again, recovered) = open_copy(restored.path());
    assert_eq!((recovered.position.to_string(), again.place().unwrap().stream_seq), (format!("{EPOCH}:1"), 2));
}

#[tokio::test]
async fn a_log_that_is_set_aside_stays_whole() {
    let dir = TempDir::new().unwrap();
    filled(dir.path()).await;
    let name = LocalLog::set_aside(dir.path(), "old").unwrap();
    assert_eq!(LocalLog::read(dir.path()), Ok(None));
    assert_eq!(verify(&dir.path().join(name)).unwrap().events, 7);
    assert_eq!(open_copy(dir.path()).1.position.seq, 0);
}

#[tokio::test]
async fn a_pipeline_recovers_what_a_start_recovers() {
    let dir = TempDir::new().unwrap();
    filled(dir.path()).await;
    let (store, recovered) = open(dir.path());
    assert_eq!(store.reader().recover(start(), message_type).await.unwrap(), recovered);
}
