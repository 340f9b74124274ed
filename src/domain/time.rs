//! The two clocks of the server, and the formatting and parsing of times.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};

use super::printed_time::parse_printed;

/// Returns the current wall-clock time; injected into everything that needs it.
pub type WallClock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// One reading of both clocks.
///
/// Durations (the life of a signal, the age of a price) are measured with `mono`, so that a jump of the wall clock
/// changes no deadline. Timestamps that leave the server use `wall`. In a replay both run on the file's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall-clock time, UTC.
    pub wall: DateTime<Utc>,
    /// The time since the process (or the replayed file) began; never goes back.
    pub mono: Duration,
}

impl Now {
    /// Returns both clocks `span` later, for tests and replays.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self { wall: self.wall + span, mono: self.mono + span }
    }

    /// Returns both clocks at the earlier monotonic time `mono`.
    #[must_use]
    pub fn back_to(self, mono: Duration) -> Self {
        Self { wall: self.wall - self.mono.saturating_sub(mono), mono }
    }
}

/// Formats a time as ISO 8601 in UTC with milliseconds, `2024-09-01T10:30:00.000Z`, as every time that leaves the
/// server.
pub fn iso(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Parses a sender's time: ISO 8601 with a zone, without one (UTC), or with a space instead of `T`; a Unix time in
/// seconds, milliseconds, microseconds or nanoseconds (recognized by its size); or the output of the standard libraries
/// of other languages.
///
/// Returns `None` for anything else, and for years outside 1970–9999. Times are truncated to milliseconds, because
/// stored and sent times have no more.
pub fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let parsed = if let Ok(epoch) = text.parse::<f64>() {
        from_epoch(epoch)?
    } else {
        DateTime::parse_from_rfc3339(text)
            .map(|at| at.to_utc())
            .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%:z").map(|at| at.to_utc()))
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(|at| at.and_utc()))
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").map(|at| at.and_utc()))
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y.%m.%d %H:%M:%S%.f").map(|at| at.and_utc()))
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").map(|at| at.and_utc()))
            .ok()
            .or_else(|| parse_printed(text))?
    };
    let millis = parsed.timestamp_millis();
    (0..=LAST_MILLIS).contains(&millis).then(|| DateTime::from_timestamp_millis(millis))?
}

/// 9999-12-31T23:59:59.999Z, the last instant that ISO 8601 writes with four digits of year.
const LAST_MILLIS: i64 = 253_402_300_799_999;

/// Converts a stored time, which is in Unix milliseconds.
pub fn parse_epoch_millis(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis.clamp(0, LAST_MILLIS)).unwrap_or_default()
}

fn from_epoch(epoch: f64) -> Option<DateTime<Utc>> {
    let millis = match epoch.abs() {
        e if !e.is_finite() => return None,
        e if e < 1e11 => epoch * 1e3,
        e if e < 1e14 => epoch,
        e if e < 1e17 => epoch / 1e3,
        _ => epoch / 1e6,
    };
    DateTime::from_timestamp_millis(millis.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_formats_of_an_instant_parse_alike() {
        let expected = "2024-09-01T10:30:00.000Z";
        for text in [
            "2024-09-01T10:30:00.000Z",
            "2024-09-01T10:30:00Z",
            "2024-09-01T17:30:00+07:00",
            "2024-09-01T10:30:00",
            "2024-09-01 10:30:00",
            "2024.09.01 10:30:00",
            "2024-09-01T10:30",
            "1725186600",
            "1725186600000",
            "1725186600000000",
            "1725186600000000000",
        ] {
            assert_eq!(parse_time(text).map(iso).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_rejected() {
        for text in ["", "yesterday", "NaN", "inf", "-5", "2024-13-01T00:00:00Z", "99999-01-01T00:00:00Z"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn digits_below_milliseconds_are_truncated() {
        assert_eq!(parse_time("2024-09-01T10:30:00.123999Z").map(iso).as_deref(), Some("2024-09-01T10:30:00.123Z"));
    }
}
