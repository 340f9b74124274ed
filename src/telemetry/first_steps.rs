//! What the start page of a new server waits for, as it has happened since the start of the process.

use std::sync::atomic::{AtomicBool, Ordering};

/// Which of the first steps have happened.
#[derive(Debug, Default)]
pub struct FirstSteps {
    dashboard: AtomicBool,
    push: AtomicBool,
}

impl FirstSteps {
    /// Notes that a client has connected that is not a page of this server.
    pub fn note_dashboard(&self) {
        self.dashboard.store(true, Ordering::Relaxed);
    }

    /// Notes that a push was accepted.
    pub fn note_push(&self) {
        self.push.store(true, Ordering::Relaxed);
    }

    /// Whether a client has connected.
    pub fn has_dashboard(&self) -> bool {
        self.dashboard.load(Ordering::Relaxed)
    }

    /// Whether a push was accepted.
    pub fn has_push(&self) -> bool {
        self.push.load(Ordering::Relaxed)
    }
}
