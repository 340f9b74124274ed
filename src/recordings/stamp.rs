//! Parses times in the formats of many vendors. Ambiguous times are errors, not guesses.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

use crate::domain::{DateOrder, parse_offset};

/// A time as it is written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    /// A time with its timezone.
    Instant(DateTime<Utc>),
    /// Seconds, milliseconds, microseconds or nanoseconds since 1970. They are UTC, except for programs that count on
    /// their local clock.
    Epoch(DateTime<Utc>),
    /// A local time without a timezone.
    Local(NaiveDateTime),
}

/// Why a text is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeFault {
    /// The text is not a time.
    NotATime,
    /// An epoch in exponential form: its last digits are lost.
    Rounded,
    /// `01/02/2026`.
    Ambiguous,
    /// `15/01/26`: the year may be at either end.
    ShortYear,
    /// `46037.29`: days since 1900, the format of spreadsheets.
    DayNumber,
}

impl TimeFault {
    /// Returns the fault of `text`.
    pub(super) fn reason(self, text: &str) -> String {
        let shown: String = text.chars().take(40).collect();
        match self {
            Self::NotATime => format!("'{shown}' is not a time"),
            Self::Rounded => format!("'{shown}' was rounded by a spreadsheet"),
            Self::Ambiguous => {
                format!(
                    "'{shown}' may be day/month or month/day: say it with --columns date_order=dmy or date_order=mdy"
                )
            }
            Self::ShortYear => format!("'{shown}' has a year of two digits: write four"),
            Self::DayNumber => {
                format!("'{shown}' is the day number of a spreadsheet: format the column as date and time")
            }
        }
    }
}

/// The time format of a file, determined from all its rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TimeStyle {
    /// The order of day and month, where it is not obvious.
    pub(super) date_order: Option<DateOrder>,
    /// Whether times of day without colons include seconds: `700` is 00:07:00 beside `235900`, else 07:00.
    pub(super) has_seconds: bool,
}

/// A date, which may need the order of day and month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DateParts {
    Certain(NaiveDate),
    /// First and second number, and the year.
    Either(u32, u32, i32),
}

/// Splits off the digits at the beginning of a text.
fn digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    if digits.is_empty() || digits.len() > 9 { None } else { digits.parse().ok() }
}

fn date(year: &str, month: &str, day: &str) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(number(year)?, number(month)?, number(day)?).filter(|_| year.len() == 4)
}

