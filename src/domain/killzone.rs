//! The five ICT killzones: windows of New York wall-clock time, half-open.
//!
//! The hours are those of "ICT Killzones & Pivots \[TFO\]". The time-zone database provides daylight saving time.

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use chrono_tz::America::New_York;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A window of the trading day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Killzone {
    /// 20:00–00:00.
    Asia,
    /// 02:00–05:00.
    London,
    /// 09:30–11:00.
    NyAm,
    /// 12:00–13:00.
    Lunch,
    /// 13:30–16:00.
    Pm,
}

impl Killzone {
    /// All five, in the order of the trading day.
    pub const ALL: [Self; 5] = [Self::Asia, Self::London, Self::NyAm, Self::Lunch, Self::Pm];

    /// Returns the name on the wire: `asia`, `london`, `ny_am`, `lunch` or `pm`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asia => "asia",
            Self::London => "london",
            Self::NyAm => "ny_am",
            Self::Lunch => "lunch",
            Self::Pm => "pm",
        }
    }

    /// Returns the minutes of the New York day at which the window begins and ends.
    pub const fn window(self) -> (u32, u32) {
        match self {
            Self::Asia => (20 * 60, 24 * 60),
            Self::London => (2 * 60, 5 * 60),
            Self::NyAm => (9 * 60 + 30, 11 * 60),
            Self::Lunch => (12 * 60, 13 * 60),
            Self::Pm => (13 * 60 + 30, 16 * 60),
        }
    }

    /// Whether this window is open at `at`.
    pub fn is_active(self, at: DateTime<Utc>) -> bool {
        let (begins, ends) = self.window();
        (begins..ends).contains(&minute_in_new_york(at))
    }

    /// Returns the window that is open at `at`.
    pub fn active_at(at: DateTime<Utc>) -> Option<Self> {
        let minute = minute_in_new_york(at);
        Self::ALL.into_iter().find(|zone| (zone.window().0..zone.window().1).contains(&minute))
    }

    /// Returns the window that is open at `at`, or the one that ended last, because dashboards crash on a signal
    /// without one.
    pub fn at(at: DateTime<Utc>) -> Self {
        let minute = minute_in_new_york(at);
        // Before the first window of the calendar day, the last one was Asia on the previous evening.
        Self::ALL
            .into_iter()
            .filter(|zone| zone.window().0 <= minute)
            .max_by_key(|zone| zone.window().0)
            .unwrap_or(Self::Asia)
    }

    /// Returns the first instant after `at` at which another window is open, or none any more.
    pub fn next_change(at: DateTime<Utc>) -> DateTime<Utc> {
        let now = Self::active_at(at);
        half_hours_after(at).find(|later| Self::active_at(*later) != now).unwrap_or(at)
    }

    /// Returns the window that begins next, and when.
    pub fn next_begin(at: DateTime<Utc>) -> (Self, DateTime<Utc>) {
        let mut last = Self::active_at(at);
        let begin = half_hours_after(at).find_map(|later| {
            let before = std::mem::replace(&mut last, Self::active_at(later));
            last.filter(|zone| before != Some(*zone)).map(|zone| (zone, later))
        });
        begin.unwrap_or((Self::Asia, at))
    }

    /// Returns the windows that overlap a span of time, oldest first, each with its begin and its end.
    pub fn windows_between(from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<(Self, DateTime<Utc>, DateTime<Utc>)> {
        let mut windows = Vec::new();
        // The first window may have begun up to a day before.
        let mut now = from - TimeDelta::days(1);
        while now < to {
            let (zone, begins) = Self::next_begin(now);
            let ends = Self::next_change(begins);
            if begins < to && ends > from {
                windows.push((zone, begins, ends));
            }
            // Without a next one, `next_begin` returns its argument.
            now = ends.max(now + TimeDelta::minutes(30));
        }
        windows
    }

    /// Parses the spellings of senders: `ny_am`, `NY_AM`, `NY AM`, `London Open`, `New York AM Session`, `Asian` …
    pub fn parse(text: &str) -> Option<Self> {
        let words: String =
            text.to_lowercase().replace("new york", "ny").chars().filter(char::is_ascii_alphanumeric).collect();
        let name = ["open", "session", "killzone", "kz"]
            .iter()
            .fold(words.as_str(), |name, suffix| name.strip_suffix(suffix).unwrap_or(name));
        match name {
            "asia" | "asian" | "tokyo" => Some(Self::Asia),
            "london" | "ldn" => Some(Self::London),
            "nyam" | "ny" | "am" => Some(Self::NyAm),
            "lunch" | "nylunch" => Some(Self::Lunch),
            "pm" | "nypm" => Some(Self::Pm),
            _ => None,
        }
    }
}

