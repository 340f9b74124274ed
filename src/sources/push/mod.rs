//! Signals, prices and events that somebody pushes, over HTTP or over WebSocket.
//!
//! Decoding is pure ([`parse_signal`], [`parse_prices`]) and lenient: every documented spelling is understood, and what is
//! wrong is named all at once. [`Push`] hands the result to the pipeline and words the answer.

mod error;
mod fault;
pub(super) mod fields;
mod messages;
mod price;
mod signal;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::time::Instant;

use super::WallClock;
use crate::domain::{
    Accepted, Fault, Feed, Input, Instruments, Kind, Published, SignalDraft, SignalId, SignalStatus, SourceName, Tick,
    TickFault, UserNote, iso,
};
use crate::pipeline::Handle;
use crate::telemetry::Metrics;

pub use error::{PushError, field_details};
pub use fault::PushFault;
pub use messages::{ErrorBody, EventsAnswer, PricesAnswer, SignalAnswer};
pub use price::{PushedPrices, parse_prices};
pub use signal::{PushedSignal, parse_end, parse_signal};

use fields::Written;

/// The name of this source on the wire.
pub const SOURCE: &str = SourceName::PUSH;
/// How long a pusher waits for the pipeline.
const PATIENCE: Duration = Duration::from_secs(5);

/// Published messages, as the gateways have read them: one event may be several messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushedEvents {
    /// A bare event.
    One(Kind, Vec<Published>),
    /// What came as `{"events":[…]}`: how many events, and their messages.
    Batch(usize, Vec<Published>),
}

/// The way in for pushers. Cheap to clone.
#[derive(Clone)]
pub struct Push {
    handle: Handle,
    instruments: Arc<Instruments>,
    clock: WallClock,
    /// Both clocks at the beginning.
    began: (DateTime<Utc>, Instant),
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Push").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl Push {
    /// A way into the pipeline behind `handle`.
    pub fn new(handle: Handle, instruments: Arc<Instruments>, clock: WallClock, metrics: Arc<Metrics>) -> Self {
        let began = (clock(), Instant::now());
        Self { handle, instruments, clock, began, metrics }
    }

    /// The later of what the wall clock says and what it would say had nobody set it back since the beginning: senders whose
    /// clocks are right are not ahead of time because ours is wrong.
    pub(super) fn latest(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let (wall, began) = self.began;
        now.max(wall + began.elapsed())
    }

    /// Takes a pushed signal: a new one, other content for a pending one, or its end. `Ok` means that it is durable and
    /// published, except for a dry run, which is only looked at.
    ///
    /// # Errors
    /// [`PushError`]; nothing was published then.
    pub async fn signal(&self, value: &Value) -> Result<SignalAnswer, PushError> {
        self.noted("signal", self.take_signal(value, &SourceName::new(SOURCE)).await)
    }

    /// Takes a signal that came another way, under the name of its source.
    pub(super) async fn signal_from(&self, source: &SourceName, value: &Value) -> Result<SignalAnswer, PushError> {
        self.noted("signal", self.take_signal(value, source).await)
    }

    /// Takes ticks that came another way and have been looked at. Those that are not believed are named.
    pub(super) async fn submit_ticks(&self, ticks: Vec<Tick>) -> Result<Vec<(usize, TickFault)>, PushError> {
        let taken = self.submit(Input::Ticks(ticks), &Written::default()).await;
        self.noted("tick", taken).map(|accepted| match accepted {
            Accepted::Ticks(refused) => refused,
            Accepted::Signal(_) | Accepted::Published | Accepted::Noted => Vec::new(),
        })
    }

    /// Ends a signal: `{"status":"confirmed"}` or `{"status":"invalidated","reason"?}`.
    ///
    /// # Errors
    /// [`PushError`]; nothing was published then.
    pub async fn update(&self, id: &str, value: &Value) -> Result<SignalAnswer, PushError> {
        self.noted("signal", self.take_end(id, value).await)
    }

    /// Takes one pushed price or a batch, which is taken whole or not at all.
    ///
    /// # Errors
    /// [`PushError`]; nothing was taken then.
    pub async fn prices(&self, value: &Value) -> Result<PricesAnswer, PushError> {
        self.noted("price_update", self.take_prices(value).await)
    }

    /// Publishes one event or a batch, which is taken whole or not at all. `read` is told the time and reads the body: only
    /// the dialects know what the messages look like.
    ///
    /// # Errors
    /// [`PushError`]; nothing was published then.
    pub async fn events(
        &self,
        read: impl FnOnce(DateTime<Utc>) -> Result<PushedEvents, Vec<Fault>>,
    ) -> Result<EventsAnswer, PushError> {
        let taken = self.take_events(read((self.clock)())).await;
        if let Ok((_, kinds)) = &taken {
            for kind in kinds {
                self.metrics.events_in_total.with_label_values(&[kind.name(), SOURCE]).inc();
            }
        }
        self.noted("event", taken).map(|(answer, _)| answer)
    }

