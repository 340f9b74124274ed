//! Clients that come back to another node, and nodes that are restarted one after the other under them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use super::nodes::{TestCluster, push};
use crate::resume::{Dashboard, Scene, compare, join};
use crate::support::dashboard::Way;
use crate::support::{PATIENCE, read_log, seq, signal, until};

/// Where the nodes listen; `None` while one is away.
type Addresses = Arc<Mutex<Vec<Option<SocketAddr>>>>;

fn addresses(cluster: &TestCluster) -> Addresses {
    Arc::new(Mutex::new(cluster.nodes.iter().map(|node| Some(node.addr())).collect()))
}

/// Comes to another node each time, until it has everything.
async fn wander(
    mut dashboard: Dashboard,
    mut at: usize,
    addresses: Addresses,
    mut scene: watch::Receiver<Scene>,
    longest: Duration,
) -> Dashboard {
    while !dashboard.has_all(&scene) {
        at = (at + rand::random_range(1..3)) % 3;
        let address = addresses.lock()[at];
        if let Some(address) = address {
            let is_over = scene.borrow().head.is_some();
            let spell = if is_over { PATIENCE } else { longest.mul_f64(rand::random_range(0.1..1.0)) };
            dashboard.listen(address, spell, &mut scene).await;
        }
        sleep(Duration::from_millis(rand::random_range(5..200))).await;
    }
    dashboard
}

/// A node that is there.
fn any(addresses: &Addresses) -> SocketAddr {
    let up: Vec<SocketAddr> = addresses.lock().iter().flatten().copied().collect();
    up[rand::random_range(0..up.len())]
}

/// Pushes signals, `pace` apart whatever becomes of those before, until `end`. Returns how long each took until it was
/// acknowledged.
async fn keep_pushing(addresses: Addresses, pace: Duration, end: Instant) -> Vec<Duration> {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
    let mut beat = interval(pace);
    let mut pushes = JoinSet::new();
    while Instant::now() < end {
        beat.tick().await;
        let (http, addresses, id) = (http.clone(), addresses.clone(), format!("p{}", pushes.len()));
        pushes.spawn(async move {
            let began = Instant::now();
            loop {
                match push(&http, any(&addresses), &signal(&id)).await {
                    Some(200 | 409) => return began.elapsed(),
                    Some(503) | None => sleep(Duration::from_millis(10)).await,
                    Some(status) => panic!("{status}"),
                }
            }
        });
    }
    join(&mut pushes).await
}

/// Asks for what a node can say at once. Returns the longest time that one took: what the machine costs, and not the
/// cluster.
async fn keep_asking(addresses: Addresses, end: Instant) -> Duration {
    let http = reqwest::Client::new();
    let mut longest = Duration::ZERO;
    while Instant::now() < end {
        let began = Instant::now();
        if http.get(format!("http://{}/health", any(&addresses))).send().await.is_ok() {
            longest = longest.max(began.elapsed());
        }
        sleep(Duration::from_millis(50)).await;
    }
    longest
}

/// The simulator, the deadlines and the prices are the writer's: every node shows the same, and another one takes over.
#[tokio::test(flavor = "multi_thread")]
async fn sources_run_on_the_writer_only() {
    let settings =
        [("ORION_SOURCES", "simulator"), ("ORION_SIMULATOR__SIGNAL_INTERVAL", "1s"), ("ORION_SIGNAL_TTL", "2s")];
    let Some(mut cluster) = TestCluster::start(1, &settings).await else { return };
    let lists_simulator = async |cluster: &TestCluster, at: usize| {
        let node = cluster.nodes[at].running();
        node.get("/api/sources").await.1.to_string().contains("\"simulator\"")
    };
    let price = async |cluster: &TestCluster, at: usize| {
        let (_, prices) = cluster.nodes[at].running().get("/api/prices").await;
        prices["prices"].as_array().and_then(|prices| prices.first().map(ToString::to_string)).unwrap_or_default()
    };
    let mut head = 0;
    for _ in 0..2 {
        let writer = cluster.writer().await;
        until("the writer's source is listed", async || lists_simulator(&cluster, writer).await).await;
        for at in 0..3 {
            if cluster.nodes[at].server.is_none() {
                continue;
            }
            assert_eq!(lists_simulator(&cluster, at).await, at == writer, "node {at}");
            let before = price(&cluster, at).await;
            until("prices arrive", async || price(&cluster, at).await != before).await;
        }
        let before = head;
        until("signals begin and end", async || {
            head = seq(&cluster.nodes[writer].running().cursor().await);
            head > before + 2
        })
        .await;
        cluster.nodes[writer].stop().await;
    }
}

