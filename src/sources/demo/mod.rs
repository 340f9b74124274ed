//! The demo desk: a simulated desk that publishes every kind of message, so that a dashboard can be developed and tested
//! against this server alone. All that it says is marked `simulated`.
//!
//! What it says does not pass through the dialects: a test of the gateways holds it to their shapes.

mod account;
mod desk;
mod market;

use std::fmt;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

pub use desk::Desk;

use super::{Feeder, Finished, Source, SourceError, WallClock};
use crate::domain::{Feed, SourceName};

/// Time between two beats; every kind of message has its turn within [`Desk::ROUND`] of them.
const BEAT: Duration = Duration::from_secs(1);

/// The source `demo`.
pub struct Demo {
    desk: Desk,
    clock: WallClock,
}

impl fmt::Debug for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demo").field("desk", &self.desk).finish_non_exhaustive()
    }
}

impl Demo {
    /// The name on the wire.
    pub const NAME: &'static str = "demo";

    /// A desk that begins now.
    pub fn new(desk: Desk, clock: WallClock) -> Self {
        Self { desk, clock }
    }
}

impl Source for Demo {
    fn name(&self) -> SourceName {
        SourceName::new(Self::NAME)
    }

    fn feed(&self) -> Feed {
        Feed::Simulated
    }

    async fn run(&mut self, out: &Feeder) -> Result<Finished, SourceError> {
        let mut beats = tokio::time::interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            out.publish(self.desk.step((self.clock)())).await?;
            out.live();
        }
    }
}
