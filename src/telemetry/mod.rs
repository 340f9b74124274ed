//! What the operator sees: the log, every metric, what the process uses, and what it suffers from.

pub mod logging;
mod metrics;
mod process;
mod readiness;

pub use metrics::{Metrics, MetricsError};
pub use process::{Process, Usage};
pub use readiness::{Phase, Readiness, STORE};
