//! Detects a wrong timezone by the market's weekly gap, which begins on Friday at 17:00 in New York.

use chrono::{DateTime, Datelike, Days, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc, Weekday};
use chrono_tz::America::New_York;
use chrono_tz::Tz;

use crate::domain::{Session, Timezone};

/// How many weekends are kept; more add no information.
const MAX_WEEKS: usize = 520;
/// Shortest gap that can be a weekend.
const SHORTEST: TimeDelta = TimeDelta::hours(30);
const LONGEST: TimeDelta = TimeDelta::hours(80);

/// Common timezones of recordings, the most likely first.
const CANDIDATES: [Timezone; 9] = [
    Timezone::UTC,
    Timezone::Broker,
    Timezone::Named(Tz::Etc__GMTPlus5),
    Timezone::Named(Tz::America__New_York),
    Timezone::Named(Tz::Europe__Athens),
    Timezone::Named(Tz::America__Chicago),
    Timezone::Named(Tz::Europe__London),
    Timezone::Named(Tz::Europe__Berlin),
    Timezone::Named(Tz::Europe__Moscow),
];

/// The weekends of a recording, on the file's clock.
#[derive(Debug)]
pub(super) struct WeeklyGap {
    session: Session,
    last: Option<NaiveDateTime>,
    weeks: Vec<(NaiveDateTime, NaiveDateTime)>,
}

impl WeeklyGap {
    pub(super) fn new(session: Session) -> Self {
        Self { session, last: None, weeks: Vec::new() }
    }

    /// Records that prices cover the span from `from` until `until` on the file's clock.
    pub(super) fn observe(&mut self, from: NaiveDateTime, until: NaiveDateTime) {
        let last = self.last.replace(until);
        if let Some(last) = last
            && (SHORTEST..=LONGEST).contains(&(from - last))
            && self.weeks.len() < MAX_WEEKS
        {
            self.weeks.push((last, from));
        }
    }

    /// Returns by how many hours the weekend is late if the times are read as of `zone`.
    fn shift(&self, (closed, opened): (NaiveDateTime, NaiveDateTime), zone: Timezone) -> Option<i64> {
        let opens = match self.session {
            Session::Forex => 17,
            Session::Globex => 18,
            Session::Always => return None,
        };
        let closed = zone.resolve(closed).earliest()?;
        let opened = zone.resolve(opened).earliest()?;
        let hours = |away: TimeDelta| (away.num_minutes() as f64 / 60.0).round() as i64;
        let late = hours(closed - nearest(closed, Weekday::Fri, 17)?);
        let early = hours(opened - nearest(opened, Weekday::Sun, opens)?);
        // Holidays, quiet hours and brokers' trading hours move one end alone.
        Some(if late.signum() == early.signum() { late.signum() * late.abs().min(early.abs()) } else { 0 })
    }

    fn shifts(&self, zone: Timezone) -> Vec<i64> {
        self.weeks.iter().filter_map(|week| self.shift(*week, zone)).collect()
    }

    /// Returns a warning if the times do not fit `zone`, with a timezone that fits; `None` if they fit. `own` says that
    /// the file itself names the timezone.
    pub(super) fn warning(&self, zone: Timezone, own: bool) -> Option<String> {
        let shifts = self.shifts(zone);
        let weeks = shifts.len();
        let off = shifts.iter().filter(|shift| **shift != 0).count();
        let mut late: Vec<i64> = shifts.into_iter().filter(|shift| *shift != 0).collect();
        late.sort_unstable();
        let late = *late.get(late.len() / 2)?;
        let count = |zone: &Timezone| self.shifts(*zone).iter().filter(|shift| **shift != 0).count();
        let best = CANDIDATES.iter().min_by_key(|zone| count(zone))?;
        let shifted = self.offset(zone, late).map(Timezone::Offset);
        let best = match shifted {
            Some(shifted) if count(&shifted) < count(best) => &{ shifted },
            _ => best,
        };
        let better = off - count(best).min(off);
        if better == 0 || (better * 4 < weeks && (better < 2 || count(best) > 0)) {
            return None;
        }
        let how = if late > 0 { "late" } else { "early" };
        let hours = late.abs();
        let said = format!(
            "the market's weekly gap lies {hours} h {how} on {off} of {weeks} weekends as the times are read ({zone})"
        );
        if own {
            return Some(format!("{said}: the file's own times are not those of the market"));
        }
        let offset = self.weeks.iter().find_map(|(_, opened)| {
            let at = best.resolve(*opened).earliest()?;
            Some(*opened - at.naive_utc())
        })?;
        let minutes = offset.num_minutes();
        let (sign, minutes) = (if minutes < 0 { '-' } else { '+' }, minutes.abs());
        let offset = format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        let named = best.to_string();
        let also = if named == offset { String::new() } else { format!(" ({offset} at its first weekend)") };
        Some(format!("{said}: --timezone {named}{also} would fit {} of {weeks}", weeks - count(best)))
    }

