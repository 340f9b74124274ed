//! Prices and signals from an Expert Advisor in a MetaTrader terminal (`ea/` in the repository).
//!
//! The terminal calls us: it posts what changed as one batch, a few times a second, and a batch without ticks as a sign of
//! life when nothing did. [`parse()`] is pure; [`MetaTrader`] remembers what came already and hands on the rest.

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

use super::order::{Order, Superfluous};
use super::push::{Push, PushError};
use super::{SourceStates, WallClock};
use crate::domain::{Instruments, SourceName, Tick, iso};
use crate::telemetry::Metrics;

pub use messages::{Answer, Refused, TicksAnswer};
pub use parse::{Batch, Message, parse};

/// The names of this source on the wire: one for each kind of terminal.
pub const SOURCES: [&str; 2] = ["mt5", "mt4"];
/// A terminal that says nothing for so long is gone. The Expert Advisor says something every 5 s.
const SILENCE: Duration = Duration::from_secs(15);
/// Batches that are recognized when they come again.
const REMEMBERED: usize = 256;

/// The way in for Expert Advisors. Cheap to clone.
#[derive(Clone)]
pub struct MetaTrader {
    push: Push,
    instruments: Arc<Instruments>,
    clock: WallClock,
    metrics: Arc<Metrics>,
    states: SourceStates,
    seen: Arc<Mutex<Seen>>,
}

impl std::fmt::Debug for MetaTrader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetaTrader").field("push", &self.push).finish_non_exhaustive()
    }
}

/// What came before.
#[derive(Debug, Default)]
struct Seen {
    /// Fingerprints of the batches that were taken, oldest first.
    batches: VecDeque<u64>,
    /// The last ticks of each kind of terminal.
    order: BTreeMap<SourceName, Order>,
    /// What each terminal says of its broker's clock: seconds ahead of UTC, and whether its ticks are from the future.
    clocks: BTreeMap<SourceName, (Option<i64>, bool)>,
}

impl MetaTrader {
    /// A way in beside `push`, listed in `states` from now on.
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

    /// Takes a batch of ticks, a sign of life, or a signal.
    ///
    /// # Errors
    /// [`PushError`]; nothing was taken then. A tick that cannot be used is no error of its batch: the answer names it.
    pub async fn take(&self, value: &Value) -> Result<Answer, PushError> {
        let now = self.push.latest((self.clock)());
        let message = parse(value, &self.instruments, now).map_err(PushError::from);
        match message.inspect_err(|error| self.reject("mt", error.code()))? {
            Message::Ticks(batch) => {
                let fingerprint = fingerprint(value);
                self.heard(&batch);
                self.take_batch(batch, fingerprint).await.map(Answer::Ticks)
            }
            Message::Signal { source, signal } => self.push.signal_from(&source, &signal).await.map(Answer::Signal),
        }
    }

    async fn take_batch(&self, batch: Batch, fingerprint: u64) -> Result<TicksAnswer, PushError> {
        let Batch { source, seq, mut refused, ticks, connected, .. } = batch;
        let duplicate = self.seen.lock().batches.contains(&fingerprint);
        let (mut taken, mut places) = (Vec::with_capacity(ticks.len()), Vec::with_capacity(ticks.len()));
        if duplicate {
            refused.clear();
        } else {
            // A copy: what the pipeline does not take comes again.
            let mut order = self.seen.lock().order.get(&source).cloned().unwrap_or_default();
            for (index, spelling, tick) in ticks {
                if let Err(superfluous) = order.check(&tick) {
                    let (code, reason) = told(superfluous);
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

    /// Keeps the state of the terminal's link, and says so when its clock is strange.
    fn heard(&self, batch: &Batch) {
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
                "ticks are dated in the future: the arrival counts instead; is the clock of the terminal's computer right?"
            );
        }
    }

    fn reject(&self, kind: &'static str, code: &'static str) {
        self.metrics.reject(kind, code);
    }
}

impl Seen {
    fn remember(&mut self, fingerprint: u64, source: SourceName, taken: &[Tick]) {
        if self.batches.len() == REMEMBERED {
            self.batches.pop_front();
        }
        self.batches.push_back(fingerprint);
        let order = self.order.entry(source).or_default();
        for tick in taken {
            order.note(tick);
        }
    }
}

/// What tells a batch from all others: the sequence number, and what it came with, because a terminal that starts again
/// counts from the beginning.
fn fingerprint(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

/// Why a tick is not taken, in the words of the answer.
fn told(superfluous: Superfluous) -> (&'static str, String) {
    match superfluous {
        Superfluous::Duplicate => ("duplicate", "came before".to_owned()),
        Superfluous::Late(last) => ("out_of_order", format!("is older than the last one, of {}", iso(last))),
    }
}
