//! How every source is doing, for `/ready`, `/metrics` and the log.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::RwLock;
use prometheus::{IntCounterVec, IntGaugeVec};
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use super::rate::Rate;
use crate::domain::SourceName;
use crate::telemetry::Metrics;

/// What a source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceState {
    /// Not in use: nobody has sent anything over it yet.
    Off,
    /// Opening its connection.
    Connecting,
    /// Connected, and its prices are those of now.
    Live,
    /// Connected, and its prices are some minutes late by contract.
    Delayed,
    /// Connected, but nothing comes although its market is open.
    Stalled,
    /// Lost; connects again after this time.
    Waiting {
        /// How long still.
        retry_in: Duration,
    },
    /// The provider does not accept the key, the account or the plan. It is not asked again: the operator has to act.
    Refused,
    /// Has said all that it had to say.
    Finished,
    /// Will not come back.
    Failed,
}

impl SourceState {
    /// `off`, `connecting`, `live`, `delayed`, `stalled`, `waiting`, `refused`, `finished` or `failed`.
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

    /// Whether prices come from it, on time or late.
    pub const fn delivers(self) -> bool {
        matches!(self, Self::Live | Self::Delayed)
    }

    /// Whether prices ought to come from it and do not.
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

/// One source, as it is at the moment of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// Which source.
    pub name: SourceName,
    /// What it is doing.
    pub state: SourceState,
    /// Time since its last tick went to the pipeline; `None` before the first.
    pub last_tick_age: Option<Duration>,
    /// Ticks that went to the pipeline within the last minute.
    pub ticks_per_minute: u64,
    /// Ticks that were not handed on, since the start.
    pub rejected: u64,
    /// What is left of the provider's allowance, where there is one.
    pub budget: Option<Budget>,
}

/// Requests that a provider allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Used so far.
    pub used: u32,
    /// Allowed until `resets_at`.
    pub limit: u32,
    /// When it begins anew.
    pub resets_at: DateTime<Utc>,
}

/// The states of all sources of a process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SourceStates {
    entries: Arc<RwLock<BTreeMap<SourceName, Entry>>>,
    up: IntGaugeVec,
    rejected: IntCounterVec,
}

#[derive(Debug)]
struct Entry {
    state: SourceState,
    since: Instant,
    /// Since when the present connection stands.
    connected: Option<Instant>,
    /// Whether its prices are late by contract.
    delayed: bool,
    last_tick: Option<Instant>,
    rate: Rate,
    rejected: u64,
    budget: Option<Budget>,
    /// Whether it calls, but without prices.
    mute: bool,
    /// When somebody who calls us last did, and how long he may be silent.
    called: Option<(Instant, Duration)>,
}

impl Entry {
    fn new(state: SourceState) -> Self {
        Self {
            state,
            since: Instant::now(),
            connected: None,
            delayed: false,
            last_tick: None,
            rate: Rate::new(),
            rejected: 0,
            budget: None,
            mute: false,
            called: None,
        }
    }

    /// What is missed of a source that calls us.
    fn missed(&mut self, patience: Option<(Duration, Instant)>) -> Option<&'static str> {
        let (called, silence) = self.called.filter(|_| self.state.delivers())?;
        if called.elapsed() > silence {
            return Some("it does not call any more");
        }
        let since = self.last_tick.max(self.connected)?;
        self.mute = patience.is_some_and(|(patience, opened)| since.max(opened).elapsed() > patience);
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
    /// No source yet.
    pub fn new(metrics: &Metrics) -> Self {
        Self { entries: Arc::default(), up: metrics.source_up.clone(), rejected: metrics.source_rejected_total.clone() }
    }

