//! The rules, without I/O, tasks or clocks: values in, values out.
//!
//! [`Engine::process`] takes one input and the time, and returns what changed. The engine does not know who listens or
//! where it is stored, so that tests need values only.

mod bars;
mod board;
mod book;
mod days;
pub mod detect;
mod failover;
mod gate;
mod outcomes;
mod rules;
mod setups;

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{
    Accepted, Bar, BarInterval, Change, DraftCheck, Feed, Input, Instrument, Instruments, Invalidation, LevelLimits,
    Now, PriceUpdate, Progress, Rejection, SetupRules, Signal, SignalDraft, SignalId, SignalState, SourceName, Tick,
    TickFault, TradeOutcome, TradingCosts, UsedTick,
};
use bars::{BarBuilder, Closed};
use board::{PriceBoard, TickDecision};
use book::SignalBook;
use days::Days;
pub use failover::{EngineEvent, LaneStatus};
use outcomes::Outcomes;
pub use outcomes::PersistScope;
pub use rules::PriceRules;
pub use setups::memory as setup_memory;
use setups::watch::Watch;
use setups::{NewSetup, Setups};

/// The result of an input.
#[derive(Debug, Clone, PartialEq)]
pub struct Processed {
    /// Signals that changed, in order. In the engine they take effect at once; they are published when they are
    /// committed.
    pub changes: Vec<Change>,
    /// The answer to the sender.
    pub answer: Result<Accepted, Rejection>,
}

/// The current prices, bars and signals.
#[derive(Debug)]
pub struct Engine {
    instruments: Arc<Instruments>,
    board: PriceBoard,
    bars: BarBuilder,
    days: Days,
    book: SignalBook,
    setups: Setups,
    watch: Watch,
    outcomes: Outcomes,
    confirm_pushed_by_price: bool,
    level_limits: LevelLimits,
    notices: Vec<EngineEvent>,
    keeps_ticks: bool,
    used_ticks: Vec<UsedTick>,
}

impl Engine {
    /// Returns an engine without prices and signals that looks for no setups.
    ///
    /// `ttl` is the time to live of a pending signal. An unchanged price is published again after `quiet_beats` publish
    /// ticks.
    pub fn new(instruments: Arc<Instruments>, ttl: Duration, quiet_beats: u32) -> Self {
        Self {
            instruments,
            board: PriceBoard::new(quiet_beats),
            bars: BarBuilder::default(),
            days: Days::default(),
            book: SignalBook::new(ttl),
            setups: Setups::new(SetupRules { enabled: Vec::new(), ..SetupRules::default() }, ttl),
            watch: Watch::default(),
            outcomes: Outcomes::default(),
            confirm_pushed_by_price: false,
            level_limits: LevelLimits::default(),
            notices: Vec::new(),
            keeps_ticks: false,
            used_ticks: Vec::new(),
        }
    }

    /// Collects the ticks that make bars, for [`drain_used_ticks`](Self::drain_used_ticks).
    #[must_use]
    pub fn keeping_ticks(self) -> Self {
        Self { keeps_ticks: true, ..self }
    }

    /// Enables the server's own setups. With `confirm_pushed_by_price`, prices also decide about pushed signals, by the
    /// same rules; otherwise a pushed signal ends by a push of its sender or at its deadline.
    #[must_use]
    pub fn with_setups(self, rules: SetupRules, confirm_pushed_by_price: bool) -> Self {
        let setups = Setups::new(rules, self.book.ttl());
        Self { setups, confirm_pushed_by_price, ..self }
    }

    /// Sets the limits for the levels of signals.
    #[must_use]
    pub fn with_level_limits(self, level_limits: LevelLimits) -> Self {
        Self { level_limits, ..self }
    }

    /// Sets how the positions of records are entered, and what they cost.
    #[must_use]
    pub fn with_costs(mut self, costs: TradingCosts) -> Self {
        self.outcomes.set_costs(costs);
        self
    }

    /// Loads the past minutes of instruments, oldest first, before the first tick. Nothing of it is published.
    pub fn warm_up(&mut self, minutes: impl IntoIterator<Item = Bar>) {
        for minute in minutes {
            if self.instruments.get(&minute.symbol).is_none() {
                continue;
            }
            for closed in self.bars.restore(minute) {
                self.setups.restore(&closed);
            }
        }
    }