/// Waits until the last event is the same on every node and nothing is pending, and returns its number.
async fn quiet(cluster: &TestCluster) -> u64 {
    let mut head = 0;
    until("every signal has ended on every node", async || {
        let mut cursors = Vec::new();
        for node in &cluster.nodes {
            let (_, answer) = node.running().get("/api/signals?status=pending").await;
            if answer["signals"] != Value::Array(Vec::new()) {
                return false;
            }
            cursors.push(seq(&answer["cursor"]));
        }
        head = cursors[0];
        cursors.iter().all(|cursor| *cursor == head)
    })
    .await;
    head
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_change_nodes_see_exactly_the_log() {
    let Some(mut cluster) = TestCluster::start(1, &[("ORION_SIGNAL_TTL", "2s")]).await else { return };
    let start = cluster.nodes[0].running().cursor().await;
    let addresses = addresses(&cluster);
    let (scene, watched) = watch::channel(Scene::default());
    let mut dashboards = JoinSet::new();
    for number in 0..50 {
        let native = [Way::Query, Way::Frame][number % 2];
        let socketio = [Way::Auth, Way::Subscribe][number % 2];
        for way in [native, socketio] {
            let dashboard = Dashboard::new(number, way, &start);
            let longest = Duration::from_millis(1_500);
            dashboards.spawn(wander(dashboard, number, addresses.clone(), watched.clone(), longest));
        }
    }
    let end = Instant::now() + Duration::from_secs(8);
    let pushing = tokio::spawn(keep_pushing(addresses.clone(), Duration::from_millis(20), end));
    // In the middle of it the writer is gone for a while.
    sleep(Duration::from_secs(3)).await;
    let writer = cluster.writer().await;
    addresses.lock()[writer] = None;
    cluster.nodes[writer].kill().await;
    sleep(Duration::from_secs(2)).await;
    cluster.nodes[writer].start().await;
    addresses.lock()[writer] = Some(cluster.nodes[writer].addr());
    pushing.await.unwrap();
    let head = quiet(&cluster).await;
    scene.send_modify(|scene| scene.head = Some(head));
    let dashboards = timeout(PATIENCE, join(&mut dashboards)).await.expect("everybody catches up");
    assert_eq!(cluster.equal_copies().await.events, head);
    compare(&dashboards, &read_log(cluster.nodes[1].data()).await);
    let connections: usize = dashboards.iter().map(|dashboard| dashboard.connections).sum();
    eprintln!("{} clients, {connections} connections to changing nodes, {head} events", dashboards.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_delays_no_push_and_doubles_nothing() {
    let Some(mut cluster) = TestCluster::start(1, &[("ORION_SIGNAL_TTL", "2s")]).await else { return };
    let start = cluster.nodes[0].running().cursor().await;
    let addresses = addresses(&cluster);
    let (scene, watched) = watch::channel(Scene::default());
    let mut dashboards = JoinSet::new();
    for number in 0..300 {
        // With the cursor in the handshake: how long a node waits for a first frame is no matter of the cluster.
        let way = [Way::Query, Way::Auth][number % 2];
        let dashboard = Dashboard::new(number, way, &start);
        dashboards.spawn(wander(dashboard, number, addresses.clone(), watched.clone(), PATIENCE));
    }
    let end = Instant::now() + Duration::from_secs(15);
    let pushing = tokio::spawn(keep_pushing(addresses.clone(), Duration::from_millis(20), end));
    let asking = tokio::spawn(keep_asking(addresses.clone(), end));
    for at in 0..3 {
        sleep(Duration::from_secs(1)).await;
        // As a load balancer does: it takes the node out when it is no longer ready, while it still serves.
        cluster.nodes[at].running().terminate();
        addresses.lock()[at] = None;
        assert_eq!(cluster.nodes[at].server.take().unwrap().exit().await.code(), Some(0));
        cluster.nodes[at].start().await;
        cluster.nodes[at].ready().await;
        addresses.lock()[at] = Some(cluster.nodes[at].addr());
    }
    let (mut took, machine) = (pushing.await.unwrap(), asking.await.unwrap());
    let head = quiet(&cluster).await;
    scene.send_modify(|scene| scene.head = Some(head));
    let dashboards = timeout(PATIENCE, join(&mut dashboards)).await.expect("everybody catches up");
    let (append, commit) = cluster.pace().await;
    assert_eq!(cluster.equal_copies().await.events, head);
    compare(&dashboards, &read_log(cluster.nodes[2].data()).await);
    took.sort();
    let [median, longest] = [took[took.len() / 2], took[took.len() - 1]];
    eprintln!(
        "rolling restart: {} pushes, half of them within {median:.1?}, the longest took {longest:.2?}, and a node's word {machine:.2?}; \
         {head} events; append {append:.1} ms, commit {commit:.1} ms",
        took.len(),
    );
    // On a busy machine every step of a push waits as long as the one step of an answer.
    let most = Duration::from_secs(1) + 4 * machine;
    assert!(longest < most, "a push took {longest:?}, and may take {most:?}");
}
