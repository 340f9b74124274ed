//! What happened to the prices while they were kept, for the reasons of differences.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::play::observed_at;
use crate::domain::{BarInterval, Instruments, KeptEntry, Session, SourceName, Symbol, UsedTick};

/// Maximum number of events of a kind that are noted; later ones are not.
const MAX_NOTED: usize = 10_000;

/// A span without prices counts as a gap when it is longer than this while London or New York trades: a pending signal
/// survives no longer one.
const GAP: TimeDelta = TimeDelta::minutes(2);
/// The same in the quiet hours, when even EURUSD can be silent for minutes.
const QUIET_GAP: TimeDelta = TimeDelta::minutes(5);

/// The prices of an instrument changed to another source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Switch {
    pub(super) at: DateTime<Utc>,
    pub(super) from: SourceName,
    pub(super) to: SourceName,
    /// How far the times of the new source's prices reach back before the last price of the previous one.
    pub(super) overlap: TimeDelta,
}

/// The price of a minute that was latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LatePrice {
    /// Whether it was observed in another minute.
    pub(super) moved: bool,
    pub(super) by: TimeDelta,
    pub(super) observed_at: DateTime<Utc>,
    pub(super) received_at: DateTime<Utc>,
}

/// What happened to the prices of an instrument.
#[derive(Debug)]
struct SymbolHistory {
    last: DateTime<Utc>,
    source: SourceName,
    switches: Vec<Switch>,
    gaps: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    /// Every minute in which a price arrived.
    minutes: BTreeMap<DateTime<Utc>, LatePrice>,
}

/// Ticks that could not be kept.
#[derive(Debug)]
struct LostTicks {
    from: DateTime<Utc>,
    /// When the next tick was kept; `None` when none was.
    to: Option<DateTime<Utc>>,
    ticks: u64,
}

/// What happened while ticks were kept.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The time of the first entry.
    pub(super) first: Option<DateTime<Utc>>,
    /// Whether the first entry says that a server began to keep ticks.
    pub(super) begins_with_start: bool,
    /// The later starts.
    began: Vec<DateTime<Utc>>,
    lost: Vec<LostTicks>,
    symbols: BTreeMap<Symbol, SymbolHistory>,
}

impl History {
    /// Notes the next entry in the order of arrival. `overlap` is how far a tick was observed before the last one of the source
    /// whose place its source took.
    pub(super) fn push(&mut self, entry: &KeptEntry, overlap: TimeDelta, instruments: &Instruments) {
        if self.first.is_none() {
            self.first = Some(entry.at());
            self.begins_with_start = matches!(entry, KeptEntry::Began(_));
            // The plays begin anew with it, too.
            if self.begins_with_start {
                return;
            }
        }
        if let Some(lost) = self.lost.last_mut() {
            lost.to.get_or_insert(entry.at());
        }
        match entry {
            KeptEntry::Began(at) => note(&mut self.began, *at),
            KeptEntry::Lost(at, ticks) => note(&mut self.lost, LostTicks { from: *at, to: None, ticks: *ticks }),
            KeptEntry::Tick(used) => self.push_tick(used, overlap, instruments),
        }
    }

    fn push_tick(&mut self, used: &UsedTick, overlap: TimeDelta, instruments: &Instruments) {
        let UsedTick { tick, received_at } = used;
        let first = self.first.unwrap_or(*received_at);
        if !self.symbols.contains_key(&tick.symbol) {
            let new = SymbolHistory {
                last: first,
                source: tick.source.clone(),
                switches: Vec::new(),
                gaps: Vec::new(),
                minutes: BTreeMap::new(),
            };
            self.symbols.insert(tick.symbol.clone(), new);
        }
        let Some(history) = self.symbols.get_mut(&tick.symbol) else { return };
        if is_gap(history.last, *received_at, &tick.symbol, instruments) {
            note(&mut history.gaps, (history.last, *received_at));
        }
        history.last = history.last.max(*received_at);
        if history.source != tick.source {
            let from = std::mem::replace(&mut history.source, tick.source.clone());
            note(&mut history.switches, Switch { at: *received_at, from, to: tick.source.clone(), overlap });
        } else if let Some(switch) = history.switches.last_mut() {
            switch.overlap = switch.overlap.max(overlap);
        }
        let counted = observed_at(used);
        let minute = BarInterval::OneMinute.floor(*received_at);
        let late = LatePrice {
            moved: BarInterval::OneMinute.floor(counted) != minute,
            by: *received_at - counted,
            observed_at: counted,
            received_at: *received_at,
        };
        let latest = history.minutes.entry(minute).or_insert(late);
        *latest = late.max(*latest);
    }

