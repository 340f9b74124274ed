//! The application: builds the rooms, spawns their tasks, and stops them in order. The only place that knows all rooms.

mod access;
mod alerts;
mod checkpoints;
mod checks;
mod cluster;
mod dashboards;
mod delayed;
mod desk;
mod first_run;
mod gauges;
mod login_keys;
mod lookup;
mod notices;
mod recompute;
mod reload;
mod sources;
mod stack;
mod ticks;

pub use dashboards::{message_type, published_types};
pub use reload::SettingsSource;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::cluster::WriterSide;
use self::dashboards::Dashboards;
use self::first_run::FirstRun;
use self::reload::Reloader;
use crate::cluster::{ClusterHandle, Joined};
use crate::config::{Live, Settings};
use crate::dashboards::Start;
use crate::domain::{Delay, Event, Position, WallClock};
use crate::http::{AppState, ReadLimit, StatsCache, Webhook};
use crate::hub::{self, Envelope, Hub};
use crate::ingest::Push;
use crate::ingest::metatrader::MetaTrader;
use crate::ingest::tradingview::TradingView;
use crate::listener::{self, Listener, Reason, Stop};
use crate::notify::Notices;
use crate::pipeline::clock;
use crate::pipeline::{Feeds, Handle};
use crate::store::{Options, Recovered, Store};
use crate::tasks::Tasks;
use crate::telemetry::{Disk, Metrics, Phase, Readiness, Recomputations, SourceStates};
use crate::transport::events::PublishedTypes;
use crate::transport::lane::Fanout;
use crate::transport::{ChannelCap, Gateway, socketio};

/// The time between `/ready` failing and the listener closing, in which the load balancer has to notice.
const READINESS_NOTICE: Duration = Duration::from_secs(1);
/// How long native clients have to answer the closing frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs the server until SIGTERM or SIGINT, or until an essential task fails. SIGHUP reloads the settings from `source`.
///
/// # Errors
/// When the server cannot start, or an essential task has failed.
pub fn run_until_signalled(settings: &Settings, mut source: SettingsSource) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        let address = settings.server.address();
        let tcp = listener::listen(address).with_context(|| format!("cannot listen on {address}"))?;
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let terminal_gone = reload::terminal_gone(signal(SignalKind::hangup())?);
        source.hangups = Some(signal(SignalKind::hangup())?);
        let shutdown = async move {
            tokio::select! {
                _ = term.recv() => info!("SIGTERM: stopping"),
                _ = int.recv() => info!("SIGINT: stopping"),
                () = terminal_gone => info!("the terminal of the process is gone: stopping"),
            }
        };
        run_with(tcp, settings, source, shutdown).await
    })
}

/// Serves on `tcp` until `shutdown` completes or an essential task fails, and drains.
///
/// # Errors
/// When the server cannot start, or an essential task has failed.
pub async fn run(tcp: TcpListener, settings: &Settings, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    run_with(tcp, settings, SettingsSource::fixed(settings), shutdown).await
}

async fn run_with(
    tcp: TcpListener,
    settings: &Settings,
    mut source: SettingsSource,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    tokio::pin!(shutdown);
    let hangups = source.hangups.take();
    let mut joined = None;
    if settings.cluster.is_on() {
        joined = tokio::select! {
            joined = crate::cluster::join(&settings.cluster, &settings.data.dir) => Some(joined?),
            () = &mut shutdown => return Ok(()),
        };
    }
    let app = App::start(tcp, settings, source, joined)?;
    let failure = tokio::select! {
        () = shutdown => None,
        () = app.reloader.follow(hangups) => None,
        failure = app.tasks.failure() => Some(failure),
    };
    app.stop(settings.server.drain_timeout).await;
    failure.map_or(Ok(()), |failure| Err(failure.into()))
}

/// The parts of a running server that stopping needs.
struct App {
    tasks: Tasks,
    readiness: Arc<Readiness>,
    gateway: Arc<Gateway>,
    dashboards: Dashboards,
    listener: Listener,
    listener_stop: Stop,
    store: Arc<Store>,
    cluster: Option<ClusterHandle>,
    notices: Notices,
    reloader: Arc<Reloader>,
}

