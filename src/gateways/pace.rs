//! How fast a client may speak: told once when it is too fast, not listened to meanwhile, cut when it goes on all the same.

use std::time::Duration;

use tokio::time::Instant;

use crate::auth::RateLimit;
use crate::config::Limits;
use crate::telemetry::Metrics;

/// What is said in vain before a client is cut.
const PATIENCE: u32 = 200;
/// A client that kept within its limit for this long is forgiven.
const FORGIVEN_AFTER: Duration = Duration::from_mins(1);

/// What to do with something that a client said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Take it.
    Take,
    /// Do not take it, and tell the client why.
    Warn,
    /// Do not take it; the client has been told.
    Ignore,
    /// The client will not learn.
    Cut,
}

/// What one client is told when it is too fast.
pub(super) const TOO_FAST: (&str, &str) =
    ("rate_limited", "too many messages: slow down, what you say now is not listened to");

/// The pace of one client.
#[derive(Debug)]
pub(super) struct Pace {
    rate: RateLimit,
    in_vain: u32,
    last: Option<Instant>,
}

impl Pace {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { rate: RateLimit::new(limits.events_per_second, limits.events_burst), in_vain: 0, last: None }
    }

    /// Judges one thing that the client says, and counts who is told to slow down, and who is cut.
    pub(super) fn judge(&mut self, metrics: &Metrics) -> Verdict {
        if self.rate.take().is_ok() {
            return Verdict::Take;
        }
        let now = Instant::now();
        if self.last.replace(now).is_none_or(|last| now - last > FORGIVEN_AFTER) {
            self.in_vain = 0;
        }
        self.in_vain += 1;
        let count = |what| metrics.rate_limited_total.with_label_values(&[what]).inc();
        match self.in_vain {
            1 => {
                count("warned");
                Verdict::Warn
            }
            2..=PATIENCE => Verdict::Ignore,
            _ => {
                // What it has said until it is gone is one cut.
                if self.in_vain == PATIENCE + 1 {
                    count("cut");
                    metrics.refuse(TOO_FAST.0);
                }
                Verdict::Cut
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(events_per_second: u32, events_burst: u32) -> Pace {
        Pace::new(&Limits { events_per_second, events_burst, ..Limits::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_warned_once_ignored_and_cut_and_a_minute_later_forgiven() {
        let (mut pace, metrics) = (pace(1, 5), Metrics::new().unwrap());
        let counted = |what| metrics.rate_limited_total.with_label_values(&[what]).get();
        let mut judged: Vec<_> = (0..5 + PATIENCE + 2).map(|_| pace.judge(&metrics)).collect();
        judged.dedup();
        assert_eq!(judged, [Verdict::Take, Verdict::Warn, Verdict::Ignore, Verdict::Cut]);
        tokio::time::advance(FORGIVEN_AFTER * 2).await;
        assert_eq!((counted("warned"), counted("cut")), (1, 1));
        assert_eq!(pace.judge(&metrics), Verdict::Warn);
    }

    #[test]
    fn without_a_limit_everything_is_taken() {
        let (mut pace, metrics) = (pace(0, 0), Metrics::new().unwrap());
        assert!((0..100_000).all(|_| pace.judge(&metrics) == Verdict::Take));
    }
}
