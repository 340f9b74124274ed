//! The command `backtest`: runs recordings through the engine's rules.

mod error;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args};
use serde::Serialize;

pub use self::error::BacktestCommandError;
use super::progress::ProgressLine;
use super::{EXIT_FAILURE, EXIT_OK};
use crate::backtest::{
    BacktestReport, EventsOptions, EventsReport, LookaheadOptions, LookaheadReport, RunOptions, SweepError,
    SweptSetting, Variant, detector_events, grid, lookahead_check, run, spread_sensitivity, sweep,
};
use crate::config::{ConfigError, Problem, Settings};
use crate::domain::{
    BarInterval, BarLabel, ColumnNames, Cost, EntryOrder, Instrument, Instruments, PriceSide, RecordingOptions, Spread,
    Symbol, Timezone,
};
use crate::recordings::ReadSummary;

/// Largest `--swing`: with more bars, a pivot is confirmed hours late.
const MAX_SWING: u64 = 500;
/// The percentage of the trading days that a sweep holds out.
const DEFAULT_HELD_OUT: u8 = 30;

/// What is run, and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(group(ArgGroup::new("detectors").args(["events", "lookahead_check"])))]
pub struct BacktestCommand {
    /// Recordings: CSVs of ticks or of bars as vendors write them, plain or packed with gzip; docs/recordings.md lists them
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// What they hold, in any spelling: once for all, or once for each; taken from the files' names if absent
    #[arg(long, value_name = "SYMBOL")]
    symbol: Vec<String>,
    /// Time zone of times that carry none: an IANA name, an offset such as +02:00, or broker (New York + 7 h)
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true)]
    timezone: Option<Timezone>,
    /// Which side the prices are, where there is one price a moment: bid, ask or mid
    #[arg(long, value_name = "SIDE")]
    price: Option<PriceSide>,
    /// What bid and ask are apart, where there is one price a moment: points (13), a difference of prices (0.00013), or
    /// column for the file's own
    #[arg(long, value_name = "SPREAD")]
    spread: Option<Spread>,
    /// Whether a bar's time is that of its start or of its end
    #[arg(long, value_name = "LABEL")]
    bar_label: Option<BarLabel>,
    /// Which columns to use, by name or place, and how dates are written: time=Datum,close=#5,volume=none (docs/recordings.md)
    #[arg(long, value_name = "COLUMNS")]
    columns: Option<ColumnNames>,
    /// How positions are entered: market or limit, instead of costs.entry
    #[arg(long, value_name = "ORDER", conflicts_with = "events")]
    entry: Option<EntryOrder>,
    /// How much worse than the price each fill at the market is, instead of costs.slippage: 2, 1.5points, 0.00002, 0.002% or
    /// XAUUSD=0.05; several with commas
    #[arg(long, value_name = "COSTS", conflicts_with = "events", value_delimiter = ',')]
    slippage: Vec<Cost>,
    /// The commission of a whole position, entry and exit together, instead of costs.commission; in the same forms
    #[arg(long, value_name = "COSTS", conflicts_with = "events", value_delimiter = ',')]
    commission: Vec<Cost>,
    /// Where to write the result as JSON; - for standard output
    #[arg(long, value_name = "FILE", conflicts_with = "events")]
    json: Option<PathBuf>,
    /// Where to write the report as a page with charts: prices with the signals, the R curve, months, wider spreads; of a sweep, the
    /// sensitivity to each setting
    #[arg(long, value_name = "FILE", conflicts_with = "detectors")]
    html: Option<PathBuf>,
    /// Run every combination of settings, KEY=FROM:TO:STEP or KEY=VALUE,VALUE; may be given again for another setting. Reports
    /// the best with the number of tries (docs/setups.md)
    #[arg(long, value_name = "KEY=VALUES", conflicts_with = "detectors")]
    sweep: Vec<SweptSetting>,
    /// With --sweep: share of the trading days, in percent, that is held out at the end: no setting is chosen in it [default: 30]
    #[arg(long, value_name = "PERCENT", requires = "sweep", value_parser = clap::value_parser!(u8).range(0..=90))]
    held_out: Option<u8>,
    /// Only run the detectors, and write what they find as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Replay prefixes of the files, and count the outputs of every detector, indicator and setup that the rest rewrites: exits
    /// with 1 if there is one (docs/setups.md)
    #[arg(long)]
    lookahead_check: bool,
    /// With --events or --lookahead-check: length of the bars: 1m, 5m, 15m or 1h [default: 1m]
    #[arg(long, value_name = "INTERVAL", requires = "detectors", value_parser = interval)]
    interval: Option<BarInterval>,
    /// With --events or --lookahead-check: bars on both sides of a swing [default: 5]
    #[arg(long, value_name = "BARS", requires = "detectors", value_parser = clap::value_parser!(u64).range(1..=MAX_SWING))]
    swing: Option<u64>,
}

