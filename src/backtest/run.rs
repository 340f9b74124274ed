//! Runs a recording through the engine, as a replay in the server does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};

use super::BacktestError;
use super::price_line::PriceLine;
use crate::domain::{
    BarInterval, Instrument, Instruments, Now, RecordingOptions, SetupRules, Signal, Symbol, Tick, TradeOutcome,
    TradingCosts, trading_day,
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
    /// How positions are entered, and what they cost.
    pub costs: TradingCosts,
    /// The options for reading the files.
    pub reading: RecordingOptions,
    /// The current time. Rows that are more than a day later are rejected.
    pub now: DateTime<Utc>,
}

impl RunOptions {
    /// Returns what opens a recording of `instrument`.
    pub(super) fn request(&self, instrument: &Arc<Instrument>) -> ReadRequest {
        ReadRequest {
            instrument: instrument.clone(),
            instruments: self.instruments.clone(),
            options: self.reading.clone(),
            now: self.now,
        }
    }
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
    /// The mids for a chart.
    pub prices: PriceLine,
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
    let mut recording = Recording::open(file, &options.request(instrument)).map_err(fail)?;
    let mut playback = Playback {
        player: Player::new(options.instruments.clone(), options.rules.clone(), options.ttl)
            .with_costs(options.costs.clone()),
        minute: None,
        minutes: 0,
        ticks: 0,
        days: BTreeSet::new(),
        changes: Vec::new(),
        instrument: instrument.clone(),
        prices: PriceLine::new(),
    };
    loop {
        let chunk = recording.next_chunk().map_err(fail)?;
        if chunk.is_empty() {
            break;
        }
        for step in &chunk {
            playback.push(&step.tick);
        }
        playback.player.forget_bars();
        progress(recording.counts().bytes);
    }
    let Playback { mut player, minutes, ticks, days, changes, prices, .. } = playback;
    let mut signals: BTreeMap<NaiveDate, u64> = days.into_iter().map(|day| (day, 0)).collect();
    for signal in changes.iter().filter(|signal| signal.state.is_pending()) {
        *signals.entry(trading_day(signal.accepted_at)).or_default() += 1;
    }
    Ok(BacktestRun {
        file: file.into(),
        symbol: instrument.symbol.clone(),
        span: player.span,
        minutes,
        ticks,
        read: recording.summary().clone(),
        days: signals,
        changes,
        outcomes: player.outcomes(),
        prices,
    })
}

/// An engine that a recording is played to.
pub(super) struct Player {
    engine: Engine,
    /// The times of the first and the last price.
    span: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Player {
    pub(super) fn new(instruments: Arc<Instruments>, rules: SetupRules, ttl: Duration) -> Self {
        Self { engine: Engine::new(instruments, ttl, 1).with_setups(rules, false), span: None }
    }

    /// Sets how positions are entered and what they cost.
    pub(super) fn with_costs(self, costs: TradingCosts) -> Self {
        Self { engine: self.engine.with_costs(costs), ..self }
    }

    /// Plays the next price. Returns the signals that it changed.
    pub(super) fn push(&mut self, tick: &Tick) -> impl Iterator<Item = Arc<Signal>> {
        let at = tick.observed_at;
        let (first, _) = *self.span.insert((self.span.map_or(at, |(first, _)| first), at));
        let now = Now { wall: at, mono: (at - first).to_std().unwrap_or_default() };
        self.engine.replay(tick, now).into_iter().map(|change| change.signal)
    }

    /// Frees the memory of bars that are not to be stored.
    pub(super) fn forget_bars(&mut self) {
        self.engine.changed_bars();
    }

    /// Returns the records that have ended since the last call.
    pub(super) fn outcomes(&mut self) -> Vec<TradeOutcome> {
        self.engine.ended_records()
    }
}

/// A player, and what a report of one run counts.
struct Playback {
    player: Player,
    minute: Option<DateTime<Utc>>,
    minutes: u64,
    ticks: u64,
    days: BTreeSet<NaiveDate>,
    changes: Vec<Arc<Signal>>,
    instrument: Arc<Instrument>,
    prices: PriceLine,
}

impl Playback {
    fn push(&mut self, tick: &Tick) {
        let minute = BarInterval::OneMinute.floor(tick.observed_at);
        if self.minute.replace(minute) != Some(minute) {
            self.minutes += 1;
            self.days.insert(trading_day(tick.observed_at));
        }
        self.ticks += 1;
        self.prices.push(tick.observed_at, self.instrument.mid(tick.quote));
        self.changes.extend(self.player.push(tick));
    }
}
