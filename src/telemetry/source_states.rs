//! The state of every source, for `/ready`, `/metrics` and the log.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::RwLock;
use prometheus::{IntCounterVec, IntGaugeVec};
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use super::Metrics;
use super::tick_rate::TickRate;
use crate::domain::SourceName;

/// The state of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceState {
    /// Not in use: nothing has been received yet.
    Off,
    /// Opening its connection.
    Connecting,
    /// Connected, with current prices.
    Live,
    /// Connected, with contractually delayed prices.
    Delayed,
    /// Connected, but without data although its market is open.
    Stalled,
    /// Disconnected; reconnects after this time.
    Waiting {
        /// The remaining time.
        retry_in: Duration,
    },
    /// The provider rejects the key, the account or the plan. The source is not retried: the operator has to act.
    Refused,
    /// Has ended normally.
    Finished,
    /// Has failed for good.
    Failed,
}

impl SourceState {
    /// Returns `off`, `connecting`, `live`, `delayed`, `stalled`, `waiting`, `refused`, `finished` or `failed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Delayed => "delayed",
            Self::Stalled => "stalled",
            Self::Waiting { .. } => "waiting",
            Self::Refused => "refused",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }

    /// Returns whether the source delivers prices, current or delayed.
    pub const fn delivers(self) -> bool {
        matches!(self, Self::Live | Self::Delayed)
    }

    /// Returns whether the source should deliver prices and does not.
    pub const fn is_trouble(self) -> bool {
        matches!(self, Self::Stalled | Self::Waiting { .. } | Self::Refused | Self::Failed)
    }
}

impl fmt::Display for SourceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { retry_in } => write!(f, "waiting (retry in {} s)", retry_in.as_secs()),
            state => f.write_str(state.name()),
        }
    }
}

/// A snapshot of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// The source's name.
    pub name: SourceName,
    /// The source's state.
    pub state: SourceState,
    /// Time since the last tick that was delivered to the pipeline; `None` before the first.
    pub last_tick_age: Option<Duration>,
    /// Ticks delivered within the last minute.
    pub ticks_per_minute: u64,
    /// Ticks rejected since the start.
    pub rejected: u64,
    /// The provider's quota, where there is one.
    pub budget: Option<Budget>,
}

/// The request quota of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Requests used so far.
    pub used: u32,
    /// Requests allowed until `resets_at`.
    pub limit: u32,
    /// When the quota is reset.
    pub resets_at: DateTime<Utc>,
}

/// The states of all sources of a process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SourceStates {
    entries: Arc<RwLock<BTreeMap<SourceName, StateEntry>>>,
    up: IntGaugeVec,
    rejected: IntCounterVec,
}

#[derive(Debug)]
struct StateEntry {
    state: SourceState,
    since: Instant,
    /// Since when the current connection is open.
    connected: Option<Instant>,
    /// Whether its prices are contractually delayed.
    delayed: bool,
    last_tick: Option<Instant>,
    rate: TickRate,
    rejected: u64,
    budget: Option<Budget>,
    /// Whether a calling source sends no prices.
    mute: bool,
    /// For a source that calls the server: the last call, and the longest permitted silence.
    called: Option<(Instant, Duration)>,
}

impl StateEntry {
    fn new(state: SourceState) -> Self {
        Self {
            state,
            since: Instant::now(),
            connected: None,
            delayed: false,
            last_tick: None,
            rate: TickRate::new(),
            rejected: 0,
            budget: None,
            mute: false,
            called: None,
        }
    }

    /// Returns why a calling source is stalled; `None` if it is not.
    fn stall_reason(&mut self, max_quiet: Option<(Duration, Instant)>) -> Option<&'static str> {
        let (called, silence) = self.called.filter(|_| self.state.delivers())?;
        if called.elapsed() > silence {
            return Some("it does not call any more");
        }
        let since = self.last_tick.max(self.connected)?;
        self.mute = max_quiet.is_some_and(|(max_quiet, opened)| since.max(opened).elapsed() > max_quiet);
        self.mute.then_some("it calls, but has no prices, although its market is open")
    }

    fn enter(&mut self, state: SourceState) {
        (self.state, self.since) = (state, Instant::now());
        match state {
            SourceState::Live | SourceState::Delayed | SourceState::Stalled => {
                self.connected.get_or_insert(self.since);
            }
            _ => self.connected = None,
        }
    }
}

impl SourceStates {
    /// Creates an empty list.
    pub fn new(metrics: &Metrics) -> Self {
        Self { entries: Arc::default(), up: metrics.source_up.clone(), rejected: metrics.source_rejected_total.clone() }
    }

