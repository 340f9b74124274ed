//! The command `recompute`: a day's live signals against a backtest over the ticks that were kept of it.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use clap::Args;

use super::log::LogLocation;
use super::{EXIT_FAILURE, EXIT_OK};
use crate::backtest::{RecomputeOptions, recompute};
use crate::config::Settings;
use crate::domain::{DifferenceReason, InstrumentsError, Recomputation, SourceName, iso};
use crate::store::{self, StoreError, StoredDayQuery};
use crate::ticks;

/// The end of the help.
pub(super) const EXAMPLE: &str = "Examples:\n  orion-server recompute\n  orion-server recompute 2026-11-27 --json -";

/// What is recomputed, and what is written.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct RecomputeCommand {
    /// The day, UTC, such as 2026-11-27 [default: yesterday]
    #[arg(value_name = "DAY")]
    day: Option<NaiveDate>,
    /// Where to write the result as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The log, with the kept ticks beside it.
    #[command(flatten)]
    location: LogLocation,
}

/// Why a recomputation failed.
#[derive(Debug, thiserror::Error)]
pub enum RecomputeCommandError {
    /// The instruments of the settings cannot be used.
    #[error(transparent)]
    Instruments(#[from] InstrumentsError),
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The day has not ended.
    #[error("{0} is not over (UTC); name an earlier day")]
    NotOver(NaiveDate),
    /// No ticks of the day are kept.
    #[error("no ticks of {day} are kept in {}; {kept} (data.tick_retention)", .dir.display())]
    NoTicks {
        /// The day.
        day: NaiveDate,
        /// The data directory.
        dir: PathBuf,
        /// What is kept.
        kept: String,
    },
    /// The result cannot be written to its file.
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

impl RecomputeCommand {
    /// Recomputes the day, prints and writes the result. Returns the exit code: 1 when nothing explains a difference.
    ///
    /// # Errors
    /// [`RecomputeCommandError`] when the day cannot be recomputed, or a result cannot be written.
    pub fn run(
        &self,
        settings: &Settings,
        now: DateTime<Utc>,
        out: &mut impl Write,
    ) -> Result<u8, RecomputeCommandError> {
        let day = self.day.unwrap_or_else(|| (now - TimeDelta::days(1)).date_naive());
        if day >= now.date_naive() {
            return Err(RecomputeCommandError::NotOver(day));
        }
        let location = self.location.path().unwrap_or(&settings.data.dir);
        let dir = if location.is_dir() { location } else { location.parent().unwrap_or(Path::new(".")) };
        let options = RecomputeOptions {
            day,
            instruments: settings.instruments()?.into(),
            ttl: settings.signals.ttl,
            rules: settings.setups.rules(),
            clustered: settings.cluster.is_on(),
            now,
        };
        let span = options.span();
        let stored = |first| {
            let (source, day) = (SourceName::new(SourceName::SETUPS), options.of_day());
            let recent_since = first - settings.signals.replay_window;
            store::stored_day(location, &StoredDayQuery { source, day, first, recent_since })
        };
        let Some(result) = recompute(&options, ticks::read(dir, span.start, span.end), stored, || true)? else {
            return Ok(EXIT_FAILURE);
        };
        if result.ticks == 0 {
            return Err(RecomputeCommandError::NoTicks { day, dir: dir.to_owned(), kept: kept(dir) });
        }
        let json = || serde_json::to_string_pretty(&result).map(|text| text + "\n").map_err(io::Error::from);
        match &self.json {
            Some(file) if file.as_os_str() == "-" => out.write_all(json()?.as_bytes())?,
            Some(file) => {
                let failed = |error| RecomputeCommandError::File { file: file.clone(), error };
                fs::write(file, json()?).map_err(failed)?;
                out.write_all(table(&result).as_bytes())?;
            }
            None => out.write_all(table(&result).as_bytes())?,
        }
        let unexplained = result.counts.contains_key(&DifferenceReason::Unexplained);
        Ok(if unexplained { EXIT_FAILURE } else { EXIT_OK })
    }
}

/// Says of which days ticks are kept.
fn kept(dir: &Path) -> String {
    match ticks::days(dir).as_slice() {
        [] => "none are kept of other days".to_owned(),
        [only] => format!("those of {only} are"),
        [first, .., last] => format!("those of {first} to {last} are"),
    }
}

/// Returns the result as a table.
fn table(result: &Recomputation) -> String {
    let Recomputation { day, ticks, live, recomputed, counts, differences, problem, .. } = result;
    let total: u64 = counts.values().sum();
    let reasons: Vec<_> = counts.iter().map(|(reason, count)| format!("{} {count}", reason.name())).collect();
    let reasons = if total > 0 { format!(": {}", reasons.join(", ")) } else { String::new() };
    let mut table = format!(
        "{day}: {ticks} ticks, {live} live signals, {recomputed} in the backtest, {total} differences{reasons}\n"
    );
    if let Some(problem) = problem {
        // Writing to a string cannot fail.
        writeln!(table, "note: {problem}").ok();
    }
    if differences.is_empty() {
        return table;
    }
    writeln!(table, "\n{:<24}  {:<10}  {:<15}  {:<11}  detail", "published", "symbol", "differs", "reason").ok();
    for difference in differences {
        let sides = difference.live.as_ref().or(difference.recomputed.as_ref());
        let published = sides.map_or_else(String::new, |signal| iso(signal.published_at));
        let (symbol, kind, reason) = (difference.symbol.as_str(), difference.kind.name(), difference.reason.name());
        writeln!(table, "{published:<24}  {symbol:<10}  {kind:<15}  {reason:<11}  {}", difference.detail).ok();
    }
    if total > differences.len() as u64 {
        writeln!(table, "and {} more", total - differences.len() as u64).ok();
    }
    table
}
