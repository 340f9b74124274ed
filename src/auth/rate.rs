//! How fast somebody may go on: token buckets, filled at a steady rate, holding so much for a burst.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Somebody was too fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Too many requests; try again in {} s", self.seconds())]
pub struct TooFast {
    /// Until the next one would be taken.
    pub wait: Duration,
}

impl TooFast {
    /// The wait in whole seconds, at least one: what `Retry-After` says.
    pub fn seconds(&self) -> u64 {
        self.wait.as_millis().div_ceil(1000).max(1) as u64
    }
}

/// A token bucket, or none.
#[derive(Debug)]
pub struct Rate(Option<DefaultDirectRateLimiter>);

impl Rate {
    /// A full bucket of `burst`, refilled by `per_second`; no limit where either is 0.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let quota = NonZeroU32::new(per_second).zip(NonZeroU32::new(burst));
        Self(quota.map(|(rate, burst)| RateLimiter::direct(Quota::per_second(rate).allow_burst(burst))))
    }

    /// Takes one out.
    ///
    /// # Errors
    /// [`TooFast`] when the bucket is empty.
    pub fn take(&self) -> Result<(), TooFast> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        limiter.check().map_err(|until| TooFast { wait: until.wait_time_from(DefaultClock::default().now()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_and_then_the_wait_is_told() {
        let rate = Rate::new(1, 3);
        assert!((0..3).all(|_| rate.take().is_ok()));
        let refused = rate.take().unwrap_err();
        assert!(refused.wait <= Duration::from_secs(1) && refused.seconds() == 1, "{refused:?}");
        assert_eq!(TooFast { wait: Duration::from_millis(1_001) }.seconds(), 2);
        for unlimited in [Rate::new(0, 3), Rate::new(3, 0)] {
            assert!((0..10_000).all(|_| unlimited.take().is_ok()));
        }
    }
}