    /// Returns all sources, by name.
    pub fn list(&self) -> Vec<SourceStatus> {
        let now = Instant::now();
        let status = |(name, entry): (&SourceName, &mut StateEntry)| SourceStatus {
            name: name.clone(),
            state: match entry.state {
                SourceState::Waiting { retry_in } => {
                    SourceState::Waiting { retry_in: retry_in.saturating_sub(now - entry.since) }
                }
                state => state,
            },
            last_tick_age: entry.last_tick.map(|at| now - at),
            ticks_per_minute: entry.rate.per_minute(),
            rejected: entry.rejected,
            budget: entry.budget,
        };
        self.entries.write().iter_mut().map(status).collect()
    }

    /// Sets the state of a source.
    pub fn set(&self, name: &SourceName, state: SourceState) {
        self.up.with_label_values(&[name.as_str()]).set(i64::from(state.delivers()));
        self.entries.write().entry(name.clone()).or_insert_with(|| StateEntry::new(state)).enter(state);
    }

    /// Marks a source as connected; has no effect if it already is.
    pub fn live(&self, name: &SourceName) {
        let (state, delayed) = self.entries.read().get(name).map_or((None, false), |e| (Some(e.state), e.delayed));
        let reached = if delayed { SourceState::Delayed } else { SourceState::Live };
        if state != Some(reached) {
            tracing::info!(source = %name, state = reached.name(), "source is live");
            self.set(name, reached);
        }
    }

    /// Marks a source's prices as contractually delayed from now on.
    pub fn delayed(&self, name: &SourceName) {
        self.entries.write().entry(name.clone()).or_insert_with(|| StateEntry::new(SourceState::Connecting)).delayed =
            true;
        self.live(name);
    }

    /// Marks a source as connected without data, with the reason.
    pub fn stalled(&self, name: &SourceName, why: &str) {
        if self.entries.read().get(name).is_none_or(|entry| entry.state != SourceState::Stalled) {
            tracing::warn!(source = %name, why, "source has stalled");
            self.set(name, SourceState::Stalled);
        }
    }

    /// Adds a source that has not called the server yet. It has no metric series before its first call.
    pub fn off(&self, name: &SourceName) {
        self.entries.write().entry(name.clone()).or_insert_with(|| StateEntry::new(SourceState::Off));
    }

    /// Records a call of a source, which must call again within `silence`.
    pub fn called(&self, name: &SourceName, silence: Duration) {
        let mut entries = self.entries.write();
        let entry = entries.entry(name.clone()).or_insert_with(|| StateEntry::new(SourceState::Off));
        entry.called = Some((Instant::now(), silence));
    }

    /// Records ticks that were delivered to the pipeline.
    pub fn counted(&self, name: &SourceName, ticks: usize) {
        if let Some(entry) = self.entries.write().get_mut(name) {
            (entry.last_tick, entry.mute) = (Some(Instant::now()), false);
            entry.rate.add(ticks);
        }
    }

    /// Records the used part of a provider's quota.
    pub fn budget(&self, name: &SourceName, budget: Budget) {
        if let Some(entry) = self.entries.write().get_mut(name) {
            entry.budget = Some(budget);
        }
    }

    /// Counts a rejected tick. `reason` is a metric label such as `unknown_symbol`.
    pub fn rejected(&self, name: &SourceName, reason: &str) {
        self.rejected.with_label_values(&[name.as_str(), reason]).inc();
        if let Some(entry) = self.entries.write().get_mut(name) {
            entry.rejected += 1;
        }
    }

    /// Records a keep-alive call without ticks.
    pub fn alive(&self, name: &SourceName) {
        if !self.entries.read().get(name).is_some_and(|entry| entry.mute) {
            self.live(name);
        }
    }

    /// Checks calling sources until `stop`, and marks one as stalled when it stops calling, or calls without a price
    /// for longer than `max_quiet` returns. `max_quiet` is `None` while all markets are closed.
    pub async fn watch(self, stop: CancellationToken, max_quiet: impl Fn() -> Option<Duration>) {
        let mut look = interval(Duration::from_secs(1));
        let mut opened = None;
        while stop.run_until_cancelled(look.tick()).await.is_some() {
            // The time in which the markets were closed does not count.
            let max_quiet = max_quiet().map(|max_quiet| (max_quiet, *opened.get_or_insert_with(Instant::now)));
            if max_quiet.is_none() {
                opened = None;
            }
            let found: Vec<_> = {
                let mut entries = self.entries.write();
                entries
                    .iter_mut()
                    .filter_map(|(name, entry)| Some((name.clone(), entry.stall_reason(max_quiet)?)))
                    .collect()
            };
            for (name, why) in found {
                self.stalled(&name, why);
            }
        }
    }

    /// Removes the sources that this process has fetched or simulated itself, because it does so no longer.
    pub fn forget_fetched(&self) {
        self.entries.write().retain(|_, entry| entry.called.is_some() || entry.state == SourceState::Off);
    }

    /// Returns how long the current connection has lasted; `None` without one.
    pub fn connected_for(&self, name: &SourceName) -> Option<Duration> {
        self.entries.read().get(name)?.connected.map(|at| at.elapsed())
    }
}
