//! Trading hours in New York wall-clock time.
//!
//! The hours are those that OANDA and the CME publish, with their holidays and short days. [`Session::Always`] never
//! closes.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Timelike, Utc};
use chrono_tz::America::New_York;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::holidays::{self, Ending};

/// The weekly timetable of an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    /// All timetables.
    pub const ALL: [Self; 3] = [Self::Forex, Self::Globex, Self::Always];

    /// Returns the weekly hours for people, by New York's wall clock.
    pub const fn hours(self) -> &'static str {
        match self {
            Self::Forex => "Sunday 17:00 to Friday 17:00",
            Self::Globex => "Sunday 18:00 to Friday 17:00, with a break from 17:00 to 18:00 every day",
            Self::Always => "always",
        }
    }

    /// Returns the first instant after `at` at which the market opens or closes; `None` if it never closes.
    pub fn next_change(self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // Days end at quarters of an hour, in UTC too. The longest pause is a weekend with a holiday on each side.
        let quarter = 900;
        let first = (at.timestamp().div_euclid(quarter) + 1) * quarter;
        let is_open = self.is_open(at);
        let mut quarters = (0..8 * 96).filter_map(|index| DateTime::from_timestamp(first + index * quarter, 0));
        quarters.find(|later| self.is_open(*later) != is_open).filter(|_| self != Self::Always)
    }

    /// Whether London or New York trades: 02:00–16:00 in New York. In the other hours even open markets may be silent
    /// for minutes.
    pub fn is_busy(at: DateTime<Utc>) -> bool {
        (2..16).contains(&at.with_timezone(&New_York).hour())
    }

    /// Returns the day of `at`: the [`trading_day`] for markets that close, the UTC day for those that never do.
    pub fn day_of(self, at: DateTime<Utc>) -> NaiveDate {
        match self {
            Self::Forex | Self::Globex => trading_day(at),
            Self::Always => at.date_naive(),
        }
    }

    /// Whether the market is open at `at`.
    pub fn is_open(self, at: DateTime<Utc>) -> bool {
        let local = at.with_timezone(&New_York);
        let minute = local.hour() * 60 + local.minute();
        let (begins, ends, special): (u32, u32, fn(NaiveDate) -> Option<Ending>) = match self {
            Self::Always => return true,
            Self::Forex => (17 * 60, 17 * 60, holidays::forex),
            Self::Globex => (18 * 60, 17 * 60, holidays::globex),
        };
        // A trading day begins on the previous evening.
        let (date, is_eve) =
            if minute >= begins { (local.date_naive() + Days::new(1), true) } else { (local.date_naive(), false) };
        match special(date) {
            Some(Ending::Closed) => false,
            Some(Ending::At(end)) => is_eve || minute < end,
            None => is_eve || minute < ends,
        }
    }
}

/// Returns the trading day of an instant. A trading day begins at 17:00 New York time on the previous evening, so that
/// Sunday evening belongs to Monday.
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
    fn forex_is_open_from_sunday_to_friday() {
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
    fn holidays_close_or_shorten_sessions() {
        for (at, forex, globex) in [
            ("2025-11-27T17:59:00Z", true, true),   // Thanksgiving, 12:59 EST
            ("2025-11-27T18:00:00Z", true, false),  // 13:00
            ("2025-11-27T22:59:00Z", true, false),  // 17:59
            ("2025-11-27T23:00:00Z", true, true),   // 18:00: Friday's trading day
            ("2025-11-28T18:15:00Z", true, false),  // 13:15
            ("2025-12-24T18:14:00Z", true, true),   // Christmas Eve, 13:14
            ("2025-12-24T18:15:00Z", true, false),  // 13:15
            ("2025-12-24T21:59:00Z", true, false),  // 16:59
            ("2025-12-24T22:00:00Z", false, false), // 17:00
            ("2025-12-25T15:00:00Z", false, false), // Christmas
            ("2025-12-25T22:00:00Z", true, false),  // 17:00
            ("2025-12-25T23:00:00Z", true, true),   // 18:00
            ("2025-12-31T21:59:00Z", true, true),   // New Year's Eve, 16:59
            ("2025-12-31T23:30:00Z", false, false), // 18:30
            ("2026-01-01T23:30:00Z", true, true),
            ("2026-04-02T22:30:00Z", true, false), // the evening before Good Friday
            ("2026-04-03T15:00:00Z", true, false), // Good Friday
            ("2026-07-03T17:30:00Z", true, false), // Independence Day is kept on Friday, 13:30 EDT
            ("2026-07-03T22:30:00Z", false, false),
            ("2026-07-05T22:30:00Z", true, true), // Sunday, 18:30 EDT
        ] {
            assert_eq!((open(Session::Forex, at), open(Session::Globex, at)), (forex, globex), "{at}");
        }
    }

    #[test]
    fn the_next_change_knows_breaks_and_holidays() {
        for (at, forex, globex) in [
            ("2026-01-14T12:00:00Z", "2026-01-16T22:00:00Z", "2026-01-14T22:00:00Z"),
            ("2026-01-16T22:00:00Z", "2026-01-18T22:00:00Z", "2026-01-18T23:00:00Z"),
            ("2025-12-24T12:00:00Z", "2025-12-24T22:00:00Z", "2025-12-24T18:15:00Z"),
            ("2025-12-24T22:00:00Z", "2025-12-25T22:00:00Z", "2025-12-25T23:00:00Z"),
        ] {
            let time = |text| parse_time(text).unwrap();
            assert_eq!(Session::Forex.next_change(time(at)), Some(time(forex)), "{at}");
            assert_eq!(Session::Globex.next_change(time(at)), Some(time(globex)), "{at}");
            assert_eq!(Session::Always.next_change(time(at)), None);
        }
    }

    #[test]
    fn a_trading_day_begins_at_five_pm() {
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
