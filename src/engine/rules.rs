//! The rules for the plausibility and age of prices, and for the choice of the active source.

use std::time::Duration;

use crate::domain::SourceName;

/// The rules for prices. Ages count from the arrival of a price.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceRules {
    /// A live price older than this is delayed. Default 15 s.
    pub delayed_after: Duration,
    /// A live price older than this is stale while London or New York trade. Default 60 s.
    pub stale_after: Duration,
    /// A live price older than this is stale in the quiet hours, when even EURUSD can be silent for minutes (212 s were
    /// observed). Default 5 min.
    pub stale_after_quiet: Duration,
    /// A price that differs from the last one by more than this multiple of the recent range is rejected until a second
    /// one confirms it; 0 accepts everything. Default 10.
    pub jump_limit: f64,
    /// The names of sources, best first; all others come after them. Default none.
    pub priority: Vec<SourceName>,
    /// Another source of a symbol takes over when the active one is silent for longer than this while the market is
    /// open. Default 15 s.
    pub switch_after: Duration,
    /// A better source takes over again when it has delivered for this long without a gap, and the last switch is at
    /// least this long ago. Default 60 s.
    pub return_after: Duration,
    /// Two sources that differ by more than this share of the price are reported. Default 0.003 (0.3 %).
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
    /// Returns the rank of a source; lower is better.
    pub(super) fn rank(&self, source: &SourceName) -> usize {
        self.priority.iter().position(|name| name == source).unwrap_or(self.priority.len())
    }
}
