//! What the server fetches or simulates: the [`Source`] trait, the handle through which a source delivers, and the sources
//! themselves.
//!
//! A source only handles *one* connection; [`supervise()`] reconnects with back-off and keeps the state that `/ready`
//! and `/metrics` report.

pub mod alpha_vantage;
pub mod demo;
pub mod kraken;
mod launch;
pub mod listing;
pub mod massive;
pub mod net;
pub mod oanda;
#[cfg(test)]
mod parser_tests;
pub mod providers;
pub mod replay;
pub mod simulator;
pub mod streaming;
mod supervise;
mod websocket;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};

use crate::domain::{Feed, Instrument, Instruments, RelayedMessage, SignalDraft, SignalId, SourceName, Tick};
use crate::pipeline::{Handle, Input, Stopped};
use crate::telemetry::{Budget, Metrics, SourceStates};

use providers::ListedProvider;

pub use launch::Launcher;
pub use supervise::supervise;
pub use websocket::SocketTimeouts;

/// The providers of market data. To add one: a folder like its neighbours, its `pub mod` above, and a line here; in
/// `tests/integration/providers/` it is played and held to the promises of every source.
pub static PROVIDERS: [ListedProvider; 4] = [
    ListedProvider::of::<oanda::OandaSettings>(),
    ListedProvider::of::<massive::MassiveSettings>(),
    ListedProvider::of::<alpha_vantage::AlphaVantageSettings>(),
    ListedProvider::of::<kraken::KrakenSettings>(),
];

/// A source of prices.
pub trait Source: Send {
    /// Returns the name on the wire, in metrics and in logs.
    fn name(&self) -> SourceName;

    /// Returns the type of feed.
    fn feed(&self) -> Feed;

    /// Runs one connection. Dropped at any await when the process stops.
    ///
    /// # Errors
    /// [`SourceError`], whose variant decides whether the supervisor calls it again.
    fn run(&mut self, out: &SourceHandle) -> impl Future<Output = Result<Finished, SourceError>> + Send;
}

/// Invalid options of a source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// A setting that the source needs.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// None of the instruments exists.
    #[error("{0}.instruments: none of them is in the catalogue")]
    NoInstrument(&'static str),
    /// An invalid address. The text leaves it out, because it can hold a key.
    #[error("{0}: makes no valid address")]
    Address(&'static str),
    /// A key with invalid characters.
    #[error("{0}: has characters that no key has")]
    Key(&'static str),
}

/// Resolves a provider's instrument names, without those that the catalogue does not have. Each instrument appears
/// once, because two feeds must not mix in one stream of prices.
fn subscriptions(
    source: &'static str,
    names: &[String],
    catalogue: &Instruments,
) -> Result<Vec<(String, Arc<Instrument>)>, OptionsError> {
    let mut found: Vec<(String, Arc<Instrument>)> = Vec::new();
    for name in names {
        match catalogue.resolve(name) {
            Ok(instrument) if found.iter().any(|(_, other)| other.symbol == instrument.symbol) => {
                tracing::warn!(source, name, symbol = %instrument.symbol, "the instrument is listed twice; this name is skipped");
            }
            Ok(instrument) => found.push((name.clone(), instrument.clone())),
            Err(_) => tracing::info!(source, name, "the instrument is not in the catalogue; it is skipped"),
        }
    }
    if found.is_empty() { Err(OptionsError::NoInstrument(source)) } else { Ok(found) }
}

/// The source has ended normally. The server keeps its last prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished;

/// Why one connection of a source ended.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A later attempt may work.
    #[error("{0}")]
    Transient(Box<dyn std::error::Error + Send + Sync>),
    /// Too much was asked. A later attempt may work, but not before `pause` has passed.
    #[error("{error}")]
    Limited {
        /// What the provider says.
        error: Box<dyn std::error::Error + Send + Sync>,
        /// The time in which nothing must be asked.
        pause: Duration,
    },
    /// The provider rejects the key, the account or the plan. The source is not started again, the process continues
    /// without it, and `/ready` reports it.
    #[error("{0}")]
    Refused(Box<dyn std::error::Error + Send + Sync>),
    /// No attempt can work. The process ends, because the operator configured this source.
    #[error("{0}")]
    Fatal(Box<dyn std::error::Error + Send + Sync>),
    /// The pipeline has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl SourceError {
    /// Returns an error that may not occur again.
    pub fn transient(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Transient(error.into())
    }

    /// Returns an error for too many requests.
    pub fn limited(error: impl Into<Box<dyn std::error::Error + Send + Sync>>, pause: Duration) -> Self {
        Self::Limited { error: error.into(), pause }
    }

    /// Returns an error for a rejection that only the operator can resolve.
    pub fn refused(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Refused(error.into())
    }

    /// Returns an error that would occur again.
    pub fn fatal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Fatal(error.into())
    }
}

