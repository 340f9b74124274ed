//! Runs a recording through the engine, as a replay in the server does.

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

/// The settings of the engine, as in a server.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The catalogue.
    pub instruments: Arc<Instruments>,
    /// The time to live of a pending signal.
    pub ttl: Duration,
    /// The rules for setups.
    pub rules: SetupRules,
    /// The options for reading the files.
    pub reading: RecordingOptions,
    /// The current time. Rows that are more than a day later are rejected.
    pub now: DateTime<Utc>,
}

/// The result of one recording.
#[derive(Debug, Clone)]
pub struct BacktestRun {
    /// The file.
    pub file: PathBuf,
    /// The instrument.
    pub symbol: Symbol,
    /// The times of its first and its last price.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// The number of minutes with a price.
    pub minutes: u64,
    /// The number of prices.
    pub ticks: u64,
    /// How the file was read, and which rows were rejected.
    pub read: ReadSummary,
    /// The number of signals that were published on each trading day with prices.
    pub days: BTreeMap<NaiveDate, u64>,
    /// Every change of every signal, in order, as in the log of a server.
    pub changes: Vec<Arc<Signal>>,
    /// The records of confirmed signals that ended within the recording.
    pub outcomes: Vec<TradeOutcome>,
}

/// Runs `file` through a new engine, and calls `progress` with the number of bytes read.
///
/// # Errors
/// [`BacktestError`] when the file is not a recording.
pub fn run(
    file: &Path,
    instrument: &Arc<Instrument>,
    options: &RunOptions,
    mut progress: impl FnMut(u64),
) -> Result<BacktestRun, BacktestError> {
    let fail = |problem| BacktestError::new(file, problem);
    let request = ReadRequest {
        instrument: instrument.clone(),
        instruments: options.instruments.clone(),
        options: options.reading.clone(),
        now: options.now,
    };
    let mut recording = Recording::open(file, &request).map_err(fail)?;
    let mut playback = Playback {
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
            playback.push(&step.tick);
        }
        // Drained to free the memory; a backtest does not store bars.
        playback.engine.changed_bars();
        progress(recording.counts().bytes);
    }
    let Playback { mut engine, span, minutes, ticks, days, changes, .. } = playback;
    let mut signals: BTreeMap<NaiveDate, u64> = days.into_iter().map(|day| (day, 0)).collect();
    for signal in changes.iter().filter(|signal| signal.state.is_pending()) {
        *signals.entry(trading_day(signal.accepted_at)).or_default() += 1;
    }
    Ok(BacktestRun {
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

struct Playback {
    engine: Engine,
    span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    minute: Option<DateTime<Utc>>,
    minutes: u64,
    ticks: u64,
    days: BTreeSet<NaiveDate>,
    changes: Vec<Arc<Signal>>,
}

impl Playback {
    fn push(&mut self, tick: &Tick) {
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
