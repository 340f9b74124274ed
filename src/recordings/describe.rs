//! Describes a recording: at its beginning what was detected and assumed, at its end what the whole file showed.

use chrono::{DateTime, TimeDelta};
use chrono_tz::Tz;

use super::layout::{Layout, Side, ZoneOrigin};
use super::left_out::LeftOutReason;
use super::reader::Recording;
use crate::domain::{BarLabel, RecordingOptions, Spread, Timezone};

/// The bar length that the detectors read.
const DETECTORS: TimeDelta = TimeDelta::minutes(5);

impl Recording {
    /// Fills in the summary with what the first rows show.
    pub(super) fn describe_opening(&mut self, options: &RecordingOptions, has_local: bool, length_is_unknown: bool) {
        let layout = &self.layout;
        let single = layout.prices.is_single();
        let (price, prices) = match layout.side {
            _ if !single => ("bid_ask", "bid and ask"),
            Side::Bid => ("bid", "bid prices"),
            Side::Ask => ("ask", "ask prices"),
            Side::Mid => ("mid", "mid prices"),
            Side::Last => ("last", "prices as they stand"),
        };
        let zone = if has_local { zone_words(layout.timezone) } else { "times with their own zone".into() };
        let by_end = self.bar_length.is_some() && layout.label == BarLabel::End;
        let by_end_words = if by_end { ", bars labelled by their end" } else { "" };
        let mut notes = layout.notes.clone();
        let mut warnings = Vec::new();
        notes.extend(zone_note(layout, options, has_local));
        notes.extend(self.spread_note(options));
        if !single && (options.price.is_some() || options.spread.is_some()) {
            notes.push("the file has bid and ask: --price and --spread have no effect".into());
        }
        if self.bar_length.is_none() && options.bar_label.is_some() {
            notes.push("the file has ticks: --bar-label has no effect".into());
        }
        if let Some(length) = self.bar_length.filter(|length| *length > DETECTORS) {
            let minutes = length.num_minutes();
            notes.push(format!(
                "bars of {minutes} minutes are too coarse for detectors that read bars of 5 minutes: the signals are not those of \
                 finer recordings"
            ));
        }
        if length_is_unknown {
            warnings.push(
                "nothing shows how long a bar is: taken for one minute; a name such as EURUSD_H1.csv tells it"
                    .to_owned(),
            );
        }
        let summary = &mut self.summary;
        summary.read_as = format!("{}, {prices}, {zone}{by_end_words}", self.layout.title());
        summary.timezone = has_local.then(|| self.layout.timezone.to_string());
        summary.price = price;
        summary.spread = if self.sides.point.is_none() && single { self.sides.spread } else { None };
        summary.bar_label = self.bar_length.map(|_| self.layout.label.name());
        summary.bar_seconds = self.bar_length.map(TimeDelta::as_seconds_f64);
        (summary.notes, summary.warnings) = (notes, warnings);
    }

    fn spread_note(&self, options: &RecordingOptions) -> Option<String> {
        let column =
            || self.layout.spread.and_then(|column| self.layout.names.get(column)).cloned().unwrap_or_default();
        let sides = match self.layout.side {
            Side::Bid => "bids",
            Side::Ask => "asks",
            Side::Mid | Side::Last => "prices",
        };
        match (self.sides.point, self.sides.spread, options.spread) {
            _ if !self.layout.prices.is_single() => None,
            (Some(1.0), ..) => Some(format!("the spread is that of column '{}', as a difference of prices", column())),
            (Some(point), ..) => Some(format!("the spread is that of column '{}', in points of {point}", column())),
            (None, Some(spread), Some(Spread::Points(_) | Spread::Price(_))) => {
                Some(format!("the {sides} got a spread of {spread}, as told"))
            }
            (None, Some(spread), _) => Some(format!(
                "the prices are {sides}, and nothing tells their spread: {spread} was assumed, 1/10000 of the price; say what it is \
                 with --spread"
            )),
            (None, None, _) => None,
        }
    }

