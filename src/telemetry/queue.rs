//! The backlog of a client's queue, for monitoring.

use std::fmt;
use std::time::Duration;

/// The backlog of one client, or of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Behind {
    /// The number of waiting ordered events and responses.
    pub ordered: usize,
    /// The number of waiting states.
    pub states: usize,
    /// How long the oldest item has waited.
    pub by: Duration,
    /// How many states a newer one has replaced before they were written, since the connection was opened.
    pub conflated: u64,
}

/// A queue in front of one client.
pub trait Queue: fmt::Debug + Send + Sync {
    /// Returns the backlog of the client.
    fn behind(&self) -> Behind;
}
