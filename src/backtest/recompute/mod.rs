//! Compares the live signals of a day with a backtest over the ticks that were kept of it.
//!
//! A backtest plays a recording by the times at which prices were observed; the server makes bars of prices as they arrive. The
//! recomputation plays the kept ticks in both orders, through the engine as a replay does. Where the first differs from what was
//! published and the second does not, only the arrival explains it. Where both differ, something that happened to the
//! instrument's prices has to: lost ticks, a start of the server, or a gap.

mod compare;
mod history;
mod play;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

use self::compare::{Comparison, find};
use self::history::History;
use self::play::Plays;
use crate::domain::{Instruments, KeptEntry, Recomputation, SetupRules, Signal, SignalId, SourceName, StoredDay, iso};

/// After the day and the time to live of its last signal, ticks are played for this long, because late ones may still come.
const SETTLING: TimeDelta = TimeDelta::minutes(2);
/// A live signal without kept prices of its instrument from this long before its minute's end was made of others.
const MINUTE: TimeDelta = TimeDelta::minutes(1);
/// `proceed` is asked after this number of entries.
const ENTRIES_PER_QUESTION: u64 = 4_096;

/// The day and the settings of the engine, as the server had them.
#[derive(Debug, Clone)]
pub struct RecomputeOptions {
    /// The day, UTC.
    pub day: NaiveDate,
    /// The catalogue.
    pub instruments: Arc<Instruments>,
    /// The time to live of a pending signal.
    pub ttl: Duration,
    /// The rules for setups.
    pub rules: SetupRules,
    /// Whether other nodes may have written a part of the day.
    pub clustered: bool,
    /// The current time.
    pub now: DateTime<Utc>,
}

impl RecomputeOptions {
    /// Returns the span of which the entries are needed: from the day before, so that averages, waiting setups and the cool-down
    /// are those of a server that ran all the time, until every signal of the day has ended.
    pub fn span(&self) -> Range<DateTime<Utc>> {
        let Range { start, end } = self.of_day();
        let life = TimeDelta::from_std(self.ttl).unwrap_or(TimeDelta::days(1));
        start - TimeDelta::days(1)..end + life + SETTLING
    }

    /// Returns the span of the day.
    pub fn of_day(&self) -> Range<DateTime<Utc>> {
        let start = self.day.and_time(NaiveTime::MIN).and_utc();
        start..start + TimeDelta::days(1)
    }
}