    /// Adds what only the whole file shows.
    pub(super) fn describe_end(&mut self) {
        if self.reversed.is_some() {
            self.summary.notes.push("its newest row came first: it was reversed".into());
        }
        if self.without_spread * 2 > self.counts.rows {
            let (without, rows) = (self.without_spread, self.counts.rows);
            self.summary.notes.push(format!(
                "{without} of {rows} rows have a spread of 0 in the file: the results flatter, unless --spread says what it was"
            ));
        }
        if let Some(warning) =
            self.gap.warning(self.layout.timezone_of_times(self.has_local_times), !self.has_local_times)
        {
            self.summary.warnings.push(warning);
        }
        let found: Vec<_> = self.wanted.found().iter().map(String::as_str).collect();
        if found.len() > 1 {
            let (count, symbol) = (found.len(), &self.instrument.symbol);
            let warning = format!(
                "{count} spellings were taken for {symbol}: {}; contracts that overlap are mixed",
                found.join(", ")
            );
            self.summary.warnings.push(warning);
        }
        let bad = self.summary.left_out.iter().filter(|(reason, _)| !reason.is_expected());
        let bad: u64 = bad.map(|(_, rows)| rows.rows).sum();
        let of_instrument = self.counts.rows - self.summary.left_out.of(LeftOutReason::OtherInstrument);
        if bad * 2 > of_instrument {
            self.summary.warnings.push(format!("{bad} of {of_instrument} rows could not be used"));
        }
        if let Some(note) = self.unfinished() {
            self.summary.notes.push(note);
        }
    }

    /// Returns a warning if the last bar was written before its end.
    fn unfinished(&self) -> Option<String> {
        let (length, first, last) = (self.bar_length?, self.first_at?, self.last_at?);
        if last + length > self.now {
            return Some(format!("the last bar, of {}, is not over yet", last.format("%Y-%m-%d %H:%M")));
        }
        let grid = length.num_seconds().clamp(1, 3600);
        let off = |at: DateTime<chrono::Utc>| at.timestamp().rem_euclid(grid) != 0;
        (last > first && off(last) && !off(first)).then(|| {
            format!(
                "the last bar, of {}, begins between two bars: it is probably unfinished",
                last.format("%Y-%m-%d %H:%M:%S")
            )
        })
    }
}

impl Layout {
    /// Returns the timezone of the file's times.
    fn timezone_of_times(&self, has_local: bool) -> Timezone {
        if has_local { self.timezone } else { Timezone::UTC }
    }
}

fn zone_words(zone: Timezone) -> String {
    match zone {
        Timezone::Named(Tz::UTC) => "UTC".into(),
        Timezone::Named(Tz::Etc__GMTPlus5) => "Etc/GMT+5 (EST without daylight saving)".into(),
        Timezone::Named(zone) => format!("{} time", zone.name()),
        Timezone::Broker => "broker time".into(),
        Timezone::Offset(offset) => format!("UTC{offset}"),
    }
}

fn zone_note(layout: &Layout, options: &RecordingOptions, has_local: bool) -> Option<String> {
    let zone = zone_words(layout.timezone);
    if !has_local {
        return options.timezone.map(|_| "the times carry their own zone: --timezone has no effect".into());
    }
    let explained = if layout.timezone == Timezone::Broker { " (New York + 7 h)" } else { "" };
    match layout.zone_origin {
        ZoneOrigin::Given => None,
        ZoneOrigin::Header => Some(format!("the times were read as {zone}{explained}, as the header says")),
        ZoneOrigin::Vendor => Some(format!(
            "the times carry no zone and were read as {zone}{explained}, as {} writes them; say otherwise with --timezone",
            layout.vendor.name
        )),
        ZoneOrigin::Assumed => Some(format!(
            "the times carry no zone and were read as {zone}: if they are another clock's, say so with --timezone, or every \
             killzone is wrong"
        )),
    }
}
