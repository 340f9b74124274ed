//! Whatever fails, nothing that was acknowledged is lost or doubled, and every signal ends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::nodes::{TestCluster, push};
use crate::absent::message;
use crate::support::{TOKEN, read_log, signal, times, until};

/// Clusters side by side: most of a fault is waiting.
const CLUSTERS: usize = 5;
/// Pushers of the load of each.
const PUSHERS: usize = 4;
/// Pause of a pusher after each push, unless something is about to fail.
const PACE: Duration = Duration::from_millis(200);
/// The longest time between the pushes that a fault comes into and the fault.
const LEAD: Duration = Duration::from_millis(8);
/// How long one attempt to push may take before another node is tried.
const ATTEMPT: Duration = Duration::from_secs(4);

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    WriterKilled,
    /// Stopped for longer than its lease, then continued.
    WriterPaused,
    /// Its wires to the NATS servers pass nothing for longer than its lease.
    WriterCutOff,
    FollowerKilled,
    NatsLeaderKilled,
    NatsFollowerKilled,
    AllNatsKilled,
}

const FAULTS: [Fault; 7] = [
    Fault::WriterKilled,
    Fault::WriterPaused,
    Fault::WriterCutOff,
    Fault::FollowerKilled,
    Fault::NatsLeaderKilled,
    Fault::NatsFollowerKilled,
    Fault::AllNatsKilled,
];

/// What was acknowledged.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    signals: BTreeSet<String>,
    /// The users who were sent a message, each one, and never a second time.
    users: BTreeSet<String>,
}

/// Pushes through whichever node answers, until it is stopped.
pub(super) struct Load {
    addresses: Arc<Mutex<Vec<Option<SocketAddr>>>>,
    acknowledged: Arc<Mutex<Acknowledged>>,
    stop: watch::Sender<bool>,
    hurry: Arc<Notify>,
    pushers: JoinSet<()>,
}

impl Load {
    pub(super) fn start(cluster: &TestCluster) -> Self {
        let addresses = cluster.nodes.iter().map(|node| Some(node.addr())).collect();
        let mut load = Self {
            addresses: Arc::new(Mutex::new(addresses)),
            acknowledged: Arc::default(),
            stop: watch::Sender::new(false),
            hurry: Arc::default(),
            pushers: JoinSet::new(),
        };
        for pusher in 0..PUSHERS {
            let (addresses, acknowledged, stop) =
                (load.addresses.clone(), load.acknowledged.clone(), load.stop.subscribe());
            let hurry = load.hurry.clone();
            load.pushers.spawn(async move {
                let http = reqwest::Client::builder().timeout(ATTEMPT).build().unwrap();
                for number in 0.. {
                    let id = format!("{pusher}-{number}");
                    loop {
                        if *stop.borrow() {
                            return;
                        }
                        let at = rand::random_range(0..3_usize);
                        let address = addresses.lock()[at];
                        let Some(address) = address else {
                            sleep(Duration::from_millis(5)).await;
                            continue;
                        };
                        if number % 4 == 0 {
                            // Nobody asks twice: what a node repeats has to count once.
                            let user = format!("u{id}");
                            let sent = http.post(format!("http://{address}/api/events")).bearer_auth(TOKEN);
                            let answer = sent.json(&message(0, Some(&user))).send().await;
                            if answer.is_ok_and(|answer| answer.status() == 200) {
                                acknowledged.lock().users.insert(user);
                            }
                            break;
                        }
                        match push(&http, address, &signal(&id)).await {
                            // Its time may have been up before the answer arrived.
                            Some(200 | 409) => {
                                acknowledged.lock().signals.insert(id);
                                break;
                            }
                            Some(503) | None => sleep(Duration::from_millis(20)).await,
                            Some(status) => panic!("{status} for {id}"),
                        }
                    }
                    timeout(PACE, hurry.notified()).await.ok();
                }
            });
        }
        load
    }

    /// Lets all pushers push, and returns while their pushes are on their way, at another place each time.
    async fn rush(&self) {
        self.hurry.notify_waiters();
        sleep(LEAD.mul_f64(rand::random())).await;
    }

    pub(super) fn moved(&self, at: usize, address: Option<SocketAddr>) {
        self.addresses.lock()[at] = address;
    }

