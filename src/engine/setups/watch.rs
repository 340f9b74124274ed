//! Decides by price how pending signals end.
//!
//! A long is entered at the ask and stopped at the bid, a short the other way round; a source with only one price has
//! it for both. Until its deadline (a price at the deadline is too late, even if the timer has not ended the signal yet)
//! a signal becomes
//!
//! - `stop_touched` at once when its stop is traded, even if the same minute would confirm it;
//! - `confirmed` at the end of a minute that closes beyond the entry (on the side of the entry), after the entry was
//!   traded;
//! - `closed_through_fvg` at the end of a minute whose mid closes beyond the far edge of its gap;
//! - `opposite_mss` when the market shifts the other way;
//! - `market_closed` at the first price outside the trading hours;
//! - `stale_data` at the first price after two minutes without one, because the prices between are unknown.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::{Direction, Instrument, Invalidation, Now, Quote, Signal, SignalId, SignalState, Symbol};
use crate::engine::bars::{Closed, QuoteBar};

/// The maximum time without a price that a pending signal survives.
const MAX_PRICE_GAP: Duration = Duration::from_secs(120);

/// A pending signal under watch.
#[derive(Debug, Clone, PartialEq)]
struct WatchedSignal {
    id: SignalId,
    direction: Direction,
    entry: f64,
    stop: f64,
    zone_far: Option<f64>,
    entered: bool,
    /// The monotonic time of its last price; of the start of the watch before the first one.
    last_price: Duration,
    /// The time without a price before the watch started.
    silent: Duration,
    /// Its deadline on the monotonic clock.
    due: Duration,
}

/// The pending signals under watch.
#[derive(Debug, Default)]
pub(in crate::engine) struct Watch {
    signals: BTreeMap<Symbol, Vec<WatchedSignal>>,
}

type EndedSignal = (SignalId, SignalState);

impl Watch {
    /// Starts to watch a pending signal until `due` on the monotonic clock. Ignores one without entry or stop.
    pub(in crate::engine) fn add(&mut self, signal: &Signal, zone_far: Option<f64>, due: Duration, now: Now) {
        let (Some(entry), Some(stop)) = (signal.entry_price, signal.stop_loss) else { return };
        let watched = WatchedSignal {
            id: signal.id.clone(),
            direction: signal.direction,
            entry,
            stop,
            zone_far,
            entered: false,
            last_price: now.mono,
            // The age of a signal from the log is known by the wall clock only.
            silent: (now.wall - signal.updated_at).to_std().unwrap_or_default(),
            due,
        };
        self.remove(&signal.symbol, &signal.id);
        self.signals.entry(signal.symbol.clone()).or_default().push(watched);
    }

    /// Stops watching a signal.
    pub(in crate::engine) fn remove(&mut self, symbol: &Symbol, id: &SignalId) {
        if let Some(signals) = self.signals.get_mut(symbol) {
            signals.retain(|watched| watched.id != *id);
        }
    }

    /// Applies a price. Returns the signals that it ends.
    pub(in crate::engine) fn on_price(&mut self, instrument: &Instrument, quote: Quote, now: Now) -> Vec<EndedSignal> {
        self.decide(&instrument.symbol, |watched| {
            if now.mono >= watched.due {
                return None;
            }
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
            if silent > MAX_PRICE_GAP {
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

    /// Applies the close of a minute. Returns the signals that it ends.
    pub(in crate::engine) fn on_minute_close(&mut self, minute: &Closed, now: Now) -> Vec<EndedSignal> {
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

    /// Applies a market structure shift. Returns the signals that it ends.
    pub(in crate::engine) fn on_shift(&mut self, symbol: &Symbol, direction: Direction, now: Now) -> Vec<EndedSignal> {
        self.decide(symbol, |watched| {
            let opposite = watched.direction != direction && now.mono < watched.due;
            opposite.then(|| Invalidation::OPPOSITE_MSS.into())
        })
    }

    fn decide(
        &mut self,
        symbol: &Symbol,
        mut decide: impl FnMut(&mut WatchedSignal) -> Option<SignalState>,
    ) -> Vec<EndedSignal> {
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
