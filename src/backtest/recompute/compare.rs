//! Compares the live signals of a day with those of the plays, and finds the reasons of differences.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::RecomputeOptions;
use super::history::{History, Switch};
use super::play::Played;
use crate::domain::{Difference, DifferenceKind, DifferenceReason, RecomputedSignal, Signal, SignalId, Symbol, iso};
use crate::engine::setup_memory;

/// Two ends of a signal are the same when at most this lies between them.
const MAX_END_SHIFT: TimeDelta = TimeDelta::minutes(1);
/// Two confidences are the same when they differ by less. Stored ones have four decimals.
const MAX_CONFIDENCE_SHIFT: f64 = 1e-6;
/// A server has ended every signal this long after its deadline, unless it was stopped.
const MAX_LATE_END: TimeDelta = TimeDelta::minutes(1);

/// The signals of a day, each as it was live and in each of the plays.
pub(super) struct Comparison<'a> {
    pub(super) options: &'a RecomputeOptions,
    pub(super) history: &'a History,
    pub(super) played: &'a Played,
    pub(super) live: &'a BTreeMap<SignalId, Signal>,
    /// The time until which the plays ended what was due.
    pub(super) until: DateTime<Utc>,
}

/// A span of time.
type Span = (DateTime<Utc>, DateTime<Utc>);