/// Parses `20260115`.
fn compact_date(digits: &str) -> Option<NaiveDate> {
    let plausible = digits.len() == 8 && matches!(&digits[..2], "19" | "20");
    if plausible { date(&digits[..4], &digits[4..6], &digits[6..]) } else { None }
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Parses `Jan` or `January`, and returns the rest.
fn month_name(text: &str) -> Option<(u32, &str)> {
    let end = text.bytes().position(|b| !b.is_ascii_alphabetic()).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let short = name.get(..3)?.to_ascii_lowercase();
    let place = MONTHS.iter().position(|month| *month == short)?;
    let long = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let known = name.len() == 3 || long[place] == name.to_ascii_lowercase() || name.eq_ignore_ascii_case("sept");
    known.then_some((place as u32 + 1, rest))
}

/// Parses a date at the beginning of a text, and returns the rest.
fn split_date(text: &str) -> Result<(DateParts, &str), TimeFault> {
    if let Some((month, rest)) = month_name(text) {
        let (day, rest) = digits(rest.trim_start_matches([' ', '.', '-']));
        let (year, rest) = digits(rest.trim_start_matches([',', ' ', '-']));
        return named(day, month, year, rest);
    }
    let (first, rest) = digits(text);
    if first.len() == 8 {
        return compact_date(first).map(|date| (DateParts::Certain(date), rest)).ok_or(TimeFault::NotATime);
    }
    let mark = rest.chars().next().filter(|mark| matches!(mark, '-' | '/' | '.' | ' ')).ok_or(TimeFault::NotATime)?;
    let rest = &rest[1..];
    if let Some((month, rest)) = month_name(rest) {
        let (year, rest) = digits(rest.strip_prefix([mark, ',']).unwrap_or(rest).trim_start());
        return named(first, month, year, rest);
    }
    let (second, rest) = digits(rest);
    let rest = rest.strip_prefix(mark).filter(|_| mark != ' ').ok_or(TimeFault::NotATime)?;
    let (third, rest) = digits(rest);
    if second.is_empty() || second.len() > 2 || first.is_empty() || third.is_empty() {
        return Err(TimeFault::NotATime);
    }
    match (first.len(), third.len()) {
        (4, 1 | 2) => {
            date(first, second, third).map(|date| (DateParts::Certain(date), rest)).ok_or(TimeFault::NotATime)
        }
        (1 | 2, 4) => {
            let day_first = date(third, second, first);
            // Formats with points always have the day first.
            let month_first = if mark == '.' { None } else { date(third, first, second) };
            let parts = match (day_first, month_first) {
                (Some(one), Some(other)) if one != other => {
                    let part = |digits: &str| number(digits).ok_or(TimeFault::NotATime);
                    DateParts::Either(part(first)?, part(second)?, number(third).ok_or(TimeFault::NotATime)?)
                }
                (Some(date), _) | (None, Some(date)) => DateParts::Certain(date),
                (None, None) => return Err(TimeFault::NotATime),
            };
            Ok((parts, rest))
        }
        (1 | 2, 2) => Err(TimeFault::ShortYear),
        _ => Err(TimeFault::NotATime),
    }
}

fn named<'a>(day: &str, month: u32, year: &str, rest: &'a str) -> Result<(DateParts, &'a str), TimeFault> {
    if year.len() == 2 {
        return Err(TimeFault::ShortYear);
    }
    let found = number(year)
        .filter(|_| year.len() == 4)
        .zip(number(day))
        .and_then(|(year, day)| NaiveDate::from_ymd_opt(year, month, day));
    found.map(|date| (DateParts::Certain(date), rest)).ok_or(TimeFault::NotATime)
}

fn resolve_date(parts: DateParts, order: Option<DateOrder>) -> Result<NaiveDate, TimeFault> {
    let date = match (parts, order) {
        (DateParts::Certain(date), _) => Some(date),
        (DateParts::Either(day, month, year), Some(DateOrder::DayFirst))
        | (DateParts::Either(month, day, year), Some(DateOrder::MonthFirst)) => {
            NaiveDate::from_ymd_opt(year, month, day)
        }
        (DateParts::Either(..), None) => return Err(TimeFault::Ambiguous),
    };
    date.ok_or(TimeFault::NotATime)
}

/// Returns the order of day and month that a text proves; `None` if it proves none.
pub(super) fn shown_order(text: &str) -> Option<DateOrder> {
    let (first, rest) = digits(text.trim());
    let mark = rest.chars().next().filter(|mark| matches!(mark, '-' | '/'))?;
    let (second, rest) = digits(&rest[1..]);
    let (year, _) = digits(rest.strip_prefix(mark)?);
    let (first, second) = (number::<u32>(first)?, number::<u32>(second)?);
    match (year.len(), first, second) {
        (4, 13..=31, 1..=12) => Some(DateOrder::DayFirst),
        (4, 1..=12, 13..=31) => Some(DateOrder::MonthFirst),
        _ => None,
    }
}