    /// Loads the minutes of the current day, oldest first for each symbol, for the day's range. Simulated ones count,
    /// too.
    pub fn recall_day(&mut self, minutes: impl IntoIterator<Item = Bar>) {
        for minute in minutes {
            if let Some(instrument) = self.instruments.get(&minute.symbol) {
                self.days.restore(instrument, &minute);
            }
        }
    }

    /// Sets the rules for prices.
    #[must_use]
    pub fn with_rules(mut self, rules: PriceRules) -> Self {
        self.board.set_rules(rules);
        self
    }

    /// Processes one input.
    pub fn process(&mut self, input: Input, now: Now) -> Processed {
        match input {
            Input::Ticks(ticks) => {
                let (changes, refused) = self.process_ticks(ticks, now);
                Processed { changes, answer: Ok(Accepted::Ticks(refused)) }
            }
            // Relayed messages and notes have no rules in the engine.
            Input::Publish(_) => Processed { changes: Vec::new(), answer: Ok(Accepted::RelayedMessage) },
            Input::Note(_) => Processed { changes: Vec::new(), answer: Ok(Accepted::Noted) },
            Input::Signal { id, draft, source, feed } => match self.process_signal(id, &draft, source, feed, now) {
                Ok((signal, change)) => {
                    Processed { changes: change.into_iter().collect(), answer: Ok(Accepted::Signal(signal)) }
                }
                Err(rejection) => Processed { changes: Vec::new(), answer: Err(rejection) },
            },
        }
    }

    fn process_ticks(&mut self, ticks: Vec<Tick>, now: Now) -> (Vec<Change>, Vec<(usize, TickFault)>) {
        let (mut changes, mut refused) = (Vec::new(), Vec::new());
        for (index, tick) in ticks.into_iter().enumerate() {
            if let Err(fault) = self.process_tick(&tick, now, &mut changes) {
                refused.push((index, fault));
            }
        }
        (changes, refused)
    }

    fn process_tick(&mut self, tick: &Tick, now: Now, changes: &mut Vec<Change>) -> Result<(), TickFault> {
        let Some(instrument) = self.accept(tick, now, changes)? else { return Ok(()) };
        // An indicative price is shown, but it cannot be traded.
        if tick.feed != Feed::Indicative {
            self.close_bars(&instrument, tick, now, changes);
            self.decide(&instrument, tick, now, changes);
            if self.keeps_ticks && tick.feed != Feed::Simulated {
                self.used_ticks.push(UsedTick { tick: tick.clone(), received_at: now.wall });
            }
        }
        Ok(())
    }

    /// Drains the ticks that made bars since the last call, in order. Simulated ones are not among them. Empty unless
    /// [`keeping_ticks`](Self::keeping_ticks) was called.
    pub fn drain_used_ticks(&mut self) -> Vec<UsedTick> {
        std::mem::take(&mut self.used_ticks)
    }

    /// Drains the events about sources since the last call.
    pub fn drain_notices(&mut self) -> Vec<EngineEvent> {
        std::mem::take(&mut self.notices)
    }

    /// Returns the status of every source of every symbol that has prices.
    pub fn lanes(&self, now: Now) -> Vec<LaneStatus> {
        self.board.lanes(now)
    }

    /// Processes a tick of a recording. What is due by its time ends first, as a timer does it live.
    pub fn replay(&mut self, tick: &Tick, now: Now) -> Vec<Change> {
        let mut changes = self.expire(now);
        self.process_tick(tick, now, &mut changes).ok();
        changes
    }

