//! What the operator sees: the log, and every metric.

mod metrics;

pub use metrics::{Metrics, MetricsError};
