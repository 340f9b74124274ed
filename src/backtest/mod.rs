//! Backtests: run recordings through the engine, without a server; calibration, from what came of signals; and the comparison of
//! live signals with a backtest over the ticks that were kept.

mod bars;
mod calibration;
mod events;
mod html;
mod lookahead;
mod overfitting;
mod price_line;
mod recompute;
mod report;
mod results;
mod run;
mod sweep;

use std::path::Path;

pub use calibration::{CalibrationOptions, CalibrationReport};
pub use events::{EventsOptions, EventsReport, detector_events};
pub use lookahead::{LookaheadOptions, LookaheadReport, lookahead_check};
pub use recompute::{RecomputeOptions, recompute};
pub use report::{BacktestReport, FileReport};
pub use run::{BacktestRun, RunOptions, run};
pub use sweep::{GridError, SweepError, SweepReport, SweptSetting, Variant, grid, spread_sensitivity, sweep};

use crate::recordings::RecordingError;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {file}: {problem}")]
pub struct BacktestError {
    file: String,
    problem: RecordingError,
}

impl BacktestError {
    fn new(file: &Path, problem: impl Into<RecordingError>) -> Self {
        Self { file: file.display().to_string(), problem: problem.into() }
    }
}
