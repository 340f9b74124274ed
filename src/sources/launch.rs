//! Starts sources.

use std::sync::Arc;

use super::{Source, supervise};
use crate::domain::{Instruments, WallClock};
use crate::pipeline::Handle;
use crate::tasks::Tasks;
use crate::telemetry::{Metrics, SourceStates};

/// What sources are started with.
#[derive(Clone)]
pub struct Launcher {
    /// The catalogue.
    pub instruments: Arc<Instruments>,
    /// The wall clock.
    pub wall: WallClock,
    /// Where the sources deliver.
    pub handle: Handle,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
    /// Where their states are kept.
    pub states: SourceStates,
    /// Where they run.
    pub tasks: Tasks,
}

impl std::fmt::Debug for Launcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launcher").finish_non_exhaustive()
    }
}

impl Launcher {
    /// Runs a source under supervision, as the task with this name.
    pub fn spawn(&self, task: &'static str, source: impl Source + 'static) {
        let (handle, stop) = (self.handle.clone(), self.tasks.stopping());
        self.tasks.spawn(task, supervise(source, handle, &self.metrics, &self.states, stop));
    }
}
