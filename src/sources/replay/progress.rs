//! The progress log of a replay: its position and the remaining time.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::domain::iso;
use crate::recordings::{Counts, ReadSummary, RecordedTick};

/// Time between two log lines.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Logs how the file is read, once its first rows show it.
pub(super) fn announce(file: &Path, summary: &ReadSummary) {
    let file = file.display();
    tracing::info!(%file, "recording read as: {}", summary.read_as);
    for note in &summary.notes {
        tracing::info!(%file, "{note}");
    }
    for warning in &summary.warnings {
        tracing::warn!(%file, "{warning}");
    }
}

/// The progress of a replay.
#[derive(Debug)]
pub(super) struct ProgressLog {
    file: String,
    /// Size of the file in bytes.
    size: u64,
    began: Instant,
    next_line: Instant,
    at: Option<DateTime<Utc>>,
    read: Counts,
    ticks: u64,
}

impl ProgressLog {
    pub(super) fn new(file: String, size: u64) -> Self {
        let began = Instant::now();
        Self { file, size, began, next_line: began + LINE_INTERVAL, at: None, read: Counts::default(), ticks: 0 }
    }

    /// Returns when the next log line is due.
    pub(super) fn next_line(&self) -> Instant {
        self.next_line
    }

    /// Records sent ticks, and logs if a line is due.
    pub(super) fn sent(&mut self, last: &RecordedTick, count: usize) {
        self.at = Some(last.tick.observed_at);
        self.read = last.read;
        self.ticks += count as u64;
        self.log_if_due();
    }

    pub(super) fn log_if_due(&mut self) {
        let now = Instant::now();
        if now >= self.next_line {
            self.next_line = now + LINE_INTERVAL;
            tracing::info!(file = self.file, "replaying: {}", self.line(now - self.began));
        }
    }

    /// Logs the last line. `read` counts the whole file; `summary` describes how it was read.
    pub(super) fn finish(&mut self, read: Counts, summary: &ReadSummary) {
        self.read = read;
        tracing::info!(file = self.file, "replayed: {}", self.line(self.began.elapsed()));
        if summary.left_out.total() > 0 {
            tracing::info!(file = self.file, "left out: {}", summary.left_out);
        }
        for warning in &summary.warnings {
            tracing::warn!(file = self.file, "{warning}");
        }
    }

    fn line(&self, elapsed: Duration) -> String {
        let Counts { rows, left_out, bytes } = self.read;
        let done = if self.size == 0 { 1.0 } else { (bytes as f64 / self.size as f64).clamp(0.0, 1.0) };
        let at = self.at.map_or_else(|| "beginning".into(), iso);
        let left_out = match left_out {
            0 => String::new(),
            rows => format!(", {rows} left out"),
        };
        let left = Duration::try_from_secs_f64(elapsed.as_secs_f64() * (1.0 - done) / done);
        let time = match left {
            Ok(left) if left.is_zero() => format!(", in {:.1} s", elapsed.as_secs_f64()),
            Ok(left) => format!(", {} left", for_people(left)),
            Err(_) => String::new(),
        };
        format!("{at}, {rows} rows, {} ticks, {:.1} %{left_out}{time}", self.ticks, done * 100.0)
    }
}

/// `2 h 5 min`, `3 min 20 s` or `7 s`.
fn for_people(span: Duration) -> String {
    let seconds = span.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::parse_time;

    #[tokio::test(start_paused = true)]
    async fn a_line_has_position_progress_and_time() {
        let mut progress = ProgressLog::new("ticks.csv".into(), 1000);
        assert_eq!(progress.line(Duration::from_secs(10)), "beginning, 0 rows, 0 ticks, 0.0 %");
        progress.at = parse_time("2026-01-15T07:00:00Z");
        progress.read = Counts { rows: 25, left_out: 0, bytes: 250 };
        progress.ticks = 25;
        let line = progress.line(Duration::from_secs(100));
        assert_eq!(line, "2026-01-15T07:00:00.000Z, 25 rows, 25 ticks, 25.0 %, 5 min 0 s left");
        progress.read = Counts { rows: 99, left_out: 3, bytes: 1000 };
        let line = progress.line(Duration::from_millis(1500));
        assert_eq!(line, "2026-01-15T07:00:00.000Z, 99 rows, 25 ticks, 100.0 %, 3 left out, in 1.5 s");
    }

    #[test]
    fn durations_are_readable() {
        for (seconds, text) in [(7, "7 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")] {
            assert_eq!(for_people(Duration::from_secs(seconds)), text);
        }
    }
}
