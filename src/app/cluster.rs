//! What runs where the log is written: the pipeline and the sources. In a cluster that is one node at a time, for a term;
//! otherwise it is this process.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;

use super::{dashboards, desk, sources, ticks};
use crate::cluster::{ClusterHandle, Joined, NodeStart, Term, TermRunner};
use crate::config::{Problem, Settings, SourceSettings};
use crate::domain::{TradingCosts, WallClock};
use crate::engine::Engine;
use crate::pipeline::clock::{self, Clock};
use crate::pipeline::{Announce, Feeds, Handle, MAX_QUIET, Pipeline, Request};
use crate::store::{EventLog, Recovered, Store};
use crate::tasks::Tasks;
use crate::telemetry::{Disk, SourceStates};
use crate::ticks::Keeper;
use crate::transport::Gateway;

/// How long the sources of a term may take to end.
const SOURCES_END: Duration = Duration::from_secs(5);

/// What the pipeline and the sources are built of.
#[derive(Clone)]
pub(super) struct WriterSide {
    settings: Settings,
    costs: TradingCosts,
    gateway: Arc<Gateway>,
    states: SourceStates,
    feeds: Feeds,
    wall: WallClock,
    keeper: Option<Keeper>,
}

/// The sources of a term. When it is dropped, they end, and are listed no longer.
struct TermSources {
    tasks: Tasks,
    states: SourceStates,
    process: Tasks,
}

impl Drop for TermSources {
    fn drop(&mut self) {
        self.tasks.stopping().cancel();
        let (tasks, states) = (self.tasks.clone(), self.states.clone());
        self.process.spawn_connection(async move {
            tasks.drain(SOURCES_END).await;
            states.forget_fetched();
        });
    }
}

impl WriterSide {
    /// Gathers what a term needs.
    ///
    /// # Errors
    /// When the costs in the settings cannot be used.
    pub(super) fn new(
        settings: &Settings,
        gateway: &Arc<Gateway>,
        states: &SourceStates,
        feeds: &Feeds,
        wall: &WallClock,
        disk: &Arc<Disk>,
    ) -> Result<Self, Problem> {
        Ok(Self {
            settings: settings.clone(),
            costs: settings.trading_costs(&gateway.instruments)?,
            gateway: gateway.clone(),
            states: states.clone(),
            feeds: feeds.clone(),
            wall: wall.clone(),
            keeper: ticks::begin(settings, gateway, disk, wall),
        })
    }

    /// Builds the pipeline over `log`, from what it has.
    pub(super) fn pipeline(&self, log: Arc<dyn EventLog>, clock: Clock, recovered: Recovered) -> Pipeline {
        let Self { settings, gateway, .. } = self;
        let replaying = settings.sources.runs(SourceSettings::REPLAY);
        let clock = if replaying { Clock::recording() } else { clock };
        let quiet_beats = (MAX_QUIET.as_millis() / settings.publish.interval.as_millis().max(1)).max(1);
        let mut engine = Engine::new(gateway.instruments.clone(), settings.signals.ttl, quiet_beats as u32)
            .with_rules(sources::price_rules(settings))
            .with_level_limits(settings.signals.level_limits())
            .with_setups(settings.setups.rules(), settings.signals.confirm_pushed_by_price)
            .with_costs(self.costs.clone());
        // A recording is from another time: the recovered state does not fit to it.
        if !replaying {
            engine.warm_up(recovered.minutes);
            engine.recall_day(recovered.day);
            engine.resume_records(recovered.open_records);
        }
        // Only users read derived messages, and they need a key for their tokens.
        let announce = settings.auth.takes_user_tokens().then_some(dashboards::derive as Announce);
        Pipeline::new(engine, clock, log, gateway.hub.clone(), gateway.metrics.clone(), recovered.pending)
            .announcing(announce)
            .reporting_to(self.feeds.clone())
            .keeping_ticks(self.keeper.clone())
    }

    /// Starts this process as a node of the cluster that it has joined, or alone.
    pub(super) fn start(
        self,
        joined: Option<Joined>,
        store: Arc<Store>,
        recovered: Recovered,
        requests: mpsc::Receiver<Request>,
    ) -> anyhow::Result<Option<ClusterHandle>> {
        match joined {
            Some(joined) => Ok(Some(self.start_cluster(joined, store, requests))),
            None => self.start_alone(store, recovered, requests).map(|()| None),
        }
    }

    /// Starts the pipeline and the sources of a process that writes a log of its own.
    fn start_alone(
        &self,
        store: Arc<Store>,
        recovered: Recovered,
        requests: mpsc::Receiver<Request>,
    ) -> anyhow::Result<()> {
        let tasks = &self.gateway.tasks;
        let pipeline = self.pipeline(store, Clock::system(), recovered);
        tasks.spawn("pipeline", pipeline.run(requests, self.settings.publish.interval, tasks.stopping()));
        self.start_sources(self.gateway.handle.clone(), tasks.clone())
    }

    /// Starts the sources that the settings enable, and the demo desk. They deliver to `handle`.
    pub(super) fn start_sources(&self, handle: Handle, tasks: Tasks) -> anyhow::Result<()> {
        let launcher = sources::launcher(&self.gateway, (handle, tasks), &self.states, &self.wall);
        sources::start(&self.settings, &launcher)?;
        desk::spawn(&self.settings, &self.gateway, &launcher)
    }

    /// Starts this process as a node of a cluster.
    fn start_cluster(self, joined: Joined, store: Arc<Store>, requests: mpsc::Receiver<Request>) -> ClusterHandle {
        let (settings, gateway) = (self.settings.clone(), self.gateway.clone());
        let start = NodeStart {
            joined,
            store,
            hub: gateway.hub.clone(),
            requests,
            runner: self.runner(),
            replay_window: settings.signals.replay_window,
            stale_after: settings.prices.stale_after,
            find: dashboards::message_type,
            clock: clock::wall,
            metrics: gateway.metrics.clone(),
            tasks: gateway.tasks.clone(),
        };
        let cluster = ClusterHandle::start(start, &settings.cluster);
        let tokens = gateway.tokens.clone();
        cluster.on_notes(move |notes| {
            for note in notes {
                if let Some(not_before) = note.not_before {
                    tokens.revoke(&note.user, not_before);
                }
            }
        });
        let watched = cluster.clone();
        gateway.readiness.require("cluster", move || watched.unready());
        cluster
    }

    fn runner(self) -> TermRunner {
        Box::new(move |term| {
            let writer = self.clone();
            Box::pin(async move { writer.run_term(term).await.map_err(|error| format!("{error:#}")) })
        })
    }

    /// Runs the pipeline and the sources for a term.
    async fn run_term(self, term: Term) -> anyhow::Result<()> {
        let Term { recovered, log, handle, requests, stop } = term;
        let last = recovered.recent.last().map(|(_, signal)| signal.updated_at);
        let clock = last.map_or_else(Clock::system, Clock::system_after);
        let pipeline = self.pipeline(log, clock, recovered).run(requests, self.settings.publish.interval, stop);
        let tasks = Tasks::new();
        let _sources =
            TermSources { tasks: tasks.clone(), states: self.states.clone(), process: self.gateway.tasks.clone() };
        self.start_sources(handle, tasks.clone()).context("the sources cannot start")?;
        tokio::select! {
            ended = pipeline => Ok(ended?),
            failure = tasks.failure() => Err(failure.into()),
        }
    }
}
