//! Why a backtest failed.

use std::io;
use std::path::PathBuf;

use crate::backtest::{BacktestError, GridError};
use crate::config::{ConfigError, Problem};
use crate::domain::{InstrumentsError, UnknownSymbol};

/// Why a backtest failed.
#[derive(Debug, thiserror::Error)]
pub enum BacktestCommandError {
    /// The symbol is not in the catalogue.
    #[error("{0}; the instruments are {1}")]
    Symbol(UnknownSymbol, String),
    /// The name of the file contains no symbol.
    #[error("the name of {} tells no symbol: add --symbol, one of {listed}", .file.display())]
    NoSymbol {
        /// The file.
        file: PathBuf,
        /// The symbols of the catalogue.
        listed: String,
    },
    /// The number of symbols is neither one nor that of the files.
    #[error("--symbol is given {0} times for {1} files: once for all, or once for each")]
    Symbols(usize, usize),
    /// `--events` was given several files; detectors read only one.
    #[error("--events takes one file, not {0}")]
    ManyFiles(usize),
    /// The result would replace a recording.
    #[error("{} is the recording itself", .0.display())]
    SameFile(PathBuf),
    /// The catalogue contradicts itself.
    #[error(transparent)]
    Instruments(#[from] InstrumentsError),
    /// The recording cannot be read.
    #[error(transparent)]
    Backtest(#[from] BacktestError),
    /// The grid of a sweep cannot be used.
    #[error(transparent)]
    Grid(#[from] GridError),
    /// A value of the grid is not a setting.
    #[error("--sweep {text}: {error}")]
    Swept {
        /// The settings of the try.
        text: String,
        /// What is wrong with them.
        error: ConfigError,
    },
    /// The costs cannot be used.
    #[error(transparent)]
    Costs(#[from] Problem),
    /// An output file cannot be written.
    #[error("cannot write {}: {error}", .file.display())]
    Output {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}
