//! The clock: the one place where the time is read.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::domain::Now;

/// The wall-clock time in UTC, cut to milliseconds: nothing that leaves the server carries more.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn wall() -> DateTime<Utc> {
    let now = Utc::now();
    DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now)
}

/// Where the pipeline gets its time from.
#[derive(Debug)]
pub enum Clock {
    /// The system's two clocks.
    System {
        /// Zero of the monotonic clock.
        started: Instant,
    },
    /// The times of a recording: both clocks stand where its last tick stood.
    Recording {
        /// First and last time that was seen.
        span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    },
}

impl Clock {
    /// The system's clocks, from now.
    pub fn system() -> Self {
        Self::System { started: Instant::now() }
    }

    /// A clock that a recording will drive.
    pub fn recording() -> Self {
        Self::Recording { span: None }
    }

    /// Reads both clocks.
    pub fn now(&self) -> Now {
        match self {
            Self::System { started } => Now { wall: wall(), mono: started.elapsed() },
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

    /// When the system's monotonic clock reads `due`; `None` when a recording drives the clock and nobody can tell.
    pub fn instant(&self, due: Duration) -> Option<Instant> {
        match self {
            Self::System { started } => Some(*started + due),
            Self::Recording { .. } => None,
        }
    }

    /// Whether a recording drives it.
    pub fn is_recording(&self) -> bool {
        matches!(self, Self::Recording { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::parse_time;

    #[test]
    fn a_recording_drives_both_clocks_and_never_back() {
        let mut clock = Clock::recording();
        let at = |text| parse_time(text).unwrap();
        clock.advance(at("2014-05-08T11:00:00Z"));
        clock.advance(at("2014-05-08T11:00:30Z"));
        clock.advance(at("2014-05-08T11:00:10Z"));
        assert_eq!(clock.now(), Now { wall: at("2014-05-08T11:00:30Z"), mono: Duration::from_secs(30) });
    }
}