    /// Returns how long it takes until a push through a node other than `without` is acknowledged.
    pub(super) async fn next_acknowledged(&self, name: &str, without: Option<usize>) -> Duration {
        let http = reqwest::Client::builder().timeout(ATTEMPT).build().unwrap();
        let began = Instant::now();
        until("a push is acknowledged", async || {
            for at in 0..3 {
                let address = self.addresses.lock()[at].filter(|_| Some(at) != without);
                if let Some(address) = address
                    && matches!(push(&http, address, &signal(name)).await, Some(200 | 409))
                {
                    return true;
                }
            }
            false
        })
        .await;
        self.acknowledged.lock().signals.insert(name.to_owned());
        began.elapsed()
    }

    pub(super) async fn end(mut self) -> Acknowledged {
        self.stop.send_replace(true);
        while let Some(ended) = self.pushers.join_next().await {
            ended.unwrap();
        }
        std::mem::take(&mut *self.acknowledged.lock())
    }
}

impl Fault {
    /// Lets it happen, and heals it. Returns how long nothing was acknowledged.
    async fn happen(self, cluster: &mut TestCluster, load: &Load, name: &str) -> Duration {
        match self {
            Self::WriterKilled | Self::FollowerKilled => {
                let at = if self == Self::WriterKilled { cluster.writer().await } else { cluster.follower().await };
                load.rush().await;
                cluster.nodes[at].kill().await;
                load.moved(at, None);
                let took = load.next_acknowledged(name, Some(at)).await;
                cluster.nodes[at].start().await;
                load.moved(at, Some(cluster.nodes[at].addr()));
                took
            }
            Self::WriterPaused => {
                let at = cluster.writer().await;
                load.rush().await;
                cluster.nodes[at].running().signal("-STOP");
                let took = load.next_acknowledged(name, Some(at)).await;
                cluster.nodes[at].running().signal("-CONT");
                took
            }
            Self::WriterCutOff => {
                let at = cluster.writer().await;
                load.rush().await;
                cluster.nodes[at].cut(true);
                let took = load.next_acknowledged(name, Some(at)).await;
                cluster.nodes[at].cut(false);
                took
            }
            Self::NatsLeaderKilled | Self::NatsFollowerKilled => {
                let mut victim = None;
                until("the stream has a leader", async || {
                    let Some(servers) = cluster.nats.of_the_stream().await else { return false };
                    victim = if self == Self::NatsLeaderKilled {
                        servers.leader
                    } else {
                        servers.replicas.into_iter().next().map(|peer| peer.name)
                    };
                    victim.is_some()
                })
                .await;
                let server = cluster.nats.by_name(&victim.unwrap());
                load.rush().await;
                server.kill();
                let took = load.next_acknowledged(name, None).await;
                server.start();
                took
            }
            Self::AllNatsKilled => {
                load.rush().await;
                cluster.nats.servers.iter_mut().for_each(super::nats::NatsServer::kill);
                sleep(Duration::from_millis(500)).await;
                cluster.nats.servers.iter_mut().for_each(super::nats::NatsServer::start);
                load.next_acknowledged(name, None).await
            }
        }
    }
}

/// Waits until the nodes and the NATS servers are in step, so that the next fault is the only one.
async fn healed(cluster: &TestCluster) {
    for node in &cluster.nodes {
        node.ready().await;
    }
    until("the NATS servers are in step", async || {
        let Some(servers) = cluster.nats.of_the_stream().await else { return false };
        servers.leader.is_some()
            && servers.replicas.len() == cluster.nats.servers.len() - 1
            && servers.replicas.iter().all(|peer| peer.current && !peer.offline)
    })
    .await;
}

