//! The progress of a long command: one changing line on a terminal, periodic lines otherwise.

use std::io::{self, IsTerminal, Stderr, Write};
use std::time::Duration;

use tokio::time::Instant;

/// The interval of reports on a terminal.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(200);
/// The interval of reports elsewhere; most commands end before the first.
const LOG_INTERVAL: Duration = Duration::from_secs(5);
/// The width of the bar, in characters.
const CELLS: usize = 30;

/// The progress of one command.
pub(super) struct ProgressLine<W> {
    what: &'static str,
    out: W,
    terminal: bool,
    reported: Instant,
}

impl ProgressLine<Stderr> {
    /// Returns a progress line on standard error.
    pub(super) fn new(what: &'static str) -> Self {
        let out = io::stderr();
        let terminal = out.is_terminal();
        Self { what, out, terminal, reported: Instant::now() }
    }
}

impl<W: Write> ProgressLine<W> {
    pub(super) fn report(&mut self, percent: u8) {
        let pause = if self.terminal { TERMINAL_INTERVAL } else { LOG_INTERVAL };
        if self.reported.elapsed() < pause {
            return;
        }
        self.reported = Instant::now();
        let line = if self.terminal {
            let done = usize::from(percent.min(100)) * CELLS / 100;
            format!("\r{} [{}{}] {percent} %", self.what, "#".repeat(done), "-".repeat(CELLS - done))
        } else {
            format!("{}: {percent} %\n", self.what)
        };
        // There is no other place to report a closed standard error.
        write!(self.out, "{line}").and_then(|()| self.out.flush()).ok();
    }

    /// Clears the line on a terminal, so that the result can be printed.
    pub(super) fn clear(&mut self) {
        if self.terminal {
            write!(self.out, "\r\x1b[K").and_then(|()| self.out.flush()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn progress_is_reported_at_intervals() {
        let bar = format!("\rbackup [##{}] 7 %\r\x1b[K", "-".repeat(28));
        for (terminal, pause, expected) in
            [(false, LOG_INTERVAL, "backup: 7 %\n"), (true, TERMINAL_INTERVAL, bar.as_str())]
        {
            let mut progress = ProgressLine { what: "backup", out: Vec::new(), terminal, reported: Instant::now() };
            progress.report(3);
            tokio::time::advance(pause).await;
            progress.report(7);
            progress.report(8);
            progress.clear();
            assert_eq!(String::from_utf8(progress.out).unwrap(), expected);
        }
    }
}
