//! A recording through the engine, as a live replay would take it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};

use super::BacktestError;
use crate::domain::{
    BarInterval, Instrument, Instruments, Now, RecordingOptions, SetupRules, Signal, Symbol, Tick, TradeOutcome,
    trading_day,
};
use crate::engine::Engine;
use crate::recordings::{ReadRequest, ReadSummary, Recording};

/// What the engine is told; the same as in a server.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The catalogue.
    pub instruments: Arc<Instruments>,
    /// Life of a pending signal.
    pub ttl: Duration,
    /// What setups have to fulfil.
    pub rules: SetupRules,
    /// How the files are to be read, where they do not say it themselves.
    pub reading: RecordingOptions,
    /// The time now: nothing is recorded later than a day after it.
    pub now: DateTime<Utc>,
}

/// What came of one recording.
#[derive(Debug, Clone)]
pub struct Run {
    /// The file.
    pub file: PathBuf,
    /// What it holds.
    pub symbol: Symbol,
    /// Time of its first and its last price.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Minutes that had a price.
    pub minutes: u64,
    /// Prices.
    pub ticks: u64,
    /// How the file was read, and what was left out.
    pub read: ReadSummary,
    /// Signals that were published on each trading day that had prices.
    pub days: BTreeMap<NaiveDate, u64>,
    /// Every change of every signal, in order: what a server would have in its log.
    pub changes: Vec<Arc<Signal>>,
    /// Records of confirmed signals that ended within the recording.
    pub outcomes: Vec<TradeOutcome>,
}

/// Runs `file` through an engine of its own; `progress` is told the bytes that were read.
///
/// # Errors
/// [`BacktestError`] when the file is no recording.
pub fn run(
    file: &Path,
    instrument: &Arc<Instrument>,
    options: &RunOptions,
    mut progress: impl FnMut(u64),
) -> Result<Run, BacktestError> {
    let fail = |problem| BacktestError::new(file, problem);
    let request = ReadRequest {
        instrument: instrument.clone(),
        instruments: options.instruments.clone(),
        options: options.reading.clone(),
        now: options.now,
    };
    let mut recording = Recording::open(file, &request).map_err(fail)?;
    let mut playing = Playing {
        engine: Engine::new(options.instruments.clone(), options.ttl, 1).with_setups(options.rules.clone(), false),
        span: None,
        minute: None,
        minutes: 0,
        ticks: 0,
        days: BTreeSet::new(),
        changes: Vec::new(),
    };
    loop {
        let chunk = recording.next_chunk().map_err(fail)?;
        if chunk.is_empty() {
            break;
        }
        for step in &chunk {
            playing.take(&step.tick);
        }
        // Nobody stores them here.
        playing.engine.changed_bars();
        progress(recording.counts().bytes);
    }
    let Playing { mut engine, span, minutes, ticks, days, changes, .. } = playing;
    let mut signals: BTreeMap<NaiveDate, u64> = days.into_iter().map(|day| (day, 0)).collect();
    for signal in changes.iter().filter(|signal| signal.state.is_pending()) {
        *signals.entry(trading_day(signal.accepted_at)).or_default() += 1;
    }
    Ok(Run {
        file: file.into(),
        symbol: instrument.symbol.clone(),
        span,
        minutes,
        ticks,
        read: recording.summary().clone(),
        days: signals,
        changes,
        outcomes: engine.ended_records(),
    })
}

struct Playing {
    engine: Engine,
    span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    minute: Option<DateTime<Utc>>,
    minutes: u64,
    ticks: u64,
    days: BTreeSet<NaiveDate>,
    changes: Vec<Arc<Signal>>,
}

impl Playing {
    fn take(&mut self, tick: &Tick) {
        let at = tick.observed_at;
        let (first, _) = *self.span.insert((self.span.map_or(at, |(first, _)| first), at));
        let minute = BarInterval::OneMinute.floor(at);
        if self.minute.replace(minute) != Some(minute) {
            self.minutes += 1;
            self.days.insert(trading_day(at));
        }
        self.ticks += 1;
        let now = Now { wall: at, mono: (at - first).to_std().unwrap_or_default() };
        self.changes.extend(self.engine.replay(tick, now).into_iter().map(|change| change.signal));
    }
}