impl App {
    fn start(
        tcp: TcpListener,
        settings: &Settings,
        source: SettingsSource,
        joined: Option<Joined>,
    ) -> anyhow::Result<Self> {
        let tasks = Tasks::new();
        let (metrics, instruments) = (new_metrics()?, Arc::new(settings.instruments()?));
        let recomputations = Recomputations::new(&metrics);
        let epoch = joined.as_ref().map(|joined| &*joined.epoch);
        let (first, (store, recovered)) = FirstRun::begin(settings, || open_store(settings, &metrics, epoch))?;
        let hub = live_hub(settings, &recovered, &metrics);

        let (wall, (handle, requests)): (WallClock, _) = (Arc::new(clock::wall), Handle::channel());
        let (notices, idle, switch) = notices::build(settings, &store, &recovered, &handle, &instruments, &metrics)?;
        let push = Push::new(handle.clone(), instruments.clone(), wall.clone(), metrics.clone());
        let push = lookup::completed(push, settings, &store, &hub).with_notices(notices::told_to_line(&notices));
        let (tokens, users) = (access::tokens(settings, &recovered, first.token.clone())?, recovered.users.clone());
        let (states, feeds) = (SourceStates::new(&metrics), Feeds::default());
        let disk = Arc::new(Disk::new(settings.data.dir.clone(), settings.data.low_space()));
        let readiness = gauges::readiness(&store, &disk, &states, &feeds);
        login_keys::keep_fresh(settings, &tokens, &readiness, &metrics, &tasks)?;
        let published = Arc::new(dashboards::published_types());
        let gateway = Arc::new(Gateway {
            hub: hub.clone(),
            fanout: start_fanout(&hub, &published, &metrics, &tasks),
            log: store.reader(),
            push: push.clone(),
            published: published.clone(),
            handle: handle.clone(),
            readiness: readiness.clone(),
            instruments: instruments.clone(),
            tokens: tokens.clone(),
            open_users: access::open_users(settings),
            origins: settings.server.allowed_origins.clone(),
            heartbeat: settings.heartbeat.clone(),
            channels: Arc::new(ChannelCap::new(settings.server.max_connections_per_channel)),
            limits: Live::new(settings.limits.clone()),
            metrics: metrics.clone(),
            tasks: tasks.clone(),
            draining: CancellationToken::new(),
            delay: Delay::NONE,
            delays: Arc::new(delayed::delays(settings)),
        });

        let listener = new_listener(settings, &tasks, &metrics)?;
        gauges::probe(&gateway, listener.registry(), &states, &disk);
        watch_store(&store, &tasks);
        let writer = WriterSide::new(settings, &gateway, &states, &feeds, &wall, &disk)?;
        let cluster = writer.start(joined, store.clone(), recovered, requests)?;
        idle.spawn(&gateway, &notices, cluster.as_ref());
        recompute::spawn(settings, &gateway, &recomputations, wall.clone());
        let (listener_stop, watched) = (Stop::default(), states.clone());
        let alert = TradingView::new(push.clone(), instruments.clone(), wall.clone(), metrics.clone(), states.clone());
        let reads = ReadLimit::new(settings.limits.concurrent_reads, metrics.clone());
        let reloader = Reloader::new(settings, source, &gateway, (&reads, listener.registry()), switch)?;
        let ea = MetaTrader::new(push.clone(), instruments.clone(), wall.clone(), metrics.clone(), states.clone());
        let state = AppState {
            metatrader: ea,
            states,
            feeds,
            tradingview: Webhook::new(&settings.tradingview, alert),
            push,
            streams: Arc::new(dashboards::descriptions(settings, &gateway)),
            published,
            tokens: tokens.clone(),
            admin_code: first.code.clone(),
            start: first.progress.clone(),
            open_users: access::open_users(settings),
            reads: reads.clone(),
            reload: reloader.requested(),
            swing_length: settings.setups.rules().swing,
            stats: Arc::new(StatsCache::new(metrics.clone())),
            metrics,
            instruments,
            connections: listener.registry(),
            hub,
            gateway: gateway.clone(),
            history: store.reader(),
            readiness: readiness.clone(),
            agents: settings.mcp.enabled.then(|| settings.server.allowed_origins.clone()),
            cluster: cluster.clone(),
            notices: notices.clone(),
            recomputations,
            tick_retention: settings.data.tick_retention,
            log_key: checkpoints::begin(settings, store.reader(), &tasks)?,
            clock: wall.clone(),
            started: Instant::now(),
        };
        let mut dashboards =
            Dashboards::start(&Start { settings, gateway: gateway.clone(), users: &users, reads: &reads });
        dashboards.spawn(&tasks, cluster.as_ref());
        let routes = dashboards.take_routes();
        spawn_background(settings, &gateway, &first, &watched, wall);
        alerts::spawn(&reloader.alerts, &gateway, &store, (disk, notices.clone()), watched);
        let app =
            Self { tasks, readiness, gateway, dashboards, listener, listener_stop, store, cluster, notices, reloader };
        checks::start(settings.server.metrics_address, &state, &app)?;
        first.announce(tcp.local_addr()?, &settings.server.base_path);
        app.open(tcp, (state, routes), users, settings)?;
        Ok(app)
    }

