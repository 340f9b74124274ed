//! The tree over events and records.

use super::*;
use crate::store::tree::Entry;

/// The examples of Certificate Transparency: the data of the leaves, and the root after each.
const VECTORS: [(&str, &str); 8] = [
    ("", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    ("\0", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
    ("\x10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
    ("\x20\x21", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
    ("\x30\x31", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
    ("\x40\x41\x42\x43", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
    ("\x50\x51\x52\x53\x54\x55\x56\x57", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
    (
        "\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ),
];

#[test]
fn the_tree_is_that_of_rfc_6962() {
    let dir = TempDir::new().unwrap();
    drop(open(dir.path()));
    let connection = Connection::open(dir.path().join(DATABASE_FILE)).unwrap();
    let mut end = tree::end(&connection).unwrap();
    assert_eq!(
        hex(&tree::root(&connection, 0).unwrap()),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    for (at, (data, _)) in VECTORS.into_iter().enumerate() {
        end.append(&connection, Entry::Event(at as u64 + 1), data).unwrap();
    }
    for (at, (_, root)) in VECTORS.into_iter().enumerate() {
        assert_eq!(hex(&tree::root(&connection, at as u64 + 1).unwrap()), root, "{} leaves", at + 1);
    }
}

/// Makes a log of seven events and two records.
async fn grown(dir: &Path) {
    filled(dir).await;
    let (store, _) = open(dir);
    store.append_outcomes(vec![records::outcome("a", 1.0), records::outcome("d", -1.0)], Vec::new()).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn every_entry_has_its_leaf() {
    let dir = TempDir::new().unwrap();
    grown(dir.path()).await;
    let before = verify(dir.path()).unwrap().tree;
    assert_eq!(before.size, 9);
    let (store, _) = open(dir.path());
    // A second record of a signal is ignored, so it has no leaf.
    store.append_outcomes(vec![records::outcome("a", 2.0)], Vec::new()).await.unwrap();
    assert_eq!(verify(dir.path()).unwrap().tree, before);
    store.log(vec![pending("e")]).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let after = verify(dir.path()).unwrap().tree;
    assert_eq!(after.size, 10);
    let connection = Connection::open(dir.path().join(DATABASE_FILE)).unwrap();
    assert_eq!(tree::root(&connection, 9).unwrap(), before.root, "an earlier tree is a part of the later one");
}

#[tokio::test]
async fn an_edit_of_the_tree_shows() {
    let dir = TempDir::new().unwrap();
    grown(dir.path()).await;
    let image = bytes(dir.path());
    for (sql, what) in [
        ("UPDATE tree SET hashes = zeroblob(32) WHERE leaf = 4", "leaf 4: it is not the hash"),
        ("UPDATE tree SET hashes = x'' WHERE leaf = 4", "leaf 4: it has no hash"),
        ("UPDATE tree SET hashes = substr(hashes, 1, 32) WHERE leaf = 3", "leaf 3: its hashes do not cover"),
        ("UPDATE tree SET hashes = substr(hashes, 1, 64) WHERE leaf = 3", "leaf 3: its hashes do not cover"),
        ("DELETE FROM tree WHERE leaf = 0", "leaf 1: it does not follow"),
        ("DELETE FROM tree WHERE leaf = 3", "leaf 4: it does not follow"),
        ("DELETE FROM tree WHERE leaf = 8", "it ends with event 7 and record 1, and the log with 7 and 2"),
        ("DELETE FROM tree", "it ends with event 0"),
        ("UPDATE tree SET kind = 1 WHERE leaf = 6", "leaf 6: it does not follow"),
        ("UPDATE tree SET event = 9 WHERE leaf = 6", "leaf 6: it does not follow"),
        ("UPDATE tree SET record = 1 WHERE leaf = 6", "leaf 6: it does not follow"),
        ("INSERT INTO tree SELECT 9, 1, 7, 3, hashes FROM tree WHERE leaf = 8", "leaf 9: its entry is missing"),
    ] {
        edit(dir.path(), sql);
        match verify(dir.path()) {
            Err(StoreError::BrokenTree(found)) => assert!(found.starts_with(what), "{sql}: {found}"),
            other => panic!("{sql}: {other:?}"),
        }
        // What a start reads is looked at, too.
        assert!(matches!(refused(dir.path()), StoreError::Damaged { .. }), "{sql}");
        for (name, content) in &image {
            fs::write(dir.path().join(name), content).unwrap();
        }
    }
    assert_eq!(verify(dir.path()).unwrap().tree.size, 9);
}

#[tokio::test]
async fn a_pruned_log_keeps_its_whole_tree() {
    let dir = TempDir::new().unwrap();
    grown(dir.path()).await;
    let before = verify(dir.path()).unwrap().tree;
    let later = Options { clock: || start() + 9 * DAY, ..options() };
    let (store, _) = open_with(dir.path(), later).unwrap();
    // The third signal is pending and holds the others; the writer prunes when it is idle.
    store.log(vec![timed_out("c")]).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let connection = Connection::open(dir.path().join(DATABASE_FILE)).unwrap();
    commit::prune_events(&connection, start() + DAY).unwrap();
    outcomes::prune(&connection, start() + DAY).unwrap();
    connection.pragma_update(None, "journal_mode", "DELETE").unwrap();
    drop(connection);
    let found = verify(dir.path()).unwrap();
    assert_eq!((found.pruned, found.records.pruned, found.tree.size), (7, 2, 10));
    let connection = Connection::open(dir.path().join(DATABASE_FILE)).unwrap();
    assert_eq!(tree::root(&connection, before.size).unwrap(), before.root);
}

#[tokio::test]
async fn a_repair_keeps_the_tree_as_far_as_it_fits() {
    let dir = TempDir::new().unwrap();
    grown(dir.path()).await;
    let before = verify(dir.path()).unwrap().tree;
    let fixed = |minute: u64, sql: &str| {
        edit(dir.path(), sql);
        let now = start() + Duration::from_mins(minute);
        repair(dir.path(), RepairMode::AcceptLoss, now).unwrap().expect("something to repair").lost
    };
    let lost = fixed(0, "UPDATE signal_events SET hash = zeroblob(32) WHERE seq = 6");
    assert!(lost.iter().any(|lost| lost.starts_with("the tree after leaf 5:")), "{lost:?}");
    let cut = verify(dir.path()).unwrap();
    // The record of signal a stays, with a leaf of its own after the five events.
    assert_eq!((cut.events, cut.records.records, cut.tree.size), (5, 1, 6));
    assert_ne!(cut.tree.root, before.root);
    let lost = fixed(1, "DELETE FROM tree WHERE leaf > 2");
    assert!(lost.iter().any(|lost| lost.starts_with("the tree after leaf 3:")), "{lost:?}");
    assert_eq!(verify(dir.path()).unwrap().tree, cut.tree, "it is built anew out of the same entries");
}
