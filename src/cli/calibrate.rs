//! The command `calibrate`: what the model scores of recorded signals are worth as probabilities.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::log::LogLocation;
use super::{EXIT_FAILURE, EXIT_OK};
use crate::backtest::{CalibrationOptions, CalibrationReport};
use crate::domain::{Feed, SourceName};
use crate::store::{self, StoreError};

/// Fewest outcomes that a mapping is suggested for. With fewer, the error of a mapping is larger than that of the score.
const MINIMUM: u64 = 200;

/// What is calibrated, and what is written.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CalibrateCommand {
    /// The sender whose scores are calibrated; a mapping is applied to ict, the server's own setups
    #[arg(long, value_name = "NAME", default_value = SourceName::SETUPS)]
    source: String,
    /// Count the outcomes of replayed recordings instead of those of live and delayed prices
    #[arg(long)]
    replayed: bool,
    /// Fewest outcomes that a mapping is suggested for
    #[arg(long, value_name = "COUNT", default_value_t = MINIMUM, value_parser = clap::value_parser!(u64).range(50..=1_000_000))]
    minimum: u64,
    /// Where to write the report as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A new file for the mapping, for the setting setups.calibration. Exits with 1 where there are not enough outcomes
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// The log.
    #[command(flatten)]
    location: LogLocation,
}

/// Why a calibration failed.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An output file cannot be written.
    #[error("cannot write {}: {error}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Standard output cannot be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
}

impl CalibrateCommand {
    /// Returns the location on the command line, if there is one.
    pub fn location(&self) -> Option<&Path> {
        self.location.path()
    }

    /// Makes the report of the log at `location`, prints and writes it. Returns the exit code.
    ///
    /// # Errors
    /// [`CalibrateError`] when the log cannot be read or a result cannot be written.
    pub fn run(&self, location: &Path, out: &mut impl Write) -> Result<u8, CalibrateError> {
        let feeds = if self.replayed { vec![Feed::Replayed] } else { vec![Feed::Live, Feed::Delayed] };
        let minimum = usize::try_from(self.minimum).unwrap_or(usize::MAX);
        let options = CalibrationOptions { source: self.source.clone(), feeds, minimum };
        let report = CalibrationReport::new(&store::stored_outcomes(location)?, &options);
        let json = || serde_json::to_string_pretty(&report).map(|text| text + "\n").map_err(io::Error::from);
        match &self.json {
            Some(file) if file.as_os_str() == "-" => out.write_all(json()?.as_bytes())?,
            Some(file) => {
                let failed = |error| CalibrateError::File { file: file.clone(), error };
                fs::write(file, json()?).map_err(failed)?;
                out.write_all(report.table().as_bytes())?;
            }
            None => out.write_all(report.table().as_bytes())?,
        }
        let Some(file) = &self.write else { return Ok(EXIT_OK) };
        let failed = |error| CalibrateError::File { file: file.clone(), error };
        let Some(mapping) = &report.mapping else { return Ok(EXIT_FAILURE) };
        let text = serde_json::to_string_pretty(&mapping.map).map_err(io::Error::from)?;
        File::create_new(file).and_then(|mut file| writeln!(file, "{text}")).map_err(failed)?;
        // Standard output may be the JSON.
        writeln!(
            io::stderr(),
            "wrote mapping {} to {}: setups.calibration applies it",
            mapping.version,
            file.display()
        )
        .ok();
        Ok(EXIT_OK)
    }
}
