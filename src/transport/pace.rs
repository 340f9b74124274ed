//! Rate limit of a client's messages: a client that is too fast is warned once, ignored meanwhile, and disconnected
//! when it continues.

use std::time::Duration;

use tokio::time::Instant;

use crate::auth::RateLimit;
use crate::config::Limits;
use crate::telemetry::Metrics;

/// Largest number of ignored messages before a client is disconnected.
const MAX_IGNORED: u32 = 200;
/// A client that kept within its limit for this long starts over.
const FORGIVEN_AFTER: Duration = Duration::from_mins(1);

/// What to do with a client's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RateVerdict {
    /// Handle it.
    Accept,
    /// Drop it, and warn the client.
    Warn,
    /// Drop it; the client was warned before.
    Ignore,
    /// Disconnect the client.
    Disconnect,
}

/// Code and text of the warning.
pub(crate) const TOO_FAST: (&str, &str) =
    ("rate_limited", "too many messages: slow down, what you say now is not listened to");

/// Rate limit of one client.
#[derive(Debug)]
pub(crate) struct MessageRate {
    rate: RateLimit,
    in_vain: u32,
    last: Option<Instant>,
}

impl MessageRate {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { rate: RateLimit::new(limits.events_per_second, limits.events_burst), in_vain: 0, last: None }
    }

    /// Checks one message of the client, and counts the clients that are warned and disconnected.
    pub(crate) fn check(&mut self, metrics: &Metrics) -> RateVerdict {
        if self.rate.take().is_ok() {
            return RateVerdict::Accept;
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
                RateVerdict::Warn
            }
            2..=MAX_IGNORED => RateVerdict::Ignore,
            _ => {
                // Messages that arrive until the connection ends are counted as one disconnect.
                if self.in_vain == MAX_IGNORED + 1 {
                    count("cut");
                    metrics.refuse(TOO_FAST.0);
                }
                RateVerdict::Disconnect
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(events_per_second: u32, events_burst: u32) -> MessageRate {
        MessageRate::new(&Limits { events_per_second, events_burst, ..Limits::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_warned_ignored_and_disconnected() {
        let (mut pace, metrics) = (pace(1, 5), Metrics::new().unwrap());
        let counted = |what| metrics.rate_limited_total.with_label_values(&[what]).get();
        let mut judged: Vec<_> = (0..5 + MAX_IGNORED + 2).map(|_| pace.check(&metrics)).collect();
        judged.dedup();
        assert_eq!(judged, [RateVerdict::Accept, RateVerdict::Warn, RateVerdict::Ignore, RateVerdict::Disconnect]);
        tokio::time::advance(FORGIVEN_AFTER * 2).await;
        assert_eq!((counted("warned"), counted("cut")), (1, 1));
        assert_eq!(pace.check(&metrics), RateVerdict::Warn);
    }

    #[test]
    fn without_a_limit_everything_is_accepted() {
        let (mut pace, metrics) = (pace(0, 0), Metrics::new().unwrap());
        assert!((0..100_000).all(|_| pace.check(&metrics) == RateVerdict::Accept));
    }
}