    /// Drains the server: first the load balancer notices, then native clients are closed, then Socket.IO clients, and at last
    /// the tasks and the store end.
    async fn stop(self, drain_timeout: Duration) {
        let deadline = Instant::now() + drain_timeout;
        self.readiness.set(Phase::Draining);
        if let Some(cluster) = &self.cluster {
            cluster.hand_over().await;
        }
        sleep(READINESS_NOTICE.min(drain_timeout / 4)).await;
        self.gateway.draining.cancel();
        self.listener_stop.stop_accepting.cancel();
        let natives = async {
            while self.gateway.hub.clients_of("native") > 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(CLOSE_TIMEOUT.min(drain_timeout / 4), natives).await.is_err() {
            info!("some native clients did not answer the closing frame in time");
        }
        // The pipeline still accepts what is saved.
        self.notices.stop(CLOSE_TIMEOUT.min(drain_timeout / 4)).await;
        self.dashboards.stop(CLOSE_TIMEOUT.min(drain_timeout / 4), &self.gateway.hub.position()).await;
        self.listener.kill_all(Reason::Draining);
        self.listener_stop.kill_all.cancel();
        let left = self.tasks.drain(deadline.saturating_duration_since(Instant::now())).await;
        if left > 0 {
            warn!(left, "the drain time-out passed before all connections had ended");
        }
        if let Err(error) = self.store.close().await {
            warn!(%error, "the signal log was not closed cleanly");
        }
        info!("stopped");
    }
}

/// Returns the metrics of a process that starts now.
fn new_metrics() -> anyhow::Result<Arc<Metrics>> {
    let metrics = Arc::new(Metrics::new()?);
    metrics.process_start_time_seconds.set(clock::wall().timestamp_millis() as f64 / 1e3);
    Ok(metrics)
}

fn new_listener(settings: &Settings, tasks: &Tasks, metrics: &Metrics) -> anyhow::Result<Listener> {
    Ok(Listener::new(access::listener_config(&settings.server)?, tasks.clone(), metrics.clone()))
}

/// Builds the hub and restores its content from the log.
fn live_hub(settings: &Settings, recovered: &Recovered, metrics: &Arc<Metrics>) -> Arc<Hub> {
    let hub = Arc::new(Hub::new(
        recovered.position.clone(),
        settings.signals.replay_window,
        settings.data.messages_per_user as usize,
        metrics.clone(),
    ));
    restore_hub(&hub, recovered, clock::wall());
    hub
}

/// Spawns the task that reports a failure of the store; [`App::stop`] closes the store after all other tasks.
fn watch_store(store: &Store, tasks: &Tasks) {
    let (closed, stopping) = (store.closed(), tasks.stopping());
    tasks.spawn("store", async move { stopping.run_until_cancelled_owned(closed).await.unwrap_or(Ok(())) });
}

/// Spawns the tasks that watch the sources and the first steps, end expired logins, and publish what depends on the time.
fn spawn_background(
    settings: &Settings,
    gateway: &Arc<Gateway>,
    first: &FirstRun,
    states: &SourceStates,
    wall: WallClock,
) {
    first.watch(settings, gateway);
    let tasks = &gateway.tasks;
    let silence_limit = sources::silence_limit(settings.prices, gateway.instruments.clone());
    let (states, stopping) = (states.clone(), tasks.stopping());
    tasks.spawn("source watch", run_forever(async move { states.watch(stopping, silence_limit).await }));
    let (announcing, stopping) = (hub::announce(gateway.hub.clone(), wall), tasks.stopping());
    tasks.spawn(
        "announcements",
        run_forever(async move {
            stopping.run_until_cancelled_owned(announcing).await;
        }),
    );
    tasks.spawn("logins", run_forever(gateway.tokens.clone().keep_watch(tasks.stopping())));
}

/// Wraps work that ends only when the process stops, and cannot fail.
async fn run_forever(work: impl Future<Output = ()>) -> Result<(), Infallible> {
    work.await;
    Ok(())
}

/// Opens the log: that of this process, or the copy of the replicated log with this epoch.
fn open_store(
    settings: &Settings,
    metrics: &Arc<Metrics>,
    epoch: Option<&str>,
) -> anyhow::Result<(Arc<Store>, Recovered)> {
    let options = Options {
        signal_retention: settings.data.signal_retention,
        bar_retention: settings.data.bar_retention,
        recent_since: clock::wall() - settings.signals.replay_window,
        messages_per_user: settings.data.messages_per_user.into(),
        message_retention: settings.data.message_retention,
        max_messages: settings.data.max_messages,
        upgrade_backup: settings.data.upgrade_backup,
        message_type: dashboards::message_type,
        clock: clock::wall,
    };
    let dir = &settings.data.dir;
    let (store, recovered) = match epoch {
        Some(epoch) => Store::open_replica(dir, options, metrics.clone(), epoch)?,
        None => Store::open(dir, options, metrics.clone())?,
    };
    info!(
        dir = %settings.data.dir.display(), position = %recovered.position, pending = recovered.pending.len(),
        "signal log opened"
    );
    Ok((Arc::new(store), recovered))
}

/// Starts the tasks that write to the clients, one for each worker thread.
fn start_fanout(hub: &Hub, published: &Arc<PublishedTypes>, metrics: &Arc<Metrics>, tasks: &Tasks) -> Fanout {
    let mut encoders = socketio::encoders(published, &hub.position());
    encoders.extend(dashboards::encoders());
    let workers = tokio::runtime::Handle::current().metrics().num_workers();
    let fanout = Fanout::new(workers, encoders, metrics.clone());
    fanout.spawn(tasks);
    hub.add_sink(Arc::new(fanout.clone()));
    fanout
}

/// Restores the snapshot for new clients from what the log had at `now`.
fn restore_hub(hub: &Hub, recovered: &Recovered, now: DateTime<Utc>) {
    let Position { epoch, .. } = &recovered.position;
    let age = |at: DateTime<Utc>| (now - at).to_std().unwrap_or_default();
    let signals = recovered.recent.iter().map(|(seq, signal)| {
        let position = Position { epoch: epoch.clone(), seq: *seq };
        Envelope::placed(Event::Signal(Arc::new(signal.clone())), position).aged(age(signal.updated_at))
    });
    let published = recovered
        .published
        .iter()
        .map(|message| Envelope::unplaced(Event::RelayedMessage(Arc::new(message.clone()))).aged(age(message.at)));
    hub.restore(signals.chain(published), &recovered.forgotten);
}
