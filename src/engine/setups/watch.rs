//! How prices decide about pending signals.
//!
//! A long is entered on the ask and stopped on the bid, a short the other way round; where only one price is known it is
//! both. Until the deadline a signal is
//!
//! - `stop_touched` at once when its stop is traded, before anything else that happens in the same minute;
//! - `confirmed` at the end of a minute that closes beyond the entry on the side that enters, after the entry was traded;
//! - `closed_through_fvg` at the end of a minute whose mid closes beyond the far edge of its gap;
//! - `opposite_mss` when the market shifts the other way;
//! - `market_closed` at a price outside the trading hours;
//! - `stale_data` at the first price after two minutes without one: what happened meanwhile nobody knows.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::{Direction, Instrument, Invalidation, Now, Quote, Signal, SignalId, SignalState, Symbol};
use crate::engine::bars::{Closed, QuoteBar};

/// Longest time without a price that a pending signal survives.
const STALE: Duration = Duration::from_secs(120);

/// A pending signal that prices decide about.
#[derive(Debug, Clone, PartialEq)]
struct Watched {
    id: SignalId,
    direction: Direction,
    entry: f64,
    stop: f64,
    zone_far: Option<f64>,
    entered: bool,
    /// When it had its last price, or is watched since, on the monotonic clock.
    last_price: Duration,
    /// How long there was none before that.
    silent: Duration,
    /// When its time is up, on the monotonic clock.
    due: Duration,
}

/// The pending signals that prices decide about.
#[derive(Debug, Default)]
pub(in crate::engine) struct Watch {
    signals: BTreeMap<Symbol, Vec<Watched>>,
}

type End = (SignalId, SignalState);

impl Watch {
    /// Watches a pending signal that has an entry and a stop, until `due` on the monotonic clock.
    pub(in crate::engine) fn add(&mut self, signal: &Signal, zone_far: Option<f64>, due: Duration, now: Now) {
        let (Some(entry), Some(stop)) = (signal.entry_price, signal.stop_loss) else { return };
        let watched = Watched {
            id: signal.id.clone(),
            direction: signal.direction,
            entry,
            stop,
            zone_far,
            entered: false,
            last_price: now.mono,
            // Of one from the log only the wall clock knows.
            silent: (now.wall - signal.updated_at).to_std().unwrap_or_default(),
            due,
        };
        self.remove(&signal.symbol, &signal.id);
        self.signals.entry(signal.symbol.clone()).or_default().push(watched);
    }

    /// Leaves a signal to others.
    pub(in crate::engine) fn remove(&mut self, symbol: &Symbol, id: &SignalId) {
        if let Some(signals) = self.signals.get_mut(symbol) {
            signals.retain(|watched| watched.id != *id);
        }
    }

    /// What a price decides.
    pub(in crate::engine) fn price(&mut self, instrument: &Instrument, quote: Quote, now: Now) -> Vec<End> {
        self.decide(&instrument.symbol, |watched| {
            let (bid, ask) = instrument.sides(quote);
            let (enters, leaves) = match watched.direction {
                Direction::Long => (ask, bid),
                Direction::Short => (bid, ask),
            };
            let silent = now.mono.saturating_sub(watched.last_price) + watched.silent;
            (watched.last_price, watched.silent) = (now.mono, Duration::ZERO);
            if !instrument.session.is_open(now.wall) {
                return Some(Invalidation::MARKET_CLOSED.into());
            }
            if silent > STALE {
                return Some(Invalidation::STALE_DATA.into());
            }
            let sign = watched.direction.sign();
            if sign * (leaves - watched.stop) <= 0.0 {
                return Some(Invalidation::STOP_TOUCHED.into());
            }
            watched.entered |= sign * (enters - watched.entry) <= 0.0;
            None
        })
    }

    /// What the close of a minute decides.
    pub(in crate::engine) fn minute(&mut self, minute: &Closed, now: Now) -> Vec<End> {
        let QuoteBar { mid, bid, ask } = &minute.bar;
        let ended_before = (now.wall - minute.ends_at()).to_std().unwrap_or_default();
        let ended = now.mono.saturating_sub(ended_before);
        self.decide(&mid.symbol, |watched| {
            if ended > watched.due {
                return None;
            }
            let sign = watched.direction.sign();
            if watched.zone_far.is_some_and(|far| sign * (mid.close - far) < 0.0) {
                return Some(Invalidation::CLOSED_THROUGH_FVG.into());
            }
            let enters = if watched.direction == Direction::Long { ask } else { bid };
            (watched.entered && sign * (enters.close - watched.entry) > 0.0).then_some(SignalState::Confirmed)
        })
    }

    /// What a shift of the market decides.
    pub(in crate::engine) fn shift(&mut self, symbol: &Symbol, direction: Direction) -> Vec<End> {
        self.decide(symbol, |watched| (watched.direction != direction).then(|| Invalidation::OPPOSITE_MSS.into()))
    }

    fn decide(&mut self, symbol: &Symbol, mut decide: impl FnMut(&mut Watched) -> Option<SignalState>) -> Vec<End> {
        let Some(signals) = self.signals.get_mut(symbol) else { return Vec::new() };
        let mut ended = Vec::new();
        signals.retain_mut(|watched| match decide(watched) {
            Some(state) => {
                ended.push((watched.id.clone(), state));
                false
            }
            None => true,
        });
        ended
    }
}
