//! A report on how a recording was read.

use serde::Serialize;

use super::left_out::LeftOut;

/// How a recording was read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReadSummary {
    /// One line: layout, side of the prices, timezone.
    pub read_as: String,
    /// The timezone of times without one; `null` if all times have one.
    pub timezone: Option<String>,
    /// `bid`, `ask`, `mid`, `last` (a single price), or `bid_ask`.
    pub price: &'static str,
    /// The added spread, as a price difference; `null` if the file has both sides or its own column, or if none was
    /// added.
    pub spread: Option<f64>,
    /// `start` or `end`; `null` for ticks.
    pub bar_label: Option<&'static str>,
    /// Length of a bar in seconds; `null` for ticks.
    pub bar_seconds: Option<f64>,
    /// Assumptions and detected properties that the reader of the report should know.
    pub notes: Vec<String>,
    /// Probable faults of the file.
    pub warnings: Vec<String>,
    /// Skipped rows, by reason.
    pub left_out: LeftOut,
}

impl ReadSummary {
    /// Returns the report in lines for people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("read as: {}", self.read_as)];
        if self.left_out.total() > 0 {
            lines.push(format!("left out: {}", self.left_out));
        }
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines.extend(self.warnings.iter().map(|warning| format!("warning: {warning}")));
        lines
    }
}