    /// All sources, by name.
    pub fn list(&self) -> Vec<SourceStatus> {
        let now = Instant::now();
        let status = |(name, entry): (&SourceName, &mut Entry)| SourceStatus {
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

    /// Notes a change of state.
    pub(super) fn set(&self, name: &SourceName, state: SourceState) {
        self.up.with_label_values(&[name.as_str()]).set(i64::from(state.delivers()));
        self.entries.write().entry(name.clone()).or_insert_with(|| Entry::new(state)).enter(state);
    }

    /// Notes that a source is connected; does nothing when that is known.
    pub(super) fn live(&self, name: &SourceName) {
        let (state, delayed) = self.entries.read().get(name).map_or((None, false), |e| (Some(e.state), e.delayed));
        let reached = if delayed { SourceState::Delayed } else { SourceState::Live };
        if state != Some(reached) {
            tracing::info!(source = %name, state = reached.name(), "source is live");
            self.set(name, reached);
        }
    }

    /// Notes that a source's prices are late by contract, from now on.
    pub(super) fn delayed(&self, name: &SourceName) {
        self.entries.write().entry(name.clone()).or_insert_with(|| Entry::new(SourceState::Connecting)).delayed = true;
        self.live(name);
    }

    /// Notes that a source is connected, but mute, and why.
    pub(super) fn stalled(&self, name: &SourceName, why: &str) {
        if self.entries.read().get(name).is_none_or(|entry| entry.state != SourceState::Stalled) {
            tracing::warn!(source = %name, why, "source has stalled");
            self.set(name, SourceState::Stalled);
        }
    }

    /// Lists a source that calls us, and has not yet. It has no series in the metrics before it does.
    pub(super) fn off(&self, name: &SourceName) {
        self.entries.write().entry(name.clone()).or_insert_with(|| Entry::new(SourceState::Off));
    }

    /// Notes that a source called us, which it is to do again within `silence`.
    pub(super) fn called(&self, name: &SourceName, silence: Duration) {
        let mut entries = self.entries.write();
        let entry = entries.entry(name.clone()).or_insert_with(|| Entry::new(SourceState::Off));
        entry.called = Some((Instant::now(), silence));
    }

    /// Notes that ticks went to the pipeline.
    pub(super) fn counted(&self, name: &SourceName, ticks: usize) {
        if let Some(entry) = self.entries.write().get_mut(name) {
            (entry.last_tick, entry.mute) = (Some(Instant::now()), false);
            entry.rate.add(ticks);
        }
    }

    /// Notes how much of a provider's allowance is used.
    pub(super) fn budget(&self, name: &SourceName, budget: Budget) {
        if let Some(entry) = self.entries.write().get_mut(name) {
            entry.budget = Some(budget);
        }
    }

    /// Counts a tick that is not handed on, `reason` being a word such as `unknown_symbol`.
    pub(super) fn rejected(&self, name: &SourceName, reason: &str) {
        self.rejected.with_label_values(&[name.as_str(), reason]).inc();
        if let Some(entry) = self.entries.write().get_mut(name) {
            entry.rejected += 1;
        }
    }

    /// Notes that a source called us with nothing but a sign of life.
    pub(super) fn alive(&self, name: &SourceName) {
        if !self.entries.read().get(name).is_some_and(|entry| entry.mute) {
            self.live(name);
        }
    }

    /// Notices, until `stop`, sources that do not call any more, and those that call without a price for longer than
    /// `patience` says, which is `None` while all markets are closed.
    pub async fn watch(self, stop: CancellationToken, patience: impl Fn() -> Option<Duration>) {
        let mut look = interval(Duration::from_secs(1));
        let mut opened = None;
        while stop.run_until_cancelled(look.tick()).await.is_some() {
            // Nothing is missed of the time in which the markets were closed.
            let patience = patience().map(|patience| (patience, *opened.get_or_insert_with(Instant::now)));
            if patience.is_none() {
                opened = None;
            }
            let found: Vec<_> = {
                let mut entries = self.entries.write();
                entries.iter_mut().filter_map(|(name, entry)| Some((name.clone(), entry.missed(patience)?))).collect()
            };
            for (name, why) in found {
                self.stalled(&name, why);
            }
        }
    }

    /// How long the present connection of a source has lasted; `None` without one.
    pub(super) fn connected_for(&self, name: &SourceName) -> Option<Duration> {
        self.entries.read().get(name)?.connected.map(|at| at.elapsed())
    }
}
