//! The options for reading a recording whose file does not contain them: time zone, side of the prices, spread, labels
//! of bars, and columns.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, FixedOffset, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::America::New_York;
use chrono_tz::{TZ_VARIANTS, Tz};
use serde::{Deserialize, Serialize};

/// The user's options for a recording. Absent ones are detected from the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecordingOptions {
    /// The time zone of times without one.
    pub timezone: Option<Timezone>,
    /// The side of the prices, for a file with a single price per time.
    pub price: Option<PriceSide>,
    /// The spread, for a file with a single price per time.
    pub spread: Option<Spread>,
    /// Whether the time of a bar is its beginning or its end.
    pub bar_label: Option<BarLabel>,
    /// The columns to use instead of the detected ones.
    pub columns: ColumnNames,
}

/// The time zone of a recording's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Timezone {
    /// A zone of the IANA database.
    Named(Tz),
    /// The clock of most `MetaTrader` brokers: New York + 7 h, so that the trading day begins at midnight.
    Broker,
    /// A fixed offset from UTC, without daylight saving.
    Offset(FixedOffset),
}

/// A text that is not a time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a time zone: give an IANA name such as America/New_York or Etc/GMT+5, an offset such as +02:00, or 'broker' \
     (New York + 7 h)"
)]
pub struct UnknownTimezone(String);

/// The offset of the broker's clock from New York's.
const BROKER_AHEAD: TimeDelta = TimeDelta::hours(7);

impl Timezone {
    /// UTC.
    pub const UTC: Self = Self::Named(Tz::UTC);

    /// Returns the instants at which a clock of this zone shows `local`: none in the hour that daylight saving time
    /// skips, two in the hour that it repeats.
    pub fn resolve(self, local: NaiveDateTime) -> LocalResult<DateTime<Utc>> {
        match self {
            Self::Named(zone) => zone.from_local_datetime(&local).map(|at| at.to_utc()),
            Self::Broker => match local.checked_sub_signed(BROKER_AHEAD) {
                Some(local) => New_York.from_local_datetime(&local).map(|at| at.to_utc()),
                None => LocalResult::None,
            },
            Self::Offset(offset) => offset.from_local_datetime(&local).map(|at| at.to_utc()),
        }
    }

    /// Returns what a clock of this zone shows at `at`.
    pub fn local(self, at: DateTime<Utc>) -> NaiveDateTime {
        match self {
            Self::Named(zone) => at.with_timezone(&zone).naive_local(),
            Self::Broker => at.with_timezone(&New_York).naive_local() + BROKER_AHEAD,
            Self::Offset(offset) => at.with_timezone(&offset).naive_local(),
        }
    }
}

impl FromStr for Timezone {
    type Err = UnknownTimezone;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        match lower.as_str() {
            "broker" => return Ok(Self::Broker),
            "z" | "utc" | "gmt" => return Ok(Self::UTC),
            _ => {}
        }
        let signed = lower.strip_prefix("utc").or_else(|| lower.strip_prefix("gmt")).unwrap_or(&lower);
        if let Some(offset) = parse_offset(signed) {
            return Ok(Self::Offset(offset));
        }
        let named = TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(text));
        named.map(|zone| Self::Named(*zone)).ok_or_else(|| UnknownTimezone(text.chars().take(40).collect()))
    }
}

/// Parses `+02:00`, `+0200`, `+02` or `+2`; up to 14 hours.
pub fn parse_offset(text: &str) -> Option<FixedOffset> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) if minutes.len() == 2 => (hours, minutes),
        Some(_) => return None,
        None if digits.len() == 4 && digits.is_ascii() => digits.split_at(2),
        None => (digits, "0"),
    };
    let number = |digits: &str| {
        let plain = matches!(digits.len(), 1 | 2) && digits.bytes().all(|b| b.is_ascii_digit());
        if plain { digits.parse::<i32>().ok() } else { None }
    };
    let seconds = number(hours)? * 3600 + number(minutes).filter(|minutes| *minutes < 60)? * 60;
    FixedOffset::east_opt(sign * seconds).filter(|_| seconds <= 14 * 3600)
}

impl fmt::Display for Timezone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(zone) => f.write_str(zone.name()),
            Self::Broker => f.write_str("broker"),
            Self::Offset(offset) => write!(f, "{}", offset.fix()),
        }
    }
}

/// The side of the market of a single price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PriceSide {
    /// The price to sell at.
    Bid,
    /// The price to buy at.
    Ask,
    /// The middle of the two.
    Mid,
}

impl PriceSide {
    /// The name in settings and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bid => "bid",
            Self::Ask => "ask",
            Self::Mid => "mid",
        }
    }
}

impl FromStr for PriceSide {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sides = [Self::Bid, Self::Ask, Self::Mid];
        sides.into_iter().find(|side| side.name().eq_ignore_ascii_case(text.trim())).ok_or("must be bid, ask or mid")
    }
}

impl fmt::Display for PriceSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The meaning of a bar's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BarLabel {
    /// The beginning of the bar.
    Start,
    /// The end of the bar.
    End,
}

