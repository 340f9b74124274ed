//! The clocks of New York and London, by the time-zone database.

use chrono::{DateTime, Offset, SecondsFormat, TimeDelta, Utc};
use chrono_tz::America::New_York;
use chrono_tz::Europe::London;

/// How far London's clock is usually ahead of New York's, in seconds.
const USUAL: i32 = 5 * 3600;
/// How many days ahead the weeks are listed: two years.
const DAYS_AHEAD: i64 = 730;
/// Longest time for which the clocks are not the usual hours apart: three weeks in spring.
const LONGEST: i64 = 28;

/// Returns the time in New York, with its offset from UTC, as ISO 8601.
pub fn new_york(at: DateTime<Utc>) -> String {
    at.with_timezone(&New_York).to_rfc3339_opts(SecondsFormat::Millis, false)
}

/// Returns the times, from `now` to two years ahead, in which the clocks of New York and London are not five hours
/// apart: both change to summer time, but not on the same days. The first one has begun already if the clocks differ now.
pub fn weeks_apart(now: DateTime<Utc>) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let hour = now.timestamp().div_euclid(3600) * 3600;
    let hour = DateTime::from_timestamp(hour, 0).unwrap_or(now);
    let mut found = Vec::new();
    let mut from = None;
    for day in -LONGEST..=DAYS_AHEAD + LONGEST {
        let at = hour + TimeDelta::days(day);
        match (is_apart(at), from) {
            (true, None) => from = Some(first_hour(at, true)),
            (false, Some(begun)) => {
                found.push((begun, first_hour(at, false)));
                from = None;
            }
            _ => {}
        }
    }
    found.retain(|(from, to)| *to > now && *from <= now + TimeDelta::days(DAYS_AHEAD));
    found
}

fn is_apart(at: DateTime<Utc>) -> bool {
    let offset = |zone: chrono_tz::Tz| at.with_timezone(&zone).offset().fix().local_minus_utc();
    offset(London) - offset(New_York) != USUAL
}

/// Returns the first hour of the day before `at` from which on `is_apart` is `apart`.
fn first_hour(at: DateTime<Utc>, apart: bool) -> DateTime<Utc> {
    let mut first = at;
    for hour in 1..=24 {
        let earlier = at - TimeDelta::hours(hour);
        if is_apart(earlier) != apart {
            break;
        }
        first = earlier;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{iso, parse_time};

    #[test]
    fn clocks_differ_around_both_changes() {
        let weeks = |now: &str| -> Vec<_> {
            let weeks = weeks_apart(parse_time(now).unwrap());
            weeks.into_iter().map(|(from, to)| (iso(from), iso(to))).collect()
        };
        let span = |from: &str, to: &str| (format!("{from}:00:00.000Z"), format!("{to}:00:00.000Z"));
        let expected = [
            span("2026-03-08T07", "2026-03-29T01"),
            span("2026-10-25T01", "2026-11-01T06"),
            span("2027-03-14T07", "2027-03-28T01"),
            span("2027-10-31T01", "2027-11-07T06"),
        ];
        assert_eq!(weeks("2026-01-15T10:30:00Z"), expected);
        assert_eq!(weeks("2026-03-29T00:59:59Z")[0], expected[0]);
        assert_eq!(weeks("2026-03-29T01:00:00Z")[0], expected[1]);
    }

    #[test]
    fn new_york_has_its_offset() {
        let local = |at: &str| new_york(parse_time(at).unwrap());
        assert_eq!(local("2026-01-15T10:30:00Z"), "2026-01-15T05:30:00.000-05:00");
        assert_eq!(local("2026-07-15T10:30:00Z"), "2026-07-15T06:30:00.000-04:00");
    }
}