fn interval(text: &str) -> Result<BarInterval, &'static str> {
    BarInterval::parse(text).ok_or("must be 1m, 5m, 15m or 1h")
}

impl BacktestCommand {
    /// Runs the backtest and returns the exit code. `load` returns the settings with those that a try of a sweep changes.
    ///
    /// # Errors
    /// When the backtest fails.
    pub fn run(
        &self,
        settings: &Settings,
        load: impl Fn(&[(&str, &str)]) -> Result<Settings, ConfigError>,
    ) -> Result<u8, BacktestCommandError> {
        let instruments = Arc::new(settings.instruments()?);
        let recordings = self.recordings(&instruments)?;
        for output in [&self.json, &self.html, &self.events].into_iter().flatten() {
            let same =
                |file: &&PathBuf| matches!((file.canonicalize(), output.canonicalize()), (Ok(a), Ok(b)) if a == b);
            if let Some(file) = self.files.iter().find(same) {
                return Err(BacktestCommandError::SameFile(file.clone()));
            }
        }
        if self.lookahead_check {
            return self.lookahead(&recordings, &instruments, settings);
        }
        match (&self.events, recordings.as_slice()) {
            (Some(out), [(file, instrument)]) => self.events(file, instrument, &instruments, out)?,
            (Some(_), many) => return Err(BacktestCommandError::ManyFiles(many.len())),
            (None, recordings) if !self.sweep.is_empty() => self.sweep(recordings, &instruments, settings, load)?,
            (None, recordings) => self.signals(recordings, &instruments, settings)?,
        }
        Ok(EXIT_OK)
    }

    /// Returns the files with their instruments.
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

    /// Returns the options for reading the files.
    fn reading(&self) -> RecordingOptions {
        RecordingOptions {
            timezone: self.timezone,
            price: self.price,
            spread: self.spread,
            bar_label: self.bar_label,
            columns: self.columns.clone().unwrap_or_default(),
        }
    }

    fn events(
        &self,
        file: &Path,
        instrument: &Arc<Instrument>,
        instruments: &Arc<Instruments>,
        out: &Path,
    ) -> Result<(), BacktestCommandError> {
        let (interval, swing) = self.detectors();
        let (instruments, reading) = (instruments.clone(), self.reading());
        let options = EventsOptions { instruments, reading, now: now(), interval, swing };
        let mut document = Vec::new();
        let report = detector_events(file, instrument, &options, &mut document)?;
        write(out, &document)?;
        // There is no other place to report a closed standard error.
        print_counts(&report, interval, &instrument.symbol, &mut io::stderr()).ok();
        Ok(())
    }

    /// Returns the interval of the detectors' bars, and the number of bars on both sides of a swing.
    fn detectors(&self) -> (BarInterval, usize) {
        (self.interval.unwrap_or(BarInterval::OneMinute), self.swing.unwrap_or(5) as usize)
    }

    fn lookahead(
        &self,
        recordings: &[(&Path, Arc<Instrument>)],
        instruments: &Arc<Instruments>,
        settings: &Settings,
    ) -> Result<u8, BacktestCommandError> {
        let (interval, swing) = self.detectors();
        let options = LookaheadOptions { run: self.options(instruments, settings)?, interval, swing };
        let (mut progress, share) = (ProgressLine::new("look-ahead check"), 100.0 / recordings.len() as f64);
        let mut reports = Vec::new();
        for (place, (file, instrument)) in recordings.iter().enumerate() {
            let report = |done: f64| progress.report(((place as f64 + done) * share) as u8);
            let checked = lookahead_check(file, instrument, &options, report);
            progress.clear();
            let report = checked?;
            print_read_summary(&file.display().to_string(), &report.read, &mut io::stderr()).ok();
            reports.push(report);
        }
        self.write_report(&reports, || reports.iter().map(LookaheadReport::table).collect::<Vec<_>>().join("\n"))?;
        Ok(lookahead_exit(&reports))
    }