impl Comparison<'_> {
    /// Returns the differences of the signals with these ids, in order of time.
    pub(super) fn differences(&self, ids: impl IntoIterator<Item = SignalId>) -> Vec<Difference> {
        let mut by_symbol: BTreeMap<Symbol, Vec<(DateTime<Utc>, SignalId)>> = BTreeMap::new();
        for id in ids {
            let sides = [self.live.get(&id), find(&self.played.observed, &id), find(&self.played.arrived, &id)];
            if let Some(signal) = sides.into_iter().flatten().next() {
                by_symbol.entry(signal.symbol.clone()).or_default().push((signal.entry_time, id));
            }
        }
        let mut found = Vec::new();
        for (symbol, mut signals) in by_symbol {
            signals.sort();
            // Since when what the server decided does not follow from the ticks that arrived.
            let mut astray: Option<DateTime<Utc>> = None;
            for (at, id) in signals {
                let live = self.live.get(&id);
                let follows = self.difference(live, find(&self.played.arrived, &id)).is_none();
                if !follows {
                    astray.get_or_insert(at);
                } else if live.is_some() {
                    astray = None;
                }
                let observed = find(&self.played.observed, &id);
                let Some(kind) = self.difference(live, observed) else { continue };
                let (reason, detail) = self.reason(&symbol, (&id, at), live, astray.filter(|_| !follows));
                let difference = Difference {
                    signal: id,
                    symbol: symbol.clone(),
                    kind,
                    reason,
                    detail,
                    live: live.map(RecomputedSignal::of),
                    recomputed: observed.map(RecomputedSignal::of),
                };
                found.push((at, difference));
            }
        }
        found.sort_by_key(|(at, _)| *at);
        found.into_iter().map(|(_, difference)| difference).collect()
    }

    /// Returns what differs between the live signal and another one.
    fn difference(&self, live: Option<&Signal>, other: Option<&Signal>) -> Option<DifferenceKind> {
        let (live, other) = match (live, other) {
            (Some(live), Some(other)) => (live, other),
            (Some(_), None) => return Some(DifferenceKind::OnlyLive),
            (None, Some(_)) => return Some(DifferenceKind::OnlyRecomputed),
            (None, None) => return None,
        };
        let same_content = live.direction == other.direction
            && live.entry_price == other.entry_price
            && live.stop_loss == other.stop_loss
            && live.take_profits == other.take_profits
            && (live.confidence - other.confidence).abs() < MAX_CONFIDENCE_SHIFT;
        if !same_content {
            return Some(DifferenceKind::Content);
        }
        // One that may still end is not compared.
        let can_end = |signal: &Signal| signal.state.is_pending() && signal.expires_at + MAX_LATE_END > self.until;
        let same_end = live.state == other.state && (live.updated_at - other.updated_at).abs() <= MAX_END_SHIFT;
        (!same_end && !can_end(live) && !can_end(other)).then_some(DifferenceKind::End)
    }

    /// Returns why the live signal and a backtest differ. `astray` is the first signal since the last one for which the ticks in
    /// the order of their arrival lead to what the server decided; `None` when they do for this one.
    fn reason(
        &self,
        symbol: &Symbol,
        (id, at): (&SignalId, DateTime<Utc>),
        live: Option<&Signal>,
        astray: Option<DateTime<Utc>>,
    ) -> (DifferenceReason, String) {
        let memory = TimeDelta::from_std(setup_memory(&self.options.rules, self.options.ttl)).unwrap_or_default();
        let sides = [live, find(&self.played.observed, id)].into_iter().flatten();
        let ends = |signal: &Signal| if signal.state.is_pending() { signal.expires_at } else { signal.updated_at };
        let end = sides.map(ends).max().unwrap_or(at);
        let Some(astray) = astray else {
            let unmixed = self.difference(live, find(&self.played.unmixed, id));
            if unmixed.is_none()
                && let Some(switch) = self.history.switch(symbol, at - memory, end)
            {
                let Switch { at: switched, from, to, overlap } = switch;
                let detail = format!(
                    "the prices of {symbol} changed from {from} to {to} at {}, {}, and those of {to} were up to {} older than the last one of {from}",
                    iso(*switched),
                    before(*switched, at),
                    length(*overlap)
                );
                return (DifferenceReason::Failover, detail);
            }
            return (DifferenceReason::LateTick, self.lateness(symbol, (at, end), memory));
        };
        self.loss(symbol, at, (astray.min(at) - memory, end))
    }

    /// Names the price that was latest around a signal.
    fn lateness(&self, symbol: &Symbol, (at, end): Span, memory: TimeDelta) -> String {
        let bar = self.options.rules.interval.length();
        let near = self.history.latest_price(symbol, at - bar, end).filter(|price| price.moved);
        let Some(price) = near.or_else(|| self.history.latest_price(symbol, at - memory, end)) else {
            return format!("the prices of {symbol} arrived in another order");
        };
        let (observed, received) = (iso(price.observed_at), iso(price.received_at));
        let (by, minute) = (length(price.by), if price.moved { ", in another minute" } else { "" });
        let early = if price.by < TimeDelta::zero() { "earlier" } else { "later" };
        format!(
            "a price of {symbol} of {observed} arrived {by} {early}, at {received}{minute}, {}",
            before(price.received_at, at)
        )
    }

    /// Returns what can explain that the server decided something that does not follow from the ticks that were kept.
    fn loss(&self, symbol: &Symbol, at: DateTime<Utc>, (from, to): Span) -> (DifferenceReason, String) {
        if let Some((first, ticks)) = self.history.lost(from, to) {
            if ticks == 0 {
                return (DifferenceReason::LostTicks, format!("kept ticks after {} cannot be read", iso(first)));
            }
            let detail = format!("{ticks} ticks could not be kept, the first at {}, {}", iso(first), before(first, at));
            return (DifferenceReason::LostTicks, detail);
        }
        if let Some(began) = self.history.restart(from, to) {
            let detail = format!(
                "a server began at {}, {}, from stored minutes: waiting setups, the cool-down and the average spread began anew",
                iso(began),
                before(began, at)
            );
            return (DifferenceReason::Restart, detail);
        }
        if let Some(first) = self.history.first.filter(|first| *first >= from && !self.history.begins_with_start) {
            let detail = format!("the ticks before {} are not kept any more (data.tick_retention)", iso(first));
            return (DifferenceReason::LostTicks, detail);
        }
        match self.history.gap(symbol, (from, to), &self.options.instruments) {
            Some((began, Some(ended))) => {
                let detail = format!(
                    "{symbol} had no prices for {}, from {} to {}, {}",
                    length(ended - began),
                    iso(began),
                    iso(ended),
                    before(ended, at)
                );
                (DifferenceReason::Gap, detail)
            }
            Some((began, None)) => {
                (DifferenceReason::Gap, format!("no price of {symbol} is kept after {}", iso(began)))
            }
            None => {
                let detail = format!(
                    "nothing happened to the prices of {symbol} since {} that explains it; were the settings of the setups changed?",
                    iso(from)
                );
                (DifferenceReason::Unexplained, detail)
            }
        }
    }
}

pub(super) fn find<'a>(signals: &'a HashMap<SignalId, Arc<Signal>>, id: &SignalId) -> Option<&'a Signal> {
    signals.get(id).map(AsRef::as_ref)
}

/// Returns how far `event` is from the minute of the signal, in words.
fn before(event: DateTime<Utc>, signal: DateTime<Utc>) -> String {
    let side = if event <= signal { "before" } else { "after" };
    format!("{} {side} the signal", length(signal - event))
}

/// Returns a span in words, in its largest unit.
fn length(span: TimeDelta) -> String {
    let millis = span.num_milliseconds().abs();
    match millis {
        ..1_000 => format!("{millis} ms"),
        1_000..120_000 => format!("{:.1} s", millis as f64 / 1e3),
        120_000..7_200_000 => format!("{} min", millis / 60_000),
        _ => format!("{} h", millis / 3_600_000),
    }
}
