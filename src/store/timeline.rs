//! What the log has of a span of time, in the order of time and page by page: minutes, events of signals, and records.
//!
//! A minute is known at its end, an event at the time of its change, a record at its end. Of the same millisecond minutes
//! come first, then events in the order of the log, then records.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, Row};

use super::error::StoreError;
use super::queries::time;
use super::reader::Reader;
use super::{bars, checked};
use crate::domain::{Bar, BarInterval, Signal, TradeOutcome};

/// Rows of a page.
const PAGE: usize = 250;
/// How far back the state at a time reaches. A signal is pending for a day at most, and a record is open for a day at most.
const STATE_REACH: TimeDelta = TimeDelta::days(1);

/// Something that became known at a time.
#[derive(Debug, Clone, PartialEq)]
pub enum TimelineEntry {
    /// A one-minute bar, at the end of its minute.
    Minute(Bar),
    /// A signal after a change.
    Signal(Box<Signal>),
    /// A record that has ended.
    Outcome(Box<TradeOutcome>),
}

/// The order of an event: its time, and its number.
type EventKey = (DateTime<Utc>, u64);
/// The order of a record: its end, and its signal.
type OutcomeKey = (DateTime<Utc>, String);

/// Entries of one kind that were read, and where the next page begins; `None` at the end.
#[derive(Debug)]
struct TimelinePages<T, K> {
    waiting: VecDeque<(DateTime<Utc>, T)>,
    next: Option<K>,
}

impl<T, K> TimelinePages<T, K> {
    fn new(next: K) -> Self {
        Self { waiting: VecDeque::new(), next: Some(next) }
    }

    /// Takes a page. It was the last one if it is not full.
    fn take(&mut self, page: Vec<(K, T)>, at: impl Fn(&K) -> DateTime<Utc>) {
        let is_full = page.len() == PAGE;
        self.waiting.extend(page.into_iter().map(|(key, entry)| {
            let known_at = at(&key);
            self.next = Some(key).filter(|_| is_full);
            (known_at, entry)
        }));
    }

    fn first(&self) -> Option<DateTime<Utc>> {
        self.waiting.front().map(|(at, _)| *at)
    }

    fn pop(&mut self) -> Option<(DateTime<Utc>, T)> {
        self.waiting.pop_front()
    }
}

/// Reads the log in the order of time. It holds a page of each kind in memory.
#[derive(Debug)]
pub struct Timeline {
    reader: Reader,
    until: DateTime<Utc>,
    /// Whether only the last entry of each signal and symbol is read.
    only_last: bool,
    minutes: TimelinePages<Bar, DateTime<Utc>>,
    signals: TimelinePages<Signal, EventKey>,
    outcomes: TimelinePages<TradeOutcome, OutcomeKey>,
}

impl Timeline {
    /// Reads what became known after `after`, up to and including `until`.
    pub fn between(reader: Reader, after: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        Self {
            reader,
            until,
            only_last: false,
            minutes: TimelinePages::new(after - minute()),
            signals: TimelinePages::new((after, u64::MAX)),
            // Greater than every id.
            outcomes: TimelinePages::new((after, char::MAX.into())),
        }
    }

    /// Reads the state at a time: the last minute of each symbol, and of the day before it each signal as it then was, and the
    /// records.
    pub fn state_at(reader: Reader, at: DateTime<Utc>) -> Self {
        Self { only_last: true, ..Self::between(reader, at - STATE_REACH, at) }
    }