    fn signals(
        &self,
        recordings: &[(&Path, Arc<Instrument>)],
        instruments: &Arc<Instruments>,
        settings: &Settings,
    ) -> Result<(), BacktestCommandError> {
        let options = self.options(instruments, settings)?;
        let size = |file: &Path| fs::metadata(file).map_or(0, |file| file.len());
        let total: u64 = recordings.iter().map(|(file, _)| size(file)).sum();
        let (mut progress, mut before) = (ProgressLine::new("backtest"), 0);
        let mut runs = Vec::new();
        for (file, instrument) in recordings {
            let report = |bytes: u64| progress.report(((before + bytes) * 100 / total.max(1)).min(100) as u8);
            let run = run(file, instrument, &options, report).inspect_err(|_| progress.clear())?;
            before += size(file);
            progress.clear();
            print_read_summary(&file.display().to_string(), &run.read, &mut io::stderr()).ok();
            runs.push(run);
        }
        progress.clear();
        let mut report = BacktestReport::new(runs, &options.costs);
        if let Some(out) = &self.html {
            let mut progress = ProgressLine::new("wider spreads");
            let others = spread_sensitivity(recordings, &options, |done| progress.report((done * 100.0) as u8));
            progress.clear();
            report = report.with_spreads(&others?);
            write(out, report.html().as_bytes())?;
        }
        self.write_report(&report, || report.table())
    }

    fn sweep(
        &self,
        recordings: &[(&Path, Arc<Instrument>)],
        instruments: &Arc<Instruments>,
        settings: &Settings,
        load: impl Fn(&[(&str, &str)]) -> Result<Settings, ConfigError>,
    ) -> Result<(), BacktestCommandError> {
        let variant = |pairs: Vec<(&str, &str)>| match load(&pairs) {
            Ok(it) => Ok(Variant { rules: it.setups.rules(), ttl: it.signals.ttl, spread: 1.0 }),
            Err(error) => {
                let text = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ");
                Err(BacktestCommandError::Swept { text, error })
            }
        };
        let variants = grid(&self.sweep)?.into_iter().map(variant).collect::<Result<Vec<_>, _>>()?;
        let options = self.options(instruments, settings)?;
        let held_out = f64::from(self.held_out.unwrap_or(DEFAULT_HELD_OUT)) / 100.0;
        let mut progress = ProgressLine::new("sweep");
        let report = |done: f64| progress.report((done * 100.0) as u8);
        let swept = sweep(recordings, self.sweep.clone(), &variants, &options, held_out, report);
        progress.clear();
        let report = swept.map_err(|error| match error {
            SweepError::Grid(error) => BacktestCommandError::from(error),
            SweepError::Backtest(error) => error.into(),
        })?;
        for ((file, _), read) in recordings.iter().zip(&report.read) {
            print_read_summary(&file.display().to_string(), read, &mut io::stderr()).ok();
        }
        if let Some(out) = &self.html {
            write(out, report.html().as_bytes())?;
        }
        self.write_report(&report, || report.table())
    }

    fn options(&self, instruments: &Arc<Instruments>, settings: &Settings) -> Result<RunOptions, Problem> {
        let mut settings = settings.clone();
        let costs = &mut settings.costs;
        costs.entry = self.entry.unwrap_or(costs.entry);
        for (given, setting) in [(&self.slippage, &mut costs.slippage), (&self.commission, &mut costs.commission)] {
            if !given.is_empty() {
                *setting = given.clone().into();
            }
        }
        Ok(RunOptions {
            costs: settings.trading_costs(instruments)?,
            instruments: instruments.clone(),
            ttl: settings.signals.ttl,
            rules: settings.setups.rules(),
            reading: self.reading(),
            now: now(),
        })
    }

