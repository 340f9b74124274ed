//! Which alerts came already. Kept in memory: after a restart a repeated price is taken again, a repeated signal is still
//! recognized by its id, because the log knows it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use uuid::Uuid;

/// How long an alert is remembered that has an `id` or a time: another event has another one.
pub(super) const REMEMBERED: Duration = Duration::from_hours(24);
/// Alerts that are remembered at most; the oldest give way. TradingView stops an alert that fires more than 15 times in
/// 3 minutes.
const MAX: usize = 20_000;

/// The alerts of the last day.
#[derive(Debug, Default)]
pub(super) struct Seen {
    alerts: HashMap<Uuid, Remembered>,
    /// In the order in which they came, each with its number: one that came anew has another number.
    order: VecDeque<(u64, Uuid)>,
    count: u64,
}

#[derive(Debug)]
struct Remembered {
    number: u64,
    until: Instant,
    first: First,
}

/// The first alert of those that repeat it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct First {
    /// What it became: the id of a signal, the symbol of a price.
    pub of: String,
    /// `signal`, `price` or `other`.
    pub kind: &'static str,
    /// When it came.
    pub received_at: DateTime<Utc>,
}

impl Seen {
    /// Remembers an alert for `span` from now on, or returns the one that it repeats.
    pub(super) fn remember(&mut self, key: Uuid, span: Duration, now: Instant, first: First) -> Option<First> {
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
            if is_needed && self.order.len() <= MAX {
                break;
            }
            if current.is_some() {
                self.alerts.remove(&key);
            }
            self.order.pop_front();
        }
        None
    }

    /// An alert that could not be taken may come again.
    pub(super) fn forget(&mut self, key: Uuid) {
        self.alerts.remove(&key);
        self.order.retain(|(_, other)| *other != key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(of: &str) -> First {
        First { of: of.to_owned(), kind: "signal", received_at: DateTime::UNIX_EPOCH }
    }

    #[tokio::test(start_paused = true)]
    async fn a_span_and_a_number_are_the_bounds() {
        let mut seen = Seen::default();
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
        for number in 2..=2 * MAX as u128 {
            assert_eq!(come(number, REMEMBERED, "x").0, None);
        }
        assert_eq!(come(0, REMEMBERED, "h"), (None, MAX, MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_taken_may_come_again() {
        let mut seen = Seen::default();
        let key = Uuid::from_u128(1);
        assert_eq!(seen.remember(key, REMEMBERED, Instant::now(), first("a")), None);
        seen.forget(key);
        assert_eq!(seen.remember(key, REMEMBERED, Instant::now(), first("b")), None);
    }
}
