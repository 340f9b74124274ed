//! The sources of one symbol, one of which is in force: its prices and no others are the symbol's.
//!
//! Another source takes over when the one in force is silent while it goes on itself, and a better one takes its place
//! back when it has been steady for some time. Between two switches there is always a pause, so that two sources that come
//! and go never alternate.

use std::collections::BTreeMap;
use std::time::Duration;

use super::gate::Gate;
use super::rules::PriceRules;
use crate::domain::{Feed, Now, SourceName, Symbol, Tick, TickFault};

/// Ticks that another source must have had during the silence of the one in force: a single one confirms nothing.
const TAKES_OVER_WITH: u32 = 2;
/// Two prices are compared when they are not further apart in time than this.
const COMPARABLE: Duration = Duration::from_secs(5);
/// A comparison holds for this long after the last tick of the source that was compared.
const COMPARED_FOR: Duration = Duration::from_mins(1);
/// Sources are this long apart before it is said.
const APART_FOR: Duration = Duration::from_secs(10);

/// Something about the sources of a symbol that an operator should know.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineEvent {
    /// A tick was not believed.
    Refused {
        /// Whose it was.
        source: SourceName,
        /// Of what.
        symbol: Symbol,
        /// Why.
        fault: TickFault,
    },
    /// Another source is in force.
    Switched {
        /// The symbol.
        symbol: Symbol,
        /// Whose prices were its prices.
        from: SourceName,
        /// Whose they are now.
        to: SourceName,
        /// Whether the one before was silent; else the new one is better.
        stalled: bool,
    },
    /// A source has differed from the one in force for some time.
    Diverged {
        /// The symbol.
        symbol: Symbol,
        /// Which source differs.
        source: SourceName,
        /// From which one.
        from: SourceName,
        /// By how much, as a share of the price.
        by: f64,
    },
    /// A price had more digits than the instrument's grid, or was between two of its ticks, and was rounded.
    Rounded {
        /// The symbol.
        symbol: Symbol,
        /// Whose price it was.
        source: SourceName,
    },
    /// A source agrees again.
    Agrees {
        /// The symbol.
        symbol: Symbol,
        /// Which source.
        source: SourceName,
    },
}

/// One source of one symbol, as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneStatus {
    /// The symbol.
    pub symbol: Symbol,
    /// The source.
    pub source: SourceName,
    /// Whether its prices are the symbol's.
    pub in_force: bool,
    /// Time since its last tick.
    pub age: Duration,
    /// Ticks that were believed.
    pub ticks: u64,
    /// Ticks that were not.
    pub refused: u64,
    /// How far it is from the source in force, as a share of the price, where the two can be compared.
    pub apart: Option<f64>,
    /// Whether that has been too far for too long.
    pub diverged: bool,
}

/// What became of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    /// Its source is in force.
    InForce,
    /// Another source is in force.
    StandsBy,
    /// It is not believed.
    Refused(TickFault),
}

#[derive(Debug)]
struct Lane {
    gate: Gate,
    feed: Feed,
    price: f64,
    arrived: Duration,
    /// Since when it delivers without a gap, and how often it did.
    steady_since: Duration,
    in_a_row: u32,
    ticks: u64,
    refused: u64,
    apart: Option<f64>,
    apart_since: Option<Duration>,
    diverged: bool,
}

/// All sources of one symbol.
#[derive(Debug)]
pub(super) struct SourceFailover {
    by_source: BTreeMap<SourceName, Lane>,
    in_force: Option<SourceName>,
    switched_at: Option<Duration>,
}

impl SourceFailover {
    pub(super) fn new() -> Self {
        Self { by_source: BTreeMap::new(), in_force: None, switched_at: None }
    }

    /// Takes a tick, and says whether it is a price of the symbol. `is_open` is the market's timetable.
    pub(super) fn offer(
        &mut self,
        tick: &Tick,
        now: Now,
        is_open: bool,
        rules: &PriceRules,
        notices: &mut Vec<EngineEvent>,
    ) -> Offered {
        let now = now.mono;
        let source = &tick.source;
        // What is invented, recorded, or pushed by an operator's own program may jump.
        let is_market =
            matches!(tick.feed, Feed::Live | Feed::Delayed | Feed::Indicative) && source.as_str() != SourceName::PUSH;
        let lane = self.by_source.entry(source.clone()).or_insert_with(|| Lane::new(tick.feed, now));
        if let Err(fault) = lane.gate.judge(tick.quote, now, if is_market { rules.jump_limit } else { 0.0 }) {
            lane.refused += 1;
            notices.push(EngineEvent::Refused { source: source.clone(), symbol: tick.symbol.clone(), fault });
            return Offered::Refused(fault);
        }
        lane.take(tick, now, rules.switch_after);
        let Some(in_force) = self.in_force.clone() else {
            self.in_force = Some(source.clone());
            return Offered::InForce;
        };
        if in_force == *source {
            return Offered::InForce;
        }
        if let Some(stalled) = self.takes_over(source, &in_force, now, is_open, rules) {
            let (from, to) = (in_force, source.clone());
            notices.push(EngineEvent::Switched { symbol: tick.symbol.clone(), from, to, stalled });
            self.in_force = Some(source.clone());
            self.switched_at = Some(now);
            for lane in self.by_source.values_mut() {
                (lane.apart, lane.apart_since, lane.diverged) = (None, None, false);
            }
            return Offered::InForce;
        }
        self.compare(tick, &in_force, now, rules, notices);
        Offered::StandsBy
    }

