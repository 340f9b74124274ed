//! The clock: the only place where the current time is read.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::domain::Now;

/// Returns the wall-clock time in UTC, truncated to milliseconds. No time that leaves the server is more precise.
#[expect(clippy::disallowed_methods, reason = "the only place that reads the wall clock")]
pub fn wall() -> DateTime<Utc> {
    let now = Utc::now();
    DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now)
}

/// The source of the pipeline's time.
#[derive(Debug)]
pub enum Clock {
    /// The wall clock and the monotonic clock of the system.
    System {
        /// The zero of the monotonic clock.
        started: Instant,
        /// The wall clock never shows less: the last time in the log, which another machine may have given.
        not_before: DateTime<Utc>,
    },
    /// The times of a recording: both clocks show the time of its last tick.
    Recording {
        /// The first and the latest time so far.
        span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    },
}

impl Clock {
    /// Returns the clocks of the system; the monotonic one begins now.
    pub fn system() -> Self {
        Self::system_after(DateTime::<Utc>::MIN_UTC)
    }

    /// Returns the clocks of the system, of which the wall clock begins at `not_before` or later.
    pub fn system_after(not_before: DateTime<Utc>) -> Self {
        Self::System { started: Instant::now(), not_before }
    }

    /// Returns a clock that a recording advances.
    pub fn recording() -> Self {
        Self::Recording { span: None }
    }

    /// Reads both clocks.
    pub fn now(&self) -> Now {
        match self {
            Self::System { started, not_before } => Now { wall: wall().max(*not_before), mono: started.elapsed() },
            Self::Recording { span: None } => Now { wall: wall(), mono: Duration::ZERO },
            Self::Recording { span: Some((first, last)) } => {
                Now { wall: *last, mono: (*last - *first).to_std().unwrap_or_default() }
            }
        }
    }

    /// Moves a recording's clock forward to `at`; never back.
    pub fn advance(&mut self, at: DateTime<Utc>) {
        if let Self::Recording { span } = self {
            let (first, last) = span.unwrap_or((at, at));
            *span = Some((first, last.max(at)));
        }
    }

    /// Returns the instant at which the monotonic clock shows `due`; `None` when a recording advances the clock.
    pub fn instant(&self, due: Duration) -> Option<Instant> {
        match self {
            Self::System { started, .. } => Some(*started + due),
            Self::Recording { .. } => None,
        }
    }

    /// Whether a recording advances it.
    pub fn is_recording(&self) -> bool {
        matches!(self, Self::Recording { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::parse_time;

    #[test]
    fn a_recording_moves_both_clocks_forward_only() {
        let mut clock = Clock::recording();
        let at = |text| parse_time(text).unwrap();
        clock.advance(at("2014-05-08T11:00:00Z"));
        clock.advance(at("2014-05-08T11:00:30Z"));
        clock.advance(at("2014-05-08T11:00:10Z"));
        assert_eq!(clock.now(), Now { wall: at("2014-05-08T11:00:30Z"), mono: Duration::from_secs(30) });
    }
}
