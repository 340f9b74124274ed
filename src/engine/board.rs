//! The price board: the last price of every instrument, and which of them are due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Timelike, Utc};
use chrono_tz::America::New_York;

use crate::domain::{Feed, Instrument, Now, PriceUpdate, Quality, Quote, Symbol, Tick};

/// A live price older than this is not quite fresh any more.
const DELAYED_AFTER: Duration = Duration::from_secs(15);
/// A live price older than this is stale while London or New York trade.
const STALE_AFTER_BUSY: Duration = Duration::from_secs(60);
/// And this in the quiet hours: EURUSD was seen silent for 212 s.
const STALE_AFTER_QUIET: Duration = Duration::from_secs(300);

/// What the board did with a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Accepted,
    /// The first real price of a symbol that was simulated until now.
    ReplacedSimulator,
    /// A simulated price of a symbol that has real ones.
    Refused,
}

impl Taken {
    pub(super) fn is_refused(self) -> bool {
        self == Self::Refused
    }

    pub(super) fn replaces_simulator(self) -> bool {
        self == Self::ReplacedSimulator
    }
}

#[derive(Debug)]
struct Row {
    instrument: Arc<Instrument>,
    tick: Tick,
    arrived: Duration,
    changed: bool,
    quiet_beats: u32,
    published: Option<Arc<PriceUpdate>>,
}

/// Last prices by symbol.
#[derive(Debug)]
pub(super) struct PriceBoard {
    rows: BTreeMap<Symbol, Row>,
    max_quiet_beats: u32,
}

impl PriceBoard {
    pub(super) fn new(max_quiet_beats: u32) -> Self {
        Self { rows: BTreeMap::new(), max_quiet_beats }
    }

    pub(super) fn take(&mut self, instrument: &Arc<Instrument>, tick: &Tick, now: Now) -> Taken {
        let Some(row) = self.rows.get_mut(&tick.symbol) else {
            let row = Row {
                instrument: instrument.clone(),
                tick: tick.clone(),
                arrived: now.mono,
                changed: true,
                quiet_beats: 0,
                published: None,
            };
            self.rows.insert(tick.symbol.clone(), row);
            return Taken::Accepted;
        };
        let (was_simulated, is_simulated) = (row.tick.feed == Feed::Simulated, tick.feed == Feed::Simulated);
        if is_simulated && !was_simulated {
            return Taken::Refused;
        }
        row.tick = tick.clone();
        row.arrived = now.mono;
        row.changed = true;
        if was_simulated && !is_simulated { Taken::ReplacedSimulator } else { Taken::Accepted }
    }

    pub(super) fn has_real_prices(&self, symbol: &Symbol) -> bool {
        self.rows.get(symbol).is_some_and(|row| row.tick.feed != Feed::Simulated)
    }

    /// One beat: every row that changed, and every row that was quiet for too long.
    pub(super) fn publish(&mut self, now: Now) -> Vec<Arc<PriceUpdate>> {
        let max_quiet_beats = self.max_quiet_beats;
        self.rows.values_mut().filter_map(|row| row.beat(now, max_quiet_beats)).collect()
    }
}

impl Row {
    fn beat(&mut self, now: Now, max_quiet_beats: u32) -> Option<Arc<PriceUpdate>> {
        self.quiet_beats += 1;
        if !self.changed && self.quiet_beats < max_quiet_beats {
            return None;
        }
        (self.changed, self.quiet_beats) = (false, 0);
        let update = Arc::new(self.update(now));
        self.published = Some(update.clone());
        Some(update)
    }

    fn update(&self, now: Now) -> PriceUpdate {
        let Self { instrument, tick, .. } = self;
        let price = instrument.round(tick.quote.mid());
        let before = self.published.as_ref().map_or(price, |update| update.price);
        PriceUpdate {
            symbol: tick.symbol.clone(),
            price,
            timestamp: tick.observed_at,
            change: instrument.round_digits(price - before),
            change_percent: percent(price - before, before),
            volume: tick.volume,
            bid_ask: match tick.quote {
                Quote::BidAsk { bid, ask } => Some((instrument.round(bid), instrument.round(ask))),
                Quote::Last(_) => None,
            },
            quality: quality(tick.feed, instrument, now.mono.saturating_sub(self.arrived), now.wall),
            source: tick.source.clone(),
        }
    }
}

/// In percent, four decimals; 0 where there is nothing to compare with.
fn percent(change: f64, before: f64) -> f64 {
    let percent = (change / before * 1e6).round() / 1e4 + 0.0;
    if percent.is_finite() { percent } else { 0.0 }
}

/// A price that has just come in is fresh whatever the timetable says; an old one is `closed` outside of the trading hours
/// and `stale` within them.
fn quality(feed: Feed, instrument: &Instrument, age: Duration, at: DateTime<Utc>) -> Quality {
    match feed {
        Feed::Simulated => return Quality::Simulated,
        Feed::Replayed => return Quality::Replayed,
        Feed::Live | Feed::Delayed => {}
    }
    let stale_after = if is_busy(at) { STALE_AFTER_BUSY } else { STALE_AFTER_QUIET };
    if age > DELAYED_AFTER && !instrument.session.is_open(at) {
        Quality::Closed
    } else if age > stale_after {
        Quality::Stale
    } else if age > DELAYED_AFTER || feed == Feed::Delayed {
        Quality::Delayed
    } else {
        Quality::Live
    }
}

/// From London's morning to New York's close: 02:00–16:00 in New York.
fn is_busy(at: DateTime<Utc>) -> bool {
    (2..16).contains(&at.with_timezone(&New_York).hour())
}