    /// Puts a price on the board. Returns the instrument, or `None` when it is unknown or another source is active.
    fn accept(
        &mut self,
        tick: &Tick,
        now: Now,
        changes: &mut Vec<Change>,
    ) -> Result<Option<Arc<Instrument>>, TickFault> {
        let Some(instrument) = self.instruments.get(&tick.symbol).cloned() else { return Ok(None) };
        match self.board.offer(&instrument, tick, now, &mut self.notices) {
            TickDecision::Accepted => {}
            TickDecision::ReplacedSimulator => {
                self.bars.forget(&tick.symbol);
                self.days.forget(&tick.symbol);
                self.setups.forget(&tick.symbol);
                let ended = self.book.end_simulated(&tick.symbol, &Invalidation::SOURCE_REPLACED, now);
                self.on_ended(&ended);
                changes.extend(ended);
            }
            TickDecision::StandsBy => return Ok(None),
            TickDecision::Refused(fault) => return Err(fault),
        }
        if matches!(tick.feed, Feed::Live | Feed::Delayed) && instrument.is_coarser_than(tick.quote) {
            let (symbol, source) = (tick.symbol.clone(), tick.source.clone());
            self.notices.push(EngineEvent::Rounded { symbol, source });
        }
        Ok(Some(instrument))
    }

    fn close_bars(&mut self, instrument: &Arc<Instrument>, tick: &Tick, now: Now, changes: &mut Vec<Change>) {
        let trusted = self.setups.trusts(tick.feed == Feed::Simulated);
        self.days.push_tick(instrument, tick, now.wall);
        for closed in self.bars.push_tick(instrument, tick, now.wall) {
            if closed.interval == BarInterval::OneMinute && tick.feed != Feed::Simulated {
                self.outcomes.on_minute_close(&closed);
            }
            if trusted {
                self.close(&closed, instrument, now, changes);
            }
        }
    }

    fn decide(&mut self, instrument: &Instrument, tick: &Tick, now: Now, changes: &mut Vec<Change>) {
        if self.setups.trusts(tick.feed == Feed::Simulated) {
            let ended = self.watch.on_price(instrument, tick.quote, now);
            self.end(ended, now, changes);
        }
        if tick.feed == Feed::Simulated {
            self.outcomes.on_simulated_price(&tick.symbol, now.wall);
        } else {
            self.outcomes.on_price(instrument, tick, now.wall);
        }
    }

    /// Applies a closed bar to signals: first it may end pending ones, then it may make a new one.
    fn close(&mut self, closed: &Closed, instrument: &Arc<Instrument>, now: Now, changes: &mut Vec<Change>) {
        if closed.interval == BarInterval::OneMinute {
            let ended = self.watch.on_minute_close(closed, now);
            self.end(ended, now, changes);
        }
        let update = self.setups.on_bar_close(closed, instrument, now);
        if let Some(direction) = update.shift {
            let ended = self.watch.on_shift(&instrument.symbol, direction, now);
            self.end(ended, now, changes);
        }
        if let Some(NewSetup { signal, zone_far }) = update.found
            && !self.knows(&signal.id)
            && !self.book.is_full()
        {
            self.watch.add(&signal, zone_far, self.book.due(&signal.id, now), now);
            changes.push(self.store_signal(signal, now));
        }
    }

    fn end(&mut self, ended: Vec<(SignalId, SignalState)>, now: Now, changes: &mut Vec<Change>) {
        for (id, state) in ended {
            if let Some(signal) = self.book.get(&id).filter(|signal| signal.state.is_pending()) {
                let ended = signal.as_ref().clone().ended(state, now.wall);
                changes.push(self.store_signal(ended, now));
            }
        }
    }

    /// Starts or stops the price watch of a signal, depending on its state and source.
    fn update_watch(&mut self, signal: &Signal, now: Now) {
        let ours = signal.source.as_str() == SourceName::SETUPS;
        if signal.state.is_pending() && (ours || self.confirm_pushed_by_price) {
            self.watch.add(signal, None, self.book.due(&signal.id, now), now);
        } else {
            self.watch.remove(&signal.symbol, &signal.id);
        }
    }

    fn store_signal(&mut self, signal: Signal, now: Now) -> Change {
        let change = self.book.insert(signal, now);
        self.outcomes.on_change(&change);
        change
    }

    /// Stops the watch of signals that the book ended, and records the ends.
    fn on_ended(&mut self, ended: &[Change]) {
        for change in ended {
            self.watch.remove(&change.signal.symbol, &change.signal.id);
            self.outcomes.on_change(change);
        }
    }

