//! Selects the active source of each symbol; only its prices are published. The other sources are on standby.
//!
//! A standby source takes over when the active one is silent while the standby one still delivers. A better source
//! takes over again when it has been steady for some time. A minimum time between such returns keeps two unstable
//! sources from alternating.

use std::collections::BTreeMap;
use std::time::Duration;

use super::gate::Gate;
use super::rules::PriceRules;
use crate::domain::{Feed, Now, SourceName, Symbol, Tick, TickFault};

/// Ticks that a standby source must have delivered before it takes over. A single one proves nothing.
const MIN_TICKS_TO_SWITCH: u32 = 2;
/// Two prices are compared when at most this time lies between them.
const MAX_COMPARED_GAP: Duration = Duration::from_secs(5);
/// A comparison is valid for this long after the last tick of the compared source.
const COMPARISON_LIFETIME: Duration = Duration::from_mins(1);
/// Two sources must differ for this long before it is reported.
const DIVERGED_AFTER: Duration = Duration::from_secs(10);

/// Something about the sources of a symbol that the operator should know.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineEvent {
    /// A tick was rejected as implausible.
    Refused {
        /// The source.
        source: SourceName,
        /// The symbol.
        symbol: Symbol,
        /// The reason.
        fault: TickFault,
    },
    /// Another source became active.
    Switched {
        /// The symbol.
        symbol: Symbol,
        /// The previously active source.
        from: SourceName,
        /// The active source.
        to: SourceName,
        /// Whether the previous source was silent; otherwise the new one has priority.
        stalled: bool,
    },
    /// A source has differed from the active one for some time.
    Diverged {
        /// The symbol.
        symbol: Symbol,
        /// The source that differs.
        source: SourceName,
        /// The active source.
        from: SourceName,
        /// The difference as a share of the price.
        by: f64,
    },
    /// A price had more digits than the instrument's grid, or was between two of its ticks, and was rounded.
    Rounded {
        /// The symbol.
        symbol: Symbol,
        /// The source.
        source: SourceName,
    },
    /// A source no longer differs.
    Agrees {
        /// The symbol.
        symbol: Symbol,
        /// The source.
        source: SourceName,
    },
}

/// The current status of one source of one symbol.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneStatus {
    /// The symbol.
    pub symbol: Symbol,
    /// The source.
    pub source: SourceName,
    /// Whether it is the active source.
    pub in_force: bool,
    /// Time since its last tick.
    pub age: Duration,
    /// Ticks that were accepted.
    pub ticks: u64,
    /// Ticks that were rejected.
    pub refused: u64,
    /// The difference to the active source as a share of the price, where the two can be compared.
    pub apart: Option<f64>,
    /// Whether that difference has been too large for too long.
    pub diverged: bool,
}

/// What the failover decided about a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    /// Its source is active.
    InForce,
    /// Another source is active.
    StandsBy,
    /// It is implausible.
    Refused(TickFault),
}

#[derive(Debug)]
struct FailoverSource {
    gate: Gate,
    feed: Feed,
    price: f64,
    arrived: Duration,
    /// Since when the source delivers without a gap; `in_a_row` counts its ticks since then.
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
    by_source: BTreeMap<SourceName, FailoverSource>,
    in_force: Option<SourceName>,
    switched_at: Option<Duration>,
}

impl SourceFailover {
    pub(super) fn new() -> Self {
        Self { by_source: BTreeMap::new(), in_force: None, switched_at: None }
    }

    /// Processes a tick, and decides whether its price is published. `is_open` says whether the market's timetable is
    /// open.
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
        // Simulated, recorded and pushed prices may jump.
        let is_market =
            matches!(tick.feed, Feed::Live | Feed::Delayed | Feed::Indicative) && source.as_str() != SourceName::PUSH;
        let lane = self.by_source.entry(source.clone()).or_insert_with(|| FailoverSource::new(tick.feed, now));
        if let Err(fault) = lane.gate.judge(tick.quote, now, if is_market { rules.jump_limit } else { 0.0 }) {
            lane.refused += 1;
            notices.push(EngineEvent::Refused { source: source.clone(), symbol: tick.symbol.clone(), fault });
            return Offered::Refused(fault);
        }
        lane.record_tick(tick, now, rules.switch_after);
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

    /// Whether `source`, which has just delivered a tick, replaces `in_force`: `Some(true)` because that one is silent,
    /// `Some(false)` because `source` is better.
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
        // Outside its hours a market is silent, but the timetable can be wrong: a longer silence counts.
        let max_silence = if is_open { rules.switch_after } else { rules.switch_after.max(rules.stale_after_quiet) };
        if silence > max_silence && new.in_a_row >= MIN_TICKS_TO_SWITCH {
            return Some(true);
        }
        let rank = |lane: &FailoverSource, name| (lane.feed != Feed::Live, rules.rank(name));
        let rested = self.switched_at.is_none_or(|at| now.saturating_sub(at) >= rules.return_after);
        let steady = now.saturating_sub(new.steady_since) >= rules.return_after && new.in_a_row > MIN_TICKS_TO_SWITCH;
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
            old.feed == Feed::Live && tick.feed == Feed::Live && now.saturating_sub(old.arrived) <= MAX_COMPARED_GAP;
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
        } else if now.saturating_sub(*lane.apart_since.get_or_insert(now)) >= DIVERGED_AFTER && !lane.diverged {
            lane.diverged = true;
            notices.push(EngineEvent::Diverged { symbol, source: tick.source.clone(), from: in_force.clone(), by });
        }
    }

    /// Returns the status of every source.
    pub(super) fn status<'a>(&'a self, symbol: &'a Symbol, now: Duration) -> impl Iterator<Item = LaneStatus> + 'a {
        self.by_source.iter().map(move |(source, lane)| {
            let in_force = self.in_force.as_ref() == Some(source);
            // The comparison of a source that has ended, or is active now, is out of date.
            let compared = !in_force && now.saturating_sub(lane.arrived) <= COMPARISON_LIFETIME;
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

impl FailoverSource {
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

    fn record_tick(&mut self, tick: &Tick, now: Duration, longest_gap: Duration) {
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
