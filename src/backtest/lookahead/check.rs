//! Compares the outputs of prefixes, and of later starts, with those of the whole recording.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use super::loaded::LoadedRecording;
use super::parts::{CheckedKind, CheckedOutput, CheckedPart, OutputSeries, OutputValue};
use super::report::{RewrittenOutput, SeriesCheck, WarmUpCheck};
use crate::domain::iso;

/// The number of prefixes, candle by candle, and again of prefixes that are spread over the recording.
pub(super) const PREFIXES: usize = 60;
/// The length of the first prefix in bars: that of the public measure.
pub(super) const FIRST_PREFIX: usize = 1_200;
/// The number of later starts.
const STARTS: usize = 10;
/// The number of bars that tell something about later starts.
pub(super) const MIN_WARM_UP_BARS: usize = 1_000;
/// Values of indicators are equal when they differ by less than this share of their mean size. Averages of Wilder's kind never
/// forget completely.
pub(super) const WARM_UP_TOLERANCE: f64 = 1e-6;

/// Returns the lengths of the prefixes: 60 candle by candle from bar 1,200 on (or the last 60), and 60 that are spread.
pub(super) fn prefixes(bars: usize) -> Vec<usize> {
    let first = FIRST_PREFIX.min(bars.saturating_sub(PREFIXES));
    let spread = (1..=PREFIXES).map(|part| bars * part / (PREFIXES + 1));
    let all: BTreeSet<_> =
        (first..first + PREFIXES).chain(spread).filter(|length| (1..bars).contains(length)).collect();
    all.into_iter().collect()
}

/// Counts the outputs of prefixes that the whole recording has otherwise. `progress` is called with the share of the work that
/// is done, 0–1. The processors share the prefixes; the result does not depend on their number.
pub(super) fn rewritten(
    recording: &LoadedRecording,
    parts: &[&dyn CheckedPart],
    prefixes: &[usize],
    mut progress: impl FnMut(f64),
) -> Vec<SeriesCheck> {
    let run = |bars: usize| parts.iter().flat_map(|part| part.outputs(recording, 0..bars)).collect::<Vec<_>>();
    let whole = run(recording.bars.len());
    let (next, total) = (AtomicUsize::new(0), prefixes.iter().sum::<usize>().max(1));
    let (sender, done) = sync_channel(1);
    let nothing: Vec<_> = whole.iter().map(SeriesCheck::new).collect();
    let work = |sender: SyncSender<usize>| {
        let mut found = nothing.clone();
        while let Some(length) = prefixes.get(next.fetch_add(1, Ordering::Relaxed)) {
            for (found, (prefix, whole)) in found.iter_mut().zip(run(*length).iter().zip(&whole)) {
                found.add(&compare(recording, prefix, whole, *length));
            }
            // Fails when the receiver has panicked.
            sender.send(*length).ok();
        }
        found
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|_| {
                let (sender, work) = (sender.clone(), &work);
                scope.spawn(move || work(sender))
            })
            .collect();
        drop(sender);
        let mut played = 0;
        for length in done {
            played += length;
            progress(played as f64 / total as f64);
        }
        let mut found = nothing.clone();
        for thread in threads {
            let of_thread = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            found.iter_mut().zip(&of_thread).for_each(|(found, other)| found.add(other));
        }
        found
    })
}

/// Compares what a prefix said about its bars with what the whole recording says about them.
fn compare(recording: &LoadedRecording, prefix: &OutputSeries, whole: &OutputSeries, length: usize) -> SeriesCheck {
    let settled = &whole.outputs[..whole.outputs.partition_point(|output| output.bar < length)];
    let compared = prefix.outputs.len().max(settled.len()) as u64;
    let mut found = SeriesCheck { compared, ..SeriesCheck::new(whole) };
    if prefix.outputs == settled {
        return found;
    }
    for (bar, before, after) in differences(&prefix.outputs, settled, |before, after| before == after) {
        found.rewritten += 1;
        found.first.get_or_insert_with(|| RewrittenOutput {
            bar,
            opened_at: recording.bars.get(bar).map(|(opened_at, _)| iso(*opened_at)),
            prefix: length,
            before: in_words(before),
            after: in_words(after),
        });
    }
    found
}

