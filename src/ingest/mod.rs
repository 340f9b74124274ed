//! Signals, prices and events that are pushed to the server: over HTTP and WebSocket, by TradingView's alerts and by Expert
//! Advisors.
//!
//! Parsing is pure ([`parse_signal`], [`parse_prices`]) and lenient: it accepts every documented spelling, and names
//! all faults at once. [`Push`] sends the result to the pipeline and builds the answer.

mod aliases;
mod error;
mod events;
mod fields;
mod json;
mod loose;
mod malformed;
mod messages;
pub mod metatrader;
mod prices;
mod shapes;
mod signals;
pub mod tradingview;
mod values;
mod words;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokio::time::Instant;

use crate::domain::{
    Accepted, Input, Instruments, LevelLimits, Signal, SignalId, SourceName, Symbol, UserNote, WallClock,
};
use crate::pipeline::Handle;
use crate::telemetry::Metrics;

pub use error::PushError;
pub use events::PushedEvents;
pub use json::parse_json;
pub use malformed::{MalformedBody, trimmed};
pub use messages::{Answered, ErrorBody, EventsAnswer, PricesAnswer, SignalAnswer};
pub use prices::{PushedPrices, parse_prices};
pub use signals::parse::{PushedSignal, parse_end, parse_signal};

use fields::SentNames;

/// The name of this source on the wire.
pub const SOURCE: &str = SourceName::PUSH;
/// Time limit for the pipeline's answer.
const PIPELINE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the server has before a push: the signal with its id, and the last price of its symbol.
#[derive(Debug, Clone, Default)]
pub struct SignalContext {
    /// The signal that has the id.
    pub signal: Option<Signal>,
    /// The last price of its symbol that was not simulated.
    pub last_price: Option<f64>,
}

/// Finds what a dry run is checked against, by the id and the symbol of the push. The error says why it cannot be read.
pub type ContextLookup =
    Arc<dyn Fn(SignalId, Option<Symbol>) -> BoxFuture<'static, Result<SignalContext, String>> + Send + Sync>;

/// Receives pushes. Cheap to clone.
#[derive(Clone)]
pub struct Push {
    handle: Handle,
    instruments: Arc<Instruments>,
    clock: WallClock,
    /// Both clocks at the start.
    began: (DateTime<Utc>, Instant),
    metrics: Arc<Metrics>,
    level_limits: LevelLimits,
    lookup: ContextLookup,
    timeout: Duration,
    notified: Notified,
}

/// Whether a message about a signal goes to LINE.
type Notified = Arc<dyn Fn(&Signal) -> bool + Send + Sync>;

impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Push").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl Push {
    /// Creates a receiver that forwards to the pipeline behind `handle`.
    pub fn new(handle: Handle, instruments: Arc<Instruments>, clock: WallClock, metrics: Arc<Metrics>) -> Self {
        let began = (clock(), Instant::now());
        let (level_limits, timeout) = (LevelLimits::default(), PIPELINE_TIMEOUT);
        let notified: Notified = Arc::new(|_| false);
        let lookup: ContextLookup = Arc::new(|_, _| ready(Ok(SignalContext::default())).boxed());
        Self { handle, instruments, clock, began, metrics, level_limits, lookup, timeout, notified }
    }

    /// Sets how dry runs find what they are checked against; by default they know of no signal and no price.
    #[must_use]
    pub fn with_lookup(self, lookup: ContextLookup) -> Self {
        Self { lookup, ..self }
    }

    /// Sets the limits for the levels of a dry run. The pipeline has its own limits for all other pushes.
    #[must_use]
    pub fn with_level_limits(self, level_limits: LevelLimits) -> Self {
        Self { level_limits, ..self }
    }

    /// Sets what says whether a message about a signal goes to LINE; by default none does.
    #[must_use]
    pub fn with_notices(self, notified: impl Fn(&Signal) -> bool + Send + Sync + 'static) -> Self {
        Self { notified: Arc::new(notified), ..self }
    }

    /// Sets how long a push may take to be stored; by default 5 s.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Returns the later of the wall clock and the monotonic clock since the start: if the wall clock was set back,
    /// senders with correct clocks are not in the future.
    fn latest(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let (wall, began) = self.began;
        now.max(wall + began.elapsed())
    }

    /// Stores a note about a user. `Ok` means that it is durable.
    ///
    /// # Errors
    /// [`PushError`]; the note may not be stored then.
    pub async fn note(&self, note: UserNote) -> Result<(), PushError> {
        self.submit(Input::Note(vec![note]), &SentNames::default()).await.map(drop)
    }

    async fn submit(&self, input: Input, sent_names: &SentNames) -> Result<Accepted, PushError> {
        let is_push = !matches!(input, Input::Note(_));
        let answer = tokio::time::timeout(self.timeout, self.handle.submit(input)).await;
        let accepted =
            answer.map_err(|_| PushError::TimedOut)?.map_err(|error| PushError::submitting(error, sent_names))?;
        if is_push {
            self.metrics.first_steps.note_push();
        }
        Ok(accepted)
    }

    fn noted<T>(&self, kind: &'static str, result: Result<T, PushError>) -> Result<T, PushError> {
        if let Err(error) = &result {
            self.metrics.reject(kind, error.code().name());
            tracing::debug!(kind, code = %error.code(), "a push was rejected");
        }
        result
    }
}

#[cfg(test)]
mod spelling_tests;
#[cfg(test)]
mod tests;