/// The connection of a source to the server: delivers into the pipeline, counts, and keeps the source's state.
#[derive(Debug)]
pub struct SourceHandle {
    name: SourceName,
    feed: Feed,
    handle: Handle,
    states: SourceStates,
    taken: IntCounter,
    events: IntCounterVec,
    rejected: IntCounterVec,
    budget: IntGaugeVec,
}

impl SourceHandle {
    fn new(name: SourceName, feed: Feed, handle: Handle, metrics: &Metrics, states: &SourceStates) -> Self {
        let taken = metrics.source_ticks_total.with_label_values(&[name.as_str()]);
        let (events, rejected) = (metrics.events_in_total.clone(), metrics.rejected_total.clone());
        let budget = metrics.source_budget.clone();
        Self { name, feed, handle, states: states.clone(), taken, events, rejected, budget }
    }

    /// Marks the source as live before its first tick. The first tick also does this.
    pub fn live(&self) {
        self.states.live(&self.name);
    }

    /// Marks the source as connected with contractually delayed prices: its state is `delayed` instead of `live` from
    /// now on. The ticks carry the same mark, see [`Feed::Delayed`].
    pub fn delayed(&self) {
        self.states.delayed(&self.name);
    }

    /// Marks the source as connected but without expected data, until the next tick or [`live`](Self::live).
    pub fn stalled(&self) {
        self.states.stalled(&self.name, "connected, but nothing comes");
    }

    /// Reports the used part of the provider's quota.
    pub fn budget(&self, budget: Budget) {
        self.budget.with_label_values(&[self.name.as_str()]).set(budget.limit.saturating_sub(budget.used).into());
        self.states.budget(&self.name, budget);
    }

    /// Delivers ticks, oldest first. Waits while the pipeline is busy.
    ///
    /// # Errors
    /// [`SourceError::Stopped`].
    pub async fn ticks(&self, ticks: Vec<Tick>) -> Result<(), SourceError> {
        if ticks.is_empty() {
            return Ok(());
        }
        let count = ticks.len() as u64;
        self.handle.send(Input::Ticks(ticks)).await?;
        self.taken.inc_by(count);
        self.states.live(&self.name);
        self.states.counted(&self.name, count as usize);
        Ok(())
    }

    /// Counts a rejected input. `reason` is a metric label such as `malformed`.
    pub fn rejected(&self, reason: &'static str) {
        self.rejected.with_label_values(&["tick", reason]).inc();
        self.states.rejected(&self.name, reason);
    }

    /// Delivers a change of a signal. The pipeline decides whether it is valid.
    ///
    /// # Errors
    /// [`SourceError::Stopped`].
    pub async fn signal(&self, id: SignalId, draft: SignalDraft) -> Result<(), SourceError> {
        let (source, feed) = (self.name.clone(), self.feed);
        Ok(self.handle.send(Input::Signal { id, draft: Box::new(draft), source, feed }).await?)
    }

    /// Delivers messages to relay unchanged, as one unit.
    ///
    /// # Errors
    /// [`SourceError::Stopped`].
    pub async fn publish(&self, messages: Vec<RelayedMessage>) -> Result<(), SourceError> {
        let kinds: Vec<_> = messages.iter().map(|message| message.kind).collect();
        self.handle.send(Input::Publish(messages)).await?;
        for kind in kinds {
            self.events.with_label_values(&[kind.name(), self.name.as_str()]).inc();
        }
        Ok(())
    }
}
