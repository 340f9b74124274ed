//! The demo desk: a simulated desk that publishes every type of message, so that a dashboard can be developed and
//! tested against this server alone. All its messages are marked `simulated`.
//!
//! It trades at the prices that the server publishes, by one rule (`book.rs`). Its accounts are part of its messages
//! (the field `account` of `bots` and `earnings`), and each fill is committed together with them: after a restart, even
//! after `kill -9`, the desk continues from there.
//!
//! Its messages do not pass through the dashboards' readers: a test checks their shapes.

mod account;
mod book;
mod desk;
mod quotes;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

pub use desk::Desk;
pub use quotes::Quoted;

use super::{Finished, Source, SourceError, SourceHandle};
use crate::domain::{Feed, SourceName, WallClock};

/// Time between two beats. Every type of message is published within [`Desk::ROUND`] beats.
const BEAT: Duration = Duration::from_secs(1);

/// Returns the last published prices of those symbols that can be traded now.
pub type QuotedNow = Box<dyn Fn() -> Vec<Quoted> + Send + Sync>;

/// The source `demo`.
pub struct Demo {
    desk: Desk,
    quoted: QuotedNow,
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

    /// Creates the source from a desk.
    pub fn new(desk: Desk, quoted: QuotedNow, clock: WallClock) -> Self {
        Self { desk, quoted, clock }
    }
}

impl Source for Demo {
    fn name(&self) -> SourceName {
        SourceName::new(Self::NAME)
    }

    fn feed(&self) -> Feed {
        Feed::Simulated
    }

    async fn run(&mut self, out: &SourceHandle) -> Result<Finished, SourceError> {
        let mut beats = tokio::time::interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            let messages = self.desk.step((self.clock)(), &(self.quoted)());
            if !messages.is_empty() {
                out.publish(messages).await?;
            }
            out.live();
        }
    }
}
