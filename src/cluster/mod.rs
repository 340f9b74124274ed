//! Several nodes that share one log on NATS JetStream. Nothing of it runs unless `cluster.urls` is set.
//!
//! ```text
//!  pushes ─► router ─┬─ (this node writes) ─► pipeline ─► node ─► stream ORION ─► node of every node ─► copy ─► hub
//!                    └─ (another one does) ─► orion.in.<writer>                  (SQLite, the same chains)
//! ```
//!
//! - The stream is the authority: one message is one batch of entries, with the numbers, times and hashes that its
//!   writer gave them (`message`). Every node applies it to its copy, in the transaction that moves its place
//!   (`apply`), and publishes it.
//! - One node writes. It beats on `orion.beat`; after a time without a beat another one appends the next term
//!   (`lease`). The server takes a message only at the place that it was meant for (`append`), and every reader
//!   holds a message of a replaced writer void (`judge`).
//! - The pipeline, the sources and the deadlines run on the writer only (`conduct`). The other nodes forward their
//!   pushes to it (`forward`) and get its prices (`prices`).

mod append;
mod apply;
mod beats;
mod conduct;
mod connection;
mod forward;
mod init;
mod join;
mod judge;
mod lease;
mod listen;
mod log;
mod message;
mod node;
mod prices;
mod status;
mod view;
mod wire;
mod write;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, connection::State, jetstream};
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tracing::debug;

pub use conduct::{Term, TermRunner};
pub use connection::ClusterError;
pub use init::{Initialized, init};
pub use join::{Joined, join};
pub use log::ReplicatedLog;
pub use status::{ClusterStatus, NodeStatus, StreamStatus, status};
pub use view::{NodeState, View};
pub use wire::FindType;

use crate::config::ClusterSettings;
use crate::domain::UserNote;
use crate::hub::Hub;
use crate::pipeline::Request;
use crate::store::Store;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use forward::Router;
use lease::Lease;
use node::Node;
use prices::PriceFanOut;

/// The stream of the log.
pub(crate) const STREAM: &str = "ORION";
/// The subject of its messages.
const LOG: &str = "orion.log";
/// The subject of the writer's beats.
const BEAT: &str = "orion.beat";

/// How long a push of a node's client may take: it waits for another writer, and for its answer.
pub const PUSH_TIMEOUT: Duration = Duration::from_secs(16);

/// Whether this node hands over to another one, because it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handover {
    /// It does not.
    None,
    /// The pipeline finishes what it has begun.
    Begun,
    /// The pipeline has ended.
    Released,
}

/// Called with the notes about users of every applied message.
type NoteListener = Box<dyn Fn(&[UserNote]) + Send + Sync>;

/// What the tasks of a node share.
struct Shared {
    name: Arc<str>,
    client: Client,
    context: jetstream::Context,
    view: watch::Sender<View>,
    handover: watch::Sender<Handover>,
    /// The node that this one hands over to.
    successor: Mutex<Option<String>>,
    notes: Mutex<Vec<NoteListener>>,
    find: FindType,
    metrics: Arc<Metrics>,
    tasks: Tasks,
    lease: Duration,
    epoch: String,
    unfenced: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).field("view", &self.view).finish_non_exhaustive()
    }
}

impl Shared {
    fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Publishes a value that may be lost.
    async fn publish(&self, subject: impl Into<String>, value: &impl serde::Serialize) {
        let Ok(payload) = serde_json::to_vec(value) else { return };
        if let Err(error) = self.client.publish(subject.into(), payload.into()).await {
            debug!(%error, "NATS does not take a message");
        }
    }

    fn note(&self, notes: &[UserNote]) {
        if !notes.is_empty() {
            for listener in &*self.notes.lock() {
                listener(notes);
            }
        }
    }
}

/// What a node is started with.
pub struct NodeStart {
    /// What [`join()`] returned.
    pub joined: Joined,
    /// This node's copy of the log.
    pub store: Arc<Store>,
    /// Where its entries and the writer's prices are published.
    pub hub: Arc<Hub>,
    /// The pushes of this node's clients.
    pub requests: mpsc::Receiver<Request>,
    /// Runs the pipeline and the sources while this node writes.
    pub runner: TermRunner,
    /// How far back a pipeline that begins reads signals.
    pub replay_window: Duration,
    /// After this long without a word of it a price is stale.
    pub stale_after: Duration,
    /// Finds the types of relayed messages.
    pub find: FindType,
    /// The wall clock.
    pub clock: fn() -> DateTime<Utc>,
    /// The metrics of the process.
    pub metrics: Arc<Metrics>,
    /// Where the tasks run.
    pub tasks: Tasks,
}

impl std::fmt::Debug for NodeStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeStart").finish_non_exhaustive()
    }
}

/// A running node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClusterHandle {
    shared: Arc<Shared>,
    view: watch::Receiver<View>,
}