    /// Whether `source`, which has just ticked, takes the place of `in_force`, and if so whether for its silence.
    fn takes_over(
        &self,
        source: &SourceName,
        in_force: &SourceName,
        now: Duration,
        is_open: bool,
        rules: &PriceRules,
    ) -> Option<bool> {
        let (new, old) = (self.by_source.get(source)?, self.by_source.get(in_force)?);
        if old.feed == Feed::Simulated {
            return Some(false);
        }
        let silence = now.saturating_sub(old.arrived);
        // Outside of its hours a market may be silent for as long as it likes; but a timetable can be wrong.
        let patience = if is_open { rules.switch_after } else { rules.switch_after.max(rules.stale_after_quiet) };
        if silence > patience && new.in_a_row >= TAKES_OVER_WITH {
            return Some(true);
        }
        let rank = |lane: &Lane, name| (lane.feed != Feed::Live, rules.rank(name));
        let rested = self.switched_at.is_none_or(|at| now.saturating_sub(at) >= rules.return_after);
        let steady = now.saturating_sub(new.steady_since) >= rules.return_after && new.in_a_row > TAKES_OVER_WITH;
        (rank(new, source) < rank(old, in_force) && rested && steady).then_some(false)
    }

    fn compare(
        &mut self,
        tick: &Tick,
        in_force: &SourceName,
        now: Duration,
        rules: &PriceRules,
        notices: &mut Vec<EngineEvent>,
    ) {
        let Some(old) = self.by_source.get(in_force) else { return };
        let comparable =
            old.feed == Feed::Live && tick.feed == Feed::Live && now.saturating_sub(old.arrived) <= COMPARABLE;
        let apart = comparable.then(|| tick.quote.mid() / old.price - 1.0);
        let Some(lane) = self.by_source.get_mut(&tick.source) else { return };
        let Some(by) = apart else { return };
        lane.apart = Some(by);
        let symbol = tick.symbol.clone();
        if by.abs() <= rules.divergence {
            lane.apart_since = None;
            if std::mem::take(&mut lane.diverged) {
                notices.push(EngineEvent::Agrees { symbol, source: tick.source.clone() });
            }
        } else if now.saturating_sub(*lane.apart_since.get_or_insert(now)) >= APART_FOR && !lane.diverged {
            lane.diverged = true;
            notices.push(EngineEvent::Diverged { symbol, source: tick.source.clone(), from: in_force.clone(), by });
        }
    }

    /// Every source as it is now.
    pub(super) fn status<'a>(&'a self, symbol: &'a Symbol, now: Duration) -> impl Iterator<Item = LaneStatus> + 'a {
        self.by_source.iter().map(move |(source, lane)| {
            let in_force = self.in_force.as_ref() == Some(source);
            // What was said of a source that has ended, or has taken over, holds no more.
            let compared = !in_force && now.saturating_sub(lane.arrived) <= COMPARED_FOR;
            LaneStatus {
                symbol: symbol.clone(),
                source: source.clone(),
                in_force,
                age: now.saturating_sub(lane.arrived),
                ticks: lane.ticks,
                refused: lane.refused,
                apart: lane.apart.filter(|_| compared),
                diverged: lane.diverged && compared,
            }
        })
    }
}

impl Lane {
    fn new(feed: Feed, now: Duration) -> Self {
        Self {
            gate: Gate::default(),
            feed,
            price: 0.0,
            arrived: now,
            steady_since: now,
            in_a_row: 0,
            ticks: 0,
            refused: 0,
            apart: None,
            apart_since: None,
            diverged: false,
        }
    }

    fn take(&mut self, tick: &Tick, now: Duration, longest_gap: Duration) {
        if self.in_a_row == 0 || now.saturating_sub(self.arrived) > longest_gap {
            (self.steady_since, self.in_a_row) = (now, 0);
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.ticks += 1;
        (self.feed, self.price, self.arrived) = (tick.feed, tick.quote.mid(), now);
    }
}

#[cfg(test)]
#[path = "failover_tests.rs"]
mod tests;
