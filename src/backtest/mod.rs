//! Recordings run through the engine's own rules, without a server.

mod events;
mod html;
mod report;
mod run;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

pub use events::{EventsOptions, EventsReport, detector_events};
pub use report::{FileReport, Report};
pub use run::{Run, RunOptions, run};

use crate::domain::{Instrument, SourceName};
use crate::sources::replay::{Problem, Recording, Replay};

/// A file that nothing could be made of, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {file}: {problem}")]
pub struct BacktestError {
    file: String,
    problem: Problem,
}

impl BacktestError {
    fn new(file: &Path, problem: impl Into<Problem>) -> Self {
        Self { file: file.display().to_string(), problem: problem.into() }
    }
}

fn open(file: &Path, instrument: &Arc<Instrument>) -> Result<Recording<BufReader<File>>, BacktestError> {
    let opened = File::open(file).map_err(|error| BacktestError::new(file, error))?;
    Recording::open(BufReader::new(opened), instrument.clone(), SourceName::new(Replay::NAME))
        .map_err(|problem| BacktestError::new(file, problem))
}
