//! Settings of price quality and of the failover between sources.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value::{self, duration};

/// When prices are delayed or stale, and which source is active.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriceSettings {
    /// A live price older than this is `delayed`. Default 15 s.
    #[serde(with = "duration")]
    pub delayed_after: Duration,
    /// A live price older than this is `stale` while London or New York trade. Default 60 s.
    #[serde(with = "duration")]
    pub stale_after: Duration,
    /// A live price older than this is `stale` in the quiet hours. Default 5 min.
    #[serde(with = "duration")]
    pub stale_after_quiet: Duration,
    /// Another source takes over after this long without a price from the active one, in market hours. Default 15 s.
    #[serde(with = "duration")]
    pub switch_after: Duration,
    /// A preferred source becomes active again after it has been steady for this long. Default 60 s.
    #[serde(with = "duration")]
    pub return_after: Duration,
    /// A price that jumps by more than this multiple of the recent range needs a second one to confirm it; 0 for no limit. Default 10.
    #[serde(deserialize_with = "value::decimal")]
    pub jump_limit: f64,
    /// A larger difference between sources, in percent, causes a warning. Default 0.3.
    #[serde(deserialize_with = "value::decimal")]
    pub divergence_percent: f64,
}

impl Default for PriceSettings {
    fn default() -> Self {
        Self {
            delayed_after: Duration::from_secs(15),
            stale_after: Duration::from_mins(1),
            stale_after_quiet: Duration::from_mins(5),
            switch_after: Duration::from_secs(15),
            return_after: Duration::from_mins(1),
            jump_limit: 10.0,
            divergence_percent: 0.3,
        }
    }
}
