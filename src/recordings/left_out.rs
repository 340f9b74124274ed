//! Skipped rows, counted by reason.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

/// Why a row is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOutReason {
    /// A field is missing or invalid.
    Unreadable,
    /// The time is before 1990 or in the future.
    TimeOutOfRange,
    /// The local time does not exist: daylight saving skips the hour.
    NoSuchLocalTime,
    /// The row is older than the previous one.
    BackInTime,
    /// A bar has the time of the previous bar.
    SameTime,
    /// High or low are not the extremes of the bar.
    InconsistentBar,
    /// The bid is above the ask.
    Crossed,
    /// A tick has one side, and the other one is not known yet.
    OneSided,
    /// The row has no price.
    NoPrice,
    /// A bar without movement in a closed market.
    ClosedMarket,
    /// The row is of another instrument.
    OtherInstrument,
}

impl LeftOutReason {
    /// Returns the name in the JSON report.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::NoSuchLocalTime => "no_such_local_time",
            Self::BackInTime => "back_in_time",
            Self::SameTime => "same_time",
            Self::InconsistentBar => "inconsistent_bar",
            Self::Crossed => "crossed",
            Self::OneSided => "one_sided",
            Self::NoPrice => "no_price",
            Self::ClosedMarket => "closed_market",
            Self::OtherInstrument => "other_instrument",
        }
    }

    /// Returns the text for people, which follows the number of rows.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::TimeOutOfRange => "before 1990 or in the future",
            Self::NoSuchLocalTime => "at a time that does not exist in the time zone",
            Self::BackInTime => "back in time",
            Self::SameTime => "with the time of the bar before",
            Self::InconsistentBar => "whose high or low is not the extreme",
            Self::Crossed => "with the bid above the ask",
            Self::OneSided => "with one side, before the other was known",
            Self::NoPrice => "without a price",
            Self::ClosedMarket => "filling a closed market",
            Self::OtherInstrument => "of other instruments",
        }
    }

    /// Returns whether valid files of some vendor contain such rows.
    pub(super) const fn is_expected(self) -> bool {
        matches!(self, Self::ClosedMarket | Self::OtherInstrument | Self::OneSided | Self::NoPrice)
    }
}

/// The rows that are skipped for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOutRows {
    /// The number of rows.
    pub rows: u64,
    /// The first one, with its fault.
    pub first: String,
}

/// The skipped rows, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut(BTreeMap<LeftOutReason, LeftOutRows>);

impl LeftOut {
    /// Counts a row; `place` is only called for the first row of a reason.
    pub(super) fn count(&mut self, reason: LeftOutReason, place: impl FnOnce() -> String) {
        let entry = self.0.entry(reason).or_insert_with(|| LeftOutRows { rows: 0, first: place() });
        entry.rows += 1;
    }

    /// Returns the number of all skipped rows.
    pub fn total(&self) -> u64 {
        self.0.values().map(|rows| rows.rows).sum()
    }

    /// Returns the number of rows for a reason.
    pub fn of(&self, reason: LeftOutReason) -> u64 {
        self.0.get(&reason).map_or(0, |rows| rows.rows)
    }

    /// Returns the first row for a reason.
    pub(super) fn first(&self, reason: LeftOutReason) -> Option<&str> {
        self.0.get(&reason).map(|rows| rows.first.as_str())
    }

    /// Returns the first row with a fault, else the first of all.
    pub fn first_fault(&self) -> Option<&str> {
        let fault = self.0.iter().find(|(reason, _)| !reason.is_expected());
        fault.or_else(|| self.0.iter().next()).map(|(_, rows)| rows.first.as_str())
    }

    /// Returns the rows by reason.
    pub fn iter(&self) -> impl Iterator<Item = (LeftOutReason, &LeftOutRows)> {
        self.0.iter().map(|(reason, rows)| (*reason, rows))
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.iter().map(|(reason, rows)| format!("{} {}", rows.rows, reason.words())).collect();
        f.write_str(&parts.join(", "))
    }
}

impl Serialize for LeftOut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(reason, rows)| (reason.code(), rows)))
    }
}
