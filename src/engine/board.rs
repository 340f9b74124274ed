//! The price board: the last price of every instrument, and which of them are due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::days::Days;
use super::failover::{EngineEvent, LaneStatus, Offered, SourceFailover};
use super::rules::PriceRules;
use crate::domain::number::difference;
use crate::domain::{Feed, Instrument, Now, PriceUpdate, Quality, Quote, Session, SourceName, Symbol, Tick, TickFault};

/// A price that is older than this when it comes in, without being one of a steady stream, was made in another time: what a
/// provider sends on a Saturday is Friday's. Up to this the arrival counts: clocks differ.
const FROM_ANOTHER_TIME: Duration = Duration::from_mins(5);
/// Ticks that are no further apart than this are a steady stream.
const STREAM: Duration = Duration::from_mins(1);

/// What the board did with a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Accepted,
    /// The first real price of a symbol that was simulated until now.
    ReplacedSimulator,
    /// Another source is in force; a simulated one never is where there are real prices.
    StandsBy,
    /// It is not believed.
    Refused(TickFault),
}

#[derive(Debug)]
struct Row {
    instrument: Arc<Instrument>,
    tick: Tick,
    arrived: Duration,
    /// How old it was already when it came.
    behind: Duration,
    changed: bool,
    quiet_beats: u32,
    published: Option<Arc<PriceUpdate>>,
}

/// Last prices by symbol.
#[derive(Debug)]
pub(super) struct PriceBoard {
    rows: BTreeMap<Symbol, Row>,
    lanes: BTreeMap<Symbol, SourceFailover>,
    max_quiet_beats: u32,
    rules: PriceRules,
    /// What the wall clock said when the monotonic one was at zero, as it was at the first tick.
    began: Option<DateTime<Utc>>,
}

impl PriceBoard {
    pub(super) fn new(max_quiet_beats: u32) -> Self {
        let rules = PriceRules::default();
        Self { rows: BTreeMap::new(), lanes: BTreeMap::new(), max_quiet_beats, rules, began: None }
    }

    pub(super) fn set_rules(&mut self, rules: PriceRules) {
        self.rules = rules;
    }

    pub(super) fn take(
        &mut self,
        instrument: &Arc<Instrument>,
        tick: &Tick,
        now: Now,
        notices: &mut Vec<EngineEvent>,
    ) -> Taken {
        let was_simulated = self.rows.get(&tick.symbol).map(|row| row.tick.feed == Feed::Simulated);
        if tick.feed == Feed::Simulated && was_simulated == Some(false) {
            return Taken::StandsBy;
        }
        let lanes = self.lanes.entry(tick.symbol.clone()).or_insert_with(SourceFailover::new);
        let is_open = instrument.session.is_open(now.wall);
        match lanes.offer(tick, now, is_open, &self.rules, notices) {
            Offered::InForce => {}
            Offered::StandsBy => return Taken::StandsBy,
            Offered::Refused(fault) => return Taken::Refused(fault),
        }
        // A tick is from another time only if it is on both clocks: the wall clock may have been set forward.
        let began = *self.began.get_or_insert(now.wall - now.mono);
        let here = now.wall.min(began + now.mono);
        let Some(row) = self.rows.get_mut(&tick.symbol) else {
            let row = Row {
                instrument: instrument.clone(),
                tick: tick.clone(),
                arrived: now.mono,
                behind: behind(None, tick, here, now.mono),
                changed: true,
                quiet_beats: 0,
                published: None,
            };
            self.rows.insert(tick.symbol.clone(), row);
            return Taken::Accepted;
        };
        row.behind = behind(Some((&row.tick, row.arrived)), tick, here, now.mono);
        row.tick = tick.clone();
        row.arrived = now.mono;
        row.changed = true;
        if was_simulated == Some(true) && tick.feed != Feed::Simulated {
            Taken::ReplacedSimulator
        } else {
            Taken::Accepted
        }
    }

    pub(super) fn lanes(&self, now: Now) -> Vec<LaneStatus> {
        self.lanes.iter().flat_map(|(symbol, lanes)| lanes.status(symbol, now.mono)).collect()
    }

    pub(super) fn has_real_prices(&self, symbol: &Symbol) -> bool {
        self.rows.get(symbol).is_some_and(|row| row.tick.feed != Feed::Simulated)
    }

