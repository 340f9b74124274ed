//! Counts the ticks of the last minute.

use tokio::time::Instant;

const SECONDS: usize = 60;

/// A counter for each of the last sixty seconds.
#[derive(Debug)]
pub(super) struct TickRate {
    began: Instant,
    counts: [u32; SECONDS],
    second: u64,
}

impl TickRate {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), counts: [0; SECONDS], second: 0 }
    }

    pub(super) fn add(&mut self, ticks: usize) {
        self.advance();
        let count = &mut self.counts[self.second as usize % SECONDS];
        *count = count.saturating_add(u32::try_from(ticks).unwrap_or(u32::MAX));
    }

    pub(super) fn per_minute(&mut self) -> u64 {
        self.advance();
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// Drops the counts that are older than a minute.
    fn advance(&mut self) {
        let now = self.began.elapsed().as_secs();
        for second in (self.second + 1..=now).take(SECONDS) {
            self.counts[second as usize % SECONDS] = 0;
        }
        self.second = now;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_covers_one_minute() {
        let mut rate = TickRate::new();
        let wait = async |seconds| tokio::time::advance(Duration::from_secs(seconds)).await;
        rate.add(5);
        wait(30).await;
        rate.add(2);
        assert_eq!(rate.per_minute(), 7);
        wait(29).await;
        assert_eq!(rate.per_minute(), 7);
        wait(1).await;
        assert_eq!(rate.per_minute(), 2);
        wait(1000).await;
        assert_eq!(rate.per_minute(), 0);
        rate.add(1);
        assert_eq!(rate.per_minute(), 1);
    }
}