/// Parses a time. A date alone is its midnight.
pub(super) fn read(text: &str, style: TimeStyle) -> Result<Stamp, TimeFault> {
    let text = text.trim();
    if let Some(stamp) = iso(text) {
        return Ok(Stamp::Instant(stamp));
    }
    if text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E'))
        && text.bytes().filter(|b| *b == b'.').count() <= 1
        && text.bytes().next().is_some_and(|b| b.is_ascii_digit())
        && !text.bytes().skip(1).any(|b| b == b'-' && !text.contains(['e', 'E']))
    {
        return plain_number(text);
    }
    let (parts, rest) = split_date(text)?;
    let order = style.date_order;
    let rest = rest.strip_prefix(['T', 't']).unwrap_or_else(|| rest.trim_start_matches([' ', ',', ';']));
    if rest.is_empty() {
        return Ok(Stamp::Local(resolve_date(parts, order)?.and_time(NaiveTime::MIN)));
    }
    // Without digits at the beginning there is no date.
    if rest.len() == text.len() {
        return Err(TimeFault::NotATime);
    }
    let (clock, zone) = split_clock(rest, true)?;
    let local = NaiveDateTime::new(resolve_date(parts, order)?, clock);
    zoned(local, zone)
}

/// Parses `2014-05-04T21:00:00Z`, also with three decimals. A fast path, because the server's own recordings have this
/// format.
fn iso(text: &str) -> Option<DateTime<Utc>> {
    let bytes = text.as_bytes();
    let (millis, fits) = match bytes.len() {
        20 => (None, true),
        24 => (Some(text.get(20..23)?), bytes[19] == b'.'),
        _ => return None,
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (bytes.len() - 1, b'Z')];
    if !fits || !marks.iter().all(|(place, mark)| bytes[*place] == *mark) {
        return None;
    }
    let part = |from: usize, to: usize| -> Option<u32> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0, |sum, b| if b.is_ascii_digit() { Some(sum * 10 + u32::from(b - b'0')) } else { None })
    };
    let date = NaiveDate::from_ymd_opt(part(0, 4)? as i32, part(5, 7)?, part(8, 10)?)?;
    let millis = match millis {
        Some(_) => part(20, 23)?,
        None => 0,
    };
    Some(date.and_hms_milli_opt(part(11, 13)?, part(14, 16)?, part(17, 19)?, millis)?.and_utc())
}