    /// The last price of `symbol`, if a source that is not the simulator said it.
    pub(super) fn last_real_price(&self, symbol: &Symbol) -> Option<f64> {
        let row = self.rows.get(symbol).filter(|row| row.tick.feed != Feed::Simulated)?;
        Some(row.tick.quote.mid())
    }

    /// One beat: every row that changed, and every row that was quiet for too long.
    pub(super) fn publish(&mut self, now: Now, days: &Days) -> Vec<Arc<PriceUpdate>> {
        let (max_quiet_beats, rules) = (self.max_quiet_beats, &self.rules);
        self.rows.values_mut().filter_map(|row| row.beat(now, max_quiet_beats, rules, days)).collect()
    }
}

impl Row {
    fn beat(&mut self, now: Now, max_quiet_beats: u32, rules: &PriceRules, days: &Days) -> Option<Arc<PriceUpdate>> {
        self.quiet_beats += 1;
        if !self.changed && self.quiet_beats < max_quiet_beats {
            return None;
        }
        (self.changed, self.quiet_beats) = (false, 0);
        let day = days.of(&self.tick.symbol);
        let update = Arc::new(PriceUpdate { day, ..self.update(now, rules) });
        self.published = Some(update.clone());
        Some(update)
    }

    fn update(&self, now: Now, rules: &PriceRules) -> PriceUpdate {
        let Self { instrument, tick, .. } = self;
        let price = instrument.mid(tick.quote);
        let (change, change_percent) = self.change_to(price);
        PriceUpdate {
            symbol: tick.symbol.clone(),
            price,
            timestamp: tick.observed_at,
            change,
            change_percent,
            volume: tick.volume,
            bid_ask: match tick.quote {
                Quote::BidAsk { .. } => Some(instrument.sides(tick.quote)),
                Quote::Last(_) => None,
            },
            day: None,
            quality: self.quality(now, rules),
            source: tick.source.clone(),
        }
    }

    /// The change against the price published before, and the same in percent. A price that is published again repeats its
    /// change: dashboards hide a change of 0, and would blink.
    fn change_to(&self, price: f64) -> (f64, f64) {
        match self.published.as_deref() {
            None => (0.0, 0.0),
            Some(published) if published.price == price => (published.change, published.change_percent),
            Some(PriceUpdate { price: before, .. }) => (difference(price, *before), percent(price - before, *before)),
        }
    }

    /// A price that has just come in is fresh whatever the timetable says; an old one is `closed` outside of the trading hours
    /// and `stale` within them. One that cannot be traded is `closed`, whatever the timetable says, until it is stale.
    fn quality(&self, now: Now, rules: &PriceRules) -> Quality {
        match self.tick.feed {
            Feed::Simulated => return Quality::Simulated,
            Feed::Replayed => return Quality::Replayed,
            Feed::Live | Feed::Delayed | Feed::Indicative => {}
        }
        let age = now.mono.saturating_sub(self.arrived) + self.behind;
        let stale_after = if Session::is_busy(now.wall) { rules.stale_after } else { rules.stale_after_quiet };
        let is_open = self.instrument.session.is_open(now.wall);
        if age > rules.delayed_after && !is_open
            || self.tick.feed == Feed::Indicative && !(is_open && age > stale_after)
        {
            Quality::Closed
        } else if age > stale_after {
            Quality::Stale
        } else if age > rules.delayed_after || self.tick.feed == Feed::Delayed {
            Quality::Delayed
        } else {
            Quality::Live
        }
    }
}

/// How old a tick was when it came, where its date says so and can be believed: not within a steady stream, which is of now
/// whatever its clock says, and not where prices come late by contract.
fn behind(before: Option<(&Tick, Duration)>, tick: &Tick, here: DateTime<Utc>, now: Duration) -> Duration {
    let is_stream = before.is_some_and(|(before, arrived)| {
        before.source == tick.source && before.observed_at < tick.observed_at && now.saturating_sub(arrived) <= STREAM
    });
    if tick.feed != Feed::Live || tick.source.as_str() == SourceName::PUSH || is_stream {
        return Duration::ZERO;
    }
    let behind = (here - tick.observed_at).to_std().unwrap_or_default();
    if behind > FROM_ANOTHER_TIME { behind } else { Duration::ZERO }
}

/// In percent, four decimals; 0 where there is nothing to compare with.
fn percent(change: f64, before: f64) -> f64 {
    let percent = (change / before * 1e6).round() / 1e4 + 0.0;
    if percent.is_finite() { percent } else { 0.0 }
}