impl BarLabel {
    /// The name in settings and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::End => "end",
        }
    }
}

impl FromStr for BarLabel {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Start, Self::End]
            .into_iter()
            .find(|label| label.name().eq_ignore_ascii_case(text.trim()))
            .ok_or("must be start or end")
    }
}

impl fmt::Display for BarLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The difference between bid and ask.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Spread {
    /// Points, which are units of the instrument's last digit: 13 points of EURUSD are 0.00013.
    Points(f64),
    /// A difference of prices.
    Price(f64),
    /// The values of the file's own column.
    Column,
}

const SPREAD_FORMS: &str = "must be points as a whole number (13) or with the word (1.5points), a difference of prices with a \
                            decimal point (0.00013), or 'column' for the file's own column";

impl FromStr for Spread {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim().to_ascii_lowercase();
        if text == "column" {
            return Ok(Self::Column);
        }
        if text.ends_with("pips") || text.ends_with("pip") {
            return Err(
                "must not be in pips, which mean different things to different brokers: give points (13) or a \
                        difference of prices (0.00013)",
            );
        }
        let number = |digits: &str| {
            let digits = digits.trim();
            let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            let value = if plain { digits.parse::<f64>().ok() } else { None };
            value.filter(|value| value.is_finite()).ok_or(SPREAD_FORMS)
        };
        if let Some(points) = ["points", "point", "pts", "pt"].iter().find_map(|unit| text.strip_suffix(unit)) {
            return Ok(Self::Points(number(points)?));
        }
        let value = number(&text)?;
        Ok(if text.contains('.') { Self::Price(value) } else { Self::Points(value) })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Points(points) => write!(f, "{points}points"),
            Self::Price(price) if price.fract() == 0.0 => write!(f, "{price:.1}"),
            Self::Price(price) => write!(f, "{price}"),
            Self::Column => f.write_str("column"),
        }
    }
}

/// The role of a column in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ColumnRole {
    /// The time, or the time of day beside a date.
    Time,
    /// The date, beside a column with the time of day.
    Date,
    /// A tick's bid.
    Bid,
    /// A tick's ask.
    Ask,
    /// A tick's only price.
    Price,
    /// A bar's first price.
    Open,
    /// A bar's highest price.
    High,
    /// A bar's lowest price.
    Low,
    /// A bar's last price.
    Close,
    /// One of the four prices of a bar's bids: 0 open, 1 high, 2 low, 3 close.
    BidBar(u8),
    /// One of the four prices of a bar's asks.
    AskBar(u8),
    /// The volume.
    Volume,
    /// The spread in points.
    Spread,
    /// The instrument.
    Symbol,
}

const ROLES: [(&str, ColumnRole); 20] = [
    ("time", ColumnRole::Time),
    ("date", ColumnRole::Date),
    ("bid", ColumnRole::Bid),
    ("ask", ColumnRole::Ask),
    ("price", ColumnRole::Price),
    ("open", ColumnRole::Open),
    ("high", ColumnRole::High),
    ("low", ColumnRole::Low),
    ("close", ColumnRole::Close),
    ("bid_open", ColumnRole::BidBar(0)),
    ("bid_high", ColumnRole::BidBar(1)),
    ("bid_low", ColumnRole::BidBar(2)),
    ("bid_close", ColumnRole::BidBar(3)),
    ("ask_open", ColumnRole::AskBar(0)),
    ("ask_high", ColumnRole::AskBar(1)),
    ("ask_low", ColumnRole::AskBar(2)),
    ("ask_close", ColumnRole::AskBar(3)),
    ("volume", ColumnRole::Volume),
    ("spread", ColumnRole::Spread),
    ("symbol", ColumnRole::Symbol),
];

/// The user's choice of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnChoice {
    /// The column with this name.
    Named(String),
    /// The column at this place, counted from 1.
    Place(usize),
    /// No column, even if one is detected.
    Absent,
}

/// Whether `01/02/2026` is in January or in February.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateOrder {
    /// Day, month, year.
    DayFirst,
    /// Month, day, year.
    MonthFirst,
}

/// The columns to use, such as `time=Datum,close=#5,volume=none,date_order=dmy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ColumnNames {
    text: String,
    /// The columns by their role.
    pub roles: BTreeMap<ColumnRole, ColumnChoice>,
    /// The order of day and month in dates.
    pub date_order: Option<DateOrder>,
}