/// Parses digits alone: a compact date with or without its time, or an epoch. No plausible time is ambiguous: as an
/// epoch, every compact form is before 1990 or after 2500.
fn plain_number(text: &str) -> Result<Stamp, TimeFault> {
    if text.contains(['e', 'E']) {
        let digits: usize = text.bytes().filter(u8::is_ascii_digit).count();
        return Err(if digits > 3 && text.parse::<f64>().is_ok() { TimeFault::Rounded } else { TimeFault::NotATime });
    }
    if text.contains(['+', '-']) {
        return Err(TimeFault::NotATime);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all_zero = fraction.bytes().all(|b| b == b'0');
    match whole.len() {
        5 if ("20000".."70000").contains(&whole) => Err(TimeFault::DayNumber),
        8 if all_zero => {
            compact_date(whole).map(|date| Stamp::Local(date.and_time(NaiveTime::MIN))).ok_or(TimeFault::NotATime)
        }
        12 | 14 | 17 if compact_date(&whole[..8]).is_some() && (whole.len() != 12 || all_zero) => {
            let date = compact_date(&whole[..8]).ok_or(TimeFault::NotATime)?;
            let (hms, digits) = whole[8..].split_at((whole.len() - 8).min(6));
            let padded = format!("{hms:0<6}");
            let clock =
                clock(&padded[..2], &padded[2..4], &padded[4..], if fraction.is_empty() { digits } else { fraction });
            clock.map(|clock| Stamp::Local(date.and_time(clock))).ok_or(TimeFault::NotATime)
        }
        9 | 10 | 12 | 13 | 15 | 16 | 18 | 19 => {
            let whole_number: i64 = whole.parse().map_err(|_| TimeFault::NotATime)?;
            let millis = match whole.len() {
                9 | 10 => whole_number * 1000 + i64::from(millis(fraction).ok_or(TimeFault::NotATime)?),
                12 | 13 => whole_number,
                15 | 16 => whole_number / 1000,
                _ => whole_number / 1_000_000,
            };
            DateTime::from_timestamp_millis(millis).map(Stamp::Epoch).ok_or(TimeFault::NotATime)
        }
        _ => Err(TimeFault::NotATime),
    }
}

/// Returns the first three decimals of a second.
fn millis(fraction: &str) -> Option<u32> {
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut digits = fraction.bytes().map(|b| u32::from(b - b'0'));
    let mut next = || digits.next().unwrap_or(0);
    Some(next() * 100 + next() * 10 + next())
}

fn clock(hour: &str, minute: &str, second: &str, fraction: &str) -> Option<NaiveTime> {
    let two = |digits: &str| number::<u32>(digits).filter(|_| digits.len() <= 2);
    NaiveTime::from_hms_milli_opt(two(hour)?, two(minute)?, two(second)?, millis(fraction)?)
}

/// Parses a time of day, and returns the rest: nothing, or a timezone.
fn split_clock(text: &str, has_seconds: bool) -> Result<(NaiveTime, &str), TimeFault> {
    let (first, rest) = digits(text);
    let (parsed, rest) = if let Some(rest) = rest.strip_prefix(':') {
        let (minute, rest) = digits(rest);
        let (second, rest) = rest.strip_prefix(':').map_or(("0", rest), digits);
        let (fraction, rest) = fraction(rest);
        let (hour, rest) = half_of_day(first, rest)?;
        (clock(&hour, minute, second, fraction), rest)
    } else {
        let (mut fraction, mut rest) = fraction(rest);
        let whole = match (first.len(), has_seconds) {
            (1..=6, true) | (5 | 6, false) => format!("{first:0>6}"),
            (1..=4, false) => format!("{first:0>4}00"),
            (7..=15, _) => first.to_owned(),
            _ => return Err(TimeFault::NotATime),
        };
        if whole.len() > 6 {
            fraction = &first[6..];
        } else if let Some(after) = rest.strip_prefix(' ')
            && let (digits, after) = digits(after)
            && digits.len() == 7
        {
            // NinjaTrader: 070000 0510000
            (fraction, rest) = (digits, after);
        }
        (clock(&whole[..2], &whole[2..4], &whole[4..6], fraction), rest)
    };
    parsed.map(|clock| (clock, rest)).ok_or(TimeFault::NotATime)
}

fn fraction(text: &str) -> (&str, &str) {
    match text.strip_prefix(['.', ',']) {
        Some(rest) => digits(rest),
        None => ("", text),
    }
}

/// Parses `7:05 PM`.
fn half_of_day<'a>(hour: &str, rest: &'a str) -> Result<(String, &'a str), TimeFault> {
    let trimmed = rest.trim_start();
    let half = trimmed.get(..2).map(str::to_ascii_lowercase);
    let afternoon = match half.as_deref() {
        Some("am") => false,
        Some("pm") => true,
        _ => return Ok((hour.to_owned(), rest)),
    };
    let hour: u32 = number(hour).filter(|hour| (1..=12).contains(hour)).ok_or(TimeFault::NotATime)?;
    Ok(((hour % 12 + if afternoon { 12 } else { 0 }).to_string(), &trimmed[2..]))
}

fn zoned(local: NaiveDateTime, zone: &str) -> Result<Stamp, TimeFault> {
    let zone = zone.trim();
    if zone.is_empty() {
        return Ok(Stamp::Local(local));
    }
    let signed = ["UTC", "GMT", "Z", "utc", "gmt", "z"].iter().find_map(|name| zone.strip_prefix(name));
    let offset = match signed {
        Some("") => return Ok(Stamp::Instant(local.and_utc())),
        Some(signed) => parse_offset(signed),
        None => parse_offset(zone),
    };
    let offset = offset.ok_or(TimeFault::NotATime)?;
    let away = TimeDelta::seconds(i64::from(offset.local_minus_utc()));
    local.checked_sub_signed(away).map(|at| Stamp::Instant(at.and_utc())).ok_or(TimeFault::NotATime)
}

