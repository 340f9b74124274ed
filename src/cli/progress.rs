//! How far a long command is: one line that changes for a person, a line now and then for a log.

use std::io::{self, IsTerminal, Stderr, Write};
use std::time::Duration;

use tokio::time::Instant;

/// Between two reports of progress to a person who watches.
const WATCHED: Duration = Duration::from_millis(200);
/// Between two reports of progress that end up in some log; most commands are done before the first.
const UNWATCHED: Duration = Duration::from_secs(5);
/// Cells of the bar.
const CELLS: usize = 30;

/// The progress of one command.
pub(super) struct Progress<W> {
    what: &'static str,
    out: W,
    terminal: bool,
    told: Instant,
}

impl Progress<Stderr> {
    /// Told on standard error.
    pub(super) fn new(what: &'static str) -> Self {
        let out = io::stderr();
        let terminal = out.is_terminal();
        Self { what, out, terminal, told: Instant::now() }
    }
}

impl<W: Write> Progress<W> {
    pub(super) fn tell(&mut self, percent: u8) {
        let pause = if self.terminal { WATCHED } else { UNWATCHED };
        if self.told.elapsed() < pause {
            return;
        }
        self.told = Instant::now();
        let line = if self.terminal {
            let done = usize::from(percent.min(100)) * CELLS / 100;
            format!("\r{} [{}{}] {percent} %", self.what, "#".repeat(done), "-".repeat(CELLS - done))
        } else {
            format!("{}: {percent} %\n", self.what)
        };
        // Nobody is left to tell when standard error is closed.
        write!(self.out, "{line}").and_then(|()| self.out.flush()).ok();
    }

    /// Makes room for the result.
    pub(super) fn wipe(&mut self) {
        if self.terminal {
            write!(self.out, "\r\x1b[K").and_then(|()| self.out.flush()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn progress_is_told_now_and_then() {
        let bar = format!("\rbackup [##{}] 7 %\r\x1b[K", "-".repeat(28));
        for (terminal, pause, expected) in [(false, UNWATCHED, "backup: 7 %\n"), (true, WATCHED, bar.as_str())] {
            let mut progress = Progress { what: "backup", out: Vec::new(), terminal, told: Instant::now() };
            progress.tell(3);
            tokio::time::advance(pause).await;
            progress.tell(7);
            progress.tell(8);
            progress.wipe();
            assert_eq!(String::from_utf8(progress.out).unwrap(), expected);
        }
    }
}
