//! Signals, prices and events that are pushed to the server: over HTTP and WebSocket, by TradingView's alerts and by Expert
//! Advisors.
//!
//! Parsing is pure ([`parse_signal`], [`parse_prices`]) and lenient: it accepts every documented spelling, and names
//! all faults at once. [`Push`] sends the result to the pipeline and builds the answer.

mod aliases;
mod error;
mod fault;
mod fields;
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
use serde_json::Value;
use tokio::time::Instant;

use crate::domain::{
    Accepted, Fault, Feed, Input, Instruments, LevelLimits, MessageType, RelayedMessage, SignalDraft, SignalId,
    SignalStatus, SourceName, Tick, TickFault, UserNote, WallClock, iso,
};
use crate::pipeline::Handle;
use crate::telemetry::Metrics;

pub use error::{PushError, field_details};
pub use fault::PushFault;
pub use malformed::{MalformedBody, trimmed};
pub use messages::{Answered, ErrorBody, EventsAnswer, PricesAnswer, SignalAnswer};
pub use prices::{PushedPrices, parse_prices};
pub use signals::parse::{PushedSignal, parse_end, parse_signal};

use fields::Written;
use signals::{parse, pasted};

/// The name of this source on the wire.
pub const SOURCE: &str = SourceName::PUSH;
/// Time limit for the pipeline's answer.
const PIPELINE_TIMEOUT: Duration = Duration::from_secs(5);

/// Published messages, parsed by the gateways. One event can become several messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushedEvents {
    /// A single event.
    One(MessageType, Vec<RelayedMessage>),
    /// A batch `{"events":[…]}`: the number of events, and their messages.
    Batch(usize, Vec<RelayedMessage>),
}

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
}

impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Push").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl Push {
    /// Creates a receiver that forwards to the pipeline behind `handle`.
    pub fn new(handle: Handle, instruments: Arc<Instruments>, clock: WallClock, metrics: Arc<Metrics>) -> Self {
        let began = (clock(), Instant::now());
        Self { handle, instruments, clock, began, metrics, level_limits: LevelLimits::default() }
    }

    /// Sets the limits for the levels of a dry run. The pipeline has its own limits for all other pushes.
    #[must_use]
    pub fn with_level_limits(self, level_limits: LevelLimits) -> Self {
        Self { level_limits, ..self }
    }

    /// Returns the later of the wall clock and the monotonic clock since the start: if the wall clock was set back,
    /// senders with correct clocks are not in the future.
    pub(super) fn latest(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let (wall, began) = self.began;
        now.max(wall + began.elapsed())
    }

    /// Receives a signal: a new one, a change of a pending one, or an end. `Ok` means that it is durable and published,
    /// except for a dry run, which is only validated.
    ///
    /// # Errors
    /// [`PushError`]; nothing was published then.
    pub async fn signal(&self, value: &Value) -> Result<Answered<SignalAnswer>, PushError> {
        self.noted("signal", self.accept_signal(value, &SourceName::new(SOURCE)).await)
    }

    /// Receives a signal as text from a chat, and answers how it was interpreted. Without an `id`, the id is derived
    /// from the text and the day, so that the same text is one signal for that day.
    ///
    /// # Errors
    /// [`PushError`]; nothing was published then.
    pub async fn pasted(
        &self,
        text: &str,
        id: Option<&str>,
        dry_run: bool,
    ) -> Result<Answered<SignalAnswer>, PushError> {
        self.noted("signal", self.accept_pasted(text, id, dry_run).await)
    }

    /// Receives a signal from another source, under the name of that source.
    pub(super) async fn signal_from(
        &self,
        source: &SourceName,
        value: &Value,
    ) -> Result<Answered<SignalAnswer>, PushError> {
        self.noted("signal", self.accept_signal(value, source).await)
    }

    /// Submits validated ticks from another source. Returns those that the engine rejects.
    pub(super) async fn submit_ticks(&self, ticks: Vec<Tick>) -> Result<Vec<(usize, TickFault)>, PushError> {
        let taken = self.submit(Input::Ticks(ticks), &Written::default()).await;
        self.noted("tick", taken).map(|accepted| match accepted {
            Accepted::Ticks(refused) => refused,
            Accepted::Signal(_) | Accepted::RelayedMessage | Accepted::Noted => Vec::new(),
        })
    }

    /// Ends a signal: `{"status":"confirmed"}` or `{"status":"invalidated","reason"?}`.
    ///
    /// # Errors
    /// [`PushError`]; nothing was published then.
    pub async fn update(&self, id: &str, value: &Value) -> Result<Answered<SignalAnswer>, PushError> {
        self.noted("signal", self.accept_end(id, value).await)
    }

    /// Receives one price or a batch, which is accepted or rejected as a whole.
    ///
    /// # Errors
    /// [`PushError`]; nothing was accepted then.
    pub async fn prices(&self, value: &Value) -> Result<Answered<PricesAnswer>, PushError> {
        self.noted("price_update", self.accept_prices(value).await)
    }

    /// Publishes one event or a batch, which is accepted or rejected as a whole. `read` parses the body at the given
    /// time, because only the dialects know the shapes of the messages.
    ///
    /// # Errors
    /// [`PushError`]; nothing was published then.
    pub async fn events(
        &self,
        read: impl FnOnce(DateTime<Utc>) -> Result<PushedEvents, Vec<Fault>>,
    ) -> Result<EventsAnswer, PushError> {
        let taken = self.accept_events(read((self.clock)())).await;
        if let Ok((_, kinds)) = &taken {
            for kind in kinds {
                self.metrics.events_in_total.with_label_values(&[kind.name(), SOURCE]).inc();
            }
        }
        self.noted("event", taken).map(|(answer, _)| answer)
    }

    /// Stores a note about a user. `Ok` means that it is durable.
    ///
    /// # Errors
    /// [`PushError`]; the note may not be stored then.
    pub async fn note(&self, note: UserNote) -> Result<(), PushError> {
        self.submit(Input::Note(vec![note]), &Written::default()).await.map(drop)
    }

    async fn accept_events(
        &self,
        events: Result<PushedEvents, Vec<Fault>>,
    ) -> Result<(EventsAnswer, Vec<MessageType>), PushError> {
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

    async fn accept_signal(&self, value: &Value, source: &SourceName) -> Result<Answered<SignalAnswer>, PushError> {
        let PushedSignal { id, draft, dry_run, ignored, written } = parse_signal(value, &self.instruments)?;
        if dry_run {
            let faults = parse::level_faults(&draft, &self.instruments, self.level_limits);
            if !faults.is_empty() {
                return Err(PushError::faults(faults, &written));
            }
            let status = draft.status.unwrap_or(SignalStatus::Pending);
            return Ok(Answered::new(self.signal_answer(&id, status, dry_run), ignored));
        }
        let status = self.submit_signal(&id, draft, source, &written).await?;
        Ok(Answered::new(self.signal_answer(&id, status, dry_run), ignored))
    }

    async fn accept_pasted(
        &self,
        text: &str,
        id: Option<&str>,
        dry_run: bool,
    ) -> Result<Answered<SignalAnswer>, PushError> {
        let read = pasted::read(text, &self.instruments)?;
        let id = match id {
            Some(id) => id.to_owned(),
            None => read.id_of_day((self.clock)()).to_string(),
        };
        let mut signal = read.signal();
        signal["id"] = id.into();
        signal["dry_run"] = dry_run.into();
        let answered = self.accept_signal(&signal, &SourceName::new(SOURCE)).await?;
        Ok(Answered { read_as: Some(read.described()), ignored: read.ignored, ..answered })
    }

    async fn accept_end(&self, id: &str, value: &Value) -> Result<Answered<SignalAnswer>, PushError> {
        let (draft, ignored) = parse::parse_end_of(value)?;
        let id = SignalId::new(id).ok_or(PushError::UnknownSignal)?;
        let source = SourceName::new(SOURCE);
        let status = self.submit_signal(&id, draft, &source, &Written::default()).await?;
        Ok(Answered::new(self.signal_answer(&id, status, false), ignored))
    }

    async fn accept_prices(&self, value: &Value) -> Result<Answered<PricesAnswer>, PushError> {
        let now = (self.clock)();
        let (prices, ignored) = prices::read_prices(value, &self.instruments, now, self.latest(now))?;
        let answer = match prices {
            PushedPrices::One(tick) => {
                let instrument = self.instruments.get(&tick.symbol);
                let price = instrument.map_or_else(|| tick.quote.mid(), |instrument| instrument.mid(tick.quote));
                let (symbol, timestamp) = (tick.symbol.to_string(), iso(tick.observed_at));
                self.submit(Input::Ticks(vec![tick]), &Written::default()).await?;
                PricesAnswer::One { success: true, message: "Price update received", symbol, price, timestamp }
            }
            PushedPrices::Batch(ticks) => {
                let accepted = ticks.len();
                self.submit(Input::Ticks(ticks), &Written::default()).await?;
                PricesAnswer::Batch { success: true, message: "Price updates received", accepted }
            }
        };
        Ok(Answered::new(answer, ignored))
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
            Accepted::Ticks(_) | Accepted::RelayedMessage | Accepted::Noted => Ok(said),
        }
    }

    async fn submit(&self, input: Input, written: &Written) -> Result<Accepted, PushError> {
        match tokio::time::timeout(PIPELINE_TIMEOUT, self.handle.submit(input)).await {
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
            tracing::debug!(kind, code = error.code(), "a push was rejected");
        }
        result
    }
}

#[cfg(test)]
mod spelling_tests;
#[cfg(test)]
mod tests;