/// Parses a date and a time of day in two columns. If one column has both, the other is not used.
pub(super) fn read_split(date: &str, clock: &str, style: TimeStyle) -> Result<Stamp, (bool, TimeFault)> {
    let day = match read(date, style).map_err(|fault| (true, fault))? {
        Stamp::Local(at) if at.time() == NaiveTime::MIN => at.date(),
        whole => return if clock.trim().is_empty() { Ok(whole) } else { Err((true, TimeFault::NotATime)) },
    };
    let clock = clock.trim();
    if clock.is_empty() {
        return Err((false, TimeFault::NotATime));
    }
    match split_clock(clock, style.has_seconds) {
        Ok((time, zone)) => zoned(day.and_time(time), zone).map_err(|fault| (false, fault)),
        Err(fault) => match read(clock, style) {
            Ok(whole @ Stamp::Local(at)) if at.date() == day => Ok(whole),
            _ => Err((false, fault)),
        },
    }
}

/// Returns whether a time of day without colons includes seconds: `Some(true)` if it must, `Some(false)` if it cannot,
/// `None` if it has colons or is ambiguous.
pub(super) fn shows_seconds(clock: &str) -> Option<bool> {
    let (first, rest) = digits(clock.trim());
    match first.len() {
        _ if !rest.is_empty() && !rest.starts_with('.') => None,
        5.. => Some(true),
        4 if first.starts_with('0') => Some(false),
        3 | 4 => {
            let (hour, minute) = first.split_at(first.len() - 2);
            (number::<u32>(hour)? > 23 || number::<u32>(minute)? > 59).then_some(true)
        }
        _ => None,
    }
}

