//! Where prices come from: the [`Source`] trait, what a source is given to speak through, and the sources themselves.
//!
//! A source only knows how to live through *one* connection; [`supervise()`] connects again, backs off, and keeps the
//! state that `/ready` and `/metrics` show.

pub mod alpha_vantage;
pub mod demo;
pub mod massive;
pub mod metatrader;
pub mod net;
pub mod oanda;
mod order;
pub mod push;
mod rate;
pub mod replay;
pub mod simulator;
mod states;
mod supervise;
pub mod tradingview;

use std::future::Future;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};

use crate::domain::{Feed, Instrument, Instruments, RelayedMessage, SignalDraft, SignalId, SourceName, Tick};
use crate::pipeline::{Handle, Input, Stopped};
use crate::telemetry::Metrics;

pub use states::{Budget, SourceState, SourceStates, SourceStatus};
pub use supervise::supervise;

/// The wall clock as a source is given it.
pub type WallClock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Something that prices come from.
pub trait Source: Send {
    /// The name on the wire, in metrics and in logs.
    fn name(&self) -> SourceName;

    /// What kind of feed it is.
    fn feed(&self) -> Feed;

    /// Lives through one connection. Dropped at any await when the process stops.
    ///
    /// # Errors
    /// [`SourceError`], whose kind decides whether it is called again.
    fn run(&mut self, out: &SourceHandle) -> impl Future<Output = Result<Finished, SourceError>> + Send;
}

/// Settings that no source can be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// Nothing to subscribe to.
    #[error("{0}.instruments: none of them is in the catalogue")]
    NoInstrument(&'static str),
    /// An address that is none; it is not repeated, because a key may be in it.
    #[error("{0}: makes no valid address")]
    Address(&'static str),
    /// A key with characters that no key has.
    #[error("{0}: has characters that no key has")]
    Key(&'static str),
}

/// The instruments behind a provider's names, without those that the catalogue does not have; each instrument once, so that no
/// two feeds mix in one stream of prices.
fn subscriptions(
    source: &'static str,
    names: &[String],
    catalogue: &Instruments,
) -> Result<Vec<(String, Arc<Instrument>)>, OptionsError> {
    let mut found: Vec<(String, Arc<Instrument>)> = Vec::new();
    for name in names {
        match catalogue.resolve(name) {
            Ok(instrument) if found.iter().any(|(_, other)| other.symbol == instrument.symbol) => {
                tracing::warn!(source, name, symbol = %instrument.symbol, "has a name already; this one is left out");
            }
            Ok(instrument) => found.push((name.clone(), instrument.clone())),
            Err(_) => tracing::info!(source, name, "is not in the catalogue; it is left out"),
        }
    }
    if found.is_empty() { Err(OptionsError::NoInstrument(source)) } else { Ok(found) }
}

/// A source has said all that it will ever say. The server goes on with the last prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished;

/// Why one connection of a source ended.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It may work next time.
    #[error("{0}")]
    Transient(Box<dyn std::error::Error + Send + Sync>),
    /// The provider does not accept the key, the account or the plan: it is not asked again. The process goes on without
    /// the source, and `/ready` says so.
    #[error("{0}")]
    Refused(Box<dyn std::error::Error + Send + Sync>),
    /// It will never work: the process ends, because its operator asked for this source.
    #[error("{0}")]
    Fatal(Box<dyn std::error::Error + Send + Sync>),
    /// Nobody listens any more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl SourceError {
    /// An error that may not come again.
    pub fn transient(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Transient(error.into())
    }

    /// A refusal that only the operator can change.
    pub fn refused(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Refused(error.into())
    }

    /// An error that will come again.
    pub fn fatal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Fatal(error.into())
    }
}

/// What a source speaks through: the way into the pipeline, with the counting and the state kept on the side.
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

    /// Says that the connection stands although no tick has come yet; the first tick says it as well.
    pub fn live(&self) {
        self.states.live(&self.name);
    }

    /// Says that the connection stands, and that its prices are some minutes late by contract: from now on the source is
    /// `delayed` where it would be `live`. The ticks say it themselves too, see [`Feed::Delayed`].
    pub fn delayed(&self) {
        self.states.delayed(&self.name);
    }

    /// Says that the connection stands, but that nothing comes although it should; the next tick, or
    /// [`live`](Self::live), says the contrary.
    pub fn stalled(&self) {
        self.states.stalled(&self.name, "connected, but nothing comes");
    }

    /// Says how much of the provider's allowance is used.
    pub fn budget(&self, budget: Budget) {
        self.budget.with_label_values(&[self.name.as_str()]).set(budget.limit.saturating_sub(budget.used).into());
        self.states.budget(&self.name, budget);
    }

    /// Hands ticks on, oldest first; waits while the pipeline is busy.
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

    /// Counts something that was sent and is not handed on, `reason` being a word such as `malformed`.
    pub fn rejected(&self, reason: &'static str) {
        self.rejected.with_label_values(&["tick", reason]).inc();
        self.states.rejected(&self.name, reason);
    }

    /// Hands something about a signal on. Whether it is taken is the pipeline's business.
    ///
    /// # Errors
    /// [`SourceError::Stopped`].
    pub async fn signal(&self, id: SignalId, draft: SignalDraft) -> Result<(), SourceError> {
        let (source, feed) = (self.name.clone(), self.feed);
        Ok(self.handle.send(Input::Signal { id, draft: Box::new(draft), source, feed }).await?)
    }

    /// Hands messages on that others are to be told as they are; taken whole.
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
