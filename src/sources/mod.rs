//! Where prices and signals come from.

pub mod push;

use std::sync::Arc;

use chrono::{DateTime, Utc};

/// The wall clock as a source is given it.
pub type WallClock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;
