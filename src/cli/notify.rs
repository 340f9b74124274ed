//! `notify test`: sends a test message to a channel.

use std::io::{self, Write};
use std::sync::Arc;

use clap::{Subcommand, ValueEnum};

use super::{EXIT_FAILURE, EXIT_OK};
use crate::config::Settings;
use crate::domain::WallClock;
use crate::notify::{self, NotifyError};

/// The end of its help.
pub(super) const EXAMPLE: &str = "Examples:\n  orion-server notify test telegram\n  orion-server notify test line";

/// A channel of notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the names of the services")]
pub enum NotifyChannel {
    Telegram,
    Line,
    Discord,
    Slack,
    Ntfy,
    Email,
    Webhook,
}

/// Work on the notices.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum NotifyCommand {
    /// Send a test message to every receiver of a channel, and say what the service answers
    ///
    /// With the settings of the server, which need not run. Exits with 1 when a message was not taken.
    Test {
        /// The channel
        channel: NotifyChannel,
    },
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum NotifyCommandError {
    /// The channel cannot be used.
    #[error(transparent)]
    Notify(#[from] NotifyError),
    /// The channel is not set up.
    #[error("{0} is not set up: docs/notices.md has the settings ([notify.{0}])")]
    Off(String),
    /// The instruments of the settings contradict each other.
    #[error(transparent)]
    Instruments(#[from] crate::domain::InstrumentsError),
    /// The output cannot be written.
    #[error(transparent)]
    Output(#[from] io::Error),
}

impl NotifyCommand {
    /// Runs the command. Returns its exit code.
    ///
    /// # Errors
    /// [`NotifyCommandError`].
    pub fn run(&self, settings: &Settings, clock: WallClock, out: &mut impl Write) -> Result<u8, NotifyCommandError> {
        let Self::Test { channel } = self;
        let name = channel.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let instruments = Arc::new(settings.instruments()?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let tests = runtime.block_on(notify::test(&settings.notify, &name, &instruments, clock))?;
        if tests.is_empty() {
            return Err(NotifyCommandError::Off(name));
        }
        let mut code = EXIT_OK;
        for test in tests {
            let (number, all) = test.place;
            let label = if all > 1 { format!("{name} {number}/{all}") } else { name.clone() };
            match test.result {
                Ok(()) => writeln!(out, "{label}: sent")?,
                Err(fault) => {
                    writeln!(out, "{label}: not sent: {fault}")?;
                    code = EXIT_FAILURE;
                }
            }
        }
        Ok(code)
    }
}