    fn process_signal(
        &mut self,
        id: SignalId,
        draft: &SignalDraft,
        source: SourceName,
        feed: Feed,
        now: Now,
    ) -> Result<(Arc<Signal>, Option<Change>), Rejection> {
        let known = self.book.get(&id).cloned();
        let check = DraftCheck { known: known.as_deref(), instruments: &self.instruments, limits: self.level_limits };
        let symbol = check.symbol(&id, draft)?;
        if feed == Feed::Simulated && self.board.has_real_prices(symbol) {
            return Err(Rejection::SourceReplaced(symbol.clone()));
        }
        let last_price = self.board.last_real_price(symbol);
        let signal = match check.apply(&id, draft, source, last_price, (now, self.book.ttl()))? {
            Some(_) if known.is_none() && self.book.is_full() => return Err(Rejection::TooManyPending),
            Some(signal) => signal,
            None => return known.map(|signal| (signal, None)).ok_or(Rejection::UnknownSignal(id)),
        };
        self.update_watch(&signal, now);
        let change = self.store_signal(signal, now);
        Ok((change.signal.clone(), Some(change)))
    }

    /// Ends pending signals whose deadline has passed, each at its deadline. A minute that has ended by then decides
    /// first: no price can change it any more, but its bar closes with the next price, which may come later.
    pub fn expire(&mut self, now: Now) -> Vec<Change> {
        let mut changes = Vec::new();
        for (due, id) in self.book.overdue(now) {
            let at = now.back_to(due);
            let symbol = self.book.get(&id).map(|signal| signal.symbol.clone());
            if let Some(minute) = symbol.and_then(|symbol| self.bars.ended_minute(&symbol, at.wall))
                && self.setups.trusts(minute.bar.mid.simulated)
            {
                let ended = self.watch.on_minute_close(&minute, at);
                self.end(ended, at, &mut changes);
            }
            let expired = self.book.expire(&id, now);
            self.on_ended(expired.as_slice());
            changes.extend(expired);
        }
        changes
    }

    /// Resumes the records that were open when the previous process ended, as they were last stored.
    pub fn resume_records(&mut self, open: impl IntoIterator<Item = (Signal, Option<Progress>)>) {
        for (signal, progress) in open {
            self.outcomes.resume(&Arc::new(signal), progress);
        }
    }

    /// Drains the records of confirmed signals that have ended since the last call.
    pub fn ended_records(&mut self) -> Vec<TradeOutcome> {
        self.outcomes.drain_ended()
    }

    /// Returns the open records that have changed since the last call.
    pub fn open_records(&mut self, which: PersistScope) -> Vec<(SignalId, Progress)> {
        self.outcomes.drain_open(which)
    }

    /// Takes back ended records that could not be stored. The next calls return them again, and the open ones, too.
    pub fn requeue_records(&mut self, records: Vec<TradeOutcome>) {
        self.outcomes.requeue(records);
    }

    /// Returns the deadline of the next pending signal, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.book.next_deadline()
    }

    /// Undoes changes that could not be stored, latest first.
    pub fn undo(&mut self, changes: impl DoubleEndedIterator<Item = Change>, now: Now) {
        for change in changes.rev() {
            match &change.previous {
                Some(previous) => self.update_watch(previous, now),
                None => self.watch.remove(&change.signal.symbol, &change.signal.id),
            }
            self.outcomes.undo(&change);
            self.book.undo(change);
        }
    }

    /// Returns the prices that are due at this publish tick.
    pub fn publish(&mut self, now: Now) -> Vec<Arc<PriceUpdate>> {
        self.board.publish(now, &self.days)
    }

    /// Drains the one-minute bars that changed since the last call.
    pub fn changed_bars(&mut self) -> Vec<Bar> {
        self.bars.take_changed()
    }

    /// Whether the signal is in memory. Older ones may still be in the log, see [`restore`](Self::restore).
    pub fn knows(&self, id: &SignalId) -> bool {
        self.book.get(id).is_some()
    }

    /// Loads signals from the log: at the start, and when an input refers to one that is no longer in memory.
    pub fn restore(&mut self, signals: impl IntoIterator<Item = Signal>, now: Now) {
        for signal in signals {
            self.book.restore(signal.clone(), now);
            self.update_watch(&signal, now);
        }
    }

    /// Returns the number of pending signals.
    pub fn pending(&self) -> usize {
        self.book.pending()
    }
}

#[cfg(test)]
mod tests;
