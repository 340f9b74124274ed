//! Prices at reduced rates. Each rate has its rooms; they get the latest price of a symbol at each interval, and the
//! prices in between are dropped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::domain::{Event, Symbol};
use crate::hub::Envelope;

/// One of the fixed rates. Rooms are named after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PriceRate(usize);

/// Name, prices per second, and the time between two prices of a symbol.
const RATES: [(&str, f64, Duration); 4] = [
    ("0.2", 0.2, Duration::from_secs(5)),
    ("1", 1.0, Duration::from_secs(1)),
    ("2", 2.0, Duration::from_millis(500)),
    ("5", 5.0, Duration::from_millis(200)),
];
/// Highest rate of publishing. A client that accepts this rate gets all prices.
const MAX_RATE: f64 = 10.0;

impl PriceRate {
    /// Returns the largest rate that is not above `max_hz`; `None` for all prices.
    pub(super) fn at_most(max_hz: Option<f64>) -> Option<Self> {
        let max_hz = max_hz.filter(|hz| *hz < MAX_RATE)?;
        Some(Self(RATES.iter().rposition(|(_, hz, _)| *hz <= max_hz).unwrap_or(0)))
    }

    /// Returns the prices per second.
    pub(super) fn hz(self) -> f64 {
        RATES[self.0].1
    }

    /// Returns the name of the room.
    pub(super) fn room(self) -> String {
        format!("prices@{}", RATES[self.0].0)
    }

    fn interval(self) -> Duration {
        RATES[self.0].2
    }
}

/// The waiting prices of each rate and symbol.
#[derive(Debug, Default)]
pub(super) struct PriceThrottle {
    slots: Mutex<BTreeMap<(PriceRate, Symbol), Slot>>,
    /// Rates that a client has asked for. The others are skipped.
    enabled: [AtomicBool; RATES.len()],
    wake: Notify,
}

#[derive(Debug)]
struct Slot {
    last: Instant,
    waiting: Option<Arc<Envelope>>,
}

impl PriceThrottle {
    /// Enables a rate that a client has asked for.
    pub(super) fn enable(&self, rate: PriceRate) {
        self.enabled[rate.0].store(true, Ordering::Relaxed);
    }

    /// Emits a price that was just published at the rates where it is due, and queues it at the others.
    pub(super) fn publish(&self, publication: &Arc<Envelope>, emit: impl Fn(PriceRate, &Arc<Envelope>)) {
        let Event::Price(update) = publication.event() else { return };
        let enabled = self.enabled.iter().enumerate().filter(|(_, enabled)| enabled.load(Ordering::Relaxed));
        for rate in enabled.map(|(index, _)| PriceRate(index)) {
            let now = Instant::now();
            // Locked while the price is emitted, so that an older price cannot follow it.
            let mut slots = self.slots.lock();
            match slots.get_mut(&(rate, update.symbol.clone())) {
                Some(slot) if now < slot.last + rate.interval() => {
                    if slot.waiting.replace(publication.clone()).is_none() {
                        self.wake.notify_one();
                    }
                }
                _ => {
                    emit(rate, publication);
                    slots.insert((rate, update.symbol.clone()), Slot { last: now, waiting: None });
                }
            }
        }
    }

    /// Emits the prices that are due, and returns when the next is.
    fn emit_due(&self, now: Instant, emit: &impl Fn(PriceRate, &Arc<Envelope>)) -> Option<Instant> {
        let mut next = None;
        for ((rate, _), slot) in self.slots.lock().iter_mut() {
            let due = slot.last + rate.interval();
            if slot.waiting.is_none() {
                continue;
            }
            if due <= now {
                if let Some(publication) = slot.waiting.take() {
                    emit(*rate, &publication);
                    slot.last = now;
                }
            } else {
                next = Some(next.map_or(due, |next: Instant| next.min(due)));
            }
        }
        next
    }

    /// Emits waiting prices when they are due. Never returns.
    pub(super) async fn run(&self, emit: impl Fn(PriceRate, &Arc<Envelope>)) {
        loop {
            match self.emit_due(Instant::now(), &emit) {
                Some(next) => {
                    tokio::select! {
                        () = sleep_until(next) => {}
                        () = self.wake.notified() => {}
                    }
                }
                None => self.wake.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::domain::{PriceUpdate, Quality, SourceName, parse_time};

    fn price(symbol: &str, price: f64) -> Arc<Envelope> {
        Arc::new(Envelope::unplaced(Event::Price(Arc::new(PriceUpdate {
            symbol: Symbol::new(symbol),
            price,
            timestamp: parse_time("2026-01-14T15:00:00Z").unwrap(),
            change: 0.0,
            change_percent: 0.0,
            volume: None,
            bid_ask: None,
            day: None,
            quality: Quality::Live,
            source: SourceName::new("push"),
        }))))
    }

    #[test]
    fn a_rate_never_exceeds_the_requested_one() {
        for (enabled, hz) in [(0.2, 0.2), (0.9, 0.2), (1.0, 1.0), (3.0, 2.0), (9.9, 5.0)] {
            assert_eq!(PriceRate::at_most(Some(enabled)).unwrap().hz(), hz);
        }
        assert_eq!((PriceRate::at_most(Some(10.0)), PriceRate::at_most(None)), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn rates_are_kept_and_the_last_price_arrives() {
        let (rates, emitted) = (PriceThrottle::default(), RefCell::new(Vec::new()));
        let start = Instant::now();
        let emit = |rate: PriceRate, publication: &Arc<Envelope>| {
            let Event::Price(update) = publication.event() else { panic!() };
            let entry = (rate.room(), update.symbol.to_string(), update.price, start.elapsed().as_millis());
            emitted.borrow_mut().push(entry);
        };
        rates.publish(&price("EURUSD", 0.5), emit);
        assert!(emitted.borrow().is_empty(), "no client has asked");
        rates.enable(PriceRate::at_most(Some(1.0)).unwrap());
        let publish = async {
            for number in 1..=25_u32 {
                rates.publish(&price("EURUSD", number.into()), emit);
                if number == 1 {
                    rates.publish(&price("US30", 7.0), emit);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            tokio::time::sleep(Duration::from_secs(10)).await;
        };
        tokio::select! {
            () = rates.run(emit) => unreachable!(),
            () = publish => {}
        }
        let euro: Vec<_> = emitted
            .borrow()
            .iter()
            .filter(|emitted| emitted.1 == "EURUSD")
            .map(|emitted| (emitted.2, emitted.3))
            .collect();
        let spans: Vec<_> = euro.windows(2).map(|two| two[1].1 - two[0].1).collect();
        assert!(spans.iter().all(|span| *span >= 1_000), "{euro:?}");
        assert_eq!((euro.len(), euro[0].0, euro.last().unwrap().0), (4, 1.0, 25.0), "{euro:?}");
        assert_eq!(emitted.borrow().iter().filter(|emitted| emitted.1 == "US30").count(), 1);
    }
}