/// Returns the half hours of a day after `at`. All windows and changes of the clock are at half hours, in UTC too.
fn half_hours_after(at: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
    let half_hour = 1800;
    let first = (at.timestamp().div_euclid(half_hour) + 1) * half_hour;
    (0..48).filter_map(move |index| DateTime::from_timestamp(first + index * half_hour, 0))
}

fn minute_in_new_york(at: DateTime<Utc>) -> u32 {
    let local = at.with_timezone(&New_York);
    local.hour() * 60 + local.minute()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::parse_time;

    fn at(text: &str) -> (Killzone, bool) {
        let at = parse_time(text).unwrap();
        let zone = Killzone::at(at);
        (zone, zone.is_active(at))
    }

    #[test]
    fn windows_are_half_open() {
        // New York is UTC−5 in January.
        for (text, zone, active) in [
            ("2026-01-15T00:59:00Z", Killzone::Pm, false),
            ("2026-01-15T01:00:00Z", Killzone::Asia, true),
            ("2026-01-15T04:59:59Z", Killzone::Asia, true),
            ("2026-01-15T05:00:00Z", Killzone::Asia, false),
            ("2026-01-15T06:59:00Z", Killzone::Asia, false),
            ("2026-01-15T07:00:00Z", Killzone::London, true),
            ("2026-01-15T10:00:00Z", Killzone::London, false),
            ("2026-01-15T14:29:00Z", Killzone::London, false),
            ("2026-01-15T14:30:00Z", Killzone::NyAm, true),
            ("2026-01-15T16:00:00Z", Killzone::NyAm, false),
            ("2026-01-15T17:00:00Z", Killzone::Lunch, true),
            ("2026-01-15T18:00:00Z", Killzone::Lunch, false),
            ("2026-01-15T18:30:00Z", Killzone::Pm, true),
            ("2026-01-15T21:00:00Z", Killzone::Pm, false),
        ] {
            assert_eq!(at(text), (zone, active), "{text}");
        }
    }

    /// The four Sundays of 2026 on which New York or London change their clocks.
    #[test]
    fn daylight_saving_moves_the_windows_with_new_york() {
        for (text, zone, active, why) in [
            // New York springs forward on 8 March at 07:00Z: 02:00 becomes 03:00.
            ("2026-03-08T06:59:00Z", Killzone::Asia, false, "01:59 EST"),
            ("2026-03-08T07:00:00Z", Killzone::London, true, "03:00 EDT: 02:00 does not exist"),
            ("2026-03-08T08:59:00Z", Killzone::London, true, "04:59 EDT"),
            ("2026-03-08T09:00:00Z", Killzone::London, false, "05:00 EDT"),
            // London springs forward on 29 March: nothing changes for a New York window.
            ("2026-03-29T05:59:00Z", Killzone::Asia, false, "01:59 EDT"),
            ("2026-03-29T06:00:00Z", Killzone::London, true, "02:00 EDT"),
            ("2026-03-29T08:59:00Z", Killzone::London, true, "04:59 EDT"),
            // London falls back on 25 October.
            ("2026-10-25T05:59:00Z", Killzone::Asia, false, "01:59 EDT"),
            ("2026-10-25T06:00:00Z", Killzone::London, true, "02:00 EDT"),
            // New York falls back on 1 November at 06:00Z: 01:30 comes twice.
            ("2026-11-01T05:30:00Z", Killzone::Asia, false, "01:30 EDT"),
            ("2026-11-01T06:30:00Z", Killzone::Asia, false, "01:30 EST"),
            ("2026-11-01T07:00:00Z", Killzone::London, true, "02:00 EST"),
            ("2026-11-01T09:59:00Z", Killzone::London, true, "04:59 EST"),
            ("2026-11-01T10:00:00Z", Killzone::London, false, "05:00 EST"),
        ] {
            assert_eq!(at(text), (zone, active), "{text} ({why})");
        }
    }

    #[test]
    fn changes_and_begins_are_found_across_clock_changes() {
        for (at, change, begins, next) in [
            ("2026-01-15T10:30:00Z", "2026-01-15T14:30:00Z", Killzone::NyAm, "2026-01-15T14:30:00Z"),
            ("2026-01-15T14:30:00Z", "2026-01-15T16:00:00Z", Killzone::Lunch, "2026-01-15T17:00:00Z"),
            ("2026-01-15T15:59:59.999Z", "2026-01-15T16:00:00Z", Killzone::Lunch, "2026-01-15T17:00:00Z"),
            ("2026-01-15T21:00:00Z", "2026-01-16T01:00:00Z", Killzone::Asia, "2026-01-16T01:00:00Z"),
            // New York springs forward: London begins when 02:00 would have been.
            ("2026-03-08T05:30:00Z", "2026-03-08T07:00:00Z", Killzone::London, "2026-03-08T07:00:00Z"),
            ("2026-11-01T04:00:00Z", "2026-11-01T07:00:00Z", Killzone::London, "2026-11-01T07:00:00Z"),
        ] {
            let time = |text| parse_time(text).unwrap();
            assert_eq!(Killzone::next_change(time(at)), time(change), "{at}");
            assert_eq!(Killzone::next_begin(time(at)), (begins, time(next)), "{at}");
        }
    }

    #[test]
    fn windows_of_a_span_keep_new_yorks_hours() {
        let time = |text| parse_time(text).unwrap();
        let windows = |from, to| {
            let windows = Killzone::windows_between(time(from), time(to)).into_iter();
            let at = |time: DateTime<Utc>| time.format("%dT%H:%M").to_string();
            windows.map(|(zone, begins, ends)| format!("{} {} {}", zone.name(), at(begins), at(ends))).collect()
        };
        let found: Vec<String> = windows("2026-01-15T08:00:00Z", "2026-01-15T18:30:00Z");
        assert_eq!(
            found,
            ["london 15T07:00 15T10:00", "ny_am 15T14:30 15T16:00", "lunch 15T17:00 15T18:00"],
            "half-open at both ends"
        );
        let found: Vec<String> = windows("2026-03-08T04:00:00Z", "2026-03-08T14:00:00Z");
        assert_eq!(found, ["asia 08T01:00 08T05:00", "london 08T07:00 08T09:00", "ny_am 08T13:30 08T15:00"]);
        assert_eq!(windows("2026-01-15T10:00:00Z", "2026-01-15T14:30:00Z"), Vec::<String>::new());
        assert_eq!(Killzone::windows_between(time("2026-01-05T05:00:00Z"), time("2026-01-12T05:00:00Z")).len(), 35);
    }

    #[test]
    fn senders_spell_windows_in_many_ways() {
        for (text, zone) in [
            ("london", Killzone::London),
            ("London Open", Killzone::London),
            ("LONDON", Killzone::London),
            ("NY_AM", Killzone::NyAm),
            ("ny am", Killzone::NyAm),
            ("New York AM Session", Killzone::NyAm),
            ("NY Lunch", Killzone::Lunch),
            ("PM", Killzone::Pm),
            ("Asian Killzone", Killzone::Asia),
        ] {
            assert_eq!(Killzone::parse(text), Some(zone), "{text}");
        }
        assert_eq!(Killzone::parse("sydney"), None);
        assert_eq!(Killzone::parse(""), None);
    }
}
