//! The plausibility check of one source's prices of one symbol. Impossible prices are rejected; a jump is rejected
//! until a second tick confirms it.

use std::time::Duration;

use crate::domain::{Quote, TickFault};

/// The recent range covers the current window of this length and the previous one.
const RANGE_WINDOW: Duration = Duration::from_mins(1);
/// The minimum recent range as a share of the price, so that a pip is not a jump after a quiet minute.
const MIN_RANGE: f64 = 0.0005;

/// The recent accepted prices.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate {
    last: Option<(f64, Duration)>,
    /// The lowest and the highest price of the current window, and when it began.
    current: Option<(Duration, f64, f64)>,
    previous: Option<(f64, f64)>,
    /// A jump that nothing has confirmed yet.
    unconfirmed: Option<f64>,
}

impl Gate {
    /// Checks a quote that arrived at `now` (monotonic). `jump_limit` is a multiple of the recent range; 0 accepts
    /// every jump.
    pub(super) fn judge(&mut self, quote: Quote, now: Duration, jump_limit: f64) -> Result<(), TickFault> {
        let sides = match quote {
            Quote::BidAsk { bid, ask } => [bid, ask],
            Quote::Last(price) => [price, price],
        };
        if !sides.iter().all(|price| price.is_finite() && *price > 0.0) {
            return Err(TickFault::NotPositive);
        }
        if sides[0] > sides[1] {
            return Err(TickFault::Crossed);
        }
        let price = quote.mid();
        if jump_limit > 0.0
            && let Some((last, at)) = self.last
        {
            // After a silence the limit grows with the square root of its length, as the distance of a random walk
            // does.
            let minutes = now.saturating_sub(at).as_secs_f64() / 60.0;
            let range = self.range().max(sides[1] - sides[0]).max(last * MIN_RANGE);
            let limit = jump_limit * range * (1.0 + minutes).sqrt();
            if (price - last).abs() > limit {
                let confirmed = self.unconfirmed.is_some_and(|jumped| (price - jumped).abs() <= limit);
                if !confirmed {
                    self.unconfirmed = Some(price);
                    return Err(TickFault::Jump);
                }
                (self.current, self.previous) = (None, None);
            }
        }
        self.unconfirmed = None;
        self.last = Some((price, now));
        self.widen(price, now);
        Ok(())
    }

    fn range(&self) -> f64 {
        let spans = self.current.map(|(_, low, high)| (low, high)).into_iter().chain(self.previous);
        let (low, high) =
            spans.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (l, h)| (low.min(l), high.max(h)));
        (high - low).max(0.0)
    }

    fn widen(&mut self, price: f64, now: Duration) {
        match &mut self.current {
            Some((since, low, high)) if now.saturating_sub(*since) < RANGE_WINDOW => {
                (*low, *high) = (low.min(price), high.max(price));
            }
            current => {
                self.previous = current.map(|(_, low, high)| (low, high));
                *current = Some((now, price, price));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: f64 = 10.0;

    fn judge(gate: &mut Gate, price: f64, seconds: u64) -> Result<(), TickFault> {
        gate.judge(Quote::Last(price), Duration::from_secs(seconds), LIMIT)
    }

    #[test]
    fn impossible_prices_are_rejected() {
        let mut gate = Gate::default();
        for price in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(judge(&mut gate, price, 0), Err(TickFault::NotPositive));
        }
        let crossed = Quote::BidAsk { bid: 1.2, ask: 1.1 };
        assert_eq!(gate.judge(crossed, Duration::ZERO, LIMIT), Err(TickFault::Crossed));
        assert_eq!(gate.judge(Quote::BidAsk { bid: 1.1, ask: 1.1 }, Duration::ZERO, LIMIT), Ok(()));
    }

    #[test]
    fn a_jump_needs_a_second_tick() {
        let mut gate = Gate::default();
        assert_eq!(judge(&mut gate, 1.1000, 0), Ok(()));
        assert_eq!(judge(&mut gate, 11.000, 1), Err(TickFault::Jump), "a slipped decimal point");
        assert_eq!(judge(&mut gate, 1.1001, 2), Ok(()), "it was a slip");
        assert_eq!(judge(&mut gate, 11.000, 3), Err(TickFault::Jump), "and is one each time");
        assert_eq!(judge(&mut gate, 1.0800, 4), Err(TickFault::Jump));
        assert_eq!(judge(&mut gate, 1.0802, 5), Ok(()), "this is where the market is");
        assert_eq!(judge(&mut gate, 1.0801, 6), Ok(()));
        assert_eq!(judge(&mut gate, 1.1000, 7), Err(TickFault::Jump), "and not where it was");
    }

    #[test]
    fn volatility_and_silence_widen_the_limit() {
        let mut wild = Gate::default();
        for second in 0..50 {
            assert_eq!(judge(&mut wild, if second % 2 == 0 { 2000.0 } else { 2004.0 }, second), Ok(()));
        }
        assert_eq!(judge(&mut wild, 2040.0, 51), Ok(()), "ten times its range");
        let mut calm = Gate::default();
        for second in 0..50 {
            assert_eq!(judge(&mut calm, 2000.0, second), Ok(()));
        }
        assert_eq!(judge(&mut calm.clone(), 2040.0, 51), Err(TickFault::Jump));
        assert_eq!(judge(&mut calm, 2040.0, 2 * 24 * 3600), Ok(()), "after a weekend");
    }

    proptest! {
        #[test]
        fn two_consecutive_ticks_are_always_enough(prices in prop::collection::vec(0.01f64..1e6, 1..100), gap in 0u64..600) {
            let mut gate = Gate::default();
            for (step, price) in prices.into_iter().enumerate() {
                let at = step as u64 * gap;
                if judge(&mut gate, price, at).is_err() {
                    prop_assert_eq!(judge(&mut gate, price, at), Ok(()));
                }
            }
        }

        #[test]
        fn without_a_limit_every_price_is_accepted(prices in prop::collection::vec(0.01f64..1e6, 1..100)) {
            let mut gate = Gate::default();
            for price in prices {
                prop_assert_eq!(gate.judge(Quote::Last(price), Duration::ZERO, 0.0), Ok(()));
            }
        }
    }
}
