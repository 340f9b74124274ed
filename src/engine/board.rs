//! The price board: the last price of every instrument, and which prices are due for publishing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::days::Days;
use super::failover::{EngineEvent, LaneStatus, Offered, SourceFailover};
use super::rules::PriceRules;
use crate::domain::number::difference;
use crate::domain::{Feed, Instrument, Now, PriceUpdate, Quality, Quote, Session, SourceName, Symbol, Tick, TickFault};

/// A price outside a steady stream that is older than this on arrival has its own age: a provider may send Friday's
/// price on Saturday. Below it, the age counts from the arrival, because clocks differ.
const MAX_CLOCK_SKEW: Duration = Duration::from_mins(5);
/// Ticks with at most this time between them are a steady stream.
const MAX_STREAM_GAP: Duration = Duration::from_mins(1);

/// What the board decided about a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TickDecision {
    Accepted,
    /// It is the first real price of a symbol whose prices were simulated.
    ReplacedSimulator,
    /// Another source is active. A simulated source is never active where real prices exist.
    StandsBy,
    /// It is implausible.
    Refused(TickFault),
}

#[derive(Debug)]
struct BoardRow {
    instrument: Arc<Instrument>,
    tick: Tick,
    arrived: Duration,
    /// Its age when it arrived.
    age_on_arrival: Duration,
    changed: bool,
    quiet_beats: u32,
    published: Option<Arc<PriceUpdate>>,
}

/// The last price of each symbol.
#[derive(Debug)]
pub(super) struct PriceBoard {
    rows: BTreeMap<Symbol, BoardRow>,
    lanes: BTreeMap<Symbol, SourceFailover>,
    max_quiet_beats: u32,
    rules: PriceRules,
    /// The wall-clock time at the zero of the monotonic clock, taken at the first tick.
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

    pub(super) fn offer(
        &mut self,
        instrument: &Arc<Instrument>,
        tick: &Tick,
        now: Now,
        notices: &mut Vec<EngineEvent>,
    ) -> TickDecision {
        let was_simulated = self.rows.get(&tick.symbol).map(|row| row.tick.feed == Feed::Simulated);
        if tick.feed == Feed::Simulated && was_simulated == Some(false) {
            return TickDecision::StandsBy;
        }
        let lanes = self.lanes.entry(tick.symbol.clone()).or_insert_with(SourceFailover::new);
        let is_open = instrument.session.is_open(now.wall);
        match lanes.offer(tick, now, is_open, &self.rules, notices) {
            Offered::InForce => {}
            Offered::StandsBy => return TickDecision::StandsBy,
            Offered::Refused(fault) => return TickDecision::Refused(fault),
        }
        // The earlier of the two clocks counts, because the wall clock may have been set forward.
        let began = *self.began.get_or_insert(now.wall - now.mono);
        let here = now.wall.min(began + now.mono);
        let Some(row) = self.rows.get_mut(&tick.symbol) else {
            let row = BoardRow {
                instrument: instrument.clone(),
                tick: tick.clone(),
                arrived: now.mono,
                age_on_arrival: age_on_arrival(None, tick, here, now.mono),
                changed: true,
                quiet_beats: 0,
                published: None,
            };
            self.rows.insert(tick.symbol.clone(), row);
            return TickDecision::Accepted;
        };
        row.age_on_arrival = age_on_arrival(Some((&row.tick, row.arrived)), tick, here, now.mono);
        row.tick = tick.clone();
        row.arrived = now.mono;
        row.changed = true;
        if was_simulated == Some(true) && tick.feed != Feed::Simulated {
            TickDecision::ReplacedSimulator
        } else {
            TickDecision::Accepted
        }
    }

    pub(super) fn lanes(&self, now: Now) -> Vec<LaneStatus> {
        self.lanes.iter().flat_map(|(symbol, lanes)| lanes.status(symbol, now.mono)).collect()
    }

    pub(super) fn has_real_prices(&self, symbol: &Symbol) -> bool {
        self.rows.get(symbol).is_some_and(|row| row.tick.feed != Feed::Simulated)
    }

    /// Returns the last price of `symbol`, unless it is simulated.
    pub(super) fn last_real_price(&self, symbol: &Symbol) -> Option<f64> {
        let row = self.rows.get(symbol).filter(|row| row.tick.feed != Feed::Simulated)?;
        Some(row.tick.quote.mid())
    }

    /// Returns an update for every price that changed or was not published for too long.
    pub(super) fn publish(&mut self, now: Now, days: &Days) -> Vec<Arc<PriceUpdate>> {
        let (max_quiet_beats, rules) = (self.max_quiet_beats, &self.rules);
        self.rows.values_mut().filter_map(|row| row.publish_if_due(now, max_quiet_beats, rules, days)).collect()
    }
}

impl BoardRow {
    fn publish_if_due(
        &mut self,
        now: Now,
        max_quiet_beats: u32,
        rules: &PriceRules,
        days: &Days,
    ) -> Option<Arc<PriceUpdate>> {
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

    /// Returns the change from the previously published price, absolute and in percent. A repeated price repeats its
    /// change, because dashboards hide a change of 0 and would flicker.
    fn change_to(&self, price: f64) -> (f64, f64) {
        match self.published.as_deref() {
            None => (0.0, 0.0),
            Some(published) if published.price == price => (published.change, published.change_percent),
            Some(PriceUpdate { price: before, .. }) => (difference(price, *before), percent(price - before, *before)),
        }
    }

    /// Returns the quality. A price that has just arrived is fresh, whatever the timetable says. An old price is
    /// `closed` outside the trading hours and `stale` within them. An indicative price is `closed` until it is stale.
    fn quality(&self, now: Now, rules: &PriceRules) -> Quality {
        match self.tick.feed {
            Feed::Simulated => return Quality::Simulated,
            Feed::Replayed => return Quality::Replayed,
            Feed::Live | Feed::Delayed | Feed::Indicative => {}
        }
        let age = now.mono.saturating_sub(self.arrived) + self.age_on_arrival;
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

/// Returns the age of a tick on arrival by its own time. It is zero within a steady stream, for pushed prices, and for
/// feeds that are not live, because their times are not comparable.
fn age_on_arrival(before: Option<(&Tick, Duration)>, tick: &Tick, here: DateTime<Utc>, now: Duration) -> Duration {
    let is_stream = before.is_some_and(|(before, arrived)| {
        before.source == tick.source
            && before.observed_at < tick.observed_at
            && now.saturating_sub(arrived) <= MAX_STREAM_GAP
    });
    if tick.feed != Feed::Live || tick.source.as_str() == SourceName::PUSH || is_stream {
        return Duration::ZERO;
    }
    let age_on_arrival = (here - tick.observed_at).to_std().unwrap_or_default();
    if age_on_arrival > MAX_CLOCK_SKEW { age_on_arrival } else { Duration::ZERO }
}

/// Returns the change in percent with four decimals; 0 when it cannot be computed.
fn percent(change: f64, before: f64) -> f64 {
    let percent = (change / before * 1e6).round() / 1e4 + 0.0;
    if percent.is_finite() { percent } else { 0.0 }
}
