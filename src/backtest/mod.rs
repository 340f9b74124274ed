//! Recordings run through the engine's own rules, without a server.

mod events;
mod html;
mod report;
mod run;

use std::path::Path;

pub use events::{EventsOptions, EventsReport, detector_events};
pub use report::{BacktestReport, FileReport};
pub use run::{BacktestRun, RunOptions, run};

use crate::recordings::RecordingError;

/// A file that nothing could be made of, and why.
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
