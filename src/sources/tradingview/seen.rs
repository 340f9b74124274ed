//! Which alerts came already. Kept in memory: after a restart a repeated price is taken again, a repeated signal is still
//! recognized by its id, because the log knows it.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// How long an alert is remembered.
const REMEMBERED: Duration = Duration::from_hours(24);
/// Alerts that are remembered at most; the oldest give way. TradingView stops an alert that fires more than 15 times in
/// 3 minutes.
const MAX: usize = 20_000;

/// The alerts of the last day.
#[derive(Debug, Default)]
pub(super) struct Seen {
    keys: HashSet<Uuid>,
    order: VecDeque<(Instant, Uuid)>,
}

impl Seen {
    /// Whether this alert did not come yet; from now on it did.
    pub(super) fn is_new(&mut self, key: Uuid, now: Instant) -> bool {
        while self.order.front().is_some_and(|(at, _)| now - *at > REMEMBERED || self.order.len() >= MAX) {
            if let Some((_, key)) = self.order.pop_front() {
                self.keys.remove(&key);
            }
        }
        let is_new = self.keys.insert(key);
        if is_new {
            self.order.push_back((now, key));
        }
        is_new
    }

    /// An alert that could not be taken may come again.
    pub(super) fn forget(&mut self, key: Uuid) {
        self.keys.remove(&key);
        self.order.retain(|(_, other)| *other != key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_day_and_a_number_are_the_bounds() {
        let mut seen = Seen::default();
        let key = |number: u128| Uuid::from_u128(number);
        assert!(seen.is_new(key(0), Instant::now()));
        assert!(!seen.is_new(key(0), Instant::now()));
        seen.forget(key(0));
        assert!(seen.is_new(key(0), Instant::now()));
        tokio::time::advance(REMEMBERED).await;
        assert!(!seen.is_new(key(0), Instant::now()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(seen.is_new(key(0), Instant::now()));
        for number in 1..=2 * MAX as u128 {
            assert!(seen.is_new(key(number), Instant::now()));
        }
        assert_eq!((seen.keys.len(), seen.order.len()), (MAX, MAX));
    }
}
