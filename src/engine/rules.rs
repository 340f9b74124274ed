//! How far prices are believed, and which source is in force.

use std::time::Duration;

use crate::domain::SourceName;

/// The rules for prices. Spans are measured from a price's arrival.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceRules {
    /// A live price older than this is not quite fresh any more. Default 15 s.
    pub delayed_after: Duration,
    /// A live price older than this is stale while London or New York trade. Default 60 s.
    pub stale_after: Duration,
    /// And this in the quiet hours: EURUSD was seen silent for 212 s. Default 5 min.
    pub stale_after_quiet: Duration,
    /// A price further away from the last one than this many times the recent range is not believed before a second one
    /// confirms it; 0 believes everything. Default 10.
    pub jump_limit: f64,
    /// Sources by name, the best first; all others come after them. Default none.
    pub priority: Vec<SourceName>,
    /// Another source of a symbol takes over when the one in force is silent for longer than this while the market is open.
    /// Default 15 s.
    pub switch_after: Duration,
    /// A better source takes over again when it has delivered for this long without such a silence, and the last switch is
    /// as long ago. Default 60 s.
    pub return_after: Duration,
    /// Two sources further apart than this share of the price are a reason to look. Default 0.003 (0.3 %).
    pub divergence: f64,
}

impl Default for PriceRules {
    fn default() -> Self {
        Self {
            delayed_after: Duration::from_secs(15),
            stale_after: Duration::from_mins(1),
            stale_after_quiet: Duration::from_mins(5),
            jump_limit: 10.0,
            priority: Vec::new(),
            switch_after: Duration::from_secs(15),
            return_after: Duration::from_mins(1),
            divergence: 0.003,
        }
    }
}

impl PriceRules {
    /// Where a source stands; the lower the better.
    pub(super) fn rank(&self, source: &SourceName) -> usize {
        self.priority.iter().position(|name| name == source).unwrap_or(self.priority.len())
    }
}
