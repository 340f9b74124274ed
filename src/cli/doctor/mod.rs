//! `doctor`: whether the server has what it needs, and what to do where it has not. Needs no running server, changes nothing.

mod around;
mod network;

use std::fmt;
use std::io::{self, Write};

use chrono::{DateTime, Utc};
use clap::Args;
use http::Uri;

use super::{EXIT_FAILURE, EXIT_OK, address};
use crate::config::{ConfigError, Loaded};

/// What to check beyond the settings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub struct Doctor {
    /// Compare the clock with this server's, instead of with the enabled providers'
    #[arg(long, value_name = "URL", value_parser = address)]
    clock: Option<Uri>,
    /// The address under which TradingView is to reach this server, such as `https://api.example.com`
    #[arg(long, value_name = "URL", value_parser = address)]
    webhook: Option<Uri>,
    /// Ask nobody over the network
    #[arg(long)]
    offline: bool,
}

/// Shows the example under the help.
pub(super) const EXAMPLE: &str = "Example:\n  orion-server doctor --webhook https://api.example.com";

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// As it should be.
    Ok,
    /// Not applicable, or nobody could tell.
    Skip,
    /// Works, but should be seen to.
    Warn,
    /// Does not work.
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        })
    }
}

/// A line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    verdict: Verdict,
    what: &'static str,
    says: String,
}

impl Finding {
    fn new(verdict: Verdict, what: &'static str, says: impl Into<String>) -> Self {
        Self { verdict, what, says: says.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What came from outside cannot break the line or steer the terminal.
        let says: String = self.says.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        write!(f, "{:<4}  {:<13}  {says}", self.verdict, self.what)
    }
}

impl Doctor {
    /// Checks everything and writes a line for each check; the exit code says whether all is well enough to run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn run(
        &self,
        loaded: Result<Loaded, ConfigError>,
        wall: fn() -> DateTime<Utc>,
        out: &mut impl Write,
    ) -> io::Result<u8> {
        let mut worst = Tally::default();
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                worst.write(&Finding::new(Verdict::Fail, "configuration", error.to_string()), out)?;
                return worst.end(out);
            }
        };
        for finding in around::configuration(&loaded).into_iter().chain(around::check(&loaded.settings, wall())) {
            worst.write(&finding, out)?;
        }
        if self.offline {
            worst.write(&Finding::new(Verdict::Skip, "network", "not asked, because of --offline"), out)?;
            return worst.end(out);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        for finding in runtime.block_on(network::check(self, &loaded.settings, wall)) {
            worst.write(&finding, out)?;
        }
        worst.end(out)
    }
}

/// How many lines of each kind there were.
#[derive(Debug, Default)]
struct Tally {
    warned: usize,
    failed: usize,
}

impl Tally {
    fn write(&mut self, finding: &Finding, out: &mut impl Write) -> io::Result<()> {
        match finding.verdict {
            Verdict::Fail => self.failed += 1,
            Verdict::Warn => self.warned += 1,
            Verdict::Ok | Verdict::Skip => {}
        }
        writeln!(out, "{finding}")
    }

    fn end(&self, out: &mut impl Write) -> io::Result<u8> {
        let code = match (self.failed, self.warned) {
            (0, 0) => {
                writeln!(out, "\nall well")?;
                EXIT_OK
            }
            (0, warned) => {
                writeln!(out, "\nwell enough to run; see the {warned} above that say warn")?;
                EXIT_OK
            }
            (failed, _) => {
                writeln!(out, "\n{failed} to fix")?;
                EXIT_FAILURE
            }
        };
        out.flush()?;
        Ok(code)
    }
}

#[cfg(test)]
mod tests;
