//! What a reader of a report has to know about how a recording was read.

use serde::Serialize;

use super::left_out::LeftOut;

/// How a recording was read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReadSummary {
    /// One line: layout, side of its prices, zone.
    pub read_as: String,
    /// The zone of times that carry none; `null` where all carry theirs.
    pub timezone: Option<String>,
    /// `bid`, `ask`, `mid`, `last` (one price a moment), or `bid_ask`.
    pub price: &'static str,
    /// The spread that was added, in prices; `null` where the file has both sides, its own column, or none was added.
    pub spread: Option<f64>,
    /// `start` or `end`; `null` for ticks.
    pub bar_label: Option<&'static str>,
    /// Length of a bar in seconds; `null` for ticks.
    pub bar_seconds: Option<f64>,
    /// What was assumed or recognized and should be known.
    pub notes: Vec<String>,
    /// What is probably wrong.
    pub warnings: Vec<String>,
    /// Rows that were left out, by reason.
    pub left_out: LeftOut,
}

impl ReadSummary {
    /// All of it in lines for a person.
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