    /// Writes the report as JSON where that is wanted, and the table to standard output if the JSON is not there.
    fn write_report(
        &self,
        report: &impl Serialize,
        table: impl FnOnce() -> String,
    ) -> Result<(), BacktestCommandError> {
        if let Some(out) = &self.json {
            let failed =
                |error: serde_json::Error| BacktestCommandError::Output { file: out.clone(), error: error.into() };
            let mut json = serde_json::to_vec_pretty(report).map_err(failed)?;
            json.push(b'\n');
            write(out, &json)?;
            if out.as_os_str() == "-" {
                return Ok(());
            }
        }
        write(Path::new("-"), table().as_bytes())
    }
}

/// Returns the exit code of a look-ahead check.
fn lookahead_exit(reports: &[LookaheadReport]) -> u8 {
    if reports.iter().all(|report| report.passed) { EXIT_OK } else { EXIT_FAILURE }
}

/// Writes a result; `-` is standard output, which the reader may close early.
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

/// Returns the current time.
fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

/// Prints how a file was read. Notes are in the reports.
fn print_read_summary(file: &str, read: &ReadSummary, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{file}: read as: {}", read.read_as)?;
    if let Some(first) = read.left_out.first_fault() {
        writeln!(out, "{file}: {} rows were left out; the first: {first}", read.left_out.total())?;
    }
    for warning in &read.warnings {
        writeln!(out, "{file}: warning: {warning}")?;
    }
    Ok(())
}

fn print_counts(report: &EventsReport, interval: BarInterval, symbol: &Symbol, out: &mut impl Write) -> io::Result<()> {
    let EventsReport { bars, events, left_out, longer, summary } = report;
    writeln!(out, "read as: {}", summary.read_as)?;
    if let Some((rows, first)) = left_out {
        writeln!(out, "{rows} rows were left out; the first: {first}")?;
    }
    for warning in &summary.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    if let Some(longer) = longer {
        let (minutes, interval) = (longer.num_minutes(), interval.name());
        writeln!(out, "the bars are {minutes} minutes long, more than --interval {interval}: taken as they are")?;
    }
    writeln!(out, "ok: {events} events in {bars} bars of {symbol}")
}

/// Finds the instrument in the name of a file: the first word that is a symbol or alias, a contract (`NQH26`), or a symbol with
/// a bar length (`EURUSD60`).
fn symbol_in_name<'a>(file: &Path, instruments: &'a Instruments) -> Option<&'a Arc<Instrument>> {
    let name = file.file_stem()?.to_string_lossy().into_owned();
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() >= 2).collect();
    let without_digits = |word: &&str| instruments.named(word.trim_end_matches(|c: char| c.is_ascii_digit()));
    // A contract such as NQH26 ends with a digit. A word that ends with a letter is not shortened to guess.
    let contract =
        |word: &&str| instruments.resolve(word).ok().filter(|_| word.ends_with(|c: char| c.is_ascii_digit()));
    let as_written = words.iter().find_map(|word| instruments.named(word));
    as_written.or_else(|| words.iter().find_map(contract)).or_else(|| words.iter().find_map(without_digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_symbol_is_found_in_the_name() {
        let list = Instruments::documented().into_iter().chain(Instruments::futures());
        let instruments = Instruments::new(list).unwrap();
        let found = |name: &str| symbol_in_name(Path::new(name), &instruments).map(|i| i.symbol.as_str());
        assert_eq!(found("/data/eurusd_m1_oanda_201405.csv"), Some("EURUSD"));
        assert_eq!(found("2014-XAUUSD.csv"), Some("XAUUSD"));
        assert_eq!(found("es_m1.csv"), Some("ES"));
        assert_eq!(found("OANDA_EURUSD, 5.csv"), Some("EURUSD"));
        assert_eq!(found("EURUSD1.csv"), Some("EURUSD"));
        assert_eq!(found("NQH26.txt"), Some("NQ"));
        assert_eq!(found("US30.csv"), Some("US30"));
        assert_eq!(found("MESA.csv"), None);
        assert_eq!(found("prices.csv"), None);
    }
}
