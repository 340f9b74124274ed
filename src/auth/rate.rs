//! Rate limits: token buckets with a refill rate and a burst size.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// The rate limit was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Too many requests; try again in {} s", self.seconds())]
pub struct TooFast {
    /// The time until the next request is accepted.
    pub wait: Duration,
}

impl TooFast {
    /// Returns the wait in whole seconds, at least 1, for `Retry-After`.
    pub fn seconds(&self) -> u64 {
        self.wait.as_millis().div_ceil(1000).max(1) as u64
    }
}

/// A rate limit, or no limit.
#[derive(Debug)]
pub struct RateLimit(Option<DefaultDirectRateLimiter>);

impl RateLimit {
    /// Returns a full bucket of size `burst`, refilled by `per_second`; no limit where either is 0.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let quota = NonZeroU32::new(per_second).zip(NonZeroU32::new(burst));
        Self(quota.map(|(rate, burst)| RateLimiter::direct(Quota::per_second(rate).allow_burst(burst))))
    }

    /// Takes one token from the bucket.
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
    fn after_a_burst_the_wait_is_reported() {
        let rate = RateLimit::new(1, 3);
        assert!((0..3).all(|_| rate.take().is_ok()));
        let refused = rate.take().unwrap_err();
        assert!(refused.wait <= Duration::from_secs(1) && refused.seconds() == 1, "{refused:?}");
        assert_eq!(TooFast { wait: Duration::from_millis(1_001) }.seconds(), 2);
        for unlimited in [RateLimit::new(0, 3), RateLimit::new(3, 0)] {
            assert!((0..10_000).all(|_| unlimited.take().is_ok()));
        }
    }
}
