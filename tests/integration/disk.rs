//! A disk that is full, read-only or damaged: pushers are told, prices flow, and what is on the disk stays as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use orion_server::domain::{Direction, Feed, Input, Instruments, SignalDraft, SignalId, SourceName, Symbol};
use orion_server::engine::Engine;
use orion_server::hub::Hub;
use orion_server::pipeline::clock::{Clock, wall};
use orion_server::pipeline::{Handle, Pipeline, SubmitError};
use orion_server::store::{self, DiskFault, Health, Store};
use orion_server::telemetry::Metrics;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::dashboard::{Client, Told, Way};
use crate::support::{PATIENCE, Server, binary, read_log, signal, soon, store_options, until};

/// A small disk of our own, in memory; unmounted when dropped.
struct SmallDisk {
    mount: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` when this user may not mount.
    fn mount(options: &str) -> Option<Self> {
        let mount = tempfile::tempdir().unwrap();
        let command = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(mount.path()).output();
        if command.is_ok_and(|output| output.status.success()) {
            return Some(Self { mount });
        }
        eprintln!("skipped: no tmpfs can be mounted here");
        None
    }

    fn data(&self) -> PathBuf {
        self.mount.path().join("data")
    }

    fn ballast(&self) -> PathBuf {
        self.mount.path().join("ballast")
    }

    /// Takes all the space that is left.
    fn fill(&self) {
        use std::io::Write;
        let mut file = fs::File::options().append(true).create(true).open(self.ballast()).unwrap();
        for size in [65_536, 4_096, 512, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let status = Command::new("mount").args(["-o", &options]).arg(self.mount.path()).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.mount.path()).status().ok();
    }
}

async fn ready(server: &Server) -> Value {
    let (status, ready) = server.get("/ready").await;
    assert_eq!(status, 200, "{ready}");
    ready
}

async fn price(server: &Server, price: f64) {
    let body = json!({ "symbol": "EURUSD", "price": price });
    let (status, answer) = server.post("/api/prices", &body).await;
    assert_eq!(status, 200, "{answer}");
}

/// Waits until the client is told this price.
async fn hears(client: &mut Client, price: f64) {
    soon("prices keep flowing", async {
        loop {
            match client.told().await.expect("the connection stays") {
                Told::Price(update) if update["price"] == price => return,
                _ => {}
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_signals_until_it_heals() {
    let Some(disk) = SmallDisk::mount("size=4m") else { return };
    let settings = [("ORION_SIGNAL_TTL", "3s"), ("ORION_ALERTS__PENDING_FOR", "0s")];
    let server = Server::start_on(disk.data(), &settings).await;
    let mut old = Client::connect(server.addr, Way::Query, None).await.unwrap();
    server.push(&signal("before")).await;
    let mut acknowledged = vec!["before".to_owned()];

    disk.fill();
    // What is left of a page or of the write-ahead log may still take some.
    let mut refused = Vec::new();
    for number in 0.. {
        let id = format!("during-{number}");
        let (status, answer) = server.post("/api/signals", &signal(&id)).await;
        if status == 200 {
            acknowledged.push(id);
            continue;
        }
        assert_eq!((status, &answer["code"]), (503, &json!("not_stored")), "{answer}");
        assert!(answer["error"].as_str().is_some_and(|error| error.contains("Cannot be stored now")), "{answer}");
        refused.push(id);
        if refused.len() == 12 {
            break;
        }
    }
    until("the operator is told", async || {
        let (_, metrics) = server.get("/metrics").await;
        let is_raised =
            |alert| metrics.as_str().unwrap().contains(&format!("orion_alerts_firing{{alert=\"{alert}\"}} 1\n"));
        ["log_not_writable", "disk_nearly_full", "error_rate"].into_iter().all(is_raised)
    })
    .await;
    let health = ready(&server).await;
    assert_eq!(health["status"], "degraded");
    assert!(health.to_string().contains("full"), "{health}");
    assert_eq!(health["parts"]["store"]["status"], "degraded", "{health}");
    assert_eq!(health["parts"]["sources"], json!({ "status": "ok" }), "{health}");
    until("the disk is nearly full", async || {
        let disk = ready(&server).await["parts"]["disk"].clone();
        disk["reason"].as_str().is_some_and(|reason| reason.starts_with("the disk is nearly full: "))
    })
    .await;
    price(&server, 1.081).await;
    hears(&mut old, 1.081).await;
    let mut new = Client::connect(server.addr, Way::Query, None).await.unwrap();
    price(&server, 1.082).await;
    hears(&mut new, 1.082).await;
    // Long enough for the deadline of the pending one to pass, which cannot be stored either.
    until("the end of the first is due", async || {
        price(&server, 1.083).await;
        let expires_at = server.get("/api/signals/before").await.1["signal"]["expires_at"].as_str().unwrap().to_owned();
        orion_server::domain::parse_time(&expires_at).unwrap() < wall()
    })
    .await;
    assert_eq!(ready(&server).await["status"], "degraded");

    disk.free();
    until("it heals without anybody pushing", async || ready(&server).await["status"] == "ok").await;
    for id in &refused {
        server.push(&signal(id)).await;
    }
    acknowledged.extend(refused);
    for id in &acknowledged {
        until("it ends at its deadline", async || server.history(id).await.len() == 2).await;
        let (_, life) = server.get(&format!("/api/signals/{id}")).await;
        assert_eq!(life["history"][1]["reason"], "timeout");
        assert_eq!(life["history"][1]["at"], life["signal"]["expires_at"]);
    }
    server.stop().await;
    store::verify(&disk.data()).unwrap();
    let log = read_log(disk.data()).await;
    let mut created: Vec<_> = log.iter().filter(|(.., status)| status == "pending").map(|(_, id, _)| id).collect();
    created.sort();
    acknowledged.sort();
    assert!(created.iter().copied().eq(&acknowledged), "{created:?} instead of {acknowledged:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_logged_once_a_minute() {
    let Some(disk) = SmallDisk::mount("size=4m") else { return };
    let server = Server::start_on(disk.data(), &[]).await;
    disk.fill();
    let began = tokio::time::Instant::now();
    let mut refused = 0;
    for number in 0.. {
        refused += usize::from(server.post("/api/signals", &signal(&number.to_string())).await.0 == 503);
        if refused == 40 {
            break;
        }
    }
    let minutes = began.elapsed().as_secs() as usize / 60;
    for message in ["signals could not be stored", "the signal log cannot be written"] {
        let lines = server.lines(message);
        assert!((1..=1 + minutes).contains(&lines.len()), "{lines:?}");
    }
    disk.free();
    until("it heals", async || ready(&server).await["status"] == "ok").await;
    server.push(&signal("after")).await;
    server.logged("the signal log can be written again").await;
    assert!(server.logged("signals are stored again").await["suppressed"].is_u64());
    server.stop().await;
}

/// Runs a process that has to end by itself.
async fn refused(dir: &Path) -> Output {
    let mut command = binary();
    command.env("PORT", "0").env("ORION_HOST", "127.0.0.1").env("ORION_SOURCES", "none").env("ORION_DATA_DIR", dir);
    soon("it ends by itself", command.output()).await.unwrap()
}

/// The process ends with 1 and says in one line what is wrong with which directory.
async fn refuses_in_a_line(dir: &Path, what: &str) {
    let output = refused(dir).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(what) && stderr.contains(dir.to_str().unwrap()), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_serves_an_existing_log_only() {
    let Some(disk) = SmallDisk::mount("size=2m") else { return };
    let server = Server::start_on(disk.data(), &[]).await;
    server.push(&signal("one")).await;
    server.kill().await;
    disk.fill();
    refuses_in_a_line(&disk.mount.path().join("new"), "full").await;
    let server = Server::start_on(disk.data(), &[]).await;
    let mut client = Client::connect(server.addr, Way::Query, None).await.unwrap();
    assert_eq!(client.until_subscribed().await.0.len(), 1);
    price(&server, 1.081).await;
    hears(&mut client, 1.081).await;
    server.kill().await;
    disk.free();

    disk.remount("ro");
    refuses_in_a_line(&disk.data(), "read-only").await;
    refuses_in_a_line(&disk.mount.path().join("other"), "read-only").await;
    disk.remount("rw");
    let server = Server::start_on(disk.data(), &[]).await;
    assert_eq!(server.history("one").await.len(), 1);
}

/// Content of the database and its write-ahead log.
fn snapshot(dir: &Path) -> Vec<Vec<u8>> {
    ["orion.db", "orion.db-wal"].map(|name| fs::read(dir.join(name)).unwrap_or_default()).into()
}

/// A log with some events, left by a process that stopped cleanly.
async fn some_log(dir: &Path) {
    let server = Server::start_on(dir, &[]).await;
    for number in 0..100 {
        server.push(&signal(&format!("s-{number}"))).await;
    }
    server.stop().await;
}

/// The process ends with 1, names the file, says `what`, and leaves it as it was.
async fn refuses(dir: &Path, what: &[&str]) {
    let before = snapshot(dir);
    let output = refused(dir).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for what in what {
        assert!(stderr.contains(what), "no '{what}' in: {stderr}");
    }
    assert_eq!(snapshot(dir), before, "it was touched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_database_is_named_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    some_log(dir.path()).await;
    let file = dir.path().join("orion.db");
    let whole = fs::read(&file).unwrap();
    let advice = ["orion.db is damaged", "backup", "move the file away"];

    let mut garbled = whole.clone();
    let middle = garbled.len() / 2;
    garbled[middle..middle + 8_192].fill(0x5a);
    for damaged in [garbled, whole[..whole.len() / 2].to_vec(), b"no database at all".to_vec()] {
        fs::write(&file, damaged).unwrap();
        refuses(dir.path(), &advice).await;
    }
    // Somebody edited a row: SQLite finds nothing wrong, the chain of hashes does.
    fs::write(&file, &whole).unwrap();
    let connection = rusqlite::Connection::open(&file).unwrap();
    let edit = "UPDATE signal_events SET body = replace(body, 'MSS', 'XXX') WHERE seq = 50";
    assert_eq!(connection.execute(edit, []).unwrap(), 1);
    connection.close().unwrap();
    refuses(dir.path(), &["orion.db is damaged", "event 50"]).await;

    fs::write(&file, &whole).unwrap();
    Server::start_on(&dir, &[]).await.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    some_log(dir.path()).await;
    let connection = rusqlite::Connection::open(dir.path().join("orion.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    connection.close().unwrap();
    refuses(dir.path(), &["orion.db has schema 99", "Install orion-server"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_on(&dir, &[]).await;
    server.push(&signal("one")).await;
    refuses(dir.path(), &["another orion-server process owns the data directory", dir.path().to_str().unwrap()]).await;
    server.push(&signal("two")).await;
}

/// Signals that come due while nothing can be stored.
const DUE: usize = 12_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_due_during_a_full_disk_end_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let instruments = Arc::new(Instruments::new(Instruments::documented()).unwrap());
    let push = |id: String| Input::Signal {
        id: SignalId::new(&id).unwrap(),
        draft: Box::new(SignalDraft {
            symbol: Some(Symbol::new("EURUSD")),
            direction: Some(Direction::Long),
            entry_price: Some(1.085),
            stop_loss: Some(1.082),
            take_profits: Some(vec![1.09]),
            ..SignalDraft::default()
        }),
        source: SourceName::new("push"),
        feed: Feed::Live,
    };
    // Opens the log and runs a pipeline on it, whose signals end after `ttl`.
    let run = |ttl: Duration, stop: &CancellationToken, tasks: &mut JoinSet<_>| {
        let (store, recovered) = Store::open(dir.path(), store_options(), metrics.clone()).unwrap();
        let store = Arc::new(store);
        let hub = Arc::new(Hub::new(recovered.position, Duration::ZERO, 50, metrics.clone()));
        let (engine, clock) = (Engine::new(instruments.clone(), ttl, 5), Clock::system());
        let pipeline = Pipeline::new(engine, clock, store.clone(), hub.clone(), metrics.clone(), recovered.pending);
        let (handle, requests) = Handle::channel();
        tasks.spawn(pipeline.run(requests, Duration::from_millis(100), stop.clone()));
        (store, hub, handle)
    };

    // None comes due while they are pushed, however long that takes: only the next process lets them live so briefly.
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    let (store, _, handle) = run(Duration::from_hours(1), &stop, &mut tasks);
    for number in 0..DUE - 1 {
        handle.send(push(number.to_string())).await.unwrap();
    }
    handle.submit(push("last".into())).await.unwrap();
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap().unwrap();
    store.close().await.unwrap();
    drop(store);

    let ttl = Duration::from_secs(6);
    let stop = CancellationToken::new();
    let (store, hub, handle) = run(ttl, &stop, &mut tasks);
    assert_eq!(hub.position().seq, DUE as u64);
    store.simulate_fault(DiskFault::ReadOnly);
    let refused = handle.submit(push("refused".into())).await.unwrap_err();
    assert!(matches!(&refused, SubmitError::NotStored(why) if why.contains("read-only")), "{refused}");
    assert!(matches!(store.health(), Health::Failing { .. }));

    // From here on a commit fails only after a while, and all of them come due meanwhile.
    let holder = rusqlite::Connection::open(dir.path().join("orion.db")).unwrap();
    holder.busy_timeout(PATIENCE).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.simulate_fault(DiskFault::None);
    tokio::time::sleep(ttl + Duration::from_secs(4)).await;
    assert_eq!(hub.position().seq, DUE as u64, "told before it was stored");
    holder.execute_batch("ROLLBACK").unwrap();
    until("all have ended", async || hub.position().seq == 2 * DUE as u64).await;
    assert_eq!(store.health(), Health::Ok);
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap().unwrap();
    store.close().await.unwrap();
    drop(store);
    let verified = store::verify(dir.path()).unwrap();
    assert_eq!(verified.events, 2 * DUE as u64);
    assert!(read_log(&dir).await.iter().all(|(_, id, _)| id != "refused"));
}
