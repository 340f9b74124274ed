//! The history of received alerts, for detecting repeats. It is in memory: after a restart a repeated price is accepted
//! again, while a repeated signal is still detected by its id in the log.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use uuid::Uuid;

/// How long an alert with an `id` or a time is remembered; a new event has new ones.
pub(super) const REMEMBERED: Duration = Duration::from_hours(24);
/// How many alerts are remembered; the oldest are dropped first. TradingView stops an alert that fires more than 15
/// times in 3 minutes.
const MAX_ALERTS: usize = 20_000;

/// The alerts of the last day.
#[derive(Debug, Default)]
pub(super) struct AlertHistory {
    alerts: HashMap<Uuid, Remembered>,
    /// In order of arrival, each with a sequence number. An alert that arrives again gets a new number.
    order: VecDeque<(u64, Uuid)>,
    count: u64,
}

#[derive(Debug)]
struct Remembered {
    number: u64,
    until: Instant,
    first: FirstAlert,
}

/// The first alert of a series of repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FirstAlert {
    /// Its result: the id of a signal, or the symbol of a price.
    pub of: String,
    /// `signal`, `price` or `other`.
    pub kind: &'static str,
    /// Time of arrival.
    pub received_at: DateTime<Utc>,
}

impl AlertHistory {
    /// Remembers an alert for `span`, or returns the first one if this is a repeat.
    pub(super) fn remember(
        &mut self,
        key: Uuid,
        span: Duration,
        now: Instant,
        first: FirstAlert,
    ) -> Option<FirstAlert> {
        if let Some(known) = self.alerts.get(&key).filter(|known| now <= known.until) {
            return Some(known.first.clone());
        }
        self.count += 1;
        let number = self.count;
        self.alerts.insert(key, Remembered { number, until: now + span, first });
        self.order.push_back((number, key));
        while let Some((number, key)) = self.order.front().copied() {
            let current = self.alerts.get(&key).filter(|known| known.number == number);
            let is_needed = current.is_some_and(|known| now <= known.until);
            if is_needed && self.order.len() <= MAX_ALERTS {
                break;
            }
            if current.is_some() {
                self.alerts.remove(&key);
            }
            self.order.pop_front();
        }
        None
    }

    /// Forgets an alert that was rejected, so that it can be sent again.
    pub(super) fn forget(&mut self, key: Uuid) {
        self.alerts.remove(&key);
        self.order.retain(|(_, other)| *other != key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(of: &str) -> FirstAlert {
        FirstAlert { of: of.to_owned(), kind: "signal", received_at: DateTime::UNIX_EPOCH }
    }

    #[tokio::test(start_paused = true)]
    async fn the_history_is_bounded_by_time_and_number() {
        let mut seen = AlertHistory::default();
        let minute = Duration::from_mins(1);
        let mut come = |number: u128, span, of| {
            let before = seen.remember(Uuid::from_u128(number), span, Instant::now(), first(of));
            (before.map(|before| before.of), seen.alerts.len(), seen.order.len())
        };
        assert_eq!(come(0, REMEMBERED, "a"), (None, 1, 1));
        assert_eq!(come(1, minute, "b"), (None, 2, 2));
        assert_eq!(come(1, minute, "c").0.as_deref(), Some("b"));
        tokio::time::advance(minute + Duration::from_secs(1)).await;
        assert_eq!(come(1, minute, "d").0, None, "a text without a name is new after its window");
        assert_eq!(come(1, minute, "e").0.as_deref(), Some("d"));
        assert_eq!(come(0, REMEMBERED, "f").0.as_deref(), Some("a"));
        tokio::time::advance(REMEMBERED).await;
        assert_eq!(come(0, REMEMBERED, "g"), (None, 1, 1), "what is over is forgotten");
        for number in 2..=2 * MAX_ALERTS as u128 {
            assert_eq!(come(number, REMEMBERED, "x").0, None);
        }
        assert_eq!(come(0, REMEMBERED, "h"), (None, MAX_ALERTS, MAX_ALERTS));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rejected_alert_may_come_again() {
        let mut seen = AlertHistory::default();
        let key = Uuid::from_u128(1);
        assert_eq!(seen.remember(key, REMEMBERED, Instant::now(), first("a")), None);
        seen.forget(key);
        assert_eq!(seen.remember(key, REMEMBERED, Instant::now(), first("b")), None);
    }
}
