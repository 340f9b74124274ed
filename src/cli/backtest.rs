//! `backtest`: recordings through the engine's rules.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::EXIT_OK;
use super::progress::Progress;
use crate::backtest::{BacktestError, EventsOptions, EventsReport, Report, RunOptions, detector_events, run};
use crate::config::Settings;
use crate::domain::{BarInterval, Instrument, Instruments, InstrumentsError, Symbol, UnknownSymbol};

/// Longest swing: beyond it a pivot is known hours late.
const MAX_SWING: u64 = 500;

/// What is run, and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct BacktestCommand {
    /// Recordings: CSVs of ticks (time,bid,ask) or of bars (time,open,high,low,close and perhaps volume)
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// What they hold, in any spelling: once for all, or once for each; taken from the files' names if absent
    #[arg(long, value_name = "SYMBOL")]
    symbol: Vec<String>,
    /// Where to write the result as JSON; - for standard output
    #[arg(long, value_name = "FILE", conflicts_with = "events")]
    json: Option<PathBuf>,
    /// Where to write the report as a page with charts
    #[arg(long, value_name = "FILE", conflicts_with = "events")]
    html: Option<PathBuf>,
    /// Only run the detectors, and write what they find as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// With --events: length of the bars: 1m, 5m, 15m or 1h [default: 1m]
    #[arg(long, value_name = "INTERVAL", requires = "events", value_parser = interval)]
    interval: Option<BarInterval>,
    /// With --events: bars on both sides of a swing [default: 5]
    #[arg(long, value_name = "BARS", requires = "events", value_parser = clap::value_parser!(u64).range(1..=MAX_SWING))]
    swing: Option<u64>,
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
    /// Neither one symbol nor one for each file.
    #[error("--symbol is given {0} times for {1} files: once for all, or once for each")]
    Symbols(usize, usize),
    /// Detectors count the bars of one file.
    #[error("--events takes one file, not {0}")]
    ManyFiles(usize),
    /// The result would replace a recording.
    #[error("{} is the recording itself", .0.display())]
    SameFile(PathBuf),
    /// The catalogue contradicts itself.
    #[error(transparent)]
    Instruments(#[from] InstrumentsError),
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
    /// Runs it by `settings` and returns the exit code.
    ///
    /// # Errors
    /// When it could not be run to its end.
    pub fn run(&self, settings: &Settings) -> Result<u8, BacktestCommandError> {
        let instruments = Arc::new(settings.instruments()?);
        let recordings = self.recordings(&instruments)?;
        for output in [&self.json, &self.html, &self.events].into_iter().flatten() {
            let same =
                |file: &&PathBuf| matches!((file.canonicalize(), output.canonicalize()), (Ok(a), Ok(b)) if a == b);
            if let Some(file) = self.files.iter().find(same) {
                return Err(BacktestCommandError::SameFile(file.clone()));
            }
        }
        match (&self.events, recordings.as_slice()) {
            (Some(out), [(file, instrument)]) => self.events(file, instrument, out)?,
            (Some(_), many) => return Err(BacktestCommandError::ManyFiles(many.len())),
            (None, recordings) => self.signals(recordings, &instruments, settings)?,
        }
        Ok(EXIT_OK)
    }

    /// The files, each with what it holds.
    fn recordings(&self, instruments: &Instruments) -> Result<Vec<(&Path, Arc<Instrument>)>, BacktestCommandError> {
        let listed = || instruments.iter().map(|i| i.symbol.as_str()).collect::<Vec<_>>().join(" ");
        let resolve = |symbol: &String| {
            let found = instruments.resolve(symbol).cloned();
            found.map_err(|unknown| BacktestCommandError::Symbol(unknown, listed()))
        };
        let of = |(place, file): (usize, &PathBuf)| match self.symbol.as_slice() {
            [] => symbol_in_name(file, instruments)
                .cloned()
                .ok_or_else(|| BacktestCommandError::NoSymbol { file: file.clone(), listed: listed() }),
            [symbol] => resolve(symbol),
            symbols => symbols
                .get(place)
                .filter(|_| symbols.len() == self.files.len())
                .ok_or(BacktestCommandError::Symbols(symbols.len(), self.files.len()))
                .and_then(resolve),
        };
        self.files.iter().enumerate().map(|file| Ok((file.1.as_path(), of(file)?))).collect()
    }

    fn events(&self, file: &Path, instrument: &Arc<Instrument>, out: &Path) -> Result<(), BacktestCommandError> {
        let interval = self.interval.unwrap_or(BarInterval::OneMinute);
        let options = EventsOptions { interval, swing: self.swing.unwrap_or(5) as usize };
        let mut document = Vec::new();
        let report = detector_events(file, instrument, options, &mut document)?;
        write(out, &document)?;
        // Nobody is left to tell when standard error is closed.
        tell(&report, interval, &instrument.symbol, &mut io::stderr()).ok();
        Ok(())
    }

    fn signals(
        &self,
        recordings: &[(&Path, Arc<Instrument>)],
        instruments: &Arc<Instruments>,
        settings: &Settings,
    ) -> Result<(), BacktestCommandError> {
        let options =
            RunOptions { instruments: instruments.clone(), ttl: settings.signals.ttl, rules: settings.setups.rules() };
        let size = |file: &Path| fs::metadata(file).map_or(0, |file| file.len());
        let total: u64 = recordings.iter().map(|(file, _)| size(file)).sum();
        let (mut progress, mut before) = (Progress::new("backtest"), 0);
        let mut runs = Vec::new();
        for (file, instrument) in recordings {
            let tell = |bytes: u64| progress.tell(((before + bytes) * 100 / total.max(1)).min(100) as u8);
            let run = run(file, instrument, &options, tell).inspect_err(|_| progress.wipe())?;
            before += size(file);
            if let Some((rows, first)) = &run.left_out {
                progress.wipe();
                writeln!(io::stderr(), "{}: {rows} rows were left out; the first: {first}", file.display()).ok();
            }
            runs.push(run);
        }
        progress.wipe();
        let report = Report::new(runs);
        if let Some(out) = &self.json {
            let failed =
                |error: serde_json::Error| BacktestCommandError::Output { file: out.clone(), error: error.into() };
            let mut json = serde_json::to_vec_pretty(&report).map_err(failed)?;
            json.push(b'\n');
            write(out, &json)?;
        }
        if let Some(out) = &self.html {
            write(out, report.html().as_bytes())?;
        }
        if self.json.as_deref() == Some(Path::new("-")) {
            return Ok(());
        }
        write(Path::new("-"), report.table().as_bytes())
    }
}

