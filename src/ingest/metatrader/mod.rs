//! Prices and signals from an Expert Advisor in a MetaTrader terminal (`ea/` in the repository).
//!
//! The terminal calls the server: a few times a second it posts its changes as one batch, or an empty batch as a
//! keep-alive. [`parse()`] is pure; [`MetaTrader`] filters out what was received before and forwards the rest.

mod messages;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use super::{Push, PushError};
use crate::domain::{FilterReason, Instruments, SourceName, Tick, TickOrder, WallClock, iso};
use crate::telemetry::{Metrics, SourceStates};

pub use messages::{PostAnswer, Refused, TicksAnswer};
pub use parse::{Post, TickBatch, parse};

/// The names of this source on the wire, one for each type of terminal.
pub const SOURCES: [&str; 2] = ["mt5", "mt4"];
/// A terminal that is silent for this long is disconnected. The Expert Advisor posts at least every 5 s.
const SILENCE: Duration = Duration::from_secs(15);
/// How many batches are remembered to detect duplicates.
const REMEMBERED: usize = 256;

/// Receives the posts of Expert Advisors. Cheap to clone.
#[derive(Clone)]
pub struct MetaTrader {
    push: Push,
    instruments: Arc<Instruments>,
    clock: WallClock,
    metrics: Arc<Metrics>,
    states: SourceStates,
    seen: Arc<Mutex<TerminalState>>,
}

impl std::fmt::Debug for MetaTrader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetaTrader").field("push", &self.push).finish_non_exhaustive()
    }
}

/// The state of each terminal.
#[derive(Debug, Default)]
struct TerminalState {
    /// Fingerprints of the received batches, oldest first.
    batches: VecDeque<u64>,
    /// The last ticks of each type of terminal.
    order: BTreeMap<SourceName, TickOrder>,
    /// The broker's clock of each terminal: seconds ahead of UTC, and whether its ticks are dated in the future.
    clocks: BTreeMap<SourceName, (Option<i64>, bool)>,
}

impl MetaTrader {
    /// Creates a receiver that forwards to `push`, and lists its sources in `states`.
    pub fn new(
        push: Push,
        instruments: Arc<Instruments>,
        clock: WallClock,
        metrics: Arc<Metrics>,
        states: SourceStates,
    ) -> Self {
        for name in SOURCES {
            states.off(&SourceName::new(name));
        }
        Self { push, instruments, clock, metrics, states, seen: Arc::default() }
    }

    /// Receives a batch of ticks, a keep-alive, or a signal.
    ///
    /// # Errors
    /// [`PushError`]; nothing was stored then. An invalid tick is not an error of its batch: the answer names it.
    pub async fn receive(&self, value: &Value) -> Result<PostAnswer, PushError> {
        let now = self.push.latest((self.clock)());
        let message = parse(value, &self.instruments, now);
        match message.inspect_err(|error| self.reject("mt", error.code()))? {
            Post::Ticks(batch) => {
                let fingerprint = fingerprint(value);
                self.record_status(&batch);
                self.receive_batch(batch, fingerprint).await.map(PostAnswer::Ticks)
            }
            Post::Signal { source, signal } => self.push.signal_from(&source, &signal).await.map(PostAnswer::Signal),
        }
    }

    async fn receive_batch(&self, batch: TickBatch, fingerprint: u64) -> Result<TicksAnswer, PushError> {
        let TickBatch { source, seq, mut refused, ticks, connected, .. } = batch;
        let duplicate = self.seen.lock().batches.contains(&fingerprint);
        let (mut taken, mut places) = (Vec::with_capacity(ticks.len()), Vec::with_capacity(ticks.len()));
        if duplicate {
            refused.clear();
        } else {
            // A copy, because the ticks come again if the pipeline rejects them.
            let mut order = self.seen.lock().order.get(&source).cloned().unwrap_or_default();
            for (index, spelling, tick) in ticks {
                if let Err(superfluous) = order.check(&tick) {
                    let (code, reason) = rejection(superfluous);
                    refused.push(Refused { index, symbol: spelling, code, reason });
                } else {
                    places.push((index, spelling));
                    taken.push(tick);
                }
            }
        }
        let disbelieved = if taken.is_empty() { Vec::new() } else { self.push.submit_ticks(taken.clone()).await? };
        let accepted = taken.len() - disbelieved.len();
        if accepted > 0 {
            self.metrics.source_ticks_total.with_label_values(&[source.as_str()]).inc_by(accepted as u64);
            self.states.counted(&source, accepted);
            if connected {
                self.states.live(&source);
            }
        }
        for tick in &refused {
            self.states.rejected(&source, tick.code);
        }
        refused.extend(disbelieved.into_iter().filter_map(|(place, fault)| {
            let (index, symbol) = places.get(place)?.clone();
            Some(Refused { index, symbol, code: fault.name(), reason: fault.to_string() })
        }));
        refused.sort_by_key(|tick| tick.index);
        if duplicate {
            self.metrics.duplicates_total.with_label_values(&["ticks", source.as_str()]).inc();
        } else {
            self.seen.lock().remember(fingerprint, source, &taken);
        }
        let timestamp = iso((self.clock)());
        let message = if duplicate { "Ticks received before" } else { "Ticks received" };
        Ok(TicksAnswer { success: true, message, seq, accepted, duplicate, rejected: refused, timestamp })
    }

    /// Records the state of the terminal's connection, and warns if its clock is wrong.
    fn record_status(&self, batch: &TickBatch) {
        let source = &batch.source;
        self.states.called(source, SILENCE);
        if batch.connected {
            self.states.alive(source);
        } else {
            self.states.stalled(source, "the terminal has no connection to its broker");
        }
        let clock = (batch.utc_offset, batch.ahead);
        let before = self.seen.lock().clocks.insert(source.clone(), clock);
        if before.is_none_or(|(offset, _)| offset != clock.0) {
            tracing::info!(%source, utc_offset_seconds = clock.0, "the broker's clock");
        }
        if batch.ahead && before.is_none_or(|(_, ahead)| !ahead) {
            tracing::warn!(
                %source,
                "ticks are dated in the future; their arrival time is used; check the clock of the terminal's computer"
            );
        }
    }

    fn reject(&self, kind: &'static str, code: &'static str) {
        self.metrics.reject(kind, code);
    }
}

impl TerminalState {
    fn remember(&mut self, fingerprint: u64, source: SourceName, taken: &[Tick]) {
        if self.batches.len() == REMEMBERED {
            self.batches.pop_front();
        }
        self.batches.push_back(fingerprint);
        let order = self.order.entry(source).or_default();
        for tick in taken {
            order.record(tick);
        }
    }
}

/// Returns a hash that identifies a batch. It covers the whole content, because a restarted terminal counts its
/// sequence numbers from the beginning.
fn fingerprint(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

/// Returns the code and the text for a filtered tick.
fn rejection(superfluous: FilterReason) -> (&'static str, String) {
    match superfluous {
        FilterReason::Duplicate => ("duplicate", "came before".to_owned()),
        FilterReason::Late(last) => ("out_of_order", format!("is older than the last one, of {}", iso(last))),
    }
}