    /// Returns the next entry, and when it became known; `None` at the end.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub async fn next(&mut self) -> Result<Option<(DateTime<Utc>, TimelineEntry)>, StoreError> {
        self.fill().await?;
        let times = [self.minutes.first(), self.signals.first(), self.outcomes.first()];
        let earliest = times.into_iter().enumerate().filter_map(|(kind, at)| Some((at?, kind))).min();
        Ok(match earliest {
            Some((_, 0)) => self.minutes.pop().map(|(at, bar)| (at, TimelineEntry::Minute(bar))),
            Some((_, 1)) => self.signals.pop().map(|(at, signal)| (at, TimelineEntry::Signal(Box::new(signal)))),
            Some(_) => self.outcomes.pop().map(|(at, outcome)| (at, TimelineEntry::Outcome(Box::new(outcome)))),
            None => None,
        })
    }

    /// Reads the next page of each kind of which nothing waits.
    async fn fill(&mut self) -> Result<(), StoreError> {
        let (until, only_last) = (self.until, self.only_last);
        while self.minutes.waiting.is_empty()
            && let Some(after) = self.minutes.next.take()
        {
            let page =
                self.reader.ask(move |connection| minutes(connection, after, until - minute(), only_last)).await?;
            let Some((read, end)) = page else { break };
            self.minutes.next = Some(end).filter(|end| *end < until - minute());
            let read = self.reader.intact(read).into_iter().map(|bar| (bar.opened_at + minute(), bar));
            self.minutes.waiting.extend(read);
        }
        if self.signals.waiting.is_empty()
            && let Some(after) = self.signals.next.take()
        {
            let page = self.reader.ask(move |connection| events(connection, after, until, only_last)).await?;
            self.signals.take(page, |(at, _)| *at);
        }
        if self.outcomes.waiting.is_empty()
            && let Some(after) = self.outcomes.next.take()
        {
            let page = self.reader.ask(move |connection| outcomes(connection, after, until)).await?;
            self.outcomes.take(page, |(at, _)| *at);
        }
        Ok(())
    }
}

fn minute() -> TimeDelta {
    TimeDelta::from_std(BarInterval::OneMinute.length()).unwrap_or_default()
}

fn minutes(
    connection: &Connection,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
    only_last: bool,
) -> rusqlite::Result<Option<(bars::BarsRead, DateTime<Utc>)>> {
    if only_last {
        return bars::last_minutes(connection, until).map(|read| Some((read, until)));
    }
    bars::next_minutes(connection, after, until)
}

fn events(
    connection: &Connection,
    (after, seq): EventKey,
    until: DateTime<Utc>,
    only_last: bool,
) -> rusqlite::Result<Vec<(EventKey, Signal)>> {
    let last = "AND NOT EXISTS (SELECT 1 FROM signal_events n \
                WHERE n.signal_id = e.signal_id AND n.seq > e.seq AND n.at <= ?3)";
    let sql = checked::events(&format!(
        "WHERE (e.at, e.seq) > (?1, ?2) AND e.at <= ?3 {} ORDER BY e.at, e.seq LIMIT ?4",
        if only_last { last } else { "" }
    ));
    let event = |row: &Row<'_>| {
        let (seq, signal) = checked::numbered(row)?;
        Ok(((time(1, row.get(1)?)?, seq), signal))
    };
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    let parameters = (after.timestamp_millis(), seq, until.timestamp_millis(), PAGE);
    connection.prepare_cached(&sql)?.query_map(parameters, event)?.collect()
}

fn outcomes(
    connection: &Connection,
    (after, signal): OutcomeKey,
    until: DateTime<Utc>,
) -> rusqlite::Result<Vec<(OutcomeKey, TradeOutcome)>> {
    let sql = checked::records(
        "WHERE (o.closed_at, o.signal_id) > (?1, ?2) AND o.closed_at <= ?3 ORDER BY o.closed_at, o.signal_id LIMIT ?4",
    );
    let record = |row: &Row<'_>| {
        let outcome = checked::record(row)?;
        Ok(((time(1, row.get(1)?)?, row.get(4)?), outcome))
    };
    let parameters = (after.timestamp_millis(), signal, until.timestamp_millis(), PAGE);
    connection.prepare_cached(&sql)?.query_map(parameters, record)?.collect()
}
