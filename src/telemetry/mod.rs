//! What the operator sees: the log, every metric, and what the process uses.

pub mod logging;
mod metrics;
mod process;

pub use metrics::{Metrics, MetricsError};
pub use process::{Process, Usage};
