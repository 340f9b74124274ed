//! How far prices are believed, and which source is in force.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value::{self, duration};

/// How far prices are believed, and whose they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriceSettings {
    /// A live price older than this is `delayed`. Default 15 s.
    #[serde(with = "duration")]
    pub delayed_after: Duration,
    /// A live price older than this is `stale` while London or New York trade. Default 60 s.
    #[serde(with = "duration")]
    pub stale_after: Duration,
    /// And older than this in the quiet hours. Default 5 min.
    #[serde(with = "duration")]
    pub stale_after_quiet: Duration,
    /// Another source takes over after this long without a price from the one in force, in market hours. Default 15 s.
    #[serde(with = "duration")]
    pub switch_after: Duration,
    /// A better source takes over again after it has been steady for this long. Default 60 s.
    #[serde(with = "duration")]
    pub return_after: Duration,
    /// A price further away than so many times the recent range needs a second one; 0 for none. Default 10.
    #[serde(deserialize_with = "value::decimal")]
    pub jump_limit: f64,
    /// Sources further apart than this, in percent, are warned of. Default 0.3.
    #[serde(deserialize_with = "value::decimal")]
    pub divergence: f64,
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
            divergence: 0.3,
        }
    }
}