/// Writes a result; `-` is standard output, and whoever takes no more of that has had enough of it.
fn write(file: &Path, result: &[u8]) -> Result<(), BacktestCommandError> {
    let written = if file.as_os_str() == "-" {
        match io::stdout().lock().write_all(result) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    } else {
        fs::write(file, result)
    };
    written.map_err(|error| BacktestCommandError::Output { file: file.into(), error })
}

fn tell(report: &EventsReport, interval: BarInterval, symbol: &Symbol, out: &mut impl Write) -> io::Result<()> {
    let EventsReport { bars, events, left_out, longer } = report;
    if let Some((rows, first)) = left_out {
        writeln!(out, "{rows} rows were left out; the first: {first}")?;
    }
    if let Some(longer) = longer {
        let (minutes, interval) = (longer.num_minutes(), interval.name());
        writeln!(out, "the bars are {minutes} minutes long, more than --interval {interval}: taken as they are")?;
    }
    writeln!(out, "ok: {events} events in {bars} bars of {symbol}")
}

/// The first word of a file's name that is an instrument's name or alias.
fn symbol_in_name<'a>(file: &Path, instruments: &'a Instruments) -> Option<&'a Arc<Instrument>> {
    let name = file.file_stem()?.to_string_lossy().into_owned();
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() >= 2);
    words.find_map(|word| instruments.named(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_symbol_may_stand_in_the_name() {
        let list = Instruments::documented().into_iter().chain(Instruments::futures());
        let instruments = Instruments::new(list).unwrap();
        let found = |name: &str| symbol_in_name(Path::new(name), &instruments).map(|i| i.symbol.as_str());
        assert_eq!(found("/data/eurusd_m1_oanda_201405.csv"), Some("EURUSD"));
        assert_eq!(found("2014-XAUUSD.csv"), Some("XAUUSD"));
        assert_eq!(found("es_m1.csv"), Some("ES"));
        assert_eq!(found("prices.csv"), None);
    }
}