/// Recomputes a day from `entries`, the kept ticks of [`span`](RecomputeOptions::span) in the order of arrival. `stored` reads the
/// log; its argument is the time of the first entry. `proceed` is called every few thousand entries. Returns `None` when it
/// returned `false`.
///
/// Holds at most some minutes of ticks in memory.
///
/// # Errors
/// Those of `stored`. A file of ticks that cannot be read is a problem of the result.
pub fn recompute<E>(
    options: &RecomputeOptions,
    entries: impl Iterator<Item = io::Result<KeptEntry>>,
    stored: impl FnOnce(DateTime<Utc>) -> Result<StoredDay, E>,
    mut proceed: impl FnMut() -> bool,
) -> Result<Option<Recomputation>, E> {
    let day = options.of_day();
    let mut entries = entries.peekable();
    let first = match entries.peek() {
        Some(Ok(entry)) => entry.at(),
        Some(Err(_)) | None => options.span().start,
    };
    let StoredDay { minutes, signals } = stored(first)?;
    let (mut plays, mut history) = (Plays::new(options, &minutes, first), History::default());
    drop(minutes);
    let (mut ticks, mut count, mut unreadable, mut last) = (0, 0, None, first);
    for entry in entries {
        let entry = entry.unwrap_or_else(|error| {
            unreadable.get_or_insert_with(|| error.to_string());
            KeptEntry::Lost(last, 0)
        });
        last = entry.at();
        let mut overlap = TimeDelta::zero();
        if let KeptEntry::Tick(used) = &entry {
            overlap = plays.push(used);
            ticks += u64::from(day.contains(&used.received_at));
        }
        history.push(&entry, overlap, &options.instruments);
        count += 1;
        if count % ENTRIES_PER_QUESTION == 0 && !proceed() {
            return Ok(None);
        }
    }
    let until = options.span().end.min(options.now);
    let played = plays.finish(until);
    let mut problems: Vec<_> =
        unreadable.map(|error| format!("some kept ticks cannot be read: {error}")).into_iter().collect();
    let (live, left_out) = comparable(options, &history, signals, ticks, &mut problems);
    let is_compared = |id: &SignalId| {
        let signal = live.get(id).or_else(|| find(&played.observed, id)).or_else(|| find(&played.arrived, id));
        signal.is_some_and(|signal| day.contains(&signal.entry_time)) && !left_out.contains(id)
    };
    let ids: BTreeSet<_> = played.ids().into_iter().chain(live.keys().cloned()).filter(is_compared).collect();
    let recomputed = ids.iter().filter(|id| played.observed.contains_key(*id)).count() as u64;
    let comparison = Comparison { options, history: &history, played: &played, live: &live, until };
    let mut differences = if ticks == 0 { Vec::new() } else { comparison.differences(ids) };
    let mut counts = BTreeMap::new();
    for difference in &differences {
        *counts.entry(difference.reason).or_default() += 1;
    }
    differences.truncate(Recomputation::MAX_LISTED);
    Ok(Some(Recomputation {
        day: options.day,
        computed_at: options.now,
        ticks,
        live: live.len() as u64,
        recomputed,
        counts,
        differences,
        problem: (!problems.is_empty()).then(|| problems.join("; ")),
    }))
}

/// Live signals by id.
type LiveSignals = BTreeMap<SignalId, Signal>;

/// Returns the live signals that kept ticks can explain, and the ids of those that are not compared. `problems` says why.
fn comparable(
    options: &RecomputeOptions,
    history: &History,
    signals: Vec<Signal>,
    ticks: u64,
    problems: &mut Vec<String>,
) -> (LiveSignals, BTreeSet<SignalId>) {
    let day = options.of_day();
    let of_setups = |signal: &Signal| signal.source.as_str() == SourceName::SETUPS && day.contains(&signal.entry_time);
    let signals = signals.into_iter().filter(of_setups).map(|signal| (signal.id.clone(), signal));
    let (mut live, mut left_out) = (signals.collect::<LiveSignals>(), BTreeSet::new());
    if ticks == 0 {
        problems.push("no ticks of this day are kept here".to_owned());
        return (live, left_out);
    }
    let mut leave_out = |is_left: &dyn Fn(&Signal) -> bool| {
        let before = left_out.len();
        left_out.extend(live.values().filter(|signal| is_left(signal)).map(|signal| signal.id.clone()));
        live.retain(|id, _| !left_out.contains(id));
        left_out.len() - before
    };
    if let Some(first) = history.first.filter(|first| *first > day.start) {
        let left = leave_out(&|signal| signal.entry_time < first);
        problems.push(format!("ticks are kept since {}; {left} earlier signals are not compared", iso(first)));
    }
    let is_simulated = options.rules.in_simulated_prices;
    if is_simulated || options.clustered {
        let left = leave_out(&|signal| {
            let (from, to) = (signal.entry_time - MINUTE, signal.accepted_at);
            !history.has_prices(&signal.symbol, from, to) && history.lost(from, to).is_none()
        });
        let others = match (options.clustered, is_simulated) {
            (true, false) => "were published while another node wrote",
            (false, _) => "were made of simulated prices",
            (true, true) => "were published while another node wrote, or made of simulated prices",
        };
        if left > 0 {
            problems.push(format!("{left} signals {others}, and are not compared"));
        }
    }
    (live, left_out)
}