    /// Remembers something of a user. `Ok` means that it is durable.
    ///
    /// # Errors
    /// [`PushError`]; it may not be remembered then.
    pub async fn note(&self, note: UserNote) -> Result<(), PushError> {
        self.submit(Input::Note(vec![note]), &Written::default()).await.map(drop)
    }

    async fn take_events(
        &self,
        events: Result<PushedEvents, Vec<Fault>>,
    ) -> Result<(EventsAnswer, Vec<Kind>), PushError> {
        let (answer, messages) = match events.map_err(PushFault::Invalid)? {
            PushedEvents::One(kind, messages) => {
                let (kind, timestamp) = (kind.name(), iso((self.clock)()));
                (EventsAnswer::One { success: true, message: "Event published", kind, timestamp }, messages)
            }
            PushedEvents::Batch(accepted, messages) => {
                (EventsAnswer::Batch { success: true, message: "Events published", accepted }, messages)
            }
        };
        let kinds = messages.iter().map(|message| message.kind).collect();
        self.submit(Input::Publish(messages), &Written::default()).await?;
        Ok((answer, kinds))
    }

    async fn take_signal(&self, value: &Value, source: &SourceName) -> Result<SignalAnswer, PushError> {
        let PushedSignal { id, draft, dry_run, written } = parse_signal(value, &self.instruments)?;
        if dry_run {
            let faults = signal::level_faults(&draft, &self.instruments);
            if !faults.is_empty() {
                return Err(PushError::faults(faults, &written));
            }
            let status = draft.status.unwrap_or(SignalStatus::Pending);
            return Ok(self.signal_answer(&id, status, dry_run));
        }
        let status = self.submit_signal(&id, draft, source, &written).await?;
        Ok(self.signal_answer(&id, status, dry_run))
    }

    async fn take_end(&self, id: &str, value: &Value) -> Result<SignalAnswer, PushError> {
        let draft = parse_end(value)?;
        let id = SignalId::new(id).ok_or(PushError::UnknownSignal)?;
        let source = SourceName::new(SOURCE);
        let status = self.submit_signal(&id, draft, &source, &Written::default()).await?;
        Ok(self.signal_answer(&id, status, false))
    }

    async fn take_prices(&self, value: &Value) -> Result<PricesAnswer, PushError> {
        let now = (self.clock)();
        match parse_prices(value, &self.instruments, now, self.latest(now))? {
            PushedPrices::One(tick) => {
                let instrument = self.instruments.get(&tick.symbol);
                let price = instrument.map_or_else(|| tick.quote.mid(), |instrument| instrument.mid(tick.quote));
                let (symbol, timestamp) = (tick.symbol.to_string(), iso(tick.observed_at));
                self.submit(Input::Ticks(vec![tick]), &Written::default()).await?;
                Ok(PricesAnswer::One { success: true, message: "Price update received", symbol, price, timestamp })
            }
            PushedPrices::Batch(ticks) => {
                let accepted = ticks.len();
                self.submit(Input::Ticks(ticks), &Written::default()).await?;
                Ok(PricesAnswer::Batch { success: true, message: "Price updates received", accepted })
            }
        }
    }

    async fn submit_signal(
        &self,
        id: &SignalId,
        draft: SignalDraft,
        source: &SourceName,
        written: &Written,
    ) -> Result<SignalStatus, PushError> {
        let said = draft.status.unwrap_or(SignalStatus::Pending);
        let input = Input::Signal { id: id.clone(), draft: Box::new(draft), source: source.clone(), feed: Feed::Live };
        match self.submit(input, written).await? {
            Accepted::Signal(signal) => Ok(signal.state.status()),
            Accepted::Ticks(_) | Accepted::Published | Accepted::Noted => Ok(said),
        }
    }

    async fn submit(&self, input: Input, written: &Written) -> Result<Accepted, PushError> {
        match tokio::time::timeout(PATIENCE, self.handle.submit(input)).await {
            Ok(answer) => answer.map_err(|error| PushError::submitting(error, written)),
            Err(_) => Err(PushError::TimedOut),
        }
    }

    fn signal_answer(&self, id: &SignalId, status: SignalStatus, dry_run: bool) -> SignalAnswer {
        SignalAnswer {
            success: true,
            message: "Signal received successfully",
            signal_id: id.to_string(),
            status: status.name(),
            dry_run,
            line_sent: false,
            timestamp: iso((self.clock)()),
        }
    }

    fn noted<T>(&self, kind: &'static str, result: Result<T, PushError>) -> Result<T, PushError> {
        if let Err(error) = &result {
            self.metrics.reject(kind, error.code());
            tracing::debug!(kind, code = error.code(), "push not taken");
        }
        result
    }
}

#[cfg(test)]
mod tests;