impl FromStr for ColumnNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut names = Self { text: text.trim().to_owned(), ..Self::default() };
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (role, column) = part.split_once('=').ok_or_else(|| {
                format!(
                    "'{}' is not of the form time=NAME; a name with a comma is given by its place, as #3",
                    part.trim()
                )
            })?;
            let (role, column) = (role.trim().to_ascii_lowercase(), column.trim());
            if role == "date_order" {
                names.date_order = Some(match column.to_ascii_lowercase().as_str() {
                    "dmy" => DateOrder::DayFirst,
                    "mdy" => DateOrder::MonthFirst,
                    _ => return Err(format!("date_order must be dmy or mdy, not '{column}'")),
                });
                continue;
            }
            let known = ROLES.iter().find(|(name, _)| *name == role).ok_or_else(|| {
                let known: Vec<_> = ROLES.iter().map(|(name, _)| *name).collect();
                format!("'{role}' is not one of {} date_order", known.join(" "))
            })?;
            let choice = match column.strip_prefix('#').map(str::parse) {
                Some(Ok(place)) if (1..=1000).contains(&place) => ColumnChoice::Place(place),
                Some(_) => return Err(format!("'{column}' is not a place from #1 to #1000")),
                None if column.eq_ignore_ascii_case("none") => ColumnChoice::Absent,
                None if column.is_empty() => return Err(format!("{role}= names no column")),
                None => ColumnChoice::Named(column.to_owned()),
            };
            if names.roles.insert(known.1, choice).is_some() {
                return Err(format!("{role} is given twice"));
            }
        }
        Ok(names)
    }
}

impl fmt::Display for ColumnNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

macro_rules! as_text {
    ($($type:ty: $error:ty),*) => {$(
        impl TryFrom<String> for $type {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )*};
}

as_text!(Timezone: UnknownTimezone, PriceSide: &'static str, BarLabel: &'static str, Spread: &'static str, ColumnNames: String);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::iso;

    fn at(zone: &str, local: &str) -> Option<String> {
        let local = NaiveDateTime::parse_from_str(local, "%Y-%m-%d %H:%M").unwrap();
        zone.parse::<Timezone>().unwrap().resolve(local).single().map(iso)
    }

    #[test]
    fn a_zone_follows_its_daylight_saving() {
        for (zone, winter, summer) in [
            ("UTC", "09:00", "10:00"),
            ("Etc/GMT+5", "14:00", "15:00"),
            ("America/New_York", "14:00", "14:00"),
            ("broker", "07:00", "07:00"),
            ("Europe/Athens", "07:00", "07:00"),
            ("+02:00", "07:00", "08:00"),
            ("utc+2", "07:00", "08:00"),
            ("-0530", "14:30", "15:30"),
            ("america/new_york", "14:00", "14:00"),
        ] {
            assert_eq!(at(zone, "2026-01-15 09:00").unwrap(), format!("2026-01-15T{winter}:00.000Z"), "{zone}");
            assert_eq!(at(zone, "2026-07-02 10:00").unwrap(), format!("2026-07-02T{summer}:00.000Z"), "{zone}");
        }
        // For three weeks a year New York has changed its clocks and Athens has not.
        assert_eq!(at("broker", "2026-03-16 10:00").unwrap(), "2026-03-16T07:00:00.000Z");
        assert_eq!(at("Europe/Athens", "2026-03-16 10:00").unwrap(), "2026-03-16T08:00:00.000Z");
        assert_eq!(at("America/New_York", "2026-03-08 02:30"), None, "it does not exist");
    }

    #[test]
    fn the_error_of_an_unknown_zone_lists_formats() {
        for text in ["", "CEST+", "New York", "+25:00", "+1:2:3", "2", "+", "+é1"] {
            let error = text.parse::<Timezone>().unwrap_err().to_string();
            assert!(error.contains("America/New_York") && error.contains("+02:00"), "{error}");
        }
    }

    #[test]
    fn a_spread_has_a_unit() {
        for (text, spread) in [
            ("13", Spread::Points(13.0)),
            ("1.5points", Spread::Points(1.5)),
            ("2 pts", Spread::Points(2.0)),
            ("0.00013", Spread::Price(0.00013)),
            ("2.0", Spread::Price(2.0)),
            ("column", Spread::Column),
        ] {
            assert_eq!(text.parse(), Ok(spread), "{text}");
            assert_eq!(spread.to_string().parse(), Ok(spread), "{spread}");
        }
        for text in ["", "-1", "1.3pips", "wide", "1e5", "nan", "points"] {
            assert!(text.parse::<Spread>().is_err(), "{text}");
        }
    }

    #[test]
    fn columns_are_selected_by_name_or_place() {
        let names: ColumnNames = "time=Datum, close=#5,volume=none,date_order=dmy".parse().unwrap();
        assert_eq!(names.roles[&ColumnRole::Time], ColumnChoice::Named("Datum".into()));
        assert_eq!(names.roles[&ColumnRole::Close], ColumnChoice::Place(5));
        assert_eq!(names.roles[&ColumnRole::Volume], ColumnChoice::Absent);
        assert_eq!(names.date_order, Some(DateOrder::DayFirst));
        for (text, part) in [
            ("Datum", "is not of the form"),
            ("when=Datum", "'when' is not one of time date"),
            ("time=#0", "'#0' is not a place"),
            ("time=", "names no column"),
            ("time=a,time=b", "given twice"),
            ("date_order=ymd", "must be dmy or mdy"),
        ] {
            let error = text.parse::<ColumnNames>().unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
