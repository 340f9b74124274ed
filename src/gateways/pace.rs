//! How fast a client may speak: told once when it is too fast, not listened to meanwhile, cut when it goes on all the same.

use std::time::Duration;

use tokio::time::Instant;

use crate::auth::Rate;
use crate::config::Limits;

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
    rate: Rate,
    in_vain: u32,
    last: Option<Instant>,
}

impl Pace {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { rate: Rate::new(limits.events_per_second, limits.events_burst), in_vain: 0, last: None }
    }

    /// Judges one thing that the client says.
    pub(super) fn judge(&mut self) -> Verdict {
        if self.rate.take().is_ok() {
            return Verdict::Take;
        }
        let now = Instant::now();
        if self.last.replace(now).is_none_or(|last| now - last > FORGIVEN_AFTER) {
            self.in_vain = 0;
        }
        self.in_vain += 1;
        match self.in_vain {
            1 => Verdict::Warn,
            2..=PATIENCE => Verdict::Ignore,
            _ => Verdict::Cut,
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
        let mut pace = pace(1, 5);
        let mut judged: Vec<_> = (0..5 + PATIENCE + 2).map(|_| pace.judge()).collect();
        judged.dedup();
        assert_eq!(judged, [Verdict::Take, Verdict::Warn, Verdict::Ignore, Verdict::Cut]);
        tokio::time::advance(FORGIVEN_AFTER * 2).await;
        assert_eq!(pace.judge(), Verdict::Warn);
    }

    #[test]
    fn without_a_limit_everything_is_taken() {
        let mut pace = pace(0, 0);
        assert!((0..100_000).all(|_| pace.judge() == Verdict::Take));
    }
}
