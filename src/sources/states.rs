//! How every source is doing, for `/ready`, `/metrics` and the log.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use prometheus::IntGaugeVec;
use tokio::time::Instant;

use crate::domain::SourceName;
use crate::telemetry::Metrics;

/// What a source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceState {
    /// Opening its connection.
    Connecting,
    /// Connected.
    Live,
    /// Lost; connects again after this time.
    Waiting {
        /// How long still.
        retry_in: Duration,
    },
    /// Has said all that it had to say.
    Finished,
    /// Will not come back.
    Failed,
}

impl SourceState {
    /// `connecting`, `live`, `waiting`, `finished` or `failed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Waiting { .. } => "waiting",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
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
}

/// The states of all sources of a process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SourceStates {
    entries: Arc<RwLock<BTreeMap<SourceName, Entry>>>,
    up: IntGaugeVec,
}

#[derive(Debug)]
struct Entry {
    state: SourceState,
    since: Instant,
    last_tick: Option<Instant>,
}

impl SourceStates {
    /// No source yet.
    pub fn new(metrics: &Metrics) -> Self {
        Self { entries: Arc::default(), up: metrics.source_up.clone() }
    }

    /// All sources, by name.
    pub fn list(&self) -> Vec<SourceStatus> {
        let now = Instant::now();
        let status = |(name, entry): (&SourceName, &Entry)| SourceStatus {
            name: name.clone(),
            state: match entry.state {
                SourceState::Waiting { retry_in } => {
                    SourceState::Waiting { retry_in: retry_in.saturating_sub(now - entry.since) }
                }
                state => state,
            },
            last_tick_age: entry.last_tick.map(|at| now - at),
        };
        self.entries.read().iter().map(status).collect()
    }

    /// Notes a change of state.
    pub(super) fn set(&self, name: &SourceName, state: SourceState) {
        self.up.with_label_values(&[name.as_str()]).set(i64::from(state == SourceState::Live));
        let since = Instant::now();
        self.entries
            .write()
            .entry(name.clone())
            .and_modify(|entry| (entry.state, entry.since) = (state, since))
            .or_insert(Entry { state, since, last_tick: None });
    }

    /// Notes that a source is connected; does nothing when that is known.
    pub(super) fn live(&self, name: &SourceName) {
        if self.live_for(name).is_none() {
            tracing::info!(source = %name, "source is live");
            self.set(name, SourceState::Live);
        }
    }

    /// Notes that a tick went to the pipeline.
    pub(super) fn ticked(&self, name: &SourceName) {
        self.live(name);
        if let Some(entry) = self.entries.write().get_mut(name) {
            entry.last_tick = Some(Instant::now());
        }
    }

    /// How long a source has been live; `None` when it is not.
    pub(super) fn live_for(&self, name: &SourceName) -> Option<Duration> {
        let entries = self.entries.read();
        entries.get(name).filter(|entry| entry.state == SourceState::Live).map(|entry| entry.since.elapsed())
    }
}
