//! The days on which markets end early or do not trade, computed from the rules of the exchanges.
//!
//! Rules: CME Group's holiday calendar for equity index futures on Globex
//! (<https://www.cmegroup.com/trading-hours.html>) and OANDA's hours for currencies. Metals end up to an hour later on
//! the short days. On the rare Good Fridays with a jobs report Globex trades until 09:15; here all of them are closed.
//! A broker's own days may differ, so a price that has just arrived is fresh whatever the calendar says.

use chrono::{Datelike, Days, NaiveDate, Weekday};

/// The special end of a trading day, in minutes after New York's midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// This date has no trading day.
    Closed,
    /// It ends at this minute; the next one begins at its usual time.
    At(u32),
}

/// A rule that selects days of a year.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// Month and day, whatever the weekday.
    Fixed(u32, u32),
    /// Month and day; a Sunday is observed on Monday.
    Observed(u32, u32),
    /// Month and day; a Saturday is observed on Friday, a Sunday on Monday.
    ObservedBothWays(u32, u32),
    /// The nth weekday of a month, plus a number of days.
    Nth(u32, Weekday, u8, u64),
    /// The last weekday of a month.
    Last(u32, Weekday),
    /// Two days before Easter.
    GoodFriday,
}

const ONE_PM: Ending = Ending::At(13 * 60);
const QUARTER_PAST_ONE: Ending = Ending::At(13 * 60 + 15);

/// The first matching rule decides.
const GLOBEX: [(Rule, Ending); 14] = [
    (Rule::Observed(1, 1), Ending::Closed),
    (Rule::ObservedBothWays(12, 25), Ending::Closed),
    (Rule::GoodFriday, Ending::Closed),
    (Rule::Nth(1, Weekday::Mon, 3, 0), ONE_PM),
    (Rule::Nth(2, Weekday::Mon, 3, 0), ONE_PM),
    (Rule::Last(5, Weekday::Mon), ONE_PM),
    (Rule::ObservedBothWays(6, 19), ONE_PM),
    (Rule::ObservedBothWays(7, 4), ONE_PM),
    (Rule::Nth(9, Weekday::Mon, 1, 0), ONE_PM),
    (Rule::Nth(11, Weekday::Thu, 4, 0), ONE_PM),
    (Rule::Nth(11, Weekday::Thu, 4, 1), QUARTER_PAST_ONE),
    (Rule::Fixed(7, 3), QUARTER_PAST_ONE),
    (Rule::Fixed(12, 24), QUARTER_PAST_ONE),
    (Rule::Fixed(12, 25), Ending::Closed),
];

const FOREX: [(Rule, Ending); 2] = [(Rule::Fixed(1, 1), Ending::Closed), (Rule::Fixed(12, 25), Ending::Closed)];

/// Returns the special end of the trading day on Globex; `None` on an ordinary weekday.
pub(super) fn globex(date: NaiveDate) -> Option<Ending> {
    special(&GLOBEX, date)
}

/// Returns the special end of the trading day for currencies; `None` on an ordinary weekday.
pub(super) fn forex(date: NaiveDate) -> Option<Ending> {
    special(&FOREX, date)
}

fn special(rules: &[(Rule, Ending)], date: NaiveDate) -> Option<Ending> {
    if matches!(date.weekday(), Weekday::Sat | Weekday::Sun) {
        return Some(Ending::Closed);
    }
    rules.iter().find(|(rule, _)| rule.falls_on(date)).map(|(_, ending)| *ending)
}

