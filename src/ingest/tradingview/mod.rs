//! Prices and signals from TradingView's alert webhooks.
//!
//! TradingView waits 3 s for an answer, repeats alerts without a mark, and expands its placeholders to arbitrary text.
//! [`parse()`] is pure and accepts the results; [`TradingView`] detects repeats, forwards alerts and answers in time.
//!
//! Format: <https://www.tradingview.com/support/solutions/43000529348/>.

mod intent;
mod parse;
#[cfg(test)]
mod paste_tests;
mod seen;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::aliases::ID;
use super::{Push, PushError};
use crate::domain::{Feed, Instruments, SignalStatus, SourceName, Tick, TickFault, WallClock, iso};
use crate::telemetry::{Metrics, SourceStates};

pub use parse::{Alert, Read, parse};
use seen::{AlertHistory, FirstAlert, REMEMBERED};

/// The name of this source on the wire.
pub const SOURCE: &str = "tradingview";
/// The answer is sent after this time, even if the alert is not stored yet: TradingView waits only 3 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// TradingView repeats an alert within about 20 s. The same text later is a new event, unless it has an `id` or a time.
pub const REPEAT_WINDOW: Duration = Duration::from_mins(1);

/// Receives alerts. Cheap to clone.
#[derive(Clone)]
pub struct TradingView {
    push: Push,
    instruments: Arc<Instruments>,
    clock: WallClock,
    metrics: Arc<Metrics>,
    states: SourceStates,
    seen: Arc<Mutex<AlertHistory>>,
    repeat_window: Duration,
}

impl std::fmt::Debug for TradingView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TradingView").field("push", &self.push).finish_non_exhaustive()
    }
}

/// The answer to an alert.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the documented answers, field by field")]
pub enum AlertAnswer {
    /// The alert was a signal or the end of one, and is stored.
    Signal {
        success: bool,
        signal_id: String,
        #[schema(value_type = SignalStatus)]
        status: &'static str,
        #[schema(format = DateTime)]
        timestamp: String,
        /// Names of the fields that had no effect.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        ignored: Vec<String>,
    },
    /// The alert was a price.
    Price {
        success: bool,
        symbol: String,
        delayed: bool,
        #[schema(format = DateTime)]
        timestamp: String,
        /// Why it counts as a price although it looks like a signal.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        message: Option<String>,
    },
    /// The alert was received before.
    Duplicate {
        success: bool,
        duplicate: bool,
        /// The result of the first one: the id of the signal, or the symbol of the price.
        of: String,
        /// When the first one was received.
        #[schema(format = DateTime)]
        received_at: String,
        #[schema(format = DateTime)]
        timestamp: String,
    },
    /// The alert had no effect.
    Ignored { success: bool, message: &'static str, timestamp: String },
    /// The alert is valid and will be stored as soon as possible.
    Queued { success: bool, timestamp: String },
}

impl TradingView {
    /// Creates a receiver that forwards to `push`, and lists its source in `states`.
    pub fn new(
        push: Push,
        instruments: Arc<Instruments>,
        clock: WallClock,
        metrics: Arc<Metrics>,
        states: SourceStates,
    ) -> Self {
        states.off(&SourceName::new(SOURCE));
        Self { push, instruments, clock, metrics, states, seen: Arc::default(), repeat_window: REPEAT_WINDOW }
    }

    /// Sets the time within which the same text, without an `id` and a time, counts as a repeat.
    #[must_use]
    pub fn with_repeat_window(self, repeat_window: Duration) -> Self {
        Self { repeat_window, ..self }
    }

    /// Receives the body of an alert.
    ///
    /// # Errors
    /// [`PushError`]; nothing was stored then.
    pub async fn receive(&self, body: &[u8]) -> Result<AlertAnswer, PushError> {
        let now = (self.clock)();
        let read = parse::parse_within(body, &self.instruments, now, self.repeat_window);
        let Read { alert, key, is_unique, note } = read.inspect_err(|error| {
            self.metrics.reject("alert", error.code().name());
            tracing::warn!(%error, "a TradingView alert was rejected");
        })?;
        self.states.live(&SourceName::new(SOURCE));
        let timestamp = iso(now);
        let span = if is_unique { REMEMBERED } else { self.repeat_window };
        let before = self.seen.lock().remember(key, span, Instant::now(), first_of(&alert, now));
        if let Some(before) = before {
            self.metrics.duplicates_total.with_label_values(&[before.kind, SOURCE]).inc();
            tracing::info!(kind = before.kind, "a TradingView alert was repeated and ignored");
            let FirstAlert { of, received_at, .. } = before;
            return Ok(AlertAnswer::Duplicate {
                success: true,
                duplicate: true,
                of,
                received_at: iso(received_at),
                timestamp,
            });
        }
        let taken = match tokio::time::timeout(ANSWER_WITHIN, self.forward(alert, note, timestamp.clone())).await {
            Ok(taken) => taken,
            // The pipeline already has the alert, and processes it even if the client disconnects.
            Err(_) => Ok(AlertAnswer::Queued { success: true, timestamp }),
        };
        if taken.is_err() {
            self.seen.lock().forget(key);
        }
        taken
    }

    async fn forward(&self, alert: Alert, note: Option<String>, timestamp: String) -> Result<AlertAnswer, PushError> {
        match alert {
            Alert::Signal(signal) => {
                let taken = self.push.signal_from(&SourceName::new(SOURCE), &signal).await.inspect_err(|error| {
                    tracing::warn!(%error, "a TradingView signal was rejected");
                })?;
                let (signal_id, status) = (taken.answer.signal_id, taken.answer.status);
                Ok(AlertAnswer::Signal { success: true, signal_id, status, timestamp, ignored: taken.ignored })
            }
            Alert::Price(tick) => {
                let (symbol, delayed) = (tick.symbol.to_string(), tick.feed == Feed::Delayed);
                if let Some((_, fault)) = self.price(tick).await?.first() {
                    let message = match fault {
                        TickFault::Jump => "too far from the prices before it; the next one may confirm it",
                        TickFault::NotPositive | TickFault::Crossed => "no price",
                    };
                    return Ok(AlertAnswer::Ignored { success: true, message, timestamp });
                }
                if let Some(note) = &note {
                    tracing::warn!(%symbol, note, "a TradingView alert was read as a price");
                }
                Ok(AlertAnswer::Price { success: true, symbol, delayed, timestamp, message: note })
            }
            Alert::Nothing(message) => Ok(AlertAnswer::Ignored { success: true, message, timestamp }),
        }
    }

    async fn price(&self, tick: Tick) -> Result<Vec<(usize, TickFault)>, PushError> {
        let refused = self.push.submit_ticks(vec![tick]).await?;
        self.metrics.source_ticks_total.with_label_values(&[SOURCE]).inc();
        self.states.counted(&SourceName::new(SOURCE), 1);
        Ok(refused)
    }
}

/// Returns the result of an alert, for the answers to its repeats.
fn first_of(alert: &Alert, received_at: DateTime<Utc>) -> FirstAlert {
    let (of, kind) = match alert {
        Alert::Signal(signal) => {
            let id = intent::entry_of(signal, &ID)
                .map_or_else(String::new, |id| id.as_str().map_or_else(|| id.to_string(), ToOwned::to_owned));
            (id, "signal")
        }
        Alert::Price(tick) => (tick.symbol.to_string(), "price"),
        Alert::Nothing(message) => ((*message).to_owned(), "other"),
    };
    FirstAlert { of, kind, received_at }
}