    /// Returns the fixed offset that fits weekends that are `late` hours late.
    fn offset(&self, zone: Timezone, late: i64) -> Option<chrono::FixedOffset> {
        let (_, opened) = self.weeks.first()?;
        let at = zone.resolve(*opened).earliest()?;
        let seconds = (*opened - at.naive_utc()).num_seconds() + late * 3600;
        chrono::FixedOffset::east_opt(i32::try_from(seconds).ok()?).filter(|_| seconds.abs() <= 14 * 3600)
    }
}

/// Returns the nearest time with this weekday and hour in New York.
fn nearest(at: DateTime<Utc>, weekday: Weekday, hour: u32) -> Option<DateTime<Utc>> {
    let local = at.with_timezone(&New_York).date_naive();
    let since = local.weekday().days_since(weekday);
    let day = if since <= 3 { local - Days::new(since.into()) } else { local + Days::new(7 - u64::from(since)) };
    let time = NaiveTime::from_hms_opt(hour, 0, 0)?;
    New_York.from_local_datetime(&day.and_time(time)).earliest().map(|at| at.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the minutes around the weekends of a year, on the clock of `zone`.
    fn year(zone: &str, weeks: u64) -> WeeklyGap {
        let zone: Timezone = zone.parse().unwrap();
        let mut gap = WeeklyGap::new(Session::Forex);
        for week in 0..weeks {
            let friday = chrono::NaiveDate::from_ymd_opt(2026, 1, 9).unwrap() + Days::new(7 * week);
            let at = |day: chrono::NaiveDate| {
                New_York.from_local_datetime(&day.and_hms_opt(17, 0, 0).unwrap()).unwrap().to_utc()
            };
            for (from, until) in [
                (at(friday) - TimeDelta::hours(72), at(friday)),
                (at(friday + Days::new(2)), at(friday + Days::new(3))),
            ] {
                gap.observe(zone.local(from), zone.local(until));
            }
        }
        gap
    }

    #[test]
    fn the_right_zone_gives_no_warning() {
        for zone in ["UTC", "broker", "America/New_York", "Etc/GMT+5", "+03:00"] {
            assert_eq!(year(zone, 50).warning(zone.parse().unwrap(), false), None, "{zone}");
        }
    }

    #[test]
    fn a_wrong_zone_warns_with_a_fitting_one() {
        let warning =
            |written: &str, read: &str, weeks| year(written, weeks).warning(read.parse().unwrap(), false).unwrap();
        let text = warning("broker", "UTC", 4);
        assert!(text.contains("lies 2 h late on 4 of 4 weekends"), "{text}");
        assert!(text.contains("--timezone broker (+02:00 at its first weekend) would fit 4 of 4"), "{text}");
        let text = warning("Etc/GMT+5", "UTC", 50);
        assert!(text.contains("5 h early") || text.contains("4 h early"), "{text}");
        assert!(text.contains("--timezone Etc/GMT+5 (-05:00"), "{text}");
        assert!(warning("America/New_York", "Etc/GMT+5", 50).contains("--timezone America/New_York"), "in summer only");
        assert!(warning("Europe/Athens", "broker", 50).contains("--timezone Europe/Athens"), "some weeks a year");
        assert!(warning("+08:00", "UTC", 4).contains("--timezone +08:00 would fit 4 of 4"));
    }

    #[test]
    fn a_market_without_weekends_gives_no_warning() {
        let mut gap = year("broker", 10);
        gap.session = Session::Always;
        assert_eq!(gap.warning(Timezone::UTC, false), None);
        assert_eq!(WeeklyGap::new(Session::Forex).warning(Timezone::UTC, false), None);
    }
}
