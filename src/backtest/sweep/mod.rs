//! Sweeps: the same recordings with many settings, and what the number of tries does to the best of them.

mod grid;
mod report;
mod table;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use chrono::NaiveDate;

pub use grid::{GridError, SweptSetting, grid};
pub use report::SweepReport;
pub(super) use table::names;

use super::run::Player;
use super::{BacktestError, RunOptions};
use crate::domain::{Instrument, Quote, SetupRules, Tick, TradeOutcome, trading_day};
use crate::recordings::{ReadSummary, Recording, RecordingError};

/// The number of chunks of prices that wait for each worker: reading stays ahead, and the memory small.
const CHUNKS_AHEAD: usize = 2;

/// One try: the settings that differ from the others'.
#[derive(Debug, Clone)]
pub struct Variant {
    /// The rules for setups.
    pub rules: SetupRules,
    /// The time to live of a pending signal.
    pub ttl: Duration,
    /// What the spread of every price is multiplied by, around its middle.
    pub spread: f64,
}

/// Why a sweep failed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The grid cannot be used.
    #[error(transparent)]
    Grid(#[from] GridError),
    /// A file cannot be used.
    #[error(transparent)]
    Backtest(#[from] BacktestError),
}

/// What came of the tries.
#[derive(Debug, Clone, Default)]
struct SweepRun {
    /// The trading days with prices or ends, of all recordings.
    days: BTreeSet<NaiveDate>,
    /// How each file was read.
    read: Vec<ReadSummary>,
    /// The records of confirmed signals that ended, by try, in the order of the recordings.
    outcomes: Vec<Vec<TradeOutcome>>,
}

/// Runs the grid of `swept`, whose tries are `variants`, and then the best of them with other spreads. `held_out` is the share of the
/// days, from the last, in which nothing is chosen. `progress` is called with the share of the work that is done, 0–1.
///
/// # Errors
/// [`SweepError`] when `swept` is no grid or a file is not a recording.
pub fn sweep(
    recordings: &[(&Path, Arc<Instrument>)],
    swept: Vec<SweptSetting>,
    variants: &[Variant],
    options: &RunOptions,
    held_out: f64,
    mut progress: impl FnMut(f64),
) -> Result<SweepReport, SweepError> {
    let total: u64 = recordings.iter().map(|(file, _)| std::fs::metadata(file).map_or(0, |file| file.len())).sum();
    let others = &report::SPREADS[1..];
    // The work grows with the number of engines.
    let share = variants.len() as f64 / (variants.len() + others.len()) as f64;
    let read = |bytes: u64| (bytes as f64 / total.max(1) as f64).min(1.0);
    let run = play_all(recordings, variants, options, |bytes| progress(read(bytes) * share))?;
    let mut spreads = Vec::new();
    if let Some(chosen) = report::choose(&run, held_out) {
        let with = |spread: &f64| Variant { spread: *spread, ..variants[chosen].clone() };
        let others: Vec<_> = others.iter().map(with).collect();
        let progress = |bytes| progress(share + read(bytes) * (1.0 - share));
        spreads = play_all(recordings, &others, options, progress)?.outcomes;
        spreads.insert(0, run.outcomes[chosen].clone());
    }
    let mut report = SweepReport::new(swept, run, &spreads, held_out)?;
    report.assumptions = options.costs.assumptions();
    Ok(report)
}

/// Plays the recordings with the settings of `options` and with wider spreads: 1.5 and 2 times that of every price. `progress` is
/// called with the share of the work that is done, 0–1.
///
/// # Errors
/// [`BacktestError`] when a file is not a recording.
pub fn spread_sensitivity(
    recordings: &[(&Path, Arc<Instrument>)],
    options: &RunOptions,
    mut progress: impl FnMut(f64),
) -> Result<Vec<(f64, Vec<TradeOutcome>)>, BacktestError> {
    let total: u64 = recordings.iter().map(|(file, _)| std::fs::metadata(file).map_or(0, |file| file.len())).sum();
    let factors = &report::SPREADS[1..];
    let with = |spread: &f64| Variant { rules: options.rules.clone(), ttl: options.ttl, spread: *spread };
    let variants: Vec<_> = factors.iter().map(with).collect();
    let run = play_all(recordings, &variants, options, |bytes| progress(bytes as f64 / total.max(1) as f64))?;
    Ok(factors.iter().copied().zip(run.outcomes).collect())
}

/// Plays each recording once, to an engine for every variant: the processors share the variants, so that the result does not
/// depend on their number. `progress` is called with the number of bytes read of all files.
fn play_all(
    recordings: &[(&Path, Arc<Instrument>)],
    variants: &[Variant],
    options: &RunOptions,
    mut progress: impl FnMut(u64),
) -> Result<SweepRun, BacktestError> {
    let mut run = SweepRun { outcomes: vec![Vec::new(); variants.len()], ..SweepRun::default() };
    let mut before = 0;
    for (file, instrument) in recordings {
        let fail = |problem| BacktestError::new(file, problem);
        let mut recording = Recording::open(file, &options.request(instrument)).map_err(fail)?;
        let ended =
            play(&mut recording, variants, options, &mut run.days, |bytes| progress(before + bytes)).map_err(fail)?;
        for (all, new) in run.outcomes.iter_mut().zip(ended) {
            run.days.extend(new.iter().map(|outcome| trading_day(outcome.closed_at)));
            all.extend(new);
        }
        before += recording.counts().bytes;
        run.read.push(recording.summary().clone());
    }
    Ok(run)
}

/// Plays a recording to all variants. Returns the records of each.
fn play(
    recording: &mut Recording,
    variants: &[Variant],
    options: &RunOptions,
    days: &mut BTreeSet<NaiveDate>,
    mut progress: impl FnMut(u64),
) -> Result<Vec<Vec<TradeOutcome>>, RecordingError> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let share = variants.len().div_ceil(workers).max(1);
    thread::scope(|scope| {
        let (mut senders, mut threads) = (Vec::new(), Vec::new());
        for share in variants.chunks(share) {
            let (sender, chunks) = sync_channel::<Arc<Vec<Tick>>>(CHUNKS_AHEAD);
            senders.push(sender);
            threads.push(scope.spawn(move || {
                let player = |it: &Variant| {
                    Player::new(options.instruments.clone(), it.rules.clone(), it.ttl).with_costs(options.costs.clone())
                };
                let mut players: Vec<_> = share.iter().map(|variant| (player(variant), variant.spread)).collect();
                for chunk in chunks {
                    for (player, spread) in &mut players {
                        for tick in chunk.iter() {
                            player.push(&widened(tick, *spread)).for_each(drop);
                        }
                        player.forget_bars();
                    }
                }
                players.into_iter().map(|(mut player, _)| player.outcomes()).collect::<Vec<_>>()
            }));
        }
        loop {
            let steps = recording.next_chunk()?;
            if steps.is_empty() {
                break;
            }
            let chunk: Arc<Vec<Tick>> = Arc::new(steps.into_iter().map(|step| step.tick).collect());
            days.extend(chunk.iter().map(|tick| trading_day(tick.observed_at)));
            for sender in &senders {
                // Fails when the worker has panicked, which its end below passes on.
                sender.send(chunk.clone()).ok();
            }
            progress(recording.counts().bytes);
        }
        drop(senders);
        let ended =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        Ok(ended.flatten().collect())
    })
}

/// Returns the price with its spread multiplied. A last price has none.
fn widened(tick: &Tick, factor: f64) -> Cow<'_, Tick> {
    match tick.quote {
        Quote::BidAsk { bid, ask } if factor != 1.0 => {
            let (middle, half) = (f64::midpoint(bid, ask), (ask - bid) / 2.0 * factor);
            Cow::Owned(Tick { quote: Quote::BidAsk { bid: middle - half, ask: middle + half }, ..tick.clone() })
        }
        _ => Cow::Borrowed(tick),
    }
}