impl Rule {
    fn falls_on(self, date: NaiveDate) -> bool {
        let year = date.year();
        let day = match self {
            Self::Fixed(month, day) => NaiveDate::from_ymd_opt(year, month, day),
            Self::Observed(month, day) => NaiveDate::from_ymd_opt(year, month, day).map(|day| match day.weekday() {
                Weekday::Sun => day + Days::new(1),
                _ => day,
            }),
            Self::ObservedBothWays(month, day) => {
                NaiveDate::from_ymd_opt(year, month, day).map(|day| match day.weekday() {
                    Weekday::Sun => day + Days::new(1),
                    Weekday::Sat => day - Days::new(1),
                    _ => day,
                })
            }
            Self::Nth(month, weekday, nth, after) => {
                NaiveDate::from_weekday_of_month_opt(year, month, weekday, nth).map(|day| day + Days::new(after))
            }
            Self::Last(month, weekday) => NaiveDate::from_weekday_of_month_opt(year, month, weekday, 5)
                .or_else(|| NaiveDate::from_weekday_of_month_opt(year, month, weekday, 4)),
            Self::GoodFriday => easter(year).map(|easter| easter - Days::new(2)),
        };
        day == Some(date)
    }
}

/// Easter Sunday of the Gregorian calendar: the anonymous algorithm of 1876 (Meeus, *Astronomical Algorithms*, chapter 8).
#[expect(clippy::many_single_char_names, reason = "the letters of the source")]
fn easter(year: i32) -> Option<NaiveDate> {
    let (a, b, c) = (year % 19, year / 100, year % 100);
    let (d, e) = (b / 4, b % 4);
    let g = (8 * b + 13) / 25;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 19 * l) / 433;
    let month = (h + l - 7 * m + 90) / 25;
    let day = (h + l - 7 * m + 33 * month + 19) % 32;
    NaiveDate::from_ymd_opt(year, u32::try_from(month).ok()?, u32::try_from(day).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn easter_moves() {
        for (year, day) in [(2024, "2024-03-31"), (2025, "2025-04-20"), (2026, "2026-04-05"), (2038, "2038-04-25")] {
            assert_eq!(easter(year), Some(date(day)));
        }
    }

    /// The dates that CME published for 2025 and 2026.
    #[test]
    fn the_calendar_matches_the_exchange() {
        let one: Vec<_> =
            ["2025-01-20", "2025-02-17", "2025-05-26", "2025-06-19", "2025-07-04", "2025-09-01", "2025-11-27"]
                .into_iter()
                .chain([
                    "2026-01-19",
                    "2026-02-16",
                    "2026-05-25",
                    "2026-06-19",
                    "2026-07-03",
                    "2026-09-07",
                    "2026-11-26",
                ])
                .map(|day| (day, ONE_PM))
                .collect();
        let quarter =
            ["2025-07-03", "2025-11-28", "2025-12-24", "2026-11-27", "2026-12-24"].map(|day| (day, QUARTER_PAST_ONE));
        let closed = ["2025-01-01", "2025-04-18", "2025-12-25", "2026-01-01", "2026-04-03", "2026-12-25"]
            .map(|day| (day, Ending::Closed));
        let mut listed: Vec<_> =
            one.into_iter().chain(quarter).chain(closed).map(|(day, ending)| (date(day), ending)).collect();
        listed.sort_by_key(|(day, _)| *day);
        let weekdays = date("2025-01-01").iter_days().take_while(|day| day.year() < 2027);
        let weekdays = weekdays.filter(|day| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun));
        let computed: Vec<_> = weekdays.filter_map(|day| Some((day, globex(day)?))).collect();
        assert_eq!(computed, listed);
    }

    #[test]
    fn weekend_holidays_are_observed_on_weekdays() {
        assert_eq!(globex(date("2023-01-02")), Some(Ending::Closed), "New Year on a Sunday");
        assert_eq!(globex(date("2021-12-31")), None, "New Year on a Saturday is not kept");
        assert_eq!(globex(date("2021-12-24")), Some(Ending::Closed), "Christmas on a Saturday");
        assert_eq!(globex(date("2022-12-26")), Some(Ending::Closed), "Christmas on a Sunday");
        assert_eq!((forex(date("2025-12-25")), forex(date("2026-07-03"))), (Some(Ending::Closed), None));
    }
}