/// Returns the bars whose outputs differ, with the outputs of both sides.
fn differences<'a>(
    one: &'a [CheckedOutput],
    other: &'a [CheckedOutput],
    equal: impl Fn(&[CheckedOutput], &[CheckedOutput]) -> bool,
) -> Vec<(usize, &'a [CheckedOutput], &'a [CheckedOutput])> {
    let of_a_bar = |a: &CheckedOutput, b: &CheckedOutput| a.bar == b.bar;
    let (mut ones, mut others) = (one.chunk_by(of_a_bar).peekable(), other.chunk_by(of_a_bar).peekable());
    let mut found = Vec::new();
    while let Some(bar) = ones.peek().into_iter().chain(others.peek()).map(|outputs| outputs[0].bar).min() {
        let (one, other) = (of(&mut ones, bar), of(&mut others, bar));
        if !equal(one, other) {
            found.push((bar, one, other));
        }
    }
    found
}

/// Takes the outputs of a bar, which may have none.
fn of<'a>(outputs: &mut Peekable<impl Iterator<Item = &'a [CheckedOutput]>>, bar: usize) -> &'a [CheckedOutput] {
    outputs.next_if(|outputs| outputs[0].bar == bar).unwrap_or_default()
}

fn in_words(outputs: &[CheckedOutput]) -> Option<String> {
    let of = |output: &CheckedOutput| match &output.value {
        OutputValue::Numbers(numbers) => format!("{numbers:?}"),
        OutputValue::Text(text) => text.clone(),
    };
    (!outputs.is_empty()).then(|| outputs.iter().map(of).collect::<Vec<_>>().join("; "))
}

/// Starts everything again at later bars, and finds after how many bars all outputs are those of the whole recording. What
/// began before the start, such as an open gap, is left out. Empty for a recording that is too short to tell.
pub(super) fn warm_up(recording: &LoadedRecording, parts: &[&dyn CheckedPart]) -> Vec<WarmUpCheck> {
    let bars = recording.bars.len();
    if bars < MIN_WARM_UP_BARS {
        return Vec::new();
    }
    let run = |start: usize| parts.iter().flat_map(|part| part.outputs(recording, start..bars)).collect::<Vec<_>>();
    let whole = run(0);
    let mut found: Vec<_> = whole.iter().map(WarmUpCheck::new).collect();
    for start in (1..=STARTS).map(|part| bars * part / (2 * STARTS)) {
        for (found, (late, whole)) in found.iter_mut().zip(run(start).iter().zip(&whole)) {
            let last = last_difference(late, whole, start);
            // What still differs at the last bar has not settled.
            let needed = last.map_or(Some(0), |last| (last + 1 < bars).then_some(last + 1 - start));
            found.bars = found.bars.and_then(|most| Some(most.max(needed?)));
        }
    }
    found
}

/// Returns the last bar at which a later start has another output.
fn last_difference(late: &OutputSeries, whole: &OutputSeries, start: usize) -> Option<usize> {
    let since = |series: &OutputSeries| -> Vec<CheckedOutput> {
        series.outputs.iter().filter(|output| output.since >= start).cloned().collect()
    };
    let (late, whole) = (since(late), since(whole));
    let mut size = [0.0; 3];
    for output in &whole {
        if let OutputValue::Numbers(numbers) = &output.value {
            size.iter_mut().zip(numbers).for_each(|(size, number)| *size += number.abs() / whole.len() as f64);
        }
    }
    let near = |(a, b): (&CheckedOutput, &CheckedOutput)| match (&a.value, &b.value) {
        (OutputValue::Numbers(a), OutputValue::Numbers(b)) => {
            a.iter().zip(b).zip(size).all(|((a, b), size)| (a - b).abs() <= size * WARM_UP_TOLERANCE)
        }
        (a, b) => a == b,
    };
    let equal = |a: &[CheckedOutput], b: &[CheckedOutput]| a.len() == b.len() && a.iter().zip(b).all(near);
    differences(&late, &whole, equal).last().map(|(bar, ..)| *bar)
}

impl SeriesCheck {
    fn new(series: &OutputSeries) -> Self {
        Self { kind: series.kind, name: series.name.clone(), compared: 0, rewritten: 0, first: None }
    }

    /// Adds what another prefix gave. The first is the one at the earliest bar, and of the shortest prefix.
    fn add(&mut self, other: &Self) {
        self.compared += other.compared;
        self.rewritten += other.rewritten;
        let place = |first: &RewrittenOutput| (first.bar, first.prefix);
        if let Some(first) = &other.first
            && self.first.as_ref().is_none_or(|mine| place(first) < place(mine))
        {
            self.first = Some(first.clone());
        }
    }
}

impl WarmUpCheck {
    fn new(series: &OutputSeries) -> Self {
        let must_settle = series.kind == CheckedKind::Indicator;
        Self { kind: series.kind, name: series.name.clone(), bars: Some(0), must_settle }
    }
}
