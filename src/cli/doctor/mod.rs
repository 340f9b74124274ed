//! The command `doctor`: checks whether the server has what it needs, and says how to fix the rest. It changes nothing.

mod cluster;
mod local;
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
pub struct DoctorCommand {
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

/// The example below the help.
pub(super) const EXAMPLE: &str = "Example:\n  orion-server doctor --webhook https://api.example.com";

/// The status of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CheckStatus {
    /// The check passed.
    Ok,
    /// The check does not apply, or could not be made.
    Skip,
    /// It works, but should be improved.
    Warn,
    /// It does not work.
    Fail,
}

impl fmt::Display for CheckStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        })
    }
}

/// The result of a check: one line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CheckResult {
    verdict: CheckStatus,
    what: &'static str,
    says: String,
}

impl CheckResult {
    fn new(verdict: CheckStatus, what: &'static str, says: impl Into<String>) -> Self {
        Self { verdict, what, says: says.into() }
    }
}

impl fmt::Display for CheckResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Foreign text must not break the line or steer the terminal.
        let says: String = self.says.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        write!(f, "{:<4}  {:<13}  {says}", self.verdict, self.what)
    }
}

impl DoctorCommand {
    /// Runs all checks and writes a line for each. The exit code tells whether the server can run.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn run(
        &self,
        loaded: Result<Loaded, ConfigError>,
        wall: fn() -> DateTime<Utc>,
        out: &mut impl Write,
    ) -> io::Result<u8> {
        let mut worst = CheckCounts::default();
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                worst.write(&CheckResult::new(CheckStatus::Fail, "configuration", error.to_string()), out)?;
                return worst.end(out);
            }
        };
        for finding in local::configuration(&loaded).into_iter().chain(local::check(&loaded.settings, wall())) {
            worst.write(&finding, out)?;
        }
        if self.offline {
            worst.write(&CheckResult::new(CheckStatus::Skip, "network", "not asked, because of --offline"), out)?;
            return worst.end(out);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let findings = runtime.block_on(async {
            let mut findings = network::check(self, &loaded.settings, wall).await;
            findings.extend(cluster::check(&loaded.settings).await);
            findings
        });
        for finding in findings {
            worst.write(&finding, out)?;
        }
        worst.end(out)
    }
}

/// Counts the results by status.
#[derive(Debug, Default)]
struct CheckCounts {
    warned: usize,
    failed: usize,
}

impl CheckCounts {
    fn write(&mut self, finding: &CheckResult, out: &mut impl Write) -> io::Result<()> {
        match finding.verdict {
            CheckStatus::Fail => self.failed += 1,
            CheckStatus::Warn => self.warned += 1,
            CheckStatus::Ok | CheckStatus::Skip => {}
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