/// Waits until every signal has ended, stops the nodes, and checks that their copies are equal and have everything that was
/// acknowledged, each signal with one life. Returns the number of events.
pub(super) async fn each_once(cluster: &mut TestCluster, acknowledged: &Acknowledged) -> u64 {
    until("every signal has ended", async || {
        cluster.nodes[0].running().get("/api/signals?status=pending").await.1["signals"] == json!([])
    })
    .await;
    let verified = cluster.equal_copies().await;
    let log = read_log(cluster.nodes[0].data()).await;
    assert_eq!(log.len() as u64, verified.events);
    let mut lives: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (_, id, status) in &log {
        lives.entry(id).or_default().push(status);
    }
    for id in &acknowledged.signals {
        assert!(lives.contains_key(&**id), "{id} was acknowledged and is not in the log");
    }
    for (id, life) in &lives {
        assert_eq!(*life, ["pending", "invalidated"], "{id}");
    }
    let database = rusqlite::Connection::open(cluster.nodes[1].data().join("orion.db")).unwrap();
    let mut sent = database.prepare("SELECT audience, count(*) FROM published GROUP BY audience").unwrap();
    let sent = sent.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?))).unwrap();
    let sent: BTreeMap<String, u64> = sent.map(Result::unwrap).collect();
    assert!(sent.values().all(|count| *count == 1), "messages were sent again: {sent:?}");
    for user in &acknowledged.users {
        assert!(sent.contains_key(&format!("user:{user}")), "the message for {user} was acknowledged and is lost");
    }
    verified.events
}

/// The same by the readers' rule alone: the servers take every message, wherever it comes.
#[tokio::test(flavor = "multi_thread")]
async fn replaced_writers_are_void_without_the_servers() {
    let Some(mut cluster) = TestCluster::prepare(1, &[("ORION_SIGNAL_TTL", "2s")]).await else { return };
    for node in &mut cluster.nodes {
        node.start_unfenced().await;
    }
    cluster.begun().await;
    let load = Load::start(&cluster);
    let mut round = 0;
    while round < 2 || cluster.metric("orion_cluster_void_batches_total").await == 0.0 {
        assert!(round < 30, "no writer was ever replaced in the middle of an append");
        Fault::WriterCutOff.happen(&mut cluster, &load, &format!("cut-{round}")).await;
        for node in &cluster.nodes {
            node.ready().await;
        }
        cluster.in_step().await;
        round += 1;
    }
    let acknowledged = load.end().await;
    each_once(&mut cluster, &acknowledged).await;
}

/// What a cluster has been through.
struct Ordeal {
    outages: Vec<(Fault, Duration)>,
    acknowledged: Acknowledged,
    events: u64,
}

/// Lets one fault after the other of the plan happen to a cluster; `None` where there is no NATS server.
async fn endure(plan: &Mutex<VecDeque<(Fault, usize)>>) -> Option<Ordeal> {
    let mut cluster = TestCluster::start(3, &[("ORION_SIGNAL_TTL", "2s")]).await?;
    let load = Load::start(&cluster);
    let mut outages = Vec::new();
    loop {
        let Some((fault, round)) = plan.lock().pop_front() else { break };
        let took = fault.happen(&mut cluster, &load, &format!("{fault:?}-{round}")).await;
        outages.push((fault, took));
        healed(&cluster).await;
    }
    let acknowledged = load.end().await;
    let events = each_once(&mut cluster, &acknowledged).await;
    Some(Ordeal { outages, acknowledged, events })
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_through_faults() {
    let rounds = times("ORION_CLUSTER_ROUNDS", 20);
    let plan: VecDeque<_> = (0..rounds).flat_map(|round| FAULTS.map(|fault| (fault, round))).collect();
    let plan = Mutex::new(plan);
    let ordeals = join_all((0..CLUSTERS).map(|_| endure(&plan))).await;
    let Some(ordeals) = ordeals.into_iter().collect::<Option<Vec<_>>>() else { return };
    let mut outages: BTreeMap<Fault, Vec<Duration>> = BTreeMap::new();
    for (fault, took) in ordeals.iter().flat_map(|ordeal| &ordeal.outages) {
        outages.entry(*fault).or_default().push(*took);
    }
    for (fault, mut took) in outages {
        assert_eq!(took.len(), rounds, "{fault:?}");
        took.sort();
        let [median, most] = [took[took.len() / 2], took[took.len() - 1]].map(|took| took.as_secs_f64());
        eprintln!("{fault:?}: nothing acknowledged for {median:.2} s, at most {most:.2} s ({rounds} rounds)");
    }
    let sum = |count: fn(&Ordeal) -> usize| ordeals.iter().map(count).sum::<usize>();
    let (signals, users) = (sum(|it| it.acknowledged.signals.len()), sum(|it| it.acknowledged.users.len()));
    eprintln!("{signals} signals and {users} messages acknowledged, {} events", sum(|it| it.events as usize));
}
