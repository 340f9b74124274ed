//! Limits a repeating log line to one a minute.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Least time between two lines about the same event.
const INTERVAL: Duration = Duration::from_mins(1);

/// Decides which of many equal events is logged: the first, and then at most one a minute.
#[derive(Debug)]
pub struct LogLimit(Mutex<LimitState>);

#[derive(Debug)]
struct LimitState {
    logged_at: Option<Instant>,
    suppressed: u64,
    /// Whether a line was logged and the end of its series was not.
    is_open: bool,
}

impl Default for LogLimit {
    fn default() -> Self {
        Self::new()
    }
}

impl LogLimit {
    /// Returns a limit that has admitted nothing yet.
    pub const fn new() -> Self {
        Self(Mutex::new(LimitState { logged_at: None, suppressed: 0, is_open: false }))
    }

    /// Returns the number of suppressed events since the last line if this event has to be logged, else `None`.
    pub fn admit(&self) -> Option<u64> {
        let mut state = self.0.lock();
        let now = Instant::now();
        if state.logged_at.is_some_and(|at| now - at < INTERVAL) {
            state.suppressed += 1;
            return None;
        }
        (state.logged_at, state.is_open) = (Some(now), true);
        Some(std::mem::take(&mut state.suppressed))
    }

    /// Ends a series of equal events. Returns the number of suppressed events since the last line if the end has to be logged,
    /// which is when a line was logged since the previous end.
    pub fn end(&self) -> Option<u64> {
        let mut state = self.0.lock();
        if !std::mem::take(&mut state.is_open) {
            return None;
        }
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_a_minute_counts_suppressed_events() {
        let limit = LogLimit::default();
        let mut lines = Vec::new();
        for _ in 0..150 {
            lines.extend(limit.admit());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(lines, [0, 59, 59]);
        assert_eq!((limit.end(), limit.end()), (Some(29), None));
        assert_eq!((limit.admit(), limit.end()), (None, None), "it comes and goes");
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!((limit.admit(), limit.end()), (Some(1), Some(0)));
    }
}
