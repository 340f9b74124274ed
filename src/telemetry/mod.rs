//! What the operator sees: the log, and every metric.

pub mod logging;
mod metrics;
pub mod process;

pub use metrics::{Metrics, MetricsError};
