//! What operators see: the log, the metrics, the resources of the process, its readiness, and the states of the sources.

mod connection;
mod declare;
mod disk;
mod first_steps;
mod log_limit;
pub mod logging;
mod metrics;
mod process;
mod queue;
mod readiness;
mod recomputations;
mod redact;
mod rejects;
mod source_states;
mod tick_rate;

pub use connection::{ConnectionId, ConnectionSpan};
pub use disk::{Disk, Space};
pub use first_steps::FirstSteps;
pub use log_limit::LogLimit;
pub use metrics::{Metrics, MetricsError};
pub use process::{Process, Usage};
pub use queue::{Behind, Queue};
pub use readiness::{Condition, DISK, Phase, Readiness, SOURCES, STORE};
pub use recomputations::Recomputations;
pub use rejects::{Reject, Rejects};
pub use source_states::{Budget, SourceState, SourceStates, SourceStatus};
