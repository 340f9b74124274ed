//! Whether the process is ready for clients, and which parts of it are degraded.

use std::fmt;

use parking_lot::RwLock;

/// The phase in the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Starting: not all parts run yet.
    Starting,
    /// Serving.
    Serving,
    /// Stopping: no new clients should be sent.
    Draining,
}

/// Returns why a part of the server is degraded; `None` when it is healthy.
type Check = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// A part, and why it is degraded; `None` when it is healthy.
pub type Condition = (&'static str, Option<String>);

/// The signal store.
pub const STORE: &str = "store";
/// The disk of the signal store.
pub const DISK: &str = "disk";
/// The sources.
pub const SOURCES: &str = "sources";

/// The state behind `/ready`. The app sets the phase; the parts are checked at each request.
pub struct Readiness {
    phase: RwLock<Phase>,
    checks: RwLock<Vec<(&'static str, Check)>>,
    /// The checks of parts without which no clients should come.
    required: RwLock<Vec<(&'static str, Check)>>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self { phase: RwLock::new(Phase::Starting), checks: RwLock::default(), required: RwLock::default() }
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("phase", &self.phase()).finish_non_exhaustive()
    }
}

impl Readiness {
    /// Adds the check of a part. It returns `None` for healthy or a short reason such as `disk full`, and must not block.
    pub fn add_check(&self, part: &'static str, check: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.checks.write().push((part, Box::new(check)));
    }

    /// Adds the check of a part without which no new clients should come, as [`add_check`](Self::add_check).
    pub fn require(&self, part: &'static str, check: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.required.write().push((part, Box::new(check)));
    }

    /// Returns the first required part that is not healthy, and why.
    pub fn missing(&self) -> Option<(&'static str, String)> {
        self.required.read().iter().find_map(|(part, check)| Some((*part, check()?)))
    }

    /// Whether a part is degraded now.
    pub fn suffers(&self, part: &str) -> bool {
        self.checks.read().iter().any(|(asked, check)| *asked == part && check().is_some())
    }

    /// Sets the phase.
    pub fn set(&self, phase: Phase) {
        *self.phase.write() = phase;
    }

    /// Returns the current phase.
    pub fn phase(&self) -> Phase {
        *self.phase.read()
    }

    /// Returns the condition of every part.
    pub fn parts(&self) -> Vec<Condition> {
        let conditions = |checks: &RwLock<Vec<(&'static str, Check)>>| -> Vec<Condition> {
            checks.read().iter().map(|(part, check)| (*part, check())).collect()
        };
        [conditions(&self.required), conditions(&self.checks)].concat()
    }

    /// Returns the reasons of all degraded parts.
    pub fn reasons(&self) -> Vec<String> {
        self.parts().into_iter().filter_map(|(_, reason)| reason).collect()
    }
}
