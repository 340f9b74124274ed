//! Whether the process wants to be given clients, and what it suffers from.

use std::fmt;

use parking_lot::RwLock;

/// Where the process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not everything runs yet.
    Starting,
    /// Serving.
    Serving,
    /// Stopping: no new clients, please.
    Draining,
}

/// Asks one part of the server what it suffers from; `None` when it is well.
type Check = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// A part and how it is: `None` is well, else why not.
pub type Condition = (&'static str, Option<String>);

/// The part that keeps signals.
pub const STORE: &str = "store";
/// The disk that it keeps them on.
pub const DISK: &str = "disk";
/// The sources, each by itself.
pub const SOURCES: &str = "sources";

/// What `/ready` says. The app sets the phase; the parts that can suffer are asked when somebody wants to know.
pub struct Readiness {
    phase: RwLock<Phase>,
    checks: RwLock<Vec<(&'static str, Check)>>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self { phase: RwLock::new(Phase::Starting), checks: RwLock::default() }
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("phase", &self.phase()).finish_non_exhaustive()
    }
}

impl Readiness {
    /// Adds a part to ask: `None` is well, `Some` a short reason such as `disk full`. Must not block.
    pub fn ask(&self, part: &'static str, check: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.checks.write().push((part, Box::new(check)));
    }

    /// Whether a part suffers now.
    pub fn suffers(&self, part: &str) -> bool {
        self.checks.read().iter().any(|(asked, check)| *asked == part && check().is_some())
    }

    /// Moves on.
    pub fn set(&self, phase: Phase) {
        *self.phase.write() = phase;
    }

    /// Where the process is.
    pub fn phase(&self) -> Phase {
        *self.phase.read()
    }

    /// Every part, and what it suffers from now.
    pub fn parts(&self) -> Vec<Condition> {
        self.checks.read().iter().map(|(part, check)| (*part, check())).collect()
    }

    /// What it suffers from now.
    pub fn reasons(&self) -> Vec<String> {
        self.parts().into_iter().filter_map(|(_, reason)| reason).collect()
    }
}
