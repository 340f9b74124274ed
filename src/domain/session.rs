//! Trading hours: when a market is open, in New York wall-clock time.
//!
//! Weekly hours as OANDA and the CME publish them, without holidays (`Session::Always` for what never closes).

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Timelike, Utc, Weekday};
use chrono_tz::America::New_York;
use serde::{Deserialize, Serialize};

/// Which weekly timetable an instrument trades on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Session {
    /// Sunday 17:00 to Friday 17:00, no daily break.
    Forex,
    /// Sunday 18:00 to Friday 17:00, break 17:00–18:00 every day (spot metals, index CFDs, CME futures).
    Globex,
    /// Never closes.
    Always,
}

impl Session {
    /// Whether the market is open at `at`.
    pub fn is_open(self, at: DateTime<Utc>) -> bool {
        let local = at.with_timezone(&New_York);
        let minute = local.hour() * 60 + local.minute();
        let (opens, closes, daily_break) = match self {
            Self::Always => return true,
            Self::Forex => (17 * 60, 17 * 60, false),
            Self::Globex => (18 * 60, 17 * 60, true),
        };
        match local.weekday() {
            Weekday::Sat => false,
            Weekday::Sun => minute >= opens,
            Weekday::Fri => minute < closes,
            _ => !daily_break || minute < closes || minute >= opens,
        }
    }
}

/// The trading day of an instant: it begins at 17:00 New York time of the evening before, so that Sunday's evening belongs to
/// Monday.
pub fn trading_day(at: DateTime<Utc>) -> NaiveDate {
    (at.with_timezone(&New_York).naive_local() + TimeDelta::hours(7)).date()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::parse_time;

    fn open(session: Session, at: &str) -> bool {
        session.is_open(parse_time(at).unwrap())
    }

    #[test]
    fn forex_runs_from_sunday_to_friday_five_pm_new_york() {
        assert!(!open(Session::Forex, "2026-01-11T21:59:00Z"), "Sunday 16:59 EST");
        assert!(open(Session::Forex, "2026-01-11T22:00:00Z"), "Sunday 17:00 EST");
        assert!(open(Session::Forex, "2026-01-14T22:30:00Z"), "Wednesday 17:30 EST");
        assert!(open(Session::Forex, "2026-07-17T20:59:00Z"), "Friday 16:59 EDT");
        assert!(!open(Session::Forex, "2026-07-17T21:00:00Z"), "Friday 17:00 EDT");
        assert!(!open(Session::Forex, "2026-07-18T12:00:00Z"), "Saturday");
    }

    #[test]
    fn globex_breaks_for_an_hour_every_day() {
        assert!(!open(Session::Globex, "2026-01-11T22:30:00Z"), "Sunday 17:30 EST");
        assert!(open(Session::Globex, "2026-01-11T23:00:00Z"), "Sunday 18:00 EST");
        assert!(open(Session::Globex, "2026-01-14T21:59:00Z"), "Wednesday 16:59 EST");
        assert!(!open(Session::Globex, "2026-01-14T22:30:00Z"), "Wednesday 17:30 EST");
        assert!(open(Session::Globex, "2026-01-14T23:00:00Z"), "Wednesday 18:00 EST");
    }

    #[test]
    fn a_trading_day_begins_at_five_pm_in_new_york() {
        for (at, day) in [
            ("2026-01-14T21:59:59Z", "2026-01-14"),
            ("2026-01-14T22:00:00Z", "2026-01-15"),
            ("2026-01-18T22:30:00Z", "2026-01-19"),
            ("2026-07-14T20:59:59Z", "2026-07-14"),
            ("2026-07-14T21:00:00Z", "2026-07-15"),
        ] {
            assert_eq!(trading_day(parse_time(at).unwrap()).to_string(), day, "{at}");
        }
    }
}
