//! What waits for somebody, as far as a watcher wants to know.

use std::fmt;
use std::time::Duration;

/// What waits for a client, or for several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Behind {
    /// Ordered events and answers.
    pub ordered: usize,
    /// Latest states.
    pub states: usize,
    /// How long it has waited; with several, the longest.
    pub by: Duration,
}

/// A queue in front of one client.
pub trait Queue: fmt::Debug + Send + Sync {
    /// How far behind the client is.
    fn behind(&self) -> Behind;
}
