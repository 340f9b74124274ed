//! The rules of the house, without I/O, tasks or clocks: values in, values out.
//!
//! [`Engine::process`] takes one input at one time and says what changed. Nothing here knows who listens or where it is
//! stored, so all of it is testable by values alone.

mod bars;
mod board;
mod book;
mod gate;
mod lanes;
mod rules;

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{
    Accepted, Bar, Change, Contradiction, Fault, Feed, Input, Instruments, Invalidation, Now, PriceUpdate, Rejection,
    Signal, SignalDraft, SignalId, SourceName, Tick, TickFault,
};
use bars::BarBuilder;
use board::{PriceBoard, Taken};
use book::SignalBook;
pub use lanes::{LaneStatus, Notice};
pub use rules::PriceRules;

/// What an input did.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Signals that changed, in order. They take effect at once here and are told to others once they are durable.
    pub changes: Vec<Change>,
    /// The answer to the sender.
    pub answer: Result<Accepted, Rejection>,
}

/// Prices, bars and signals as they are now.
#[derive(Debug)]
pub struct Engine {
    instruments: Arc<Instruments>,
    board: PriceBoard,
    bars: BarBuilder,
    book: SignalBook,
    notices: Vec<Notice>,
}

impl Engine {
    /// An engine that knows no price and no signal.
    ///
    /// `ttl` is the life of a pending signal; an unchanged price is published again after `quiet_beats` beats.
    pub fn new(instruments: Arc<Instruments>, ttl: Duration, quiet_beats: u32) -> Self {
        Self {
            instruments,
            board: PriceBoard::new(quiet_beats),
            bars: BarBuilder::default(),
            book: SignalBook::new(ttl),
            notices: Vec::new(),
        }
    }

    /// The same engine with these rules for prices.
    #[must_use]
    pub fn with_rules(mut self, rules: PriceRules) -> Self {
        self.board.set_rules(rules);
        self
    }

    /// Takes one input.
    pub fn process(&mut self, input: Input, now: Now) -> Outcome {
        match input {
            Input::Ticks(ticks) => {
                let (changes, refused) = self.take_ticks(ticks, now);
                Outcome { changes, answer: Ok(Accepted::Ticks(refused)) }
            }
            // Passed on as it is: there is no rule of ours that could change it.
            Input::Publish(_) => Outcome { changes: Vec::new(), answer: Ok(Accepted::Published) },
            Input::Signal { id, draft, source, feed } => match self.take_signal(id, &draft, source, feed, now) {
                Ok((signal, change)) => {
                    Outcome { changes: change.into_iter().collect(), answer: Ok(Accepted::Signal(signal)) }
                }
                Err(rejection) => Outcome { changes: Vec::new(), answer: Err(rejection) },
            },
        }
    }

    fn take_ticks(&mut self, ticks: Vec<Tick>, now: Now) -> (Vec<Change>, Vec<(usize, TickFault)>) {
        let (mut changes, mut refused) = (Vec::new(), Vec::new());
        for (index, tick) in ticks.into_iter().enumerate() {
            let Some(instrument) = self.instruments.get(&tick.symbol) else { continue };
            match self.board.take(instrument, &tick, now, &mut self.notices) {
                Taken::Accepted => {}
                Taken::ReplacedSimulator => {
                    changes.extend(self.book.end_simulated(&tick.symbol, &Invalidation::SOURCE_REPLACED, now));
                }
                Taken::StandsBy => continue,
                Taken::Refused(fault) => {
                    refused.push((index, fault));
                    continue;
                }
            }
            self.bars.take(instrument, &tick, now.wall);
        }
        (changes, refused)
    }

    /// What an operator should know of the sources since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Every source of every symbol that has prices.
    pub fn lanes(&self, now: Now) -> Vec<LaneStatus> {
        self.board.lanes(now)
    }

    fn take_signal(
        &mut self,
        id: SignalId,
        draft: &SignalDraft,
        source: SourceName,
        feed: Feed,
        now: Now,
    ) -> Result<(Arc<Signal>, Option<Change>), Rejection> {
        let known = self.book.get(&id).cloned();
        let symbol = known.as_ref().map(|signal| &signal.symbol).or(draft.symbol.as_ref());
        let Some(symbol) = symbol else {
            return Err(if draft.has_content() || draft.status.is_none() {
                Rejection::Faults(missing(draft))
            } else {
                Rejection::UnknownSignal(id)
            });
        };
        if feed == Feed::Simulated && self.board.has_real_prices(symbol) {
            return Err(Rejection::SourceReplaced(symbol.clone()));
        }
        let instrument = self
            .instruments
            .get(symbol)
            .ok_or_else(|| Rejection::Faults(vec![Fault::new("symbol", format!("{symbol} is not served any more"))]))?;
        let signal = match &known {
            Some(signal) => match signal.amend(draft, instrument, now) {
                Ok(Some(amended)) => amended,
                Ok(None) => return Ok((signal.clone(), None)),
                Err(Contradiction::Faults(faults)) => return Err(Rejection::Faults(faults)),
                Err(contradiction) => return Err(contradiction.into()),
            },
            None if draft.direction.is_none() => return Err(Rejection::Faults(missing(draft))),
            None if self.book.is_full() => return Err(Rejection::TooManyPending),
            None => Signal::create(id, draft, instrument, source, now, self.book.ttl()).map_err(Rejection::Faults)?,
        };
        let change = self.book.put(signal, now);
        Ok((change.signal.clone(), Some(change)))
    }

    /// Ends every pending signal whose time is up.
    pub fn expire(&mut self, now: Now) -> Vec<Change> {
        self.book.expire(now)
    }

    /// When the next pending signal's time is up, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.book.next_deadline()
    }

    /// Takes back changes that could not be stored, latest first.
    pub fn undo(&mut self, changes: impl DoubleEndedIterator<Item = Change>) {
        for change in changes.rev() {
            self.book.undo(change);
        }
    }

    /// One beat of the publish cadence: the prices that are due.
    pub fn publish(&mut self, now: Now) -> Vec<Arc<PriceUpdate>> {
        self.board.publish(now)
    }

    /// One-minute bars that changed since the last call.
    pub fn changed_bars(&mut self) -> Vec<Bar> {
        self.bars.take_changed()
    }

    /// Whether the signal is in memory; one that is not may still be in the log, see [`recall`](Self::recall).
    pub fn knows(&self, id: &SignalId) -> bool {
        self.book.get(id).is_some()
    }

    /// Takes in signals from the log: at the start, and when one is spoken of that has left memory.
    pub fn recall(&mut self, signals: impl IntoIterator<Item = Signal>, now: Now) {
        for signal in signals {
            self.book.recall(signal, now);
        }
    }

    /// How many signals are pending.
    pub fn pending(&self) -> usize {
        self.book.pending()
    }
}

fn missing(draft: &SignalDraft) -> Vec<Fault> {
    let fault = |field: &str| Fault::new(field, "is required for a new signal");
    let mut faults = Vec::new();
    if draft.symbol.is_none() {
        faults.push(fault("symbol"));
    }
    if draft.direction.is_none() {
        faults.push(fault("direction"));
    }
    faults
}

#[cfg(test)]
mod tests;