/// Returns whether a field may be a time of day without colons.
pub(super) fn is_bare_clock(clock: &str) -> bool {
    let (first, rest) = digits(clock.trim());
    rest.is_empty() && !first.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::iso as utc;

    fn read_any(text: &str) -> Result<String, TimeFault> {
        read(text, TimeStyle::default()).map(|stamp| match stamp {
            Stamp::Instant(at) | Stamp::Epoch(at) => utc(at),
            Stamp::Local(at) => at.format("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        })
    }

    #[test]
    fn every_form_of_one_moment_is_read() {
        for text in [
            "2026-01-15T07:00:00.051Z",
            "2026-01-15 07:00:00.051+00:00",
            "2026-01-15T02:00:00.051-05:00",
            "2026-01-15 08:00:00.051 +0100",
            "15.01.2026 09:00:00.051 GMT+0200",
            "2026-01-15 07:00:00.051 UTC",
            "2026-01-15T07:00:00.051999999Z",
            "1768460400051",
            "1768460400051000",
            "1768460400051999999",
            "1768460400.051",
        ] {
            assert_eq!(read_any(text).as_deref(), Ok("2026-01-15T07:00:00.051Z"), "{text}");
        }
        for text in [
            "2026-01-15 07:00:00.051",
            "2026.01.15 07:00:00.051",
            "2026/1/15 07:00:00.051",
            "2026-01-15T07:00:00,051",
            "15.01.2026 07:00:00.051",
            "01/15/2026 7:00:00.051 AM",
            "15-01-2026 07:00:00.051",
            "20260115 070000051",
            "20260115 07:00:00.051",
            "20260115 070000 0510000",
            "20260115070000051",
            "20260115070000.051",
            "15-Jan-2026 07:00:00.051",
            "Jan 15, 2026 07:00:00.051",
            "15 January 2026 07:00:00.051",
        ] {
            assert_eq!(read_any(text).as_deref(), Ok("2026-01-15 07:00:00.051"), "{text}");
        }
        for (text, expected) in [
            ("20260115", "2026-01-15 00:00:00.000"),
            ("2026-01-15", "2026-01-15 00:00:00.000"),
            ("01/15/2026", "2026-01-15 00:00:00.000"),
            ("Jan 15, 2026", "2026-01-15 00:00:00.000"),
            ("05/05/2026", "2026-05-05 00:00:00.000"),
            ("202601150705", "2026-01-15 07:05:00.000"),
            ("2026-01-15 07:05", "2026-01-15 07:05:00.000"),
            ("1/15/2026 12:05 AM", "2026-01-15 00:05:00.000"),
            ("1/15/2026 12:05:00 PM", "2026-01-15 12:05:00.000"),
        ] {
            assert_eq!(read_any(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_ambiguous_time_is_rejected() {
        for (text, fault) in [
            ("", TimeFault::NotATime),
            ("yesterday", TimeFault::NotATime),
            ("1.76846E+12", TimeFault::Rounded),
            ("1.76846e12", TimeFault::Rounded),
            ("01/02/2026", TimeFault::Ambiguous),
            ("1-2-2026 07:00", TimeFault::Ambiguous),
            ("15/01/26", TimeFault::ShortYear),
            ("15-Jan-26", TimeFault::ShortYear),
            ("46037.2916", TimeFault::DayNumber),
            ("70000", TimeFault::NotATime),
            ("2026-13-01", TimeFault::NotATime),
            ("20261301", TimeFault::NotATime),
            ("2026-01-15 25:00", TimeFault::NotATime),
            ("2026-01-15 07:00 CEST", TimeFault::NotATime),
            ("2026-01-15T", TimeFault::NotATime),
            ("-1768460400", TimeFault::NotATime),
            ("1.16001", TimeFault::NotATime),
            ("NaN", TimeFault::NotATime),
        ] {
            let expected = if text == "2026-01-15T" { Ok("2026-01-15 00:00:00.000".to_owned()) } else { Err(fault) };
            assert_eq!(read_any(text), expected, "{text}");
        }
    }

    #[test]
    fn date_and_time_may_be_two_columns() {
        let style = |has_seconds| TimeStyle { date_order: None, has_seconds };
        for (date, clock, has_seconds, expected) in [
            ("2026.01.15", "07:00", false, "07:00:00.000"),
            ("20260115", "070000", true, "07:00:00.000"),
            ("20260115", "0700", false, "07:00:00.000"),
            ("20260115", "700", false, "07:00:00.000"),
            ("20260115", "70000", true, "07:00:00.000"),
            ("20260115", "700", true, "00:07:00.000"),
            ("20260115", "0", true, "00:00:00.000"),
            ("2026/1/15", "09:31:00.018", false, "09:31:00.018"),
            ("2026-01-15 00:00:00", "07:00:00", false, "07:00:00.000"),
            ("01/15/2026", "7:00 PM", false, "19:00:00.000"),
        ] {
            let Ok(Stamp::Local(at)) = read_split(date, clock, style(has_seconds)) else { panic!("{date} {clock}") };
            assert_eq!(
                at.format("%Y-%m-%d %H:%M:%S%.3f").to_string(),
                format!("2026-01-15 {expected}"),
                "{date} {clock}"
            );
        }
        assert_eq!(read_split("2026-01-15", "", style(false)), Err((false, TimeFault::NotATime)));
        assert_eq!(read_split("01/02/2026", "07:00", style(false)), Err((true, TimeFault::Ambiguous)));
        assert_eq!(read_split("2026-01-15", "2500", style(false)), Err((false, TimeFault::NotATime)));
        assert_eq!(
            [shows_seconds("070000"), shows_seconds("5900"), shows_seconds("0700")],
            [Some(true), Some(true), Some(false)]
        );
        assert_eq!([shows_seconds("700"), shows_seconds("07:00")], [None, None]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}", clock in "\\PC{0,20}") {
            read(&text, TimeStyle::default()).ok();
            read_split(&text, &clock, TimeStyle::default()).ok();
            shown_order(&text);
            shows_seconds(&clock);
        }

        #[test]
        fn nothing_like_a_time_makes_it_panic(text in "[0-9TZ:./ eE+,-]{0,32}", clock in "[0-9:. apAPmM+]{0,16}") {
            read(&text, TimeStyle::default()).ok();
            read_split(&text, &clock, TimeStyle { date_order: Some(DateOrder::DayFirst), has_seconds: true }).ok();
            shown_order(&text);
            shows_seconds(&clock);
        }
    }
}