impl ClusterHandle {
    /// Starts the tasks of a node.
    pub fn start(start: NodeStart, settings: &ClusterSettings) -> Self {
        let NodeStart { joined, store, hub, requests, runner, replay_window, stale_after, find, clock, metrics, tasks } =
            start;
        let Joined { client, epoch, .. } = joined;
        let place = store.place().cloned().unwrap_or_else(|| crate::store::ReplicaPlace::start(&epoch));
        let first = View {
            state: NodeState::Connecting,
            term: place.term,
            writer: place.writer.as_str().into(),
            stream_seq: place.stream_seq,
            stream_end: place.stream_seq,
            has_left: false,
        };
        let shared = Arc::new(Shared {
            name: settings.node.clone().unwrap_or_default().into(),
            context: connection::jetstream(&client),
            client,
            view: watch::Sender::new(first),
            handover: watch::Sender::new(Handover::None),
            successor: Mutex::default(),
            notes: Mutex::default(),
            find,
            metrics: metrics.clone(),
            tasks: tasks.clone(),
            lease: settings.lease,
            epoch,
            unfenced: settings.unfenced,
        });
        let (log, appends) = ReplicatedLog::new(store.reader(), metrics);
        let router = Router::new(shared.clone(), store.reader());
        let prices = PriceFanOut::new(shared.clone(), stale_after);
        hub.add_sink(prices.clone());
        let started = Instant::now();
        let node = Node {
            lease: Lease::new(settings.lease, &shared.name, Duration::ZERO),
            handover: shared.handover.subscribe(),
            place,
            appends,
            started,
            writing: None,
            has_left: false,
            end: 0,
            behind_since: None,
            caught_up: false,
            evict_at: Duration::ZERO,
            has_probed: false,
            watched_at: Duration::ZERO,
            no_log_since: None,
            damage: None,
            store,
            hub: hub.clone(),
            shared: shared.clone(),
        };
        tasks.spawn("cluster node", node.run(tasks.stopping()));
        tasks.spawn("cluster beats", forever(beats::beat(shared.clone(), tasks.stopping())));
        tasks.spawn("cluster pushes", forever(router.clone().run(requests, tasks.stopping())));
        tasks.spawn("cluster inbox", forever(router.clone().serve_inbox(tasks.stopping())));
        tasks.spawn("cluster prices out", forever(prices.clone().send(tasks.stopping())));
        tasks.spawn("cluster prices in", forever(prices::receive(prices, hub.clone(), tasks.stopping())));
        tasks.spawn("cluster snapshot", forever(prices::serve_snapshot(shared.clone(), hub, tasks.stopping())));
        tasks.spawn("cluster status", forever(status::serve(shared.clone(), clock, tasks.stopping())));
        let recent = move || clock() - replay_window;
        let conductor = conduct::Conductor { shared: shared.clone(), router, log, runner, recent: Box::new(recent) };
        tasks.spawn("cluster writer", conductor.run(tasks.stopping()));
        let view = shared.view.subscribe();
        Self { shared, view }
    }

    /// Returns what this node knows of the cluster now.
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Returns the name of this node.
    pub fn node(&self) -> &str {
        &self.shared.name
    }

    /// Returns why clients should not be sent to this node; `None` when they may.
    pub fn unready(&self) -> Option<String> {
        let view = self.view.borrow();
        let reason = match &view.state {
            _ if !self.shared.is_connected() => Some("cut off from the NATS servers".to_owned()),
            NodeState::Connecting => Some("connecting to the cluster's log".to_owned()),
            NodeState::CatchingUp => Some(format!("catching up: {} messages behind", view.lag())),
            NodeState::NoLog(why) => Some(format!("the cluster's log cannot be read: {why}")),
            NodeState::Damaged(why) => Some(format!("stopped following: {why}")),
            NodeState::Follower | NodeState::Candidate | NodeState::Writer => None,
        };
        self.shared.metrics.cluster_unready.set(reason.is_some().into());
        reason
    }

    /// Calls `listener` with the notes about users that any node has stored.
    pub fn on_notes(&self, listener: impl Fn(&[UserNote]) + Send + Sync + 'static) {
        self.shared.notes.lock().push(Box::new(listener));
    }

    /// Collects the states of all nodes that answer, and of the stream.
    ///
    /// # Errors
    /// [`ClusterError`] when the log cannot be read.
    pub async fn status(&self) -> Result<ClusterStatus, ClusterError> {
        status::collect(&self.shared.client, &self.shared.context, self.shared.lease).await
    }

    /// Lets another node become the writer, and waits until this one has finished what it had begun. It goes on taking
    /// pushes until it has found the node that is to follow it.
    pub async fn hand_over(&self) {
        if self.view().is_writer() {
            *self.shared.successor.lock() = status::successor(&self.shared).await;
        }
        self.shared.handover.send_if_modified(|handover| {
            let begins = *handover == Handover::None;
            if begins {
                *handover = Handover::Begun;
            }
            begins
        });
        let mut view = self.view.clone();
        timeout(write::HANDOVER_TIMEOUT, view::wait(&mut view, |view| view.has_left)).await.ok();
    }
}

/// Wraps work that ends only when the process stops, and cannot fail.
async fn forever(work: impl Future<Output = ()>) -> Result<(), Infallible> {
    work.await;
    Ok(())
}
