//! `backtest`: a recording through the engine's rules.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::EXIT_OK;
use crate::backtest::{BacktestError, EventsOptions, EventsReport, detector_events};
use crate::domain::{BarInterval, Instrument, Instruments, UnknownSymbol};

/// Longest swing: beyond it a pivot is known hours late.
const MAX_SWING: u64 = 500;

/// What is run, and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct BacktestCommand {
    /// The recording: a CSV of ticks (time,bid,ask) or bars (time,open,high,low,close[,volume])
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What it holds, in any spelling; taken from the file's name if absent
    #[arg(long, value_name = "SYMBOL")]
    symbol: Option<String>,
    /// Length of the bars that the detectors see: 1m, 5m, 15m or 1h
    #[arg(long, value_name = "INTERVAL", default_value = "1m", value_parser = interval)]
    interval: BarInterval,
    /// Bars on both sides of a swing
    #[arg(long, value_name = "BARS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=MAX_SWING))]
    swing: u64,
    /// Where to write what the detectors found, as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
}

/// Why a backtest did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum BacktestCommandError {
    /// The symbol is not in the catalogue.
    #[error("{0}; the instruments are {1}")]
    Symbol(UnknownSymbol, String),
    /// No word of the file's name is a symbol.
    #[error("the name of {} tells no symbol: add --symbol, one of {listed}", .file.display())]
    NoSymbol {
        /// The file.
        file: PathBuf,
        /// What there is.
        listed: String,
    },
    /// The result would replace the recording.
    #[error("{} is the recording itself", .0.display())]
    SameFile(PathBuf),
    /// The recording.
    #[error(transparent)]
    Backtest(#[from] BacktestError),
    /// A file that is to be written.
    #[error("cannot write {}: {error}", .file.display())]
    Output {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

fn interval(text: &str) -> Result<BarInterval, &'static str> {
    BarInterval::parse(text).ok_or("must be 1m, 5m, 15m or 1h")
}

impl BacktestCommand {
    /// Runs it and returns the exit code.
    ///
    /// # Errors
    /// When it could not be run to its end.
    pub fn run(&self, instruments: &Instruments) -> Result<u8, BacktestCommandError> {
        let instrument = self.instrument(instruments)?;
        let same =
            |output: &Path| matches!((self.file.canonicalize(), output.canonicalize()), (Ok(a), Ok(b)) if a == b);
        if same(&self.events) {
            return Err(BacktestCommandError::SameFile(self.file.clone()));
        }
        let options = EventsOptions { interval: self.interval, swing: self.swing as usize };
        let mut document = Vec::new();
        let report = detector_events(&self.file, instrument, options, &mut document)?;
        self.write(&document).map_err(|error| BacktestCommandError::Output { file: self.events.clone(), error })?;
        // Nobody is left to tell when standard error is closed.
        self.tell(&report, &instrument.symbol, &mut io::stderr()).ok();
        Ok(EXIT_OK)
    }

    fn instrument<'a>(&self, instruments: &'a Instruments) -> Result<&'a Arc<Instrument>, BacktestCommandError> {
        let listed = || instruments.iter().map(|i| i.symbol.as_str()).collect::<Vec<_>>().join(" ");
        if let Some(symbol) = &self.symbol {
            return instruments.resolve(symbol).map_err(|unknown| BacktestCommandError::Symbol(unknown, listed()));
        }
        symbol_in_name(&self.file, instruments)
            .ok_or_else(|| BacktestCommandError::NoSymbol { file: self.file.clone(), listed: listed() })
    }

    /// Whoever takes no more of standard output has had enough of it.
    fn write(&self, document: &[u8]) -> io::Result<()> {
        if self.events.as_os_str() != "-" {
            return fs::write(&self.events, document);
        }
        match io::stdout().lock().write_all(document) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }

    fn tell(&self, report: &EventsReport, symbol: &impl std::fmt::Display, out: &mut impl Write) -> io::Result<()> {
        let EventsReport { bars, events, left_out, longer } = report;
        if let Some((rows, first)) = left_out {
            writeln!(out, "{rows} rows were left out; the first: {first}")?;
        }
        if let Some(longer) = longer {
            let (minutes, interval) = (longer.num_minutes(), self.interval.name());
            writeln!(out, "the bars are {minutes} minutes long, more than --interval {interval}: taken as they are")?;
        }
        writeln!(out, "ok: {events} events in {bars} bars of {symbol}")
    }
}

/// The first word of a file's name that is an instrument's name or alias.
fn symbol_in_name<'a>(file: &Path, instruments: &'a Instruments) -> Option<&'a Arc<Instrument>> {
    let name = file.file_stem()?.to_string_lossy().into_owned();
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| word.len() >= 2)
        .find_map(|word| instruments.named(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_symbol_may_stand_in_the_name() {
        let instruments =
            Instruments::new(Instruments::documented().into_iter().chain(Instruments::futures())).unwrap();
        let found = |name: &str| symbol_in_name(Path::new(name), &instruments).map(|i| i.symbol.as_str());
        assert_eq!(found("/data/eurusd_m1_oanda_201405.csv"), Some("EURUSD"));
        assert_eq!(found("2014-XAUUSD.csv"), Some("XAUUSD"));
        assert_eq!(found("es_m1.csv"), Some("ES"));
        assert_eq!(found("prices.csv"), None);
    }
}
