//! The limits of the services: so many messages within a time.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// Lets at most `most` messages through within each `window`.
#[derive(Debug)]
pub(super) struct Pacer {
    most: usize,
    window: Duration,
    /// When the last `most` messages were let through, or will be.
    turns: Mutex<VecDeque<Instant>>,
}

impl Pacer {
    pub(super) fn new(most: usize, window: Duration) -> Self {
        Self { most, window, turns: Mutex::default() }
    }

    /// Waits for the turn of a message.
    pub(super) async fn turn(&self) {
        let turn = {
            let mut turns = self.turns.lock();
            let first = if turns.len() == self.most { turns.pop_front() } else { None };
            let turn = first.map_or_else(Instant::now, |first| Instant::now().max(first + self.window));
            turns.push_back(turn);
            turn
        };
        sleep_until(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_window_has_no_more_than_its_messages() {
        let (pacer, start) = (Pacer::new(3, Duration::from_secs(1)), Instant::now());
        let mut turns = Vec::new();
        for _ in 0..7 {
            pacer.turn().await;
            turns.push(start.elapsed().as_millis() / 100);
        }
        assert_eq!(turns, [0, 0, 0, 10, 10, 10, 20]);
    }
}
