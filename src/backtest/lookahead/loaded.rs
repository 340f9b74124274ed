//! A recording in memory: its bars for the detectors, its prices for the engine.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::LookaheadOptions;
use crate::backtest::BacktestError;
use crate::backtest::bars::BarJoiner;
use crate::domain::{Candle, Instrument, Tick};
use crate::recordings::{ReadSummary, Recording};

/// The number of prices that are checked at most, from the first: they are held in memory, and played again for every prefix.
pub(super) const MAX_PRICES: usize = 500_000;

/// The bars and the prices of a recording.
#[derive(Debug)]
pub(super) struct LoadedRecording {
    /// The bars with their opening times.
    pub(super) bars: Vec<(DateTime<Utc>, Candle)>,
    /// The prices, as the engine gets them.
    pub(super) ticks: Vec<Tick>,
    /// The length of a bar.
    pub(super) length: TimeDelta,
    /// Whether the file has more prices than are checked.
    pub(super) is_cut: bool,
    /// How the file was read.
    pub(super) read: ReadSummary,
}

impl LoadedRecording {
    /// Reads a file.
    pub(super) fn open(
        file: &Path,
        instrument: &Arc<Instrument>,
        options: &LookaheadOptions,
    ) -> Result<Self, BacktestError> {
        let fail = |problem| BacktestError::new(file, problem);
        let request = options.run.request(instrument);
        let mut recording = Recording::open(file, &request).map_err(fail)?;
        let mut ticks: Vec<Tick> = Vec::new();
        let is_cut = loop {
            let chunk = recording.next_chunk().map_err(fail)?;
            if chunk.is_empty() {
                break false;
            }
            ticks.extend(chunk.into_iter().map(|step| step.tick));
            if ticks.len() >= MAX_PRICES {
                break true;
            }
        };
        let read = recording.summary().clone();
        let until = ticks.last().map(|tick| tick.observed_at).filter(|_| is_cut);
        let mut recording = Recording::open(file, &request).map_err(fail)?;
        let own_length = recording.bar_length();
        let asked = TimeDelta::minutes(options.interval.minutes().into());
        let length = own_length.map_or(asked, |own| own.max(asked));
        let mut joiner = BarJoiner::new(instrument, own_length, options.interval);
        let mut bars = Vec::new();
        while let Some(row) = recording.next_row().map_err(fail)? {
            if until.is_some_and(|until| row.at > until) {
                break;
            }
            bars.extend(joiner.push(&row));
        }
        bars.extend(joiner.finish());
        Ok(Self { bars, ticks, length, is_cut, read })
    }

    /// Returns the prices of some bars: from the opening of the first to that of the one after the last.
    pub(super) fn prices(&self, bars: Range<usize>) -> &[Tick] {
        let before = |bar: usize| {
            let opened_at = self.bars.get(bar).map(|(opened_at, _)| *opened_at);
            opened_at.map_or(self.ticks.len(), |at| self.ticks.partition_point(|tick| tick.observed_at < at))
        };
        &self.ticks[before(bars.start)..before(bars.end)]
    }

    /// Returns the bar in which a time lies; the one before it in a gap.
    pub(super) fn bar_at(&self, at: DateTime<Utc>) -> usize {
        self.bars.partition_point(|(opened_at, _)| *opened_at <= at).saturating_sub(1)
    }
}