    /// Whether a price of the instrument arrived from `from` to `to`.
    pub(super) fn has_prices(&self, symbol: &Symbol, from: DateTime<Utc>, to: DateTime<Utc>) -> bool {
        let minutes = BarInterval::OneMinute.floor(from)..=to;
        self.symbols.get(symbol).is_some_and(|history| history.minutes.range(minutes).next().is_some())
    }

    /// Returns the price that was latest in a span, those first that were observed in another minute.
    pub(super) fn latest_price(&self, symbol: &Symbol, from: DateTime<Utc>, to: DateTime<Utc>) -> Option<LatePrice> {
        let minutes = BarInterval::OneMinute.floor(from)..=to;
        self.symbols.get(symbol)?.minutes.range(minutes).map(|(_, late)| *late).max()
    }

    /// Returns the last change of source in a span after which prices came that are older than the last one of the previous source.
    pub(super) fn switch(&self, symbol: &Symbol, from: DateTime<Utc>, to: DateTime<Utc>) -> Option<&Switch> {
        let overlaps = |it: &&Switch| (from..=to).contains(&it.at) && it.overlap > TimeDelta::zero();
        self.symbols.get(symbol)?.switches.iter().rev().find(overlaps)
    }

    /// Returns the last start in a span.
    pub(super) fn restart(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.began.iter().copied().filter(|at| (from..=to).contains(at)).max()
    }

    /// Returns since when ticks were lost in a span, and how many.
    pub(super) fn lost(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Option<(DateTime<Utc>, u64)> {
        let reaches_into = |lost: &&LostTicks| lost.from <= to && lost.to.is_none_or(|ended| ended >= from);
        let lost: Vec<_> = self.lost.iter().filter(reaches_into).collect();
        Some((lost.first()?.from, lost.iter().map(|lost| lost.ticks).sum()))
    }

    /// Returns the last span without prices that reaches into another span; its end is `None` when no price came after it.
    pub(super) fn gap(
        &self,
        symbol: &Symbol,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        instruments: &Instruments,
    ) -> Option<(DateTime<Utc>, Option<DateTime<Utc>>)> {
        let first = self.first?;
        let Some(history) = self.symbols.get(symbol) else {
            return is_gap(first, to, symbol, instruments).then_some((first, None));
        };
        if is_gap(history.last, to, symbol, instruments) {
            return Some((history.last, None));
        }
        let reaches_into = |(began, ended): &&(DateTime<Utc>, DateTime<Utc>)| *began <= to && *ended >= from;
        history.gaps.iter().rev().find(reaches_into).map(|(began, ended)| (*began, Some(*ended)))
    }
}

/// Whether the market was open, but had no prices.
fn is_gap(last: DateTime<Utc>, next: DateTime<Utc>, symbol: &Symbol, instruments: &Instruments) -> bool {
    let limit = if Session::is_busy(last) { GAP } else { QUIET_GAP };
    next - last > limit && instruments.get(symbol).is_some_and(|it| it.session.is_open(last + limit))
}

fn note<T>(noted: &mut Vec<T>, event: T) {
    if noted.len() < MAX_NOTED {
        noted.push(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Feed, Quote, Tick, parse_time};

    #[test]
    fn ticks_are_lost_until_the_next_one() {
        let at = |hour: u32| parse_time(&format!("2026-01-14T{hour:02}:00:00Z")).unwrap();
        let instruments = Instruments::new(Instruments::documented()).unwrap();
        let mut history = History::default();
        let mut push = |entry| history.push(&entry, TimeDelta::zero(), &instruments);
        let (symbol, source, quote) = (Symbol::new("EURUSD"), SourceName::new("oanda"), Quote::Last(1.1));
        let tick = Tick { symbol, quote, volume: None, observed_at: at(14), feed: Feed::Live, source };
        push(KeptEntry::Lost(at(10), 5));
        push(KeptEntry::Lost(at(11), 7));
        push(KeptEntry::Tick(UsedTick { tick, received_at: at(14) }));
        push(KeptEntry::Lost(at(20), 1));
        let lost = |from, to| history.lost(at(from), at(to));
        assert_eq!(lost(12, 13), Some((at(11), 7)), "all this time");
        assert_eq!(lost(8, 13), Some((at(10), 12)));
        assert_eq!([lost(8, 9), lost(15, 19)], [None, None]);
        assert_eq!(lost(22, 23), Some((at(20), 1)), "no tick was kept since");
    }
}
